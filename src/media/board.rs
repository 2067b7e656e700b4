//! What each open leg of a thread is like: put out by the thread every two seconds, read by whoever asks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::tally::MOS_POOR;
use crate::model::{CallId, LegId, LegQuality};

/// One thread's legs. Its media thread never waits for a reader: what cannot be put out at once is, 100 ms later.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<BTreeMap<LegId, LegQuality>>);

/// How many legs are open now, and how many of them somebody should know of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LiveLegs {
    /// From which something came, or to which something was sent.
    pub live: u64,
    /// Whose sound many would call bad so far: a mean opinion score under 3.6, either way.
    pub poor: u64,
    /// Whose sound goes one way only now.
    pub one_way: u64,
    /// The least score of all, if any has one.
    pub mos_least: Option<f64>,
}

impl Board {
    /// Puts out what a leg is like; false when somebody reads just now.
    pub(super) fn show(&self, leg: LegId, quality: LegQuality) -> bool {
        let mut legs = match self.0.try_lock() {
            Ok(legs) => legs,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        legs.insert(leg, quality);
        true
    }

    /// The leg is closed, or has another name. Readers are done within microseconds.
    pub(super) fn forget(&self, leg: LegId) {
        self.legs().remove(&leg);
    }

    /// The open legs of a call.
    pub(super) fn of(&self, call: CallId) -> Vec<(LegId, LegQuality)> {
        let (first, last) = (LegId { call, number: 0 }, LegId { call, number: u16::MAX });
        self.legs().range(first..=last).map(|(leg, quality)| (*leg, quality.clone())).collect()
    }

    /// Adds the thread's legs to `sum`.
    pub(super) fn add_to(&self, sum: &mut LiveLegs) {
        for quality in self.legs().values() {
            let least = quality.mos.into_iter().chain(quality.remote_mos).reduce(f64::min);
            sum.live += u64::from(quality.packets_received + quality.packets_sent > 0);
            sum.poor += u64::from(least.is_some_and(|mos| mos < MOS_POOR));
            sum.one_way += u64::from(quality.one_way.is_some());
            sum.mos_least = sum.mos_least.into_iter().chain(least).reduce(f64::min);
        }
    }

    fn legs(&self) -> MutexGuard<'_, BTreeMap<LegId, LegQuality>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Chance, OneWay, Utc};

    #[test]
    fn a_call_s_legs_are_found_and_what_is_wrong_is_counted_until_they_are_forgotten() {
        let (board, mut chance) = (Board::default(), Chance::from_number(1));
        let [call, other] = [(); 2].map(|()| CallId::new(Utc(0), &mut chance));
        let leg = |call, number| LegId { call, number };
        let good = LegQuality { packets_received: 9, mos: Some(4.4), ..LegQuality::default() };
        let bad = LegQuality { remote_mos: Some(2.1), one_way: Some(OneWay::SendsNothing), ..good.clone() };
        for (id, quality) in [(leg(call, 1), &bad), (leg(call, 0), &good), (leg(other, 0), &good)] {
            assert!(board.show(id, quality.clone()));
        }
        assert!(board.show(leg(other, 1), LegQuality::default()), "nothing came or went yet");
        assert_eq!(board.of(call), [(leg(call, 0), good), (leg(call, 1), bad)]);
        let counted = || {
            let mut sum = LiveLegs::default();
            board.add_to(&mut sum);
            sum
        };
        assert_eq!(counted(), LiveLegs { live: 3, poor: 1, one_way: 1, mos_least: Some(2.1) });
        board.forget(leg(call, 1));
        assert_eq!(counted(), LiveLegs { live: 2, poor: 0, one_way: 0, mos_least: Some(4.4) });
    }
}
