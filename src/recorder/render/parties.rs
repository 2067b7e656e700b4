//! A recording rendered anew from its frame files with a voice of its own for each party, a second at a time.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::{BYTES_MAX, Lane, RenderError, fault};
use crate::model::{Moment, Now, Side};
use crate::recorder::kept::{Kept, KeptLeg, KeptPause};
use crate::recorder::layout::{SIDECAR_FILE, frames_file};
use crate::recorder::place::STEP_HZ;
use crate::recorder::sidecar::{Frames, Pause, Sidecar};
use crate::recorder::wav::{HEADER_BYTES, Wav};
use crate::vault::AudioReader;

/// The most voices of one file; a call has rarely more than four. Those beyond share the last.
const VOICES_MAX: usize = 64;
/// No recording has more samples a second: what says so is none of ours.
const RATE_HZ_MAX: u32 = 48_000;
/// Frames so much earlier are decoded, too: a codec remembers what came before.
const WARM_UP_MS: i64 = 200;

/// The rendering, as far as it was read.
pub struct Parties {
    lanes: Vec<(usize, Lane)>,
    names: Vec<String>,
    rate_hz: u32,
    /// Samples a voice.
    samples: i64,
    at: i64,
}

impl Parties {
    /// Of the sealed recording in `folder`, from so many seconds on; `open` opens its frame files by their names, wherever
    /// they lie.
    ///
    /// # Errors
    /// What `open` says, or [`RenderError`] when a frame file cannot be read, or so many voices for so long are more than
    /// one WAV can hold.
    pub fn open<E: From<RenderError>>(
        folder: &Path,
        sidecar: &Sidecar,
        open: impl Fn(&str) -> Result<AudioReader, E>,
        from_s: u64,
    ) -> Result<Parties, E> {
        let kept = kept_of(sidecar);
        let rate_hz = sidecar.vigie.audio.rate_hz;
        if !(STEP_HZ..=RATE_HZ_MAX).contains(&rate_hz) {
            return Err(fault("understanding", &folder.join(SIDECAR_FILE))(io::ErrorKind::InvalidData.into()).into());
        }
        let scale = i64::from(rate_hz / STEP_HZ);
        let samples = i64::try_from(sidecar.vigie.audio.samples).unwrap_or(i64::MAX);
        let at = (from_s.min(u64::from(u32::MAX)) as i64 * i64::from(rate_hz)).min(samples);
        let (mut lanes, mut names) = (Vec::new(), Vec::<String>::new());
        for frames in &sidecar.vigie.frames {
            let name = name_of(frames);
            let voice = names.iter().position(|known| *known == name).unwrap_or(names.len());
            if voice == names.len() && names.len() < VOICES_MAX {
                names.push(name);
            }
            let file = frames_file(frames.leg);
            let mut lane = Lane::over(open(&file)?, folder.join(&file), &kept, frames.leg)?;
            let first = at - i64::from(rate_hz) * WARM_UP_MS / 1000;
            lane.cursor = lane.told.placement.placed.partition_point(|placed| placed.end() * scale <= first);
            lanes.push((voice.min(VOICES_MAX - 1), lane));
        }
        if (samples - at).saturating_mul(names.len() as i64 * 2) > BYTES_MAX {
            return Err(RenderError::TooLong { seconds: (samples - at) / i64::from(rate_hz) }.into());
        }
        Ok(Parties { lanes, names, rate_hz, samples, at })
    }

    /// Whose each voice is, in their order: `caller`, `regulator anne`, `outside leg 3`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The WAV that the seconds to come make.
    pub fn wav(&self) -> Wav {
        let voices = self.names.len().max(1) as u16;
        let bytes = (self.samples - self.at).max(0) as u64 * u64::from(voices) * 2;
        Wav { rate_hz: self.rate_hz, voices, begin: HEADER_BYTES, bytes }
    }

    /// The samples of the next second, voice beside voice; nothing at the end.
    ///
    /// # Errors
    /// [`RenderError`], when a frame file cannot be read.
    pub fn next_second(&mut self) -> Result<Option<Vec<u8>>, RenderError> {
        let length = (self.samples - self.at).min(i64::from(self.rate_hz));
        if length <= 0 {
            return Ok(None);
        }
        let (block, voices) = (self.rate_hz as usize, self.names.len().max(1));
        let mut one = vec![0i16; block];
        let mut mixed = vec![0i16; block * voices];
        for (voice, lane) in &mut self.lanes {
            lane.paint(self.at, &mut one, self.rate_hz).map_err(fault("reading", &lane.path))?;
            for (moment, sample) in mixed.chunks_exact_mut(voices).zip(&one) {
                if let Some(sum) = moment.get_mut(*voice) {
                    *sum = sum.saturating_add(*sample);
                }
            }
        }
        self.at += length;
        let whole = mixed.iter().take(length as usize * voices);
        Ok(Some(whole.flat_map(|sample| sample.to_le_bytes()).collect()))
    }
}

fn name_of(frames: &Frames) -> String {
    match (frames.side, &frames.regulator) {
        (Side::Caller, _) => "caller".to_owned(),
        (Side::Regulator, Some(id)) => format!("regulator {id}"),
        (Side::Supervisor, Some(id)) => format!("supervisor {id}"),
        (Side::Regulator, None) => format!("regulator leg {}", frames.leg),
        (Side::Supervisor, None) => format!("supervisor leg {}", frames.leg),
        (Side::Outside, _) => format!("outside leg {}", frames.leg),
    }
}

/// What was kept of the call while it was recorded, as far as placing its frames needs it.
fn kept_of(sidecar: &Sidecar) -> Kept {
    let block = &sidecar.vigie;
    let begun = Now { moment: Moment(block.started_at_arrival), utc: block.started_at };
    let after = |ms: u64| begun.after(Duration::from_millis(ms));
    let leg = |frames: &Frames| {
        let joined = after(frames.part_start_ms).moment;
        (frames.leg, KeptLeg { side: frames.side, regulator: frames.regulator.clone(), joined })
    };
    let pause = |pause: &Pause| KeptPause {
        from: after(pause.start_ms),
        to: pause.to.as_ref().map(|_| after(pause.start_ms + pause.length_ms)),
        by: pause.by.clone(),
        reason: None,
        resumed_by: None,
    };
    Kept {
        call: sidecar.uuid,
        begun,
        finished: Some(after(block.audio.duration_ms)),
        legs: block.frames.iter().map(leg).collect(),
        turns: Vec::new(),
        record: block.record.clone(),
        pauses: block.pauses.iter().map(pause).collect(),
    }
}
