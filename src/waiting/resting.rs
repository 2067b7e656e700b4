//! The rest after a call, made shorter or longer; and the pauses that wait for a phone to come back.

use std::time::Duration;

use crate::model::{Now, PauseReason, RegulatorId, RegulatorState};

use super::{StateChange, WaitingError, WaitingRoom};

impl WaitingRoom {
    /// A regulator who rests does so longer: by so much, or as the configuration has it.
    pub fn extend_wrap_up(
        &mut self,
        who: &RegulatorId,
        by: Option<Duration>,
        now: Now,
        out: &mut Vec<StateChange>,
    ) -> Result<(), WaitingError> {
        let by = by.unwrap_or(self.regulators.centre.offers.wrap_up_extension);
        let (index, desk) = self.regulators.desk_mut(who).ok_or(WaitingError::UnknownRegulator)?;
        let turn = desk.rest_longer(by, now.moment).ok_or(WaitingError::NotResting)?;
        self.regulators.turn(index, turn, now, out);
        Ok(())
    }

    /// A regulator who rests is ready at once.
    pub fn end_wrap_up(&mut self, who: &RegulatorId, now: Now, out: &mut Vec<StateChange>) -> Result<(), WaitingError> {
        match self.state_of(who).ok_or(WaitingError::UnknownRegulator)? {
            RegulatorState::WrapUp => self.ready(who, now, out),
            RegulatorState::Offline
            | RegulatorState::Ready
            | RegulatorState::Ringing { .. }
            | RegulatorState::Talking { .. }
            | RegulatorState::Paused { .. } => Err(WaitingError::NotResting),
        }
    }

    /// The pause that will hold when an absent regulator's phone is back: it is remembered over a restart.
    pub fn pause_ahead(&self, who: &RegulatorId) -> Option<&PauseReason> {
        self.regulators.desk(who).and_then(|desk| desk.pause_ahead())
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Stage;
    use super::*;
    use crate::routing::sample::regulator;

    fn resting() -> Stage {
        let mut stage = Stage::new(vec![regulator("anne", &[("regulation", 50)], &[])]);
        stage.register(&["anne"]);
        stage.talk("anne");
        stage.release("anne", 10);
        stage
    }

    fn left_s(stage: &Stage) -> Option<u64> {
        let view = stage.room.regulators(stage.now).remove(0);
        view.until.map(|until| until.since(stage.now.utc).as_secs())
    }

    #[test]
    fn a_rest_is_extended_from_its_end_and_never_beyond_an_hour() {
        let mut stage = resting();
        stage.pass(4);
        stage.room.extend_wrap_up(&"anne".into(), None, stage.now, &mut stage.out).expect("she rests");
        assert_eq!(left_s(&stage), Some(6 + 60));
        let hours = Some(Duration::from_secs(7200));
        stage.room.extend_wrap_up(&"anne".into(), hours, stage.now, &mut stage.out).expect("she rests");
        assert_eq!(left_s(&stage), Some(3600 - 4));
        stage.pass(3596);
        stage.tick();
        assert_eq!(stage.room.state_of(&"anne".into()), Some(&RegulatorState::Ready));
    }

    #[test]
    fn a_rest_is_ended_early_and_only_a_rest() {
        let mut stage = resting();
        stage.room.end_wrap_up(&"anne".into(), stage.now, &mut stage.out).expect("she rests");
        assert_eq!(stage.room.state_of(&"anne".into()), Some(&RegulatorState::Ready));
        let again = stage.room.end_wrap_up(&"anne".into(), stage.now, &mut stage.out);
        assert_eq!(again, Err(WaitingError::NotResting));
        let longer = stage.room.extend_wrap_up(&"anne".into(), None, stage.now, &mut stage.out);
        assert_eq!(longer, Err(WaitingError::NotResting));
    }

    #[test]
    fn who_was_logged_out_is_paused_when_the_phone_is_back_and_over_a_restart() {
        let mut stage = Stage::new(vec![regulator("anne", &[("regulation", 50)], &[])]);
        let out = PauseReason::LoggedOut("gone home".into());
        stage.room.pause(&"anne".into(), out.clone(), stage.now, &mut stage.out).expect("known");
        assert_eq!(stage.room.pause_ahead(&"anne".into()), Some(&out));
        stage.register(&["anne"]);
        let paused = RegulatorState::Paused { reason: out };
        assert_eq!(stage.room.state_of(&"anne".into()), Some(&paused));
        let mut again = Stage::new(vec![regulator("anne", &[("regulation", 50)], &[])]);
        again.room.restore(&[("anne".into(), paused.clone(), stage.now.utc)]);
        again.register(&["anne"]);
        assert_eq!(again.room.state_of(&"anne".into()), Some(&paused));
    }
}
