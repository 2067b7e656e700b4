//! What callers hear and press: menus, ways out of the waiting room, messages, call-backs, voicemail.

use super::*;
use crate::model::centre::DemandChange;
use crate::model::{Destination, LineVoice, Menu, Tells, WaitingMessage, Way};

pub(super) fn way(to: Destination) -> Way {
    Way { to, ..Way::default() }
}

pub(super) fn menu(keys: &[(char, Way)]) -> Menu {
    Menu {
        id: "welcome".into(),
        say: vec!["menu".into()],
        keys: keys.iter().cloned().collect(),
        key_wait: Duration::from_secs(5),
        attempts_max: 2,
        wrong: Some("wrong".into()),
        otherwise: way(Destination::Wait),
    }
}

/// A centre whose one line has this menu and these keys while waiting.
fn room(menu_keys: &[(char, Way)], change: impl FnOnce(&mut LineVoice)) -> Room {
    let mut room = Room::new(|line| change(&mut line.voice));
    if menu_keys.is_empty() {
        return room;
    }
    let mut centre = (*room.switch.centre).clone();
    for line in centre.lines.values_mut() {
        line.voice.menu = Some("welcome".into());
    }
    centre.menus.insert("welcome".into(), menu(menu_keys));
    room.switch = Switch::new(Arc::new(centre), "Vigie/test".into(), Chance::from_number(1));
    room
}

pub(super) fn press(room: &mut Room, leg: LegId, digit: char) -> Vec<Order> {
    room.media(MediaReport::Dtmf { leg, digit, duration_ms: 100 })
}

fn plays(orders: &[Order]) -> Vec<String> {
    let sounds = orders.iter().filter_map(|order| match order {
        Order::Media(MediaCommand::Play { sounds, .. }) => Some(sounds.iter().map(ToString::to_string)),
        _ => None,
    });
    sounds.flatten().collect()
}

fn dialled_number(orders: &[Order]) -> Option<(LegId, String)> {
    orders.iter().find_map(|order| match order {
        Order::Leg(LegOrder::Dial(dial)) => match &dial.to {
            super::super::signal::Party::Number { number, .. } => Some((dial.leg, number.clone())),
            super::super::signal::Party::Device { .. } => None,
        },
        _ => None,
    })
}

#[test]
fn a_key_sets_what_the_call_needs_and_it_waits() {
    let change = DemandChange { priority: Some(2), ..DemandChange::default() };
    let mut room = room(&[('2', Way { change, language: Some("en".into()), ..Way::default() })], |_| {});
    room.register("anne", 1);
    let caller = room.call();
    assert_eq!(room.state("anne"), RegulatorState::Ready, "the menu is heard first");
    press(&mut room, caller, '2');
    assert_eq!(room.state("anne"), RegulatorState::Ringing { call: caller.call });
    let record = room.last_record(caller);
    assert_eq!((record.priority, record.language.as_str()), (2, "en"));
    assert_eq!(record.choices.keys.first().map(|one| (one.key, one.to.as_str())), Some((Some('2'), "wait")));
}

#[test]
fn who_presses_nothing_or_what_is_not_offered_is_asked_again_and_then_waits() {
    let mut room = room(&[('1', way(Destination::Number("15".into())))], |_| {});
    room.register("anne", 1);
    let caller = room.call();
    assert_eq!(plays(&press(&mut room, caller, '7')), ["wrong", "menu"]);
    room.media(MediaReport::Played { leg: caller });
    assert_eq!(room.state("anne"), RegulatorState::Ready);
    assert_eq!(plays(&room.wait(5)), ["music"]);
    assert_eq!(room.state("anne"), RegulatorState::Ringing { call: caller.call });
}

#[test]
fn an_emergency_goes_to_the_samu_at_once_even_from_the_greeting() {
    let mut room = room(&[('1', way(Destination::Number("15".into())))], |_| {});
    let mut centre = (*room.switch.centre).clone();
    centre.lines.values_mut().for_each(|line| line.greeting = Some("greeting".into()));
    room.switch = Switch::new(Arc::new(centre), "Vigie/test".into(), Chance::from_number(1));
    let caller = room.call();
    press(&mut room, caller, '1');
    let leg = LegId { number: 1, ..caller };
    let orders = room.media(MediaReport::Opened { leg, rtp: rtp(5001) });
    assert_eq!(dialled_number(&orders), Some((leg, "15".to_owned())));
    let orders = room.answer(leg);
    assert!(orders.contains(&Order::Media(MediaCommand::Bridge { a: caller, b: leg })), "{orders:?}");
    room.signal(Signal::Ended { leg: caller, by: Gone::HungUp, detail: None });
    room.close(caller, 2);
    let told: Vec<_> = room.events(caller).into_iter().map(|(_, name)| name).collect();
    assert_eq!(told, ["call.received", "call.forwarded", "call.ended"]);
    assert_eq!(room.last_record(caller).outcome, Some(Outcome::Forwarded));
    assert!(room.has(|order| matches!(order, Order::Recorder(RecorderCommand::Begin { .. }))), "it is recorded");
}

