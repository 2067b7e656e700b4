//! Calendars, in `[calendars.ID]` or in a line itself: the week, public holidays, exceptions by date.

use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::civil::Date;
use toml::de::DeValue;

use super::document::{Section, Trouble, kind};
use super::hours::{overlaps, parse_times, read_hours};
use super::values;
use crate::model::calendar::{Calendar, DayHours, HolidayArea, HolidayHours};
use crate::model::centre::WeeklyHours;

/// How areas are written.
const AREAS: [(&str, HolidayArea); 9] = [
    ("metropole", HolidayArea::Metropole),
    ("alsace-moselle", HolidayArea::AlsaceMoselle),
    ("guadeloupe", HolidayArea::Guadeloupe),
    ("martinique", HolidayArea::Martinique),
    ("guyane", HolidayArea::Guyane),
    ("reunion", HolidayArea::Reunion),
    ("mayotte", HolidayArea::Mayotte),
    ("saint-barthelemy", HolidayArea::SaintBarthelemy),
    ("saint-martin", HolidayArea::SaintMartin),
];

/// The most dates that one calendar may name: every day of ten years.
const EXCEPTIONS_MAX: usize = 3660;

const HOLIDAYS: &str = "write \"as-usual\", \"sunday\", \"closed\", or times such as [\"10:00-12:00\"]";
const DATES: &str = "write date = \"2026-12-24\", or from = \"2026-08-01\" and to = \"2026-08-15\"";
const OPENING: &str = "write hours = [\"08:00-12:00\"], or closed = true";

/// The calendars by id, each with where it stands.
pub(super) type Calendars = BTreeMap<String, Calendar>;

/// Every `[calendars.ID]`.
pub(super) fn read_calendars(root: &Section<'_>) -> Calendars {
    let mut calendars = Calendars::new();
    for (id, section) in root.named("calendars") {
        if !section.has("hours") {
            section.report.fault(
                &section.path("hours"),
                "this key is missing",
                "write the usual week: hours = [\"Mon-Sun 00:00-24:00\"] is always",
            );
        }
        if let Some(calendar) = read_calendar(&section) {
            calendars.insert(id, calendar);
        }
        section.close();
    }
    calendars
}

/// The calendar of a line: one of those with an id, or its own keys; `None` is always open.
pub(super) fn read_line_calendar(section: &Section<'_>, calendars: &Calendars) -> Option<Calendar> {
    let named = section.take("calendar", values::id);
    let own = read_calendar(section);
    let Some(named) = named else { return own };
    for key in ["hours", "holidays", "holiday_area", "exceptions"].into_iter().filter(|key| section.has(key)) {
        section.report.fault(
            &section.path(key),
            format!("stands beside calendar = \"{named}\", which says when the line is open"),
            "take one of the two out",
        );
    }
    let found = calendars.get(&named);
    if found.is_none() && !section.report.has_fault_under(&format!("calendars.{named}")) {
        let known: Vec<&str> = calendars.keys().map(String::as_str).collect();
        let remedy = match super::document::nearest(&named, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("configure it in [calendars.{named}]"),
        };
        section.report.fault(&section.path("calendar"), format!("`{named}` is not configured"), remedy);
    }
    found.cloned()
}

fn read_calendar(section: &Section<'_>) -> Option<Calendar> {
    let week = read_hours(section);
    let area = section.or("holiday_area", HolidayArea::default(), values::choice(&AREAS));
    let holidays = section.or("holidays", HolidayHours::default(), read_holidays);
    let exceptions = read_exceptions(section);
    let is_said = week.is_some() || section.has("holidays") || section.has("exceptions");
    if section.has("holiday_area") && !section.has("holidays") {
        section.report.warn(
            &section.path("holiday_area"),
            "changes nothing: holidays are as usual",
            "write holidays = \"sunday\" or \"closed\", or take it out",
        );
    }
    // Without a week the line is open but for what is said of holidays and dates.
    let week = week.unwrap_or_else(WeeklyHours::always);
    is_said.then_some(Calendar { week, holidays, area, exceptions })
}

