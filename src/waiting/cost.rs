//! What it costs to give a call to a person: the distance of regions, levels lacking, scarce skills, idleness. The
//! lowest wins.

use crate::model::record::Candidate;
use crate::model::{Centre, Moment, RegulatorId};

use super::crowd::Crowd;
use super::need::Need;
use super::people::{People, Way};

/// What costs are made of, kept up to date as regulators come and go.
#[derive(Debug)]
pub(super) struct Costs {
    /// How many on duty have each skill, by the skill's index.
    on_duty: Vec<u32>,
    /// What it costs to leave each skill unused.
    prices: Vec<f64>,
    scarcity: f64,
}

/// The parts of one cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub region: f64,
    pub fit: f64,
    pub scarcity: f64,
    pub idle: f64,
}

impl Parts {
    pub fn total(self) -> f64 {
        self.region + self.fit + self.scarcity + self.idle
    }

    pub fn of(self, regulator: RegulatorId) -> Candidate {
        let Parts { region, fit, scarcity, idle } = self;
        Candidate { regulator, total: self.total(), region, fit, scarcity, idle }
    }
}

/// One call as it is weighed now.
pub(super) struct Ask<'a> {
    pub need: &'a Need,
    pub ways: Option<&'a [Way]>,
    /// What is left of a region's cost after the wait, 0.0–1.0.
    pub fade: f64,
    pub now: Moment,
}

impl Costs {
    pub fn new(centre: &Centre, people: &People) -> Costs {
        let count = people.count_skills();
        Costs {
            on_duty: vec![0; count],
            prices: vec![centre.weights.scarcity; count],
            scarcity: centre.weights.scarcity,
        }
    }

    /// Somebody with these skills came on duty, or went.
    pub fn mark(&mut self, skills: &[usize], on_duty: bool) {
        for skill in skills {
            let (Some(count), Some(price)) = (self.on_duty.get_mut(*skill), self.prices.get_mut(*skill)) else {
                continue;
            };
            *count = if on_duty { *count + 1 } else { count.saturating_sub(1) };
            *price = self.scarcity / f64::from((*count).max(1));
        }
    }

    /// What it costs to give the call to the regulator of this index, who is free since `free_since`.
    pub fn weigh(
        &self,
        centre: &Centre,
        people: &People,
        ask: &Ask<'_>,
        (index, free_since): (usize, Moment),
    ) -> Parts {
        let weights = &centre.weights;
        let region = f64::from(people.way(ask.ways, index).cost) * ask.fade;
        let lacking = ask.need.lacking.get(index).copied().unwrap_or(0);
        let minutes = ask.now.since(free_since).as_secs_f64() / 60.0;
        Parts {
            region,
            fit: f64::from(lacking) * weights.skill_fit / 100.0,
            scarcity: self.unused(people.own.get(index).map_or(&[], Vec::as_slice), &ask.need.used),
            // Without `0.0 -`, nobody's idleness would read `-0`.
            idle: 0.0 - (minutes * weights.idle_minute).min(weights.idle_max),
        }
    }

    /// A skill is put to use when the step in force asks it or the demand did at first: after a step has relaxed to
    /// anybody, the paediatrician is still the better one for a child. Of alternatives each counts as used.
    fn unused(&self, own: &[usize], used: &Crowd) -> f64 {
        let unused = own.iter().filter(|skill| !used.contains(**skill));
        // From 0.0 on: the sum of nothing is -0.0 in Rust, and reads so in a record.
        unused.fold(0.0, |sum, skill| sum + self.prices.get(*skill).copied().unwrap_or(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Stage;
    use super::*;
    use crate::model::centre::Demand;
    use crate::routing::sample::{demand, regulator};

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
        let mut stage = Stage::new(people);
        stage.register(&["dear", "near"]);
        assert_eq!(names(&chosen(&mut stage, demand("cherbourg", PLAIN, &[]))), ["near", "dear"]);
    }

    #[test]
    fn the_longer_the_wait_the_less_a_region_costs() {
        let mut stage = Stage::new(vec![regulator("far", PLAIN, &[("cannes", 0)])]);
        for (waited_s, expected) in [(0, 40.0), (75, 30.0), (300, 0.0), (900, 0.0)] {
            let call = stage.enter(demand("cherbourg", PLAIN, &[]));
            stage.pass(waited_s);
            stage.register(&["far"]);
            let choices = stage.choose();
            assert_eq!(choices[0].reasoning.candidates[0].region, expected, "{waited_s}");
            stage.room.leave(call);
            stage.end_offer("far", crate::model::OfferEnd::Cancelled);
            stage.unregister("far");
        }
    }

    #[test]
    fn who_still_meets_what_was_asked_at_first_costs_less_after_a_step() {
        let people =
            vec![regulator("a-low", &[("regulation", 10)], &[]), regulator("b-high", &[("regulation", 40)], &[])];
        let mut stage = Stage::new(people);
        stage.enter(demand("cherbourg", PLAIN, &[(20, &[])]));
        stage.pass(20);
        stage.register(&["a-low", "b-high"]);
        let candidates = stage.choose().remove(0).reasoning.candidates;
        assert_eq!(names(&candidates), ["b-high", "a-low"]);
        assert_eq!((candidates[0].fit, candidates[1].fit), (3.0, 12.0));
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
