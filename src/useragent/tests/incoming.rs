//! Calls from a trunk.

use std::time::Duration;

use super::bench::*;
use crate::call::signal::{Gone, LegOrder, Signal, Unserved};
use crate::model::{Codec, Direction, EndedBy, LegId};
use crate::useragent::Rules;

const OFFER: (&str, u16) = ("127.0.0.2", 7000);

fn offer(payloads: &str, direction: &str) -> String {
    sdp(OFFER.0, OFFER.1, payloads, direction)
}

fn invite() -> String {
    Request { body: &offer("8 0 101", "sendrecv"), ..Request::default() }.text()
}

fn accept(leg: LegId) -> LegOrder {
    LegOrder::Accept { leg, local: address("127.0.0.1:30000") }
}

/// A call that was accepted, and the To tag of its 200.
fn accepted() -> (Bench, LegId, String) {
    let mut bench = Bench::new();
    assert_eq!(statuses(&bench.receive(TRUNK, &invite())), ["100"]);
    let leg = bench.incoming_leg();
    let ok = bench.order(accept(leg)).pop().unwrap();
    let to_tag = tag(header(&ok, "To")).to_owned();
    bench.signals();
    (bench, leg, to_tag)
}

/// The same, with its ACK.
fn confirmed() -> (Bench, LegId, String) {
    let (mut bench, leg, to_tag) = accepted();
    assert!(bench.receive(TRUNK, &later("ACK", 1, &to_tag, "")).is_empty());
    assert_eq!(bench.signals(), [Signal::Confirmed { leg }]);
    (bench, leg, to_tag)
}

fn later(method: &str, cseq: u32, to_tag: &str, body: &str) -> String {
    let branch = format!("z9hG4bK{method}{cseq}");
    Request { method, branch: &branch, cseq, to_tag, body, ..Request::default() }.text()
}

#[test]
fn a_call_is_told_accepted_confirmed_and_hung_up() {
    let mut bench = Bench::new();
    bench.receive(TRUNK, &invite());
    let leg = bench.incoming_leg();
    match &bench.signals()[..] {
        [Signal::Incoming(call)] => {
            assert_eq!(
                (call.ddi.as_str(), call.trunk.as_str(), call.sip_call_id.as_str()),
                ("+33233010101", "carrier", "call-1")
            );
            assert_eq!(call.caller.raw, "0612345678");
            assert_eq!(call.caller.display_name.as_deref(), Some("Jean"));
            assert_eq!(call.caller.e164.as_ref().map(|n| n.as_str()), Some("+33612345678"));
            assert_eq!((call.remote.rtp, call.remote.codec), (address("127.0.0.2:7000"), Codec::Pcma));
            assert_eq!((call.remote.dtmf_payload, call.remote.direction), (Some(101), Direction::Both));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.ua.sip_call_id(leg), Some("call-1"));
    let ok = bench.order(accept(leg)).pop().unwrap();
    assert_eq!((status(&ok), header(&ok, "Content-Type")), ("200", "application/sdp"));
    assert!(header(&ok, "Contact").contains("127.0.0.1:5060"));
    assert!(
        body(&ok).contains("c=IN IP4 127.0.0.1\r\n") && body(&ok).contains("m=audio 30000 RTP/AVP 8 101\r\n"),
        "{ok}"
    );
    let to_tag = tag(header(&ok, "To")).to_owned();
    bench.receive(TRUNK, &later("ACK", 1, &to_tag, ""));
    assert_eq!(statuses(&bench.receive(TRUNK, &later("BYE", 2, &to_tag, ""))), ["200"]);
    assert_eq!(bench.signals(), [Signal::Confirmed { leg }, Signal::Ended { leg, by: Gone::HungUp, detail: None }]);
    let ladder = bench.ladder().join("|");
    assert_eq!(
        ladder,
        "< INVITE sip:+33233010101@127.0.0.1 SIP/2.0|> SIP/2.0 100 Trying|> SIP/2.0 200 OK|< ACK sip:+33233010101@127.0.0.1 SIP/2.0|< BYE sip:+33233010101@127.0.0.1 SIP/2.0|> SIP/2.0 200 OK"
    );
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.ua.deadline(), None);
    assert_eq!(bench.ua.sip_call_id(leg), None);
}

