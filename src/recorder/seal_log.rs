//! The node's seal log: one signed line a seal, each bound to the one before it.
//!
//! A line is `{"sequence":…,"at":…,"call":…,"path":…,"sidecar_sha256":…,"previous":…,"hash":…,"signature":…}`. `hash` is
//! the SHA-256, and `signature` the Ed25519 signature (base64), of the line's own text up to `,"hash"`, closed with `}`;
//! `previous` is the `hash` of the line before, empty in the first. So each can be checked with standard tools alone.
//! `path` and `sidecar_sha256` are those of the file that the line seals: a sidecar, an addendum, an hour's root, a key.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::layout::{SEAL_LOG_FOLDER, make_folder, sync_file};
use super::render::hex;
use super::seal_keys;
use crate::model::{CallId, Utc};

/// The last line is within so many bytes of the end: a line has some 500.
const TAIL_LENGTH: u64 = 64 * 1024;

/// The seal log could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SealLogError {
    /// A file could not be read or written.
    #[error("{act} {path}: {source}")]
    File {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The log was begun with another key.
    #[error(
        "the newest key beside the seal log, {path}, is not this node's signing key; give this node another name, put its old key back, or, when a change of keys was interrupted, finish it with `vigie seal-key rotate`"
    )]
    OtherKey {
        /// The public key's file.
        path: PathBuf,
    },
    /// Another process appends to it.
    #[error("the seal log {path} is in use by another process; stop it, or give this node another name")]
    InUse {
        /// The log.
        path: PathBuf,
    },
    /// The public key could not be written as PEM.
    #[error("the public key cannot be written as PEM: {0}")]
    Key(String),
}

/// What one line says of a seal; in the order in which it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// 1, 2, 3…
    pub sequence: u64,
    /// When it was sealed (RFC 3339, UTC).
    pub at: String,
    /// The call; null when the file belongs to none (a key, a root).
    pub call: Option<CallId>,
    /// The file, relative to the recordings folder: a sidecar, or what was deposited later.
    pub path: String,
    /// The file's SHA-256; of a sidecar: the seal.
    pub sidecar_sha256: String,
    /// The `hash` of the line before; empty in the first.
    pub previous: String,
    /// Of a tombstone: SHA-256 of the certificate of the recording's lawful deletion. Lines of seals have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
}

#[derive(Deserialize)]
struct Proof {
    hash: String,
    signature: String,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// It is not what Vigie writes.
    #[error("the line is not as Vigie writes it")]
    Form,
    /// Its text was changed.
    #[error("hash does not match the line's text")]
    Hash,
    /// It was not signed with the key.
    #[error("signature does not match: changed, or signed with another key")]
    Signature,
}

