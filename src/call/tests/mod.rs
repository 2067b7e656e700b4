//! The switch in virtual time, with values alone: no SIP, no media, no database.

mod calling_out;
mod codes;
mod consulting;
mod early;
mod faults;
mod handing;
mod joining;
mod keeping;
mod listening;
mod onward;
mod recalling;
mod recording;
mod resuming;
mod returning;
mod standing;
mod supervising;
mod voice;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::signal::{Dialled, Gone, Incoming, LegOrder, Refusal, RefusalKind, Signal, Unserved};
use super::{Order, Switch, SwitchInput};
use crate::model::centre::{Farewell, GreetingMode, RecordingPolicy};
use crate::model::{
    CallId, CallRecord, Caller, Centre, Chance, Codec, Command, DeviceId, Direction, EndedBy, EventKind, Fact, LegId,
    Line, MediaCommand, MediaReport, Moment, Now, OfferEnd, Outcome, PauseReason, RecorderCommand, RecorderReport,
    RegulatorState, RemoteMedia, Reply, Ticket, Trunk, Utc,
};
use crate::routing::sample;

/// A switch, its clock, and everything that it has ordered.
struct Room {
    switch: Switch,
    chance: Chance,
    now: Now,
    orders: Vec<Order>,
}

impl Room {
    fn new(change: impl FnOnce(&mut Line)) -> Room {
        Room::changed(change, |_| {})
    }

    fn changed(change: impl FnOnce(&mut Line), more: impl FnOnce(&mut Centre)) -> Room {
        let mut line =
            sample::line("cherbourg", "+33233010101", sample::demand("cherbourg", &[("regulation", 50)], &[]));
        change(&mut line);
        let people = ["anne", "bruno"].map(|id| sample::regulator(id, &[("regulation", 60)], &[("cherbourg", 0)]));
        let mut centre: Centre = sample::centre(people.to_vec(), vec![line]);
        let trunk = Trunk { dials: vec!["+336".into(), "15".into()], ..sample::trunk("cherbourg") };
        centre.trunks.insert("trunk".into(), trunk);
        more(&mut centre);
        let switch = Switch::new(Arc::new(centre), "Vigie/test".into(), Chance::from_number(1));
        let now = Now { moment: Moment(1_000_000), utc: Utc(1_800_000_000_000_000) };
        Room { switch, chance: Chance::from_number(2), now, orders: Vec::new() }
    }

    fn give(&mut self, input: SwitchInput) -> Vec<Order> {
        let mut out = Vec::new();
        self.switch.step(input, self.now, &mut out);
        self.orders.extend(out.iter().cloned());
        out
    }

    fn signal(&mut self, signal: Signal) -> Vec<Order> {
        self.give(SwitchInput::Signal(signal))
    }

    fn media(&mut self, report: MediaReport) -> Vec<Order> {
        self.give(SwitchInput::Media(report))
    }

    fn wait(&mut self, seconds: u64) -> Vec<Order> {
        self.now = self.now.after(Duration::from_secs(seconds));
        self.give(SwitchInput::Tick)
    }

    fn register(&mut self, regulator: &str, device: u64) {
        let signal = Signal::Registered { regulator: regulator.into(), device: DeviceId(device), refreshed: false };
        self.signal(signal);
    }

    /// A call comes in and its port is open: accepted.
    fn call(&mut self) -> LegId {
        let leg = self.ring();
        self.media(MediaReport::Opened { leg, rtp: rtp(4000) });
        leg
    }

    fn ring(&mut self) -> LegId {
        let leg = LegId { call: CallId::new(self.now.utc, &mut self.chance), number: 0 };
        self.signal(Signal::Incoming(Box::new(Incoming {
            context: Box::default(),
            leg,
            trunk: "trunk".into(),
            ddi: "0233010101".into(),
            caller: Caller::default(),
            sip_call_id: "a@b".into(),
            remote: remote(Direction::Both),
        })));
        leg
    }

    /// The port of a device's leg is open; it is dialled.
    fn dial(&mut self, call: LegId, number: u16) -> LegId {
        let leg = LegId { number, ..call };
        let orders = self.media(MediaReport::Opened { leg, rtp: rtp(5000 + number) });
        assert!(orders.iter().any(|order| matches!(order, Order::Leg(LegOrder::Dial(_)))), "{orders:?}");
        leg
    }

