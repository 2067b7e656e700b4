//! Further parties: the doctor on the road, the SAMU, colleagues; and what becomes of the caller when anybody goes.

use super::consulting::anne_talks;
use super::*;
use crate::model::control::{Control, Destination, Supervision};
use crate::model::event::TransferParty;
use crate::model::{MixedLeg, Side};

pub fn order(room: &mut Room, call: LegId, control: Control) -> (Vec<Order>, Reply) {
    let command = Command::Control { call: call.call, control };
    let orders = room.give(SwitchInput::Command { ticket: Ticket(9), command });
    let reply = |order: &Order| match order {
        Order::Reply { reply, .. } => Some(reply.clone()),
        _ => None,
    };
    let reply = orders.iter().find_map(reply).expect("a reply");
    (orders, reply)
}

pub fn done(room: &mut Room, call: LegId, control: Control) -> Vec<Order> {
    let (orders, reply) = order(room, call, control);
    assert_eq!(reply, Reply::Done);
    orders
}

/// The last mix: who hears whom, by the numbers of the legs.
pub fn hears(orders: &[Order]) -> Vec<(u16, Vec<u16>)> {
    let number = |leg: &LegId| leg.number;
    let mix = |order: &Order| match order {
        Order::Media(MediaCommand::Mix { legs }) => Some(legs.clone()),
        _ => None,
    };
    let legs: Vec<MixedLeg> = orders.iter().rev().find_map(mix).expect("a mix");
    legs.iter().map(|one| (one.leg.number, one.hears.iter().map(number).collect())).collect()
}

fn all_three() -> Vec<(u16, Vec<u16>)> {
    vec![(0, vec![1, 2]), (1, vec![0, 2]), (2, vec![0, 1])]
}

/// Anne, a caller, and a doctor on the road who has joined them.
fn three(room: &mut Room) -> (LegId, LegId, LegId) {
    let (caller, anne) = anne_talks(room);
    done(room, caller, Control::Add { to: "+33612345678".into() });
    let doctor = room.dial(caller, 2);
    let joined = room.answer(doctor);
    assert_eq!(hears(&joined), all_three());
    (caller, anne, doctor)
}

fn ends(room: &mut Room, leg: LegId) -> Vec<Order> {
    room.signal(Signal::Ended { leg, by: Gone::HungUp, detail: None })
}

fn bridges(orders: &[Order], a: LegId, b: LegId) -> bool {
    orders.contains(&Order::Media(MediaCommand::Bridge { a, b }))
}

fn names(room: &Room, call: LegId) -> Vec<&'static str> {
    room.events(call).into_iter().map(|(_, name)| name).collect()
}

fn is_hung_up(orders: &[Order], wanted: LegId) -> bool {
    orders.iter().any(|order| matches!(order, Order::Leg(LegOrder::Hangup { leg, .. }) if *leg == wanted))
}

#[test]
fn a_doctor_on_the_road_joins_and_all_three_hear_each_other_and_are_recorded() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    let asked = done(&mut room, caller, Control::Add { to: "+33612345678".into() });
    let unbridged = |order: &Order| matches!(order, Order::Media(MediaCommand::Unbridge { .. }));
    assert!(!asked.iter().any(unbridged), "they talk on while it rings");
    let doctor = room.dial(caller, 2);
    let joined = room.answer(doctor);
    assert_eq!(hears(&joined), all_three());
    assert!(joined.contains(&Order::Media(MediaCommand::Record { leg: doctor, on: true })));
    assert!(joined.iter().any(|order| matches!(
        order,
        Order::Recorder(RecorderCommand::Leg { leg, side: Side::Outside, .. }) if *leg == doctor
    )));
    let left = ends(&mut room, doctor);
    assert!(bridges(&left, caller, anne), "the two talk on: {left:?}");
    ends(&mut room, anne);
    assert_eq!(room.state("anne"), RegulatorState::WrapUp);
    room.close(caller, 3);
    let expected = ["call.joined", "call.left", "call.ended"];
    assert!(names(&room, caller).ends_with(&expected), "{:?}", names(&room, caller));
}

