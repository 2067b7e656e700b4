//! Reads a file of audio, encrypted or plain, from any place on: the plain bytes.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::flac_read::Unpacked;
use super::place::{ReadAt, read_at_most};
use super::stream::{HEADER_LENGTH, LENGTH_BYTES, Next, Section, TAG_BYTES, is_foreign, is_sealed, next_of};
use super::wrapped::AudioKey;
use super::{VaultError, fault};

/// An open file of audio.
pub struct AudioReader {
    path: PathBuf,
    file: Box<dyn ReadAt>,
    /// Bytes on the disk.
    disk_bytes: u64,
    /// Plain bytes.
    length: u64,
    position: u64,
    sealed: Option<Sealed>,
    /// The WAV that a FLAC stands for: then length and place are the WAV's.
    unpacked: Option<Box<Unpacked>>,
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
        AudioReader::from(Box::new(file), path, name, key)
    }

    /// The same for what is read from anywhere.
    pub fn from(
        file: Box<dyn ReadAt>,
        path: &Path,
        name: &str,
        key: impl FnOnce() -> Result<Option<AudioKey>, VaultError>,
    ) -> Result<AudioReader, VaultError> {
        let disk_bytes = file.length().map_err(fault("looking at", path))?;
        let mut head = [0; 8];
        let read = read_at_most(&*file, &mut head, 0).map_err(fault("reading", path))?;
        let path = path.to_owned();
        let (position, unpacked) = (0, None);
        if read < head.len() || !is_sealed(&head) {
            return Ok(AudioReader { path, file, disk_bytes, length: disk_bytes, position, sealed: None, unpacked });
        }
        let key = key()?.ok_or_else(|| VaultError::NoKey { path: path.clone() })?;
        let mut header = [0; HEADER_LENGTH];
        let read = read_at_most(&*file, &mut header, 0).map_err(fault("reading", &path))?;
        if read == HEADER_LENGTH && is_foreign(&header, &key) {
            let what = format!("is encrypted with another key than {}, the one in {}", key.id(), super::KEY_FILE);
            return Err(VaultError::Broken { path, what });
        }
        let guessed = if file.is_far() { index_even(&*file, disk_bytes, &key, name) } else { Ok(None) };
        let indexed = match guessed {
            Ok(None) => index(&*file, disk_bytes, &key, name),
            Ok(Some(sealed)) => Ok(sealed),
            Err(error) => Err(error),
        };
        let sealed = indexed.map_err(fault("reading", &path))?;
        let length = sealed.chunks.last().map_or(0, |chunk| chunk.start + chunk.plain());
        Ok(AudioReader { path, file, disk_bytes, length, position, sealed: Some(sealed), unpacked })
    }

    /// The WAV of which this is the FLAC: from now on what is read is the very bytes of the WAV.
    ///
    /// # Errors
    /// When it is no FLAC of a WAV as Vigie writes it.
    pub fn unpack(mut self) -> Result<AudioReader, VaultError> {
        let unpacked = Unpacked::of(&mut self).map_err(fault("reading", &self.path))?;
        self.unpacked = Some(Box::new(unpacked));
        Ok(self)
    }

    /// Plain bytes.
    pub fn length(&self) -> u64 {
        self.unpacked.as_ref().map_or(self.length, |unpacked| unpacked.length())
    }

    /// Whether it rests as FLAC; what is read is the WAV all the same.
    pub fn is_flac(&self) -> bool {
        self.unpacked.is_some()
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
            return read_at_most(&*self.file, to, at);
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
        let Some(sealed) = &mut self.sealed else { return read_at_most(&*self.file, to, at) };
        let index = sealed.chunks.partition_point(|chunk| chunk.start + chunk.plain() <= at);
        let Some(chunk) = sealed.chunks.get(index).copied() else { return Ok(0) };
        if sealed.held != Some(index) && !sealed.load(&*self.file, index, chunk)? {
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
    fn load(&mut self, file: &dyn ReadAt, index: usize, chunk: Chunk) -> io::Result<bool> {
        self.held = None;
        self.buffer.resize(chunk.length, 0);
        if read_at_most(file, &mut self.buffer, chunk.place)? < chunk.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(section) = self.sections.get(chunk.section) else { return Ok(false) };
        let is_sound = section.open(chunk.number, chunk.is_last, &mut self.buffer);
        self.held = is_sound.then_some(index);
        Ok(is_sound)
    }
}

/// Where every chunk of a file stands that was written in one go, all chunks but the last of one length: known from its
/// head and its end, without a journey to each. `None`: it is not such a file. A chunk that is not where it is taken for
/// is found when it is opened.
fn index_even(file: &dyn ReadAt, disk_bytes: u64, key: &AudioKey, name: &str) -> io::Result<Option<Sealed>> {
    let (mut header, mut head) = ([0; HEADER_LENGTH], [0; LENGTH_BYTES]);
    if read_at_most(file, &mut header, 0)? < HEADER_LENGTH {
        return Ok(None);
    }
    let Some(section) = Section::read(key, name, header, (0, 0)) else { return Ok(None) };
    read_at_most(file, &mut head, HEADER_LENGTH as u64)?;
    let Next::Chunk { length, is_last } = next_of(head) else { return Ok(None) };
    let step = (LENGTH_BYTES + length) as u64;
    let body = disk_bytes.saturating_sub(HEADER_LENGTH as u64);
    let count = body.div_ceil(step).max(1);
    let place_of = |number: u64| HEADER_LENGTH as u64 + number * step;
    read_at_most(file, &mut head, place_of(count - 1))?;
    let Next::Chunk { length: rest, is_last: is_end } = next_of(head) else { return Ok(None) };
    let is_even = is_end && is_last == (count == 1) && place_of(count - 1) + (LENGTH_BYTES + rest) as u64 == disk_bytes;
    let (Ok(count), true) = (u32::try_from(count), is_even) else { return Ok(None) };
    let chunk = |number: u32| Chunk {
        start: u64::from(number) * (length - TAG_BYTES) as u64,
        place: place_of(u64::from(number)) + LENGTH_BYTES as u64,
        length: if number + 1 == count { rest } else { length },
        section: 0,
        number,
        is_last: number + 1 == count,
    };
    let chunks = (0..count).map(chunk).collect();
    Ok(Some(Sealed { sections: vec![section], chunks, end: disk_bytes, held: None, buffer: Vec::new() }))
}

/// Where every chunk stands.
fn index(file: &dyn ReadAt, disk_bytes: u64, key: &AudioKey, name: &str) -> io::Result<Sealed> {
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
        let read = match self.unpacked.take() {
            None => self.some(to, self.position)?,
            Some(mut unpacked) => {
                let read = unpacked.some(self, to, self.position);
                self.unpacked = Some(unpacked);
                read?
            }
        };
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for AudioReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => self.length().checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests;
