//! The switch: every live call, the waiting room, and the total code that applies what calls decide.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::consult::{Consult, ConsultState};
use super::decision::{CallInput, Decision};
use super::errand::Errand;
use super::life::{Begin, Call};
use super::orders::Orders;
use super::outbound::Outward;
use super::persons::Persons;
use super::signal::{Gone, Incoming, LegOrder, Signal, Unserved};
use crate::model::{
    Alarm, CallId, Centre, Chance, Command, Counter, E164, Fact, LegId, Line, LineId, MediaCommand, MediaReport,
    Moment, Now, OfferEnd, RecorderCommand, RecorderReport, RegulatorId, RegulatorState, Remembered, Reply,
    SealedRecording, Subject, Ticket,
};
use crate::routing;
use crate::waiting::{StateChange, WaitingRoom};

/// How long callers go on waiting, at least, after the last person who could answer has gone off duty: a phone may be
/// restarting. At most twice as long.
pub const NOBODY_GRACE: Duration = Duration::from_secs(30);

/// What was dialled, as a log line may show it: digits and signs, no more than a number has.
fn shown(ddi: &str) -> String {
    let sign = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '+' | '*' | '#' | '-' | '.') { c } else { '?' };
    ddi.chars().take(24).map(sign).collect()
}

/// Live calls and errands at once; one more is refused with 503.
pub const CALLS_MAX: usize = 5000;

/// Forgotten calls whose failed recording may yet be sealed, by a recorder that tries again; the oldest goes first.
pub const UNSEALED_MAX: usize = 10_000;

/// What reaches the switch.
#[derive(Clone, Debug, PartialEq)]
pub enum SwitchInput {
    /// From the user agent.
    Signal(Signal),
    /// From the media plane.
    Media(MediaReport),
    /// From the recorder.
    Recorder(RecorderReport),
    /// From somebody who asks.
    Command {
        /// Who is answered.
        ticket: Ticket,
        /// What is asked.
        command: Command,
    },
    /// What storage remembers from before the start.
    Remembered(Remembered),
    /// The user agent has given a dialled leg its SIP Call-ID.
    Named {
        /// The leg.
        leg: LegId,
        /// Its SIP Call-ID.
        sip_call_id: String,
    },
    /// Time has passed.
    Tick,
}

/// What the switch asks of everything else.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Of the user agent.
    Leg(LegOrder),
    /// Of the media plane.
    Media(MediaCommand),
    /// Of the recorder.
    Recorder(RecorderCommand),
    /// Of storage: these together.
    Store(Vec<Fact>),
    /// Of whoever asked.
    Reply {
        /// Who is answered.
        ticket: Ticket,
        /// The answer.
        reply: Reply,
    },
    /// Of whoever runs this.
    Alarm(Alarm),
    /// Of the metrics.
    Count(Counter),
}

/// Every live call, the waiting room, the regulators.
pub struct Switch {
    pub(super) centre: Arc<Centre>,
    pub(super) lines: HashMap<LineId, Arc<Line>>,
    pub(super) software: String,
    pub(super) calls: HashMap<CallId, Call>,
    pub(super) errands: HashMap<CallId, Errand>,
    /// What regulators have dialled: colleagues, and numbers.
    pub(super) consults: HashMap<CallId, Consult>,
    /// The present names of legs that came from another call, while the call that they came into lives.
    pub(super) renamed: BTreeMap<LegId, LegId>,
    /// What regulators dialled outside lately.
    pub(super) outward: Outward,
    pub(super) room: WaitingRoom,
    pub(super) persons: Persons,
    pub(super) orders: Orders,
    pub(super) chance: Chance,
    timers: BTreeSet<(Moment, CallId)>,
    scheduled: HashMap<CallId, Moment>,
    pub(super) regulator_sequences: HashMap<RegulatorId, u32>,
    /// The last event's number of each call whose recording failed: sealed late, it is told all the same.
    pub(super) unsealed: BTreeMap<CallId, u32>,
    /// The call-back of each person, while it lives.
    pub(super) call_backs: BTreeMap<E164, CallId>,
    pub(super) duty_check: Option<Moment>,
    pub(super) draining: bool,
    pub(super) drain_tickets: Vec<Ticket>,
    pub(super) facts: Vec<Fact>,
    pub(super) changes: Vec<StateChange>,
    pub(super) queue: VecDeque<(CallId, CallInput)>,
    /// Whether the next call of any kind is to fault where it begins.
    #[cfg(test)]
    pub(super) faulty: bool,
}

