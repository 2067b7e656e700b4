//! Once a day both places are compared; a difference is an alarm, and mended by whoever is told.

use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::Date;
use tokio::sync::watch;

use super::super::day_mark::DayMark;
use super::aside;
use crate::archive::second::Second;
use crate::archive::second::check::{Comparison, Wanted, Wish, compare};
use crate::clock;
use crate::config::Settings;
use crate::config::archive::ArchiveSettings;
use crate::model::Alarm;
use crate::storage::{Storage, copies};
use crate::switchboard::tell;

/// Recordings of so many days before today are compared each day.
const RECENT_DAYS: i64 = 2;
/// Findings named in an alarm; the command names all.
const NAMED_MAX: usize = 5;

/// What is compared, and when.
pub(crate) struct Daily {
    second: Arc<Second>,
    storage: Storage,
    settings: ArchiveSettings,
    /// Remembers the last day on which was compared.
    mark: DayMark,
}

impl Daily {
    pub(crate) fn new(settings: &Settings, second: Arc<Second>, storage: &Storage) -> Daily {
        Daily {
            second,
            storage: storage.clone(),
            settings: settings.archive.clone(),
            mark: DayMark::new(settings.node.state.join("archive-compared"), settings.centre.zone.clone()),
        }
    }

    /// Compares once a day, until `stopped`.
    pub(crate) async fn run(self, mut stopped: watch::Receiver<bool>) {
        while let Some((now, done)) = self.mark.next_look(&mut stopped).await {
            if now.time() < self.settings.compare_at || done.is_some_and(|done| done >= now.date()) {
                continue;
            }
            tokio::select! {
                _ = stopped.changed() => return,
                () = self.compare(now.date()) => {}
            }
        }
    }

    async fn compare(&self, day: Date) {
        let place = self.second.there().name();
        let waiting = match copies::waiting(&self.storage, &place).await {
            Ok(waiting) => waiting.into_iter().collect(),
            Err(error) => return tracing::warn!(%error, "the two places are compared later"),
        };
        let wanted = Some(wanted_on(day, self.settings.compare_days));
        let (second, at) = (self.second.clone(), clock::utc());
        let wish = Wish { wanted, waiting, repair: false, at };
        match aside("archive-compare", move || compare(&second, &wish, |_, _| ())).await {
            Some(Ok(found)) => self.settle(day, &place, &found),
            Some(Err(error)) => {
                let text = format!("the recordings could not be compared with the second place, {place}: {error}");
                tell(&Alarm { kind: "archive-failing".into(), call: None, text });
                // Tried again tomorrow: an alarm each minute helps nobody.
                self.mark.note(day);
            }
            None => {}
        }
    }

    fn settle(&self, day: Date, place: &str, found: &Comparison) {
        metrics::gauge!("vigie_archive_differences").set(found.findings_total as f64);
        tracing::info!(%day, place, recordings = found.recordings, files = found.files, findings = found.findings_total,
            "the two places were compared");
        if found.findings_total > 0 {
            let mut text = format!("the two places of recordings differ in {} things:", found.findings_total);
            for one in found.findings.iter().take(NAMED_MAX) {
                text += &format!(" {} ({}) {};", one.file, one.place, one.what);
            }
            text += " `vigie archive check` names all, with --repair it mends what can be";
            tell(&Alarm { kind: "archive-differs".into(), call: None, text });
        }
        self.mark.note(day);
    }
}

/// The folders of the last days, and of the others one part of as many as there are days to compare all in.
fn wanted_on(day: Date, days: u16) -> Wanted {
    let recent: Vec<String> = (0..=RECENT_DAYS)
        .filter_map(|before| day.checked_sub(before.days()).ok())
        .map(|day| format!("{}/", day.strftime("%Y/%m/%d")))
        .collect();
    // Counted over the ends of years.
    let number = day.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24;
    let turn = number.rem_euclid(i64::from(days.max(1))) as u32;
    Box::new(move |folder| {
        recent.iter().any(|day| folder.starts_with(day))
            || crc32c::crc32c(folder.as_bytes()) % u32::from(days.max(1)) == turn
    })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn each_folder_has_its_day_and_those_of_the_last_days_have_every_day() {
        for begin in [date(2026, 3, 1), date(2026, 12, 10)] {
            let days: Vec<Date> = begin.series(1.day()).take(30).collect();
            let before = begin.yesterday().expect("a day").strftime("%Y/%m/%d").to_string();
            for number in 0..200 {
                let old = format!("2025/01/01/call-{number}");
                assert_eq!(days.iter().filter(|day| wanted_on(**day, 30)(&old)).count(), 1, "{old}");
                assert!(wanted_on(begin, 30)(&format!("{before}/call-{number}")));
            }
        }
    }
}
