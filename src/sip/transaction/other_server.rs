//! The server transaction of every method but INVITE (RFC 3261 §17.2.2).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Happening;
use super::timers::{PATIENCE, Wake, Woken, lingering};
use crate::model::{Moment, Path};
use crate::sip::message::Response;

/// A request that we answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OtherServer {
    path: Path,
    state: State,
    pub(crate) wake: Wake,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum State {
    /// No answer yet.
    Trying,
    /// A provisional answer went out.
    Proceeding { last: Bytes },
    /// The final answer went out; it is repeated to repetitions (timer J).
    Completed { last: Bytes },
}

impl OtherServer {
    pub(crate) fn new(path: Path) -> OtherServer {
        OtherServer { path, state: State::Trying, wake: Wake::NEVER }
    }

    /// The request came again.
    pub(crate) fn repeat(&mut self, out: &mut Vec<Happening>) {
        match &self.state {
            State::Trying => {}
            State::Proceeding { last } | State::Completed { last } => {
                out.push(Happening::Send { path: self.path, bytes: last.clone() });
            }
        }
    }

    pub(crate) fn respond(&mut self, response: &Response, now: Moment, out: &mut Vec<Happening>) {
        match &self.state {
            State::Trying | State::Proceeding { .. } => {
                let last = response.to_bytes();
                out.push(Happening::Send { path: self.path, bytes: last.clone() });
                if response.is_provisional() {
                    self.state = State::Proceeding { last };
                } else {
                    self.state = State::Completed { last };
                    self.wake = Wake::ending(lingering(self.path.transport, PATIENCE), now);
                }
            }
            State::Completed { .. } => {}
        }
    }

    /// Returns whether the transaction is over.
    pub(crate) fn tick(&mut self, now: Moment) -> bool {
        match self.wake.due(PATIENCE, now) {
            Woken::Over => true,
            Woken::Again | Woken::Early => false,
        }
    }
}
