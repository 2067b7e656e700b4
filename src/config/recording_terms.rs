//! What a line says of its recordings: `record_waiting`, `recording_notice`, `recording_pause_max`, `recording_hours`.

use super::calendars::{Calendars, read_line_calendar};
use super::document::Section;
use super::parts::seconds;
use super::values;
use crate::model::centre::RecordingPolicy;
use crate::model::recording_terms::PAUSE_MAX_USUAL;
use crate::model::{RecordingRule, RecordingSlot, RecordingTerms, SoundId};

/// The most slots of one line: every hour of a week has one.
const SLOTS_MAX: usize = 168;
/// How policies are written.
pub(super) const POLICIES: [(&str, RecordingPolicy); 2] =
    [("always", RecordingPolicy::Always), ("never", RecordingPolicy::Never)];

const REMEDY: &str = "write when: { hours = [\"Mon-Fri 08:00-19:00\"], recording = \"never\" }, or calendar = \"ID\"";

/// Reads them; `usual` is the line's own policy, which a slot has unless it says otherwise.
pub(super) fn read_recording_terms(
    section: &Section<'_>,
    calendars: &Calendars,
    usual: RecordingPolicy,
) -> RecordingTerms {
    let waiting = section.or("record_waiting", false, values::flag);
    let notice = section.take("recording_notice", values::id).map(|name| SoundId::from(name.as_str()));
    let pause_max = section.or("recording_pause_max", PAUSE_MAX_USUAL, values::duration(seconds(0, 3600)));
    let rule = RecordingRule { policy: usual, waiting, notice: notice.clone(), pause_max };
    let each = section.each("recording_hours");
    if each.len() > SLOTS_MAX {
        let remedy = "put hours in which the same holds into one entry";
        section.report.fault(&section.path("recording_hours"), format!("has more than {SLOTS_MAX} entries"), remedy);
    }
    let slots = each.into_iter().filter_map(|one| {
        let slot = read_slot(&one, calendars, &rule);
        one.close();
        slot
    });
    RecordingTerms { waiting, notice, pause_max, slots: slots.collect() }
}

fn read_slot(one: &Section<'_>, calendars: &Calendars, usual: &RecordingRule) -> Option<RecordingSlot> {
    let rule = RecordingRule {
        policy: one.or("recording", usual.policy, values::choice(&POLICIES)),
        waiting: one.or("record_waiting", usual.waiting, values::flag),
        notice: one.take("recording_notice", values::id).map(|name| name.as_str().into()).or(usual.notice.clone()),
        pause_max: one.or("recording_pause_max", usual.pause_max, values::duration(seconds(0, 3600))),
    };
    let hours = read_line_calendar(one, calendars);
    if hours.is_none() && !one.report.has_fault_under(&one.key) {
        one.report.fault(&one.key, "does not say at which hours it holds", REMEDY);
    }
    if rule == *usual {
        one.report.warn(&one.key, "changes nothing: all is as at other hours", "say what differs, or take it out");
    }
    Some(RecordingSlot { hours: hours?, rule })
}
