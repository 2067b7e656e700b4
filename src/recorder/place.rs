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

/// Steps a second in which everything is placed: a sample of G.711, two of G.722, six of Opus (decision 22).
pub const STEP_HZ: u32 = 8000;
/// Timestamps and clock may drift so far apart before the run is anchored anew: 200 ms.
const DRIFT_MAX: i64 = 1600;
/// How clocks that differ are noticed: by the least delayed packet of every 10 s.
const SKEW_WINDOW: i64 = 80_000;
/// Fewer packets in that time say nothing.
const SKEW_PACKETS_MIN: u32 = 100;
/// So far a source may be off before it is followed: 5 ms, more than the least delayed packets differ by chance.
const SKEW_MIN: i64 = 40;
/// It is followed by at most so much every 10 s (2 ms, 200 parts in a million), so that no step can be heard as one.
const SKEW_STEP_MAX: i64 = 16;
/// Packets that came late in a burst are still in place when others within this time are: 1 s.
const JITTER_WINDOW: i64 = 8000;
/// At most so many packets are looked at for that.
const JITTER_PACKETS_MAX: usize = 128;
/// A new run that begins so near the end of the last one continues it: 60 ms.
const SNAP_MAX: i64 = 480;
/// A jump of the sequence number beyond this is a new train (RFC 3550 §A.1, MAX_DROPOUT).
const DROPOUT_MAX: i64 = 3000;
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

/// One train of packets with one SSRC.
struct Run {
    /// Sample of the recording = extended timestamp + anchor.
    anchor: i64,
    timestamp: i64,
    /// The newest timestamp as it stood in its packet.
    stamp: u32,
    codec: Codec,
    first_sequence: i64,
    highest_sequence: i64,
    seen: BTreeSet<i64>,
    skew: Skew,
}

/// How far the source's clock has run from ours, in the present window.
#[derive(Default)]
struct Skew {
    since: Option<i64>,
    least: Option<i64>,
    packets: u32,
}

impl Skew {
    /// Takes how much later than its place a packet came; by how much the anchor moves now.
    fn take(&mut self, drift: i64, arrival: i64) -> i64 {
        let since = *self.since.get_or_insert(arrival);
        self.least = Some(self.least.map_or(drift, |least| least.min(drift)));
        self.packets += 1;
        if arrival - since < SKEW_WINDOW {
            return 0;
        }
        let ended = std::mem::take(self);
        let least = ended.least.filter(|least| least.abs() > SKEW_MIN && ended.packets >= SKEW_PACKETS_MIN);
        least.map_or(0, |least| least.clamp(-SKEW_STEP_MAX, SKEW_STEP_MAX))
    }
}

impl Run {
    fn extend_sequence(&self, sequence: u16) -> i64 {
        self.highest_sequence + i64::from(sequence.wrapping_sub(self.highest_sequence as u16) as i16)
    }

    fn extend_timestamp(&self, timestamp: u32) -> i64 {
        self.timestamp + steps_between(self.codec, self.stamp, timestamp)
    }

    fn lost(&self) -> u64 {
        (self.highest_sequence - self.first_sequence + 1 - self.seen.len() as i64).max(0) as u64
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
        let continues = runs.get(&frame.ssrc).is_some_and(|run| {
            let distance = (run.extend_sequence(frame.sequence) - run.highest_sequence).abs();
            distance <= DROPOUT_MAX && run.codec.clock_rate() == frame.codec.clock_rate()
        });
        if !continues && let Some(old) = runs.insert(frame.ssrc, begin_run(following, reached)) {
            placement.lost += old.lost();
        }
        let Some(run) = runs.get_mut(&frame.ssrc) else { continue };
        let extended = run.extend_sequence(frame.sequence);
        if !run.seen.insert(extended) {
            placement.duplicates += 1;
            continue;
        }
        placement.reordered += u64::from(extended < run.highest_sequence);
        run.highest_sequence = run.highest_sequence.max(extended);
        run.first_sequence = run.first_sequence.min(extended);
        if frame.kind != FrameKind::Audio {
            // RFC 4733 §2.4.1.2: an event's packets all carry the timestamp of its start, so they anchor nothing; nor does noise.
            continue;
        }
        let timestamp = run.extend_timestamp(frame.timestamp);
        let drift = frame.arrival - timestamp - run.anchor;
        if drift < -DRIFT_MAX || (drift > DRIFT_MAX && !is_late_only(following, run.anchor + timestamp)) {
            run.anchor = anchor_of(following, timestamp);
            run.skew = Skew::default();
            placement.adjustments += 1;
        } else {
            run.anchor += run.skew.take(drift, frame.arrival);
        }
        (run.timestamp, run.stamp) = (timestamp, frame.timestamp);
        let placed = Placed { start: timestamp + run.anchor, heard: *frame, ssrc: frame.ssrc, extended };
        reached = Some(reached.map_or(placed.end(), |r| r.max(placed.end())));
        placement.placed.push(placed);
    }
    placement.lost += runs.values().map(Run::lost).sum::<u64>();
    placement.placed.sort_by_key(|p| (p.start, p.heard.number));
    placement
}

