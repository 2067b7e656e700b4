//! INVITEs of ours that get a provisional answer and nothing more: each is given up, and nothing of it is kept.

use std::time::Duration;

use super::bench::*;
use super::far::*;
use crate::call::signal::{Gone, LegOrder, Signal};
use crate::model::{Codec, Direction, EndedBy, LegId};

/// A while in which everything that can be forgotten is.
const LONG: Duration = Duration::from_secs(1000);

fn reoffer(leg: LegId) -> LegOrder {
    LegOrder::Reoffer { leg, codec: Codec::Pcmu, direction: Direction::Both }
}

fn is_empty_at_last(bench: &mut Bench) {
    bench.pass(LONG);
    let left: Vec<_> = bench.ua.count_kept().into_iter().filter(|(_, count)| *count > 0).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(bench.ua.deadline(), None);
}

fn count(texts: &[String], method: &str) -> usize {
    statuses(texts).iter().filter(|status| **status == method).count()
}

#[test]
fn an_offer_that_only_rings_is_cancelled_after_32_s_and_ends_the_call_when_the_cancel_changes_nothing() {
    let (mut bench, leg, _) = talking("");
    let ours = bench.order(reoffer(leg)).pop().unwrap();
    assert!(bench.receive(TRUNK, &answer_to(&ours, "180", "", "", "")).is_empty());
    assert!(bench.pass(Duration::from_secs(31)).is_empty());
    let cancel = bench.pass(Duration::from_secs(1)).pop().expect("a CANCEL");
    assert_eq!((status(&cancel), header(&cancel, "CSeq")), ("CANCEL", "1 CANCEL"));
    let sent = bench.pass(Duration::from_secs(33));
    assert!(count(&sent, "BYE") > 0 && count(&sent, "INVITE") == 0, "{sent:?}");
    assert!(matches!(&bench.signals()[..], [Signal::Ended { leg: l, by: Gone::Lost, .. }] if *l == leg));
    is_empty_at_last(&mut bench);
}

#[test]
fn an_offer_that_only_rings_and_heeds_its_cancel_leaves_the_call_as_it_was() {
    let (mut bench, leg, ok) = talking("");
    let ours = bench.order(reoffer(leg)).pop().unwrap();
    bench.receive(TRUNK, &answer_to(&ours, "183", "", "", ""));
    let cancel = bench.pass(Duration::from_secs(32)).pop().expect("a CANCEL");
    bench.receive(TRUNK, &answer_to(&cancel, "200", "", "", ""));
    assert_eq!(statuses(&bench.receive(TRUNK, &answer_to(&ours, "487", "", "", ""))), ["ACK"]);
    assert!(bench.pass(Duration::from_secs(40)).is_empty() && bench.signals().is_empty(), "the call goes on");
    let refresh = asked("INVITE", 2, tag(header(&ok, "To")), "", &offer("8 0 101"));
    assert!(body(&bench.receive(TRUNK, &refresh).pop().unwrap()).contains("RTP/AVP 8 101"), "with the codec it had");
    bench.receive(TRUNK, &asked("ACK", 2, tag(header(&ok, "To")), "", ""));
    assert_eq!(count(&bench.order(LegOrder::Hangup { leg, why: EndedBy::Regulator }), "BYE"), 1);
    is_empty_at_last(&mut bench);
}

#[test]
fn a_call_that_ends_while_an_offer_of_ours_rings_cancels_the_offer() {
    for by_us in [false, true] {
        let (mut bench, leg, ok) = talking("");
        let ours = bench.order(reoffer(leg)).pop().unwrap();
        bench.receive(TRUNK, &answer_to(&ours, "180", "", "", ""));
        let ended = if by_us {
            bench.order(LegOrder::Hangup { leg, why: EndedBy::Regulator })
        } else {
            bench.receive(TRUNK, &asked("BYE", 2, tag(header(&ok, "To")), "", ""))
        };
        assert_eq!(statuses(&ended), [if by_us { "BYE" } else { "200" }]);
        let cancel = bench.pass(Duration::from_millis(1));
        assert_eq!(statuses(&cancel), ["CANCEL"]);
        assert_eq!(header(&cancel[0], "CSeq"), header(&ours, "CSeq").replace("INVITE", "CANCEL"));
        is_empty_at_last(&mut bench);
    }
}

#[test]
fn a_refresh_that_only_rings_is_given_up_with_its_session() {
    let (mut bench, leg, _) = picked_up("Supported: timer\nSession-Expires: 100;refresher=uac\n");
    let again = bench.pass(Duration::from_secs(50)).pop().expect("a refresh");
    assert!(bench.receive(PHONE, &answer_to(&again, "180", "", "", "")).is_empty());
    let sent = bench.pass(Duration::from_secs(51));
    assert!(count(&sent, "BYE") > 0 && count(&sent, "CANCEL") > 0, "{sent:?}");
    assert!(matches!(&bench.signals()[..], [Signal::Ended { leg: l, by: Gone::Lost, .. }] if *l == leg));
    is_empty_at_last(&mut bench);
}

#[test]
fn a_phone_that_rings_and_gives_no_487_to_its_cancel_is_forgotten() {
    for is_heard in [false, true] {
        let (mut bench, leg, invite) = dialled(Bench::new());
        bench.receive(PHONE, &answer_to(&invite, "180", "phone", "", ""));
        assert!(bench.pass(Duration::from_secs(25)).is_empty());
        let cancel = bench.order(LegOrder::Hangup { leg, why: EndedBy::NoAnswer }).pop().expect("a CANCEL");
        if is_heard {
            bench.receive(PHONE, &answer_to(&cancel, "200", "phone", "", ""));
        }
        // Ringing on, it changes nothing.
        bench.receive(PHONE, &answer_to(&invite, "180", "phone", "", ""));
        is_empty_at_last(&mut bench);
    }
}
