//! How long a caller will go on waiting: from the people who can really answer it, step by step, and from those before it;
//! scaled by what came of earlier forecasts, so that "nine in ten" is nine in ten.
//!
//! A caller with k others before it is served by the k+1st of its people to become free. People become free at the rate
//! of how many they are by how long they are busy, so that the work until then follows a gamma law with the shape k+1
//! (Erlang's). The pool changes as steps relax the demand; what is left is only an estimate, and so its outcome is held
//! against it: the scale moves up with each caller who waited longer than told and down with each who did not, in the
//! proportion that the quantile asks (Robbins & Monro 1951).

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::model::centre::Demand;
use crate::model::{CallId, Forecast, ForecastDay, Now};

use super::WaitingRoom;
use super::crowd::Crowd;
use super::need::{Need, NeedId, Place, Wanted};
use super::regulators::Regulators;
use super::room::Waiter;

/// How long a regulator is busy with a caller, before anything is known: 165 s and 30 s of rest.
const BUSY_PRIOR_S: f64 = 195.0;
/// What the prior weighs, in callers.
const BUSY_PRIOR_WEIGHT: u32 = 20;
/// How many callers the mean remembers: a shift's habits, not last year's.
const BUSY_MEMORY_MAX: u32 = 400;
/// What one outcome moves the scale by, as a fraction.
const LEARNING_RATE: f64 = 0.05;
/// The scale stays within this factor of the bare estimate, both ways: one strange day must not undo all.
const SCALE_MAX: f64 = 8.0;
/// No forecast is longer: nobody plans with more.
const FORECAST_MAX: Duration = Duration::from_secs(4 * 3600);

/// The standard normal deviate of nine in ten.
const NINE_IN_TEN: f64 = 1.281_551_6;
const MEDIAN: f64 = 0.0;

/// What is learned while it runs.
#[derive(Clone, Debug)]
pub(super) struct Learned {
    busy_mean_s: f64,
    weight: u32,
    today: ForecastDay,
    is_told: bool,
}

impl Default for Learned {
    fn default() -> Learned {
        let today = ForecastDay {
            scale_median: 1.0,
            scale_nine_in_ten: 1.0,
            busy_mean_ms: BUSY_PRIOR_S * 1000.0,
            ..ForecastDay::default()
        };
        Learned { busy_mean_s: BUSY_PRIOR_S, weight: BUSY_PRIOR_WEIGHT, today, is_told: true }
    }
}

impl Learned {
    pub fn note_busy(&mut self, lasted: Duration) {
        self.weight = (self.weight + 1).min(BUSY_MEMORY_MAX);
        self.busy_mean_s += (lasted.as_secs_f64() - self.busy_mean_s) / f64::from(self.weight);
        self.today.busy_mean_ms = self.busy_mean_s * 1000.0;
    }

    /// What came of a forecast; `waited` to the answer, or (not `answered`) at least so long.
    fn judge(&mut self, foreseen: &Forecast, waited: Duration, answered: bool, day: String) {
        if self.today.day != day {
            let today = &mut self.today;
            (today.day, today.judged, today.within_median, today.within_nine_in_ten) = (day, 0, 0, 0);
        }
        let waited_ms = waited.as_millis() as u64;
        let is_within = |told_ms: u64| waited_ms <= told_ms;
        // Of somebody who left before the time told nobody knows what would have come.
        if !answered && is_within(foreseen.nine_in_ten_ms) {
            return;
        }
        self.is_told = false;
        let today = &mut self.today;
        today.judged += 1;
        today.within_median += u32::from(is_within(foreseen.median_ms));
        today.within_nine_in_ten += u32::from(is_within(foreseen.nine_in_ten_ms));
        let moved = |scale: f64, aim: f64, hit: bool| {
            let by = LEARNING_RATE * (aim - if hit { 1.0 } else { 0.0 });
            (scale * by.exp()).clamp(1.0 / SCALE_MAX, SCALE_MAX)
        };
        today.scale_median = moved(today.scale_median, 0.5, is_within(foreseen.median_ms));
        today.scale_nine_in_ten = moved(today.scale_nine_in_ten, 0.9, is_within(foreseen.nine_in_ten_ms));
    }
}

