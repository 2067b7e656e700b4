//! From the number dialled and the hour to a line: a caller is never refused for dialling a number nobody knows.

#[cfg(test)]
pub(crate) mod sample;

pub use crate::model::outside::outside;

use crate::model::{Centre, E164, Line, Now, Trunk};

/// Where a call goes.
#[derive(Clone, Debug)]
pub struct Routed<'a> {
    /// The line that takes it.
    pub line: &'a Line,
    /// The DDI in E.164, when it could be read as a number.
    pub ddi: Option<E164>,
    /// Whether no line knew the DDI, so that the trunk's fallback line takes the call. Worth an alarm.
    pub fallback: bool,
    /// Whether the line is open at this hour; otherwise the caller is told so.
    pub open: bool,
}

/// Finds the line of `ddi_raw`, the number dialled as the trunk wrote it.
///
/// A number that no line knows goes to the trunk's fallback line. `None` only when that line does not exist
/// either, which a checked configuration rules out.
pub fn route<'a>(centre: &'a Centre, trunk: &Trunk, ddi_raw: &str, now: Now) -> Option<Routed<'a>> {
    let ddi = trunk.numbers.normalise(ddi_raw);
    let known = ddi.as_ref().and_then(|ddi| centre.ddis.get(ddi)).and_then(|line| centre.lines.get(line));
    let line = known.or_else(|| centre.lines.get(&trunk.fallback_line))?;
    Some(Routed { line, ddi, fallback: known.is_none(), open: is_open(centre, line, now) })
}

/// Whether `line` is open now, by the clock on the centre's wall.
pub fn is_open(centre: &Centre, line: &Line, now: Now) -> bool {
    match &line.hours {
        None => true,
        Some(hours) => hours.is_open(now.utc, &centre.zone),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{Time, Weekday};

    use super::sample::{centre, demand, line, trunk};
    use super::*;
    use crate::model::Utc;
    use crate::model::calendar::Calendar;
    use crate::model::centre::WeeklyHours;

    fn two_lines() -> Centre {
        let ask = || demand("cherbourg", &[("regulation", 50)], &[]);
        centre(Vec::new(), vec![line("cherbourg", "+33233010101", ask()), line("rouen", "+33235020202", ask())])
    }

    fn at(text: &str) -> Now {
        let timestamp: jiff::Timestamp = text.parse().expect("a time");
        Now { utc: Utc(timestamp.as_microsecond()), ..Now::default() }
    }

    #[test]
    fn a_known_ddi_reaches_its_line_however_the_trunk_writes_it() {
        let centre = two_lines();
        for written in ["0235020202", "+33235020202", "0033235020202", "tel:+33-2-35-02-02-02"] {
            let routed = route(&centre, &trunk("cherbourg"), written, Now::default()).expect("a line");
            assert_eq!((routed.line.id.as_str(), routed.fallback, routed.open), ("rouen", false, true), "{written}");
        }
    }

    #[test]
    fn a_ddi_that_no_line_knows_goes_to_the_fallback_line() {
        let centre = two_lines();
        let routed = route(&centre, &trunk("cherbourg"), "0199999999", Now::default()).expect("a line");
        assert_eq!((routed.line.id.as_str(), routed.fallback), ("cherbourg", true));
        assert_eq!(routed.ddi.map(|ddi| ddi.to_string()).as_deref(), Some("+33199999999"));
    }

    #[test]
    fn what_is_no_number_goes_to_the_fallback_line() {
        let centre = two_lines();
        for written in ["", "anonymous", "15", "\u{fffd}"] {
            let routed = route(&centre, &trunk("rouen"), written, Now::default()).expect("a line");
            assert_eq!((routed.line.id.as_str(), routed.fallback, routed.ddi), ("rouen", true, None), "{written}");
        }
    }

    #[test]
    fn opening_hours_are_read_on_the_centres_own_clock_in_summer_and_winter() {
        let mut centre = two_lines();
        let hours = WeeklyHours { spans: vec![(Weekday::Monday, Time::constant(8, 0, 0, 0), Time::midnight())] };
        centre.lines.values_mut().for_each(|line| line.hours = Some(Calendar::of_week(hours.clone())));
        let open = |text| route(&centre, &trunk("rouen"), "0235020202", at(text)).expect("a line").open;
        // Winter: Paris is UTC+1; summer: UTC+2.
        assert!(!open("2026-11-23T06:59:59Z") && open("2026-11-23T07:00:00Z"));
        assert!(!open("2026-07-20T05:59:59Z") && open("2026-07-20T06:00:00Z"));
        // To the end of Monday in Paris, which is still Monday in UTC.
        assert!(open("2026-11-23T22:59:59Z") && !open("2026-11-23T23:00:00Z"));
    }
}
