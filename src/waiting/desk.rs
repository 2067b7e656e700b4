//! One regulator's desk: the states and what each event makes of them, without any index.

use std::time::Duration;

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
            ready_on_register,
        }
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
                Some(Turn { state: self.state.clone(), lasting: None })
            }
        }
    }

    pub fn pause(&mut self, reason: PauseReason, rules: &OfferRules) -> Option<Turn> {
        match &self.state {
            RegulatorState::Offline | RegulatorState::Ringing { .. } | RegulatorState::Talking { .. } => {
                self.next = Next::Pause(reason);
                None
            }
            RegulatorState::Ready | RegulatorState::WrapUp | RegulatorState::Paused { .. } => {
                Some(Turn::pause(reason, rules))
            }
        }
    }

    pub fn end_offer(&mut self, end: OfferEnd, rules: &OfferRules) -> Option<Turn> {
        match &self.state {
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

    pub fn release(&mut self, wrap_up: Duration, rules: &OfferRules) -> Option<Turn> {
        let usual = match wrap_up {
            Duration::ZERO => Turn::to(RegulatorState::Ready),
            lasting => Turn { state: RegulatorState::WrapUp, lasting: Some(lasting) },
        };
        match &self.state {
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
        if self.devices.is_empty() {
            return Turn::to(RegulatorState::Offline);
        }
        match std::mem::replace(&mut self.next, Next::Usual) {
            Next::Pause(reason) => Turn::pause(reason, rules),
            Next::Usual | Next::Ready => usual,
        }
    }
}
