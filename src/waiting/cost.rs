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
        let weights = unused.map(|skill| weight / f64::from(self.on_duty.get(skill).copied().unwrap_or(0).max(1)));
        // From 0.0 on: the sum of nothing is -0.0 in Rust, and reads so in a record.
        weights.fold(0.0, |sum, one| sum + one)
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

#[cfg(test)]
mod tests {
    use super::super::stage::Stage;
    use super::*;
    use crate::routing::sample::{centre, demand, regulator};

    const PLAIN: &[(&str, u8)] = &[("regulation", 50)];

    /// Who gets a call of this demand, and the candidates' costs.
    fn chosen(stage: &mut Stage, demand: Demand) -> Vec<Candidate> {
        stage.enter(demand);
        let choices = stage.choose();
        assert_eq!(choices.len(), 1);
        assert_eq!(choices[0].regulator, choices[0].reasoning.candidates[0].regulator);
        choices[0].reasoning.candidates.clone()
    }

    fn names(candidates: &[Candidate]) -> Vec<&str> {
        candidates.iter().map(|one| one.regulator.as_str()).collect()
    }

    #[test]
    fn nearer_regions_cost_less_and_none_excludes() {
        let person = |id, regions| regulator(id, PLAIN, regions);
        let mut stage = Stage::new(vec![
            person("a-nowhere", &[]),
            person("b-far", &[("cannes", 0)]),
            person("c-sibling", &[("rouen", 0)]),
            person("d-neighbour", &[("caen", 3)]),
            person("e-whole", &[("normandie", 2)]),
            person("f-home", &[("cherbourg", 0)]),
        ]);
        stage.register(&["a-nowhere", "b-far", "c-sibling", "d-neighbour", "e-whole", "f-home"]);
        let candidates = chosen(&mut stage, demand("cherbourg", PLAIN, &[]));
        assert_eq!(names(&candidates), ["f-home", "e-whole", "d-neighbour", "c-sibling", "a-nowhere", "b-far"]);
        let costs: Vec<f64> = candidates.iter().map(|one| one.region).collect();
        assert_eq!(costs, [0.0, 2.0, 13.0, 20.0, 40.0, 40.0]);
    }

    #[test]
    fn a_region_served_at_a_cost_can_lose_to_a_neighbour() {
        let people = vec![regulator("dear", PLAIN, &[("cherbourg", 15)]), regulator("near", PLAIN, &[("caen", 0)])];
        let centre = centre(people, Vec::new());
        let cost = |id: &str| region_cost(&centre, &centre.regulators[&id.into()], &"cherbourg".into());
        assert_eq!((cost("dear"), cost("near")), (15, 10));
    }

    #[test]
    fn a_scarce_skill_is_kept_free() {
        let both = &[("regulation", 50), ("paediatrics", 50)];
        let mut stage = Stage::new(vec![regulator("a-both", both, &[]), regulator("b-plain", PLAIN, &[])]);
        stage.register(&["a-both", "b-plain"]);
        let candidates = chosen(&mut stage, demand("cherbourg", PLAIN, &[]));
        assert_eq!(names(&candidates), ["b-plain", "a-both"]);
        assert_eq!((candidates[0].scarcity, candidates[1].scarcity), (0.0, 15.0));
    }

    #[test]
    fn a_skill_that_several_on_duty_have_is_less_scarce() {
        let both = &[("regulation", 50), ("paediatrics", 50)];
        let people = ["a", "b", "c"].map(|id| regulator(id, both, &[])).to_vec();
        let mut stage = Stage::new(people);
        stage.register(&["a", "b"]);
        assert_eq!(chosen(&mut stage, demand("cherbourg", PLAIN, &[]))[0].scarcity, 7.5);
        // The one at whose phone it rings is still on duty; the third comes.
        stage.register(&["c"]);
        assert_eq!(chosen(&mut stage, demand("cherbourg", PLAIN, &[]))[0].scarcity, 5.0);
    }

    #[test]
    fn a_skill_asked_before_a_step_relaxed_is_not_wasted() {
        let both = &[("regulation", 50), ("paediatrics", 50)];
        let mut stage =
            Stage::new(vec![regulator("a-plain", PLAIN, &[]), regulator("b-both", both, &[("cherbourg", 0)])]);
        let child = demand("cherbourg", &[("paediatrics", 80)], &[(20, PLAIN)]);
        stage.enter(child);
        stage.pass(20);
        stage.register(&["a-plain", "b-both"]);
        let choices = stage.choose();
        assert_eq!((choices[0].regulator.as_str(), choices[0].reasoning.step), ("b-both", 1));
        assert_eq!(choices[0].reasoning.candidates[0].scarcity, 0.0);
    }

    #[test]
    fn the_longest_idle_is_taken_and_idleness_counts_for_no_more_than_its_bound() {
        let mut stage = Stage::new(["a", "b", "c"].map(|id| regulator(id, PLAIN, &[])).to_vec());
        stage.register(&["c"]);
        stage.pass(60);
        stage.register(&["b"]);
        stage.pass(120);
        stage.register(&["a"]);
        let candidates = chosen(&mut stage, demand("cherbourg", PLAIN, &[]));
        assert_eq!(names(&candidates), ["c", "b", "a"]);
        assert_eq!(candidates.iter().map(|one| one.idle).collect::<Vec<_>>(), [-1.5, -1.0, 0.0]);
        stage.pass(1_000_000);
        assert_eq!(chosen(&mut stage, demand("cherbourg", PLAIN, &[]))[0].idle, -9.0);
    }

    #[test]
    fn at_equal_cost_the_longest_idle_and_then_the_first_id_wins() {
        let mut stage = Stage::new(["a", "b", "c"].map(|id| regulator(id, PLAIN, &[])).to_vec());
        stage.register(&["b"]);
        stage.pass(1);
        stage.register(&["c", "a"]);
        // Both at the bound of idleness, so the totals are equal.
        stage.pass(1_000_000);
        assert_eq!(names(&chosen(&mut stage, demand("cherbourg", PLAIN, &[]))), ["b", "a", "c"]);
    }
}