#[test]
fn a_doctor_who_does_not_come_leaves_the_two_as_they_were() {
    for way in 0..3 {
        let mut room = Room::new(|_| {});
        let (caller, anne) = anne_talks(&mut room);
        done(&mut room, caller, Control::Add { to: "+33612345678".into() });
        let doctor = room.dial(caller, 2);
        let orders = match way {
            0 => room.signal(refused(doctor, RefusalKind::Busy)),
            1 => room.signal(refused(doctor, RefusalKind::Unreachable)),
            _ => room.wait(60),
        };
        let parted = |order: &Order| matches!(order, Order::Media(MediaCommand::Unbridge { .. }));
        assert!(!orders.iter().any(parted), "{orders:?}");
        assert_eq!(names(&room, caller).last(), Some(&"call.join-failed"));
        assert_eq!(room.state("anne"), RegulatorState::Talking { call: caller.call });
        ends(&mut room, anne);
        room.close(caller, 3);
        assert_eq!(room.last_record(caller).outcome, Some(Outcome::Answered));
    }
}

#[test]
fn who_joined_has_the_caller_when_the_regulator_goes_in_whatever_way() {
    for way in 0..3 {
        let mut room = Room::new(|_| {});
        let (caller, anne, doctor) = three(&mut room);
        let orders = match way {
            0 => ends(&mut room, anne),
            1 => done(&mut room, caller, Control::Leave),
            _ => room.media(MediaReport::Silent { leg: anne }),
        };
        assert!(bridges(&orders, caller, doctor), "{way}: {orders:?}");
        assert_eq!(is_hung_up(&orders, anne), way > 0);
        assert!(!is_hung_up(&orders, caller));
        assert!(matches!(room.state("anne"), RegulatorState::WrapUp | RegulatorState::Paused { .. }), "{way}");
        assert_eq!(names(&room, caller).last(), Some(&"call.transferred"));
        ends(&mut room, caller);
        room.close(caller, 3);
        assert_eq!(room.last_record(caller).outcome, Some(Outcome::Answered));
        assert_eq!(room.kept("calls"), 1, "being sealed");
    }
}

#[test]
fn a_colleague_who_joined_has_the_caller_like_any_regulator_afterwards() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    done(&mut room, caller, Control::Add { to: "bruno".into() });
    assert_eq!(room.state("bruno"), RegulatorState::Ringing { call: caller.call });
    let bruno = room.dial(caller, 2);
    room.answer(bruno);
    assert_eq!(room.state("bruno"), RegulatorState::Talking { call: caller.call });
    ends(&mut room, anne);
    assert_eq!(names(&room, caller).last(), Some(&"call.answered"));
    ends(&mut room, bruno);
    assert_eq!((room.state("anne"), room.state("bruno")), (RegulatorState::WrapUp, RegulatorState::WrapUp));
    room.close(caller, 3);
    assert_eq!(room.last_record(caller).regulator, Some("bruno".into()));
}

#[test]
fn a_colleague_who_joined_and_left_is_what_he_was() {
    let mut room = Room::new(|_| {});
    let (caller, _) = anne_talks(&mut room);
    done(&mut room, caller, Control::Add { to: "bruno".into() });
    let bruno = room.dial(caller, 2);
    room.answer(bruno);
    let dropped = done(&mut room, caller, Control::Drop { leg: None });
    assert!(is_hung_up(&dropped, bruno));
    assert_eq!(room.state("bruno"), RegulatorState::Ready);
    assert_eq!(room.state("anne"), RegulatorState::Talking { call: caller.call });
}

#[test]
fn the_callers_end_is_everybodys() {
    let mut room = Room::new(|_| {});
    let (caller, anne, doctor) = three(&mut room);
    done(&mut room, caller, Control::Supervise { by: "bruno".into(), way: Supervision::Listen });
    let over = ends(&mut room, caller);
    for leg in [anne, doctor] {
        assert!(is_hung_up(&over, leg));
    }
    assert_eq!((room.state("anne"), room.state("bruno")), (RegulatorState::WrapUp, RegulatorState::Ready));
    room.close(caller, 4);
    assert_eq!(room.last_record(caller).legs.len(), 4);
}

#[test]
fn a_held_caller_hears_music_while_regulator_and_doctor_talk() {
    let mut room = Room::new(|_| {});
    let (caller, _, _) = three(&mut room);
    let held = done(&mut room, caller, Control::Hold);
    assert_eq!(hears(&held), [(1, vec![2]), (2, vec![1])]);
    assert!(held.iter().any(|o| matches!(o, Order::Media(MediaCommand::Play { leg, .. }) if *leg == caller)));
    let back = done(&mut room, caller, Control::Resume);
    assert_eq!(hears(&back), all_three());
    let told: Vec<_> = names(&room, caller).into_iter().filter(|name| name.starts_with("call.h")).collect();
    assert_eq!(told, ["call.held"]);
}

