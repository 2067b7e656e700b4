//! When a line is open: the week, public holidays, exceptions by date, on nights when the clock is changed too.

use std::collections::BTreeMap;

use jiff::civil::{Date, DateTime, Time, Weekday, date};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use super::centre::WeeklyHours;
use super::time::Utc;

/// Opening times of one day: from the first to the second; a second one of `00:00` is the day's end. Empty is closed.
pub type DayHours = Vec<(Time, Time)>;

/// When a line is open. What is said of a date counts before what is said of holidays, and that before the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// The usual week.
    pub week: WeeklyHours,
    /// What differs on public holidays.
    pub holidays: HolidayHours,
    /// Whose holidays.
    pub area: HolidayArea,
    /// What differs on these dates.
    pub exceptions: BTreeMap<Date, DayHours>,
}

/// Opening times on public holidays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HolidayHours {
    /// As on any other day.
    #[default]
    AsUsual,
    /// As on a Sunday.
    AsSunday,
    /// These; empty is closed.
    Hours(DayHours),
}

/// Where in France: public holidays differ (Code du travail, articles L3133-1, L3134-13, L3422-2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HolidayArea {
    /// Metropolitan France: eleven days.
    #[default]
    Metropole,
    /// Also Good Friday and 26 December.
    AlsaceMoselle,
    /// Also 27 May.
    Guadeloupe,
    /// Also 22 May.
    Martinique,
    /// Also 10 June.
    Guyane,
    /// Also 20 December.
    Reunion,
    /// Also 27 April.
    Mayotte,
    /// Also 9 October.
    SaintBarthelemy,
    /// Also 28 May.
    SaintMartin,
}

impl Calendar {
    /// The week alone.
    pub fn of_week(week: WeeklyHours) -> Calendar {
        Calendar { week, holidays: HolidayHours::default(), area: HolidayArea::default(), exceptions: BTreeMap::new() }
    }

    /// The opening times of a date.
    pub fn hours_on(&self, day: Date) -> DayHours {
        if let Some(hours) = self.exceptions.get(&day) {
            return hours.clone();
        }
        match (&self.holidays, holiday(day, self.area)) {
            (HolidayHours::AsUsual, _) | (_, None) => self.week.on(day.weekday()),
            (HolidayHours::AsSunday, Some(_)) => self.week.on(Weekday::Sunday),
            (HolidayHours::Hours(hours), Some(_)) => hours.clone(),
        }
    }

    /// Whether it is open at `at`, by the clock on the wall of `zone`.
    ///
    /// Each opening time is one stretch of real time, whatever happens to the clock in between. An hour that comes twice
    /// opens the first time and closes the second; one that is left out opens and closes when the clock is put forward.
    pub fn is_open(&self, at: Utc, zone: &TimeZone) -> bool {
        let at = at.timestamp();
        let today = at.to_zoned(zone.clone()).date();
        // A stretch may reach over midnight where the clock is changed at midnight.
        let days = [today.yesterday().ok(), Some(today), today.tomorrow().ok()];
        days.into_iter().flatten().any(|day| self.hours_on(day).into_iter().any(|span| holds(zone, day, span, at)))
    }
}

fn holds(zone: &TimeZone, day: Date, (from, to): (Time, Time), at: Timestamp) -> bool {
    let end = if to == Time::midnight() { day.tomorrow().unwrap_or(day).to_datetime(to) } else { day.to_datetime(to) };
    let start = instants(zone, day.to_datetime(from)).map(|(first, _)| first);
    let end = instants(zone, end).map(|(_, last)| last);
    start.is_some_and(|start| start <= at) && end.is_some_and(|end| at < end)
}

/// The first and the last time that the clock shows this; of an hour left out, when it is put forward.
fn instants(zone: &TimeZone, local: DateTime) -> Option<(Timestamp, Timestamp)> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => {
            let only = offset.to_timestamp(local).ok()?;
            Some((only, only))
        }
        AmbiguousOffset::Fold { before, after } => {
            Some((before.to_timestamp(local).ok()?, after.to_timestamp(local).ok()?))
        }
        AmbiguousOffset::Gap { after, .. } => {
            let before_it = after.to_timestamp(local).ok()?;
            let change = zone.following(before_it).next()?.timestamp();
            Some((change, change))
        }
    }
}

