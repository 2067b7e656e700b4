//! Calls to regulators' phones.

use std::time::Duration;

use super::bench::*;
use crate::call::signal::{Dial, Gone, LegOrder, Party, RefusalKind, Signal};
use crate::model::{CallId, Caller, Chance, Codec, DeviceId, EndedBy, LegId, Utc};

struct Ringing {
    bench: Bench,
    leg: LegId,
    invite: String,
}

fn caller() -> Caller {
    let display_name = Some("Jean \"le\" Bon".to_owned());
    let e164 = crate::model::E164::parse("+33612345678");
    Caller { raw: "0612345678".into(), display_name, e164, ..Caller::default() }
}

fn device(bench: &Bench) -> DeviceId {
    let found = bench.signals.iter().find_map(|s| match s {
        Signal::Registered { device, .. } => Some(*device),
        _ => None,
    });
    found.expect("a device registered")
}

fn dial(caller: Caller) -> Ringing {
    let mut bench = Bench::new();
    bench.register("ana", PHONE, "MD5");
    let call = CallId::new(Utc(1), &mut Chance::from_number(5));
    let leg = LegId { call, number: 1 };
    let order = Dial {
        leg,
        to: Party::Device { regulator: "ana".into(), device: device(&bench) },
        context: Box::default(),
        manner: Default::default(),
        local: address("127.0.0.1:30002"),
        prefer: Codec::Pcmu,
        caller,
        label: "SOS \"Cherbourg\"".into(),
        call,
    };
    bench.signals();
    bench.facts.clear();
    let invite = bench.order(LegOrder::Dial(Box::new(order))).pop().expect("an INVITE");
    assert_eq!(bench.sent.last().unwrap().0, address(PHONE), "to where the REGISTER came from");
    Ringing { bench, leg, invite }
}

impl Ringing {
    /// The phone's response to `request`.
    fn answer(&mut self, request: &str, code: &str, to_tag: &str, body: &str) -> Vec<String> {
        let via = headers(request, "Via").join(", ");
        let to = header(request, "To");
        let to = if to.contains(";tag=") { to.to_owned() } else { format!("{to};tag={to_tag}") };
        let body = body.replace('\n', "\r\n");
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
        let text = format!(
            "SIP/2.0 {code} Whatever\nVia: {via}\nFrom: {}\nTo: {to}\nCall-ID: {}\nCSeq: {}\nContact: <sip:ana@{PHONE}>\n{kind}Content-Length: {}\n\n{body}",
            header(request, "From"),
            header(request, "Call-ID"),
            header(request, "CSeq"),
            body.len()
        );
        self.bench.receive(PHONE, &text)
    }

    fn answer_invite(&mut self, code: &str, body: &str) -> Vec<String> {
        let invite = self.invite.clone();
        self.answer(&invite, code, "phone", body)
    }

    fn hang_up(&mut self, why: EndedBy) -> Vec<String> {
        self.bench.order(LegOrder::Hangup { leg: self.leg, why })
    }
}

fn picked_up() -> Ringing {
    let mut ringing = dial(caller());
    let ack = ringing.answer_invite("200", &sdp("127.0.0.1", 6000, "0 101", "sendrecv"));
    assert_eq!(statuses(&ack), ["ACK"]);
    ringing.bench.signals();
    ringing
}

#[test]
fn the_invite_shows_the_line_and_the_caller_and_offers_the_caller_s_codec_first() {
    let ringing = dial(caller());
    let (invite, call) = (&ringing.invite, ringing.leg.call);
    assert!(invite.starts_with("INVITE sip:ana@127.0.0.1:5070 SIP/2.0\r\n"), "{invite}");
    let from = header(invite, "From");
    assert!(from.starts_with("\"SOS \\\"Cherbourg\\\" +33612345678\" <sip:+33612345678@vigie>;tag="), "{from}");
    assert_eq!(header(invite, "X-Vigie-Call"), call.to_string());
    assert_eq!(header(invite, "P-Asserted-Identity"), "");
    assert_eq!(header(invite, "Contact"), "<sip:vigie@127.0.0.1:5060>");
    assert!(body(invite).contains("m=audio 30002 RTP/AVP 0 8 9 111 101 110\r\n"), "{invite}");
    assert_eq!(ringing.bench.ua.sip_call_id(ringing.leg), Some(header(invite, "Call-ID")));
    assert_eq!(ringing.bench.ladder(), ["> INVITE sip:ana@127.0.0.1:5070 SIP/2.0"]);
}

#[test]
fn an_anonymous_caller_stays_so() {
    let ringing = dial(Caller { anonymous: true, ..caller() });
    assert!(!ringing.invite.contains("612345678") && !ringing.invite.contains("Jean"), "{}", ringing.invite);
    assert!(header(&ringing.invite, "From").contains("<sip:anonymous@anonymous.invalid>"));
}

