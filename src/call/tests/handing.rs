//! Callers handed on: blind and attended, to colleagues and numbers, and everything that can go wrong on the way.

use super::consulting::anne_talks;
use super::*;
use crate::call::signal::{TransferStep, TransferTo};
use crate::model::event::{TransferKind, TransferParty};
use crate::model::{Counter, OfferRecord, Side};

fn told(orders: &[Order], leg: LegId) -> Vec<TransferStep> {
    let step = |order: &Order| match order {
        Order::Leg(LegOrder::Transfer { leg: to, step }) if *to == leg => Some(*step),
        _ => None,
    };
    orders.iter().filter_map(step).collect()
}

fn blind(room: &mut Room, leg: LegId, to: &str) -> Vec<Order> {
    room.signal(Signal::TransferAsked { leg, to: TransferTo::User(to.into()) })
}

fn transfers(room: &Room) -> Vec<(String, TransferParty, TransferKind)> {
    let transfer = |fact: &Fact| match fact {
        Fact::Event(event) => match &event.kind {
            EventKind::CallTransferred { by, to, kind } => Some((by.to_string(), to.clone(), *kind)),
            _ => None,
        },
        _ => None,
    };
    room.facts().filter_map(transfer).collect()
}

fn answers(room: &Room) -> Vec<(String, u16)> {
    let answer = |fact: &Fact| match fact {
        Fact::Event(event) => match &event.kind {
            EventKind::CallAnswered { regulator, offer, .. } => Some((regulator.to_string(), offer.0)),
            _ => None,
        },
        _ => None,
    };
    room.facts().filter_map(answer).collect()
}

fn talking(call: LegId) -> RegulatorState {
    RegulatorState::Talking { call: call.call }
}

fn to_bruno() -> TransferParty {
    TransferParty::Regulator("bruno".into())
}

#[test]
fn a_blind_transfer_rings_the_colleague_and_the_caller_follows() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    let asked = blind(&mut room, anne, "bruno");
    assert_eq!(told(&asked, anne), [TransferStep::Trying]);
    assert!(asked.iter().any(|o| matches!(o, Order::Media(MediaCommand::Play { leg, .. }) if *leg == caller)), "music");
    assert_eq!(room.state("bruno"), RegulatorState::Ringing { call: caller.call });
    assert_eq!(room.state("anne"), talking(caller));
    let bruno = room.dial(caller, 2);
    let rings = room.signal(Signal::Ringing { leg: bruno, early: None });
    assert_eq!(told(&rings, anne), [TransferStep::Ringing]);
    let answered = room.answer(bruno);
    assert_eq!(told(&answered, anne), [TransferStep::Done]);
    assert!(answered.contains(&Order::Media(MediaCommand::Bridge { a: caller, b: bruno })));
    assert!(answered.contains(&Order::Media(MediaCommand::Record { leg: bruno, on: true })));
    assert!(answered.contains(&Order::Media(MediaCommand::Record { leg: anne, on: false })));
    assert!(answered.contains(&Order::Count(Counter::CallsTransferred)));
    assert_eq!((room.state("anne"), room.state("bruno")), (RegulatorState::WrapUp, talking(caller)));
    assert_eq!(transfers(&room), [("anne".to_owned(), to_bruno(), TransferKind::Blind)]);
    assert_eq!(answers(&room), [("anne".to_owned(), 1), ("bruno".to_owned(), 2)]);
    let gone = room.wait(3);
    assert!(gone.contains(&Order::Leg(LegOrder::Hangup { leg: anne, why: EndedBy::AnsweredElsewhere })), "{gone:?}");
    room.signal(Signal::Ended { leg: bruno, by: Gone::HungUp, detail: None });
    assert_eq!(room.state("bruno"), RegulatorState::WrapUp);
    room.close(caller, 3);
    let record = room.last_record(caller);
    let offers: Vec<(Option<OfferEnd>, Option<&str>)> =
        record.offers.iter().map(|o: &OfferRecord| (o.end, o.handed_by.as_ref().map(|by| by.as_str()))).collect();
    assert_eq!(offers, [(Some(OfferEnd::Accepted), None), (Some(OfferEnd::Accepted), Some("anne"))]);
    assert_eq!(record.regulator, Some("bruno".into()));
    assert!(record.names.regulators.contains_key(&"bruno".into()) && record.legs.len() == 3);
}

