//! Lists of callers and messages of overrun regions: what they do to a call, and what they do not.

use super::*;
use crate::model::standing::{CallerList, ListKind, ListedNumber, Numbers, StandingOrder, Surge};
use crate::model::{DemandChange, E164, Remembered};

const ZOE: &str = "+33612345678";

fn zoe() -> Caller {
    Caller { raw: ZOE.into(), e164: E164::parse(ZOE), verified: true, ..Caller::default() }
}

fn list(id: &str, kind: ListKind, numbers: &[&str]) -> CallerList {
    CallerList {
        id: id.into(),
        name: id.to_owned(),
        kind,
        numbers: numbers.iter().filter_map(|text| Numbers::parse(text)).collect(),
        lines: Vec::new(),
        reason: Some("as the test says".into()),
        until: None,
    }
}

fn first() -> ListKind {
    ListKind::Priority(Box::new(DemandChange { priority: Some(1), ..DemandChange::default() }))
}

fn room(lists: Vec<CallerList>) -> Room {
    let mut room = Room::changed(
        |line| line.greeting = None,
        |centre| {
            centre.lists = lists.into_iter().map(|list| (list.id.clone(), list)).collect();
            for sound in ["surge-fr", "special"] {
                centre.sounds.insert(sound.into(), "x.wav".into());
            }
        },
    );
    room.now = room.now.after(Duration::from_secs(86_400));
    room.register("anne", 1);
    room
}

impl Room {
    fn ask(&mut self, command: Command) -> Option<Reply> {
        let orders = self.give(SwitchInput::Command { ticket: Ticket(9), command });
        orders.into_iter().find_map(|order| match order {
            Order::Reply { reply, .. } => Some(reply),
            _ => None,
        })
    }

    fn refusal(&self) -> Option<Unserved> {
        self.orders.iter().find_map(|order| match order {
            Order::Leg(LegOrder::Refuse { why, .. }) => Some(*why),
            _ => None,
        })
    }

    fn heard(&self, leg: LegId) -> Vec<String> {
        let sounds = self.orders.iter().find_map(|order| match order {
            Order::Media(MediaCommand::Play { leg: to, sounds, .. }) if *to == leg => Some(sounds.clone()),
            _ => None,
        });
        sounds.into_iter().flatten().map(|sound| sound.to_string()).collect()
    }
}

fn listed(list: &str, number: &str, until: Option<Utc>) -> Command {
    Command::Order(Box::new(StandingOrder::Listed(ListedNumber {
        list: list.into(),
        number: Numbers::parse(number).expect("a number"),
        reason: Some("shouted".into()),
        until,
        by: "desk".into(),
        at: Utc(0),
    })))
}

fn surge(message: Option<&str>, until: Option<Utc>) -> Command {
    let (region, message) = ("normandie".into(), message.map(Into::into));
    Command::Order(Box::new(StandingOrder::Surge(Surge { region, message, until, by: "desk".into(), at: Utc(0) })))
}

#[test]
fn a_priority_caller_goes_first_and_the_record_says_by_which_list() {
    let mut room = room(vec![list("homes", first(), &["+336123*"])]);
    let busy = room.call();
    let leg = room.dial(busy, 1);
    room.answer(leg);
    let usual = room.call();
    room.wait(30);
    let home = room.call_with(zoe());
    room.register("bruno", 2);
    assert_eq!(room.state("bruno"), RegulatorState::Ringing { call: home.call });
    assert!(room.switch.room().is_waiting(usual.call));
    let record = room.last_record(home);
    assert_eq!((record.priority, record.person.list), (1, Some("homes".into())));
}

#[test]
fn whoever_is_not_verified_does_not_get_ahead_but_is_blocked_all_the_same() {
    let anybody = Caller { verified: false, ..zoe() };
    let mut room = self::room(vec![list("homes", first(), &[ZOE])]);
    let call = room.call_with(anybody.clone());
    assert_eq!(room.last_record(call).person.list, None);
    let mut room = self::room(vec![list("blocked", ListKind::Blocked, &[ZOE])]);
    room.call_with(anybody);
    assert_eq!(room.refusal(), Some(Unserved::Declined));
}

#[test]
fn a_blocked_caller_is_refused_before_a_port_is_opened_and_the_record_says_why() {
    let mut room = room(vec![list("blocked", ListKind::Blocked, &[ZOE]), list("homes", first(), &[ZOE])]);
    let call = room.call_with(zoe());
    assert_eq!(room.refusal(), Some(Unserved::Declined));
    assert!(!room.has(|order| matches!(order, Order::Media(MediaCommand::Open { leg }) if *leg == call)));
    let record = room.last_record(call);
    assert_eq!((record.outcome, record.ended_by), (Some(Outcome::Refused), Some(EndedBy::Refused)));
    assert!(record.detail.is_some_and(|detail| detail.contains("`blocked`: as the test says")));
    assert_eq!(room.events(call), [(1, "call.received"), (2, "call.ended")]);
    assert_eq!(room.switch.calls().count(), 0);
    let other = room.call_of("+33699999999");
    assert!(room.last_record(other).outcome.is_none());
}

