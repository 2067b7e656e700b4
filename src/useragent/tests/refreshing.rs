//! Session timers (RFC 4028), re-INVITEs of ours and glare (RFC 3261 §14), keys by INFO, reasons.

use std::time::Duration;

use super::bench::*;
use super::far::*;
use crate::call::signal::{Gone, LegOrder, Signal};
use crate::model::{Codec, Direction, EndedBy};

const ALLOWS: &str = "Allow: INVITE, ACK, BYE, UPDATE\n";

fn reoffer(leg: crate::model::LegId, codec: Codec) -> LegOrder {
    LegOrder::Reoffer { leg, codec, direction: Direction::Both }
}

#[test]
fn a_caller_who_knows_timers_refreshes_and_one_who_does_not_is_lost() {
    let (mut bench, leg, ok) = talking("Supported: timer\nSession-Expires: 300\n");
    assert_eq!((header(&ok, "Session-Expires"), header(&ok, "Require")), ("300;refresher=uac", "timer"));
    let to_tag = tag(header(&ok, "To")).to_owned();
    assert!(bench.pass(Duration::from_secs(200)).is_empty());
    let more = "Supported: timer\nSession-Expires: 300;refresher=uac\n";
    let update = bench.receive(TRUNK, &asked("UPDATE", 2, &to_tag, more, "")).pop().unwrap();
    assert_eq!((status(&update), header(&update, "Session-Expires")), ("200", "300;refresher=uac"));
    assert!(bench.pass(Duration::from_secs(200)).is_empty());
    let again = bench.receive(TRUNK, &asked("INVITE", 3, &to_tag, more, &offer("8 0 101"))).pop().unwrap();
    assert_eq!((status(&again), body(&again)), ("200", body(&ok)), "the same SDP and version");
    bench.receive(TRUNK, &asked("ACK", 3, &to_tag, "", ""));
    assert!(bench.signals().is_empty(), "a refresh does not disturb the media");
    let sent = bench.pass(Duration::from_secs(268));
    assert_eq!(statuses(&sent), ["BYE"], "300 s less 32 s");
    assert!(header(&sent[0], "Reason").contains("cause=408"), "{}", sent[0]);
    assert!(matches!(&bench.signals()[..], [Signal::Ended { leg: l, by: Gone::Lost, .. }] if *l == leg));
}

#[test]
fn too_short_an_interval_is_told_ours() {
    let mut bench = Bench::new();
    let (more, body) = ("Supported: timer\nSession-Expires: 60\n", offer("8"));
    let refused = bench.receive(TRUNK, &Request { more, body: &body, ..Request::default() }.text()).pop().unwrap();
    assert_eq!((status(&refused), header(&refused, "Min-SE")), ("422", "90"));
    assert!(bench.signals().is_empty() && bench.alarms.is_empty());
}

#[test]
fn we_refresh_by_update_where_it_is_allowed_and_a_481_ends_the_call() {
    let (mut bench, leg, ok) = talking(&format!("{ALLOWS}Supported: timer\nSession-Expires: 200;refresher=uas\n"));
    assert_eq!((header(&ok, "Session-Expires"), header(&ok, "Require")), ("200;refresher=uas", ""));
    assert!(bench.pass(Duration::from_secs(99)).is_empty());
    let update = bench.pass(Duration::from_secs(1)).pop().unwrap();
    assert_eq!((status(&update), header(&update, "Session-Expires"), body(&update)), ("UPDATE", "200", ""));
    let more = "Session-Expires: 200;refresher=uac\n";
    bench.receive(TRUNK, &answer_to(&update, "200", "", more, ""));
    let update = bench.pass(Duration::from_secs(100)).pop().unwrap();
    assert_eq!(status(&update), "UPDATE");
    let bye = bench.receive(TRUNK, &answer_to(&update, "481", "", "", ""));
    assert_eq!(statuses(&bye), ["BYE"]);
    assert!(matches!(&bench.signals()[..], [Signal::Ended { leg: l, by: Gone::Lost, .. }] if *l == leg));
}

#[test]
fn a_phone_s_timer_is_kept_by_a_reinvite_with_the_same_sdp() {
    let (mut bench, _, invite) = picked_up("Supported: timer\nSession-Expires: 100;refresher=uac\n");
    assert_eq!(header(&invite, "Session-Expires"), "1800");
    assert!(header(&invite, "Supported").contains("timer"));
    let again = bench.pass(Duration::from_secs(50)).pop().unwrap();
    assert_eq!((status(&again), header(&again, "CSeq"), body(&again)), ("INVITE", "2 INVITE", body(&invite)));
    let ok = answer_to(
        &again,
        "200",
        "",
        "Session-Expires: 100;refresher=uac\n",
        &sdp("127.0.0.1", 6000, "8 0 101", "sendrecv"),
    );
    let ack = bench.receive(PHONE, &ok).pop().unwrap();
    assert_eq!((status(&ack), header(&ack, "CSeq")), ("ACK", "2 ACK"));
    assert_eq!(bench.receive(PHONE, &ok), [ack], "a repeated 2xx gets the same ACK");
    assert!(bench.signals().is_empty());
    assert_eq!(statuses(&bench.pass(Duration::from_secs(50))), ["INVITE"]);
}

