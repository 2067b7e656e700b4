//! Checks recordings offline: every hash, signature and CRC, and the seal log; names the file and the field that is wrong.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePublicKey, EncodePublicKey};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::clock;
use crate::journal::frames::scan_file;
use crate::model::Utc;
use crate::recorder::layout::{
    AUDIO_FILE, KEPT_FILE, SEAL_LOG_FOLDER, SIDECAR_FILE, SIGNATURE_FILE, frames_file, leg_of,
};
use crate::recorder::render::{hash_file, hash_short, hex};
use crate::recorder::seal_log::Entry;
use crate::recorder::sidecar::{Frames, Sidecar, content_hash};

mod foreign;

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
    /// Lines of seal logs looked at.
    pub log_lines: u64,
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

/// Checks the recording at `path` (its folder or a file in it), or every recording below it, and the seal log of the
/// recordings folder that it stands in. `keys` are public keys from elsewhere, one a node; without them the one beside
/// the seal log is used, which proves less. `progress` is told after each recording how many are done.
pub fn verify(path: &Path, keys: &[PathBuf], mut progress: impl FnMut(u64)) -> Result<Verdict, VerifyError> {
    let path = path.canonicalize().map_err(|source| VerifyError::File { path: path.to_owned(), source })?;
    let is_in_log = path.is_file() && path.parent().and_then(Path::file_name) == Some(OsStr::new(SEAL_LOG_FOLDER));
    let target = if path.is_file() { path.parent().unwrap_or(&path).to_owned() } else { path };
    let root = target.ancestors().find(|above| above.join(SEAL_LOG_FOLDER).is_dir()).map(Path::to_owned);
    let mut verdict = Verdict::default();
    let mut seals = Seals { root, keys: read_keys(keys)?, entries: HashMap::new(), begun: clock::utc() };
    seals.read_logs(keys.is_empty(), &target, &mut verdict)?;
    let mut search = Search { root: seals.root.as_deref(), found: Vec::new(), verdict: &mut verdict };
    search.look_in(&target, 0).map_err(|source| VerifyError::File { path: target.clone(), source })?;
    let folders = search.found;
    if folders.is_empty() && verdict.log_lines == 0 && !is_in_log {
        return Err(VerifyError::Nothing { path: target });
    }
    for folder in &folders {
        let before = verdict.findings_total;
        seals.check_recording(folder, &mut verdict);
        foreign::note_in_recording(folder, &mut verdict);
        verdict.recordings += 1;
        verdict.recordings_wrong += u64::from(verdict.findings_total > before);
        progress(verdict.recordings);
    }
    for (sidecar, entry) in &seals.entries {
        if sidecar.starts_with(&target) && !sidecar.is_file() {
            let what = format!("sealed as number {} at {}, and not there", entry.sequence, entry.at);
            verdict.add(sidecar, "file", what);
        }
    }
    Ok(verdict)
}

/// What recordings are checked against.
struct Seals {
    root: Option<PathBuf>,
    keys: Vec<VerifyingKey>,
    /// Lines of the seal logs by the sidecar that they seal, when it is below the target.
    entries: HashMap<PathBuf, Entry>,
    /// When the logs were read.
    begun: Utc,
}

impl Seals {
    /// Checks every seal log in the recordings folder and keeps the lines that concern `target`.
    fn read_logs(&mut self, keys_from_log: bool, target: &Path, verdict: &mut Verdict) -> Result<(), VerifyError> {
        let Some(root) = self.root.clone() else {
            verdict.note("no seal log stands above this path: whether seals are missing was not checked");
            return Ok(());
        };
        let folder = root.join(SEAL_LOG_FOLDER);
        let mut logs = Vec::new();
        for file in list(&folder).map_err(|source| VerifyError::File { path: folder.clone(), source })? {
            let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if name.ends_with(".pub.pem") {
                self.check_key_file(&file, keys_from_log, verdict);
            } else if name.ends_with(".jsonl") {
                logs.push(file);
            } else if name.contains(".jsonl.damaged-") {
                verdict.add(&file, "file", "a seal log that was found damaged and set aside");
            } else {
                foreign::note_in_seal_log(&file, verdict);
            }
        }
        let source = if keys_from_log {
            "the key beside the seal log was used; a key from elsewhere (--key) proves more: whoever can change the recordings can change that key too"
        } else {
            "the key given with --key was used"
        };
        verdict.note(source);
        for log in logs {
            self.check_log(&log, target, verdict);
        }
        Ok(())
    }

