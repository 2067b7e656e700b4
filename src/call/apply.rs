//! How the switch applies what calls decide, and tells what changed: total code, no decision of its own.

use super::decision::{CallInput, Decision, RoomChange};
use super::orders::Brings;
use super::signal::Incoming;
use super::switch::{NOBODY_GRACE, Order, Switch, UNSEALED_MAX};
use crate::model::{
    Alarm, CallId, Event, EventId, EventKind, Fact, LegId, Line, Now, OneWay, PauseReason, Person, RecorderCommand,
    RegulatorId, RegulatorState, Side, Subject, is_turn,
};
use std::time::Duration;

impl Switch {
    /// Applies the decisions of one call, in their order.
    pub(super) fn apply(&mut self, id: CallId, decisions: Vec<Decision>, now: Now, out: &mut Vec<Order>) {
        // Events were numbered as they were told; the last of these decisions carries the call's present number.
        let events = decisions.iter().filter(|d| matches!(d, Decision::Event(_))).count() as u32;
        let last = self.calls.get(&id).map_or(0, |call| call.sequence);
        let mut sequence = last.saturating_sub(events);
        for decision in decisions {
            match decision {
                Decision::Leg(order) => out.push(Order::Leg(order)),
                Decision::Media(command) => out.push(Order::Media(command)),
                Decision::Recorder(command) => out.push(Order::Recorder(command)),
                Decision::Room(change) => self.change_room(id, change, now),
                Decision::Event(kind) => {
                    sequence += 1;
                    if is_turn(&kind) && self.calls.get(&id).is_some_and(|call| call.recording) {
                        let what = kind.clone();
                        out.push(Order::Recorder(RecorderCommand::Turn { call: id, at: now.utc, what }));
                    }
                    self.tell(Subject::Call(id), sequence, *kind, now);
                }
                Decision::Keep => {
                    if let Some(call) = self.calls.get(&id) {
                        self.facts.push(Fact::Call(Box::new(call.record_now())));
                    }
                }
                Decision::KeepOffer(offer) => self.facts.push(Fact::Offer { call: id, offer }),
                Decision::KeepRecording(sealed) => {
                    self.unsealed.remove(&id);
                    self.facts.push(Fact::Recording(sealed));
                }
                Decision::KeepFailure(reason) => {
                    self.unsealed.insert(id, last);
                    if self.unsealed.len() > UNSEALED_MAX {
                        self.unsealed.pop_first();
                    }
                    self.facts.push(Fact::RecordingFailed { call: id, at: now.utc, reason: reason.clone() });
                    let text = format!(
                        "A recording could not be made: {reason}. The audio that was written is kept in the call's folder."
                    );
                    out.push(Order::Alarm(Alarm { kind: "recording-failed".into(), call: Some(id), text }));
                }
                Decision::Served => {
                    if let Some(call) = self.calls.get(&id) {
                        self.persons.served(call, now, &mut self.facts);
                    }
                }
                Decision::Parted(parting) => {
                    if let Some(call) = self.calls.get(&id) {
                        self.persons.part(&call.record, parting, now, &mut self.facts);
                    }
                }
                Decision::Recall(plan) => self.recall(id, plan, now, out),
                Decision::Count(counter) => out.push(Order::Count(counter)),
                Decision::Over => self.forget(id),
            }
        }
    }

    pub(super) fn tell(&mut self, subject: Subject, sequence: u32, kind: EventKind, now: Now) {
        let id = EventId::new(now.utc, &mut self.chance);
        self.facts.push(Fact::Event(Box::new(Event { id, subject, sequence, at: now.utc, kind })));
    }

    /// What is known of a caller before the call begins.
    pub(super) fn brings(&mut self, incoming: &Incoming, line: &Line, now: Now) -> Brings {
        let mut brings = self.orders.read(&self.centre, &incoming.caller, line, now);
        if brings.blocked.is_none() {
            let earlier = self.persons.arrive(incoming.leg.call, &incoming.caller, now, &mut self.facts);
            let Person { list, is_test, .. } = brings.person;
            brings.person = Person { list, is_test, ..earlier };
        }
        brings
    }

    fn change_room(&mut self, id: CallId, change: RoomChange, now: Now) {
        match change {
            RoomChange::Enter { since } => self.enter(id, since),
            RoomChange::Leave => self.room.give_up(id, now),
            RoomChange::OfferEnded { regulator, end } => {
                if self.room.state_of(&regulator) == Some(&RegulatorState::Ringing { call: id }) {
                    self.room.offer_ended(&regulator, end, now, &mut self.changes);
                }
                self.room.put_back(id);
            }
            RoomChange::Answered { regulator } => {
                // The offer's legs rang on behalf of this very state, so nobody else can have won the call.
                let won = self.room.answered(&regulator, id, now, &mut self.changes);
                debug_assert!(won, "an answer without a live offer");
                self.supersede(id);
            }
            RoomChange::Released { regulator } => {
                let wrap_up = self.calls.get(&id).map_or(Duration::ZERO, |call| call.line.wrap_up);
                self.release(id, &regulator, wrap_up, now);
            }
            RoomChange::Foresee => self.foresee(id, now),
            RoomChange::AskCallBack => self.ask_call_back(id),
            RoomChange::TakesOver { regulator } => {
                let is_known = self.room.hand_over(&regulator, id, id, now, &mut self.changes);
                debug_assert!(is_known, "somebody takes over who is not on the call");
                self.supersede(id);
            }
            RoomChange::Redemand => {
                if let Some(demand) = self.calls.get(&id).map(|call| call.demand.clone()) {
                    // Somebody on duty fits, as was looked at before; and who has stopped waiting will be asked anew.
                    let _ = self.room.redemand(id, demand, now);
                }
            }
            RoomChange::Lost { regulator } => {
                // Unknown only when the configuration lost the person, and then there is nobody to pause.
                let _ = self.room.pause(&regulator, PauseReason::Unreachable, now, &mut self.changes);
                self.release(id, &regulator, Duration::ZERO, now);
            }
        }
    }

