//! When a delivery that failed is tried again.

use std::time::Duration;

/// The waits between attempts, and when it is given up.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The wait before each attempt, the first included.
    pub delays: Vec<Duration>,
    /// The wait before every later attempt.
    pub afterwards: Duration,
    /// An event owed for longer becomes a dead letter.
    pub give_up_after: Duration,
    /// How far a wait strays from its value, as a fraction: calls that failed together do not return together.
    pub jitter: f64,
}

impl Default for Schedule {
    /// For live events: 0, 1, 2, 5, 10, 30 s, 1, 5, 30 min, then hourly to 72 h, each ± 10 %.
    fn default() -> Schedule {
        let seconds = [0, 1, 2, 5, 10, 30, 60, 300, 1800];
        Schedule {
            delays: seconds.map(Duration::from_secs).to_vec(),
            afterwards: Duration::from_secs(3600),
            give_up_after: Duration::from_secs(72 * 3600),
            jitter: 0.1,
        }
    }
}

impl Schedule {
    /// The wait after `failures` failed attempts; `chance` is drawn from `0.0..1.0`.
    pub fn wait_after(&self, failures: u32, chance: f64) -> Duration {
        let wait = self.delays.get(failures as usize).copied().unwrap_or(self.afterwards);
        wait.mul_f64((1.0 + self.jitter * (2.0 * chance - 1.0)).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_are_those_of_the_design_and_then_hourly() {
        let schedule = Schedule::default();
        let waits: Vec<u64> = (0..11).map(|n| schedule.wait_after(n, 0.5).as_secs()).collect();
        assert_eq!(waits, [0, 1, 2, 5, 10, 30, 60, 300, 1800, 3600, 3600]);
    }

    #[test]
    fn a_wait_strays_by_a_tenth_at_most() {
        let schedule = Schedule::default();
        assert_eq!(schedule.wait_after(4, 0.0), Duration::from_secs(9));
        assert!(schedule.wait_after(4, 0.999) <= Duration::from_secs(11));
    }
}
