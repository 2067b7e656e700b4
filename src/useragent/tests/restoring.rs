//! A snapshot in mid-call goes on in a fresh user agent, byte for byte as the first one would have.

use std::sync::Arc;
use std::time::Duration;

use super::bench::*;
use crate::call::signal::{LegOrder, Signal};
use crate::model::{EndedBy, LegId};
use crate::useragent::{Restored, Rules, UserAgent};

/// The same bench twice: one with the user agent that was there, one with what a snapshot of it says.
fn twins(make: impl Fn() -> Bench) -> [Bench; 2] {
    let (first, mut second) = (make(), make());
    let mut bytes = Vec::new();
    ciborium::into_writer(&first.ua.snapshot(), &mut bytes).expect("written");
    let kept: Restored = ciborium::from_reader(bytes.as_slice()).expect("read");
    second.ua = UserAgent::restored(kept, Rules::default(), Arc::new(centre(100)), credentials(&Rules::default()));
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
