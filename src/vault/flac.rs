//! A WAV as FLAC (RFC 9639), lossless: what archived audio rests as.
//!
//! The samples are FLAC's; everything else of the WAV, byte for byte, stands in APPLICATION blocks `riff` as `flac
//! --keep-foreign-metadata` writes them, so that the very file can be had again, with or without Vigie. A seek table leads
//! to any second.

use std::io::{self, Read, Seek, SeekFrom, Write};

use md5::{Digest, Md5};

use super::flac_frame::{BLOCK_SAMPLES, Encoder};

/// The archived audio, beside the sidecar.
pub const FLAC_FILE: &str = "audio.flac";
/// The most seek points: with all that stands before the frames they fit into an encrypted file's first chunk.
const POINTS_MAX: u64 = 1800;
/// The most bytes of a WAV before its samples; hound writes 44.
const HEAD_BYTES_MAX: u64 = 4096;
/// The most bytes of a WAV behind its samples: the tag has some 300.
const TAIL_BYTES_MAX: u64 = 16 * 1024;
/// Two sides of 16 bits.
pub(super) const FRAME_BYTES: u64 = 4;
/// A metadata block's header.
const BLOCK_HEADER: usize = 4;
/// The application whose blocks hold what a WAV has beside its samples.
pub(super) const RIFF: &[u8; 4] = b"riff";
/// What a FLAC begins with.
pub(super) const MAGIC: &[u8; 4] = b"fLaC";

/// Metadata blocks by their number (RFC 9639 §8.1).
pub(super) mod kind {
    pub const STREAMINFO: u8 = 0;
    pub const APPLICATION: u8 = 2;
    pub const SEEKTABLE: u8 = 3;
    /// In the last block's header.
    pub const LAST: u8 = 0x80;
}

/// One entry of the seek table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// The first sample of the frame.
    pub sample: u64,
    /// Where the frame stands, from the first frame on.
    pub offset: u64,
}

/// A WAV taken apart.
struct Shape {
    /// As far as the samples.
    head: Vec<u8>,
    /// Behind them.
    tail: Vec<u8>,
    rate_hz: u32,
    /// Samples a side.
    samples: u64,
}

/// Whether a WAV of so many plain bytes is worth it: one without samples stays as it is.
pub fn is_packable(wav: &mut (impl Read + Seek)) -> io::Result<bool> {
    Ok(Shape::of(wav)?.samples > 0)
}

/// Writes `wav` as FLAC; `out` is empty, and may be sought back into its first 64 KiB.
///
/// # Errors
/// When it cannot be read or written, or is no WAV as Vigie writes it.
pub fn pack(wav: &mut (impl Read + Seek), out: &mut (impl Write + Seek)) -> io::Result<()> {
    let shape = Shape::of(wav)?;
    wav.seek(SeekFrom::Start(shape.head.len() as u64))?;
    let frames = shape.samples.div_ceil(BLOCK_SAMPLES as u64);
    let spacing = frames.div_ceil(POINTS_MAX).max(1);
    let mut points = Vec::new();
    let mut about = About { md5: [0; 16], frame_bytes: (u32::MAX, 0) };
    let count = frames.div_ceil(spacing) as usize;
    out.write_all(&shape.metadata(&about, &vec![Point { sample: 0, offset: 0 }; count]))?;
    let (mut hash, mut offset, mut left) = (Md5::new(), 0u64, shape.samples);
    let mut encoder = Encoder::new(shape.rate_hz);
    let mut piece = vec![0; BLOCK_SAMPLES * FRAME_BYTES as usize];
    for number in 0..frames {
        let samples = left.min(BLOCK_SAMPLES as u64);
        let bytes = piece.get_mut(..(samples * FRAME_BYTES) as usize).unwrap_or_default();
        wav.read_exact(bytes)?;
        hash.update(&*bytes);
        let frame = encoder.encode(number, bytes);
        out.write_all(frame)?;
        if number % spacing == 0 {
            points.push(Point { sample: number * BLOCK_SAMPLES as u64, offset });
        }
        let length = frame.len() as u32;
        about.frame_bytes = (about.frame_bytes.0.min(length), about.frame_bytes.1.max(length));
        offset += frame.len() as u64;
        left -= samples;
    }
    about.md5 = hash.finalize().into();
    out.seek(SeekFrom::Start(0))?;
    out.write_all(&shape.metadata(&about, &points))
}

