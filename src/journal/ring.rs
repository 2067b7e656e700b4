//! The ring of one media thread: a preallocated file on tmpfs that outlives a killed process.
//!
//! One thread writes, one reads; they share three counters and no lock. Positions count bytes since the ring was made
//! and never wrap; byte `p` lies at `HEADER_LENGTH + p % capacity`. No record straddles the file's end: a pad fills it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::process::geteuid;

use super::frame::{ALIGNMENT, Frame, RECORD_LENGTH_MAX, begins_record, decode, u32_at, u64_at};

/// The smallest ring: some hundred frames.
pub const RING_BYTES_MIN: u64 = 64 * 1024;
/// What one flush may hold, and one read takes: far more than one epoll wake-up brings, and it stays in the cache.
const BATCH_BYTES: usize = 256 * 1024;
/// How many rings of earlier runs are kept aside under one name before the oldest name is used again.
const LEFT_RINGS_MAX: u32 = 8;
const HEADER_LENGTH: u64 = 64;
const FILE_MAGIC: &[u8; 8] = b"VIGRING1";
const PAD_MAGIC: u32 = u32::from_le_bytes(*b"VPad");

/// Makes the folder of the rings, for nobody but this user (0700): frames are speech. One that is there keeps its mode;
/// that of another user but root is refused, for its owner could put other files in the rings' place.
pub fn make_folder(folder: &Path) -> Result<(), RingError> {
    let fault = |source| RingError::File { act: "making the folder of", path: folder.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fault)?;
    let owner = std::fs::metadata(folder).map_err(fault)?.uid();
    if owner == 0 || owner == geteuid().as_raw() {
        return Ok(());
    }
    Err(RingError::Foreign { folder: folder.to_owned(), owner })
}

/// A ring could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The file could not be made, locked, read or written.
    #[error(
        "{act} the ring {path}: {source}; check that the folder is there, writable and has room (settings: media.ring_folder, media.ring_bytes)"
    )]
    File {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Too small.
    #[error("a ring of {bytes} bytes is too small; give media.ring_bytes at least {RING_BYTES_MIN}")]
    TooSmall {
        /// What was asked.
        bytes: u64,
    },
    /// Another process writes it.
    #[error("the ring {path} is in use by another process; stop it, or give this one another media.ring_folder")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Another user made the folder.
    #[error(
        "the folder of the rings, {folder}, belongs to user {owner}, who could change what is recorded; remove it, or set media.ring_folder"
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// The user's number.
        owner: u32,
    },
    /// The file is no ring.
    #[error("{path} is no ring of audio frames; remove it if nobody needs it")]
    NotARing {
        /// The file.
        path: PathBuf,
    },
    /// What was read is not what was written; it was passed over.
    #[error("{bytes} bytes of the ring {path} at position {position} were unreadable and passed over")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// From here.
        position: u64,
        /// So many.
        bytes: u64,
    },
}

#[derive(Debug)]
struct Ring {
    file: File,
    path: PathBuf,
    capacity: u64,
    /// Everything before it is in the file. Stored by the writer.
    written: Arc<AtomicU64>,
    /// Everything before it may be overwritten. Stored by the reader.
    released: Arc<AtomicU64>,
    /// Frames refused since the start. Stored by the writer.
    refused: Arc<AtomicU64>,
}

impl Ring {
    fn offset(&self, position: u64) -> u64 {
        HEADER_LENGTH + position % self.capacity
    }

    fn to_end(&self, position: u64) -> u64 {
        self.capacity - position % self.capacity
    }

    fn fault(&self, act: &'static str) -> impl FnOnce(io::Error) -> RingError {
        let path = self.path.clone();
        move |source| RingError::File { act, path, source }
    }
}

/// The writing end; belongs to one media thread.
#[derive(Debug)]
pub struct RingWriter {
    ring: Arc<Ring>,
    /// What was pushed and is not yet in the file, from position `written` on.
    batch: Vec<u8>,
}

impl RingWriter {
    /// Makes a ring of `bytes` bytes and locks it. A ring of an earlier run under this name is kept aside (`….left-N`) for recovery.
    pub fn create(path: &Path, bytes: u64) -> Result<RingWriter, RingError> {
        if bytes < RING_BYTES_MIN {
            return Err(RingError::TooSmall { bytes });
        }
        let fault = |act| move |source| RingError::File { act, path: path.to_owned(), source };
        keep_aside(path)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(path)
            .map_err(fault("creating"))?;
        lock(&file, path)?;
        let capacity = (bytes - HEADER_LENGTH) / ALIGNMENT as u64 * ALIGNMENT as u64;
        // Preallocated, so that a write never meets a full tmpfs.
        fallocate(&file, FallocateFlags::empty(), 0, HEADER_LENGTH + capacity).map_err(|e| RingError::File {
            act: "preallocating",
            path: path.to_owned(),
            source: e.into(),
        })?;
        let mut header = FILE_MAGIC.to_vec();
        header.extend_from_slice(&capacity.to_le_bytes());
        file.write_all_at(&header, 0).map_err(fault("writing the header of"))?;
        let ring = Ring {
            file,
            path: path.to_owned(),
            capacity,
            written: Arc::default(),
            released: Arc::default(),
            refused: Arc::default(),
        };
        Ok(RingWriter { ring: Arc::new(ring), batch: Vec::with_capacity(BATCH_BYTES + RECORD_LENGTH_MAX * 2) })
    }