#[test]
fn a_list_holds_for_its_lines_until_its_day_and_anonymous_callers_can_stand_on_one() {
    let hidden = Caller { anonymous: true, ..zoe() };
    let elsewhere = CallerList { lines: vec!["rouen".into()], ..list("blocked", ListKind::Blocked, &["anonymous"]) };
    let past = CallerList { until: Some(Utc(1)), ..list("blocked", ListKind::Blocked, &["anonymous"]) };
    let here = CallerList { lines: vec!["cherbourg".into()], ..list("blocked", ListKind::Blocked, &["anonymous"]) };
    for (list, refused) in [(elsewhere, false), (past, false), (here, true)] {
        let mut room = room(vec![list]);
        room.call_with(hidden.clone());
        assert_eq!(room.refusal().is_some(), refused);
    }
}

#[test]
fn a_test_call_is_marked_and_makes_no_task() {
    let mut room = room(vec![list("ours", ListKind::Test, &[ZOE])]);
    let busy = room.call();
    let leg = room.dial(busy, 1);
    room.answer(leg);
    let call = room.call_with(zoe());
    room.wait(60);
    room.hang_up(call);
    assert!(room.last_record(call).person.is_test);
    assert!(room.tasks().is_empty());
}

#[test]
fn a_number_is_added_to_a_list_until_a_time_or_until_it_is_taken_out_over_a_restart_too() {
    let mut room = room(vec![list("blocked", ListKind::Blocked, &[]), list("homes", first(), &[])]);
    let until = Some(room.now.after(Duration::from_secs(100)).utc);
    let refused = |reply: Option<Reply>| matches!(reply, Some(Reply::Refused(_)));
    assert!(refused(room.ask(listed("blocked", ZOE, None))), "without an end");
    assert!(refused(room.ask(listed("nolist", ZOE, until))) && refused(room.ask(listed("homes", ZOE, Some(Utc(1))))));
    assert_eq!(room.ask(listed("blocked", ZOE, until)), Some(Reply::Done));
    let stored: Vec<StandingOrder> = room
        .facts()
        .filter_map(|fact| match fact {
            Fact::Ordered(order) => Some((**order).clone()),
            _ => None,
        })
        .collect();
    let mut restarted = self::room(vec![list("blocked", ListKind::Blocked, &[])]);
    restarted.give(SwitchInput::Remembered(Remembered { orders: stored, ..Remembered::default() }));
    for room in [&mut room, &mut restarted] {
        room.call_with(zoe());
        assert_eq!(room.refusal(), Some(Unserved::Declined));
        room.orders.clear();
    }
    let take_out = || Command::Withdraw { order: format!("list/blocked/{ZOE}") };
    assert_eq!([room.ask(take_out()), room.ask(take_out())], [Some(Reply::Done), Some(Reply::Unknown)]);
    restarted.wait(101);
    for room in [&mut room, &mut restarted] {
        room.orders.clear();
        room.call_with(zoe());
        assert_eq!(room.refusal(), None, "taken out, or over");
    }
}

#[test]
fn a_region_that_is_overrun_says_so_to_new_callers_of_all_its_parts_until_it_is_switched_off() {
    let mut room = room(Vec::new());
    assert!(matches!(room.ask(surge(Some("nothing"), None)), Some(Reply::Refused(_))), "no such sound");
    assert_eq!(room.ask(surge(None, None)), Some(Reply::Done));
    let call = room.call();
    assert_eq!(room.heard(call), ["surge-fr"], "before the wait");
    assert!(!room.switch.room().is_waiting(call.call));
    room.media(MediaReport::Played { leg: call });
    assert!(room.switch.room().is_waiting(call.call));
    let until = Some(room.now.after(Duration::from_secs(60)).utc);
    assert_eq!(room.ask(surge(Some("special"), until)), Some(Reply::Done));
    let call = room.call();
    assert_eq!(room.heard(call), ["special"]);
    let Some(Reply::Standing(standing)) = room.ask(Command::Standing) else { panic!("no view") };
    assert_eq!(standing.orders.len(), 1, "in place of the other");
    room.wait(61);
    let call = room.call();
    assert_eq!(room.heard(call), ["music"], "over by itself");
    room.ask(surge(None, None));
    assert_eq!(room.ask(Command::Withdraw { order: "surge/normandie".into() }), Some(Reply::Done));
    let call = room.call();
    assert_eq!(room.heard(call), ["music"], "switched off");
}

#[test]
fn a_forged_number_does_not_get_ahead_by_asking_not_to_be_shown() {
    let mut room = room(vec![list("homes", first(), &[ZOE])]);
    let leg = room.call_with(Caller { verified: false, anonymous: true, ..zoe() });
    assert_eq!((room.last_record(leg).person.list, room.last_record(leg).priority), (None, 5));
}
