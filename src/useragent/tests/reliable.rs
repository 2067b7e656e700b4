//! Reliable provisional answers, UPDATE and early media, in both directions (RFC 3262, RFC 3311, RFC 3960).

use std::time::Duration;

use super::bench::*;
use super::far::*;
use crate::call::signal::{Gone, LegOrder, Signal};
use crate::model::{Direction, EndedBy};

fn rack(early: &str) -> String {
    format!("RAck: {} {}\n", header(early, "RSeq"), header(early, "CSeq"))
}

#[test]
fn a_caller_without_100rel_hears_us_in_a_183_and_the_200_has_the_same_sdp() {
    let (mut bench, leg) = called("", &offer("8 101"));
    let early = bench.order(progress(leg)).pop().unwrap();
    assert_eq!((status(&early), header(&early, "Require"), header(&early, "RSeq")), ("183", "", ""));
    assert!(body(&early).contains("m=audio 30000 "), "{early}");
    assert!(bench.pass(Duration::from_secs(60)).is_empty(), "not repeated");
    let ok = bench.order(accept(leg)).pop().unwrap();
    assert_eq!((status(&ok), body(&ok)), ("200", body(&early)));
    assert_eq!(tag(header(&ok, "To")), tag(header(&early, "To")));
}

#[test]
fn a_ringing_is_told_and_may_be_followed_by_our_sound() {
    let (mut bench, leg) = called("", &offer("8"));
    assert_eq!(statuses(&bench.order(LegOrder::Ring { leg })), ["180"]);
    assert_eq!(statuses(&bench.order(progress(leg))), ["183"]);
    let refused = bench.order(LegOrder::Refuse { leg, why: crate::call::signal::Unserved::Unavailable });
    assert_eq!(statuses(&refused), ["480"]);
}

#[test]
fn a_reliable_183_is_repeated_with_doubling_waits_until_its_prack() {
    let (mut bench, leg) = called("Supported: 100rel\n", &offer("8"));
    let early = bench.order(progress(leg)).pop().unwrap();
    assert_eq!((status(&early), header(&early, "Require")), ("183", "100rel"));
    for wait_ms in [500, 1000, 2000] {
        assert!(bench.pass(Duration::from_millis(wait_ms - 1)).is_empty());
        assert_eq!(bench.pass(Duration::from_millis(1)), std::slice::from_ref(&early));
    }
    let to_tag = tag(header(&early, "To")).to_owned();
    let stray = asked("PRACK", 2, &to_tag, "RAck: 7 1 INVITE\n", "");
    assert_eq!(statuses(&bench.receive(TRUNK, &stray)), ["481"]);
    assert_eq!(statuses(&bench.receive(TRUNK, &asked("PRACK", 3, &to_tag, "", ""))), ["400"]);
    let prack = asked("PRACK", 4, &to_tag, &rack(&early), "");
    assert_eq!(statuses(&bench.receive(TRUNK, &prack)), ["200"]);
    assert_eq!(statuses(&bench.receive(TRUNK, &prack)), ["200"], "a repetition hears the same again");
    assert!(bench.pass(Duration::from_secs(60)).is_empty());
    assert_eq!(statuses(&bench.receive(TRUNK, &asked("PRACK", 5, &to_tag, &rack(&early), ""))), ["481"]);
}

#[test]
fn a_200_waits_for_the_prack_of_a_183_that_carried_sdp() {
    let (mut bench, leg) = called("Require: 100rel\n", &offer("8"));
    let early = bench.order(progress(leg)).pop().unwrap();
    assert!(bench.order(accept(leg)).is_empty(), "RFC 3262 §3");
    let to_tag = tag(header(&early, "To")).to_owned();
    let sent = bench.receive(TRUNK, &asked("PRACK", 2, &to_tag, &rack(&early), ""));
    assert_eq!(statuses(&sent), ["200", "200"]);
    assert_eq!((header(&sent[0], "CSeq"), header(&sent[1], "CSeq")), ("2 PRACK", "1 INVITE"));
    assert_eq!(body(&sent[1]), body(&early));
    bench.receive(TRUNK, &asked("ACK", 1, &to_tag, "", ""));
    assert_eq!(bench.signals(), [Signal::Confirmed { leg }]);
}