impl Entry {
    /// The signed line, without the line's end; and its hash.
    pub fn sign(&self, key: &SigningKey) -> (String, String) {
        let text = self.text();
        let hash = hex(&Sha256::digest(&text));
        let signature = STANDARD.encode(key.sign(text.as_bytes()).to_bytes());
        let open = text.strip_suffix('}').unwrap_or(&text);
        (format!(r#"{open},"hash":"{hash}","signature":"{signature}"}}"#), hash)
    }

    /// Reads a line; its hash, when it stands as Vigie writes it and, with a key, when it was signed with that.
    pub fn check(line: &str, key: Option<&VerifyingKey>) -> Result<(Entry, String), LineFault> {
        let entry: Entry = serde_json::from_str(line).map_err(|_| LineFault::Form)?;
        let proof: Proof = serde_json::from_str(line).map_err(|_| LineFault::Form)?;
        let text = entry.text();
        let open = text.strip_suffix('}').unwrap_or(&text);
        if line != format!(r#"{open},"hash":"{}","signature":"{}"}}"#, proof.hash, proof.signature) {
            return Err(LineFault::Form);
        }
        if hex(&Sha256::digest(&text)) != proof.hash {
            return Err(LineFault::Hash);
        }
        let bytes = STANDARD.decode(&proof.signature).map_err(|_| LineFault::Signature)?;
        let signature = Signature::from_slice(&bytes).map_err(|_| LineFault::Signature)?;
        match key.map(|key| key.verify_strict(text.as_bytes(), &signature)) {
            None | Some(Ok(())) => Ok((entry, proof.hash)),
            Some(Err(_)) => Err(LineFault::Signature),
        }
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The log, open for appending; one writer a node.
#[derive(Debug)]
pub struct SealLog {
    path: PathBuf,
    file: File,
    length: u64,
    next: u64,
    previous: String,
    /// What was found amiss when it was opened.
    pub warning: Option<String>,
}

/// The log of a node, and the public key beside it.
pub fn log_paths(recordings: &Path, node: &str) -> (PathBuf, PathBuf) {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    let name: String = node.chars().map(safe).collect();
    let folder = recordings.join(SEAL_LOG_FOLDER);
    (folder.join(format!("{name}.jsonl")), folder.join(format!("{name}.pub.pem")))
}

/// What stands in a log's name between its node's and its print, when another one followed it from number 1 on because it
/// was lost: `NODE-earlier-1a2b3c4d.jsonl`. What lies beside it (keys, roots) bears that name, too; its lines say NODE.
const EARLIER: &str = "-earlier-";
/// Digits of the print.
const PRINT_DIGITS: usize = 8;

/// The name of an earlier log of the node whose log is `stem`.
pub fn earlier_name(stem: &str, print: &str) -> String {
    format!("{stem}{EARLIER}{print}")
}

/// The node whose log has this name.
fn node_in(stem: &str) -> &str {
    let is_print = |print: &str| print.len() == PRINT_DIGITS && print.bytes().all(|byte| byte.is_ascii_hexdigit());
    stem.rsplit_once(EARLIER).filter(|(_, print)| is_print(print)).map_or(stem, |(node, _)| node)
}

/// Where the file lies that a line of the log `stem` names.
pub fn lies_at(stem: &str, path: &str) -> String {
    let beside =
        path.strip_prefix(SEAL_LOG_FOLDER).and_then(|rest| rest.strip_prefix('/')?.strip_prefix(node_in(stem)));
    match beside.filter(|rest| rest.starts_with('.')) {
        Some(rest) => format!("{SEAL_LOG_FOLDER}/{stem}{rest}"),
        None => path.to_owned(),
    }
}

/// The logs of a node here, the one that it goes on with first.
///
/// # Errors
/// When their folder cannot be listed.
pub fn logs_of(recordings: &Path, node: &str) -> io::Result<Vec<PathBuf>> {
    let (log, _) = log_paths(recordings, node);
    let stem = log.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let mut earlier = Vec::new();
    for entry in std::fs::read_dir(recordings.join(SEAL_LOG_FOLDER))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(other) = name.strip_suffix(".jsonl").filter(|other| *other != stem && node_in(other) == stem) {
            earlier.push(log.with_file_name(format!("{other}.jsonl")));
        }
    }
    earlier.sort();
    Ok([vec![log], earlier].concat())
}

/// Bytes of the log's end that [`last_calls`] reads: some thousand lines.
const TAIL_BYTES: u64 = 1 << 20;

/// The calls of the log's last lines, the newest last; none when there is no log yet.
///
/// Lines that cannot be read are passed over: telling them is for [`SealLog::open`] and `vigie verify`.
pub fn last_calls(recordings: &Path, node: &str) -> io::Result<Vec<CallId>> {
    let mut file = match File::open(log_paths(recordings, node).0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    let lines = tail.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice::<Entry>(line).ok()?.call).collect())
}

impl SealLog {
    /// Opens or begins the node's log. A last line that a crash tore is cut: its recording is sealed again by recovery.
    pub fn open(recordings: &Path, node: &str, key: &SigningKey) -> Result<SealLog, SealLogError> {
        let (path, _) = log_paths(recordings, node);
        make_folder(&recordings.join(SEAL_LOG_FOLDER)).map_err(fault("making the folder of", &path))?;
        // Locked before anything is cut or set aside.
        let mut log = open_file(&path)?;
        seal_keys::check_current(recordings, node, key)?;
        let (tail, torn) = read_tail(&path).map_err(fault("reading", &path))?;
        if torn > 0 {
            log.length -= torn;
            log.file.set_len(log.length).map_err(fault("cutting the torn last line of", &path))?;
            log.file.sync_all().map_err(fault("syncing", &path))?;
        }
        match tail.as_deref().map(|line| Entry::check(line, None)) {
            None => (),
            Some(Ok((entry, hash))) => (log.next, log.previous) = (entry.sequence + 1, hash),
            Some(Err(amiss)) => {
                // Never continued as if nothing were: it is set aside as it is, and said.
                let aside = path.with_extension(format!("jsonl.damaged-{}", log.length));
                std::fs::rename(&path, &aside).map_err(fault("setting aside", &path))?;
                log = open_file(&path)?;
                log.warning = Some(format!(
                    "the last line of the seal log is damaged ({amiss}); it was set aside as {} and a new log begun: find out who changed it",
                    aside.display()
                ));
            }
        }
        Ok(log)
    }

    /// The number of the next seal.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Adds the line of a seal, on disk when this returns. After an error it may be tried again.
    pub fn append(&mut self, seal: &SealLine<'_>, key: &SigningKey) -> Result<(), SealLogError> {
        let entry = Entry {
            sequence: self.next,
            at: seal.at.rfc3339(),
            call: seal.call,
            path: seal.path.to_owned(),
            sidecar_sha256: seal.sidecar_sha256.to_owned(),
            previous: self.previous.clone(),
            certificate_sha256: seal.certificate_sha256.map(str::to_owned),
        };
        let (mut line, hash) = entry.sign(key);
        line.push('\n');
        self.file.write_all_at(line.as_bytes(), self.length).map_err(fault("appending to", &self.path))?;
        self.file.sync_all().map_err(fault("syncing", &self.path))?;
        self.length += line.len() as u64;
        self.next += 1;
        self.previous = hash;
        Ok(())
    }

    /// Whether the log has a line of this file as it is.
    pub fn has_file(&self, file: &str, sha256: &str) -> Result<bool, SealLogError> {
        let found = self.find(|entry| entry.path == file && entry.sidecar_sha256 == sha256)?;
        Ok(found.is_some())
    }

    /// Whether the log has this seal.
    pub fn contains(&self, sequence: u64, sidecar_sha256: &str) -> Result<bool, SealLogError> {
        let found = self.find(|entry| entry.sequence == sequence)?;
        Ok(found.is_some_and(|entry| entry.sidecar_sha256 == sidecar_sha256))
    }

    /// Whether the log has a tombstone of this call with this certificate.
    pub fn buries(&self, call: CallId, certificate_sha256: &str) -> Result<bool, SealLogError> {
        let is_it =
            |entry: &Entry| entry.certificate_sha256.as_deref() == Some(certificate_sha256) && entry.call == Some(call);
        self.find(is_it).map(|found| found.is_some())
    }

    /// The first line that is as wanted; lines that cannot be read are passed over.
    fn find(&self, is_wanted: impl Fn(&Entry) -> bool) -> Result<Option<Entry>, SealLogError> {
        let reader = BufReader::new(File::open(&self.path).map_err(fault("opening", &self.path))?);
        for line in reader.lines() {
            let line = line.map_err(fault("reading", &self.path))?;
            if let Ok(entry) = serde_json::from_str::<Entry>(&line)
                && is_wanted(&entry)
            {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

/// A line as an outsider checks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenLine {
    /// What it says.
    pub entry: Entry,
    /// The text that was hashed and signed.
    pub text: String,
    /// Its SHA-256.
    pub hash: String,
    /// Its signature, 64 bytes.
    pub signature: Vec<u8>,
}

/// The last line of a log that seals this file.
///
/// # Errors
/// When the log cannot be read.
pub fn find_line(log: &Path, file: &str) -> Result<Option<ProvenLine>, SealLogError> {
    Ok(find_lines(log, &HashSet::from([file.to_owned()]))?.remove(file))
}

/// The last line of a log that seals each of these files: the log is read once, however many they are.
///
/// # Errors
/// When the log cannot be read.
pub fn find_lines(log: &Path, files: &HashSet<String>) -> Result<HashMap<String, ProvenLine>, SealLogError> {
    #[derive(Deserialize)]
    struct Place {
        path: String,
    }
    let mut found = HashMap::new();
    for line in BufReader::new(File::open(log).map_err(fault("opening", log))?).lines() {
        let line = line.map_err(fault("reading", log))?;
        let Ok(Place { path }) = serde_json::from_str(&line) else { continue };
        if files.contains(&path)
            && let (Ok((entry, hash)), Ok(proof)) = (Entry::check(&line, None), serde_json::from_str::<Proof>(&line))
        {
            let signature = STANDARD.decode(&proof.signature).unwrap_or_default();
            found.insert(path, ProvenLine { text: entry.text(), entry, hash, signature });
        }
    }
    Ok(found)
}

/// What is sealed, or was deleted.
#[derive(Clone, Copy, Debug)]
pub struct SealLine<'a> {
    /// The call, when there is one.
    pub call: Option<CallId>,
    /// The file, relative to the recordings folder.
    pub path: &'a str,
    /// Its SHA-256.
    pub sidecar_sha256: &'a str,
    /// Of a tombstone: SHA-256 of the certificate.
    pub certificate_sha256: Option<&'a str>,
    /// When.
    pub at: Utc,
}

fn open_file(path: &Path) -> Result<SealLog, SealLogError> {
    let is_new = !path.exists();
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).open(path);
    let file = file.map_err(fault("opening", path))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| SealLogError::InUse { path: path.to_owned() })?;
    if let (true, Some(folder)) = (is_new, path.parent()) {
        sync_file(folder).map_err(fault("syncing the folder of", path))?;
    }
    let length = file.metadata().map_err(fault("reading the length of", path))?.len();
    Ok(SealLog { path: path.to_owned(), file, length, next: 1, previous: String::new(), warning: None })
}

/// The last whole line, and how many bytes stand behind its end.
fn read_tail(path: &Path) -> io::Result<(Option<String>, u64)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL_LENGTH);
    let mut tail = vec![0; (length - start) as usize];
    file.read_exact_at(&mut tail, start)?;
    let torn = tail.iter().rev().take_while(|byte| **byte != b'\n').count();
    let whole = tail.get(..tail.len() - torn).unwrap_or_default();
    let last = whole.strip_suffix(b"\n").and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next());
    Ok((last.map(|line| String::from_utf8_lossy(line).into_owned()), torn as u64))
}

