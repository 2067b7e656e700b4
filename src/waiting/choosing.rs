//! Who gets whom: event by event the first in the order of service takes the cheapest who fits; when several wait and
//! several are free, the first of them are given out together, so that all of it costs least.

use std::collections::BTreeMap;

use crate::model::{Cause, Excluded, Moment, Now, Reasoning, RegulatorState, SkillId};

use super::cost::{Ask, Parts};
use super::crowd::Crowd;
use super::desk::{Desk, Turn};
use super::matching::{self, NEVER};
use super::need::{Need, NeedId, Place};
use super::regulators::Regulators;
use super::room::Waiter;
use super::{CANDIDATES_MAX, Choice, EXCLUDED_MAX, MATCHING_MAX, StateChange, WaitingRoom};

/// Everybody who is free and fits one need, with what does not depend on the call: weighed once for all who need it.
struct Pool {
    need: NeedId,
    people: Vec<Free>,
    skills: BTreeMap<SkillId, u8>,
    text: String,
    excluded: (BTreeMap<String, u32>, Vec<Excluded>),
}

/// One of them.
#[derive(Clone, Copy)]
struct Free {
    index: usize,
    /// The cost but for the region's.
    rest: f64,
    since: Moment,
}

/// A person's cost for one call; of equal ones the longest idle goes first, and then the first id.
#[derive(Clone, Copy)]
struct Weighed {
    total: f64,
    since: Moment,
    index: usize,
}

impl Weighed {
    fn is_before(&self, other: &Weighed) -> bool {
        let order = self.total.total_cmp(&other.total).then(self.since.cmp(&other.since));
        order.then(self.index.cmp(&other.index)).is_lt()
    }
}

/// One call with those who are free and fit it, the cheapest first; of many only as many as can matter.
struct Row {
    place: Place,
    /// Its pool's place among those of this choice.
    pool: usize,
    weighed: Vec<Weighed>,
}

