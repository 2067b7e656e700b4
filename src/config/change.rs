//! What another configuration changes, in the file's words; and what of it only a restart can bring.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;

use super::{Settings, StepReach, reach};
use crate::model::{Centre, LineId, RegulatorId};

/// Keys of a trunk that a running server takes; its places, account and number plan are those of the start.
const TRUNK_TAKES: [&str; 7] = ["fallback_line", "calls_max", "rate_max", "dials", "outgoing", "srtp", "codecs"];
/// Parts of the centre that do not stand in the file by themselves.
const DERIVED: [&str; 1] = ["ddis"];

/// One thing that is there, or not there, or other than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `lines.rouen`, `routing.weights`: as the file has it, without its own keys.
    pub what: String,
    /// What became of it.
    pub kind: ChangeKind,
    /// Which of its keys changed, by their names in the server; empty for what was added or removed.
    pub keys: Vec<String>,
}

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was not there.
    Added,
    /// It is not there any more.
    Removed,
    /// It is another.
    Changed,
}

/// Who can answer a step of a line, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachChange {
    /// The line.
    pub line: LineId,
    /// 0 is the demand itself, n the n-th step.
    pub step: usize,
    /// Who could and can no more.
    pub lost: Vec<RegulatorId>,
    /// Who can now.
    pub gained: Vec<RegulatorId>,
    /// How many can now.
    pub left: usize,
}

/// Everything that is other in `new`, in the order of the file's parts.
pub fn changes(old: &Settings, new: &Settings) -> Vec<Change> {
    let (was, is) = (fields(&old.centre), fields(&new.centre));
    let mut found = Vec::new();
    for (part, text) in &is {
        let before = was.get(part).map_or("", String::as_str);
        if before == text || DERIVED.contains(&part.as_str()) {
            continue;
        }
        let (before, after) = (entries(before), entries(text));
        if before.is_empty() && after.is_empty() {
            let keys = keys_changed(was.get(part).map_or("", String::as_str), text);
            found.push(Change { what: part.clone(), kind: ChangeKind::Changed, keys });
            continue;
        }
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names {
            let (kind, keys) = match (before.get(name), after.get(name)) {
                (Some(one), Some(other)) if one == other => continue,
                (Some(one), Some(other)) => (ChangeKind::Changed, keys_changed(one, other)),
                (None, Some(_) | None) => (ChangeKind::Added, Vec::new()),
                (Some(_), None) => (ChangeKind::Removed, Vec::new()),
            };
            found.push(Change { what: format!("{part}.{name}"), kind, keys });
        }
    }
    found
}

/// What only a restart can bring, as `sip.listen` or `trunks.carrier.peers`; empty when the running server can go on under
/// `new`.
pub fn takes_restart(old: &Settings, new: &Settings) -> Vec<String> {
    let (was, is) = (fields(old), fields(new));
    let parts = is.iter().filter(|(part, _)| !matches!(part.as_str(), "centre" | "file"));
    let mut found: Vec<String> = parts
        .filter(|(part, text)| was.get(*part) != Some(text))
        .flat_map(|(part, text)| {
            let keys = keys_changed(was.get(part).map_or("", String::as_str), text);
            if keys.is_empty() { vec![part.clone()] } else { keys.iter().map(|key| format!("{part}.{key}")).collect() }
        })
        .collect();
    if old.centre.zone != new.centre.zone {
        found.push("node.time_zone".into());
    }
    for change in changes(old, new).into_iter().filter(|change| change.what.starts_with("trunks.")) {
        match change.kind {
            ChangeKind::Added | ChangeKind::Removed => found.push(change.what),
            ChangeKind::Changed => {
                let keys = change.keys.iter().filter(|key| !TRUNK_TAKES.contains(&key.as_str()));
                found.extend(keys.map(|key| format!("{}.{key}", change.what)));
            }
        }
    }
    found
}

/// Steps of lines that are in both configurations which other people can answer; the worst first.
pub fn reach_changes(old: &Centre, new: &Centre) -> Vec<ReachChange> {
    let before = reach(old);
    let before: HashMap<(&LineId, usize), &StepReach> =
        before.iter().map(|step| ((&step.line, step.step), step)).collect();
    let change = |after: &StepReach| {
        let before = before.get(&(&after.line, after.step))?;
        // As nearly all steps are, whatever is changed.
        if before.regulators == after.regulators {
            return None;
        }
        let (was, is): (BTreeSet<_>, BTreeSet<_>) =
            (before.regulators.iter().collect(), after.regulators.iter().collect());
        let only = |some: &BTreeSet<&RegulatorId>, others: &BTreeSet<&RegulatorId>| -> Vec<RegulatorId> {
            some.difference(others).map(|one| (*one).clone()).collect()
        };
        let (line, step, left) = (after.line.clone(), after.step, after.regulators.len());
        Some(ReachChange { line, step, lost: only(&was, &is), gained: only(&is, &was), left })
    };
    let mut found: Vec<ReachChange> = reach(new).iter().filter_map(change).collect();
    found.sort_by_key(|change| (change.left, std::cmp::Reverse(change.lost.len())));
    found
}

/// The fields of a struct by name, each as Rust's `{:#?}` writes it: whatever is added to a struct is compared too. With
/// `+` numbers are whole, for one wrong digit is a change; these texts are compared and never shown.
fn fields(of: &impl Debug) -> BTreeMap<String, String> {
    split(&format!("{of:+#?}"), |line| line.split_once(": ").map(|(name, rest)| (name.to_owned(), rest.to_owned())))
}

