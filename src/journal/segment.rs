//! The shared write-ahead journal: the frames of all calls in one file, so that one fdatasync makes all of them safe.
//!
//! A segment ends by size or age; it may be removed when the frame files of the legs in it are synced.

use std::collections::BTreeSet;
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
use crate::model::{LegId, Moment};

/// A segment ends when it is this old, so that a quiet night leaves no frame in the journal for long.
pub const SEGMENT_AGE_MAX: Duration = Duration::from_secs(60);
const MAGIC: &[u8; 8] = b"VIGSEG1\n";
const SUFFIX: &str = ".segment";

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
}

#[derive(Debug)]
struct Segment {
    file: Arc<File>,
    path: PathBuf,
    begun: Moment,
    written: u64,
    synced: u64,
}

/// A journal's folder, made when it is missing and locked for as long as this lives: one process at a time.
#[derive(Debug)]
pub struct JournalLock {
    _folder: File,
}

impl JournalLock {
    /// Makes the folder for nobody but this user (0700), and locks it. `ResourceBusy`: a living process has it.
    pub fn take(folder: &Path) -> io::Result<JournalLock> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
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
    /// A journal in `folder` (made when it is missing), locked. Segments of earlier runs are left as they are.
    pub fn open(folder: &Path, segment_bytes: u64) -> io::Result<Journal> {
        let lock = JournalLock::take(folder)?;
        let number = segment_paths(folder)?.last().and_then(|path| number_of(path)).map_or(0, |n| n + 1);
        Ok(Journal {
            _lock: lock,
            folder: folder.to_owned(),
            segment_bytes,
            number,
            segment: None,
            legs: BTreeSet::new(),
            batch: Vec::new(),
        })
    }

    /// Takes a frame into memory; [`Journal::write`] puts it into the segment.
    pub fn append(&mut self, frame: &Frame<'_>) {
        let written = self.segment.as_ref().map_or(FILE_HEADER_LENGTH, |segment| segment.written);
        frame.encode(written + self.batch.len() as u64, &mut self.batch);
        self.legs.insert(frame.leg_id());
    }

    /// Writes what was appended: a killed process loses it no more. After an error it may be tried again.
    pub fn write(&mut self, now: Moment) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        if self.segment.is_none() {
            self.segment = Some(begin_segment(&self.folder, self.number, now)?);
            self.number += 1;
        }
        if let Some(segment) = &mut self.segment {
            segment.file.write_all_at(&self.batch, segment.written)?;
            segment.written += self.batch.len() as u64;
            self.batch.clear();
        }
        Ok(())
    }

    /// Bytes appended and not yet written.
    pub fn waiting_bytes(&self) -> usize {
        self.batch.len()
    }

    /// Brings everything written to the disk for certain: a power cut loses it no more.
    pub fn sync(&mut self) -> io::Result<()> {
        if let Some(segment) = &mut self.segment
            && segment.synced < segment.written
        {
            segment.file.sync_data()?;
            segment.synced = segment.written;
        }
        Ok(())
    }

    /// The file to be synced by another thread, when something was written since the last time.
    pub fn begin_sync(&mut self) -> Option<Arc<File>> {
        let segment = self.segment.as_mut().filter(|segment| segment.synced < segment.written)?;
        segment.synced = segment.written;
        Some(segment.file.clone())
    }

    /// A sync that was begun came to nothing: the next one has it all to do.
    pub fn fail_sync(&mut self) {
        if let Some(segment) = &mut self.segment {
            segment.synced = 0;
        }
    }

    /// Ends the segment when it is full or old; the next write begins another.
    pub fn end_if_due(&mut self, now: Moment) -> Option<EndedSegment> {
        let segment = self.segment.as_ref()?;
        let due = segment.written >= self.segment_bytes || now.since(segment.begun) >= SEGMENT_AGE_MAX;
        if !due || !self.batch.is_empty() {
            return None;
        }
        self.segment.take().map(|segment| EndedSegment { path: segment.path, legs: std::mem::take(&mut self.legs) })
    }
}

/// Hands out the frames of every segment in `folder`, oldest segment first, each up to its first broken record.
/// Returns the segments read, with what was found in each.
pub fn read_all(folder: &Path, mut each: impl FnMut(Frame<'_>)) -> io::Result<Vec<(PathBuf, FileScan)>> {
    let mut read = Vec::new();
    for path in segment_paths(folder)? {
        let found = scan_records(&File::open(&path)?, MAGIC, |_, frame| each(frame))?;
        read.push((path, found));
    }
    Ok(read)
}

fn begin_segment(folder: &Path, number: u64, now: Moment) -> io::Result<Segment> {
    let path = folder.join(format!("{number:016}{SUFFIX}"));
    // Truncated: a failed attempt to begin this very segment may have left a file.
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&path)?;
    file.write_all_at(MAGIC, 0)?;
    File::open(folder)?.sync_all()?;
    Ok(Segment { file: Arc::new(file), path, begun: now, written: FILE_HEADER_LENGTH, synced: 0 })
}

fn segment_paths(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(paths),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if number_of(&path).is_some() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn number_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::frame_of;
    use super::*;

    fn numbers_in(folder: &Path) -> Vec<u32> {
        let mut numbers = Vec::new();
        read_all(folder, |frame| numbers.push(frame.number)).expect("read");
        numbers
    }

    #[test]
    fn frames_are_read_back_in_order_over_segments_and_restarts() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut next = 0;
        for _run in 0..3 {
            let mut journal = Journal::open(folder.path(), 2000).expect("a journal");
            for _ in 0..20 {
                journal.append(&frame_of(1, 0, next, &[0; 160]));
                journal.write(Moment(0)).expect("written");
                journal.sync().expect("synced");
                journal.end_if_due(Moment(1));
                next += 1;
            }
        }
        assert_eq!(numbers_in(folder.path()), (0..60).collect::<Vec<_>>());
        assert!(segment_paths(folder.path()).expect("list").len() >= 6);
    }

    #[test]
    fn a_segment_ends_by_age_and_names_the_legs_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(folder.path(), 1 << 30).expect("a journal");
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
            let mut journal = Journal::open(folder.path(), 1 << 30).expect("a journal");
            (first..first + 10).for_each(|n| journal.append(&frame_of(1, 0, n, &[0; 160])));
            journal.write(Moment(0)).expect("written");
        }
        let paths = segment_paths(folder.path()).expect("list");
        let bytes = std::fs::read(&paths[0]).expect("read");
        std::fs::write(&paths[0], &bytes[..bytes.len() - 5]).expect("torn");
        assert_eq!(numbers_in(folder.path()), (0..9).chain(10..20).collect::<Vec<_>>());
    }
}
