//! What somebody asks of a call while it lives, as far as this call alone can tell; what cannot be done any more is undone.

use std::sync::Arc;

use super::decision::{CallInput, Decision, RoomChange};
use super::guests::{self, Brought, Coming, Invite, Purpose};
use super::life::{Call, State};
use super::signal::{LegOrder, Unserved};
use super::transfer::{HandOn, Handover};
use super::{callback, pausing, talking, ways};
use crate::model::centre::Demand;
use crate::model::control::Supervision;
use crate::model::event::{TransferKind, TransferParty};
use crate::model::{AskedBy, Counter, EndedBy, EventKind, LegId, Line, MediaCommand, Now, OfferEnd, RegulatorId};

/// What is asked; whoever is to ring or to come is lent to this call already.
#[derive(Clone, Debug, PartialEq)]
pub enum Steer {
    /// The caller hears music, or is back.
    Hold(bool),
    /// Somebody is rung and joins.
    Invite(Invite),
    /// Somebody's own phone has dialled to join.
    Come(Coming),
    /// Whom the regulator has asked joins.
    Bring(Brought),
    /// Whoever joined leaves.
    TakeOut(Option<u16>),
    /// A supervisor who is there takes part in another way.
    Supervise {
        /// Who.
        by: RegulatorId,
        /// How.
        way: Supervision,
    },
    /// Nothing is recorded for a while.
    PauseRecording {
        /// Who asks.
        by: AskedBy,
        /// In the asker's words.
        reason: Option<String>,
    },
    /// It is recorded again, as this one asks.
    ResumeRecording(AskedBy),
    /// The regulator leaves; whoever joined has the caller.
    Leave,
    /// The caller waits again.
    Requeue,
    /// The caller waits for somebody else.
    Redirect(Redirect),
    /// A caller who waits is given to this party.
    Move(HandOn),
    /// The call needs something else from now on.
    Demand(Demand),
}

/// For whom a caller is to wait from now on.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// As events name it.
    pub to: TransferParty,
    /// What the call needs.
    pub demand: Demand,
    /// The line that it waits on, when it is another.
    pub line: Option<Arc<Line>>,
}

impl PartialEq for Redirect {
    fn eq(&self, other: &Redirect) -> bool {
        let id = |one: &Redirect| one.line.as_ref().map(|line| line.id.clone());
        self.to == other.to && self.demand == other.demand && id(self) == id(other)
    }
}

/// Does what is asked; every other input is given back.
pub fn steer(call: &mut Call, input: CallInput, now: Now, out: &mut Vec<Decision>) -> Option<CallInput> {
    let CallInput::Steer(steer) = input else { return Some(input) };
    match call.state {
        State::Talking { leg } => talk(call, leg, *steer, now, out),
        State::Waiting | State::Offering(_) => wait(call, *steer, now, out),
        State::Opening { .. } | State::Greeting | State::Choosing(_) => match *steer {
            Steer::Demand(demand) => change_demand(call, demand, out),
            other => turn_away(call, other, now, out),
        },
        State::Transferring(_)
        | State::Forwarding(_)
        | State::Voicemail(_)
        | State::Postponed
        | State::Recalling(_)
        | State::CallingOut(_)
        | State::Farewell { .. }
        | State::Ending
        | State::Sealing => {
            turn_away(call, *steer, now, out);
        }
    }
    None
}