impl WaitingRoom {
    /// Makes every offer that can be made now: afterwards nobody ready fits anybody who waits without an offer.
    pub fn choose(&mut self, now: Now, out: &mut Vec<StateChange>) -> Vec<Choice> {
        self.welcome(now);
        self.tick(now, out);
        let mut choices = Vec::new();
        loop {
            let Regulators { needs, ready, centre, .. } = &self.regulators;
            let places = needs.first_served(ready, MATCHING_MAX.min(ready.len()), centre.weights.skill_wait);
            if places.is_empty() {
                return choices;
            }
            let (kept, mut pools) = (places.len().max(CANDIDATES_MAX), Vec::new());
            let rows: Vec<Row> =
                places.into_iter().filter_map(|place| self.weigh(place, kept, &mut pools, now.moment)).collect();
            let given = give_out(&rows);
            // Reasoned about before anything changes: all were weighed among the same people.
            let made: Vec<(Place, usize, Reasoning)> = rows
                .iter()
                .zip(given)
                .filter_map(|(row, index)| {
                    let reasoning = self.reason(row, pools.get(row.pool)?, (index?, rows.len()), now.moment)?;
                    Some((row.place, index?, reasoning))
                })
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

    /// What is foreseen for those who have just come, and noted of them, before anything else happens to them.
    fn welcome(&mut self, now: Now) {
        for call in std::mem::take(&mut self.fresh) {
            let Some(place) = self.places.get(&call).copied() else { continue };
            self.foresee(place, now);
            self.note_entering(place, now);
        }
    }

    fn ask<'a>(&'a self, waiter: &Waiter, need: &'a Need, now: Moment) -> Ask<'a> {
        let full = self.regulators.centre.weights.region_fade.as_secs_f64();
        let waited = now.since(waiter.entered.moment).as_secs_f64();
        let fade = if full > 0.0 { (1.0 - waited / full).max(0.0) } else { 1.0 };
        Ask { need, ways: self.regulators.people.ways(&waiter.demand.region), fade, now }
    }

    fn pool(&self, id: NeedId, need: &Need, now: Moment) -> Pool {
        let Regulators { centre, people, desks, costs, ready, .. } = &self.regulators;
        let ask = Ask { need, ways: None, fade: 0.0, now };
        let free = need.fitting.shared(ready).map(|index| {
            let since = desks.get(index).map_or(now, |desk| desk.free_since);
            Free { index, rest: costs.weigh(centre, people, &ask, (index, since)).total(), since }
        });
        let wanted = &need.wanted.needs;
        Pool {
            need: id,
            people: free.collect(),
            skills: wanted.levels(),
            text: wanted.to_string(),
            excluded: self.exclude(need),
        }
    }

    /// Everybody who is ready and fits, the cheapest `kept` of them in order.
    fn weigh(&self, place: Place, kept: usize, pools: &mut Vec<Pool>, now: Moment) -> Option<Row> {
        let waiter = self.waiters.get(&place)?;
        let need = self.regulators.needs.find(waiter.need)?;
        let pool = match pools.iter().position(|pool| pool.need == waiter.need) {
            Some(known) => known,
            None => {
                pools.push(self.pool(waiter.need, need, now));
                pools.len() - 1
            }
        };
        let ask = self.ask(waiter, need, now);
        let mut weighed: Vec<Weighed> = Vec::with_capacity(kept + 1);
        for Free { index, rest, since } in pools.get(pool)?.people.iter().copied() {
            let way = self.regulators.people.way(ask.ways, index);
            let one = Weighed { total: f64::from(way.cost) * ask.fade + rest, since, index };
            if weighed.len() < kept || weighed.last().is_some_and(|last| one.is_before(last)) {
                let at = weighed.partition_point(|other| other.is_before(&one));
                weighed.insert(at, one);
                weighed.truncate(kept);
            }
        }
        Some(Row { place, pool, weighed })
    }

    /// Why the call of `row` is given to this regulator, one of so many that are given out together.
    fn reason(&self, row: &Row, pool: &Pool, (chosen, together): (usize, usize), now: Moment) -> Option<Reasoning> {
        let waiter = self.waiters.get(&row.place)?;
        let Regulators { centre, people, desks, costs, needs, .. } = &self.regulators;
        let need = needs.find(waiter.need)?;
        let ask = self.ask(waiter, need, now);
        let position = row.weighed.iter().position(|one| one.index == chosen)?;
        let named = row.weighed.iter().map(|one| one.index).take(CANDIDATES_MAX);
        let apart = Some(chosen).filter(|_| position >= CANDIDATES_MAX);
        let mut candidates = Vec::with_capacity(row.weighed.len().min(CANDIDATES_MAX) + usize::from(apart.is_some()));
        candidates.extend(named.chain(apart).filter_map(|index| {
            let desk = desks.get(index)?;
            let parts: Parts = costs.weigh(centre, people, &ask, (index, desk.free_since));
            Some(parts.of(desk.regulator.clone()))
        }));
        let (excluded, excluded_people) = pool.excluded.clone();
        Some(Reasoning {
            step: waiter.step as u32,
            skills: pool.skills.clone(),
            needs: pool.text.clone(),
            reach: need.wanted.reach(),
            candidates,
            together: together as u32,
            fitting: pool.people.len() as u32,
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
        return vec![only.weighed.first().map(|one| one.index)];
    }
    let mut columns: Vec<(Moment, usize)> =
        rows.iter().flat_map(|row| row.weighed.iter().take(rows.len())).map(|one| (one.since, one.index)).collect();
    columns.sort_unstable();
    columns.dedup();
    let costs: Vec<Vec<f64>> = rows
        .iter()
        .map(|row| {
            let mut line = vec![NEVER; columns.len()];
            for one in row.weighed.iter().take(rows.len()) {
                let at = columns.binary_search(&(one.since, one.index)).ok();
                if let Some(cost) = at.and_then(|at| line.get_mut(at)) {
                    *cost = one.total;
                }
            }
            line
        })
        .collect();
    let given = matching::assign(&costs);
    given.into_iter().map(|column| column.and_then(|column| columns.get(column)).map(|(_, index)| *index)).collect()
}
