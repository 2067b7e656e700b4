//! Telephone-event (RFC 4733): each key pressed reported once, whatever is lost or repeated.

use super::CLOCK_RATE;

/// Audio this long after an event's last known instant ends the event, even if all its end packets were lost.
const EVENT_QUIET: u32 = CLOCK_RATE / 10;

/// One telephone-event payload (RFC 4733 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// The event's code; 0–15 are the keys.
    pub event: u8,
    /// The event is over; `duration` is final.
    pub end: bool,
    /// Its power level below 0 dBm0, 0–63.
    pub volume: u8,
    /// How long it has lasted, in units of the RTP clock.
    pub duration: u16,
}

/// A key, pressed and released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    /// `0`–`9`, `*`, `#`, `A`–`D`.
    pub key: char,
    /// How long it was pressed, in milliseconds.
    pub duration_ms: u32,
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

    fn digit(self) -> Option<Digit> {
        self.key().map(|key| Digit { key, duration_ms: self.duration as u32 * 1000 / CLOCK_RATE })
    }
}

/// The events of one source: an event is known by its RTP timestamp (RFC 4733 §2.2.1), which all its packets share.
#[derive(Clone, Copy, Debug, Default)]
pub struct Digits {
    last: Option<(u32, TelephoneEvent)>,
    reported: bool,
}

impl Digits {
    /// Takes an event packet; the digit that it ends, or the one before it if that one's end was lost.
    pub fn take(&mut self, timestamp: u32, event: TelephoneEvent) -> Option<Digit> {
        match self.last {
            Some((known, before)) if known == timestamp => {
                // Packets may come out of order: the longest duration and any end count.
                let event =
                    if event.duration < before.duration { TelephoneEvent { end: event.end, ..before } } else { event };
                self.last = Some((timestamp, event));
                if event.end { self.report() } else { None }
            }
            Some((known, _)) if (timestamp.wrapping_sub(known) as i32) < 0 && self.reported => None,
            Some(_) | None => {
                let unended = self.report();
                self.last = Some((timestamp, event));
                self.reported = false;
                match unended {
                    Some(digit) => {
                        // The new event's end packet is repeated (RFC 4733 §2.5.1.4), so it is reported then.
                        Some(digit)
                    }
                    None if event.end => self.report(),
                    None => None,
                }
            }
        }
    }

    /// Takes note of an audio packet; the digit whose end packets were all lost, when it is clearly over.
    pub fn audio(&mut self, timestamp: u32) -> Option<Digit> {
        let (start, event) = self.last?;
        let past = timestamp.wrapping_sub(start.wrapping_add(event.duration as u32)) as i32;
        if !self.reported && past > EVENT_QUIET as i32 { self.report() } else { None }
    }

    fn report(&mut self) -> Option<Digit> {
        if self.reported {
            return None;
        }
        self.reported = true;
        self.last.and_then(|(_, event)| event.digit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event: u8, end: bool, duration: u16) -> TelephoneEvent {
        TelephoneEvent { event, end, volume: 10, duration }
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
    fn a_key_whose_end_is_sent_three_times_is_reported_once() {
        let mut digits = Digits::default();
        assert_eq!(digits.take(1000, event(5, false, 160)), None);
        assert_eq!(digits.take(1000, event(5, true, 800)), Some(Digit { key: '5', duration_ms: 100 }));
        assert_eq!(digits.take(1000, event(5, true, 800)), None);
        assert_eq!(digits.take(1000, event(5, true, 800)), None);
        assert_eq!(digits.audio(100_000), None);
    }

    #[test]
    fn the_same_key_pressed_again_is_reported_again() {
        let mut digits = Digits::default();
        assert!(digits.take(1000, event(5, true, 800)).is_some());
        assert!(digits.take(3000, event(5, true, 800)).is_some());
        assert_eq!(digits.take(1000, event(5, true, 800)), None, "a late repetition of the first");
    }

    #[test]
    fn a_key_whose_every_end_is_lost_is_reported_when_audio_returns() {
        let mut digits = Digits::default();
        assert_eq!(digits.take(1000, event(10, false, 400)), None);
        assert_eq!(digits.audio(1400), None);
        assert_eq!(digits.audio(2400), Some(Digit { key: '*', duration_ms: 50 }));
    }

    #[test]
    fn a_key_whose_end_is_lost_is_reported_when_the_next_begins() {
        let mut digits = Digits::default();
        assert_eq!(digits.take(1000, event(1, false, 400)), None);
        assert_eq!(digits.take(2000, event(2, false, 160)).map(|d| d.key), Some('1'));
        assert_eq!(digits.take(2000, event(2, true, 320)).map(|d| d.key), Some('2'));
    }
}
