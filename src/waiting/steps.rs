//! A demand in time: its steps as they begin, by the wait or by the forecast, and what somebody changes of it.

use std::time::Duration;

use crate::model::centre::Demand;
use crate::model::{CallId, Forecast, Moment, Now, RoutingTurn, SoundId};

use super::need::{Place, Wanted};
use super::room::Waiter;
use super::{StateChange, WaitingError, WaitingRoom};

/// How often the forecast of a caller with a step by forecast is looked at, all of them at once: a forecast changes with
/// every call, and a caller does not.
const FORECAST_EVERY: Duration = Duration::from_secs(5);

impl Waiter {
    /// When its next step may begin.
    fn next_wake(&self, now: Moment) -> Option<Moment> {
        let ahead = || self.demand.steps.iter().skip(self.step);
        let by_wait = ahead().filter_map(|step| step.after).min().map(|after| self.entered.moment + after);
        let grid = FORECAST_EVERY.as_micros() as u64;
        let by_forecast = ahead().any(|step| step.forecast.is_some()).then(|| Moment((now.0 / grid + 1) * grid));
        [by_wait, by_forecast].into_iter().flatten().min()
    }
}

impl WaitingRoom {
    /// Ends what ends by itself and begins the steps whose time has come.
    pub fn tick(&mut self, now: Now, out: &mut Vec<StateChange>) {
        self.regulators.tick(now, out);
        // Worked out for all at once, and only when a step asks for it: all who have such steps wake at one instant.
        let mut foreseen = None;
        while let Some((at, place)) = self.wakes.first().copied()
            && at <= now.moment
        {
            self.wakes.remove(&(at, place));
            let Some(waiter) = self.waiters.get_mut(&place) else { continue };
            waiter.wake = None;
            let call = waiter.call;
            let forecast = match self.waits_for_forecast(place) {
                true => foreseen.get_or_insert_with(|| self.forecasts(now)).get(&call).copied(),
                false => None,
            };
            self.look_at_steps(place, forecast, now);
        }
    }

    /// Whether a step by forecast lies before somebody who is being rung for none.
    fn waits_for_forecast(&self, place: Place) -> bool {
        let waiter = self.waiters.get(&place).filter(|waiter| waiter.offered_to.is_none());
        waiter.is_some_and(|one| one.demand.steps.iter().skip(one.step).any(|step| step.forecast.is_some()))
    }

    /// Begins the step of a waiter whose time has come, and says when to look again.
    fn look_at_steps(&mut self, place: Place, mut forecast: Option<Forecast>, now: Now) {
        let Some(waiter) = self.waiters.get(&place) else { return };
        let by_wait = waiter.demand.step_at(now.moment.since(waiter.entered.moment));
        let mut place = place;
        if by_wait > waiter.step {
            place = self.begin_step(place, (by_wait, false), now);
        }
        // Each step by forecast changes the forecast: this caller's next one is judged by the new one.
        while let Some(step) = self.step_by_forecast(place, forecast) {
            place = self.begin_step(place, (step, true), now);
            forecast = self.waiters.get(&place).and_then(|waiter| self.forecast(waiter.call, now));
        }
        self.set_wake(place, now.moment);
    }

    /// The next step whose forecast is reached, if any: of somebody who is being rung for none.
    fn step_by_forecast(&self, place: Place, forecast: Option<Forecast>) -> Option<usize> {
        let waiter = self.waiters.get(&place).filter(|waiter| waiter.offered_to.is_none())?;
        let mut ahead = waiter.demand.steps.iter().enumerate().skip(waiter.step);
        // Whom nobody on duty could ever answer waits for ever.
        let foreseen = forecast.map_or(u64::MAX, |forecast| forecast.nine_in_ten_ms);
        let is_reached = |limit: Duration| u128::from(foreseen) >= limit.as_millis();
        ahead.find(|(_, step)| step.forecast.is_some_and(is_reached)).map(|(index, _)| index + 1)
    }

    /// The caller's place may change with its priority; returns the present one.
    fn begin_step(&mut self, place: Place, (step, by_forecast): (usize, bool), now: Now) -> Place {
        let Some(waiter) = self.waiters.get_mut(&place) else { return place };
        let steps = waiter.demand.steps.get(waiter.step..step).unwrap_or_default();
        let message: Option<SoundId> = steps.iter().rev().find_map(|step| step.message.clone());
        waiter.step = step;
        let (call, priority) = (waiter.call, waiter.demand.priority_at(step));
        let place = self.place_again(place, Place { priority, ..place });
        if let Some(message) = &message {
            self.notes.say(call, message.clone());
        }
        if self.notes.is_kept() {
            let (asked, forecast) = (self.asked(place), self.forecast(call, now));
            let turn =
                asked.map(|asked| RoutingTurn::Step { step: step as u32, by_forecast, asked, message, forecast });
            self.note(place, turn, now);
        }
        place
    }

