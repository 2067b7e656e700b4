//! A snapshot in mid-call goes on in a fresh user agent, byte for byte as the first one would have.

use std::sync::Arc;
use std::time::Duration;

use super::bench::*;
use super::{carriers, far, lamps, talking};
use crate::call::signal::{LegOrder, Signal, TransferStep};
use crate::model::{Centre, Codec, Direction, EndedBy, LegId};
use crate::useragent::{Restored, Rules, UserAgent};

/// What a snapshot of a user agent says, in a fresh one.
fn restored(ua: &UserAgent, centre: Centre) -> UserAgent {
    let mut bytes = Vec::new();
    ciborium::into_writer(&ua.snapshot(), &mut bytes).expect("written");
    let kept: Restored = ciborium::from_reader(bytes.as_slice()).expect("read");
    UserAgent::restored(kept, Rules::default(), Arc::new(centre), credentials(&Rules::default()))
}

/// The same bench twice: one with the user agent that was there, one with what a snapshot of it says.
fn twins(make: impl Fn() -> Bench) -> [Bench; 2] {
    let (first, mut second) = (make(), make());
    second.ua = restored(&first.ua, centre(100));
    [first, second]
}

/// A call from the trunk in one stage; its leg, and the tag that we gave.
fn call(stage: u32) -> (Bench, LegId, String) {
    let mut bench = Bench::new();
    assert_eq!(status(&bench.register("ana", PHONE, "MD5")), "200");
    let offer = sdp("127.0.0.2", 7000, "8 0 101", "sendrecv");
    let more = "Record-Route: <sip:127.0.0.9;lr>\n";
    bench.receive(TRUNK, &Request { more, body: &offer, ..Request::default() }.text());
    let leg = bench.incoming_leg();
    let mut to = String::new();
    if stage > 0 {
        let texts = bench.order(LegOrder::Accept { leg, local: address("127.0.0.1:30000") });
        to = tag(header(texts.last().expect("a 200"), "To")).to_owned();
    }
    if stage > 1 {
        bench
            .receive(TRUNK, &Request { method: "ACK", branch: "z9hG4bKack", to_tag: &to, ..Request::default() }.text());
    }
    (bench, leg, to)
}

/// Does the same to both; both must send the same bytes and say the same.
fn agree<T: PartialEq + std::fmt::Debug>(twins: &mut [Bench; 2], mut act: impl FnMut(&mut Bench) -> T) -> T {
    let [first, second] = twins;
    let (one, other) = (act(first), act(second));
    assert_eq!(one, other);
    let (said, also): (Vec<Signal>, Vec<Signal>) = (first.signals(), second.signals());
    assert_eq!(said, also);
    assert_eq!(first.ua.deadline(), second.ua.deadline());
    one
}

#[test]
fn a_call_goes_on_from_each_stage_to_its_end_as_if_nothing_had_been() {
    for stage in 0..3 {
        for by_us in [false, true] {
            let (_, leg, to) = call(stage);
            let mut twins = twins(|| call(stage).0);
            agree(&mut twins, |bench| bench.pass(Duration::from_millis(700)));
            if stage == 0 {
                agree(&mut twins, |bench| bench.order(LegOrder::Accept { leg, local: address("127.0.0.1:30000") }));
            }
            let to = if to.is_empty() { tag_of(&twins[0]) } else { to };
            let ack = Request { method: "ACK", branch: "z9hG4bKack2", to_tag: &to, ..Request::default() }.text();
            agree(&mut twins, |bench| bench.receive(TRUNK, &ack));
            let hold = sdp("127.0.0.2", 7000, "8 0 101", "sendonly");
            let again = Request { branch: "z9hG4bKre", cseq: 2, to_tag: &to, body: &hold, ..Request::default() }.text();
            let answered = agree(&mut twins, |bench| bench.receive(TRUNK, &again));
            assert_eq!(statuses(&answered).last(), Some(&"200"), "{answered:?}");
            let ack =
                Request { method: "ACK", branch: "z9hG4bKre2", cseq: 2, to_tag: &to, ..Request::default() }.text();
            agree(&mut twins, |bench| bench.receive(TRUNK, &ack));
            let ended = if by_us {
                agree(&mut twins, |bench| bench.order(LegOrder::Hangup { leg, why: EndedBy::Regulator }))
            } else {
                let bye = Request { method: "BYE", branch: "z9hG4bKbye", cseq: 3, to_tag: &to, ..Request::default() };
                agree(&mut twins, |bench| bench.receive(TRUNK, &bye.text()))
            };
            assert_eq!(statuses(&ended), [if by_us { "BYE" } else { "200" }], "stage {stage}");
            if by_us {
                assert_eq!(headers(&ended[0], "Route"), ["<sip:127.0.0.9;lr>"]);
            }
            agree(&mut twins, |bench| bench.pass(Duration::from_secs(100)));
        }
    }
}

