//! An hour's root: one signed hash over all lines that the seal log got since the root before.
//!
//! It stands as `seal-log/NODE.roots/2026/2026-11-22T13-00-00Z.json` with its signature beside it, has a line in the seal
//! log itself, and names the root before. Sent away or time-stamped, it proves all of them: of a seal, that it was there then.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::merkle;
use crate::model::Utc;
use crate::recorder::deposit::{Deposit, DepositError, Notary};
use crate::recorder::layout::SEAL_LOG_FOLDER;
use crate::recorder::render::hex;
use crate::recorder::seal_log::{Entry, log_paths};

/// How a time stamp's file ends, behind the root's own name.
pub const STAMP: &str = "tsr";
/// How a root is named by its time, to the second, in UTC.
const NAME: &str = "%Y/%Y-%m-%dT%H-%M-%SZ";
/// The most lines under one root: more are left for the next.
const LINES_MAX: usize = 100_000;

/// The signed document of one root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The node whose log it is.
    pub node: String,
    /// When it was made: RFC 3339 in UTC.
    pub made_at: String,
    /// The first line's sequence.
    pub first: u64,
    /// The last line's.
    pub last: u64,
    /// The `hash` of the last line: the log up to there cannot be another.
    pub last_hash: String,
    /// The root over the `hash` of every line from first to last (see `merkle.rs`).
    pub root: String,
    /// Bytes of the seal log up to the last line's end.
    pub log_bytes: u64,
    /// SHA-256 of the document before; empty in the first.
    pub previous_sha256: String,
}

