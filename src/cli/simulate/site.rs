//! The centre that a profile describes, written as a configuration and read by the configuration's own reader.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use toml::{Table, Value};

use crate::config::read_centre_alone;
use crate::model::{Centre, Utc};

use super::arrivals::draw_callers;
use super::profile::{Profile, ProfileError, Source};
use super::roster;
use super::scenario::{Away, Duty, Ringing, Scenario};

/// 2026-01-05, a Monday, 00:00 in Paris.
const START: Utc = Utc(1_767_567_600_000_000);
/// What every regulator can, and at which level.
const EVERYBODY: (&str, u8) = ("regulation", 70);
/// The most faults told of a centre: one slip in a profile is one in each of its lines.
const FAULTS_TOLD: usize = 5;
/// The cost of the second region that a regulator serves.
const SECOND_REGION: u32 = 10;

/// A profile with the centre and the people that it makes: what every seed shares.
#[derive(Clone, Debug)]
pub struct Site {
    profile: Profile,
    centre: Arc<Centre>,
    counts: Vec<usize>,
    /// The roster: no seed has another.
    duties: Arc<[Duty]>,
}

impl Site {
    /// With `staff` people on the roster instead of the profile's own number.
    pub fn new(source: &Source, staff: Option<u32>) -> Result<Site, ProfileError> {
        let profile = source.parse()?;
        let people = staff.unwrap_or(*profile.staff.people.get_ref()) as usize;
        let counts = roster::split_people(&profile, people);
        let text = write_centre(&profile, &counts);
        let refused = |faults: String| ProfileError::Centre { path: source.path().to_owned(), faults };
        let centre = read_centre_alone(&text, source.path()).map_err(|faults| {
            let untold = faults.errors.len().saturating_sub(FAULTS_TOLD);
            let told = faults
                .errors
                .iter()
                .map(|fault| format!("  {}: {}\n    what to do: {}\n", fault.key, fault.problem, fault.remedy));
            let told: String = told.collect();
            refused(if untold == 0 { told } else { format!("{told}  and {untold} more") })
        })?;
        let duties = roster::fill(&profile, people, *profile.days.get_ref() as usize).into();
        Ok(Site { profile, centre: Arc::new(centre), counts, duties })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.profile.name
    }

    /// People on the roster.
    pub fn staff(&self) -> usize {
        self.counts.iter().sum()
    }

    /// What happens with this seed.
    pub fn scenario(&self, seed: u64) -> Scenario {
        let days = *self.profile.days.get_ref() as usize;
        let whole = |value: f64| Duration::from_secs_f64(value.max(0.0));
        let span = Duration::from_secs(days as u64 * 86_400);
        let lines: Vec<_> = self.centre.lines.keys().cloned().collect();
        Scenario {
            people: self.centre.regulators.keys().cloned().collect(),
            duties: Arc::clone(&self.duties),
            callers: draw_callers(&self.profile, &lines, seed),
            lines,
            ringing: Ringing {
                mean: whole(*self.profile.ringing.mean_s.get_ref()),
                unanswered: *self.profile.ringing.unanswered_share.get_ref(),
            },
            away: Away {
                second: *self.profile.handling.second_region.get_ref(),
                other: *self.profile.handling.other_region.get_ref(),
            },
            start: START,
            span,
            centre: Arc::clone(&self.centre),
        }
    }
}

