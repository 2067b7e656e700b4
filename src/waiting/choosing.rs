//! Who gets whom: event by event the first in the order of service takes the cheapest who fits; when several wait and
//! several are free, the first of them are given out together, so that all of it costs least.

use std::collections::BTreeMap;

use crate::model::{Cause, Excluded, Moment, Now, Reasoning, RegulatorState};

use super::cost::{Ask, Parts};
use super::crowd::Crowd;
use super::desk::{Desk, Turn};
use super::matching::{self, NEVER};
use super::need::{Need, Place};
use super::regulators::Regulators;
use super::room::Waiter;
use super::{CANDIDATES_MAX, Choice, EXCLUDED_MAX, MATCHING_MAX, StateChange, WaitingRoom};

/// One call with those who are free and fit it, the cheapest first; of many only as many as can matter.
struct Row {
    place: Place,
    weighed: Vec<(f64, usize)>,
    /// How many there are in all.
    fitting: usize,
}

impl WaitingRoom {
    /// Makes every offer that can be made now: afterwards nobody ready fits anybody who waits without an offer.
    pub fn choose(&mut self, now: Now, out: &mut Vec<StateChange>) -> Vec<Choice> {
        self.tick(now, out);
        let mut choices = Vec::new();
        loop {
            let Regulators { needs, ready, .. } = &self.regulators;
            let places = needs.first_served(ready, MATCHING_MAX.min(ready.len()));
            if places.is_empty() {
                return choices;
            }
            let kept = places.len().max(CANDIDATES_MAX);
            let rows: Vec<Row> = places.into_iter().filter_map(|place| self.weigh(place, kept, now.moment)).collect();
            let given = give_out(&rows);
            // Reasoned about before anything changes: all were weighed among the same people.
            let made: Vec<(Place, usize, Reasoning)> = rows
                .iter()
                .zip(given)
                .filter_map(|(row, index)| Some((row.place, index?, self.reason(row, index?, rows.len(), now.moment)?)))
                .collect();
            if made.is_empty() {
                return choices;
            }
            for (place, index, reasoning) in made {
                choices.extend(self.offer(place, index, reasoning, (now, &mut *out)));
                self.note_passed(place, index, now);
            }
        }
    }

    fn ask<'a>(&'a self, waiter: &Waiter, need: &'a Need, now: Moment) -> Ask<'a> {
        let full = self.regulators.centre.weights.region_fade.as_secs_f64();
        let waited = now.since(waiter.entered.moment).as_secs_f64();
        let fade = if full > 0.0 { (1.0 - waited / full).max(0.0) } else { 1.0 };
        Ask { need, ways: self.regulators.people.ways(&waiter.demand.region), fade, now }
    }

    /// Everybody who is ready and fits, the cheapest `kept` of them in order.
    fn weigh(&self, place: Place, kept: usize, now: Moment) -> Option<Row> {
        let waiter = self.waiters.get(&place)?;
        let Regulators { centre, people, desks, costs, ready, needs, .. } = &self.regulators;
        let need = needs.find(waiter.need)?;
        let ask = self.ask(waiter, need, now);
        let free_since = |index: usize| desks.get(index).map_or(now, |desk| desk.free_since);
        let all = need.fitting.shared(ready);
        let mut weighed: Vec<(f64, usize)> =
            all.map(|index| (costs.weigh(centre, people, &ask, (index, free_since(index))).total(), index)).collect();
        let by_cost = |a: &(f64, usize), b: &(f64, usize)| {
            a.0.total_cmp(&b.0).then_with(|| free_since(a.1).cmp(&free_since(b.1))).then(a.1.cmp(&b.1))
        };
        let fitting = weighed.len();
        if fitting > kept {
            weighed.select_nth_unstable_by(kept, by_cost);
            weighed.truncate(kept);
        }
        weighed.sort_unstable_by(by_cost);
        Some(Row { place, weighed, fitting })
    }

    /// Why the call of `row` is given to this regulator.
    fn reason(&self, row: &Row, chosen: usize, together: usize, now: Moment) -> Option<Reasoning> {
        let waiter = self.waiters.get(&row.place)?;
        let Regulators { centre, people, desks, costs, needs, .. } = &self.regulators;
        let need = needs.find(waiter.need)?;
        let ask = self.ask(waiter, need, now);
        let position = row.weighed.iter().position(|(_, index)| *index == chosen)?;
        let named = row.weighed.iter().map(|(_, index)| *index).take(CANDIDATES_MAX);
        let apart = Some(chosen).filter(|_| position >= CANDIDATES_MAX);
        let mut candidates = Vec::with_capacity(row.weighed.len().min(CANDIDATES_MAX) + usize::from(apart.is_some()));
        candidates.extend(named.chain(apart).filter_map(|index| {
            let desk = desks.get(index)?;
            let parts: Parts = costs.weigh(centre, people, &ask, (index, desk.free_since));
            Some(parts.of(desk.regulator.clone()))
        }));
        let (excluded, excluded_people) = self.exclude(need);
        Some(Reasoning {
            step: waiter.step as u32,
            skills: need.wanted.needs.levels(),
            needs: need.wanted.needs.to_string(),
            reach: need.wanted.reach(),
            candidates,
            together: together as u32,
            fitting: row.fitting as u32,
            excluded,
            excluded_people,
        })
    }