    /// Takes a frame into the batch that the next [`RingWriter::flush`] writes. `false`: the ring is full (the reader
    /// is so far behind) and the frame was counted as refused.
    pub fn push(&mut self, frame: &Frame<'_>) -> bool {
        if self.batch.len() >= BATCH_BYTES && self.flush().is_err() {
            return self.refuse();
        }
        let length = frame.record_length() as u64;
        let next = self.ring.written.load(Ordering::Relaxed) + self.batch.len() as u64;
        let to_end = self.ring.to_end(next);
        let pad = if to_end < length { to_end } else { 0 };
        let used = next - self.ring.released.load(Ordering::Acquire);
        if used + pad + length > self.ring.capacity {
            return self.refuse();
        }
        if pad > 0 {
            let after_pad = self.batch.len() + pad as usize;
            self.batch.extend_from_slice(&PAD_MAGIC.to_le_bytes());
            self.batch.extend_from_slice(&(pad as u32).to_le_bytes());
            self.batch.resize(after_pad, 0);
        }
        frame.encode(next + pad, &mut self.batch);
        true
    }

    /// Writes what was pushed: one system call, two when it passes the file's end. After an error it may be tried again.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let at = self.ring.written.load(Ordering::Relaxed);
        let split = self.batch.len().min(self.ring.to_end(at) as usize);
        let (first, second) = self.batch.split_at(split);
        self.ring.file.write_all_at(first, self.ring.offset(at))?;
        if !second.is_empty() {
            self.ring.file.write_all_at(second, self.ring.offset(at + first.len() as u64))?;
        }
        self.ring.written.store(at + self.batch.len() as u64, Ordering::Release);
        self.batch.clear();
        Ok(())
    }

    /// Frames refused since the ring was made.
    pub fn refused(&self) -> u64 {
        self.ring.refused.load(Ordering::Relaxed)
    }

    /// The reading end. There must be only one in use: two would each see only part.
    pub fn reader(&self) -> RingReader {
        let next = self.ring.released.load(Ordering::Acquire);
        RingReader { ring: self.ring.clone(), next, buffer: Vec::new() }
    }

    fn refuse(&self) -> bool {
        self.ring.refused.fetch_add(1, Ordering::Relaxed);
        false
    }
}

/// The reading end; belongs to the recorder's thread.
#[derive(Debug)]
pub struct RingReader {
    ring: Arc<Ring>,
    next: u64,
    buffer: Vec<u8>,
}

impl RingReader {
    /// Hands out frames that were flushed and not yet read, at most `BATCH_BYTES` of them; 0 when there are none.
    /// Their room is given back to the writer by the next call, or by [`RingReader::release`]: a caller that cannot
    /// write them down keeps them in the ring by not calling.
    pub fn read(&mut self, mut each: impl FnMut(Frame<'_>)) -> Result<usize, RingError> {
        self.release();
        let written = self.ring.written.load(Ordering::Acquire);
        let length = (written - self.next).min(self.ring.to_end(self.next)).min(BATCH_BYTES as u64) as usize;
        if length == 0 {
            return Ok(0);
        }
        self.buffer.resize(BATCH_BYTES, 0);
        let (buffer, _) = self.buffer.split_at_mut(length);
        self.ring.file.read_exact_at(buffer, self.ring.offset(self.next)).map_err(self.ring.fault("reading"))?;
        let begin = self.next;
        let (mut at, mut frames) = (0, 0);
        while let Some(rest) = buffer.get(at..).filter(|rest| !rest.is_empty()) {
            if u32_at(rest, 0) == Some(PAD_MAGIC) {
                at = length;
            } else if let Some(record) = decode(rest) {
                each(record.frame);
                at += record.length;
                frames += 1;
            } else {
                break;
            }
        }
        // A batch may end within a record, but a batch of nothing means that what was written cannot be read.
        if at == 0 {
            self.next = begin + length as u64;
            return Err(RingError::Corrupt { path: self.ring.path.clone(), position: begin, bytes: length as u64 });
        }
        self.next = begin + at as u64;
        // Nothing but a pad was there: what follows it lies at the start of the file.
        if frames == 0 { self.read(each) } else { Ok(frames) }
    }

    /// Gives the room of everything read so far back to the writer.
    pub fn release(&mut self) {
        self.ring.released.store(self.next, Ordering::Release);
    }

    /// Bytes flushed and not yet read.
    pub fn waiting_bytes(&self) -> u64 {
        self.ring.written.load(Ordering::Acquire) - self.next
    }

    /// The ring's size in bytes.
    pub fn capacity_bytes(&self) -> u64 {
        self.ring.capacity
    }

    /// Frames that the full ring refused since it was made.
    pub fn refused(&self) -> u64 {
        self.ring.refused.load(Ordering::Relaxed)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.ring.path
    }
}

/// What a scan found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanReport {
    /// Whole records.
    pub frames: u64,
    /// Places where a record began and was not whole: overwritten in part, or torn by the crash.
    pub broken: u64,
}

