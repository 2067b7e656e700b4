//! When a recording's time is over: end + retention + the length of the union of its holds.

use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};

use crate::model::Utc;
use crate::model::centre::RETENTION_YEARS_MIN;
use crate::storage::holds::Hold;
use crate::storage::promises::Promise;

/// When a recording may be deleted at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Never while a hold is on it.
    Held,
    /// Nobody was ever told how long its association's recordings are kept: it is kept.
    Unknown,
    /// From here on, when two people agree.
    At(Term),
}

/// The end of a recording's time, and how it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// The call's end.
    pub ended_at: Utc,
    /// The retention, in years.
    pub years: u16,
    /// The length of the union of its holds, in microseconds.
    pub held_us: i64,
    /// When its time is over.
    pub expires_at: Utc,
}

/// The retention that counts for a recording that ended at `ended_at`: the longest that was promised at any time since
/// then. What is shortened is shortened for recordings made later.
pub fn years_promised(promises: &[Promise], ended_at: Utc) -> Option<u16> {
    let since = promises.iter().filter(|promise| promise.until.is_none_or(|until| until > ended_at));
    since.map(|promise| promise.years.max(RETENTION_YEARS_MIN)).max()
}

/// The expiry of a recording that ended at `ended_at`.
pub fn expiry(ended_at: Utc, promises: &[Promise], holds: &[Hold], zone: &TimeZone) -> Expiry {
    if holds.iter().any(|hold| hold.released_at.is_none()) {
        return Expiry::Held;
    }
    let Some(years) = years_promised(promises, ended_at) else { return Expiry::Unknown };
    let held_us = union_us(holds);
    let expires_at = Utc(add_years(ended_at, years, zone).0.saturating_add(held_us));
    Expiry::At(Term { ended_at, years, held_us, expires_at })
}

/// The length of the union of the holds, in microseconds.
fn union_us(holds: &[Hold]) -> i64 {
    let mut spans: Vec<(i64, i64)> =
        holds.iter().map(|hold| (hold.placed_at.0, hold.released_at.map_or(i64::MAX, |at| at.0))).collect();
    spans.sort_unstable();
    let (mut length, mut reached) = (0_i64, i64::MIN);
    for (from, to) in spans {
        let from = from.max(reached);
        length = length.saturating_add(to.saturating_sub(from).max(0));
        reached = reached.max(to);
    }
    length
}

/// So many calendar years later, in the centre's zone; from 29 February to a 1 March, never a day too few.
fn add_years(at: Utc, years: u16, zone: &TimeZone) -> Utc {
    let zoned = at.timestamp().to_zoned(zone.clone());
    let span: Span = i64::from(years).years();
    let Ok(later) = zoned.checked_add(span) else { return Utc(i64::MAX) };
    let missing = if later.day() == zoned.day() { 0 } else { 1 };
    let later = later.checked_add(missing.days()).unwrap_or(later);
    Utc(later.timestamp().as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CallId;

    const DAY: i64 = 86_400_000_000;

    fn zone() -> TimeZone {
        TimeZone::get("Europe/Paris").expect("bundled")
    }

    fn utc(text: &str) -> Utc {
        Utc(text.parse::<jiff::Timestamp>().expect("a time").as_microsecond())
    }

    fn hold(from: i64, to: Option<i64>) -> Hold {
        Hold {
            id: 1,
            call: CallId(uuid::Uuid::from_u128(1)),
            association: "sos".into(),
            placed_at: Utc(from),
            placed_by: "a".into(),
            reason: "court".into(),
            case_number: None,
            released_at: to.map(Utc),
            released_by: None,
            release_reason: None,
        }
    }

    fn promise(years: u16, since: i64, until: Option<i64>) -> Promise {
        Promise { years, since: Utc(since), until: until.map(Utc) }
    }

    fn expires(ended: &str, holds: &[Hold]) -> Utc {
        match expiry(utc(ended), &[promise(5, 0, None)], holds, &zone()) {
            Expiry::At(term) => term.expires_at,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_is_the_end_the_retention_and_the_union_of_the_holds() {
        let plain = expires("2026-11-22T10:00:00Z", &[]);
        assert_eq!(plain, utc("2031-11-22T10:00:00Z"));
        let start = utc("2027-01-01T00:00:00Z").0;
        let span = |from: i64, to: i64| hold(start + from * DAY, Some(start + to * DAY));
        for (holds, days) in [
            (vec![span(0, 10)], 10),
            (vec![span(0, 10), span(5, 15)], 15),
            (vec![span(5, 15), span(0, 10), span(2, 3)], 15),
            (vec![span(0, 10), span(20, 30)], 20),
            (vec![span(0, 10), span(10, 20)], 20),
            (vec![span(7, 7)], 0),
            // A clock that was set back between the two.
            (vec![span(10, 5)], 0),
        ] {
            assert_eq!(expires("2026-11-22T10:00:00Z", &holds).0 - plain.0, days * DAY, "{holds:?}");
        }
    }

    #[test]
    fn an_open_hold_stops_everything() {
        let holds = [hold(1, Some(2)), hold(5, None)];
        assert_eq!(expiry(Utc(0), &[promise(5, 0, None)], &holds, &zone()), Expiry::Held);
    }

    #[test]
    fn five_years_are_never_a_day_too_few() {
        assert_eq!(expires("2024-02-29T10:00:00Z", &[]), utc("2029-03-01T10:00:00Z"));
        // Over a change of the clocks: the same hour of the day at the centre.
        assert_eq!(expires("2026-03-28T23:30:00Z", &[]), utc("2031-03-28T23:30:00Z"));
        assert_eq!(expires("2026-06-01T10:00:00Z", &[]), utc("2031-06-01T10:00:00Z"));
    }

    #[test]
    fn what_was_promised_once_since_the_end_is_kept() {
        let promises = [promise(5, 0, Some(100)), promise(10, 100, Some(200)), promise(6, 200, None)];
        assert_eq!(years_promised(&promises, Utc(50)), Some(10), "raised after it was made");
        assert_eq!(years_promised(&promises, Utc(150)), Some(10));
        assert_eq!(years_promised(&promises, Utc(250)), Some(6), "made when it was shorter");
        assert_eq!(years_promised(&[promise(6, 0, Some(100))], Utc(150)), None, "an association that is no more");
        assert_eq!(expiry(Utc(150), &[], &[], &zone()), Expiry::Unknown);
    }
}
