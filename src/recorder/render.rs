//! The WAV, rendered from the frame files: stereo, left the caller, right everyone else, a second a second of the clock.

use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};
use sha2::{Digest, Sha256, Sha512};

use super::kept::Kept;
use super::layout::{AUDIO_FILE, create_file, frames_file, part_of, put_in_place};
use super::place::{Heard, Hole, Part, Placed, Placement, RATE_HZ, place, samples_between};
use crate::journal::frames::{Payloads, scan_file};
use crate::model::{Codec, Side};
use crate::rtp::g711::{self, Law};

/// The longest recording rendered: 24 hours, 2.8 GB, well below the 4 GiB that a WAV's u32 sizes can say.
const SAMPLES_MAX: i64 = 24 * 3600 * RATE_HZ as i64;
/// What is mixed at once: a second.
const BLOCK_LENGTH: usize = RATE_HZ as usize;
/// Digital silence in the levels.
const SILENCE_DBFS: f64 = -120.0;

/// The WAV could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A file could not be read or written.
    #[error("{act} {path}: {source}")]
    File {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The WAV writer refused.
    #[error("writing the samples of {path}: {source}")]
    Wav {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: hound::Error,
    },
    /// The frames span more than `SAMPLES_MAX`.
    #[error("the frames span {seconds} s, more than the 24 h that one WAV may hold; the frame files are kept")]
    TooLong {
        /// So many.
        seconds: i64,
    },
}

/// One leg as found in its frame file.
#[derive(Clone, Debug)]
pub struct RenderedLeg {
    /// Its number in the call.
    pub leg: u16,
    /// Left or right.
    pub side: Side,
    /// Frames in the file.
    pub frames: u64,
    /// Events among them.
    pub events: u64,
    /// The codecs seen.
    pub codecs: Vec<Codec>,
    /// When it was in the recording.
    pub part: Part,
    /// Where the frames went.
    pub placement: Placement,
}

/// A finished WAV.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The legs, by number.
    pub legs: Vec<RenderedLeg>,
    /// Samples a side.
    pub samples: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// SHA-512 of the file.
    pub sha512: [u8; 64],
    /// SHA-256 of the samples alone: what `sox audio.wav -t raw - | sha256sum` says.
    pub essence_sha256: String,
    /// RMS of left and right.
    pub levels_dbfs: [f64; 2],
}

impl Rendered {
    /// Length in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.samples * 1000 / u64::from(RATE_HZ)
    }

    /// Every hole with the leg that has it, by start.
    pub fn holes(&self) -> Vec<(u16, Side, Hole)> {
        let mut holes: Vec<_> = self
            .legs
            .iter()
            .flat_map(|leg| leg.placement.holes.iter().map(move |hole| (leg.leg, leg.side, *hole)))
            .collect();
        holes.sort_by_key(|(leg, _, hole)| (hole.start, *leg));
        holes
    }
}

/// Renders `audio.wav` in `folder` from the frame files of `legs`.
pub fn render(folder: &Path, kept: &Kept, legs: &[u16]) -> Result<Rendered, RenderError> {
    let mut lanes = Vec::new();
    for leg in legs {
        lanes.push(Lane::open(folder, kept, *leg)?);
    }
    let finish = kept.finished.map_or(0, |at| samples_between(kept.begun.moment, at.moment));
    let samples = lanes.iter().map(|lane| lane.told.placement.end()).max().unwrap_or(0).max(finish).max(0);
    if samples > SAMPLES_MAX {
        return Err(RenderError::TooLong { seconds: samples / i64::from(RATE_HZ) });
    }
    for lane in &mut lanes {
        let first_sound = lane.told.placement.placed.first().map(|placed| placed.start);
        lane.told.part = kept.part_of(lane.told.leg, first_sound, samples);
        lane.told.placement.find_holes(&lane.heard, lane.told.part);
    }
    let path = folder.join(AUDIO_FILE);
    let (essence_sha256, levels_dbfs) = write_wav(&path, &mut lanes, samples as u64)?;
    put_in_place(&path).map_err(fault("putting in place", &path))?;
    let (bytes, sha256, sha512) = hash_file(&path).map_err(fault("reading back", &path))?;
    let legs = lanes.into_iter().map(|lane| lane.told).collect();
    Ok(Rendered { legs, samples: samples as u64, bytes, sha256, sha512, essence_sha256, levels_dbfs })
}

/// Length, SHA-256 (hexadecimal) and SHA-512 of a file.
pub fn hash_file(path: &Path) -> io::Result<(u64, String, [u8; 64])> {
    let (mut short, mut long) = (Sha256::new(), Sha512::new());
    let bytes = read_through(path, |read| {
        short.update(read);
        long.update(read);
    })?;
    Ok((bytes, hex(&short.finalize()), long.finalize().into()))
}

/// Length and SHA-256 (hexadecimal) of a file: SHA-512 costs several times as much where a processor knows only the other.
pub fn hash_short(path: &Path) -> io::Result<(u64, String)> {
    let mut short = Sha256::new();
    let bytes = read_through(path, |read| short.update(read))?;
    Ok((bytes, hex(&short.finalize())))
}

