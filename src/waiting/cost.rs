//! What it costs to give a call to a person: the distance of regions, scarce skills, idleness. The lowest wins.

use std::collections::{BTreeMap, HashMap};

use crate::model::centre::{Demand, Regulator};
use crate::model::record::Candidate;
use crate::model::{Centre, Moment, RegionId, SkillId};

use super::desk::Desk;
use super::need::Skills;

/// Ancestors looked at when a region's wholes are sought: a country in cities has fewer.
const REGION_DEPTH_MAX: usize = 16;

/// What costs are made of, kept up to date as regulators come and go.
#[derive(Debug)]
pub(super) struct Costs {
    /// The cost of each region at each regulator, by index.
    regions: HashMap<RegionId, Vec<u32>>,
    /// How many on duty have each skill.
    on_duty: BTreeMap<SkillId, u32>,
}

impl Costs {
    pub fn new(centre: &Centre) -> Costs {
        let at_each = |region| centre.regulators.values().map(|one| region_cost(centre, one, region)).collect();
        let regions = centre.regions.keys().map(|region| (region.clone(), at_each(region))).collect();
        Costs { regions, on_duty: BTreeMap::new() }
    }

    /// Somebody with these skills came on duty, or went.
    pub fn mark(&mut self, skills: &Skills, on_duty: bool) {
        for skill in skills.keys() {
            let count = self.on_duty.entry(skill.clone()).or_default();
            *count = if on_duty { *count + 1 } else { count.saturating_sub(1) };
        }
    }

    /// What it costs to give a call with `demand`, at a step that asks `asked`, to the regulator of this index.
    pub fn weigh(&self, centre: &Centre, ask: &Ask<'_>, person: (usize, &Desk), now: Moment) -> Candidate {
        let (index, desk) = person;
        let weights = &centre.weights;
        let region = match self.regions.get(&ask.demand.region).and_then(|costs| costs.get(index)) {
            Some(cost) => f64::from(*cost),
            None => f64::from(weights.region_far),
        };
        let scarcity =
            centre.regulators.get(&desk.regulator).map_or(0.0, |one| self.scarcity(one, ask, weights.scarcity));
        let minutes = now.since(desk.free_since).as_secs_f64() / 60.0;
        // Without `0.0 -`, nobody's idleness would read `-0`.
        let idle = 0.0 - (minutes * weights.idle_minute).min(weights.idle_max);
        Candidate { regulator: desk.regulator.clone(), total: region + scarcity + idle, region, scarcity, idle }
    }

    /// A skill is put to use when the step in force asks it or the demand did at first: after a step has relaxed
    /// to anybody, the paediatrician is still the better one for a child.
    fn scarcity(&self, one: &Regulator, ask: &Ask<'_>, weight: f64) -> f64 {
        let unused = one.skills.keys().filter(|s| !ask.asked.contains_key(*s) && !ask.demand.skills.contains_key(*s));
        unused.map(|skill| weight / f64::from(self.on_duty.get(skill).copied().unwrap_or(0).max(1))).sum()
    }
}

/// What a call asks now.
pub(super) struct Ask<'a> {
    pub demand: &'a Demand,
    /// The skills of the step in force.
    pub asked: &'a Skills,
}

/// The cost of `region` at `one`: its own when the person serves it or a whole that it is a part of; else the
/// cheapest way from a region that is served.
fn region_cost(centre: &Centre, one: &Regulator, region: &RegionId) -> u32 {
    let mut whole = Some(region);
    for _ in 0..REGION_DEPTH_MAX {
        let Some(at) = whole else { break };
        if let Some(cost) = one.regions.get(at) {
            return *cost;
        }
        whole = centre.regions.get(at).and_then(|at| at.parent.as_ref());
    }
    let ways = one.regions.iter().map(|(served, cost)| cost.saturating_add(distance(centre, served, region)));
    ways.min().unwrap_or(centre.weights.region_far)
}

/// What it costs to go from a region that is served to one that is not.
fn distance(centre: &Centre, served: &RegionId, region: &RegionId) -> u32 {
    let (Some(from), Some(to)) = (centre.regions.get(served), centre.regions.get(region)) else {
        return centre.weights.region_far;
    };
    if to.neighbours.contains(served) || from.neighbours.contains(region) {
        return centre.weights.region_neighbour;
    }
    if to.parent.is_some() && to.parent == from.parent {
        return centre.weights.region_sibling;
    }
    centre.weights.region_far
}