fn tag_of(bench: &Bench) -> String {
    let ok =
        bench.sent.iter().rev().find(|(_, text)| text.starts_with("SIP/2.0 200") && text.contains("CSeq: 1 INVITE"));
    tag(header(&ok.expect("a 200").1, "To")).to_owned()
}

#[test]
fn a_phone_registers_again_with_the_nonce_that_it_had() {
    let mut twins = twins(|| call(2).0);
    let next = register("ana", PHONE, 9, "");
    let challenge = agree(&mut twins, |bench| bench.receive(PHONE, &next)).pop().expect("a challenge");
    let line = answer(&challenge, "ana", "REGISTER", "sip:127.0.0.1", ("MD5", 1));
    let granted = agree(&mut twins, |bench| bench.receive(PHONE, &register("ana", PHONE, 10, &line)));
    assert_eq!(statuses(&granted), ["200"]);
}

fn reoffer(leg: LegId) -> LegOrder {
    LegOrder::Reoffer { leg, codec: Codec::Pcmu, direction: Direction::Both }
}

/// Lives on for a while, with nobody saying anything: repetitions, cancellations, refreshes, expiries.
fn outlive(twins: &mut [Bench; 2], state: &str) {
    for span_ms in [700, 5_000, 40_000, 1_000_000] {
        let sent = agree(twins, |bench| bench.pass(Duration::from_millis(span_ms)));
        assert!(sent.len() < 200, "{state}: {} messages", sent.len());
    }
}

#[test]
fn every_state_of_a_dialled_leg_is_outlived_alike() {
    let dialled = || far::dialled(Bench::new());
    let rings = |(mut bench, leg, invite): (Bench, LegId, String)| {
        bench.receive(PHONE, &far::answer_to(&invite, "180", "phone", "", ""));
        (bench, leg)
    };
    outlive(&mut twins(|| dialled().0), "dialled");
    outlive(&mut twins(|| rings(dialled()).0), "ringing");
    let cancelled = |(mut bench, leg): (Bench, LegId)| {
        bench.order(LegOrder::Hangup { leg, why: EndedBy::NoAnswer });
        bench
    };
    outlive(&mut twins(|| cancelled(rings(dialled()))), "cancelled");
    let timed = || far::picked_up("Supported: timer\nSession-Expires: 100;refresher=uac\n").0;
    outlive(&mut twins(timed), "with a session timer");
    let refreshing = || {
        let mut bench = timed();
        assert_eq!(statuses(&bench.pass(Duration::from_secs(50))), ["INVITE"]);
        bench
    };
    outlive(&mut twins(refreshing), "with a refresh that is not answered yet");
}

#[test]
fn every_change_within_a_dialog_is_outlived_alike() {
    let held = || {
        let (mut bench, _, ok) = far::talking("");
        let hold = sdp("127.0.0.2", 7000, "8 0 101", "sendonly");
        bench.receive(TRUNK, &far::asked("INVITE", 2, tag(header(&ok, "To")), "", &hold));
        bench
    };
    outlive(&mut twins(held), "held, without the ACK");
    let leaving = || {
        let (mut bench, leg) = far::called("", &far::offer("8 0 101"));
        bench.order(far::accept(leg));
        assert!(bench.order(LegOrder::Hangup { leg, why: EndedBy::Message }).is_empty(), "the BYE waits for the ACK");
        bench
    };
    outlive(&mut twins(leaving), "hung up before its ACK");
    for status in ["", "180", "491", "500"] {
        let offering = || {
            let (mut bench, leg, _) = far::talking("");
            let ours = bench.order(reoffer(leg)).pop().expect("an INVITE");
            if !status.is_empty() {
                bench.receive(TRUNK, &far::answer_to(&ours, status, "", "", ""));
            }
            bench
        };
        outlive(&mut twins(offering), &format!("with an offer of ours: {status}"));
    }
    for is_tried in [false, true] {
        let referring = || {
            let mut bench = Bench::new();
            let mut phone = talking::picked_up(&mut bench, "ana", PHONE, talking::name(5, 1));
            bench.receive(PHONE, &phone.request("REFER", "Refer-To: <sip:bob@vigie>\nReferred-By: <sip:ana@vigie>\n"));
            if is_tried {
                bench.order(LegOrder::Transfer { leg: phone.leg, step: TransferStep::Trying });
            }
            bench
        };
        outlive(&mut twins(referring), "with a transfer asked for");
    }
}

