//! The section `[lines.ID]`: what a DDI means.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::calendars::{Calendars, read_line_calendar};
use super::demand::read_demand;
use super::document::Section;
use super::farewells::read_farewells;
use super::parts::seconds;
use super::recording_terms::{POLICIES, read_recording_terms};
use super::values;
use super::voice::read_line_voice;
use crate::model::centre::{Accept, GreetingMode, Line, RecordingPolicy};
use crate::model::{E164, LineId, SkillId, SoundId};

/// Reads every line, and the line of each DDI.
pub(super) fn read_lines(root: &Section<'_>, calendars: &Calendars) -> (BTreeMap<LineId, Line>, HashMap<E164, LineId>) {
    let (mut lines, mut ddis) = (BTreeMap::new(), HashMap::new());
    for (id, section) in root.named("lines") {
        let id = LineId::from(id.as_str());
        let line = read_line(&section, &id, &mut ddis);
        let recording_terms = read_recording_terms(&section, calendars, line.recording);
        let line = Line { hours: read_line_calendar(&section, calendars), recording_terms, ..line };
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
    let [overflow, nobody, closed] = read_farewells(section);
    let reference = |key, remedy| section.must(key, remedy, values::id).unwrap_or_default();
    let music = sound("music").unwrap_or_else(|| SoundId::from("music"));
    let waiting_max = section.or("waiting_max", Duration::from_secs(600), values::duration(seconds(5, 14_400)));
    let modes = [("before", GreetingMode::Before), ("meanwhile", GreetingMode::Meanwhile)];
    let accepts = [("at-once", Accept::AtOnce), ("answered", Accept::Answered)];
    Line {
        id: id.clone(),
        name: section.or("name", id.to_string(), values::text),
        association: reference("association", "write the id of one of the [associations.ID]").as_str().into(),
        ddis: read_ddis(section, id, ddis),
        demand: read_demand(section, waiting_max),
        language: section.or("language", "fr".into(), values::language),
        greeting: sound("greeting"),
        greeting_mode: section.or("greeting_mode", GreetingMode::default(), values::choice(&modes)),
        hold_music: sound("hold_music").unwrap_or_else(|| music.clone()),
        music,
        recording: section.or("recording", RecordingPolicy::Always, values::choice(&POLICIES)),
        recording_terms: Default::default(),
        wrap_up: section.or("wrap_up", Duration::from_secs(30), values::duration(seconds(0, 3600))),
        waiting_max,
        hours: None,
        overflow,
        nobody,
        closed,
        accept: section.or("accept", Accept::default(), values::choice(&accepts)),
        voice: read_line_voice(section),
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

/// Reads the table `skills` of a line, a step or a regulator.
pub(super) fn read_levels(section: &Section<'_>) -> BTreeMap<SkillId, u8> {
    let levels = section.pairs("skills", values::whole(1..=100));
    levels.into_iter().map(|(name, level)| (SkillId::from(name.as_str()), level)).collect()
}