#[test]
fn a_180_without_sdp_does_not_hold_the_200_back_and_its_late_prack_is_answered() {
    let (mut bench, leg) = called("Supported: 100rel\n", &offer("8"));
    let early = bench.order(LegOrder::Ring { leg }).pop().unwrap();
    assert_eq!(statuses(&bench.order(accept(leg))), ["200"]);
    let to_tag = tag(header(&early, "To")).to_owned();
    assert_eq!(statuses(&bench.receive(TRUNK, &asked("PRACK", 2, &to_tag, &rack(&early), ""))), ["200"]);
}

#[test]
fn one_reliable_answer_waits_behind_the_other() {
    let (mut bench, leg) = called("Supported: 100rel\n", &offer("8"));
    let ringing = bench.order(LegOrder::Ring { leg }).pop().unwrap();
    assert!(bench.order(progress(leg)).is_empty());
    let to_tag = tag(header(&ringing, "To")).to_owned();
    let sent = bench.receive(TRUNK, &asked("PRACK", 2, &to_tag, &rack(&ringing), ""));
    assert_eq!(statuses(&sent), ["200", "183"]);
    let number = |text: &str| header(text, "RSeq").parse::<u32>().unwrap();
    assert_eq!(number(&sent[1]), number(&ringing) + 1);
}

#[test]
fn a_call_whose_183_is_never_confirmed_is_refused_with_504() {
    let (mut bench, leg) = called("Supported: 100rel\n", &offer("8"));
    bench.order(progress(leg));
    let sent = bench.pass(Duration::from_secs(33));
    assert!(statuses(&sent).contains(&"504"), "{:?}", statuses(&sent));
    assert!(matches!(&bench.signals()[..], [Signal::Ended { by: Gone::NoAck, .. }]));
}

#[test]
fn an_offer_of_ours_in_a_reliable_183_is_answered_by_the_prack() {
    let (mut bench, leg) = called("Supported: 100rel\n", "");
    let early = bench.order(progress(leg)).pop().unwrap();
    assert!(body(&early).contains("m=audio 30000 "), "{early}");
    let to_tag = tag(header(&early, "To")).to_owned();
    bench.receive(TRUNK, &asked("PRACK", 2, &to_tag, &rack(&early), &offer("8")));
    let told = bench.signals();
    assert!(
        matches!(&told[..], [Signal::Reoffered { remote, .. }] if remote.rtp == address("127.0.0.2:7000")),
        "{told:?}"
    );
    let ok = bench.order(accept(leg)).pop().unwrap();
    assert_eq!(body(&ok), "", "both know both SDPs already");
    bench.receive(TRUNK, &asked("ACK", 1, &to_tag, "", ""));
    assert_eq!(bench.signals(), [Signal::Confirmed { leg }]);
}

#[test]
fn without_100rel_an_invite_without_sdp_only_rings() {
    let (mut bench, leg) = called("", "");
    let early = bench.order(progress(leg)).pop().unwrap();
    assert_eq!((status(&early), body(&early)), ("180", ""));
    assert!(body(&bench.order(accept(leg)).pop().unwrap()).contains("m=audio"));
}

#[test]
fn a_bye_while_early_ends_the_invite_with_487() {
    let (mut bench, leg) = called("", &offer("8"));
    let early = bench.order(progress(leg)).pop().unwrap();
    let mut sent = bench.receive(TRUNK, &asked("BYE", 2, tag(header(&early, "To")), "", ""));
    sent.sort();
    assert_eq!(statuses(&sent), ["200", "487"]);
    assert!(matches!(&bench.signals()[..], [Signal::Ended { by: Gone::Cancelled, .. }]));
}

#[test]
fn a_second_invite_before_the_first_one_s_answer_is_told_to_wait() {
    let (mut bench, leg) = called("", &offer("8"));
    let early = bench.order(progress(leg)).pop().unwrap();
    let body = offer("8");
    let within = asked("INVITE", 2, tag(header(&early, "To")), "", &body);
    let outside = Request { branch: "z9hG4bKx", cseq: 2, body: &body, ..Request::default() }.text();
    for text in [within, outside] {
        let refused = bench.receive(TRUNK, &text).pop().unwrap();
        assert_eq!(status(&refused), "500", "RFC 3261 §14.2");
        assert!(header(&refused, "Retry-After").parse::<u32>().unwrap() <= 10);
    }
    assert!(bench.signals().is_empty());
    assert_eq!(statuses(&bench.order(accept(leg))), ["200"]);
}

