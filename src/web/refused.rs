//! Refused wishes for recordings: one after the other in the audit up to a bound, then counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::Moment;

/// So many refused wishes of one token are written within [`WINDOW`]: far more than slips of the finger, and far fewer than
/// would fill the audit.
const WRITTEN_MAX: u32 = 20;
/// After so long the count begins anew.
const WINDOW: Duration = Duration::from_secs(600);

/// What becomes of a refused wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is written; so many before it were not.
    Written {
        /// Of the window before.
        unwritten: u32,
    },
    /// It is the last one that is written in this window; an alarm says so.
    Last,
    /// It is counted alone.
    Counted,
}

/// The refused wishes of each token; as many entries as there are tokens in the configuration.
#[derive(Default)]
pub struct RefusedWishes(Mutex<BTreeMap<String, Tally>>);

struct Tally {
    since: Moment,
    count: u32,
}

impl RefusedWishes {
    /// One more of this token.
    pub fn count(&self, token: &str, now: Moment) -> Place {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = all.entry(token.to_owned()).or_insert(Tally { since: now, count: 0 });
        let mut unwritten = 0;
        if now.since(tally.since) >= WINDOW {
            unwritten = tally.count.saturating_sub(WRITTEN_MAX);
            *tally = Tally { since: now, count: 0 };
        }
        tally.count = tally.count.saturating_add(1);
        match tally.count {
            count if count < WRITTEN_MAX => Place::Written { unwritten },
            WRITTEN_MAX => Place::Last,
            _ => Place::Counted,
        }
    }
}

/// What the alarm of [`Place::Last`] says of `token`.
pub fn describe(token: &str) -> String {
    let minutes = WINDOW.as_secs() / 60;
    format!(
        "{token} was refused recordings {WRITTEN_MAX} times within {minutes} minutes; further refusals of that time are \
         counted and not written"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_asks_without_end_is_written_down_to_a_bound_and_anew_after_a_while() {
        let wishes = RefusedWishes::default();
        let at = |seconds: u64| Moment(seconds * 1_000_000);
        for _ in 1..WRITTEN_MAX {
            assert_eq!(wishes.count("a", at(0)), Place::Written { unwritten: 0 });
        }
        assert_eq!(wishes.count("a", at(1)), Place::Last);
        for second in 2..7 {
            assert_eq!(wishes.count("a", at(second)), Place::Counted);
        }
        assert_eq!(wishes.count("b", at(7)), Place::Written { unwritten: 0 }, "each token for itself");
        assert_eq!(wishes.count("a", at(600)), Place::Written { unwritten: 5 });
        assert_eq!(wishes.count("a", at(601)), Place::Written { unwritten: 0 });
    }
}
