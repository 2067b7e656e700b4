//! How values are spread: percentiles of millions of durations in a few kilobytes.

use std::time::Duration;

/// Values of one power of two are told apart in so many steps: within 1.6 %.
const STEPS: u64 = 64;
/// Up to 2³² µs, more than an hour.
const POWERS: u64 = 27;

/// Durations counted in microseconds.
#[derive(Clone, Debug)]
pub struct Spread {
    counts: Vec<u64>,
    total: u64,
    max_us: u64,
}

impl Default for Spread {
    fn default() -> Spread {
        Spread { counts: vec![0; (STEPS * POWERS) as usize], total: 0, max_us: 0 }
    }
}

impl Spread {
    /// Counts one.
    pub fn add(&mut self, value: Duration) {
        let us = value.as_micros().min(u128::from(u32::MAX)) as u64;
        if let Some(count) = self.counts.get_mut(place(us)) {
            *count += 1;
        }
        self.total += 1;
        self.max_us = self.max_us.max(us);
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The value that `part` (0 to 1) of them do not exceed, in ms; 0 when there are none.
    pub fn quantile_ms(&self, part: f64) -> f64 {
        let wanted = ((self.total as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return (upper_us(index as u64).min(self.max_us)) as f64 / 1000.0;
            }
        }
        0.0
    }

    /// The greatest, in ms.
    pub fn max_ms(&self) -> f64 {
        self.max_us as f64 / 1000.0
    }

    /// As JSON: count, p50, p99, p99.9 and the greatest, in ms.
    pub fn summary(&self) -> serde_json::Value {
        serde_json::json!({
            "count": self.total,
            "p50_ms": self.quantile_ms(0.5),
            "p99_ms": self.quantile_ms(0.99),
            "p999_ms": self.quantile_ms(0.999),
            "max_ms": self.max_ms(),
        })
    }
}

/// Below [`STEPS`] each value has its own place; above, each power of two has as many.
fn place(us: u64) -> usize {
    if us < STEPS {
        return us as usize;
    }
    let power = us.ilog2() - STEPS.ilog2();
    (u64::from(power + 1) * STEPS + (us >> power) - STEPS) as usize
}

/// The greatest value of a place.
fn upper_us(place: u64) -> u64 {
    if place < STEPS {
        return place;
    }
    let power = place / STEPS - 1;
    ((place % STEPS + STEPS + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_two_per_cent_and_never_below() {
        let mut spread = Spread::default();
        (1..=100_000).for_each(|us| spread.add(Duration::from_micros(us)));
        for (part, exact) in [(0.5, 50.0), (0.99, 99.0), (0.999, 99.9), (1.0, 100.0)] {
            let told = spread.quantile_ms(part);
            assert!((exact..exact * 1.02).contains(&told) || told == exact, "{part}: {told}");
        }
        assert_eq!((spread.total(), spread.max_ms()), (100_000, 100.0));
    }

    #[test]
    fn what_is_beyond_an_hour_is_still_counted_and_nothing_is_zero() {
        let mut spread = Spread::default();
        assert_eq!(spread.quantile_ms(0.99), 0.0);
        spread.add(Duration::from_secs(100_000));
        assert_eq!(spread.total(), 1);
        assert!(spread.quantile_ms(0.5) > 4_000_000.0, "{}", spread.quantile_ms(0.5));
        assert!((0..=u64::from(u32::MAX)).step_by(65_521).all(|us| upper_us(place(us) as u64) >= us));
    }
}