/// The ring of a process that is gone, locked: nobody else reads, renames or removes it meanwhile.
#[derive(Debug)]
pub struct LeftRing {
    file: File,
    path: PathBuf,
}

impl LeftRing {
    /// Locks the ring at `path`. [`RingError::InUse`] when a living process has it.
    pub fn lock(path: &Path) -> Result<LeftRing, RingError> {
        let file =
            File::open(path).map_err(|source| RingError::File { act: "opening", path: path.to_owned(), source })?;
        // Before anything else: a shared tmpfs holds files that are not ours.
        let mut magic = [0; FILE_MAGIC.len()];
        if file.read_exact_at(&mut magic, 0).is_err() || magic != *FILE_MAGIC {
            return Err(RingError::NotARing { path: path.to_owned() });
        }
        lock(&file, path)?;
        Ok(LeftRing { file, path: path.to_owned() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finds every whole record, oldest first: those not yet copied, and older ones that were not overwritten.
    pub fn scan(&self, each: impl FnMut(Frame<'_>)) -> Result<ScanReport, RingError> {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes));
        read.map_err(|source| RingError::File { act: "reading", path: self.path.clone(), source })?;
        scan_bytes(&bytes, each).ok_or_else(|| RingError::NotARing { path: self.path.clone() })
    }
}

/// [`LeftRing::lock`], then [`LeftRing::scan`].
pub fn scan(path: &Path, each: impl FnMut(Frame<'_>)) -> Result<ScanReport, RingError> {
    LeftRing::lock(path)?.scan(each)
}

fn lock(file: &File, path: &Path) -> Result<(), RingError> {
    flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|_| RingError::InUse { path: path.to_owned() })
}

/// `None`: no ring has such a header.
fn scan_bytes(bytes: &[u8], mut each: impl FnMut(Frame<'_>)) -> Option<ScanReport> {
    let capacity = u64_at(bytes, 8).filter(|c| *c > 0)?;
    let body = bytes.get(HEADER_LENGTH as usize..).unwrap_or_default();
    let mut report = ScanReport::default();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = body.get(at..).filter(|rest| rest.len() >= ALIGNMENT) {
        // A record whose position belongs elsewhere is a payload that looks like one.
        match decode(rest).filter(|record| record.position % capacity == at as u64) {
            Some(record) => {
                found.push((record.position, at));
                at += record.length;
            }
            None => {
                report.broken += u64::from(begins_record(rest));
                at += ALIGNMENT;
            }
        }
    }
    found.sort_unstable();
    for (_, at) in found {
        if let Some(record) = body.get(at..).and_then(decode) {
            each(record.frame);
            report.frames += 1;
        }
    }
    Some(report)
}

/// Renames a ring of an earlier run that recovery did not remove.
fn keep_aside(path: &Path) -> Result<(), RingError> {
    let fault = |act| move |source| RingError::File { act, path: path.to_owned(), source };
    let Ok(file) = File::open(path) else { return Ok(()) };
    lock(&file, path)?;
    let aside = |n: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".left-{n}"));
        PathBuf::from(name)
    };
    let free = (0..LEFT_RINGS_MAX).map(aside).find(|name| !name.exists()).unwrap_or_else(|| aside(0));
    std::fs::rename(path, free).map_err(fault("setting aside"))
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::frame_of;
    use super::*;

    fn read_numbers(reader: &mut RingReader) -> Vec<u32> {
        let mut numbers = Vec::new();
        while reader.read(|frame| numbers.push(frame.number)).expect("readable") > 0 {}
        numbers
    }

    #[test]
    fn every_frame_comes_out_once_and_in_order_over_many_laps() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = RingWriter::create(&folder.path().join("ring-0"), RING_BYTES_MIN).expect("a ring");
        let mut reader = writer.reader();
        let mut next = 0;
        for round in 0..400u32 {
            let first = next;
            for _ in 0..=round % 23 {
                let payload = vec![next as u8; (next as usize * 37) % 400];
                assert!(writer.push(&frame_of(1, 0, next, &payload)));
                next += 1;
            }
            writer.flush().expect("written");
            assert_eq!(read_numbers(&mut reader), (first..next).collect::<Vec<_>>());
        }
        assert_eq!(writer.refused(), 0);
    }

    #[test]
    fn a_full_ring_refuses_counts_and_goes_on_when_it_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = RingWriter::create(&folder.path().join("ring-0"), RING_BYTES_MIN).expect("a ring");
        let mut reader = writer.reader();
        let accepted = (0..1000).filter(|n| writer.push(&frame_of(1, 0, *n, &[0; 160]))).count();
        writer.flush().expect("written");
        assert!(accepted < 1000 && writer.refused() == 1000 - accepted as u64);
        assert_eq!(read_numbers(&mut reader).len(), accepted);
        assert!(writer.push(&frame_of(1, 0, 1000, &[0; 160])));
        writer.flush().expect("written");
        assert_eq!(read_numbers(&mut reader), [1000]);
    }

