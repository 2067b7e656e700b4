//! Telephone-event (RFC 4733): each key pressed is one press, whatever of its packets is lost, repeated or overtaken.

use std::time::Duration;

use super::packet::{Header, Packet};
use crate::model::Moment;

/// A key of which nothing has come for so long is over, even if all its end packets were lost: a phone sends one every 20 to
/// 50 ms while it is down.
pub const QUIET_MAX: Duration = Duration::from_millis(300);

/// A marked packet with the timestamp of a press that has been over for so long begins another: it is too late to be that
/// one's first.
const OVER_MIN: Duration = Duration::from_millis(100);

/// Presses of one source that are remembered, so that a late packet is known as an old one's: a press with its repeated ends
/// lasts 100 ms and more, so these are more than the network can mix up.
const KNOWN_MAX: usize = 4;

/// New presses of one source a second: ten times what the quickest dialler does. More is noise, and must not flood those who
/// are told of each.
const PRESSES_A_SECOND_MAX: u32 = 100;

/// One telephone-event payload (RFC 4733 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// The event's code; 0–15 are the keys.
    pub event: u8,
    /// The event is over; `duration` is final.
    pub end: bool,
    /// Its power level below 0 dBm0, 0–63.
    pub volume: u8,
    /// How long it, or its present segment (§2.5.1.3), has lasted, in units of the payload type's clock.
    pub duration: u16,
}

/// A key that is down, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Press {
    /// Which press: all news of one bear the same number, and hardly ever do those of two.
    pub id: u64,
    /// `0`–`9`, `*`, `#`, `A`–`D`.
    pub key: char,
    /// How long it has lasted so far, in milliseconds.
    pub lasted_ms: u32,
    /// It is over; told once.
    pub is_over: bool,
}

impl Press {
    /// Whether there is such a key on the pad.
    pub fn is_key(&self) -> bool {
        TelephoneEvent::code(self.key).is_some()
    }
}

/// What a packet tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The press before, whose end was lost and that is over since another has begun.
    pub before: Option<Press>,
    /// The packet's own press, unless that was over before.
    pub press: Option<Press>,
}

impl TelephoneEvent {
    /// Reads the first event of a payload; `None` when it is shorter than four bytes.
    pub fn read(payload: &[u8]) -> Option<TelephoneEvent> {
        let [event, flags, high, low] = *payload.first_chunk()?;
        let duration = u16::from_be_bytes([high, low]);
        Some(TelephoneEvent { event, end: flags & 0x80 != 0, volume: flags & 0x3f, duration })
    }

    /// Writes the payload (RFC 4733 §2.3).
    pub fn write(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, u8::from(self.end) << 7 | (self.volume & 0x3f), high, low]
    }

    /// The code of a key; `None` when it is none.
    pub fn code(key: char) -> Option<u8> {
        match key {
            '0'..='9' => Some(key as u8 - b'0'),
            '*' => Some(10),
            '#' => Some(11),
            'A'..='D' => Some(key as u8 - b'A' + 12),
            _ => None,
        }
    }

    /// The key (RFC 4733 §3.2, table 3); `None` for flash, fax tones and the rest.
    pub fn key(self) -> Option<char> {
        match self.event {
            digit @ 0..=9 => Some((b'0' + digit) as char),
            10 => Some('*'),
            11 => Some('#'),
            letter @ 12..=15 => Some((b'A' + letter - 12) as char),
            _ => None,
        }
    }
}

/// The presses of one far end. A press is known by the RTP timestamp of its beginning, which all its packets share
/// (RFC 4733 §2.2.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct Digits {
    /// The newest first.
    known: [Option<Known>; KNOWN_MAX],
    /// How many there were; wraps.
    count: u32,
    /// When the present second of counting new presses began, and how many there were.
    counted: (Moment, u32),
}

#[derive(Clone, Copy, Debug)]
struct Known {
    id: u64,
    ssrc: u32,
    event: u8,
    /// The timestamp of its first packet, and that of its present segment.
    first: u32,
    segment: u32,
    /// How long the segments before this one lasted, in units.
    before: u64,
    /// How long this one has, in units.
    duration: u16,
    clock_hz: u32,
    is_over: bool,
    heard_at: Moment,
}

