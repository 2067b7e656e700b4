//! One leg's outgoing stream: an SSRC, sequence and timestamp of its own that run on from sound to relay and back.

use std::time::Duration;

use crate::model::{Chance, Moment};
use crate::rtp::CLOCK_RATE;
use crate::rtp::packet::Header;
use crate::rtp::rtcp::Sent;

/// A relayed source whose sequence jumps further than this has started again, and is placed anew.
const JUMP_MAX: u16 = 1000;
/// A pause of our own sound longer than this (a tick, and what ticks catch up with) begins a new talkspurt at the clock's
/// place.
const PAUSE_MAX: Duration = Duration::from_millis(120);
/// Packets of our own sound a second: each of 20 ms.
const PACKETS_A_SECOND: u32 = 50;

#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    ssrc: u32,
    /// The highest sequence sent.
    sequence: u16,
    /// The newest timestamp sent, and when it was first sent.
    timestamp: u32,
    stamped_at: Option<Moment>,
    origin: Origin,
    packets: u64,
    bytes: u64,
    /// Units of the timestamp in a second.
    clock_hz: u32,
}

/// Where the last packet came from.
#[derive(Clone, Copy, Debug)]
enum Origin {
    Nowhere,
    Sound,
    Relay { ssrc: u32, newest: u16, sequence_offset: u16, timestamp_offset: u32 },
}

impl Outgoing {
    /// RFC 3550 §5.1: all three begin at random.
    pub(super) fn new(chance: &mut Chance) -> Outgoing {
        Outgoing {
            ssrc: chance.next_u32(),
            sequence: chance.next_u32() as u16,
            timestamp: chance.next_u32(),
            stamped_at: None,
            origin: Origin::Nowhere,
            packets: 0,
            bytes: 0,
            clock_hz: CLOCK_RATE,
        }
    }

    /// The codec's clock (RFC 3551 §4.1): timestamps go on from where they are, in its units.
    pub(super) fn set_clock(&mut self, clock_hz: u32) {
        self.clock_hz = clock_hz;
    }

