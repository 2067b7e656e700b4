//! Lines that accept a call when it is answered, and codecs that change in mid-call.

use super::*;
use crate::model::centre::Accept;

fn answered_line(line: &mut Line) {
    line.accept = Accept::Answered;
    line.greeting = Some("greeting-fr".into());
}

fn with_codec(codec: Codec) -> RemoteMedia {
    RemoteMedia { codec, payload: codec.payload_type(), ..remote(Direction::Both) }
}

#[test]
fn the_greeting_is_early_media_and_the_answer_accepts_the_caller() {
    let mut room = Room::new(answered_line);
    room.register("anne", 1);
    let caller = room.call();
    assert!(room.has(|order| matches!(order, Order::Leg(LegOrder::Progress { leg, .. }) if *leg == caller)));
    assert!(room.has(|order| matches!(order, Order::Media(MediaCommand::Play { leg, .. }) if *leg == caller)));
    assert!(
        !room.has(|order| matches!(order, Order::Media(MediaCommand::Watch { on: true, .. }))),
        "nobody need speak yet"
    );
    room.wait(5);
    room.media(MediaReport::Played { leg: caller });
    let leg = room.dial(caller, 1);
    assert!(!room.has(|order| matches!(order, Order::Leg(LegOrder::Accept { .. }))));
    assert_eq!(room.last_record(caller).accepted_at, None);
    room.wait(3);
    let orders = room.answer(leg);
    let at = |wanted: &dyn Fn(&Order) -> bool| orders.iter().position(wanted).expect("ordered");
    let accepted = at(
        &|order| matches!(order, Order::Leg(LegOrder::Accept { leg, local }) if *leg == caller && *local == rtp(4000)),
    );
    let bridged = at(&|order| matches!(order, Order::Media(MediaCommand::Bridge { .. })));
    assert!(accepted < bridged);
    let record = room.last_record(caller);
    assert_eq!(record.accepted_at, Some(room.now.utc));
    assert_eq!(record.accepted_at, record.answered_at);
    assert_eq!(record.legs[0].accepted_at, record.accepted_at);
}

#[test]
fn a_last_message_is_heard_early_and_then_the_call_is_refused() {
    let mut room = Room::new(|line| {
        answered_line(line);
        line.greeting = None;
        line.nobody = Farewell { message: Some("nobody-fr".into()), to: None };
    });
    let caller = room.call();
    let orders = room.media(MediaReport::Played { leg: caller });
    let is_refusal = |order: &Order| matches!(order, Order::Leg(LegOrder::Refuse { why: Unserved::Unavailable, .. }));
    assert!(orders.iter().any(is_refusal), "{orders:?}");
    assert!(!room.has(|order| matches!(order, Order::Leg(LegOrder::Accept { .. } | LegOrder::Hangup { .. }))));
    room.close(caller, 1);
    let record = room.last_record(caller);
    assert_eq!((record.outcome, record.accepted_at), (Some(Outcome::NobodyOnDuty), None));
    assert_eq!(room.switch.calls().count(), 0);
}

#[test]
fn whoever_waited_too_long_unaccepted_is_told_to_try_again() {
    let mut room = Room::new(|line| {
        answered_line(line);
        line.greeting = None;
        line.waiting_max = Duration::from_secs(20);
    });
    room.register("anne", 1);
    room.call();
    let orders = room.wait(21);
    let is_refusal = |order: &Order| matches!(order, Order::Leg(LegOrder::Refuse { why: Unserved::Overloaded, .. }));
    assert!(orders.iter().any(is_refusal), "{orders:?}");
}

#[test]
fn a_caller_who_gives_up_unaccepted_is_neither_hung_up_nor_refused() {
    let mut room = Room::new(answered_line);
    let caller = room.call();
    let orders = room.signal(Signal::Ended { leg: caller, by: Gone::Cancelled, detail: None });
    assert!(!orders.iter().any(|order| matches!(order, Order::Leg(_))), "{orders:?}");
    room.close(caller, 1);
    assert_eq!(room.last_record(caller).outcome, Some(Outcome::Abandoned));
}

#[test]
fn a_codec_changed_by_one_side_is_offered_to_the_other_once() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let caller = room.call();
    let leg = room.dial(caller, 1);
    room.answer(leg);
    let reoffers = |orders: &[Order]| -> Vec<(LegId, Codec)> {
        let one = |order: &Order| match order {
            Order::Leg(LegOrder::Reoffer { leg, codec, direction: Direction::Both }) => Some((*leg, *codec)),
            _ => None,
        };
        orders.iter().filter_map(one).collect()
    };
    let changed = room.signal(Signal::Reoffered { leg, remote: with_codec(Codec::Pcmu) });
    assert_eq!(reoffers(&changed), [(caller, Codec::Pcmu)]);
    let agreed = room.signal(Signal::Reoffered { leg: caller, remote: with_codec(Codec::Pcmu) });
    assert!(reoffers(&agreed).is_empty());
    let back = room.signal(Signal::Reoffered { leg: caller, remote: with_codec(Codec::Pcma) });
    assert_eq!(reoffers(&back), [(leg, Codec::Pcma)]);
    // Both change at once: each hears of the other's offer, and nothing goes round in circles.
    let crossed = room.signal(Signal::Reoffered { leg, remote: with_codec(Codec::Pcma) });
    assert!(reoffers(&crossed).is_empty());
}

#[test]
fn a_hold_is_not_passed_on_to_the_other_side() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let caller = room.call();
    let leg = room.dial(caller, 1);
    room.answer(leg);
    let held = RemoteMedia { direction: Direction::ReceiveOnly, ..with_codec(Codec::Pcmu) };
    let orders = room.signal(Signal::Reoffered { leg, remote: held });
    assert!(!orders.iter().any(|order| matches!(order, Order::Leg(_))), "decision 16: {orders:?}");
}
