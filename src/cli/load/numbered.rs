//! Numbered audio: a payload that says which leg spoke it, which packet of that leg it is, and when it left.

use crate::model::Moment;

/// Bytes at the payload's head; the rest is a quiet sound.
pub const NUMBERED_BYTES: usize = 28;
const MAGIC: u32 = u32::from_be_bytes(*b"VgLd");
/// The number of a packet that is not counted: one sent before both sides hear each other, or after the counted part.
const UNCOUNTED: u32 = u32::MAX;

/// Which side of a call a leg is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoadSide {
    /// Who dials.
    Caller,
    /// Who answers.
    Regulator,
}

/// One leg of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegName {
    /// Its side.
    pub side: LoadSide,
    /// Counts the legs of a side from 0.
    pub index: u32,
}

/// What a packet says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Drawn once a run, so that an earlier run's packets and recordings are not taken for this one's.
    pub run: u32,
    /// Who spoke.
    pub leg: LegName,
    /// Counts the leg's counted packets from 0; `None` when it is not counted.
    pub number: Option<u32>,
    /// When it was sent, on this machine's clock.
    pub sent: Moment,
}

impl Numbered {
    /// Writes it at the head of `payload`; one too short stays as it is.
    pub fn write(&self, payload: &mut [u8]) {
        let mut head = [0; NUMBERED_BYTES];
        let side = match self.leg.side {
            LoadSide::Caller => 0u32,
            LoadSide::Regulator => 1,
        };
        let words = [MAGIC, self.run, side, self.leg.index, self.number.unwrap_or(UNCOUNTED)];
        for (place, word) in head.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        if let Some(place) = head.last_chunk_mut::<8>() {
            *place = self.sent.0.to_be_bytes();
        }
        if let Some(place) = payload.first_chunk_mut::<NUMBERED_BYTES>() {
            *place = head;
        }
    }

    /// Reads it; `None` when the payload is something else, as music or transcoded sound.
    pub fn read(payload: &[u8]) -> Option<Numbered> {
        let head = payload.first_chunk::<NUMBERED_BYTES>()?;
        let word = |index: usize| Some(u32::from_be_bytes(*head.get(index * 4..)?.first_chunk()?));
        if word(0)? != MAGIC {
            return None;
        }
        let side = match word(2)? {
            0 => LoadSide::Caller,
            1 => LoadSide::Regulator,
            _ => return None,
        };
        Some(Numbered {
            run: word(1)?,
            leg: LegName { side, index: word(3)? },
            number: word(4).filter(|number| *number != UNCOUNTED),
            sent: Moment(u64::from_be_bytes(*head.last_chunk()?)),
        })
    }
}

/// A set of numbers from 0 on, a bit each.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    bits: Vec<u64>,
    count: u32,
}

/// More numbers than a leg can speak in a run of the longest duration (an hour at 50 a second).
const NUMBER_MAX: u32 = 200_000;

impl Numbers {
    /// Puts a number in; whether it was not there.
    pub fn insert(&mut self, number: u32) -> bool {
        if number >= NUMBER_MAX {
            return false;
        }
        let (word, bit) = ((number / 64) as usize, 1u64 << (number % 64));
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        let Some(word) = self.bits.get_mut(word) else { return false };
        let is_new = *word & bit == 0;
        *word |= bit;
        self.count += u32::from(is_new);
        is_new
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_reads_back_and_other_sound_is_not_taken_for_one() {
        let leg = LegName { side: LoadSide::Regulator, index: 70_000 };
        for number in [None, Some(0), Some(123_456)] {
            let numbered = Numbered { run: 7, leg, number, sent: Moment(u64::MAX / 3) };
            let mut payload = [0xD5; 160];
            numbered.write(&mut payload);
            assert_eq!(Numbered::read(&payload), Some(numbered));
            assert_eq!(Numbered::read(&payload[..27]), None);
        }
        assert_eq!(Numbered::read(&[0xD5; 160]), None);
    }

    #[test]
    fn a_number_that_comes_twice_is_counted_once() {
        let mut numbers = Numbers::default();
        assert!([0, 63, 64, 5000].into_iter().all(|number| numbers.insert(number)));
        assert!(!numbers.insert(64));
        assert!(!numbers.insert(u32::MAX), "a number beyond any run's");
        assert_eq!(numbers.count(), 4);
    }
}