    fn offer(
        &mut self,
        place: Place,
        index: usize,
        reasoning: Reasoning,
        (now, out): (Now, &mut Vec<StateChange>),
    ) -> Option<Choice> {
        let desk = self.regulators.desks.get(index)?;
        let (regulator, devices) = (desk.regulator.clone(), desk.devices.clone());
        let waiter = self.waiters.get_mut(&place)?;
        waiter.offered_to = Some(index);
        waiter.offers += 1;
        let call = waiter.call;
        self.regulators.needs.wait_no_more(waiter.need, place);
        self.regulators.turn(index, Turn { state: RegulatorState::Ringing { call }, lasting: None }, now, out);
        Some(Choice { call, regulator, devices, reasoning })
    }

    /// Everybody who cannot be given what this need asks: how many by the first cause that holds, and the first of them by
    /// name, those who have the skills before those who have not.
    pub(super) fn exclude(&self, need: &Need) -> (BTreeMap<String, u32>, Vec<Excluded>) {
        let Regulators { desks, ready, counts, .. } = &self.regulators;
        let states = counts.iter().filter(|(name, count)| **name != RegulatorState::Ready.name() && **count > 0);
        let mut excluded: BTreeMap<String, u32> = states.map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let (skilled, near) = (need.skilled.count_shared(ready), need.fitting.count_shared(ready));
        for (cause, count) in [(Cause::Skills, ready.len() - skilled), (Cause::Region, skilled - near)] {
            if count > 0 {
                excluded.insert(cause.name().to_owned(), count as u32);
            }
        }
        let others = |is_skilled: bool| {
            let out = move |(index, _): &(usize, &Desk)| {
                need.skilled.contains(*index) == is_skilled
                    && !(need.fitting.contains(*index) && ready.contains(*index))
            };
            desks.iter().enumerate().filter(out).map(|(index, desk)| Excluded {
                regulator: desk.regulator.clone(),
                why: cause_of(desk, &need.skilled, index),
            })
        };
        let count = excluded.values().sum::<u32>() as usize;
        let mut people = Vec::with_capacity(count.min(EXCLUDED_MAX));
        people.extend(others(true).chain(others(false)).take(EXCLUDED_MAX));
        (excluded, people)
    }
}

/// The first cause that holds for somebody who cannot be given a call.
fn cause_of(desk: &Desk, skilled: &Crowd, index: usize) -> Cause {
    match &desk.state {
        RegulatorState::Offline => Cause::Offline,
        RegulatorState::Paused { .. } => Cause::Paused,
        RegulatorState::Talking { .. } => Cause::Talking,
        RegulatorState::Ringing { .. } => Cause::Ringing,
        RegulatorState::WrapUp => Cause::WrapUp,
        RegulatorState::Ready if skilled.contains(index) => Cause::Region,
        RegulatorState::Ready => Cause::Skills,
    }
}

/// The regulator of each row, by index. Of n rows none needs more than its n cheapest: that many others can be taken.
fn give_out(rows: &[Row]) -> Vec<Option<usize>> {
    if let [only] = rows {
        return vec![only.weighed.first().map(|(_, index)| *index)];
    }
    let nearest = |row: &'_ Row| row.weighed.iter().take(rows.len()).copied().collect::<Vec<_>>();
    let mut columns: Vec<usize> = Vec::new();
    for (_, index) in rows.iter().flat_map(nearest) {
        if !columns.contains(&index) {
            columns.push(index);
        }
    }
    let costs: Vec<Vec<f64>> = rows
        .iter()
        .map(|row| {
            let mut line = vec![NEVER; columns.len()];
            for (total, index) in nearest(row) {
                let at = columns.iter().position(|column| *column == index);
                if let Some(cost) = at.and_then(|at| line.get_mut(at)) {
                    *cost = total;
                }
            }
            line
        })
        .collect();
    let given = matching::assign(&costs);
    given.into_iter().map(|column| column.and_then(|column| columns.get(column).copied())).collect()
}
