//! What the calls of a line ask: skills as a table or an expression, how far is looked, and the steps that relax it.

use std::time::Duration;

use super::document::Section;
use super::lines::read_levels;
use super::parts::seconds;
use super::values;
use crate::model::centre::{Demand, Reach, Step};
use crate::model::demand::PRIORITY_NEVER_HELD;
use crate::model::{Needs, SkillId, SoundId};

/// The most steps a demand may have.
const STEPS_MAX: usize = 8;

/// How far is looked, in words.
pub(super) const REACHES: [(&str, Reach); 4] =
    [("home", Reach::Home), ("neighbours", Reach::Neighbours), ("parent", Reach::Parent), ("all", Reach::All)];

/// Reads region, skills, priority, reach and steps of a line.
pub(super) fn read_demand(section: &Section<'_>, waiting_max: Duration) -> Demand {
    let remedy = "write the id of one of the [regions.ID]: the area its callers are in";
    let region = section.must("region", remedy, values::id).unwrap_or_default();
    let (needs, priority) = (read_asked(section), section.or("priority", 5, values::whole(1..=9)));
    let reach = section.or("reach", Reach::All, values::choice(&REACHES));
    let steps = read_steps(section, &needs, waiting_max);
    tell_what_is_no_step(section, (reach, priority), &steps);
    Demand { region: region.as_str().into(), needs, priority, reach, steps }
}

/// The expression `needs`, or the table `skills`; `None` when neither stands there.
pub(super) fn read_needs(section: &Section<'_>) -> Option<Needs> {
    if section.has("needs") && section.has("skills") {
        section.report.fault(
            &section.path("needs"),
            "stands beside skills, and both say what is asked",
            "write one of the two: skills = { regulation = 50 } is the same as needs = \"regulation >= 50\"",
        );
    }
    match section.has("needs") {
        true => section.take("needs", values::needs),
        false if section.has("skills") => Some(Needs::from(&read_levels(section))),
        false => None,
    }
}

fn read_asked(section: &Section<'_>) -> Needs {
    let needs = read_needs(section).unwrap_or_default();
    let is_told = ["skills", "needs"].iter().any(|key| section.report.has_fault_under(&section.path(key)));
    if needs == Needs::default() && !is_told {
        section.report.fault(
            &section.path("skills"),
            "the line asks no skill, so anybody at all would be given its calls",
            "write what its calls need, such as skills = { regulation = 50 }, or an expression: needs = \"regulation >= 50\"",
        );
    }
    needs
}

fn read_steps(section: &Section<'_>, asked: &Needs, waiting_max: Duration) -> Vec<Step> {
    let report = section.report;
    let (mut steps, mut needs): (Vec<Step>, Needs) = (Vec::new(), asked.clone());
    let written = section.each("steps");
    if written.len() > STEPS_MAX {
        report.fault(
            &section.path("steps"),
            format!("more than {STEPS_MAX} steps"),
            "let fewer steps relax the demand further each",
        );
    }
    for step in written {
        let before = steps.iter().rev().find_map(|step| step.after);
        let (after, forecast) = read_times(&step, before, waiting_max);
        let asked = read_step_needs(&step, &needs);
        needs = asked.clone().unwrap_or(needs);
        let read = Step {
            after,
            forecast,
            needs: asked,
            reach: step.take("reach", values::choice(&REACHES)),
            priority: step.take("priority", values::whole(1..=9)),
            message: step.take("message", values::id).map(|name| SoundId::from(name.as_str())),
        };
        let changes = ["skills", "needs", "lowered_by", "without", "reach", "priority", "message"];
        if !changes.iter().any(|key| step.has(key)) {
            let remedy = "write what it changes: skills, needs, lowered_by, without, reach, priority or message";
            report.fault(&step.key, "the step changes nothing", remedy);
        }
        steps.push(read);
        step.close();
    }
    steps
}

