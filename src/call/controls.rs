//! What people ask of live calls, by the API, by keys and by feature codes: who may, who is meant, and what is lent for it.

use std::sync::Arc;

use super::consult::{Consult, ConsultState, Partner};
use super::decision::CallInput;
use super::dialling::unserved;
use super::guests::{Brought, GUESTS_MAX, Guest, Invite, Purpose};
use super::life::{Call, LEGS_MAX, State};
use super::signal::Unserved;
use super::steering::{self, Redirect, Steer};
use super::switch::{Order, Switch};
use super::transfer::HandOn;
use super::{callback, pausing};
use crate::model::control::{Control, Destination, Supervision};
use crate::model::demand::Demand;
use crate::model::event::TransferParty;
use crate::model::{CallId, DemandChange, EndedBy, LegId, Needs, Now, Reach, RegulatorId, Reply, SkillId};
use crate::routing;
use crate::waiting::LentTo;

/// Why something cannot be done now, for people; or that there is no such live call.
pub(super) enum No {
    Unknown,
    Refused(String),
}

impl From<Unserved> for No {
    fn from(why: Unserved) -> No {
        No::Refused(
            match why {
                Unserved::Overloaded => {
                    "there is no room for it: the server stops, or a limit is reached; try again later"
                }
                Unserved::Forbidden => {
                    "it is not allowed: the call is not with a regulator, or the regulator may not dial this number"
                }
                Unserved::NotFound => {
                    "nobody is meant by this: write a regulator's id, a line, a skill, or a number that a trunk `dials`"
                }
                Unserved::Busy => "whoever is meant is on a call or is being rung: try again when it is over",
                Unserved::Declined => "whoever is meant declined",
                Unserved::Unavailable => "whoever is meant has no registered phone: register a softphone first",
                Unserved::Fault => "a fault in Vigie; please report it",
            }
            .to_owned(),
        )
    }
}

fn no<T>(why: &str) -> Result<T, No> {
    Err(No::Refused(why.to_owned()))
}

impl Switch {
    /// Does what is asked, or says why not.
    pub(super) fn control(&mut self, id: CallId, control: Control, now: Now, out: &mut Vec<Order>) -> Reply {
        match self.try_control(id, control, now, out) {
            Ok(()) => Reply::Done,
            Err(No::Unknown) => Reply::Unknown,
            Err(No::Refused(why)) => Reply::Refused(why),
        }
    }

    pub(super) fn try_control(
        &mut self,
        id: CallId,
        control: Control,
        now: Now,
        out: &mut Vec<Order>,
    ) -> Result<(), No> {
        let call = self.calls.get(&id).filter(|call| call.record.ended_at.is_none()).ok_or(No::Unknown)?;
        let steer = match control {
            Control::Transfer(to) => match self.transfer_to(id, &to, now, out)? {
                Some(steer) => steer,
                None => return Ok(()),
            },
            Control::Hold | Control::Resume => {
                host_of(call)?;
                Steer::Hold(control == Control::Hold)
            }
            Control::Add { to } => self.add(id, &to, now, out)?,
            Control::Join => self.bring(id, now, out)?,
            Control::HandToSamu => self.hand_to_samu(id)?,
            Control::Drop { leg } => {
                host_of(call)?;
                let is_it = |guest: &Guest| leg.is_none_or(|number| is_over(guest, number));
                if !call.guests.iter().any(is_it) {
                    return no("nobody has joined this call over that leg: GET /api/v1/calls/{id} shows its legs");
                }
                Steer::TakeOut(leg)
            }
            Control::Leave => {
                host_of(call)?;
                if !call.guests.iter().any(|guest| guest.speaks() && guest.live_leg().is_some()) {
                    return no("nobody has joined who could have the caller: add somebody first");
                }
                Steer::Leave
            }
            Control::Requeue => {
                host_of(call)?;
                self.is_answerable(&call.demand)?;
                Steer::Requeue
            }
            Control::Demand(change) => Steer::Demand(self.demand_after(call, &change)?),
            Control::PauseRecording { by, reason } => {
                pausing::can_pause(call).map_err(|why| No::Refused(why.to_owned()))?;
                Steer::PauseRecording { by, reason }
            }
            Control::ResumeRecording { by } => {
                host_of(call)?;
                if call.pause.is_none() {
                    return no("the recording is not paused");
                }
                Steer::ResumeRecording(by)
            }
            Control::Supervise { by, way } => self.supervise(id, by, way, now)?,
        };
        self.queue.push_back((id, CallInput::Steer(Box::new(steer))));
        Ok(())
    }