    /// A regulator dials from an own phone; the call's leg 0, beside whatever call the regulator is on.
    fn dialled(&mut self, regulator: &str, digits: &str) -> (LegId, Vec<Order>) {
        self.dialled_for(regulator, digits, None)
    }

    fn dialled_for(&mut self, regulator: &str, digits: &str, replaces: Option<LegId>) -> (LegId, Vec<Order>) {
        let call = match self.state(regulator) {
            RegulatorState::Talking { call } => CallId::beside(call, self.now.utc, &mut self.chance),
            _ => CallId::new(self.now.utc, &mut self.chance),
        };
        let leg = LegId { call, number: 0 };
        let dialled = Dialled {
            leg,
            regulator: regulator.into(),
            device: None,
            digits: digits.into(),
            replaces,
            sip_call_id: String::new(),
            remote: remote(Direction::Both),
        };
        (leg, self.signal(Signal::Dialled(Box::new(dialled))))
    }

    /// The same, and the port of its phone is open.
    fn own_call(&mut self, regulator: &str, digits: &str) -> LegId {
        let (leg, orders) = self.dialled(regulator, digits);
        assert!(!orders.iter().any(|order| matches!(order, Order::Leg(LegOrder::Refuse { .. }))), "{orders:?}");
        self.media(MediaReport::Opened { leg, rtp: rtp(4500) });
        leg
    }

    fn kept(&self, table: &str) -> usize {
        self.switch.count_kept().into_iter().find(|(name, _)| *name == table).map_or(usize::MAX, |(_, count)| count)
    }

    fn answer(&mut self, leg: LegId) -> Vec<Order> {
        self.signal(Signal::Accepted { leg, remote: remote(Direction::Both) })
    }

    fn close(&mut self, call: LegId, legs: u16) -> Vec<Order> {
        let mut out = Vec::new();
        for number in 0..legs {
            let leg = LegId { number, ..call };
            out.extend(self.media(MediaReport::Closed { leg, quality: Box::default() }));
        }
        out
    }

    fn state(&self, regulator: &str) -> RegulatorState {
        self.switch.room().state_of(&regulator.into()).cloned().expect("a regulator")
    }

    fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.orders.iter().flat_map(|order| match order {
            Order::Store(facts) => facts.as_slice(),
            _ => &[],
        })
    }

    fn events(&self, call: LegId) -> Vec<(u32, &'static str)> {
        let events = self.facts().filter_map(|fact| match fact {
            Fact::Event(event) if event.call() == Some(call.call) => Some((event.sequence, event.kind.name())),
            _ => None,
        });
        events.collect()
    }

    fn last_record(&self, call: LegId) -> CallRecord {
        let records = self.facts().filter_map(|fact| match fact {
            Fact::Call(record) if record.id == call.call => Some((**record).clone()),
            _ => None,
        });
        records.last().expect("a record")
    }

    fn has(&self, wanted: impl Fn(&Order) -> bool) -> bool {
        self.orders.iter().any(wanted)
    }
}