#[test]
fn a_phone_rings_picks_up_and_hangs_up() {
    let mut ringing = dial(caller());
    let leg = ringing.leg;
    assert!(ringing.answer_invite("100", "").is_empty());
    assert!(ringing.bench.signals().is_empty());
    ringing.answer_invite("180", "");
    ringing.answer_invite("180", "");
    assert_eq!(ringing.bench.signals(), [Signal::Ringing { leg, early: None }]);
    let answer = sdp("127.0.0.1", 6000, "0 101", "sendrecv");
    let ack = ringing.answer_invite("200", &answer).pop().unwrap();
    assert!(ack.starts_with("ACK sip:ana@127.0.0.1:5070 SIP/2.0\r\n"), "{ack}");
    assert_eq!((header(&ack, "CSeq"), tag(header(&ack, "To"))), ("1 ACK", "phone"));
    let signals = ringing.bench.signals();
    assert!(
        matches!(&signals[..], [Signal::Accepted { remote, .. }] if remote.rtp == address("127.0.0.1:6000") && remote.codec == Codec::Pcmu && remote.dtmf_payload == Some(101)),
        "{signals:?}"
    );
    assert_eq!(statuses(&ringing.answer_invite("200", &answer)), ["ACK"], "each repeated 200 is acknowledged");
    let invite = &ringing.invite;
    let bye = format!(
        "BYE sip:vigie@127.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP {PHONE};rport;branch=z9hG4bKbye\nMax-Forwards: 70\nFrom: {};tag=phone\nTo: {}\nCall-ID: {}\nCSeq: 9 BYE\nContent-Length: 0\n\n",
        header(invite, "To"),
        header(invite, "From"),
        header(invite, "Call-ID")
    );
    assert_eq!(statuses(&ringing.bench.receive(PHONE, &bye)), ["200"]);
    assert_eq!(ringing.bench.signals(), [Signal::Ended { leg, by: Gone::HungUp, detail: None }]);
    ringing.bench.pass(Duration::from_secs(100));
    assert_eq!(ringing.bench.ua.deadline().map(|(at, _)| at > ringing.bench.now.moment), Some(true));
}

#[test]
fn a_refusal_is_told_for_what_it_is() {
    let cases = [
        ("486", RefusalKind::Busy),
        ("600", RefusalKind::Busy),
        ("603", RefusalKind::Declined),
        ("480", RefusalKind::Declined),
        ("302", RefusalKind::Declined),
        ("401", RefusalKind::Declined),
        ("404", RefusalKind::Unreachable),
        ("410", RefusalKind::Unreachable),
        ("408", RefusalKind::Unreachable),
        ("503", RefusalKind::Unreachable),
    ];
    for (code, kind) in cases {
        let mut ringing = dial(caller());
        assert_eq!(statuses(&ringing.answer_invite(code, "")), ["ACK"], "{code}");
        let signals = ringing.bench.signals();
        assert!(
            matches!(&signals[..], [Signal::Refused { refusal, .. }] if refusal.kind == kind && refusal.detail.starts_with(code)),
            "{code}: {signals:?}"
        );
    }
}

#[test]
fn a_phone_that_was_given_up_and_picks_up_late_is_hung_up() {
    let mut ringing = dial(caller());
    ringing.bench.pass(Duration::from_secs(6));
    ringing.bench.signals();
    let sent = ringing.answer_invite("200", &sdp("127.0.0.1", 6000, "0", "sendrecv"));
    assert_eq!(statuses(&sent), ["ACK", "BYE"]);
    assert!(ringing.bench.signals().is_empty());
}

#[test]
fn a_200_without_sdp_takes_that_of_the_183_before_it() {
    let mut ringing = dial(caller());
    ringing.answer_invite("183", &sdp("127.0.0.1", 6004, "0", "sendrecv"));
    ringing.bench.signals();
    assert_eq!(statuses(&ringing.answer_invite("200", "")), ["ACK"]);
    let signals = ringing.bench.signals();
    let remote = |s: &Signal| matches!(s, Signal::Accepted { remote, .. } if remote.rtp == address("127.0.0.1:6004"));
    assert!(signals.iter().any(remote), "{signals:?}");
}

#[test]
fn a_phone_that_gave_a_sign_of_life_may_ring_on() {
    let mut ringing = dial(caller());
    ringing.answer_invite("100", "");
    ringing.bench.pass(Duration::from_secs(60));
    assert!(!ringing.bench.signals().iter().any(|signal| matches!(signal, Signal::Refused { .. })));
}

