//! Where each frame of a leg belongs on the recording's clock, and where nothing does.
//!
//! Within a run (one SSRC, one train of sequence numbers) frames lie where their RTP timestamps say, anchored on
//! arrival times, so that jitter moves nothing. A clock that is a little fast or slow is followed in steps that nobody
//! hears; a run is anchored anew when timestamps and clock drift apart for good.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::journal::{Frame, FrameKind};
use crate::model::{Codec, Moment};
use crate::rtp::codec::clock_units_in;

mod run;

use run::Run;

/// Steps a second in which everything is placed: a sample of G.711, two of G.722, six of Opus (decision 22).
pub const STEP_HZ: u32 = 8000;
/// A shorter hole is not listed: 100 ms.
pub(super) const GAP_MIN: i64 = 800;
/// Refused frames are listed however short: 10 ms.
const GAP_MIN_REFUSED: i64 = 80;
/// A phone may take so long to begin, or stop so long before the end, before that is listed: 1 s.
const EDGE_GAP_MIN: i64 = 8000;
/// Key presses explain a hole of at most this: 5 s.
const EVENT_GAP_MAX: i64 = 40_000;
/// Comfort noise explains a hole of at most this: 60 s. RFC 3389 §4 lets a quiet far end send it once.
const NOISE_GAP_MAX: i64 = 480_000;

/// What is known of one frame, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its record's place in the frame file.
    pub position: u64,
    /// Its place in the leg's frames.
    pub number: u32,
    /// Payload bytes.
    pub bytes: u16,
    /// Steps that it sounds for.
    pub length: u16,
    /// How they are coded.
    pub codec: Codec,
    /// Sound, or what is kept beside it.
    pub kind: FrameKind,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    /// In samples after the recording's begin.
    arrival: i64,
}

impl Heard {
    /// What placement needs of a frame read at `position`, on the clock that began at `begin`.
    pub fn of(frame: &Frame<'_>, position: u64, begin: Moment) -> Heard {
        Heard {
            position,
            number: frame.number,
            bytes: frame.payload.len() as u16,
            length: (u64::from(clock_units_in(frame.codec, frame.payload)) * u64::from(STEP_HZ)
                / u64::from(frame.codec.clock_rate())) as u16,
            codec: frame.codec,
            kind: frame.kind,
            sequence: frame.rtp_sequence,
            timestamp: frame.rtp_timestamp,
            ssrc: frame.ssrc,
            arrival: samples_between(begin, frame.arrival),
        }
    }
}

/// Steps from `begin` to `at`; negative when `at` is earlier.
pub fn samples_between(begin: Moment, at: Moment) -> i64 {
    (at.0 as i64).wrapping_sub(begin.0 as i64) / 125
}

/// One sounding frame in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The first sample, counted from the recording's begin.
    pub start: i64,
    /// The frame.
    pub heard: Heard,
    ssrc: u32,
    extended: i64,
}

impl Placed {
    /// The sample after the last.
    pub fn end(&self) -> i64 {
        self.start + i64::from(self.heard.length)
    }
}

/// Why nothing is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// Packets that were sent never came.
    NetworkLoss,
    /// Packets came and could not be kept: the ring was full because the disk did not follow.
    NotRecorded,
    /// Somebody paused the recording.
    Paused,
    /// The far end sent nothing: hold, silence suppression, a phone that began late or fell silent.
    NothingReceived,
}

/// A hole in one leg's sound, in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// First missing sample.
    pub start: i64,
    /// How many.
    pub length: i64,
    /// Why.
    pub reason: GapReason,
}

/// All frames of a leg in their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The sounding frames, by start.
    pub placed: Vec<Placed>,
    /// The holes between them.
    pub holes: Vec<Hole>,
    /// Packets whose sequence numbers never came.
    pub lost: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Frames that were refused by a full ring.
    pub refused: u64,
    /// How often a run was anchored anew because timestamps and clock had drifted apart.
    pub adjustments: u64,
}

/// A leg's part in the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// It came in, in samples after the recording's begin.
    pub joined: i64,
    /// It left, or the recording ended.
    pub left: i64,
    /// Frames that a full ring refused, as the media plane counted them; 0 when that is not known.
    pub refused: u64,
}

impl Placement {
    /// The sample after the last sounding one.
    pub fn end(&self) -> i64 {
        self.placed.iter().map(Placed::end).max().unwrap_or(0)
    }

