//! A regulator's call to an outside number: recorded and told like any other, whoever began it and however it comes out.

use super::returning::{ZOE, busy_room};
use super::*;
use crate::call::signal::Party;
use crate::model::person::ClosedBy;

/// The live call that a regulator has placed.
fn placed(room: &Room) -> LegId {
    let call = room.switch.calls().find(|call| call.record.dialled_by.is_some()).expect("a call that was placed");
    call.caller_leg()
}

fn anne_dials(room: &mut Room) -> (LegId, LegId) {
    dials(room, "anne")
}

/// Somebody dials a number from an own phone, and it is dialled: the leg there, and the phone's.
pub(super) fn dials(room: &mut Room, by: &str) -> (LegId, LegId) {
    let (dialled, orders) = room.dialled(by, "0612345678");
    assert!(!orders.iter().any(|o| matches!(o, Order::Leg(LegOrder::Refuse { .. }))), "{orders:?}");
    let far = placed(room);
    let own = LegId { number: 1, ..far };
    assert!(orders.contains(&Order::Leg(LegOrder::Rename { from: dialled, to: own })));
    room.media(MediaReport::Opened { leg: own, rtp: rtp(4500) });
    let orders = room.media(MediaReport::Opened { leg: far, rtp: rtp(4600) });
    let to = Party::Number { trunk: "trunk".into(), number: "+33612345678".into() };
    assert!(orders.iter().any(|o| matches!(o, Order::Leg(LegOrder::Dial(dial)) if dial.to == to)), "{orders:?}");
    (far, own)
}

fn names(room: &Room, call: LegId) -> Vec<&'static str> {
    room.events(call).into_iter().map(|(_, name)| name).collect()
}

#[test]
fn who_dials_a_number_has_a_call_with_record_events_and_recording() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let (far, own) = anne_dials(&mut room);
    assert_eq!(room.state("anne"), RegulatorState::Talking { call: far.call });
    let rings = room.signal(Signal::Ringing { leg: far, early: None });
    assert!(rings.contains(&Order::Leg(LegOrder::Ring { leg: own })));
    let orders = room.answer(far);
    assert!(orders.iter().any(|o| matches!(o, Order::Leg(LegOrder::Accept { leg, .. }) if *leg == own)));
    assert!(orders.contains(&Order::Media(MediaCommand::Bridge { a: far, b: own })));
    for leg in [far, own] {
        assert!(orders.contains(&Order::Media(MediaCommand::Record { leg, on: true })));
    }
    room.now = room.now.after(Duration::from_secs(30));
    room.signal(Signal::Ended { leg: own, by: Gone::HungUp, detail: None });
    assert_eq!(room.state("anne"), RegulatorState::WrapUp, "as after any caller");
    room.close(far, 2);
    let record = room.last_record(far);
    assert_eq!((record.dialled_by.clone(), record.outcome), (Some("anne".into()), Some(Outcome::Answered)));
    assert_eq!((record.wait_ms(), record.talk_ms()), (None, Some(30_000)));
    assert_eq!((record.line.as_str(), record.regulator), ("cherbourg", Some("anne".into())));
    assert_eq!(names(&room, far), ["call.dialled", "call.reached", "call.ended"]);
    assert!(room.has(|o| matches!(o, Order::Recorder(RecorderCommand::Finish { .. }))));
}

#[test]
fn who_is_not_reached_leaves_a_record_and_the_phone_hears_why() {
    for (refusal, why) in [
        (Some(RefusalKind::Busy), Unserved::Busy),
        (Some(RefusalKind::Declined), Unserved::Declined),
        (Some(RefusalKind::Unreachable), Unserved::Unavailable),
        (None, Unserved::Unavailable),
    ] {
        let mut room = Room::new(|_| {});
        room.register("anne", 1);
        let (far, own) = anne_dials(&mut room);
        let orders = match refusal {
            Some(kind) => room.signal(refused(far, kind)),
            None => room.wait(60),
        };
        assert!(orders.contains(&Order::Leg(LegOrder::Refuse { leg: own, why })), "{refusal:?}: {orders:?}");
        assert_eq!(room.state("anne"), RegulatorState::Ready, "she was ready before");
        room.close(far, 2);
        let record = room.last_record(far);
        assert_eq!((record.outcome, record.answered_at), (Some(Outcome::Unreached), None));
        assert!(!room.has(|o| matches!(o, Order::Recorder(_))));
        assert_eq!(room.switch.calls().count(), 0);
    }
}

