//! A regulator's state as everybody sees it, and a device's binding as the registrar keeps it.
#![allow(missing_docs, reason = "a variant's sentence names its fields")]

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{CallId, DeviceId, RegulatorId};
use super::time::Utc;

/// What a regulator is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum RegulatorState {
    /// No device is registered.
    Offline,
    /// Free to be offered a call.
    Ready,
    /// One offer is live.
    Ringing {
        /// Of this call.
        call: CallId,
    },
    /// On a call.
    Talking {
        /// This one.
        call: CallId,
    },
    /// Resting after a call.
    WrapUp,
    /// Not to be offered calls.
    Paused {
        /// Why.
        reason: PauseReason,
    },
}

/// Why a regulator is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", content = "detail", rename_all = "kebab-case")]
pub enum PauseReason {
    /// By the person's own `*10`.
    Own,
    /// By the API, in the operator's words.
    Operator(String),
    /// Logged out by a supervisor, in the supervisor's words: registering again does not make ready.
    LoggedOut(String),
    /// Did not answer an offer; ends by itself.
    NoAnswer,
    /// Refused an offer or was busy; ends by itself.
    Refused,
    /// The phone could not be reached; ends by itself.
    Unreachable,
    /// Registered, but not yet reported ready (where registering does not do it).
    NotYetReady,
}

impl RegulatorState {
    /// The state's name: `offline`, `ready`, `ringing`, `talking`, `wrap-up`, `paused`.
    pub fn name(&self) -> &'static str {
        match self {
            RegulatorState::Offline => "offline",
            RegulatorState::Ready => "ready",
            RegulatorState::Ringing { .. } => "ringing",
            RegulatorState::Talking { .. } => "talking",
            RegulatorState::WrapUp => "wrap-up",
            RegulatorState::Paused { .. } => "paused",
        }
    }
}

impl fmt::Display for RegulatorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One registered device (RFC 3261 §10.3): enough to ring it again after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Whose.
    pub regulator: RegulatorId,
    /// Its id, stable while the binding lives.
    pub device: DeviceId,
    /// The Contact URI, verbatim.
    pub contact: String,
    /// Where the REGISTER came from: requests go there.
    pub source: String,
    /// The listener it came in on, by index.
    pub listener: u8,
    /// The REGISTER's Call-ID.
    pub sip_call_id: String,
    /// Its CSeq.
    pub cseq: u32,
    /// The User-Agent header, when there was one.
    pub user_agent: Option<String>,
    /// When the binding ends.
    pub expires_at: Utc,
}
