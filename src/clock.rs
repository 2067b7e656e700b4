//! The only reader of clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::model::{Moment, Now, Utc};

/// Both clocks, read together.
pub fn now() -> Now {
    Now { moment: moment(), utc: utc() }
}

/// Microseconds since the machine started, suspended time included: the same clock over a restart of the process.
pub fn moment() -> Moment {
    let at = clock_gettime(ClockId::Boottime);
    Moment(at.tv_sec as u64 * 1_000_000 + at.tv_nsec as u64 / 1000)
}

/// The wall clock, by the C library: so that a drill can move it (libfaketime).
pub fn utc() -> Utc {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Utc(since.as_micros() as i64),
        Err(before) => Utc(-(before.duration().as_micros() as i64)),
    }
}
