//! One train of packets: where its timestamps lie on the recording's clock, and how a source's clock that runs a little fast or
//! slow is followed.

use std::collections::BTreeSet;

use super::{Heard, STEP_HZ};
use crate::journal::FrameKind;
use crate::model::Codec;

/// Timestamps and clock may drift so far apart before the run is anchored anew: 200 ms.
pub(super) const DRIFT_MAX: i64 = 1600;
/// How clocks that differ are noticed: by the least delayed packet of every 10 s.
const SKEW_WINDOW: i64 = 80_000;
/// Fewer packets in that time say nothing.
const SKEW_PACKETS_MIN: u32 = 100;
/// So far a source may be off before it is followed: 5 ms, more than the least delayed packets differ by chance.
const SKEW_MIN: i64 = 40;
/// It is followed by at most so much every 10 s (2 ms, 200 parts in a million), so that no step can be heard as one.
pub(super) const SKEW_STEP_MAX: i64 = 16;
/// Packets that came late in a burst are still in place when others within this time are: 1 s.
const JITTER_WINDOW: i64 = 8000;
/// At most so many packets are looked at for that.
const JITTER_PACKETS_MAX: usize = 128;
/// A new run that begins so near the end of the last one continues it: 60 ms.
const SNAP_MAX: i64 = 480;

/// A jump of the sequence number beyond this is a new train (RFC 3550 §A.1, MAX_DROPOUT).
const DROPOUT_MAX: i64 = 3000;

/// One train of packets with one SSRC.
pub(super) struct Run {
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
    /// Begins with the first frame of `following`; `reached`: what was placed before ends there.
    pub(super) fn begin(following: &[Heard], reached: Option<i64>) -> Run {
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

    /// Whether a frame of its SSRC is of this train.
    pub(super) fn has(&self, frame: &Heard) -> bool {
        let distance = (self.extend_sequence(frame.sequence) - self.highest_sequence).abs();
        distance <= DROPOUT_MAX && self.codec.clock_rate() == frame.codec.clock_rate()
    }

    /// Takes a packet's sequence number: what it is over all wraps, and whether a later one came before; `None`: it came
    /// already.
    pub(super) fn count(&mut self, sequence: u16) -> Option<(i64, bool)> {
        let extended = self.extend_sequence(sequence);
        if !self.seen.insert(extended) {
            return None;
        }
        let is_reordered = extended < self.highest_sequence;
        self.highest_sequence = self.highest_sequence.max(extended);
        self.first_sequence = self.first_sequence.min(extended);
        Some((extended, is_reordered))
    }

    /// Where the first frame of `following` begins to sound, and whether the run had to be anchored anew for that.
    pub(super) fn place(&mut self, frame: &Heard, following: &[Heard]) -> (i64, bool) {
        let timestamp = self.extend_timestamp(frame.timestamp);
        let drift = frame.arrival - timestamp - self.anchor;
        let is_adrift = drift < -DRIFT_MAX || (drift > DRIFT_MAX && !is_late_only(following, self.anchor + timestamp));
        if is_adrift {
            self.anchor = anchor_of(following, timestamp);
            self.skew = Skew::default();
        } else {
            self.anchor += self.skew.take(drift, frame.arrival);
        }
        (self.timestamp, self.stamp) = (timestamp, frame.timestamp);
        (timestamp + self.anchor, is_adrift)
    }

    fn extend_sequence(&self, sequence: u16) -> i64 {
        self.highest_sequence + i64::from(sequence.wrapping_sub(self.highest_sequence as u16) as i16)
    }

    fn extend_timestamp(&self, timestamp: u32) -> i64 {
        self.timestamp + steps_between(self.codec, self.stamp, timestamp)
    }

    /// Packets whose sequence numbers never came.
    pub(super) fn lost(&self) -> u64 {
        (self.highest_sequence - self.first_sequence + 1 - self.seen.len() as i64).max(0) as u64
    }
}

/// Steps from one timestamp to another, on the codec's clock, over its wrap.
fn steps_between(codec: Codec, from: u32, to: u32) -> i64 {
    i64::from(to.wrapping_sub(from) as i32) * i64::from(STEP_HZ) / i64::from(codec.clock_rate())
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
