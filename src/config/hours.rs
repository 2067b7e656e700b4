//! Opening hours: `Mon-Fri 08:00-20:00`, `Sat,Sun 09:00-12:00`.

use jiff::civil::{Time, Weekday};
use toml::de::DeValue;

use super::document::{Section, Trouble};
use crate::model::centre::WeeklyHours;

const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

const REMEDY: &str =
    "write days and times such as \"Mon-Fri 08:00-20:00\" or \"Sat,Sun 09:00-24:00\"; a night is two spans";

/// Reads the list `hours`; `None` when it is absent: always open.
pub(super) fn read_hours(section: &Section<'_>) -> Option<WeeklyHours> {
    if !section.has("hours") {
        return None;
    }
    let mut spans: Vec<(Weekday, Time, Time)> = Vec::new();
    for (key, written) in section.list("hours", super::values::text) {
        let Some((days, from, to)) = parse_span(&written) else {
            section.report.fault(&key, format!("`{written}` is no span of opening hours"), REMEDY);
            continue;
        };
        for day in days {
            if spans.iter().any(|other| overlap(*other, (day, from, to))) {
                section.report.fault(
                    &key,
                    format!("`{written}` overlaps an earlier span on {day:?}"),
                    "let each span begin when the one before has ended",
                );
            }
            spans.push((day, from, to));
        }
    }
    if spans.is_empty() && !section.report.has_fault_under(&section.path("hours")) {
        section.report.fault(
            &section.path("hours"),
            "the line would never be open",
            "take the key out to be always open",
        );
    }
    Some(WeeklyHours { spans })
}

fn parse_span(written: &str) -> Option<(Vec<Weekday>, Time, Time)> {
    let (days, times) = written.trim().split_once(' ')?;
    let (from, to) = parse_times(times)?;
    let mut all = Vec::new();
    for part in days.split(',') {
        all.extend(parse_days(part)?);
    }
    Some((all, from, to))
}

/// Reads `08:00-12:00`; `24:00` is the day's end.
pub(super) fn parse_times(written: &str) -> Option<(Time, Time)> {
    let (from, to) = written.trim().split_once('-')?;
    let from: Time = parse_time(from)?;
    let to = if to == "24:00" { Time::midnight() } else { parse_time(to)? };
    (from < to || to == Time::midnight()).then_some((from, to))
}

/// A time of day: `"05:00"`.
pub(super) fn time_of_day(value: &DeValue<'_>) -> Result<Time, Trouble> {
    let time = value.as_str().and_then(parse_time);
    time.ok_or_else(|| ("is no time of day".to_owned(), "write hours and minutes, such as \"05:00\"".to_owned()))
}

fn parse_days(part: &str) -> Option<Vec<Weekday>> {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (day_number(first)?, day_number(last)?);
    let count = (last + DAYS.len() - first) % DAYS.len() + 1;
    Some(DAYS.iter().cycle().skip(first).take(count).map(|(_, day)| *day).collect())
}

fn day_number(name: &str) -> Option<usize> {
    DAYS.iter().position(|(day, _)| *day == name)
}

fn parse_time(written: &str) -> Option<Time> {
    let (hour, minute) = written.split_once(':')?;
    let well_formed = hour.len() == 2 && minute.len() == 2;
    if well_formed { Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok() } else { None }
}

fn overlap(a: (Weekday, Time, Time), b: (Weekday, Time, Time)) -> bool {
    a.0 == b.0 && overlaps((a.1, a.2), (b.1, b.2))
}

/// Whether two spans of one day overlap.
pub(super) fn overlaps(a: (Time, Time), b: (Time, Time)) -> bool {
    let before = |from: Time, to: Time| to == Time::midnight() || from < to;
    before(a.0, b.1) && before(b.0, a.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_its_days_around_the_weekend() {
        let (days, from, to) = parse_span("Fri-Mon 20:00-24:00").expect("a span");
        assert_eq!(days, [Weekday::Friday, Weekday::Saturday, Weekday::Sunday, Weekday::Monday]);
        assert_eq!((from.hour(), to), (20, Time::midnight()));
        assert_eq!(parse_span("Mon-Sun 00:00-24:00").map(|(days, ..)| days.len()), Some(7));
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for wrong in ["Mon", "Mon 8-20", "Lun 08:00-20:00", "Mon 20:00-08:00", "Mon 08:00-25:00", "", "Mon08:00-09:00"]
        {
            assert!(parse_span(wrong).is_none(), "{wrong}");
        }
    }
}
