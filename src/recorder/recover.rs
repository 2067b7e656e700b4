//! After a crash: every frame found in rings and journal goes to its leg's frame file, every unfinished recording is sealed.
//!
//! Done twice it changes nothing: frames are known by leg and number, seals by their place in the seal log.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::kept::{Kept, unfinished};
use super::layout::{SIDECAR_FILE, folder_of, journal_folder, open_folder, remove_file};
use super::rescue::Rescue;
use super::seal::{Sealer, sealed_there};
use super::{Parts, RecorderError, journal_fault, remembered};
use crate::clock;
use crate::journal::ring::{LeftRing, RingError};
use crate::journal::segment::{read_all, remove_idle_keys, set_damaged_aside};
use crate::journal::{Frame, JournalLock};
use crate::model::{CallId, CallRecord, SealedRecording};
use crate::vault::{Keys, VaultError};

/// The ending of journal segments that hold frames of unknown calls.
const ORPHANS: &str = "orphans";

/// Finishes what an earlier run left: to be called before media starts, and before the rings are made anew.
///
/// A recording that cannot be sealed now (a full disk), or whose frames cannot be brought to the disk, is told in the log
/// and left for the next attempt, with all its frames; it keeps nobody from answering calls. What an earlier run sealed without forgetting it is reported again.
///
/// # Errors
/// [`RecorderError::InUse`], [`RecorderError::Ring`] and [`SealError::Log`](super::SealError) before anything is changed,
/// when a living process still records here: journal, rings and seal log are locked first, and held to the end.
///
/// `live` are the calls that the database holds for live: one that was killed before its `call.json` was on the disk is
/// known from there.
pub fn recover(parts: &Parts, live: &[CallRecord]) -> Result<Vec<SealedRecording>, RecorderError> {
    let journal = journal_folder(&parts.state);
    let _journal_lock = JournalLock::take(&journal).map_err(journal_fault(journal.clone()))?;
    let rings = lock_rings(&parts.ring_folder)?;
    let mut sealer = Sealer::open(parts)?;
    if let Some(warning) = sealer.take_warning() {
        tracing::error!("{warning}");
    }
    let fault = |act| move |source| RecorderError::File { act, path: parts.state.clone(), source };
    set_aside_damaged(&journal, (&parts.keys, u64::MAX))?;
    remembered::keep(parts, &journal, &rings, live).map_err(fault("keeping what the database knows of calls in"))?;
    let mut calls = unfinished(&parts.state).map_err(fault("listing unfinished recordings in"))?;
    for call in calls.extract_if(.., |call| Kept::was_never(&parts.settings.folder.join(folder_of(*call)))) {
        let mark = open_folder(&parts.state).join(call.to_string());
        remove_file(&mark).map_err(fault("removing the mark of a call in"))?;
    }
    let mut rescue = Rescue::new(parts, &calls);
    let segments = match read_all(&journal, (&parts.keys, u64::MAX), |frame| rescue.take(&frame)) {
        Ok(segments) => segments,
        Err(error @ VaultError::File { .. }) => return Err(error.into()),
        Err(error) => {
            // Everything stays as it is: rings and segments are kept aside, and read when the key is there.
            // Only what has a sidecar is sealed: its number is taken, its line needs no key, and no other call may come first.
            tracing::error!(unfinished = calls.len(), "recordings cannot be finished yet, and are kept: {error}");
            calls.retain(|call| has_sidecar(parts, *call));
            return Ok(seal_each(&mut sealer, in_sealing_order(parts, calls)));
        }
    };
    // Rings hold old frames of recordings long sealed; the journal's are at most a minute old and should all be known.
    let orphans = rescue.take_unknown();
    let rings = scan_rings(rings, |frame| rescue.take(&frame));
    let rescued = rescue.finish();
    calls.retain(|call| !rescued.failed.contains(call));
    let sealed = seal_each(&mut sealer, in_sealing_order(parts, calls));
    if rescued.is_safe {
        let segments = segments.into_iter().map(|(path, _)| path).collect();
        forget(segments, &rings, &orphans)?;
        remove_idle_keys(&journal, u64::MAX).map_err(fault("removing keys from"))?;
    }
    Ok(sealed)
}

