//! The frame file of one leg: every frame as it came, appended; the master that the WAV is rendered from.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::Batch;
use super::frame::{Frame, HEADER_LENGTH};
use super::scan::{FILE_HEADER_LENGTH, FileScan, scan_records};
use super::written::Written;
use crate::vault::{Appender, AudioKey, AudioReader, CHUNK_BYTES_MAX};

const MAGIC: &[u8; 8] = b"VIGFRM1\n";

/// The frame file of one leg, being written.
#[derive(Debug)]
pub struct FrameFile {
    path: PathBuf,
    /// Opened by the first write.
    file: Option<Arc<File>>,
    /// Plain bytes in the file, or encrypted and on their way there.
    written: u64,
    batch: Batch,
    /// Encrypts; without one the file is plain. Apart, for its cipher is a kilobyte.
    appender: Option<Box<Appender>>,
}

impl FrameFile {
    /// A new file, made by the first [`FrameFile::write`]; it must not be there yet. Encrypted when there is a key.
    pub fn new(path: PathBuf, key: Option<&AudioKey>) -> FrameFile {
        let appender = key.map(|key| Box::new(Appender::new(key.clone(), &name_of(&path))));
        FrameFile { path, file: None, written: 0, batch: Batch::beginning(MAGIC), appender }
    }

