//! Who calls when: a profile's callers, drawn from a seed.

use std::f64::consts::TAU;
use std::time::Duration;

use crate::model::{Chance, LineId};

use super::profile::{AssociationPlan, Profile, Shape};
use super::scenario::{ATTEMPTS_MAX, Attempt, CallerPlan};
use super::site::line_id;

const HOUR_S: f64 = 3600.0;
/// The most calls of one run, so that a slip in a profile cannot fill the memory.
const CALLERS_MAX: usize = 20_000_000;

/// Every caller of a run, by the time of the first call; `lines` in the order of their ids.
pub fn draw_callers(profile: &Profile, lines: &[LineId], seed: u64) -> Vec<CallerPlan> {
    let mut chance = Chance::from_number(seed ^ 0x7669_6769_6500_0000);
    let rates = hourly_rates(profile, &mut chance.fork());
    let mut callers = Vec::new();
    let mut persons = chance.fork();
    for (place, association) in profile.associations.iter().enumerate() {
        let of_kinds = kind_lines(profile, association, lines);
        for (hour, rates) in rates.iter().enumerate() {
            let rate = rates.get(place).copied().unwrap_or_default() / HOUR_S;
            let mut at = draw_exponential(&mut chance, 1.0 / rate);
            while at < HOUR_S && callers.len() < CALLERS_MAX {
                let at_whole = Duration::from_secs_f64(hour as f64 * HOUR_S + at);
                callers.push(draw_caller(profile, &of_kinds, at_whole, &mut persons));
                at += draw_exponential(&mut chance, 1.0 / rate);
            }
        }
    }
    callers.sort_by_key(|caller| caller.at);
    callers
}

/// Calls an hour, by hour of the run and association.
fn hourly_rates(profile: &Profile, chance: &mut Chance) -> Vec<Vec<f64>> {
    let arrivals = &profile.arrivals;
    let (weekdays, hours) = (arrivals.weekdays.get_ref(), arrivals.hours.get_ref());
    let shares: f64 = profile.associations.iter().map(|one| one.share.get_ref()).sum();
    let (weekday_sum, hour_sum): (f64, f64) = (weekdays.iter().sum(), hours.iter().sum());
    let week = arrivals.calls_a_year.get_ref() * 7.0 / 365.25;
    let (winter_share, winter) = (*arrivals.winter_share.get_ref(), *arrivals.winter_factor.get_ref());
    let usual = 1.0 / (1.0 + winter_share * (winter - 1.0));
    // The golden section spreads the winter's days evenly over a run: chance says only where they begin.
    let (offset, golden) = (chance.fraction(), (5.0_f64.sqrt() - 1.0) / 2.0);
    let mut all = Vec::new();
    for day in 0..*profile.days.get_ref() as usize {
        let is_winter = (offset + day as f64 * golden).fract() < winter_share;
        let season = if is_winter { winter * usual } else { usual };
        let factor = season * draw_gamma(chance, *arrivals.day_cv.get_ref());
        let day_calls = week * weekdays.get(day % 7).copied().unwrap_or_default() / weekday_sum * factor;
        for hour in hours {
            let calls = day_calls * hour / hour_sum;
            all.push(profile.associations.iter().map(|one| calls * one.share.get_ref() / shares).collect::<Vec<f64>>());
        }
    }
    let bursts = *arrivals.burst_hours_a_week.get_ref() * f64::from(*profile.days.get_ref()) / 7.0;
    let count = bursts.floor() as usize + usize::from(chance.fraction() < bursts.fract());
    for _ in 0..count {
        let (hour, place) = (chance.below(all.len() as u64), chance.below(profile.associations.len() as u64));
        if let Some(rate) = all.get_mut(hour as usize).and_then(|rates| rates.get_mut(place as usize)) {
            *rate *= arrivals.burst_factor.get_ref();
        }
    }
    all
}

/// The lines of an association with the share of each.
fn kind_lines(profile: &Profile, association: &AssociationPlan, lines: &[LineId]) -> Vec<(f64, usize)> {
    let share_of = |name: &str, usual: Option<f64>| association.kinds.get(name).map(|share| *share.get_ref()).or(usual);
    let given: f64 = profile
        .kinds
        .iter()
        .filter_map(|kind| share_of(kind.name.get_ref(), kind.share.as_ref().map(|share| *share.get_ref())))
        .sum();
    let one = |kind: &super::profile::Kind| {
        let share = share_of(kind.name.get_ref(), kind.share.as_ref().map(|share| *share.get_ref()));
        let id = LineId::from(line_id(association.id.get_ref(), kind.name.get_ref()).as_str());
        Some((share.unwrap_or((1.0 - given).max(0.0)), lines.binary_search(&id).ok()?))
    };
    profile.kinds.iter().filter_map(one).collect()
}

