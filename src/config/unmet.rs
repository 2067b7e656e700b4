//! What is asked on callers' behalf and nobody can meet: told, and no caller is stranded by it.

use super::document::Report;
use crate::model::standing::ListKind;
use crate::model::{Centre, Needs};

/// A step that nobody can meet would strand whoever waits for it: it is told, and the step before goes on holding.
pub(super) fn pass_over_unmet_steps(report: &Report, centre: &mut Centre) {
    let levels: Vec<_> = centre.regulators.values().map(|person| person.skills.clone()).collect();
    let is_met = |needs: &Needs| levels.iter().any(|has| needs.is_met_by(has));
    for line in centre.lines.values_mut() {
        let mut is_met_before = is_met(&line.demand.needs);
        for (number, step) in line.demand.steps.iter_mut().enumerate() {
            let Some(needs) = step.needs.as_ref() else { continue };
            if is_met(needs) {
                is_met_before = true;
            } else if is_met_before {
                report.warn(
                    &written_at(report, &format!("lines.{}.steps[{number}]", line.id)),
                    format!(
                        "no regulator meets `{needs}`: the step is passed over, and what was asked before it holds"
                    ),
                    "lower its levels, give a regulator these skills, or take the step out",
                );
                step.needs = None;
            }
        }
    }
}

/// Tells lists whose callers nobody could answer.
pub(super) fn check_lists_needs(report: &Report, centre: &Centre) {
    for list in centre.lists.values() {
        let ListKind::Priority(change) = &list.kind else { continue };
        let Some(needs) = &change.needs else { continue };
        let mut people = centre.regulators.values();
        let key = format!("lists.{}", list.id);
        if !report.has_fault_under(&key) && !people.any(|person| needs.is_met_by(&person.skills)) {
            report.fault(
                &written_at(report, &key),
                format!("no regulator meets `{needs}`, so nobody could answer who stands on this list"),
                "lower the levels, or give a regulator these skills",
            );
        }
    }
}

/// Where the skills of a section stand.
fn written_at(report: &Report, key: &str) -> String {
    let keys = ["needs", "skills", "lowered_by", "without"].map(|name| format!("{key}.{name}"));
    keys.into_iter().find(|key| report.has(key)).unwrap_or_else(|| key.to_owned())
}
