//! Remembers which day something that is done once a day was done for last, over restarts.

use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use tokio::sync::watch;

use crate::clock;

/// How often the clock is looked at: it may be set, and the machine may sleep.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A file with a day in it.
pub(super) struct DayMark {
    path: PathBuf,
    /// Days begin and end there.
    zone: TimeZone,
}

impl DayMark {
    /// The mark in this file, which need not be there.
    pub(super) fn new(path: PathBuf, zone: TimeZone) -> DayMark {
        DayMark { path, zone }
    }

    /// Waits for the next look: the time on the wall then, and the last day that is done; `None` once it has `stopped`.
    pub(super) async fn next_look(&self, stopped: &mut watch::Receiver<bool>) -> Option<(DateTime, Option<Date>)> {
        tokio::select! {
            _ = stopped.changed() => return None,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let done = std::fs::read_to_string(&self.path).ok().and_then(|text| text.trim().parse::<Date>().ok());
        Some((clock::utc().timestamp().to_zoned(self.zone.clone()).datetime(), done))
    }

    /// Notes that a day is done.
    pub(super) fn note(&self, day: Date) {
        if let Err(error) = std::fs::write(&self.path, format!("{day}\n")) {
            tracing::warn!(%error, path = %self.path.display(), "that a day was compared could not be noted; it is compared again");
        }
    }
}
