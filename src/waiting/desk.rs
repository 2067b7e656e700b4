//! One regulator's desk: the states and what each event makes of them, without any index.

use std::time::Duration;

use super::LentTo;
use crate::model::centre::OfferRules;
use crate::model::{CallId, DeviceId, Moment, Now, OfferEnd, PauseReason, RegulatorId, RegulatorState};

/// A regulator, his phones and his state.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub regulator: RegulatorId,
    /// Registered phones, in the order of their registration. Bounded by the registrar (`sip.devices_max`).
    pub devices: Vec<DeviceId>,
    pub state: RegulatorState,
    /// When the state began.
    pub since: Now,
    /// When a wrap-up or a timed pause ends by itself.
    pub until: Option<Moment>,
    /// When he last became free; an offer that the caller cancelled does not count.
    pub free_since: Moment,
    /// What takes effect when the call is over or the phone is back.
    pub next: Next,
    /// What he goes back to, while somebody else than the waiting room has taken him.
    pub lent: Option<Lent>,
    ready_on_register: bool,
}

/// What becomes of a regulator who is not free to change now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// What the rules say.
    Usual,
    /// A pause asked for meanwhile, or from before the phone went away.
    Pause(PauseReason),
    /// Ready, though registering alone would not do it: he was before a restart.
    Ready,
}

/// What a regulator was doing when a colleague called him or handed him a caller on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lent {
    /// `Ready`, `WrapUp` or `Paused`.
    state: RegulatorState,
    /// When that state would have ended by itself.
    until: Option<Moment>,
    to: LentTo,
}

/// A state to go to, and how long it lasts when it ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub state: RegulatorState,
    pub lasting: Option<Duration>,
}

impl Turn {
    fn to(state: RegulatorState) -> Turn {
        Turn { state, lasting: None }
    }

    /// A pause; one that would last no time at all is none.
    fn pause(reason: PauseReason, rules: &OfferRules) -> Turn {
        let lasting = pause_duration(&reason, rules);
        if lasting == Some(Duration::ZERO) {
            return Turn::to(RegulatorState::Ready);
        }
        Turn { state: RegulatorState::Paused { reason }, lasting }
    }
}

/// How long a pause lasts; `None` when only a person ends it.
fn pause_duration(reason: &PauseReason, rules: &OfferRules) -> Option<Duration> {
    match reason {
        PauseReason::NoAnswer => Some(rules.pause_no_answer),
        PauseReason::Refused => Some(rules.pause_refused),
        PauseReason::Unreachable => Some(rules.pause_unreachable),
        PauseReason::Own | PauseReason::Operator(_) | PauseReason::NotYetReady => None,
    }
}

/// Whether only a person ends the pause.
fn pause_is_open(reason: &PauseReason) -> bool {
    match reason {
        PauseReason::Own | PauseReason::Operator(_) | PauseReason::NotYetReady => true,
        PauseReason::NoAnswer | PauseReason::Refused | PauseReason::Unreachable => false,
    }
}

/// Whether somebody asked for the pause: such a one outlives the phone's registration.
fn is_asked_for(reason: &PauseReason) -> bool {
    match reason {
        PauseReason::Own | PauseReason::Operator(_) => true,
        PauseReason::NoAnswer | PauseReason::Refused | PauseReason::Unreachable | PauseReason::NotYetReady => false,
    }
}

impl Desk {
    pub fn new(regulator: RegulatorId, ready_on_register: bool) -> Desk {
        Desk {
            regulator,
            devices: Vec::new(),
            state: RegulatorState::Offline,
            since: Now::default(),
            until: None,
            free_since: Moment::default(),
            next: Next::Usual,
            lent: None,
            ready_on_register,
        }
    }

    /// Takes him from what he does for a call that the waiting room has not given him; `None` when he is on a call, is
    /// being rung or has no phone.
    pub fn lend(&mut self, to: LentTo, into: RegulatorState) -> Option<Turn> {
        match &self.state {
            RegulatorState::Offline | RegulatorState::Ringing { .. } | RegulatorState::Talking { .. } => None,
            RegulatorState::Ready | RegulatorState::WrapUp | RegulatorState::Paused { .. } => {
                self.lent = Some(Lent { state: self.state.clone(), until: self.until, to });
                Some(Turn::to(into))
            }
        }
    }

