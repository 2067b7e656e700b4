//! Call-backs over a stop and a start: nobody is forgotten, and each keeps the place.

use super::voice::{asked_back, end_and_close, press};
use super::*;
use crate::model::{OpenCallBack, Remembered};

/// What storage would remember of a call, as a start reads it.
fn remembered(room: &Room, call: LegId) -> OpenCallBack {
    let record = Box::new(room.last_record(call));
    let sequence = room.events(call).last().map_or(0, |(sequence, _)| *sequence);
    OpenCallBack { record, sequence, notes: 3 }
}

/// The call-back that stands in line for a caller who has asked for it.
fn in_line(room: &mut Room, caller: LegId) -> LegId {
    press(room, caller, '2');
    end_and_close(room, caller);
    let back = room.switch.calls().find(|call| call.record.choices.callback_of == Some(caller.call));
    back.expect("a call-back").caller_leg()
}

/// Another server, an hour later by the wall and young by its own clock.
fn started(call_backs: Vec<OpenCallBack>, at: Now) -> Room {
    let mut room = asked_back("+33699999999").0;
    room.now = Now { utc: at.utc, ..room.now }.after(Duration::from_secs(3600));
    room.give(SwitchInput::Remembered(Remembered { call_backs, ..Remembered::default() }));
    // By then it is known where the trunks are.
    room.wait(2);
    room
}

#[test]
fn a_call_back_that_stood_in_line_when_it_was_killed_is_made_after_the_start_before_who_came_later() {
    let (mut room, _, caller) = asked_back("+33612345678");
    let back = in_line(&mut room, caller);
    let mut room = started(vec![remembered(&room, back)], room.now);
    assert!(room.switch.room().is_waiting(back.call));
    let later = room.call_of("+33687654321");
    room.register("bruno", 2);
    assert_eq!(room.state("bruno"), RegulatorState::Ringing { call: back.call }, "not {later:?}");
    let rung = room.dial(back, 1);
    room.answer(rung);
    let orders = room.media(MediaReport::Opened { leg: back, rtp: rtp(5000) });
    assert!(orders.iter().any(|o| matches!(o, Order::Leg(LegOrder::Dial(dial)) if dial.leg == back)), "{orders:?}");
    room.answer(back);
    let record = room.last_record(back);
    assert_eq!((record.choices.callback_of, record.choices.attempt), (Some(caller.call), 1));
    let numbers: Vec<u32> = room.events(back).into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers.first(), Some(&3), "dispatch has seen two events of it");
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
}

#[test]
fn a_stop_in_order_waits_for_no_call_back_and_ends_none() {
    let (mut room, phone, caller) = asked_back("+33612345678");
    let back = in_line(&mut room, caller);
    let drain = |room: &mut Room| room.give(SwitchInput::Command { ticket: Ticket(1), command: Command::Drain });
    let drained = Order::Reply { ticket: Ticket(1), reply: Reply::Drained };
    drain(&mut room);
    room.signal(Signal::Ended { leg: phone, by: Gone::HungUp, detail: None });
    room.give(SwitchInput::Command { ticket: Ticket(2), command: Command::EndAll });
    let ids: Vec<LegId> = room.switch.calls().map(|call| call.caller_leg()).filter(|call| *call != back).collect();
    for id in ids {
        room.close(id, 2);
        room.give(SwitchInput::Recorder(RecorderReport::Failed { call: id.call, reason: "test".into() }));
    }
    assert!(room.has(|order| *order == drained));
    assert_eq!(room.last_record(back).ended_at, None, "it is open, so the next start finds it");
    assert!(room.last_record(back).stands_in_line());
    room.wait(172_800);
    assert_eq!(room.last_record(back).ended_at, None, "nothing of it moves meanwhile");
    let room = started(vec![remembered(&room, back)], room.now);
    assert!(room.switch.room().is_waiting(back.call));
}

#[test]
fn a_call_back_that_no_trunk_may_dial_any_more_becomes_a_task() {
    let (mut room, _, caller) = asked_back("+33612345678");
    let back = in_line(&mut room, caller);
    let mut open = remembered(&room, back);
    open.record.caller.e164 = crate::model::E164::parse("+33712345678");
    let room = started(vec![open], room.now);
    assert!(!room.switch.room().is_waiting(back.call));
    assert!(room.tasks().iter().any(|task| task.id == back.call && task.closed.is_none()));
    assert_eq!(room.last_record(back).outcome, Some(Outcome::Interrupted));
}