#[test]
fn an_update_that_is_not_served_is_followed_by_a_reinvite_and_a_422_by_a_longer_one() {
    let (mut bench, _, _) = picked_up(&format!("{ALLOWS}Supported: timer\nSession-Expires: 100;refresher=uac\n"));
    let update = bench.pass(Duration::from_secs(50)).pop().unwrap();
    bench.receive(PHONE, &answer_to(&update, "422", "", "Min-SE: 400\n", ""));
    let update = bench.pass(Duration::from_millis(1)).pop().unwrap();
    assert_eq!((status(&update), header(&update, "Session-Expires")), ("UPDATE", "400"));
    bench.receive(PHONE, &answer_to(&update, "501", "", "", ""));
    let invite = bench.pass(Duration::from_millis(1)).pop().unwrap();
    assert_eq!((status(&invite), header(&invite, "Session-Expires")), ("INVITE", "400"));
    assert!(bench.signals().is_empty());
}

#[test]
fn a_422_to_our_invite_is_met_once() {
    let (mut bench, _, invite) = dialled(Bench::new());
    let sent = bench.receive(PHONE, &answer_to(&invite, "422", "x", "Min-SE: 3600\n", ""));
    assert_eq!(statuses(&sent), ["ACK", "INVITE"]);
    let again = &sent[1];
    assert_eq!((header(again, "Session-Expires"), header(again, "Min-SE")), ("3600", "3600"));
    assert_eq!((header(again, "CSeq"), header(again, "Call-ID")), ("2 INVITE", header(&invite, "Call-ID")));
    assert_eq!(statuses(&bench.receive(PHONE, &answer_to(again, "422", "y", "Min-SE: 7200\n", ""))), ["ACK"]);
    assert!(matches!(&bench.signals()[..], [Signal::Refused { .. }]));
}

#[test]
fn a_codec_is_offered_in_mid_call_and_its_answer_told() {
    let (mut bench, leg, ok) = talking("");
    let again = bench.order(reoffer(leg, Codec::Pcmu)).pop().unwrap();
    assert_eq!(status(&again), "INVITE");
    assert!(body(&again).contains("RTP/AVP 0 101\r\n") && body(&again) != body(&ok), "{again}");
    assert_eq!(statuses(&bench.receive(TRUNK, &answer_to(&again, "200", "", "", &offer("0 101")))), ["ACK"]);
    let told = bench.signals();
    assert!(matches!(&told[..], [Signal::Reoffered { remote, .. }] if remote.codec == Codec::Pcmu), "{told:?}");
    assert!(bench.order(reoffer(leg, Codec::Pcmu)).is_empty(), "it is so already");
}

#[test]
fn a_refused_offer_leaves_the_media_as_they_were() {
    let (mut bench, leg, ok) = talking("");
    let again = bench.order(reoffer(leg, Codec::Pcmu)).pop().unwrap();
    assert_eq!(statuses(&bench.receive(TRUNK, &answer_to(&again, "488", "", "", ""))), ["ACK"]);
    assert!(bench.signals().is_empty());
    let refresh = asked("INVITE", 2, tag(header(&ok, "To")), "", &offer("8 0 101"));
    assert!(body(&bench.receive(TRUNK, &refresh).pop().unwrap()).contains("RTP/AVP 8 101"));
}

#[test]
fn what_the_far_end_does_not_speak_is_not_offered() {
    let (mut bench, leg) = called("", &offer("8 101"));
    let ok = bench.order(accept(leg)).pop().unwrap();
    bench.receive(TRUNK, &asked("ACK", 1, tag(header(&ok, "To")), "", ""));
    assert!(bench.order(reoffer(leg, Codec::Pcmu)).is_empty());
}