#[test]
fn an_update_with_an_offer_is_answered_in_a_call_and_told() {
    let (mut bench, _, ok) = talking("");
    let to_tag = tag(header(&ok, "To")).to_owned();
    let held = sdp("127.0.0.2", 7000, "8 101", "sendonly");
    let answer = bench.receive(TRUNK, &asked("UPDATE", 2, &to_tag, "", &held)).pop().unwrap();
    assert_eq!(status(&answer), "200");
    assert!(body(&answer).contains("a=recvonly\r\n"), "{answer}");
    let told = bench.signals();
    assert!(matches!(&told[..], [Signal::Reoffered { remote, .. }] if remote.direction == Direction::ReceiveOnly));
    let empty = bench.receive(TRUNK, &asked("UPDATE", 3, &to_tag, "", "")).pop().unwrap();
    assert_eq!((status(&empty), body(&empty), bench.signals().len()), ("200", "", 0));
}

#[test]
fn an_early_update_waits_for_the_first_exchange() {
    let (mut bench, leg) = called("Supported: 100rel\n", &offer("8 0"));
    let early = bench.order(progress(leg)).pop().unwrap();
    let to_tag = tag(header(&early, "To")).to_owned();
    let refused = bench.receive(TRUNK, &asked("UPDATE", 2, &to_tag, "", &offer("0"))).pop().unwrap();
    assert_eq!(status(&refused), "500", "RFC 3311 §5.2: their own offer has no answer that counts");
    assert!(!header(&refused, "Retry-After").is_empty());
    bench.receive(TRUNK, &asked("PRACK", 3, &to_tag, &rack(&early), ""));
    let ok = bench.receive(TRUNK, &asked("UPDATE", 4, &to_tag, "", &offer("0"))).pop().unwrap();
    assert!(status(&ok) == "200" && body(&ok).contains("RTP/AVP 0"), "{ok}");
    assert!(matches!(&bench.signals()[..], [Signal::Reoffered { .. }]));
    assert_eq!(body(&bench.order(accept(leg)).pop().unwrap()), "", "the UPDATE's answer stands");
}

#[test]
fn each_reliable_18x_of_a_phone_is_confirmed_once_and_in_order() {
    let (mut bench, leg, invite) = dialled(Bench::new());
    assert!(header(&invite, "Supported").contains("100rel") && header(&invite, "Allow").contains("PRACK"));
    let ring =
        |rseq: u32, body: &str| answer_to(&invite, "180", "phone", &format!("Require: 100rel\nRSeq: {rseq}\n"), body);
    let prack = bench.receive(PHONE, &ring(30, "")).pop().unwrap();
    assert_eq!((status(&prack), header(&prack, "RAck"), header(&prack, "CSeq")), ("PRACK", "30 1 INVITE", "2 PRACK"));
    assert_eq!(tag(header(&prack, "To")), "phone");
    assert!(bench.receive(PHONE, &ring(30, "")).is_empty(), "a repeated one is absorbed");
    assert!(bench.receive(PHONE, &ring(32, "")).is_empty(), "one after a gap is dropped");
    bench.receive(PHONE, &answer_to(&prack, "200", "phone", "", ""));
    let sound = sdp("127.0.0.1", 6010, "8", "sendrecv");
    let prack = bench.receive(PHONE, &ring(31, &sound)).pop().unwrap();
    assert_eq!((header(&prack, "RAck"), header(&prack, "CSeq")), ("31 1 INVITE", "3 PRACK"));
    bench.receive(PHONE, &answer_to(&prack, "200", "phone", "", ""));
    let told = bench.signals();
    assert!(
        matches!(&told[..], [Signal::Ringing { early: None, .. }, Signal::Ringing { early: Some(early), .. }] if early.rtp == address("127.0.0.1:6010")),
        "{told:?}"
    );
    let ack = bench.receive(PHONE, &answer_to(&invite, "200", "phone", "", "")).pop().unwrap();
    assert_eq!((status(&ack), header(&ack, "CSeq")), ("ACK", "1 ACK"));
    assert!(
        matches!(&bench.signals()[..], [Signal::Accepted { remote, .. }] if remote.rtp == address("127.0.0.1:6010"))
    );
    let bye = bench.order(LegOrder::Hangup { leg, why: EndedBy::Caller }).pop().unwrap();
    assert_eq!(header(&bye, "CSeq"), "4 BYE", "the numbers that PRACK used up stay so");
}

