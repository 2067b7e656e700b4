//! What strangers and broken phones send harms no call, and leaves nothing behind.

use std::time::Duration;

use super::bench::*;
use crate::call::signal::{LegOrder, Signal};
use crate::model::centre::{AddressBlock, BanRules};
use crate::model::{Chance, EndedBy, LegId};
use crate::useragent::Rules;

/// Bans nobody: a stranger who is banned after a few would hear nothing of the rest.
fn patient() -> Bench {
    let never = vec![AddressBlock::parse("0.0.0.0/0").unwrap()];
    let bans = BanRules { account_failures_max: u32::MAX, never, ..BanRules::default() };
    Bench::with(Rules { bans, ..Rules::default() }, 100)
}

/// One of each message, as a trunk, a phone or a stranger sends it.
fn samples(bench: &mut Bench) -> Vec<Vec<u8>> {
    let challenge = bench.receive(PHONE, &register("ana", PHONE, 1, "")).pop().unwrap();
    let line = answer(&challenge, "ana", "REGISTER", "sip:127.0.0.1", ("MD5", 1));
    let offer = sdp("127.0.0.2", 7000, "8 0 101", "sendrecv");
    let request = |method, to_tag, body| Request { method, to_tag, body, ..Request::default() }.text();
    let more = "Record-Route: <sip:127.0.0.9;lr>, <sip:127.0.0.8;lr>\nP-Asserted-Identity: \"A, B\" <sip:+33611111111@c>\nPrivacy: id\n";
    let texts = [
        register("ana", PHONE, 2, &line),
        register("ana", PHONE, 3, "").replace("REGISTER", "OPTIONS"),
        Request { more, body: &offer, ..Request::default() }.text(),
        request("INVITE", "abc", &offer),
        request("ACK", "abc", ""),
        request("BYE", "abc", ""),
        request("CANCEL", "", ""),
        request("MESSAGE", "", "hello"),
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKx\nFrom: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag=2\nCall-ID: x\nCSeq: 1 INVITE\n\n".to_owned(),
    ];
    texts.map(|text| text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()).into()
}

#[test]
fn messages_with_broken_bytes_never_panic_and_leave_nothing_behind() {
    let mut bench = patient();
    let samples = samples(&mut bench);
    let mut chance = Chance::from_number(42);
    for round in 0..6000u64 {
        let mut bytes = samples[chance.below(samples.len() as u64) as usize].clone();
        for _ in 0..1 + chance.below(4) {
            let at = chance.below(bytes.len() as u64) as usize;
            match chance.below(4) {
                0 => bytes[at] = chance.next_u32() as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"\r\n;,\"<>:=@ 9"[chance.below(12) as usize]),
                _ => bytes.truncate(at.max(20)),
            }
        }
        let from = [TRUNK, PHONE, "198.51.100.7:5060"][(round % 3) as usize];
        bench.receive_bytes(from, bytes);
        let last = bench.signals().into_iter().rev().find_map(|signal| match signal {
            Signal::Incoming(call) => Some(call.leg),
            _ => None,
        });
        if let Some(leg) = last {
            bench.order(LegOrder::Accept { leg, local: address("127.0.0.1:30000") });
            bench.order(LegOrder::Hangup { leg, why: EndedBy::Message });
        }
    }
    bench.pass(Duration::from_secs(700));
    assert_eq!((bench.ua.legs_live(), bench.ua.wire.transactions.count()), (0, (0, 0)));
    assert_eq!(bench.ua.deadline(), None);
}

#[test]
fn a_stranger_costs_no_memory() {
    let mut bench = patient();
    let challenge = bench.receive(PHONE, &register("ana", PHONE, 1, "")).pop().unwrap();
    let line = answer(&challenge, "ana", "REGISTER", "sip:127.0.0.1", ("MD5", 1)).replace("nc=00000001", "nc=00000002");
    for n in 0..200 {
        for text in [
            register("ana", PHONE, n, ""),
            register("ana", PHONE, n, &line),
            register("ana", PHONE, n, "").replace("REGISTER", "INVITE"),
            register("ana", PHONE, n, "").replace("REGISTER", "CANCEL"),
            register("ana", PHONE, n, "").replace("REGISTER", "OPTIONS"),
            Request { method: "BYE", to_tag: "x", ..Request::default() }.text(),
        ] {
            assert_eq!(bench.receive(PHONE, &text).len(), 1, "{text}");
        }
    }
    assert_eq!((bench.ua.legs_live(), bench.ua.wire.transactions.count()), (0, (0, 0)));
    assert_eq!(bench.ua.deadline(), None);
}

#[test]
fn a_refused_trunk_call_is_told_once_a_minute() {
    let mut bench = Bench::new();
    let invite = |n: u32| {
        let (branch, call) = (format!("z9hG4bK{n}"), format!("call-{n}"));
        Request { branch: &branch, call: &call, body: "nonsense", ..Request::default() }.text()
    };
    for n in 0..10 {
        bench.receive(TRUNK, &invite(n));
    }
    assert_eq!(bench.alarms.len(), 1, "{:?}", bench.alarms);
    bench.pass(Duration::from_secs(61));
    bench.receive(TRUNK, &invite(11));
    assert_eq!(bench.alarms.len(), 2);
}

#[test]
fn an_order_for_a_leg_that_never_was_is_left() {
    let mut bench = Bench::new();
    let call = crate::model::CallId::new(bench.now.utc, &mut Chance::from_number(3));
    let leg = LegId { call, number: 0 };
    for order in
        [LegOrder::Accept { leg, local: address("127.0.0.1:30000") }, LegOrder::Hangup { leg, why: EndedBy::Caller }]
    {
        assert!(bench.order(order).is_empty());
    }
    assert!(bench.signals().is_empty() && bench.facts.is_empty());
}