#[test]
fn lamps_and_registrations_with_carriers_go_on() {
    let mut twins_of_lamps = twins(|| lamps::watching().0);
    let lit =
        agree(&mut twins_of_lamps, |bench| vec![talking::ring(bench, "bob", "127.0.0.1:5072", talking::name(6, 1))]);
    assert_eq!(statuses(&lit).len(), 1);
    outlive(&mut twins_of_lamps, "with a lamp");
    for answered in [false, true] {
        let make = || {
            let mut bench = carriers::bench_of(carriers::centre_with_carrier(true, Some(Duration::from_secs(30))));
            let mut sent = bench.pass(Duration::from_secs(60));
            sent.extend(bench.resolved(&[carriers::FIRST, carriers::SECOND]));
            sent.extend(bench.pass(Duration::from_millis(100)));
            let register = sent.into_iter().find(|text| status(text) == "REGISTER").expect("a REGISTER");
            if answered {
                let contact = format!("Contact: {};expires=600\n", header(&register, "Contact"));
                bench.receive(carriers::FIRST, &carriers::respond(&register, "200 OK", &contact));
            }
            bench
        };
        let (first, mut second) = (make(), make());
        let centre = carriers::centre_with_carrier(true, Some(Duration::from_secs(30)));
        let passwords = [("carrier".into(), carriers::PASSWORD.to_owned())].into();
        second.ua = restored(&first.ua, centre).with_trunk_passwords(passwords);
        let mut twins = [first, second];
        for span_ms in [700, 20_000, 60_000] {
            agree(&mut twins, |bench| bench.pass(Duration::from_millis(span_ms)));
        }
    }
}

/// A fresh user agent in the place of the one that was there.
fn restart(bench: &mut Bench) {
    bench.ua = restored(&bench.ua, centre(100));
}

/// First line, CSeq and Routes of a request, and where it went.
fn way(bench: &Bench, text: &str) -> (String, String, Vec<String>, String) {
    let to = bench.sent.iter().rev().find(|(_, sent)| sent == text).expect("it was sent").0;
    let routes = headers(text, "Route").into_iter().map(str::to_owned).collect();
    (text.lines().next().unwrap_or_default().to_owned(), header(text, "CSeq").to_owned(), routes, to.to_string())
}

fn is_way(bench: &Bench, text: &str, (line, cseq): (&str, &str), routes: &[&str]) {
    let first = routes[0].trim_start_matches("<sip:").trim_end_matches(";lr>");
    let routes = routes.iter().map(|route| (*route).to_owned()).collect();
    let expected = (format!("{line} SIP/2.0"), cseq.to_owned(), routes, first.to_owned());
    assert_eq!(way(bench, text), expected);
}

