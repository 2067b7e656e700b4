//! The WAV, rendered from the frame files: stereo, left the caller, right everyone else, a second a second of the clock.

use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};
use sha2::{Digest, Sha256, Sha512};

use super::kept::Kept;
use super::layout::{AUDIO_FILE, create_file, frames_file, name_part, part_of};
use super::peaks::{self, PEAKS_FILE, Peaks, PeaksFile};
use super::place::{Heard, Hole, Part, Placement, STEP_HZ, place_between, samples_between};
use super::tag;
use crate::journal::FrameKind;
use crate::journal::frames::{Payloads, open_file, scan};
use crate::model::{CallId, Codec, Side};
use crate::rtp::codec::{Decoder, Resampler, SAMPLES_MAX};
use crate::vault::{AudioKey, AudioReader, AudioWriter};

mod parties;

pub use parties::Parties;

/// The longest recording rendered, in bytes of sound: 24 hours at 8 kHz, 4 at 48, well below the 4 GiB that a WAV's u32
/// sizes can say.
const BYTES_MAX: i64 = 24 * 3600 * 8000 * BYTES_A_SAMPLE;
/// Two sides of 16 bits.
const BYTES_A_SAMPLE: i64 = 4;
/// The longest that one frame sounds beyond a block: a datagram full of G.711 and [`EARLY_MS_MAX`], in milliseconds.
const FRAME_MS_MAX: usize = 200;
/// No resampler is so far behind, and no frame so much earlier than its place, in milliseconds.
const EARLY_MS_MAX: i64 = 5;
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
    /// The frames span more than `BYTES_MAX`.
    #[error(
        "the frames span {seconds} s, more than one WAV may hold (24 h at 8 kHz, 4 h at 48); the frame files are kept"
    )]
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
    /// Samples a second: those of the widest codec that was spoken.
    pub rate_hz: u32,
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
    /// The plain file, when the one on the disk is encrypted.
    pub encrypted: Option<Encrypted>,
    /// Its outline, in a file beside it.
    pub peaks: PeaksFile,
}

/// What an encrypted WAV is when it is decrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypted {
    /// The name of the key.
    pub key: String,
    /// Bytes of the plain file.
    pub bytes: u64,
    /// SHA-256 of the plain file.
    pub sha256: String,
}