fn rtp(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn remote(direction: Direction) -> RemoteMedia {
    RemoteMedia {
        rtp: rtp(9000),
        rtcp: rtp(9001),
        signalling: rtp(0).ip(),
        codec: Codec::Pcma,
        payload: 8,
        dtmf_payload: Some(101),
        dtmf_clock_hz: 8000,
        formats: Vec::new(),
        direction,
        crypto: None,
    }
}

fn refused(leg: LegId, kind: RefusalKind) -> Signal {
    Signal::Refused { leg, refusal: Refusal { kind, detail: "as the test says".into() } }
}

#[test]
fn a_call_is_told_in_order_from_the_invite_to_the_seal() {
    let mut room = Room::new(|line| line.greeting = Some("greeting-fr".into()));
    room.register("anne", 1);
    let caller = room.call();
    assert_eq!(room.state("anne"), RegulatorState::Ready, "the greeting is heard first");
    room.media(MediaReport::Played { leg: caller });
    assert_eq!(room.state("anne"), RegulatorState::Ringing { call: caller.call });
    let leg = room.dial(caller, 1);
    let answered = room.answer(leg);
    assert!(answered.contains(&Order::Media(MediaCommand::Bridge { a: caller, b: leg })));
    assert!(room.has(|order| matches!(order, Order::Recorder(RecorderCommand::Begin { .. }))));
    room.now = room.now.after(Duration::from_secs(90));
    room.signal(Signal::Ended { leg: caller, by: Gone::HungUp, detail: None });
    assert_eq!(room.state("anne"), RegulatorState::WrapUp);
    room.close(caller, 2);
    let record = room.last_record(caller);
    assert_eq!((record.outcome, record.ended_by), (Some(Outcome::Answered), Some(EndedBy::Caller)));
    assert_eq!((record.talk_ms(), record.legs.len()), (Some(90_000), 2));
    room.give(SwitchInput::Recorder(RecorderReport::Failed { call: caller.call, reason: "slow disk".into() }));
    room.give(SwitchInput::Recorder(RecorderReport::Failed { call: caller.call, reason: "slow disk".into() }));
    let names = ["received", "queued", "offered", "answered", "ended"].map(|name| format!("call.{name}"));
    let told: Vec<String> = room.events(caller).into_iter().map(|(_, name)| name.to_owned()).collect();
    assert_eq!(told, [names.as_slice(), &["recording.failed".to_owned()]].concat(), "a failure is told once");
    assert!(room.events(caller).iter().zip(1..).all(|((sequence, _), number)| *sequence == number));
}

#[test]
fn an_unanswered_offer_goes_to_the_next_and_the_caller_keeps_the_place() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let first = room.call();
    let second = room.call();
    let phone = room.dial(first, 1);
    room.signal(Signal::Ringing { leg: phone, early: None });
    room.wait(15);
    assert_eq!(room.state("anne"), RegulatorState::Paused { reason: PauseReason::NoAnswer });
    assert!(room.has(|order| matches!(order, Order::Leg(LegOrder::Hangup { why: EndedBy::NoAnswer, .. }))));
    room.register("bruno", 2);
    assert_eq!(room.state("bruno"), RegulatorState::Ringing { call: first.call }, "the first caller is first again");
    room.wait(60);
    assert_ne!(
        room.state("anne"),
        RegulatorState::Paused { reason: PauseReason::NoAnswer },
        "the pause ends by itself"
    );
    let end = room.last_record(first).offers.first().and_then(|offer| offer.end);
    assert_eq!(end, None, "the stored call is older; the offer's own fact tells");
    let ends: Vec<_> = room
        .facts()
        .filter_map(|fact| match fact {
            Fact::Offer { call, offer } if *call == first.call => offer.end,
            _ => None,
        })
        .collect();
    assert_eq!(ends.first(), Some(&OfferEnd::TimedOut));
    assert!(room.switch.room().is_waiting(second.call));
}

#[test]
fn a_phone_that_never_rings_is_dead_and_nobody_is_blamed() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let caller = room.call();
    room.dial(caller, 1);
    room.wait(15);
    assert_eq!(room.state("anne"), RegulatorState::Paused { reason: PauseReason::Unreachable });
    assert!(room.switch.room().is_waiting(caller.call));
}

#[test]
fn of_two_devices_the_one_not_picked_up_stops_ringing() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    room.register("anne", 2);
    let caller = room.call();
    let (desk, mobile) = (room.dial(caller, 1), room.dial(caller, 2));
    let orders = room.answer(mobile);
    assert!(orders.contains(&Order::Leg(LegOrder::Hangup { leg: desk, why: EndedBy::AnsweredElsewhere })));
    assert!(orders.contains(&Order::Media(MediaCommand::Close { leg: desk })));
    let late = room.answer(desk);
    assert!(!late.iter().any(|order| matches!(order, Order::Media(MediaCommand::Bridge { .. }))), "{late:?}");
}

#[test]
fn a_busy_phone_is_told_from_a_dead_one() {
    for (kind, pause) in [
        (RefusalKind::Busy, PauseReason::Refused),
        (RefusalKind::Declined, PauseReason::Refused),
        (RefusalKind::Unreachable, PauseReason::Unreachable),
    ] {
        let mut room = Room::new(|_| {});
        room.register("anne", 1);
        let caller = room.call();
        let leg = room.dial(caller, 1);
        room.signal(refused(leg, kind));
        assert_eq!(room.state("anne"), RegulatorState::Paused { reason: pause }, "{kind:?}");
        assert!(room.switch.room().is_waiting(caller.call));
    }
}