    /// A regulator, lent to this call, or an outside number that the regulator `by` may dial.
    fn lent_partner(
        &mut self,
        (id, by): (CallId, Option<RegulatorId>),
        (text, to): (&str, LentTo),
        now: Now,
        out: &mut Vec<Order>,
    ) -> Result<Partner, No> {
        let mut partner = match by {
            Some(by) => self.partner_for(&by, text, now, out)?,
            None => self.find_partner(text)?,
        };
        if let Partner::Regulator { id: who, devices } = &mut partner {
            *devices = self.room.lend(who, id, to, now, &mut self.changes).map_err(unserved)?;
        }
        Ok(partner)
    }

    fn add(&mut self, id: CallId, text: &str, now: Now, out: &mut Vec<Order>) -> Result<Steer, No> {
        let call = self.has_room_for_guest(id)?;
        let by = call.leg(host_of(call)?).and_then(|leg| leg.regulator.clone());
        let to = self.lent_partner((id, by), (text, LentTo::Colleague), now, out)?;
        Ok(Steer::Invite(Invite { to, purpose: Purpose::Help }))
    }

    fn hand_to_samu(&mut self, id: CallId) -> Result<Steer, No> {
        let call = self.has_room_for_guest(id)?;
        if steering::is_being_handed_on(call) {
            return no("the SAMU is on this call already, or being rung");
        }
        let number = self.centre.samu_of(&call.record.region);
        let Some((trunk, number)) = routing::outside(&self.centre, number) else {
            return Err(No::Refused(format!("no trunk may dial {number}: add it to the `dials` of one")));
        };
        Ok(Steer::Invite(Invite { to: Partner::Number { trunk, number }, purpose: Purpose::HandOff }))
    }

    /// Whom the regulator of this call has asked over another call comes into it.
    fn bring(&mut self, id: CallId, now: Now, out: &mut Vec<Order>) -> Result<Steer, No> {
        let call = self.has_room_for_guest(id)?;
        let host = host_of(call)?;
        let owner = call.leg(host).and_then(|leg| leg.regulator.clone()).ok_or(Unserved::Forbidden)?;
        // A leg cannot move to another media thread.
        let is_theirs =
            |one: &&Consult| one.by == owner && one.id.is_beside(id) && !matches!(one.state, ConsultState::Leaving);
        let Some(consult) = self.consults.values().find(is_theirs) else {
            return no("the regulator has nobody on another call: let the phone dial somebody first");
        };
        let (from, to) = (consult.id, consult.to.clone());
        let talks = matches!(consult.state, ConsultState::Talking { .. });
        let legs = self.carry_over(from, id, now, out)?;
        if let Some(regulator) = to.regulator() {
            let is_known = self.room.move_over(regulator, from, id, now, &mut self.changes);
            debug_assert!(is_known, "a colleague on a call that the waiting room does not know of");
        }
        self.queue.push_back((from, CallInput::End(EndedBy::AnsweredElsewhere)));
        Ok(Steer::Bring(Brought { to, legs, talks }))
    }

    pub(super) fn has_room_for_guest(&self, id: CallId) -> Result<&Call, No> {
        let call = self.calls.get(&id).ok_or(No::Unknown)?;
        host_of(call)?;
        if call.guests.len() >= GUESTS_MAX || call.legs.len() >= LEGS_MAX as usize {
            return no("the call has as many further parties as it may have: let one leave first");
        }
        Ok(call)
    }

    /// Somebody on duty must fit, or the caller would hear that nobody does and be hung up.
    fn is_answerable(&self, demand: &Demand) -> Result<(), No> {
        if self.room.anyone_on_duty(demand) {
            return Ok(());
        }
        no("nobody on duty could answer this: the caller stays where it is")
    }

    /// Nothing more is to be done when it rings at somebody already.
    fn transfer_to(
        &mut self,
        id: CallId,
        to: &Destination,
        now: Now,
        out: &mut Vec<Order>,
    ) -> Result<Option<Steer>, No> {
        let call = self.calls.get(&id).ok_or(No::Unknown)?;
        let waits = matches!(call.state, State::Waiting | State::Offering(_));
        let host = if waits { None } else { Some(host_of(call)?) };
        let is_unreached = callback::is_unreached(call);
        if let Some(redirect) = self.redirect(call, to) {
            self.is_answerable(&redirect.demand)?;
            return Ok(Some(Steer::Redirect(redirect)));
        }
        if matches!(call.state, State::Offering(_)) {
            return no("the call rings at a regulator: try again when it is answered or not");
        }
        if let Some(host) = host {
            self.hand_on(host, &to.to, now, out)?;
            return Ok(None);
        }
        if is_unreached {
            return no(
                "the caller is to be called back and is not on the line: hand it to a line or a skill, or dial the number",
            );
        }
        let nobody = LegId { call: id, number: u16::MAX };
        let to = self.lent_partner((id, None), (&to.to, LentTo::Caller), now, out)?;
        Ok(Some(Steer::Move(HandOn { by: nobody, answer_to: nobody, to, ringing: Vec::new() })))
    }