    pub(super) fn clock_hz(&self) -> u32 {
        self.clock_hz
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(super) fn packets(&self) -> u64 {
        self.packets
    }

    /// What comes next comes from elsewhere: it is placed by the clock, and marked.
    pub(super) fn cut(&mut self) {
        self.origin = Origin::Nowhere;
    }

    /// The header of the next 20 ms of sound. The payload type is the caller's.
    pub(super) fn next_of_sound(&mut self, now: Moment) -> Header {
        let paused = self.stamped_at.is_some_and(|at| now.since(at) > PAUSE_MAX);
        let (marker, timestamp) = match self.origin {
            Origin::Sound if !paused => (false, self.timestamp.wrapping_add(self.clock_hz / PACKETS_A_SECOND)),
            Origin::Sound | Origin::Nowhere | Origin::Relay { .. } => (true, self.place(now)),
        };
        self.origin = Origin::Sound;
        let sequence = self.sequence.wrapping_add(1);
        self.stamp(sequence, timestamp, now);
        self.header(marker, sequence, timestamp)
    }

    /// The header of a relayed packet: the source's own spacing, order and holes, moved into our numbers.
    pub(super) fn next_of_relay(&mut self, source: &Header, now: Moment) -> Header {
        let (begins, sequence_offset, timestamp_offset) = match self.origin {
            Origin::Relay { ssrc, newest, sequence_offset, timestamp_offset }
                if ssrc == source.ssrc && (source.sequence.wrapping_sub(newest) as i16).unsigned_abs() <= JUMP_MAX =>
            {
                (false, sequence_offset, timestamp_offset)
            }
            Origin::Relay { .. } | Origin::Sound | Origin::Nowhere => {
                let sequence_offset = self.sequence.wrapping_add(1).wrapping_sub(source.sequence);
                (true, sequence_offset, self.place(now).wrapping_sub(source.timestamp))
            }
        };
        let newest = match self.origin {
            Origin::Relay { newest, .. } if !begins && (source.sequence.wrapping_sub(newest) as i16) < 0 => newest,
            Origin::Relay { .. } | Origin::Sound | Origin::Nowhere => source.sequence,
        };
        self.origin = Origin::Relay { ssrc: source.ssrc, newest, sequence_offset, timestamp_offset };
        let sequence = source.sequence.wrapping_add(sequence_offset);
        let timestamp = source.timestamp.wrapping_add(timestamp_offset);
        if (sequence.wrapping_sub(self.sequence) as i16) > 0 {
            self.stamp(sequence, timestamp, now);
        }
        self.header(begins || source.marker, sequence, timestamp)
    }

    /// A packet of the relayed source was left out on purpose: no hole may show.
    pub(super) fn leave_out(&mut self) {
        if let Origin::Relay { sequence_offset, .. } = &mut self.origin {
            *sequence_offset = sequence_offset.wrapping_sub(1);
        }
    }

    /// Counts a packet as sent.
    pub(super) fn count(&mut self, payload_bytes: usize) {
        self.packets += 1;
        self.bytes += payload_bytes as u64;
    }

    /// The sender's part of a report; `None` before the first packet.
    pub(super) fn sent(&self, ntp: u64, now: Moment) -> Option<Sent> {
        (self.packets > 0).then(|| Sent {
            ntp,
            rtp_timestamp: self.timestamp.wrapping_add(self.elapsed(now)),
            packets: self.packets as u32,
            bytes: self.bytes as u32,
        })
    }

    /// The timestamp of a talkspurt that begins now: as far on as time has gone, one packet at least.
    fn place(&self, now: Moment) -> u32 {
        match self.stamped_at {
            Some(_) => self.timestamp.wrapping_add(self.elapsed(now).max(self.clock_hz / PACKETS_A_SECOND)),
            None => self.timestamp,
        }
    }

    /// RTP units since the newest timestamp was first sent.
    fn elapsed(&self, now: Moment) -> u32 {
        self.stamped_at.map_or(0, |at| (now.since(at).as_micros() as u64 * u64::from(self.clock_hz) / 1_000_000) as u32)
    }

    fn stamp(&mut self, sequence: u16, timestamp: u32, now: Moment) {
        self.sequence = sequence;
        // All packets of one telephone-event carry its first instant.
        if self.stamped_at.is_none() || self.timestamp != timestamp {
            self.timestamp = timestamp;
            self.stamped_at = Some(now);
        }
    }

    fn header(&self, marker: bool, sequence: u16, timestamp: u32) -> Header {
        Header { payload_type: 0, marker, sequence, timestamp, ssrc: self.ssrc }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Moment {
        Moment(ms * 1000)
    }

    fn source(ssrc: u32, sequence: u16, timestamp: u32) -> Header {
        Header { payload_type: 8, marker: false, sequence, timestamp, ssrc }
    }

    fn outgoing() -> Outgoing {
        Outgoing::new(&mut Chance::from_number(1))
    }

    #[test]
    fn sound_runs_on_in_steps_of_a_packet_even_when_ticks_are_late() {
        let mut stream = outgoing();
        let first = stream.next_of_sound(ms(0));
        let second = stream.next_of_sound(ms(50));
        let third = stream.next_of_sound(ms(51));
        assert!(first.marker && !second.marker && !third.marker);
        assert_eq!(third.timestamp.wrapping_sub(first.timestamp), 320);
        assert_eq!(third.sequence.wrapping_sub(first.sequence), 2);
    }

    #[test]
    fn an_opus_leg_s_sound_is_stamped_in_steps_of_its_own_clock() {
        let mut stream = outgoing();
        stream.set_clock(48_000);
        let first = stream.next_of_sound(ms(0));
        let second = stream.next_of_sound(ms(20));
        let resumed = stream.next_of_sound(ms(520));
        assert_eq!(second.timestamp.wrapping_sub(first.timestamp), 960);
        assert_eq!((resumed.marker, resumed.timestamp.wrapping_sub(second.timestamp)), (true, 24_000));
    }

    #[test]
    fn a_relay_after_sound_is_marked_and_goes_on_in_our_numbers() {
        let mut stream = outgoing();
        let sound = stream.next_of_sound(ms(0));
        let first = stream.next_of_relay(&source(9, 40_000, 77), ms(500));
        let second = stream.next_of_relay(&source(9, 40_001, 237), ms(520));
        assert!(first.marker && !second.marker);
        assert_eq!((first.ssrc, first.sequence), (sound.ssrc, sound.sequence.wrapping_add(1)));
        assert_eq!(first.timestamp.wrapping_sub(sound.timestamp), 4000);
        assert_eq!(second.timestamp.wrapping_sub(first.timestamp), 160);
    }

    #[test]
    fn loss_and_order_of_the_source_show_through() {
        let mut stream = outgoing();
        let base = stream.next_of_relay(&source(9, 65_535, 0), ms(0)).sequence;
        let steps = [(1, 2), (0, 1), (2, 3)].map(|(sequence, step)| {
            let header = stream.next_of_relay(&source(9, sequence, step * 160), ms(20 * step as u64));
            (header.sequence.wrapping_sub(base), step as u16)
        });
        assert!(steps.iter().all(|(is, want)| is == want), "{steps:?}");
        let after = stream.next_of_sound(ms(100));
        assert_eq!(after.sequence.wrapping_sub(base), 4, "and sound goes on after the highest");
    }

    #[test]
    fn a_packet_left_out_leaves_no_hole() {
        let mut stream = outgoing();
        let first = stream.next_of_relay(&source(9, 10, 0), ms(0));
        stream.leave_out();
        let next = stream.next_of_relay(&source(9, 12, 320), ms(40));
        assert_eq!(next.sequence, first.sequence.wrapping_add(1));
        assert_eq!(next.timestamp.wrapping_sub(first.timestamp), 320);
    }

    #[test]
    fn a_source_that_starts_again_makes_no_jump_in_our_numbers() {
        let mut stream = outgoing();
        let first = stream.next_of_relay(&source(9, 10, 0), ms(0));
        let again = stream.next_of_relay(&source(10, 50_000, 900_000_000), ms(20));
        assert!(again.marker);
        assert_eq!(again.sequence, first.sequence.wrapping_add(1));
        assert_eq!(again.timestamp.wrapping_sub(first.timestamp), 160);
    }

    #[test]
    fn sound_after_a_long_event_is_not_stamped_within_it() {
        let mut stream = outgoing();
        let first = stream.next_of_relay(&source(9, 1, 0), ms(0));
        for place in 0..50u16 {
            stream.next_of_relay(&source(9, 2 + place, 160), ms(20 + 20 * place as u64));
        }
        let sound = stream.next_of_sound(ms(1020));
        assert_eq!(sound.timestamp.wrapping_sub(first.timestamp), 160 + 8000);
    }
}