fn draw_caller(profile: &Profile, lines: &[(f64, usize)], at: Duration, chance: &mut Chance) -> CallerPlan {
    let sum: f64 = lines.iter().map(|(share, _)| share).sum();
    let mut left = chance.fraction() * sum;
    let mut line = lines.first().map_or(0, |(_, line)| *line);
    for (share, one) in lines {
        line = *one;
        if left < *share {
            break;
        }
        left -= share;
    }
    let is_urgent = chance.fraction() < *profile.arrivals.priority_1_share.get_ref();
    let (handling, wrap_up) = (&profile.handling, profile.handling.wrap_up_mean_s.get_ref());
    let talking = match handling.shape {
        Shape::Lognormal => draw_lognormal(chance, *handling.mean_s.get_ref(), *handling.cv.get_ref()),
        Shape::Exponential => draw_exponential(chance, *handling.mean_s.get_ref()),
    };
    let wrap_up = draw_exponential(chance, *wrap_up);
    let mut attempts = [Attempt::default(); ATTEMPTS_MAX];
    for attempt in &mut attempts {
        *attempt = draw_attempt(profile, chance);
    }
    CallerPlan {
        at,
        line,
        priority: is_urgent.then_some(1),
        handling: Duration::from_secs_f64(talking),
        wrap_up: Duration::from_secs_f64(wrap_up),
        attempts,
        luck: chance.next_u64(),
    }
}

fn draw_attempt(profile: &Profile, chance: &mut Chance) -> Attempt {
    let patience = &profile.patience;
    let is_hurried = chance.fraction() < *patience.hurried_share.get_ref();
    let drawn = chance.fraction();
    let span = match is_hurried {
        true => patience.hurried_mean_s.get_ref() * (2.0 + 2.0 * drawn) / 3.0,
        false => {
            let means = patience.means_s.get_ref();
            let mean = means.get(chance.below(means.len() as u64) as usize).copied().unwrap_or_default();
            -mean * (1.0 - drawn).ln()
        }
    };
    let (calls_again, after) = (chance.fraction(), draw_exponential(chance, *patience.again_after_mean_s.get_ref()));
    Attempt {
        patience: Duration::from_secs_f64(span.max(0.0)),
        again_after: (calls_again < *patience.again_share.get_ref()).then(|| Duration::from_secs_f64(after)),
    }
}

/// Exponential, with this mean; a mean that is no number or endless is never.
fn draw_exponential(chance: &mut Chance, mean: f64) -> f64 {
    let drawn = -mean * (1.0 - chance.fraction()).ln();
    if drawn.is_finite() { drawn.max(0.0) } else { f64::from(u32::MAX) }
}

/// Standard normal (Box and Muller).
fn draw_normal(chance: &mut Chance) -> f64 {
    let (radius, angle) = (1.0 - chance.fraction(), chance.fraction() * TAU);
    (-2.0 * radius.ln()).sqrt() * angle.cos()
}

fn draw_lognormal(chance: &mut Chance, mean: f64, cv: f64) -> f64 {
    let variance = (1.0 + cv * cv).ln();
    (mean.ln() - variance / 2.0 + variance.sqrt() * draw_normal(chance)).exp()
}

/// Gamma with mean 1 and this coefficient of variation (Marsaglia and Tsang 2000; the shape is at least 1).
fn draw_gamma(chance: &mut Chance, cv: f64) -> f64 {
    if cv <= 0.0 {
        return 1.0;
    }
    let shape = 1.0 / (cv * cv);
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    // One try in twenty fails: a hundred never do.
    for _ in 0..100 {
        let x = draw_normal(chance);
        let v = (1.0 + c * x).powi(3);
        let u = 1.0 - chance.fraction();
        if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v / shape;
        }
    }
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(draw: impl Fn(&mut Chance) -> f64) -> (f64, f64) {
        let mut chance = Chance::from_number(1);
        let drawn: Vec<f64> = (0..20_000).map(|_| draw(&mut chance)).collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let variance = drawn.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
        (mean, variance.sqrt() / mean)
    }

    #[test]
    fn what_is_drawn_has_the_mean_and_the_variation_asked_for() {
        let cases = [
            ("lognormal", moments(|chance| draw_lognormal(chance, 165.0, 0.8)), (165.0, 0.8)),
            ("gamma", moments(|chance| draw_gamma(chance, 0.12)), (1.0, 0.12)),
            ("exponential", moments(|chance| draw_exponential(chance, 30.0)), (30.0, 1.0)),
        ];
        for (name, (mean, cv), (mean_asked, cv_asked)) in cases {
            assert!((mean / mean_asked - 1.0).abs() < 0.03, "{name}: mean {mean}");
            assert!((cv / cv_asked - 1.0).abs() < 0.06, "{name}: cv {cv}");
        }
    }
}
