//! One place of a trunk and whether it answers: asked by OPTIONS (RFC 3261 §11), passed over while it does not.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Moment, Target};
use crate::sip::transaction::ClientKey;

/// How long an answer to a REGISTER or OPTIONS is waited for: over UDP it has been sent five times by then.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(8);
/// Askings in a row without an answer before a place counts as down: one may be lost in a burst.
pub(super) const MISSES_MAX: u8 = 2;
/// How soon a place that missed one asking is asked again.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(2);
/// How long a place that failed a request is tried after the others.
pub(super) const SHUNNED: Duration = Duration::from_secs(30);
/// The longest Retry-After heeded: a carrier that asks for more is tried all the same.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Places of one trunk that are kept: no carrier's SRV records name more.
pub(super) const PLACES_MAX: usize = 16;

/// One place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    pub target: Target,
    /// Whether it answers; `None` before the first asking was settled.
    pub is_up: Option<bool>,
    misses: u8,
    /// Until when it is tried after the others.
    shunned_until: Option<Moment>,
    /// The OPTIONS that is out, and when it counts as unanswered.
    pub asking: Option<(ClientKey, Moment)>,
    /// When it is asked next; `None` is never.
    pub next: Option<Moment>,
}

impl Place {
    pub(super) fn new(target: Target, next: Option<Moment>) -> Place {
        Place { target, is_up: None, misses: 0, shunned_until: None, asking: None, next }
    }

    /// In which order places are tried: the carrier's own, but those that failed lately after the others, and those
    /// that are down last.
    pub(super) fn rank(&self, now: Moment) -> u8 {
        match (self.is_up, self.shunned_until) {
            (Some(false), _) => 2,
            (_, Some(until)) if now < until => 1,
            (Some(true) | None, _) => 0,
        }
    }

    /// It answered something that shows it alive.
    pub(super) fn answered(&mut self) {
        self.is_up = Some(true);
        self.misses = 0;
        self.shunned_until = None;
    }

    /// It failed a request, not an asking: it is tried after the others for a while, and asked soon, when it is asked
    /// at all.
    pub(super) fn failed(&mut self, span: Duration, now: Moment) {
        self.shunned_until = Some(now + span);
        if self.asking.is_none() {
            self.next = self.next.map(|next| next.min(now + ASK_AGAIN));
        }
    }

    /// An asking went without an answer, or was answered 408 or 503.
    pub(super) fn missed(&mut self, now: Moment) {
        self.asking = None;
        self.misses = self.misses.saturating_add(1);
        if self.misses >= MISSES_MAX {
            self.is_up = Some(false);
        } else {
            self.next = self.next.map(|next| next.min(now + ASK_AGAIN));
        }
    }

    /// When it wants the clock.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.asking.as_ref().map(|(_, at)| *at).or(self.next)
    }

    /// `udp:192.0.2.1:5060`.
    pub(super) fn name(&self) -> String {
        name_of(&self.target)
    }
}

/// `udp:192.0.2.1:5060`.
pub(super) fn name_of(target: &Target) -> String {
    format!("{}:{}", target.transport.name(), target.address)
}
