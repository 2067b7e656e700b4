//! Supervisors: listen, whisper, barge in, take over; by the API, by a phone's code and by its keys.

use super::consulting::anne_talks;
use super::joining::{done, hears, order};
use super::*;
use crate::model::control::{Control, Supervision};

fn supervise(room: &mut Room, caller: LegId, way: Supervision) -> Vec<Order> {
    done(room, caller, Control::Supervise { by: "bruno".into(), way })
}

/// Anne talks with a caller, and Bruno listens.
fn bruno_listens(room: &mut Room) -> (LegId, LegId, LegId, Vec<Order>) {
    let (caller, anne) = anne_talks(room);
    supervise(room, caller, Supervision::Listen);
    let bruno = room.dial(caller, 2);
    let there = room.answer(bruno);
    (caller, anne, bruno, there)
}

#[test]
fn who_listens_hears_both_and_is_heard_and_recorded_by_nobody() {
    let mut room = Room::new(|_| {});
    let (_, _, bruno, there) = bruno_listens(&mut room);
    assert_eq!(hears(&there), [(0, vec![1]), (1, vec![0]), (2, vec![0, 1])]);
    assert!(!room.has(|o| matches!(o, Order::Media(MediaCommand::Record { leg, .. }) if *leg == bruno)));
}

#[test]
fn the_way_changes_at_once_and_only_what_the_caller_hears_is_recorded() {
    let mut room = Room::new(|_| {});
    let (caller, _, bruno, _) = bruno_listens(&mut room);
    let whisper = supervise(&mut room, caller, Supervision::Whisper);
    assert_eq!(hears(&whisper), [(0, vec![1]), (1, vec![0, 2]), (2, vec![0, 1])]);
    let barge = supervise(&mut room, caller, Supervision::BargeIn);
    assert_eq!(hears(&barge), [(0, vec![1, 2]), (1, vec![0, 2]), (2, vec![0, 1])]);
    assert!(barge.contains(&Order::Media(MediaCommand::Record { leg: bruno, on: true })));
    let listen = supervise(&mut room, caller, Supervision::Listen);
    assert!(listen.contains(&Order::Media(MediaCommand::Record { leg: bruno, on: false })));
    let again = supervise(&mut room, caller, Supervision::BargeIn);
    assert!(again.contains(&Order::Media(MediaCommand::Record { leg: bruno, on: true })));
    let told = room.events(caller).iter().filter(|(_, name)| *name == "call.supervised").count();
    assert_eq!(told, 5);
}

#[test]
fn who_takes_over_has_the_caller_and_the_regulator_is_free() {
    let mut room = Room::new(|_| {});
    let (caller, anne, bruno, _) = bruno_listens(&mut room);
    let orders = supervise(&mut room, caller, Supervision::TakeOver);
    assert!(orders.contains(&Order::Media(MediaCommand::Bridge { a: caller, b: bruno })), "{orders:?}");
    assert!(orders.iter().any(|o| matches!(o, Order::Leg(LegOrder::Hangup { leg, .. }) if *leg == anne)));
    assert_eq!(room.state("anne"), RegulatorState::WrapUp);
    room.signal(Signal::Ended { leg: bruno, by: Gone::HungUp, detail: None });
    assert_eq!(room.state("bruno"), RegulatorState::WrapUp, "as after any caller");
    room.close(caller, 3);
    assert_eq!(room.last_record(caller).regulator, Some("bruno".into()));
}

#[test]
fn who_only_listened_goes_with_the_call_and_is_what_he_was() {
    let mut room = Room::new(|_| {});
    let (caller, anne, bruno, _) = bruno_listens(&mut room);
    let over = room.signal(Signal::Ended { leg: anne, by: Gone::HungUp, detail: None });
    for leg in [caller, bruno] {
        assert!(over.iter().any(|o| matches!(o, Order::Leg(LegOrder::Hangup { leg: hung, .. }) if *hung == leg)));
    }
    assert_eq!(room.state("bruno"), RegulatorState::Ready);
}

#[test]
fn nobody_supervises_an_own_call_or_without_a_phone() {
    let mut room = Room::new(|_| {});
    let (caller, _) = anne_talks(&mut room);
    for by in ["anne", "nobody"] {
        let (_, reply) = order(&mut room, caller, Control::Supervise { by: by.into(), way: Supervision::Listen });
        assert!(matches!(reply, Reply::Refused(_)), "{by}: {reply:?}");
    }
}