/// The entries of a map whose keys are ids (`LineId(rouen): …`) or names (`"rouen": …`); empty for what is no map. Each
/// begins with the line of its key.
fn entries(text: &str) -> BTreeMap<String, String> {
    if !text.starts_with('{') {
        return BTreeMap::new();
    }
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut current: Option<String> = None;
    for line in text.lines().skip(1) {
        let Some(inner) = line.strip_prefix("    ") else { continue };
        if !inner.starts_with(' ')
            && let Some((key, _)) = inner.split_once(": ")
        {
            let name = key.split_once('(').map_or(key, |(_, name)| name.trim_end_matches(')'));
            current = Some(name.trim_matches('"').to_owned());
        }
        if let Some(name) = &current {
            let body = found.entry(name.clone()).or_default();
            body.push_str(inner);
            body.push('\n');
        }
    }
    found
}

/// The names of the fields of a struct that differ, between two texts of it.
fn keys_changed(old: &str, new: &str) -> Vec<String> {
    let parse =
        |text: &str| split(text, |line| line.split_once(": ").map(|(name, rest)| (name.to_owned(), rest.to_owned())));
    let (was, is) = (parse(old), parse(new));
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    names.into_iter().filter(|name| was.get(*name) != is.get(*name)).cloned().collect()
}

/// The parts of a pretty text at its first level, by what `head` makes of their first lines; their own lines dedented.
fn split(text: &str, head: impl Fn(&str) -> Option<(String, String)>) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut current: Option<String> = None;
    for line in text.lines().skip(1) {
        let Some(inner) = line.strip_prefix("    ") else { continue };
        if !inner.starts_with(' ')
            && let Some((name, rest)) = head(inner)
        {
            found.insert(name.clone(), rest.trim_end_matches(',').to_owned());
            current = Some(name);
        } else if let Some(body) = current.as_ref().and_then(|name| found.get_mut(name)) {
            body.push('\n');
            body.push_str(inner.trim_end_matches(','));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn sample() -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/vigie.toml");
        std::fs::read_to_string(file).expect("the sample")
    }

    fn settings(text: &str) -> Settings {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/vigie.toml");
        Settings::from_text(text, &file).unwrap_or_else(|faults| panic!("{faults}"))
    }

    /// What is told when `from` is `to` in the sample.
    fn told(from: &str, to: &str) -> (Vec<String>, Vec<String>) {
        assert!(sample().contains(from), "{from}");
        let (old, new) = (settings(&sample()), settings(&sample().replacen(from, to, 1)));
        let show = |change: Change| format!("{:?} {} {}", change.kind, change.what, change.keys.join(" "));
        (changes(&old, &new).into_iter().map(show).collect(), takes_restart(&old, &new))
    }

    #[test]
    fn the_same_configuration_changes_nothing() {
        assert_eq!(told("[lines.rouen]", "[lines.rouen]"), (vec![], vec![]));
    }

    #[test]
    fn each_change_is_named_with_its_keys() {
        let added = "[regulators.zoe]\nassociation = \"sos-rouen\"\nskills = { regulation = 60 }\n\n[regulators.anne]";
        for (from, to, expected) in [
            ("waiting_max = \"10m\"", "waiting_max = \"12m\"", "Changed lines.cherbourg waiting_max"),
            ("[regulators.anne]", added, "Added regulators.zoe "),
            ("scarcity = 15", "scarcity = 14", "Changed weights scarcity"),
            ("ring_duration_max = \"15s\"", "ring_duration_max = \"20s\"", "Changed offers ring_duration_max"),
            ("name = \"Anne Lemoine\"", "name = \"Anne Petit\"", "Changed regulators.anne name"),
            // One digit, which a masked number would not show.
            ("ddis = [\"+33261910203\"]", "ddis = [\"+33261910204\"]", "Changed lines.rouen-en ddis"),
            ("numbers = [\"+33199000999\"]", "numbers = [\"+33199000998\"]", "Changed lists.test-numbers numbers"),
            (
                "number_shown = \"+33261910101\"",
                "number_shown = \"+33261910102\"",
                "Changed associations.sos-cherbourg number_shown",
            ),
        ] {
            let (changes, restart) = told(from, to);
            assert_eq!(changes, [expected], "{from}");
            assert!(!changes.iter().any(|change| change.contains("+33")), "numbers are never shown");
            assert!(restart.is_empty(), "{from}: {restart:?}");
        }
    }

    #[test]
    fn what_only_a_restart_brings_is_named() {
        for (from, to, expected) in [
            ("peers = [\"127.0.0.2\"]", "peers = [\"127.0.0.3\"]", "trunks.carrier.peers"),
            ("silence_max = \"30s\"", "silence_max = \"31s\"", "media.silence_max"),
            ("ladder_days = 30", "ladder_days = 31", "storage.ladder_days"),
        ] {
            assert_eq!(told(from, to).1, [expected], "{from}");
        }
        // What the running server takes of a trunk is no such thing.
        assert_eq!(told("calls_max = 100", "calls_max = 90").1, Vec::<String>::new());
    }

    #[test]
    fn who_can_answer_a_step_no_more_is_told_the_worst_first() {
        let old = settings(&sample());
        let new = settings(&sample().replacen(
            "skills = { regulation = 70, lang-en = 80, administration = 30 }",
            "skills = { regulation = 70, administration = 30 }",
            1,
        ));
        let found = reach_changes(&old.centre, &new.centre);
        let first = found.first().expect("a change");
        assert_eq!((first.line.as_str(), first.step, first.left), ("rouen-en", 0, 0));
        assert_eq!(first.lost, ["bruno".into()]);
    }
}