#[test]
fn a_phone_that_leaves_by_itself_is_not_hung_up_again() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    blind(&mut room, anne, "bruno");
    let bruno = room.dial(caller, 2);
    room.answer(bruno);
    room.signal(Signal::Ended { leg: anne, by: Gone::HungUp, detail: None });
    let later = room.wait(5);
    assert!(!later.iter().any(|o| matches!(o, Order::Leg(LegOrder::Hangup { .. }))), "{later:?}");
    assert_eq!(room.state("bruno"), talking(caller));
}

#[test]
fn a_colleague_who_does_not_come_gives_the_caller_back_to_whoever_asked() {
    for (kind, status) in [
        (Some(RefusalKind::Declined), 603),
        (Some(RefusalKind::Busy), 486),
        (Some(RefusalKind::Unreachable), 480),
        (None, 408),
    ] {
        let mut room = Room::new(|_| {});
        let (caller, anne) = anne_talks(&mut room);
        blind(&mut room, anne, "bruno");
        let bruno = room.dial(caller, 2);
        let orders = match kind {
            Some(kind) => room.signal(refused(bruno, kind)),
            None => room.wait(15),
        };
        assert_eq!(told(&orders, anne), [TransferStep::Failed(status)], "{kind:?}");
        assert!(orders.contains(&Order::Media(MediaCommand::Bridge { a: caller, b: anne })));
        assert_eq!(room.state("anne"), talking(caller));
        assert!(matches!(room.state("bruno"), RegulatorState::Paused { .. }), "as after an offer");
        assert!(transfers(&room).is_empty());
        room.signal(Signal::Ended { leg: anne, by: Gone::HungUp, detail: None });
        assert_eq!(room.state("anne"), RegulatorState::WrapUp);
    }
}

#[test]
fn who_hangs_up_at_once_leaves_the_caller_waiting_for_the_colleague_and_then_in_the_old_place() {
    for comes in [true, false] {
        let mut room = Room::new(|_| {});
        let (caller, anne) = anne_talks(&mut room);
        blind(&mut room, anne, "bruno");
        let bruno = room.dial(caller, 2);
        room.signal(Signal::Ended { leg: anne, by: Gone::HungUp, detail: None });
        assert_eq!(room.state("anne"), RegulatorState::WrapUp);
        assert_eq!(room.state("bruno"), RegulatorState::Ringing { call: caller.call });
        if comes {
            room.answer(bruno);
            assert_eq!(room.state("bruno"), talking(caller));
            assert_eq!(transfers(&room).len(), 1);
            continue;
        }
        room.now = room.now.after(Duration::from_secs(1));
        let later = room.call();
        room.signal(refused(bruno, RefusalKind::Declined));
        assert!(room.switch.room().is_waiting(caller.call));
        let queued = room.events(caller).iter().filter(|(_, name)| *name == "call.queued").count();
        assert_eq!(queued, 2);
        room.wait(10);
        let first = [room.state("anne"), room.state("bruno")];
        assert!(first.contains(&RegulatorState::Ringing { call: caller.call }), "before {later}: {first:?}");
    }
}