#[test]
fn a_dead_phone_is_unreachable() {
    let mut ringing = dial(caller());
    ringing.bench.pass(Duration::from_secs(4));
    assert!(ringing.bench.signals().is_empty());
    ringing.bench.pass(Duration::from_secs(2));
    let signals = ringing.bench.signals();
    assert!(
        matches!(&signals[..], [Signal::Refused { refusal, .. }] if refusal.kind == RefusalKind::Unreachable),
        "{signals:?}"
    );
    assert_eq!(ringing.bench.ladder().len(), 1);
}

#[test]
fn an_unknown_device_is_unreachable_at_once() {
    let mut bench = Bench::new();
    let call = CallId::new(Utc(1), &mut Chance::from_number(5));
    let leg = LegId { call, number: 1 };
    let local = address("127.0.0.1:30002");
    let (regulator, device, prefer) = ("ana".into(), DeviceId(1), Codec::Pcma);
    let to = Party::Device { regulator, device };
    let (label, context) = (String::new(), Box::default());
    let order = Dial { leg, to, local, prefer, caller: caller(), label, call, context, manner: Default::default() };
    assert!(bench.order(LegOrder::Dial(Box::new(order))).is_empty());
    assert!(
        matches!(&bench.signals()[..], [Signal::Refused { refusal, .. }] if refusal.kind == RefusalKind::Unreachable)
    );
}

#[test]
fn a_hangup_while_it_rings_cancels_with_its_reason() {
    let mut ringing = dial(caller());
    ringing.answer_invite("180", "");
    ringing.bench.signals();
    let cancel = ringing.hang_up(EndedBy::AnsweredElsewhere).pop().unwrap();
    assert_eq!((status(&cancel), header(&cancel, "CSeq")), ("CANCEL", "1 CANCEL"));
    assert_eq!(header(&cancel, "Reason").replace(' ', ""), "SIP;cause=200;text=\"Callcompletedelsewhere\"");
    assert_eq!(header(&cancel, "Via"), header(&ringing.invite, "Via"));
    ringing.answer(&cancel, "200", "phone", "");
    assert_eq!(statuses(&ringing.answer_invite("487", "")), ["ACK"]);
    let signals = ringing.bench.signals();
    assert!(signals.is_empty(), "the switch has ended the leg already: {signals:?}");
}

#[test]
fn a_hangup_before_the_first_answer_waits_for_it_to_cancel() {
    let mut ringing = dial(caller());
    assert!(ringing.hang_up(EndedBy::Caller).is_empty(), "RFC 3261 §9.1");
    assert_eq!(statuses(&ringing.answer_invite("180", "")), ["CANCEL"]);
    assert!(!ringing.bench.signals().iter().any(|s| matches!(s, Signal::Ringing { .. })));
}

#[test]
fn a_200_that_crosses_our_cancel_is_acknowledged_and_hung_up() {
    let mut ringing = dial(caller());
    ringing.answer_invite("180", "");
    ringing.bench.signals();
    ringing.hang_up(EndedBy::Caller);
    let sent = ringing.answer_invite("200", &sdp("127.0.0.1", 6000, "0", "sendrecv"));
    assert_eq!(statuses(&sent), ["ACK", "BYE"]);
    assert_eq!(header(&sent[1], "CSeq"), "2 BYE");
    assert!(header(&sent[1], "Reason").contains("cause=16"), "{}", sent[1]);
    assert!(!ringing.bench.signals().iter().any(|s| matches!(s, Signal::Accepted { .. })));
    ringing.bench.pass(Duration::from_secs(100));
    assert_eq!(ringing.bench.ua.sip_call_id(ringing.leg), None);
}

#[test]
fn a_second_fork_that_picks_up_is_hung_up() {
    let mut ringing = picked_up();
    let invite = ringing.invite.clone();
    let sent = ringing.answer(&invite, "200", "other", &sdp("127.0.0.1", 6002, "0", "sendrecv"));
    assert_eq!(statuses(&sent), ["ACK", "BYE"]);
    assert_eq!(tag(header(&sent[1], "To")), "other");
    assert!(ringing.bench.signals().is_empty());
}

#[test]
fn an_answer_without_our_codecs_is_acknowledged_and_hung_up() {
    let mut ringing = dial(caller());
    let sent = ringing.answer_invite("200", &sdp("127.0.0.1", 6000, "18", "sendrecv"));
    assert_eq!(statuses(&sent), ["ACK", "BYE"]);
    let signals = ringing.bench.signals();
    assert!(
        matches!(&signals[..], [Signal::Refused { refusal, .. }] if refusal.kind == RefusalKind::Unreachable),
        "{signals:?}"
    );
}

