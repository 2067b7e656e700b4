//! Whether calls, events and files agree: every answered call has its recording or a stated reason, and nothing else is there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::archived::Archived;
use crate::model::centre::RecordingPolicy;
use crate::model::{CallId, CallRecord, Outcome, SealedRecording, Utc};
use crate::recorder::deposit::{Addendum, addenda_in, addendum_of};
use crate::recorder::layout::{KEPT_FILE, SIDECAR_FILE, folder_of};
use crate::recorder::render::hex;
use crate::storage::events::StoredEvent;
use crate::storage::recordings::RecordingFailure;
use crate::storage::{CallFilter, ROWS_MAX, Storage, StorageError, calls, deletions, events, recordings};
use crate::vault::FLAC_FILE;

/// So many differences are kept; the rest is counted.
pub const DIFFERENCES_MAX: usize = 1000;
/// A call that ended so lately may still be sealed, in microseconds: 15 minutes.
const SETTLED_AFTER_US: i64 = 15 * 60 * 1_000_000;
/// A recording may be so much shorter than the talk: the last words' packets were on their way.
const SHORTER_MS_MAX: u64 = 2000;

/// The comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A folder of the recordings.
    #[error("reading {path}: {source}; check its rights and the disk")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The thread that looks at files.
    #[error("the files could not be looked at: {0}")]
    Task(String),
}

/// What kind of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// An answered call without a recording or a reason.
    NoRecording,
    /// The database names a recording whose files are not there.
    FileMissing,
    /// The files are not those that the database names.
    FileDiffers,
    /// The files of a recording that the database does not know.
    NotInDatabase,
    /// The files of a call that the database does not know.
    UnknownCall,
    /// A recording that was begun and is not sealed long after its call.
    Unfinished,
    /// Something happened to the call and no event tells so, or an event tells what did not happen.
    Event,
    /// The recording is shorter than the talk.
    TooShort,
}

impl DifferenceKind {
    /// As JSON and the command write it.
    pub fn name(self) -> &'static str {
        match self {
            DifferenceKind::NoRecording => "no-recording",
            DifferenceKind::FileMissing => "file-missing",
            DifferenceKind::FileDiffers => "file-differs",
            DifferenceKind::NotInDatabase => "not-in-database",
            DifferenceKind::UnknownCall => "unknown-call",
            DifferenceKind::Unfinished => "unfinished",
            DifferenceKind::Event => "event",
            DifferenceKind::TooShort => "too-short",
        }
    }
}

/// One thing that does not agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Of this call.
    pub call: CallId,
    /// What kind.
    pub kind: DifferenceKind,
    /// In words, with what to do.
    pub what: String,
}

/// A call that has no recording, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Excused {
    /// The call.
    pub call: CallId,
    /// Why.
    pub reason: String,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reconciliation {
    /// Calls that came in then.
    pub calls: u64,
    /// Of them answered, by a regulator or by voicemail.
    pub answered: u64,
    /// Of those recorded.
    pub recorded: u64,
    /// Of those not recorded because their line said so.
    pub not_to_be_recorded: u64,
    /// Calls that are not over, or so lately that they may still be sealed.
    pub pending: u64,
    /// Folders of recordings.
    pub folders: u64,
    /// Calls whose recording failed and says why, at most [`DIFFERENCES_MAX`].
    pub excused: Vec<Excused>,
    /// How many there are in all.
    pub excused_total: u64,
    /// What does not agree, at most [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
    /// How many there are in all.
    pub differences_total: u64,
}

impl Reconciliation {
    fn add(&mut self, call: CallId, kind: DifferenceKind, what: impl Into<String>) {
        self.differences_total += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(Difference { call, kind, what: what.into() });
        }
    }

    fn excuse(&mut self, call: CallId, reason: String) {
        self.excused_total += 1;
        if self.excused.len() < DIFFERENCES_MAX {
            self.excused.push(Excused { call, reason });
        }
    }
}

