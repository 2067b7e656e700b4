//! The shared write-ahead journal: the frames of all calls in one file, so that one fdatasync makes all of them safe.
//!
//! A segment ends by size or age; it may be removed when the frame files of the legs in it are synced.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::frame::Frame;
use super::scan::{FILE_HEADER_LENGTH, FileScan, scan_records};
use super::written::Written;
use crate::model::{LegId, Moment};
use crate::vault::{Appender, AudioKey, AudioReader, Keys, VaultError, Wrapped};

/// A segment ends when it is this old, so that a quiet night leaves no frame in the journal for long.
pub const SEGMENT_AGE_MAX: Duration = Duration::from_secs(60);
const MAGIC: &[u8; 8] = b"VIGSEG1\n";
const SUFFIX: &str = ".segment";
/// The ending of segments that no key will open: set aside, and kept.
const DAMAGED: &str = "damaged";
/// A run's key, wrapped, is named like its first segment.
const KEY_SUFFIX: &str = ".key";
/// What encrypted segments are named within: they have no name of their own, since one that is set aside gets another.
const SEALED_NAME: &str = "journal";

/// The journal, being written by one thread.
#[derive(Debug)]
pub struct Journal {
    _lock: JournalLock,
    folder: PathBuf,
    segment_bytes: u64,
    number: u64,
    segment: Option<Segment>,
    legs: BTreeSet<LegId>,
    batch: Vec<u8>,
    /// Segments that ended and are not synced to their ends yet; nor are the frame files that hold the same.
    tails: VecDeque<Tail>,
    /// What is being synced, as far as it was written then.
    begun: Vec<(PathBuf, u64)>,
    /// Encrypts the segments of this run.
    key: Option<AudioKey>,
}

/// A segment that ended, to be synced.
#[derive(Debug)]
struct Tail {
    path: PathBuf,
    written: Written,
}

#[derive(Debug)]
struct Segment {
    file: Arc<File>,
    path: PathBuf,
    begun: Moment,
    /// Plain bytes written.
    written: u64,
    synced: u64,
    /// A sync failed, and none has succeeded since.
    is_doubtful: bool,
    /// Its name was synced with it.
    is_named: bool,
    appender: Option<Appender>,
}

/// A journal's folder, made when it is missing and locked for as long as this lives: one process at a time.
#[derive(Debug)]
pub struct JournalLock {
    _folder: File,
}

impl JournalLock {
    /// Makes the folder for nobody but this user (0700), and locks it. `ResourceBusy`: a living process has it.
    pub fn take(folder: &Path) -> io::Result<JournalLock> {
        let is_new = !folder.exists();
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        if let Some(above) = folder.parent().filter(|_| is_new) {
            // A folder whose name is not on the disk takes with it whatever was synced in it.
            File::open(above)?.sync_all()?;
        }
        let open = File::open(folder)?;
        flock(&open, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            Errno::WOULDBLOCK => io::Error::new(io::ErrorKind::ResourceBusy, "a running Vigie has it"),
            error => error.into(),
        })?;
        if open.metadata()?.permissions().mode() & 0o077 != 0 {
            open.set_permissions(Permissions::from_mode(0o700))?;
        }
        Ok(JournalLock { _folder: open })
    }
}

/// A segment to which nothing will be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedSegment {
    /// The file.
    pub path: PathBuf,
    /// Whose frames it holds: when their frame files are synced, the file may go.
    pub legs: BTreeSet<LegId>,
}

impl Journal {
    /// A journal in `folder` (made when it is missing), locked; encrypted when there is a key, which rests wrapped in the
    /// folder. Segments of earlier runs are left as they are.
    pub fn open(folder: &Path, segment_bytes: u64, key: Option<AudioKey>) -> io::Result<Journal> {
        let lock = JournalLock::take(folder)?;
        let used = list(folder, SUFFIX)?.into_iter().chain(list(folder, KEY_SUFFIX)?).map(|(number, _)| number);
        let number = used.max().map_or(0, |number| number + 1);
        if let Some(key) = &key {
            key.wrapped().put(&folder.join(format!("{number:016}{KEY_SUFFIX}")))?;
        }
        Ok(Journal {
            _lock: lock,
            folder: folder.to_owned(),
            segment_bytes,
            number,
            segment: None,
            legs: BTreeSet::new(),
            batch: Vec::new(),
            tails: VecDeque::new(),
            begun: Vec::new(),
            key,
        })
    }

    /// The number of the next segment; those of earlier runs are below what this was when it was opened.
    pub fn next_number(&self) -> u64 {
        self.number
    }