    /// For whom a caller is to wait, when a line or a skill is meant.
    pub(super) fn redirect(&self, call: &Call, to: &Destination) -> Option<Redirect> {
        let text = to.to.as_str();
        if self.centre.regulators.contains_key(&RegulatorId::from(text)) {
            return None;
        }
        let number = self.centre.trunks.values().find_map(|trunk| trunk.numbers.normalise(text));
        let ddi = number.and_then(|number| self.centre.ddis.get(&number));
        let line = ddi.and_then(|id| self.centre.lines.get(id)).or_else(|| self.centre.lines.get(&text.into()));
        if let Some(line) = line {
            let demand = Demand { priority: call.demand.priority.min(line.demand.priority), ..line.demand.clone() };
            let to = TransferParty::Line(line.id.clone());
            return Some(Redirect { to, demand, line: Some(Arc::new(line.clone())) });
        }
        let skill = SkillId::from(text);
        let is_known = self.centre.regulators.values().any(|person| person.skills.contains_key(&skill));
        let needs = Needs::Level(skill.clone(), to.level);
        is_known.then(|| Redirect {
            to: TransferParty::Skill(skill),
            demand: Demand { needs, steps: Vec::new(), reach: Reach::All, ..call.demand.clone() },
            line: None,
        })
    }

    fn demand_after(&self, call: &Call, change: &DemandChange) -> Result<Demand, No> {
        if let Some(region) = change.region.as_ref().filter(|region| !self.centre.regions.contains_key(region)) {
            return Err(No::Refused(format!("there is no region `{region}` in the configuration")));
        }
        let has = |skill: &SkillId| self.centre.regulators.values().any(|person| person.skills.contains_key(skill));
        if let Some(skill) = change.needs.iter().flat_map(Needs::skills).find(|skill| !has(skill)) {
            return Err(No::Refused(format!("no regulator has the skill `{skill}`")));
        }
        let demand = call.demand.changed_by(change);
        self.is_answerable(&demand)?;
        Ok(demand)
    }

    fn supervise(&mut self, id: CallId, by: RegulatorId, way: Supervision, now: Now) -> Result<Steer, No> {
        let call = self.calls.get(&id).ok_or(No::Unknown)?;
        let host = host_of(call)?;
        if call.leg(host).and_then(|leg| leg.regulator.as_ref()) == Some(&by) {
            return no("this is the call's own regulator");
        }
        match call.guests.iter().find(|guest| guest.to.regulator() == Some(&by)) {
            Some(guest) if guest.live_leg().is_some() => return Ok(Steer::Supervise { by, way }),
            Some(_) => return no("this phone rings already"),
            None => {}
        }
        self.has_room_for_guest(id)?;
        let devices = self.room.lend(&by, id, LentTo::Colleague, now, &mut self.changes).map_err(unserved)?;
        let to = Partner::Regulator { id: by, devices };
        Ok(Steer::Invite(Invite { to, purpose: Purpose::Supervision(way) }))
    }
}

/// The leg of the regulator who talks with the caller.
pub(super) fn host_of(call: &Call) -> Result<LegId, No> {
    match &call.state {
        State::Talking { leg } => Ok(*leg),
        State::Transferring(_) => no("the caller is being handed on: try again when that is done"),
        State::Forwarding(_) | State::Voicemail(_) | State::Postponed | State::Recalling(_) | State::CallingOut(_) => {
            no("the caller is with nobody now: put through, leaving a message, or to be called back")
        }
        State::Opening { .. } | State::Greeting | State::Choosing(_) | State::Waiting | State::Offering(_) => {
            no("the call is not answered yet: it can be moved, or its demand changed")
        }
        State::Farewell { .. } | State::Ending | State::Sealing => Err(No::Unknown),
    }
}

fn is_over(guest: &Guest, number: u16) -> bool {
    guest.live_leg().is_some_and(|leg| leg.number == number)
}