/// The public holiday that a date is in an area of France, by its name.
pub fn holiday(day: Date, area: HolidayArea) -> Option<&'static str> {
    let after_easter =
        |days: i32| easter(day.year()).and_then(|easter| easter.checked_add(days.days()).ok()) == Some(day);
    let everywhere = match (day.month(), day.day()) {
        (1, 1) => Some("Jour de l'an"),
        (5, 1) => Some("Fête du Travail"),
        (5, 8) => Some("Victoire 1945"),
        (7, 14) => Some("Fête nationale"),
        (8, 15) => Some("Assomption"),
        (11, 1) => Some("Toussaint"),
        (11, 11) => Some("Armistice 1918"),
        (12, 25) => Some("Noël"),
        _ if after_easter(1) => Some("Lundi de Pâques"),
        _ if after_easter(39) => Some("Ascension"),
        _ if after_easter(50) => Some("Lundi de Pentecôte"),
        _ => None,
    };
    everywhere.or_else(|| {
        let own = match area {
            HolidayArea::Metropole => None,
            HolidayArea::AlsaceMoselle if after_easter(-2) => return Some("Vendredi saint"),
            HolidayArea::AlsaceMoselle => return (day.month() == 12 && day.day() == 26).then_some("Saint-Étienne"),
            HolidayArea::Guadeloupe => Some((5, 27)),
            HolidayArea::Martinique => Some((5, 22)),
            HolidayArea::Guyane => Some((6, 10)),
            HolidayArea::Reunion => Some((12, 20)),
            HolidayArea::Mayotte => Some((4, 27)),
            HolidayArea::SaintBarthelemy => Some((10, 9)),
            HolidayArea::SaintMartin => Some((5, 28)),
        };
        (own == Some((day.month(), day.day()))).then_some("Abolition de l'esclavage")
    })
}