/// The quantile of a gamma law of this shape and the scale 1, by Wilson and Hilferty (1931); within 3 % from shape 1 on.
fn gamma_quantile(shape: f64, deviate: f64) -> f64 {
    let ninth = 1.0 / (9.0 * shape);
    shape * (1.0 - ninth + deviate * ninth.sqrt()).max(0.0).powi(3)
}

/// So much of somebody's work until a caller is served, in callers; and how the pool changes as it waits.
struct Course {
    /// Callers before it.
    ahead: f64,
    /// From which wait on, counted from now, how many people; in order.
    pools: Vec<(Duration, f64)>,
    /// How many of the first pool are free.
    free: f64,
}

impl Course {
    /// How long until so much work is done; `None` when it never is.
    fn until(&self, work: f64, busy_mean_s: f64) -> Option<Duration> {
        let mut left = work * busy_mean_s;
        for (number, (from, people)) in self.pools.iter().enumerate() {
            let span = self.pools.get(number + 1).map(|(next, _)| next.saturating_sub(*from).as_secs_f64());
            let done = span.map_or(f64::INFINITY, |span| span * people);
            if *people > 0.0 && done >= left {
                let lasts = (from.as_secs_f64() + left / people).min(FORECAST_MAX.as_secs_f64());
                return Some(Duration::from_secs_f64(lasts));
            }
            left -= done.min(left);
        }
        None
    }

    fn forecast(&self, learned: &Learned) -> Option<Forecast> {
        let pool = self.pools.first().map_or(0.0, |(_, people)| *people) as u32;
        let ahead = self.ahead.round() as u32;
        let shape = self.ahead + 1.0 - self.free;
        if shape <= 0.0 {
            return Some(Forecast { median_ms: 0, nine_in_ten_ms: 0, ahead, pool });
        }
        let ms = |deviate, scale: f64| {
            let wait = self.until(gamma_quantile(shape.max(0.25), deviate) * scale, learned.busy_mean_s)?;
            Some(wait.as_millis() as u64)
        };
        let median_ms = ms(MEDIAN, learned.today.scale_median)?;
        let nine_in_ten_ms = ms(NINE_IN_TEN, learned.today.scale_nine_in_ten)?.max(median_ms);
        Some(Forecast { median_ms, nine_in_ten_ms, ahead, pool })
    }
}

/// How many wait for each need before somebody.
type Ahead = BTreeMap<NeedId, u32>;

/// What was worked out for one caller and is the same for the next: of two thousand few ask anything of their own.
#[derive(Default)]
struct Known {
    /// How many people on duty fit what a later step asks.
    pools: HashMap<Wanted, f64>,
    /// How many of those on duty who fit the first need fit the second, of one of the first.
    shares: HashMap<(NeedId, NeedId), f64>,
}

impl WaitingRoom {
    /// How long a call in the room will go on waiting; `None` when it is not there, or nobody on duty could ever answer.
    pub fn forecast(&self, call: CallId, now: Now) -> Option<Forecast> {
        let place = *self.places.get(&call)?;
        let waiter = self.waiters.get(&place)?;
        let ahead = self.count_ahead(place);
        self.foresee_waiter(waiter, &ahead, &mut Known::default(), now)
    }

    /// The same for a caller who would enter now with this demand, behind all of its priority.
    pub fn forecast_for(&self, demand: &Demand, now: Now) -> Option<Forecast> {
        let last = Place { priority: demand.priority_at(0), since: now.moment, arrival: u64::MAX };
        let ahead = self.count_ahead(last);
        let own = self.regulators.needs.fitting_of(&Wanted::at(demand, 0), &self.regulators.people);
        let course = Course {
            ahead: ahead.iter().filter_map(|(need, count)| Some(f64::from(*count) * self.share(*need, &own)?)).sum(),
            ..self.course(demand, &own, (Duration::ZERO, 0), &mut Known::default())
        };
        course.forecast(&self.regulators.learned)
    }

