//! The INVITE client transaction (RFC 3261 §17.1.1, RFC 6026 §7.2), and its CANCEL (RFC 3261 §9.1).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::timers::{PATIENCE, TIMER_D, Wake, Woken, lingering};
use super::{Ended, Happening};
use crate::model::{Moment, Path};
use crate::sip::compose;
use crate::sip::header::Reason;
use crate::sip::message::{Request, Response};

/// An INVITE of ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct InviteClient {
    pub(crate) path: Path,
    state: State,
    pub(crate) wake: Wake,
    /// What its CANCEL gives as the Reason (RFC 3326).
    reason: Option<Reason>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum State {
    /// No answer yet (timers A, B).
    Calling { invite: Box<Request>, bytes: Bytes, cancel: Cancel },
    /// Provisional answers came; no timer runs but after a CANCEL.
    Proceeding { invite: Box<Request>, cancel: Cancel },
    /// Refused; repeated refusals get their ACK again (timer D).
    Completed { ack: Bytes },
    /// Accepted; every 2xx goes to the user (timer M).
    Accepted,
}

/// Whether the INVITE is to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Cancel {
    Unwanted,
    /// As soon as a provisional answer comes.
    Wanted,
    Sent,
}

/// What a response means for the user and for the CANCEL.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The user hears of it.
    pub(crate) tells_user: bool,
    /// This CANCEL is due now.
    pub(crate) cancel: Option<Request>,
}

impl InviteClient {
    pub(crate) fn new(path: Path, invite: Request, now: Moment, out: &mut Vec<Happening>) -> InviteClient {
        let bytes = invite.to_bytes();
        out.push(Happening::Send { path, bytes: bytes.clone() });
        let state = State::Calling { invite: Box::new(invite), bytes, cancel: Cancel::Unwanted };
        InviteClient { path, state, wake: Wake::repeating(path.transport, PATIENCE, now), reason: None }
    }

    pub(crate) fn hear(&mut self, response: &Response, now: Moment, out: &mut Vec<Happening>) -> Heard {
        let tells_user = Heard { tells_user: true, cancel: None };
        match &mut self.state {
            State::Calling { invite, cancel, .. } | State::Proceeding { invite, cancel } => {
                if response.is_provisional() {
                    let (invite, cancel) = (invite.clone(), *cancel);
                    return Heard { tells_user: true, cancel: self.proceed(invite, cancel, now) };
                }
                if response.is_success() {
                    self.state = State::Accepted;
                    self.wake = Wake::ending(PATIENCE, now);
                    return tells_user;
                }
                let ack = compose::ack_of_refusal(invite, response).to_bytes();
                out.push(Happening::Send { path: self.path, bytes: ack.clone() });
                self.state = State::Completed { ack };
                self.wake = Wake::ending(lingering(self.path.transport, TIMER_D), now);
                tells_user
            }
            State::Completed { ack } => {
                if response.status >= 300 {
                    out.push(Happening::Send { path: self.path, bytes: ack.clone() });
                    out.push(Happening::Retransmitted);
                }
                Heard::default()
            }
            // RFC 6026 §7.2: every further 2xx, of this branch or of another fork, goes to the user; nothing else does.
            State::Accepted if response.is_success() => tells_user,
            State::Accepted => Heard::default(),
        }
    }

    /// Whether no final answer has come.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding { .. })
    }

    fn proceed(&mut self, invite: Box<Request>, cancel: Cancel, now: Moment) -> Option<Request> {
        let was_calling = matches!(self.state, State::Calling { .. });
        if was_calling {
            self.wake = Wake::NEVER;
        }
        match cancel {
            Cancel::Unwanted | Cancel::Sent => {
                self.state = State::Proceeding { invite, cancel };
                None
            }
            Cancel::Wanted => Some(self.send_cancel(invite, now)),
        }
    }

    /// RFC 3261 §9.1: if no final answer comes within 64 × T1 of the CANCEL, the INVITE counts as cancelled.
    fn send_cancel(&mut self, invite: Box<Request>, now: Moment) -> Request {
        let mut cancel = compose::cancel(&invite);
        if let Some(reason) = &self.reason {
            cancel.headers.push("Reason", reason.to_string());
        }
        self.state = State::Proceeding { invite, cancel: Cancel::Sent };
        self.wake = Wake::ending(PATIENCE, now);
        cancel
    }

    /// The CANCEL to send now, when a provisional answer has come and none was sent.
    pub(crate) fn cancel(&mut self, reason: Option<&Reason>, now: Moment) -> Option<Request> {
        self.reason = reason.cloned();
        match &mut self.state {
            State::Calling { cancel, .. } => {
                *cancel = Cancel::Wanted;
                None
            }
            State::Proceeding { invite, cancel: Cancel::Unwanted | Cancel::Wanted } => {
                let invite = invite.clone();
                Some(self.send_cancel(invite, now))
            }
            State::Proceeding { cancel: Cancel::Sent, .. } | State::Completed { .. } | State::Accepted => None,
        }
    }

    pub(crate) fn tick(&mut self, now: Moment, out: &mut Vec<Happening>) -> Ended {
        // RFC 3261 §17.1.1.2: timer A doubles without a ceiling; timer B ends it.
        match (self.wake.due(PATIENCE, now), &self.state) {
            (Woken::Over, State::Calling { .. } | State::Proceeding { .. }) => Ended::TimedOut,
            (Woken::Over, State::Completed { .. } | State::Accepted) => Ended::Quietly,
            (Woken::Again, State::Calling { bytes, .. }) => {
                out.push(Happening::Send { path: self.path, bytes: bytes.clone() });
                out.push(Happening::Retransmitted);
                Ended::No
            }
            (Woken::Again, State::Proceeding { .. } | State::Completed { .. } | State::Accepted) => Ended::No,
            (
                Woken::Early,
                State::Calling { .. } | State::Proceeding { .. } | State::Completed { .. } | State::Accepted,
            ) => Ended::No,
        }
    }
}