#[test]
fn each_fork_has_its_own_dialog_and_only_the_first_to_pick_up_wins() {
    let (mut bench, _, invite) = dialled(Bench::new());
    let ring =
        |tag: &str, rseq: u32| answer_to(&invite, "183", tag, &format!("Require: 100rel\nRSeq: {rseq}\n"), &offer("8"));
    let one = bench.receive(PHONE, &ring("one", 5)).pop().unwrap();
    let two = bench.receive(PHONE, &ring("two", 9)).pop().unwrap();
    assert_eq!((tag(header(&one, "To")), header(&one, "RAck"), header(&one, "CSeq")), ("one", "5 1 INVITE", "2 PRACK"));
    assert_eq!((tag(header(&two, "To")), header(&two, "RAck"), header(&two, "CSeq")), ("two", "9 1 INVITE", "2 PRACK"));
    bench.signals();
    let update = asks(&invite, ("UPDATE", 1), "two", "", &sdp("127.0.0.1", 6022, "8", "sendrecv"));
    assert_eq!(statuses(&bench.receive(PHONE, &update)), ["200"]);
    assert!(
        matches!(&bench.signals()[..], [Signal::Ringing { early: Some(e), .. }] if e.rtp == address("127.0.0.1:6022"))
    );
    assert_eq!(statuses(&bench.receive(PHONE, &asks(&invite, ("UPDATE", 1), "three", "", ""))), ["481"]);
    assert_eq!(statuses(&bench.receive(PHONE, &answer_to(&invite, "200", "two", "", &offer("8")))), ["ACK"]);
    let told = bench.signals();
    assert!(
        matches!(&told[..], [Signal::Accepted { remote, .. }] if remote.rtp == address("127.0.0.1:6022")),
        "{told:?}"
    );
    let lost = bench.receive(PHONE, &answer_to(&invite, "200", "one", "", &offer("8")));
    assert_eq!(statuses(&lost), ["ACK", "BYE"]);
    assert_eq!((tag(header(&lost[1], "To")), header(&lost[1], "CSeq")), ("one", "3 BYE"));
    assert!(bench.signals().is_empty());
}

#[test]
fn an_early_update_before_the_phone_s_reliable_answer_meets_our_offer() {
    let (mut bench, _, invite) = dialled(Bench::new());
    bench.receive(PHONE, &answer_to(&invite, "180", "phone", "", ""));
    assert_eq!(statuses(&bench.receive(PHONE, &asks(&invite, ("UPDATE", 1), "phone", "", &offer("8")))), ["491"]);
    assert_eq!(statuses(&bench.receive(PHONE, &asks(&invite, ("UPDATE", 2), "phone", "", ""))), ["200"]);
}

#[test]
fn an_unknown_extension_or_method_is_refused_and_ours_are_told() {
    let (mut bench, _, ok) = talking("");
    assert!(header(&ok, "Supported").contains("100rel") && header(&ok, "Allow").contains("UPDATE"), "{ok}");
    let to_tag = tag(header(&ok, "To")).to_owned();
    let refused = bench.receive(TRUNK, &asked("UPDATE", 2, &to_tag, "Require: 100rel, path\n", "")).pop().unwrap();
    assert_eq!((status(&refused), header(&refused, "Unsupported")), ("420", "path"));
    for (cseq, (method, expected)) in (3..).zip([("MESSAGE", "405"), ("PUBLISH", "405"), ("GREET", "501")]) {
        let refused = bench.receive(TRUNK, &asked(method, cseq, &to_tag, "", "")).pop().unwrap();
        assert_eq!(status(&refused), expected);
        assert!(header(&refused, "Allow").contains("PRACK"));
    }
}
