//! Persons who call again keep their wait, and whoever hung up is a task until somebody has served the person.

use super::*;
use crate::model::person::{CallBack, ClosedBy};
use crate::model::{AbandonedCaller, E164};

impl Room {
    /// A call of this number, verified; accepted.
    pub(super) fn call_of(&mut self, number: &str) -> LegId {
        self.call_with(Caller { raw: number.into(), e164: E164::parse(number), verified: true, ..Caller::default() })
    }

    pub(super) fn call_with(&mut self, caller: Caller) -> LegId {
        let leg = LegId { call: CallId::new(self.now.utc, &mut self.chance), number: 0 };
        self.signal(Signal::Incoming(Box::new(Incoming {
            context: Box::default(),
            leg,
            trunk: "trunk".into(),
            ddi: "0233010101".into(),
            caller,
            sip_call_id: "a@b".into(),
            remote: remote(Direction::Both),
        })));
        self.media(MediaReport::Opened { leg, rtp: rtp(4000) });
        leg
    }

    pub(super) fn hang_up(&mut self, leg: LegId) {
        self.signal(Signal::Ended { leg, by: Gone::HungUp, detail: None });
        self.close(leg, 1);
    }

    /// Each task as it was stored last.
    pub(super) fn tasks(&self) -> Vec<AbandonedCaller> {
        let mut tasks: Vec<AbandonedCaller> = Vec::new();
        for fact in self.facts() {
            if let Fact::Abandoned(task) = fact {
                tasks.retain(|known| known.id != task.id);
                tasks.push((**task).clone());
            }
        }
        tasks
    }
}

fn room() -> Room {
    let mut room = Room::new(|_| {});
    // Somebody is on duty, and away.
    room.now = room.now.after(Duration::from_secs(86_400));
    room.register("anne", 1);
    room
}

/// Everybody on duty is on a call, so that whoever comes waits.
pub(super) fn busy_room() -> Room {
    let mut room = room();
    let first = room.call();
    let leg = room.dial(first, 1);
    room.answer(leg);
    room
}

pub(super) const ZOE: &str = "+33612345678";
const YVES: &str = "+33699999999";

#[test]
fn a_person_who_calls_again_is_served_before_those_who_waited_less() {
    let mut room = busy_room();
    let first = room.call_of(ZOE);
    room.wait(60);
    room.hang_up(first);
    room.wait(20);
    let other = room.call_of(YVES);
    room.wait(30);
    let again = room.call_of(ZOE);
    room.register("bruno", 2);
    assert_eq!(room.state("bruno"), RegulatorState::Ringing { call: again.call }, "60 s of wait before 30 s");
    assert!(room.switch.room().is_waiting(other.call));
    let record = room.last_record(again);
    assert_eq!((record.person.kept_wait_ms, record.person.calls_before), (60_000, 1));
    assert_eq!(record.person.first_call, Some(first.call));
    assert_eq!(record.queued_at, Some(record.received_at), "the call's own wait is counted from its own coming");
}

#[test]
fn a_wait_is_kept_over_several_calls_and_only_once_each() {
    let mut room = busy_room();
    for wait in [30, 5, 25] {
        let call = room.call_of(ZOE);
        room.wait(wait);
        room.hang_up(call);
        room.wait(60);
    }
    let fourth = room.call_of(ZOE);
    let fifth = room.call_of(ZOE);
    let kept = |leg| room.last_record(leg).person;
    assert_eq!((kept(fourth).kept_wait_ms, kept(fourth).calls_before), (60_000, 3));
    assert_eq!(kept(fifth).kept_wait_ms, 0, "the fourth call has it");
}

#[test]
fn a_wait_is_not_kept_for_ever_nor_for_somebody_else_nor_for_the_nameless() {
    let mut room = busy_room();
    let first = room.call_of(ZOE);
    room.wait(60);
    room.hang_up(first);
    let other = room.call_of(YVES);
    assert_eq!(room.last_record(other).person.kept_wait_ms, 0);
    room.wait(601);
    let late = room.call_of(ZOE);
    assert_eq!(room.last_record(late).person.kept_wait_ms, 0, "after more than ten minutes");

    let known = Caller { raw: ZOE.into(), e164: E164::parse(ZOE), verified: true, ..Caller::default() };
    for nameless in [Caller { anonymous: true, ..known.clone() }, Caller { verified: false, ..known }] {
        let mut room = busy_room();
        let first = room.call_with(nameless.clone());
        room.wait(60);
        room.hang_up(first);
        let again = room.call_with(nameless);
        assert_eq!(room.last_record(again).person.kept_wait_ms, 0);
        assert_eq!(room.tasks().len(), 1, "a task all the same");
    }
}

#[test]
fn a_caller_who_was_cut_off_keeps_the_wait_and_one_who_was_served_does_not() {
    let mut room = busy_room();
    let first = room.call_of(ZOE);
    room.wait(40);
    room.media(MediaReport::Silent { leg: first });
    room.close(first, 1);
    let again = room.call_of(ZOE);
    assert_eq!(room.last_record(again).person.kept_wait_ms, 40_000, "the network dropped it");
    room.register("bruno", 2);
    let leg = room.dial(again, 1);
    room.answer(leg);
    room.wait(10);
    room.signal(Signal::Ended { leg: again, by: Gone::HungUp, detail: None });
    room.close(again, 2);
    let third = room.call_of(ZOE);
    assert_eq!(room.last_record(third).person, Default::default(), "served: a new story");
    assert!(room.tasks().iter().all(|task| task.closed.is_some()));
}

