//! The section `[lines.ID]`: what a DDI means.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::document::Section;
use super::hours::read_hours;
use super::parts::seconds;
use super::values;
use crate::model::centre::{Accept, Demand, Farewell, GreetingMode, Line, RecordingPolicy, Step};
use crate::model::{E164, LineId, SkillId, SoundId};

/// The most steps a demand may have.
const STEPS_MAX: usize = 8;

/// Reads every line, and the line of each DDI.
pub(super) fn read_lines(root: &Section<'_>) -> (BTreeMap<LineId, Line>, HashMap<E164, LineId>) {
    let (mut lines, mut ddis) = (BTreeMap::new(), HashMap::new());
    for (id, section) in root.named("lines") {
        let id = LineId::from(id.as_str());
        let line = read_line(&section, &id, &mut ddis);
        section.close();
        lines.insert(id, line);
    }
    if lines.is_empty() && !root.report.has_fault_under("lines") {
        root.report.fault("lines", "no line is configured", "write at least one [lines.ID] with its ddis");
    }
    (lines, ddis)
}

fn read_line(section: &Section<'_>, id: &LineId, ddis: &mut HashMap<E164, LineId>) -> Line {
    let sound = |key| section.take(key, values::id).map(|name| SoundId::from(name.as_str()));
    let farewell = |key| Farewell { message: sound(key) };
    let reference = |key, remedy| section.must(key, remedy, values::id).unwrap_or_default();
    let music = sound("music").unwrap_or_else(|| SoundId::from("music"));
    let waiting_max = section.or("waiting_max", Duration::from_secs(600), values::duration(seconds(5, 14_400)));
    let modes = [("before", GreetingMode::Before), ("meanwhile", GreetingMode::Meanwhile)];
    let accepts = [("at-once", Accept::AtOnce), ("answered", Accept::Answered)];
    let policies = [("always", RecordingPolicy::Always), ("never", RecordingPolicy::Never)];
    Line {
        id: id.clone(),
        name: section.or("name", id.to_string(), values::text),
        association: reference("association", "write the id of one of the [associations.ID]").as_str().into(),
        ddis: read_ddis(section, id, ddis),
        demand: Demand {
            region: reference("region", "write the id of one of the [regions.ID]: the area its callers are in")
                .as_str()
                .into(),
            skills: read_demanded_skills(section),
            priority: section.or("priority", 5, values::whole(1..=9)),
            steps: read_steps(section, waiting_max),
        },
        language: section.or("language", "fr".into(), values::language),
        greeting: sound("greeting"),
        greeting_mode: section.or("greeting_mode", GreetingMode::default(), values::choice(&modes)),
        hold_music: sound("hold_music").unwrap_or_else(|| music.clone()),
        music,
        recording: section.or("recording", RecordingPolicy::Always, values::choice(&policies)),
        wrap_up: section.or("wrap_up", Duration::from_secs(30), values::duration(seconds(0, 3600))),
        waiting_max,
        hours: read_hours(section),
        overflow: farewell("overflow_message"),
        nobody: farewell("nobody_message"),
        closed: farewell("closed_message"),
        accept: section.or("accept", Accept::default(), values::choice(&accepts)),
    }
}

fn read_ddis(section: &Section<'_>, id: &LineId, all: &mut HashMap<E164, LineId>) -> Vec<E164> {
    let mut ddis = Vec::new();
    for (key, number) in section.list("ddis", values::number) {
        match all.get(&number) {
            Some(other) if other != id => section.report.fault(
                &key,
                format!("{number} already reaches the line `{other}`"),
                "let each number reach one line: take it out of one of the two",
            ),
            Some(_) | None => {
                all.insert(number.clone(), id.clone());
                ddis.push(number);
            }
        }
    }
    ddis
}

fn read_demanded_skills(section: &Section<'_>) -> BTreeMap<SkillId, u8> {
    let skills = read_levels(section);
    if skills.is_empty() && !section.report.has_fault_under(&section.path("skills")) {
        section.report.fault(
            &section.path("skills"),
            "the line asks no skill, so anybody at all would be given its calls",
            "write what its calls need, such as skills = { regulation = 50 }",
        );
    }
    skills
}

/// Reads the table `skills` of a line, a step or a regulator.
pub(super) fn read_levels(section: &Section<'_>) -> BTreeMap<SkillId, u8> {
    let levels = section.pairs("skills", values::whole(1..=100));
    levels.into_iter().map(|(name, level)| (SkillId::from(name.as_str()), level)).collect()
}

fn read_steps(section: &Section<'_>, waiting_max: Duration) -> Vec<Step> {
    let report = section.report;
    let mut steps: Vec<Step> = Vec::new();
    let mut skills = read_levels_quietly(section);
    let written = section.each("steps");
    if written.len() > STEPS_MAX {
        report.fault(
            &section.path("steps"),
            format!("more than {STEPS_MAX} steps"),
            "let fewer steps relax the demand further each",
        );
    }
    for step in written {
        let remedy = "write after = \"20s\": the wait from which the step holds";
        let after = step.must("after", remedy, values::duration(seconds(1, 14_400))).unwrap_or_default();
        let is_read = !report.has_fault_under(&step.path("after"));
        if is_read && steps.last().is_some_and(|before| before.after >= after) {
            report.fault(
                &step.path("after"),
                format!("{} is not later than the step before", values::show_duration(after)),
                "put the steps in the order of their waits",
            );
        }
        if is_read && after >= waiting_max {
            report.warn(
                &step.path("after"),
                format!("never holds: callers wait at most {}", values::show_duration(waiting_max)),
                "let it hold earlier, or raise waiting_max",
            );
        }
        skills = read_step_skills(&step, skills);
        steps.push(Step { after, skills: skills.clone() });
        step.close();
    }
    steps
}

/// The levels again for the steps; what is wrong with them was told by [`read_demanded_skills`].
fn read_levels_quietly(section: &Section<'_>) -> BTreeMap<SkillId, u8> {
    if section.report.has_fault_under(&section.path("skills")) { BTreeMap::new() } else { read_levels(section) }
}

fn read_step_skills(step: &Section<'_>, before: BTreeMap<SkillId, u8>) -> BTreeMap<SkillId, u8> {
    let remedy = "write either skills = { … }, or lowered_by = 10 to lower every level of the step before";
    let lowered_by: Option<u8> = step.take("lowered_by", values::whole(1..=99));
    match (step.has("skills"), step.has("lowered_by")) {
        (true, true) => step.report.fault(&step.path("lowered_by"), "stands beside skills", remedy),
        (true, false) => return read_levels(step),
        (false, true) => {}
        (false, false) => step.report.fault(&step.key, "the step changes nothing", remedy),
    }
    let by = lowered_by.unwrap_or_default();
    before.into_iter().map(|(skill, level)| (skill, level.saturating_sub(by).max(1))).collect()
}