    /// The call that he rings for or talks on goes on under another name: from a colleague's call to a caller's.
    pub fn hand_over(&mut self, from: CallId, to: CallId) -> Option<Turn> {
        match &self.state {
            RegulatorState::Ringing { call } if *call == from => {
                self.lent.iter_mut().for_each(|lent| lent.to = LentTo::Caller);
                Some(Turn::to(RegulatorState::Ringing { call: to }))
            }
            RegulatorState::Talking { call } if *call == from => {
                self.keep_caller();
                Some(Turn::to(RegulatorState::Talking { call: to }))
            }
            RegulatorState::Ringing { .. }
            | RegulatorState::Talking { .. }
            | RegulatorState::Offline
            | RegulatorState::Ready
            | RegulatorState::WrapUp
            | RegulatorState::Paused { .. } => None,
        }
    }

    /// He has a caller now as if the waiting room had given him: after the call the usual, but the pause that only a
    /// person ends comes back.
    fn keep_caller(&mut self) {
        let Some(lent) = self.lent.take() else { return };
        if let RegulatorState::Paused { reason } = lent.state
            && pause_is_open(&reason)
            && self.next == Next::Usual
        {
            self.next = Next::Pause(reason);
        }
    }

    /// Back to what he did before he was lent; what would have ended meanwhile has ended.
    fn go_back(&mut self, rules: &OfferRules, now: Moment) -> Turn {
        let Some(Lent { state, until, to: _ }) = self.lent.take() else {
            return self.settle(Turn::to(RegulatorState::Ready), rules);
        };
        if let RegulatorState::Paused { reason } = &state
            && is_asked_for(reason)
            && self.devices.is_empty()
            && self.next == Next::Usual
        {
            self.next = Next::Pause(reason.clone());
        }
        let before = match until {
            Some(until) if until <= now => Turn::to(RegulatorState::Ready),
            Some(until) => Turn { state, lasting: Some(until.since(now)) },
            None => Turn::to(state),
        };
        self.settle(before, rules)
    }

    /// Whether he will take calls again without anybody's doing.
    pub fn is_on_duty(&self) -> bool {
        match &self.state {
            RegulatorState::Ready
            | RegulatorState::Ringing { .. }
            | RegulatorState::Talking { .. }
            | RegulatorState::WrapUp => true,
            RegulatorState::Offline => false,
            RegulatorState::Paused { reason } => match reason {
                PauseReason::NoAnswer | PauseReason::Refused | PauseReason::Unreachable => true,
                PauseReason::Own | PauseReason::Operator(_) | PauseReason::NotYetReady => false,
            },
        }
    }

    /// What storage remembers from before a restart takes effect with the next registration.
    pub fn remember(&mut self, state: &RegulatorState) {
        if self.state != RegulatorState::Offline {
            return;
        }
        self.next = match state {
            RegulatorState::Offline => Next::Usual,
            RegulatorState::Ready
            | RegulatorState::Ringing { .. }
            | RegulatorState::Talking { .. }
            | RegulatorState::WrapUp => Next::Ready,
            RegulatorState::Paused { reason } => match reason {
                PauseReason::Own | PauseReason::Operator(_) => Next::Pause(reason.clone()),
                PauseReason::NoAnswer | PauseReason::Refused | PauseReason::Unreachable => Next::Ready,
                PauseReason::NotYetReady => Next::Usual,
            },
        };
    }

