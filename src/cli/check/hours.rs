//! Which lines are open at a time, and until when: what a calendar means on a holiday, an exception, a night on which the
//! clock is changed.

use std::fmt::Write as _;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::model::calendar::{Calendar, holiday};
use crate::model::{Centre, Line, Utc};

/// How far ahead the next change is looked for: a longest closure is a matter of weeks.
const AHEAD_DAYS: i64 = 31;

/// Reads a time: with an offset (`2026-10-25T02:30+01:00`, `…Z`) or by the clock on the centre's wall (`2026-10-25T02:30`,
/// the first of two), or a date alone for its beginning.
pub(super) fn read_time(written: &str, zone: &TimeZone) -> Result<Zoned, String> {
    if let Ok(at) = written.parse::<Timestamp>() {
        return Ok(at.to_zoned(zone.clone()));
    }
    let local = written.parse::<DateTime>();
    local.and_then(|local| zone.to_ambiguous_zoned(local).compatible()).map_err(|error| {
        format!(
            "--at {written}: {error}; write a time such as 2026-05-01T10:00, or 2026-10-25T02:30+01:00 with its offset"
        )
    })
}

/// Each line at that time.
pub(super) fn describe(centre: &Centre, at: &Zoned) -> String {
    let mut text = format!("\nat {}\n", show(at));
    for line in centre.lines.values() {
        let _ = writeln!(text, "  line {}: {}", line.id, state(centre, line, at));
    }
    text
}

fn state(centre: &Centre, line: &Line, at: &Zoned) -> String {
    let Some(calendar) = &line.hours else { return "open, as always".to_owned() };
    let is_open = is_open(calendar, at, &centre.zone);
    let why = match (calendar.exceptions.contains_key(&at.date()), holiday(at.date(), calendar.area)) {
        (true, _) => " (an exception)".to_owned(),
        (false, Some(name)) => format!(" ({name})"),
        (false, None) => String::new(),
    };
    let until = match next_change(calendar, at, &centre.zone) {
        Some(change) => format!("until {}", show(&change)),
        None => format!("for the next {AHEAD_DAYS} days"),
    };
    if is_open {
        return format!("open{why} {until}");
    }
    let message = line.closed.message.as_ref().map(|sound| format!("hear {sound}"));
    let to = line.closed.to.as_ref().map(|to| format!("are led to {to}"));
    let told: Vec<String> = message.into_iter().chain(to).collect();
    let callers = if told.is_empty() { "are hung up".to_owned() } else { told.join(" and ") };
    format!("closed{why} {until}; callers {callers}")
}

fn is_open(calendar: &Calendar, at: &Zoned, zone: &TimeZone) -> bool {
    calendar.is_open(Utc(at.timestamp().as_microsecond()), zone)
}

/// The next whole minute at which it is another than now.
fn next_change(calendar: &Calendar, at: &Zoned, zone: &TimeZone) -> Option<Zoned> {
    let now = is_open(calendar, at, zone);
    let second = i64::from(at.second());
    let first = at.checked_add((60 - second).seconds()).ok()?;
    let minutes = (0..AHEAD_DAYS * 24 * 60).map_while(|minute| first.checked_add(minute.minutes()).ok());
    minutes.into_iter().find(|minute| is_open(calendar, minute, zone) != now)
}

fn show(at: &Zoned) -> String {
    at.strftime("%a %Y-%m-%d %H:%M %:z").to_string()
}
