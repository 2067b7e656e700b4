//! Writes a whole file of audio, encrypted or plain: what a rendering goes through on its way to the disk.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use super::stream::{HEADER_LENGTH, LENGTH_BYTES, Section, TAG_BYTES};
use super::wrapped::AudioKey;

/// Plain bytes of each chunk but the last: 2 s of a WAV at 8 kHz.
const PIECE_BYTES: usize = 64 * 1024;
/// A chunk on the disk.
const CHUNK_BYTES: u64 = (LENGTH_BYTES + PIECE_BYTES + TAG_BYTES) as u64;

/// A file of audio being written. It may be sought back into its first 64 KiB, where a WAV has its sizes.
pub enum AudioWriter {
    /// As it is.
    Plain(File),
    /// Encrypted: nothing plain reaches the disk.
    Sealed(Box<SealedWriter>),
}

/// An encrypted file being written.
pub struct SealedWriter {
    file: File,
    section: Section,
    /// The first chunk stays in memory to the end, for its bytes may change.
    first: Vec<u8>,
    /// The last one begun, after the first.
    current: Vec<u8>,
    /// Whole chunks between the two.
    between: u32,
    position: u64,
}

impl AudioWriter {
    /// Over the empty `file`, which will be named `name`; encrypted when there is a key. To be ended with
    /// [`AudioWriter::finish`].
    pub fn new(file: File, name: &str, key: Option<&AudioKey>) -> io::Result<AudioWriter> {
        let Some(key) = key else { return Ok(AudioWriter::Plain(file)) };
        let section = Section::begin(key, name, 0, 0)?;
        file.write_all_at(&section.header, 0)?;
        Ok(AudioWriter::Sealed(Box::new(SealedWriter {
            file,
            section,
            first: Vec::with_capacity(PIECE_BYTES),
            current: Vec::new(),
            between: 0,
            position: 0,
        })))
    }

    /// Writes what is left in memory; the file is to be synced by its name afterwards.
    pub fn finish(self) -> io::Result<()> {
        match self {
            AudioWriter::Plain(mut file) => file.flush(),
            AudioWriter::Sealed(writer) => writer.finish(),
        }
    }
}

impl SealedWriter {
    fn length(&self) -> u64 {
        (self.first.len() + self.current.len()) as u64 + u64::from(self.between) * PIECE_BYTES as u64
    }

    fn put(&self, number: u32, is_last: bool, plain: &[u8]) -> io::Result<()> {
        let mut sealed = Vec::with_capacity(plain.len() + LENGTH_BYTES + TAG_BYTES);
        self.section.seal(number, is_last, plain, &mut sealed)?;
        self.file.write_all_at(&sealed, HEADER_LENGTH as u64 + u64::from(number) * CHUNK_BYTES)
    }

    /// Takes some of `bytes` at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.current.len() == PIECE_BYTES {
            self.put(self.between + 1, false, &self.current)?;
            self.between += 1;
            self.current.clear();
        }
        let to = if self.first.len() < PIECE_BYTES { &mut self.first } else { &mut self.current };
        let taken = bytes.len().min(PIECE_BYTES - to.len());
        to.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn finish(self) -> io::Result<()> {
        let is_short = self.current.is_empty() && self.between == 0;
        self.put(0, is_short, &self.first)?;
        if is_short { Ok(()) } else { self.put(self.between + 1, true, &self.current) }
    }
}

impl Write for AudioWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let writer = match self {
            AudioWriter::Plain(file) => return file.write(bytes),
            AudioWriter::Sealed(writer) => writer,
        };
        let written = if writer.position == writer.length() {
            writer.append(bytes)?
        } else {
            let changed = writer.first.get_mut(writer.position as usize..).unwrap_or_default();
            changed.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            let written = changed.len().min(bytes.len());
            if written == 0 && !bytes.is_empty() {
                let what = "an encrypted file can be changed in its first 64 KiB alone";
                return Err(io::Error::new(io::ErrorKind::Unsupported, what));
            }
            written
        };
        writer.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            AudioWriter::Plain(file) => file.flush(),
            AudioWriter::Sealed(_) => Ok(()),
        }
    }
}

impl Seek for AudioWriter {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let writer = match self {
            AudioWriter::Plain(file) => return file.seek(to),
            AudioWriter::Sealed(writer) => writer,
        };
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => writer.length().checked_add_signed(by),
            SeekFrom::Current(by) => writer.position.checked_add_signed(by),
        };
        writer.position = place.filter(|place| *place <= writer.length()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(writer.position)
    }
}
