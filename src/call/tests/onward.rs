//! A line that cannot serve a caller leads on: to another line, an outside number, voicemail, or a last message.

use super::*;
use crate::model::Destination;
use crate::model::calendar::Calendar;
use crate::model::centre::WeeklyHours;

/// Anne answers the line `cherbourg`; `helper` is answered by a person of another skill, and is not recorded.
fn room(change: impl FnOnce(&mut Line)) -> Room {
    let mut room = Room::changed(change, |centre| {
        let mut helping = sample::line("helping", "+33233020202", sample::demand("cherbourg", &[("helping", 1)], &[]));
        (helping.association, helping.recording) = ("other".into(), RecordingPolicy::Never);
        helping.music = "their-music".into();
        centre.lines.insert(helping.id.clone(), helping);
        let zoe = sample::regulator("zoe", &[("helping", 50)], &[("cherbourg", 0)]);
        centre.regulators.insert(zoe.id.clone(), zoe);
    });
    room.now = room.now.after(Duration::from_secs(86_400));
    room
}

fn to(to: Destination) -> Farewell {
    Farewell { message: Some("sorry".into()), to: Some(to) }
}

fn never() -> Option<Calendar> {
    Some(Calendar::of_week(WeeklyHours { spans: Vec::new() }))
}

fn heard(room: &Room, leg: LegId) -> Vec<String> {
    let last = room.orders.iter().rev().find_map(|order| match order {
        Order::Media(MediaCommand::Play { leg: to, sounds, .. }) if *to == leg => Some(sounds.clone()),
        _ => None,
    });
    last.into_iter().flatten().map(|sound| sound.to_string()).collect()
}

fn tapped(room: &Room) -> bool {
    room.orders.iter().any(|order| matches!(order, Order::Media(MediaCommand::Record { on: true, .. })))
}

/// The port of the leg to the outside number is open; the number that is dialled.
fn number_dialled(room: &mut Room, call: LegId) -> Option<String> {
    let leg = LegId { number: 1, ..call };
    let orders = room.media(MediaReport::Opened { leg, rtp: rtp(5001) });
    orders.into_iter().find_map(|order| match order {
        Order::Leg(LegOrder::Dial(dial)) => match dial.to {
            super::super::signal::Party::Number { number, .. } => Some(number),
            super::super::signal::Party::Device { .. } => None,
        },
        _ => None,
    })
}

#[test]
fn who_has_waited_too_long_goes_on_at_another_associations_line_with_the_wait_and_is_recorded_all_the_same() {
    let mut room = room(|line| line.overflow = to(Destination::Line("helping".into())));
    room.register("anne", 1);
    let busy = room.call();
    let leg = room.dial(busy, 1);
    room.answer(leg);
    let caller = room.call();
    room.register("zoe", 3);
    assert_eq!(room.state("zoe"), RegulatorState::Ready, "it is not her line yet");
    room.wait(600);
    assert_eq!(room.state("zoe"), RegulatorState::Ringing { call: caller.call });
    assert_eq!(heard(&room, caller), ["sorry", "their-music"]);
    let leg = room.dial(caller, 1);
    room.answer(leg);
    let record = room.last_record(caller);
    assert_eq!((record.line.as_str(), record.association.as_str()), ("helping", "other"));
    assert_eq!((record.recording, record.wait_ms()), (RecordingPolicy::Always, Some(600_000)));
    assert_eq!(record.choices.keys.iter().map(|chosen| chosen.to.as_str()).collect::<Vec<_>>(), ["line helping"]);
    assert!(room.has(|order| matches!(order, Order::Recorder(RecorderCommand::Begin { .. }))));
}

