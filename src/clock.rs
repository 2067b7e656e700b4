//! The only reader of clocks.

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

/// The wall clock.
pub fn utc() -> Utc {
    let at = clock_gettime(ClockId::Realtime);
    Utc(at.tv_sec * 1_000_000 + at.tv_nsec / 1000)
}