    /// Takes a frame into memory; [`Journal::write`] puts it into the segment.
    pub fn append(&mut self, frame: &Frame<'_>) {
        let written = self.segment.as_ref().map_or(0, |segment| segment.written).max(FILE_HEADER_LENGTH);
        frame.encode(written + self.batch.len() as u64, &mut self.batch);
        self.legs.insert(frame.leg_id());
    }

    /// Writes what was appended: a killed process loses it no more. After an error it may be tried again.
    pub fn write(&mut self, now: Moment) -> io::Result<()> {
        if self.waiting_bytes() == 0 {
            return Ok(());
        }
        if self.segment.is_none() {
            self.segment = Some(begin_segment(&self.folder, self.number, now, self.key.clone())?);
            self.number += 1;
        }
        if let Some(segment) = &mut self.segment {
            segment.write(&mut self.batch)?;
        }
        Ok(())
    }

    /// Bytes appended and not yet written.
    pub fn waiting_bytes(&self) -> usize {
        let pending = self.segment.as_ref().and_then(|segment| segment.appender.as_ref());
        self.batch.len() + pending.map_or(0, Appender::pending_bytes)
    }

    /// Brings everything written to the disk for certain: a power cut loses it no more.
    pub fn sync(&mut self) -> io::Result<()> {
        let results: Vec<io::Result<()>> = self.begin_sync().iter().map(Written::sync).collect();
        self.end_sync(&results.iter().map(Result::is_ok).collect::<Vec<_>>());
        results.into_iter().collect()
    }

    /// What another thread is to sync, each whatever became of the others; then [`Journal::end_sync`]. The present segment
    /// comes first, since its frames are nowhere else; of ended ones that failed before, and are written again, one at a time.
    pub fn begin_sync(&mut self) -> Vec<Written> {
        let mut due = Vec::new();
        self.begun.clear();
        if let Some(segment) = self.segment.as_mut().filter(|segment| segment.synced < segment.written) {
            segment.synced = segment.written;
            self.begun.push((segment.path.clone(), segment.so_far().bytes));
            due.push(segment.so_far());
        }
        let mut is_one_again = false;
        for tail in &self.tails {
            if tail.written.is_doubtful && std::mem::replace(&mut is_one_again, true) {
                continue;
            }
            self.begun.push((tail.path.clone(), tail.written.bytes));
            due.push(tail.written.clone());
        }
        due
    }

    /// A sync that was begun has ended: whether each of what was to be synced is, in its order. What is missing is not.
    pub fn end_sync(&mut self, done: &[bool]) {
        let mut done = done.iter();
        for (path, bytes) in std::mem::take(&mut self.begun) {
            let is_done = *done.next().unwrap_or(&false);
            if let Some(segment) = self.segment.as_mut().filter(|segment| segment.path == path) {
                segment.settle(is_done);
            }
            let Some(place) = self.tails.iter().position(|tail| tail.path == path) else { continue };
            // One that ended meanwhile is synced only as far as it went then.
            let is_whole = |tail: &Tail| is_done && tail.written.bytes <= bytes;
            if let Some(mut tail) = self.tails.remove(place).filter(|tail| !is_whole(tail)) {
                tail.written.is_doubtful |= !is_done;
                self.tails.push_back(tail);
            }
        }
    }

    /// A segment has gone: its frames are safe elsewhere.
    pub fn forget(&mut self, path: &Path) {
        self.tails.retain(|tail| tail.path != path);
    }

    /// Ends the segment when it is full or old; the next write begins another.
    pub fn end_if_due(&mut self, now: Moment) -> Option<EndedSegment> {
        let segment = self.segment.as_ref()?;
        let due = segment.written >= self.segment_bytes || now.since(segment.begun) >= SEGMENT_AGE_MAX;
        if !due || self.waiting_bytes() > 0 {
            return None;
        }
        let segment = self.segment.take()?;
        // Even when all of it is being synced: that may fail.
        self.tails.push_back(Tail { path: segment.path.clone(), written: segment.so_far() });
        Some(EndedSegment { path: segment.path, legs: std::mem::take(&mut self.legs) })
    }
}

impl Segment {
    fn so_far(&self) -> Written {
        let bytes = self.appender.as_ref().map_or(self.written, Appender::place);
        let named_in = self.path.parent().filter(|_| !self.is_named).map(Path::to_owned);
        Written { file: self.file.clone(), bytes, is_doubtful: self.is_doubtful, named_in }
    }

    fn settle(&mut self, is_done: bool) {
        self.is_doubtful = !is_done;
        self.is_named |= is_done;
        if !is_done {
            self.synced = 0;
        }
    }

