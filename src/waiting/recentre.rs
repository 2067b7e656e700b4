//! Another configuration under the same people: desks, places and rings stay as they are, what follows from the
//! configuration is worked out anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::crowd::Crowd;
use super::desk::Desk;
use super::need::Wanted;
use super::regulators::Regulators;
use super::room::Waiter;
use super::view::WaitingPlace;
use super::{RegulatorId, WaitingRoom};
use crate::model::{Centre, Moment, Now, RegulatorState};

impl WaitingRoom {
    /// Goes on under `centre`: every state, wait, offer and pause stays. Who is on duty and not in it any more stays known
    /// until he has gone off duty, and is forgotten by the next one.
    pub fn recentre(&mut self, centre: &Arc<Centre>) {
        let old = &self.regulators;
        let staying = self.leaving_under(centre);
        let centre = match staying.is_empty() {
            true => centre.clone(),
            false => {
                let mut kept = Centre::clone(centre);
                let people = staying.iter().filter_map(|id| old.centre.regulators.get(id));
                kept.regulators.extend(people.map(|one| (one.id.clone(), one.clone())));
                Arc::new(kept)
            }
        };
        let old = std::mem::replace(&mut self.regulators, Regulators::new(centre));
        let seats: Vec<Option<usize>> =
            old.desks.into_iter().zip(old.busy_since).map(|desk| self.regulators.seat(desk)).collect();
        self.regulators.learned = old.learned;
        let Regulators { needs, people, .. } = &mut self.regulators;
        for (place, waiter) in &mut self.waiters {
            waiter.need = needs.take_up(Wanted::at(&waiter.demand, waiter.step), people);
            waiter.later = needs.take_up_later(&waiter.demand, waiter.step, people);
            waiter.offered_to = waiter.offered_to.and_then(|index| seats.get(index).copied().flatten());
            if waiter.offered_to.is_none() {
                needs.wait(waiter.need, *place);
            }
        }
    }

    /// Who waits and could be answered by nobody who is on duty now, at any step, if `centre` were in force.
    pub fn stranded_under(&self, centre: &Arc<Centre>, now: Now) -> Vec<WaitingPlace> {
        let other = Regulators::new(centre.clone());
        let on_duty = self.regulators.desks.iter().filter(|desk| desk.state != RegulatorState::Offline);
        let people: Crowd = on_duty.filter_map(|desk| other.find(&desk.regulator)).collect();
        let is_stranded =
            |waiter: &Waiter| !other.needs.any_step(&waiter.demand, &other.people, |fitting| fitting.meets(&people));
        let stranded: BTreeSet<_> =
            self.waiters.values().filter(|waiter| is_stranded(waiter)).map(|waiter| waiter.call).collect();
        self.waiting(now).into_iter().filter(|place| stranded.contains(&place.call)).collect()
    }

    /// Who is on duty and not in `centre`.
    pub fn leaving_under(&self, centre: &Centre) -> Vec<RegulatorId> {
        let on_duty = self.regulators.desks.iter().filter(|desk| desk.state != RegulatorState::Offline);
        on_duty.map(|desk| desk.regulator.clone()).filter(|one| !centre.regulators.contains_key(one)).collect()
    }
}

impl Regulators {
    /// Puts a desk of before in the place of its person's new one; its index, when the person is there.
    fn seat(&mut self, (desk, busy): (Desk, Option<Moment>)) -> Option<usize> {
        let index = self.find(&desk.regulator)?;
        let place = self.desks.get_mut(index)?;
        let desk = desk.under(place);
        let before = self.counts.entry(place.state.name()).or_default();
        *before = before.saturating_sub(1);
        *self.counts.entry(desk.state.name()).or_default() += 1;
        if let Some(until) = desk.until {
            self.timers.insert((until, index));
        }
        if desk.is_on_duty() {
            self.costs.mark(self.people.own.get(index).map_or(&[], Vec::as_slice), true);
            self.on_duty.insert(index);
        }
        if desk.state == RegulatorState::Ready {
            self.ready.insert(index);
        }
        *place = desk;
        if let Some(since) = self.busy_since.get_mut(index) {
            *since = busy;
        }
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::stage::Stage;
    use super::*;
    use crate::routing::sample::{centre, demand, line, regulator};

    const PLAIN: &[(&str, u8)] = &[("regulation", 50)];

    fn under(people: &[&str]) -> Arc<Centre> {
        let people = people.iter().map(|id| regulator(id, PLAIN, &[])).collect();
        Arc::new(centre(people, vec![line("line", "+33233010101", demand("cherbourg", PLAIN, &[]))]))
    }

    #[test]
    fn talking_ringing_resting_and_waiting_go_on_and_who_comes_new_is_offered_the_next() {
        let mut stage = Stage::of((*under(&["a", "b", "c"])).clone());
        stage.register(&["a", "b", "c"]);
        let talks = stage.talk("a");
        let rings = stage.ring("b");
        stage.talk("c");
        stage.release("c", 30);
        let waits = stage.enter_plain();
        assert!(stage.choose().is_empty());
        stage.pass(10);
        let since = stage.room.regulators(stage.now)[0].since;
        stage.room.recentre(&under(&["a", "aa", "b", "c"]));
        assert_eq!(stage.state("a"), RegulatorState::Talking { call: talks });
        assert_eq!(stage.state("b"), RegulatorState::Ringing { call: rings });
        assert_eq!(stage.state("c"), RegulatorState::WrapUp);
        assert_eq!(stage.room.regulators(stage.now)[0].since, since);
        stage.register(&["aa"]);
        assert_eq!(stage.pairs(), [(waits, "aa".to_owned())]);
        // The rest ends when it would have ended.
        stage.pass(20);
        stage.tick();
        assert_eq!(stage.state("c"), RegulatorState::Ready);
        // The phone that rang goes on being the winner's.
        assert!(stage.answer("b", rings));
    }

    #[test]
    fn who_is_no_longer_in_the_file_stays_until_off_duty_and_is_then_forgotten() {
        let mut stage = Stage::of((*under(&["a", "b"])).clone());
        stage.register(&["a"]);
        let talks = stage.talk("a");
        assert_eq!(stage.room.leaving_under(&under(&["c"])), ["a".into()]);
        stage.room.recentre(&under(&["c"]));
        assert_eq!(stage.state("a"), RegulatorState::Talking { call: talks });
        assert!(stage.room.state_of(&"b".into()).is_none());
        stage.unregister("a");
        stage.release("a", 0);
        assert_eq!(stage.state("a"), RegulatorState::Offline);
        stage.room.recentre(&under(&["c"]));
        assert!(stage.room.state_of(&"a".into()).is_none());
    }

    #[test]
    fn whom_nobody_on_duty_could_answer_is_foreseen() {
        let mut stage = Stage::of((*under(&["a", "b"])).clone());
        stage.register(&["a"]);
        stage.talk("a");
        let waits = stage.enter_plain();
        assert!(stage.room.stranded_under(&under(&["a"]), stage.now).is_empty());
        let stranded = stage.room.stranded_under(&under(&["b"]), stage.now);
        assert_eq!(stranded.iter().map(|place| place.call).collect::<Vec<_>>(), [waits]);
    }
}
