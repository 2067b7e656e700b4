//! What is recorded: by the hour, from the wait on, announced; and pauses.

use jiff::civil::{Time, Weekday};

use super::consulting::anne_talks;
use super::joining::{done, order};
use super::*;
use crate::model::calendar::Calendar;
use crate::model::centre::WeeklyHours;
use crate::model::{AskedBy, Control, RecordingRule, RecordingSlot};

fn pause() -> Control {
    Control::PauseRecording { by: AskedBy::Token("desk".into()), reason: Some("a card's number".into()) }
}

fn resume() -> Control {
    Control::ResumeRecording { by: AskedBy::Regulator("anne".into()) }
}

fn taps(orders: &[Order]) -> Vec<(u16, bool)> {
    let tap = |order: &Order| match order {
        Order::Media(MediaCommand::Record { leg, on }) => Some((leg.number, *on)),
        _ => None,
    };
    orders.iter().filter_map(tap).collect()
}

#[test]
fn a_pause_stops_every_leg_is_marked_with_who_asked_and_ends_when_it_is_resumed() {
    let mut room = Room::new(|_| {});
    let (caller, _) = anne_talks(&mut room);
    let paused = done(&mut room, caller, pause());
    assert_eq!(taps(&paused), [(0, false), (1, false)]);
    let by = AskedBy::Token("desk".into());
    let is_marked = |order: &Order| matches!(order, Order::Recorder(RecorderCommand::Pause { by: asked, reason: Some(_), .. }) if *asked == by);
    assert!(paused.iter().any(is_marked), "{paused:?}");
    assert!(matches!(order(&mut room, caller, pause()).1, Reply::Refused(why) if why.contains("already")));
    let resumed = done(&mut room, caller, resume());
    assert_eq!(taps(&resumed), [(0, true), (1, true)]);
    assert!(resumed.iter().any(|order| matches!(order, Order::Recorder(RecorderCommand::Resume { .. }))));
    assert!(matches!(order(&mut room, caller, resume()).1, Reply::Refused(_)));
    let names: Vec<&str> = room.events(caller).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names[names.len() - 2..], ["recording.paused", "recording.resumed"]);
}

#[test]
fn a_pause_ends_by_itself_when_it_has_lasted_as_long_as_it_may() {
    let mut room = Room::new(|line| line.recording_terms.pause_max = Duration::from_secs(60));
    let (caller, _) = anne_talks(&mut room);
    done(&mut room, caller, pause());
    assert_eq!(taps(&room.wait(59)), []);
    assert_eq!(taps(&room.wait(2)), [(0, true), (1, true)]);
}

#[test]
fn what_one_regulator_has_paused_is_recorded_when_the_caller_waits_again() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    done(&mut room, caller, pause());
    let lost = room.signal(Signal::Ended { leg: anne, by: Gone::Lost, detail: None });
    assert!(taps(&lost).contains(&(caller.number, true)), "{lost:?}");
}

#[test]
fn who_joins_during_a_pause_is_recorded_from_its_end_on_only() {
    let mut room = Room::new(|_| {});
    let (caller, _) = anne_talks(&mut room);
    done(&mut room, caller, pause());
    done(&mut room, caller, Control::Add { to: "bruno".into() });
    let bruno = room.dial(caller, 2);
    assert_eq!(taps(&room.answer(bruno)), []);
    assert_eq!(taps(&done(&mut room, caller, resume())), [(0, true), (1, true), (2, true)]);
}

#[test]
fn a_line_whose_recordings_may_not_be_paused_refuses() {
    let mut room = Room::new(|line| line.recording_terms.pause_max = Duration::ZERO);
    let (caller, _) = anne_talks(&mut room);
    assert!(matches!(order(&mut room, caller, pause()).1, Reply::Refused(why) if why.contains("recording_pause_max")));
}

#[test]
fn the_first_slot_whose_hours_hold_decides_whether_a_call_is_recorded() {
    let always = |policy| RecordingRule { policy, waiting: false, notice: None, pause_max: Duration::ZERO };
    let week = |spans| Calendar::of_week(WeeklyHours { spans });
    let never_open = week(vec![(Weekday::Monday, Time::midnight(), Time::constant(0, 0, 1, 0))]);
    let slots = vec![
        RecordingSlot { hours: never_open, rule: always(RecordingPolicy::Always) },
        RecordingSlot { hours: Calendar::of_week(WeeklyHours::always()), rule: always(RecordingPolicy::Never) },
    ];
    let mut room = Room::new(move |line| line.recording_terms.slots.clone_from(&slots));
    let (caller, _) = anne_talks(&mut room);
    assert!(!room.has(|order| matches!(order, Order::Recorder(_))));
    assert_eq!(room.last_record(caller).recording, RecordingPolicy::Never);
}

#[test]
fn a_caller_whose_wait_is_recorded_is_so_from_the_waiting_room_on_also_when_nobody_answers() {
    let mut room = Room::new(|line| line.recording_terms.waiting = true);
    room.register("anne", 1);
    let caller = room.call();
    assert!(room.has(|order| matches!(order, Order::Recorder(RecorderCommand::Begin { .. }))));
    assert_eq!(taps(&room.orders.clone()), [(0, true)]);
    room.signal(Signal::Ended { leg: caller, by: Gone::HungUp, detail: None });
    room.close(caller, 2);
    assert!(room.has(|order| matches!(order, Order::Recorder(RecorderCommand::Finish { .. }))));
}

#[test]
fn the_notice_is_heard_after_the_greeting_where_the_call_is_recorded() {
    let sounds = |recording| {
        let mut room = Room::new(move |line| {
            (line.greeting, line.recording) = (Some("greeting-fr".into()), recording);
            line.recording_terms.notice = Some("recorded".into());
        });
        room.call();
        let play = |order: &Order| match order {
            Order::Media(MediaCommand::Play { sounds, .. }) => Some(sounds.iter().map(ToString::to_string).collect()),
            _ => None,
        };
        room.orders.iter().find_map(play).unwrap_or_else(Vec::<String>::new)
    };
    assert_eq!(sounds(RecordingPolicy::Always), ["greeting-fr", "recorded"]);
    assert_eq!(sounds(RecordingPolicy::Never), ["greeting-fr"]);
}

#[test]
fn a_pause_does_not_outlast_whoever_hands_the_caller_on() {
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    done(&mut room, caller, pause());
    let to = crate::call::signal::TransferTo::User("bruno".into());
    let handed = room.signal(Signal::TransferAsked { leg: anne, to });
    assert_eq!(taps(&handed), [(0, true), (1, true)]);
    // Nor whoever hangs up while the SAMU rings.
    let mut room = Room::new(|_| {});
    let (caller, anne) = anne_talks(&mut room);
    done(&mut room, caller, pause());
    done(&mut room, caller, Control::HandToSamu);
    room.dial(caller, 2);
    let left = room.signal(Signal::Ended { leg: anne, by: Gone::HungUp, detail: None });
    assert!(left.iter().any(|order| matches!(order, Order::Recorder(RecorderCommand::Resume { .. }))), "{left:?}");
}

#[test]
fn a_recording_is_not_paused_without_end() {
    let mut room = Room::new(|_| {});
    let (caller, _) = anne_talks(&mut room);
    for _ in 0..crate::call::pausing::PAUSES_MAX {
        done(&mut room, caller, pause());
        done(&mut room, caller, resume());
    }
    assert!(matches!(order(&mut room, caller, pause()).1, Reply::Refused(why) if why.contains("as often")));
}