#[test]
fn a_caller_who_hangs_up_meanwhile_ends_everything() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    blind(&mut room, anne, "bruno");
    let bruno = room.dial(caller, 2);
    let orders = room.signal(Signal::Ended { leg: caller, by: Gone::HungUp, detail: None });
    for leg in [anne, bruno] {
        assert!(orders.iter().any(|o| matches!(o, Order::Leg(LegOrder::Hangup { leg: l, .. }) if *l == leg)), "{leg}");
    }
    assert_eq!((room.state("anne"), room.state("bruno")), (RegulatorState::WrapUp, RegulatorState::Ready));
    room.close(caller, 3);
    let record = room.last_record(caller);
    assert_eq!((record.outcome, record.ended_by), (Some(Outcome::Answered), Some(EndedBy::Caller)));
    assert_eq!(record.offers[1].end, Some(OfferEnd::Cancelled));
}

#[test]
fn what_may_not_be_handed_on_is_refused_at_once() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    let ask = |room: &mut Room, leg: LegId, to: &str| told(&blind(room, leg, to), leg);
    let no = |why: Unserved| vec![TransferStep::Refused(why)];
    assert_eq!(ask(&mut room, caller, "bruno"), no(Unserved::Forbidden), "a caller");
    assert_eq!(ask(&mut room, anne, "nobody"), no(Unserved::NotFound));
    assert_eq!(ask(&mut room, anne, "0899000000"), no(Unserved::NotFound));
    assert_eq!(ask(&mut room, anne, "anne"), no(Unserved::Busy));
    room.signal(Signal::Unregistered { regulator: "bruno".into(), device: DeviceId(2) });
    assert_eq!(ask(&mut room, anne, "bruno"), no(Unserved::Unavailable));
    room.register("bruno", 2);
    assert_eq!(ask(&mut room, anne, "bruno"), [TransferStep::Trying]);
    assert_eq!(ask(&mut room, anne, "bruno"), no(Unserved::Busy), "on its way already");
    let other = LegId { call: CallId::new(room.now.utc, &mut room.chance), number: 0 };
    let to = TransferTo::PartnerOf(other);
    assert_eq!(told(&room.signal(Signal::TransferAsked { leg: anne, to }), anne), no(Unserved::Busy));
}

#[test]
fn the_last_phone_that_vanishes_while_it_rings_gives_the_caller_back() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    blind(&mut room, anne, "bruno");
    room.dial(caller, 2);
    let orders = room.signal(Signal::Unregistered { regulator: "bruno".into(), device: DeviceId(2) });
    assert_eq!(told(&orders, anne), [TransferStep::Failed(480)]);
    assert_eq!((room.state("anne"), room.state("bruno")), (talking(caller), RegulatorState::Offline));
}

#[test]
fn a_caller_is_handed_on_to_a_number_and_whoever_did_so_is_free_for_good() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    assert_eq!(told(&blind(&mut room, anne, "15"), anne), [TransferStep::Trying]);
    let samu = room.dial(caller, 2);
    room.answer(samu);
    assert_eq!(room.state("anne"), RegulatorState::WrapUp);
    assert_eq!(transfers(&room), [("anne".to_owned(), TransferParty::Number("15".into()), TransferKind::Blind)]);
    let side = |order: &Order| match order {
        Order::Recorder(RecorderCommand::Leg { leg, side, regulator }) if *leg == samu => {
            Some((*side, regulator.clone()))
        }
        _ => None,
    };
    assert_eq!(room.orders.iter().find_map(side), Some((Side::Outside, None)));
    room.wait(10);
    let next = room.call();
    room.signal(Signal::Ended { leg: samu, by: Gone::HungUp, detail: None });
    let states = [room.state("anne"), room.state("bruno")];
    assert!(
        states.contains(&RegulatorState::Ringing { call: next.call }),
        "her next caller is not taken away: {states:?}"
    );
    room.close(caller, 3);
    let record = room.last_record(caller);
    assert_eq!((record.legs[2].side, record.legs[2].dialled.as_deref()), (Side::Outside, Some("15")));
    assert_eq!(record.detail.as_deref(), Some("the outside party hung up"));
}

