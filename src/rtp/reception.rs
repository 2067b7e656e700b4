//! What was received of one far end, as RFC 3550 counts it: sequence (§A.1), loss (§A.3), jitter (§A.8), and what came late.

use super::CLOCK_RATE;
use super::losses::{Losses, Pattern};
use super::packet::Header;
use crate::model::Moment;

/// RFC 3550 §A.1: a forward jump up to this is loss; beyond it the source has started again.
const DROPOUT_MAX: u16 = 3000;
/// RFC 3550 §A.1: a step back up to this is a packet out of order.
const MISORDER_MAX: u16 = 100;
/// What comes later than this behind the quickest is late: a phone's jitter buffer of usual depth has played on without it.
const LATE_MICROS: u64 = 60_000;
/// Beyond this the timestamps have jumped, and tell nothing of lateness.
const JUMP_MICROS: u64 = 1_000_000;
/// The quickest packet is forgotten by this part of each one's lateness, so that a new path or a clock that runs slower is
/// the new measure within seconds (a power of two).
const FORGET: u32 = 1024;

/// The counts of one leg, over all the sources that its far end used.
#[derive(Clone, Copy, Debug)]
pub struct Reception {
    source: Option<Source>,
    /// Units of the timestamp in a second.
    clock_hz: u32,
    /// Of sources before this one.
    past: Totals,
    losses: Losses,
    late: u64,
    /// Samples of the packet before, by its timestamp: 0 before two in a row.
    packet_units: u32,
}

/// Packets over a leg's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Taken, repetitions included.
    pub received: u64,
    /// Expected less received, never below zero (RFC 3550 §A.3).
    pub lost: u64,
}

/// One report block's numbers (RFC 3550 §6.4.1), without the far end's sender reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The source reported on.
    pub ssrc: u32,
    /// Lost since the report before, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the source began, in 24 bits, signed.
    pub cumulative_lost: i32,
    /// Highest sequence with its cycles.
    pub highest_sequence: u32,
    /// In units of the RTP clock.
    pub jitter: u32,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    cycles: u32,
    highest: u16,
    base: u32,
    /// The sequence that would show a restart (RFC 3550 §A.1: two in a row).
    restart: Option<u16>,
    received: u64,
    expected_before: u64,
    received_before: u64,
    /// Arrival less timestamp of the packet before, with that timestamp, in RTP units.
    transit: Option<(u32, u32)>,
    /// The transit of the quickest packet, and what of it is forgotten in parts of [`FORGET`].
    quickest: (u32, u32),
    /// Jitter in sixteenths, as RFC 3550 §A.8 keeps it.
    jitter_16: u32,
}

impl Default for Reception {
    fn default() -> Reception {
        Reception {
            source: None,
            clock_hz: CLOCK_RATE,
            past: Totals::default(),
            losses: Losses::default(),
            late: 0,
            packet_units: 0,
        }
    }
}

impl Reception {
    /// The clock of the codec that is received (RFC 3551 §4.1). Jitter that was measured by another is forgotten.
    pub fn set_clock(&mut self, clock_hz: u32) {
        if let Some(source) = self.source.as_mut().filter(|_| self.clock_hz != clock_hz) {
            (source.transit, source.jitter_16) = (None, 0);
            self.packet_units = 0;
        }
        self.clock_hz = clock_hz.max(1);
    }

    /// Counts a packet; `audio` is false for telephone-events, whose timestamps stand still and would look like jitter.
    /// Returns whether the source is new, or started again: its sequence and timestamps go on from nowhere.
    pub fn take(&mut self, header: &Header, audio: bool, arrival: Moment) -> bool {
        let ahead = match &mut self.source {
            Some(source) if source.ssrc == header.ssrc => source.take_sequence(header.sequence),
            Some(_) | None => None,
        };
        match ahead {
            Some(ahead) => self.losses.take(ahead),
            None => {
                self.past = self.totals();
                self.losses.restart();
                self.source = Some(Source::new(header));
            }
        }
        if let Some(source) = self.source.as_mut().filter(|_| audio) {
            let before = source.transit.map(|(_, timestamp)| timestamp);
            self.late += u64::from(source.take_transit(header.timestamp, arrival, self.clock_hz));
            if let (Some(1), Some(before)) = (ahead, before) {
                self.packet_units = header.timestamp.wrapping_sub(before);
            }
        }
        ahead.is_none()
    }

    /// Received and lost so far.
    pub fn totals(&self) -> Totals {
        match &self.source {
            Some(source) => Totals {
                received: self.past.received + source.received,
                lost: self.past.lost + source.expected().saturating_sub(source.received),
            },
            None => self.past,
        }
    }

    /// How the losses lie, and what came twice or out of order.
    pub fn pattern(&self) -> Pattern {
        self.losses.pattern()
    }

    /// Packets that came more than 60 ms behind the quickest: nobody played them.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// The length of the newest packet by its timestamp, in milliseconds; 0 before two in a row.
    pub fn packet_ms(&self) -> f64 {
        f64::from(self.packet_units) * 1000.0 / f64::from(self.clock_hz)
    }

