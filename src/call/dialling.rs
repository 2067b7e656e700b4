//! What a regulator dials from an own phone: a feature code, a colleague, an outside number, or the place of another phone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::consult::{CONSULTS_MAX, Consult, ConsultState, Partner, Shown};
use super::decision::{CallInput, Decision};
use super::leg::Leg;
use super::life::State;
use super::signal::{Dialled, LegOrder, Unserved};
use super::switch::{CALLS_MAX, Order, Switch};
use super::transfer::TakeOver;
use crate::model::{CallId, LegId, Now, RegulatorId, RegulatorState, Side, SoundId};
use crate::routing;
use crate::waiting::{LentTo, WaitingError};

/// Why somebody cannot be reached, as whoever dialled hears it.
pub(super) fn unserved(error: WaitingError) -> Unserved {
    match error {
        WaitingError::UnknownRegulator => Unserved::NotFound,
        WaitingError::Offline | WaitingError::NotResting => Unserved::Unavailable,
        WaitingError::Busy => Unserved::Busy,
        WaitingError::Full | WaitingError::AlreadyWaiting | WaitingError::NotWaiting | WaitingError::NobodyFits => {
            Unserved::Overloaded
        }
    }
}

impl Switch {
    /// A regulator's phone calls. What cannot be done is refused at once.
    pub(super) fn dialled(&mut self, dialled: Dialled, now: Now, out: &mut Vec<Order>) {
        let leg = dialled.leg;
        let done = match (dialled.replaces, self.centre.codes.read(&dialled.digits)) {
            (Some(of), _) => self.take_place(of, dialled, now, out),
            (None, Some(code)) => self.do_code(code, dialled, now, out),
            (None, None) => self.consult(dialled, now, out),
        };
        if let Err(why) = done {
            out.push(Order::Leg(LegOrder::Refuse { leg, why }));
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.calls.len() + self.errands.len() + self.consults.len() >= CALLS_MAX
    }

    /// A call to a colleague or to an outside number.
    fn consult(&mut self, dialled: Dialled, now: Now, out: &mut Vec<Order>) -> Result<(), Unserved> {
        let mut to = self.partner_for(&dialled.regulator, &dialled.digits, now, out)?;
        let (by, id) = (dialled.regulator.clone(), dialled.leg.call);
        let state = self.room.state_of(&by).ok_or(Unserved::Forbidden)?;
        let has_caller = matches!(state, RegulatorState::Talking { .. });
        match state {
            RegulatorState::Offline => return Err(Unserved::Unavailable),
            RegulatorState::Ringing { .. } => return Err(Unserved::Busy),
            RegulatorState::Talking { .. }
            | RegulatorState::Ready
            | RegulatorState::WrapUp
            | RegulatorState::Paused { .. } => {}
        }
        // One at a time, whoever dialled it.
        if self.consults.values().any(|one| one.is_with(&by)) || to.regulator() == Some(&by) {
            return Err(Unserved::Busy);
        }
        let is_stopping = self.draining && !has_caller;
        if is_stopping || self.is_full() || self.consults.len() >= CONSULTS_MAX {
            return Err(Unserved::Overloaded);
        }
        if let (false, Partner::Number { trunk, number }) = (has_caller, &to) {
            let to = (trunk.clone(), number.clone());
            return self.call_out(dialled, to, now, out);
        }
        if let Partner::Regulator { id: who, devices } = &mut to {
            let lent = self.room.lend(who, id, LentTo::Colleague, now, &mut self.changes);
            *devices = lent.map_err(unserved)?;
        }
        if !has_caller {
            self.room.engage(&by, id, now, &mut self.changes).map_err(unserved)?;
        }
        let shown = Shown { name: self.name_of(&by), number: self.number_shown(&by), music: self.music_for(&by) };
        let is_faulty = self.is_faulty();
        let begun = catch_unwind(AssertUnwindSafe(|| {
            assert!(!is_faulty, "the planted fault");
            let mut decisions = Vec::new();
            (Consult::begin(dialled, to, shown, now, &mut decisions), decisions)
        }));
        let Ok((consult, decisions)) = begun else {
            self.free_regulators(id, now);
            return Err(self.fault_at_begin(id, out));
        };
        self.consults.insert(id, consult);
        self.note_dialled(id, false, now);
        self.apply(id, decisions, now, out);
        self.schedule(id);
        Ok(())
    }

    /// A number that is dialled may be that of somebody who hung up unserved.
    pub(super) fn note_dialled(&mut self, id: CallId, reached: bool, now: Now) {
        let Some(consult) = self.consults.get(&id) else { return };
        match &consult.to {
            Partner::Number { number, .. } => {
                self.persons.dialled(number, &consult.by, reached, now, &mut self.facts);
            }
            Partner::Regulator { .. } => {}
        }
    }

    /// Who is meant by what was dialled: a colleague by the id, or an outside number that a trunk may dial.
    pub(super) fn find_partner(&self, text: &str) -> Result<Partner, Unserved> {
        let id = RegulatorId::from(text);
        if self.centre.regulators.contains_key(&id) {
            return Ok(Partner::Regulator { id, devices: Vec::new() });
        }
        let (trunk, number) = routing::outside(&self.centre, text).ok_or(Unserved::NotFound)?;
        Ok(Partner::Number { trunk, number })
    }

    pub(super) fn name_of(&self, regulator: &RegulatorId) -> String {
        self.centre.regulators.get(regulator).map_or_else(|| regulator.to_string(), |person| person.name.clone())
    }

    /// What a side on hold hears: as the caller's line has it, else as any line.
    fn music_for(&self, regulator: &RegulatorId) -> Option<SoundId> {
        let line = match self.room.state_of(regulator) {
            Some(RegulatorState::Talking { call }) => self.calls.get(call).map(|call| call.line.as_ref()),
            Some(_) | None => None,
        };
        line.or_else(|| self.centre.lines.values().next()).map(|line| line.hold_music.clone())
    }

    /// The phone that dials takes the place of the one that has the caller: the same person's other phone, or that of a
    /// colleague who is free to (RFC 3891).
    fn take_place(&mut self, of: LegId, dialled: Dialled, now: Now, out: &mut Vec<Order>) -> Result<(), Unserved> {
        let Some(call) = self.calls.get_mut(&of.call) else { return Err(Unserved::NotFound) };
        let talks = matches!(call.state, State::Talking { leg } if leg == of);
        let owner = call.leg(of).filter(|_| talks).and_then(|leg| leg.regulator.clone()).ok_or(Unserved::Forbidden)?;
        if call.taking.is_some() {
            return Err(Unserved::Busy);
        }
        let lent = Some(dialled.regulator.clone()).filter(|taker| *taker != owner);
        if let Some(taker) = &lent {
            let lent = self.room.lend(taker, of.call, LentTo::Caller, now, &mut self.changes);
            lent.map_err(unserved)?;
        }
        let mut leg = Leg::new(dialled.leg, Side::Regulator, now);
        // A phone behind another address than it registered from is one of the person's all the same.
        leg.device = dialled.device.or_else(|| self.room.devices_of(&dialled.regulator).first().copied());
        leg.regulator = Some(dialled.regulator);
        leg.sip_call_id = dialled.sip_call_id;
        let Some(place) = self.calls.get_mut(&of.call).and_then(|call| call.adopt(leg, now)) else {
            self.free_ringing(lent.as_ref(), of.call, now);
            return Err(Unserved::Overloaded);
        };
        self.rename_leg(dialled.leg, place, out);
        let take_over = TakeOver { leg: place, of, remote: dialled.remote, lent };
        self.queue.push_back((of.call, CallInput::TakeOver(Box::new(take_over))));
        Ok(())
    }

    /// A leg that the user agent knows by another name goes on under this one; what was said of the old name meanwhile
    /// is heard of the new one.
    pub(super) fn rename_leg(&mut self, from: LegId, to: LegId, out: &mut Vec<Order>) {
        self.renamed.insert(from, to);
        out.push(Order::Leg(LegOrder::Rename { from, to }));
    }

    /// Stops the calls among colleagues that no caller waits on: the server is to stop.
    pub(super) fn end_idle_consults(&mut self) {
        let callers = |consult: &&Consult| match self.room.state_of(&consult.by) {
            Some(RegulatorState::Talking { call }) => *call == consult.id,
            Some(_) | None => true,
        };
        let idle: Vec<CallId> = self.consults.values().filter(callers).map(|consult| consult.id).collect();
        let end = |id| (id, CallInput::End(crate::model::EndedBy::Shutdown));
        self.queue.extend(idle.into_iter().map(end));
    }

    /// A fault of our own before anything was begun: told, and the phone is refused.
    pub(super) fn fault_at_begin(&mut self, id: CallId, out: &mut Vec<Order>) -> Unserved {
        self.alarm_fault(id, out);
        Unserved::Fault
    }

    /// A fault of our own in a feature code or a call among colleagues: it ends, its people are freed.
    pub(super) fn fail_own(&mut self, id: CallId, now: Now, out: &mut Vec<Order>) {
        self.alarm_fault(id, out);
        let mut decisions = Vec::new();
        if let Some(consult) = self.consults.get_mut(&id) {
            consult.finish(crate::model::EndedBy::Fault, now, &mut decisions);
        } else if let Some(errand) = self.errands.get_mut(&id) {
            errand.fail(&mut decisions);
        } else {
            decisions.push(Decision::Over);
        }
        self.apply(id, decisions, now, out);
        self.free_regulators(id, now);
        self.schedule(id);
    }
}

impl Consult {
    /// Whether this person takes part in it; not when it is only being left.
    pub(super) fn is_with(&self, regulator: &RegulatorId) -> bool {
        self.state != ConsultState::Leaving && (self.by == *regulator || self.to.regulator() == Some(regulator))
    }
}