/// A root could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// A file could not be read.
    #[error("{act} {path}: {source}")]
    File {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The seal log has a line that is none.
    #[error("line {line} behind byte {from} of {path} is no line of a seal log; run `vigie verify`")]
    Line {
        /// Counted from there.
        line: usize,
        /// Where reading began.
        from: u64,
        /// The log.
        path: PathBuf,
    },
    /// It could not be signed and kept.
    #[error(transparent)]
    Deposit(#[from] DepositError),
}

/// The folder of a node's roots, relative to the recordings folder.
pub fn folder_of(recordings: &Path, node: &str) -> String {
    let (log, _) = log_paths(recordings, node);
    let stem = log.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{SEAL_LOG_FOLDER}/{stem}.roots")
}

/// The documents in a folder of roots, by their names, which is by time; none when there is no folder.
///
/// # Errors
/// When a folder cannot be listed.
pub fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let years = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        years => years?,
    };
    for year in years {
        let year = year?.path();
        for file in year.is_dir().then(|| std::fs::read_dir(&year)).transpose()?.into_iter().flatten() {
            let file = file?.path();
            if file.extension().is_some_and(|extension| extension == "json") {
                found.push(file);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The newest root with its document's path and hash.
fn newest(recordings: &Path, node: &str) -> Result<Option<(Root, PathBuf, String)>, RootError> {
    let folder = recordings.join(folder_of(recordings, node));
    let all = list(&folder).map_err(fault("listing", &folder))?;
    let Some(path) = all.last() else { return Ok(None) };
    let bytes = std::fs::read(path).map_err(fault("reading", path))?;
    let root = serde_json::from_slice(&bytes).map_err(io::Error::from).map_err(fault("understanding", path))?;
    Ok(Some((root, path.clone(), hex(&Sha256::digest(&bytes)))))
}

/// The lines of a log from byte `from` on, with their hashes and where the last ends; a torn last one is left out.
///
/// # Errors
/// When the log cannot be read, or a line is none.
pub fn lines_from(log: &Path, from: u64) -> Result<(Vec<(Entry, String)>, u64), RootError> {
    lines_between(log, from, u64::MAX)
}

/// The same up to byte `to`, where a line ends.
fn lines_between(log: &Path, from: u64, to: u64) -> Result<(Vec<(Entry, String)>, u64), RootError> {
    let mut file = match File::open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        file => file.map_err(fault("opening", log))?,
    };
    file.seek(SeekFrom::Start(from)).map_err(fault("reading", log))?;
    let (mut reader, mut found, mut end, mut line) = (BufReader::new(file), Vec::new(), from, Vec::new());
    while found.len() < LINES_MAX && end < to {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(fault("reading", log))?;
        let Some(text) = line.strip_suffix(b"\n") else { break };
        let checked = Entry::check(&String::from_utf8_lossy(text), None);
        let fault = |_| RootError::Line { line: found.len() + 1, from, path: log.to_owned() };
        found.push(checked.map_err(fault)?);
        end += read as u64;
    }
    Ok((found, end))
}

/// Makes the root over what the log got since the one before; its path, or `None` when that is nothing but roots and
/// their time stamps.
///
/// # Errors
/// When the log cannot be read or the root not be kept.
pub fn make(recordings: &Path, node: &str, notary: &Notary, at: Utc) -> Result<Option<String>, RootError> {
    let before = newest(recordings, node)?;
    let (log, _) = log_paths(recordings, node);
    let named_at = before.as_ref().map_or(at, |(_, path, _)| name_after(path, at));
    let (from, previous_sha256) = before.map_or((0, String::new()), |(root, _, hash)| (root.log_bytes, hash));
    let (lines, log_bytes) = lines_from(&log, from)?;
    let folder = folder_of(recordings, node);
    let is_news = |(entry, _): &(Entry, String)| !entry.path.starts_with(&format!("{folder}/"));
    let (Some((first, _)), Some((last, last_hash))) = (lines.first(), lines.last()) else { return Ok(None) };
    if !lines.iter().any(is_news) {
        return Ok(None);
    }
    let leaves: Vec<String> = lines.iter().map(|(_, hash)| hash.clone()).collect();
    let root = Root {
        node: node.to_owned(),
        made_at: at.rfc3339(),
        first: first.sequence,
        last: last.sequence,
        last_hash: last_hash.clone(),
        root: merkle::root_of(&leaves).unwrap_or_default(),
        log_bytes,
        previous_sha256,
    };
    let mut bytes = serde_json::to_vec_pretty(&root).map_err(io::Error::from).map_err(fault("composing", &log))?;
    bytes.push(b'\n');
    let path = format!("{folder}/{}.json", named_at.timestamp().strftime(NAME));
    notary.deposit(Deposit::File { call: None, path: path.clone(), bytes })?;
    Ok(Some(path))
}

/// The time in a new root's name: names are in the order of the roots even when the clock was ahead for a while.
fn name_after(newest: &Path, at: Utc) -> Utc {
    let written = newest.strip_prefix(newest.ancestors().nth(2).unwrap_or(newest)).unwrap_or(newest).with_extension("");
    let last = jiff::civil::DateTime::strptime(NAME, written.to_string_lossy().as_bytes());
    let last = last.and_then(|last| last.to_zoned(TimeZone::UTC)).map(|last| last.timestamp().as_microsecond());
    last.map_or(at, |last| at.max(Utc(last.saturating_add(1_000_000))))
}

/// The root that covers a line, its document's path, and all leaves under it.
///
/// # Errors
/// When roots or log cannot be read.
pub fn covering(
    recordings: &Path,
    log: &Path,
    sequence: u64,
) -> Result<Option<(PathBuf, Root, Vec<String>)>, RootError> {
    let stem = log.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = recordings.join(SEAL_LOG_FOLDER).join(format!("{stem}.roots"));
    let all = list(&folder).map_err(fault("listing", &folder))?;
    // Roots are in the order of their lines: of years of them, a dozen are read.
    let (mut low, mut high) = (0, all.len());
    while let Some(path) = all.get(low..high).and_then(|left| left.get(left.len() / 2)) {
        let middle = low + (high - low) / 2;
        (low, high) = if read(path)?.last < sequence { (middle + 1, high) } else { (low, middle) };
    }
    let Some(path) = all.get(low) else { return Ok(None) };
    let root = read(path)?;
    if sequence < root.first {
        return Ok(None);
    }
    let before = low.checked_sub(1).and_then(|before| all.get(before));
    let from = before.map(|path| read(path)).transpose()?.map_or(0, |before| before.log_bytes);
    let (lines, _) = lines_between(log, from, root.log_bytes)?;
    let inside = lines.into_iter().filter(|(entry, _)| (root.first..=root.last).contains(&entry.sequence));
    let leaves = inside.map(|(_, hash)| hash).collect();
    Ok(Some((path.clone(), root, leaves)))
}

fn read(path: &Path) -> Result<Root, RootError> {
    let bytes = std::fs::read(path).map_err(fault("reading", path))?;
    serde_json::from_slice(&bytes).map_err(io::Error::from).map_err(fault("understanding", path))
}

/// Roots without a time stamp, the oldest first.
///
/// # Errors
/// When the folder cannot be listed.
pub fn unstamped(recordings: &Path, node: &str) -> io::Result<Vec<PathBuf>> {
    let all = list(&recordings.join(folder_of(recordings, node)))?;
    Ok(all.into_iter().filter(|path| !stamp_of(path).exists()).collect())
}

/// The time stamp's file of a root.
pub fn stamp_of(root: &Path) -> PathBuf {
    let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    root.with_file_name(format!("{name}.{STAMP}"))
}

fn fault(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RootError + use<> {
    let path = path.to_owned();
    move |source| RootError::File { act, path, source }
}
