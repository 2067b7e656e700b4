//! Recordings of an earlier run that the start could not finish, for want of a key or of a disk that works: finished beside
//! live calls.
//!
//! One at a time: between two of them the sealing thread does whatever else it was asked for meanwhile.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

use super::kept::unfinished;
use super::layout::journal_folder;
use super::recover::{forget, has_sidecar, in_sealing_order, scan_rings, seal_each, set_aside_damaged};
use super::rescue::Rescue;
use super::seal::Sealer;
use super::{Parts, RecorderError};
use crate::journal::ring::LeftRing;
use crate::journal::segment::{read_all, remove_idle_keys};
use crate::model::{CallId, SealedRecording};

/// What became of recordings that an earlier run had left.
#[derive(Debug, Default)]
pub struct LateSeals {
    /// Sealed now.
    pub sealed: Vec<SealedRecording>,
    /// Still unfinished: the log says why. They are tried again when it is asked for.
    pub waiting: usize,
    /// What was damaged and set aside, in words.
    pub damaged: Vec<String>,
}

/// What to seal, and whom to tell.
#[derive(Debug)]
pub(super) struct Late {
    /// Calls of earlier runs, as they were when this one began.
    pub(super) left: BTreeSet<CallId>,
    /// Segments from this number on are of this run.
    pub(super) first_segment: u64,
    /// Gets what came of it; dropped unanswered when nobody does it.
    pub(super) answer: SyncSender<LateSeals>,
}

/// The work on it, under way.
pub(super) struct LateWork {
    late: Late,
    calls: VecDeque<CallId>,
    sealed: Vec<SealedRecording>,
    damaged: Vec<String>,
    /// What may go when all are sealed; nothing, when not all of it is safe elsewhere.
    read: Option<Read>,
}

/// What was read whole.
struct Read {
    segments: Vec<PathBuf>,
    rings: Vec<LeftRing>,
    orphans: BTreeSet<CallId>,
}

impl LateWork {
    /// Does for an earlier run what [`recover`](super::recover()) does before a start, but for the seals; `None`: there is
    /// nothing more to do.
    pub(super) fn begin(late: Late, sealer: &mut Sealer) -> Option<LateWork> {
        let mut work = LateWork { late, calls: VecDeque::new(), sealed: Vec::new(), damaged: Vec::new(), read: None };
        if let Err(error) = work.rescue(sealer) {
            tracing::error!("recordings that waited for their keys still do: {error}");
            work.tell(sealer.parts());
            return None;
        }
        Some(work)
    }

    fn rescue(&mut self, sealer: &mut Sealer) -> Result<(), RecorderError> {
        let parts = sealer.parts().clone();
        let journal = journal_folder(&parts.state);
        let mut calls = unfinished(&parts.state).map_err(fault("listing unfinished recordings in", &parts))?;
        calls.retain(|call| self.late.left.contains(call));
        let end = self.late.first_segment;
        self.damaged = set_aside_damaged(&journal, (&parts.keys, end))?;
        let mut rescue = Rescue::new(&parts, &calls);
        let segments = read_all(&journal, (&parts.keys, end), |frame| rescue.take(&frame))?;
        let segments = segments.into_iter().map(|(path, _)| path).collect();
        let orphans = rescue.take_unknown();
        let rings = scan_rings(left_rings(&parts.ring_folder), |frame| rescue.take(&frame));
        let rescued = rescue.finish();
        calls.retain(|call| !rescued.failed.contains(call));
        self.read = rescued.is_safe.then_some(Read { segments, rings, orphans });
        // What has a sidecar has its number in the seal log: nothing may come before it.
        let (numbered, rest): (Vec<_>, Vec<_>) =
            in_sealing_order(&parts, calls).into_iter().partition(|call| has_sidecar(&parts, *call));
        self.sealed = seal_each(sealer, numbered);
        self.calls = rest.into();
        Ok(())
    }

    /// Seals the next one; `None` after the last.
    pub(super) fn go_on(mut self, sealer: &mut Sealer) -> Option<LateWork> {
        if let Some(call) = self.calls.pop_front() {
            self.sealed.extend(seal_each(sealer, vec![call]));
            return Some(self);
        }
        if let Err(error) = self.forget(sealer.parts()) {
            tracing::error!("what was read of an earlier run is read again at the next start: {error}");
        }
        self.tell(sealer.parts());
        None
    }

    fn forget(&mut self, parts: &Parts) -> Result<(), RecorderError> {
        let Some(Read { segments, rings, orphans }) = self.read.take() else { return Ok(()) };
        forget(segments, &rings, &orphans)?;
        let removed = remove_idle_keys(&journal_folder(&parts.state), self.late.first_segment);
        removed.map_err(fault("removing keys from", parts))
    }

    /// Tells what was sealed so far; the rest, if there is one, is left for the next time.
    pub(super) fn tell(self, parts: &Parts) {
        let left = self.late.left;
        let waiting = match unfinished(&parts.state) {
            Ok(calls) => calls.iter().filter(|call| left.contains(call)).count(),
            Err(_) => left.len(),
        };
        // Nobody waits any more when Vigie stops.
        let _ = self.late.answer.try_send(LateSeals { sealed: self.sealed, waiting, damaged: self.damaged });
    }
}

fn fault(act: &'static str, parts: &Parts) -> impl FnOnce(std::io::Error) -> RecorderError + use<> {
    let path = parts.state.clone();
    move |source| RecorderError::File { act, path, source }
}

/// The rings that this run's start kept aside; its own are locked by it.
fn left_rings(folder: &Path) -> Vec<LeftRing> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains(".left-"));
    paths.filter_map(|path| LeftRing::lock(&path).ok()).collect()
}
