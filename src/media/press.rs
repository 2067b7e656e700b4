//! Keys that a leg is to hear: RFC 4733 or tones, a packet a tick, timed anew for its far end.
//!
//! They are made here and not relayed, so that each is whole whatever was lost on its way to us, and is timed in the far
//! end's own units.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Moment;
use crate::rtp::dtmf::{Press, TelephoneEvent};

/// Keys that wait to be sent: faster than a person dials by hand; more are lost.
const WAITING_MAX: usize = 32;
/// The length of a packet, in milliseconds.
const PACKET_MS: u32 = 20;
/// A key lasts so long at least: every receiver takes that for one (ETSI ES 201 235-3: 40 ms).
const LASTS_MS_MIN: u32 = 60;
/// How long a key is that was told by signalling, in milliseconds.
const TOLD_MS: u32 = 100;
/// The end is sent three times (RFC 4733 §2.5.1.4); the last two make the pause before the next key (ITU-T Q.24: 40 ms).
const ENDS: u32 = 3;
/// -10 dBm0: what phones write.
const VOLUME: u8 = 10;
/// A press whose source says nothing more of it is over. The source's own end of it comes sooner, unless its leg has gone.
const QUIET_MAX: Duration = Duration::from_millis(600);
/// The same key by RTP and by INFO within this time is one press: an INFO that was lost comes again after half a second.
const SAME_WITHIN: Duration = Duration::from_secs(1);
/// Presses that may wait to be told the other way too: more than anybody makes in that time.
const RECENT_MAX: usize = 8;

/// Keys being sent to one leg, the one that is being sent first.
#[derive(Clone, Debug, Default)]
pub(super) struct Presses {
    held: VecDeque<Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    press: Press,
    heard_at: Moment,
    /// Packets sent, and how many of them said the end.
    sent: u32,
    ends: u32,
    /// The RTP timestamp of its present segment (RFC 4733 §2.5.1.3), and its units before that.
    stamp: u32,
    before: u64,
}

/// The next packet of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyPacket {
    pub(super) event: TelephoneEvent,
    pub(super) key: char,
    /// The packet's place in the press.
    pub(super) place: u32,
    /// Whether a far end that hears tones hears one now: it does until the end was said once.
    pub(super) sounds: bool,
    /// The timestamp that all packets of the press bear, or of its segment.
    pub(super) timestamp: u32,
}

/// The clocks of a far end, in units a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    /// Of telephone-event's durations.
    pub(super) event_hz: u32,
    /// Of the stream's timestamps.
    pub(super) stream_hz: u32,
}

impl Presses {
    /// News of a press. What is beyond the bound is lost.
    pub(super) fn take(&mut self, press: Press, now: Moment) {
        if !press.is_key() {
            return;
        }
        if let Some(held) = self.held.iter_mut().find(|held| held.press.id == press.id && !held.press.is_over) {
            (held.press, held.heard_at) = (press, now);
        } else if self.held.len() < WAITING_MAX {
            self.held.push_back(Held { press, heard_at: now, sent: 0, ends: 0, stamp: 0, before: 0 });
        }
    }

    /// Whether nothing is left to be sent.
    pub(super) fn is_done(&self) -> bool {
        self.held.is_empty()
    }

    /// What is due on this tick; `stream_at` is the timestamp that the stream has come to.
    pub(super) fn next(&mut self, stream_at: u32, clocks: Clocks, now: Moment) -> Option<KeyPacket> {
        let held = self.held.front_mut()?;
        if now.since(held.heard_at) >= QUIET_MAX {
            held.press.is_over = true;
        }
        let packet = held.next(stream_at, clocks);
        if held.ends >= ENDS || packet.is_none() {
            self.held.pop_front();
        }
        packet
    }
}

impl Held {
    fn next(&mut self, stream_at: u32, clocks: Clocks) -> Option<KeyPacket> {
        let Press { key, lasted_ms, is_over, .. } = self.press;
        let place = self.sent;
        if place == 0 {
            self.stamp = stream_at;
        }
        if self.ends == 0 {
            self.sent += 1;
        }
        let sent_ms = self.sent.saturating_mul(PACKET_MS);
        let mut end = self.ends > 0 || (is_over && sent_ms >= lasted_ms.max(LASTS_MS_MIN));
        let units = u64::from(sent_ms) * u64::from(clocks.event_hz) / 1000;
        let timestamp = self.stamp;
        let duration = match u16::try_from(units.saturating_sub(self.before)) {
            Ok(duration) => duration,
            Err(_) => {
                // RFC 4733 §2.5.1.3: the segment's last report; the next one begins where it ends.
                end = false;
                self.before += u64::from(u16::MAX);
                let on = u64::from(u16::MAX) * u64::from(clocks.stream_hz) / u64::from(clocks.event_hz.max(1));
                self.stamp = self.stamp.wrapping_add(on as u32);
                u16::MAX
            }
        };
        let sounds = self.ends == 0;
        self.ends += u32::from(end);
        let event = TelephoneEvent { event: TelephoneEvent::code(key)?, end, volume: VOLUME, duration };
        Some(KeyPacket { event, key, place, sounds, timestamp })
    }
}