/// The first instant of a day in `zone`, and that of the next.
pub fn span_of(day: Date, zone: &TimeZone) -> Option<(Utc, Utc)> {
    let start = |day: Date| Some(Utc(day.to_zoned(zone.clone()).ok()?.timestamp().as_microsecond()));
    Some((start(day)?, start(day.checked_add(1.day()).ok()?)?))
}

/// Compares the calls that came in `from..to` with their events and files; `now` tells which may still be sealed.
///
/// # Errors
/// [`ReconcileError`], when the database or a folder cannot be read: then nothing was compared.
pub async fn reconcile(
    storage: &Storage,
    folder: &Path,
    (from, to): (Utc, Utc),
    now: Utc,
) -> Result<Reconciliation, ReconcileError> {
    let root = folder.to_owned();
    let looked = tokio::task::spawn_blocking(move || list_folders(&root, (from, to)));
    let mut found = looked.await.map_err(|error| ReconcileError::Task(error.to_string()))??;
    let mut told = Reconciliation { folders: found.len() as u64, ..Reconciliation::default() };
    let mut filter = CallFilter { from: Some(from), to: Some(to), limit: Some(ROWS_MAX), ..CallFilter::default() };
    loop {
        let page = calls::list(storage, &filter).await?;
        for record in page.items {
            let recording = recordings::one(storage, record.id).await?;
            let deletion = if recording.is_none() { deletion_of(storage, record.id).await? } else { None };
            let known = Known {
                events: events::of_call(storage, record.id).await?,
                recording,
                deletion,
                failure: recordings::failure(storage, record.id).await?,
                files: found.remove(&record.id),
                record,
            };
            known.compare(now, &mut told);
        }
        let Some(next) = page.next else { break };
        filter.before = Some(next);
    }
    for (call, files) in found {
        // What was written for a call of which the database heard nothing: it was killed, or the database was lost.
        let what = format!("{} holds {}, and the database has no such call", folder_of(call), files.describe());
        told.add(call, DifferenceKind::UnknownCall, what);
    }
    Ok(told)
}

/// How a recording was lawfully deleted, in words.
async fn deletion_of(storage: &Storage, call: CallId) -> Result<Option<String>, StorageError> {
    let lists = deletions::of_call(storage, call).await?;
    Ok(lists.into_iter().find_map(|(list, item)| {
        let certificate = item.certificate?;
        Some(format!("deleted by list {}, with the certificate {certificate}", list.id))
    }))
}

/// What is in a call's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Files {
    /// SHA-256 of the sidecar's bytes.
    seal: Option<String>,
    /// `call.json` is there: the recording is unfinished.
    is_unfinished: bool,
    /// The length of its FLAC, when an addendum says that it was archived.
    archived: Option<u64>,
    /// Every plain file with its length.
    lengths: BTreeMap<String, u64>,
}

impl Files {
    fn describe(&self) -> &'static str {
        match (&self.seal, self.is_unfinished) {
            (Some(_), _) => "a sealed recording",
            (None, true) => "an unfinished recording",
            (None, false) => "files of no recording",
        }
    }
}

/// The folders of the calls that came in the span; the call's id carries its time.
fn list_folders(root: &Path, (from, to): (Utc, Utc)) -> Result<BTreeMap<CallId, Files>, ReconcileError> {
    let mut found = BTreeMap::new();
    let first = from.timestamp().to_zoned(TimeZone::UTC).date();
    let last = to.timestamp().to_zoned(TimeZone::UTC).date();
    for day in first.series(1.day()).take_while(|day| *day <= last) {
        let folder = root.join(day.strftime("%Y/%m/%d").to_string());
        let fault = |source| ReconcileError::File { path: folder.clone(), source };
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(fault)?,
        };
        for entry in entries {
            let entry = entry.map_err(fault)?;
            let Some(call) = entry.file_name().to_str().and_then(|name| name.parse::<CallId>().ok()) else { continue };
            let came = came_at(call);
            if came >= from && came < to {
                found.insert(call, look_in(&entry.path())?);
            }
        }
    }
    Ok(found)
}

