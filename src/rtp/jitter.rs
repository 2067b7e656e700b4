//! The adaptive jitter buffer of one source: payloads in as they come, out in order at the listener's pace.
//!
//! It decides by *margins*: how long before its playing each packet came. The least of the last seconds, one outlier left
//! aside, is what jitter, late packets and differing clocks leave of the delay; [`Jitter::wish`] says whether sound must be
//! stretched to keep it small and yet enough. It knows no samples: see [`playout`](super::playout).

use std::collections::VecDeque;

use super::margins::Margins;
use super::packet::Header;
use crate::model::Moment;

/// Between two takings, in microseconds: the listener's tick.
pub const TICK_MICROS: i64 = 20_000;
/// A source's first packet is played so long after it came: a tick's grid and 20 ms of jitter.
const START_MICROS: i64 = 40_000;
/// A packet must be there a whole tick before its place: its first sample may be the last of a tick.
const MARGIN_MIN: i64 = TICK_MICROS;
/// More margin than this is delay for nothing: the least margin, the longest stretch (12 ms), and as much as keeps the two
/// wishes from chasing each other.
const MARGIN_MAX: i64 = MARGIN_MIN + 25_000;
/// Nobody waits longer for a voice: what lies further ahead is cut.
const DELAY_MAX: i64 = 400_000;
/// Packets that wait: more than [`DELAY_MAX`] of the shortest (10 ms).
const QUEUE_MAX: usize = 64;
/// RFC 3550 §A.1: a step back of the sequence beyond this is no reordering.
const MISORDER_MAX: i16 = 100;
/// What a packet holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A codec's payload.
    Sound,
    /// Comfort noise (RFC 3389).
    Noise,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A payload; its first `skip` clock units lie before what is wanted.
    Sound {
        /// As it came.
        payload: &'a [u8],
        /// In units of the RTP clock.
        skip: i64,
    },
    /// From here on it is quiet, as this comfort noise says.
    Noise(&'a [u8]),
    /// Nothing for so many clock units, or for an unknown time. `then` is the payload after it, when that is there.
    Gap {
        /// In units of the RTP clock; `i64::MAX` when nothing is there.
        units: i64,
        /// For in-band error correction.
        then: Option<&'a [u8]>,
    },
}

/// How sound should be stretched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Not at all.
    Keep,
    /// Less delay: leave a little out.
    Shorter,
    /// More delay: put a little in.
    Longer,
}

/// What happened to packets here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Came after their place had been played.
    pub late: u64,
    /// Came twice.
    pub duplicates: u64,
    /// Came after a later one, in time.
    pub reordered: u64,
    /// Left out because the delay had grown beyond all use, or for want of room.
    pub cut: u64,
}

/// One source's packets that wait to be played. Times are counted on the listener's line in units of the RTP clock.
#[derive(Clone, Debug)]
pub struct Jitter {
    clock_rate: i64,
    source: Option<Source>,
    queue: VecDeque<Waiting>,
    current: Waiting,
    /// Payloads' memory, used again.
    spare: Vec<Vec<u8>>,
    /// The first unit not yet played.
    played: i64,
    /// The first unit not yet given out.
    wanted: i64,
    /// When `played` is due.
    due_at: Option<Moment>,
    margins: Margins,
    counts: Counts,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    /// The newest.
    sequence: u16,
    timestamp: u32,
    /// Where the newest lies on the line.
    place: i64,
    /// From packet to packet.
    step: i64,
    /// The sequence that would show a restart (RFC 3550 §A.1: two in a row).
    restart: Option<u16>,
}

#[derive(Clone, Debug)]
struct Waiting {
    place: i64,
    content: Content,
    payload: Vec<u8>,
}

impl Jitter {
    /// Empty, for a source whose RTP clock runs at `clock_rate` Hz.
    pub fn new(clock_rate: u32) -> Jitter {
        Jitter {
            clock_rate: i64::from(clock_rate.max(1)),
            source: None,
            queue: VecDeque::new(),
            current: Waiting { place: 0, content: Content::Sound, payload: Vec::new() },
            spare: Vec::new(),
            played: 0,
            wanted: 0,
            due_at: None,
            margins: Margins::default(),
            counts: Counts::default(),
        }
    }

