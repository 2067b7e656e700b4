//! One run: callers, shifts and phones in virtual time around a router.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::model::{Moment, Now, OfferEnd, Utc};

use super::measure::Tally;
use super::router::{Ask, CallKey, Router};
use super::scenario::{ATTEMPTS_MAX, CallerPlan, Scenario};

/// What happens, in the order of time; of one instant, in the order in which it was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Come(usize),
    Go(usize),
    HangUp { person: usize, caller: usize },
    PickUp { offer: u64, caller: usize },
    RingOut { offer: u64, caller: usize },
    GiveUp { call: CallKey, caller: usize },
    Arrive(usize),
}

/// What a caller is doing.
#[derive(Clone, Copy, Debug, Default)]
struct Caller {
    attempt: usize,
    entered: Moment,
    waited_before: Duration,
    is_waiting: bool,
    offers: u64,
    /// The live offer, and at whose phone.
    offer: Option<(u64, usize)>,
}

/// A run.
pub struct World<'a, R> {
    scenario: &'a Scenario,
    router: R,
    queue: BinaryHeap<Reverse<(Moment, u64, Event)>>,
    order: u64,
    offers: u64,
    callers: Vec<Caller>,
    now: Now,
    choices: Vec<(CallKey, usize)>,
    tally: Tally,
}

impl<'a, R: Router> World<'a, R> {
    /// Plays the scenario to its end: until the last caller who came in its span is answered or gone.
    pub fn play(scenario: &'a Scenario, router: R) -> Tally {
        let mut world = World {
            scenario,
            router,
            queue: BinaryHeap::new(),
            order: 0,
            offers: 0,
            callers: vec![Caller::default(); scenario.callers.len()],
            now: Now { moment: Moment(0), utc: scenario.start },
            choices: Vec::new(),
            tally: Tally::new(scenario),
        };
        for duty in scenario.duties.iter() {
            world.plan(duty.from, Event::Come(duty.person));
            // Who is on duty at the end stays until all is over.
            if duty.to < scenario.span {
                world.plan(duty.to, Event::Go(duty.person));
            }
        }
        for (index, caller) in scenario.callers.iter().enumerate() {
            world.plan(caller.at, Event::Arrive(index));
        }
        world.run();
        world.tally
    }

    fn plan(&mut self, at: Duration, event: Event) {
        self.order += 1;
        self.queue.push(Reverse((Moment(0) + at, self.order, event)));
    }

    fn after(&mut self, span: Duration, event: Event) {
        self.order += 1;
        self.queue.push(Reverse((self.now.moment + span, self.order, event)));
    }

    fn run(&mut self) {
        loop {
            let next = self.queue.peek().map(|Reverse((at, ..))| *at);
            let at = match (next, self.router.deadline()) {
                (Some(next), Some(deadline)) => next.min(deadline),
                (Some(next), None) => next,
                // Nothing comes any more but ends of rests: nobody is there whom they could matter to.
                (None, _) => return,
            };
            self.now = Now { moment: at, utc: Utc(self.scenario.start.0.saturating_add(at.0 as i64)) };
            while let Some(Reverse((when, _, event))) = self.queue.peek().copied()
                && when <= at
            {
                self.queue.pop();
                self.happen(event);
            }
            let mut choices = std::mem::take(&mut self.choices);
            self.router.choose(self.now, &mut choices);
            for (call, person) in choices.drain(..) {
                self.ring(call, person);
            }
            self.choices = choices;
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Come(person) => self.router.come(person, self.now),
            Event::Go(person) => self.router.go(person, self.now),
            Event::Arrive(caller) => self.arrive(caller),
            Event::GiveUp { call, caller } => self.give_up(call, caller),
            Event::RingOut { offer, caller } => {
                if let Some(person) = self.take_offer(offer, caller) {
                    self.router.end_offer(person, OfferEnd::TimedOut, self.now);
                }
            }
            Event::PickUp { offer, caller } => self.pick_up(offer, caller),
            Event::HangUp { person, caller } => {
                let wrap_up = self.scenario.callers.get(caller).map_or(Duration::ZERO, |plan| plan.wrap_up);
                self.router.release(person, wrap_up, self.now);
            }
        }
    }

    fn key(caller: usize, attempt: usize) -> CallKey {
        (caller * ATTEMPTS_MAX + attempt) as CallKey
    }

    fn arrive(&mut self, index: usize) {
        let (Some(plan), Some(caller)) = (self.scenario.callers.get(index), self.callers.get_mut(index)) else {
            return;
        };
        let call = Self::key(index, caller.attempt);
        let ask = Ask { call, line: plan.line, priority: plan.priority, waited_before: caller.waited_before };
        (caller.entered, caller.offer) = (self.now.moment, None);
        caller.is_waiting = self.router.enter(&ask, self.now);
        let attempt = caller.attempt;
        self.tally.offered(plan, attempt == 0);
        let patience = plan.attempts.get(attempt).map_or(Duration::ZERO, |attempt| attempt.patience);
        let line = self.scenario.lines.get(plan.line).and_then(|id| self.scenario.centre.lines.get(id));
        let longest = line.map_or(Duration::MAX, |line| line.waiting_max);
        self.after(patience.min(longest), Event::GiveUp { call, caller: index });
    }

