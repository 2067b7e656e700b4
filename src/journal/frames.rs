//! The frame file of one leg: every frame as it came, appended; the master that the WAV is rendered from.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{Frame, HEADER_LENGTH};
use super::scan::{FILE_HEADER_LENGTH, FileScan, scan_records};

const MAGIC: &[u8; 8] = b"VIGFRM1\n";
/// The batch grows by this.
const BATCH_STEP_BYTES: usize = 2048;
/// Room that a batch keeps between two writes: half a second of G.711 in packets of 20 ms.
const BATCH_KEPT_BYTES: usize = 6 * 1024;

/// The frame file of one leg, being written.
#[derive(Debug)]
pub struct FrameFile {
    path: PathBuf,
    /// Opened by the first write.
    file: Option<Arc<File>>,
    written: u64,
    batch: Vec<u8>,
}

impl FrameFile {
    /// A new file, made by the first [`FrameFile::write`]; it must not be there yet.
    pub fn new(path: PathBuf) -> FrameFile {
        FrameFile { path, file: None, written: 0, batch: MAGIC.to_vec() }
    }

    /// Opens a file of an earlier run, cut at the first broken record (a missing file is made), and hands out what it holds.
    pub fn reopen(path: PathBuf, each: impl FnMut(u64, Frame<'_>)) -> io::Result<FrameFile> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).open(&path)?;
        let found = scan_records(&file, MAGIC, each)?;
        if found.sound_bytes < found.total_bytes {
            file.set_len(found.sound_bytes)?;
            file.sync_all()?;
        }
        let batch = if found.sound_bytes == 0 { MAGIC.to_vec() } else { Vec::new() };
        Ok(FrameFile { path, file: Some(Arc::new(file)), written: found.sound_bytes, batch })
    }

    /// Takes a frame into memory; [`FrameFile::write`] puts it into the file.
    pub fn append(&mut self, frame: &Frame<'_>) {
        let length = frame.record_length();
        if self.batch.capacity() - self.batch.len() < length {
            // Not doubled: what waits is a few kilobytes a leg, and the room is kept for the whole call.
            self.batch.reserve_exact(length.max(BATCH_STEP_BYTES));
        }
        frame.encode(self.written + self.batch.len() as u64, &mut self.batch);
    }

    /// Writes what was appended. After an error it may be tried again: the same bytes go to the same place.
    pub fn write(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let file = match &self.file {
            Some(file) => file,
            None => {
                let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(&self.path)?;
                self.file.insert(Arc::new(made))
            }
        };
        file.write_all_at(&self.batch, self.written)?;
        self.written += self.batch.len() as u64;
        self.batch.clear();
        // A burst must not keep its memory for the rest of the call.
        self.batch.shrink_to(BATCH_KEPT_BYTES);
        Ok(())
    }

    /// Bytes appended and not yet written.
    pub fn waiting_bytes(&self) -> usize {
        self.batch.len()
    }

    /// The open file, to be synced by another thread; `None` before the first write.
    pub fn file(&self) -> Option<Arc<File>> {
        self.file.clone()
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Hands out every sound record of the frame file at `path`, with its place, without changing the file.
pub fn scan_file(path: &Path, each: impl FnMut(u64, Frame<'_>)) -> io::Result<FileScan> {
    scan_records(&File::open(path)?, MAGIC, each)
}

/// Payloads of a frame file, looked up in whatever order: frames lie nearly in the order that they are rendered in, so a
/// stretch of the file is read at once, in place of a system call a frame.
#[derive(Debug)]
pub struct Payloads {
    file: File,
    /// Where `stretch` begins in the file.
    start: u64,
    stretch: Vec<u8>,
}

/// Two seconds of a leg, and far more than one record.
const STRETCH_BYTES: u64 = 24 * 1024;

impl Payloads {
    /// Of the frame file at `path`.
    pub fn open(path: &Path) -> io::Result<Payloads> {
        Ok(Payloads { file: File::open(path)?, start: 0, stretch: Vec::new() })
    }

    /// The payload of the record at `position`, which has this length.
    pub fn read(&mut self, position: u64, length: usize) -> io::Result<&[u8]> {
        let first = position + HEADER_LENGTH as u64;
        let is_here = first >= self.start && first + length as u64 <= self.start + self.stretch.len() as u64;
        if !is_here {
            self.start = first;
            self.stretch.clear();
            let wanted = STRETCH_BYTES.max(length as u64);
            self.stretch.resize(wanted as usize, 0);
            let read = read_at_most(&self.file, &mut self.stretch, first)?;
            self.stretch.truncate(read);
        }
        let at = (first - self.start) as usize;
        self.stretch.get(at..at + length).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Fills `to` from `position` on, or as far as the file goes; how much that is.
fn read_at_most(file: &File, to: &mut [u8], position: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = to.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, position + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A frame file without frames is as long as this.
pub const EMPTY_LENGTH: u64 = FILE_HEADER_LENGTH;

#[cfg(test)]
mod tests {
    use super::super::frame::tests::frame_of;
    use super::*;

    fn numbers_of(path: &Path) -> (Vec<u32>, FileScan) {
        let mut numbers = Vec::new();
        let found = scan_file(path, |_, frame| numbers.push(frame.number)).expect("a scan");
        (numbers, found)
    }

    #[test]
    fn every_frame_and_its_payload_is_found_again_over_many_chunks() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("leg-0.frames");
        let mut file = FrameFile::new(path.clone());
        for number in 0..5000 {
            file.append(&frame_of(1, 0, number, &[number as u8; 160]));
            if number % 7 == 0 {
                file.write().expect("written");
            }
        }
        file.write().expect("written");
        let mut places = Vec::new();
        let found = scan_file(&path, |at, _| places.push(at)).expect("a scan");
        assert_eq!((found.frames, found.sound_bytes), (5000, found.total_bytes));
        let mut payloads = Payloads::open(&path).expect("open");
        for number in [0, 1, 4321, 4322, 4320, 7, 4999usize] {
            assert_eq!(payloads.read(places[number], 160).expect("read"), [number as u8; 160]);
        }
        let beyond = payloads.read(places[4999] + 232, 160).map(<[u8]>::to_vec);
        assert_eq!(beyond.map_err(|error| error.kind()), Err(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn frames_that_wait_take_little_more_room_than_they_are_long() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = FrameFile::new(folder.path().join("leg-0.frames"));
        for number in 0..500 {
            file.append(&frame_of(1, 0, number, &[0; 160]));
            assert!(file.batch.capacity() < file.waiting_bytes() + BATCH_STEP_BYTES + BATCH_KEPT_BYTES);
            if number % 25 == 24 {
                file.write().expect("written");
                assert!(file.batch.capacity() <= BATCH_KEPT_BYTES);
            }
        }
    }

    #[test]
    fn a_torn_end_is_cut_once_and_appending_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("leg-0.frames");
        let mut file = FrameFile::new(path.clone());
        (0..10).for_each(|n| file.append(&frame_of(1, 0, n, &[1; 160])));
        file.write().expect("written");
        let whole = std::fs::read(&path).expect("read");
        for cut in [whole.len() - 1, whole.len() - 231, whole.len() - 232, 9, 7, 0] {
            std::fs::write(&path, &whole[..cut]).expect("torn");
            drop(FrameFile::reopen(path.clone(), |_, _| ()).expect("opened"));
            let once = std::fs::read(&path).expect("read");
            let mut known = 0;
            let mut file = FrameFile::reopen(path.clone(), |_, _| known += 1).expect("opened");
            assert_eq!(std::fs::read(&path).expect("read"), once, "twice changes nothing");
            file.append(&frame_of(1, 0, 99, &[2; 10]));
            file.write().expect("written");
            let (numbers, found) = numbers_of(&path);
            assert_eq!(numbers, (0..known).chain([99]).collect::<Vec<_>>());
            assert_eq!(found.sound_bytes, found.total_bytes);
        }
    }
}
