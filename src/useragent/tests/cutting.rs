//! Ways that are gone: connections closed or refused under calls and registrations (RFC 3261 §8.1.3.1, RFC 5626).

use std::time::Duration;

use super::bench::*;
use super::far::*;
use crate::call::signal::{LegOrder, RefusalKind, Signal};
use crate::model::{Binding, DeviceId, EndedBy, Fact, Transport};
use crate::useragent::{Listener, Rules};

fn over_tcp() -> Bench {
    let mut bench = Bench::new();
    bench.transport = Transport::Tcp;
    bench
}

#[test]
fn a_dialled_phone_whose_way_is_gone_is_unreachable_at_once() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut bench = Bench::new();
        bench.transport = transport;
        let (mut bench, _, _) = dialled(bench);
        bench.cut("127.0.0.1:1");
        assert!(bench.signals().is_empty(), "another way is no matter");
        bench.cut(PHONE);
        let told = bench.signals();
        let is_refused = |s: &Signal| matches!(s, Signal::Refused { refusal, .. } if refusal.kind == RefusalKind::Unreachable && refusal.detail.contains("refused"));
        assert_eq!(told.iter().filter(|s| is_refused(s)).count(), 1, "{told:?}");
        let is_unregistered = told.iter().any(|s| matches!(s, Signal::Unregistered { .. }));
        assert_eq!(is_unregistered, transport == Transport::Tcp, "{told:?}");
        assert!(bench.pass(Duration::from_secs(60)).is_empty());
    }
}

#[test]
fn a_call_outlives_its_connection_and_follows_its_phone_to_the_next() {
    let (mut bench, leg, invite) = dialled(over_tcp());
    let ok = answer_to(&invite, "200", "phone", "", &sdp("127.0.0.1", 6000, "8 0", "sendrecv"));
    bench.receive(PHONE, &ok);
    bench.signals();
    bench.cut(PHONE);
    assert!(matches!(&bench.signals()[..], [Signal::Unregistered { .. }]), "the call goes on");
    let other = "127.0.0.1:6071";
    bench.register("ana", other, "MD5");
    let bye = bench.order(LegOrder::Hangup { leg, why: EndedBy::Caller }).pop().unwrap();
    assert_eq!((status(&bye), bench.sent.last().unwrap().0), ("BYE", address(other)));
}

#[test]
fn a_request_over_a_cut_stream_tries_the_contact_s_address() {
    let mut bench = over_tcp();
    bench.receive("127.0.0.2:40000", &Request { body: &offer("8"), ..Request::default() }.text());
    let leg = bench.incoming_leg();
    let ok = bench.order(accept(leg)).pop().unwrap();
    bench.receive("127.0.0.2:40000", &asked("ACK", 1, tag(header(&ok, "To")), "", ""));
    bench.cut("127.0.0.2:40000");
    bench.order(LegOrder::Hangup { leg, why: EndedBy::Caller });
    assert_eq!(bench.sent.last().unwrap().0, address(TRUNK), "its Contact");
}

#[test]
fn a_message_of_the_far_end_over_another_connection_moves_the_dialog() {
    let (mut bench, leg, ok) = talking("");
    bench.cut(TRUNK);
    assert!(bench.signals().is_empty(), "a live call is not ended by a port unreachable");
    bench.receive("127.0.0.2:5099", &asked("INFO", 2, tag(header(&ok, "To")), "", ""));
    bench.order(LegOrder::Hangup { leg, why: EndedBy::Caller });
    assert_eq!(bench.sent.last().unwrap().0, address("127.0.0.2:5099"));
}

#[test]
fn a_binding_over_a_stream_does_not_survive_a_restart() {
    let binding = |device: u64, listener: u8| Binding {
        regulator: "ana".into(),
        device: DeviceId(device),
        contact: format!("sip:ana@{PHONE}"),
        source: PHONE.into(),
        listener,
        sip_call_id: "x".into(),
        cseq: 1,
        user_agent: None,
        expires_at: Bench::new().now.after(Duration::from_secs(300)).utc,
    };
    let listener = |transport, port| Listener { transport, address: ([127, 0, 0, 1], port).into() };
    let listeners = vec![listener(Transport::Udp, 5060), listener(Transport::Tcp, 5060)];
    let mut bench = Bench::with(Rules { listeners, ..Rules::default() }, 1);
    bench.restore(vec![binding(1, 0), binding(2, 1)]);
    assert!(matches!(&bench.signals()[..], [Signal::Registered { device: DeviceId(1), .. }]));
    let gone = |fact: &Fact| matches!(fact, Fact::BindingGone { device: DeviceId(2), .. });
    assert!(bench.facts.iter().any(gone));
}

#[test]
fn a_phone_on_hold_that_cannot_be_reached_is_lost_only_after_a_while() {
    let (mut bench, _, ok) = talking("");
    let to_tag = tag(header(&ok, "To")).to_owned();
    let hold = sdp("127.0.0.2", 7000, "8", "sendonly");
    bench.receive(TRUNK, &asked("UPDATE", 2, &to_tag, "", &hold));
    bench.signals();
    for _ in 0..8 {
        if bench.pass(Duration::from_secs(45)).iter().any(|text| text.starts_with("OPTIONS")) {
            bench.cut(TRUNK);
        }
    }
    assert!(bench.signals().iter().any(|signal| matches!(signal, Signal::Ended { .. })));
}