#[test]
fn offers_that_meet_are_both_refused_and_ours_is_made_again() {
    let (mut bench, leg, ok) = talking("");
    let to_tag = tag(header(&ok, "To")).to_owned();
    let ours = bench.order(reoffer(leg, Codec::Pcmu)).pop().unwrap();
    let theirs = asked("INVITE", 2, &to_tag, "", &offer("8"));
    assert_eq!(statuses(&bench.receive(TRUNK, &theirs)), ["491"]);
    assert_eq!(statuses(&bench.receive(TRUNK, &asked("UPDATE", 3, &to_tag, "", &offer("8")))), ["491"]);
    assert_eq!(statuses(&bench.receive(TRUNK, &answer_to(&ours, "491", "", "", ""))), ["ACK"]);
    let again = bench.pass(Duration::from_millis(2000));
    let is_again = |text: &&String| status(text) == "INVITE" && header(text, "CSeq") == "2 INVITE";
    assert!(
        again.iter().any(|text| is_again(&text)),
        "RFC 3261 §14.1: within 2 s, the Call-ID is the caller's: {again:?}"
    );

    let (mut bench, leg, _) = picked_up("");
    let ours = bench.order(reoffer(leg, Codec::Pcmu)).pop().unwrap();
    bench.receive(PHONE, &answer_to(&ours, "491", "", "", ""));
    assert!(bench.pass(Duration::from_millis(2099)).is_empty(), "the Call-ID is ours");
    let again = bench.pass(Duration::from_millis(1901));
    assert_eq!((statuses(&again), header(&again[0], "CSeq")), (vec!["INVITE"], "3 INVITE"));
}

#[test]
fn an_offer_waits_for_the_ack_of_the_one_before_it() {
    let (mut bench, leg, ok) = talking("");
    let to_tag = tag(header(&ok, "To")).to_owned();
    bench.receive(TRUNK, &asked("INVITE", 2, &to_tag, "", &offer("8 0")));
    assert!(bench.order(reoffer(leg, Codec::Pcmu)).is_empty());
    assert_eq!(statuses(&bench.receive(TRUNK, &asked("ACK", 2, &to_tag, "", ""))), ["INVITE"]);
}

#[test]
fn an_offer_without_any_answer_ends_the_call() {
    let (mut bench, leg, _) = talking("");
    bench.order(reoffer(leg, Codec::Pcmu));
    let sent = bench.pass(Duration::from_secs(33));
    assert!(statuses(&sent).contains(&"BYE"));
    assert!(matches!(&bench.signals()[..], [Signal::Ended { by: Gone::Lost, .. }]));
}

#[test]
fn an_answer_to_an_offer_of_a_call_that_is_over_is_acknowledged_and_no_more() {
    let (mut bench, leg, _) = talking("");
    let ours = bench.order(reoffer(leg, Codec::Pcmu)).pop().unwrap();
    assert_eq!(statuses(&bench.order(LegOrder::Hangup { leg, why: EndedBy::Regulator })), ["BYE"]);
    assert_eq!(statuses(&bench.receive(TRUNK, &answer_to(&ours, "200", "", "", &offer("0 101")))), ["ACK"]);
    bench.pass(Duration::from_secs(40));
    assert!(bench.signals().is_empty());
}

#[test]
fn keys_told_by_info_are_told_and_other_bodies_refused() {
    let (mut bench, leg, ok) = talking("");
    let to_tag = tag(header(&ok, "To")).to_owned();
    let cases = [
        ("application/dtmf-relay", "Signal=5\nDuration=160\n", "200", Some('5')),
        ("application/dtmf-relay", "Signal= *\nDuration= 250\n", "200", Some('*')),
        ("application/dtmf", "11", "200", Some('#')),
        ("application/dtmf", "d", "200", Some('D')),
        ("application/dtmf", "hello", "400", None),
        ("application/x-other", "hello", "415", None),
    ];
    for (cseq, (kind, text, expected, digit)) in (2..).zip(cases) {
        let request = asked("INFO", cseq, &to_tag, "", text).replace("application/sdp", kind);
        let answer = bench.receive(TRUNK, &request).pop().unwrap();
        assert_eq!(status(&answer), expected, "{text}");
        let told: Vec<_> = digit.into_iter().map(|digit| Signal::Dtmf { leg, digit }).collect();
        assert_eq!(bench.signals(), told);
        if expected == "415" {
            assert!(header(&answer, "Accept").contains("application/dtmf-relay"));
        }
    }
    assert_eq!(statuses(&bench.receive(TRUNK, &asked("INFO", 20, &to_tag, "", ""))), ["200"]);
}

/// The key that an INFO of ours tells.
fn told(info: &str) -> &str {
    assert_eq!((status(info), header(info, "Content-Type")), ("INFO", "application/dtmf-relay"), "{info}");
    let (signal, duration) = body(info).split_once("\r\n").expect("two lines");
    assert_eq!(duration, "Duration=120\r\n");
    signal.strip_prefix("Signal=").expect("a signal")
}

fn key(leg: crate::model::LegId, digit: char) -> LegOrder {
    LegOrder::Key { leg, digit, duration_ms: 120 }
}

