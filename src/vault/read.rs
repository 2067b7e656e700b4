//! Reads a file of audio, encrypted or plain, from any place on: the plain bytes.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::stream::{HEADER_LENGTH, LENGTH_BYTES, Next, Section, TAG_BYTES, is_foreign, is_sealed, next_of};
use super::wrapped::AudioKey;
use super::{VaultError, fault};

/// An open file of audio.
pub struct AudioReader {
    path: PathBuf,
    file: File,
    /// Bytes on the disk.
    disk_bytes: u64,
    /// Plain bytes.
    length: u64,
    position: u64,
    sealed: Option<Sealed>,
}

/// What is known of an encrypted file.
struct Sealed {
    sections: Vec<Section>,
    chunks: Vec<Chunk>,
    /// Where the first thing stands that is neither section nor chunk, or the file's end.
    end: u64,
    /// The chunk in `buffer`, decrypted and found sound.
    held: Option<usize>,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Chunk {
    /// Its first plain byte.
    start: u64,
    /// Its ciphertext on the disk.
    place: u64,
    /// With its tag.
    length: usize,
    section: usize,
    number: u32,
    is_last: bool,
}

impl Chunk {
    fn plain(&self) -> u64 {
        (self.length - TAG_BYTES) as u64
    }
}

impl fmt::Debug for AudioReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AudioReader({}, {} bytes)", self.path.display(), self.length)
    }
}

impl AudioReader {
    /// Opens `path`; `name` is what the file was named when it was written, `key` is asked when it is encrypted.
    pub fn open(
        path: &Path,
        name: &str,
        key: impl FnOnce() -> Result<Option<AudioKey>, VaultError>,
    ) -> Result<AudioReader, VaultError> {
        let file = File::open(path).map_err(fault("opening", path))?;
        AudioReader::over(file, path, name, key)
    }

    /// The same for a file that is open.
    pub(crate) fn over(
        file: File,
        path: &Path,
        name: &str,
        key: impl FnOnce() -> Result<Option<AudioKey>, VaultError>,
    ) -> Result<AudioReader, VaultError> {
        let disk_bytes = file.metadata().map_err(fault("looking at", path))?.len();
        let mut head = [0; 8];
        let read = read_at_most(&file, &mut head, 0).map_err(fault("reading", path))?;
        let path = path.to_owned();
        if read < head.len() || !is_sealed(&head) {
            return Ok(AudioReader { path, file, disk_bytes, length: disk_bytes, position: 0, sealed: None });
        }
        let key = key()?.ok_or_else(|| VaultError::NoKey { path: path.clone() })?;
        let mut header = [0; HEADER_LENGTH];
        let read = read_at_most(&file, &mut header, 0).map_err(fault("reading", &path))?;
        if read == HEADER_LENGTH && is_foreign(&header, &key) {
            let what = format!("is encrypted with another key than {}, the one in {}", key.id(), super::KEY_FILE);
            return Err(VaultError::Broken { path, what });
        }
        let sealed = index(&file, disk_bytes, &key, name).map_err(fault("reading", &path))?;
        let length = sealed.chunks.last().map_or(0, |chunk| chunk.start + chunk.plain());
        Ok(AudioReader { path, file, disk_bytes, length, position: 0, sealed: Some(sealed) })
    }

    /// Plain bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes on the disk.
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// Whether the file is encrypted.
    pub fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// Whether the file ends as it was written; of a plain one that cannot be known, and it is taken for whole.
    pub fn is_whole(&self) -> bool {
        self.sealed.as_ref().is_none_or(|sealed| {
            sealed.end == self.disk_bytes && sealed.chunks.last().is_some_and(|chunk| chunk.is_last)
        })
    }

    /// Bytes on the disk behind the last chunk: of a torn or changed end.
    pub(crate) fn torn_bytes(&self) -> u64 {
        self.sealed.as_ref().map_or(0, |sealed| self.disk_bytes - sealed.end)
    }