/// Seals what can be sealed; the rest is told and left.
pub(super) fn seal_each(sealer: &mut Sealer, calls: Vec<CallId>) -> Vec<SealedRecording> {
    let mut sealed = Vec::new();
    for call in calls {
        match sealer.seal(call, true, clock::utc()) {
            Ok(seal) => {
                for silence in seal.silences.iter().filter(|silence| silence.is_alarming()) {
                    tracing::error!(%call, "a recovered recording is not whole: {}", silence.describe());
                }
                sealed.push(seal.recording);
            }
            Err(error) => tracing::error!(%call, "an unfinished recording is not sealed yet: {error}"),
        }
    }
    sealed
}

/// Removes what was read and is safe elsewhere.
pub(super) fn forget(
    segments: Vec<PathBuf>,
    rings: &[LeftRing],
    orphans: &BTreeSet<CallId>,
) -> Result<(), RecorderError> {
    let segments = if orphans.is_empty() { segments } else { set_aside(segments, orphans) };
    for path in segments.into_iter().chain(rings.iter().map(|ring| ring.path().to_owned())) {
        remove_file(&path).map_err(|source| RecorderError::File { act: "removing", path, source })?;
    }
    Ok(())
}

/// Frames whose call left nothing else behind are evidence still: their segments are renamed, not removed. Those that
/// could not be renamed stay as they are, too.
fn set_aside(segments: Vec<PathBuf>, orphans: &BTreeSet<CallId>) -> Vec<PathBuf> {
    for path in segments {
        let aside = path.with_extension(ORPHANS);
        tracing::error!(
            "the journal has frames of calls of which nothing is known ({orphans:?}); kept as {}",
            aside.display()
        );
        if let Err(error) = std::fs::rename(&path, &aside) {
            tracing::error!("{} cannot be set aside: {error}", path.display());
        }
    }
    Vec::new()
}

/// Sets segments aside that no key will open: they are evidence, and must not keep the rest from being sealed. What is told
/// of them.
pub(super) fn set_aside_damaged(journal: &Path, segments: (&Keys, u64)) -> Result<Vec<String>, RecorderError> {
    let mut told = Vec::new();
    for (path, error) in set_damaged_aside(journal, segments)? {
        let text = format!(
            "a journal segment of an earlier run cannot be read ({error}); kept as {}: what it alone held is missing in its recordings, as a gap or as an earlier end",
            path.display()
        );
        tracing::error!("{text}");
        told.push(text);
    }
    Ok(told)
}

/// Whether a recording's sidecar is there: then its number in the seal log is taken, line or no.
pub(super) fn has_sidecar(parts: &Parts, call: CallId) -> bool {
    parts.settings.folder.join(folder_of(call)).join(SIDECAR_FILE).exists()
}

/// Those first that have a sidecar already, by its sequence: their lines may be missing in the seal log.
pub(super) fn in_sealing_order(parts: &Parts, mut calls: Vec<CallId>) -> Vec<CallId> {
    let place = |call: &CallId| match sealed_there(&parts.settings.folder, *call) {
        Ok(Some(sealed)) => (sealed.seal_sequence, *call),
        Ok(None) | Err(_) => (u64::MAX, *call),
    };
    calls.sort_by_cached_key(place);
    calls
}

/// Locks the rings of runs that are gone. One that a living process has is another Vigie's: then nothing is touched.
fn lock_rings(folder: &Path) -> Result<Vec<LeftRing>, RecorderError> {
    let fault = |source| RecorderError::File { act: "listing the rings in", path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(fault)?,
    };
    let mut rings = Vec::new();
    for entry in entries {
        let path = entry.map_err(fault)?.path();
        if !path.is_file() {
            continue;
        }
        match LeftRing::lock(&path) {
            Ok(ring) => rings.push(ring),
            // No ring at all: not ours to touch.
            Err(RingError::NotARing { .. }) => (),
            Err(error @ RingError::InUse { .. }) => return Err(RecorderError::Ring(error)),
            Err(error) => tracing::error!("a ring of an earlier run cannot be read: {error}"),
        }
    }
    Ok(rings)
}

/// Hands out the frames of the rings; the rings that were read whole.
pub(super) fn scan_rings(rings: Vec<LeftRing>, mut each: impl FnMut(Frame<'_>)) -> Vec<LeftRing> {
    let mut is_read = |ring: &LeftRing| match ring.scan(&mut each) {
        Ok(_) => true,
        // A file cut short is no ring any more; what it held is lost, and it is left for somebody to look at.
        Err(error) => {
            tracing::error!("a ring of an earlier run cannot be read: {error}");
            false
        }
    };
    rings.into_iter().filter(|ring| is_read(ring)).collect()
}