    /// A key beside a log: used when none is given, else compared with those given.
    fn check_key_file(&mut self, path: &Path, is_used: bool, verdict: &mut Verdict) {
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => return verdict.add(path, "file", format!("cannot be read: {error}")),
        };
        let key = VerifyingKey::from_public_key_pem(&text).ok();
        let Some(key) = key.filter(|k| k.to_public_key_pem(LineEnding::LF).is_ok_and(|pem| pem == text)) else {
            return verdict.add(path, "key", "is not an Ed25519 public key as Vigie writes it");
        };
        if is_used {
            self.keys.push(key);
        } else if !self.keys.contains(&key) {
            verdict.add(path, "key", "is none of the keys given with --key (give --key once a node)");
        }
    }

    fn check_log(&mut self, log: &Path, target: &Path, verdict: &mut Verdict) {
        let bytes = match std::fs::read(log) {
            Ok(bytes) => bytes,
            Err(error) => return verdict.add(log, "file", format!("cannot be read: {error}")),
        };
        let key_of_log = log.with_extension("pub.pem");
        if !key_of_log.exists() {
            verdict.add(&key_of_log, "file", "the public key that belongs to the seal log is not there");
        }
        let mut previous: Option<(u64, String)> = None;
        let mut is_any_signed = false;
        for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            verdict.log_lines += 1;
            let place = format!("line {}", index + 1);
            let Some(line) = line.strip_suffix(b"\n") else {
                verdict.add(log, place, "is torn: it has no end (the next start of Vigie cuts it and seals again)");
                return;
            };
            let text = String::from_utf8_lossy(line);
            let checked = self.check_line(&text);
            let (entry, hash) = match checked {
                Ok(found) => found,
                Err(what) => {
                    verdict.add(log, place, what);
                    previous = None;
                    continue;
                }
            };
            let is_first = index == 0;
            is_any_signed = true;
            match &previous {
                Some((sequence, hash)) => {
                    if entry.sequence != sequence + 1 {
                        let what = format!("is {}, after {sequence}: lines are missing or doubled", entry.sequence);
                        verdict.add(log, format!("{place}, sequence"), what);
                    }
                    if entry.previous != *hash {
                        verdict.add(log, format!("{place}, previous"), "is not the hash of the line before");
                    }
                }
                None if is_first && (entry.sequence != 1 || !entry.previous.is_empty()) => {
                    verdict.add(log, format!("{place}, sequence"), "the log does not begin with number 1");
                }
                // The line before is broken and was told.
                None => (),
            }
            previous = Some((entry.sequence, hash));
            if let Some(sidecar) = self.root.as_ref().map(|root| root.join(&entry.path))
                && sidecar.starts_with(target)
            {
                self.entries.insert(sidecar, entry);
            }
        }
        if !is_any_signed && !bytes.is_empty() {
            verdict.add(&key_of_log, "key", "no line of the seal log beside it is sound and signed with it");
        }
    }

    fn check_line(&self, line: &str) -> Result<(Entry, String), String> {
        let (entry, hash) = Entry::check(line, None).map_err(|fault| fault.to_string())?;
        if !Path::new(&entry.path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err("path leads out of the recordings folder".into());
        }
        let mut why = "there is no key to check the signature with".to_owned();
        for key in &self.keys {
            match Entry::check(line, Some(key)) {
                Ok(_) => return Ok((entry, hash)),
                Err(fault) => why = fault.to_string(),
            }
        }
        Err(why)
    }

    /// Checks the sidecar and its signature, then every file that it names.
    fn check_recording(&self, folder: &Path, verdict: &mut Verdict) {
        let path = folder.join(SIDECAR_FILE);
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
        self.check_signature(folder, &bytes, is_as_logged, verdict);
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
        check_audio(folder, &sidecar, verdict);
        check_frames(folder, &sidecar, verdict);
    }

    fn check_signature(&self, folder: &Path, sidecar: &[u8], is_as_logged: bool, verdict: &mut Verdict) {
        let path = folder.join(SIGNATURE_FILE);
        let signature = match std::fs::read(&path) {
            Ok(bytes) => Signature::from_slice(&bytes),
            Err(error) => return verdict.add(&path, "file", format!("cannot be read: {error}")),
        };
        let Ok(signature) = signature else {
            return verdict.add(&path, "length", "is not a signature of 64 bytes");
        };
        if self.keys.is_empty() {
            return verdict.add(&path, "signature", "there is no key to check it with: give one with --key");
        }
        if !self.keys.iter().any(|key| key.verify_strict(sidecar, &signature).is_ok()) {
            // The seal log tells which of the two was changed.
            let changed = if is_as_logged { path } else { folder.join(SIDECAR_FILE) };
            verdict.add(&changed, "signature", "does not match: changed, or signed with another key");
        }
    }

    fn check_entry(&self, path: &Path, sidecar: &Sidecar, entry: Option<&Entry>, verdict: &mut Verdict) {
        match entry {
            Some(entry) if entry.call != sidecar.uuid || entry.sequence != sidecar.vigie.seal_sequence => {
                let what = format!("the seal log has it as number {} of call {}", entry.sequence, entry.call);
                verdict.add(path, "vigie.seal_sequence", what);
            }
            Some(_) => (),
            None if (self.begun..=clock::utc()).contains(&sidecar.vigie.sealed_at) => {
                verdict.note(format!("{}: sealed while this check ran; check it again", path.display()));
            }
            None => verdict.add(path, "sidecar_sha256", "the seal log has no sound line with this sidecar's hash"),
        }
    }
}

