//! What is counted in a run, the figures made of it, and how sure they are over several runs.

use std::time::Duration;

use super::scenario::{CallerPlan, Scenario};

/// A call whose caller hangs up sooner than this is a short one: nobody could have answered in time, so it counts apart.
const SHORT: Duration = Duration::from_secs(10);
/// The waits whose share is told, in seconds.
pub const LEVELS_S: [u64; 3] = [15, 30, 60];
/// Hours of a week.
pub const WEEK_HOURS: usize = 168;

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A fraction of one.
    Share,
    /// Seconds.
    Seconds,
}

/// One figure: its key in JSON, what it is in words, and its unit.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// The key.
    pub key: &'static str,
    /// In words.
    pub words: &'static str,
    /// Its unit.
    pub unit: Unit,
}

const fn share(key: &'static str, words: &'static str) -> Figure {
    Figure { key, words, unit: Unit::Share }
}

const fn seconds(key: &'static str, words: &'static str) -> Figure {
    Figure { key, words, unit: Unit::Seconds }
}

/// Every figure, in the order of [`Tally::figures`]. A call is one attempt; its wait begins when it enters the waiting
/// room and ends with the answer, ringing included.
pub const FIGURES: [Figure; 16] = [
    share("answered_within_15s", "calls answered within 15 s, of all but the short ones"),
    share("answered_within_30s", "calls answered within 30 s, of all but the short ones"),
    share("answered_within_60s", "calls answered within 60 s, of all but the short ones"),
    seconds("wait_p50_s", "half of the answered waited at most"),
    seconds("wait_p95_s", "95 in 100 of the answered waited at most"),
    seconds("wait_p99_s", "99 in 100 of the answered waited at most"),
    share("abandonment", "calls whose caller hung up after 10 s or more, of all but the short ones"),
    share("abandonment_short", "short calls, whose caller hung up sooner, of all that came"),
    share("persons_answered", "persons who were answered, at the first call or a later one"),
    share("priority_1_within_15s", "calls of priority 1 answered within 15 s, of all but the short ones"),
    share("skill_mismatch", "answered calls whose regulator lacked a skill or level that the line asks at first"),
    share("occupancy", "of the time on duty spent talking or in wrap-up"),
    share("occupancy_spread", "standard deviation of that between regulators"),
    share("cross_region_share", "answered calls whose regulator's home is another region"),
    share("priority_1_answered", "calls of priority 1 answered at all, of all but the short ones"),
    share("answered", "calls answered at all, of all but the short ones"),
];