#[test]
fn the_caller_s_order_of_codecs_decides() {
    let mut bench = Bench::new();
    let body = offer("18 0 8", "sendrecv");
    bench.receive(TRUNK, &Request { body: &body, ..Request::default() }.text());
    assert!(
        matches!(&bench.signals[..], [Signal::Incoming(call)] if call.remote.codec == Codec::Pcmu && call.remote.dtmf_payload.is_none())
    );
}

#[test]
fn a_repeated_invite_starts_one_call_and_hears_the_last_response_again() {
    let mut bench = Bench::new();
    bench.receive(TRUNK, &invite());
    assert_eq!(statuses(&bench.receive(TRUNK, &invite())), ["100"]);
    assert_eq!(bench.signals.len(), 1);
    assert_eq!(bench.ladder().len(), 2, "a retransmission is not repeated in the ladder");
}

#[test]
fn a_merged_request_is_told_482() {
    let mut bench = Bench::new();
    bench.receive(TRUNK, &invite());
    let merged = bench.receive(TRUNK, &invite().replace("z9hG4bK1", "z9hG4bK2"));
    assert_eq!(status(merged.last().unwrap()), "482");
    assert_eq!(bench.signals.len(), 1);
}

#[test]
fn what_cannot_be_served_is_refused_with_its_own_answer() {
    let cases = [
        ("483", invite().replace("Max-Forwards: 70", "Max-Forwards: 0")),
        ("420", invite().replace("Max-Forwards: 70", "Max-Forwards: 70\nRequire: 100rel, x-unknown")),
        ("505", invite().replace(" SIP/2.0\nVia", " SIP/3.0\nVia")),
        ("400", invite().replace("CSeq: 1 INVITE\n", "CSeq: 1 BYE\n")),
        ("488", Request { body: &offer("18 96", "sendrecv"), ..Request::default() }.text()),
        ("488", Request { body: "v=0\nthis is no SDP\n", ..Request::default() }.text()),
        ("488", Request { body: &offer("8", "sendrecv").replace("m=audio", "m=video"), ..Request::default() }.text()),
        ("415", invite().replace("application/sdp", "application/isup")),
    ];
    for (expected, text) in cases {
        let mut bench = Bench::new();
        let responses = bench.receive(TRUNK, &text);
        let last = responses.last().unwrap_or_else(|| panic!("no answer to {text}"));
        assert_eq!(status(last), expected, "{text}");
        assert!(bench.signals.is_empty() && bench.facts.is_empty(), "{text}");
        if expected == "420" {
            assert_eq!(header(last, "Unsupported"), "x-unknown");
        }
        if expected == "488" {
            assert!(!header(last, "Warning").is_empty());
        }
    }
}

#[test]
fn a_trunk_over_its_limit_is_told_when_to_try_again() {
    let mut bench = Bench::with(Rules::default(), 1);
    bench.receive(TRUNK, &invite());
    let second =
        Request { call: "call-2", branch: "z9hG4bK9", body: &offer("8", "sendrecv"), ..Request::default() }.text();
    let refused = bench.receive(TRUNK, &second).pop().unwrap();
    assert_eq!((status(&refused), header(&refused, "Retry-After")), ("503", "5"));
    let leg = bench.incoming_leg();
    bench.order(LegOrder::Refuse { leg, why: Unserved::Overloaded });
    let third = second.replace("call-2", "call-3").replace("z9hG4bK9", "z9hG4bK10");
    assert_eq!(statuses(&bench.receive(TRUNK, &third)), ["100"]);
}

#[test]
fn a_cancel_before_acceptance_ends_the_call() {
    let mut bench = Bench::new();
    bench.receive(TRUNK, &invite());
    let leg = bench.incoming_leg();
    let cancel = Request { method: "CANCEL", ..Request::default() }.text();
    let mut answers = bench.receive(TRUNK, &cancel);
    answers.sort();
    assert_eq!(statuses(&answers), ["200", "487"]);
    assert!(matches!(bench.signals.last(), Some(Signal::Ended { by: Gone::Cancelled, .. })));
    assert!(bench.order(accept(leg)).is_empty(), "an order for a leg that is gone is left");
}

#[test]
fn a_cancel_that_crosses_our_200_changes_nothing() {
    let (mut bench, leg, to_tag) = accepted();
    let cancel = Request { method: "CANCEL", ..Request::default() }.text();
    assert_eq!(statuses(&bench.receive(TRUNK, &cancel)), ["200"]);
    bench.receive(TRUNK, &later("ACK", 1, &to_tag, ""));
    assert_eq!(bench.signals(), [Signal::Confirmed { leg }]);
}