fn check_audio(folder: &Path, sidecar: &Sidecar, verdict: &mut Verdict) {
    let path = folder.join(AUDIO_FILE);
    let told = &sidecar.vigie.audio;
    let (bytes, sha256, sha512) = match hash_file(&path) {
        Ok(found) => found,
        Err(error) => return verdict.add(&path, "file", format!("cannot be read: {error}")),
    };
    if bytes != told.bytes {
        verdict.add(&path, "vigie.audio.bytes", format!("is {bytes} bytes long, the sidecar says {}", told.bytes));
    }
    if sha256 != told.sha256 {
        verdict.add(&path, "vigie.audio.sha256", "the file was changed");
    }
    if sidecar.dialog.first().map(|dialog| &dialog.content_hash) != Some(&content_hash(&sha512)) {
        verdict.add(&path, "dialog[0].content_hash", "the file was changed");
    }
    match essence_of(&path) {
        Ok(essence) if essence == told.essence_sha256 => (),
        Ok(_) => verdict.add(&path, "vigie.audio.essence_sha256", "the samples were changed"),
        Err(error) => verdict.add(&path, "vigie.audio.essence_sha256", format!("the WAV cannot be read: {error}")),
    }
}

/// SHA-256 of a WAV's samples alone.
fn essence_of(path: &Path) -> Result<String, hound::Error> {
    let mut hash = Sha256::new();
    let mut block = Vec::with_capacity(64 * 1024);
    for sample in hound::WavReader::open(path)?.into_samples::<i16>() {
        block.extend_from_slice(&sample?.to_le_bytes());
        if block.len() >= 64 * 1024 {
            hash.update(&block);
            block.clear();
        }
    }
    hash.update(&block);
    Ok(hex(&hash.finalize()))
}

fn check_frames(folder: &Path, sidecar: &Sidecar, verdict: &mut Verdict) {
    for (index, told) in sidecar.vigie.frames.iter().enumerate() {
        check_frame_file(folder, index, told, verdict);
    }
    for file in list(folder).unwrap_or_default() {
        let leg = file.file_name().and_then(OsStr::to_str).and_then(leg_of);
        if leg.is_some_and(|leg| sidecar.vigie.frames.iter().all(|told| told.leg != leg)) {
            verdict.add(&file, "vigie.frames", "is a frame file that the sidecar does not know");
        }
    }
}

fn check_frame_file(folder: &Path, index: usize, told: &Frames, verdict: &mut Verdict) {
    let field = |name: &str| format!("vigie.frames[{index}].{name}");
    let path = folder.join(frames_file(told.leg));
    let (bytes, sha256) = match hash_short(&path) {
        Ok(found) => found,
        Err(error) => return verdict.add(&path, "file", format!("cannot be read: {error}")),
    };
    if bytes != told.bytes {
        verdict.add(&path, field("bytes"), format!("is {bytes} bytes long, the sidecar says {}", told.bytes));
    }
    if sha256 != told.sha256 {
        verdict.add(&path, field("sha256"), "the file was changed");
    }
    match scan_file(&path, |_, _| ()) {
        Ok(found) if found.sound_bytes < found.total_bytes => {
            let what = format!("the CRC of the record at byte {} does not hold", found.sound_bytes);
            verdict.add(&path, "crc32c", what);
        }
        Ok(found) if found.frames != told.frames => {
            verdict.add(
                &path,
                field("frames"),
                format!("holds {} frames, the sidecar says {}", found.frames, told.frames),
            );
        }
        Ok(_) => (),
        Err(error) => verdict.add(&path, "file", format!("cannot be read: {error}")),
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
            [AUDIO_FILE, SIDECAR_FILE, SIGNATURE_FILE, KEPT_FILE].contains(&name) || leg_of(name).is_some()
        };
        let inside = list(folder)?;
        if inside.iter().any(is_part) {
            self.found.push(folder.to_owned());
            return Ok(());
        }
        if folder.file_name() == Some(OsStr::new(SEAL_LOG_FOLDER)) {
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

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
