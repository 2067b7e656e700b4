//! How much a second a trunk or an account may ask for: a bucket of tokens in virtual time.

use serde::{Deserialize, Serialize};

use crate::model::Moment;

/// One request, in millionths of a token, so that a rate of a second is a rate of a microsecond.
const REQUEST: u64 = 1_000_000;

/// The bucket; it is full at first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Pace {
    /// What is left, and when that was reckoned; `None` is full.
    left: Option<(u64, Moment)>,
}

impl Pace {
    /// Takes one request, unless `rate_max` a second are exceeded; as many may come at once.
    pub(super) fn take(&mut self, rate_max: u32, now: Moment) -> bool {
        let full = u64::from(rate_max) * REQUEST;
        let left = match self.left {
            None => full,
            Some((left, since)) => {
                let passed_us = u64::try_from(now.since(since).as_micros()).unwrap_or(u64::MAX);
                left.saturating_add(passed_us.saturating_mul(u64::from(rate_max))).min(full)
            }
        };
        let is_granted = left >= REQUEST;
        self.left = Some((if is_granted { left - REQUEST } else { left }, now));
        is_granted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_of_one_seconds_calls_passes_and_then_the_rate_holds() {
        let (mut pace, start) = (Pace::default(), Moment(5_000_000));
        let taken = |pace: &mut Pace, at, asked: u32| (0..asked).filter(|_| pace.take(10, at)).count();
        assert_eq!(taken(&mut pace, start, 50), 10);
        assert_eq!(taken(&mut pace, start + Duration::from_millis(99), 50), 0);
        assert_eq!(taken(&mut pace, start + Duration::from_millis(500), 50), 5);
        assert_eq!(taken(&mut pace, start + Duration::from_secs(3600), 50), 10);
    }

    #[test]
    fn what_is_refused_costs_no_token() {
        let (mut pace, mut at) = (Pace::default(), Moment(0));
        let mut taken = 0;
        for _ in 0..10_000 {
            at = at + Duration::from_millis(1);
            taken += u32::from(pace.take(20, at));
        }
        assert!((219..=221).contains(&taken), "{taken} in ten seconds of a flood");
    }
}