/// Hands out a file piece by piece; its length.
fn read_through(path: &Path, mut each: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0;
    loop {
        let length = file.read(&mut buffer)?;
        let read = buffer.get(..length).unwrap_or_default();
        if read.is_empty() {
            return Ok(bytes);
        }
        each(read);
        bytes += length as u64;
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        text.extend([byte >> 4, byte & 15].map(|nibble| char::from_digit(u32::from(nibble), 16).unwrap_or('0')));
        text
    })
}

/// One leg being mixed.
struct Lane {
    told: RenderedLeg,
    heard: Vec<Heard>,
    payloads: Payloads,
    path: PathBuf,
    /// The first placed frame that may still sound.
    cursor: usize,
}

impl Lane {
    fn open(folder: &Path, kept: &Kept, leg: u16) -> Result<Lane, RenderError> {
        let path = folder.join(frames_file(leg));
        let (mut heard, mut codecs, mut events) = (Vec::new(), Vec::new(), 0);
        let found = scan_file(&path, |position, frame| {
            let one = Heard::of(&frame, position, kept.begun.moment);
            if !codecs.contains(&frame.codec) {
                codecs.push(frame.codec);
            }
            events += u64::from(one.is_event);
            heard.push(one);
        });
        let found = found.map_err(fault("reading", &path))?;
        let payloads = Payloads::open(&path).map_err(fault("opening", &path))?;
        let placement = place(&mut heard);
        let told = RenderedLeg {
            leg,
            side: kept.side_of(leg),
            frames: found.frames,
            events,
            codecs,
            part: Part::default(),
            placement,
        };
        Ok(Lane { told, heard, payloads, path, cursor: 0 })
    }

    /// Paints what sounds from sample `start` on; where frames overlap the later one is heard.
    fn paint(&mut self, start: i64, block: &mut [i16]) -> io::Result<()> {
        block.fill(0);
        let end = start + block.len() as i64;
        let placed = &self.told.placement.placed;
        // Frames are short, so one that ends before this block is followed by few that do not.
        while placed.get(self.cursor).is_some_and(|p| p.end() <= start) {
            self.cursor += 1;
        }
        for p in placed.get(self.cursor..).unwrap_or_default().iter().take_while(|p| p.start < end) {
            let payload = self.payloads.read(p.heard.position, p.heard.length as usize)?;
            paint_one(p, payload, start, block);
        }
        Ok(())
    }
}

fn paint_one(placed: &Placed, payload: &[u8], start: i64, block: &mut [i16]) {
    let Some(law) = Law::of(placed.heard.codec) else { return };
    for (at, code) in (placed.start - start..).zip(payload) {
        if let Some(sample) = usize::try_from(at).ok().and_then(|at| block.get_mut(at)) {
            *sample = g711::decode(law, *code);
        }
    }
}

/// Mixes all lanes into the WAV's temporary file; the essence's hash and the levels.
fn write_wav(path: &Path, lanes: &mut [Lane], samples: u64) -> Result<(String, [f64; 2]), RenderError> {
    let part = part_of(path);
    let file = create_file(&part).map_err(fault("creating", &part))?;
    let spec = WavSpec { channels: 2, sample_rate: RATE_HZ, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let wav_fault = |source| RenderError::Wav { path: part.clone(), source };
    let mut wav = WavWriter::new(BufWriter::new(&file), spec).map_err(wav_fault)?;
    let mut essence = Sha256::new();
    let mut energy = [0.0; 2];
    let (mut one, mut sides) = (vec![0i16; BLOCK_LENGTH], [vec![0i16; BLOCK_LENGTH], vec![0i16; BLOCK_LENGTH]]);
    let mut bytes = Vec::with_capacity(BLOCK_LENGTH * 4);
    let mut start = 0;
    while start < samples {
        let length = (samples - start).min(BLOCK_LENGTH as u64) as usize;
        sides.iter_mut().for_each(|side| side.fill(0));
        for lane in lanes.iter_mut() {
            lane.paint(start as i64, &mut one).map_err(fault("reading", &lane.path))?;
            let [left, right] = &mut sides;
            let side = match lane.told.side {
                Side::Caller => left,
                Side::Regulator | Side::Outside => right,
            };
            side.iter_mut().zip(&one).for_each(|(sum, sample)| *sum = sum.saturating_add(*sample));
        }
        bytes.clear();
        let mut writer = wav.get_i16_writer(length as u32 * 2);
        let [left, right] = &sides;
        for pair in left.iter().zip(right).take(length).map(|(l, r)| [*l, *r]) {
            for (sample, energy) in pair.iter().zip(&mut energy) {
                writer.write_sample(*sample);
                bytes.extend_from_slice(&sample.to_le_bytes());
                *energy += f64::from(*sample).powi(2);
            }
        }
        writer.flush().map_err(wav_fault)?;
        essence.update(&bytes);
        start += length as u64;
    }
    wav.finalize().map_err(wav_fault)?;
    Ok((hex(&essence.finalize()), energy.map(|e| level_dbfs(e, samples))))
}

/// RMS level of `samples` samples whose squares sum to `energy`, rounded to a tenth.
fn level_dbfs(energy: f64, samples: u64) -> f64 {
    let mean = energy / samples.max(1) as f64;
    let level = 10.0 * (mean / 32_768f64.powi(2)).log10();
    if level.is_finite() { (level.max(SILENCE_DBFS) * 10.0).round() / 10.0 } else { SILENCE_DBFS }
}

fn fault(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RenderError + use<> {
    let path = path.to_owned();
    move |source| RenderError::File { act, path, source }
}
