//! The seal logs: every line against the one before and the key that was in force, every key against its neighbours.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

use super::{Seals, Verdict, VerifyError, foreign, list, roots};
use crate::recorder::layout::{SEAL_LOG_FOLDER, SIDECAR_FILE};
use crate::recorder::render::hex;
use crate::recorder::seal_keys::{NodeKey, before_path, keys_of, relative_key_path, vouches};
use crate::recorder::seal_log::{Entry, lies_at};

/// A seal log, as far as it was read.
pub(super) struct Log {
    path: PathBuf,
    node: String,
    /// Bytes of the lines that were read.
    read_bytes: u64,
    /// So many they were.
    lines: usize,
    /// Behind them stands a line without its end.
    is_torn: bool,
    keys: Vec<NodeKey>,
    /// Which of them signs now.
    current: usize,
    previous: Option<(u64, String)>,
    /// Whether a line was sound and signed.
    is_any_signed: bool,
    /// The hash of each sound line, by its sequence.
    hashes: Vec<(u64, String)>,
}

impl Seals {
    /// Checks what the seal logs in the recordings folder have got since they were last read, and keeps the lines that
    /// concern `target`; whether there was anything new.
    pub(super) fn read_logs(&mut self, target: &Path, verdict: &mut Verdict) -> Result<bool, VerifyError> {
        let Some(root) = self.root.clone() else { return Ok(false) };
        let folder = root.join(SEAL_LOG_FOLDER);
        let files = list(&folder).map_err(|source| VerifyError::File { path: folder.clone(), source })?;
        let before = verdict.log_lines;
        let mut logs = std::mem::take(&mut self.logs);
        for path in files.into_iter().filter(|file| file.extension() == Some(OsStr::new("jsonl"))) {
            if !logs.iter().any(|log| log.path == path) {
                logs.push(Log::new(path));
            }
        }
        self.keys = self.given.clone();
        for log in &mut logs {
            self.read_log(log, (&root, target), verdict);
        }
        self.logs = logs;
        Ok(verdict.log_lines > before)
    }

    /// Checks what lies beside the logs, and the logs as wholes: keys, roots, time stamps.
    pub(super) fn check_beside_logs(&self, verdict: &mut Verdict) {
        let Some(root) = &self.root else {
            return verdict.note("no seal log stands above this path: whether seals are missing was not checked");
        };
        let folder = root.join(SEAL_LOG_FOLDER);
        let files = match list(&folder) {
            Ok(files) => files,
            Err(error) => return verdict.add(&folder, "file", format!("cannot be listed: {error}")),
        };
        for log in &self.logs {
            check_keys(&log.keys, &self.given, &log.path, verdict);
            log.check_end(verdict);
            roots::check(root, (&log.node, &log.path), &log.hashes, self, verdict);
        }
        let keys = self.logs.iter().flat_map(|log| &log.keys);
        let known: Vec<PathBuf> = keys.flat_map(|key| [key.path.clone(), before_path(&key.path)]).collect();
        for file in files.iter().filter(|file| self.logs.iter().all(|log| log.path != **file)) {
            let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let is_roots = file.is_dir() && name.ends_with(".roots");
            if name.contains(".jsonl.damaged-") {
                verdict.add(file, "file", "a seal log that was found damaged and set aside");
            } else if name.ends_with(".pub.pem") && !known.contains(file) {
                verdict.add(file, "file", "is a key of no seal log here, or one that the key before it is missing for");
            } else if !is_roots && !known.contains(file) && !self.is_sealed(file) {
                foreign::note_in_seal_log(file, verdict);
            }
        }
        verdict.note(if self.given.is_empty() {
            "the key beside the seal log was used; a key from elsewhere (--key) proves more: whoever can change the recordings can change that key too"
        } else {
            "the key given with --key was used"
        });
        self.check_deposits(&folder, verdict);
    }

    /// Whether a line seals this file, or the file that it is the signature of.
    fn is_sealed(&self, file: &Path) -> bool {
        self.entries.contains_key(file) || self.entries.contains_key(&file.with_extension(""))
    }

    /// Checks the new lines of one log, with its keys.
    fn read_log(&mut self, log: &mut Log, (root, target): (&Path, &Path), verdict: &mut Verdict) {
        match keys_of(root, &log.node) {
            Ok(keys) => log.keys = keys,
            Err(error) => verdict.add(&log.path, "key", format!("a key beside it cannot be read: {error}")),
        }
        let is_known = |key: &NodeKey| key.key.is_some_and(|key| self.given.contains(&key));
        if self.given.is_empty() || log.keys.iter().any(is_known) {
            self.keys.extend(log.keys.iter().filter_map(|key| key.key));
        }
        let bytes = match read_from(&log.path, log.read_bytes) {
            Ok(bytes) => bytes,
            Err(error) => return verdict.add(&log.path, "file", format!("cannot be read: {error}")),
        };
        log.is_torn = false;
        for whole in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(line) = whole.strip_suffix(b"\n") else {
                // Read again with the next lines: a running Vigie may be writing it.
                log.is_torn = true;
                break;
            };
            verdict.log_lines += 1;
            log.read_bytes += whole.len() as u64;
            let Some(entry) = log.take(&String::from_utf8_lossy(line), root, verdict) else { continue };
            let file = root.join(&entry.path);
            if file.starts_with(target) || entry.path.starts_with(SEAL_LOG_FOLDER) {
                let kind = if entry.certificate_sha256.is_some() { &mut self.tombstones } else { &mut self.entries };
                kind.insert(file, entry);
            }
        }
    }

    /// What lies beside the logs and is sealed by them: keys, roots, time stamps.
    fn check_deposits(&self, folder: &Path, verdict: &mut Verdict) {
        let beside = self.entries.iter().filter(|(file, _)| file.starts_with(folder));
        let mut beside: Vec<_> = beside.filter(|(file, _)| !file.ends_with(SIDECAR_FILE)).collect();
        beside.sort_by_key(|(_, entry)| entry.sequence);
        for (file, entry) in beside {
            self.check_deposit(file, entry, verdict);
        }
    }

    /// A file that a line seals, and its signature.
    pub(super) fn check_deposit(&self, file: &Path, entry: &Entry, verdict: &mut Verdict) {
        let bytes = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) => {
                let what = format!("sealed as number {}, and cannot be read: {error}", entry.sequence);
                return verdict.add(file, "file", what);
            }
        };
        if hex(&Sha256::digest(&bytes)) != entry.sidecar_sha256 {
            return verdict.add(file, "sha256", format!("was changed: number {} of the seal log", entry.sequence));
        }
        self.check_detached(file, (&bytes, true), verdict);
    }
}