#[test]
fn a_phone_that_vanishes_gives_the_caller_back_and_the_next_answers() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let caller = room.call();
    let leg = room.dial(caller, 1);
    room.answer(leg);
    room.wait(1);
    let later = room.call();
    room.media(MediaReport::Silent { leg });
    assert_eq!(room.state("anne"), RegulatorState::Paused { reason: PauseReason::Unreachable });
    room.register("bruno", 2);
    assert_eq!(room.state("bruno"), RegulatorState::Ringing { call: caller.call }, "before the one who came later");
    let second = room.dial(caller, 2);
    room.answer(second);
    let begun = |order: &Order| matches!(order, Order::Recorder(RecorderCommand::Begin { .. }));
    assert_eq!(room.orders.iter().filter(|order| begun(order)).count(), 1, "one recording for the whole story");
    assert!(room.switch.room().is_waiting(later.call));
}

#[test]
fn hold_plays_music_to_the_other_side_and_is_told_once() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let caller = room.call();
    let leg = room.dial(caller, 1);
    room.answer(leg);
    let held = room.signal(Signal::Reoffered { leg, remote: remote(Direction::ReceiveOnly) });
    let plays = |order: &Order| matches!(order, Order::Media(MediaCommand::Play { leg, .. }) if *leg == caller);
    assert!(held.iter().any(plays), "{held:?}");
    assert!(held.contains(&Order::Media(MediaCommand::Watch { leg, on: false })));
    room.signal(Signal::Reoffered { leg, remote: remote(Direction::ReceiveOnly) });
    let resumed = room.signal(Signal::Reoffered { leg, remote: remote(Direction::Both) });
    assert!(resumed.contains(&Order::Media(MediaCommand::Bridge { a: caller, b: leg })));
    let told: Vec<_> = room.events(caller).into_iter().map(|(_, name)| name).collect();
    assert_eq!(told.iter().filter(|name| **name == "call.held").count(), 1);
    assert_eq!(told.last(), Some(&"call.resumed"));
}

#[test]
fn nobody_on_duty_is_said_and_the_reason_recorded() {
    let mut room = Room::new(|line| line.nobody = Farewell { to: None, message: Some("nobody-fr".into()) });
    let caller = room.call();
    room.media(MediaReport::Played { leg: caller });
    room.close(caller, 1);
    let record = room.last_record(caller);
    assert_eq!(record.outcome, Some(Outcome::NobodyOnDuty));
    assert!(record.detail.is_some_and(|detail| detail.contains("on duty")));
    assert!(room.has(|order| matches!(order, Order::Leg(LegOrder::Hangup { .. }))));
    assert_eq!(room.switch.calls().count(), 0, "nothing is left of it");
}

#[test]
fn waiting_callers_outlast_a_phone_that_restarts() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    room.register("bruno", 2);
    for _ in 0..2 {
        let caller = room.call();
        let leg = room.dial(caller, 1);
        room.answer(leg);
    }
    let caller = room.call();
    room.signal(Signal::Unregistered { regulator: "anne".into(), device: DeviceId(1) });
    room.signal(Signal::Unregistered { regulator: "bruno".into(), device: DeviceId(2) });
    room.wait(25);
    assert!(room.switch.room().is_waiting(caller.call), "their calls go on, so they are on duty");
}

#[test]
fn callers_outlast_the_last_to_go_off_duty_and_not_only_the_first() {
    let mut room = Room::new(|line| line.waiting_max = Duration::from_secs(300));
    room.register("anne", 1);
    room.register("bruno", 2);
    let caller = room.call();
    let is_rung = room.state("anne") == RegulatorState::Ringing { call: caller.call };
    let (rung, device, free) = if is_rung { ("anne", 1, "bruno") } else { ("bruno", 2, "anne") };
    let pause = Command::Pause { regulator: free.into(), reason: "lunch".into() };
    room.give(SwitchInput::Command { ticket: Ticket(1), command: pause });
    room.wait(29);
    room.signal(Signal::Unregistered { regulator: rung.into(), device: DeviceId(device) });
    room.wait(1);
    assert!(room.switch.room().is_waiting(caller.call), "the last phone has been gone for a second");
    room.wait(30);
    assert!(!room.switch.room().is_waiting(caller.call));
}

#[test]
fn the_longest_wait_ends_with_the_overflow() {
    let mut room = Room::new(|line| line.waiting_max = Duration::from_secs(30));
    room.register("anne", 1);
    let busy = room.call();
    let leg = room.dial(busy, 1);
    room.answer(leg);
    let caller = room.call();
    room.wait(30);
    room.close(caller, 1);
    assert_eq!(room.last_record(caller).outcome, Some(Outcome::Overflowed));
    assert!(!room.switch.room().is_waiting(caller.call));
}

