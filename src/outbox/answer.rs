//! What an endpoint's answer means: delivered, once more, or given up. No I/O here.

use std::time::Duration;

use crate::model::Utc;
use crate::storage::outbox::Verdict;

use super::schedule::Schedule;

/// The longest that an endpoint may ask us to stay away: live events are no good an hour late.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// An HTTP answer.
    Status {
        /// Its status.
        code: u16,
        /// Its Retry-After, read.
        retry_after: Option<Duration>,
    },
    /// None: not reached, or not in time.
    None,
}

/// What the answer says about the endpoint, beyond this event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It works, whatever it thinks of this event.
    Well,
    /// It failed at this event, and may be well otherwise.
    Doubtful,
    /// Nobody is there, or nobody behind its door.
    Away,
    /// It asks to be left alone for so long.
    Busy(Duration),
    /// It says that it is gone for good (410).
    Gone,
}

/// How often, and since when, the event was tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    /// Attempts before this one.
    pub before: u32,
    /// Since when it is owed.
    pub owed_since: Utc,
    /// A draw from `0.0..1.0` for the jitter.
    pub chance: f64,
}

/// What follows from `answer` for the event, and what it says about the endpoint.
pub(super) fn judge(answer: &Answer, tried: Tried, schedule: &Schedule, now: Utc) -> (Verdict, Health) {
    match *answer {
        Answer::Status { code: 200..=299, .. } => (Verdict::Delivered, Health::Well),
        Answer::Status { code: 410, .. } => (refused(410), Health::Gone),
        Answer::Status { code: 429 | 503, retry_after: Some(wait) } => {
            let wait = wait.min(RETRY_AFTER_MAX);
            (again(tried, schedule, wait, now), Health::Busy(wait))
        }
        // Too slow, too early, too often: the event itself is not refused.
        Answer::Status { code: 408 | 425 | 429, .. } => (again(tried, schedule, Duration::ZERO, now), Health::Doubtful),
        Answer::Status { code, .. } if (400..=499).contains(&code) => (refused(code), Health::Well),
        Answer::Status { code: 502..=504, .. } | Answer::None => {
            (again(tried, schedule, Duration::ZERO, now), Health::Away)
        }
        // A redirect is a mistake in somebody's configuration, which a person can mend while we go on trying.
        Answer::Status { .. } => (again(tried, schedule, Duration::ZERO, now), Health::Doubtful),
    }
}

fn refused(code: u16) -> Verdict {
    Verdict::Dead { reason: format!("refused for good with {code}") }
}

fn again(tried: Tried, schedule: &Schedule, wait_min: Duration, now: Utc) -> Verdict {
    let wait = schedule.wait_after(tried.before.saturating_add(1), tried.chance).max(wait_min);
    let due_at = Utc(now.0.saturating_add(wait.as_micros() as i64));
    if due_at.since(tried.owed_since) > schedule.give_up_after {
        let hours = schedule.give_up_after.as_secs() / 3600;
        return Verdict::Dead { reason: format!("given up after {} attempts in {hours} h", tried.before + 1) };
    }
    Verdict::Again { due_at }
}

/// Reads a Retry-After (RFC 9110 §10.2.3): seconds, or a date.
pub(super) fn read_retry_after(text: &str, now: Utc) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    Some(Utc(date.timestamp().as_microsecond()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Utc = Utc(1_000_000_000_000);

    fn judged(code: u16, retry_after: Option<u64>, before: u32) -> (Verdict, Health) {
        let tried = Tried { before, owed_since: NOW, chance: 0.5 };
        let answer = Answer::Status { code, retry_after: retry_after.map(Duration::from_secs) };
        judge(&answer, tried, &Schedule::default(), NOW)
    }

    fn seconds(verdict: &Verdict) -> Option<i64> {
        match verdict {
            Verdict::Again { due_at } => Some((due_at.0 - NOW.0) / 1_000_000),
            Verdict::Delivered | Verdict::Dead { .. } => None,
        }
    }

    #[test]
    fn only_a_4xx_that_will_not_change_its_mind_is_a_dead_letter_at_once() {
        for code in [400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 451] {
            assert!(matches!(judged(code, None, 0).0, Verdict::Dead { .. }), "{code}");
        }
        for code in [301, 307, 408, 425, 429, 500, 501, 502, 503, 504, 599] {
            assert_eq!(seconds(&judged(code, None, 0).0), Some(1), "{code}");
        }
        for code in [200, 201, 202, 204] {
            assert_eq!(judged(code, None, 0), (Verdict::Delivered, Health::Well), "{code}");
        }
    }

    #[test]
    fn a_busy_endpoint_is_left_alone_as_long_as_it_asks_within_bounds() {
        assert_eq!(seconds(&judged(503, Some(20), 0).0), Some(20));
        assert_eq!(judged(429, Some(86_400), 0).1, Health::Busy(RETRY_AFTER_MAX));
        assert_eq!(seconds(&judged(429, Some(1), 5).0), Some(60), "the schedule may ask for more");
        assert_eq!(seconds(&judged(500, Some(99), 0).0), Some(1), "only 429 and 503 are asked");
    }

    #[test]
    fn after_three_days_an_event_is_given_up_with_its_reason() {
        let owed_since = Utc(NOW.0 - 72 * 3_600_000_000 + 1_000_000);
        let tried = Tried { before: 80, owed_since, chance: 0.5 };
        let (verdict, health) = judge(&Answer::None, tried, &Schedule::default(), NOW);
        assert_eq!(verdict, Verdict::Dead { reason: "given up after 81 attempts in 72 h".into() });
        assert_eq!(health, Health::Away);
    }

    #[test]
    fn a_retry_after_is_read_as_seconds_or_as_a_date() {
        let now = Utc(784_111_777 * 1_000_000 - 5_000_000);
        assert_eq!(read_retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(read_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(5)));
        assert_eq!(read_retry_after("soon", now), None);
    }
}