/// When a call came, to the millisecond, by its id (RFC 9562 §5.7).
fn came_at(call: CallId) -> Utc {
    let (seconds, nanoseconds) = call.0.get_timestamp().map_or((0, 0), |at| at.to_unix());
    Utc(seconds as i64 * 1_000_000 + i64::from(nanoseconds) / 1000)
}

fn look_in(folder: &Path) -> Result<Files, ReconcileError> {
    let fault = |source| ReconcileError::File { path: folder.to_owned(), source };
    let mut files = Files::default();
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let about = entry.metadata().map_err(fault)?;
        if about.is_file() {
            files.lengths.insert(entry.file_name().to_string_lossy().into_owned(), about.len());
        }
    }
    files.is_unfinished = files.lengths.contains_key(KEPT_FILE);
    if files.lengths.contains_key(SIDECAR_FILE) {
        let bytes = std::fs::read(folder.join(SIDECAR_FILE)).map_err(fault)?;
        files.seal = Some(hex(&Sha256::digest(bytes)));
    }
    if files.lengths.keys().any(|name| addendum_of(name).is_some()) {
        let addenda = addenda_in(folder).map_err(fault)?;
        let read = |(_, bytes): &(usize, Vec<u8>)| serde_json::from_slice::<Addendum>(bytes).ok();
        files.archived = addenda.iter().filter_map(read).find_map(|one| Archived::of(&one)).map(|one| one.bytes);
    }
    Ok(files)
}

/// All that is known of one call.
struct Known {
    record: CallRecord,
    events: Vec<StoredEvent>,
    recording: Option<SealedRecording>,
    /// There was one, and it was lawfully deleted.
    deletion: Option<String>,
    failure: Option<RecordingFailure>,
    files: Option<Files>,
}

impl Known {
    fn compare(&self, now: Utc, told: &mut Reconciliation) {
        let (record, call) = (&self.record, self.record.id);
        told.calls += 1;
        let is_answered = record.answered_at.is_some() || record.outcome == Some(Outcome::Voicemail);
        told.answered += u64::from(is_answered);
        told.recorded += u64::from(is_answered && self.recording.is_some());
        if record.ended_at.is_none_or(|ended| ended.0.saturating_add(SETTLED_AFTER_US) > now.0) {
            told.pending += u64::from(self.recording.is_none());
            return;
        }
        self.compare_events(told);
        if let Some(recording) = &self.recording {
            return self.compare_files(recording, told);
        }
        if let Some(deletion) = &self.deletion {
            return told.excuse(call, deletion.clone());
        }
        match &self.files {
            Some(files) if files.seal.is_some() => {
                let what = "sealed on the disk, and not in the database; the next start takes it in";
                told.add(call, DifferenceKind::NotInDatabase, what);
            }
            Some(files) if files.is_unfinished => {
                let what = "begun and not sealed; its frames are kept, and the next start tries again";
                told.add(call, DifferenceKind::Unfinished, what);
            }
            Some(_) | None => {}
        }
        match (&self.failure, record.recording) {
            (Some(failure), _) => told.excuse(call, failure.reason.clone()),
            (None, RecordingPolicy::Never) => told.not_to_be_recorded += u64::from(is_answered),
            (None, RecordingPolicy::Always) if is_answered && self.files.is_none() => {
                let what = "answered, and there is neither a recording nor a reason why not; look at the log of then";
                told.add(call, DifferenceKind::NoRecording, what);
            }
            (None, RecordingPolicy::Always) => {}
        }
    }