    pub fn register(&mut self, device: DeviceId, rules: &OfferRules) -> Option<Turn> {
        if !self.devices.contains(&device) {
            self.devices.push(device);
        }
        match &self.state {
            RegulatorState::Offline => Some(match std::mem::replace(&mut self.next, Next::Usual) {
                Next::Pause(reason) => Turn::pause(reason, rules),
                Next::Ready => Turn::to(RegulatorState::Ready),
                Next::Usual if self.ready_on_register => Turn::to(RegulatorState::Ready),
                Next::Usual => Turn::pause(PauseReason::NotYetReady, rules),
            }),
            RegulatorState::Ready
            | RegulatorState::Ringing { .. }
            | RegulatorState::Talking { .. }
            | RegulatorState::WrapUp
            | RegulatorState::Paused { .. } => None,
        }
    }

    pub fn unregister(&mut self, device: DeviceId) -> Option<Turn> {
        self.devices.retain(|one| *one != device);
        if !self.devices.is_empty() {
            return None;
        }
        match &self.state {
            // The call is still alive and decides; `settle` finds the phone gone when it is over.
            RegulatorState::Offline | RegulatorState::Ringing { .. } | RegulatorState::Talking { .. } => None,
            RegulatorState::Ready | RegulatorState::WrapUp => Some(Turn::to(RegulatorState::Offline)),
            RegulatorState::Paused { reason } => {
                if is_asked_for(reason) {
                    self.next = Next::Pause(reason.clone());
                }
                Some(Turn::to(RegulatorState::Offline))
            }
        }
    }

    /// `None` when he is offline already and so cannot be made ready.
    pub fn make_ready(&mut self) -> Option<Turn> {
        match &self.state {
            RegulatorState::Offline => None,
            RegulatorState::Ready | RegulatorState::WrapUp | RegulatorState::Paused { .. } => {
                Some(Turn::to(RegulatorState::Ready))
            }
            RegulatorState::Ringing { .. } | RegulatorState::Talking { .. } => {
                self.next = Next::Usual;
                if let Some(lent) = &mut self.lent {
                    (lent.state, lent.until) = (RegulatorState::Ready, None);
                }
                Some(Turn { state: self.state.clone(), lasting: None })
            }
        }
    }

    pub fn pause(&mut self, reason: PauseReason, rules: &OfferRules) -> Option<Turn> {
        match &self.state {
            RegulatorState::Offline | RegulatorState::Ringing { .. } | RegulatorState::Talking { .. } => {
                // A pause that passes by itself does not take the place of one that somebody asked for.
                let was_asked_for = matches!(&self.next, Next::Pause(before) if is_asked_for(before));
                if is_asked_for(&reason) || !was_asked_for {
                    self.next = Next::Pause(reason);
                }
                None
            }
            RegulatorState::Ready | RegulatorState::WrapUp | RegulatorState::Paused { .. } => {
                Some(Turn::pause(reason, rules))
            }
        }
    }

    pub fn end_offer(&mut self, end: OfferEnd, rules: &OfferRules, now: Moment) -> Option<Turn> {
        // Who was free when a caller was handed to him, and did not answer, is no better than after an offer.
        let is_spared = self.lent.as_ref().is_some_and(|lent| match lent.to {
            LentTo::Colleague => true,
            LentTo::Caller => lent.state != RegulatorState::Ready,
        });
        match &self.state {
            RegulatorState::Ringing { .. } if is_spared && end != OfferEnd::Accepted => Some(self.go_back(rules, now)),
            RegulatorState::Ringing { .. } => match end {
                // Told by `answer`.
                OfferEnd::Accepted => None,
                OfferEnd::Cancelled => Some(self.settle(Turn::to(RegulatorState::Ready), rules)),
                OfferEnd::TimedOut => Some(self.settle(Turn::pause(PauseReason::NoAnswer, rules), rules)),
                OfferEnd::Refused => Some(self.settle(Turn::pause(PauseReason::Refused, rules), rules)),
                OfferEnd::Failed => Some(self.settle(Turn::pause(PauseReason::Unreachable, rules), rules)),
            },
            RegulatorState::Offline
            | RegulatorState::Ready
            | RegulatorState::Talking { .. }
            | RegulatorState::WrapUp
            | RegulatorState::Paused { .. } => None,
        }
    }

