//! Feature codes: dialled from a second line and pressed during the call; what is refused, and what the audit has of them.

use super::consulting::anne_talks;
use super::joining::hears;
use super::*;
use crate::model::{AskedBy, Deed};

/// Anne's tutor is Bruno; he supervises nobody else.
fn trainee() -> Room {
    Room::changed(
        |_| {},
        |centre| {
            if let Some(anne) = centre.regulators.get_mut(&"anne".into()) {
                anne.terms.trainee_of = Some("bruno".into());
            }
        },
    )
}

fn press(room: &mut Room, leg: LegId, keys: &str) -> Vec<Order> {
    let report = |digit| MediaReport::Dtmf { leg, digit, duration_ms: 100 };
    keys.chars().flat_map(|digit| room.media(report(digit))).collect()
}

fn deeds(room: &Room) -> Vec<(String, String, String)> {
    let deed = |fact: &Fact| match fact {
        Fact::Deed(deed) => {
            let Deed { by, act, detail, .. } = Deed::clone(deed);
            Some((by.to_string(), act, detail))
        }
        _ => None,
    };
    room.facts().filter_map(deed).collect()
}

fn deed(by: &str, act: &str, detail: &str) -> (String, String, String) {
    (by.to_owned(), act.to_owned(), detail.to_owned())
}

fn is_refused(orders: &[Order], leg: LegId) -> bool {
    orders.iter().any(|o| matches!(o, Order::Media(MediaCommand::Tone { leg: heard, .. }) if *heard == leg))
}

fn refused_with(orders: &[Order]) -> Option<Unserved> {
    orders.iter().find_map(|order| match order {
        Order::Leg(LegOrder::Refuse { why, .. }) => Some(*why),
        _ => None,
    })
}

#[test]
fn the_samu_is_rung_by_keys_and_by_a_dialled_code_and_the_audit_has_both() {
    for is_dialled in [false, true] {
        let mut room = Room::new(|_| {});
        let (caller, anne) = anne_talks(&mut room);
        if is_dialled {
            let (leg, orders) = room.dialled("anne", "*15");
            assert_eq!(refused_with(&orders), None);
            let confirmed = room.media(MediaReport::Opened { leg, rtp: rtp(4500) });
            assert!(confirmed.iter().any(|o| matches!(o, Order::Leg(LegOrder::Accept { .. }))));
        } else {
            assert!(!is_refused(&press(&mut room, anne, "*15"), anne));
        }
        let samu = room.dial(caller, 2);
        let joined = room.answer(samu);
        assert_eq!(hears(&joined), [(0, vec![1, 2]), (1, vec![0, 2]), (2, vec![0, 1])]);
        assert!(room.events(caller).iter().any(|(_, name)| *name == "call.handed-to-samu"));
        assert_eq!(deeds(&room), [deed("anne", "call.samu", "")]);
        assert!(is_refused(&press(&mut room, anne, "*15"), anne), "it is there already");
    }
}

#[test]
fn a_doctor_joins_by_the_number_pressed_and_leaves_by_a_code() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    press(&mut room, anne, "*30612345678#");
    let doctor = room.dial(caller, 2);
    room.answer(doctor);
    let orders = press(&mut room, anne, "*4");
    assert!(orders.iter().any(|o| matches!(o, Order::Leg(LegOrder::Hangup { leg, .. }) if *leg == doctor)));
    assert_eq!(room.state("anne"), RegulatorState::Talking { call: caller.call });
    assert!(is_refused(&press(&mut room, anne, "*4"), anne), "nobody has joined");
}

#[test]
fn whom_the_phone_has_on_its_other_line_joins_by_keys_on_either_line() {
    for on_own_line in [false, true] {
        let mut room = Room::new(|_| {});
        let (caller, anne) = anne_talks(&mut room);
        let own = room.own_call("anne", "bruno");
        let other = room.dial(own, 1);
        room.answer(other);
        let orders = press(&mut room, if on_own_line { own } else { anne }, "*3#");
        assert_eq!(hears(&orders), [(0, vec![1, 2]), (1, vec![0, 2]), (2, vec![0, 1])]);
        assert_eq!(room.state("bruno"), RegulatorState::Talking { call: caller.call });
    }
}

