//! REFER within a regulator's call, and the NOTIFYs of its progress.

use std::time::Duration;

use super::bench::*;
use super::talking::*;
use crate::call::signal::{Gone, LegOrder, Signal, TransferStep, TransferTo, Unserved};
use crate::model::{EndedBy, LegId};

const BLIND: &str = "Refer-To: <sip:bob@vigie>\nReferred-By: <sip:ana@vigie>\n";

fn ana() -> (Bench, Phone) {
    let mut bench = Bench::new();
    let phone = picked_up(&mut bench, "ana", PHONE, name(5, 1));
    (bench, phone)
}

impl Bench {
    fn step(&mut self, leg: LegId, step: TransferStep) -> Vec<String> {
        self.order(LegOrder::Transfer { leg, step })
    }

    fn refer(&mut self, phone: &mut Phone, more: &str) -> Vec<String> {
        let refer = phone.request("REFER", more);
        self.receive(phone.at, &refer)
    }
}

/// Status and asked-for transfer of one REFER.
fn refused(bench: &mut Bench, phone: &mut Phone, more: &str) -> String {
    let answers = bench.refer(phone, more);
    assert!(bench.signals().is_empty(), "{more}");
    assert_eq!(answers.len(), 1, "{more}: {answers:?}");
    status(&answers[0]).to_owned()
}

#[test]
fn a_blind_transfer_is_held_until_the_switch_speaks_and_then_told_to_its_end() {
    let (mut bench, mut phone) = ana();
    let leg = phone.leg;
    let refer = phone.request("REFER", BLIND);
    assert!(bench.receive(PHONE, &refer).is_empty(), "the REFER waits for the switch");
    assert!(bench.receive(PHONE, &refer).is_empty(), "and so does its repetition");
    assert_eq!(bench.signals(), [Signal::TransferAsked { leg, to: TransferTo::User("bob".into()) }]);

    let texts = bench.step(leg, TransferStep::Trying);
    assert_eq!(statuses(&texts), ["202", "NOTIFY"]);
    assert_eq!(header(&texts[0], "Contact"), "<sip:vigie@127.0.0.1:5060>");
    let notify = &texts[1];
    assert!(notify.starts_with("NOTIFY sip:phone@127.0.0.1:5070 SIP/2.0\r\n"), "{notify}");
    assert_eq!(header(notify, "Event"), "refer;id=101");
    assert_eq!(header(notify, "Subscription-State"), "active;expires=300");
    assert_eq!(header(notify, "Content-Type"), "message/sipfrag;version=2.0");
    assert_eq!(header(notify, "Contact"), "<sip:vigie@127.0.0.1:5060>");
    assert_eq!((header(notify, "CSeq"), body(notify)), ("2 NOTIFY", "SIP/2.0 100 Trying\r\n"));
    assert_eq!(tag(header(notify, "From")), phone.our_tag);
    assert!(bench.receive(PHONE, &phone.response(notify, "200")).is_empty());

    bench.pass(Duration::from_secs(3));
    assert!(bench.step(leg, TransferStep::Trying).is_empty(), "told already");
    let ringing = bench.step(leg, TransferStep::Ringing).pop().unwrap();
    assert_eq!(body(&ringing), "SIP/2.0 180 Ringing\r\n");
    assert_eq!(header(&ringing, "Subscription-State"), "active;expires=297");
    let done = bench.step(leg, TransferStep::Done).pop().unwrap();
    assert_eq!(body(&done), "SIP/2.0 200 OK\r\n");
    assert_eq!(header(&done, "Subscription-State"), "terminated;reason=noresource");
    assert!(bench.step(leg, TransferStep::Failed(486)).is_empty(), "nothing more is said");
    let ladder = bench.ladder();
    let kept = |line: &str| ladder.iter().filter(|kept| kept.starts_with(line)).count();
    assert_eq!((kept("< REFER"), kept("> SIP/2.0 202"), kept("> NOTIFY")), (1, 1, 3), "{ladder:?}");
}