/// A file's bytes from this one on.
fn read_from(path: &Path, from: u64) -> io::Result<Vec<u8>> {
    let (mut file, mut bytes) = (File::open(path)?, Vec::new());
    file.seek(SeekFrom::Start(from))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Log {
    fn new(path: PathBuf) -> Log {
        Log {
            node: path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
            path,
            read_bytes: 0,
            lines: 0,
            is_torn: false,
            keys: Vec::new(),
            current: 0,
            previous: None,
            is_any_signed: false,
            hashes: Vec::new(),
        }
    }

    /// Checks the next line; what it says, when it is sound.
    fn take(&mut self, line: &str, root: &Path, verdict: &mut Verdict) -> Option<Entry> {
        self.lines += 1;
        let place = format!("line {}", self.lines);
        let (mut entry, hash) = match self.check(line) {
            Ok(found) => found,
            Err(what) => {
                verdict.add(&self.path, place, what);
                self.previous = None;
                return None;
            }
        };
        self.is_any_signed = true;
        match &self.previous {
            Some((sequence, hash)) => {
                if entry.sequence != sequence + 1 {
                    let what = format!("is {}, after {sequence}: lines are missing or doubled", entry.sequence);
                    verdict.add(&self.path, format!("{place}, sequence"), what);
                }
                if entry.previous != *hash {
                    verdict.add(&self.path, format!("{place}, previous"), "is not the hash of the line before");
                }
            }
            None if self.lines == 1 && (entry.sequence != 1 || !entry.previous.is_empty()) => {
                verdict.add(&self.path, format!("{place}, sequence"), "the log does not begin with number 1");
            }
            // The line before is broken and was told.
            None => (),
        }
        entry.path = lies_at(&self.node, &entry.path);
        if entry.path == relative_key_path(root, &self.node, self.current + 2) {
            self.current += 1;
        }
        self.hashes.push((entry.sequence, hash.clone()));
        self.previous = Some((entry.sequence, hash));
        Some(entry)
    }

    fn check(&self, line: &str) -> Result<(Entry, String), String> {
        let (entry, _) = Entry::check(line, None).map_err(|fault| fault.to_string())?;
        if !Path::new(&entry.path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err("path leads out of the recordings folder".into());
        }
        let key = self.keys.get(self.current).and_then(|key| key.key.as_ref());
        let key = key.ok_or("there is no key to check the signature with")?;
        Entry::check(line, Some(key)).map_err(|fault| fault.to_string())
    }

    fn check_end(&self, verdict: &mut Verdict) {
        if self.is_torn {
            let place = format!("line {}", self.lines + 1);
            verdict.add(&self.path, place, "is torn: it has no end (the next start of Vigie cuts it and seals again)");
        }
        let is_empty = self.lines == 0 && !self.is_torn;
        if !self.is_any_signed
            && !is_empty
            && let Some(first) = self.keys.first()
        {
            verdict.add(&first.path, "key", "no line of the seal log beside it is sound and signed with it");
        }
        for key in self.keys.iter().skip(self.current + 1) {
            verdict.add(&key.path, "key", "no line of the seal log vouches for it");
        }
    }
}

/// The keys of a node: each one as Vigie writes it, each vouching for the one before, and the given one among them.
fn check_keys(keys: &[NodeKey], given: &[VerifyingKey], log: &Path, verdict: &mut Verdict) {
    let Some(first) = keys.first() else {
        let path = log.with_extension("pub.pem");
        return verdict.add(&path, "file", "the public key that belongs to the seal log is not there");
    };
    for key in keys.iter().filter(|key| key.key.is_none()) {
        verdict.add(&key.path, "key", "is not an Ed25519 public key as Vigie writes it");
    }
    for (older, newer) in keys.iter().zip(keys.iter().skip(1)) {
        if !vouches(newer, older) {
            let what = format!("does not prove that {} was the key before", older.path.display());
            verdict.add(&before_path(&newer.path), "signature", what);
        }
    }
    let is_known = |key: &NodeKey| key.key.is_some_and(|key| given.contains(&key));
    if !given.is_empty() && !keys.iter().any(is_known) {
        verdict.add(&first.path, "key", "is none of the keys given with --key (give --key once a node)");
    }
}
