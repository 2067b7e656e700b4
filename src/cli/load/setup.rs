//! What sets calls up, by SIP or by the ng protocol, tells and is given.

use rustix::fd::OwnedFd;

use super::voices::Voices;
use crate::model::Moment;

/// The epoll's token of the first socket that is no voice's; the others have those below it.
pub const TOKEN_FIRST: u64 = u64::MAX;
/// The longest datagram of a protocol that sets calls up.
pub const DATAGRAM_BYTES_MAX: usize = 65_535;

/// What there is to set calls up with.
pub struct Ground<'a> {
    /// The legs.
    pub voices: &'a mut Voices,
    /// What waits for their sockets.
    pub epoll: &'a OwnedFd,
    /// What happened.
    pub news: &'a mut Vec<CallNews>,
    /// Now.
    pub now: Moment,
}

/// What happened to a call or a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallNews {
    /// The call was accepted.
    Accepted {
        /// The caller's leg.
        index: u32,
    },
    /// It came to nothing.
    Failed {
        /// The caller's leg.
        index: u32,
        /// Why: what failures are counted by.
        why: String,
    },
    /// It is over, by whomever.
    Ended {
        /// The caller's leg.
        index: u32,
        /// The server hung up.
        by_server: bool,
    },
    /// A regulator's leg was rung.
    Rung {
        /// The regulator's leg.
        index: u32,
    },
    /// A regulator's leg could not be made or was not acceptable.
    NotTaken {
        /// Why.
        why: String,
    },
    /// A regulator is registered.
    Registered,
    /// A regulator's registration ended.
    Unregistered,
    /// A regulator cannot register.
    NotRegistered {
        /// Why.
        why: String,
    },
}