/// Steps from one timestamp to another, on the codec's clock, over its wrap.
fn steps_between(codec: Codec, from: u32, to: u32) -> i64 {
    i64::from(to.wrapping_sub(from) as i32) * i64::from(STEP_HZ) / i64::from(codec.clock_rate())
}

/// Begins a run with the first frame of `following`.
fn begin_run(following: &[Heard], reached: Option<i64>) -> Run {
    let first = following.first().map_or((0, 0, Codec::Pcma), |f| (f.sequence, f.timestamp, f.codec));
    // Far from zero, so that reordered packets before the first stay positive.
    let (sequence, timestamp) = (i64::from(first.0) + (1 << 32), i64::from(first.1) + (1 << 40));
    let mut anchor = anchor_of(following, timestamp);
    let start = timestamp + anchor;
    match reached {
        Some(reached) if (start - reached).abs() <= SNAP_MAX => anchor += reached - start,
        Some(_) => (),
        // Nothing is lost before the first second for having come a little late.
        None if (-DRIFT_MAX..0).contains(&start) => anchor -= start,
        None => (),
    }
    Run {
        anchor,
        timestamp,
        stamp: first.1,
        codec: first.2,
        first_sequence: sequence,
        highest_sequence: sequence,
        seen: BTreeSet::new(),
        skew: Skew::default(),
    }
}

/// The anchor for a run that (re)begins with the first frame of `following`, whose extended timestamp is `timestamp`:
/// the least delayed packet of the next second tells, for the network can only delay.
fn anchor_of(following: &[Heard], timestamp: i64) -> i64 {
    let Some(first) = following.first() else { return 0 };
    let own = first.arrival - timestamp;
    let offset = |h: &Heard| h.arrival - (timestamp + steps_between(h.codec, first.timestamp, h.timestamp));
    soon(following).map(offset).filter(|o| (0..=DRIFT_MAX * 2).contains(&(own - o))).min().unwrap_or(own)
}

/// Whether the first frame of `following`, due at `place`, is merely late: one that comes soon after it is in time.
fn is_late_only(following: &[Heard], place: i64) -> bool {
    let Some(first) = following.first() else { return false };
    soon(following).skip(1).any(|h| {
        let due = place + steps_between(h.codec, first.timestamp, h.timestamp);
        (h.arrival - due).abs() <= DRIFT_MAX
    })
}

