//! Erlang-A (Palm 1957): what queueing theory says of a centre whose callers give up, for the simulation to be held against.

/// A centre in which everything is exponential and everybody can do everything.
pub struct ErlangA {
    /// Calls a second.
    pub arrivals: f64,
    /// Calls a second that one regulator handles.
    pub service: f64,
    /// One over the mean patience, in seconds.
    pub impatience: f64,
    /// On duty.
    pub people: usize,
}

/// The most callers waiting that are reckoned with.
const WAITING_MAX: usize = 400;

impl ErlangA {
    /// The probability of each number of calls in the centre.
    fn states(&self) -> Vec<f64> {
        let mut weights = vec![1.0];
        for calls in 1..=self.people + WAITING_MAX {
            let busy = calls.min(self.people) as f64;
            let waiting = calls.saturating_sub(self.people) as f64;
            let last = weights.last().copied().unwrap_or_default();
            weights.push(last * self.arrivals / (busy * self.service + waiting * self.impatience));
        }
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|one| one / sum).collect()
    }

    /// The share of all callers who are answered within `seconds`.
    pub fn answered_within(&self, seconds: f64) -> f64 {
        let states = self.states();
        let (free, full) = states.split_at(self.people);
        let mut answered: f64 = free.iter().sum();
        // By how many callers are before one: the next of them is answered or gives up, or one gives up oneself.
        let mut before = full.to_vec();
        let all = self.people as f64 * self.service;
        let step = 0.01;
        for _ in 0..(seconds / step).round() as usize {
            answered += before.first().copied().unwrap_or_default() * all * step;
            let next: Vec<f64> = (0..before.len())
                .map(|place| {
                    let rate = |place: usize| all + place as f64 * self.impatience;
                    let here = before.get(place).copied().unwrap_or_default();
                    let from = before.get(place + 1).copied().unwrap_or_default() * rate(place + 1);
                    here + step * (from - here * (rate(place) + self.impatience))
                })
                .collect();
            before = next;
        }
        answered
    }

    /// The share of all callers who give up.
    pub fn abandoned(&self) -> f64 {
        let waiting: f64 =
            self.states().iter().enumerate().map(|(calls, p)| calls.saturating_sub(self.people) as f64 * p).sum();
        waiting * self.impatience / self.arrivals
    }
}

mod tests {
    use super::super::measure::FIGURES;
    use super::super::profile::Source;
    use super::super::site::Site;
    use super::super::{Material, Policy, play};
    use super::*;

    /// 60 calls an hour of 180 s on average, patience 120 s; `people` always on duty: nothing but what Erlang-A knows.
    fn profile(people: usize, days: usize) -> String {
        format!(
            r#"
name = "Erlang-A"
days = {days}
arrivals = {{ calls_a_year = 525960, weekdays = [1, 1, 1, 1, 1, 1, 1], hours = [{hours}], day_cv = 0, winter_share = 0, winter_factor = 1, burst_hours_a_week = 0, burst_factor = 1, priority_1_share = 0 }}
handling = {{ mean_s = 180, cv = 1, shape = "exponential", wrap_up_mean_s = 0, second_region = 1, other_region = 1 }}
patience = {{ means_s = [120], hurried_share = 0, hurried_mean_s = 0, again_share = 0, again_after_mean_s = 60 }}
ringing = {{ mean_s = 0, unanswered_share = 0 }}
staff = {{ people = {people}, shifts = [{{ days = "Mon-Sun", from = 0, to = 0, people = {people} }}] }}
associations = [{{ id = "one", share = 1 }}]
kinds = [{{ name = "general", line = {{ skills = {{ regulation = 50 }}, waiting_max = "4h" }} }}]
"#,
            hours = ["1"; 24].join(", ")
        )
    }

    #[test]
    fn without_patience_it_is_erlang_b_and_with_all_patience_erlang_c() {
        let centre = |impatience| ErlangA { arrivals: 1.0 / 60.0, service: 1.0 / 180.0, impatience, people: 5 };
        // Erlang's tables: 3 erlangs on 5 lines.
        assert!((centre(1e6).abandoned() - 0.1101).abs() < 0.0005, "{}", centre(1e6).abandoned());
        let waits = 1.0 - centre(1e-9).answered_within(0.0);
        assert!((waits - 0.2362).abs() < 0.0005, "{waits}");
    }

    #[test]
    fn the_simulation_agrees_with_erlang_a() {
        for (people, policy) in [(3, Policy::Vigie), (4, Policy::Vigie), (4, Policy::LongestIdle)] {
            let theory = ErlangA { arrivals: 1.0 / 60.0, service: 1.0 / 180.0, impatience: 1.0 / 120.0, people };
            let site = Site::new(&Source::of(&profile(people, 5)), None).unwrap_or_else(|error| panic!("{error}"));
            let played = play(&Material::Profile(Box::new(site)), &[policy], 8);
            let outcome = played.outcomes.first().expect("a policy");
            let found = |key: &str| {
                let place = FIGURES.iter().position(|figure| figure.key == key).expect("a figure");
                outcome.figures[place].expect("a value")
            };
            // Erlang-A knows no short calls: all that came count.
            let counted = 1.0 - found("abandonment_short").mean;
            let abandoned = found("abandonment").mean * counted + 1.0 - counted;
            assert!((abandoned - theory.abandoned()).abs() < 0.006, "{people}: {abandoned}, {}", theory.abandoned());
            for (key, seconds) in [("answered_within_30s", 30.0), ("answered_within_60s", 60.0)] {
                let (estimate, exact) = (found(key), theory.answered_within(seconds) / counted);
                let (low, high) = estimate.interval.expect("several seeds");
                // Half as wide again as the interval: of nine figures one in three runs would else be outside.
                let half = (high - low) * 0.75;
                assert!((estimate.mean - exact).abs() <= half, "{people} {key}: {estimate:?}, Erlang-A {exact}");
                assert!(half < 0.02, "{people} {key}: too few calls to say anything: {estimate:?}");
            }
        }
    }
}