#[test]
fn a_200_is_repeated_until_its_ack_and_a_lost_ack_ends_the_call_with_a_bye() {
    let (mut bench, leg, _) = accepted();
    assert_eq!(statuses(&bench.pass(Duration::from_millis(499))), [""; 0]);
    assert_eq!(statuses(&bench.pass(Duration::from_millis(1))), ["200"]);
    assert_eq!(statuses(&bench.pass(Duration::from_millis(1000))), ["200"]);
    assert_eq!(statuses(&bench.pass(Duration::from_millis(2000))), ["200"]);
    let rest = bench.pass(Duration::from_secs(29));
    assert!(statuses(&rest).contains(&"BYE"), "{:?}", statuses(&rest));
    let signals = bench.signals();
    assert!(matches!(&signals[..], [Signal::Ended { leg: l, by: Gone::NoAck, .. }] if *l == leg), "{signals:?}");
    bench.pass(Duration::from_secs(100));
    assert_eq!((bench.signals(), bench.ua.deadline()), (vec![], None));
}

#[test]
fn hold_and_resume_are_answered_in_the_mirror() {
    let (mut bench, leg, to_tag) = confirmed();
    let cases = [
        ("sendonly", "recvonly", Direction::ReceiveOnly),
        ("sendrecv", "sendrecv", Direction::Both),
        ("inactive", "inactive", Direction::Inactive),
        ("recvonly", "sendonly", Direction::SendOnly),
    ];
    for (n, (theirs, ours, direction)) in cases.into_iter().enumerate() {
        let cseq = 2 + n as u32;
        let ok = bench.receive(TRUNK, &later("INVITE", cseq, &to_tag, &offer("8 101", theirs))).pop().unwrap();
        assert_eq!(status(&ok), "200", "{ok}");
        assert!(body(&ok).contains(&format!("a={ours}\r\n")), "{ok}");
        bench.receive(TRUNK, &later("ACK", cseq, &to_tag, ""));
        let signals = bench.signals();
        assert!(
            matches!(&signals[..], [Signal::Reoffered { leg: l, remote }] if *l == leg && remote.direction == direction),
            "{signals:?}"
        );
    }
    let old =
        later("INVITE", 6, &to_tag, &offer("8 101", "sendrecv").replace("c=IN IP4 127.0.0.2", "c=IN IP4 0.0.0.0"));
    bench.receive(TRUNK, &old);
    bench.receive(TRUNK, &later("ACK", 6, &to_tag, ""));
    assert!(matches!(&bench.signals()[..], [Signal::Reoffered { remote, .. }] if !remote.direction.sends()));
    assert!(bench.pass(Duration::from_secs(40)).is_empty());
}

/// The caller has put us on hold.
fn held() -> (Bench, LegId, String) {
    let (mut bench, leg, to_tag) = confirmed();
    bench.receive(TRUNK, &later("INVITE", 2, &to_tag, &offer("8 101", "sendonly")));
    bench.receive(TRUNK, &later("ACK", 2, &to_tag, ""));
    bench.signals();
    (bench, leg, to_tag)
}

/// What the far end answers to a request of ours.
fn reply(request: &str, status: &str) -> String {
    let of = |name: &str| format!("{name}: {}\r\n", header(request, name));
    let headers = ["Via", "From", "To", "Call-ID", "CSeq"].map(of).concat();
    format!("SIP/2.0 {status}\r\n{headers}Content-Length: 0\r\n\r\n")
}

#[test]
fn a_far_end_on_hold_is_asked_after_and_goes_on_when_it_answers() {
    let (mut bench, _, _) = held();
    for _ in 0..3 {
        let asked = bench.pass(Duration::from_secs(45)).pop().expect("an OPTIONS");
        assert!(asked.starts_with("OPTIONS "), "{asked}");
        bench.receive(TRUNK, &reply(&asked, "405 Method Not Allowed"));
    }
    assert!(bench.signals().is_empty());
}