    pub fn answer(&mut self, call: CallId) -> Option<Turn> {
        match &self.state {
            RegulatorState::Ringing { call: ringing } if *ringing == call => {
                if self.lent.as_ref().is_some_and(|lent| lent.to == LentTo::Caller) {
                    self.keep_caller();
                }
                Some(Turn::to(RegulatorState::Talking { call }))
            }
            RegulatorState::Ringing { .. }
            | RegulatorState::Offline
            | RegulatorState::Ready
            | RegulatorState::Talking { .. }
            | RegulatorState::WrapUp
            | RegulatorState::Paused { .. } => None,
        }
    }

    pub fn release(&mut self, wrap_up: Duration, rules: &OfferRules, now: Moment) -> Option<Turn> {
        let usual = match wrap_up {
            Duration::ZERO => Turn::to(RegulatorState::Ready),
            lasting => Turn { state: RegulatorState::WrapUp, lasting: Some(lasting) },
        };
        match &self.state {
            RegulatorState::Talking { .. } if self.lent.is_some() => Some(self.go_back(rules, now)),
            RegulatorState::Talking { .. } => Some(self.settle(usual, rules)),
            RegulatorState::Offline
            | RegulatorState::Ready
            | RegulatorState::Ringing { .. }
            | RegulatorState::WrapUp
            | RegulatorState::Paused { .. } => None,
        }
    }