    /// Interarrival jitter, in milliseconds.
    pub fn jitter_ms(&self) -> f64 {
        self.source.map_or(0.0, |source| f64::from(source.jitter_16) / 16.0 * 1000.0 / f64::from(self.clock_hz))
    }

    /// The block for the next report, and a new interval for its fraction (RFC 3550 §A.3); `None` before any packet.
    pub fn report(&mut self) -> Option<Block> {
        let source = self.source.as_mut()?;
        let expected = source.expected();
        let expected_now = expected.saturating_sub(source.expected_before);
        let received_now = source.received - source.received_before;
        source.expected_before = expected;
        source.received_before = source.received;
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction = (lost_now * 256).checked_div(expected_now).unwrap_or(0).min(255);
        let lost = expected as i64 - source.received as i64;
        Some(Block {
            ssrc: source.ssrc,
            fraction_lost: fraction as u8,
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: source.cycles | source.highest as u32,
            jitter: source.jitter_16 >> 4,
        })
    }
}

impl Source {
    fn new(header: &Header) -> Source {
        Source {
            ssrc: header.ssrc,
            cycles: 0,
            highest: header.sequence,
            base: header.sequence as u32,
            restart: None,
            received: 1,
            expected_before: 0,
            received_before: 0,
            transit: None,
            quickest: (0, 0),
            jitter_16: 0,
        }
    }

    fn expected(&self) -> u64 {
        (self.cycles as u64 + self.highest as u64).saturating_sub(self.base as u64) + 1
    }

    /// RFC 3550 §A.1 without probation: the source's address has vouched for it. How far it is beyond the highest
    /// (negative: behind), or `None` when the source started again.
    fn take_sequence(&mut self, sequence: u16) -> Option<i32> {
        let ahead = sequence.wrapping_sub(self.highest);
        let step = if ahead < DROPOUT_MAX { i32::from(ahead) } else { i32::from(ahead) - (1 << 16) };
        if ahead < DROPOUT_MAX {
            if sequence < self.highest {
                self.cycles = self.cycles.wrapping_add(1 << 16);
            }
            self.highest = sequence;
        } else if ahead <= 0u16.wrapping_sub(MISORDER_MAX) {
            if self.restart == Some(sequence) {
                return None;
            }
            self.restart = Some(sequence.wrapping_add(1));
        }
        self.received += 1;
        Some(step)
    }

    /// RFC 3550 §A.8. A packet that repeats the timestamp before it says nothing new. Whether this one is late.
    fn take_transit(&mut self, timestamp: u32, arrival: Moment, clock_hz: u32) -> bool {
        let transit = units(arrival, clock_hz).wrapping_sub(timestamp);
        if let Some((before, stamped)) = self.transit {
            if stamped == timestamp {
                return false;
            }
            let distance = (transit.wrapping_sub(before) as i32).unsigned_abs();
            self.jitter_16 = self.jitter_16.saturating_add(distance).saturating_sub((self.jitter_16 + 8) >> 4);
        }
        let is_first = self.transit.replace((transit, timestamp)).is_none();
        let (quickest, forgotten) = self.quickest;
        let behind = transit.wrapping_sub(quickest) as i32;
        let exceeds = |micros: u64| behind as u64 * 1_000_000 > micros * u64::from(clock_hz);
        if is_first || behind < 0 || exceeds(JUMP_MICROS) {
            self.quickest = (transit, 0);
            return false;
        }
        let forgotten = forgotten + behind as u32;
        self.quickest = (quickest.wrapping_add(forgotten / FORGET), forgotten % FORGET);
        exceeds(LATE_MICROS)
    }
}