#[test]
fn a_failed_transfer_tells_why_and_another_may_be_asked_for() {
    let (mut bench, mut phone) = ana();
    bench.refer(&mut phone, BLIND);
    bench.step(phone.leg, TransferStep::Trying);
    let failed = bench.step(phone.leg, TransferStep::Failed(486)).pop().unwrap();
    assert_eq!(body(&failed), "SIP/2.0 486 Busy Here\r\n");
    assert_eq!(header(&failed, "Subscription-State"), "terminated;reason=noresource");
    bench.signals();
    bench.refer(&mut phone, "Refer-To: <tel:+33612345678>\n");
    let to = TransferTo::User("+33612345678".into());
    assert_eq!(bench.signals(), [Signal::TransferAsked { leg: phone.leg, to }]);
    let done = bench.step(phone.leg, TransferStep::Done);
    assert_eq!(statuses(&done), ["202", "NOTIFY"]);
    assert_eq!(header(&done[1], "Event"), "refer;id=102");
}

#[test]
fn a_refusal_of_the_switch_refuses_the_refer_itself() {
    let whys = [
        (Unserved::Overloaded, "503"),
        (Unserved::Forbidden, "403"),
        (Unserved::NotFound, "404"),
        (Unserved::Busy, "486"),
        (Unserved::Declined, "603"),
        (Unserved::Unavailable, "480"),
        (Unserved::Fault, "500"),
    ];
    let (mut bench, mut phone) = ana();
    for (why, code) in whys {
        bench.refer(&mut phone, BLIND);
        let texts = bench.step(phone.leg, TransferStep::Refused(why));
        assert_eq!(statuses(&texts), [code]);
        assert!(bench.step(phone.leg, TransferStep::Trying).is_empty());
    }
}

#[test]
fn a_phone_that_wants_no_notify_gets_none() {
    let (mut bench, mut phone) = ana();
    bench.refer(&mut phone, &format!("{BLIND}Refer-Sub: false\nSupported: norefersub\nRequire: norefersub\n"));
    let texts = bench.step(phone.leg, TransferStep::Trying);
    assert_eq!((statuses(&texts), header(&texts[0], "Refer-Sub")), (vec!["202"], "false"));
    for step in [TransferStep::Ringing, TransferStep::Done] {
        assert!(bench.step(phone.leg, step).is_empty());
    }
}

#[test]
fn a_second_refer_waits_for_the_first_to_end() {
    let (mut bench, mut phone) = ana();
    bench.refer(&mut phone, BLIND);
    bench.signals();
    assert_eq!(refused(&mut bench, &mut phone, BLIND), "491");
    bench.step(phone.leg, TransferStep::Trying);
    assert_eq!(refused(&mut bench, &mut phone, BLIND), "491");
    let done = bench.step(phone.leg, TransferStep::Done);
    assert_eq!(header(&done[0], "Event"), "refer;id=101");
}

#[test]
fn an_attended_transfer_names_the_other_leg_whichever_way_the_tags_stand() {
    let (mut bench, mut phone) = ana();
    let consulted = dialled_through(&mut bench, ("ana", PHONE), ("consult", "bob"));
    let own = consulted.replaces();
    let turned = format!("{};to-tag={};from-tag={}", consulted.call_id, consulted.own_tag, consulted.our_tag);
    for replaces in [own.clone(), turned] {
        let escaped = replaces.replace(';', "%3B").replace('=', "%3d");
        bench.refer(&mut phone, &format!("Refer-To: <sip:bob@vigie?Replaces={escaped}&Require=replaces>\n"));
        let to = TransferTo::PartnerOf(consulted.leg);
        assert_eq!(bench.signals(), [Signal::TransferAsked { leg: phone.leg, to }]);
        bench.step(phone.leg, TransferStep::Failed(500));
    }
    let early = format!("Refer-To: <sip:bob@vigie?Replaces={}%3Bearly-only>\n", own.replace(';', "%3B"));
    assert_eq!(refused(&mut bench, &mut phone, &early), "486");
    let hang_up = consulted.clone().request("BYE", "");
    bench.receive(PHONE, &hang_up);
    bench.signals();
    assert_eq!(refused(&mut bench, &mut phone, &early), "603", "it has ended");
}

#[test]
fn nobody_joins_a_call_that_is_not_his() {
    let (mut bench, mut phone) = ana();
    let other = picked_up(&mut bench, "bob", "127.0.0.1:5072", name(6, 1));
    let escaped = |phone: &Phone| format!("Refer-To: <sip:x@v?Replaces={}>\n", phone.replaces().replace(';', "%3B"));
    assert_eq!(refused(&mut bench, &mut phone, &escaped(&other)), "403");
    let itself = escaped(&phone);
    assert_eq!(refused(&mut bench, &mut phone, &itself), "400");
    let unknown = "Refer-To: <sip:x@v?Replaces=none%3Bto-tag%3Da%3Bfrom-tag%3Db>\n";
    assert_eq!(refused(&mut bench, &mut phone, unknown), "403");
}