/// The sounding frames of the same SSRC that came within the window, the first included.
fn soon(following: &[Heard]) -> impl Iterator<Item = &Heard> {
    let (ssrc, until) = following.first().map_or((0, 0), |f| (f.ssrc, f.arrival + JITTER_WINDOW));
    let near = following.iter().take(JITTER_PACKETS_MAX).take_while(move |h| h.arrival <= until);
    near.filter(move |h| h.ssrc == ssrc && h.kind == FrameKind::Audio)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(number: u32, arrival_ms: i64) -> Heard {
        Heard {
            position: 0,
            number,
            bytes: 160,
            length: 160,
            codec: Codec::Pcma,
            kind: FrameKind::Audio,
            sequence: (65_500u32 + number) as u16,
            timestamp: (u32::MAX - 1000).wrapping_add(number * 160),
            ssrc: 1,
            arrival: arrival_ms * 8,
        }
    }

    fn placed(mut frames: Vec<Heard>) -> Placement {
        let mut placement = place(&mut frames);
        let end = placement.end();
        placement.find_holes(&frames, Part { left: end, ..Part::default() });
        placement
    }

    fn starts(placement: &Placement) -> Vec<i64> {
        placement.placed.iter().map(|p| p.start).collect()
    }

    #[test]
    fn jitter_makes_neither_gaps_nor_overlaps() {
        let jitter = [30, 0, 55, 12, 80, 3, 0, 41];
        let placement = placed((0..400).map(|n| heard(n, i64::from(n) * 20 + jitter[n as usize % 8])).collect());
        assert_eq!(starts(&placement), (0..400).map(|n| n * 160).collect::<Vec<_>>());
        assert_eq!((placement.holes.len(), placement.adjustments), (0, 0));
    }

    #[test]
    fn opus_lies_on_the_same_clock_over_the_wrap_of_its_timestamps() {
        let opus = |n: u32| Heard {
            codec: Codec::Opus,
            timestamp: (u32::MAX - 2000).wrapping_add(n * 960),
            ..heard(n, i64::from(n) * 20)
        };
        let placement = placed((0..200).map(opus).collect());
        assert_eq!(starts(&placement), (0..200).map(|n| n * 160).collect::<Vec<_>>());
        assert_eq!((placement.holes.len(), placement.adjustments), (0, 0));
    }

    #[test]
    fn a_stall_and_the_burst_after_it_move_nothing() {
        let arrival = |n: u32| if (100..160).contains(&n) { 160 * 20 } else { i64::from(n) * 20 };
        let placement = placed((0..300).map(|n| heard(n, arrival(n))).collect());
        assert_eq!(starts(&placement), (0..300).map(|n| n * 160).collect::<Vec<_>>());
        assert!(placement.holes.is_empty());
    }

    #[test]
    fn lost_packets_leave_their_time_silent_and_are_listed_when_over_100_ms() {
        let kept = |n: &u32| !(50..53).contains(n) && !(100..110).contains(n);
        let mut frames: Vec<Heard> = (0..200).filter(kept).map(|n| heard(n, i64::from(n) * 20)).collect();
        frames.iter_mut().enumerate().for_each(|(place, frame)| frame.number = place as u32);
        let placement = placed(frames);
        assert_eq!(placement.holes, [Hole { start: 16_000, length: 1600, reason: GapReason::NetworkLoss }]);
        assert_eq!((placement.lost, placement.refused, placement.end()), (13, 0, 32_000));
    }

    #[test]
    fn frames_that_a_full_ring_refused_are_a_gap_of_its_own_kind() {
        let frames = (0..100).filter(|n| *n != 50).map(|n| heard(n, i64::from(n) * 20)).collect();
        let placement = placed(frames);
        assert_eq!(placement.holes, [Hole { start: 8000, length: 160, reason: GapReason::NotRecorded }]);
        assert_eq!(placement.refused, 1);
    }

    #[test]
    fn reordered_and_doubled_packets_end_up_once_and_in_place() {
        let mut order: Vec<u32> = (0..100).collect();
        order.swap(10, 12);
        order.insert(40, 39);
        let frames =
            order.iter().enumerate().map(|(place, n)| Heard { number: place as u32, ..heard(*n, place as i64 * 20) });
        let placement = placed(frames.collect());
        assert_eq!(starts(&placement), (0..100).map(|n| n * 160).collect::<Vec<_>>());
        assert_eq!((placement.duplicates, placement.reordered, placement.lost), (1, 2, 0));
    }

    #[test]
    fn a_pause_in_the_timestamps_is_anchored_anew_on_the_clock() {
        // A phone on hold for 3 s whose timestamps stood still meanwhile.
        let arrival = |n: u32| i64::from(n) * 20 + if n >= 100 { 3000 } else { 0 };
        let placement = placed((0..200).map(|n| heard(n, arrival(n))).collect());
        assert_eq!(placement.holes, [Hole { start: 16_000, length: 24_000, reason: GapReason::NothingReceived }]);
        assert_eq!((placement.end(), placement.adjustments), (56_000, 1));
    }

    #[test]
    fn over_an_hour_a_clock_that_is_100_ppm_off_is_followed_within_8_ms_and_without_a_gap() {
        for skew_ppm in [100i64, -100] {
            let mut chance = crate::model::Chance::from_number(6);
            let mut frames: Vec<Heard> = (0..180_000u32)
                .map(|n| {
                    let sent = i64::from(n) * 160;
                    let jitter = if n < 50 { 0 } else { chance.below(240) as i64 };
                    Heard { arrival: sent - sent * skew_ppm / 1_000_000 + jitter, ..heard(n, 0) }
                })
                .collect();
            let placement = place(&mut frames);
            let off = placement.placed.iter().map(|p| {
                let sent = i64::from(p.heard.number) * 160;
                (p.start - (sent - sent * skew_ppm / 1_000_000)).abs()
            });
            assert!(off.max() <= Some(64), "{skew_ppm}");
            assert_eq!((placement.adjustments, placement.lost), (0, 0));
            let steps = placement.placed.windows(2).map(|pair| (pair[1].start - pair[0].end()).abs()).max();
            assert!(steps <= Some(SKEW_STEP_MAX), "{steps:?}");
        }
    }

    #[test]
    fn a_new_ssrc_continues_where_the_old_one_ended() {
        let change = |n: u32| {
            let frame = heard(n, i64::from(n) * 20 + if n >= 50 { 13 } else { 0 });
            if n < 50 { frame } else { Heard { ssrc: 2, timestamp: n * 160 + 77, sequence: n as u16, ..frame } }
        };
        let placement = placed((0..100).map(change).collect());
        assert_eq!(starts(&placement), (0..100).map(|n| n * 160).collect::<Vec<_>>());
        assert!(placement.holes.is_empty());
    }

    #[test]
    fn key_presses_are_silence_and_no_gap() {
        let kind = |n: u32| if (20..30).contains(&n) { FrameKind::Event } else { FrameKind::Audio };
        let frame = |n: u32| Heard { kind: kind(n), ..heard(n, i64::from(n) * 20) };
        let placement = placed((0..60).map(frame).collect());
        assert_eq!((placement.placed.len(), placement.lost, placement.holes.len()), (50, 0, 0));
    }

    #[test]
    fn wild_timestamps_and_sequence_numbers_keep_every_frame_near_its_arrival() {
        let mut chance = crate::model::Chance::from_number(5);
        let frames: Vec<Heard> = (0..500)
            .map(|n| Heard {
                timestamp: chance.next_u32(),
                sequence: chance.next_u32() as u16,
                ssrc: chance.below(3) as u32,
                ..heard(n, i64::from(n) * 20)
            })
            .collect();
        let placement = placed(frames);
        for p in &placement.placed {
            assert!((p.start - p.heard.arrival).abs() <= 2 * DRIFT_MAX, "{} {}", p.start, p.heard.arrival);
        }
    }

    #[test]
    fn a_pause_that_comfort_noise_announces_is_no_loss_and_no_gap_but_a_loss_within_it_is() {
        // Sound, 3 s of pause with noise in place of the first packet and each half a second, sound.
        let all = |n: u32| match n {
            0..50 => heard(n, i64::from(n) * 20),
            50..56 => Heard {
                kind: FrameKind::Noise,
                timestamp: (u32::MAX - 1000).wrapping_add((50 + (n - 50) * 25) * 160),
                ..heard(n, 1000 + i64::from(n - 50) * 500)
            },
            _ => Heard {
                timestamp: (u32::MAX - 1000).wrapping_add((n + 144) * 160),
                ..heard(n, i64::from(n + 144) * 20)
            },
        };
        let placement = placed((0..100).map(all).collect());
        assert_eq!((placement.holes.as_slice(), placement.lost, placement.placed.len()), ([].as_slice(), 0, 94));
        // The last packet of noise and the first three of sound never came; no refusal, so the numbers are whole.
        let mut rest: Vec<Heard> = (0..100).filter(|n| !(55..59).contains(n)).map(all).collect();
        rest.iter_mut().enumerate().for_each(|(n, h)| h.number = n as u32);
        let placement = placed(rest);
        let reasons: Vec<_> = placement.holes.iter().map(|h| h.reason).collect();
        assert_eq!((reasons, placement.lost), (vec![GapReason::NetworkLoss], 4));
    }

    #[test]
    fn a_leg_that_begins_late_or_ends_early_is_told() {
        let mut frames: Vec<Heard> = (0..50).map(|n| heard(n, 2000 + i64::from(n) * 20)).collect();
        let mut placement = place(&mut frames);
        placement.find_holes(&frames, Part { left: 48_000, ..Part::default() });
        let reasons: Vec<_> = placement.holes.iter().map(|h| (h.start, h.length)).collect();
        assert_eq!(reasons, [(0, 16_000), (24_000, 24_000)]);
    }

    #[test]
    fn a_leg_from_which_nothing_came_is_one_gap_over_its_part_and_only_that() {
        for (refused, reason) in [(0, GapReason::NothingReceived), (3, GapReason::NotRecorded)] {
            let mut placement = Placement::default();
            placement.find_holes(&[], Part { joined: 800, left: 2400, refused });
            assert_eq!(placement.holes, [Hole { start: 800, length: 1600, reason }]);
        }
    }

    #[test]
    fn frames_refused_after_the_last_that_was_kept_are_not_told_as_silence() {
        let mut frames: Vec<Heard> = (0..50).map(|n| heard(n, i64::from(n) * 20)).collect();
        let mut placement = place(&mut frames);
        placement.find_holes(&frames, Part { joined: 0, left: 32_000, refused: 150 });
        assert_eq!(placement.holes, [Hole { start: 8000, length: 24_000, reason: GapReason::NotRecorded }]);
        assert_eq!(placement.refused, 150);
    }
}