impl Digits {
    /// Takes a packet of telephone-event whose clock has `clock_hz` units a second. What is no key tells nothing.
    pub fn take(&mut self, packet: &Packet, clock_hz: u32, now: Moment) -> News {
        let event = TelephoneEvent::read(packet.payload).filter(|event| event.key().is_some());
        let Some(event) = event else { return News::default() };
        if let Some(known) = self.known.iter_mut().flatten().find(|known| known.is_of(&packet.header, event, now)) {
            return News { before: None, press: known.go_on(packet.header.timestamp, event, now) };
        }
        if !self.may_begin(now) {
            return News::default();
        }
        let newest = self.known.first_mut().and_then(Option::as_mut);
        let before = newest.filter(|newest| !newest.is_overtaking(&packet.header)).and_then(Known::end);
        self.count = self.count.wrapping_add(1);
        let mut known = Known::new((self.count, &packet.header), event, clock_hz, now);
        let press = known.go_on(packet.header.timestamp, event, now);
        self.known.rotate_right(1);
        if let Some(newest) = self.known.first_mut() {
            *newest = Some(known);
        }
        News { before, press }
    }

    /// Whether a press is not over yet.
    pub fn is_down(&self) -> bool {
        self.known.iter().flatten().any(|known| !known.is_over)
    }

    /// A press of which nothing has come for [`QUIET_MAX`], and which is over therefore; to be asked until there is none.
    pub fn settle(&mut self, now: Moment) -> Option<Press> {
        let mut quiet = self.known.iter_mut().flatten().rev().filter(|known| now.since(known.heard_at) >= QUIET_MAX);
        quiet.find_map(Known::end)
    }

    /// Counts a new press; whether there were not too many.
    fn may_begin(&mut self, now: Moment) -> bool {
        if now.since(self.counted.0) >= Duration::from_secs(1) {
            self.counted = (now, 0);
        }
        self.counted.1 += 1;
        self.counted.1 <= PRESSES_A_SECOND_MAX
    }
}

impl Known {
    fn new((count, header): (u32, &Header), event: TelephoneEvent, clock_hz: u32, now: Moment) -> Known {
        Known {
            // The upper half tells far ends apart, the lower one the presses of one.
            id: u64::from(header.ssrc ^ header.timestamp.rotate_left(16)) << 32 | u64::from(count),
            ssrc: header.ssrc,
            event: event.event,
            first: header.timestamp,
            segment: header.timestamp,
            before: 0,
            duration: event.duration,
            clock_hz,
            is_over: false,
            heard_at: now,
        }
    }

    /// Whether a packet is of this press. One with another timestamp is when it begins before this one's end: as the next
    /// segment of a long press, or from a phone that gives every packet a timestamp of its own. A new press is marked
    /// (RFC 4733 §2.5.1.1), but that packet may be lost. A muted phone's timestamps may stand still: then another key, or
    /// a mark behind the end, is another press.
    fn is_of(&self, header: &Header, event: TelephoneEvent, now: Moment) -> bool {
        if header.ssrc != self.ssrc || event.event != self.event {
            return false;
        }
        let into_segment = header.timestamp.wrapping_sub(self.segment) as i32;
        if into_segment <= 0 {
            let is_anew = self.is_over && header.marker && !event.end && now.since(self.heard_at) >= OVER_MIN;
            return header.timestamp.wrapping_sub(self.first) as i32 >= 0 && !is_anew;
        }
        let (into_segment, duration) = (into_segment.unsigned_abs(), u32::from(self.duration));
        let goes_on = if self.is_over {
            into_segment < duration
        } else {
            into_segment <= duration
                // What came last of a full segment, or of the former packets of such a phone, may be lost.
                || into_segment == u32::from(u16::MAX)
                || u32::from(event.duration) == duration + into_segment
        };
        !header.marker && goes_on
    }

    /// Whether the packet is of an older time: this press has overtaken it.
    fn is_overtaking(&self, header: &Header) -> bool {
        header.ssrc == self.ssrc && (header.timestamp.wrapping_sub(self.first) as i32) < 0
    }

    /// Takes a packet of its own; nothing when it was over.
    fn go_on(&mut self, timestamp: u32, event: TelephoneEvent, now: Moment) -> Option<Press> {
        if self.is_over {
            return None;
        }
        self.heard_at = now;
        let into_segment = timestamp.wrapping_sub(self.segment) as i32;
        if into_segment > 0 && event.duration < self.duration {
            // RFC 4733 §2.5.1.3: the next segment begins where this one ends.
            self.before += into_segment.unsigned_abs() as u64;
            self.duration = event.duration;
        }
        if into_segment >= 0 {
            self.segment = timestamp;
            // Packets may come out of order: the longest duration counts.
            self.duration = self.duration.max(event.duration);
        }
        if event.end { self.end() } else { self.press() }
    }