    /// Opens a file of an earlier run, cut at the first broken record (a missing file is made, encrypted when there is a
    /// key), and hands out what it holds.
    pub fn reopen(path: PathBuf, key: Option<&AudioKey>, each: impl FnMut(u64, Frame<'_>)) -> io::Result<FrameFile> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).open(&path)?;
        let mut reader = AudioReader::over(file.try_clone()?, &path, &name_of(&path), || Ok(key.cloned()))?;
        let found = scan_records(&mut reader, MAGIC, each)?;
        // What was plain stays so: the rest of it is on the disk already.
        let key = key.filter(|_| reader.is_sealed() || found.sound_bytes == 0);
        let appender = key.map(|key| Appender::after(key.clone(), &name_of(&path), &reader, found.sound_bytes));
        let appender = appender.map(Box::new);
        if found.sound_bytes < found.total_bytes {
            file.set_len(appender.as_ref().map_or(found.sound_bytes, |appender| appender.place()))?;
            file.sync_all()?;
        }
        let batch = if found.sound_bytes == 0 { Batch::beginning(MAGIC) } else { Batch::default() };
        Ok(FrameFile { path, file: Some(Arc::new(file)), written: found.sound_bytes, batch, appender })
    }

    /// Opens a file to which nothing will be added, as [`FrameFile::reopen`] does, and ends it: from then on a missing end
    /// is seen. One that is ended already stays as it is.
    pub fn end(path: &Path, key: Option<&AudioKey>, each: impl FnMut(u64, Frame<'_>)) -> io::Result<()> {
        let mut file = FrameFile::reopen(path.to_owned(), key, each)?;
        file.write()?;
        let reader = AudioReader::open(path, &name_of(path), || Ok(key.cloned()))?;
        match (&mut file.appender, &file.file) {
            (Some(appender), Some(open)) if !reader.is_whole() => {
                appender.seal(&[], true)?;
                appender.write(open)
            }
            (Some(_), _) | (None, _) => Ok(()),
        }
    }

    /// Takes a frame into memory; [`FrameFile::write`] puts it into the file.
    pub fn append(&mut self, frame: &Frame<'_>) {
        let length = frame.record_length();
        if self.batch.bytes() + length > CHUNK_BYTES_MAX {
            // A chunk holds whole records, so that one that was torn takes none of another with it.
            self.seal_batch();
        }
        self.batch.append(frame, self.written);
    }

    /// Writes what was appended. After an error it may be tried again: the same bytes go to the same place.
    pub fn write(&mut self) -> io::Result<()> {
        self.seal_batch();
        if self.waiting_bytes() == 0 {
            return Ok(());
        }
        let file = match &self.file {
            Some(file) => file,
            None => {
                let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(&self.path)?;
                self.file.insert(Arc::new(made))
            }
        };
        match &mut self.appender {
            Some(appender) if self.batch.is_empty() => return appender.write(file),
            Some(_) => return Err(io::Error::other("the system gives no random numbers to encrypt with")),
            None => file.write_all_at(&self.batch.joined(), self.written)?,
        }
        self.written += self.batch.bytes() as u64;
        self.batch.clear();
        Ok(())
    }

    /// Bytes appended and not yet written.
    pub fn waiting_bytes(&self) -> usize {
        self.batch.bytes() + self.appender.as_ref().map_or(0, |appender| appender.pending_bytes())
    }

    /// Encrypts the batch, when the file is an encrypted one; what cannot be encrypted stays in the batch.
    fn seal_batch(&mut self) {
        let Some(appender) = &mut self.appender else { return };
        if !self.batch.is_empty() && appender.seal(&self.batch.joined(), false).is_ok() {
            self.written += self.batch.bytes() as u64;
            self.batch.clear();
        }
    }

    /// The open file as far as it is written, to be synced by another thread; `None` before the first write.
    pub fn written(&self) -> Option<Written> {
        let bytes = self.appender.as_ref().map_or(self.written, |appender| appender.place());
        Some(Written { file: self.file.clone()?, bytes, is_doubtful: false, named_in: None })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Hands out every sound record of the frame file at `path`, with its place in the plain text, without changing the file.
/// `key` is that of its recording, when it has one.
pub fn scan_file(path: &Path, key: Option<&AudioKey>, each: impl FnMut(u64, Frame<'_>)) -> io::Result<FileScan> {
    scan(&mut open_file(path, key)?, each)
}

/// The same of a frame file that is open, wherever it lies.
pub fn scan(file: &mut AudioReader, each: impl FnMut(u64, Frame<'_>)) -> io::Result<FileScan> {
    scan_records(file, MAGIC, each)
}

/// Opens the frame file at `path` to be read; `key` is that of its recording, when it has one.
pub fn open_file(path: &Path, key: Option<&AudioKey>) -> io::Result<AudioReader> {
    Ok(AudioReader::open(path, &name_of(path), || Ok(key.cloned()))?)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Payloads of a frame file, looked up in whatever order: frames lie nearly in the order that they are rendered in, so a
/// stretch of the file is read at once, in place of a system call a frame.
#[derive(Debug)]
pub struct Payloads {
    file: AudioReader,
    /// Where `stretch` begins in the file.
    start: u64,
    stretch: Vec<u8>,
}

/// Two seconds of a leg, and far more than one record.
const STRETCH_BYTES: u64 = 24 * 1024;

impl Payloads {
    /// Of an open frame file.
    pub fn over(file: AudioReader) -> Payloads {
        Payloads { file, start: 0, stretch: Vec::new() }
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
            let read = self.file.fill(&mut self.stretch, first)?;
            self.stretch.truncate(read);
        }
        let at = (first - self.start) as usize;
        self.stretch.get(at..at + length).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// A frame file without frames is as long as this.
pub const EMPTY_LENGTH: u64 = FILE_HEADER_LENGTH;

#[cfg(test)]
mod tests {
    use super::super::frame::tests::frame_of;
    use super::*;

    fn numbers_of(path: &Path) -> (Vec<u32>, FileScan) {
        let mut numbers = Vec::new();
        let found = scan_file(path, None, |_, frame| numbers.push(frame.number)).expect("a scan");
        (numbers, found)
    }

    #[test]
    fn every_frame_and_its_payload_is_found_again_over_many_chunks() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("leg-0.frames");
        let mut file = FrameFile::new(path.clone(), None);
        for number in 0..5000 {
            file.append(&frame_of(1, 0, number, &[number as u8; 160]));
            if number % 7 == 0 {
                file.write().expect("written");
            }
        }
        file.write().expect("written");
        let mut places = Vec::new();
        let found = scan_file(&path, None, |at, _| places.push(at)).expect("a scan");
        assert_eq!((found.frames, found.sound_bytes), (5000, found.total_bytes));
        let mut payloads = Payloads::over(open_file(&path, None).expect("open"));
        for number in [0, 1, 4321, 4322, 4320, 7, 4999usize] {
            assert_eq!(payloads.read(places[number], 160).expect("read"), [number as u8; 160]);
        }
        let beyond = payloads.read(places[4999] + 232, 160).map(<[u8]>::to_vec);
        assert_eq!(beyond.map_err(|error| error.kind()), Err(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn a_leg_that_waits_for_nothing_holds_nothing_and_is_small_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = FrameFile::new(folder.path().join("leg-0.frames"), None);
        (0..500).for_each(|number| file.append(&frame_of(1, 0, number, &[0; 160])));
        assert!(file.waiting_bytes() > 500 * 232 && file.batch.room_bytes() < file.waiting_bytes() * 5 / 4);
        file.write().expect("written");
        assert_eq!((file.waiting_bytes(), file.batch.room_bytes()), (0, 0));
        // Eleven lie in one node of a recording's map, however few legs it has.
        assert!(size_of::<FrameFile>() <= 128, "{} bytes", size_of::<FrameFile>());
    }

    #[test]
    fn a_torn_end_is_cut_once_and_appending_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("leg-0.frames");
        let mut file = FrameFile::new(path.clone(), None);
        (0..10).for_each(|n| file.append(&frame_of(1, 0, n, &[1; 160])));
        file.write().expect("written");
        let whole = std::fs::read(&path).expect("read");
        for cut in [whole.len() - 1, whole.len() - 231, whole.len() - 232, 9, 7, 0] {
            std::fs::write(&path, &whole[..cut]).expect("torn");
            drop(FrameFile::reopen(path.clone(), None, |_, _| ()).expect("opened"));
            let once = std::fs::read(&path).expect("read");
            let mut known = 0;
            let mut file = FrameFile::reopen(path.clone(), None, |_, _| known += 1).expect("opened");
            assert_eq!(std::fs::read(&path).expect("read"), once, "twice changes nothing");
            file.append(&frame_of(1, 0, 99, &[2; 10]));
            file.write().expect("written");
            let (numbers, found) = numbers_of(&path);
            assert_eq!(numbers, (0..known).chain([99]).collect::<Vec<_>>());
            assert_eq!(found.sound_bytes, found.total_bytes);
        }
    }
}
