//! Call-backs in bad company: nobody on duty, a phone that vanishes, a server that stops, no sound to say it with.

use super::joining::order;
use super::voice::{asked_back, end_and_close, press, way};
use super::*;
use crate::model::control::{self, Control};
use crate::model::{Destination, Menu};

fn tasks(room: &Room) -> usize {
    room.switch.persons.tasks().count()
}

/// The call-back of the one who asked, picked up by Anne and then by the caller.
fn reached(room: &mut Room) -> (LegId, LegId) {
    let RegulatorState::Ringing { call } = room.state("anne") else { panic!("{:?}", room.state("anne")) };
    let back = LegId { call, number: 0 };
    let rung = room.dial(back, 1);
    room.answer(rung);
    room.media(MediaReport::Opened { leg: back, rtp: rtp(5000) });
    room.answer(back);
    (back, rung)
}

#[test]
fn a_call_back_chosen_in_a_menu_with_nobody_on_duty_is_noted_and_stands_in_line() {
    let mut room = Room::changed(
        |line| (line.voice.menu, line.voice.callback_noted) = (Some("night".into()), Some("noted".into())),
        |centre| {
            let keys = [('2', way(Destination::CallBack))].into();
            let menu = Menu { id: "night".into(), keys, ..super::voice::menu(&[]) };
            centre.menus.insert(menu.id.clone(), menu);
        },
    );
    let caller = room.call_of("+33612345678");
    room.media(MediaReport::Played { leg: caller });
    press(&mut room, caller, '2');
    end_and_close(&mut room, caller);
    assert_eq!(room.last_record(caller).outcome, Some(Outcome::CallBack));
    assert_eq!((room.kept("call-backs"), tasks(&room)), (1, 0));
    room.register("anne", 1);
    room.wait(60);
    let (back, _) = reached(&mut room);
    assert_eq!(room.last_record(back).choices.callback_of, Some(caller.call));
}

#[test]
fn a_caller_who_was_called_back_and_lost_the_regulator_is_a_caller_like_any_other() {
    let (mut room, phone, caller) = asked_back("+33612345678");
    press(&mut room, caller, '2');
    end_and_close(&mut room, caller);
    room.signal(Signal::Ended { leg: phone, by: Gone::HungUp, detail: None });
    room.wait(10);
    let (back, rung) = reached(&mut room);
    room.signal(Signal::Ended { leg: rung, by: Gone::Lost, detail: None });
    assert!(room.switch.room().is_waiting(back.call), "in the waiting room, and not put off");
    room.signal(Signal::Ended { leg: back, by: Gone::HungUp, detail: None });
    room.close(back, 2);
    assert_eq!(room.last_record(back).outcome, Some(Outcome::Answered));
    assert!(!room.switch.room().is_waiting(back.call));
    room.wait(600);
    assert_eq!(room.kept("call-backs"), 1, "until its recording is sealed");
}

#[test]
fn nobody_is_rung_to_talk_with_a_caller_who_is_yet_to_be_called_back() {
    let (mut room, phone, caller) = asked_back("+33612345678");
    room.register("bruno", 2);
    let pause = Command::Pause { regulator: "bruno".into(), reason: "lunch".into() };
    room.give(SwitchInput::Command { ticket: Ticket(1), command: pause });
    press(&mut room, caller, '2');
    end_and_close(&mut room, caller);
    let back = room.switch.room().waiting(room.now).first().map(|one| one.call).expect("a call-back");
    let back = LegId { call: back, number: 0 };
    for to in ["bruno", "+33687654321"] {
        let (_, reply) = order(&mut room, back, Control::Transfer(control::Destination { to: to.into(), level: 1 }));
        assert!(matches!(&reply, Reply::Refused(why) if why.contains("called back")), "{to}: {reply:?}");
    }
    assert!(matches!(room.state("bruno"), RegulatorState::Paused { .. }));
    assert!(room.switch.room().is_waiting(back.call), "in its place");
    room.signal(Signal::Ended { leg: phone, by: Gone::HungUp, detail: None });
    room.wait(10);
    assert_eq!(reached(&mut room).0, back);
}

#[test]
fn a_promise_to_a_caller_of_a_stopping_server_rests_until_the_next_start() {
    let (mut room, _, caller) = asked_back("+33612345678");
    room.wait(20);
    press(&mut room, caller, '2');
    room.give(SwitchInput::Command { ticket: Ticket(1), command: Command::Drain });
    end_and_close(&mut room, caller);
    assert_eq!((room.kept("call-backs"), tasks(&room)), (1, 0));
    assert_eq!(room.switch.room().count_waiting(), 0);
}

#[test]
fn without_a_sound_to_note_it_with_a_call_back_is_no_task_beside() {
    let mut room = Room::new(|line| {
        line.voice.keys.insert('2', way(Destination::CallBack));
    });
    room.register("anne", 1);
    let busy = room.call();
    let phone = room.dial(busy, 1);
    room.answer(phone);
    let caller = room.call_of("+33612345678");
    room.wait(30);
    press(&mut room, caller, '2');
    room.close(caller, 1);
    assert_eq!((room.kept("call-backs"), tasks(&room)), (1, 0));
}

#[test]
fn a_key_that_leads_to_where_the_caller_is_already_stops_no_phone() {
    let mut room = Room::new(|line| {
        line.voice.keys.insert('5', way(Destination::Wait));
    });
    room.register("anne", 1);
    let caller = room.call();
    room.dial(caller, 1);
    let before = room.events(caller).len();
    for _ in 0..200 {
        press(&mut room, caller, '5');
    }
    assert_eq!(room.state("anne"), RegulatorState::Ringing { call: caller.call });
    assert_eq!(room.events(caller).len(), before);
}

#[test]
fn who_is_led_from_line_to_line_by_keys_overflows_in_the_end() {
    let to_itself = |line: &mut Line| {
        line.voice.keys.insert('5', way(Destination::Line("cherbourg".into())));
    };
    let mut room = Room::new(to_itself);
    room.register("anne", 1);
    let busy = room.call();
    let phone = room.dial(busy, 1);
    room.answer(phone);
    let caller = room.call();
    for _ in 0..100 {
        press(&mut room, caller, '5');
        room.wait(300);
    }
    room.media(MediaReport::Played { leg: caller });
    room.close(caller, 1);
    assert_eq!(room.last_record(caller).outcome, Some(Outcome::Overflowed));
}