/// The counts of one run.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Calls, attempts of all.
    pub calls: u64,
    /// Persons.
    pub persons: u64,
    persons_answered: u64,
    within: [u64; LEVELS_S.len()],
    /// Waits of the answered, in milliseconds.
    waits_ms: Vec<u32>,
    abandoned: u64,
    abandoned_short: u64,
    urgent: u64,
    urgent_short: u64,
    urgent_within: u64,
    urgent_answered: u64,
    mismatched: u64,
    away: u64,
    busy: Vec<Duration>,
    on_duty: Vec<Duration>,
    /// Calls by the hour of the week that they came in, and how many of them were answered within 30 s.
    pub hours: Vec<(u64, u64)>,
    priorities: Vec<u8>,
    skilled: Vec<Vec<bool>>,
    offset_hours: usize,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(scenario: &Scenario) -> Tally {
        let centre = &scenario.centre;
        let lines: Vec<_> = scenario.lines.iter().filter_map(|id| centre.lines.get(id)).collect();
        let people: Vec<_> = scenario.people.iter().filter_map(|id| centre.regulators.get(id)).collect();
        let meets =
            |line: &&crate::model::Line| people.iter().map(|one| line.demand.needs.is_met_by(&one.skills)).collect();
        let mut on_duty = vec![Duration::ZERO; people.len()];
        for duty in scenario.duties.iter() {
            if let Some(sum) = on_duty.get_mut(duty.person) {
                *sum += duty.to.min(scenario.span).saturating_sub(duty.from);
            }
        }
        let start = scenario.start.timestamp().to_zoned(centre.zone.clone());
        let offset_hours = start.weekday().to_monday_zero_offset() as usize * 24 + start.hour() as usize;
        Tally {
            calls: 0,
            persons: 0,
            persons_answered: 0,
            within: [0; LEVELS_S.len()],
            waits_ms: Vec::new(),
            abandoned: 0,
            abandoned_short: 0,
            urgent: 0,
            urgent_short: 0,
            urgent_within: 0,
            urgent_answered: 0,
            mismatched: 0,
            away: 0,
            busy: vec![Duration::ZERO; people.len()],
            on_duty,
            hours: vec![(0, 0); WEEK_HOURS],
            priorities: lines.iter().map(|line| line.demand.priority).collect(),
            skilled: lines.iter().map(meets).collect(),
            offset_hours,
        }
    }

    fn is_urgent(&self, plan: &CallerPlan) -> bool {
        plan.priority.or_else(|| self.priorities.get(plan.line).copied()) == Some(1)
    }

    fn hour(&mut self, came: Duration) -> Option<&mut (u64, u64)> {
        let hour = self.offset_hours + (came.as_secs() / 3600) as usize;
        self.hours.get_mut(hour % WEEK_HOURS)
    }

    /// A call came, the person's first or a later one.
    pub fn offered(&mut self, plan: &CallerPlan, is_first: bool) {
        self.calls += 1;
        self.persons += u64::from(is_first);
        self.urgent += u64::from(self.is_urgent(plan));
        if let Some(hour) = self.hour(plan.at) {
            hour.0 += 1;
        }
    }

    /// A caller hung up.
    pub fn abandoned(&mut self, plan: &CallerPlan, waited: Duration) {
        let is_short = waited < SHORT;
        self.abandoned += u64::from(!is_short);
        self.abandoned_short += u64::from(is_short);
        self.urgent_short += u64::from(is_short && self.is_urgent(plan));
    }

    /// A regulator picked up; the wait and how long the call will take.
    pub fn answered(&mut self, plan: &CallerPlan, person: usize, spans: (Duration, Duration), is_away: bool) {
        let (waited, handling) = spans;
        self.persons_answered += 1;
        self.waits_ms.push(u32::try_from(waited.as_millis()).unwrap_or(u32::MAX));
        for (count, level) in self.within.iter_mut().zip(LEVELS_S) {
            *count += u64::from(waited <= Duration::from_secs(level));
        }
        if waited <= Duration::from_secs(30)
            && let Some(hour) = self.hour(plan.at)
        {
            hour.1 += 1;
        }
        if self.is_urgent(plan) {
            self.urgent_answered += 1;
            self.urgent_within += u64::from(waited <= Duration::from_secs(15));
        }
        let is_skilled = self.skilled.get(plan.line).and_then(|people| people.get(person)).copied();
        self.mismatched += u64::from(is_skilled == Some(false));
        self.away += u64::from(is_away);
        if let Some(busy) = self.busy.get_mut(person) {
            *busy += handling + plan.wrap_up;
        }
    }

    /// The figures of this run, in the order of [`FIGURES`]; `None` where nothing was there to count.
    pub fn figures(&mut self) -> Vec<Option<f64>> {
        self.waits_ms.sort_unstable();
        let ratio = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let answered = self.waits_ms.len() as u64;
        let quantile = |part: f64| {
            let place = ((answered as f64 * part).ceil() as usize).saturating_sub(1);
            self.waits_ms.get(place).map(|ms| f64::from(*ms) / 1000.0)
        };
        let (occupancy, spread) = self.occupancy();
        let (calls, urgent) = (self.calls - self.abandoned_short, self.urgent - self.urgent_short);
        let [within_15, within_30, within_60] = self.within;
        vec![
            ratio(within_15, calls),
            ratio(within_30, calls),
            ratio(within_60, calls),
            quantile(0.50),
            quantile(0.95),
            quantile(0.99),
            ratio(self.abandoned, calls),
            ratio(self.abandoned_short, self.calls),
            ratio(self.persons_answered, self.persons),
            ratio(self.urgent_within, urgent),
            ratio(self.mismatched, answered),
            occupancy,
            spread,
            ratio(self.away, answered),
            ratio(self.urgent_answered, urgent),
            ratio(answered, calls),
        ]
    }

    /// The share of the answered who waited at most so long, second by second up to `seconds`, of all but the short ones.
    pub fn answered_by_second(&self, seconds: usize) -> Vec<f64> {
        let mut counts = vec![0_u64; seconds + 1];
        for ms in &self.waits_ms {
            if let Some(count) = counts.get_mut((*ms as usize).div_ceil(1000)) {
                *count += 1;
            }
        }
        let mut sum = 0;
        let total = (self.calls - self.abandoned_short).max(1) as f64;
        counts
            .into_iter()
            .map(|count| {
                sum += count;
                sum as f64 / total
            })
            .collect()
    }

    /// Mean over the time on duty, and standard deviation between those who were on duty at all.
    fn occupancy(&self) -> (Option<f64>, Option<f64>) {
        let people = || self.busy.iter().zip(&self.on_duty).filter(|(_, on_duty)| !on_duty.is_zero());
        let (busy, on_duty) = people()
            .fold((0.0, 0.0), |sum, (busy, on_duty)| (sum.0 + busy.as_secs_f64(), sum.1 + on_duty.as_secs_f64()));
        if on_duty <= 0.0 {
            return (None, None);
        }
        let each: Vec<f64> = people().map(|(busy, on_duty)| busy.as_secs_f64() / on_duty.as_secs_f64()).collect();
        let mean = each.iter().sum::<f64>() / each.len() as f64;
        let squares: f64 = each.iter().map(|one| (one - mean).powi(2)).sum();
        (Some(busy / on_duty), Some((squares / each.len() as f64).sqrt()))
    }
}

