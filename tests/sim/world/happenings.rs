//! What happens in the course of the day: calls, bursts of them, an operator's wishes, nonsense from strangers.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use vigie::call::State;
use vigie::model::{CallId, Command, Input, LegId, RegulatorId, RegulatorState, Reload, Ticket, Utc};

use super::{DAY_S, Event, SECOND, World};
use crate::centre;
use crate::ledger::demand;
use crate::people::{Caller, Person, Wish, exponential_ms};

/// The legs that are talked over, who is on which call or rings for it, and who waits since when.
#[derive(Debug)]
struct Standing {
    talks: BTreeSet<LegId>,
    busy: BTreeSet<(RegulatorId, CallId)>,
    waits: BTreeSet<(CallId, Utc)>,
}

impl World {
    fn add_caller(&mut self, ddi: &str) {
        let number = self.people.range(..1_000_000).count() as u32 + 1;
        let caller = Caller::new(number, ddi, self.chance.fork());
        self.people.insert(number, Person::Caller(Box::new(caller)));
        self.plan(number, self.now_us, Wish::Dial);
    }

    pub(super) fn new_call(&mut self) -> Result<(), String> {
        let ddi = match self.chance.below(1000) {
            0..=279 => "+33233000001",
            280..=449 => "0235000001",
            450..=599 => "0033380000001",
            600..=739 => "+33493000001",
            740..=859 => "+33493000002",
            860..=889 => "+33235000002",
            890..=909 => "+33233000009",
            910..=949 => "0233000005",
            950..=989 => "0233000007",
            _ => "+33199999999",
        };
        self.add_caller(ddi);
        let mean_ms = 36_000.0;
        let next = exponential_ms(&mut self.chance, mean_ms) * 1_000;
        if self.now_us + next < DAY_S * SECOND {
            self.after(next, Event::NewCall);
        }
        Ok(())
    }

    /// Six times as many in one region, for a while.
    pub(super) fn burst(&mut self, left: u32) -> Result<(), String> {
        self.add_caller("+33235000001");
        if left > 0 {
            let next = exponential_ms(&mut self.chance, 6_000.0) * 1_000;
            self.after(next, Event::Burst(left - 1));
        }
        Ok(())
    }

    /// Another configuration under load, now and then only on trial: no call and no state may change by it, but that
    /// somebody free is rung at once who could not answer before.
    pub(super) fn reload(&mut self) -> Result<(), String> {
        if self.now_us < DAY_S * SECOND {
            let next = exponential_ms(&mut self.chance, 900_000.0) * 1_000;
            self.after(next, Event::Reload);
        }
        let (centre, is_trial) = (centre::changed(&mut self.chance), self.chance.below(4) == 0);
        let credentials = Arc::new(centre::credentials(&centre));
        let before = self.standing();
        if !is_trial {
            self.checks.recentre(centre.clone());
        }
        self.tickets += 1;
        let centre = self.subject.plant.misread(centre);
        let command = Command::Reload(Reload { centre, credentials, is_trial });
        self.step(Input::Command { ticket: Ticket(self.tickets), command })?;
        let after = self.standing();
        demand!(before.talks == after.talks, "a reload changed who talks: {before:?} {after:?}");
        demand!(before.busy.is_subset(&after.busy), "a reload lost somebody's call or phone: {before:?} {after:?}");
        demand!(before.waits == after.waits, "a reload changed who waits: {before:?} {after:?}");
        Ok(())
    }

    /// What no reload may change.
    fn standing(&self) -> Standing {
        let switch = self.subject.inner.switch();
        let talks = switch.calls().filter_map(|call| match &call.state {
            State::Talking { leg } => Some(*leg),
            _ => None,
        });
        let room = switch.room();
        let busy = room.regulators(self.now()).into_iter().filter_map(|one| match one.state {
            RegulatorState::Talking { call } | RegulatorState::Ringing { call } => Some((one.regulator, call)),
            _ => None,
        });
        let waits = room.waiting(self.now()).into_iter().map(|place| (place.call, place.queued_at));
        Standing { talks: talks.collect(), busy: busy.collect(), waits: waits.collect() }
    }

    /// For a while every phone that is rung answers 486 at once: somebody has pressed "do not disturb" on all of them.
    pub(super) fn storm(&mut self) {
        let until_ms = self.now_us / 1_000 + 30_000 + self.chance.below(60_000);
        for person in self.people.values_mut() {
            if let Person::Regulator(device) = person {
                device.is_busy_until_ms = until_ms;
            }
        }
    }

    /// Nonsense and strangers.
    pub(super) fn stray(&mut self) -> Result<(), String> {
        if self.now_us < DAY_S * SECOND {
            let next = exponential_ms(&mut self.chance, 15_000.0) * 1_000;
            self.after(next, Event::Stray);
        }
        let from = match self.chance.below(3) {
            0 => centre::trunk(0),
            1 => SocketAddr::from(([10, 2, 10, 1], 5060)),
            _ => SocketAddr::from(([192, 0, 2, 66], 5060)),
        };
        let bytes = crate::strays::draw(&mut self.chance, from);
        self.happen(Event::ToVigie { from, bytes })
    }
}