    /// What somebody waits for, and where in the order, has changed.
    fn place_again(&mut self, was: Place, place: Place) -> Place {
        let Some(mut waiter) = self.waiters.remove(&was) else { return was };
        if let Some(wake) = waiter.wake.take() {
            self.wakes.remove(&(wake, was));
        }
        let needs = &mut self.regulators.needs;
        let people = &self.regulators.people;
        let need = needs.take_up(Wanted::at(&waiter.demand, waiter.step), people);
        let later = needs.take_up_later(&waiter.demand, waiter.step, people);
        needs.wait_no_more(waiter.need, was);
        needs.give_up(waiter.need);
        std::mem::replace(&mut waiter.later, later).into_iter().for_each(|need| needs.give_up(need));
        waiter.need = need;
        if waiter.offered_to.is_none() {
            needs.wait(need, place);
        }
        self.places.insert(waiter.call, place);
        self.waiters.insert(place, waiter);
        place
    }

    /// Says when the caller's steps are to be looked at again; at once for one that has just come.
    pub(super) fn set_wake(&mut self, place: Place, now: Moment) {
        let Some(waiter) = self.waiters.get_mut(&place) else { return };
        if let Some(before) = waiter.wake.take() {
            self.wakes.remove(&(before, place));
        }
        waiter.wake = waiter.next_wake(now);
        if let Some(wake) = waiter.wake {
            self.wakes.insert((wake, place));
        }
    }

    /// Somebody changes what a waiting call asks: it keeps its wait, and a phone that rings for it goes on ringing.
    ///
    /// # Errors
    /// When it does not wait, or nobody of the configuration could ever meet the new demand.
    pub fn redemand(&mut self, call: CallId, demand: Demand, now: Now) -> Result<(), WaitingError> {
        let place = self.places.get(&call).copied().ok_or(WaitingError::NotWaiting)?;
        if !self.anyone_fits(&demand) {
            return Err(WaitingError::NobodyFits);
        }
        let waiter = self.waiters.get_mut(&place).ok_or(WaitingError::NotWaiting)?;
        waiter.step = demand.step_at(now.moment.since(waiter.entered.moment));
        let (region, priority) = (demand.region.clone(), demand.priority_at(waiter.step));
        waiter.demand = demand;
        // What was foreseen for another demand is held against nothing.
        waiter.foreseen = None;
        let place = self.place_again(place, Place { priority, ..place });
        let turn = self.asked(place).map(|asked| RoutingTurn::Changed { region, asked });
        self.note(place, turn, now);
        self.set_wake(place, now.moment);
        Ok(())
    }

