//! Reads a file of records up to the first one that is not whole: where it will be cut.

use std::io;

use super::frame::{Frame, RECORD_LENGTH_MAX, decode};
use crate::vault::AudioReader;

/// Every file of records begins with eight bytes that say what it is.
pub(super) const FILE_HEADER_LENGTH: u64 = 8;
/// What is read at once.
const CHUNK_LENGTH: usize = 256 * 1024;

/// What a scan found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileScan {
    /// Whole records from the start on.
    pub frames: u64,
    /// The file is sound up to here.
    pub sound_bytes: u64,
    /// The file's length; more than `sound_bytes` when its end is torn or was changed.
    pub total_bytes: u64,
}

/// Hands out every record with its place in the file, up to the first that is broken or not in its place.
/// What an encrypted file has behind its last sound chunk counts as a torn end.
pub(super) fn scan_records(
    file: &mut AudioReader,
    magic: &[u8; 8],
    mut each: impl FnMut(u64, Frame<'_>),
) -> io::Result<FileScan> {
    let readable_bytes = file.length();
    let total_bytes = readable_bytes + file.torn_bytes();
    let mut scan = FileScan { frames: 0, sound_bytes: 0, total_bytes };
    let mut header = [0; FILE_HEADER_LENGTH as usize];
    if fill_sound(file, &mut header, 0)? < header.len() || header != *magic {
        return Ok(scan);
    }
    scan.sound_bytes = FILE_HEADER_LENGTH;
    let mut buffer = vec![0; CHUNK_LENGTH];
    loop {
        let wanted = (readable_bytes - scan.sound_bytes).min(CHUNK_LENGTH as u64) as usize;
        let Some(chunk) = buffer.get_mut(..wanted).filter(|chunk| !chunk.is_empty()) else { return Ok(scan) };
        let wanted = fill_sound(file, chunk, scan.sound_bytes)?;
        let chunk = chunk.get(..wanted).unwrap_or_default();
        let mut at = 0;
        while let Some(record) =
            chunk.get(at..).and_then(decode).filter(|record| record.position == scan.sound_bytes + at as u64)
        {
            each(record.position, record.frame);
            at += record.length;
            scan.frames += 1;
        }
        scan.sound_bytes += at as u64;
        // A chunk may end within a record; a rest that is longer than any record and holds none is broken.
        let at_end = wanted < CHUNK_LENGTH;
        if at_end || wanted - at > RECORD_LENGTH_MAX {
            return Ok(scan);
        }
    }
}

/// As much as is sound: a chunk that does not decrypt ends the file as a record does whose CRC does not hold.
fn fill_sound(file: &mut AudioReader, to: &mut [u8], at: u64) -> io::Result<usize> {
    match file.fill(to, at) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(0),
        filled => filled,
    }
}