/// Anne talks with a caller and asks Bruno, whose phone has been dialled: caller, Anne's leg there, her own call, his leg.
fn anne_asks(room: &mut Room) -> (LegId, LegId, LegId, LegId) {
    let (caller, anne) = anne_talks(room);
    room.signal(Signal::Reoffered { leg: anne, remote: remote(Direction::ReceiveOnly) });
    let own = room.own_call("anne", "bruno");
    let bruno = room.dial(own, 1);
    (caller, anne, own, bruno)
}

#[test]
fn an_attended_transfer_brings_the_colleague_into_the_callers_call() {
    for asks_by_own in [false, true] {
        let mut room = Room::new(|_| {});
        let (caller, anne, own, bruno) = anne_asks(&mut room);
        room.answer(bruno);
        let (leg, other) = if asks_by_own { (own, anne) } else { (anne, own) };
        let orders = room.signal(Signal::TransferAsked { leg, to: TransferTo::PartnerOf(other) });
        let moved = LegId { call: caller.call, number: 2 };
        assert!(orders.contains(&Order::Leg(LegOrder::Rename { from: bruno, to: moved })));
        assert!(orders.contains(&Order::Media(MediaCommand::Rename { from: bruno, to: moved })));
        assert!(orders.contains(&Order::Media(MediaCommand::Record { leg: moved, on: true })));
        assert!(orders.contains(&Order::Media(MediaCommand::Bridge { a: caller, b: moved })));
        assert_eq!(told(&orders, leg), [TransferStep::Trying, TransferStep::Done]);
        assert_eq!((room.state("anne"), room.state("bruno")), (RegulatorState::WrapUp, talking(caller)));
        assert_eq!(transfers(&room), [("anne".to_owned(), to_bruno(), TransferKind::Attended)]);
        assert_eq!(answers(&room).last(), Some(&("bruno".to_owned(), 2)));
        let names: Vec<_> = room.events(caller).into_iter().map(|(_, name)| name).collect();
        assert!(names.contains(&"call.resumed"), "each hold ends: {names:?}");
        let gone = room.wait(3);
        for leg in [anne, own] {
            assert!(
                gone.iter().any(|o| matches!(o, Order::Leg(LegOrder::Hangup { leg: l, .. }) if *l == leg)),
                "{leg}"
            );
        }
        assert_eq!(room.kept("calls among colleagues"), 0);
        // What was said of the old name meanwhile is heard of the new one.
        room.media(MediaReport::Silent { leg: bruno });
        assert_eq!(room.state("bruno"), RegulatorState::Paused { reason: PauseReason::Unreachable });
        assert!(room.switch.room().is_waiting(caller.call));
        room.signal(Signal::Ended { leg: caller, by: Gone::HungUp, detail: None });
        room.close(caller, 3);
        room.give(SwitchInput::Recorder(RecorderReport::Failed { call: caller.call, reason: "disk".into() }));
        room.wait(1800);
        assert_eq!((room.kept("calls"), room.kept("renamed legs")), (0, 0));
    }
}

#[test]
fn a_colleague_who_is_still_rung_goes_on_ringing_for_the_caller() {
    let mut room = Room::new(|_| {});
    let (caller, anne, own, bruno) = anne_asks(&mut room);
    room.signal(Signal::Ringing { leg: bruno, early: None });
    let orders = room.signal(Signal::TransferAsked { leg: anne, to: TransferTo::PartnerOf(own) });
    assert_eq!(told(&orders, anne), [TransferStep::Trying]);
    let moved = LegId { call: caller.call, number: 2 };
    assert_eq!(room.state("bruno"), RegulatorState::Ringing { call: caller.call });
    room.signal(Signal::Ended { leg: anne, by: Gone::HungUp, detail: None });
    let answered = room.answer(moved);
    assert!(answered.contains(&Order::Media(MediaCommand::Bridge { a: caller, b: moved })));
    assert_eq!(room.state("bruno"), talking(caller));
    assert_eq!(transfers(&room), [("anne".to_owned(), to_bruno(), TransferKind::Attended)]);
    room.wait(3);
    assert_eq!(room.kept("calls among colleagues"), 0);
}

