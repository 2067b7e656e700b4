//! Frames found in rings and journal after a crash, put into the frame files in which they are missing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use super::Parts;
use super::kept::Kept;
use super::layout::{KEPT_FILE, SIDECAR_FILE, folder_of, frames_file, sync_file};
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
    is_safe: bool,
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
        let mut rescue =
            Rescue { parts, calls: BTreeMap::new(), unknown: BTreeSet::new(), sealed: BTreeSet::new(), is_safe: true };
        for call in calls {
            let folder = rescue.parts.settings.folder.join(folder_of(*call));
            if folder.join(SIDECAR_FILE).exists() {
                continue;
            }
            if let Err(error) = Kept::read(&folder) {
                let path = folder.join(KEPT_FILE);
                tracing::error!(%call, "what was kept of a call cannot be read ({}): {error}", path.display());
                rescue.is_safe = false;
                continue;
            }
            match key_for(&folder, rescue.parts) {
                Ok(key) => {
                    rescue.calls.insert(*call, Rescued { folder, key, legs: BTreeMap::new() });
                }
                Err(error) => {
                    tracing::error!(%call, "an unfinished recording waits for its key: {error}");
                    rescue.is_safe = false;
                }
            }
        }
        rescue
    }

    /// A frame of a recording that is sealed, or of none, is left.
    pub(super) fn take(&mut self, frame: &Frame<'_>) {
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
                    self.is_safe = false;
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

    /// Writes and syncs; whether everything found is safe, so that journal and rings may go.
    pub(super) fn finish(mut self) -> bool {
        for (call, rescued) in &mut self.calls {
            for (file, _) in rescued.legs.values_mut() {
                let written =
                    file.write().and_then(|()| sync_file(file.path())).and_then(|()| sync_file(&rescued.folder));
                if let Err(error) = written {
                    tracing::error!(%call, "rescued frames cannot be written: {error}");
                    self.is_safe = false;
                }
            }
        }
        self.is_safe
    }
}