    fn compare_files(&self, recording: &SealedRecording, told: &mut Reconciliation) {
        let call = self.record.id;
        let files = self.files.clone().unwrap_or_default();
        let Some(seal) = &files.seal else {
            let what = format!(
                "{} is not there; `vigie archive check --repair` fetches it from the second place; else put it back from a backup",
                recording.sidecar
            );
            return told.add(call, DifferenceKind::FileMissing, what);
        };
        if *seal != recording.seal {
            let what = format!("{} is not the one that was sealed; run `vigie verify`", recording.sidecar);
            told.add(call, DifferenceKind::FileDiffers, what);
        }
        let name = recording.path.rsplit('/').next().unwrap_or_default();
        match files.lengths.get(name) {
            // Archived: the FLAC stands for the WAV.
            None if files.archived.is_some() => self.compare_archived(&files, told),
            None => {
                let what = format!(
                    "{} is not there; `vigie archive check --repair` fetches it from the second place; else put it back from a backup",
                    recording.path
                );
                told.add(call, DifferenceKind::FileMissing, what);
            }
            Some(length) if *length < recording.size_bytes => {
                let what = format!("{} has {length} bytes, {} were sealed", recording.path, recording.size_bytes);
                told.add(call, DifferenceKind::FileDiffers, what);
            }
            Some(_) => {}
        }
        let talk_ms = self.record.talk_ms().unwrap_or_default();
        if recording.duration_ms + SHORTER_MS_MAX < talk_ms {
            let what = format!("{} ms were recorded of {talk_ms} ms of talk", recording.duration_ms);
            told.add(call, DifferenceKind::TooShort, what);
        }
    }

    /// The FLAC of an archived recording, by its length.
    fn compare_archived(&self, files: &Files, told: &mut Reconciliation) {
        let folder = folder_of(self.record.id);
        match (files.lengths.get(FLAC_FILE), files.archived) {
            (Some(length), Some(due)) if *length != due => {
                let what =
                    format!("{folder}/{FLAC_FILE} has {length} bytes, its addendum says {due}; run `vigie verify`");
                told.add(self.record.id, DifferenceKind::FileDiffers, what);
            }
            (None, Some(_)) => {
                let what = format!(
                    "{folder}/{FLAC_FILE} is not there; `vigie archive check --repair` fetches it from the second place; \
                     else put it back from a backup"
                );
                told.add(self.record.id, DifferenceKind::FileMissing, what);
            }
            (Some(_) | None, _) => {}
        }
    }

    fn compare_events(&self, told: &mut Reconciliation) {
        let call = self.record.id;
        let names: BTreeSet<&str> = self.events.iter().map(|event| event.kind.as_str()).collect();
        let mut expect = |name: &str, has_happened: bool, why: &str| {
            let what = match (has_happened, names.contains(name)) {
                (true, false) => format!("{why}, and no {name} was told"),
                (false, true) => format!("{name} was told, and nothing else says that {why}"),
                (true, true) | (false, false) => return,
            };
            told.add(call, DifferenceKind::Event, what);
        };
        // A call that a regulator placed tells its beginning and its answer by other names.
        let (is_placed, is_answered) = (self.record.dialled_by.is_some(), self.record.answered_at.is_some());
        expect("call.received", !is_placed, "the call came");
        expect("call.dialled", is_placed, "a regulator placed it");
        expect("call.answered", is_answered && !is_placed, "a regulator answered");
        expect("call.reached", is_answered && is_placed, "who was called answered");
        expect("call.ended", true, "the call ended");
        expect("recording.sealed", self.recording.is_some() || self.deletion.is_some(), "its recording was sealed");
        expect("recording.failed", self.failure.is_some(), "its recording failed");
        let seals = self.events.iter().filter(|event| event.kind == "recording.sealed");
        let is_other = |told: &&str| self.recording.as_ref().is_some_and(|recording| recording.seal != *told);
        if seals.filter_map(|event| event.payload["seal"].as_str()).any(|told| is_other(&told)) {
            let what = "recording.sealed was told with another seal than the database has; run `vigie verify`";
            told.add(call, DifferenceKind::Event, what);
        }
        let sequences = self.events.iter().map(|event| u64::from(event.sequence));
        if let Some((missing, _)) = (1..).zip(sequences).find(|(expected, sequence)| expected != sequence) {
            let what = format!("its event number {missing} is missing");
            told.add(call, DifferenceKind::Event, what);
        }
    }
}

#[cfg(test)]
mod tests;
