//! Calls that regulators place: on which line they count, what is lent for them, and what the API asks for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::calling_out::{self, Begin};
use super::consult::Partner;
use super::controls::No;
use super::decision::Decision;
use super::dialling::unserved;
use super::leg::Leg;
use super::life::Call;
use super::signal::{Dialled, Unserved};
use super::switch::{Order, Switch};
use crate::model::{CallId, Line, Now, RegulatorId, Reply, Side, TrunkId};
use crate::waiting::LentTo;

impl Switch {
    /// The line that calls of this person count to: that of the association, else its first, else the first of all.
    fn outbound_line(&self, by: &RegulatorId) -> Option<Arc<Line>> {
        let association = &self.centre.regulators.get(by)?.association;
        let named = self.centre.associations.get(association).and_then(|one| one.outbound_line.as_ref());
        let own = self.centre.lines.values().find(|line| line.association == *association).map(|line| &line.id);
        let line = named.or(own).or_else(|| self.centre.lines.keys().next())?;
        self.lines.get(line).cloned()
    }

    /// A regulator without a caller has dialled an outside number that may be dialled.
    pub(super) fn call_out(
        &mut self,
        dialled: Dialled,
        (trunk, number): (TrunkId, String),
        now: Now,
        out: &mut Vec<Order>,
    ) -> Result<(), Unserved> {
        let (by, id) = (dialled.regulator.clone(), CallId::new(now.utc, &mut self.chance));
        let line = self.outbound_line(&by).ok_or(Unserved::Fault)?;
        self.room.engage(&by, id, now, &mut self.changes).map_err(unserved)?;
        let mut own = Leg::new(dialled.leg, Side::Regulator, now);
        own.device = dialled.device.or_else(|| self.room.devices_of(&by).first().copied());
        own.regulator = Some(by.clone());
        own.sip_call_id = dialled.sip_call_id;
        let remote = dialled.remote;
        let what = self.begin_of(id, &by, (trunk, number.clone()), line);
        let is_faulty = self.is_faulty();
        let begun = catch_unwind(AssertUnwindSafe(|| {
            assert!(!is_faulty, "the planted fault");
            let mut decisions = Vec::new();
            (calling_out::from_phone(what, own, remote, now, &mut decisions), decisions)
        }));
        let Ok(((call, place), decisions)) = begun else {
            self.free_regulators(id, now);
            return Err(self.fault_at_begin(id, out));
        };
        self.rename_leg(dialled.leg, place, out);
        self.placed(call, decisions, now, out);
        self.persons.dialled(&number, &by, false, now, &mut self.facts);
        Ok(())
    }

    /// Rings this regulator, and then the caller of this task.
    pub(super) fn place_call_back(&mut self, task: CallId, by: RegulatorId, now: Now, out: &mut Vec<Order>) -> Reply {
        match self.try_call_back(task, &by, now, out) {
            Ok(()) => Reply::Done,
            Err(No::Unknown) => Reply::Unknown,
            Err(No::Refused(why)) => Reply::Refused(why),
        }
    }

    fn try_call_back(&mut self, task: CallId, by: &RegulatorId, now: Now, out: &mut Vec<Order>) -> Result<(), No> {
        let task = self.persons.task(task).ok_or(No::Unknown)?;
        let Some(number) = task.caller.person().map(ToString::to_string) else {
            let why = "nobody vouches for the caller's number, so it is not called: look at the task, and let the regulator dial";
            return Err(No::Refused(why.to_owned()));
        };
        let line = self.lines.get(&task.line).cloned().or_else(|| self.outbound_line(by));
        let line = line.ok_or(Unserved::Fault)?;
        if self.draining || self.is_full() {
            return Err(Unserved::Overloaded.into());
        }
        if !self.centre.regulators.contains_key(by) {
            return Err(No::Refused(format!("there is no regulator `{by}`: GET /api/v1/regulators lists them")));
        }
        let Partner::Number { trunk, number } = self.partner_for(by, &number, now, out)? else {
            return Err(Unserved::NotFound.into());
        };
        let id = CallId::new(now.utc, &mut self.chance);
        let devices = self.room.lend(by, id, LentTo::Caller, now, &mut self.changes).map_err(unserved)?;
        let to = Partner::Regulator { id: by.clone(), devices };
        let what = self.begin_of(id, by, (trunk, number.clone()), line);
        let mut decisions = Vec::new();
        let begun = catch_unwind(AssertUnwindSafe(|| calling_out::from_desk(what, &to, now, &mut decisions)));
        let Ok(call) = begun else {
            self.free_regulators(id, now);
            return Err(self.fault_at_begin(id, out).into());
        };
        self.placed(call, decisions, now, out);
        self.persons.dialled(&number, by, false, now, &mut self.facts);
        Ok(())
    }

    fn begin_of(&self, id: CallId, by: &RegulatorId, (trunk, number): (TrunkId, String), line: Arc<Line>) -> Begin {
        let (centre, software) = (self.centre.clone(), self.software.clone());
        Begin { id, regulator: by.clone(), trunk, number, line, centre, software }
    }

    fn placed(&mut self, call: Call, decisions: Vec<Decision>, now: Now, out: &mut Vec<Order>) {
        let id = call.id;
        self.calls.insert(id, call);
        self.apply(id, decisions, now, out);
        self.schedule(id);
    }
}