#[test]
fn a_caller_goes_back_to_the_waiting_room_by_a_code_with_the_wait_kept() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    room.wait(5);
    let later = room.call();
    let taken = room.state("bruno");
    assert_eq!(taken, RegulatorState::Ringing { call: later.call });
    press(&mut room, anne, "*5");
    assert!(room.switch.room().is_waiting(caller.call));
    assert_eq!(room.state("anne"), RegulatorState::WrapUp);
    room.wait(10);
    assert_eq!(room.state("anne"), RegulatorState::Ringing { call: caller.call }, "it came before the other");
}

#[test]
fn a_tutor_listens_by_dialling_and_changes_the_way_by_keys() {
    let mut room = trainee();
    let (caller, anne) = anne_talks(&mut room);
    let (_, orders) = room.dialled("bruno", "*61anne");
    assert_eq!(refused_with(&orders), None);
    let bruno = LegId { number: 2, ..caller };
    let there = room.media(MediaReport::Opened { leg: bruno, rtp: rtp(4500) });
    assert!(there.iter().any(|o| matches!(o, Order::Leg(LegOrder::Accept { leg, .. }) if *leg == bruno)));
    assert_eq!(hears(&there), [(0, vec![1]), (1, vec![0]), (2, vec![0, 1])]);
    assert!(!room.has(|o| matches!(o, Order::Media(MediaCommand::Record { leg, .. }) if *leg == bruno)));
    assert_eq!(hears(&press(&mut room, bruno, "*62")), [(0, vec![1]), (1, vec![0, 2]), (2, vec![0, 1])]);
    assert_eq!(hears(&press(&mut room, bruno, "*63")), [(0, vec![1, 2]), (1, vec![0, 2]), (2, vec![0, 1])]);
    assert!(is_refused(&press(&mut room, anne, "*63"), anne), "she is no supervisor here");
    assert!(is_refused(&press(&mut room, bruno, "*5"), bruno), "the caller is not his");
    room.signal(Signal::Ended { leg: bruno, by: Gone::HungUp, detail: None });
    assert_eq!(room.state("bruno"), RegulatorState::Ready);
    assert_eq!(room.state("anne"), RegulatorState::Talking { call: caller.call });
    let expected = [("call.listen", "anne"), ("call.whisper", ""), ("call.barge-in", "")];
    assert_eq!(deeds(&room), expected.map(|(act, detail)| deed("bruno", act, detail)));
}

#[test]
fn who_is_neither_tutor_nor_supervisor_is_refused_and_one_of_the_association_is_not() {
    let mut room = Room::new(|_| {});
    anne_talks(&mut room);
    assert_eq!(refused_with(&room.dialled("bruno", "*61anne").1), Some(Unserved::Forbidden));
    assert_eq!(refused_with(&room.dialled("bruno", "*61nobody").1), Some(Unserved::NotFound));
    assert_eq!(room.state("bruno"), RegulatorState::Ready);
    assert_eq!(deeds(&room), []);
    let mut room = Room::changed(
        |_| {},
        |centre| {
            if let Some(bruno) = centre.regulators.get_mut(&"bruno".into()) {
                bruno.terms.supervises = vec!["sos".into()];
            }
        },
    );
    room.register("bruno", 2);
    assert_eq!(refused_with(&room.dialled("bruno", "*61anne").1), Some(Unserved::Unavailable), "she is on no call");
    let (caller, _) = anne_talks(&mut room);
    assert_eq!(refused_with(&room.dialled("bruno", "*64anne").1), None);
    let bruno = LegId { number: 2, ..caller };
    room.media(MediaReport::Opened { leg: bruno, rtp: rtp(4500) });
    assert_eq!(room.state("anne"), RegulatorState::WrapUp, "he has the caller");
    assert_eq!(room.state("bruno"), RegulatorState::Talking { call: caller.call });
}

