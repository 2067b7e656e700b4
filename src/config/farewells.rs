//! What becomes of callers whom a line cannot serve: a message, and then another line, an outside number or voicemail.

use super::document::{Report, Section};
use super::references::check_name;
use super::values;
use crate::model::centre::{Farewell, Line};
use crate::model::outside::outside;
use crate::model::{Centre, Destination, LineId, SoundId};

/// The keys of one farewell, and how a line has it.
type Kind = (&'static str, &'static str, fn(&Line) -> &Farewell);

const KINDS: [Kind; 3] = [
    ("overflow_message", "overflow_to", |line| &line.overflow),
    ("nobody_message", "nobody_to", |line| &line.nobody),
    ("closed_message", "closed_to", |line| &line.closed),
];

const REMEDY: &str = "write one of { line = \"…\" }, { number = \"15\" }, { voicemail = true }";

/// Overflow, nobody on duty, closed: of a line.
pub(super) fn read_farewells(section: &Section<'_>) -> [Farewell; 3] {
    KINDS.map(|(message, to, _)| Farewell {
        message: section.take(message, values::id).map(|name| SoundId::from(name.as_str())),
        to: section.has(to).then(|| read_to(section.section(to))).flatten(),
    })
}

fn read_to(section: Section<'_>) -> Option<Destination> {
    let line = section.take("line", values::id).map(|id| Destination::Line(id.as_str().into()));
    let number = section.take("number", values::text).map(Destination::Number);
    let voicemail = section.or("voicemail", false, values::flag).then_some(Destination::Voicemail);
    let mut found = [line, number, voicemail].into_iter().flatten();
    let (first, second) = (found.next(), found.next());
    if (first.is_none() || second.is_some()) && !section.report.has_fault_under(&section.key) {
        let problem = if first.is_none() { "leads nowhere" } else { "leads to several places" };
        section.report.fault(&section.key, problem, REMEDY);
    }
    section.close();
    first
}

/// Tells lines and numbers that are not there, and lines that lead back to themselves.
pub(super) fn check_farewells(report: &Report, centre: &Centre) {
    for line in centre.lines.values() {
        for (_, name, kind) in KINDS {
            let key = format!("lines.{}.{name}", line.id);
            match &kind(line).to {
                Some(Destination::Line(to)) => {
                    let lines = centre.lines.keys().map(LineId::as_str);
                    check_name(report, &format!("{key}.line"), to.as_str(), lines, "lines.ID");
                    if leads_back(centre, &line.id, kind) {
                        report.fault(
                            &format!("{key}.line"),
                            "following it leads back here: a caller would be sent round and round",
                            "let one line of the circle have a message alone, or lead to a number or to voicemail",
                        );
                    }
                }
                Some(Destination::Number(number)) if outside(centre, number).is_none() => report.fault(
                    &format!("{key}.number"),
                    format!("no trunk may dial `{number}`"),
                    format!("write the number or its beginning into a trunk's list: dials = [\"{number}\"]"),
                ),
                Some(
                    Destination::Number(_)
                    | Destination::Voicemail
                    | Destination::Wait
                    | Destination::Menu(_)
                    | Destination::CallBack
                    | Destination::HangUp,
                )
                | None => {}
            }
        }
    }
}

fn leads_back(centre: &Centre, id: &LineId, kind: fn(&Line) -> &Farewell) -> bool {
    let mut at = id;
    for _ in 0..=centre.lines.len() {
        match centre.lines.get(at).map(|line| &kind(line).to) {
            Some(Some(Destination::Line(next))) if next == id => return true,
            Some(Some(Destination::Line(next))) => at = next,
            Some(_) | None => return false,
        }
    }
    false
}
