//! The distinct sets of skills that are asked now, and for each who fits, who of them is ready and who waits.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::centre::Demand;
use crate::model::{Centre, Moment, SkillId};

/// The levels asked of each skill.
pub(super) type Skills = BTreeMap<SkillId, u8>;

/// A caller's place: priority first, then when the caller came, then the order of entering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub priority: u8,
    pub since: Moment,
    pub arrival: u64,
}

/// Names one need while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NeedId(u64);

/// One set of skills.
#[derive(Debug)]
pub(super) struct Need {
    pub skills: Skills,
    /// By the regulator's index.
    pub fitting: Vec<bool>,
    /// Indices of those who fit and are ready.
    pub ready: BTreeSet<usize>,
    /// The places of those who need it now and have no offer.
    pub waiting: BTreeSet<Place>,
    /// Callers in the waiting room who need it now.
    users: usize,
    /// A line asks it: it stays when nobody waits.
    kept: bool,
}

/// All needs. Those of the lines are worked out once; others live while a caller has them, so callers bound them.
#[derive(Debug)]
pub(super) struct Needs {
    needs: BTreeMap<NeedId, Need>,
    by_skills: HashMap<Skills, NeedId>,
    /// Each regulator's skills, by index.
    people: Vec<Skills>,
    count: u64,
}

/// Whether somebody with the levels `has` can do what `asked` asks.
fn fits(has: &Skills, asked: &Skills) -> bool {
    asked.iter().all(|(skill, level)| has.get(skill).is_some_and(|own| own >= level))
}

impl Needs {
    pub fn new(centre: &Centre) -> Needs {
        let people = centre.regulators.values().map(|regulator| regulator.skills.clone()).collect();
        let mut needs = Needs { needs: BTreeMap::new(), by_skills: HashMap::new(), people, count: 0 };
        for line in centre.lines.values() {
            for step in 0..=line.demand.steps.len() {
                needs.add(line.demand.skills_at(step), &BTreeSet::new(), true);
            }
        }
        needs
    }

    fn add(&mut self, skills: &Skills, ready_now: &BTreeSet<usize>, kept: bool) -> NeedId {
        if let Some(id) = self.by_skills.get(skills) {
            return *id;
        }
        self.count += 1;
        let id = NeedId(self.count);
        let fitting: Vec<bool> = self.people.iter().map(|has| fits(has, skills)).collect();
        let ready = ready_now.iter().copied().filter(|one| fitting.get(*one).copied().unwrap_or(false)).collect();
        let need = Need { skills: skills.clone(), fitting, ready, waiting: BTreeSet::new(), users: 0, kept };
        self.needs.insert(id, need);
        self.by_skills.insert(skills.clone(), id);
        id
    }

    /// One more caller needs `skills`; `ready_now` are the indices of all who are ready.
    pub fn take_up(&mut self, skills: &Skills, ready_now: &BTreeSet<usize>) -> NeedId {
        let id = self.add(skills, ready_now, false);
        if let Some(need) = self.needs.get_mut(&id) {
            need.users += 1;
        }
        id
    }

    /// One caller less has the need.
    pub fn give_up(&mut self, id: NeedId) {
        let Some(need) = self.needs.get_mut(&id) else { return };
        need.users = need.users.saturating_sub(1);
        if need.users == 0 && !need.kept {
            self.by_skills.remove(&need.skills);
            self.needs.remove(&id);
        }
    }

    pub fn find(&self, id: NeedId) -> Option<&Need> {
        self.needs.get(&id)
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

    /// A regulator became ready, or is no longer.
    pub fn mark(&mut self, index: usize, ready: bool) {
        for need in self.needs.values_mut().filter(|need| need.fitting.get(index).copied().unwrap_or(false)) {
            if ready {
                need.ready.insert(index);
            } else {
                need.ready.remove(&index);
            }
        }
    }

    /// The first in the order of service who waits for what somebody ready can do.
    pub fn first_served(&self) -> Option<Place> {
        let servable = self.needs.values().filter(|need| !need.ready.is_empty());
        servable.filter_map(|need| need.waiting.first().copied()).min()
    }

    /// Whether the person fits any step of the demand: its widest.
    pub fn fits_any_step(&self, index: usize, demand: &Demand) -> bool {
        self.people.get(index).is_some_and(|has| {
            (0..=demand.steps.len()).any(|step| match self.by_skills.get(demand.skills_at(step)) {
                Some(id) => self.needs.get(id).is_some_and(|need| need.fitting.get(index).copied().unwrap_or(false)),
                None => fits(has, demand.skills_at(step)),
            })
        })
    }
}