#[test]
fn a_far_end_on_hold_that_is_gone_is_lost() {
    let (mut bench, leg, _) = held();
    let sent = bench.pass(Duration::from_secs(80));
    assert!(sent.iter().any(|text| text.starts_with("BYE ")), "{sent:?}");
    assert!(matches!(&bench.signals()[..], [Signal::Ended { leg: l, by: Gone::Lost, .. }] if *l == leg));

    let (mut bench, leg, _) = held();
    let asked = bench.pass(Duration::from_secs(45)).pop().expect("an OPTIONS");
    bench.receive(TRUNK, &reply(&asked, "481 Call Does Not Exist"));
    assert!(matches!(&bench.signals()[..], [Signal::Ended { leg: l, by: Gone::Lost, .. }] if *l == leg));
}

#[test]
fn a_far_end_that_took_us_back_is_asked_no_more() {
    let (mut bench, _, to_tag) = held();
    bench.receive(TRUNK, &later("INVITE", 3, &to_tag, &offer("8 101", "sendrecv")));
    bench.receive(TRUNK, &later("ACK", 3, &to_tag, ""));
    assert!(bench.pass(Duration::from_secs(120)).is_empty());
}

#[test]
fn a_reinvite_without_sdp_gets_our_offer_and_its_answer_comes_in_the_ack() {
    let (mut bench, _, to_tag) = confirmed();
    let ok = bench.receive(TRUNK, &later("INVITE", 2, &to_tag, "")).pop().unwrap();
    assert_eq!(status(&ok), "200");
    assert!(body(&ok).contains("m=audio 30000"), "{ok}");
    let moved = sdp("127.0.0.2", 7100, "8 101", "sendrecv");
    bench.receive(TRUNK, &later("ACK", 2, &to_tag, &moved));
    assert!(
        matches!(&bench.signals()[..], [Signal::Reoffered { remote, .. }] if remote.rtp == address("127.0.0.2:7100"))
    );
}

#[test]
fn a_reinvite_that_cannot_be_met_leaves_the_call_as_it_was() {
    let (mut bench, _, to_tag) = confirmed();
    let refused = bench.receive(TRUNK, &later("INVITE", 2, &to_tag, &offer("18", "sendrecv"))).pop().unwrap();
    assert_eq!(status(&refused), "488");
    bench.receive(TRUNK, &later("ACK", 2, &to_tag, ""));
    assert!(bench.signals().is_empty());
    assert_eq!(statuses(&bench.receive(TRUNK, &later("BYE", 3, &to_tag, ""))), ["200"]);
}

#[test]
fn requests_for_unknown_dialogs_and_out_of_order_are_refused() {
    let (mut bench, _, to_tag) = confirmed();
    assert_eq!(statuses(&bench.receive(TRUNK, &later("BYE", 2, "stranger", ""))), ["481"]);
    assert_eq!(status(bench.receive(TRUNK, &later("INVITE", 3, "stranger", "")).last().unwrap()), "481");
    bench.receive(TRUNK, &later("INFO", 5, &to_tag, ""));
    assert_eq!(statuses(&bench.receive(TRUNK, &later("BYE", 4, &to_tag, ""))), ["500"]);
    assert!(bench.signals().is_empty());
}

#[test]
fn we_hang_up_with_a_bye_along_the_recorded_route() {
    let mut bench = Bench::new();
    let routed = invite().replace("Max-Forwards", "Record-Route: <sip:127.0.0.9:5090;lr>\nMax-Forwards");
    bench.receive(TRUNK, &routed);
    let leg = bench.incoming_leg();
    let ok = bench.order(accept(leg)).pop().unwrap();
    assert_eq!(header(&ok, "Record-Route"), "<sip:127.0.0.9:5090;lr>");
    let to_tag = tag(header(&ok, "To")).to_owned();
    bench.receive(TRUNK, &later("ACK", 1, &to_tag, ""));
    let bye = bench.order(LegOrder::Hangup { leg, why: EndedBy::Message }).pop().unwrap();
    assert!(bye.starts_with("BYE sip:gw@127.0.0.2:5080 SIP/2.0\r\n"), "{bye}");
    assert_eq!(header(&bye, "Route"), "<sip:127.0.0.9:5090;lr>");
    assert_eq!(bench.sent.last().unwrap().0, address("127.0.0.9:5090"));
    assert_eq!((tag(header(&bye, "From")), tag(header(&bye, "To"))), (to_tag.as_str(), "far"));
    bench.signals();
    bench.pass(Duration::from_secs(100));
    assert_eq!((bench.signals(), bench.ua.deadline()), (vec![], None), "a BYE without an answer holds nothing");
}

