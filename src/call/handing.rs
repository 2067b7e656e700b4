//! Whom a regulator may hand a caller on to, and how a leg comes from a call among colleagues into the caller's.

use super::consult::{Consult, ConsultState, Partner};
use super::decision::CallInput;
use super::dialling::unserved;
use super::leg::Leg;
use super::life::{LEGS_MAX, State};
use super::signal::{LegOrder, TransferStep, TransferTo, Unserved};
use super::steering::Steer;
use super::switch::{Order, Switch};
use super::transfer::{HandOn, HandedOver};
use crate::model::control::Destination;
use crate::model::{CallId, LegId, MediaCommand, Now, OfferEnd, RegulatorId, RegulatorState};
use crate::waiting::LentTo;

impl Switch {
    /// A phone asks by its transfer button; what cannot be done is refused at once.
    pub(super) fn transfer_asked(&mut self, leg: LegId, to: TransferTo, now: Now, out: &mut Vec<Order>) {
        let asked = match to {
            TransferTo::User(text) if self.is_place(leg, &text) => self.hand_to_room(leg, &text, out),
            TransferTo::User(text) => self.hand_on(leg, &text, now, out),
            TransferTo::PartnerOf(other) => self.hand_to_partner(leg, other, now, out),
        };
        if let Err(why) = asked {
            let step = TransferStep::Refused(why);
            out.push(Order::Leg(LegOrder::Transfer { leg, step }));
        }
    }

    /// The regulator who may hand on the caller of this leg's call: the one who talks over it.
    fn owner(&self, leg: LegId) -> Result<RegulatorId, Unserved> {
        let call = self.calls.get(&leg.call).ok_or(Unserved::Forbidden)?;
        match &call.state {
            State::Talking { leg: talks } if *talks == leg => {}
            State::Transferring(handover) if handover.by == leg => return Err(Unserved::Busy),
            State::Opening { .. }
            | State::Greeting
            | State::Waiting
            | State::Offering(_)
            | State::Talking { .. }
            | State::Transferring(_)
            | State::Choosing(_)
            | State::Forwarding(_)
            | State::Voicemail(_)
            | State::Postponed
            | State::Recalling(_)
            | State::CallingOut(_)
            | State::Farewell { .. }
            | State::Ending
            | State::Sealing => return Err(Unserved::Forbidden),
        }
        if call.legs.len() >= LEGS_MAX as usize {
            return Err(Unserved::Overloaded);
        }
        call.leg(leg).and_then(|leg| leg.regulator.clone()).ok_or(Unserved::Forbidden)
    }

    /// Whether a line or a skill is meant, and not a person or an outside number.
    fn is_place(&self, leg: LegId, text: &str) -> bool {
        let to = Destination { to: text.to_owned(), level: 1 };
        self.calls.get(&leg.call).and_then(|call| self.redirect(call, &to)).is_some()
    }

    /// The caller waits again, for whoever answers a line or has a skill.
    fn hand_to_room(&mut self, by: LegId, text: &str, out: &mut Vec<Order>) -> Result<(), Unserved> {
        self.owner(by)?;
        let to = Destination { to: text.to_owned(), level: 1 };
        let redirect = self.calls.get(&by.call).and_then(|call| self.redirect(call, &to)).ok_or(Unserved::NotFound)?;
        if !self.room.anyone_on_duty(&redirect.demand) {
            return Err(Unserved::Unavailable);
        }
        for step in [TransferStep::Trying, TransferStep::Done] {
            out.push(Order::Leg(LegOrder::Transfer { leg: by, step }));
        }
        self.queue.push_back((by.call, CallInput::Steer(Box::new(Steer::Redirect(redirect)))));
        Ok(())
    }

    /// Blind: it is yet to ring at the other party.
    pub(super) fn hand_on(&mut self, by: LegId, text: &str, now: Now, out: &mut Vec<Order>) -> Result<(), Unserved> {
        let owner = self.owner(by)?;
        let mut to = self.partner_for(&owner, text, now, out)?;
        if to.regulator() == Some(&owner) {
            return Err(Unserved::Busy);
        }
        if let Partner::Regulator { id, devices } = &mut to {
            let lent = self.room.lend(id, by.call, LentTo::Caller, now, &mut self.changes);
            *devices = lent.map_err(unserved)?;
        }
        let hand_on = HandOn { by, answer_to: by, to, ringing: Vec::new() };
        self.queue.push_back((by.call, CallInput::HandOn(Box::new(hand_on))));
        Ok(())
    }