impl Switch {
    /// A switch with nobody registered and no call.
    pub fn new(centre: Arc<Centre>, software: String, chance: Chance) -> Switch {
        Switch {
            lines: centre.lines.iter().map(|(id, line)| (id.clone(), Arc::new(line.clone()))).collect(),
            room: WaitingRoom::new(centre.clone()).explaining(),
            persons: Persons::new(centre.callers),
            outward: Outward::default(),
            orders: Orders::default(),
            centre,
            software,
            calls: HashMap::new(),
            errands: HashMap::new(),
            consults: HashMap::new(),
            renamed: BTreeMap::new(),
            chance,
            timers: BTreeSet::new(),
            scheduled: HashMap::new(),
            regulator_sequences: HashMap::new(),
            unsealed: BTreeMap::new(),
            call_backs: BTreeMap::new(),
            duty_check: None,
            draining: false,
            drain_tickets: Vec::new(),
            facts: Vec::new(),
            changes: Vec::new(),
            queue: VecDeque::new(),
            #[cfg(test)]
            faulty: false,
        }
    }

    /// One input and everything that follows from it; afterwards no free regulator fits anybody who waits without an offer.
    pub fn step(&mut self, input: SwitchInput, now: Now, out: &mut Vec<Order>) {
        match input {
            SwitchInput::Signal(signal) => self.signal(signal, now, out),
            SwitchInput::Media(report) => self.media(report, now, out),
            SwitchInput::Recorder(report) => self.recorder(report),
            SwitchInput::Command { ticket, command } => self.command(ticket, command, now, out),
            SwitchInput::Remembered(remembered) => {
                self.room.restore(&remembered.regulators);
                self.regulator_sequences.extend(remembered.regulator_sequences);
                self.persons.restore(remembered.abandoned);
                remembered.forecasts.into_iter().for_each(|day| self.room.remember_calibration(day));
                self.orders.restore(remembered.orders);
                self.resume_call_backs(remembered.call_backs, now);
            }
            SwitchInput::Named { leg, sip_call_id } => {
                let call = self.calls.get_mut(&leg.call).and_then(|call| call.leg_mut(leg));
                let own = self.consults.get_mut(&leg.call).and_then(|own| own.legs.get_mut(leg.number as usize));
                if let Some(leg) = call.or(own) {
                    leg.sip_call_id = sip_call_id;
                }
            }
            SwitchInput::Tick => self.tick(now),
        }
        self.settle(now, out);
    }

    /// When [`SwitchInput::Tick`] is due next.
    pub fn deadline(&self) -> Option<Moment> {
        let call = self.timers.first().map(|(at, _)| *at);
        [call, self.room.deadline(), self.duty_check].into_iter().flatten().min()
    }

    /// The waiting room, to look at.
    pub fn room(&self) -> &WaitingRoom {
        &self.room
    }

