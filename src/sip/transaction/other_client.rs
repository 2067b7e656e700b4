//! The client transaction of every method but INVITE (RFC 3261 §17.1.2).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::timers::{PATIENCE, T2, T4, Wake, Woken, lingering};
use super::{Ended, Happening};
use crate::model::{Moment, Path};
use crate::sip::message::{Request, Response};

/// A request of ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OtherClient {
    pub(crate) path: Path,
    state: State,
    pub(crate) wake: Wake,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum State {
    /// No answer yet (timers E, F).
    Trying { bytes: Bytes },
    /// A provisional answer came; the request is still sent again, every T2.
    Proceeding { bytes: Bytes },
    /// Answered; repeated answers are absorbed (timer K).
    Completed,
}

impl OtherClient {
    pub(crate) fn new(path: Path, request: &Request, now: Moment, out: &mut Vec<Happening>) -> OtherClient {
        let bytes = request.to_bytes();
        out.push(Happening::Send { path, bytes: bytes.clone() });
        OtherClient { path, state: State::Trying { bytes }, wake: Wake::repeating(path.transport, PATIENCE, now) }
    }

    /// Returns whether the user hears of it.
    pub(crate) fn hear(&mut self, response: &Response, now: Moment) -> bool {
        match &self.state {
            State::Trying { bytes } | State::Proceeding { bytes } => {
                if response.is_provisional() {
                    self.state = State::Proceeding { bytes: bytes.clone() };
                    self.wake.slow();
                } else {
                    self.state = State::Completed;
                    self.wake = Wake::ending(lingering(self.path.transport, T4), now);
                }
                true
            }
            State::Completed => false,
        }
    }

    /// Whether no final answer has come.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Trying { .. } | State::Proceeding { .. })
    }

    pub(crate) fn tick(&mut self, now: Moment, out: &mut Vec<Happening>) -> Ended {
        match (self.wake.due(T2, now), &self.state) {
            (Woken::Over, State::Trying { .. } | State::Proceeding { .. }) => Ended::TimedOut,
            (Woken::Over, State::Completed) => Ended::Quietly,
            (Woken::Again, State::Trying { bytes } | State::Proceeding { bytes }) => {
                out.push(Happening::Send { path: self.path, bytes: bytes.clone() });
                out.push(Happening::Retransmitted);
                Ended::No
            }
            (Woken::Again, State::Completed)
            | (Woken::Early, State::Trying { .. } | State::Proceeding { .. } | State::Completed) => Ended::No,
        }
    }
}