/// What is known when all frames are written.
struct About {
    /// Of the samples, as they stand in the WAV.
    md5: [u8; 16],
    /// The smallest and the largest frame.
    frame_bytes: (u32, u32),
}

impl Shape {
    fn of(wav: &mut (impl Read + Seek)) -> io::Result<Shape> {
        let amiss = || io::Error::new(io::ErrorKind::InvalidData, "the audio is no WAV as Vigie writes it");
        let length = wav.seek(SeekFrom::End(0))?;
        wav.seek(SeekFrom::Start(0))?;
        let mut head = Vec::new();
        wav.by_ref().take(HEAD_BYTES_MAX).read_to_end(&mut head)?;
        let samples = chunks_of(&head).ok_or_else(amiss)?.1;
        let (start, end) = (samples.start, samples.end);
        let format = |at: usize, bytes: usize| -> Option<u32> {
            let value = head.get(at..at + bytes)?;
            Some(value.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
        };
        // PCM of two sides and 16 bits, its format chunk first.
        let is_ours = head.get(12..16) == Some(b"fmt ") && format(22, 2) == Some(2) && format(34, 2) == Some(16);
        if !is_ours || end > length || (end - start) % FRAME_BYTES != 0 || length - end > TAIL_BYTES_MAX {
            return Err(amiss());
        }
        let rate_hz = format(24, 4).ok_or_else(amiss)?;
        let mut tail = Vec::new();
        wav.seek(SeekFrom::Start(end))?;
        wav.take(TAIL_BYTES_MAX).read_to_end(&mut tail)?;
        head.truncate(start as usize);
        Ok(Shape { head, tail, rate_hz, samples: (end - start) / FRAME_BYTES })
    }

    /// Everything before the first frame; its length depends on the number of points alone.
    fn metadata(&self, about: &About, points: &[Point]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let mut info = Vec::new();
        let block = BLOCK_SAMPLES as u16;
        info.extend(block.to_be_bytes());
        info.extend(block.to_be_bytes());
        for frame in [about.frame_bytes.0, about.frame_bytes.1] {
            info.extend(frame.to_be_bytes().into_iter().skip(1));
        }
        // 20 bits rate, 3 bits sides less one, 5 bits width less one, 36 bits samples.
        let packed = u64::from(self.rate_hz) << 44 | 1 << 41 | 15 << 36 | (self.samples & 0xf_ffff_ffff);
        info.extend(packed.to_be_bytes());
        info.extend(about.md5);
        put_block(&mut bytes, kind::STREAMINFO, &[&info]);
        let pieces = chunks_of(&self.head).map(|(pieces, _)| pieces).unwrap_or_default();
        for piece in pieces.into_iter().filter_map(|piece| self.head.get(piece)).chain([self.tail.as_slice()]) {
            if !piece.is_empty() {
                put_block(&mut bytes, kind::APPLICATION, &[RIFF, piece]);
            }
        }
        let mut table = Vec::new();
        for point in points {
            table.extend(point.sample.to_be_bytes());
            table.extend(point.offset.to_be_bytes());
            let samples = (self.samples - point.sample).min(BLOCK_SAMPLES as u64) as u16;
            table.extend(samples.to_be_bytes());
        }
        put_block(&mut bytes, kind::SEEKTABLE | kind::LAST, &[&table]);
        bytes
    }
}

fn put_block(to: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let header: [u8; BLOCK_HEADER] = (u32::from(kind) << 24 | (length as u32 & 0xff_ffff)).to_be_bytes();
    to.extend(header);
    parts.iter().for_each(|part| to.extend(*part));
}

type Pieces = Vec<std::ops::Range<usize>>;

/// The pieces of a WAV's head as `flac` keeps them (RIFF and WAVE, each chunk with its header, the header of `data`), and
/// where the samples are.
fn chunks_of(head: &[u8]) -> Option<(Pieces, std::ops::Range<u64>)> {
    if head.get(..4)? != b"RIFF" || head.get(8..12)? != b"WAVE" {
        return None;
    }
    let mut pieces: Pieces = std::iter::once(0..12).collect();
    let mut at = 12usize;
    loop {
        let name = head.get(at..at + 4)?;
        let length = head.get(at + 4..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)?;
        let start = at + 8;
        if name == b"data" {
            pieces.push(at..start);
            return Some((pieces, start as u64..start as u64 + u64::from(length)));
        }
        let next = start.checked_add(length as usize + length as usize % 2)?;
        pieces.push(at..next);
        at = next;
    }
}

#[cfg(test)]
mod tests;