    /// Takes a packet that came at `arrival`.
    pub fn put(&mut self, header: &Header, (content, payload): (Content, &[u8]), arrival: Moment) {
        let Some(mut source) = self.source.filter(|source| source.ssrc == header.ssrc) else {
            return self.begin(header, (content, payload), arrival);
        };
        let ahead = header.sequence.wrapping_sub(source.sequence) as i16;
        if ahead < -MISORDER_MAX {
            if source.restart == Some(header.sequence) {
                return self.begin(header, (content, payload), arrival);
            }
            source.restart = Some(header.sequence.wrapping_add(1));
            self.source = Some(source);
            self.counts.late += 1;
            return;
        }
        let place = source.place + i64::from(header.timestamp.wrapping_sub(source.timestamp) as i32);
        if ahead <= 0 {
            // One that was sent before the newest and claims to be later, or of long ago, has no place on the line.
            let is_placed = (source.place - self.units(DELAY_MAX)..=source.place).contains(&place);
            return if is_placed { self.put_older(place, (content, payload), arrival) } else { self.count_late() };
        }
        let between = place - source.place;
        if i64::from(ahead) * source.step != between && between % i64::from(ahead) == 0 && between > 0 {
            source.step = (between / i64::from(ahead)).min(self.units(60_000));
        }
        self.source = Some(source);
        self.put_newest(header, place, (content, payload), arrival);
    }

