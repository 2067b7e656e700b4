//! What does not change about the regulators: their skills, and how far each region is from each of them.

use std::collections::{BTreeMap, HashMap};

use crate::model::centre::Regulator;
use crate::model::{Centre, Reach, RegionId, SkillId};

/// Ancestors looked at when a region's wholes are sought: a country in cities has fewer.
const REGION_DEPTH_MAX: usize = 16;

/// Second regions followed one after the other; a chain that leads back to its beginning ends here, too.
const SECONDS_MAX: u32 = 8;

/// The levels that somebody has.
pub(super) type Levels = BTreeMap<SkillId, u8>;

/// Everybody, by index.
#[derive(Debug)]
pub(super) struct People {
    pub levels: Vec<Levels>,
    /// The index of each skill that anybody has.
    skills: HashMap<SkillId, usize>,
    /// Each one's skills, by their index.
    pub own: Vec<Vec<usize>>,
    regions: HashMap<RegionId, Vec<Way>>,
    far: Way,
}

/// How a regulator comes to serve a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub cost: u32,
    /// The narrowest reach that the person is within.
    pub reach: Reach,
}

impl People {
    pub fn new(centre: &Centre) -> People {
        let levels: Vec<Levels> = centre.regulators.values().map(|one| one.skills.clone()).collect();
        let mut skills = HashMap::new();
        let mut number = |skill: &SkillId| {
            let next = skills.len();
            *skills.entry(skill.clone()).or_insert(next)
        };
        let own = levels.iter().map(|has| has.keys().map(&mut number).collect()).collect();
        let at_each = |region| centre.regulators.values().map(|one| way(centre, one, region)).collect();
        let regions = centre.regions.keys().map(|region| (region.clone(), at_each(region))).collect();
        let far = Way { cost: centre.weights.region_far, reach: Reach::All };
        People { levels, skills, own, regions, far }
    }

    /// The index of a skill; `None` when nobody has it.
    pub fn skill(&self, skill: &SkillId) -> Option<usize> {
        self.skills.get(skill).copied()
    }

    pub fn count_skills(&self) -> usize {
        self.skills.len()
    }

    /// How everybody comes to serve `region`, by index; `None` for a region that nobody knows.
    pub fn ways(&self, region: &RegionId) -> Option<&[Way]> {
        self.regions.get(region).map(Vec::as_slice)
    }

    /// One way of [`Self::ways`].
    pub fn way(&self, ways: Option<&[Way]>, index: usize) -> Way {
        ways.and_then(|ways| ways.get(index)).copied().unwrap_or(self.far)
    }
}

/// The person's own cost when he serves the region or a whole that it is a part of; else the cheapest way from a region
/// that he serves, and the nearest of all.
fn way(centre: &Centre, one: &Regulator, region: &RegionId) -> Way {
    let mut whole = Some(region);
    for _ in 0..REGION_DEPTH_MAX {
        let Some(at) = whole else { break };
        if let Some(cost) = one.regions.get(at) {
            return Way { cost: *cost, reach: Reach::Home };
        }
        whole = centre.regions.get(at).and_then(|at| at.parent.as_ref());
    }
    let ways = one.regions.iter().map(|(served, own)| {
        let Way { cost, reach } = distance(centre, served, region);
        Way { cost: own.saturating_add(cost), reach }
    });
    let far = Way { cost: centre.weights.region_far, reach: Reach::All };
    ways.reduce(|a, b| Way { cost: a.cost.min(b.cost), reach: a.reach.min(b.reach) }).unwrap_or(far)
}

/// From a region that is served to one that is not: by whatever costs least, a second region's own second one included.
fn distance(centre: &Centre, served: &RegionId, region: &RegionId) -> Way {
    let weights = &centre.weights;
    let (Some(from), Some(to)) = (centre.regions.get(served), centre.regions.get(region)) else {
        return Way { cost: weights.region_far, reach: Reach::All };
    };
    if to.second.as_ref() == Some(served) {
        return Way { cost: weights.region_second, reach: Reach::Neighbours };
    }
    let (beside, reach) = if to.neighbours.contains(served) || from.neighbours.contains(region) {
        (weights.region_neighbour, Reach::Neighbours)
    } else if to.parent.is_some() && to.parent == from.parent {
        (weights.region_sibling, Reach::Parent)
    } else {
        (weights.region_far, Reach::All)
    };
    let chained = chained_seconds(centre, region, served).map(|hops| hops.saturating_mul(weights.region_second));
    Way { cost: chained.map_or(beside, |chained| chained.min(beside)), reach }
}

/// How many second regions lead from `region` to `served`, one after the other; `None` when none of the first few does.
fn chained_seconds(centre: &Centre, region: &RegionId, served: &RegionId) -> Option<u32> {
    let second_of = |at: &RegionId| centre.regions.get(at).and_then(|at| at.second.as_ref());
    let chain = std::iter::successors(second_of(region), |at| second_of(at));
    (1..=SECONDS_MAX).zip(chain).find(|(_, at)| *at == served).map(|(hops, _)| hops)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::sample::{centre, regulator};

    #[test]
    fn a_region_is_near_by_the_nearest_that_is_served_and_costs_the_cheapest() {
        let person = |id, regions| regulator(id, &[], regions);
        let people = vec![
            person("a-home", &[("cherbourg", 7)]),
            person("b-whole", &[("normandie", 2)]),
            person("c-second", &[("rouen", 1)]),
            person("d-neighbour", &[("caen", 3)]),
            person("e-both", &[("caen", 90), ("cannes", 0)]),
            person("f-nowhere", &[]),
        ];
        let mut centre = centre(people, Vec::new());
        centre.regions.get_mut(&"cherbourg".into()).expect("there").second = Some("rouen".into());
        let people = People::new(&centre);
        let ways = people.ways(&"cherbourg".into());
        let expected = [
            (7, Reach::Home),
            (2, Reach::Home),
            (6, Reach::Neighbours),
            (13, Reach::Neighbours),
            (40, Reach::Neighbours),
            (40, Reach::All),
        ];
        for (index, (cost, reach)) in expected.into_iter().enumerate() {
            assert_eq!(people.way(ways, index), Way { cost, reach }, "{index}");
        }
        assert_eq!(people.way(people.ways(&"atlantis".into()), 0), Way { cost: 40, reach: Reach::All });
    }

    #[test]
    fn the_second_region_of_a_second_region_costs_twice_and_a_circle_of_them_ends() {
        let person = |id, region| regulator(id, &[], &[(region, 0)]);
        let people = vec![person("a-second", "rouen"), person("b-its-second", "cannes"), person("c-far", "dijon")];
        let mut centre = centre(people, Vec::new());
        for (region, second) in [("cherbourg", "rouen"), ("rouen", "cannes"), ("cannes", "cherbourg")] {
            centre.regions.get_mut(&region.into()).expect("there").second = Some(second.into());
        }
        let people = People::new(&centre);
        let ways = people.ways(&"cherbourg".into());
        let expected = [(5, Reach::Neighbours), (10, Reach::All), (40, Reach::All)];
        for (index, (cost, reach)) in expected.into_iter().enumerate() {
            assert_eq!(people.way(ways, index), Way { cost, reach }, "{index}");
        }
    }
}