#[test]
fn another_key_pressed_into_the_greeting_counts_when_the_notice_was_heard() {
    let mut room = room(&[('3', way(Destination::HangUp))], |_| {});
    let mut centre = (*room.switch.centre).clone();
    centre.lines.values_mut().for_each(|line| line.greeting = Some("greeting".into()));
    room.switch = Switch::new(Arc::new(centre), "Vigie/test".into(), Chance::from_number(1));
    let caller = room.call();
    assert!(press(&mut room, caller, '3').is_empty());
    room.media(MediaReport::Played { leg: caller });
    room.close(caller, 1);
    assert_eq!(room.last_record(caller).outcome, Some(Outcome::Informed));
}

#[test]
fn a_samu_that_does_not_answer_gives_the_caller_back_in_its_place() {
    let mut room = room(&[], |voice| {
        voice.keys.insert('1', way(Destination::Number("15".into())));
    });
    room.register("anne", 1);
    let busy = room.call();
    let phone = room.dial(busy, 1);
    room.answer(phone);
    let first = room.call();
    room.wait(1);
    let second = room.call();
    press(&mut room, first, '1');
    assert!(!room.switch.room().is_waiting(first.call));
    let leg = LegId { number: 1, ..first };
    room.media(MediaReport::Opened { leg, rtp: rtp(5001) });
    room.signal(refused(leg, RefusalKind::Busy));
    room.media(MediaReport::Closed { leg, quality: Box::default() });
    assert!(room.switch.room().is_waiting(first.call));
    room.register("bruno", 2);
    assert_eq!(room.state("bruno"), RegulatorState::Ringing { call: first.call }, "before {second:?}");
}

#[test]
fn a_key_while_it_rings_at_a_regulator_stops_the_ringing() {
    let mut room = room(&[], |voice| {
        voice.keys.insert('1', way(Destination::Number("15".into())));
    });
    room.register("anne", 1);
    let caller = room.call();
    room.dial(caller, 1);
    let orders = press(&mut room, caller, '1');
    let leg = LegId { number: 1, ..caller };
    assert!(orders.iter().any(|order| matches!(order, Order::Leg(LegOrder::Hangup { leg: one, .. }) if *one == leg)));
    assert_eq!(room.state("anne"), RegulatorState::Ready);
}

#[test]
fn messages_come_when_they_are_due_and_again() {
    let mut room = room(&[], |voice| {
        voice.messages = vec![
            WaitingMessage {
                after: Duration::from_secs(20),
                every: Some(Duration::from_secs(30)),
                sounds: vec!["stay".into()],
                tells: Default::default(),
                language: None,
            },
            WaitingMessage {
                after: Duration::from_secs(20),
                every: None,
                sounds: vec!["english".into()],
                tells: Default::default(),
                language: Some("en".into()),
            },
        ];
    });
    room.register("anne", 1);
    let busy = room.call();
    let phone = room.dial(busy, 1);
    room.answer(phone);
    room.call();
    assert_eq!(plays(&room.wait(19)), Vec::<String>::new());
    assert_eq!(plays(&room.wait(1)), ["stay", "music"]);
    assert_eq!(plays(&room.wait(29)), Vec::<String>::new());
    assert_eq!(plays(&room.wait(1)), ["stay", "music"]);
}

#[test]
fn the_place_among_those_who_wait_is_told() {
    let mut room = room(&[], |voice| {
        voice.messages = vec![WaitingMessage {
            after: Duration::from_secs(10),
            every: None,
            sounds: Vec::new(),
            tells: [Tells::Position].into(),
            language: None,
        }];
    });
    let mut centre = (*room.switch.centre).clone();
    centre.spoken.insert("fr".into());
    room.switch = Switch::new(Arc::new(centre), "Vigie/test".into(), Chance::from_number(1));
    room.register("anne", 1);
    let busy = room.call();
    let phone = room.dial(busy, 1);
    room.answer(phone);
    room.call();
    room.wait(1);
    room.call();
    assert_eq!(plays(&room.wait(9)), ["fr/next", "music"]);
    assert_eq!(plays(&room.wait(1)), ["fr/position", "fr/2", "music"]);
}

#[test]
fn a_message_is_recorded_on_a_line_that_is_not_and_ends_with_the_hang_up() {
    let mut room = room(&[], |voice| {
        voice.keys.insert('3', way(Destination::Voicemail));
        voice.voicemail.prompt = Some("prompt".into());
    });
    room.register("anne", 1);
    let busy = room.call();
    let phone = room.dial(busy, 1);
    room.answer(phone);
    let caller = room.call();
    assert_eq!(plays(&press(&mut room, caller, '3')), ["prompt"]);
    let orders = room.media(MediaReport::Played { leg: caller });
    assert!(orders.contains(&Order::Media(MediaCommand::Record { leg: caller, on: true })), "{orders:?}");
    room.wait(12);
    room.signal(Signal::Ended { leg: caller, by: Gone::HungUp, detail: None });
    room.close(caller, 1);
    let record = room.last_record(caller);
    assert_eq!((record.outcome, record.ended_by), (Some(Outcome::Voicemail), Some(EndedBy::Caller)));
    assert!(!room.switch.room().is_waiting(caller.call));
}