    /// The same for everybody in the room, at once.
    pub fn forecasts(&self, now: Now) -> HashMap<CallId, Forecast> {
        let (mut ahead, mut forecasts) = (Ahead::new(), HashMap::with_capacity(self.waiters.len()));
        let mut known = Known::default();
        for waiter in self.waiters.values() {
            if let Some(forecast) = self.foresee_waiter(waiter, &ahead, &mut known, now) {
                forecasts.insert(waiter.call, forecast);
            }
            if waiter.offered_to.is_none() {
                *ahead.entry(waiter.need).or_default() += 1;
            }
        }
        forecasts
    }

    fn count_ahead(&self, place: Place) -> Ahead {
        let count = |need: &Need| need.waiting.range(..place).count() as u32;
        self.regulators.needs.all().map(|(id, need)| (id, count(need))).filter(|(_, count)| *count > 0).collect()
    }

    fn foresee_waiter(&self, waiter: &Waiter, ahead: &Ahead, known: &mut Known, now: Now) -> Option<Forecast> {
        if waiter.offered_to.is_some() {
            return Some(Forecast::default());
        }
        let waited = now.moment.since(waiter.entered.moment);
        let own = &self.regulators.needs.find(waiter.need)?.fitting;
        let mut before = 0.0;
        for (need, count) in ahead {
            let share = match known.shares.entry((*need, waiter.need)) {
                Entry::Occupied(share) => *share.get(),
                Entry::Vacant(place) => *place.insert(self.share(*need, own).unwrap_or(0.0)),
            };
            before += f64::from(*count) * share;
        }
        let course = Course { ahead: before, ..self.course(&waiter.demand, own, (waited, waiter.step), known) };
        course.forecast(&self.regulators.learned)
    }

    /// Of those on duty who fit a need, how many are `own`, as a fraction; `None` when there are none.
    fn share(&self, need: NeedId, own: &Crowd) -> Option<f64> {
        let need = self.regulators.needs.find(need)?;
        let on_duty = &self.regulators.on_duty;
        let theirs = need.fitting.count_shared(on_duty);
        let both = need.fitting.count_shared_by_three(own, on_duty);
        (theirs > 0).then(|| both as f64 / theirs as f64)
    }

    /// How the pool changes for somebody who has waited so long at this step; without those before.
    fn course(&self, demand: &Demand, own: &Crowd, (waited, step): (Duration, usize), known: &mut Known) -> Course {
        let regulators = &self.regulators;
        let (needs, on_duty) = (&regulators.needs, &regulators.on_duty);
        let mut pools = vec![(Duration::ZERO, own.count_shared(on_duty) as f64)];
        for (number, one) in demand.steps.iter().enumerate().skip(step) {
            let Some(after) = one.after else { continue };
            let wanted = Wanted::at(demand, number + 1);
            let wider = match known.pools.entry(wanted) {
                Entry::Occupied(pool) => *pool.get(),
                Entry::Vacant(place) => {
                    let wider = needs.fitting_of(place.key(), &regulators.people).count_shared(on_duty) as f64;
                    *place.insert(wider)
                }
            };
            pools.push((after.saturating_sub(waited), wider));
        }
        let free = own.count_shared(&regulators.ready) as f64;
        Course { ahead: 0.0, pools, free }
    }

    /// Keeps what is foreseen for somebody who enters and finds nobody free.
    pub(super) fn foresee(&mut self, place: Place, now: Now) {
        let Some(waiter) = self.waiters.get(&place) else { return };
        let Regulators { needs, ready, .. } = &self.regulators;
        if needs.find(waiter.need).is_some_and(|need| need.fitting.meets(ready)) {
            return;
        }
        let call = waiter.call;
        let foreseen = self.forecast(call, now).filter(|forecast| forecast.nine_in_ten_ms > 0);
        if let Some(waiter) = self.waiters.get_mut(&place) {
            waiter.foreseen = foreseen.map(|forecast| (now.moment, forecast));
        }
    }

