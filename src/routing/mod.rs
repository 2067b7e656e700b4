//! From the number dialled and the hour to a line: a caller is never refused for dialling a number nobody knows.

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
        Some(hours) => hours.contains(now.utc.timestamp().to_zoned(centre.zone.clone()).datetime()),
    }
}
