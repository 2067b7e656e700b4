//! The second look at what a running Vigie may have changed during a check: what it adds, seals or lawfully deletes has
//! its line in the seal log a moment later, so the log's new lines are read and the doubtful judged once more.

use std::path::{Path, PathBuf};

use super::{FINDINGS_MAX, NOTES_MAX, Seals, Verdict, VerifyError, foreign};

/// So many recordings are looked at again; what is wrong with more is nobody's lawful work of a few minutes.
const DOUBTFUL_MAX: usize = 1000;
/// So often at most: what a busy Vigie changes while it is looked at again is another recording each time.
const LOOKS_MAX: usize = 3;

/// What waits for another look.
#[derive(Default)]
pub(super) struct Again {
    doubtful: Vec<(PathBuf, Verdict)>,
}

impl Again {
    /// Takes what was found in one recording.
    pub(super) fn take(&mut self, folder: &Path, one: Verdict, verdict: &mut Verdict) {
        if one.is_sound() || self.doubtful.len() >= DOUBTFUL_MAX {
            verdict.take(one);
        } else {
            self.doubtful.push((folder.to_owned(), one));
        }
    }

    /// Checks what is no recording's, and looks at what is doubtful again for as long as the seal logs grow.
    pub(super) fn judge(mut self, seals: &mut Seals, target: &Path, verdict: &mut Verdict) -> Result<(), VerifyError> {
        let mut rest = seals.check_rest(target);
        for _ in 0..LOOKS_MAX {
            let is_doubtful = !self.doubtful.is_empty() || !rest.is_sound();
            if !is_doubtful || !seals.read_logs(target, verdict)? {
                break;
            }
            for (folder, one) in &mut self.doubtful {
                *one = seals.check_one(folder);
            }
            rest = seals.check_rest(target);
        }
        self.doubtful.into_iter().for_each(|(_, one)| verdict.take(one));
        verdict.take(rest);
        Ok(())
    }
}

impl Seals {
    /// All that is found in one recording.
    pub(super) fn check_one(&self, folder: &Path) -> Verdict {
        let mut one = Verdict::default();
        self.check_recording(folder, &mut one);
        foreign::note_in_recording(folder, &mut one);
        (one.recordings, one.recordings_wrong) = (1, u64::from(!one.is_sound()));
        one
    }

    /// What is no recording's: the logs, what lies beside them, and what they have and is nowhere.
    fn check_rest(&self, target: &Path) -> Verdict {
        let mut rest = Verdict::default();
        self.check_beside_logs(&mut rest);
        self.check_what_is_missing(target, &mut rest);
        self.find_certificates(target, &mut rest);
        rest
    }
}

impl Verdict {
    /// Adds what was found elsewhere.
    pub(super) fn take(&mut self, other: Verdict) {
        self.recordings += other.recordings;
        self.recordings_wrong += other.recordings_wrong;
        self.recordings_deleted += other.recordings_deleted;
        self.findings_total += other.findings_total;
        self.notes_total += other.notes_total;
        let room = FINDINGS_MAX.saturating_sub(self.findings.len());
        self.findings.extend(other.findings.into_iter().take(room));
        let room = NOTES_MAX.saturating_sub(self.notes.len());
        self.notes.extend(other.notes.into_iter().take(room));
    }
}
