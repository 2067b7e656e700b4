//! One regulator's desk: the states and what each event makes of them, without any index.

use std::time::Duration;

use super::LentTo;
use crate::model::centre::OfferRules;
use crate::model::{CallId, DeviceId, Moment, Now, OfferEnd, PauseReason, RegulatorId, RegulatorState};

/// The longest rest after one call, however often it is extended: who needs more pauses.
const WRAP_UP_MAX: Duration = Duration::from_secs(3600);

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
        PauseReason::Own | PauseReason::Operator(_) | PauseReason::LoggedOut(_) | PauseReason::NotYetReady => None,
    }
}

/// Whether only a person ends the pause.
fn pause_is_open(reason: &PauseReason) -> bool {
    match reason {
        PauseReason::Own | PauseReason::Operator(_) | PauseReason::LoggedOut(_) | PauseReason::NotYetReady => true,
        PauseReason::NoAnswer | PauseReason::Refused | PauseReason::Unreachable => false,
    }
}

/// Whether somebody asked for the pause: such a one outlives the phone's registration.
fn is_asked_for(reason: &PauseReason) -> bool {
    match reason {
        PauseReason::Own | PauseReason::Operator(_) | PauseReason::LoggedOut(_) => true,
        PauseReason::NoAnswer | PauseReason::Refused | PauseReason::Unreachable | PauseReason::NotYetReady => false,
    }
}

impl Desk {
    /// The same under another configuration, whose own, fresh desk is `new`.
    pub fn under(self, new: &Desk) -> Desk {
        Desk { ready_on_register: new.ready_on_register, ..self }
    }

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

    /// The call that he rings for or talks on goes on under another name; what he goes back to stays.
    pub fn move_over(&self, from: CallId, to: CallId) -> Option<Turn> {
        match &self.state {
            RegulatorState::Ringing { call } if *call == from => Some(Turn::to(RegulatorState::Ringing { call: to })),
            RegulatorState::Talking { call } if *call == from => Some(Turn::to(RegulatorState::Talking { call: to })),
            RegulatorState::Ringing { .. }
            | RegulatorState::Talking { .. }
            | RegulatorState::Offline
            | RegulatorState::Ready
            | RegulatorState::WrapUp
            | RegulatorState::Paused { .. } => None,
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
                PauseReason::Own | PauseReason::Operator(_) | PauseReason::LoggedOut(_) | PauseReason::NotYetReady => {
                    false
                }
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
                PauseReason::Own | PauseReason::Operator(_) | PauseReason::LoggedOut(_) => Next::Pause(reason.clone()),
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

    /// Rests longer, [`WRAP_UP_MAX`] in all; `None` when he does not rest.
    pub fn rest_longer(&self, by: Duration, now: Moment) -> Option<Turn> {
        match (&self.state, self.until) {
            (RegulatorState::WrapUp, Some(until)) => {
                let latest = self.since.moment + WRAP_UP_MAX;
                let until = (until + by).min(latest.max(until));
                Some(Turn { state: RegulatorState::WrapUp, lasting: Some(until.since(now)) })
            }
            (RegulatorState::WrapUp, None)
            | (
                RegulatorState::Offline
                | RegulatorState::Ready
                | RegulatorState::Ringing { .. }
                | RegulatorState::Talking { .. }
                | RegulatorState::Paused { .. },
                _,
            ) => None,
        }
    }

    /// The pause that somebody asked for and that will hold when the phone is back.
    pub fn pause_ahead(&self) -> Option<&PauseReason> {
        match &self.next {
            Next::Pause(reason) if self.state == RegulatorState::Offline && is_asked_for(reason) => Some(reason),
            Next::Pause(_) | Next::Usual | Next::Ready => None,
        }
    }

    pub fn end_offer(&mut self, end: OfferEnd, rules: &OfferRules, now: Moment) -> Option<Turn> {
        // Who was free when a caller was handed to him, and did not answer, is no better than after an offer.
        let is_spared = self.lent.as_ref().is_some_and(|lent| match lent.to {
            LentTo::Colleague => true,
            // Nor is a rest or a pause a reason that has ended while it rang: he would be rung again at once.
            LentTo::Caller => lent.state != RegulatorState::Ready && lent.until.is_none_or(|until| until > now),
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
mod tests;