#[test]
fn a_caller_who_cancels_while_the_port_opens_leaves_nothing_behind() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let caller = room.ring();
    room.signal(Signal::Ended { leg: caller, by: Gone::Cancelled, detail: None });
    room.media(MediaReport::Opened { leg: caller, rtp: rtp(4000) });
    assert!(room.has(|order| *order == Order::Media(MediaCommand::Close { leg: caller })));
    room.close(caller, 1);
    assert_eq!(room.last_record(caller).outcome, Some(Outcome::Abandoned));
    assert_eq!((room.switch.calls().count(), room.state("anne")), (0, RegulatorState::Ready));
}

#[test]
fn without_a_port_the_call_is_refused_and_recorded() {
    let mut room = Room::new(|_| {});
    let caller = room.ring();
    let orders = room.media(MediaReport::OpenFailed { leg: caller, why: "no port is free".into() });
    assert!(orders.contains(&Order::Leg(LegOrder::Refuse { leg: caller, why: Unserved::Overloaded })));
    assert_eq!(room.last_record(caller).outcome, Some(Outcome::Refused));
    assert_eq!(room.switch.calls().count(), 0);
}

#[test]
fn a_greeting_that_plays_meanwhile_does_not_delay_the_search() {
    let mut room = Room::new(|line| {
        line.greeting = Some("greeting-fr".into());
        line.greeting_mode = GreetingMode::Meanwhile;
    });
    room.register("anne", 1);
    let caller = room.call();
    assert_eq!(room.state("anne"), RegulatorState::Ringing { call: caller.call });
}

#[test]
fn a_line_that_is_not_recorded_never_asks_the_recorder() {
    let mut room = Room::new(|line| line.recording = RecordingPolicy::Never);
    room.register("anne", 1);
    let caller = room.call();
    let leg = room.dial(caller, 1);
    room.answer(leg);
    room.signal(Signal::Ended { leg, by: Gone::HungUp, detail: None });
    room.close(caller, 2);
    assert!(!room.has(|order| matches!(order, Order::Recorder(_) | Order::Media(MediaCommand::Record { .. }))));
    assert_eq!((room.last_record(caller).ended_by, room.switch.calls().count()), (Some(EndedBy::Regulator), 0));
}

#[test]
fn feature_codes_pause_and_make_ready() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let dial = |room: &mut Room, digits: &str| {
        let (leg, mut orders) = room.dialled("anne", digits);
        orders.extend(room.media(MediaReport::Opened { leg, rtp: rtp(4000) }));
        orders
    };
    dial(&mut room, "*10");
    assert_eq!(room.state("anne"), RegulatorState::Paused { reason: PauseReason::Own });
    let orders = dial(&mut room, "*11");
    assert_eq!(room.state("anne"), RegulatorState::Ready);
    assert!(orders.iter().any(|order| matches!(order, Order::Leg(LegOrder::Hangup { .. }))), "{orders:?}");
    let wrong = dial(&mut room, "*99");
    assert!(wrong.iter().any(|order| matches!(order, Order::Leg(LegOrder::Refuse { why: Unserved::NotFound, .. }))));
}

#[test]
fn draining_refuses_new_calls_and_replies_when_the_last_is_over() {
    let mut room = Room::new(|line| line.recording = RecordingPolicy::Never);
    room.register("anne", 1);
    let caller = room.call();
    let leg = room.dial(caller, 1);
    room.answer(leg);
    let drained = Order::Reply { ticket: Ticket(1), reply: Reply::Drained };
    assert!(!room.give(SwitchInput::Command { ticket: Ticket(1), command: Command::Drain }).contains(&drained));
    let refused = room.ring();
    assert!(room.has(|o| *o == Order::Leg(LegOrder::Refuse { leg: refused, why: Unserved::Overloaded })));
    room.give(SwitchInput::Command { ticket: Ticket(2), command: Command::EndAll });
    assert!(room.close(caller, 2).contains(&drained));
}

#[test]
fn every_change_of_a_regulator_is_told_with_its_number() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    room.signal(Signal::Unregistered { regulator: "anne".into(), device: DeviceId(1) });
    let told: Vec<_> = room
        .facts()
        .filter_map(|fact| match fact {
            Fact::Event(event) => match &event.kind {
                EventKind::RegulatorState { was, state, .. } => Some((event.sequence, was.name(), state.name())),
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(told, [(1, "offline", "ready"), (2, "ready", "offline")]);
}
