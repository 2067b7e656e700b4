//! Whether the clock can be believed: deletion asks, and stops when it was set back, set ahead, or stands before what is told.

use std::time::Duration;

use crate::model::{Now, Utc};
use crate::storage::clock_marks::{ClockMark, Suspicion};

/// The two clocks may drift apart by so much between two marks: a slewing NTP client moves one by 500 ppm at most.
const DRIFT_MAX: Duration = Duration::from_secs(60);
/// A machine may be off for so long and its clock still be believed: whoever repaired it for longer looks at the clock.
const OFF_MAX: Duration = Duration::from_secs(31 * 86_400);

/// What the next mark is, given the last one. `latest` is the latest time that any seal or entry of the audit carries.
pub fn judge(last: Option<&ClockMark>, latest: Option<Utc>, boot: &str, now: Now) -> ClockMark {
    let forgiven = last.and_then(|mark| mark.forgiven);
    let before = last.and_then(|mark| mark.suspicion.clone());
    let found = last.and_then(|mark| compare(mark, boot, now)).or_else(|| compare_told(latest, forgiven, now.utc));
    let suspicion = before.or_else(|| found.map(|why| Suspicion { since: now.utc, why }));
    ClockMark { now, boot: boot.to_owned(), suspicion, forgiven }
}

/// Somebody looked, and the clock is right: what was suspected is forgiven, and every time told so far with it.
pub fn believe(latest: Option<Utc>, boot: &str, now: Now) -> ClockMark {
    ClockMark { now, boot: boot.to_owned(), suspicion: None, forgiven: latest.max(Some(now.utc)) }
}

fn compare(mark: &ClockMark, boot: &str, now: Now) -> Option<String> {
    let wall = i128::from(now.utc.0) - i128::from(mark.now.utc.0);
    let (limit, off) = (DRIFT_MAX.as_micros() as i128, OFF_MAX.as_micros() as i128);
    if mark.boot == boot && now.moment >= mark.now.moment {
        let ran = i128::from(now.moment.0) - i128::from(mark.now.moment.0);
        // A thousandth of the time that went by: twice what NTP may slew.
        let drift = wall - ran;
        let allowed = limit + ran / 1000;
        return match drift {
            d if d < -allowed => Some(format!("it was set back by {}, to {}", span(-d), now.utc)),
            d if d > allowed => Some(format!("it was set ahead by {}, to {}", span(d), now.utc)),
            _ => None,
        };
    }
    match wall {
        w if w < -limit => Some(format!("it stands {} before it stood when Vigie last ran, at {}", span(-w), now.utc)),
        w if w > off => Some(format!("it stands {} after it stood when Vigie last ran, at {}", span(w), now.utc)),
        _ => None,
    }
}

/// Nothing that was told may lie ahead of the clock, but what somebody has looked at.
fn compare_told(latest: Option<Utc>, forgiven: Option<Utc>, now: Utc) -> Option<String> {
    let latest = latest.filter(|latest| forgiven.is_none_or(|forgiven| *latest > forgiven))?;
    let ahead = i128::from(latest.0) - i128::from(now.0);
    (ahead > DRIFT_MAX.as_micros() as i128)
        .then(|| format!("it stands {} before the last seal or entry of the audit, of {latest}", span(ahead)))
}

/// A span in words that a person takes in.
fn span(us: i128) -> String {
    let seconds = us / 1_000_000;
    match seconds {
        s if s >= 2 * 86_400 => format!("{} days", s / 86_400),
        s if s >= 2 * 3600 => format!("{} hours", s / 3600),
        s if s >= 120 => format!("{} minutes", s / 60),
        s => format!("{s} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Moment;

    const S: i64 = 1_000_000;
    const DAY: i64 = 86_400 * S;

    fn at(wall: i64, ran: i64) -> Now {
        Now { utc: Utc(1_700_000_000 * S + wall), moment: Moment((1_000_000 * S + ran) as u64) }
    }

    fn mark() -> ClockMark {
        judge(None, None, "boot-1", at(0, 0))
    }

    fn why(boot: &str, wall: i64, ran: i64) -> Option<String> {
        judge(Some(&mark()), None, boot, at(wall, ran)).suspicion.map(|suspicion| suspicion.why)
    }

    #[test]
    fn a_clock_that_goes_as_time_goes_is_believed() {
        for (wall, ran) in [(0, 0), (10 * S, 10 * S), (30 * DAY, 30 * DAY + 600 * S), (3600 * S, 3600 * S + 59 * S)] {
            assert_eq!(why("boot-1", wall, ran), None, "{wall} {ran}");
        }
        // Off for a week.
        assert_eq!(why("boot-2", 7 * DAY, -5 * DAY), None);
    }

    #[test]
    fn a_clock_that_was_set_is_not_believed() {
        for (boot, wall, ran, told) in [
            ("boot-1", -3600 * S, 60 * S, "set back by 61 minutes"),
            ("boot-1", 6 * 365 * DAY, 60 * S, "set ahead by 2189 days"),
            ("boot-1", 600 * S, 10 * S, "set ahead by 9 minutes"),
            ("boot-2", -3600 * S, 0, "before it stood when Vigie last ran"),
            ("boot-2", 6 * 365 * DAY, 0, "after it stood when Vigie last ran"),
        ] {
            assert!(
                why(boot, wall, ran).is_some_and(|why| why.contains(told)),
                "{boot} {wall}: {:?}",
                why(boot, wall, ran)
            );
        }
    }

    #[test]
    fn a_clock_that_stands_before_the_last_seal_is_not_believed() {
        let latest = Some(Utc(at(0, 0).utc.0 + DAY));
        let fresh = judge(None, latest, "boot-1", at(0, 0));
        assert!(fresh.suspicion.as_ref().is_some_and(|s| s.why.contains("before the last seal")), "{fresh:?}");
        let believed = believe(latest, "boot-1", at(5 * S, 5 * S));
        assert_eq!(judge(Some(&believed), latest, "boot-1", at(6 * S, 6 * S)).suspicion, None);
        let later = Some(Utc(at(0, 0).utc.0 + 2 * DAY));
        assert!(judge(Some(&believed), later, "boot-1", at(6 * S, 6 * S)).suspicion.is_some());
    }

    #[test]
    fn a_suspicion_stays_until_somebody_has_looked() {
        let ahead = judge(Some(&mark()), None, "boot-1", at(600 * DAY, S));
        let back = judge(Some(&ahead), None, "boot-1", at(2 * S, 2 * S));
        assert_eq!(back.suspicion, ahead.suspicion);
        assert!(back.suspicion.is_some());
        let believed = believe(None, "boot-1", at(3 * S, 3 * S));
        assert_eq!(judge(Some(&believed), None, "boot-1", at(9 * S, 9 * S)).suspicion, None);
    }
}