/// The line of an association for a kind of call.
pub fn line_id(association: &str, kind: &str) -> String {
    format!("{association}.{kind}")
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

fn write_centre(profile: &Profile, counts: &[usize]) -> String {
    let mut text = String::from("[sounds]\nmusic = \"music.wav\"\n\n[skills]\n");
    for skill in skills(profile) {
        let _ = writeln!(text, "{0} = {0}", quoted(&skill));
    }
    let parents: std::collections::BTreeSet<_> =
        profile.associations.iter().filter_map(|one| one.parent.as_ref()).collect();
    for parent in parents {
        let _ = writeln!(text, "[regions.{}]", quoted(parent));
    }
    for one in &profile.associations {
        let id = one.id.get_ref();
        let _ = writeln!(text, "[associations.{0}]\n[regions.{0}]", quoted(id));
        if let Some(parent) = &one.parent {
            let _ = writeln!(text, "parent = {}", quoted(parent));
        }
        let neighbours: Vec<String> = one.neighbours.iter().map(|one| quoted(one)).collect();
        let _ = writeln!(text, "neighbours = [{}]", neighbours.join(", "));
        for kind in &profile.kinds {
            let line = quoted(&line_id(id, kind.name.get_ref()));
            let _ = writeln!(text, "[lines.{line}]\nassociation = {0}\nregion = {0}", quoted(id));
            write_keys(&mut text, &kind.line);
        }
    }
    write_people(&mut text, profile, counts);
    for (name, table) in [("routing", &profile.routing), ("offers", &profile.offers)] {
        let mut whole = Table::new();
        whole.insert(name.to_owned(), Value::Table(table.clone()));
        let _ = writeln!(text, "{whole}");
    }
    text
}

fn write_keys(text: &mut String, table: &Table) {
    for (key, value) in table {
        let _ = writeln!(text, "{} = {value}", quoted(key));
    }
}

/// Every skill that a line asks or somebody has.
fn skills(profile: &Profile) -> std::collections::BTreeSet<String> {
    let mut all = std::collections::BTreeSet::from([EVERYBODY.0.to_owned()]);
    all.extend(profile.staff.skills.iter().map(|one| one.skill.clone()));
    for kind in &profile.kinds {
        let steps = kind.line.get("steps").and_then(Value::as_array).into_iter().flatten();
        for table in steps.filter_map(Value::as_table).chain([&kind.line]) {
            let levels = table.get("skills").and_then(Value::as_table);
            all.extend(levels.into_iter().flat_map(|levels| levels.keys().cloned()));
            all.extend(table.get("needs").and_then(Value::as_str).into_iter().flat_map(names));
        }
    }
    all
}

/// The skills named in an expression such as `regulation >= 50 and (lang-en >= 30 or physician)`.
fn names(expression: &str) -> impl Iterator<Item = String> {
    let words = expression.split(|one: char| !one.is_ascii_alphanumeric() && !matches!(one, '-' | '_' | '.'));
    let is_name =
        |word: &&str| word.starts_with(|one: char| one.is_ascii_lowercase()) && !matches!(*word, "and" | "or");
    words.filter(is_name).map(str::to_owned)
}

fn write_people(text: &mut String, profile: &Profile, counts: &[usize]) {
    let mut person = 0;
    let mut having = vec![0_usize; profile.staff.skills.len()];
    for (place, (one, count)) in profile.associations.iter().zip(counts).enumerate() {
        let second = second_region(profile, place);
        for _ in 0..*count {
            let mut skills = Table::new();
            skills.insert(EVERYBODY.0.to_owned(), Value::Integer(i64::from(EVERYBODY.1)));
            for (skill, having) in profile.staff.skills.iter().zip(&mut having) {
                // Whoever brings the count nearest to its share: evenly spread over people and associations.
                if (*having as f64) < (person + 1) as f64 * skill.share.get_ref() - 0.5 + f64::EPSILON {
                    *having += 1;
                    skills.insert(skill.skill.clone(), Value::Integer(i64::from(*skill.level.get_ref())));
                }
            }
            let mut regions = Table::new();
            if let Some(second) = second {
                regions.insert(second.to_owned(), Value::Integer(i64::from(SECOND_REGION)));
            }
            regions.insert(one.id.get_ref().clone(), Value::Integer(0));
            let _ = writeln!(
                text,
                "[regulators.r{person:05}]\nassociation = {}\nskills = {}\nregions = {}",
                quoted(one.id.get_ref()),
                Value::Table(skills),
                Value::Table(regions)
            );
            person += 1;
        }
    }
}

/// The next association of the same parent, in a circle; without one, the next of all.
fn second_region(profile: &Profile, place: usize) -> Option<&str> {
    let all = &profile.associations;
    let own = all.get(place)?;
    let others = || all.iter().cycle().skip(place + 1).take(all.len().saturating_sub(1));
    let sibling = others().find(|other| other.parent.is_some() && other.parent == own.parent);
    sibling.or_else(|| others().next()).map(|other| other.id.get_ref().as_str())
}