fn fault(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SealLogError + use<> {
    let path = path.to_owned();
    move |source| SealLogError::File { act, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn add(log: &mut SealLog, n: u128) {
        let call = Some(CallId(uuid::Uuid::from_u128(n)));
        let line = SealLine {
            call,
            path: "2026/x/recording.json",
            sidecar_sha256: "00",
            certificate_sha256: None,
            at: Utc(n as i64),
        };
        log.append(&line, &key()).expect("appended");
    }

    fn lines(folder: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(log_paths(folder, "node-1").0).expect("read");
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn lines_are_chained_and_signed_over_restarts() {
        let folder = tempfile::tempdir().expect("a folder");
        for n in 1..=3 {
            let mut log = SealLog::open(folder.path(), "node-1", &key()).expect("a log");
            assert_eq!(log.next_sequence(), n as u64);
            add(&mut log, n);
        }
        let mut previous = String::new();
        for (place, line) in lines(folder.path()).iter().enumerate() {
            let (entry, hash) = Entry::check(line, Some(&key().verifying_key())).expect("sound");
            assert_eq!((entry.sequence, entry.previous), (place as u64 + 1, previous));
            previous = hash;
        }
        assert!(!previous.is_empty());
    }

    #[test]
    fn a_torn_last_line_is_cut_and_the_chain_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = SealLog::open(folder.path(), "node-1", &key()).expect("a log");
        add(&mut log, 1);
        add(&mut log, 2);
        let path = log_paths(folder.path(), "node-1").0;
        drop(log);
        let whole = std::fs::read(&path).expect("read");
        std::fs::write(&path, &whole[..whole.len() - 30]).expect("torn");
        let mut log = SealLog::open(folder.path(), "node-1", &key()).expect("a log");
        assert_eq!((log.next_sequence(), &log.warning), (2, &None));
        add(&mut log, 2);
        assert_eq!(std::fs::read(&path).expect("read"), whole);
    }

    #[test]
    fn no_flipped_byte_of_a_line_goes_unseen() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = SealLog::open(folder.path(), "node-1", &key()).expect("a log");
        add(&mut log, 1);
        let line = lines(folder.path()).remove(0);
        for at in 0..line.len() {
            let mut bytes = line.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            assert!(Entry::check(&changed, Some(&key().verifying_key())).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_damaged_last_line_is_set_aside_and_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = log_paths(folder.path(), "node-1").0;
        add(&mut SealLog::open(folder.path(), "node-1", &key()).expect("a log"), 1);
        let text = std::fs::read_to_string(&path).expect("read").replace("2026", "2027");
        std::fs::write(&path, &text).expect("changed");
        let log = SealLog::open(folder.path(), "node-1", &key()).expect("a log");
        assert!(log.warning.is_some() && log.next_sequence() == 1);
        assert_eq!(std::fs::read_dir(path.parent().expect("a folder")).expect("list").count(), 3);
    }

    #[test]
    fn a_log_that_another_process_writes_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = SealLog::open(folder.path(), "node-1", &key()).expect("a log");
        add(&mut log, 1);
        let path = log_paths(folder.path(), "node-1").0;
        let torn = [&std::fs::read(&path).expect("read")[..], b"{"].concat();
        std::fs::write(&path, &torn).expect("being written");
        let second = SealLog::open(folder.path(), "node-1", &key());
        assert!(matches!(second, Err(SealLogError::InUse { .. })));
        assert_eq!(std::fs::read(&path).expect("read"), torn);
    }

    #[test]
    fn another_key_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        SealLog::open(folder.path(), "node-1", &key()).expect("a log");
        let other = SealLog::open(folder.path(), "node-1", &SigningKey::from_bytes(&[8; 32]));
        assert!(matches!(other, Err(SealLogError::OtherKey { .. })));
    }
}
