//! The distinct needs that are asked now: what skills, how far away; for each who fits, and who waits.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::model::centre::Demand;
use crate::model::demand::PRIORITY_NEVER_HELD;
use crate::model::{Centre, Moment, Needs, Reach, RegionId};

use super::crowd::Crowd;
use super::people::People;

/// A caller's place: priority first, then when the caller came, then the order of entering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub priority: u8,
    pub since: Moment,
    pub arrival: u64,
}

/// Names one need while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NeedId(u64);

/// What is asked at one step of a demand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    /// The skills that the step asks.
    pub needs: Needs,
    /// Those that the demand asked before any step, when they are others: who has them is the better one still.
    first: Option<Needs>,
    /// How far around which region is looked; `None`: everywhere.
    within: Option<(RegionId, Reach)>,
}

impl Wanted {
    pub fn at(demand: &Demand, step: usize) -> Wanted {
        let needs = demand.needs_at(step).clone();
        let first = Some(&demand.needs).filter(|first| **first != needs).cloned();
        let within = match demand.reach_at(step) {
            Reach::All => None,
            reach @ (Reach::Home | Reach::Neighbours | Reach::Parent) => Some((demand.region.clone(), reach)),
        };
        Wanted { needs, first, within }
    }

    pub fn reach(&self) -> Reach {
        self.within.as_ref().map_or(Reach::All, |(_, reach)| *reach)
    }
}

/// One need, and what follows from it for everybody.
#[derive(Debug)]
pub(super) struct Need {
    pub wanted: Wanted,
    /// Who has the skills, by index.
    pub skilled: Crowd,
    /// Who has them and is near enough.
    pub fitting: Crowd,
    /// What each one lacks of the levels asked at first; empty when nobody who fits lacks any.
    pub lacking: Vec<u16>,
    /// The skills that it puts to use, by their index among [`People`]'s.
    pub used: Crowd,
    /// The places of those who need it now and have no offer.
    pub waiting: BTreeSet<Place>,
    /// Callers in the waiting room who need it now.
    users: usize,
    /// A line asks it: it stays when nobody waits.
    kept: bool,
}

impl Need {
    fn new(wanted: Wanted, people: &People, kept: bool) -> Need {
        let skilled: Crowd =
            indices(people, |index| people.levels.get(index).is_some_and(|has| wanted.needs.is_met_by(has)));
        let fitting = match &wanted.within {
            None => skilled.clone(),
            Some((region, reach)) => {
                let ways = people.ways(region);
                indices(people, |index| skilled.contains(index) && people.way(ways, index).reach <= *reach)
            }
        };
        let lacking = match &wanted.first {
            None => Vec::new(),
            Some(first) => {
                people.levels.iter().map(|has| first.shortfall(has).min(u32::from(u16::MAX)) as u16).collect()
            }
        };
        let named = wanted.needs.skills().into_iter().chain(wanted.first.iter().flat_map(Needs::skills));
        let used = named.filter_map(|skill| people.skill(skill)).collect();
        Need { wanted, skilled, fitting, lacking, used, waiting: BTreeSet::new(), users: 0, kept }
    }
}

impl Need {
    /// Whether everybody of `ready` who fits lacks some of what was asked at first.
    fn lacks_all(&self, ready: &Crowd) -> bool {
        let lacks = |index: usize| self.lacking.get(index).copied().unwrap_or(0) > 0;
        !self.lacking.is_empty() && self.fitting.shared(ready).all(lacks)
    }
}

fn indices(people: &People, is: impl Fn(usize) -> bool) -> Crowd {
    (0..people.levels.len()).filter(|index| is(*index)).collect()
}

/// All needs. Those of the lines are worked out once; others live while a caller has them, so callers bound them.
#[derive(Debug)]
pub(super) struct NeedBook {
    needs: BTreeMap<NeedId, Need>,
    by_wanted: HashMap<Wanted, NeedId>,
    count: u64,
}

