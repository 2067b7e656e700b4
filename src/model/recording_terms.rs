//! Whether, when and how the calls of a line are recorded: by the hour, announced or not, the wait included or not.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::calendar::Calendar;
use super::centre::{Line, RecordingPolicy};
use super::ids::SoundId;
use super::time::Utc;

/// How long a pause lasts unless the line says otherwise.
pub const PAUSE_MAX_USUAL: Duration = Duration::from_secs(300);

/// What a line says of its recordings beside its usual policy ([`Line::recording`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingTerms {
    /// The caller is recorded from the waiting room on, not only from the first answer.
    pub waiting: bool,
    /// Heard after the greeting by every caller whose call is recorded.
    pub notice: Option<SoundId>,
    /// The longest pause; zero: nobody may pause.
    pub pause_max: Duration,
    /// What differs at certain hours; the first that holds counts.
    pub slots: Vec<RecordingSlot>,
}

impl Default for RecordingTerms {
    fn default() -> RecordingTerms {
        RecordingTerms { waiting: false, notice: None, pause_max: PAUSE_MAX_USUAL, slots: Vec::new() }
    }
}

/// What differs at certain hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingSlot {
    /// These.
    pub hours: Calendar,
    /// What holds then.
    pub rule: RecordingRule,
}

/// How one call is recorded, as the line said when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingRule {
    /// Whether.
    pub policy: RecordingPolicy,
    /// From the waiting room on.
    pub waiting: bool,
    /// The caller is told by this.
    pub notice: Option<SoundId>,
    /// The longest pause; zero: nobody may pause.
    pub pause_max: Duration,
}

impl RecordingRule {
    /// What the caller is told: nothing when the call is not recorded.
    pub fn notice(&self) -> Option<&SoundId> {
        match self.policy {
            RecordingPolicy::Always => self.notice.as_ref(),
            RecordingPolicy::Never => None,
        }
    }
}

impl Line {
    /// How a call that comes in at `at` is recorded, by the clock on the wall of `zone`.
    pub fn recording_rule(&self, at: Utc, zone: &TimeZone) -> RecordingRule {
        let slot = self.recording_terms.slots.iter().find(|slot| slot.hours.is_open(at, zone));
        slot.map_or_else(|| self.usual_recording(), |slot| slot.rule.clone())
    }

    /// How its calls are recorded when no slot says otherwise.
    pub fn usual_recording(&self) -> RecordingRule {
        let RecordingTerms { waiting, notice, pause_max, slots: _ } = &self.recording_terms;
        RecordingRule { policy: self.recording, waiting: *waiting, notice: notice.clone(), pause_max: *pause_max }
    }
}