/// When the step begins: `after` a wait, by `forecast`, or whichever comes first.
fn read_times(
    step: &Section<'_>,
    before: Option<Duration>,
    waiting_max: Duration,
) -> (Option<Duration>, Option<Duration>) {
    let report = step.report;
    let times = values::duration(seconds(1, 14_400));
    let (after, forecast) = (step.take("after", &times), step.take("forecast", &times));
    if !step.has("after") && !step.has("forecast") {
        report.fault(
            &step.path("after"),
            "this key is missing",
            "write after = \"20s\": the wait from which the step holds; or forecast = \"4m\": it holds when nine in ten \
             would wait so long from now on",
        );
    }
    if let (Some(after), Some(before)) = (after, before)
        && before >= after
    {
        report.fault(
            &step.path("after"),
            format!("{} is not later than the step before", values::show_duration(after)),
            "put the steps in the order of their waits",
        );
    }
    if let Some(after) = after.filter(|after| *after >= waiting_max) {
        report.warn(
            &step.path("after"),
            format!(
                "{} never comes: callers wait at most {}",
                values::show_duration(after),
                values::show_duration(waiting_max)
            ),
            "let it hold earlier, or raise waiting_max",
        );
    }
    (after, forecast)
}

/// The skills that a step asks instead of those of the step before; `None` when it leaves them.
fn read_step_needs(step: &Section<'_>, before: &Needs) -> Option<Needs> {
    let ways = ["skills", "needs", "lowered_by"];
    let written: Vec<&str> = ways.into_iter().filter(|way| step.has(way)).collect();
    if let [_, second, ..] = written.as_slice() {
        step.report.fault(
            &step.path(second),
            format!("stands beside {}", written.first().copied().unwrap_or_default()),
            "write one of skills = { … }, needs = \"…\", or lowered_by = 10 to lower every level of the step before",
        );
    }
    let lowered_by: Option<u8> = step.take("lowered_by", values::whole(1..=99));
    let without = step.list("without", values::id);
    let asked = read_needs(step).or_else(|| lowered_by.map(|by| before.lowered_by(by)));
    let named = before.skills();
    for (key, skill) in without.iter().filter(|(_, skill)| !named.contains(&SkillId::from(skill.as_str()))) {
        step.report.fault(
            key,
            format!("the step before does not ask `{skill}`, so nothing would change"),
            "take it out, or write a skill that is asked until then",
        );
    }
    if asked.is_none() && without.is_empty() {
        return None;
    }
    let relaxed = without.iter().fold(asked.unwrap_or_else(|| before.clone()), |needs, (_, skill)| {
        needs.without(&SkillId::from(skill.as_str()))
    });
    Some(relaxed)
}

/// What is no relaxation is probably meant to be one.
fn tell_what_is_no_step(section: &Section<'_>, mut so_far: (Reach, u8), steps: &[Step]) {
    for (number, step) in steps.iter().enumerate() {
        let key = |name: &str| format!("{}[{number}].{name}", section.path("steps"));
        if let Some(reach) = step.reach.filter(|reach| *reach <= so_far.0) {
            section.report.warn(
                &key("reach"),
                format!("\"{}\" is no farther than \"{}\" of before: nothing changes", reach.name(), so_far.0.name()),
                "let a line begin with a narrow reach, such as reach = \"home\", and its steps widen it",
            );
        }
        if let Some(priority) = step.priority.filter(|priority| *priority >= so_far.1) {
            section.report.warn(
                &key("priority"),
                format!("{priority} is no more urgent than {} of before: nothing changes", so_far.1),
                "write a lower number: 1 is the most urgent",
            );
        }
        so_far = (step.reach.unwrap_or(so_far.0).max(so_far.0), step.priority.unwrap_or(so_far.1).min(so_far.1));
    }
    if so_far.0 != Reach::All && so_far.1 > PRIORITY_NEVER_HELD {
        section.report.warn(
            &section.path("reach"),
            format!(
                "callers are kept waiting within \"{}\" although somebody farther away may be free",
                so_far.0.name()
            ),
            "let the last step look everywhere: { after = \"60s\", reach = \"all\" }",
        );
    }
}