    /// The call is over: offline when the phone is gone, the pause asked for meanwhile, else the usual.
    fn settle(&mut self, usual: Turn, rules: &OfferRules) -> Turn {
        self.lent = None;
        if self.devices.is_empty() {
            return Turn::to(RegulatorState::Offline);
        }
        match std::mem::replace(&mut self.next, Next::Usual) {
            Next::Pause(reason) => Turn::pause(reason, rules),
            Next::Usual | Next::Ready => usual,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::stage::Stage;
    use super::super::{LentTo, WaitingError};
    use crate::model::{CallId, Chance, DeviceId, OfferEnd, PauseReason, RegulatorState, Utc};
    use crate::routing::sample::{centre, regulator};

    fn paused(reason: PauseReason) -> RegulatorState {
        RegulatorState::Paused { reason }
    }

    /// Anne alone.
    fn anne() -> Stage {
        Stage::new(vec![regulator("anne", &[("regulation", 80)], &[("cherbourg", 0)])])
    }

    fn anne_ready() -> Stage {
        let mut stage = anne();
        stage.register(&["anne"]);
        stage
    }

    fn pause(stage: &mut Stage, reason: PauseReason) {
        stage.room.pause(&"anne".into(), reason, stage.now, &mut stage.out).expect("a known regulator");
    }

    fn ready(stage: &mut Stage) -> Result<(), WaitingError> {
        stage.room.ready(&"anne".into(), stage.now, &mut stage.out)
    }

    #[test]
    fn the_first_device_makes_a_regulator_ready_and_the_last_takes_him_away() {
        let mut stage = anne_ready();
        assert_eq!(stage.state("anne"), RegulatorState::Ready);
        stage.room.registered(&"anne".into(), DeviceId(2), stage.now, &mut stage.out);
        stage.unregister("anne");
        assert_eq!(stage.state("anne"), RegulatorState::Ready);
        stage.room.unregistered(&"anne".into(), DeviceId(2), stage.now, &mut stage.out);
        assert_eq!(stage.state("anne"), RegulatorState::Offline);
        assert_eq!(stage.out.len(), 2);
    }

    #[test]
    fn registering_again_tells_nothing() {
        let mut stage = anne_ready();
        stage.register(&["anne", "anne", "nobody"]);
        assert_eq!(stage.out.len(), 1);
        assert_eq!(stage.room.devices_of(&"anne".into()), [DeviceId(1)]);
    }

    #[test]
    fn where_registering_is_not_enough_the_regulator_reports_ready_himself() {
        let mut one = regulator("anne", &[], &[]);
        one.ready_on_register = false;
        let mut stage = Stage::of(centre(vec![one], Vec::new()));
        assert_eq!(ready(&mut stage), Err(WaitingError::Offline));
        stage.register(&["anne"]);
        assert_eq!(stage.state("anne"), paused(PauseReason::NotYetReady));
        assert_eq!(ready(&mut stage), Ok(()));
        assert_eq!(stage.state("anne"), RegulatorState::Ready);
    }

    #[test]
    fn a_pause_asked_for_comes_back_with_the_next_registration_and_a_timed_one_does_not() {
        let mut stage = anne_ready();
        pause(&mut stage, PauseReason::Operator("lunch".into()));
        stage.unregister("anne");
        assert_eq!(stage.state("anne"), RegulatorState::Offline);
        stage.register(&["anne"]);
        assert_eq!(stage.state("anne"), paused(PauseReason::Operator("lunch".into())));
        ready(&mut stage).expect("online");
        stage.ring("anne");
        stage.end_offer("anne", OfferEnd::TimedOut);
        stage.unregister("anne");
        stage.register(&["anne"]);
        assert_eq!(stage.state("anne"), RegulatorState::Ready);
    }

    #[test]
    fn a_pause_and_a_shift_survive_a_restart() {
        for (before, after) in [
            (paused(PauseReason::Own), paused(PauseReason::Own)),
            (RegulatorState::WrapUp, RegulatorState::Ready),
            (paused(PauseReason::NoAnswer), RegulatorState::Ready),
            (RegulatorState::Offline, paused(PauseReason::NotYetReady)),
        ] {
            let mut one = regulator("anne", &[], &[]);
            one.ready_on_register = false;
            let mut stage = Stage::of(centre(vec![one], Vec::new()));
            stage.room.restore(&[("anne".into(), before, Utc(0)), ("gone".into(), RegulatorState::Ready, Utc(0))]);
            assert!(stage.out.is_empty());
            stage.register(&["anne"]);
            assert_eq!(stage.state("anne"), after);
        }
    }

    #[test]
    fn a_pause_during_a_call_waits_for_its_end_and_ready_takes_it_back() {
        let mut stage = anne_ready();
        stage.talk("anne");
        pause(&mut stage, PauseReason::Own);
        assert!(matches!(stage.state("anne"), RegulatorState::Talking { .. }));
        stage.release("anne", 5);
        assert_eq!(stage.state("anne"), paused(PauseReason::Own));
        ready(&mut stage).expect("online");
        stage.talk("anne");
        pause(&mut stage, PauseReason::Own);
        ready(&mut stage).expect("online");
        assert!(matches!(stage.state("anne"), RegulatorState::Talking { .. }));
        stage.release("anne", 5);
        assert_eq!(stage.state("anne"), RegulatorState::WrapUp);
    }

    #[test]
    fn a_pause_asked_for_during_a_call_outlives_the_loss_of_the_phone() {
        let mut stage = anne_ready();
        stage.talk("anne");
        pause(&mut stage, PauseReason::Own);
        pause(&mut stage, PauseReason::Unreachable);
        stage.release("anne", 0);
        assert_eq!(stage.state("anne"), paused(PauseReason::Own));
    }

    #[test]
    fn a_pause_while_it_rings_lets_the_offer_go_on() {
        let mut stage = anne_ready();
        let call = stage.ring("anne");
        pause(&mut stage, PauseReason::Own);
        assert_eq!(stage.state("anne"), RegulatorState::Ringing { call });
        stage.end_offer("anne", OfferEnd::TimedOut);
        assert_eq!(stage.state("anne"), paused(PauseReason::Own));
    }

    #[test]
    fn an_offer_without_an_answer_pauses_for_as_long_as_its_kind_says() {
        for (end, reason, seconds) in [
            (OfferEnd::TimedOut, PauseReason::NoAnswer, 60),
            (OfferEnd::Refused, PauseReason::Refused, 10),
            (OfferEnd::Failed, PauseReason::Unreachable, 10),
        ] {
            let mut stage = anne_ready();
            let call = stage.ring("anne");
            stage.end_offer("anne", end);
            assert_eq!(stage.state("anne"), paused(reason));
            assert!(stage.choose().is_empty());
            assert_eq!(stage.room.deadline(), Some(stage.now.moment + Duration::from_secs(seconds)));
            stage.pass(seconds - 1);
            stage.tick();
            assert_ne!(stage.state("anne"), RegulatorState::Ready);
            stage.pass(1);
            stage.tick();
            assert_eq!(stage.state("anne"), RegulatorState::Ready);
            assert_eq!(stage.room.deadline(), None);
            assert_eq!(stage.pairs(), [(call, "anne".to_owned())]);
        }
    }

    #[test]
    fn a_cancelled_offer_leaves_the_regulator_ready_and_his_rest_untouched() {
        let mut stage = anne_ready();
        stage.pass(120);
        let call = stage.ring("anne");
        stage.room.leave(call);
        stage.end_offer("anne", OfferEnd::Cancelled);
        assert_eq!(stage.state("anne"), RegulatorState::Ready);
        stage.enter_plain();
        assert_eq!(stage.choose()[0].reasoning.candidates[0].idle, -1.0);
    }

    #[test]
    fn wrap_up_ends_by_itself_or_at_once_by_ready_and_none_is_no_state() {
        let mut stage = anne_ready();
        stage.talk("anne");
        stage.release("anne", 10);
        assert_eq!(stage.state("anne"), RegulatorState::WrapUp);
        stage.pass(10);
        stage.tick();
        assert_eq!(stage.state("anne"), RegulatorState::Ready);
        stage.talk("anne");
        stage.release("anne", 10);
        ready(&mut stage).expect("online");
        assert_eq!((stage.state("anne"), stage.room.deadline()), (RegulatorState::Ready, None));
        stage.talk("anne");
        stage.out.clear();
        stage.release("anne", 0);
        assert_eq!(stage.state("anne"), RegulatorState::Ready);
        assert_eq!(stage.out.len(), 1);
    }

    #[test]
    fn a_phone_lost_in_mid_call_makes_its_regulator_offline_when_the_call_is_over() {
        let mut stage = anne_ready();
        stage.talk("anne");
        stage.unregister("anne");
        assert!(matches!(stage.state("anne"), RegulatorState::Talking { .. }));
        pause(&mut stage, PauseReason::Own);
        stage.release("anne", 10);
        assert_eq!(stage.state("anne"), RegulatorState::Offline);
        stage.register(&["anne"]);
        assert_eq!(stage.state("anne"), paused(PauseReason::Own));
    }

    #[test]
    fn a_phone_lost_while_ringing_makes_its_regulator_offline_when_the_offer_ends() {
        let mut stage = anne_ready();
        let call = stage.ring("anne");
        stage.unregister("anne");
        assert_eq!(stage.state("anne"), RegulatorState::Ringing { call });
        stage.end_offer("anne", OfferEnd::Failed);
        assert_eq!(stage.state("anne"), RegulatorState::Offline);
        assert_eq!(stage.room.waiting(stage.now)[0].offered_to, None);
    }

    #[test]
    fn only_the_call_that_rings_can_be_answered() {
        let mut stage = anne_ready();
        let call = stage.ring("anne");
        let other = stage.enter_plain();
        assert!(!stage.answer("anne", other));
        assert!(stage.answer("anne", call));
        assert!(!stage.answer("anne", call));
        assert_eq!(stage.state("anne"), RegulatorState::Talking { call });
        assert!(!stage.room.is_waiting(call) && stage.room.is_waiting(other));
    }

    fn lend(stage: &mut Stage, to: LentTo) -> CallId {
        let call = CallId::new(stage.now.utc, &mut Chance::from_number(9));
        stage.room.lend(&"anne".into(), call, to, stage.now, &mut stage.out).expect("free to be lent");
        assert_eq!(stage.state("anne"), RegulatorState::Ringing { call });
        call
    }

    #[test]
    fn after_a_colleagues_call_a_regulator_is_what_he_was() {
        for (reason, rings_only) in [(None, false), (None, true), (Some(PauseReason::Own), false)] {
            let mut stage = anne_ready();
            let before = match reason {
                Some(reason) => {
                    pause(&mut stage, reason.clone());
                    paused(reason)
                }
                None => RegulatorState::Ready,
            };
            let call = lend(&mut stage, LentTo::Colleague);
            if rings_only {
                stage.end_offer("anne", OfferEnd::TimedOut);
            } else {
                assert!(stage.answer("anne", call));
                stage.release("anne", 10);
            }
            assert_eq!(stage.state("anne"), before);
        }
    }

    #[test]
    fn a_rest_or_timed_pause_goes_on_counting_during_a_colleagues_call() {
        let mut stage = anne_ready();
        stage.talk("anne");
        stage.release("anne", 30);
        for (wait, after) in [(10, RegulatorState::WrapUp), (15, RegulatorState::WrapUp), (5, RegulatorState::Ready)] {
            let call = lend(&mut stage, LentTo::Colleague);
            assert!(stage.answer("anne", call));
            stage.pass(wait);
            stage.tick();
            assert_eq!(stage.state("anne"), RegulatorState::Talking { call });
            stage.release("anne", 0);
            assert_eq!(stage.state("anne"), after, "after {wait} s more");
        }
    }

    #[test]
    fn whoever_is_handed_a_caller_rests_afterwards_or_goes_back_to_his_pause() {
        let mut stage = anne_ready();
        let call = lend(&mut stage, LentTo::Caller);
        assert!(stage.answer("anne", call));
        stage.release("anne", 10);
        assert_eq!(stage.state("anne"), RegulatorState::WrapUp);
        pause(&mut stage, PauseReason::Own);
        let call = lend(&mut stage, LentTo::Colleague);
        assert!(stage.answer("anne", call));
        let caller = CallId::new(Utc(0), &mut Chance::from_number(3));
        assert!(stage.room.hand_over(&"anne".into(), call, caller, stage.now, &mut stage.out));
        assert_eq!(stage.state("anne"), RegulatorState::Talking { call: caller });
        stage.release("anne", 10);
        assert_eq!(stage.state("anne"), paused(PauseReason::Own));
    }

    #[test]
    fn a_free_regulator_who_does_not_take_a_caller_handed_on_is_passed_over_for_a_while() {
        let mut stage = anne_ready();
        lend(&mut stage, LentTo::Caller);
        stage.end_offer("anne", OfferEnd::TimedOut);
        assert_eq!(stage.state("anne"), paused(PauseReason::NoAnswer));
        lend(&mut stage, LentTo::Caller);
        stage.end_offer("anne", OfferEnd::TimedOut);
        assert_eq!(stage.state("anne"), paused(PauseReason::NoAnswer), "as before, and no longer");
        assert_eq!(stage.room.deadline(), Some(stage.now.moment + Duration::from_secs(60)));
    }

    #[test]
    fn a_regulator_who_is_busy_or_away_cannot_be_lent() {
        let mut stage = anne();
        let call = CallId::new(Utc(0), &mut Chance::from_number(3));
        let lend =
            |stage: &mut Stage| stage.room.lend(&"anne".into(), call, LentTo::Colleague, stage.now, &mut stage.out);
        assert_eq!(lend(&mut stage), Err(WaitingError::Offline));
        stage.register(&["anne"]);
        stage.talk("anne");
        assert_eq!(lend(&mut stage), Err(WaitingError::Busy));
    }

    #[test]
    fn a_phone_lost_in_a_colleagues_call_makes_its_regulator_offline_and_the_pause_comes_back() {
        let mut stage = anne_ready();
        pause(&mut stage, PauseReason::Own);
        let call = lend(&mut stage, LentTo::Colleague);
        assert!(stage.answer("anne", call));
        stage.unregister("anne");
        stage.release("anne", 0);
        assert_eq!(stage.state("anne"), RegulatorState::Offline);
        stage.register(&["anne"]);
        assert_eq!(stage.state("anne"), paused(PauseReason::Own));
    }
}