#[test]
fn a_closed_line_puts_callers_through_to_a_number_and_says_so_when_nobody_answers_there() {
    let closed = |line: &mut Line| {
        line.hours = never();
        line.closed = to(Destination::Number("15".into()));
    };
    let mut room = self::room(closed);
    let caller = room.call();
    assert_eq!(number_dialled(&mut room, caller).as_deref(), Some("15"));
    let leg = LegId { number: 1, ..caller };
    let orders = room.answer(leg);
    assert!(orders.contains(&Order::Media(MediaCommand::Bridge { a: caller, b: leg })));
    let mut room = self::room(closed);
    let caller = room.call();
    number_dialled(&mut room, caller);
    room.signal(refused(LegId { number: 1, ..caller }, RefusalKind::Busy));
    assert_eq!(heard(&room, caller), ["sorry"]);
    room.media(MediaReport::Played { leg: caller });
    room.close(caller, 2);
    let record = room.last_record(caller);
    assert_eq!(record.outcome, Some(Outcome::Closed));
    assert!(record.detail.is_some_and(|detail| detail.contains("nobody answered at the outside number")));
}

#[test]
fn with_nobody_on_duty_a_message_can_be_left_and_without_a_way_the_message_is_the_end() {
    let mut room = self::room(|line| line.nobody = to(Destination::Voicemail));
    let caller = room.call();
    assert_eq!(heard(&room, caller), ["sorry"]);
    room.media(MediaReport::Played { leg: caller });
    assert!(room.has(|order| matches!(order, Order::Media(MediaCommand::Record { leg, on: true }) if *leg == caller)));
    let mut room = self::room(|line| line.nobody = Farewell { message: Some("sorry".into()), to: None });
    let caller = room.call();
    room.media(MediaReport::Played { leg: caller });
    room.close(caller, 1);
    assert_eq!(room.last_record(caller).outcome, Some(Outcome::NobodyOnDuty));
}

#[test]
fn talk_with_an_outside_number_or_a_message_is_no_wait() {
    for way in [Destination::Number("15".into()), Destination::Voicemail] {
        let mut room = room(|line| line.overflow = to(way.clone()));
        room.register("anne", 1);
        let busy = room.call();
        let leg = room.dial(busy, 1);
        room.answer(leg);
        let caller = room.call();
        room.wait(600);
        let legs = if way == Destination::Voicemail {
            room.media(MediaReport::Played { leg: caller });
            1
        } else {
            number_dialled(&mut room, caller);
            // It rings there, and the caller still waits.
            room.wait(5);
            room.answer(LegId { number: 1, ..caller });
            2
        };
        room.wait(45);
        room.signal(Signal::Ended { leg: caller, by: Gone::HungUp, detail: None });
        room.close(caller, legs);
        let record = room.last_record(caller);
        assert!(record.ended_at.is_some(), "{way:?}");
        let waited = if way == Destination::Voicemail { 600_000 } else { 605_000 };
        assert_eq!(record.wait_ms(), Some(waited), "{way:?}");
    }
}

#[test]
fn a_circle_that_no_check_has_seen_ends_with_the_message() {
    let mut room = Room::changed(
        |line| {
            line.hours = never();
            line.closed = to(Destination::Line("cherbourg".into()));
        },
        |_| {},
    );
    let caller = room.call();
    assert_eq!(heard(&room, caller), ["sorry"]);
    room.media(MediaReport::Played { leg: caller });
    room.close(caller, 1);
    let record = room.last_record(caller);
    assert_eq!((record.outcome, record.choices.keys.len()), (Some(Outcome::Closed), 8));
}

#[test]
fn who_is_led_on_from_a_closed_line_hears_the_greeting_of_the_line_that_is_open() {
    let closed = |line: &mut Line| {
        line.hours = never();
        line.closed = to(Destination::Line("helping".into()));
    };
    let mut room = self::room(closed);
    let mut centre = (*room.switch.centre).clone();
    if let Some(line) = centre.lines.get_mut(&"helping".into()) {
        (line.greeting, line.greeting_mode) = (Some("their-greeting".into()), GreetingMode::Before);
    }
    room.switch = Switch::new(Arc::new(centre), "Vigie/test".into(), Chance::from_number(1));
    room.register("zoe", 3);
    let caller = room.call();
    assert_eq!(heard(&room, caller), ["sorry", "their-greeting"]);
    assert_eq!(room.state("zoe"), RegulatorState::Ready, "the notice is heard first");
    room.media(MediaReport::Played { leg: caller });
    assert_eq!(room.state("zoe"), RegulatorState::Ringing { call: caller.call });
}