    #[test]
    fn frames_read_but_not_released_are_not_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = RingWriter::create(&folder.path().join("ring-0"), RING_BYTES_MIN).expect("a ring");
        let mut reader = writer.reader();
        while writer.push(&frame_of(1, 0, 0, &[0; 160])) {}
        writer.flush().expect("written");
        assert!(reader.read(|_| ()).expect("readable") > 0);
        assert!(!writer.push(&frame_of(1, 0, 1, &[0; 160])));
        reader.release();
        assert!(writer.push(&frame_of(1, 0, 1, &[0; 160])));
    }

    #[test]
    fn what_was_flushed_is_found_after_a_kill_even_half_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ring-0");
        let mut writer = RingWriter::create(&path, RING_BYTES_MIN).expect("a ring");
        assert!(matches!(scan(&path, |_| ()), Err(RingError::InUse { .. })));
        let mut reader = writer.reader();
        for number in 0..1000 {
            assert!(writer.push(&frame_of(1, 0, number, &[number as u8; 160])));
            writer.flush().expect("written");
            read_numbers(&mut reader);
        }
        assert!(writer.push(&frame_of(1, 0, 1000, &[0; 160])), "never flushed: lost with the process");
        drop((writer, reader));
        let mut numbers = Vec::new();
        let report = scan(&path, |frame| numbers.push(frame.number)).expect("a scan");
        assert_eq!(report.frames as usize, numbers.len());
        assert_eq!(numbers, (1000 - numbers.len() as u32..1000).collect::<Vec<_>>());
        assert!(numbers.len() > 250, "{}", numbers.len());
    }

    #[test]
    fn a_torn_record_is_passed_over_and_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ring-0");
        let mut writer = RingWriter::create(&path, RING_BYTES_MIN).expect("a ring");
        (0..10).for_each(|n| assert!(writer.push(&frame_of(1, 0, n, &[1; 160]))));
        writer.flush().expect("written");
        drop(writer);
        let file = OpenOptions::new().write(true).open(&path).expect("the file");
        file.write_all_at(&[0xff], HEADER_LENGTH + 9 * 232 + 100).expect("torn");
        drop(file);
        let mut numbers = Vec::new();
        let report = scan(&path, |frame| numbers.push(frame.number)).expect("a scan");
        assert_eq!((numbers, report.broken), ((0..9).collect(), 1));
    }

    #[test]
    fn an_earlier_ring_is_kept_aside_when_a_new_one_is_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ring-0");
        let mut writer = RingWriter::create(&path, RING_BYTES_MIN).expect("a ring");
        assert!(writer.push(&frame_of(1, 0, 5, &[1; 160])));
        writer.flush().expect("written");
        assert!(matches!(RingWriter::create(&path, RING_BYTES_MIN), Err(RingError::InUse { .. })));
        drop(writer);
        let _new = RingWriter::create(&path, RING_BYTES_MIN).expect("a ring");
        assert_eq!(scan(&folder.path().join("ring-0.left-0"), |_| ()).expect("a scan").frames, 1);
    }

    #[test]
    fn reader_and_writer_work_from_two_threads_without_loss() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = RingWriter::create(&folder.path().join("ring-0"), RING_BYTES_MIN).expect("a ring");
        let mut reader = writer.reader();
        let reading = std::thread::spawn(move || {
            let mut next = 0;
            while next < 20_000 {
                reader
                    .read(|f| {
                        assert_eq!(f.number, next);
                        next += 1;
                    })
                    .expect("readable");
            }
        });
        for number in 0..20_000 {
            while !writer.push(&frame_of(1, 0, number, &[0; 160])) {
                std::thread::yield_now();
            }
            writer.flush().expect("written");
        }
        reading.join().expect("all frames in order");
    }
}
