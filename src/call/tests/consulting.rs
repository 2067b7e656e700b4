//! A regulator's own calls: to colleagues and numbers, with and without a caller beside.

use super::*;
use crate::call::consult::{CONSULT_DURATION_MAX, CONSULT_RING_MAX};
use crate::call::signal::Party;

/// Anne talks with a caller; Bruno and his phone are free. The caller's leg and Anne's.
pub fn anne_talks(room: &mut Room) -> (LegId, LegId) {
    room.register("anne", 1);
    let caller = room.call();
    let leg = room.dial(caller, 1);
    room.answer(leg);
    room.register("bruno", 2);
    (caller, leg)
}

#[test]
fn a_colleague_is_rung_answers_and_both_are_busy_until_either_hangs_up() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    room.register("bruno", 2);
    let own = room.own_call("anne", "bruno");
    assert_eq!(room.state("bruno"), RegulatorState::Ringing { call: own.call });
    assert_eq!(room.state("anne"), RegulatorState::Talking { call: own.call }, "nobody rings at a phone in use");
    let other = room.dial(own, 1);
    let rings = room.signal(Signal::Ringing { leg: other, early: None });
    assert!(rings.contains(&Order::Leg(LegOrder::Ring { leg: own })));
    let caller = room.call();
    let answered = room.answer(other);
    assert!(answered.iter().any(|o| matches!(o, Order::Leg(LegOrder::Accept { leg, .. }) if *leg == own)));
    assert!(answered.contains(&Order::Media(MediaCommand::Bridge { a: own, b: other })));
    assert_eq!(room.state("bruno"), RegulatorState::Talking { call: own.call });
    assert!(room.switch.room().is_waiting(caller.call), "neither is offered anything");
    assert!(!room.has(|o| matches!(o, Order::Recorder(_) | Order::Media(MediaCommand::Record { .. }))));
    assert!(room.facts().all(|fact| !matches!(fact, Fact::Call(record) if record.id == own.call)), "no record");
    room.signal(Signal::Ended { leg: other, by: Gone::HungUp, detail: None });
    assert!(room.has(|o| matches!(o, Order::Leg(LegOrder::Hangup { leg, .. }) if *leg == own)));
    let states = [room.state("anne"), room.state("bruno")];
    assert!(states.contains(&RegulatorState::Ringing { call: caller.call }), "{states:?}");
    assert!(states.contains(&RegulatorState::Ready), "{states:?}");
    assert_eq!(room.kept("calls among colleagues"), 0);
}

#[test]
fn who_asks_a_colleague_stays_with_the_caller_and_the_colleague_goes_back_to_his_pause() {
    let mut room = Room::new(|_| {});
    let (caller, _) = anne_talks(&mut room);
    room.give(SwitchInput::Command {
        ticket: Ticket(1),
        command: Command::Pause { regulator: "bruno".into(), reason: "lunch".into() },
    });
    let own = room.own_call("anne", "bruno");
    let other = room.dial(own, 1);
    room.answer(other);
    assert_eq!(room.state("anne"), RegulatorState::Talking { call: caller.call });
    assert_eq!(room.state("bruno"), RegulatorState::Talking { call: own.call });
    room.signal(Signal::Ended { leg: own, by: Gone::HungUp, detail: None });
    assert!(room.has(|o| matches!(o, Order::Leg(LegOrder::Hangup { leg, .. }) if *leg == other)));
    assert_eq!(room.state("anne"), RegulatorState::Talking { call: caller.call });
    assert_eq!(room.state("bruno"), RegulatorState::Paused { reason: PauseReason::Operator("lunch".into()) });
}

#[test]
fn whose_caller_hangs_up_is_not_free_before_the_colleague_does() {
    let mut room = Room::new(|_| {});
    let (caller, _) = anne_talks(&mut room);
    let own = room.own_call("anne", "bruno");
    let other = room.dial(own, 1);
    room.answer(other);
    room.signal(Signal::Ended { leg: caller, by: Gone::HungUp, detail: None });
    assert_eq!(room.state("anne"), RegulatorState::Talking { call: own.call });
    room.signal(Signal::Ended { leg: own, by: Gone::HungUp, detail: None });
    assert_eq!(room.state("anne"), RegulatorState::WrapUp);
}

