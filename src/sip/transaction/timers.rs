//! The timers of RFC 3261 §17 (its table 4) and an ordered index of when each transaction wakes.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::key::{ClientKey, ServerKey};
use crate::model::{Moment, Transport};

/// The round trip assumed.
pub const T1: Duration = Duration::from_millis(500);
/// The longest span between two sendings of a request or of a refusal.
pub const T2: Duration = Duration::from_secs(4);
/// How long a message may linger in the network.
pub const T4: Duration = Duration::from_secs(5);
/// Timers B, F, H, J, L and M: 64 × T1.
pub const PATIENCE: Duration = Duration::from_secs(32);
/// Timer D: at least 32 s over UDP.
pub const TIMER_D: Duration = Duration::from_secs(32);

/// Whether lost messages are the transactions' work to send again.
pub(crate) fn repeats(transport: Transport) -> bool {
    !transport.is_reliable()
}

/// How long a finished transaction waits for repetitions: not at all where there are none.
pub(crate) fn lingering(transport: Transport, span: Duration) -> Duration {
    if repeats(transport) { span } else { Duration::ZERO }
}

/// When a transaction wakes: to send again, and to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wake {
    again: Option<Moment>,
    interval: Duration,
    end: Option<Moment>,
}

/// What waking means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Send again.
    Again,
    /// It is over.
    Over,
    /// Nothing is due.
    Early,
}

impl Wake {
    /// Never, until told.
    pub(crate) const NEVER: Wake = Wake { again: None, interval: Duration::ZERO, end: None };

    /// Sends again after T1, then more and more rarely; ends after `span`.
    pub(crate) fn repeating(transport: Transport, span: Duration, now: Moment) -> Wake {
        let again = repeats(transport).then_some(now + T1);
        Wake { again, interval: T1, end: Some(now + span) }
    }

    /// Only ends, after `span`.
    pub(crate) fn ending(span: Duration, now: Moment) -> Wake {
        Wake { end: Some(now + span), ..Wake::NEVER }
    }

    /// Keeps its end, and sends again every T2 from now on (RFC 3261 §17.1.2.2, Proceeding).
    pub(crate) fn slow(&mut self) {
        self.interval = T2;
    }

    pub(crate) fn next(&self) -> Option<Moment> {
        [self.again, self.end].into_iter().flatten().min()
    }

    /// What is due at `now`; sending again is put off to its doubled interval, at most `interval_max`.
    pub(crate) fn due(&mut self, interval_max: Duration, now: Moment) -> Woken {
        if self.end.is_some_and(|end| end <= now) {
            return Woken::Over;
        }
        if self.again.is_some_and(|again| again <= now) {
            self.interval = (self.interval * 2).min(interval_max);
            self.again = Some(now + self.interval);
            return Woken::Again;
        }
        Woken::Early
    }
}

/// Whose timer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Owner {
    Server(ServerKey),
    Client(ClientKey),
}

/// The wakings of all transactions, soonest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Timers {
    set: BTreeSet<(Moment, Owner)>,
}

impl Timers {
    /// An owner's waking moved.
    pub(crate) fn shift(&mut self, owner: Owner, old: Option<Moment>, new: Option<Moment>) {
        if old == new {
            return;
        }
        let owner = match old {
            Some(old) => {
                let entry = (old, owner);
                self.set.remove(&entry);
                entry.1
            }
            None => owner,
        };
        if let Some(new) = new {
            self.set.insert((new, owner));
        }
    }

    /// Takes out the soonest owner due at `now`; it is put back with its next waking.
    pub(crate) fn take_due(&mut self, now: Moment) -> Option<Owner> {
        if self.set.first()?.0 > now {
            return None;
        }
        self.set.pop_first().map(|(_, owner)| owner)
    }

    pub(crate) fn soonest(&self) -> Option<Moment> {
        self.set.first().map(|(at, _)| *at)
    }
}
