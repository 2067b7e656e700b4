//! Recordings of an earlier run that waited for the key-encryption key: finished when it is there, beside live calls.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc::SyncSender;

use super::RecorderError;
use super::kept::unfinished;
use super::layout::journal_folder;
use super::recover::{forget, in_sealing_order, scan_rings, seal_each};
use super::rescue::Rescue;
use super::seal::Sealer;
use crate::journal::ring::LeftRing;
use crate::journal::segment::{read_all, remove_idle_keys};
use crate::model::{CallId, SealedRecording};

/// What to leave alone, and whom to tell.
#[derive(Debug)]
pub(super) struct Late {
    /// Calls of this run.
    pub(super) live: BTreeSet<CallId>,
    /// Segments from this number on are of this run.
    pub(super) first_segment: u64,
    /// Gets what was sealed.
    pub(super) answer: SyncSender<Vec<SealedRecording>>,
}

/// Does for an earlier run what [`recover`](super::recover()) does before a start.
pub(super) fn seal_late(late: Late, sealer: &mut Sealer) {
    let sealed = finish(&late, sealer).unwrap_or_else(|error| {
        tracing::error!("recordings that waited for their keys still do: {error}");
        Vec::new()
    });
    // Nobody waits any more when Vigie stops.
    let _ = late.answer.try_send(sealed);
}

fn finish(late: &Late, sealer: &mut Sealer) -> Result<Vec<SealedRecording>, RecorderError> {
    let parts = sealer.parts().clone();
    let journal = journal_folder(&parts.state);
    let fault = |act: &'static str| {
        let path = parts.state.clone();
        move |source| RecorderError::File { act, path, source }
    };
    let mut calls = unfinished(&parts.state).map_err(fault("listing unfinished recordings in"))?;
    calls.retain(|call| !late.live.contains(call));
    let mut rescue = Rescue::new(&parts, &calls);
    let segments = read_all(&journal, (&parts.keys, late.first_segment), |frame| rescue.take(&frame))?;
    let orphans = rescue.take_unknown();
    let rings = scan_rings(left_rings(&parts.ring_folder), |frame| rescue.take(&frame));
    let is_safe = rescue.finish();
    let sealed = seal_each(sealer, in_sealing_order(&parts, calls));
    if is_safe {
        forget(segments.into_iter().map(|(path, _)| path).collect(), &rings, &orphans)?;
        remove_idle_keys(&journal, late.first_segment).map_err(fault("removing keys from"))?;
    }
    Ok(sealed)
}

/// The rings that this run's start kept aside; its own are locked by it.
fn left_rings(folder: &Path) -> Vec<LeftRing> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains(".left-"));
    paths.filter_map(|path| LeftRing::lock(&path).ok()).collect()
}