    /// The demand of a call in the room, as it stands.
    pub fn demand_of(&self, call: CallId) -> Option<&Demand> {
        Some(&self.waiters.get(self.places.get(&call)?)?.demand)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Stage;
    use super::*;
    use crate::model::centre::{DemandChange, Step};
    use crate::model::{OfferEnd, Reach};
    use crate::routing::sample::{demand, regulator};

    const PLAIN: &[(&str, u8)] = &[("regulation", 50)];

    fn after(s: u64) -> Step {
        Step { after: Some(Duration::from_secs(s)), ..Step::default() }
    }

    /// A caller of Cherbourg who looks so far, with these steps.
    fn looking(reach: Reach, steps: Vec<Step>) -> Demand {
        Demand { reach, steps, ..demand("cherbourg", PLAIN, &[]) }
    }

    #[test]
    fn a_narrow_reach_holds_the_call_until_a_step_widens_it() {
        let person = |id, region| regulator(id, PLAIN, &[(region, 0)]);
        let people = vec![person("a-far", "cannes"), person("b-beside", "caen"), person("c-sibling", "rouen")];
        let mut stage = Stage::new(people);
        stage.register(&["a-far", "b-beside", "c-sibling"]);
        let wider = |s, reach| Step { reach: Some(reach), ..after(s) };
        let steps = vec![wider(10, Reach::Neighbours), wider(20, Reach::Parent), wider(30, Reach::All)];
        for (wait_s, expected) in [(10, "b-beside"), (20, "c-sibling"), (30, "a-far")] {
            let call = stage.enter(looking(Reach::Home, steps.clone()));
            assert!(stage.choose().is_empty());
            stage.pass(wait_s - 1);
            assert!(stage.choose().is_empty(), "{expected}");
            stage.pass(1);
            let choice = stage.choose().remove(0);
            assert_eq!((choice.call, choice.regulator.as_str()), (call, expected));
            assert_eq!(choice.reasoning.excluded.get("region").copied().unwrap_or(0), (30 - wait_s) as u32 / 10);
            assert!(stage.answer(expected, call));
        }
    }

    #[test]
    fn priority_1_is_not_held_for_its_region() {
        let mut stage = Stage::new(vec![regulator("far", PLAIN, &[("cannes", 0)])]);
        stage.register(&["far"]);
        stage.enter(Demand { priority: 1, ..looking(Reach::Home, Vec::new()) });
        assert_eq!(stage.choose().len(), 1);
    }

    #[test]
    fn a_step_that_raises_the_priority_moves_the_caller_forward() {
        let mut stage = Stage::new(vec![regulator("a", PLAIN, &[])]);
        let other = stage.enter(Demand { priority: 3, ..looking(Reach::All, Vec::new()) });
        let raised = stage.enter(looking(Reach::All, vec![Step { priority: Some(2), ..after(30) }]));
        stage.pass(29);
        stage.tick();
        assert_eq!(stage.room.waiting(stage.now)[0].call, other);
        stage.pass(1);
        stage.tick();
        let first = stage.room.waiting(stage.now).remove(0);
        assert_eq!((first.call, first.priority, first.step), (raised, 2, 1));
        stage.register(&["a"]);
        assert_eq!(stage.pairs(), [(raised, "a".to_owned())]);
        stage.room.leave(raised);
        assert_eq!(stage.room.deadline(), None);
    }

    #[test]
    fn a_step_says_its_message_once() {
        let mut stage = Stage::new(vec![regulator("a", PLAIN, &[])]);
        let call = stage.enter(looking(Reach::All, vec![Step { message: Some("patience".into()), ..after(30) }]));
        stage.pass(30);
        stage.tick();
        assert_eq!(stage.room.take_messages(), [(call, "patience".into())]);
        stage.pass(30);
        stage.tick();
        assert!(stage.room.take_messages().is_empty());
    }

    #[test]
    fn a_step_by_forecast_begins_when_so_long_a_wait_is_foreseen_and_stays() {
        let people = vec![regulator("a", PLAIN, &[("cherbourg", 0)]), regulator("b", &[("regulation", 10)], &[])];
        let mut stage = Stage::new(people);
        stage.register(&["a"]);
        stage.talk("a");
        let wider = Step {
            forecast: Some(Duration::from_secs(600)),
            needs: Some("regulation".parse().expect("one")),
            ..Step::default()
        };
        let first = stage.enter(looking(Reach::All, vec![wider.clone()]));
        stage.register(&["b"]);
        assert!(stage.choose().is_empty(), "one caller ahead of nobody does not wait ten minutes");
        stage.end_offer("a", OfferEnd::Cancelled);
        let second = stage.enter(looking(Reach::All, vec![wider]));
        stage.pass(5);
        assert_eq!(stage.pairs(), [(second, "b".to_owned())]);
        stage.room.leave(first);
        stage.end_offer("b", OfferEnd::Refused);
        assert_eq!(stage.room.waiting(stage.now)[0].step, 1);
    }

    #[test]
    fn whoever_changes_a_demand_leaves_the_caller_its_wait() {
        let mut stage = Stage::new(vec![regulator("a", &[("regulation", 50), ("lang-en", 40)], &[])]);
        let (first, second) = (stage.enter_plain(), stage.enter_plain());
        stage.pass(30);
        let change = DemandChange {
            needs: Some("lang-en >= 30".parse().expect("one")),
            priority: Some(2),
            ..Default::default()
        };
        let demand = stage.room.demand_of(second).expect("it waits").changed_by(&change);
        assert_eq!(stage.room.redemand(second, demand.clone(), stage.now), Ok(()));
        let places = stage.room.waiting(stage.now);
        assert_eq!(places.iter().map(|one| one.call).collect::<Vec<_>>(), [second, first]);
        assert_eq!((places[0].waited.as_secs(), places[0].needs.to_string()), (30, "lang-en >= 30".into()));
        let never =
            demand.changed_by(&DemandChange { needs: Some("chinese".parse().expect("one")), ..Default::default() });
        assert_eq!(stage.room.redemand(second, never.clone(), stage.now), Err(WaitingError::NobodyFits));
        stage.register(&["a"]);
        assert_eq!(stage.pairs(), [(second, "a".to_owned())]);
        assert!(stage.answer("a", second));
        assert_eq!(stage.room.redemand(second, never, stage.now), Err(WaitingError::NotWaiting));
    }
}