    /// It is over, which is told once.
    fn end(&mut self) -> Option<Press> {
        if self.is_over {
            return None;
        }
        self.is_over = true;
        self.press()
    }

    fn press(&self) -> Option<Press> {
        let event = TelephoneEvent { event: self.event, end: self.is_over, volume: 0, duration: self.duration };
        let units = self.before + u64::from(self.duration);
        let lasted_ms = (units * 1000).checked_div(u64::from(self.clock_hz)).unwrap_or(0);
        Some(Press {
            id: self.id,
            key: event.key()?,
            lasted_ms: u32::try_from(lasted_ms).unwrap_or(u32::MAX),
            is_over: self.is_over,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Chance;

    fn event(event: u8, end: bool, duration: u16) -> TelephoneEvent {
        TelephoneEvent { event, end, volume: 10, duration }
    }

    /// A far end's packets as they come, at 8000 units a second unless another clock is set, 20 ms apart.
    struct Line {
        digits: Digits,
        clock_hz: u32,
        ssrc: u32,
        now: Moment,
    }

    impl Line {
        fn new() -> Line {
            Line { digits: Digits::default(), clock_hz: 8000, ssrc: 7, now: Moment(1_000_000) }
        }

        fn take_marked(&mut self, marker: bool, timestamp: u32, event: TelephoneEvent) -> News {
            self.now = self.now + Duration::from_millis(20);
            let header = Header { payload_type: 101, marker, sequence: 0, timestamp, ssrc: self.ssrc };
            self.digits.take(&Packet { header, payload: &event.write() }, self.clock_hz, self.now)
        }

        /// The keys that a packet ends, and their lengths.
        fn take(&mut self, timestamp: u32, event: TelephoneEvent) -> Vec<(char, u32)> {
            let News { before, press } = self.take_marked(false, timestamp, event);
            [before, press].into_iter().flatten().filter(|p| p.is_over).map(|p| (p.key, p.lasted_ms)).collect()
        }

        fn wait(&mut self, ms: u64) -> Vec<(char, u32)> {
            self.now = self.now + Duration::from_millis(ms);
            std::iter::from_fn(|| self.digits.settle(self.now)).map(|press| (press.key, press.lasted_ms)).collect()
        }
    }

    #[test]
    fn a_payload_reads_as_rfc_4733_draws_it() {
        assert_eq!(TelephoneEvent::read(&[11, 0x8a, 0x03, 0x20]), Some(event(11, true, 800)));
        assert_eq!(TelephoneEvent::read(&[1, 2, 3]), None);
        assert_eq!(event(11, true, 800).write(), [11, 0x8a, 0x03, 0x20]);
    }

    #[test]
    fn keys_are_those_of_the_pad() {
        let keys: String = (0..20).filter_map(|code| event(code, true, 0).key()).collect();
        assert_eq!(keys, "0123456789*#ABCD");
        let codes: Vec<u8> = keys.chars().filter_map(TelephoneEvent::code).collect();
        assert_eq!(codes, (0..16).collect::<Vec<u8>>());
    }

    #[test]
    fn a_key_whose_end_is_sent_three_times_is_one_press() {
        let mut line = Line::new();
        assert_eq!(line.take(1000, event(5, false, 160)), []);
        assert_eq!(line.take(1000, event(5, true, 800)), [('5', 100)]);
        assert_eq!(line.take(1000, event(5, true, 800)), []);
        assert_eq!(line.take(1000, event(5, true, 800)), []);
        assert_eq!(line.wait(9000), []);
    }

    #[test]
    fn a_press_is_told_of_from_its_first_packet_on_under_one_number() {
        let mut line = Line::new();
        let told: Vec<_> = [(false, 160), (false, 480), (false, 320), (true, 800), (true, 800)]
            .into_iter()
            .filter_map(|(end, duration)| line.take_marked(false, 1000, event(5, end, duration)).press)
            .collect();
        assert_eq!(told.iter().map(|press| press.lasted_ms).collect::<Vec<_>>(), [20, 60, 60, 100]);
        assert!(told.iter().all(|press| press.id == told[0].id && press.is_over == (press.lasted_ms == 100)));
    }

    #[test]
    fn any_single_packet_of_a_key_is_enough() {
        for only in [event(5, false, 160), event(5, false, 640), event(5, true, 800)] {
            let mut line = Line::new();
            let mut keys = line.take(1000, only);
            keys.extend(line.wait(400));
            assert_eq!(keys.len(), 1, "{only:?}");
        }
    }

    #[test]
    fn the_same_key_pressed_again_is_another_press() {
        let mut line = Line::new();
        assert_eq!(line.take(1000, event(5, true, 800)).len(), 1);
        assert_eq!(line.take(1800, event(5, true, 800)).len(), 1, "at once after the first");
        assert_eq!(line.take(1000, event(5, true, 800)), [], "a late repetition of the first");
        assert_eq!(line.take(1800, event(5, true, 800)), []);
    }

    #[test]
    fn late_packets_of_the_key_before_neither_end_the_key_that_is_down_nor_begin_another() {
        let mut line = Line::new();
        assert_eq!(line.take(1000, event(1, true, 400)), [('1', 50)]);
        assert_eq!(line.take(2000, event(2, false, 160)), []);
        assert_eq!(line.take(1000, event(1, true, 400)), []);
        assert_eq!(line.take(2000, event(2, false, 320)), []);
        assert_eq!(line.take(2000, event(2, true, 480)), [('2', 60)]);
        assert_eq!(line.take(1000, event(1, true, 400)), []);
        assert_eq!(line.wait(9000), []);
    }

    #[test]
    fn keys_that_overtake_each_other_are_both_told_once() {
        let mut line = Line::new();
        assert_eq!(line.take(2000, event(2, false, 160)), []);
        assert_eq!(line.take(1000, event(1, false, 160)), []);
        assert_eq!(line.take(2000, event(2, false, 320)), []);
        assert_eq!(line.take(1000, event(1, true, 400)), [('1', 50)]);
        assert_eq!(line.take(2000, event(2, true, 480)), [('2', 60)]);
    }

    #[test]
    fn a_key_whose_every_end_is_lost_is_over_when_nothing_more_comes() {
        let mut line = Line::new();
        assert_eq!(line.take(1000, event(10, false, 400)), []);
        assert_eq!(line.wait(200), []);
        assert_eq!(line.wait(100), [('*', 50)]);
        assert_eq!(line.wait(900), []);
        assert_eq!(line.take(1000, event(10, true, 800)), [], "an end that comes after all");
    }

    #[test]
    fn a_key_whose_end_is_lost_is_over_when_the_next_begins() {
        let mut line = Line::new();
        assert_eq!(line.take(1000, event(1, false, 400)), []);
        assert_eq!(line.take(2000, event(2, false, 160)), [('1', 50)]);
        assert_eq!(line.take(2000, event(2, true, 320)), [('2', 40)]);
    }

    #[test]
    fn durations_are_in_the_units_of_their_own_clock() {
        let mut line = Line { clock_hz: 48_000, ..Line::new() };
        assert_eq!(line.take(1000, event(5, true, 4800)), [('5', 100)]);
    }

    #[test]
    fn a_long_press_is_one_over_all_its_segments() {
        // RFC 4733 §2.5.1.3, at 48 kHz: a segment holds 1.37 s.
        let mut line = Line { clock_hz: 48_000, ..Line::new() };
        let mut keys = Vec::new();
        for packet in 1..=200u32 {
            let (segment, duration) = ((packet * 960 - 1) / 65_535, (packet * 960 - 1) % 65_535 + 1);
            let (marker, end) = (packet == 1, packet == 200);
            let event = event(3, end, duration as u16);
            let news = line.take_marked(marker, 5000 + segment * 65_535, event);
            keys.extend([news.before, news.press].into_iter().flatten().filter(|press| press.is_over));
            if end {
                // A late one of the first segment.
                keys.extend(line.take_marked(false, 5000, TelephoneEvent { end: false, duration: 960, ..event }).press);
            }
        }
        assert_eq!(keys.iter().map(|press| (press.key, press.lasted_ms)).collect::<Vec<_>>(), [('3', 4000)]);
    }

    #[test]
    fn a_phone_that_gives_each_packet_a_timestamp_of_its_own_presses_once() {
        let mut line = Line::new();
        let mut keys = Vec::new();
        for packet in 1..=7u16 {
            keys.extend(line.take(1000 + u32::from(packet) * 160, event(5, packet >= 5, packet.min(5) * 160)));
        }
        keys.extend(line.take(9000, event(5, true, 800)));
        assert_eq!(keys, [('5', 100), ('5', 100)]);
    }

    #[test]
    fn a_marked_packet_begins_a_press_even_right_behind_the_one_before() {
        let mut line = Line::new();
        line.take_marked(true, 1000, event(5, false, 400));
        let news = line.take_marked(true, 1500, event(5, false, 160));
        assert!(news.before.is_some_and(|press| press.is_over) && news.press.is_some_and(|press| !press.is_over));
    }

    #[test]
    fn a_phone_whose_timestamps_stand_still_presses_as_often_as_it_does() {
        let (mut line, mut keys) = (Line::new(), Vec::new());
        for key in [1, 1, 2, 1] {
            for packet in 1..=7u16 {
                let news = line.take_marked(packet == 1, 1000, event(key, packet >= 5, packet.min(5) * 160));
                let over = [news.before, news.press].into_iter().flatten().filter(|press| press.is_over);
                keys.extend(over.map(|press| (press.key, press.lasted_ms)));
            }
            keys.extend(line.wait(60));
        }
        assert_eq!(keys, [('1', 100), ('1', 100), ('2', 100), ('1', 100)]);
    }

    #[test]
    fn another_source_s_press_is_another_and_the_one_before_is_not_lost() {
        let mut line = Line::new();
        assert_eq!(line.take(1000, event(5, false, 160)), []);
        line.ssrc = 8;
        assert_eq!(line.take(1000, event(5, true, 160)), [('5', 20), ('5', 20)]);
    }

    #[test]
    fn keys_on_a_bad_line_are_each_told_once() {
        for seed in 0..500 {
            let mut chance = Chance::from_number(seed);
            let (mut under_way, mut pressed, mut begins) = (Vec::new(), Vec::new(), 1_000_000);
            for _ in 0..12 {
                let (code, packets) = (chance.below(3) as u8, 2 + chance.below(13));
                pressed.push((b'0' + code) as char);
                let surely = chance.below(packets + 2);
                for place in 0..packets + 2 {
                    // A third of all is lost, but one of each key comes; a tenth comes twice, all up to 60 ms late.
                    let copies =
                        u64::from(place == surely || chance.below(3) > 0) * (1 + u64::from(chance.below(10) == 0));
                    let event = event(code, place + 1 >= packets, ((place + 1).min(packets) * 160) as u16);
                    for _ in 0..copies {
                        let arrives = begins + place * 20_000 + chance.below(60_001);
                        under_way.push((arrives, place == 0, (begins / 125) as u32, event));
                    }
                }
                // At once after the end's last repetition, or later.
                begins += (packets + 2) * 20_000 + 60_000 + chance.below(500_000);
            }
            under_way.sort_by_key(|(arrives, ..)| *arrives);
            let (mut digits, mut told, mut sweep) = (Digits::default(), Vec::new(), 0);
            for (arrives, marker, timestamp, event) in under_way {
                while sweep < arrives {
                    told.extend(std::iter::from_fn(|| digits.settle(Moment(sweep))));
                    sweep += 100_000;
                }
                let header = Header { payload_type: 101, marker, sequence: 0, timestamp, ssrc: 7 };
                let news = digits.take(&Packet { header, payload: &event.write() }, 8000, Moment(arrives));
                told.extend([news.before, news.press].into_iter().flatten().filter(|press| press.is_over));
            }
            told.extend(std::iter::from_fn(|| digits.settle(Moment(sweep + 500_000))));
            assert_eq!(told.iter().map(|press| press.key).collect::<Vec<_>>(), pressed, "seed {seed}");
        }
    }

    #[test]
    fn a_flood_of_presses_is_cut_off() {
        let mut digits = Digits::default();
        let told = (0..5000u32).filter_map(|place| {
            let header = Header { payload_type: 101, marker: true, sequence: 0, timestamp: place * 1000, ssrc: 1 };
            digits.take(&Packet { header, payload: &[5, 0x80, 0, 160] }, 8000, Moment(9_000_000)).press
        });
        assert_eq!(told.count(), PRESSES_A_SECOND_MAX as usize);
    }
}
