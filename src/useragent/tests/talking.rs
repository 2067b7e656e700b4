//! A regulator's phone in a call that we dialled or that it dialled, and what it writes within it.

use super::bench::*;
use crate::call::signal::{Dial, Dialled, LegOrder, Party, Signal};
use crate::model::{CallId, Caller, Chance, Codec, DeviceId, LegId, Utc};

/// One dialog of a phone: what it needs to write a request within it.
#[derive(Clone, Debug)]
pub struct Phone {
    pub user: &'static str,
    pub at: &'static str,
    pub leg: LegId,
    pub call_id: String,
    pub own_tag: String,
    pub our_tag: String,
    pub cseq: u32,
}

impl Phone {
    /// A request within the dialog; `more` holds further header lines.
    pub fn request(&mut self, method: &str, more: &str) -> String {
        self.cseq += 1;
        let Phone { user, at, call_id, own_tag, our_tag, cseq, .. } = self;
        format!(
            "{method} sip:vigie@127.0.0.1:5060 SIP/2.0\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bK{user}{own_tag}{cseq}\n\
             Max-Forwards: 70\nFrom: <sip:{user}@vigie>;tag={own_tag}\nTo: <sip:x@vigie>;tag={our_tag}\nCall-ID: {call_id}\n\
             CSeq: {cseq} {method}\nContact: <sip:{user}@{at}>\n{more}Content-Length: 0\n\n"
        )
    }

    /// The phone's response to a request of ours.
    pub fn response(&self, request: &str, code: &str) -> String {
        let line = |name: &str| format!("{name}: {}\n", headers(request, name).join(", "));
        let lines: String = ["Via", "From", "To", "Call-ID", "CSeq"].map(line).concat();
        format!("SIP/2.0 {code} Whatever\n{lines}Content-Length: 0\n\n")
    }

    /// Replaces of this dialog as the phone itself writes it: the far end's tag is `to-tag`.
    pub fn replaces(&self) -> String {
        format!("{};to-tag={};from-tag={}", self.call_id, self.our_tag, self.own_tag)
    }
}

pub fn name(call: u64, number: u16) -> LegId {
    LegId { call: CallId::new(Utc(1), &mut Chance::from_number(call)), number }
}

fn device(bench: &Bench, user: &str) -> DeviceId {
    let found = bench.signals.iter().find_map(|s| match s {
        Signal::Registered { device, regulator, .. } if regulator.as_str() == user => Some(*device),
        _ => None,
    });
    found.expect("a device registered")
}

/// Registers `user` and dials it; the INVITE.
pub fn ring(bench: &mut Bench, user: &'static str, at: &'static str, leg: LegId) -> String {
    bench.register(user, at, if user == "cleo" { "SHA-256" } else { "MD5" });
    let order = Dial {
        leg,
        to: Party::Device { regulator: user.into(), device: device(bench, user) },
        context: Box::default(),
        manner: Default::default(),
        local: address("127.0.0.1:30002"),
        prefer: Codec::Pcma,
        caller: Caller::default(),
        label: "SOS".into(),
        call: leg.call,
    };
    bench.order(LegOrder::Dial(Box::new(order))).pop().expect("an INVITE")
}

/// The phone answers an INVITE of ours.
pub fn answer_invite(bench: &mut Bench, (at, invite): (&str, &str), (code, tag): (&str, &str)) -> Vec<String> {
    let line = |name: &str| format!("{name}: {}\n", headers(invite, name).join(", "));
    let body =
        if code == "200" { sdp("127.0.0.1", 6000, "8 101", "sendrecv").replace('\n', "\r\n") } else { String::new() };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    let text = format!(
        "SIP/2.0 {code} Whatever\n{}{}To: {};tag={tag}\n{}{}Contact: <sip:phone@{at}>\n{kind}Content-Length: {}\n\n{body}",
        line("Via"),
        line("From"),
        header(invite, "To"),
        line("Call-ID"),
        line("CSeq"),
        body.len()
    );
    bench.receive(at, &text)
}

/// `user` has picked up a call that we dialled.
pub fn picked_up(bench: &mut Bench, user: &'static str, at: &'static str, leg: LegId) -> Phone {
    let invite = ring(bench, user, at, leg);
    answer_invite(bench, (at, &invite), ("200", &format!("{user}-tag")));
    bench.signals();
    let our_tag = tag(header(&invite, "From")).to_owned();
    let call_id = header(&invite, "Call-ID").to_owned();
    Phone { user, at, leg, call_id, own_tag: format!("{user}-tag"), our_tag, cseq: 100 }
}

/// `user`, registered at `at`, dials; the responses to its authenticated INVITE, and what it would write within the dialog.
pub fn dial(
    bench: &mut Bench,
    (user, at): (&'static str, &'static str),
    (call_id, digits): (&str, &str),
    more: &str,
) -> (Vec<String>, Phone) {
    let algorithm = if user == "cleo" { "SHA-256" } else { "MD5" };
    let uri = format!("sip:{digits}@vigie");
    let body = sdp("127.0.0.1", 6002, "8 101", "sendrecv").replace('\n', "\r\n");
    let invite = |cseq: u32, more: &str| {
        format!(
            "INVITE {uri} SIP/2.0\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bK{call_id}{cseq}\nMax-Forwards: 70\n\
             From: <sip:{user}@vigie>;tag={call_id}-tag\nTo: <{uri}>\nCall-ID: {call_id}\nCSeq: {cseq} INVITE\n\
             Contact: <sip:{user}@{at}>\n{more}Content-Type: application/sdp\nContent-Length: {}\n\n{body}",
            body.len()
        )
    };
    let challenge = bench.receive(at, &invite(1, more)).pop().expect("a response");
    let mut phone = Phone {
        user,
        at,
        leg: name(0, 0),
        call_id: call_id.to_owned(),
        own_tag: format!("{call_id}-tag"),
        our_tag: String::new(),
        cseq: 2,
    };
    if status(&challenge) != "407" {
        return (vec![challenge], phone);
    }
    let authorization = answer(&challenge, user, "INVITE", &uri, (algorithm, 1));
    let answers = bench.receive(at, &invite(2, &format!("{more}{authorization}")));
    if let Some(dialled) = dialled(bench) {
        phone.leg = dialled.leg;
    }
    (answers, phone)
}

/// The newest call that a regulator dialled.
pub fn dialled(bench: &Bench) -> Option<Dialled> {
    bench.signals.iter().rev().find_map(|signal| match signal {
        Signal::Dialled(dialled) => Some(dialled.as_ref().clone()),
        _ => None,
    })
}

/// The same, accepted by us and confirmed by the phone.
pub fn dialled_through(bench: &mut Bench, who: (&'static str, &'static str), call: (&str, &str)) -> Phone {
    let (_, mut phone) = dial(bench, who, call, "");
    let ok = bench.order(LegOrder::Accept { leg: phone.leg, local: address("127.0.0.1:30004") }).pop().expect("a 200");
    phone.our_tag = tag(header(&ok, "To")).to_owned();
    let ack = phone.request("ACK", "").replace("CSeq: 3", "CSeq: 2");
    bench.receive(phone.at, &ack);
    bench.signals();
    phone
}