fn read_holidays(value: &DeValue<'_>) -> Result<HolidayHours, Trouble> {
    match value {
        DeValue::Array(times) => {
            let mut hours = DayHours::new();
            for written in times {
                let span = written.get_ref().as_str().and_then(parse_times);
                let Some(span) = span else {
                    return Err(("holds what is no span of times".into(), HOLIDAYS.into()));
                };
                if hours.iter().any(|other| overlaps(*other, span)) {
                    return Err((
                        "its spans overlap".into(),
                        "let each span begin when the one before has ended".into(),
                    ));
                }
                hours.push(span);
            }
            Ok(HolidayHours::Hours(hours))
        }
        _ => match value.as_str() {
            Some("as-usual") => Ok(HolidayHours::AsUsual),
            Some("sunday") => Ok(HolidayHours::AsSunday),
            Some("closed") => Ok(HolidayHours::Hours(DayHours::new())),
            Some(other) => Err((format!("`{other}` is none of the choices"), HOLIDAYS.into())),
            None => Err((format!("must be a text or a list, not {}", kind(value)), HOLIDAYS.into())),
        },
    }
}

fn read_exceptions(section: &Section<'_>) -> BTreeMap<Date, DayHours> {
    let mut exceptions = BTreeMap::new();
    for one in section.each("exceptions") {
        let hours = read_day(&one);
        let days = read_days(&one);
        let mut is_told = false;
        for day in days {
            if exceptions.len() >= EXCEPTIONS_MAX && !is_told {
                is_told = true;
                one.report.fault(&one.key, format!("more than {EXCEPTIONS_MAX} dates"), "take old dates out");
            }
            if exceptions.insert(day, hours.clone()).is_some() && !is_told {
                is_told = true;
                one.report.fault(
                    &one.key,
                    format!("{day} is named by an earlier exception too"),
                    "say of each date once when it is open",
                );
            }
        }
        one.close();
    }
    exceptions
}

/// The opening times of an exception.
fn read_day(one: &Section<'_>) -> DayHours {
    let closed = one.or("closed", false, values::flag);
    let mut hours = DayHours::new();
    for (key, written) in one.list("hours", values::text) {
        match parse_times(&written) {
            None => one.report.fault(&key, format!("`{written}` is no span of times"), OPENING),
            Some(span) if hours.iter().any(|other| overlaps(*other, span)) => one.report.fault(
                &key,
                format!("`{written}` overlaps an earlier span"),
                "let each span begin when the one before has ended",
            ),
            Some(span) => hours.push(span),
        }
    }
    match (closed, one.has("hours")) {
        (true, true) => one.report.fault(&one.path("closed"), "stands beside hours", "take one of the two out"),
        (false, false) => one.report.fault(&one.key, "does not say when it is open", OPENING),
        (true, false) | (false, true) => {}
    }
    hours
}

/// The dates of an exception.
fn read_days(one: &Section<'_>) -> Vec<Date> {
    let (day, from, to) = (one.take("date", read_date), one.take("from", read_date), one.take("to", read_date));
    if one.has("date") && (one.has("from") || one.has("to")) || one.has("from") != one.has("to") {
        one.report.fault(&one.key, "names its dates in two ways, or by half", DATES);
        return Vec::new();
    }
    let (first, last) = match (day, from, to) {
        (Some(day), _, _) => (day, day),
        (None, Some(from), Some(to)) if from <= to => (from, to),
        (None, Some(from), Some(_)) => {
            one.report.fault(&one.path("to"), format!("is before {from}"), DATES);
            return Vec::new();
        }
        (None, _, _) => {
            if !one.report.has_fault_under(&one.key) {
                one.report.fault(&one.key, "names no date", DATES);
            }
            return Vec::new();
        }
    };
    first.series(1.day()).take_while(|day| *day <= last).take(EXCEPTIONS_MAX + 1).collect()
}

/// `"2026-12-24"`, or the same without quotes.
pub(super) fn read_date(value: &DeValue<'_>) -> Result<Date, Trouble> {
    let written = match value {
        DeValue::Datetime(date) => date.to_string(),
        _ => match value.as_str() {
            Some(text) => text.to_owned(),
            None => return Err((format!("must be a date, not {}", kind(value)), DATES.into())),
        },
    };
    let is_plain = written.len() == 10;
    written.parse().ok().filter(|_| is_plain).ok_or_else(|| (format!("`{written}` is no date"), DATES.into()))
}
