//! Regulators whom a colleague takes, past the waiting room: called, or handed a caller.

use crate::model::{CallId, DeviceId, Now, RegulatorId, RegulatorState};

use super::{LentTo, StateChange, WaitingError, WaitingRoom};

impl WaitingRoom {
    /// Rings at a regulator for a call that the waiting room has not given him; his phones, at least one.
    ///
    /// [`Self::answered`], [`Self::offer_ended`] and [`Self::released`] follow, as after an offer.
    pub fn lend(
        &mut self,
        who: &RegulatorId,
        call: CallId,
        to: LentTo,
        now: Now,
        out: &mut Vec<StateChange>,
    ) -> Result<Vec<DeviceId>, WaitingError> {
        self.take(who, to, RegulatorState::Ringing { call }, now, out)?;
        Ok(self.devices_of(who).to_vec())
    }

    /// A regulator talks on a call of his own; [`Self::released`] gives him back to what he did before.
    pub fn engage(
        &mut self,
        who: &RegulatorId,
        call: CallId,
        now: Now,
        out: &mut Vec<StateChange>,
    ) -> Result<(), WaitingError> {
        self.take(who, LentTo::Colleague, RegulatorState::Talking { call }, now, out)
    }

    fn take(
        &mut self,
        who: &RegulatorId,
        to: LentTo,
        into: RegulatorState,
        now: Now,
        out: &mut Vec<StateChange>,
    ) -> Result<(), WaitingError> {
        let (index, desk) = self.regulators.desk_mut(who).ok_or(WaitingError::UnknownRegulator)?;
        if desk.state == RegulatorState::Offline {
            return Err(WaitingError::Offline);
        }
        let turn = desk.lend(to, into).ok_or(WaitingError::Busy)?;
        self.regulators.turn(index, turn, now, out);
        Ok(())
    }

    /// The call that a regulator rings for or talks on becomes another, and he is as much lent to that one. `false`: he has
    /// nothing to do with it.
    #[must_use]
    pub fn move_over(
        &mut self,
        who: &RegulatorId,
        from: CallId,
        to: CallId,
        now: Now,
        out: &mut Vec<StateChange>,
    ) -> bool {
        let Some((index, desk)) = self.regulators.desk_mut(who) else { return false };
        let Some(turn) = desk.move_over(from, to) else { return false };
        self.regulators.turn(index, turn, now, out);
        true
    }

    /// The call that a regulator rings for or talks on becomes a caller's call. `false`: he has nothing to do with it.
    #[must_use]
    pub fn hand_over(
        &mut self,
        who: &RegulatorId,
        from: CallId,
        to: CallId,
        now: Now,
        out: &mut Vec<StateChange>,
    ) -> bool {
        let Some((index, desk)) = self.regulators.desk_mut(who) else { return false };
        let Some(turn) = desk.hand_over(from, to) else { return false };
        self.regulators.turn(index, turn, now, out);
        true
    }
}