/// A press that was told by signalling, whole.
pub(super) fn told(key: char) -> Press {
    Press { id: 0, key, lasted_ms: TOLD_MS, is_over: true }
}

/// The ways by which one far end tells its keys, so that each press is one: what RTP and INFO tell of the same key at the
/// same time is the same press.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ways {
    /// Told by INFO, and not yet by RTP; the newest first.
    told: [Option<(char, Moment)>; RECENT_MAX],
    /// Heard by RTP; the newest first.
    heard: [Option<Heard>; RECENT_MAX],
}

/// A press that RTP tells.
#[derive(Clone, Copy, Debug)]
struct Heard {
    id: u64,
    key: char,
    at: Moment,
    /// INFO has told it too.
    is_told: bool,
    /// Whether it is passed on: it is not when INFO was first.
    passes: bool,
}

impl Ways {
    /// A key came by INFO: the press that it is, unless RTP has told it.
    pub(super) fn tell(&mut self, key: char, now: Moment) -> Option<Press> {
        let is_same = |heard: &&mut Heard| !heard.is_told && heard.key == key && now.since(heard.at) < SAME_WITHIN;
        if let Some(same) = self.heard.iter_mut().flatten().rev().find(is_same) {
            same.is_told = true;
            return None;
        }
        self.told.rotate_right(1);
        if let Some(newest) = self.told.first_mut() {
            *newest = Some((key, now));
        }
        Some(told(key))
    }