/// A centre where Anne talks, and a caller with a number who has asked to be called back.
pub(super) fn asked_back(number: &str) -> (Room, LegId, LegId) {
    let mut room = room(&[], |voice| {
        voice.keys.insert('2', way(Destination::CallBack));
        voice.callback_noted = Some("noted".into());
        voice.callback_refused = Some("not-noted".into());
    });
    room.register("anne", 1);
    let busy = room.call();
    let phone = room.dial(busy, 1);
    room.answer(phone);
    let caller = room.call_of(number);
    room.wait(1);
    (room, phone, caller)
}

pub(super) fn end_and_close(room: &mut Room, caller: LegId) {
    room.media(MediaReport::Played { leg: caller });
    room.close(caller, 1);
}

#[test]
fn who_asks_to_be_called_back_keeps_the_place_and_is_dialled_when_the_turn_comes() {
    let (mut room, phone, caller) = asked_back("+33612345678");
    assert_eq!(plays(&press(&mut room, caller, '2')), ["noted"]);
    let later = room.call_of("+33687654321");
    end_and_close(&mut room, caller);
    assert_eq!(room.last_record(caller).outcome, Some(Outcome::CallBack));
    room.signal(Signal::Ended { leg: phone, by: Gone::HungUp, detail: None });
    room.wait(10);
    let RegulatorState::Ringing { call } = room.state("anne") else { panic!("{:?}", room.state("anne")) };
    assert!(call != later.call && call != caller.call, "the call-back is before who came later");
    let back = LegId { call, number: 0 };
    let rung = room.dial(back, 1);
    room.answer(rung);
    let orders = room.media(MediaReport::Opened { leg: back, rtp: rtp(5000) });
    assert_eq!(dialled_number(&orders), Some((back, "+33612345678".to_owned())));
    let orders = room.answer(back);
    assert!(orders.contains(&Order::Media(MediaCommand::Bridge { a: back, b: rung })), "{orders:?}");
    let record = room.last_record(back);
    assert_eq!((record.choices.callback_of, record.choices.attempt), (Some(caller.call), 1));
    assert_eq!(record.queued_at, room.last_record(caller).queued_at, "the wait is kept");
    room.signal(Signal::Ended { leg: back, by: Gone::HungUp, detail: None });
    room.close(back, 2);
    assert_eq!(room.last_record(back).outcome, Some(Outcome::Answered));
    assert_eq!(room.kept("call-backs"), 1, "until its recording is sealed");
}

#[test]
fn a_person_who_is_not_reached_is_called_three_times() {
    let (mut room, phone, caller) = asked_back("+33612345678");
    press(&mut room, caller, '2');
    end_and_close(&mut room, caller);
    room.signal(Signal::Ended { leg: phone, by: Gone::HungUp, detail: None });
    room.wait(10);
    for attempt in 1..=3 {
        let RegulatorState::Ringing { call } = room.state("anne") else { panic!("{:?}", room.state("anne")) };
        let back = LegId { call, number: 0 };
        let rung = room.dial(back, 1);
        room.answer(rung);
        room.media(MediaReport::Opened { leg: back, rtp: rtp(5000) });
        room.signal(refused(back, RefusalKind::Busy));
        room.close(back, 2);
        let record = room.last_record(back);
        assert_eq!((record.outcome, record.choices.attempt), (Some(Outcome::Unreached), attempt));
        room.wait(10);
        room.wait(170);
    }
    assert_eq!((room.state("anne"), room.kept("call-backs")), (RegulatorState::Ready, 0));
}

#[test]
fn one_call_back_a_person_and_none_once_the_person_is_answered() {
    let (mut room, phone, caller) = asked_back("+33612345678");
    press(&mut room, caller, '2');
    end_and_close(&mut room, caller);
    let again = room.call_of("+33612345678");
    press(&mut room, again, '2');
    end_and_close(&mut room, again);
    assert_eq!((room.kept("call-backs"), room.switch.room().count_waiting()), (1, 1));
    // The person calls a third time, and is answered before the call-back by somebody who comes on duty.
    let third = room.call_of("+33612345678");
    room.signal(Signal::Ended { leg: phone, by: Gone::HungUp, detail: None });
    room.wait(10);
    let RegulatorState::Ringing { call } = room.state("anne") else { panic!("nobody is rung") };
    let back = LegId { call, number: 0 };
    room.register("bruno", 2);
    let rung = room.dial(third, 1);
    room.answer(rung);
    assert!(!room.switch.room().is_waiting(back.call));
    room.close(back, 2);
    assert_eq!(room.last_record(back).outcome, Some(Outcome::Superseded));
    assert_eq!(room.state("anne"), RegulatorState::Ready);
}

#[test]
fn who_withholds_the_number_is_told_that_nobody_can_call_back_and_waits_on() {
    let (mut room, _, caller) = asked_back("");
    assert_eq!(plays(&press(&mut room, caller, '2')), ["not-noted", "music"]);
    assert!(room.switch.room().is_waiting(caller.call));
}