#[test]
fn what_cannot_be_referred_to_is_refused_and_ends_nothing() {
    let (mut bench, mut phone) = ana();
    let giant = format!("Refer-To: <sip:{}@vigie>\n", "a".repeat(60_000));
    for (more, code) in [
        ("", "400"),
        ("Refer-To: nonsense\n", "400"),
        ("Refer-To: <sip:bob@v>\nRefer-To: <sip:bob@v>\n", "400"),
        ("Refer-To: <sip:bob%0D%0AVia:x@v>\n", "400"),
        ("Refer-To: <sip:bob%2@v>\n", "400"),
        ("Refer-To: <sip:bob@v?Replaces=a%3Bto-tag%3Db>\n", "400"),
        ("Refer-To: <http://example.com/>\n", "416"),
        ("Refer-To: <sip:bob@v;method=MESSAGE>\n", "403"),
        ("Refer-To: <sip:bob@v>\nRequire: magic\n", "420"),
        (giant.as_str(), "400"),
    ] {
        assert_eq!(refused(&mut bench, &mut phone, more), code, "{more:.80}");
    }
    bench.refer(&mut phone, BLIND);
    assert_eq!(bench.signals().len(), 1, "the call is as it was");
}

#[test]
fn a_caller_cannot_refer_and_nobody_can_outside_a_call() {
    let mut bench = Bench::new();
    let offer = sdp("127.0.0.2", 7000, "8 101", "sendrecv");
    bench.receive(TRUNK, &Request { body: &offer, ..Request::default() }.text());
    let leg = bench.incoming_leg();
    let ok = bench.order(LegOrder::Accept { leg, local: address("127.0.0.1:30000") }).pop().unwrap();
    let to_tag = tag(header(&ok, "To"));
    bench.receive(TRUNK, &Request { method: "ACK", to_tag, ..Request::default() }.text());
    bench.signals();
    let refer = |to_tag, cseq| {
        let (branch, more) = (format!("z9hG4bKr{cseq}"), BLIND);
        Request { method: "REFER", branch: &branch, cseq, to_tag, more, ..Request::default() }.text()
    };
    let texts = bench.receive(TRUNK, &refer(to_tag, 2));
    assert_eq!(statuses(&texts), ["403"]);
    for from in [TRUNK, PHONE] {
        assert_eq!(statuses(&bench.receive(from, &refer("", 3))), ["403"]);
    }
    assert!(bench.signals().is_empty());
}

#[test]
fn a_notify_that_is_answered_481_or_not_at_all_ends_the_telling_and_nothing_else() {
    for answered in [true, false] {
        let (mut bench, mut phone) = ana();
        bench.refer(&mut phone, BLIND);
        let notify = bench.step(phone.leg, TransferStep::Trying).pop().unwrap();
        bench.signals();
        if answered {
            bench.receive(PHONE, &phone.response(&notify, "481"));
        } else {
            bench.pass(Duration::from_secs(33));
        }
        assert!(bench.step(phone.leg, TransferStep::Ringing).is_empty());
        assert!(bench.step(phone.leg, TransferStep::Done).is_empty());
        assert!(bench.signals().is_empty());
        let bye = phone.request("BYE", "");
        assert_eq!(statuses(&bench.receive(PHONE, &bye)), ["200"]);
    }
}

#[test]
fn a_leg_that_ends_in_mid_transfer_takes_it_along() {
    let (mut bench, mut phone) = ana();
    bench.refer(&mut phone, BLIND);
    let bye = phone.request("BYE", "");
    assert_eq!(statuses(&bench.receive(PHONE, &bye)), ["200", "487"], "the REFER gets its answer too");
    let ended = Signal::Ended { leg: phone.leg, by: Gone::HungUp, detail: None };
    assert_eq!(bench.signals().last(), Some(&ended));
    assert!(bench.step(phone.leg, TransferStep::Trying).is_empty());

    let (mut bench, mut phone) = ana();
    bench.refer(&mut phone, BLIND);
    bench.step(phone.leg, TransferStep::Trying);
    let leg = phone.leg;
    assert_eq!(statuses(&bench.order(LegOrder::Hangup { leg, why: EndedBy::Caller })), ["BYE"]);
    assert!(bench.step(leg, TransferStep::Done).is_empty());
    bench.pass(Duration::from_secs(400));
    assert_eq!(bench.ua.referrals.count(), 0);
}

