//! A caller and a phone for the tests of dialogs: requests and answers with whatever headers a test wants.

use super::bench::*;
use crate::call::signal::{Dial, LegOrder, Party, Signal};
use crate::model::{CallId, Caller, Chance, Codec, LegId, Utc};
use crate::useragent::Rules;

/// A caller's offer of these payloads.
pub fn offer(payloads: &str) -> String {
    sdp("127.0.0.2", 7000, payloads, "sendrecv")
}

/// The caller's INVITE came in, with these header lines and this body.
pub fn called(more: &str, body: &str) -> (Bench, LegId) {
    let mut bench = Bench::new();
    bench.receive(TRUNK, &Request { more, body, ..Request::default() }.text());
    let leg = bench.incoming_leg();
    bench.signals();
    (bench, leg)
}

/// The same, accepted and acknowledged; with the 200.
pub fn talking(more: &str) -> (Bench, LegId, String) {
    let (mut bench, leg) = called(more, &offer("8 0 101"));
    let ok = bench.order(accept(leg)).pop().expect("a 200");
    bench.receive(TRUNK, &asked("ACK", 1, tag(header(&ok, "To")), "", ""));
    bench.signals();
    (bench, leg, ok)
}

pub fn accept(leg: LegId) -> LegOrder {
    LegOrder::Accept { leg, local: address("127.0.0.1:30000") }
}

pub fn progress(leg: LegId) -> LegOrder {
    LegOrder::Progress { leg, local: address("127.0.0.1:30000") }
}

/// A request of the caller within its dialog.
pub fn asked(method: &str, cseq: u32, to_tag: &str, more: &str, body: &str) -> String {
    let branch = format!("z9hG4bK{method}{cseq}");
    Request { method, branch: &branch, cseq, to_tag, more, body, ..Request::default() }.text()
}

/// An answer to a request of ours, from whoever has this To tag.
pub fn answer_to(request: &str, status: &str, to_tag: &str, more: &str, body: &str) -> String {
    let of = |name: &str| format!("{name}: {}\n", header(request, name));
    let to = header(request, "To");
    let to = if to.contains(";tag=") { to.to_owned() } else { format!("{to};tag={to_tag}") };
    let body = body.replace('\n', "\r\n");
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    format!(
        "SIP/2.0 {status} Whatever\n{}{}To: {to}\n{}{}Contact: <sip:ana@{PHONE}>\n{more}{kind}Content-Length: {}\n\n{body}",
        of("Via"),
        of("From"),
        of("Call-ID"),
        of("CSeq"),
        body.len()
    )
}

/// A request of the phone within the dialog that its answer to `invite` with this tag has made.
pub fn asks(invite: &str, (method, cseq): (&str, u32), phone_tag: &str, more: &str, body: &str) -> String {
    let body = body.replace('\n', "\r\n");
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    let to = header(invite, "To").split(";tag=").next().unwrap_or_default().to_owned();
    format!(
        "{method} sip:vigie@127.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP {PHONE};rport;branch=z9hG4bK{method}{cseq}{phone_tag}\n\
         Max-Forwards: 70\nFrom: {to};tag={phone_tag}\nTo: {}\nCall-ID: {}\nCSeq: {cseq} {method}\n\
         Contact: <sip:ana@{PHONE}>\n{more}{kind}Content-Length: {}\n\n{body}",
        header(invite, "From"),
        header(invite, "Call-ID"),
        body.len()
    )
}

/// Ana's phone is registered and dialled for a caller in PCMA; with our INVITE.
pub fn dialled(bench: Bench) -> (Bench, LegId, String) {
    dialled_for(bench, Codec::Pcma)
}

/// The same for a caller in this codec.
pub fn dialled_for(mut bench: Bench, prefer: Codec) -> (Bench, LegId, String) {
    bench.register("ana", PHONE, "MD5");
    let device = bench.signals().into_iter().find_map(|signal| match signal {
        Signal::Registered { device, .. } => Some(device),
        _ => None,
    });
    let call = CallId::new(Utc(1), &mut Chance::from_number(5));
    let leg = LegId { call, number: 1 };
    let dial = Dial {
        leg,
        to: Party::Device { regulator: "ana".into(), device: device.expect("registered") },
        context: Box::default(),
        manner: Default::default(),
        local: address("127.0.0.1:30002"),
        prefer,
        caller: Caller::default(),
        label: "SOS".into(),
        call,
    };
    bench.facts.clear();
    let invite = bench.order(LegOrder::Dial(Box::new(dial))).pop().expect("an INVITE");
    (bench, leg, invite)
}

/// Ana's phone picked up with these header lines in its 200.
pub fn picked_up(more: &str) -> (Bench, LegId, String) {
    let (mut bench, leg, invite) = dialled(Bench::with(Rules::default(), 100));
    let ok = answer_to(&invite, "200", "phone", more, &sdp("127.0.0.1", 6000, "8 0 101", "sendrecv"));
    assert_eq!(statuses(&bench.receive(PHONE, &ok)), ["ACK"]);
    bench.signals();
    (bench, leg, invite)
}