    /// Holds what came against what was foreseen.
    pub(super) fn judge(&mut self, call: CallId, answered: bool, now: Now) {
        let Some(waiter) = self.places.get(&call).and_then(|place| self.waiters.get_mut(place)) else { return };
        let Some((at, foreseen)) = waiter.foreseen.take() else { return };
        let waited = now.moment.since(at);
        let zone = self.regulators.centre.zone.clone();
        let day = now.utc.timestamp().to_zoned(zone).date().to_string();
        self.regulators.learned.judge(&foreseen, waited, answered, day);
    }

    /// How true today's forecasts have been so far.
    pub fn calibration(&self) -> &ForecastDay {
        &self.regulators.learned.today
    }

    /// The same when it has changed since this was asked last.
    pub fn take_calibration(&mut self) -> Option<ForecastDay> {
        let learned = &mut self.regulators.learned;
        let is_news = !std::mem::replace(&mut learned.is_told, true);
        is_news.then(|| learned.today.clone())
    }

    /// Goes on with what was learned before a restart.
    pub fn remember_calibration(&mut self, day: ForecastDay) {
        let learned = &mut self.regulators.learned;
        let is_sound = |scale: f64| scale.is_finite() && (1.0 / SCALE_MAX..=SCALE_MAX).contains(&scale);
        if is_sound(day.scale_median) && is_sound(day.scale_nine_in_ten) && day.busy_mean_ms.is_finite() {
            learned.busy_mean_s = (day.busy_mean_ms / 1000.0).clamp(1.0, 3600.0);
            learned.today = day;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Stage;
    use super::*;
    use crate::model::{Chance, DeviceId, Moment};
    use crate::routing::sample::{demand, regulator};

    const PLAIN: &[(&str, u8)] = &[("regulation", 50)];

    #[test]
    fn the_quantiles_of_the_gamma_law_are_right() {
        // Of tables: the exponential's, and Erlang's of 2 and 10.
        for (shape, deviate, expected) in [
            (1.0, NINE_IN_TEN, 2.303),
            (1.0, MEDIAN, 0.693),
            (2.0, NINE_IN_TEN, 3.890),
            (10.0, NINE_IN_TEN, 14.206),
            (10.0, MEDIAN, 9.669),
        ] {
            let found = gamma_quantile(shape, deviate);
            assert!((found / expected - 1.0).abs() < 0.03, "{shape} {deviate}: {found} for {expected}");
        }
    }

    #[test]
    fn somebody_free_means_no_wait_and_nobody_at_all_no_forecast() {
        let mut stage = Stage::new(vec![regulator("a", PLAIN, &[])]);
        let call = stage.enter_plain();
        assert_eq!(stage.room.forecast(call, stage.now), None);
        stage.register(&["a"]);
        assert_eq!(stage.room.forecast(call, stage.now).map(|one| (one.nine_in_ten_ms, one.pool)), Some((0, 1)));
    }

    #[test]
    fn more_callers_ahead_wait_longer_and_more_people_shorten_it() {
        let mut stage = Stage::new(vec![regulator("a", PLAIN, &[]), regulator("b", PLAIN, &[])]);
        stage.register(&["a"]);
        stage.talk("a");
        let (first, second) = (stage.enter_plain(), stage.enter_plain());
        let foreseen = |stage: &Stage, call| stage.room.forecast(call, stage.now).expect("a forecast");
        let (one, two) = (foreseen(&stage, first), foreseen(&stage, second));
        assert_eq!((one.ahead, two.ahead, two.pool), (0, 1, 1));
        assert!(one.median_ms < two.median_ms && two.median_ms < two.nine_in_ten_ms, "{one:?} {two:?}");
        stage.register(&["b"]);
        stage.choose();
        assert!(foreseen(&stage, second).nine_in_ten_ms < two.nine_in_ten_ms);
        let all = stage.room.forecasts(stage.now);
        assert_eq!(all.get(&second), Some(&foreseen(&stage, second)));
        let next = stage.room.forecast_for(&demand("cherbourg", PLAIN, &[]), stage.now).expect("a forecast");
        assert_eq!(next.ahead, 1);
    }

    #[test]
    fn only_those_ahead_whom_the_same_people_answer_count() {
        let people = vec![regulator("a", PLAIN, &[]), regulator("b", &[("administration", 50)], &[])];
        let mut stage = Stage::new(people);
        stage.register(&["a", "b"]);
        stage.talk("a");
        let office = stage.enter(demand("cherbourg", &[("administration", 1)], &[]));
        assert_eq!(stage.pairs(), [(office, "b".to_owned())]);
        stage.enter(demand("cherbourg", &[("administration", 1)], &[]));
        let call = stage.enter_plain();
        assert_eq!(stage.room.forecast(call, stage.now).map(|one| (one.ahead, one.pool)), Some((0, 1)));
    }

    #[test]
    fn a_step_that_widens_the_pool_is_foreseen() {
        let people = vec![regulator("a", &[("regulation", 10)], &[])];
        let mut stage = Stage::new(people);
        stage.register(&["a"]);
        stage.enter(demand("cherbourg", &[], &[]));
        stage.choose();
        let call = stage.enter(demand("cherbourg", PLAIN, &[(60, &[("regulation", 1)])]));
        let foreseen = stage.room.forecast(call, stage.now).expect("after the step");
        assert!(foreseen.pool == 0 && foreseen.median_ms > 60_000, "{foreseen:?}");
    }

    /// A day of one skill and four people who talk exponentially long: what the forecasts said, held against what came.
    #[test]
    fn nine_in_ten_wait_no_longer_than_nine_in_ten_should() {
        let ids = ["a", "b", "c", "d"];
        let mut stage = Stage::new(ids.map(|id| regulator(id, PLAIN, &[])).to_vec());
        let mut chance = Chance::from_number(11);
        let mut exponential = |mean_s: f64| {
            let uniform = (chance.below(1_000_000) as f64 + 0.5) / 1_000_000.0;
            Duration::from_secs_f64(-mean_s * uniform.ln())
        };
        let register = |stage: &mut Stage, id: &str| {
            stage.room.registered(&id.into(), DeviceId(1), stage.now, &mut stage.out);
        };
        ids.iter().for_each(|id| register(&mut stage, id));
        let mut busy: Vec<(Moment, &str)> = Vec::new();
        let mut arrival = stage.now.moment;
        for _ in 0..12_000 {
            let free = busy.iter().map(|(at, _)| *at).min();
            let at = free.unwrap_or(arrival).min(arrival);
            stage.now = stage.now.after(at.since(stage.now.moment));
            if at == arrival {
                stage.enter_plain();
                arrival = arrival + exponential(55.0);
            } else if let Some(number) = busy.iter().position(|(until, _)| *until == at) {
                stage.release(busy.swap_remove(number).1, 0);
            }
            for choice in stage.choose() {
                let id = ids.into_iter().find(|id| *id == choice.regulator.as_str()).expect("known");
                assert!(stage.answer(id, choice.call));
                busy.push((stage.now.moment + exponential(200.0), id));
            }
            stage.out.clear();
        }
        let day = stage.room.calibration();
        assert!(day.judged > 500, "{day:?}");
        let (half, nine) = (
            f64::from(day.within_median) / f64::from(day.judged),
            f64::from(day.within_nine_in_ten) / f64::from(day.judged),
        );
        assert!((half - 0.5).abs() < 0.06 && (nine - 0.9).abs() < 0.03, "{half} {nine} {day:?}");
    }
}