#[test]
fn whom_one_cannot_reach_is_told_as_phones_say_it() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let refused = |orders: &[Order]| {
        orders.iter().find_map(|order| match order {
            Order::Leg(LegOrder::Refuse { why, .. }) => Some(*why),
            _ => None,
        })
    };
    let try_dial = |room: &mut Room, digits: &str| refused(&room.dialled("anne", digits).1);
    assert_eq!(try_dial(&mut room, "bruno"), Some(Unserved::Unavailable), "offline");
    assert_eq!(try_dial(&mut room, "anne"), Some(Unserved::Busy), "oneself");
    assert_eq!(try_dial(&mut room, "nobody"), Some(Unserved::NotFound));
    assert_eq!(try_dial(&mut room, "0899000000"), Some(Unserved::NotFound), "no trunk dials");
    room.register("bruno", 2);
    room.call();
    let (rung, free) = match room.state("anne") {
        RegulatorState::Ringing { .. } => ("anne", "bruno"),
        _ => ("bruno", "anne"),
    };
    assert_eq!(refused(&room.dialled(free, rung).1), Some(Unserved::Busy), "being rung");
    assert_eq!(refused(&room.dialled(rung, free).1), Some(Unserved::Busy), "his own phone rings");
    assert_eq!(room.kept("calls among colleagues"), 0);
}

#[test]
fn a_colleague_who_declines_is_busy_or_does_not_pick_up_is_told_and_goes_back_to_what_he_was() {
    for (kind, why) in [
        (Some(RefusalKind::Declined), Unserved::Declined),
        (Some(RefusalKind::Busy), Unserved::Busy),
        (Some(RefusalKind::Unreachable), Unserved::Unavailable),
        (None, Unserved::Unavailable),
    ] {
        let mut room = Room::new(|_| {});
        room.register("anne", 1);
        room.register("bruno", 2);
        let own = room.own_call("anne", "bruno");
        let other = room.dial(own, 1);
        let orders = match kind {
            Some(kind) => room.signal(refused(other, kind)),
            None => room.wait(CONSULT_RING_MAX.as_secs()),
        };
        assert!(orders.contains(&Order::Leg(LegOrder::Refuse { leg: own, why })), "{kind:?}: {orders:?}");
        let hung_up = orders.iter().any(|o| matches!(o, Order::Leg(LegOrder::Hangup { leg, .. }) if *leg == other));
        assert_eq!(hung_up, kind.is_none(), "{kind:?}");
        assert_eq!((room.state("anne"), room.state("bruno")), (RegulatorState::Ready, RegulatorState::Ready));
        assert_eq!(room.kept("calls among colleagues"), 0, "{kind:?}");
    }
}

#[test]
fn of_a_colleagues_two_devices_the_one_not_picked_up_stops_ringing() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    room.register("bruno", 2);
    room.register("bruno", 3);
    let own = room.own_call("anne", "bruno");
    let (desk, mobile) = (room.dial(own, 1), room.dial(own, 2));
    room.signal(refused(desk, RefusalKind::Busy));
    assert_eq!(room.state("bruno"), RegulatorState::Ringing { call: own.call }, "the other still rings");
    room.answer(mobile);
    assert_eq!(room.state("bruno"), RegulatorState::Talking { call: own.call });
    assert!(!room.has(|o| matches!(o, Order::Leg(LegOrder::Hangup { leg, .. }) if *leg == desk)), "it is gone");
}

#[test]
fn a_caller_of_his_own_who_gives_up_stops_the_colleagues_phone() {
    let mut room = Room::new(|_| {});
    let (caller, _) = anne_talks(&mut room);
    let own = room.own_call("anne", "bruno");
    let other = room.dial(own, 1);
    let orders = room.signal(Signal::Ended { leg: own, by: Gone::Cancelled, detail: None });
    assert!(orders.iter().any(|o| matches!(o, Order::Leg(LegOrder::Hangup { leg, .. }) if *leg == other)));
    assert_eq!(room.state("bruno"), RegulatorState::Ready);
    assert_eq!(room.state("anne"), RegulatorState::Talking { call: caller.call });
}

