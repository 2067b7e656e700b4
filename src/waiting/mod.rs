//! The waiting room: who waits, who is ready, who gets whom.

mod choosing;
mod cost;
mod crowd;
mod desk;
mod forecast;
mod lending;
mod matching;
mod need;
mod notes;
mod people;
mod recentre;
mod regulators;
mod resting;
mod room;
#[cfg(test)]
mod stage;
mod steps;
mod view;
#[cfg(test)]
mod walk;

use thiserror::Error;

use crate::model::{CallId, DeviceId, Reasoning, RegulatorId, RegulatorState};

pub use room::WaitingRoom;
pub use view::WaitingPlace;

/// The most callers who wait at once: ten times the busiest hour of the whole network, and a flood cannot fill memory.
pub const WAITING_MAX: usize = 10_000;

/// How many of the fitting candidates an offer's reasoning names.
pub const CANDIDATES_MAX: usize = 8;

/// How many of those who could not be given a call its reasoning names: all of a site's, and a call's memory does not grow
/// with the network.
pub const EXCLUDED_MAX: usize = 32;

/// How many calls are given out together at most, so that all of them cost least: beyond that nothing is gained, and the
/// work grows with its square.
pub const MATCHING_MAX: usize = 16;

/// A regulator's state has changed; each change is told exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Whose.
    pub regulator: RegulatorId,
    /// The state before.
    pub was: RegulatorState,
    /// The state now; never equal to `was`.
    pub state: RegulatorState,
}

/// One offer to be made: the caller is marked offered and the regulator `Ringing`.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Whose call.
    pub call: CallId,
    /// To whom.
    pub regulator: RegulatorId,
    /// The phones to ring, at least one.
    pub devices: Vec<DeviceId>,
    /// Why this person.
    pub reasoning: Reasoning,
}

/// For what a regulator is taken whom the waiting room has not chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LentTo {
    /// A colleague's own call: afterwards he is what he was.
    Colleague,
    /// A caller whom a colleague hands on: afterwards he rests, as after any caller.
    Caller,
}

/// Why the waiting room did not do as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WaitingError {
    /// The configuration has no such regulator.
    #[error("there is no such regulator in the configuration: check the id, or add the person")]
    UnknownRegulator,
    /// A regulator without a registered phone cannot be ready.
    #[error("the regulator has no registered phone: register a softphone first")]
    Offline,
    /// The regulator is on a call or is being rung.
    #[error("the regulator is on a call or is being rung: try again when it is over")]
    Busy,
    /// There is no rest after a call to be changed.
    #[error("the regulator is not in the rest after a call: there is nothing to end or to extend")]
    NotResting,
    /// [`WAITING_MAX`] callers wait already.
    #[error("the waiting room is full ({WAITING_MAX} callers): play the overflow message")]
    Full,
    /// The call waits already.
    #[error("the call is in the waiting room already: an unanswered offer is put back, not entered again")]
    AlreadyWaiting,
    /// The call does not wait.
    #[error("the call is not in the waiting room: only what a waiting call asks can be changed")]
    NotWaiting,
    /// Nobody of the configuration meets what would be asked, at any step.
    #[error("no regulator of the configuration could ever answer that: ask lower levels or other skills")]
    NobodyFits,
}