fn talk(call: &mut Call, host: LegId, steer: Steer, now: Now, out: &mut Vec<Decision>) {
    match steer {
        Steer::Hold(on) => hold(call, host, on, out),
        Steer::Invite(invite) => {
            if invite.purpose == Purpose::HandOff {
                tell_samu(call, host, &invite, now, out);
            }
            guests::invite(call, invite, now, out);
        }
        Steer::Come(coming) => guests::come(call, coming, now, out),
        Steer::Bring(brought) => guests::bring(call, host, brought, now, out),
        Steer::TakeOut(leg) => guests::take_out(call, host, leg, now, out),
        Steer::Supervise { by, way } => {
            let is_it = |guest: &guests::Guest| guest.to.regulator() == Some(&by);
            if let Some(at) = call.guests.iter().position(is_it) {
                guests::supervised(call, (host, at), (by, way), now, out);
            }
        }
        Steer::Leave => {
            let heir = call.guests.iter().position(|guest| guest.speaks() && guest.live_leg().is_some());
            if let Some(at) = heir {
                guests::take_over(call, (host, at), now, out);
            }
        }
        Steer::PauseRecording { by, reason } => {
            pausing::pause(call, (by, reason), now, out);
            talking::set_deadline(call);
        }
        Steer::ResumeRecording(by) => {
            pausing::resume(call, by, now, out);
            talking::set_deadline(call);
        }
        Steer::Requeue => let_go(call, host, now, out),
        Steer::Redirect(redirect) => {
            let by = call.leg(host).and_then(|leg| leg.regulator.clone());
            let to = redirect.to.clone();
            wait_for(call, redirect, now);
            if let Some(by) = by {
                out.push(Decision::Count(Counter::CallsTransferred));
                call.tell(EventKind::CallTransferred { by, to, kind: TransferKind::Blind }, out);
            }
            let_go(call, host, now, out);
        }
        Steer::Demand(demand) => change_demand(call, demand, out),
        Steer::Move(_) => turn_away(call, steer, now, out),
    }
}

fn wait(call: &mut Call, steer: Steer, now: Now, out: &mut Vec<Decision>) {
    match steer {
        Steer::Demand(demand) => {
            change_demand(call, demand, out);
            out.push(Decision::Room(RoomChange::Redemand));
        }
        Steer::Redirect(redirect) => {
            let demand = redirect.demand.clone();
            wait_for(call, redirect, now);
            change_demand(call, demand, out);
            out.push(Decision::Room(RoomChange::Redemand));
        }
        Steer::Move(hand_on) if call.state == State::Waiting && !callback::is_unreached(call) => {
            out.push(Decision::Room(RoomChange::Leave));
            super::transfer::begin(call, hand_on, now, out);
        }
        Steer::Hold(_)
        | Steer::Invite(_)
        | Steer::Come(_)
        | Steer::Bring(_)
        | Steer::TakeOut(_)
        | Steer::Supervise { .. }
        | Steer::PauseRecording { .. }
        | Steer::ResumeRecording(_)
        | Steer::Leave
        | Steer::Requeue
        | Steer::Move(_) => turn_away(call, steer, now, out),
    }
}

/// The call cannot do this any more: whoever was to ring or to come for it goes back.
fn turn_away(call: &mut Call, steer: Steer, now: Now, out: &mut Vec<Decision>) {
    let (to, legs) = match steer {
        Steer::Invite(Invite { to, .. }) | Steer::Move(HandOn { to, .. }) => (to.regulator().cloned(), Vec::new()),
        Steer::Bring(Brought { to, legs, .. }) => (to.regulator().cloned(), legs),
        Steer::Come(Coming { by, leg, .. }) => {
            out.push(Decision::Leg(LegOrder::Refuse { leg, why: Unserved::Unavailable }));
            if let Some(refused) = call.leg_mut(leg).filter(|leg| leg.is_alive()) {
                refused.end(EndedBy::Refused, None, now);
                // No port was asked for, so none will be told closed.
                refused.state = super::leg::LegState::Closed;
            }
            (Some(by), Vec::new())
        }
        Steer::Hold(_)
        | Steer::TakeOut(_)
        | Steer::Supervise { .. }
        | Steer::PauseRecording { .. }
        | Steer::ResumeRecording(_)
        | Steer::Leave
        | Steer::Requeue
        | Steer::Redirect(_)
        | Steer::Demand(_) => return,
    };
    for leg in legs {
        call.hang_up(leg, EndedBy::Refused, now, out);
    }
    if let Some(regulator) = to {
        out.push(Decision::Room(RoomChange::OfferEnded { regulator: regulator.clone(), end: OfferEnd::Cancelled }));
        out.push(Decision::Room(RoomChange::Released { regulator }));
    }
}

