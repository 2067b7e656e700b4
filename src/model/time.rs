//! Points in time: [`Moment`] for timers, [`Utc`] for records, [`Now`] for both at once.
//!
//! The only reader of real clocks is `crate::clock`; everything that decides is handed a [`Now`].

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Microseconds since the machine started (monotonic, and the same across a restart of the process).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment(pub u64);

impl Moment {
    /// The span from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(span.as_micros() as u64))
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;
    fn sub(self, span: Duration) -> Moment {
        Moment(self.0.saturating_sub(span.as_micros() as u64))
    }
}

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Utc(pub i64);

impl Utc {
    /// RFC 3339 in UTC with milliseconds: `2026-11-21T21:30:00.123Z`.
    pub fn rfc3339(self) -> String {
        format!("{:.3}", self.timestamp())
    }

    /// RFC 3339 with the offset of `zone`: `2026-11-21T22:30:00.123+01:00` (never `Z`).
    pub fn with_offset(self, zone: &TimeZone) -> String {
        self.timestamp().to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S.%3f%:z").to_string()
    }

    /// The moment as a `jiff` timestamp, for calendars.
    pub fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or_default()
    }

    /// The span from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Utc) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// For timers and durations.
    pub moment: Moment,
    /// For records and calendars.
    pub utc: Utc,
}

impl Now {
    /// This reading, `span` later on both clocks.
    pub fn after(self, span: Duration) -> Now {
        Now { moment: self.moment + span, utc: Utc(self.utc.0.saturating_add(span.as_micros() as i64)) }
    }

    /// This reading, `span` earlier on both clocks.
    pub fn before(self, span: Duration) -> Now {
        Now { moment: self.moment - span, utc: Utc(self.utc.0.saturating_sub(span.as_micros() as i64)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_utc_time_is_written_with_milliseconds() {
        assert_eq!(Utc(1_700_000_000_123_456).rfc3339(), "2023-11-14T22:13:20.123Z");
    }

    #[test]
    fn an_offset_is_never_written_as_z() {
        let paris = TimeZone::get("Europe/Paris").expect("bundled zone");
        assert_eq!(Utc(1_700_000_000_123_456).with_offset(&paris), "2023-11-14T23:13:20.123+01:00");
        assert!(Utc(0).with_offset(&TimeZone::UTC).ends_with("+00:00"));
    }
}
