//! Who gets which call: what the simulation asks of a policy, and Vigie's own answer, the production waiting room.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::model::{CallId, DeviceId, Moment, Now, OfferEnd, RegulatorId};
use crate::waiting::{StateChange, WaitingRoom};

use super::scenario::Scenario;

/// One attempt of one caller, as a number.
pub type CallKey = u64;

/// A call that waits: what a policy is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Which.
    pub call: CallKey,
    /// On which line.
    pub line: usize,
    /// Its priority, where it is not the line's.
    pub priority: Option<u8>,
    /// How long the same person waited in vain before this call.
    pub waited_before: Duration,
}

/// A policy: the same events go in, and offers come out.
pub trait Router {
    /// A person comes on duty.
    fn come(&mut self, person: usize, now: Now);
    /// A person goes home; a call that goes on is finished first.
    fn go(&mut self, person: usize, now: Now);
    /// A call waits; `false` when there is no room for it.
    fn enter(&mut self, ask: &Ask, now: Now) -> bool;
    /// The caller hung up.
    fn leave(&mut self, call: CallKey, now: Now);
    /// The offer at the person ended without an answer.
    fn end_offer(&mut self, person: usize, end: OfferEnd, now: Now);
    /// The person picked up; `false` when the phone did not ring for this call.
    fn answer(&mut self, person: usize, call: CallKey, now: Now) -> bool;
    /// The person's call is over.
    fn release(&mut self, person: usize, wrap_up: Duration, now: Now);
    /// When time alone changes something.
    fn deadline(&self) -> Option<Moment>;
    /// Every offer that is to be made now.
    fn choose(&mut self, now: Now, out: &mut Vec<(CallKey, usize)>);
}

/// The production waiting room.
pub struct Production<'a> {
    scenario: &'a Scenario,
    room: WaitingRoom,
    /// What the room tells of states; the simulation keeps its own account.
    told: Vec<StateChange>,
}

impl<'a> Production<'a> {
    /// An empty room for the scenario's centre.
    pub fn new(scenario: &'a Scenario) -> Production<'a> {
        Production { room: WaitingRoom::new(Arc::clone(&scenario.centre)), scenario, told: Vec::new() }
    }

    fn id(&self, person: usize) -> Option<&'a RegulatorId> {
        self.scenario.people.get(person)
    }
}

fn call_id(call: CallKey) -> CallId {
    CallId(Uuid::from_u128(u128::from(call)))
}

/// Every regulator has one phone.
const PHONE: DeviceId = DeviceId(1);

impl Router for Production<'_> {
    fn come(&mut self, person: usize, now: Now) {
        let Some(id) = self.id(person) else { return };
        self.room.registered(id, PHONE, now, &mut self.told);
    }

    fn go(&mut self, person: usize, now: Now) {
        let Some(id) = self.id(person) else { return };
        self.room.unregistered(id, PHONE, now, &mut self.told);
    }

    fn enter(&mut self, ask: &Ask, now: Now) -> bool {
        let line = self.scenario.lines.get(ask.line).and_then(|id| self.scenario.centre.lines.get(id));
        let Some(line) = line else { return false };
        let mut demand = line.demand.clone();
        demand.priority = ask.priority.unwrap_or(demand.priority);
        // Persons, not calls: who calls again keeps the wait that was in vain.
        let before = ask.waited_before;
        let since = Now { moment: now.moment - before, utc: crate::model::Utc(now.utc.0 - before.as_micros() as i64) };
        self.room.enter(call_id(ask.call), &line.id, demand, since).is_ok()
    }

    fn leave(&mut self, call: CallKey, now: Now) {
        self.room.give_up(call_id(call), now);
    }

    fn end_offer(&mut self, person: usize, end: OfferEnd, now: Now) {
        let Some(id) = self.id(person) else { return };
        self.room.offer_ended(id, end, now, &mut self.told);
    }

    fn answer(&mut self, person: usize, call: CallKey, now: Now) -> bool {
        let Some(id) = self.id(person) else { return false };
        self.room.answered(id, call_id(call), now, &mut self.told)
    }

    fn release(&mut self, person: usize, wrap_up: Duration, now: Now) {
        let Some(id) = self.id(person) else { return };
        self.room.released(id, wrap_up, now, &mut self.told);
    }

    fn deadline(&self) -> Option<Moment> {
        self.room.deadline()
    }

    fn choose(&mut self, now: Now, out: &mut Vec<(CallKey, usize)>) {
        for choice in self.room.choose(now, &mut self.told) {
            if let Ok(person) = self.scenario.people.binary_search(&choice.regulator) {
                out.push((choice.call.0.as_u128() as u64, person));
            }
        }
        self.told.clear();
        // Nobody is there to play them.
        self.room.take_messages();
    }
}