    fn give_up(&mut self, call: CallKey, index: usize) {
        let (Some(plan), Some(caller)) = (self.scenario.callers.get(index), self.callers.get_mut(index)) else {
            return;
        };
        if !caller.is_waiting || Self::key(index, caller.attempt) != call {
            return;
        }
        let waited = self.now.moment.since(caller.entered);
        let again_after = plan.attempts.get(caller.attempt).and_then(|attempt| attempt.again_after);
        caller.is_waiting = false;
        // As `Persons` keeps it: for so long after an unserved call, and not at all with zero.
        let within = self.scenario.centre.callers.return_within;
        let is_kept = again_after.is_some_and(|span| span <= within && !within.is_zero());
        caller.waited_before = if is_kept { caller.waited_before + waited } else { Duration::ZERO };
        let offer = caller.offer.take();
        let again_after = again_after.filter(|_| caller.attempt + 1 < ATTEMPTS_MAX);
        caller.attempt += usize::from(again_after.is_some());
        self.router.leave(call, self.now);
        if let Some((_, person)) = offer {
            self.router.end_offer(person, OfferEnd::Cancelled, self.now);
        }
        self.tally.abandoned(plan, waited);
        if let Some(span) = again_after {
            self.after(span, Event::Arrive(index));
        }
    }

    fn ring(&mut self, call: CallKey, person: usize) {
        let index = call as usize / ATTEMPTS_MAX;
        let (Some(plan), Some(caller)) = (self.scenario.callers.get(index), self.callers.get_mut(index)) else {
            return;
        };
        self.offers += 1;
        caller.offers += 1;
        let offer = self.offers;
        caller.offer = Some((offer, person));
        match ringing(self.scenario, plan, caller.offers) {
            Some(span) => self.after(span, Event::PickUp { offer, caller: index }),
            None => {
                let longest = self.scenario.centre.offers.ring_duration_max;
                self.after(longest, Event::RingOut { offer, caller: index });
            }
        }
    }

    /// The person of the caller's live offer, if it is this one; it is over now.
    fn take_offer(&mut self, offer: u64, caller: usize) -> Option<usize> {
        let live = &mut self.callers.get_mut(caller)?.offer;
        let (_, person) = (*live).filter(|(number, _)| *number == offer)?;
        *live = None;
        Some(person)
    }

    fn pick_up(&mut self, offer: u64, index: usize) {
        let Some(person) = self.take_offer(offer, index) else { return };
        let (Some(plan), Some(caller)) = (self.scenario.callers.get(index), self.callers.get_mut(index)) else {
            return;
        };
        caller.is_waiting = false;
        let waited = self.now.moment.since(caller.entered);
        let call = Self::key(index, caller.attempt);
        let is_answered = self.router.answer(person, call, self.now);
        debug_assert!(is_answered, "the phone rang for another call");
        let (factor, is_away) = self.scenario.distance(plan.line, person);
        let handling = plan.handling.mul_f64(factor);
        self.tally.answered(plan, person, (waited, handling), is_away);
        self.after(handling, Event::HangUp { person, caller: index });
    }
}

/// How long the phone rings until it is picked up; `None` when nobody does.
fn ringing(scenario: &Scenario, plan: &CallerPlan, offer: u64) -> Option<Duration> {
    let (first, second) = (fraction(plan.luck, 2 * offer), fraction(plan.luck, 2 * offer + 1));
    if first < scenario.ringing.unanswered {
        return None;
    }
    let mean = scenario.ringing.mean.as_secs_f64();
    let span = Duration::from_secs_f64((-mean * (1.0 - second).ln()).max(0.0));
    // Who picks up does so before the phone stops.
    Some(span.min(scenario.centre.offers.ring_duration_max.mul_f64(0.99)))
}

/// The `place`-th fraction in `0.0..1.0` of a caller's luck (the finaliser of splitmix64, by Vigna).
fn fraction(luck: u64, place: u64) -> f64 {
    let mut bits = luck.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::simulate::profile::Source;
    use crate::cli::simulate::scenario::Attempt;
    use crate::cli::simulate::site::Site;

    /// Serves nobody, and notes what each call brings.
    #[derive(Default)]
    struct Deaf(std::rc::Rc<std::cell::RefCell<Vec<Duration>>>);

    impl Router for Deaf {
        fn come(&mut self, _: usize, _: Now) {}
        fn go(&mut self, _: usize, _: Now) {}
        fn enter(&mut self, ask: &Ask, _: Now) -> bool {
            self.0.borrow_mut().push(ask.waited_before);
            true
        }
        fn leave(&mut self, _: CallKey, _: Now) {}
        fn end_offer(&mut self, _: usize, _: OfferEnd, _: Now) {}
        fn answer(&mut self, _: usize, _: CallKey, _: Now) -> bool {
            false
        }
        fn release(&mut self, _: usize, _: Duration, _: Now) {}
        fn deadline(&self) -> Option<Moment> {
            None
        }
        fn choose(&mut self, _: Now, _: &mut Vec<(CallKey, usize)>) {}
    }

    fn brought(again_after_s: u64) -> Vec<u64> {
        let text = include_str!("../../../config/profiles/one-site.toml").replace("days = 56", "days = 1");
        let site = Site::new(&Source::of(&text), None).unwrap_or_else(|error| panic!("{error}"));
        let mut scenario = site.scenario(1);
        scenario.callers.truncate(1);
        let again_after = Some(Duration::from_secs(again_after_s));
        scenario.callers[0].attempts = [Attempt { patience: Duration::from_secs(60), again_after }; ATTEMPTS_MAX];
        let noted = Deaf::default();
        let brought = noted.0.clone();
        World::play(&scenario, noted);
        brought.borrow().iter().map(Duration::as_secs).collect()
    }

    #[test]
    fn a_wait_is_kept_for_ten_minutes_as_in_production_and_no_longer() {
        assert_eq!(brought(600), [0, 60, 120]);
        assert_eq!(brought(601), [0, 0, 0]);
    }
}
