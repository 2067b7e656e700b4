//! Who can answer each line at each step: for the checks, and for a person who reads the configuration.

use std::time::Duration;

use crate::model::centre::Demand;
use crate::model::{Centre, LineId, RegulatorId};

/// Who fits one step of one line's demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The line.
    pub line: LineId,
    /// 0 is the demand itself, n the n-th step.
    pub step: usize,
    /// The wait from which it holds.
    pub after: Duration,
    /// Who has every skill at the level that it asks.
    pub regulators: Vec<RegulatorId>,
}

/// Every step of every line, in the order of ids and steps.
///
/// Regions do not keep anybody out: serving a far one only costs more.
pub fn reach(centre: &Centre) -> Vec<Reach> {
    let mut all = Vec::new();
    for line in centre.lines.values() {
        for step in 0..=line.demand.steps.len() {
            let after = match step.checked_sub(1).and_then(|n| line.demand.steps.get(n)) {
                Some(step) => step.after,
                None => Duration::ZERO,
            };
            let regulators = who_fits(centre, &line.demand, step);
            all.push(Reach { line: line.id.clone(), step, after, regulators });
        }
    }
    all
}

fn who_fits(centre: &Centre, demand: &Demand, step: usize) -> Vec<RegulatorId> {
    let asked = demand.skills_at(step);
    let fits = |skills: &std::collections::BTreeMap<_, u8>| {
        asked.iter().all(|(skill, level)| skills.get(skill).is_some_and(|own| own >= level))
    };
    let people = centre.regulators.values().filter(|person| fits(&person.skills));
    people.map(|person| person.id.clone()).collect()
}