fn hold(call: &mut Call, host: LegId, on: bool, out: &mut Vec<Decision>) {
    if std::mem::replace(&mut call.on_hold, on) == on {
        return;
    }
    talking::join(call, host, out);
    let by = EndedBy::Regulator;
    call.tell(if on { EventKind::CallHeld { by } } else { EventKind::CallResumed { by } }, out);
}

/// The regulator is free again, and the caller waits in the old place.
fn let_go(call: &mut Call, host: LegId, now: Now, out: &mut Vec<Decision>) {
    super::taking::give_up_any(call, now, out);
    guests::dismiss(call, EndedBy::Operator, now, out);
    out.push(Decision::Media(MediaCommand::Unbridge { leg: call.caller_leg() }));
    talking::release(call, host, out);
    call.hang_up(host, EndedBy::Operator, now, out);
    talking::wait_again(call, now, out);
}

/// Whether it is recorded stays: that was said when the caller was greeted.
fn wait_for(call: &mut Call, redirect: Redirect, now: Now) {
    let Redirect { to: _, demand, line } = redirect;
    if let Some(line) = line {
        ways::change_line(call, line, now);
    }
    set_demand(call, demand);
}

fn set_demand(call: &mut Call, demand: Demand) {
    call.record.skills = demand.needs.levels();
    call.record.priority = demand.priority;
    call.record.region = demand.region.clone();
    call.demand = demand;
}

fn change_demand(call: &mut Call, demand: Demand, out: &mut Vec<Decision>) {
    set_demand(call, demand);
    tell_demand(call, out);
}

/// Dispatch hears what the call needs now.
pub(super) fn tell_demand(call: &mut Call, out: &mut Vec<Decision>) {
    let Demand { needs, priority, region, reach, .. } = call.demand.clone();
    let (skills, needs) = (needs.levels(), needs.to_string());
    let (line, association) = (Some(call.record.line.clone()), Some(call.record.association.clone()));
    let changed = EventKind::CallDemandChanged { line, association, skills, priority, region, needs, reach };
    call.tell(changed, out);
    out.push(Decision::Keep);
}

/// The SAMU is being rung: it is told all that it needs, before anybody there picks up.
fn tell_samu(call: &mut Call, host: LegId, invite: &Invite, now: Now, out: &mut Vec<Decision>) {
    let TransferParty::Number(to) = guests::party_of(&invite.to) else { return };
    let Some(by) = call.leg(host).and_then(|leg| leg.regulator.clone()) else { return };
    let record = &call.record;
    let since = |at: Option<crate::model::Utc>| at.map_or(0, |at| now.utc.since(at).as_millis() as u64);
    let told = crate::model::event::SamuContext {
        to,
        by_name: call.centre.regulators.get(&by).map_or_else(String::new, |person| person.name.clone()),
        by,
        caller: record.caller.clone(),
        ddi: record.ddi.as_ref().map_or_else(|| record.ddi_raw.clone(), ToString::to_string),
        line: record.line.clone(),
        line_name: call.line.name.clone(),
        association: record.association.clone(),
        region: record.region.clone(),
        language: record.language.clone(),
        skills: record.skills.clone(),
        priority: record.priority,
        wait_ms: record.wait_ms().unwrap_or(0),
        talk_ms: since(record.answered_at),
        recorded: call.is_to_be_recorded(),
        context: record.context.clone(),
    };
    call.tell(EventKind::CallHandedToSamu(Box::new(told)), out);
}

/// Whether somebody rings or talks here to have the caller in the end: the SAMU, or a transfer.
pub fn is_being_handed_on(call: &Call) -> bool {
    let handed = |guest: &guests::Guest| guest.purpose == Purpose::HandOff;
    let moves = |state: &State| matches!(state, State::Transferring(handover) if rings(handover));
    moves(&call.state) || call.guests.iter().any(handed)
}

fn rings(handover: &Handover) -> bool {
    !handover.ringing.is_empty()
}