/// A figure over several runs: its mean and the interval that holds the true one in 95 of 100 cases (Student's t);
/// with one run there is no interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Both ends of the interval.
    pub interval: Option<(f64, f64)>,
}

/// Of the same figure of each run; `None` when no run had it.
pub fn estimate(values: &[f64]) -> Option<Estimate> {
    let count = values.len();
    if count == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count as f64;
    let squares: f64 = values.iter().map(|one| (one - mean).powi(2)).sum();
    let interval = (count > 1).then(|| {
        let deviation = (squares / (count - 1) as f64).sqrt();
        let half = student_t(count - 1) * deviation / (count as f64).sqrt();
        (mean - half, mean + half)
    });
    Some(Estimate { mean, interval })
}

/// The 97.5 % quantile of Student's t with so many degrees of freedom: by the Cornish–Fisher expansion, exact to 0.3 %
/// from nine on, by table below.
fn student_t(degrees: usize) -> f64 {
    const FEW: [f64; 8] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306];
    if let Some(exact) = degrees.checked_sub(1).and_then(|place| FEW.get(place)) {
        return *exact;
    }
    let (z, n) = (1.959_964_f64, degrees.max(1) as f64);
    z + (z.powi(3) + z) / (4.0 * n) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_students_t() {
        for (degrees, exact) in [(1, 12.706), (4, 2.776), (5, 2.571), (9, 2.262), (19, 2.093), (99, 1.984)] {
            assert!((student_t(degrees) - exact).abs() < 0.005 * exact, "{degrees}: {}", student_t(degrees));
        }
        let made = estimate(&[1.0, 2.0, 3.0]).expect("values");
        let (low, high) = made.interval.expect("three runs");
        assert!((made.mean - 2.0).abs() < 1e-12 && (high - 2.0 - 4.303 / 3_f64.sqrt()).abs() < 1e-3, "{low} {high}");
        assert_eq!(estimate(&[]), None);
        assert_eq!(estimate(&[0.5]).and_then(|one| one.interval), None);
    }
}