#[test]
fn a_caller_held_by_the_api_is_bridged_again_when_taken_back() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    let held = done(&mut room, caller, Control::Hold);
    assert!(held.contains(&Order::Media(MediaCommand::Unbridge { leg: caller })));
    assert!(done(&mut room, caller, Control::Hold).iter().all(|o| !matches!(o, Order::Media(_))), "held already");
    assert!(bridges(&done(&mut room, caller, Control::Resume), caller, anne));
}

#[test]
fn whom_the_regulator_has_asked_joins_over_the_same_leg() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    let own = room.own_call("anne", "+33612345678");
    let asked = room.dial(own, 1);
    room.answer(asked);
    let joined = done(&mut room, caller, Control::Join);
    let place = LegId { number: 2, ..caller };
    assert!(joined.contains(&Order::Media(MediaCommand::Rename { from: asked, to: place })));
    assert_eq!(hears(&joined), all_three());
    assert!(is_hung_up(&joined, own), "the phone's second call is over");
    assert!(!is_hung_up(&joined, anne));
    assert_eq!(room.kept("calls among colleagues"), 0);
    assert_eq!(names(&room, caller).last(), Some(&"call.joined"));
}

#[test]
fn a_hand_off_to_the_samu_is_one_order_and_the_caller_is_never_alone() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    done(&mut room, caller, Control::HandToSamu);
    assert_eq!(names(&room, caller).last(), Some(&"call.handed-to-samu"), "told before anybody there picks up");
    assert!(matches!(order(&mut room, caller, Control::HandToSamu).1, Reply::Refused(_)), "once");
    let samu = room.dial(caller, 2);
    assert_eq!(hears(&room.answer(samu)), all_three());
    assert!(bridges(&ends(&mut room, anne), caller, samu));
    let to = room.facts().find_map(|fact| match fact {
        Fact::Event(event) => match &event.kind {
            EventKind::CallTransferred { to, .. } => Some(to.clone()),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(to, Some(TransferParty::Number("15".into())));
}

#[test]
fn who_hangs_up_while_the_samu_rings_leaves_the_caller_waiting_for_it_and_then_in_the_old_place() {
    for comes in [true, false] {
        let mut room = Room::new(|_| {});
        let (caller, anne) = anne_talks(&mut room);
        done(&mut room, caller, Control::HandToSamu);
        let samu = room.dial(caller, 2);
        let alone = ends(&mut room, anne);
        assert!(alone.iter().any(|o| matches!(o, Order::Media(MediaCommand::Play { leg, .. }) if *leg == caller)));
        assert!(!is_hung_up(&alone, samu) && !is_hung_up(&alone, caller));
        if comes {
            assert!(bridges(&room.answer(samu), caller, samu));
        } else {
            room.signal(refused(samu, RefusalKind::Declined));
            let waits = room.switch.room().is_waiting(caller.call);
            assert!(waits || room.state("bruno") == RegulatorState::Ringing { call: caller.call });
        }
    }
}

#[test]
fn a_caller_put_back_waits_in_the_old_place() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    let pause = Command::Pause { regulator: "bruno".into(), reason: "lunch".into() };
    room.give(SwitchInput::Command { ticket: Ticket(1), command: pause });
    room.wait(30);
    let later = room.call();
    let orders = done(&mut room, caller, Control::Requeue);
    assert!(is_hung_up(&orders, anne));
    let order: Vec<CallId> = room.switch.room().waiting(room.now).iter().map(|one| one.call).collect();
    assert_eq!(order, [caller.call, later.call]);
    assert_eq!(room.state("anne"), RegulatorState::WrapUp);
}

#[test]
fn a_caller_is_handed_to_a_skill_by_the_waiting_room_unless_nobody_has_it() {
    let mut room = Room::new(|_| {});
    let (caller, _) = anne_talks(&mut room);
    let to = |to: &str, level| Control::Transfer(Destination { to: to.into(), level });
    assert!(matches!(order(&mut room, caller, to("regulation", 100)).1, Reply::Refused(_)));
    assert!(matches!(order(&mut room, caller, to("nobody", 1)).1, Reply::Refused(_)));
    assert_eq!(room.state("anne"), RegulatorState::Talking { call: caller.call });
    done(&mut room, caller, to("regulation", 10));
    assert_eq!(room.state("bruno"), RegulatorState::Ringing { call: caller.call });
    assert_eq!(room.last_record(caller).skills, sample::skills(&[("regulation", 10)]));
}

#[test]
fn a_caller_who_waits_is_moved_to_a_regulator_and_waits_again_when_nobody_comes() {
    let mut room = Room::new(|_| {});
    let (_, _) = anne_talks(&mut room);
    let pause = Command::Pause { regulator: "bruno".into(), reason: "lunch".into() };
    room.give(SwitchInput::Command { ticket: Ticket(1), command: pause });
    let waits = room.call();
    done(&mut room, waits, Control::Transfer(Destination { to: "bruno".into(), level: 1 }));
    assert_eq!(room.state("bruno"), RegulatorState::Ringing { call: waits.call });
    let bruno = room.dial(waits, 1);
    room.signal(refused(bruno, RefusalKind::Declined));
    assert!(room.switch.room().is_waiting(waits.call));
    done(&mut room, waits, Control::Transfer(Destination { to: "bruno".into(), level: 1 }));
    let bruno = room.dial(waits, 2);
    assert!(bridges(&room.answer(bruno), waits, bruno));
    assert_eq!(room.state("bruno"), RegulatorState::Talking { call: waits.call });
}

#[test]
fn a_caller_moved_to_the_line_it_waits_on_waits_no_longer_for_that() {
    let mut room = Room::new(|line| line.waiting_max = Duration::from_secs(30));
    let (_, _) = anne_talks(&mut room);
    let pause = Command::Pause { regulator: "bruno".into(), reason: "lunch".into() };
    room.give(SwitchInput::Command { ticket: Ticket(1), command: pause });
    let waits = room.call();
    for _ in 0..2 {
        room.wait(14);
        done(&mut room, waits, Control::Transfer(Destination { to: "cherbourg".into(), level: 1 }));
        assert!(room.switch.room().is_waiting(waits.call));
    }
    room.wait(2);
    assert!(!room.switch.room().is_waiting(waits.call), "thirty seconds and not forty-four");
}

#[test]
fn a_call_made_urgent_while_it_waits_is_served_first() {
    let mut room = Room::new(|_| {});
    let (_, anne) = anne_talks(&mut room);
    let pause = Command::Pause { regulator: "bruno".into(), reason: "lunch".into() };
    room.give(SwitchInput::Command { ticket: Ticket(1), command: pause });
    let (_first, second) = (room.call(), room.call());
    let change = crate::model::DemandChange { priority: Some(1), ..Default::default() };
    done(&mut room, second, Control::Demand(change));
    assert_eq!(names(&room, second).last(), Some(&"call.demand-changed"));
    let line = room.facts().find_map(|fact| match fact {
        Fact::Event(event) => match &event.kind {
            EventKind::CallDemandChanged { line, .. } => line.clone(),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(line, Some("cherbourg".into()));
    ends(&mut room, anne);
    room.wait(10);
    assert_eq!(room.state("anne"), RegulatorState::Ringing { call: second.call });
}

#[test]
fn a_waiting_caller_moved_to_an_outside_number_waits_no_more_and_is_owed_nothing() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let busy = room.call();
    let leg = room.dial(busy, 1);
    room.answer(leg);
    let gone = room.call_of("+33612345678");
    room.wait(30);
    room.signal(Signal::Ended { leg: gone, by: Gone::HungUp, detail: None });
    room.close(gone, 1);
    assert_eq!(room.switch.persons.tasks().count(), 1);
    let caller = room.call_of("+33612345678");
    room.wait(20);
    done(&mut room, caller, Control::Transfer(Destination { to: "15".into(), level: 1 }));
    let outside = room.dial(caller, 1);
    room.answer(outside);
    assert_eq!(room.switch.persons.tasks().count(), 0, "somebody talks with the person");
    room.wait(300);
    room.signal(Signal::Ended { leg: caller, by: Gone::HungUp, detail: None });
    room.close(caller, 2);
    assert_eq!(room.last_record(caller).wait_ms(), Some(20_000));
}