    /// Adds the holes in the leg's part, the whole of it when nothing sounded.
    pub fn find_holes(&mut self, heard: &[Heard], part: Part) {
        let numbers: BTreeSet<u32> = heard.iter().map(|h| h.number).collect();
        let of_kind = |kind| heard.iter().filter(move |h| h.kind == kind).map(|h| h.number).collect();
        let (events, noises): (BTreeSet<u32>, BTreeSet<u32>) = (of_kind(FrameKind::Event), of_kind(FrameKind::Noise));
        self.refused = numbers.last().map_or(0, |last| u64::from(*last) + 1 - numbers.len() as u64);
        let mut reached = part.joined.max(0);
        let mut before: Option<&Placed> = None;
        for placed in &self.placed {
            let hole = placed.start - reached;
            let from = before.map_or(0, |b| b.heard.number.saturating_add(1));
            let between = from.min(placed.heard.number)..placed.heard.number;
            let refused = placed.heard.number.saturating_sub(from) as usize > numbers.range(between.clone()).count();
            let pressed = events.range(between.clone()).next().is_some();
            // Comfort noise has sequence numbers of its own.
            let quiet = noises.range(between).count() as i64;
            let missing = before.map_or(0, |b| placed.extended - b.extended - 1 - quiet);
            let lost = before.is_some_and(|b| b.ssrc == placed.ssrc) && missing > 0 && !pressed;
            let is_explained = (pressed && hole <= EVENT_GAP_MAX) || (quiet > 0 && !lost && hole <= NOISE_GAP_MAX);
            let (reason, least) = match (refused, lost, before) {
                (true, _, _) => (GapReason::NotRecorded, GAP_MIN_REFUSED),
                (false, true, _) => (GapReason::NetworkLoss, GAP_MIN),
                (false, false, Some(_)) => (GapReason::NothingReceived, GAP_MIN),
                (false, false, None) => (GapReason::NothingReceived, EDGE_GAP_MIN),
            };
            if hole > least && !is_explained {
                self.holes.push(Hole { start: reached, length: hole, reason });
            }
            reached = reached.max(placed.end());
            before = Some(placed);
        }
        let least = if self.placed.is_empty() { 0 } else { EDGE_GAP_MIN };
        if part.left - reached > least {
            // Refused frames after the last that was kept are known by their count alone.
            let is_refused = part.refused > self.refused;
            let reason = if is_refused { GapReason::NotRecorded } else { GapReason::NothingReceived };
            self.holes.push(Hole { start: reached, length: part.left - reached, reason });
            self.refused = self.refused.max(part.refused);
        }
    }
}

/// Places the frames of one leg. Sorts `heard` by number: the order in which they came.
pub fn place(heard: &mut Vec<Heard>) -> Placement {
    place_between(heard, &[])
}

/// The same of a leg that was not recorded during these `pauses` (first step, step after the last; in order): what was
/// not kept then is no loss, and what follows is anchored anew.
pub fn place_between(heard: &mut Vec<Heard>, pauses: &[(i64, i64)]) -> Placement {
    let pauses_before = |arrival: i64| pauses.partition_point(|(_, end)| *end <= arrival);
    let mut passed = 0;
    heard.sort_by_key(|h| h.number);
    heard.dedup_by_key(|h| h.number);
    let mut runs: HashMap<u32, Run> = HashMap::new();
    let mut placement = Placement::default();
    let mut reached: Option<i64> = None;
    for (index, frame) in heard.iter().enumerate() {
        let following = heard.get(index..).unwrap_or_default();
        let before = passed;
        passed = passed.max(pauses_before(frame.arrival));
        if passed > before {
            placement.lost += runs.drain().map(|(_, run)| run.lost()).sum::<u64>();
        }
        let continues = runs.get(&frame.ssrc).is_some_and(|run| run.has(frame));
        if !continues && let Some(old) = runs.insert(frame.ssrc, Run::begin(following, reached)) {
            placement.lost += old.lost();
        }
        let Some(run) = runs.get_mut(&frame.ssrc) else { continue };
        let Some((extended, is_reordered)) = run.count(frame.sequence) else {
            placement.duplicates += 1;
            continue;
        };
        placement.reordered += u64::from(is_reordered);
        if frame.kind != FrameKind::Audio {
            // RFC 4733 §2.4.1.2: an event's packets all carry the timestamp of its start, so they anchor nothing; nor does noise.
            continue;
        }
        let (start, is_adjusted) = run.place(frame, following);
        placement.adjustments += u64::from(is_adjusted);
        let placed = Placed { start, heard: *frame, ssrc: frame.ssrc, extended };
        reached = Some(reached.map_or(placed.end(), |r| r.max(placed.end())));
        placement.placed.push(placed);
    }
    placement.lost += runs.values().map(Run::lost).sum::<u64>();
    placement.placed.sort_by_key(|p| (p.start, p.heard.number));
    placement
}

#[cfg(test)]
mod tests;