    /// News of a press came by RTP; whether it is another press than any that INFO told, and so is to be passed on.
    pub(super) fn hear(&mut self, press: Press, now: Moment) -> bool {
        if let Some(known) = self.heard.iter_mut().flatten().find(|heard| heard.id == press.id) {
            known.at = now;
            return known.passes;
        }
        let is_same = |told: &&mut Option<(char, Moment)>| {
            told.is_some_and(|(key, at)| key == press.key && now.since(at) < SAME_WITHIN)
        };
        let is_told = self.told.iter_mut().rev().find(is_same).and_then(Option::take).is_some();
        self.heard.rotate_right(1);
        if let Some(newest) = self.heard.first_mut() {
            *newest = Some(Heard { id: press.id, key: press.key, at: now, is_told, passes: !is_told });
        }
        !is_told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NARROW: Clocks = Clocks { event_hz: 8000, stream_hz: 8000 };

    fn press(id: u64, key: char, lasted_ms: u32, is_over: bool) -> Press {
        Press { id, key, lasted_ms, is_over }
    }

    /// The packets of so many ticks, from now on, with their timestamps; the stream goes on by 20 ms each tick.
    fn ticks(presses: &mut Presses, clocks: Clocks, ticks: u32) -> Vec<KeyPacket> {
        let step = clocks.stream_hz / 50;
        (0..ticks).map_while(|tick| presses.next(1000 + tick * step, clocks, Moment(0))).collect()
    }

    #[test]
    fn a_key_of_100_ms_is_five_packets_and_two_more_ends_and_the_next_one_follows() {
        let mut presses = Presses::default();
        presses.take(press(1, '5', 100, true), Moment(0));
        presses.take(press(2, '#', 100, true), Moment(0));
        let packets = ticks(&mut presses, NARROW, 100);
        assert!(presses.is_done() && packets.len() == 14);
        for (from, code) in [(0, 5), (7, 11)] {
            let one = &packets[from..from + 7];
            let durations: Vec<u16> = one.iter().map(|packet| packet.event.duration).collect();
            assert_eq!(durations, [160, 320, 480, 640, 800, 800, 800]);
            let ends: Vec<bool> = one.iter().map(|packet| packet.event.end).collect();
            assert_eq!(ends, [false, false, false, false, true, true, true]);
            let sounds: Vec<bool> = one.iter().map(|packet| packet.sounds).collect();
            assert_eq!(sounds, [true, true, true, true, true, false, false]);
            assert!(one.iter().all(|packet| packet.event.event == code));
            assert!(one.iter().all(|packet| packet.timestamp == 1000 + from as u32 * 160));
        }
    }

    #[test]
    fn a_key_that_is_down_lasts_until_its_source_says_that_it_is_over() {
        let mut presses = Presses::default();
        let packets: Vec<_> = (0..30u32)
            .map_while(|tick| {
                if tick <= 10 {
                    presses.take(press(1, '5', tick * 20 + 20, tick == 10), Moment(0));
                }
                presses.next(0, NARROW, Moment(0))
            })
            .collect();
        assert_eq!(
            packets.iter().filter(|packet| packet.event.end).map(|p| p.event.duration).collect::<Vec<_>>(),
            [1760; 3]
        );
        assert_eq!(packets.len(), 13);
    }

    #[test]
    fn a_key_of_which_only_the_end_came_is_whole_and_none_is_shorter_than_60_ms() {
        for (lasted_ms, expected) in [(0, 480), (20, 480), (75, 640)] {
            let mut presses = Presses::default();
            presses.take(press(1, '5', lasted_ms, true), Moment(0));
            assert_eq!(ticks(&mut presses, NARROW, 100).last().map(|packet| packet.event.duration), Some(expected));
        }
    }

    #[test]
    fn a_key_whose_source_has_gone_is_over_by_itself() {
        let mut presses = Presses::default();
        presses.take(press(1, '5', 20, false), Moment(0));
        let at = |tick: u64| Moment(tick * 20_000);
        let packets: Vec<_> = (0..200).map_while(|tick| presses.next(0, NARROW, at(tick))).collect();
        assert_eq!((packets.len(), packets.last().map(|packet| packet.event.end)), (33, Some(true)));
    }

    #[test]
    fn durations_are_in_the_far_end_s_own_units() {
        let mut presses = Presses::default();
        presses.take(press(1, '5', 100, true), Moment(0));
        let wide = Clocks { event_hz: 48_000, stream_hz: 48_000 };
        assert_eq!(ticks(&mut presses, wide, 100).last().map(|packet| packet.event.duration), Some(4800));
    }

    #[test]
    fn a_key_too_long_for_one_event_is_said_in_segments_that_begin_where_the_one_before_ended() {
        let mut presses = Presses::default();
        presses.take(press(1, '5', 4000, true), Moment(0));
        let wide = Clocks { event_hz: 48_000, stream_hz: 48_000 };
        let packets = ticks(&mut presses, wide, 400);
        let mut digits = crate::rtp::dtmf::Digits::default();
        let mut over = Vec::new();
        for packet in &packets {
            let header = crate::rtp::packet::Header { timestamp: packet.timestamp, ..Default::default() };
            let payload = packet.event.write();
            let news = digits.take(&crate::rtp::packet::Packet { header, payload: &payload }, 48_000, Moment(0));
            over.extend([news.before, news.press].into_iter().flatten().filter(|press| press.is_over));
        }
        assert_eq!(over.iter().map(|press| (press.key, press.lasted_ms)).collect::<Vec<_>>(), [('5', 4000)]);
        let full: Vec<u32> = packets.iter().filter(|p| p.event.duration == u16::MAX).map(|p| p.timestamp).collect();
        assert_eq!(full, [1000, 1000 + 65_535]);
        assert_eq!(packets.iter().filter(|packet| packet.event.end).count(), 3);
    }

    #[test]
    fn more_keys_than_may_wait_are_lost() {
        let mut presses = Presses::default();
        (0..100).for_each(|id| presses.take(press(id, '1', 100, true), Moment(0)));
        assert_eq!(ticks(&mut presses, NARROW, 1000).len(), WAITING_MAX * 7);
    }

    #[test]
    fn a_key_told_both_ways_is_one_key_and_two_quick_ones_are_two() {
        let at = |ms: u64| Moment(ms * 1000);
        let heard = |id| press(id, '5', 20, false);
        let mut info_first = Ways::default();
        assert!(info_first.tell('5', at(0)).is_some() && info_first.tell('5', at(50)).is_some());
        assert!(!info_first.hear(heard(1), at(100)) && !info_first.hear(heard(1), at(900)));
        assert!(!info_first.hear(heard(2), at(950)) && !info_first.hear(heard(1), at(3000)));
        assert!(info_first.hear(heard(3), at(980)), "a third, by RTP alone");
        let mut rtp_first = Ways::default();
        assert!(rtp_first.hear(heard(1), at(0)) && rtp_first.hear(heard(2), at(200)));
        assert!(rtp_first.tell('5', at(300)).is_none() && rtp_first.tell('5', at(400)).is_none());
        assert!(rtp_first.hear(heard(2), at(420)), "news of what is passed on is passed on");
        assert!(rtp_first.tell('5', at(500)).is_some(), "a third, by INFO alone");
    }

    #[test]
    fn a_far_end_may_tell_one_key_by_rtp_and_another_by_info() {
        let mut ways = Ways::default();
        assert!(ways.hear(press(1, '5', 20, false), Moment(0)) && ways.tell('6', Moment(0)).is_some());
        assert!(ways.tell('5', Moment(1_500_000)).is_some(), "the same key later");
        assert!(ways.hear(press(2, '6', 20, false), Moment(1_500_000)));
    }
}
