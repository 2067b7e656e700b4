//! The INVITE server transaction (RFC 3261 §17.2.1, RFC 6026 §7.1).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Happening;
use super::timers::{PATIENCE, T2, T4, Wake, Woken, lingering};
use crate::model::{Moment, Path};
use crate::sip::message::Response;

/// An INVITE that we answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct InviteServer {
    path: Path,
    state: State,
    pub(crate) wake: Wake,
    /// The To-tag of our answers, once one had one.
    pub(crate) to_tag: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum State {
    /// Not answered for good; the last provisional answer is repeated.
    Proceeding { last: Option<Bytes> },
    /// Refused; repeated until the ACK comes (timers G, H).
    Completed { refusal: Bytes },
    /// The ACK of the refusal came (timer I).
    Confirmed,
    /// A 2xx went out; repeated INVITEs are absorbed (timer L), the 2xx is the user's to repeat.
    Accepted,
}

/// Whose an ACK is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckFate {
    Absorbed,
    ForUser,
}

impl InviteServer {
    pub(crate) fn new(path: Path) -> InviteServer {
        InviteServer { path, state: State::Proceeding { last: None }, wake: Wake::NEVER, to_tag: None }
    }

    pub(crate) fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Whether a CANCEL on this path comes from where the INVITE came from.
    pub(crate) fn is_from(&self, path: Path) -> bool {
        self.path.peer.ip() == path.peer.ip()
    }

    /// The INVITE came again.
    pub(crate) fn repeat(&mut self, out: &mut Vec<Happening>) {
        match &self.state {
            State::Proceeding { last: Some(answer) } | State::Completed { refusal: answer } => {
                out.push(Happening::Send { path: self.path, bytes: answer.clone() });
            }
            State::Proceeding { last: None } | State::Confirmed | State::Accepted => {}
        }
    }

    pub(crate) fn respond(&mut self, response: &Response, now: Moment, out: &mut Vec<Happening>) {
        match &mut self.state {
            State::Proceeding { .. } => {
                if self.to_tag.is_none() {
                    self.to_tag = response.to_tag();
                }
                self.proceed(response, now, out);
            }
            // RFC 6026 §7.1: further 2xx pass to the transport.
            State::Accepted if response.is_success() => {
                out.push(Happening::Send { path: self.path, bytes: response.to_bytes() });
            }
            State::Completed { .. } | State::Confirmed | State::Accepted => {}
        }
    }

    fn proceed(&mut self, response: &Response, now: Moment, out: &mut Vec<Happening>) {
        let bytes = response.to_bytes();
        out.push(Happening::Send { path: self.path, bytes: bytes.clone() });
        if response.is_provisional() {
            self.state = State::Proceeding { last: Some(bytes) };
        } else if response.is_success() {
            self.state = State::Accepted;
            self.wake = Wake::ending(PATIENCE, now);
        } else {
            self.state = State::Completed { refusal: bytes };
            self.wake = Wake::repeating(self.path.transport, PATIENCE, now);
        }
    }

    pub(crate) fn acknowledge(&mut self, now: Moment) -> AckFate {
        match self.state {
            State::Completed { .. } => {
                self.state = State::Confirmed;
                self.wake = Wake::ending(lingering(self.path.transport, T4), now);
                AckFate::Absorbed
            }
            State::Proceeding { .. } | State::Confirmed => AckFate::Absorbed,
            // A 2xx's ACK has a branch of its own, but not every phone gives it one.
            State::Accepted => AckFate::ForUser,
        }
    }

    /// Returns whether the transaction is over.
    pub(crate) fn tick(&mut self, now: Moment, out: &mut Vec<Happening>) -> bool {
        match self.wake.due(T2, now) {
            Woken::Over => true,
            Woken::Early => false,
            Woken::Again => {
                if let State::Completed { refusal } = &self.state {
                    out.push(Happening::Send { path: self.path, bytes: refusal.clone() });
                    out.push(Happening::Retransmitted);
                }
                false
            }
        }
    }
}