impl NeedBook {
    pub fn new(centre: &Centre, people: &People) -> NeedBook {
        let mut all = NeedBook { needs: BTreeMap::new(), by_wanted: HashMap::new(), count: 0 };
        for line in centre.lines.values() {
            for step in 0..=line.demand.steps.len() {
                all.add(Wanted::at(&line.demand, step), people, true);
            }
        }
        all
    }

    fn add(&mut self, wanted: Wanted, people: &People, kept: bool) -> NeedId {
        if let Some(id) = self.by_wanted.get(&wanted) {
            return *id;
        }
        self.count += 1;
        let id = NeedId(self.count);
        self.by_wanted.insert(wanted.clone(), id);
        self.needs.insert(id, Need::new(wanted, people, kept));
        id
    }

    /// One more caller wants this.
    pub fn take_up(&mut self, wanted: Wanted, people: &People) -> NeedId {
        let id = self.add(wanted, people, false);
        if let Some(need) = self.needs.get_mut(&id) {
            need.users += 1;
        }
        id
    }

    /// The same for what the demand asks at each step after this one, so that forecasts need not work it out each time.
    pub fn take_up_later(&mut self, demand: &Demand, step: usize, people: &People) -> Vec<NeedId> {
        (step + 1..=demand.steps.len()).map(|later| self.take_up(Wanted::at(demand, later), people)).collect()
    }

    /// One caller less has the need.
    pub fn give_up(&mut self, id: NeedId) {
        let Some(need) = self.needs.get_mut(&id) else { return };
        need.users = need.users.saturating_sub(1);
        if need.users == 0 && !need.kept {
            self.by_wanted.remove(&need.wanted);
            self.needs.remove(&id);
        }
    }

    pub fn find(&self, id: NeedId) -> Option<&Need> {
        self.needs.get(&id)
    }

    pub fn all(&self) -> impl Iterator<Item = (NeedId, &Need)> {
        self.needs.iter().map(|(id, need)| (*id, need))
    }

    /// A caller has no offer and waits for one.
    pub fn wait(&mut self, id: NeedId, place: Place) {
        if let Some(need) = self.needs.get_mut(&id) {
            need.waiting.insert(place);
        }
    }

    /// A caller waits no more: offered, or gone.
    pub fn wait_no_more(&mut self, id: NeedId, place: Place) {
        if let Some(need) = self.needs.get_mut(&id) {
            need.waiting.remove(&place);
        }
    }

    /// The first so many, in the order of service, who wait for what somebody ready can do. Those for whom nobody is ready
    /// who has what they asked at first are served as if they had come `skill_wait` later.
    pub fn first_served(&self, ready: &Crowd, count: usize, skill_wait: Duration) -> Vec<Place> {
        let servable = self.needs.values().filter(|need| !need.waiting.is_empty() && need.fitting.meets(ready));
        let mut places: Vec<(Place, Place)> = Vec::new();
        for need in servable {
            let lags = !skill_wait.is_zero() && need.lacks_all(ready);
            let as_if = |place: Place| match lags && place.priority > PRIORITY_NEVER_HELD {
                true => Place { since: place.since + skill_wait, ..place },
                false => place,
            };
            places.extend(need.waiting.iter().take(count).map(|place| (as_if(*place), *place)));
        }
        places.sort_unstable();
        places.into_iter().take(count).map(|(_, place)| place).collect()
    }

    /// Who fits what is wanted.
    pub fn fitting_of(&self, wanted: &Wanted, people: &People) -> Cow<'_, Crowd> {
        match self.by_wanted.get(wanted).and_then(|id| self.needs.get(id)) {
            Some(need) => Cow::Borrowed(&need.fitting),
            None => Cow::Owned(Need::new(wanted.clone(), people, false).fitting),
        }
    }

    /// Who fits a demand at one of its steps, by what `see` makes of them.
    pub fn any_step(&self, demand: &Demand, people: &People, see: impl Fn(&Crowd) -> bool) -> bool {
        (0..=demand.steps.len()).any(|step| see(&self.fitting_of(&Wanted::at(demand, step), people)))
    }
}