#[test]
fn hold_among_colleagues_plays_music_and_resume_joins_them_again() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    room.register("bruno", 2);
    let own = room.own_call("anne", "bruno");
    let other = room.dial(own, 1);
    room.answer(other);
    let held = room.signal(Signal::Reoffered { leg: own, remote: remote(Direction::ReceiveOnly) });
    assert!(held.iter().any(|o| matches!(o, Order::Media(MediaCommand::Play { leg, .. }) if *leg == other)));
    let resumed = room.signal(Signal::Reoffered { leg: own, remote: remote(Direction::Both) });
    assert!(resumed.contains(&Order::Media(MediaCommand::Bridge { a: own, b: other })));
}

#[test]
fn a_phone_that_vanishes_in_any_state_ends_it_and_frees_both() {
    for vanishes in 0..5 {
        let mut room = Room::new(|_| {});
        room.register("anne", 1);
        room.register("bruno", 2);
        let own = room.own_call("anne", "bruno");
        let other = room.dial(own, 1);
        match vanishes {
            0 => drop(room.signal(Signal::Unregistered { regulator: "bruno".into(), device: DeviceId(2) })),
            1 => drop(room.signal(Signal::Ended { leg: own, by: Gone::Lost, detail: None })),
            _ => {
                room.answer(other);
                let leg = if vanishes == 3 { own } else { other };
                match vanishes {
                    4 => drop(room.signal(Signal::Ended { leg, by: Gone::Lost, detail: None })),
                    _ => drop(room.media(MediaReport::Silent { leg })),
                }
            }
        }
        let bruno = match vanishes {
            0 => RegulatorState::Offline,
            1 | 3 => RegulatorState::Ready,
            _ => RegulatorState::Paused { reason: PauseReason::Unreachable },
        };
        assert_eq!((room.state("anne"), room.state("bruno")), (RegulatorState::Ready, bruno), "case {vanishes}");
        assert_eq!(room.kept("calls among colleagues"), 0, "case {vanishes}");
    }
}

#[test]
fn it_does_not_last_for_ever_and_outlives_no_stop() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    room.register("bruno", 2);
    let own = room.own_call("anne", "bruno");
    let other = room.dial(own, 1);
    room.answer(other);
    room.wait(CONSULT_DURATION_MAX.as_secs());
    assert_eq!((room.kept("calls among colleagues"), room.state("anne")), (0, RegulatorState::Ready));
    let own = room.own_call("anne", "bruno");
    let drained = room.give(SwitchInput::Command { ticket: Ticket(1), command: Command::Drain });
    assert!(drained.contains(&Order::Reply { ticket: Ticket(1), reply: Reply::Drained }));
    assert!(drained.iter().any(|o| matches!(o, Order::Leg(LegOrder::Hangup { leg, .. }) if *leg == own)));
}

#[test]
fn beside_a_caller_an_outside_number_is_asked_where_a_trunk_may_dial_it() {
    let mut room = Room::new(|_| {});
    let (caller, _) = anne_talks(&mut room);
    for (digits, number) in [("0612345678", "+33612345678"), ("15", "15")] {
        let own = room.own_call("anne", digits);
        let orders = room.media(MediaReport::Opened { leg: LegId { number: 1, ..own }, rtp: rtp(5000) });
        let to = Party::Number { trunk: "trunk".into(), number: number.into() };
        assert!(orders.iter().any(|o| matches!(o, Order::Leg(LegOrder::Dial(dial)) if dial.to == to)), "{orders:?}");
        room.answer(LegId { number: 1, ..own });
        assert_eq!(room.kept("calls among colleagues"), 1);
        room.signal(Signal::Ended { leg: LegId { number: 1, ..own }, by: Gone::HungUp, detail: None });
        assert_eq!(room.state("anne"), RegulatorState::Talking { call: caller.call });
    }
    for digits in ["0899000000", "150", "+33712345678", "1515151515", "+15"] {
        let orders = room.dialled("anne", digits).1;
        let is_refused =
            orders.iter().any(|o| matches!(o, Order::Leg(LegOrder::Refuse { why: Unserved::NotFound, .. })));
        assert_eq!(is_refused, digits != "150", "{digits}");
        room.give(SwitchInput::Command { ticket: Ticket(1), command: Command::EndAll });
    }
}
