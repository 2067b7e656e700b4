//! Checks recordings offline: every byte's hash, every signature, and the seal log; names the file and the field that is wrong.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::DecodePublicKey;
use sha2::{Digest, Sha256};

use super::second::QUARANTINE;
use crate::clock;
use crate::journal::frames::scan_file;
use crate::model::Utc;
use crate::recorder::layout::{
    AUDIO_FILE, CERTIFICATE_FILE, KEPT_FILE, SEAL_LOG_FOLDER, SIDECAR_FILE, SIGNATURE_FILE, frames_file, leg_of,
};
use crate::recorder::render::{hash_short, hex};
use crate::recorder::seal_log::Entry;
use crate::recorder::sidecar::{Frames, Sidecar};
use crate::vault::Keys;

mod addenda;
mod again;
mod archived;
mod audio;
pub mod database;
mod foreign;
mod log;
mod outline;
pub(crate) use audio::{find_samples, hash_audio};
mod roots;
mod sealed;
mod several;
mod tombstones;

use again::Again;
use sealed::Lock;

/// The deepest folder looked into: `recordings/YYYY/MM/DD/<call-id>` and some above.
const DEPTH_MAX: usize = 8;
/// So many findings are kept; the rest is counted.
pub const FINDINGS_MAX: usize = 1000;
/// So many notes are kept; the rest is counted.
pub const NOTES_MAX: usize = 1000;

/// Nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The path is not there or cannot be read.
    #[error("{path} cannot be read: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key file holds no key.
    #[error("{path} is no Ed25519 public key in PEM form (BEGIN PUBLIC KEY)")]
    Key {
        /// Which.
        path: PathBuf,
    },
    /// There is nothing to check.
    #[error("{path} holds no recording: give a recording's folder, a file in it, a day, or the recordings folder")]
    Nothing {
        /// Where.
        path: PathBuf,
    },
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// The field, in the file or about it: `vigie.audio.sha256`, `line 7`, `signature`…
    pub field: String,
    /// In words.
    pub what: String,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Recordings looked at.
    pub recordings: u64,
    /// Of them, those with a finding.
    pub recordings_wrong: u64,
    /// Of them, those that were lawfully deleted: a sound certificate and a tombstone in the seal log are left.
    pub recordings_deleted: u64,
    /// Lines of seal logs looked at.
    pub log_lines: u64,
    /// Bytes of the recordings' files.
    pub bytes: u64,
    /// What is wrong, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many findings there are in all.
    pub findings_total: u64,
    /// What is not wrong but should be known: unfinished and one-sided recordings, foreign files, a missing seal log,
    /// where the key came from; at most [`NOTES_MAX`].
    pub notes: Vec<String>,
    /// How many notes there are in all.
    pub notes_total: u64,
}

impl Verdict {
    /// Whether everything holds.
    pub fn is_sound(&self) -> bool {
        self.findings_total == 0
    }

    fn note(&mut self, what: impl Into<String>) {
        self.notes_total += 1;
        if self.notes.len() < NOTES_MAX {
            self.notes.push(what.into());
        }
    }

    fn add(&mut self, file: &Path, field: impl Into<String>, what: impl Into<String>) {
        self.findings_total += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { file: file.to_owned(), field: field.into(), what: what.into() });
        }
    }
}

/// What is asked beside the path.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Public keys from elsewhere, one a node; without them the ones beside the seal logs are used, which proves less.
    pub keys: Vec<PathBuf>,
    /// Whether what follows from a file's SHA-256 is computed, too: the SHA-512 of the audio (the vCon's `content_hash`), the
    /// hash of its samples, the CRC of every frame. All of it stands in one signed sidecar with the SHA-256, so a file whose
    /// SHA-256 is right is right in them; each is another turn over the same bytes. Of a file that is wrong they are
    /// computed in any case, to say what was changed.
    pub is_thorough: bool,
    /// Recordings checked at once; 0 is one a core.
    pub threads: usize,
    /// The keys of what is encrypted: without them the hashes of what rests on the disk are checked, and what is inside is
    /// not.
    pub vault: Keys,
}