    /// Attended: the other party talks with the same person already, or is being rung. A phone may ask over either of
    /// its two legs.
    fn hand_to_partner(&mut self, asks: LegId, other: LegId, now: Now, out: &mut Vec<Order>) -> Result<(), Unserved> {
        let (by, own) = if self.calls.contains_key(&asks.call) { (asks, other) } else { (other, asks) };
        let owner = self.owner(by)?;
        let consult = self.consults.get(&own.call).ok_or(Unserved::NotFound)?;
        let is_theirs = consult.own() == own && consult.by == owner;
        // A leg cannot move to another media thread.
        if !is_theirs || !own.call.is_beside(by.call) {
            return Err(Unserved::Forbidden);
        }
        let was = match &consult.state {
            ConsultState::Leaving => return Err(Unserved::NotFound),
            state @ (ConsultState::Ringing | ConsultState::Talking { .. }) => state.clone(),
        };
        let to = consult.to.clone();
        let legs = self.carry_over(own.call, by.call, now, out)?;
        if let Some(regulator) = to.regulator() {
            let is_known = self.room.hand_over(regulator, own.call, by.call, now, &mut self.changes);
            debug_assert!(is_known, "a colleague on a call that the waiting room does not know of");
        }
        let input = match (was, legs.first().copied()) {
            (ConsultState::Talking { .. }, Some(leg)) => {
                CallInput::HandedOver(Box::new(HandedOver { by, answer_to: asks, to, leg }))
            }
            (ConsultState::Talking { .. } | ConsultState::Ringing | ConsultState::Leaving, _) => {
                CallInput::HandOn(Box::new(HandOn { by, answer_to: asks, to, ringing: legs }))
            }
        };
        self.queue.push_back((by.call, input));
        Ok(())
    }

    /// The other party's legs go on in the caller's call; their names there.
    pub(super) fn carry_over(
        &mut self,
        from: CallId,
        to: CallId,
        now: Now,
        out: &mut Vec<Order>,
    ) -> Result<Vec<LegId>, Unserved> {
        let free = self.calls.get(&to).map_or(0, |call| (LEGS_MAX as usize).saturating_sub(call.legs.len()));
        let consult = self.consults.get_mut(&from).filter(|consult| consult.legs.len() <= free);
        let legs: Vec<Leg> = consult.map(|consult: &mut Consult| consult.hand_over(now)).ok_or(Unserved::Overloaded)?;
        let mut places = Vec::with_capacity(legs.len());
        for leg in legs {
            let was = leg.id;
            let Some(place) = self.calls.get_mut(&to).and_then(|call| call.adopt(leg, now)) else { continue };
            self.rename_leg(was, place, out);
            out.push(Order::Media(MediaCommand::Rename { from: was, to: place }));
            places.push(place);
        }
        self.schedule(from);
        Ok(places)
    }

    /// Whoever rings for this call or talks on it is free again.
    pub(super) fn free_regulators(&mut self, id: CallId, now: Now) {
        for regulator in self.room.regulators(now) {
            match regulator.state {
                RegulatorState::Ringing { call } if call == id => {
                    self.room.offer_ended(&regulator.regulator, OfferEnd::Cancelled, now, &mut self.changes);
                }
                RegulatorState::Talking { call } if call == id => {
                    self.room.released(&regulator.regulator, std::time::Duration::ZERO, now, &mut self.changes);
                    self.engage_again(&regulator.regulator, id, now);
                }
                RegulatorState::Ringing { .. }
                | RegulatorState::Talking { .. }
                | RegulatorState::Offline
                | RegulatorState::Ready
                | RegulatorState::WrapUp
                | RegulatorState::Paused { .. } => {}
            }
        }
    }

    /// Someone lent to a call that does not come about goes back to what he was.
    pub(super) fn free_ringing(&mut self, regulator: Option<&RegulatorId>, call: CallId, now: Now) {
        if let Some(regulator) = regulator
            && self.room.state_of(regulator) == Some(&RegulatorState::Ringing { call })
        {
            self.room.offer_ended(regulator, OfferEnd::Cancelled, now, &mut self.changes);
        }
    }

    /// Whose caller is gone and who still talks with a colleague is not free yet.
    pub(super) fn engage_again(&mut self, regulator: &RegulatorId, over: CallId, now: Now) {
        let is_own = |one: &&Consult| one.id != over && one.by == *regulator && one.state != ConsultState::Leaving;
        let own = self.consults.values().find(is_own);
        if let Some(id) = own.map(|consult| consult.id) {
            // Offline when the phone is gone: then its end of that call is soon found to be gone as well.
            let _ = self.room.engage(regulator, id, now, &mut self.changes);
        }
    }
}
