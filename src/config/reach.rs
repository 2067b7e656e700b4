//! Who can answer each line at each step: for the checks, and for a person who reads the configuration.

use std::time::Duration;

use crate::model::centre::{Demand, Reach, Regulator};
use crate::model::{Centre, LineId, RegionId, RegulatorId};

/// Who fits one step of one line's demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepReach {
    /// The line.
    pub line: LineId,
    /// 0 is the demand itself, n the n-th step.
    pub step: usize,
    /// The wait from which it holds; `None` for a step that begins by forecast alone.
    pub after: Option<Duration>,
    /// The forecast from which it holds, when it has one.
    pub forecast: Option<Duration>,
    /// Who has the skills that it asks, and is near enough.
    pub regulators: Vec<RegulatorId>,
}

/// Every step of every line, in the order of ids and steps.
pub fn reach(centre: &Centre) -> Vec<StepReach> {
    let mut all = Vec::new();
    for line in centre.lines.values() {
        for step in 0..=line.demand.steps.len() {
            let (after, forecast) = match step.checked_sub(1).and_then(|n| line.demand.steps.get(n)) {
                Some(step) => (step.after, step.forecast),
                None => (Some(Duration::ZERO), None),
            };
            let regulators = who_fits(centre, &line.demand, step);
            all.push(StepReach { line: line.id.clone(), step, after, forecast, regulators });
        }
    }
    all
}

fn who_fits(centre: &Centre, demand: &Demand, step: usize) -> Vec<RegulatorId> {
    let (needs, reach) = (demand.needs_at(step), demand.reach_at(step));
    let fits = |person: &&Regulator| {
        needs.is_met_by(&person.skills) && (reach == Reach::All || nearness(centre, person, &demand.region) <= reach)
    };
    centre.regulators.values().filter(fits).map(|person| person.id.clone()).collect()
}

/// The narrowest reach around `region` that the person is within.
fn nearness(centre: &Centre, person: &Regulator, region: &RegionId) -> Reach {
    let Some(to) = centre.regions.get(region) else { return Reach::All };
    let mut whole = Some(region);
    // As many as there are regions: a circle of parents, which is told elsewhere, must not hold this.
    for _ in 0..=centre.regions.len() {
        let Some(at) = whole else { break };
        if person.regions.contains_key(at) {
            return Reach::Home;
        }
        whole = centre.regions.get(at).and_then(|at| at.parent.as_ref());
    }
    let from = |served: &RegionId| {
        let parent = centre.regions.get(served).and_then(|served| served.parent.as_ref());
        if to.second.as_ref() == Some(served) || to.neighbours.contains(served) {
            Reach::Neighbours
        } else if to.parent.is_some() && to.parent.as_ref() == parent {
            Reach::Parent
        } else {
            Reach::All
        }
    };
    person.regions.keys().map(from).min().unwrap_or(Reach::All)
}
