//! The last day's calls, asked of the configuration in force and of another one: what differs is counted, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::reach;
use crate::model::centre::RecordingPolicy;
use crate::model::{CallRecord, Centre, LineId, Moment, Now, RegulatorId, Utc};
use crate::routing::{self, Routed};
use crate::web::{LastDay, Moved};

/// Who can answer each line, at any step.
pub(super) type Able = BTreeMap<LineId, BTreeSet<RegulatorId>>;

/// Who can answer each line of a centre.
pub(super) fn able(centre: &Centre) -> Able {
    let mut able = Able::new();
    for step in reach(centre) {
        able.entry(step.line).or_default().extend(step.regulators);
    }
    able
}

/// A configuration that calls are asked of.
pub(super) struct Under<'a> {
    pub(super) centre: &'a Centre,
    pub(super) able: &'a Able,
}

impl<'a> Under<'a> {
    fn route(&self, record: &CallRecord) -> Option<Routed<'a>> {
        let trunk = self.centre.trunks.get(&record.trunk)?;
        // Opening hours are read on the wall's clock alone.
        let then = Now { moment: Moment(0), utc: record.received_at };
        routing::route(self.centre, trunk, &record.ddi_raw, then)
    }

    fn has_anybody(&self, line: &LineId) -> bool {
        self.able.get(line).is_some_and(|able| !able.is_empty())
    }

    fn can(&self, person: &RegulatorId, line: &LineId) -> bool {
        self.able.get(line).is_some_and(|able| able.contains(person))
    }

    fn records(&self, line: &LineId, at: Utc) -> bool {
        let rule = self.centre.lines.get(line).map(|line| line.recording_rule(at, &self.centre.zone));
        rule.is_some_and(|rule| rule.policy != RecordingPolicy::Never)
    }
}

/// The last day, call by call.
pub(super) struct Rerun<'a> {
    old: Under<'a>,
    new: Under<'a>,
    moved: BTreeMap<(LineId, LineId), u64>,
    pub(super) day: LastDay,
}

impl<'a> Rerun<'a> {
    pub(super) fn new(old: Under<'a>, new: Under<'a>) -> Rerun<'a> {
        Rerun { old, new, moved: BTreeMap::new(), day: LastDay::default() }
    }

    pub(super) fn add(&mut self, record: &CallRecord) {
        self.day.calls += 1;
        let (Some(was), Some(is)) = (self.old.route(record), self.new.route(record)) else { return };
        if was.line.id != is.line.id {
            *self.moved.entry((was.line.id.clone(), is.line.id.clone())).or_default() += 1;
        }
        self.day.unknown_numbers += u64::from(is.fallback && !was.fallback);
        self.day.closed += u64::from(record.queued_at.is_some() && was.open && !is.open);
        // A menu, an overflow or a transfer led on to another line, and would again.
        let is_led_on = record.line != was.line.id;
        let (before, after) = if is_led_on { (&record.line, &record.line) } else { (&was.line.id, &is.line.id) };
        let (old, new) = (&self.old, &self.new);
        self.day.unserved += u64::from(old.has_anybody(before) && !new.has_anybody(after));
        let is_lost = |person: &RegulatorId| old.can(person, before) && !new.can(person, after);
        self.day.answered_by_others += u64::from(record.regulator.as_ref().is_some_and(is_lost));
        let (was_recorded, at) = (record.recording == RecordingPolicy::Always, record.received_at);
        self.day.unrecorded += u64::from(was_recorded && old.records(before, at) && !new.records(after, at));
    }

    pub(super) fn end(mut self) -> LastDay {
        let mut moved: Vec<Moved> =
            self.moved.into_iter().map(|((from, to), calls)| Moved { from, to, calls }).collect();
        moved.sort_by_key(|moved| std::cmp::Reverse(moved.calls));
        self.day.moved = moved;
        self.day
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Settings;
    use crate::routing::sample::record;

    fn sample() -> String {
        std::fs::read_to_string(file()).expect("the sample")
    }

    fn file() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("config/vigie.toml")
    }

    fn call(ddi: &str, line: &str, regulator: &str) -> CallRecord {
        record("+33600000001", ddi, line, regulator)
    }

    /// What the last day says of these calls when `from` is `to` in the sample.
    fn told((from, to): (&str, &str), calls: &[CallRecord]) -> LastDay {
        assert!(sample().contains(from), "{from}");
        let read = |text: &str| Settings::from_text(text, &file()).unwrap_or_else(|faults| panic!("{faults}")).centre;
        let (old, new) = (read(&sample()), read(&sample().replacen(from, to, 1)));
        let (able_old, able_new) = (able(&old), able(&new));
        let old = Under { centre: &old, able: &able_old };
        let mut rerun = Rerun::new(old, Under { centre: &new, able: &able_new });
        calls.iter().for_each(|call| rerun.add(call));
        rerun.end()
    }

    /// What differs, without the number of calls.
    fn counted(day: &LastDay) -> (Vec<(String, String)>, [u64; 5]) {
        let moved = day.moved.iter().map(|moved| (moved.from.to_string(), moved.to.to_string())).collect();
        (moved, [day.unknown_numbers, day.closed, day.unserved, day.answered_by_others, day.unrecorded])
    }

    #[test]
    fn calls_that_a_menu_or_a_transfer_led_on_are_no_difference() {
        // Answered on lines that their numbers do not lead to; by whoever those lines have, and by nobody's like.
        let calls = [
            call("0261910203", "rouen", "anne"),
            call("0261910203", "cherbourg", "nobody-like-this"),
            call("0199999999", "rouen", "anne"),
        ];
        let day = told(("scarcity = 15", "scarcity = 14"), &calls);
        assert_eq!((day.calls, counted(&day)), (3, (vec![], [0; 5])));
    }

    #[test]
    fn what_another_configuration_does_to_the_same_calls_is_counted() {
        let english = call("0261910203", "rouen-en", "bruno");
        let day = told(("ddis = [\"+33261910203\"]", "ddis = [\"+33261910204\"]"), std::slice::from_ref(&english));
        let (moved, [unknown, ..]) = counted(&day);
        assert_eq!((moved.len(), moved[0].0.as_str(), unknown), (1, "rouen-en", 1));
        let (_, [.., by_others, _]) = counted(&told(
            ("[regulators.bruno]", "[regulators.brunehilde]"),
            &[english, call("0261910201", "rouen-en", "bruno"), call("0261910201", "rouen", "anne")],
        ));
        assert_eq!(by_others, 2, "whichever way his calls came to his line");
    }
}