/// How far a check is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Recordings done.
    pub recordings: u64,
    /// Of so many.
    pub recordings_total: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Of so many.
    pub bytes_total: u64,
}

/// [`verify_as`] with nothing asked but keys.
///
/// # Errors
/// As there.
pub fn verify(path: &Path, keys: &[PathBuf], progress: impl FnMut(Progress)) -> Result<Verdict, VerifyError> {
    verify_as(path, &Wish { keys: keys.to_vec(), is_thorough: true, ..Wish::default() }, progress)
}

/// Checks the recording at `path` (its folder or a file in it), or every recording below it, and the seal logs of the
/// recordings folder that it stands in, with their keys and roots. `progress` is told after each recording.
///
/// # Errors
/// [`VerifyError`] when there is nothing to check, or a key is none.
pub fn verify_as(path: &Path, wish: &Wish, mut progress: impl FnMut(Progress)) -> Result<Verdict, VerifyError> {
    let path = path.canonicalize().map_err(|source| VerifyError::File { path: path.to_owned(), source })?;
    let is_in_log = path.is_file() && path.parent().and_then(Path::file_name) == Some(OsStr::new(SEAL_LOG_FOLDER));
    let target = if path.is_file() { path.parent().unwrap_or(&path).to_owned() } else { path };
    let root = target.ancestors().find(|above| above.join(SEAL_LOG_FOLDER).is_dir()).map(Path::to_owned);
    let mut verdict = Verdict::default();
    let given = read_keys(&wish.keys)?;
    let mut seals = Seals {
        root,
        keys: given.clone(),
        given,
        logs: Vec::new(),
        entries: HashMap::new(),
        tombstones: HashMap::new(),
        begun: clock::utc(),
        is_thorough: wish.is_thorough,
        vault: wish.vault.clone(),
    };
    seals.read_logs(&target, &mut verdict)?;
    let mut search = Search { root: seals.root.as_deref(), found: Vec::new(), verdict: &mut verdict };
    search.look_in(&target, 0).map_err(|source| VerifyError::File { path: target.clone(), source })?;
    let folders = search.found;
    if folders.is_empty() && verdict.log_lines == 0 && !is_in_log {
        return Err(VerifyError::Nothing { path: target });
    }
    let sized = |folder: PathBuf| {
        let bytes = bytes_in(&folder);
        (folder, bytes)
    };
    let work: Vec<(PathBuf, u64)> = folders.into_iter().map(sized).collect();
    verdict.bytes = work.iter().map(|(_, bytes)| bytes).sum();
    let mut again = Again::default();
    several::check_all(&seals, &work, wish.threads, &mut progress, &mut |folder, one| {
        again.take(folder, one, &mut verdict);
    });
    again.judge(&mut seals, &target, &mut verdict)?;
    Ok(verdict)
}

/// The recordings folder that a path stands in, and the path itself, both without links.
///
/// # Errors
/// When the path is not there, or no seal log stands above it.
pub fn root_above(path: &Path) -> Result<(PathBuf, PathBuf), VerifyError> {
    let path = path.canonicalize().map_err(|source| VerifyError::File { path: path.to_owned(), source })?;
    let target = if path.is_file() { path.parent().unwrap_or(&path).to_owned() } else { path };
    let root = target.ancestors().find(|above| above.join(SEAL_LOG_FOLDER).is_dir()).map(Path::to_owned);
    root.map(|root| (root, target.clone())).ok_or(VerifyError::Nothing { path: target })
}

/// What recordings are checked against.
struct Seals {
    root: Option<PathBuf>,
    /// Those from elsewhere.
    given: Vec<VerifyingKey>,
    /// All that count.
    keys: Vec<VerifyingKey>,
    /// As far as they were read.
    logs: Vec<log::Log>,
    /// Decrypt.
    vault: Keys,
    /// Lines of the seal logs by the file that they seal, when it is below the target or beside the logs.
    entries: HashMap<PathBuf, Entry>,
    /// The tombstones, by the same.
    tombstones: HashMap<PathBuf, Entry>,
    /// When the logs were read.
    begun: Utc,
    /// What follows from a file's SHA-256 is computed as well.
    is_thorough: bool,
}