#[test]
fn who_is_cut_off_in_conversation_keeps_the_wait_and_is_no_task() {
    let mut room = room();
    let first = room.call_of(ZOE);
    room.wait(14);
    let leg = room.dial(first, 1);
    room.answer(leg);
    room.wait(30);
    room.media(MediaReport::Silent { leg: first });
    room.close(first, 2);
    let again = room.call_of(ZOE);
    assert_eq!(room.last_record(again).person.kept_wait_ms, 14_000);
    assert!(room.tasks().is_empty());
}

#[test]
fn every_hang_up_after_ten_seconds_is_one_task_a_person_and_an_answer_closes_it() {
    let mut room = busy_room();
    let short = room.call_of(YVES);
    room.wait(9);
    room.hang_up(short);
    assert!(room.tasks().is_empty(), "nine seconds");
    let first = room.call_of(ZOE);
    room.wait(10);
    room.hang_up(first);
    room.wait(5);
    let second = room.call_of(ZOE);
    room.wait(3);
    room.hang_up(second);
    let [task] = room.tasks().try_into().expect("one task");
    assert_eq!((task.id, task.times, task.wait_ms), (first.call, 2, 13_000));
    assert_eq!(task.seen_again.map(|seen| seen.call), Some(second.call));
    assert_eq!((task.outcome, task.closed), (Outcome::Abandoned, None));
    room.wait(2000);
    room.register("bruno", 2);
    let third = room.call_of(ZOE);
    let leg = room.dial(third, 1);
    room.answer(leg);
    let [task] = room.tasks().try_into().expect("one task");
    let closed = task.closed.expect("closed").by;
    assert_eq!(closed, ClosedBy::Answered { call: third.call, regulator: "bruno".into() });
}

#[test]
fn a_regulator_who_dials_the_number_is_seen_to_call_back_and_the_answer_closes_the_task() {
    let mut room = busy_room();
    let first = room.call_of(ZOE);
    room.wait(20);
    room.hang_up(first);
    room.register("bruno", 2);
    let (there, _) = super::calling_out::dials(&mut room, "bruno");
    let [task] = room.tasks().try_into().expect("one task");
    assert_eq!((task.call_backs.len(), task.closed), (1, None));
    room.answer(there);
    let [task] = room.tasks().try_into().expect("one task");
    assert_eq!(task.closed.map(|closed| closed.by), Some(ClosedBy::CalledBack { regulator: "bruno".into() }));
    assert_eq!(task.call_backs.iter().map(|back| back.reached).collect::<Vec<_>>(), [true], "one attempt");
    let again = room.call_of(ZOE);
    assert_eq!(room.last_record(again).person.kept_wait_ms, 0, "served by the call back");
}

#[test]
fn a_task_is_noted_on_and_closed_by_whoever_asks_and_only_once() {
    let mut room = busy_room();
    let first = room.call_of(ZOE);
    room.wait(20);
    room.hang_up(first);
    let mut ask = |command| {
        let orders = room.give(SwitchInput::Command { ticket: Ticket(7), command });
        let reply = |order| match order {
            Order::Reply { reply, .. } => Some(reply),
            _ => None,
        };
        orders.into_iter().find_map(reply)
    };
    let close = || Command::CloseAbandoned { task: first.call, by: "desk".into(), reason: "spoke to the son".into() };
    let note = || Command::NoteCallBack { task: first.call, by: "anne".into(), reached: false };
    assert_eq!([ask(note()), ask(close())], [Some(Reply::Done), Some(Reply::Done)]);
    assert_eq!([ask(note()), ask(close())], [Some(Reply::Unknown), Some(Reply::Unknown)]);
    let [task] = room.tasks().try_into().expect("one task");
    let CallBack { by, reached, .. } = task.call_backs.first().cloned().expect("noted");
    assert_eq!((by.as_str(), reached), ("anne", false));
    let operator = ClosedBy::Operator { name: "desk".into(), reason: "spoke to the son".into() };
    assert_eq!(task.closed.map(|closed| closed.by), Some(operator));
}

#[test]
fn what_storage_remembers_is_kept_over_a_restart() {
    let mut room = busy_room();
    let first = room.call_of(ZOE);
    room.wait(45);
    room.hang_up(first);
    let remembered = crate::model::Remembered { abandoned: room.tasks(), ..Default::default() };
    let mut room = busy_room();
    room.give(SwitchInput::Remembered(remembered));
    room.wait(100);
    let again = room.call_of(ZOE);
    assert_eq!(room.last_record(again).person.kept_wait_ms, 45_000);
    assert_eq!(room.tasks().first().and_then(|task| task.seen_again.clone()).map(|seen| seen.call), Some(again.call));
}

#[test]
fn a_task_that_nobody_touches_for_a_week_expires() {
    let mut room = busy_room();
    let first = room.call_of(ZOE);
    room.wait(45);
    room.hang_up(first);
    room.wait(8 * 86_400);
    room.call_of(YVES);
    assert_eq!(
        room.tasks().first().and_then(|task| task.closed.clone()).map(|closed| closed.by),
        Some(ClosedBy::Expired)
    );
}
