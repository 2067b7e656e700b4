//! Which codecs are offered, which is taken, and what each payload type then means (RFC 3264, decision 24).

use super::bench::*;
use super::far::{accept, answer_to, asked, asks, called, dialled_for};
use crate::call::signal::{LegOrder, RefusalKind, Signal};
use crate::model::media::Format;
use crate::model::{Codec, Direction};
use crate::useragent::Rules;

use Codec::{G722, Opus, Pcma, Pcmu};

/// A phone's SDP with these payloads, of which the maps are: 96 and 107 Opus, 97 Speex, 102 keys at 8000, 103 at 48000.
fn sdp_of(payloads: &str) -> String {
    sdp("127.0.0.1", 6000, payloads, "sendrecv")
        + "a=rtpmap:96 opus/48000/2\na=fmtp:96 useinbandfec=1\na=rtpmap:107 opus/48000/2\na=rtpmap:97 speex/16000\n\
           a=rtpmap:102 telephone-event/8000\na=rtpmap:103 telephone-event/48000\na=rtpmap:111 speex/8000\n"
}

/// The formats of a message's audio line.
fn formats(text: &str) -> &str {
    let line = body(text).lines().find_map(|line| line.strip_prefix("m=audio ")).unwrap_or_default();
    line.split_once("RTP/AVP ").map_or("", |(_, formats)| formats)
}

/// A bench whose trunk and whose phones may speak these.
fn bench(codecs: &[Codec]) -> Bench {
    let mut centre = centre(100);
    centre.trunks.values_mut().for_each(|trunk| trunk.codecs = codecs.to_vec());
    Bench::of(Rules { codecs: codecs.to_vec(), ..Rules::default() }, centre)
}

#[test]
fn an_answer_takes_the_callers_first_codec_that_may_be_spoken() {
    for (allowed, offered, answered, codec) in [
        (&Codec::USUAL[..], "8 0 101", "8 101", Pcma),
        (&Codec::USUAL, "9 8 101", "9 101", G722),
        (&Codec::USUAL, "8 9 96 101", "8 101", Pcma),
        (&Codec::USUAL, "97 96 9 8 102 103", "96 103", Opus),
        (&Codec::USUAL, "96 8 102", "96 102", Opus),
        (&Codec::USUAL, "96 8", "96", Opus),
        (&Codec::USUAL, "9 102 103", "9 102", G722),
        (&[Pcma], "96 9 0 8 101", "8 101", Pcma),
        (&[Pcma, G722], "96 9 0 8 101", "9 101", G722),
        (&[Opus], "8 0 9 107 103", "107 103", Opus),
    ] {
        let mut bench = bench(allowed);
        bench.receive(TRUNK, &Request { body: &sdp_of(offered), ..Request::default() }.text());
        let leg = bench.incoming_leg();
        let remote = remote_of(&bench.signals());
        // Of what was offered beside it, only the other law of G.711 is heard.
        let other =
            if offered.contains("8 0") && allowed.contains(&Pcmu) { Some((0, Format::Audio(Pcmu))) } else { None };
        let other = other.filter(|_| codec == Pcma);
        assert_eq!((remote.codec, remote.formats), (codec, other.into_iter().collect()), "{allowed:?} {offered}");
        let ok = bench.order(accept(leg)).pop().expect("a 200");
        assert_eq!(formats(&ok), answered, "{allowed:?} {offered}: {ok}");
    }
}

#[test]
fn where_nothing_is_left_the_refusal_and_the_alarm_say_what_to_do() {
    for (allowed, offered, needed) in [
        (&[Pcma, Pcmu][..], "9 96 18 101", "PCMA or PCMU is needed"),
        (&Codec::USUAL, "18 4 97 101", "G722, OPUS, PCMA or PCMU is needed"),
        (&[Opus], "9 8 0", "OPUS is needed"),
    ] {
        let mut bench = bench(allowed);
        let refused = bench.receive(TRUNK, &Request { body: &sdp_of(offered), ..Request::default() }.text());
        let refused = refused.last().expect("an answer");
        assert_eq!(status(refused), "488");
        assert!(
            header(refused, "Warning").starts_with("305 ") && header(refused, "Warning").contains(needed),
            "{refused}"
        );
        let told = &bench.alarms.first().expect("an alarm").text;
        assert!(told.contains(needed) && told.contains("codecs and srtp of trunks.carrier"), "{told}");
        assert!(bench.signals.is_empty());
    }
}

#[test]
fn an_offer_names_the_callers_codec_first_then_what_costs_nothing_then_our_order() {
    for (allowed, caller, offered) in [
        (&Codec::USUAL[..], Pcma, "8 0 9 111 101 110"),
        (&Codec::USUAL, G722, "9 111 8 0 101 110"),
        (&Codec::USUAL, Opus, "111 9 8 0 101 110"),
        (&[Pcma, Pcmu], G722, "8 0 101"),
        (&[Opus, Pcma], Pcma, "8 111 101 110"),
        (&[G722], Pcma, "9 101"),
        (&[Pcmu, G722, Pcma], Pcma, "8 0 9 101"),
    ] {
        let (_, _, invite) = dialled_for(bench(allowed), caller);
        assert_eq!(formats(&invite), offered, "{allowed:?} {caller:?}");
    }
}