#[test]
fn a_silent_switch_leaves_no_refer_behind() {
    let (mut bench, mut phone) = ana();
    bench.refer(&mut phone, BLIND);
    assert_eq!(statuses(&bench.pass(Duration::from_secs(9))), ["500"]);
    assert!(bench.step(phone.leg, TransferStep::Trying).is_empty());
    bench.refer(&mut phone, BLIND);
    bench.step(phone.leg, TransferStep::Ringing);
    bench.receive(PHONE, &phone.response(&bench.sent.last().unwrap().1.clone(), "200"));
    let last = bench.pass(Duration::from_secs(301)).pop().unwrap();
    assert_eq!((status(&last), header(&last, "Subscription-State")), ("NOTIFY", "terminated;reason=timeout"));
    assert_eq!((bench.ua.referrals.count(), body(&last)), (0, "SIP/2.0 180 Ringing\r\n"));
}

#[test]
fn the_telling_can_be_asked_for_again_and_ended() {
    let (mut bench, mut phone) = ana();
    bench.refer(&mut phone, BLIND);
    bench.step(phone.leg, TransferStep::Trying);
    let ask = |phone: &mut Phone, event: &str, expires: u32| {
        phone.request("SUBSCRIBE", &format!("Event: {event}\nExpires: {expires}\n"))
    };
    let other = ask(&mut phone, "refer;id=99", 60);
    assert_eq!(statuses(&bench.receive(PHONE, &other)), ["481"]);
    let presence = ask(&mut phone, "presence", 60);
    assert_eq!(statuses(&bench.receive(PHONE, &presence)), ["489"]);
    let again = ask(&mut phone, "refer;id=101", 60);
    let texts = bench.receive(PHONE, &again);
    assert_eq!((statuses(&texts), body(&texts[1])), (vec!["200", "NOTIFY"], "SIP/2.0 100 Trying\r\n"));
    let end = ask(&mut phone, "refer;id=101", 0);
    let texts = bench.receive(PHONE, &end);
    assert_eq!(header(&texts[1], "Subscription-State"), "terminated;reason=timeout");
    assert!(bench.step(phone.leg, TransferStep::Done).is_empty());
}

#[test]
fn a_renamed_leg_keeps_its_dialog_its_transfer_and_its_ladder() {
    let (mut bench, _) = ana();
    let mut phone = dialled_through(&mut bench, ("ana", PHONE), ("consult", "bob"));
    let (from, to) = (phone.leg, name(5, 2));
    bench.refer(&mut phone, BLIND);
    bench.signals();
    bench.facts.clear();
    assert!(bench.order(LegOrder::Rename { from, to }).is_empty());
    assert!(bench.step(from, TransferStep::Trying).is_empty(), "the former name is nobody's");
    let notify = bench.step(to, TransferStep::Trying).pop().unwrap();
    bench.receive(PHONE, &phone.response(&notify, "200"));
    assert_eq!(
        bench.ladder(),
        ["> SIP/2.0 202 Accepted", "> NOTIFY sip:ana@127.0.0.1:5070 SIP/2.0", "< SIP/2.0 200 Whatever"]
    );
    let bye = phone.request("BYE", "");
    bench.receive(PHONE, &bye);
    assert_eq!(bench.signals(), [Signal::Ended { leg: to, by: Gone::HungUp, detail: None }]);
    bench.pass(Duration::from_secs(40));
    assert_eq!(bench.ua.legs.find(to).map(|leg| leg.id), None, "forgotten under its new name");
}

#[test]
fn a_name_that_is_taken_or_gone_renames_nothing() {
    let (mut bench, mut phone) = ana();
    let other = picked_up(&mut bench, "bob", "127.0.0.1:5072", name(6, 1));
    for (from, to) in [(phone.leg, other.leg), (name(9, 1), name(9, 2)), (phone.leg, phone.leg)] {
        bench.order(LegOrder::Rename { from, to });
    }
    bench.refer(&mut phone, BLIND);
    assert!(matches!(bench.signals()[..], [Signal::TransferAsked { leg, .. }] if leg == phone.leg));
}