#[test]
fn a_caller_behind_a_proxy_is_asked_and_asks_after_a_restart_with_the_right_numbers_and_routes() {
    const ROUTE: [&str; 2] = ["<sip:127.0.0.9:5062;lr>", "<sip:127.0.0.8:5062;lr>"];
    for by_us in [false, true] {
        let (mut bench, leg, ok) = far::talking(&format!("Record-Route: {}, {}\n", ROUTE[0], ROUTE[1]));
        let to = tag(header(&ok, "To")).to_owned();
        let callid = header(&ok, "Call-ID").to_owned();
        restart(&mut bench);
        let ours = bench.order(reoffer(leg)).pop().expect("our re-INVITE");
        is_way(&bench, &ours, ("INVITE sip:gw@127.0.0.2:5080", "1 INVITE"), &ROUTE);
        assert_eq!((tag(header(&ours, "From")), tag(header(&ours, "To"))), (to.as_str(), "far"));
        restart(&mut bench);
        let ack =
            bench.receive(TRUNK, &far::answer_to(&ours, "200", "", "", &far::offer("0 101"))).pop().expect("an ACK");
        is_way(&bench, &ack, ("ACK sip:ana@127.0.0.1:5070", "1 ACK"), &ROUTE);
        restart(&mut bench);
        let answered =
            bench.receive(TRUNK, &far::asked("INVITE", 2, &to, "", &far::offer("0 101"))).pop().expect("a 200");
        assert_eq!((status(&answered), header(&answered, "CSeq")), ("200", "2 INVITE"));
        restart(&mut bench);
        assert!(bench.receive(TRUNK, &far::asked("ACK", 2, &to, "", "")).is_empty());
        restart(&mut bench);
        assert!(bench.pass(Duration::from_secs(40)).is_empty(), "the ACK was heard");
        restart(&mut bench);
        if by_us {
            let bye = bench.order(LegOrder::Hangup { leg, why: EndedBy::Regulator }).pop().expect("a BYE");
            is_way(&bench, &bye, ("BYE sip:gw@127.0.0.2:5080", "2 BYE"), &ROUTE);
            assert_eq!(header(&bye, "Call-ID"), callid);
        } else {
            let late = bench.receive(TRUNK, &far::asked("BYE", 1, &to, "", "")).pop().expect("an answer");
            assert_eq!(status(&late), "500", "the numbers that were used up are known");
            restart(&mut bench);
            let bye = bench.receive(TRUNK, &far::asked("BYE", 3, &to, "", "")).pop().expect("an answer");
            assert_eq!((status(&bye), header(&bye, "CSeq")), ("200", "3 BYE"));
        }
    }
}

#[test]
fn a_phone_behind_a_proxy_is_asked_and_asks_after_a_restart_with_the_right_numbers_and_routes() {
    const ROUTE: [&str; 2] = ["<sip:127.0.0.7:5062;lr>", "<sip:127.0.0.8:5062;lr>"];
    for by_us in [false, true] {
        // As the proxies have written it: the nearer one to the phone above.
        let (mut bench, leg, invite) = far::picked_up(&format!("Record-Route: {}, {}\n", ROUTE[1], ROUTE[0]));
        restart(&mut bench);
        let hold = sdp("127.0.0.1", 6000, "8 0 101", "sendonly");
        let held = bench.receive(PHONE, &far::asks(&invite, ("INVITE", 1), "phone", "", &hold)).pop().expect("a 200");
        assert_eq!((status(&held), header(&held, "CSeq")), ("200", "1 INVITE"));
        restart(&mut bench);
        bench.receive(PHONE, &far::asks(&invite, ("ACK", 1), "phone", "", ""));
        restart(&mut bench);
        let ours = bench.order(reoffer(leg)).pop().expect("our re-INVITE");
        is_way(&bench, &ours, ("INVITE sip:ana@127.0.0.1:5070", "2 INVITE"), &ROUTE);
        restart(&mut bench);
        let answer = sdp("127.0.0.1", 6000, "0 101", "sendrecv");
        let ack = bench.receive(PHONE, &far::answer_to(&ours, "200", "", "", &answer)).pop().expect("an ACK");
        is_way(&bench, &ack, ("ACK sip:ana@127.0.0.1:5070", "2 ACK"), &ROUTE);
        restart(&mut bench);
        if by_us {
            let bye = bench.order(LegOrder::Hangup { leg, why: EndedBy::Regulator }).pop().expect("a BYE");
            is_way(&bench, &bye, ("BYE sip:ana@127.0.0.1:5070", "3 BYE"), &ROUTE);
        } else {
            let bye = bench.receive(PHONE, &far::asks(&invite, ("BYE", 2), "phone", "", "")).pop().expect("an answer");
            assert_eq!((status(&bye), header(&bye, "CSeq")), ("200", "2 BYE"));
        }
    }
}