/// Easter Sunday of the Gregorian calendar: the golden number, the century's corrections, the epact, the Sunday after.
fn easter(year: i16) -> Option<Date> {
    let year = i32::from(year);
    let golden = year % 19;
    let (century, in_century) = (year / 100, year % 100);
    let moon_shift = (century - (century + 8) / 25 + 1) / 3;
    let epact = (19 * golden + century - century / 4 - moon_shift + 15) % 30;
    let to_sunday = (32 + 2 * (century % 4) + 2 * (in_century / 4) - epact - in_century % 4) % 7;
    let late = (golden + 11 * epact + 22 * to_sunday) / 451;
    let days = epact + to_sunday - 7 * late + 114;
    let (month, day) = (i8::try_from(days / 31).ok()?, i8::try_from(days % 31 + 1).ok()?);
    Date::new(i16::try_from(year).ok()?, month, day).ok().filter(|found| *found >= date(1, 3, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paris() -> TimeZone {
        TimeZone::get("Europe/Paris").expect("a bundled zone")
    }

    fn utc(text: &str) -> Utc {
        let at: Timestamp = text.parse().expect("a time");
        Utc(at.as_microsecond())
    }

    fn every_day(from: Time, to: Time) -> Calendar {
        let days = [
            Weekday::Monday,
            Weekday::Tuesday,
            Weekday::Wednesday,
            Weekday::Thursday,
            Weekday::Friday,
            Weekday::Saturday,
            Weekday::Sunday,
        ];
        Calendar::of_week(WeeklyHours { spans: days.map(|day| (day, from, to)).to_vec() })
    }

    fn at(hour: i8, minute: i8) -> Time {
        Time::constant(hour, minute, 0, 0)
    }

    /// How many minutes of a day in UTC it is open.
    fn minutes_open(calendar: &Calendar, from: &str, hours: i64) -> i64 {
        let start = utc(from).0;
        (0..hours * 60).filter(|minute| calendar.is_open(Utc(start + minute * 60_000_000), &paris())).count() as i64
    }

    #[test]
    fn easter_falls_where_the_almanac_has_it() {
        for (year, month, day) in [
            (1961, 4, 2),
            (2000, 4, 23),
            (2008, 3, 23),
            (2019, 4, 21),
            (2024, 3, 31),
            (2025, 4, 20),
            (2026, 4, 5),
            (2027, 3, 28),
            (2038, 4, 25),
            (2285, 3, 22),
        ] {
            assert_eq!(easter(year), Some(date(year, month, day)), "{year}");
        }
    }

    #[test]
    fn france_has_its_eleven_holidays_and_no_others() {
        let mut day = date(2026, 1, 1);
        let mut found = Vec::new();
        while day.year() == 2026 {
            found.extend(holiday(day, HolidayArea::Metropole).map(|_| (day.month(), day.day())));
            day = day.tomorrow().expect("a day");
        }
        let expected =
            [(1, 1), (4, 6), (5, 1), (5, 8), (5, 14), (5, 25), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25)];
        assert_eq!(found, expected);
    }

    #[test]
    fn an_area_has_its_own_holidays_beside_those_of_all() {
        for (area, own) in [
            (HolidayArea::AlsaceMoselle, date(2026, 4, 3)),
            (HolidayArea::AlsaceMoselle, date(2026, 12, 26)),
            (HolidayArea::Guadeloupe, date(2026, 5, 27)),
            (HolidayArea::Martinique, date(2026, 5, 22)),
            (HolidayArea::Guyane, date(2026, 6, 10)),
            (HolidayArea::Reunion, date(2026, 12, 20)),
            (HolidayArea::Mayotte, date(2026, 4, 27)),
            (HolidayArea::SaintBarthelemy, date(2026, 10, 9)),
            (HolidayArea::SaintMartin, date(2026, 5, 28)),
        ] {
            assert!(holiday(own, area).is_some() && holiday(own, HolidayArea::Metropole).is_none(), "{area:?} {own}");
            assert!(holiday(date(2026, 7, 14), area).is_some());
        }
    }

    #[test]
    fn a_date_counts_before_a_holiday_and_a_holiday_before_the_week() {
        let mut calendar = every_day(at(8, 0), at(12, 0));
        calendar.week.spans.retain(|(day, ..)| *day != Weekday::Sunday);
        let open = |calendar: &Calendar, day: Date| !calendar.hours_on(day).is_empty();
        let (christmas, usual, sunday) = (date(2026, 12, 25), date(2026, 12, 23), date(2026, 12, 27));
        assert_eq!([christmas, usual, sunday].map(|day| open(&calendar, day)), [true, true, false]);
        calendar.holidays = HolidayHours::Hours(Vec::new());
        assert_eq!([christmas, usual, sunday].map(|day| open(&calendar, day)), [false, true, false]);
        calendar.holidays = HolidayHours::AsSunday;
        assert_eq!([christmas, usual, sunday].map(|day| open(&calendar, day)), [false, true, false]);
        calendar.exceptions = BTreeMap::from([(christmas, vec![(at(10, 0), at(11, 0))]), (usual, Vec::new())]);
        assert_eq!([christmas, usual, sunday].map(|day| open(&calendar, day)), [true, false, false]);
    }

    #[test]
    fn a_night_lasts_as_long_as_it_does_when_the_clock_is_changed() {
        // 00:00 to 08:00 in Paris: seven hours on 29 March 2026, nine on 25 October 2026.
        let night = every_day(Time::midnight(), at(8, 0));
        assert_eq!(minutes_open(&night, "2026-03-28T23:00:00Z", 12), 7 * 60);
        assert_eq!(minutes_open(&night, "2026-10-24T22:00:00Z", 12), 9 * 60);
        assert_eq!(minutes_open(&night, "2026-11-21T23:00:00Z", 12), 8 * 60);
        let all_day = every_day(Time::midnight(), Time::midnight());
        assert_eq!(minutes_open(&all_day, "2026-10-24T12:00:00Z", 24), 24 * 60);
    }

    #[test]
    fn an_hour_that_comes_twice_closes_once_and_one_left_out_never_opens() {
        // On 25 October 2026, 02:00–03:00 comes twice: from 00:00 to 02:00 UTC.
        let until = every_day(Time::midnight(), at(2, 30));
        let is_open = |calendar: &Calendar, text| calendar.is_open(utc(text), &paris());
        assert!(is_open(&until, "2026-10-25T00:29:00Z") && is_open(&until, "2026-10-25T00:45:00Z"));
        assert!(is_open(&until, "2026-10-25T01:29:00Z") && !is_open(&until, "2026-10-25T01:30:00Z"));
        let from = every_day(at(2, 30), at(6, 0));
        assert!(!is_open(&from, "2026-10-25T00:29:00Z") && is_open(&from, "2026-10-25T00:30:00Z"));
        assert!(is_open(&from, "2026-10-25T01:15:00Z"), "it does not close in between");
        // On 29 March 2026, 02:00–03:00 is left out: at 01:00 UTC the clock goes to 03:00.
        let inside = every_day(at(2, 0), at(3, 0));
        assert_eq!(minutes_open(&inside, "2026-03-28T23:00:00Z", 12), 0);
        assert!(!is_open(&from, "2026-03-29T00:59:00Z") && is_open(&from, "2026-03-29T01:00:00Z"));
    }
}