    /// Only who talks on this very call: by now the person may talk on another.
    fn release(&mut self, id: CallId, regulator: &RegulatorId, wrap_up: Duration, now: Now) {
        if self.room.state_of(regulator) == Some(&RegulatorState::Talking { call: id }) {
            self.room.released(regulator, wrap_up, now, &mut self.changes);
            self.engage_again(regulator, id, now);
        }
    }

    fn enter(&mut self, id: CallId, since: Now) {
        let Some(call) = self.calls.get(&id) else { return };
        let demand = call.demand.clone();
        if !self.room.anyone_on_duty(&demand) {
            return self.queue.push_back((id, CallInput::Nobody));
        }
        if self.room.enter(id, &call.line.id, demand, since).is_err() {
            // Full: the overflow message, at once.
            self.queue.push_back((id, CallInput::Due));
        }
    }

    /// Tells and stores every change of a regulator's state, once.
    pub(super) fn tell_changes(&mut self, now: Now) {
        for change in std::mem::take(&mut self.changes) {
            let off_duty = match &change.state {
                RegulatorState::Offline | RegulatorState::Paused { .. } => true,
                RegulatorState::Ready
                | RegulatorState::Ringing { .. }
                | RegulatorState::Talking { .. }
                | RegulatorState::WrapUp => false,
            };
            if off_duty {
                self.duty_check.get_or_insert(now.moment + NOBODY_GRACE);
            }
            let sequence = self.regulator_sequences.entry(change.regulator.clone()).or_default();
            *sequence += 1;
            let sequence = *sequence;
            self.facts.push(Fact::Regulator {
                regulator: change.regulator.clone(),
                state: change.state.clone(),
                since: now.utc,
            });
            self.remember_absence(&change.regulator, now);
            let kind =
                EventKind::RegulatorState { regulator: change.regulator.clone(), state: change.state, was: change.was };
            self.tell(Subject::Regulator(change.regulator), sequence, kind, now);
        }
    }

    /// A pause that waits for an absent regulator's phone is remembered in place of the absence, so that a restart does
    /// not make ready who was paused or logged out.
    pub(super) fn remember_absence(&mut self, regulator: &RegulatorId, now: Now) {
        if let Some(reason) = self.room.pause_ahead(regulator).cloned() {
            let state = RegulatorState::Paused { reason };
            self.facts.push(Fact::Regulator { regulator: regulator.clone(), state, since: now.utc });
        }
    }

    /// A fault of our own in one call's code: that call ends, its regulator is freed, its audio is sealed.
    pub(super) fn fail(&mut self, id: CallId, now: Now, out: &mut Vec<Order>) {
        self.room.leave(id);
        self.free_regulators(id, now);
        self.alarm_fault(id, out);
        if let Some(call) = self.calls.get_mut(&id) {
            let decisions = Switch::decisions_of_fault(call, now);
            self.apply(id, decisions, now, out);
        }
        self.schedule(id);
    }

    /// One side does not hear the other: nobody in the call can repair it, so somebody outside must know at once.
    pub(super) fn alarm_one_way(&mut self, leg: LegId, way: OneWay, is_over: bool, out: &mut Vec<Order>) {
        let side = self.calls.get(&leg.call).and_then(|call| call.leg(leg)).map(|leg| leg.side);
        let who = match side {
            Some(Side::Caller) => "the caller's side",
            Some(Side::Regulator) => "the regulator's phone",
            Some(Side::Outside) => "the outside number's side",
            Some(Side::Supervisor) => "the supervisor's phone",
            None => "a phone",
        };
        let (kind, text) = if is_over {
            ("one-way-audio-back", format!("Sound goes both ways again: leg {}, {who}.", leg.number))
        } else {
            let what = match way {
                OneWay::SendsNothing => "sends no sound though the other side speaks",
                OneWay::HearsNothing => "reports by RTCP that it receives nothing of what is sent to it",
            };
            let text = format!(
                "Sound goes one way only: leg {}, {who}, {what}. Look at its firewall, its NAT and the media address \
                 that its SDP names (GET /api/v1/calls/ID).",
                leg.number
            );
            ("one-way-audio", text)
        };
        out.push(Order::Alarm(Alarm { kind: kind.into(), call: Some(leg.call), text }));
    }

    /// Dispatch hears of it too, while the leg lives: it may have another way to reach one of the two.
    pub(super) fn tell_one_way(&mut self, leg: LegId, way: OneWay, is_over: bool, now: Now, out: &mut Vec<Order>) {
        let Some(call) = self.calls.get_mut(&leg.call) else { return };
        let Some(side) = call.leg(leg).filter(|leg| leg.is_alive()).map(|leg| leg.side) else { return };
        let mut decisions = Vec::new();
        call.tell(EventKind::CallOneWayAudio { leg: leg.number, side, way, is_over }, &mut decisions);
        self.apply(leg.call, decisions, now, out);
    }

    pub(super) fn alarm_fault(&mut self, id: CallId, out: &mut Vec<Order>) {
        let text = "A fault in Vigie ended this call; all others go on. Please report it with the call's story \
                    (GET /api/v1/calls/ID) and the log around this line."
            .to_owned();
        out.push(Order::Alarm(Alarm { kind: "call-fault".into(), call: Some(id), text }));
    }
}
