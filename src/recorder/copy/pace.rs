//! When the journal is synced next.

use std::time::Duration;

use crate::model::Moment;

/// A sync that failed is made again after this: three times a second, since all of the segment is written again first.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

/// The beat of the journal's syncs.
#[derive(Debug)]
pub(super) struct Pace {
    every: Duration,
    due: Moment,
}

impl Pace {
    /// One each `every`, the first at once.
    pub(super) fn of(every: Duration) -> Pace {
        Pace { every, due: Moment(0) }
    }

    pub(super) fn is_due(&self, now: Moment) -> bool {
        now >= self.due
    }

    pub(super) fn begin(&mut self, now: Moment) {
        self.due = now + self.every;
    }

    pub(super) fn fail(&mut self, now: Moment) {
        self.due = now + AGAIN_AFTER;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_that_failed_is_made_again_after_300_ms_whatever_the_beat() {
        for every in [50, 200, 400].map(Duration::from_millis) {
            let (mut pace, now) = (Pace::of(every), Moment(1_000_000));
            assert!(pace.is_due(now));
            pace.begin(now);
            let due = |pace: &Pace| (0..1000).find(|ms| pace.is_due(now + Duration::from_millis(*ms)));
            assert_eq!(due(&pace), Some(every.as_millis() as u64));
            pace.fail(now);
            assert_eq!(due(&pace), Some(300));
        }
    }
}
