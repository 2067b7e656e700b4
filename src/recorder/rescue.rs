//! Frames found in rings and journal after a crash, put into the frame files in which they are missing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use super::Parts;
use super::kept::Kept;
use super::layout::{KEPT_FILE, SIDECAR_FILE, folder_of, frames_file, sync_file, write_and_sync};
use super::seal::key_for;
use crate::journal::{Frame, FrameFile};
use crate::model::CallId;
use crate::vault::AudioKey;

/// Puts frames that are missing in their frame files there.
pub(super) struct Rescue<'a> {
    parts: &'a Parts,
    calls: BTreeMap<CallId, Rescued>,
    /// Calls with frames and neither a mark nor a sidecar.
    unknown: BTreeSet<CallId>,
    /// Calls whose frames are in a sealed recording.
    sealed: BTreeSet<CallId>,
    /// Calls that would be short of what was found, were they sealed now.
    failed: BTreeSet<CallId>,
    is_safe: bool,
}

/// What became of the frames that were found.
pub(super) struct Outcome {
    /// All are safe in frame files: journal and rings may go.
    pub(super) is_safe: bool,
    /// Calls that must not be sealed before the next attempt: their frames are in journal and rings alone.
    pub(super) failed: BTreeSet<CallId>,
}

struct Rescued {
    folder: PathBuf,
    /// Its recording's, when that is encrypted.
    key: Option<AudioKey>,
    legs: BTreeMap<u16, (FrameFile, HashSet<u32>)>,
}

impl Rescue<'_> {
    /// For these unfinished calls.
    pub(super) fn new<'a>(parts: &'a Parts, calls: &[CallId]) -> Rescue<'a> {
        let mut rescue = Rescue {
            parts,
            calls: BTreeMap::new(),
            unknown: BTreeSet::new(),
            sealed: BTreeSet::new(),
            failed: BTreeSet::new(),
            is_safe: true,
        };
        for call in calls {
            let folder = rescue.parts.settings.folder.join(folder_of(*call));
            if folder.join(SIDECAR_FILE).exists() {
                continue;
            }
            if let Err(error) = Kept::read(&folder) {
                let path = folder.join(KEPT_FILE);
                tracing::error!(%call, "what was kept of a call cannot be read ({}): {error}", path.display());
                rescue.fail(*call);
                continue;
            }
            match key_for(&folder, rescue.parts) {
                Ok(key) => {
                    rescue.calls.insert(*call, Rescued { folder, key, legs: BTreeMap::new() });
                }
                Err(error) => {
                    tracing::error!(%call, "an unfinished recording waits for its key: {error}");
                    rescue.fail(*call);
                }
            }
        }
        rescue
    }

    fn fail(&mut self, call: CallId) {
        self.is_safe = false;
        self.failed.insert(call);
    }

    /// A frame of a recording that is sealed, or of none, is left.
    pub(super) fn take(&mut self, frame: &Frame<'_>) {
        if self.failed.contains(&frame.call) {
            return;
        }
        let Some(rescued) = self.calls.get_mut(&frame.call) else {
            if !self.sealed.contains(&frame.call) && !self.unknown.contains(&frame.call) {
                let sidecar = self.parts.settings.folder.join(folder_of(frame.call)).join(SIDECAR_FILE);
                let known = if sidecar.exists() { &mut self.sealed } else { &mut self.unknown };
                known.insert(frame.call);
            }
            return;
        };
        if !rescued.legs.contains_key(&frame.leg) {
            let path = rescued.folder.join(frames_file(frame.leg));
            let mut known = HashSet::new();
            match FrameFile::reopen(path, rescued.key.as_ref(), |_, frame| {
                known.insert(frame.number);
            }) {
                Ok(file) => rescued.legs.insert(frame.leg, (file, known)),
                Err(error) => {
                    tracing::error!(call = %frame.call, leg = frame.leg, "a frame file cannot be opened: {error}");
                    self.fail(frame.call);
                    return;
                }
            };
        }
        if let Some((file, known)) = rescued.legs.get_mut(&frame.leg)
            && known.insert(frame.number)
        {
            file.append(frame);
        }
    }

    /// Calls with frames and nothing else, so far.
    pub(super) fn take_unknown(&mut self) -> BTreeSet<CallId> {
        std::mem::take(&mut self.unknown)
    }

    /// Writes and syncs. The whole of each file is written again: of what it held before, an earlier run, or an earlier
    /// attempt, may have been told that it is on no disk, and nobody is told twice (decision 34).
    pub(super) fn finish(mut self) -> Outcome {
        let mut calls = std::mem::take(&mut self.calls);
        for (call, rescued) in &mut calls {
            for (file, _) in rescued.legs.values_mut() {
                let written =
                    file.write().and_then(|()| write_and_sync(file.path())).and_then(|()| sync_file(&rescued.folder));
                if let Err(error) = written {
                    tracing::error!(%call, "rescued frames cannot be written; its recording is not sealed yet: {error}");
                    self.fail(*call);
                }
            }
        }
        Outcome { is_safe: self.is_safe, failed: self.failed }
    }
}