#[test]
fn somebody_elses_talk_and_one_on_another_media_thread_cannot_be_handed_over() {
    let mut room = Room::new(|_| {});
    let (_, anne, own, bruno) = anne_asks(&mut room);
    room.answer(bruno);
    for other in [bruno, LegId { number: 7, ..own }] {
        let orders = room.signal(Signal::TransferAsked { leg: anne, to: TransferTo::PartnerOf(other) });
        assert_eq!(told(&orders, anne), [TransferStep::Refused(Unserved::Forbidden)]);
    }
    assert_eq!(room.kept("calls among colleagues"), 1);
}

#[test]
fn another_phone_of_the_same_person_takes_the_place_of_the_first() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    let (dialled, orders) = room.dialled_for("anne", "vigie", Some(anne));
    let place = LegId { call: caller.call, number: 2 };
    assert!(orders.contains(&Order::Leg(LegOrder::Rename { from: dialled, to: place })), "{orders:?}");
    let taken = room.media(MediaReport::Opened { leg: place, rtp: rtp(6000) });
    assert!(taken.iter().any(|o| matches!(o, Order::Leg(LegOrder::Accept { leg, .. }) if *leg == place)));
    assert!(taken.contains(&Order::Media(MediaCommand::Bridge { a: caller, b: place })));
    assert!(taken.contains(&Order::Leg(LegOrder::Hangup { leg: anne, why: EndedBy::AnsweredElsewhere })));
    assert_eq!((room.state("anne"), transfers(&room).len()), (talking(caller), 0));
    room.signal(Signal::Ended { leg: place, by: Gone::HungUp, detail: None });
    assert_eq!(room.state("anne"), RegulatorState::WrapUp);
}

#[test]
fn a_colleague_takes_a_caller_over_or_goes_back_to_what_he_was() {
    for port_opens in [true, false] {
        let mut room = Room::new(|_| {});
        let (caller, anne) = anne_talks(&mut room);
        room.dialled_for("bruno", "vigie", Some(anne));
        let place = LegId { call: caller.call, number: 2 };
        if port_opens {
            room.media(MediaReport::Opened { leg: place, rtp: rtp(6000) });
            assert_eq!((room.state("anne"), room.state("bruno")), (RegulatorState::WrapUp, talking(caller)));
            assert_eq!(transfers(&room), [("anne".to_owned(), to_bruno(), TransferKind::Attended)]);
            assert_eq!(answers(&room).last(), Some(&("bruno".to_owned(), 2)));
        } else {
            room.media(MediaReport::OpenFailed { leg: place, why: "no port".into() });
            assert_eq!((room.state("anne"), room.state("bruno")), (talking(caller), RegulatorState::Ready));
            assert!(room.has(|o| matches!(o, Order::Leg(LegOrder::Refuse { leg, .. }) if *leg == place)));
        }
    }
    let mut room = Room::new(|_| {});
    let (caller, _) = anne_talks(&mut room);
    let (leg, orders) = room.dialled_for("bruno", "vigie", Some(caller));
    assert!(orders.contains(&Order::Leg(LegOrder::Refuse { leg, why: Unserved::Forbidden })), "a caller's own place");
}

#[test]
fn a_fault_on_the_way_ends_the_call_and_frees_everybody() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    blind(&mut room, anne, "bruno");
    let bruno = room.dial(caller, 2);
    room.switch.plant_fault(caller.call);
    let orders = room.answer(bruno);
    for leg in [caller, anne, bruno] {
        assert!(orders.contains(&Order::Leg(LegOrder::Hangup { leg, why: EndedBy::Fault })), "{leg}");
    }
    assert_eq!((room.state("anne"), room.state("bruno")), (RegulatorState::Ready, RegulatorState::Ready));
}