impl Rendered {
    /// Length in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.samples * 1000 / u64::from(self.rate_hz)
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

/// Renders `audio.wav` in `folder` from the frame files of `legs`. Its name is safe over a power cut once the folder is
/// synced.
pub fn render(folder: &Path, kept: &Kept, legs: &[u16], key: Option<&AudioKey>) -> Result<Rendered, RenderError> {
    let mut lanes = Vec::new();
    for leg in legs {
        let path = folder.join(frames_file(*leg));
        let file = open_file(&path, key).map_err(fault("opening", &path))?;
        lanes.push(Lane::over(file, path, kept, *leg)?);
    }
    let finish = kept.finished.map_or(0, |at| samples_between(kept.begun.moment, at.moment));
    let samples = lanes.iter().map(|lane| lane.told.placement.end()).max().unwrap_or(0).max(finish).max(0);
    let codecs = lanes.iter().flat_map(|lane| &lane.told.codecs);
    let rate_hz = codecs.map(|codec| codec.sample_rate()).max().unwrap_or(STEP_HZ);
    if samples * i64::from(rate_hz / STEP_HZ) * BYTES_A_SAMPLE > BYTES_MAX {
        return Err(RenderError::TooLong { seconds: samples / i64::from(STEP_HZ) });
    }
    for lane in &mut lanes {
        let first_sound = lane.told.placement.placed.first().map(|placed| placed.start);
        lane.told.part = kept.part_of(lane.told.leg, first_sound, samples);
        lane.told.placement.find_holes(&lane.heard, lane.told.part);
        lane.told.placement.mark_pauses(&kept.spans_paused(samples), lane.told.part);
    }
    let path = folder.join(AUDIO_FILE);
    let Written { essence_sha256, levels_dbfs, outline } =
        write_wav((&path, kept.call), &mut lanes, samples as u64, rate_hz, key)?;
    name_part(&path).map_err(fault("putting in place", &path))?;
    let peaks = peaks::write(folder, outline, key).map_err(fault("writing", &folder.join(PEAKS_FILE)))?;
    let (bytes, sha256, sha512) = hash_file(&path).map_err(fault("reading back", &path))?;
    let encrypted = key.map(|key| look_inside(&path, key)).transpose().map_err(fault("decrypting", &path))?;
    let legs = lanes.into_iter().map(|lane| lane.told).collect();
    let samples = samples as u64 * u64::from(rate_hz / STEP_HZ);
    Ok(Rendered { legs, rate_hz, samples, bytes, sha256, sha512, essence_sha256, levels_dbfs, encrypted, peaks })
}

/// Decrypts what was written, which proves that it can be, and hashes it.
fn look_inside(path: &Path, key: &AudioKey) -> io::Result<Encrypted> {
    let mut reader = AudioReader::open(path, AUDIO_FILE, || Ok(Some(key.clone())))?;
    let (bytes, sha256) = hash_reader(&mut reader)?;
    Ok(Encrypted { key: key.id().to_owned(), bytes, sha256 })
}

/// Length and SHA-256 (hexadecimal) of what is left to read.
fn hash_reader(reader: &mut impl Read) -> io::Result<(u64, String)> {
    let mut short = Sha256::new();
    let bytes = pump(reader, |read| short.update(read))?;
    Ok((bytes, hex(&short.finalize())))
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
fn read_through(path: &Path, each: impl FnMut(&[u8])) -> io::Result<u64> {
    pump(&mut File::open(path)?, each)
}

fn pump(file: &mut impl Read, mut each: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut buffer = vec![0; 256 * 1024];
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
    /// The next placed frame.
    cursor: usize,
    /// What decodes, and to which rate; begun anew with another codec.
    ear: Option<Ear>,
    /// What the last frames of a block sound beyond its end.
    beyond: Vec<i16>,
}

impl Lane {
    /// The leg whose open frame file this is; `path` names it in what is told.
    fn over(mut file: AudioReader, path: PathBuf, kept: &Kept, leg: u16) -> Result<Lane, RenderError> {
        let (mut heard, mut codecs, mut events) = (Vec::new(), Vec::new(), 0);
        let found = scan(&mut file, |position, frame| {
            let one = Heard::of(&frame, position, kept.begun.moment);
            if !codecs.contains(&frame.codec) {
                codecs.push(frame.codec);
            }
            events += u64::from(one.kind == FrameKind::Event);
            heard.push(one);
        });
        let found = found.map_err(fault("reading", &path))?;
        let payloads = Payloads::over(file);
        let placement = place_between(&mut heard, &kept.spans_paused(i64::MAX));
        let told = RenderedLeg {
            leg,
            side: kept.side_of(leg),
            frames: found.frames,
            events,
            codecs,
            part: Part::default(),
            placement,
        };
        Ok(Lane { told, heard, payloads, path, cursor: 0, ear: None, beyond: Vec::new() })
    }

    /// Paints what sounds from sample `start` on, block after block; where frames overlap the later one is heard. Frames
    /// are decoded in their places' order, each once: a codec's memory wants it so.
    fn paint(&mut self, start: i64, block: &mut [i16], rate_hz: u32) -> io::Result<()> {
        let length = block.len();
        self.beyond.resize(length + rate_hz as usize * FRAME_MS_MAX / 1000, 0);
        let scale = i64::from(rate_hz / STEP_HZ);
        let (end, early) = (start + length as i64, i64::from(rate_hz) * EARLY_MS_MAX / 1000);
        while let Some(p) =
            self.told.placement.placed.get(self.cursor).filter(|p| p.start * scale < end + early).copied()
        {
            self.cursor += 1;
            let payload = self.payloads.read(p.heard.position, p.heard.bytes as usize)?;
            let kept = self.ear.take().filter(|ear| ear.codec == p.heard.codec);
            let ear = self.ear.insert(kept.unwrap_or_else(|| Ear::new(p.heard.codec, rate_hz)));
            for (at, sample) in (p.start * scale - start - ear.delay..).zip(ear.hear(payload)) {
                if let Some(slot) = usize::try_from(at).ok().and_then(|at| self.beyond.get_mut(at)) {
                    *slot = *sample;
                }
            }
        }
        block.iter_mut().zip(&self.beyond).for_each(|(to, from)| *to = *from);
        self.beyond.drain(..length.min(self.beyond.len()));
        Ok(())
    }
}

/// Frames to samples at the recording's rate.
struct Ear {
    codec: Codec,
    decoder: Decoder,
    resampler: Resampler,
    /// Samples of the recording by which what comes out is behind.
    delay: i64,
    decoded: Vec<i16>,
    resampled: Vec<i16>,
}

impl Ear {
    fn new(codec: Codec, rate_hz: u32) -> Ear {
        let resampler = Resampler::new(codec.sample_rate(), rate_hz);
        let delay = resampler.delay() as i64;
        let resampled = vec![0; resampler.samples_of(SAMPLES_MAX)];
        Ear { codec, decoder: Decoder::new(codec), resampler, delay, decoded: vec![0; SAMPLES_MAX], resampled }
    }

    fn hear(&mut self, payload: &[u8]) -> &[i16] {
        let decoded = self.decoder.decode(payload, &mut self.decoded);
        let decoded = self.decoded.get(..decoded).unwrap_or_default();
        let length = self.resampler.resample(decoded, &mut self.resampled);
        self.resampled.get(..length).unwrap_or_default()
    }
}

/// What was learned of the samples while they were written.
struct Written {
    essence_sha256: String,
    levels_dbfs: [f64; 2],
    outline: Peaks,
}

/// Mixes all lanes into the WAV's temporary file, a second at a time.
fn write_wav(
    (path, call): (&Path, CallId),
    lanes: &mut [Lane],
    steps: u64,
    rate_hz: u32,
    key: Option<&AudioKey>,
) -> Result<Written, RenderError> {
    let part = part_of(path);
    let file = create_file(&part).map_err(fault("creating", &part))?;
    let mut out = AudioWriter::new(file, AUDIO_FILE, key).map_err(fault("beginning", &part))?;
    let spec = WavSpec { channels: 2, sample_rate: rate_hz, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let wav_fault = |source| RenderError::Wav { path: part.clone(), source };
    let mut wav = WavWriter::new(BufWriter::new(&mut out), spec).map_err(wav_fault)?;
    let mut essence = Sha256::new();
    let (mut energy, mut outline) = ([0.0; 2], Peaks::new(rate_hz));
    let samples = steps * u64::from(rate_hz / STEP_HZ);
    let block = rate_hz as usize;
    let (mut one, mut sides) = (vec![0i16; block], [vec![0i16; block], vec![0i16; block]]);
    let mut bytes = Vec::with_capacity(block * 4);
    let mut start = 0;
    while start < samples {
        let length = (samples - start).min(u64::from(rate_hz)) as usize;
        sides.iter_mut().for_each(|side| side.fill(0));
        for lane in lanes.iter_mut() {
            lane.paint(start as i64, &mut one, rate_hz).map_err(fault("reading", &lane.path))?;
            let [left, right] = &mut sides;
            let side = match lane.told.side {
                Side::Caller => left,
                Side::Regulator | Side::Outside | Side::Supervisor => right,
            };
            side.iter_mut().zip(&one).for_each(|(sum, sample)| *sum = sum.saturating_add(*sample));
        }
        bytes.clear();
        let mut writer = wav.get_i16_writer(length as u32 * 2);
        let [left, right] = sides.each_ref().map(|side| side.get(..length).unwrap_or_default());
        outline.take(left, right);
        for pair in left.iter().zip(right).map(|(l, r)| [*l, *r]) {
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
    let essence_sha256 = hex(&essence.finalize());
    tag::append(&mut out, call, &essence_sha256).map_err(fault("adding the tag to", &part))?;
    out.finish().map_err(fault("ending", &part))?;
    Ok(Written { essence_sha256, levels_dbfs: energy.map(|e| level_dbfs(e, samples)), outline })
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