impl Seals {
    /// Checks the sidecar and its signature, then every file that it names.
    fn check_recording(&self, folder: &Path, verdict: &mut Verdict) {
        let path = folder.join(SIDECAR_FILE);
        if self.check_buried(folder, verdict) {
            return;
        }
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(_) if folder.join(KEPT_FILE).is_file() && !self.entries.contains_key(&path) => {
                verdict.note(format!("{}: not sealed yet (a live call, or recovery is due)", folder.display()));
                return;
            }
            Err(error) => return verdict.add(&path, "file", format!("cannot be read: {error}")),
        };
        let seal = hex(&Sha256::digest(&bytes));
        let entry = self.entries.get(&path);
        let is_as_logged = entry.is_some_and(|entry| entry.sidecar_sha256 == seal);
        self.check_detached(&path, (&bytes, is_as_logged), verdict);
        let sidecar: Sidecar = match serde_json::from_slice(&bytes) {
            Ok(sidecar) => sidecar,
            Err(error) => return verdict.add(&path, "form", format!("is not a sidecar as Vigie writes it: {error}")),
        };
        if self.root.is_some() {
            self.check_entry(&path, &sidecar, entry.filter(|_| is_as_logged), verdict);
        }
        if folder.file_name().and_then(OsStr::to_str) != Some(&sidecar.uuid.to_string()) {
            verdict.add(&path, "uuid", "is another call's than the folder's name says");
        }
        for silence in sidecar.silences() {
            verdict.note(format!("{}: {}", folder.display(), silence.describe()));
        }
        let lock = Lock::of(folder, &sidecar, &self.vault, verdict);
        if !archived::check(folder, &sidecar, &lock, verdict) {
            audio::check(folder, &sidecar, (self.is_thorough, &lock), verdict);
        }
        outline::check(folder, &sidecar, verdict);
        check_frames(folder, &sidecar, (self.is_thorough, &lock), verdict);
        self.check_addenda(folder, &seal, verdict);
    }

    /// What the logs seal and is not there.
    fn check_what_is_missing(&self, target: &Path, verdict: &mut Verdict) {
        let is_missed = |file: &Path| file.starts_with(target) && !file.is_file() && !self.is_buried(file);
        for (file, entry) in self.entries.iter().filter(|(file, _)| is_missed(file)) {
            verdict.add(file, "file", format!("sealed as number {} at {}, and not there", entry.sequence, entry.at));
        }
    }

    /// Whether this time is within this check: what is from then may have its line in the log a moment later.
    fn is_from_now(&self, at: Utc) -> bool {
        (self.begun..=clock::utc()).contains(&at)
    }

    fn check_entry(&self, path: &Path, sidecar: &Sidecar, entry: Option<&Entry>, verdict: &mut Verdict) {
        match entry {
            Some(entry) if entry.call != Some(sidecar.uuid) || entry.sequence != sidecar.vigie.seal_sequence => {
                let what = format!(
                    "the seal log has it as number {} of call {}",
                    entry.sequence,
                    entry.call.map_or_else(|| "none".to_owned(), |call| call.to_string())
                );
                verdict.add(path, "vigie.seal_sequence", what);
            }
            Some(_) => (),
            None if self.is_from_now(sidecar.vigie.sealed_at) => {
                verdict.note(format!("{}: sealed while this check ran; check it again", path.display()));
            }
            None => verdict.add(path, "sidecar_sha256", "the seal log has no sound line with this sidecar's hash"),
        }
    }
}