    /// What comes next in the order of playing. Sound must be followed by [`Jitter::give`] with its length.
    pub fn pull(&mut self) -> Next<'_> {
        if self.queue.front().is_none_or(|first| first.place > self.wanted) {
            return match self.queue.front() {
                Some(first) => Next::Gap {
                    units: first.place - self.wanted,
                    then: (first.content == Content::Sound).then_some(&first.payload),
                },
                None => Next::Gap { units: i64::MAX, then: None },
            };
        }
        if let Some(first) = self.queue.pop_front() {
            let used = std::mem::replace(&mut self.current, first);
            self.spare.push(used.payload);
        }
        match self.current.content {
            Content::Sound => Next::Sound { payload: &self.current.payload, skip: self.wanted - self.current.place },
            Content::Noise => Next::Noise(&self.current.payload),
        }
    }

    /// Whether what comes next is there already.
    pub fn is_ready(&self) -> bool {
        self.queue.front().is_some_and(|first| first.place <= self.wanted)
    }

    /// So many units were given out: sound, or something in its place.
    pub fn give(&mut self, units: i64) {
        self.wanted += units;
    }

    /// A packet turned out to lie wholly before what is wanted.
    pub fn count_late(&mut self) {
        self.counts.late += 1;
    }

    /// A tick's worth was played at `now`; the next is due one tick later.
    pub fn tick(&mut self, now: Moment) {
        self.played += self.units(TICK_MICROS);
        self.due_at = Some(Moment(now.0 + TICK_MICROS as u64));
    }

    /// Of what was given out and not yet played, so many units were left out; negative when some were put in.
    pub fn stretched(&mut self, units: i64) {
        self.played += units;
        self.margins.shift(-self.micros(units));
    }

    /// How sound should be stretched now.
    pub fn wish(&self) -> Wish {
        match self.margins.least() {
            Some(least) if least < MARGIN_MIN && self.micros(self.wanted - self.played) < DELAY_MAX => Wish::Longer,
            Some(least) if least > MARGIN_MAX && self.margins.is_full() => Wish::Shorter,
            Some(_) | None => Wish::Keep,
        }
    }

    /// What happened to packets so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// From the newest packet's coming to its playing, were it played in its place: the delay that is added, in
    /// microseconds, when nothing is late.
    pub fn delay_micros(&self) -> i64 {
        self.margins.latest()
    }

    /// A source that is new, or started again: it goes on after what waits, and not before the usual delay.
    fn begin(&mut self, header: &Header, packet: (Content, &[u8]), arrival: Moment) {
        let due_at = *self.due_at.get_or_insert(arrival);
        let until_due = due_at.0 as i64 - arrival.0 as i64;
        let usual = self.played + self.units((START_MICROS - until_due).max(0));
        let step = self.source.map_or(self.units(TICK_MICROS), |source| source.step);
        let place = self.end(step).max(self.wanted).max(usual);
        let Header { ssrc, sequence, timestamp, .. } = *header;
        self.source = Some(Source { ssrc, sequence, timestamp, place, step, restart: None });
        self.margins = Margins::default();
        self.margins.record(self.margin(place, arrival), arrival);
        self.insert(place, packet);
    }

    fn put_newest(&mut self, header: &Header, place: i64, packet: (Content, &[u8]), arrival: Moment) {
        let Some(source) = self.source.as_mut() else { return };
        let (before, step) = (source.place, source.step);
        source.restart = None;
        let margin = self.margin(place, arrival);
        // Timestamps that stand still, run back or leap are no clock: the packet is placed by its arrival.
        let leaps = margin > DELAY_MAX && place - before > self.units(DELAY_MAX / 2);
        let is_behind = self.wanted - place;
        let returns = place <= before || (is_behind > 0 && self.micros(is_behind) > DELAY_MAX);
        if leaps || returns {
            return self.begin(header, packet, arrival);
        }
        let mut place = place;
        if is_behind > 0 {
            // Late, and nothing after it is there: the delay grows by as much, and nothing is lost.
            self.margins.shift(self.micros(is_behind));
            place = self.wanted;
        }
        if let Some(source) = self.source.as_mut() {
            (source.sequence, source.timestamp, source.place) = (header.sequence, header.timestamp, place);
        }
        let margin = margin + self.micros(is_behind.max(0));
        self.margins.record(margin, arrival);
        self.insert(place, packet);
        if margin > DELAY_MAX {
            self.cut(self.units(margin - START_MICROS), step);
        }
    }

    fn put_older(&mut self, place: i64, packet: (Content, &[u8]), arrival: Moment) {
        let waits = self.queue.iter().any(|waiting| waiting.place == place);
        if waits || (place == self.current.place && place < self.wanted) {
            self.counts.duplicates += 1;
            return;
        }
        self.margins.record(self.margin(place, arrival), arrival);
        if place < self.wanted {
            self.counts.late += 1;
            return;
        }
        self.counts.reordered += 1;
        self.insert(place, packet);
    }

    fn insert(&mut self, place: i64, (content, bytes): (Content, &[u8])) {
        if self.queue.len() >= QUEUE_MAX {
            self.counts.cut += 1;
            return;
        }
        let mut payload = self.spare.pop().unwrap_or_default();
        payload.clear();
        payload.extend_from_slice(bytes);
        let at = self.queue.partition_point(|waiting| waiting.place < place);
        self.queue.insert(at, Waiting { place, content, payload });
    }

    /// Leaves `units` of what waits out, all at once.
    fn cut(&mut self, units: i64, step: i64) {
        self.played += units;
        self.wanted += units;
        while self.queue.front().is_some_and(|first| first.place + step <= self.wanted) {
            if let Some(waiting) = self.queue.pop_front() {
                self.spare.push(waiting.payload);
                self.counts.cut += 1;
            }
        }
        self.margins = Margins::default();
    }

    /// The place after the last that waits.
    fn end(&self, step: i64) -> i64 {
        self.queue.back().map_or(i64::MIN, |last| last.place + step)
    }

    /// How long before its playing a packet for `place` came.
    fn margin(&self, place: i64, arrival: Moment) -> i64 {
        let due = self.due_at.map_or(0, |due| due.0 as i64 - arrival.0 as i64);
        due + self.micros(place - self.played)
    }

    fn units(&self, micros: i64) -> i64 {
        micros * self.clock_rate / 1_000_000
    }

    fn micros(&self, units: i64) -> i64 {
        units.saturating_mul(1_000_000) / self.clock_rate
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A listener that ticks and notes what it got.
    struct Listener {
        jitter: Jitter,
        now: u64,
        got: Vec<Option<u8>>,
    }

    impl Listener {
        fn new() -> Listener {
            let mut jitter = Jitter::new(8000);
            jitter.give(160);
            jitter.tick(Moment(980_000));
            Listener { jitter, now: 1_000_000, got: Vec::new() }
        }

        fn put(&mut self, (ssrc, sequence, timestamp): (u32, u16, u32), mark: u8, at: u64) {
            let header = Header { payload_type: 8, marker: false, sequence, timestamp, ssrc };
            self.jitter.put(&header, (Content::Sound, &[mark; 160]), Moment(1_000_000 + at));
        }

        /// Packet `n` of a usual source.
        fn put_usual(&mut self, n: u16, at: u64) {
            self.put((7, 65_530u16.wrapping_add(n), (u32::MAX - 300).wrapping_add(u32::from(n) * 160)), n as u8, at);
        }

        /// Ticks until `at`.
        fn listen(&mut self, at: u64) {
            while self.now <= 1_000_000 + at {
                let got = match self.jitter.pull() {
                    Next::Sound { payload, .. } => payload.first().copied(),
                    Next::Noise(_) | Next::Gap { .. } => None,
                };
                self.got.push(got);
                self.jitter.give(160);
                self.jitter.tick(Moment(self.now));
                self.now += 20_000;
            }
        }

        fn heard(&self) -> Vec<u8> {
            self.got.iter().copied().flatten().collect()
        }

        /// Ticks without sound after the first with it and before the last.
        fn silent(&self) -> usize {
            let first = self.got.iter().position(Option::is_some).unwrap_or(0);
            let last = self.got.iter().rposition(Option::is_some).unwrap_or(0);
            self.got[first..last].iter().filter(|got| got.is_none()).count()
        }
    }

    fn counted(n: u8) -> Vec<u8> {
        (0..n).collect()
    }

    #[test]
    fn packets_that_keep_step_are_played_once_in_order_over_both_wraps_40_ms_later() {
        let mut listener = Listener::new();
        for n in 0..100 {
            listener.put_usual(n, u64::from(n) * 20_000);
            listener.listen(u64::from(n) * 20_000 + 5000);
        }
        listener.listen(3_000_000);
        assert_eq!((listener.heard(), listener.silent()), (counted(100), 0));
        assert_eq!(listener.got.iter().position(Option::is_some), Some(2));
        assert_eq!(listener.jitter.counts(), Counts::default());
    }

    #[test]
    fn reordered_packets_are_put_in_order_and_doubled_ones_left_out() {
        let mut listener = Listener::new();
        let order = [0, 2, 1, 3, 3, 5, 4, 6, 7, 7, 8, 9];
        for (step, n) in order.into_iter().enumerate() {
            listener.put_usual(n, step as u64 * 17_000);
            listener.listen(step as u64 * 17_000);
        }
        listener.listen(1_000_000);
        assert_eq!((listener.heard(), listener.silent()), (counted(10), 0));
        assert_eq!(listener.jitter.counts(), Counts { duplicates: 2, reordered: 2, ..Counts::default() });
    }

    #[test]
    fn one_that_was_sent_before_and_claims_another_time_is_left_and_moves_nothing() {
        let mut listener = Listener::new();
        for n in 0..50 {
            listener.put_usual(n, u64::from(n) * 20_000);
            for timestamp in [0x7000_0000, 0x9000_0000] {
                listener.put((7, 65_529u16.wrapping_add(n), timestamp), 99, u64::from(n) * 20_000);
            }
            listener.listen(u64::from(n) * 20_000);
        }
        listener.listen(2_000_000);
        assert_eq!((listener.heard(), listener.silent()), (counted(50), 0));
        assert_eq!(listener.jitter.counts(), Counts { late: 100, ..Counts::default() });
        assert!((0..100_000).contains(&listener.jitter.delay_micros()), "{}", listener.jitter.delay_micros());
    }

    #[test]
    fn a_lost_packet_is_a_gap_of_its_length_and_nothing_else_moves() {
        let mut listener = Listener::new();
        for n in (0..50).filter(|n| n % 10 != 5) {
            listener.put_usual(n, u64::from(n) * 20_000);
            listener.listen(u64::from(n) * 20_000);
        }
        listener.listen(2_000_000);
        assert_eq!((listener.heard().len(), listener.silent()), (45, 5));
    }

    #[test]
    fn a_stall_delays_what_follows_and_loses_nothing() {
        let mut listener = Listener::new();
        for n in 0..100u16 {
            let at = if (30..40).contains(&n) { 800_000 } else { u64::from(n) * 20_000 };
            listener.listen(at.saturating_sub(1));
            listener.put_usual(n, at);
        }
        listener.listen(4_000_000);
        assert_eq!(listener.heard(), counted(100));
        assert!((7..=10).contains(&listener.silent()), "{}", listener.silent());
    }

    #[test]
    fn nobody_waits_for_a_second_of_old_sound() {
        let mut listener = Listener::new();
        for n in 0..150u16 {
            let at = if (30..80).contains(&n) { 1_600_000 } else { u64::from(n) * 20_000 };
            listener.listen(at.saturating_sub(1));
            listener.put_usual(n, at);
            assert!(listener.jitter.delay_micros() <= DELAY_MAX, "{n}");
        }
        listener.listen(4_000_000);
        let heard = listener.heard();
        assert!(heard.ends_with(&(90..150).map(|n| n as u8).collect::<Vec<_>>()), "{heard:?}");
        assert!(listener.jitter.counts().cut >= 30);
    }

    #[test]
    fn another_ssrc_goes_on_where_the_first_ended() {
        let mut listener = Listener::new();
        for n in 0..60u16 {
            let key = if n < 30 { (1, n, u32::from(n) * 160) } else { (2, 900 + n, 77 + u32::from(n) * 160) };
            listener.put(key, n as u8, u64::from(n) * 20_000);
            listener.listen(u64::from(n) * 20_000);
        }
        listener.listen(2_000_000);
        assert_eq!((listener.heard(), listener.silent()), (counted(60), 0));
    }

    #[test]
    fn timestamps_that_leap_or_stood_still_over_a_hold_cost_no_packet() {
        for leap in [5_000_000u32, 0, 0u32.wrapping_sub(4_000_000)] {
            let mut listener = Listener::new();
            for n in 0..60u16 {
                // A hold of 3 s in the middle.
                let (timestamp, hold) = if n < 30 { (0, 0) } else { (leap, 3_000_000) };
                let at = u64::from(n) * 20_000 + hold;
                listener.listen(at.saturating_sub(1));
                listener.put((1, n, timestamp.wrapping_add(u32::from(n) * 160)), n as u8, at);
            }
            listener.listen(6_000_000);
            assert_eq!(listener.heard(), counted(60), "{leap}");
            let waits = 150 - 2..=150 + 2;
            assert!(waits.contains(&listener.silent()), "{leap}: {}", listener.silent());
        }
    }

    #[test]
    fn a_source_that_starts_its_numbers_again_loses_one_packet_at_most() {
        let mut listener = Listener::new();
        for n in 0..60u16 {
            let sequence = if n < 30 { 40_000 + n } else { 10_000 + n };
            listener.put((1, sequence, u32::from(n) * 160), n as u8, u64::from(n) * 20_000);
            listener.listen(u64::from(n) * 20_000);
        }
        listener.listen(2_000_000);
        assert!(listener.heard().len() >= 59, "{:?}", listener.heard());
    }

    #[test]
    fn more_delay_is_wished_for_when_packets_are_just_in_time_and_less_when_all_come_early() {
        let mut listener = Listener::new();
        for n in 0..400u16 {
            let late = if n > 20 && n % 7 == 0 { 30_000 } else { 0 };
            let at = u64::from(n) * 20_000 + late;
            listener.put_usual(n, at);
            listener.listen(u64::from(n) * 20_000);
        }
        assert_eq!(listener.jitter.wish(), Wish::Longer);
        listener.jitter.stretched(-200);
        assert_eq!(listener.jitter.wish(), Wish::Keep);
        listener.jitter.stretched(-300);
        assert_eq!(listener.jitter.wish(), Wish::Shorter);
    }

    proptest! {
        #[test]
        fn no_order_of_packets_panics_or_fills_memory(
            packets in proptest::collection::vec((0..3u32, any::<u16>(), any::<u32>(), 0..100_000u64, any::<bool>()), 0..300)
        ) {
            let mut listener = Listener::new();
            let mut at = 0;
            for (ssrc, sequence, timestamp, wait, near) in packets {
                at += wait;
                let (sequence, timestamp) = if near { (sequence % 200, timestamp % 32_000) } else { (sequence, timestamp) };
                listener.put((ssrc, sequence, timestamp), 1, at);
                listener.listen(at);
                listener.jitter.wish();
                prop_assert!(listener.jitter.queue.len() <= QUEUE_MAX);
                prop_assert!(listener.jitter.spare.len() <= QUEUE_MAX + 1);
            }
        }
    }
}
