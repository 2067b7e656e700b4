//! Once a day calls, events and files of the day before are compared; a difference is an alarm.

use std::path::PathBuf;

use jiff::ToSpan;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use tokio::sync::watch;

use super::day_mark::DayMark;
use crate::archive::reconcile::{ReconcileError, Reconciliation, reconcile, span_of};
use crate::clock;
use crate::model::Alarm;
use crate::storage::Storage;
use crate::switchboard::tell;

/// Days that a server that was stopped for long makes up for.
const DAYS_MAX: i64 = 31;
/// Differences named in an alarm; `vigie reconcile` names all.
const NAMED_MAX: usize = 5;

/// What is compared, and when.
pub struct Daily {
    /// The database.
    pub storage: Storage,
    /// The recordings folder.
    pub recordings: PathBuf,
    /// Remembers the last day that was compared.
    pub mark: PathBuf,
    /// By the clock on the wall of `zone`.
    pub at: Time,
    /// The site's.
    pub zone: TimeZone,
}

impl Daily {
    /// Compares each day once, until `stopped`.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) {
        let mark = DayMark::new(self.mark.clone(), self.zone.clone());
        while let Some((now, done)) = mark.next_look(&mut stopped).await {
            for day in days_due((now.date(), now.time()), self.at, done) {
                let found = tokio::select! {
                    _ = stopped.changed() => return,
                    found = self.compare(day) => found,
                };
                match found {
                    Ok(found) => {
                        settle(day, &found);
                        mark.note(day);
                    }
                    Err(error) => {
                        // Told each minute by the log, as an alarm until it is repaired.
                        alarm(format!("the recordings of {day} could not be compared with the calls: {error}"));
                        break;
                    }
                }
            }
        }
    }

    async fn compare(&self, day: Date) -> Result<Reconciliation, ReconcileError> {
        let Some(span) = span_of(day, &self.zone) else { return Ok(Reconciliation::default()) };
        reconcile(&self.storage, &self.recordings, span, clock::utc()).await
    }
}

fn settle(day: Date, found: &Reconciliation) {
    metrics::gauge!("vigie_reconciliation_differences").set(found.differences_total as f64);
    if found.differences_total > 0 {
        alarm(describe(day, found));
    }
    tracing::info!(%day, calls = found.calls, answered = found.answered, recorded = found.recorded,
        excused = found.excused_total, differences = found.differences_total, "calls, events and recordings were compared");
}

fn alarm(text: String) {
    tell(&Alarm { kind: "reconciliation".into(), call: None, text });
}

fn describe(day: Date, found: &Reconciliation) -> String {
    let mut text =
        format!("of {day}, {} things do not agree among calls, events and recordings:", found.differences_total);
    for one in found.differences.iter().take(NAMED_MAX) {
        text += &format!(" {} {}: {};", one.call, one.kind.name(), one.what);
    }
    text + &format!(" `vigie reconcile --day {day}` names all")
}

/// The days to be compared now: those after the last one done up to yesterday, once the hour has come.
fn days_due((today, time): (Date, Time), at: Time, done: Option<Date>) -> Vec<Date> {
    let Ok(last) = today.checked_sub(if time >= at { 1.day() } else { 2.days() }) else { return Vec::new() };
    let earliest = today.checked_sub(DAYS_MAX.days()).unwrap_or(last);
    let first = match done {
        Some(done) => done.checked_add(1.day()).unwrap_or(last).max(earliest),
        None => last,
    };
    first.series(1.day()).take_while(|day| *day <= last).collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};

    use super::*;

    #[test]
    fn each_day_is_compared_once_after_its_hour_and_missed_ones_are_made_up_for() {
        let (today, at) = (date(2026, 11, 22), time(5, 0, 0, 0));
        let due = |hour, done| days_due((today, time(hour, 0, 0, 0)), at, done);
        assert_eq!(due(6, None), [date(2026, 11, 21)]);
        assert_eq!(due(6, Some(date(2026, 11, 21))), []);
        assert_eq!(due(4, Some(date(2026, 11, 20))), []);
        assert_eq!(due(6, Some(date(2026, 11, 19))), [date(2026, 11, 20), date(2026, 11, 21)]);
        assert_eq!(due(6, Some(date(2020, 1, 1))).len(), 31);
        assert_eq!(due(6, Some(date(2027, 1, 1))), [], "a clock that went back compares nothing twice");
    }
}