#[test]
fn nobody_is_recorded_without_having_been_told_where_a_closed_line_leads_on() {
    let lead = |to: Destination, more: fn(&mut Line)| {
        let mut room = self::room(move |line| {
            (line.hours, line.closed) = (never(), self::to(to.clone()));
            line.recording_terms.notice = Some("recorded".into());
        });
        let mut centre = (*room.switch.centre).clone();
        if let Some(line) = centre.lines.get_mut(&"helping".into()) {
            (line.greeting, line.greeting_mode) = (Some("their-greeting".into()), GreetingMode::Before);
            more(line);
        }
        room.switch = Switch::new(Arc::new(centre), "Vigie/test".into(), Chance::from_number(1));
        room.register("zoe", 3);
        let caller = room.call();
        (room, caller)
    };
    let helping = || Destination::Line("helping".into());
    // The line that helps out records nobody; the first line's rule holds, and its notice is said.
    let (room, caller) = lead(helping(), |_| {});
    assert_eq!(heard(&room, caller), ["sorry", "recorded", "their-greeting"]);
    assert_eq!(room.last_record(caller).recording, RecordingPolicy::Always);
    // It records by a rule of its own.
    let own = |line: &mut Line| {
        line.recording = RecordingPolicy::Always;
        line.recording_terms.notice = Some("recorded-there".into());
    };
    let (room, caller) = lead(helping(), own);
    assert_eq!(heard(&room, caller), ["sorry", "recorded-there", "their-greeting"]);
    // It greets nobody: nobody is offered the caller, and nothing is recorded, before the notice was heard to its end.
    let ungreeted = |line: &mut Line| {
        (line.greeting, line.recording) = (None, RecordingPolicy::Always);
        (line.recording_terms.notice, line.recording_terms.waiting) = (Some("recorded-there".into()), true);
    };
    let (mut room, caller) = lead(helping(), ungreeted);
    assert_eq!(heard(&room, caller), ["sorry", "recorded-there"]);
    assert_eq!((room.state("zoe"), tapped(&room)), (RegulatorState::Ready, false));
    room.media(MediaReport::Played { leg: caller });
    assert_eq!((room.state("zoe"), tapped(&room)), (RegulatorState::Ringing { call: caller.call }, true));
    // An outside number is dialled when it was heard.
    let (mut room, caller) = lead(Destination::Number("15".into()), |_| {});
    assert_eq!(heard(&room, caller), ["sorry", "recorded"]);
    assert_eq!(number_dialled(&mut room, caller), None);
    room.media(MediaReport::Played { leg: caller });
    assert_eq!(number_dialled(&mut room, caller).as_deref(), Some("15"));
}

#[test]
fn who_lost_the_outside_number_waits_on_and_so_does_the_wait() {
    let mut room = room(|line| line.overflow = to(Destination::Number("15".into())));
    room.register("anne", 1);
    let busy = room.call();
    let leg = room.dial(busy, 1);
    room.answer(leg);
    let caller = room.call();
    room.wait(600);
    number_dialled(&mut room, caller);
    let outside = LegId { number: 1, ..caller };
    room.answer(outside);
    room.wait(45);
    room.signal(Signal::Ended { leg: outside, by: Gone::Lost, detail: None });
    assert!(room.switch.room().is_waiting(caller.call));
    room.wait(30);
    room.signal(Signal::Ended { leg: caller, by: Gone::HungUp, detail: None });
    room.close(caller, 2);
    assert_eq!(room.last_record(caller).wait_ms(), Some(675_000));
}
