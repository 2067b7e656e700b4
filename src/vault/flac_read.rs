//! A FLAC that stands for a WAV, read as the very bytes of the WAV, from any place on.

use std::io::{self, Cursor};

use claxon::frame::FrameReader;

use super::flac::{FRAME_BYTES, MAGIC, Point, RIFF, kind};
use super::read::AudioReader;

/// Everything before the frames is no longer than this: an encrypted file's first chunk.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most bytes from one seek point to the next: of a day's recording, and samples that do not shrink.
const GROUP_BYTES_MAX: u64 = 8 << 20;

/// What is known of an open FLAC, and the samples decoded last.
pub(super) struct Unpacked {
    /// The WAV as far as its samples.
    head: Vec<u8>,
    /// The WAV behind its samples.
    tail: Vec<u8>,
    /// Bytes of samples.
    sound: u64,
    /// Where the first frame stands.
    frames_at: u64,
    /// Where the last one ends.
    end: u64,
    points: Vec<Point>,
    /// The group of frames, by its seek point, whose samples are in `samples`.
    held: Option<usize>,
    samples: Vec<u8>,
}

fn amiss(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Unpacked {
    /// Reads everything before the frames; `flac` reads the FLAC's own bytes.
    pub(super) fn of(flac: &mut AudioReader) -> io::Result<Unpacked> {
        let mut start = vec![0; HEAD_BYTES_MAX];
        let read = flac.fill(&mut start, 0)?;
        start.truncate(read);
        let end = flac.length();
        let mut unpacked = Unpacked {
            head: Vec::new(),
            tail: Vec::new(),
            sound: 0,
            frames_at: 0,
            end,
            points: Vec::new(),
            held: None,
            samples: Vec::new(),
        };
        unpacked.read_metadata(&start).ok_or_else(|| amiss("is no FLAC of a WAV as Vigie writes it"))?;
        Ok(unpacked)
    }

    fn read_metadata(&mut self, start: &[u8]) -> Option<()> {
        let mut rest = start.strip_prefix(MAGIC)?;
        let mut is_behind = false;
        loop {
            let (header, after) = rest.split_at_checked(4)?;
            let word = u32::from_be_bytes(header.try_into().ok()?);
            let (body, after) = after.split_at_checked((word & 0xff_ffff) as usize)?;
            let number = (word >> 24) as u8;
            match number & !kind::LAST {
                kind::STREAMINFO => {
                    let packed = u64::from_be_bytes(body.get(10..18)?.try_into().ok()?);
                    self.sound = (packed & 0xf_ffff_ffff) * FRAME_BYTES;
                }
                kind::APPLICATION => {
                    let piece = body.strip_prefix(RIFF)?;
                    let to = if is_behind { &mut self.tail } else { &mut self.head };
                    to.extend(piece);
                    // The header of the samples' chunk stands alone; what follows is behind them.
                    is_behind |= piece.len() == 8 && piece.starts_with(b"data");
                }
                kind::SEEKTABLE => {
                    let point = |entry: &[u8]| {
                        let sample = u64::from_be_bytes(entry.get(..8)?.try_into().ok()?);
                        let offset = u64::from_be_bytes(entry.get(8..16)?.try_into().ok()?);
                        Some(Point { sample, offset })
                    };
                    self.points = body.chunks_exact(18).map(point).collect::<Option<_>>()?;
                }
                _ => {}
            }
            rest = after;
            if number & kind::LAST != 0 {
                break;
            }
        }
        self.frames_at = (start.len() - rest.len()) as u64;
        let is_in_order = self.points.windows(2).all(|two| match two {
            [one, next] => one.sample < next.sample && one.offset < next.offset,
            _ => true,
        });
        let begins = self.points.first() == Some(&Point { sample: 0, offset: 0 });
        (is_behind && begins && is_in_order && self.sound > 0).then_some(())
    }

    /// Bytes of the WAV.
    pub(super) fn length(&self) -> u64 {
        (self.head.len() + self.tail.len()) as u64 + self.sound
    }

    /// Some of the WAV's bytes at `at`.
    pub(super) fn some(&mut self, flac: &mut AudioReader, to: &mut [u8], at: u64) -> io::Result<usize> {
        let head = self.head.len() as u64;
        let from = if at < head {
            self.head.get(at as usize..)
        } else if at < head + self.sound {
            let begin = self.hold(flac, at - head)?;
            self.samples.get((at - head - begin) as usize..)
        } else {
            self.tail.get((at - head - self.sound) as usize..)
        };
        let from = from.unwrap_or_default();
        let read = from.len().min(to.len());
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        Ok(read)
    }

    /// Decodes the group of frames that holds the byte `at` of the samples; the first byte that is held.
    fn hold(&mut self, flac: &mut AudioReader, at: u64) -> io::Result<u64> {
        let sample = at / FRAME_BYTES;
        let group = self.points.partition_point(|point| point.sample <= sample).saturating_sub(1);
        let point = self.points.get(group).copied().ok_or_else(|| amiss("has no seek point"))?;
        let begin = point.sample * FRAME_BYTES;
        if self.held == Some(group) {
            return Ok(begin);
        }
        self.held = None;
        let next = self.points.get(group + 1).copied();
        let to = next.map_or(self.end, |next| self.frames_at + next.offset);
        let from = self.frames_at + point.offset;
        let length = to.saturating_sub(from);
        if length > GROUP_BYTES_MAX {
            return Err(amiss("has seek points too far apart"));
        }
        let mut bytes = vec![0; length as usize];
        if flac.fill(&mut bytes, from)? < bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.decode(bytes)?;
        let expected = next.map_or(self.sound, |next| next.sample * FRAME_BYTES) - begin;
        if self.samples.len() as u64 != expected {
            return Err(amiss("holds another number of samples than it says"));
        }
        self.held = Some(group);
        Ok(begin)
    }

    fn decode(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.samples.clear();
        let broken = |error: claxon::Error| match error {
            claxon::Error::IoError(error) => error,
            error => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
        };
        let mut frames = FrameReader::new(Cursor::new(bytes));
        let mut buffer = Vec::new();
        while let Some(block) = frames.read_next_or_eof(buffer).map_err(broken)? {
            if block.channels() != 2 {
                return Err(amiss("is not of two sides"));
            }
            for (left, right) in block.channel(0).iter().zip(block.channel(1)) {
                self.samples.extend((*left as i16).to_le_bytes());
                self.samples.extend((*right as i16).to_le_bytes());
            }
            buffer = block.into_buffer();
        }
        Ok(())
    }
}
