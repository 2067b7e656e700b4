//! Rings, journal segments and frame files as a crash or a bad disk leaves them: what is read was written, up to the damage,
//! and reading again finds the same.

use std::path::{Path, PathBuf};

use vigie::journal::{Frame, FrameFile, FrameKind, Journal, RingWriter, frames, ring, segment};
use vigie::model::{CallId, Chance, Codec, Moment, Utc};

use crate::Failure;
use crate::mutation::{damage, note};

/// A frame with bytes of its own.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    number: u32,
    stamp: (u16, u32, u32, u64),
    payload: Vec<u8>,
}

impl Owned {
    fn of(frame: Frame<'_>) -> Owned {
        let stamp = (frame.rtp_sequence, frame.rtp_timestamp, frame.ssrc, frame.arrival.0);
        Owned { number: frame.number, stamp, payload: frame.payload.to_vec() }
    }
}

/// One file of this seed: written, damaged, read twice.
pub fn try_files(seed: u64) -> Result<(), Failure> {
    let mut chance = Chance::from_number(seed);
    let fault = |what: &str| Failure { what: what.to_owned(), input: Vec::new() };
    let folder = tempfile::tempdir().map_err(|_| fault("no folder"))?;
    let frames = draw_frames(&mut chance);
    let which = seed % 3;
    let path = match which {
        0 => write_frames(folder.path(), &frames),
        1 => write_segment(folder.path(), &frames),
        _ => write_ring(folder.path(), &frames),
    };
    let path = path.ok_or(fault("the file could not be written"))?;
    let mut bytes = std::fs::read(&path).map_err(|_| fault("the file could not be read"))?;
    let is_whole = seed.is_multiple_of(16);
    if !is_whole {
        damage_file(&mut bytes, &mut chance);
        std::fs::write(&path, &bytes).map_err(|_| fault("the file could not be changed"))?;
    }
    note(&bytes);
    let (once, again) = (read(which, folder.path(), &path), read(which, folder.path(), &path));
    let wrong = if once != again {
        Some("read twice, found differently")
    } else if is_whole && once != frames {
        Some("a whole file was not read whole")
    } else if which < 2 && !frames.starts_with(&once) {
        Some("what was read is not the beginning of what was written")
    } else if once.iter().any(|frame| !frames.contains(frame)) {
        Some("a frame was read that nobody wrote")
    } else {
        None
    };
    wrong.map_or(Ok(()), |what| Err(Failure { what: what.to_owned(), input: bytes }))
}

fn draw_frames(chance: &mut Chance) -> Vec<Owned> {
    let count = 1 + chance.below(60) as u32;
    let frame = |number| {
        let length = [0, 4, 80, 160, 160, 160, 320, 1500][chance.below(8) as usize];
        let first = chance.next_u32();
        let mut payload: Vec<u8> = (0..length).map(|place| (first ^ place) as u8).collect();
        // Speech that looks like a record's beginning.
        if chance.below(6) == 0 && payload.len() >= 16 {
            payload[8..12].copy_from_slice(b"VFr1");
        }
        Owned { number, stamp: (number as u16, number * 160, chance.next_u32(), chance.next_u64()), payload }
    };
    (0..count).map(frame).collect()
}

fn frame_of(owned: &Owned) -> Frame<'_> {
    let (rtp_sequence, rtp_timestamp, ssrc, arrival) = owned.stamp;
    Frame {
        call: CallId::new(Utc(7), &mut Chance::from_number(7)),
        leg: 1,
        number: owned.number,
        codec: Codec::Pcma,
        kind: FrameKind::Audio,
        rtp_sequence,
        rtp_timestamp,
        ssrc,
        marker: owned.number == 0,
        arrival: Moment(arrival),
        payload: &owned.payload,
    }
}

fn write_frames(folder: &Path, frames: &[Owned]) -> Option<PathBuf> {
    let path = folder.join("leg.frames");
    let mut file = FrameFile::new(path.clone(), None);
    frames.iter().for_each(|frame| file.append(&frame_of(frame)));
    file.write().ok().map(|()| path)
}

fn write_segment(folder: &Path, frames: &[Owned]) -> Option<PathBuf> {
    let mut journal = Journal::open(folder, 1 << 30, None).ok()?;
    frames.iter().for_each(|frame| journal.append(&frame_of(frame)));
    journal.write(Moment(0)).ok()?;
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).ok()? {
        paths.push(entry.ok()?.path());
    }
    paths.into_iter().find(|path| path.extension().is_some_and(|end| end == "segment"))
}

fn write_ring(folder: &Path, frames: &[Owned]) -> Option<PathBuf> {
    let path = folder.join("media-0.ring");
    let mut writer = RingWriter::create(&path, 2 * ring::RING_BYTES_MIN).ok()?;
    for frame in frames {
        if !writer.push(&frame_of(frame)) {
            return None;
        }
        writer.flush().ok()?;
    }
    Some(path)
}

/// What is left of a file after a torn write: its end, a stretch, or single bytes are wrong. Mostly where frames are.
fn damage_file(bytes: &mut Vec<u8>, chance: &mut Chance) {
    if chance.below(4) == 0 {
        return damage(bytes, chance);
    }
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let start = chance.below(used as u64 + 1) as usize;
    let end = (start + chance.below(3000) as usize).min(bytes.len());
    match chance.below(3) {
        0 => bytes[start..].fill(0),
        1 => bytes[start..end].fill_with(|| chance.next_u32() as u8),
        _ => bytes.truncate(start),
    }
}

fn read(which: u64, folder: &Path, path: &Path) -> Vec<Owned> {
    let mut found = Vec::new();
    // A file that is none at all any more is refused as a whole.
    match which {
        0 => drop(frames::scan_file(path, None, |_, frame| found.push(Owned::of(frame)))),
        1 => drop(segment::read_all(folder, (&vigie::vault::Keys::off(), u64::MAX), |frame| {
            found.push(Owned::of(frame))
        })),
        _ => drop(ring::scan(path, |frame| found.push(Owned::of(frame)))),
    }
    found
}