#[test]
fn who_hangs_up_while_it_rings_stops_it() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let (far, own) = anne_dials(&mut room);
    let orders = room.signal(Signal::Ended { leg: own, by: Gone::Cancelled, detail: None });
    assert!(orders.iter().any(|o| matches!(o, Order::Leg(LegOrder::Hangup { leg, .. }) if *leg == far)));
    assert_eq!(room.state("anne"), RegulatorState::Ready);
    room.close(far, 2);
    assert_eq!(room.last_record(far).ended_by, Some(EndedBy::Regulator));
}

#[test]
fn on_a_call_out_everything_can_be_done_that_can_be_with_a_caller() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    room.register("bruno", 2);
    let (far, own) = anne_dials(&mut room);
    room.answer(far);
    super::joining::done(&mut room, far, crate::model::control::Control::Add { to: "bruno".into() });
    let bruno = room.dial(far, 2);
    room.answer(bruno);
    room.signal(Signal::Ended { leg: own, by: Gone::HungUp, detail: None });
    assert_eq!(room.state("bruno"), RegulatorState::Talking { call: far.call });
    assert_eq!(room.state("anne"), RegulatorState::WrapUp);
}

fn ask(room: &mut Room, task: LegId, regulator: &str) -> Reply {
    let command = Command::PlaceCallBack { task: task.call, regulator: regulator.into() };
    let orders = room.give(SwitchInput::Command { ticket: Ticket(5), command });
    let reply = |order| match order {
        Order::Reply { reply, .. } => Some(reply),
        _ => None,
    };
    orders.into_iter().find_map(reply).expect("a reply")
}

/// Zoe has hung up after a wait, and Bruno is free.
fn owed() -> (Room, LegId) {
    let mut room = busy_room();
    let first = room.call_of(ZOE);
    room.wait(30);
    room.hang_up(first);
    room.register("bruno", 2);
    (room, first)
}

#[test]
fn the_api_rings_the_regulator_first_and_the_task_closes_itself_when_the_person_picks_up() {
    let (mut room, task) = owed();
    assert_eq!(ask(&mut room, task, "bruno"), Reply::Done);
    let far = placed(&room);
    assert_eq!(room.state("bruno"), RegulatorState::Ringing { call: far.call });
    let phone = room.dial(far, 1);
    assert!(
        !room.has(|o| matches!(o, Order::Media(MediaCommand::Open { leg }) if *leg == far)),
        "not before he is there"
    );
    room.answer(phone);
    let orders = room.media(MediaReport::Opened { leg: far, rtp: rtp(4600) });
    let dials = |o: &Order| matches!(o, Order::Leg(LegOrder::Dial(dial)) if matches!(&dial.to, Party::Number { number, .. } if number == ZOE));
    assert!(orders.iter().any(dials), "{orders:?}");
    assert!(room.tasks().iter().all(|task| task.closed.is_none()));
    room.answer(far);
    let [task] = room.tasks().try_into().expect("one task");
    assert_eq!(task.closed.map(|closed| closed.by), Some(ClosedBy::CalledBack { regulator: "bruno".into() }));
    assert_eq!(task.call_backs.iter().map(|back| back.reached).collect::<Vec<_>>(), [true]);
    assert_eq!(room.state("bruno"), RegulatorState::Talking { call: far.call });
}

#[test]
fn a_regulator_who_does_not_pick_up_leaves_the_task_open_and_nobody_is_dialled() {
    let (mut room, task) = owed();
    assert_eq!(ask(&mut room, task, "bruno"), Reply::Done);
    let far = placed(&room);
    room.dial(far, 1);
    room.wait(15);
    assert_eq!(room.state("bruno"), RegulatorState::Paused { reason: PauseReason::NoAnswer });
    assert!(!room.has(|o| matches!(o, Order::Media(MediaCommand::Open { leg }) if *leg == far)));
    assert!(room.tasks().iter().all(|task| task.closed.is_none()));
    room.close(far, 2);
    assert_eq!(room.last_record(far).outcome, Some(Outcome::Unreached));
}

#[test]
fn who_is_busy_unknown_or_without_a_phone_and_a_task_that_is_none_are_refused() {
    let (mut room, task) = owed();
    assert!(matches!(ask(&mut room, task, "anne"), Reply::Refused(_)), "she talks");
    assert!(matches!(ask(&mut room, task, "zorro"), Reply::Refused(_)));
    let other = LegId { call: CallId::new(room.now.utc, &mut room.chance), number: 0 };
    assert_eq!(ask(&mut room, other, "bruno"), Reply::Unknown);
}
