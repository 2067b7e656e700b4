//! What a person may have done with a live call: by the API, by keys of a phone, or by a feature code.
#![allow(missing_docs, reason = "a variant's sentence names its fields")]

use serde::{Deserialize, Serialize};

use super::demand::DemandChange;
use super::ids::RegulatorId;
use super::recording::AskedBy;

/// The number that calls the SAMU, unless a region's own is configured.
pub const SAMU_NUMBER: &str = "15";

/// What is to be done with a live call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// The caller hears music; whoever else is there goes on talking.
    Hold,
    /// The caller is back.
    Resume,
    /// Somebody is rung and joins those who talk: a regulator or an outside number.
    Add { to: String },
    /// Whom the regulator has asked over another call joins those who talk.
    Join,
    /// Whoever joined leaves: the one of this leg, or the last.
    Drop { leg: Option<u16> },
    /// The SAMU is rung and joins those who talk; the regulator may leave from then on.
    HandToSamu,
    /// The regulator leaves; whoever joined has the caller.
    Leave,
    /// The caller waits again, in the old place.
    Requeue,
    /// The caller is handed on, without asking first; one who waits is moved there.
    Transfer(Destination),
    /// Another demand, live.
    Demand(DemandChange),
    /// Nothing is recorded until it is resumed, the line's `recording_pause_max` is over, or somebody else has the call.
    PauseRecording { by: AskedBy, reason: Option<String> },
    /// It is recorded again.
    ResumeRecording { by: AskedBy },
    /// A supervisor takes part: the phone of this regulator rings, unless the person does already.
    Supervise { by: RegulatorId, way: Supervision },
}

/// To whom or what a caller is handed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// A regulator's id, a line's id or number, a skill's name, or an outside number that a trunk may dial; the first of
    /// these that it is.
    pub to: String,
    /// The least level, when it is a skill.
    pub level: u8,
}

/// How a supervisor takes part in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Supervision {
    /// Hears all, is heard by nobody, and is not recorded.
    Listen,
    /// Is heard by the regulator alone, and is not recorded.
    Whisper,
    /// Is heard by all, and recorded.
    BargeIn,
    /// Has the caller; the regulator is let go.
    TakeOver,
}

impl Supervision {
    /// Every way, the least intrusive first.
    pub const ALL: [Supervision; 4] =
        [Supervision::Listen, Supervision::Whisper, Supervision::BargeIn, Supervision::TakeOver];

    /// As events, the API and the audit write it.
    pub fn name(self) -> &'static str {
        match self {
            Supervision::Listen => "listen",
            Supervision::Whisper => "whisper",
            Supervision::BargeIn => "barge-in",
            Supervision::TakeOver => "take-over",
        }
    }
}
