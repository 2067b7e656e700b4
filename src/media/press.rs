//! Keys that a leg is to hear because the other side told them by signalling: RFC 4733, a packet a tick.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Moment;
use crate::rtp::PACKET_SAMPLES;
use crate::rtp::dtmf::TelephoneEvent;

/// Keys that wait to be sent: faster than a person dials by hand; more are lost.
const WAITING_MAX: usize = 32;
/// Packets while the key is down: 100 ms, which every receiver takes for a key (ETSI ES 201 235-3: 40 ms).
const DOWN_PACKETS: u16 = 5;
/// How long that is, in milliseconds.
pub(super) const DURATION_MS: u32 = DOWN_PACKETS as u32 * 20;
/// The end is sent three times (RFC 4733 §2.5.1.4).
const END_PACKETS: u16 = 3;
/// Packets of audio between two keys, so that they are told apart.
const GAP_PACKETS: u16 = 3;
/// -10 dBm0: what phones write.
const VOLUME: u8 = 10;
/// A key that comes by RTP so soon after it was told by INFO is the same key.
const SAME_WITHIN: Duration = Duration::from_secs(1);

/// Keys being sent to one leg.
#[derive(Clone, Debug, Default)]
pub(super) struct Presses {
    waiting: VecDeque<u8>,
    /// The key being sent, and its packets so far.
    current: Option<(u8, u16)>,
    /// The RTP timestamp of its beginning, which all its packets share (RFC 4733 §2.2.1).
    began: u32,
}

/// The next packet of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyPacket {
    pub(super) payload: [u8; 4],
    pub(super) is_first: bool,
}

impl Presses {
    /// One more key; `false` when it is none, or too many wait.
    pub(super) fn add(&mut self, digit: char) -> bool {
        let code = TelephoneEvent::code(digit).filter(|_| self.waiting.len() < WAITING_MAX);
        self.waiting.extend(code);
        code.is_some()
    }

    /// Whether nothing is left to be sent.
    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.current.is_none()
    }

    /// What is due on this tick; nothing between two keys.
    pub(super) fn next(&mut self) -> Option<KeyPacket> {
        let (event, sent) = self.current.or_else(|| self.waiting.pop_front().map(|event| (event, 0)))?;
        let last = DOWN_PACKETS + END_PACKETS;
        self.current = (sent + 1 < last + GAP_PACKETS).then_some((event, sent + 1));
        if sent >= last {
            return None;
        }
        let lasted = (sent + 1).min(DOWN_PACKETS + 1) * PACKET_SAMPLES as u16;
        let event = TelephoneEvent { event, end: sent >= DOWN_PACKETS, volume: VOLUME, duration: lasted };
        Some(KeyPacket { payload: event.write(), is_first: sent == 0 })
    }

    /// The timestamp of a packet: that of the key's first one, which `now_at` is if this is it.
    pub(super) fn stamp(&mut self, packet: KeyPacket, now_at: u32) -> u32 {
        if packet.is_first {
            self.began = now_at;
        }
        self.began
    }
}

/// The ways by which one far end tells its keys, so that each press is one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ways {
    /// It has sent RFC 4733 by itself: its INFO only says the same again.
    sends_events: bool,
    /// The key that it told by INFO last.
    told: Option<(char, Moment)>,
}

impl Ways {
    /// A key came by INFO; whether it is to be passed on.
    pub(super) fn tell(&mut self, digit: char, now: Moment) -> bool {
        self.told = Some((digit, now));
        !self.sends_events
    }

    /// An event came by RTP; whether it is another press than the one that INFO told, and so is to be passed on.
    pub(super) fn hear(&mut self, event: TelephoneEvent, now: Moment) -> bool {
        let is_same = |(digit, at): (char, Moment)| event.key() == Some(digit) && now.since(at) < SAME_WITHIN;
        if !self.sends_events && self.told.is_some_and(is_same) {
            // For as long as it lasts.
            self.told = self.told.map(|(digit, _)| (digit, now));
            return false;
        }
        self.sends_events = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_five_packets_and_three_ends_and_the_next_one_follows_after_a_gap() {
        let mut presses = Presses::default();
        assert!(presses.add('5') && presses.add('#') && !presses.add('x'));
        let packets: Vec<_> = (0..22).map(|_| presses.next()).collect();
        assert!(presses.is_done());
        for (from, code) in [(0, 5), (11, 11)] {
            let press: Vec<_> = packets[from..from + 8].iter().flatten().collect();
            let events: Vec<_> = press.iter().filter_map(|packet| TelephoneEvent::read(&packet.payload)).collect();
            assert_eq!(events.len(), 8);
            assert!(events.iter().all(|event| event.event == code));
            assert_eq!(
                events.iter().map(|event| event.duration).collect::<Vec<_>>(),
                [160, 320, 480, 640, 800, 960, 960, 960]
            );
            assert_eq!(events.iter().filter(|event| event.end).count(), 3);
            assert!(press[0].is_first && press[1..].iter().all(|packet| !packet.is_first));
            assert!(packets[from + 8..from + 11].iter().all(Option::is_none));
        }
    }

    #[test]
    fn all_packets_of_a_key_bear_the_timestamp_of_its_first() {
        let mut presses = Presses::default();
        presses.add('1');
        let stamps: Vec<u32> = (0..8u32)
            .filter_map(|place| {
                let packet = presses.next()?;
                Some(presses.stamp(packet, 1000 + place * 160))
            })
            .collect();
        assert_eq!(stamps, [1000; 8]);
    }

    #[test]
    fn more_keys_than_may_wait_are_lost() {
        let mut presses = Presses::default();
        assert_eq!((0..100).filter(|_| presses.add('1')).count(), WAITING_MAX);
    }

    #[test]
    fn a_key_told_both_ways_is_one_key() {
        let event = TelephoneEvent { event: 5, end: true, volume: 10, duration: 800 };
        let (mut by_info_first, at) = (Ways::default(), |ms: u64| Moment(ms * 1000));
        assert!(by_info_first.tell('5', at(0)) && !by_info_first.hear(event, at(300)));
        assert!(by_info_first.hear(event, at(1500)), "pressed again");
        let mut by_rtp_first = Ways::default();
        assert!(by_rtp_first.hear(event, at(0)) && !by_rtp_first.tell('5', at(100)));
    }
}