#[test]
fn a_phone_that_does_not_answer_our_bye_holds_nothing() {
    let mut ringing = picked_up();
    let bye = ringing.hang_up(EndedBy::Caller);
    assert_eq!(statuses(&bye), ["BYE"]);
    assert!(ringing.hang_up(EndedBy::Caller).is_empty());
    ringing.bench.pass(Duration::from_secs(100));
    assert!(ringing.bench.signals().is_empty());
    assert_eq!(ringing.bench.ua.sip_call_id(ringing.leg), None);
}

#[test]
fn what_the_phone_holds_and_resumes_is_told() {
    let mut ringing = picked_up();
    let invite = ringing.invite.clone();
    let body = sdp("127.0.0.1", 6000, "0 101", "sendonly").replace('\n', "\r\n");
    let hold = format!(
        "INVITE sip:vigie@127.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP {PHONE};rport;branch=z9hG4bKhold\nMax-Forwards: 70\nFrom: {};tag=phone\nTo: {}\nCall-ID: {}\nCSeq: 9 INVITE\nContact: <sip:ana@{PHONE}>\nContent-Type: application/sdp\nContent-Length: {}\n\n{body}",
        header(&invite, "To"),
        header(&invite, "From"),
        header(&invite, "Call-ID"),
        body.len()
    );
    let ok = ringing.bench.receive(PHONE, &hold).pop().unwrap();
    assert_eq!(status(&ok), "200", "{ok}");
    assert!(super::bench::body(&ok).contains("a=recvonly"), "{ok}");
    assert!(matches!(&ringing.bench.signals()[..], [Signal::Reoffered { remote, .. }] if remote.direction.is_held()));
}

#[test]
fn an_invite_that_meets_ours_is_told_to_wait() {
    let mut ringing = dial(caller());
    ringing.answer_invite("180", "");
    let invite = ringing.invite.clone();
    let text = format!(
        "INVITE sip:vigie@127.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP {PHONE};rport;branch=z9hG4bKglare\nMax-Forwards: 70\nFrom: {};tag=phone\nTo: {}\nCall-ID: {}\nCSeq: 9 INVITE\nContact: <sip:ana@{PHONE}>\nContent-Length: 0\n\n",
        header(&invite, "To"),
        header(&invite, "From"),
        header(&invite, "Call-ID")
    );
    assert_eq!(statuses(&ringing.bench.receive(PHONE, &text)), ["491"]);
}

#[test]
fn our_bye_goes_where_the_phone_s_last_message_came_from() {
    let mut ringing = dial(caller());
    let via = headers(&ringing.invite, "Via").join(", ");
    let invite = ringing.invite.clone();
    let body = sdp("10.0.0.7", 6000, "0", "sendrecv").replace('\n', "\r\n");
    let ok = format!(
        "SIP/2.0 200 OK\nVia: {via}\nFrom: {}\nTo: {};tag=phone\nCall-ID: {}\nCSeq: 1 INVITE\nContact: <sip:ana@10.0.0.7:5060>\nContent-Type: application/sdp\nContent-Length: {}\n\n{body}",
        header(&invite, "From"),
        header(&invite, "To"),
        header(&invite, "Call-ID"),
        body.len()
    );
    ringing.bench.receive("127.0.0.1:61000", &ok);
    let bye = ringing.hang_up(EndedBy::Caller).pop().unwrap();
    assert!(bye.starts_with("BYE sip:ana@10.0.0.7:5060 SIP/2.0\r\n"), "{bye}");
    assert_eq!(ringing.bench.sent.last().unwrap().0, address("127.0.0.1:61000"), "behind NAT only this way is open");
}

#[test]
fn over_the_bound_a_leg_is_refused_at_once() {
    let mut ringing = dial(caller());
    let leg = LegId { number: 2, ..ringing.leg };
    let order = Dial {
        leg,
        to: Party::Device { regulator: "ana".into(), device: DeviceId(0) },
        context: Box::default(),
        manner: Default::default(),
        local: address("127.0.0.1:30004"),
        prefer: Codec::Pcma,
        caller: caller(),
        label: String::new(),
        call: leg.call,
    };
    ringing.bench.ua.wire.rules.legs_max = 1;
    assert!(ringing.bench.order(LegOrder::Dial(Box::new(order))).is_empty());
    assert!(
        matches!(&ringing.bench.signals()[..], [Signal::Refused { refusal, .. }] if refusal.detail.contains("legs"))
    );
    let offer = sdp("127.0.0.2", 7000, "8", "sendrecv");
    let invite = Request { body: &offer, ..Request::default() }.text();
    assert_eq!(statuses(&ringing.bench.receive(TRUNK, &invite)), ["503"]);
}
