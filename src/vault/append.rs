//! An encrypted file that grows: journal segments and frame files.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::VaultError;
use super::read::AudioReader;
use super::stream::{CHUNK_BYTES_MAX, Section};
use super::wrapped::AudioKey;

/// Encrypts what is appended, and writes it. A chunk is encrypted once: an attempt to write that failed is made again with
/// the same bytes at the same place.
pub struct Appender {
    key: AudioKey,
    name: String,
    section: Option<Section>,
    /// Sections begun.
    sections: u32,
    /// Chunks in the section.
    chunks: u32,
    /// Where `pending` goes.
    place: u64,
    /// Encrypted and not yet written.
    pending: Vec<u8>,
}

impl fmt::Debug for Appender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Appender({}, {} bytes)", self.name, self.place)
    }
}

impl Appender {
    /// For a file that is empty.
    pub fn new(key: AudioKey, name: &str) -> Appender {
        let name = name.to_owned();
        Appender { key, name, section: None, sections: 0, chunks: 0, place: 0, pending: Vec::new() }
    }

    /// Continues, in a section of its own, the file that `reader` has open, after its first `plain` plain bytes; what
    /// stands behind them is to be cut at [`Appender::place`]. The numbers of the last section may have been used by a
    /// chunk that was torn, so they are not used again.
    pub fn after(key: AudioKey, name: &str, reader: &AudioReader, plain: u64) -> Appender {
        let (sections, place) = reader.end_of(plain);
        Appender { sections, place, ..Appender::new(key, name) }
    }

    /// The end of the file as far as it is written.
    pub fn place(&self) -> u64 {
        self.place
    }

    /// Bytes that wait to be written.
    pub fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// Encrypts `plain` as one chunk (several, when it is longer than one may be); `is_last`: the file ends with it.
    pub fn seal(&mut self, plain: &[u8], is_last: bool) -> Result<(), VaultError> {
        let (mut rest, mut done) = (plain, false);
        while !done {
            let (piece, after) = rest.split_at(rest.len().min(CHUNK_BYTES_MAX));
            done = after.is_empty();
            self.seal_piece(piece, is_last && done)?;
            rest = after;
        }
        Ok(())
    }

    fn seal_piece(&mut self, piece: &[u8], is_last: bool) -> Result<(), VaultError> {
        let section = match self.section.take().filter(|_| self.chunks < u32::MAX) {
            Some(section) => section,
            None => {
                let offset = self.place + self.pending.len() as u64;
                let section = Section::begin(&self.key, &self.name, self.sections, offset)?;
                self.pending.extend_from_slice(&section.header);
                (self.sections, self.chunks) = (self.sections + 1, 0);
                section
            }
        };
        let sealed = section.seal(self.chunks, is_last, piece, &mut self.pending);
        self.section = Some(section);
        self.chunks += 1;
        sealed
    }

    /// Writes what waits. After an error it may be tried again.
    pub fn write(&mut self, file: &File) -> io::Result<()> {
        file.write_all_at(&self.pending, self.place)?;
        self.place += self.pending.len() as u64;
        // Its memory goes, too: a thousand legs hold what waits, not what once waited.
        self.pending = Vec::new();
        Ok(())
    }
}