#[test]
fn without_a_call_there_is_nothing_to_do_and_keys_of_the_caller_are_none() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    for code in ["*15", "*3", "*4", "*5"] {
        assert_eq!(refused_with(&room.dialled("anne", code).1), Some(Unserved::NotFound), "{code}");
    }
    let caller = room.call();
    let leg = room.dial(caller, 1);
    room.answer(leg);
    press(&mut room, caller, "*15*5");
    assert_eq!(room.state("anne"), RegulatorState::Talking { call: caller.call });
    assert_eq!(room.switch.calls().next().map(|call| call.guests.len()), Some(0));
}

#[test]
fn a_guest_on_somebody_elses_call_is_not_supervised_there() {
    let mut room = Room::changed(
        |_| {},
        |centre| {
            if let Some(bruno) = centre.regulators.get_mut(&"bruno".into()) {
                bruno.terms.trainee_of = Some("chloe".into());
            }
            let chloe = sample::regulator("chloe", &[], &[]);
            centre.regulators.insert(chloe.id.clone(), chloe);
        },
    );
    let (caller, _) = anne_talks(&mut room);
    room.register("chloe", 3);
    super::joining::done(&mut room, caller, crate::model::Control::Add { to: "bruno".into() });
    let bruno = room.dial(caller, 2);
    room.answer(bruno);
    assert_eq!(room.state("bruno"), RegulatorState::Talking { call: caller.call });
    for code in ["*61bruno", "*64bruno"] {
        assert_eq!(refused_with(&room.dialled("chloe", code).1), Some(Unserved::Unavailable), "{code}");
    }
    assert_eq!(room.state("anne"), RegulatorState::Talking { call: caller.call });
}

#[test]
fn what_a_person_does_to_the_own_state_by_code_is_in_the_audit_too() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    for digits in ["*10", "*11"] {
        room.dialled("anne", digits);
    }
    assert_eq!(deeds(&room), [deed("anne", "regulator.pause", ""), deed("anne", "regulator.ready", "")]);
}

#[test]
fn a_recording_pauses_and_goes_on_by_the_regulators_own_keys_and_a_dialled_code() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    let taps = |orders: &[Order]| {
        let tap = |order: &Order| match order {
            Order::Media(MediaCommand::Record { leg, on }) => Some((leg.number, *on)),
            _ => None,
        };
        orders.iter().filter_map(tap).collect::<Vec<_>>()
    };
    let tone = |orders: &[Order]| {
        orders.iter().find_map(|order| match order {
            Order::Media(MediaCommand::Tone { leg, duration_ms, .. }) if *leg == anne => Some(*duration_ms),
            _ => None,
        })
    };
    let own = AskedBy::Regulator("anne".into());
    let paused = press(&mut room, anne, "*9");
    assert_eq!((taps(&paused), tone(&paused)), (vec![(0, false), (1, false)], Some(200)));
    let is_marked =
        |order: &Order| matches!(order, Order::Recorder(RecorderCommand::Pause { by, reason: None, .. }) if *by == own);
    assert!(paused.iter().any(is_marked), "{paused:?}");
    let resumed = press(&mut room, anne, "*9");
    assert_eq!((taps(&resumed), tone(&resumed)), (vec![(0, true), (1, true)], Some(200)));
    let (_, dialled) = room.dialled("anne", "*9");
    assert_eq!((refused_with(&dialled), taps(&dialled)), (None, vec![(0, false), (1, false)]));
    let acts = ["recording.pause", "recording.resume", "recording.pause"];
    assert_eq!(deeds(&room), acts.map(|act| deed("anne", act, "")));
    let names: Vec<&str> = room.events(caller).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names[names.len() - 3..], ["recording.paused", "recording.resumed", "recording.paused"]);
}

#[test]
fn keys_that_may_not_pause_a_recording_are_refused_and_no_deed() {
    let mut room = Room::new(|line| line.recording_terms.pause_max = Duration::ZERO);
    let (_, anne) = anne_talks(&mut room);
    let refused = press(&mut room, anne, "*9");
    assert!(is_refused(&refused, anne) && deeds(&room).is_empty());
    let (_, orders) = room.dialled("anne", "*9");
    assert_eq!(refused_with(&orders), Some(Unserved::Unavailable));
    let (_, orders) = room.dialled("bruno", "*9");
    assert_eq!(refused_with(&orders), Some(Unserved::NotFound), "he talks with nobody");
}