#[test]
fn a_hangup_before_the_ack_waits_for_it() {
    let (mut bench, leg, to_tag) = accepted();
    assert!(bench.order(LegOrder::Hangup { leg, why: EndedBy::Message }).is_empty());
    let bye = bench.receive(TRUNK, &later("ACK", 1, &to_tag, ""));
    assert_eq!(statuses(&bye), ["BYE"]);
    assert!(bench.signals().is_empty());
}

#[test]
fn a_name_in_latin_1_and_a_missing_content_length_lose_no_call() {
    let mut bench = Bench::new();
    let text = invite().replace("\"Jean\"", "\"Ren@e\"").replace("\r\n", "\n").replace('\n', "\r\n");
    let lines: Vec<&str> = text.split("\r\n").filter(|line| !line.starts_with("Content-Length")).collect();
    let mut bytes = lines.join("\r\n").into_bytes();
    let at = bytes.windows(5).position(|w| w == b"Ren@e").unwrap() + 3;
    bytes[at] = 0xe9;
    assert_eq!(statuses(&bench.receive_bytes(TRUNK, bytes)), ["100"]);
    assert!(
        matches!(&bench.signals[..], [Signal::Incoming(call)] if call.caller.display_name.as_deref() == Some("Renée"))
    );
    let leg = bench.incoming_leg();
    assert_eq!(statuses(&bench.order(accept(leg))), ["200"]);
}

#[test]
fn who_calls_is_taken_from_the_asserted_identity_and_privacy_is_kept() {
    let mut bench = Bench::new();
    let more = "P-Asserted-Identity: <sip:+33499887766@carrier.example>\nPrivacy: id\nMax-Forwards: 70\n";
    bench.receive(TRUNK, &Request { more, body: &offer("8", "sendrecv"), ..Request::default() }.text());
    let Some(Signal::Incoming(call)) = bench.signals.first() else { panic!("no call") };
    assert_eq!(call.caller.e164.as_ref().map(|n| n.as_str()), Some("+33499887766"));
    assert_eq!(call.caller.asserted_identity.as_deref(), Some("<sip:+33499887766@carrier.example>"));
    assert!(call.caller.anonymous);
}

#[test]
fn a_tel_request_uri_is_a_ddi() {
    let mut bench = Bench::new();
    bench.receive(TRUNK, &invite().replacen("sip:+33233010101@127.0.0.1", "tel:+33-233-010101", 1));
    assert!(matches!(&bench.signals[..], [Signal::Incoming(call)] if call.ddi == "+33-233-010101"));
    let mut bench = Bench::new();
    bench.receive(TRUNK, &invite().replacen("sip:+33", "sip:%2B33", 1));
    assert!(matches!(&bench.signals[..], [Signal::Incoming(call)] if call.ddi == "+33233010101"));
}

#[test]
fn an_invite_without_sdp_gets_our_offer_and_is_confirmed_by_its_answer() {
    let mut bench = Bench::new();
    assert_eq!(statuses(&bench.receive(TRUNK, &Request::default().text())), ["100"]);
    let leg = bench.incoming_leg();
    let ok = bench.order(accept(leg)).pop().unwrap();
    assert!(body(&ok).contains("m=audio 30000 RTP/AVP 9 111 8 0 101 110\r\n"), "{ok}");
    bench.signals();
    bench.receive(TRUNK, &later("ACK", 1, tag(header(&ok, "To")), &offer("0 101", "sendrecv")));
    let signals = bench.signals();
    assert!(
        matches!(&signals[..], [Signal::Reoffered { remote, .. }, Signal::Confirmed { .. }] if remote.codec == Codec::Pcmu),
        "{signals:?}"
    );
}

#[test]
fn rubbish_harms_nothing() {
    let (mut bench, leg, to_tag) = confirmed();
    let whole = later("BYE", 2, &to_tag, "").replace('\n', "\r\n").into_bytes();
    for length in 0..whole.len().min(200) {
        bench.receive_bytes(TRUNK, whole[..length].to_vec());
        bench.receive_bytes(PHONE, vec![0xff; length]);
    }
    assert!(bench.signals().is_empty());
    assert_eq!(statuses(&bench.order(LegOrder::Hangup { leg, why: EndedBy::Message })), ["BYE"]);
}
