//! Sound that goes one way, and what may be asked of a call that lives.

use super::*;
use crate::model::{OneWay, Side};

#[test]
fn sound_that_goes_one_way_is_an_alarm_and_two_events_while_the_leg_lives() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let caller = room.call();
    let leg = room.dial(caller, 1);
    room.answer(leg);
    let way = OneWay::SendsNothing;
    let began = room.media(MediaReport::OneWay { leg, way, is_over: false });
    let is_alarm = |order: &Order| matches!(order, Order::Alarm(alarm) if alarm.kind == "one-way-audio");
    assert!(began.iter().any(is_alarm), "{began:?}");
    room.media(MediaReport::OneWay { leg, way, is_over: true });
    let told = room.facts().filter_map(|fact| match fact {
        Fact::Event(event) => match event.kind {
            EventKind::CallOneWayAudio { leg, side, way, is_over } => Some((leg, side, way, is_over)),
            _ => None,
        },
        _ => None,
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told, [(1, Side::Regulator, way, false), (1, Side::Regulator, way, true)]);
    let numbers: Vec<u32> = room.events(caller).into_iter().map(|(number, _)| number).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    room.signal(Signal::Ended { leg, by: Gone::HungUp, detail: None });
    let before = room.events(caller).len();
    room.media(MediaReport::OneWay { leg, way, is_over: false });
    assert_eq!(room.events(caller).len(), before, "nothing is told of a leg that is over");
}

#[test]
fn a_key_that_media_cannot_tell_is_told_by_signalling_or_sounded_once_whatever_the_leg_is_named() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let caller = room.call();
    let leg = room.dial(caller, 1);
    room.answer(leg);
    let (digit, duration_ms) = ('5', 120);
    let orders = room.media(MediaReport::KeyUntold { leg, digit, duration_ms });
    assert_eq!(orders, [Order::Leg(LegOrder::Key { leg, digit, duration_ms })]);
    let orders = room.signal(Signal::KeyUntold { leg, digit, duration_ms });
    assert_eq!(orders, [Order::Media(MediaCommand::Tone { leg, digit, duration_ms })]);
    let (dialled, _) = room.dialled_for("anne", "vigie", Some(leg));
    let place = LegId { call: caller.call, number: 2 };
    let orders = room.media(MediaReport::KeyUntold { leg: dialled, digit, duration_ms });
    assert_eq!(orders, [Order::Leg(LegOrder::Key { leg: place, digit, duration_ms })]);
}

#[test]
fn of_a_live_call_the_legs_that_live_are_told_as_the_record_would_keep_them() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let caller = room.call();
    let leg = room.dial(caller, 1);
    room.answer(leg);
    let ask = |room: &mut Room| {
        let command = Command::Legs { call: caller.call };
        let orders = room.give(SwitchInput::Command { ticket: Ticket(1), command });
        orders.into_iter().find_map(|order| match order {
            Order::Reply { reply: Reply::Legs(legs), .. } => {
                Some(legs.into_iter().map(|leg| (leg.number, leg.ended_at)).collect::<Vec<_>>())
            }
            _ => None,
        })
    };
    assert_eq!(ask(&mut room), Some(vec![(0, None), (1, None)]));
    room.signal(Signal::Ended { leg: caller, by: Gone::HungUp, detail: None });
    assert_eq!(ask(&mut room), Some(Vec::new()), "both are over");
}