#[test]
fn each_payload_type_of_both_sdps_is_known_for_what_it_is() {
    for (answered, codec, payload, keys, more) in [
        ("8 101", Pcma, 8, Some((101, 8000)), vec![]),
        ("9 102", G722, 9, Some((102, 8000)), vec![]),
        // Opus by a number of its own: ours is 111.
        ("107 8 103", Opus, 107, Some((103, 48_000)), vec![(8, Format::Audio(Pcma)), (111, Format::Audio(Opus))]),
        (
            "9 107 0 8",
            G722,
            9,
            None,
            vec![
                (8, Format::Audio(Pcma)),
                (0, Format::Audio(Pcmu)),
                (111, Format::Audio(Opus)),
                (107, Format::Audio(Opus)),
            ],
        ),
        (
            "8 9 102 103",
            Pcma,
            8,
            Some((102, 8000)),
            vec![(9, Format::Audio(G722)), (103, Format::Keys { clock_hz: 48_000 })],
        ),
    ] {
        let (mut bench, _, invite) = dialled_for(bench(&Codec::USUAL), Pcma);
        bench.receive(PHONE, &answer_to(&invite, "200", "phone", "", &sdp_of(answered)));
        let remote = remote_of(&bench.signals());
        assert_eq!((remote.codec, remote.payload), (codec, payload), "{answered}");
        assert_eq!(remote.dtmf_payload.map(|payload| (payload, remote.dtmf_clock_hz)), keys, "{answered}");
        assert_eq!(remote.formats, more, "{answered}");
        assert_eq!(remote.format(97), None, "{answered}: never agreed on");
    }
}

#[test]
fn an_answer_with_what_was_not_offered_is_no_answer() {
    let (mut bench, _, invite) = dialled_for(bench(&[Pcma]), Pcma);
    let sent = bench.receive(PHONE, &answer_to(&invite, "200", "phone", "", &sdp_of("9 107 0")));
    assert_eq!(statuses(&sent), ["ACK", "BYE"]);
    let told = bench.signals();
    assert!(
        told.iter().any(|signal| matches!(signal, Signal::Refused { refusal, .. }
            if refusal.kind == RefusalKind::Unreachable && refusal.detail.contains("enable PCMA on the phone"))),
        "{told:?}"
    );
}

#[test]
fn a_phone_that_refuses_all_that_is_offered_is_told_about() {
    let (mut bench, _, invite) = dialled_for(bench(&[G722, Opus]), Pcma);
    bench.receive(PHONE, &answer_to(&invite, "488", "phone", "", ""));
    let told = bench.signals();
    assert!(
        told.iter().any(|signal| matches!(signal, Signal::Refused { refusal, .. }
            if refusal.detail.contains("488") && refusal.detail.contains("enable G722 or OPUS"))),
        "{told:?}"
    );
}

#[test]
fn a_payload_type_keeps_its_meaning_for_the_whole_dialog() {
    let (mut bench, leg) = called("", &sdp_of("96 111 8 102 103"));
    let ok = bench.order(accept(leg)).pop().expect("a 200");
    assert_eq!(formats(&ok), "96 103");
    let to_tag = tag(header(&ok, "To")).to_owned();
    bench.receive(TRUNK, &asked("ACK", 1, &to_tag, "", ""));
    // Without an SDP: we offer all that we speak. 111 is Speex to this far end, so Opus stays 96.
    let offer = bench.receive(TRUNK, &asked("INVITE", 2, &to_tag, "", "")).pop().expect("a 200");
    assert_eq!(formats(&offer), "96 9 8 0 102 103");
    bench.signals();
    bench.receive(TRUNK, &asked("ACK", 2, &to_tag, "", &sdp_of("8 102")));
    assert_eq!(remote_of(&bench.signals()).codec, Pcma);
    // Asked to change alone to what it has not named in its last SDP: nothing is offered.
    assert!(bench.order(LegOrder::Reoffer { leg, codec: Opus, direction: Direction::Both }).is_empty());
}

#[test]
fn a_hold_keeps_the_codec_in_use_and_a_new_first_codec_changes_it() {
    let (mut bench, _, invite) = dialled_for(bench(&Codec::USUAL), Pcma);
    bench.receive(PHONE, &answer_to(&invite, "200", "phone", "", &sdp_of("8 102")));
    for (cseq, offered, direction, answered) in [
        (2, "9 8 0 102", "sendonly", "8 102"),
        (3, "9 8 0 102", "sendrecv", "8 102"),
        (4, "0 9 8 102", "sendrecv", "0 102"),
        (5, "0 9 8 102", "sendonly", "0 102"),
        (6, "9 102", "sendrecv", "9 102"),
    ] {
        let body = sdp_of(offered).replace("sendrecv", direction);
        let ok = bench.receive(PHONE, &asks(&invite, ("INVITE", cseq), "phone", "", &body)).pop().expect("a 200");
        assert_eq!((status(&ok), formats(&ok)), ("200", answered), "{cseq}: {offered}");
        bench.receive(PHONE, &asks(&invite, ("ACK", cseq), "phone", "", ""));
    }
}

#[test]
fn a_change_of_codec_is_offered_with_that_codec_alone() {
    let (mut bench, leg) = called("", &sdp_of("8 9 96 102 103"));
    let ok = bench.order(accept(leg)).pop().expect("a 200");
    bench.receive(TRUNK, &asked("ACK", 1, tag(header(&ok, "To")), "", ""));
    let again =
        bench.order(LegOrder::Reoffer { leg, codec: Opus, direction: Direction::Both }).pop().expect("an INVITE");
    assert_eq!(formats(&again), "96 102 103");
    bench.signals();
    bench.receive(TRUNK, &answer_to(&again, "200", "", "", &sdp_of("96 103")));
    let remote = remote_of(&bench.signals());
    assert_eq!((remote.codec, remote.dtmf_payload, remote.dtmf_clock_hz), (Opus, Some(103), 48_000));
}