fn check_frames(folder: &Path, sidecar: &Sidecar, how: (bool, &Lock), verdict: &mut Verdict) {
    for (index, told) in sidecar.vigie.frames.iter().enumerate() {
        check_frame_file(&folder.join(frames_file(told.leg)), (index, told), how, verdict);
    }
    for file in list(folder).unwrap_or_default() {
        let leg = file.file_name().and_then(OsStr::to_str).and_then(leg_of);
        if leg.is_some_and(|leg| sidecar.vigie.frames.iter().all(|told| told.leg != leg)) {
            verdict.add(&file, "vigie.frames", "is a frame file that the sidecar does not know");
        }
    }
}

fn check_frame_file(
    path: &Path,
    (index, told): (usize, &Frames),
    (is_thorough, lock): (bool, &Lock),
    verdict: &mut Verdict,
) {
    let field = |name: &str| format!("vigie.frames[{index}].{name}");
    let (bytes, sha256) = match hash_short(path) {
        Ok(found) => found,
        Err(error) => return verdict.add(path, "file", format!("cannot be read: {error}")),
    };
    if bytes != told.bytes {
        verdict.add(path, field("bytes"), format!("is {bytes} bytes long, the sidecar says {}", told.bytes));
    }
    if sha256 != told.sha256 {
        verdict.add(path, field("sha256"), "the file was changed");
    }
    // What can be decrypted is: that its key fits is not said by a hash of what rests.
    if sha256 == told.sha256 && !is_thorough && matches!(lock, Lock::Plain) {
        return;
    }
    let Some(key) = lock.key() else { return };
    match scan_file(path, key, |_, _| ()) {
        Ok(found) if found.sound_bytes < found.total_bytes => {
            let what = format!("the CRC of the record at byte {} does not hold", found.sound_bytes);
            verdict.add(path, "crc32c", what);
        }
        Ok(found) if found.frames != told.frames => {
            verdict.add(
                path,
                field("frames"),
                format!("holds {} frames, the sidecar says {}", found.frames, told.frames),
            );
        }
        Ok(_) => (),
        Err(error) => verdict.add(path, "file", format!("cannot be read: {error}")),
    }
}

fn read_keys(paths: &[PathBuf]) -> Result<Vec<VerifyingKey>, VerifyError> {
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).map_err(|source| VerifyError::File { path: path.clone(), source })?;
        VerifyingKey::from_public_key_pem(text.trim()).map_err(|_| VerifyError::Key { path: path.clone() })
    };
    paths.iter().map(read).collect()
}

/// Finds the folders that hold a recording or part of one, in order.
struct Search<'a> {
    root: Option<&'a Path>,
    found: Vec<PathBuf>,
    verdict: &'a mut Verdict,
}

impl Search<'_> {
    fn look_in(&mut self, folder: &Path, depth: usize) -> io::Result<()> {
        let is_part = |file: &PathBuf| {
            let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
            [AUDIO_FILE, SIDECAR_FILE, SIGNATURE_FILE, KEPT_FILE, CERTIFICATE_FILE].contains(&name)
                || leg_of(name).is_some()
        };
        let inside = list(folder)?;
        if inside.iter().any(is_part) {
            self.found.push(folder.to_owned());
            return Ok(());
        }
        if folder.file_name() == Some(OsStr::new(SEAL_LOG_FOLDER)) {
            return Ok(());
        }
        if folder.file_name() == Some(OsStr::new(QUARANTINE)) {
            self.verdict.note(format!("{}: files that were set aside, each to be looked at", folder.display()));
            return Ok(());
        }
        if let Some(below) = self.root.and_then(|root| folder.strip_prefix(root).ok()) {
            foreign::note_among_days(folder, below.components().count(), self.verdict);
        }
        for below in inside.iter().filter(|path| path.is_dir()) {
            if depth < DEPTH_MAX {
                self.look_in(below, depth + 1)?;
            }
        }
        Ok(())
    }
}

/// Bytes of a folder's files.
fn bytes_in(folder: &Path) -> u64 {
    let files = list(folder).unwrap_or_default();
    files.iter().filter_map(|file| file.metadata().ok()).map(|about| about.len()).sum()
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