/// An instant in units of a clock, modulo 2³²; the whole seconds apart, so that nothing overflows and no 128-bit division
/// is paid for each packet.
fn units(at: Moment, clock_hz: u32) -> u32 {
    let (seconds, micros) = (at.0 / 1_000_000, at.0 % 1_000_000);
    (seconds.wrapping_mul(clock_hz.into())).wrapping_add(micros * u64::from(clock_hz) / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(ssrc: u32, sequence: u16, timestamp: u32) -> Header {
        Header { payload_type: 8, marker: false, sequence, timestamp, ssrc }
    }

    fn take_all(reception: &mut Reception, sequences: impl IntoIterator<Item = u16>) {
        for (place, sequence) in sequences.into_iter().enumerate() {
            reception.take(&header(1, sequence, place as u32 * 160), true, Moment(place as u64 * 20_000));
        }
    }

    #[test]
    fn loss_is_expected_less_received_over_the_wrap() {
        let mut reception = Reception::default();
        take_all(&mut reception, [65_533, 65_534, 1, 2, 3]);
        assert_eq!(reception.totals(), Totals { received: 5, lost: 2 });
        let block = reception.report().expect("a block");
        assert_eq!((block.highest_sequence, block.cumulative_lost, block.fraction_lost), (65_539, 2, 73));
        assert_eq!(reception.report().map(|b| b.fraction_lost), Some(0), "the next interval begins");
    }

    #[test]
    fn a_packet_out_of_order_is_not_lost() {
        let mut reception = Reception::default();
        take_all(&mut reception, [10, 12, 11, 13]);
        assert_eq!(reception.totals(), Totals { received: 4, lost: 0 });
    }

    #[test]
    fn a_repeated_packet_makes_no_negative_loss() {
        let mut reception = Reception::default();
        take_all(&mut reception, [10, 10, 10]);
        assert_eq!(reception.totals().lost, 0);
        assert_eq!(reception.report().map(|b| b.cumulative_lost), Some(-2));
    }

    #[test]
    fn a_new_source_keeps_the_losses_of_the_one_before() {
        let mut reception = Reception::default();
        take_all(&mut reception, [1, 3]);
        assert!(reception.take(&header(2, 40_000, 0), true, Moment(60_000)));
        assert_eq!(reception.totals(), Totals { received: 3, lost: 1 });
    }

    #[test]
    fn a_jump_counts_as_a_restart_only_when_two_follow_each_other() {
        let mut reception = Reception::default();
        take_all(&mut reception, [1, 2]);
        assert!(!reception.take(&header(1, 30_000, 480), true, Moment(60_000)));
        assert!(reception.take(&header(1, 30_001, 640), true, Moment(80_000)));
        assert_eq!(reception.totals().lost, 0);
    }

    #[test]
    fn jitter_is_nil_when_packets_keep_step_and_grows_when_they_do_not() {
        let mut steady = Reception::default();
        take_all(&mut steady, 1..200);
        assert_eq!(steady.jitter_ms(), 0.0);
        let mut uneven = Reception::default();
        for place in 0..1000u32 {
            let late = if place % 2 == 0 { 0 } else { 10_000 };
            uneven.take(&header(1, place as u16, place * 160), true, Moment(place as u64 * 20_000 + late));
        }
        // Every difference is 10 ms, so the running mean is 10 ms.
        assert!((uneven.jitter_ms() - 10.0).abs() < 0.2, "{}", uneven.jitter_ms());
    }

    #[test]
    fn what_comes_60_ms_behind_the_quickest_is_late_until_all_come_so() {
        let mut reception = Reception::default();
        let mut take = |place: u32, behind_ms: u64| {
            reception.take(
                &header(1, place as u16, place * 160),
                true,
                Moment(1_000_000 + place as u64 * 20_000 + behind_ms * 1000),
            );
            reception.late()
        };
        assert_eq!((0..100).map(|place| take(place, place as u64 % 60)).max(), Some(0));
        assert_eq!(take(100, 80), 1);
        // A new way that is 80 ms longer: after some seconds it is what packets are measured against.
        let after = (101..1101).map(|place| take(place, 80)).max();
        assert!(after.is_some_and(|late| (100..500).contains(&late)), "{after:?}");
        assert_eq!((1101..1200).map(|place| take(place, 80)).max(), after);
    }

    #[test]
    fn a_clock_that_runs_slow_makes_nothing_late() {
        let mut reception = Reception::default();
        for place in 0..180_000u64 {
            let arrival = Moment(place * 20_000 + place * 20_000 / 10_000);
            reception.take(&header(1, place as u16, (place * 160) as u32), true, arrival);
        }
        assert_eq!((reception.late(), reception.totals().lost, reception.pattern().lost), (0, 0, 0));
    }

    #[test]
    fn timestamps_that_begin_anew_make_nothing_late() {
        let mut reception = Reception::default();
        for place in 0..200u64 {
            let timestamp = if place < 100 { 4_000_000 } else { 17 } + place * 160;
            reception.take(&header(1, place as u16, timestamp as u32), true, Moment(place * 20_000));
        }
        assert_eq!(reception.late(), 0);
    }

    #[test]
    fn the_length_of_a_packet_is_that_of_its_timestamps() {
        let mut reception = Reception::default();
        take_all(&mut reception, 0..3);
        assert_eq!(reception.packet_ms(), 20.0);
    }

    #[test]
    fn jitter_is_told_in_milliseconds_whatever_the_codecs_clock() {
        let mut opus = Reception::default();
        opus.set_clock(48_000);
        for place in 0..1000u32 {
            let late = if place % 2 == 0 { 0 } else { 10_000 };
            opus.take(&header(1, place as u16, place * 960), true, Moment(place as u64 * 20_000 + late));
        }
        assert!((opus.jitter_ms() - 10.0).abs() < 0.2, "{}", opus.jitter_ms());
        assert_eq!(opus.report().map(|block| block.jitter / 48), Some(9), "RTCP says it in units of the clock");
    }

    proptest! {
        #[test]
        fn no_order_of_packets_panics(packets in proptest::collection::vec((0..3u32, any::<u16>(), any::<u32>(), any::<u64>()), 0..200)) {
            let mut reception = Reception::default();
            for (ssrc, sequence, timestamp, at) in packets {
                reception.take(&header(ssrc, sequence, timestamp), true, Moment(at));
                reception.totals();
                reception.report();
            }
        }
    }
}