#[test]
fn a_far_end_that_takes_keys_by_info_is_told_them_one_after_the_other() {
    for more in ["Accept: application/sdp, application/dtmf-relay\n", "Recv-Info: infoDtmf\n"] {
        let (mut bench, leg, _) = talking(more);
        let first = bench.order(key(leg, '5')).pop().unwrap();
        assert_eq!(told(&first), "5");
        assert!(bench.order(key(leg, '#')).is_empty(), "the first is not answered yet");
        let second = bench.receive(TRUNK, &answer_to(&first, "200", "", "", "")).pop().unwrap();
        assert_eq!(told(&second), "#");
        assert!(bench.receive(TRUNK, &answer_to(&second, "200", "", "", "")).is_empty() && bench.signals().is_empty());
    }
}

#[test]
fn a_far_end_that_tells_its_own_keys_by_info_is_told_ours_so_and_no_other_is() {
    let (mut bench, leg, ok) = talking("Allow: INVITE, ACK, BYE, INFO\n");
    assert!(bench.order(key(leg, '5')).is_empty());
    assert_eq!(bench.signals(), [Signal::KeyUntold { leg, digit: '5', duration_ms: 120 }]);
    let info = asked("INFO", 2, tag(header(&ok, "To")), "", "Signal=1\n");
    bench.receive(TRUNK, &info.replace("application/sdp", "application/dtmf-relay"));
    assert_eq!(bench.signals(), [Signal::Dtmf { leg, digit: '1' }]);
    assert_eq!(told(&bench.order(key(leg, '6')).pop().unwrap()), "6");
}

#[test]
fn keys_that_a_far_end_does_not_take_after_all_are_given_back_and_it_is_asked_no_more() {
    let (mut bench, leg, _) = talking("Recv-Info: dtmf\n");
    let first = bench.order(key(leg, '5')).pop().unwrap();
    bench.order(key(leg, '6'));
    assert!(bench.receive(TRUNK, &answer_to(&first, "415", "", "", "")).is_empty());
    let untold = |digit| Signal::KeyUntold { leg, digit, duration_ms: 120 };
    assert_eq!(bench.signals(), [untold('5'), untold('6')]);
    assert!(bench.order(key(leg, '7')).is_empty());
    assert_eq!(bench.signals(), [untold('7')]);
}

#[test]
fn a_key_that_is_never_answered_is_not_given_back_when_it_is_long_over() {
    let (mut bench, leg, _) = talking("Recv-Info: dtmf\n");
    bench.order(key(leg, '5'));
    assert!(bench.pass(Duration::from_secs(40)).iter().all(|sent| told(sent) == "5"), "the same, again and again");
    assert!(bench.signals().is_empty());
    assert!(bench.order(key(leg, '6')).is_empty());
    assert_eq!(bench.signals(), [Signal::KeyUntold { leg, digit: '6', duration_ms: 120 }]);
}

#[test]
fn what_is_required_in_mid_call_and_not_spoken_is_named_and_changes_nothing() {
    let (mut bench, _, ok) = talking("");
    let to_tag = tag(header(&ok, "To")).to_owned();
    for (cseq, method) in (2..).zip(["INVITE", "UPDATE"]) {
        let held = offer("8 0").replace("sendrecv", "sendonly");
        let request = asked(method, cseq, &to_tag, "Require: timer, x-magic\nSupported: timer\n", &held);
        let answer = bench.receive(TRUNK, &request).pop().unwrap();
        assert_eq!((status(&answer), header(&answer, "Unsupported")), ("420", "x-magic"), "{method}");
    }
    for (cseq, method) in (4..).zip(["INVITE", "UPDATE"]) {
        let request = asked(method, cseq, &to_tag, "Session-Expires: -1\n", &offer("0 8"));
        let answer = bench.receive(TRUNK, &request).pop().unwrap();
        assert_eq!(answer.lines().next(), Some("SIP/2.0 400 Bad Session-Expires"), "{method}");
    }
    assert!(bench.signals().is_empty());
}

#[test]
fn our_bye_says_why_and_theirs_is_read() {
    let (mut bench, leg, _) = talking("");
    let bye = bench.order(LegOrder::Hangup { leg, why: EndedBy::Regulator }).pop().unwrap();
    assert_eq!(header(&bye, "Reason"), "Q.850 ;cause=16 ;text=\"Normal call clearing\"");
    let (mut bench, _, ok) = talking("");
    let bye = asked("BYE", 2, tag(header(&ok, "To")), "Reason: Q.850;cause=31;text=\"gone\"\n", "");
    bench.receive(TRUNK, &bye);
    let told = bench.signals();
    assert!(matches!(&told[..], [Signal::Ended { detail: Some(detail), .. }] if detail.contains("31")), "{told:?}");
}