    /// Live calls, to look at.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.values()
    }

    /// Regulators' own calls to colleagues and numbers, to look at.
    pub fn consults(&self) -> impl Iterator<Item = &Consult> {
        self.consults.values()
    }

    /// Everything that is kept, by table.
    pub fn count_kept(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("calls", self.calls.len()),
            ("errands", self.errands.len()),
            ("calls among colleagues", self.consults.len()),
            ("renamed legs", self.renamed.len()),
            ("timers of calls", self.timers.len().max(self.scheduled.len())),
            ("call-backs", self.call_backs.len()),
            ("waiting", self.room.count_waiting()),
        ]
    }

    fn signal(&mut self, signal: Signal, now: Now, out: &mut Vec<Order>) {
        let (leg, input) = match signal {
            Signal::Incoming(incoming) => return self.incoming(*incoming, now, out),
            Signal::Dialled(dialled) => return self.dialled(*dialled, now, out),
            Signal::Registered { regulator, device, refreshed: _ } => {
                return self.room.registered(&regulator, device, now, &mut self.changes);
            }
            Signal::Unregistered { regulator, device } => {
                self.room.unregistered(&regulator, device, now, &mut self.changes);
                if self.room.devices_of(&regulator).is_empty()
                    && let Some(RegulatorState::Ringing { call }) = self.room.state_of(&regulator)
                {
                    self.queue.push_back((*call, CallInput::DevicesGone));
                }
                return;
            }
            Signal::Ringing { leg, early: _ } => (leg, CallInput::Ringing { leg }),
            // The media plane knows whether the same key came by RTP too, and reports each press once.
            Signal::Dtmf { leg, digit } => return out.push(Order::Media(MediaCommand::Key { leg, digit })),
            Signal::KeyUntold { leg, digit, duration_ms } => {
                let leg = self.named(leg);
                return out.push(Order::Media(MediaCommand::Tone { leg, digit, duration_ms }));
            }
            Signal::TransferAsked { leg, to } => return self.transfer_asked(leg, to, now, out),
            Signal::Accepted { leg, remote } => (leg, CallInput::Accepted { leg, remote }),
            Signal::Refused { leg, refusal } => (leg, CallInput::Refused { leg, refusal }),
            Signal::Confirmed { leg } => (leg, CallInput::Confirmed { leg }),
            Signal::Reoffered { leg, remote } => (leg, CallInput::Reoffered { leg, remote }),
            Signal::Ended { leg, by, detail } => (leg, CallInput::Ended { leg, by, detail }),
        };
        self.hear(leg, input);
    }

    /// What is told of a leg reaches it by the name that it has now.
    fn hear(&mut self, leg: LegId, input: CallInput) {
        match self.renamed.get(&leg).copied() {
            Some(named) => self.queue.push_back((named.call, input.of_leg(named))),
            None => self.queue.push_back((leg.call, input)),
        }
    }

    /// The name that a leg has now.
    fn named(&self, leg: LegId) -> LegId {
        self.renamed.get(&leg).copied().unwrap_or(leg)
    }

    fn incoming(&mut self, incoming: Incoming, now: Now, out: &mut Vec<Order>) {
        let leg = incoming.leg;
        let refuse = |why| Order::Leg(LegOrder::Refuse { leg, why });
        if self.draining || self.calls.len() + self.errands.len() + self.consults.len() >= CALLS_MAX {
            return out.push(refuse(Unserved::Overloaded));
        }
        let centre = self.centre.clone();
        let Some(trunk) = centre.trunks.get(&incoming.trunk) else { return out.push(refuse(Unserved::Forbidden)) };
        let routed = routing::route(&centre, trunk, &incoming.ddi, now);
        let Some((routed, line)) = routed.and_then(|routed| Some((routed.clone(), self.lines.get(&routed.line.id)?)))
        else {
            return out.push(refuse(Unserved::Unavailable));
        };
        if routed.fallback {
            let text = format!(
                "a call over trunk {} for {}, which no line knows, went to the fallback line {}; \
                 add the number to a line's `ddis`",
                incoming.trunk,
                shown(&incoming.ddi),
                routed.line.id
            );
            out.push(Order::Alarm(Alarm { kind: "unknown-ddi".into(), call: Some(leg.call), text }));
        }
        let line = line.clone();
        let brings = self.brings(&incoming, &line, now);
        let begin = Begin {
            incoming,
            brings,
            ddi: routed.ddi,
            fallback: routed.fallback,
            open: routed.open,
            line,
            centre: centre.clone(),
            software: self.software.clone(),
        };
        let is_faulty = self.is_faulty();
        let begun = catch_unwind(AssertUnwindSafe(|| {
            assert!(!is_faulty, "the planted fault");
            let mut decisions = Vec::new();
            (Call::begin(begin, now, &mut decisions), decisions)
        }));
        let Ok((call, decisions)) = begun else {
            self.alarm_fault(leg.call, out);
            return out.push(refuse(Unserved::Fault));
        };
        self.calls.insert(leg.call, call);
        self.apply(leg.call, decisions, now, out);
        self.schedule(leg.call);
    }

    fn media(&mut self, report: MediaReport, now: Now, out: &mut Vec<Order>) {
        let (leg, input) = match report {
            MediaReport::Opened { leg, rtp } => (leg, CallInput::Opened { leg, rtp }),
            MediaReport::OpenFailed { leg, why } => (leg, CallInput::OpenFailed { leg, why }),
            MediaReport::Heard { .. } => return,
            MediaReport::Played { leg } => (leg, CallInput::Played { leg }),
            MediaReport::Dtmf { leg, digit, duration_ms: _ } => {
                self.pressed(self.named(leg), digit, now, out);
                (leg, CallInput::Dtmf { leg, digit })
            }
            MediaReport::KeyUntold { leg, digit, duration_ms } => {
                let leg = self.named(leg);
                return out.push(Order::Leg(LegOrder::Key { leg, digit, duration_ms }));
            }
            MediaReport::Silent { leg } => (leg, CallInput::Silent { leg }),
            MediaReport::OneWay { leg, way, is_over } => {
                self.alarm_one_way(leg, way, is_over, out);
                return self.tell_one_way(leg, way, is_over, now, out);
            }
            MediaReport::Closed { leg, quality } => (leg, CallInput::Closed { leg, quality }),
        };
        self.hear(leg, input);
    }

    fn recorder(&mut self, report: RecorderReport) {
        let (call, input) = match report {
            RecorderReport::Sealed(sealed) => (sealed.call, CallInput::Sealed(sealed)),
            RecorderReport::Failed { call, reason } => (call, CallInput::RecordingFailed(reason)),
        };
        self.queue.push_back((call, input));
    }

    fn tick(&mut self, now: Now) {
        while let Some((at, call)) = self.timers.first().copied()
            && at <= now.moment
        {
            self.timers.remove(&(at, call));
            self.scheduled.remove(&call);
            self.queue.push_back((call, CallInput::Due));
        }
        if self.duty_check.is_some_and(|at| at <= now.moment) {
            self.duty_check = None;
            for id in self.room.calls() {
                let Some(call) = self.calls.get(&id) else { continue };
                let demand = &call.demand;
                if self.room.anyone_on_duty(demand) {
                    continue;
                }
                if self.room.anyone_off_duty_within(demand, NOBODY_GRACE, now) {
                    self.duty_check = Some(now.moment + NOBODY_GRACE);
                } else {
                    self.queue.push_back((id, CallInput::Nobody));
                }
            }
        }
    }

    /// Runs the queue until nothing follows any more, then hands the facts over as one transaction.
    fn settle(&mut self, now: Now, out: &mut Vec<Order>) {
        loop {
            while let Some((call, input)) = self.queue.pop_front() {
                self.run(call, input, now, out);
            }
            let choices = self.room.choose(now, &mut self.changes);
            for choice in choices {
                self.queue.push_back((choice.call, CallInput::Chosen(Box::new(choice))));
            }
            self.tell_changes(now);
            self.keep_up_with_room();
            if self.queue.is_empty() {
                break;
            }
        }
        let has_own = !self.errands.is_empty() || !self.consults.is_empty();
        if self.draining && !has_own && self.calls.values().all(Call::is_settled) {
            let tickets = std::mem::take(&mut self.drain_tickets);
            out.extend(tickets.into_iter().map(|ticket| Order::Reply { ticket, reply: Reply::Drained }));
        }
        if !self.facts.is_empty() {
            out.push(Order::Store(std::mem::take(&mut self.facts)));
        }
    }

    /// One call's step: a fault in it ends this call alone.
    fn run(&mut self, id: CallId, input: CallInput, now: Now, out: &mut Vec<Order>) {
        let mut decisions = Vec::new();
        let is_faulty = self.is_faulty();
        if let Some(call) = self.calls.get_mut(&id) {
            let told = call.sequence;
            let outcome = catch_unwind(AssertUnwindSafe(|| call.step(input, now, &mut decisions)));
            if outcome.is_err() {
                // What it was about to tell is dropped with its decisions: dispatch must see no gap in the numbers.
                call.sequence = told;
                return self.fail(id, now, out);
            }
        } else if let Some(errand) = self.errands.get_mut(&id) {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                assert!(!is_faulty, "the planted fault");
                errand.step(input, &mut decisions);
            }));
            if outcome.is_err() {
                return self.fail_own(id, now, out);
            }
        } else if let Some(consult) = self.consults.get_mut(&id) {
            let talked = matches!(consult.state, ConsultState::Talking { .. });
            if catch_unwind(AssertUnwindSafe(|| consult.step(input, now, &mut decisions))).is_err() {
                return self.fail_own(id, now, out);
            }
            if !talked && matches!(consult.state, ConsultState::Talking { .. }) {
                self.note_dialled(id, true, now);
            }
        } else {
            return self.stray(id, input, now, out);
        }
        self.apply(id, decisions, now, out);
        self.schedule(id);
    }

    /// An input for a call that is gone: a leg that lives on there is told to end.
    fn stray(&mut self, id: CallId, input: CallInput, now: Now, out: &mut Vec<Order>) {
        match input {
            CallInput::Opened { leg, .. } => out.push(Order::Media(MediaCommand::Close { leg })),
            CallInput::Accepted { leg, .. } => {
                out.push(Order::Leg(LegOrder::Hangup { leg, why: crate::model::EndedBy::Caller }));
            }
            CallInput::Sealed(sealed) => self.sealed_late(id, sealed, now),
            CallInput::Chosen(choice) => {
                self.room.offer_ended(&choice.regulator, OfferEnd::Cancelled, now, &mut self.changes);
                self.room.leave(id);
            }
            CallInput::Nobody => self.room.leave(id),
            // Each is pushed for a call that is there, and taken before it can go.
            CallInput::HandOn(_) | CallInput::HandedOver(_) | CallInput::TakeOver(_) | CallInput::Steer(_) => {
                self.free_regulators(id, now);
            }
            CallInput::OpenFailed { .. }
            | CallInput::Played { .. }
            | CallInput::Dtmf { .. }
            | CallInput::Silent { .. }
            | CallInput::Closed { .. }
            | CallInput::Ringing { .. }
            | CallInput::Refused { .. }
            | CallInput::Confirmed { .. }
            | CallInput::Reoffered { .. }
            | CallInput::Ended { by: Gone::HungUp | Gone::Cancelled | Gone::NoAck | Gone::Lost, .. }
            | CallInput::DevicesGone
            | CallInput::Voice(_)
            | CallInput::End(_)
            | CallInput::RecordingFailed(_)
            | CallInput::Due => {}
        }
    }

    #[cfg(test)]
    pub(super) fn plant_fault(&mut self, id: CallId) {
        self.calls.entry(id).and_modify(|call| call.faulty = true);
        self.consults.entry(id).and_modify(|consult| consult.faulty = true);
    }

    /// Whether a test has planted a fault in whatever begins next.
    pub(super) fn is_faulty(&self) -> bool {
        #[cfg(test)]
        return self.faulty;
        #[cfg(not(test))]
        false
    }

    /// A recording that was told as failed is sealed after all: its seal must go out, for it is the anchor outside.
    fn sealed_late(&mut self, id: CallId, sealed: Box<SealedRecording>, now: Now) {
        if let Some(last) = self.unsealed.remove(&id) {
            self.tell(Subject::Call(id), last.saturating_add(1), sealed.event(), now);
        }
        self.facts.push(Fact::Recording(sealed));
    }

    pub(super) fn forget(&mut self, id: CallId) {
        if let Some(call) = self.calls.remove(&id)
            && let Some(last) = self.unsealed.get_mut(&id)
        {
            *last = call.sequence;
        }
        self.errands.remove(&id);
        self.consults.remove(&id);
        self.renamed.retain(|_, named| named.call != id);
        self.call_backs.retain(|_, call| *call != id);
        self.room.leave(id);
        self.schedule(id);
    }

    /// Keeps the timers true to the call's deadline.
    pub(super) fn schedule(&mut self, id: CallId) {
        let own = || self.consults.get(&id).map(|consult| consult.deadline);
        let wanted = match (self.calls.get(&id), self.errands.get(&id)) {
            (Some(call), _) => call.deadline,
            (None, Some(errand)) => Some(errand.deadline),
            (None, None) => own(),
        };
        if self.scheduled.get(&id).copied() == wanted {
            return;
        }
        if let Some(at) = self.scheduled.remove(&id) {
            self.timers.remove(&(at, id));
        }
        if let Some(at) = wanted {
            self.scheduled.insert(id, at);
            self.timers.insert((at, id));
        }
    }

    pub(super) fn decisions_of_fault(call: &mut Call, now: Now) -> Vec<Decision> {
        let mut decisions = Vec::new();
        super::ending::fail(call, now, &mut decisions);
        decisions
    }
}