    /// Writes the batch and empties it; after an error it may be tried again.
    fn write(&mut self, batch: &mut Vec<u8>) -> io::Result<()> {
        let Some(appender) = &mut self.appender else {
            self.file.write_all_at(batch, self.written)?;
            self.written += batch.len() as u64;
            batch.clear();
            return Ok(());
        };
        if !batch.is_empty() {
            // The first chunk says what the file is, as a plain one does.
            let begin = if self.written == 0 { MAGIC.as_slice() } else { &[] };
            appender.seal(&[begin, batch].concat(), false)?;
            self.written += (begin.len() + batch.len()) as u64;
            batch.clear();
        }
        appender.write(&self.file)
    }
}

/// Hands out the frames of every segment in `folder` whose number is below `end`, oldest segment first, each up to its
/// first broken record. Returns the segments read, with what was found in each.
///
/// # Errors
/// Without the key of a run whose segments are encrypted ([`VaultError::is_for_want_of_a_key`]) nothing is read.
pub fn read_all(
    folder: &Path,
    (keys, end): (&Keys, u64),
    mut each: impl FnMut(Frame<'_>),
) -> Result<Vec<(PathBuf, FileScan)>, VaultError> {
    let mut readers = Vec::new();
    for (path, reader) in open_all(folder, (keys, end))? {
        readers.push((reader?, path));
    }
    let mut read = Vec::new();
    for (mut reader, path) in readers {
        let found = scan_records(&mut reader, MAGIC, |_, frame| each(frame)).map_err(fault("reading", &path))?;
        read.push((path, found));
    }
    Ok(read)
}

/// Gives another ending to the segments that [`read_all`] would fail at and that no key would mend: their own key is
/// damaged, another's or gone. Where they are now, and why.
///
/// # Errors
/// When a file cannot be listed or renamed.
pub fn set_damaged_aside(folder: &Path, (keys, end): (&Keys, u64)) -> Result<Vec<(PathBuf, VaultError)>, VaultError> {
    let mut aside = Vec::new();
    for (path, opened) in open_all(folder, (keys, end))? {
        let Err(error) = opened else { continue };
        let is_damage =
            matches!(error, VaultError::Damaged { .. } | VaultError::NoKey { .. } | VaultError::Broken { .. });
        if is_damage {
            let to = path.with_extension(DAMAGED);
            std::fs::rename(&path, &to).map_err(fault("setting aside", &path))?;
            aside.push((to, error));
        }
    }
    Ok(aside)
}

type Opened = Result<AudioReader, VaultError>;

/// Every segment below `end`, opened or not, oldest first.
fn open_all(folder: &Path, (keys, end): (&Keys, u64)) -> Result<Vec<(PathBuf, Opened)>, VaultError> {
    let run_keys = list(folder, KEY_SUFFIX).map_err(fault("listing", folder))?;
    let key_of = |number: u64| {
        let path = run_keys.iter().rev().find(|(first, _)| *first <= number).map(|(_, path)| path);
        let wrapped = path.map(|path| Ok((Wrapped::read(path)?, path))).transpose()?;
        match wrapped {
            Some((Some(wrapped), path)) => keys.open_key(wrapped, path).map(Some),
            Some((None, _)) | None => Ok(None),
        }
    };
    let segments = list(folder, SUFFIX).map_err(fault("listing", folder))?.into_iter();
    let opened = segments.filter(|(number, _)| *number < end).map(|(number, path)| {
        let reader = AudioReader::open(&path, SEALED_NAME, || key_of(number));
        (path, reader)
    });
    Ok(opened.collect())
}

fn fault(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VaultError + use<> {
    let path = path.to_owned();
    move |source| VaultError::File { act, path, source }
}

/// Removes the keys of runs before the segment `end` of which no segment is left.
pub fn remove_idle_keys(folder: &Path, end: u64) -> io::Result<()> {
    let mut first_kept = end;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_key = path.extension().is_some_and(|ending| ending == "key");
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| !is_key) {
            first_kept = first_kept.min(number);
        }
    }
    let keys: Vec<_> = list(folder, KEY_SUFFIX)?.into_iter().filter(|(number, _)| *number < end).collect();
    for (index, (_, path)) in keys.iter().enumerate() {
        // A key holds up to the next one's first segment.
        let until = keys.get(index + 1).map_or(end, |(next, _)| *next);
        if until <= first_kept {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn begin_segment(folder: &Path, number: u64, now: Moment, key: Option<AudioKey>) -> io::Result<Segment> {
    let path = folder.join(format!("{number:016}{SUFFIX}"));
    // Truncated: a failed attempt to begin this very segment may have left a file.
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o640).open(&path)?;
    let appender = key.map(|key| Appender::new(key, SEALED_NAME));
    let written = if appender.is_some() { 0 } else { FILE_HEADER_LENGTH };
    if appender.is_none() {
        file.write_all_at(MAGIC, 0)?;
    }
    // Its name is synced with its first frames, by whoever may wait for a disk.
    let file = Arc::new(file);
    Ok(Segment { file, path, begun: now, written, synced: 0, is_doubtful: false, is_named: false, appender })
}

/// The files of one kind by number.
fn list(folder: &Path, suffix: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut paths = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(paths),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(suffix)?.parse().ok());
        paths.extend(number.map(|number| (number, path)));
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::frame_of;
    use super::*;

    fn numbers_in(folder: &Path) -> Vec<u32> {
        let mut numbers = Vec::new();
        read_all(folder, (&Keys::off(), u64::MAX), |frame| numbers.push(frame.number)).expect("read");
        numbers
    }

    #[test]
    fn frames_are_read_back_in_order_over_segments_and_restarts() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut next = 0;
        for _run in 0..3 {
            let mut journal = Journal::open(folder.path(), 2000, None).expect("a journal");
            for _ in 0..20 {
                journal.append(&frame_of(1, 0, next, &[0; 160]));
                journal.write(Moment(0)).expect("written");
                journal.sync().expect("synced");
                journal.end_if_due(Moment(1));
                next += 1;
            }
        }
        assert_eq!(numbers_in(folder.path()), (0..60).collect::<Vec<_>>());
        assert!(list(folder.path(), SUFFIX).expect("list").len() >= 6);
    }

    #[test]
    fn a_segment_ends_by_age_and_names_the_legs_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(folder.path(), 1 << 30, None).expect("a journal");
        journal.append(&frame_of(1, 0, 0, &[0; 160]));
        journal.append(&frame_of(2, 3, 0, &[0; 160]));
        assert_eq!(journal.end_if_due(Moment(u64::MAX)), None, "nothing is written yet");
        journal.write(Moment(0)).expect("written");
        assert_eq!(journal.end_if_due(Moment(59_999_999)), None);
        let ended = journal.end_if_due(Moment(60_000_000)).expect("an ended segment");
        assert_eq!(ended.legs.iter().map(|leg| leg.number).collect::<Vec<_>>(), [0, 3]);
        assert!(ended.path.exists());
    }

    #[test]
    fn a_torn_segment_gives_what_stands_before_the_tear_and_the_next_segment_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        for first in [0, 10] {
            let mut journal = Journal::open(folder.path(), 1 << 30, None).expect("a journal");
            (first..first + 10).for_each(|n| journal.append(&frame_of(1, 0, n, &[0; 160])));
            journal.write(Moment(0)).expect("written");
        }
        let paths = list(folder.path(), SUFFIX).expect("list");
        let bytes = std::fs::read(&paths[0].1).expect("read");
        std::fs::write(&paths[0].1, &bytes[..bytes.len() - 5]).expect("torn");
        assert_eq!(numbers_in(folder.path()), (0..9).chain(10..20).collect::<Vec<_>>());
    }

    #[test]
    fn an_ended_segment_that_cannot_be_synced_keeps_nothing_else_waiting_and_goes_with_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(folder.path(), 100, None).expect("a journal");
        let write = |journal: &mut Journal, number| {
            journal.append(&frame_of(1, 0, number, &[0; 160]));
            journal.write(Moment(0)).expect("written");
        };
        let ends = |journal: &mut Journal| journal.end_if_due(Moment(1)).expect("an ended segment").path;
        write(&mut journal, 0);
        let bad = ends(&mut journal);
        assert_eq!(journal.begin_sync().len(), 1);
        journal.end_sync(&[false]);
        // What is doubtful is read back, and there is nothing to read.
        File::options().write(true).open(&bad).and_then(|file| file.set_len(0)).expect("cut short");
        write(&mut journal, 1);
        assert!(journal.sync().is_err());
        assert!(journal.begin_sync().iter().all(|due| due.is_doubtful), "the present one is synced");
        journal.end_sync(&[]);
        write(&mut journal, 2);
        ends(&mut journal);
        assert!(journal.sync().is_err());
        assert_eq!(journal.begin_sync().len(), 1, "nor does another that ended wait");
        journal.end_sync(&[false]);
        journal.forget(&bad);
        assert!(journal.begin_sync().is_empty() && journal.sync().is_ok());
    }

    #[test]
    fn a_segment_that_ends_while_it_is_synced_is_synced_to_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(folder.path(), 100, None).expect("a journal");
        let write = |journal: &mut Journal, number| {
            journal.append(&frame_of(1, 0, number, &[0; 160]));
            journal.write(Moment(0)).expect("written");
        };
        write(&mut journal, 0);
        assert_eq!(journal.begin_sync().len(), 1);
        write(&mut journal, 1);
        journal.end_if_due(Moment(1)).expect("an ended segment");
        journal.end_sync(&[true]);
        assert_eq!(journal.begin_sync().len(), 1, "its last frame is not on the disk");
        journal.end_sync(&[true]);
        assert!(journal.begin_sync().is_empty());
    }
}