    /// Sections, and the place on the disk after the chunks that make up the first `plain` plain bytes.
    pub(crate) fn end_of(&self, plain: u64) -> (u32, u64) {
        let Some(sealed) = &self.sealed else { return (0, 0) };
        let kept = sealed.chunks.iter().take_while(|chunk| chunk.start + chunk.plain() <= plain);
        kept.last().map_or((0, 0), |chunk| (chunk.section as u32 + 1, chunk.place + chunk.length as u64))
    }

    /// Fills `to` from the plain byte `at` on, as far as what is there is sound; how much that is.
    ///
    /// # Errors
    /// `InvalidData` when already the first byte stands in a chunk that is not as it was written.
    pub(crate) fn fill(&mut self, to: &mut [u8], at: u64) -> io::Result<usize> {
        if self.sealed.is_none() {
            return read_at_most(&self.file, to, at);
        }
        let mut filled = 0;
        while let Some(rest) = to.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.some(rest, at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if filled == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(filled)
    }

    /// Some of what stands at `at`: no more than the rest of a chunk.
    fn some(&mut self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let Some(sealed) = &mut self.sealed else { return read_at_most(&self.file, to, at) };
        let index = sealed.chunks.partition_point(|chunk| chunk.start + chunk.plain() <= at);
        let Some(chunk) = sealed.chunks.get(index).copied() else { return Ok(0) };
        if sealed.held != Some(index) && !sealed.load(&self.file, index, chunk)? {
            let what = format!(
                "the encrypted chunk at byte {} is not as it was written: it was changed, or belongs elsewhere",
                chunk.place
            );
            let broken = VaultError::Broken { path: self.path.clone(), what };
            return Err(io::Error::new(io::ErrorKind::InvalidData, broken));
        }
        let from = sealed.buffer.get((at - chunk.start) as usize..).unwrap_or_default();
        let read = from.len().min(to.len());
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        Ok(read)
    }
}

impl Sealed {
    fn load(&mut self, file: &File, index: usize, chunk: Chunk) -> io::Result<bool> {
        self.held = None;
        self.buffer.resize(chunk.length, 0);
        file.read_exact_at(&mut self.buffer, chunk.place)?;
        let Some(section) = self.sections.get(chunk.section) else { return Ok(false) };
        let is_sound = section.open(chunk.number, chunk.is_last, &mut self.buffer);
        self.held = is_sound.then_some(index);
        Ok(is_sound)
    }
}

/// Where every chunk stands.
fn index(file: &File, disk_bytes: u64, key: &AudioKey, name: &str) -> io::Result<Sealed> {
    let mut sealed = Sealed { sections: Vec::new(), chunks: Vec::new(), end: 0, held: None, buffer: Vec::new() };
    let (mut start, mut number) = (0, 0);
    loop {
        let mut head = [0; LENGTH_BYTES];
        if read_at_most(file, &mut head, sealed.end)? < LENGTH_BYTES {
            return Ok(sealed);
        }
        match next_of(head) {
            Next::Section => {
                let mut header = [0; HEADER_LENGTH];
                if read_at_most(file, &mut header, sealed.end)? < HEADER_LENGTH {
                    return Ok(sealed);
                }
                let place = (sealed.sections.len() as u32, sealed.end);
                let Some(section) = Section::read(key, name, header, place) else { return Ok(sealed) };
                sealed.sections.push(section);
                (number, sealed.end) = (0, sealed.end + HEADER_LENGTH as u64);
            }
            Next::Chunk { length, is_last } => {
                let place = sealed.end + LENGTH_BYTES as u64;
                let Some(section) = sealed.sections.len().checked_sub(1) else { return Ok(sealed) };
                if place + length as u64 > disk_bytes {
                    return Ok(sealed);
                }
                let chunk = Chunk { start, place, length, section, number, is_last };
                sealed.chunks.push(chunk);
                (start, number) = (start + chunk.plain(), number + 1);
                sealed.end = place + length as u64;
            }
            Next::Nothing => return Ok(sealed),
        }
    }
}

impl Read for AudioReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        let read = self.some(to, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for AudioReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
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

#[cfg(test)]
mod tests;
