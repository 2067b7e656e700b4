//! The skills that a call needs, as an expression: `regulation >= 50 and (lang-en >= 30 or physician)`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ids::{SkillId, is_valid_id};

/// The most skills that one expression names, each as often as it stands there: a person must be able to read it.
pub const NEEDS_TERMS_MAX: usize = 64;

/// The deepest brackets in an expression: reading and judging one recurs as deep.
pub const NEEDS_DEPTH_MAX: usize = 16;

/// What somebody must be able to do to be given a call. As text it reads like the configuration: `and` binds before
/// `or`, a skill alone means any level of it, and nothing at all means anybody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Needs {
    /// Every one of these; without any, anybody will do.
    All(Vec<Needs>),
    /// At least one of these.
    Any(Vec<Needs>),
    /// The skill at this level, 1–100, or above.
    Level(SkillId, u8),
}

impl Default for Needs {
    fn default() -> Needs {
        Needs::All(Vec::new())
    }
}

impl From<&BTreeMap<SkillId, u8>> for Needs {
    /// All of these levels: the shorthand `{ regulation = 50, lang-en = 30 }`.
    fn from(levels: &BTreeMap<SkillId, u8>) -> Needs {
        let mut all: Vec<Needs> = levels.iter().map(|(skill, level)| Needs::Level(skill.clone(), *level)).collect();
        match (all.pop(), all.is_empty()) {
            (Some(only), true) => only,
            (last, _) => Needs::All(all.into_iter().chain(last).collect()),
        }
    }
}

impl Needs {
    /// Whether somebody with these levels meets it.
    pub fn is_met_by(&self, levels: &BTreeMap<SkillId, u8>) -> bool {
        match self {
            Needs::All(parts) => parts.iter().all(|part| part.is_met_by(levels)),
            Needs::Any(parts) => parts.iter().any(|part| part.is_met_by(levels)),
            Needs::Level(skill, level) => levels.get(skill).is_some_and(|own| own >= level),
        }
    }

    /// How many levels somebody lacks in all, by the way that lacks least; 0 when it is met.
    pub fn shortfall(&self, levels: &BTreeMap<SkillId, u8>) -> u32 {
        match self {
            Needs::All(parts) => parts.iter().map(|part| part.shortfall(levels)).sum(),
            Needs::Any(parts) => parts.iter().map(|part| part.shortfall(levels)).min().unwrap_or_default(),
            Needs::Level(skill, level) => u32::from(level.saturating_sub(levels.get(skill).copied().unwrap_or(0))),
        }
    }

    /// Every skill that it names.
    pub fn skills(&self) -> BTreeSet<&SkillId> {
        let mut named = BTreeSet::new();
        self.visit(&mut |skill, _| {
            named.insert(skill);
        });
        named
    }

    /// Each skill that it names with the lowest level that it asks of it: all of it when it has no `or`.
    pub fn levels(&self) -> BTreeMap<SkillId, u8> {
        let mut levels: BTreeMap<SkillId, u8> = BTreeMap::new();
        self.visit(&mut |skill, level| {
            let lowest = levels.entry(skill.clone()).or_insert(level);
            *lowest = level.min(*lowest);
        });
        levels
    }

    /// The same with every level lowered, to no less than 1.
    #[must_use]
    pub fn lowered_by(&self, by: u8) -> Needs {
        match self {
            Needs::All(parts) => Needs::All(parts.iter().map(|part| part.lowered_by(by)).collect()),
            Needs::Any(parts) => Needs::Any(parts.iter().map(|part| part.lowered_by(by)).collect()),
            Needs::Level(skill, level) => Needs::Level(skill.clone(), level.saturating_sub(by).max(1)),
        }
    }

    /// The same without asking for this skill: it counts as met wherever it stands.
    #[must_use]
    pub fn without(&self, skill: &SkillId) -> Needs {
        match self {
            Needs::Level(named, _) if named == skill => Needs::default(),
            Needs::Level(..) => self.clone(),
            Needs::All(parts) => {
                let kept = parts.iter().map(|part| part.without(skill)).filter(|part| *part != Needs::default());
                Needs::all(kept.collect())
            }
            Needs::Any(parts) => {
                let kept: Vec<Needs> = parts.iter().map(|part| part.without(skill)).collect();
                if kept.contains(&Needs::default()) { Needs::default() } else { Needs::Any(kept) }
            }
        }
    }

    /// Both: what is asked already, and this too.
    #[must_use]
    pub fn and(self, other: Needs) -> Needs {
        let parts = [self, other].into_iter().flat_map(|one| match one {
            Needs::All(parts) => parts,
            Needs::Any(_) | Needs::Level(..) => vec![one],
        });
        let mut all: Vec<Needs> = Vec::new();
        for part in parts {
            if !all.contains(&part) {
                all.push(part);
            }
        }
        Needs::all(all)
    }

    fn all(mut parts: Vec<Needs>) -> Needs {
        match (parts.len(), parts.pop()) {
            (1, Some(only)) => only,
            (_, last) => {
                parts.extend(last);
                Needs::All(parts)
            }
        }
    }

    fn visit<'a>(&'a self, see: &mut impl FnMut(&'a SkillId, u8)) {
        match self {
            Needs::All(parts) | Needs::Any(parts) => parts.iter().for_each(|part| part.visit(see)),
            Needs::Level(skill, level) => see(skill, *level),
        }
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write = |f: &mut fmt::Formatter<'_>, parts: &[Needs], word: &str| {
            for (number, part) in parts.iter().enumerate() {
                if number > 0 {
                    write!(f, " {word} ")?;
                }
                match part {
                    Needs::All(inner) | Needs::Any(inner) if inner.len() != 1 => write!(f, "({part})")?,
                    Needs::All(_) | Needs::Any(_) | Needs::Level(..) => write!(f, "{part}")?,
                }
            }
            Ok(())
        };
        match self {
            Needs::All(parts) => write(f, parts, "and"),
            Needs::Any(parts) => write(f, parts, "or"),
            Needs::Level(skill, 1) => write!(f, "{skill}"),
            Needs::Level(skill, level) => write!(f, "{skill} >= {level}"),
        }
    }
}

impl From<Needs> for String {
    fn from(needs: Needs) -> String {
        needs.to_string()
    }
}

impl TryFrom<String> for Needs {
    type Error = NeedsError;
    fn try_from(text: String) -> Result<Needs, NeedsError> {
        text.parse()
    }
}

/// Why a text is no expression of skills; each says what to write.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NeedsError {
    /// A sign that no expression has.
    #[error("`{0}` has no meaning here: write skills, `>=`, levels, `and`, `or` and brackets")]
    UnknownSign(String),
    /// Something is missing before this.
    #[error("a skill is missing before {0}: write such as \"regulation >= 50 and (lang-en >= 30 or physician)\"")]
    SkillMissing(String),
    /// Two things stand beside each other.
    #[error("`and` or `or` is missing before `{0}`")]
    WordMissing(String),
    /// A bracket that is not closed, or closes nothing.
    #[error("a bracket is opened and not closed, or closed and not opened: count them")]
    Brackets,
    /// No level, or one out of range.
    #[error("`{skill} >= {level}` has no level from 1 to 100")]
    Level {
        /// Of which skill.
        skill: String,
        /// What stands there.
        level: String,
    },
    /// Longer or deeper than anybody could read.
    #[error(
        "it names more than {NEEDS_TERMS_MAX} skills or has brackets more than {NEEDS_DEPTH_MAX} deep: ask for less"
    )]
    TooLong,
}

impl FromStr for Needs {
    type Err = NeedsError;

    /// Reads an expression; an empty text is [`Needs::default`].
    fn from_str(text: &str) -> Result<Needs, NeedsError> {
        let signs = signs(text)?;
        if signs.is_empty() {
            return Ok(Needs::default());
        }
        let mut reader = Reader { signs: &signs, at: 0, terms: 0 };
        let needs = reader.any(0)?;
        match reader.peek() {
            None => Ok(needs),
            Some(")") => Err(NeedsError::Brackets),
            Some(other) => Err(NeedsError::WordMissing(other.to_owned())),
        }
    }
}

/// Words, numbers, `>=` and brackets, in their order.
fn signs(text: &str) -> Result<Vec<&str>, NeedsError> {
    let (mut signs, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let length = match first {
            '(' | ')' => 1,
            _ if is_word(first) => rest.find(|c: char| !is_word(c)).unwrap_or(rest.len()),
            _ if rest.starts_with(">=") => 2,
            '≥' => first.len_utf8(),
            _ => return Err(NeedsError::UnknownSign(first.to_string())),
        };
        let (sign, behind) = rest.split_at(length);
        signs.push(if sign == "≥" { ">=" } else { sign });
        rest = behind.trim_start();
        if signs.len() > NEEDS_TERMS_MAX * 8 {
            return Err(NeedsError::TooLong);
        }
    }
    Ok(signs)
}

struct Reader<'a> {
    signs: &'a [&'a str],
    at: usize,
    terms: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.signs.get(self.at).copied()
    }

    fn next_is(&mut self, sign: &str) -> bool {
        let is = self.peek() == Some(sign);
        self.at += usize::from(is);
        is
    }

    fn any(&mut self, depth: usize) -> Result<Needs, NeedsError> {
        if depth > NEEDS_DEPTH_MAX {
            return Err(NeedsError::TooLong);
        }
        let mut parts = vec![self.all(depth)?];
        while self.next_is("or") {
            parts.push(self.all(depth)?);
        }
        Ok(match (parts.len(), parts.pop()) {
            (1, Some(only)) => only,
            (_, last) => Needs::Any(parts.into_iter().chain(last).collect()),
        })
    }

    fn all(&mut self, depth: usize) -> Result<Needs, NeedsError> {
        let mut parts = vec![self.term(depth)?];
        while self.next_is("and") {
            parts.push(self.term(depth)?);
        }
        Ok(Needs::all(parts))
    }

    fn term(&mut self, depth: usize) -> Result<Needs, NeedsError> {
        let missing = |before: Option<&str>| {
            NeedsError::SkillMissing(before.map_or("the end".to_owned(), |sign| format!("`{sign}`")))
        };
        if self.next_is("(") {
            let inner = self.any(depth + 1)?;
            return if self.next_is(")") { Ok(inner) } else { Err(NeedsError::Brackets) };
        }
        let Some(skill) = self.peek() else { return Err(missing(None)) };
        if matches!(skill, ")" | "and" | "or" | ">=") || skill.bytes().all(|b| b.is_ascii_digit()) {
            return Err(missing(Some(skill)));
        }
        if !is_valid_id(skill) {
            return Err(NeedsError::UnknownSign(skill.to_owned()));
        }
        self.at += 1;
        self.terms += 1;
        if self.terms > NEEDS_TERMS_MAX {
            return Err(NeedsError::TooLong);
        }
        if !self.next_is(">=") {
            return Ok(Needs::Level(skill.into(), 1));
        }
        let written = self.peek().unwrap_or_default();
        match written.parse() {
            Ok(level @ 1..=100) => {
                self.at += 1;
                Ok(Needs::Level(skill.into(), level))
            }
            Ok(_) | Err(_) => Err(NeedsError::Level { skill: skill.to_owned(), level: written.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(text: &str) -> Needs {
        text.parse().expect("an expression")
    }

    fn levels(text: &[(&str, u8)]) -> BTreeMap<SkillId, u8> {
        text.iter().map(|(skill, level)| (SkillId::from(*skill), *level)).collect()
    }

    #[test]
    fn an_expression_is_met_as_it_reads() {
        let asked = needs("regulation >= 50 and (lang-en >= 30 or physician)");
        for (has, expected) in [
            (&[("regulation", 50), ("lang-en", 30)][..], true),
            (&[("regulation", 80), ("physician", 1)], true),
            (&[("regulation", 49), ("lang-en", 90), ("physician", 90)], false),
            (&[("regulation", 80), ("lang-en", 29)], false),
            (&[], false),
        ] {
            assert_eq!(asked.is_met_by(&levels(has)), expected, "{has:?}");
            assert_eq!(asked.shortfall(&levels(has)) == 0, expected, "{has:?}");
        }
        assert_eq!(asked.shortfall(&levels(&[("regulation", 40), ("lang-en", 28)])), 11);
        assert!(Needs::default().is_met_by(&levels(&[])));
    }

    #[test]
    fn and_binds_before_or() {
        let asked = needs("physician or regulation >= 50 and lang-en");
        assert!(asked.is_met_by(&levels(&[("physician", 1)])));
        assert!(!asked.is_met_by(&levels(&[("regulation", 90)])));
    }

    #[test]
    fn an_expression_reads_back_as_it_is_written() {
        for text in [
            "",
            "regulation",
            "regulation >= 50",
            "a and b >= 2 and c",
            "a or (b and c)",
            "(a or b) and (c or (d and e >= 100))",
        ] {
            assert_eq!(needs(text).to_string(), text);
            let json = serde_json::to_string(&needs(text)).expect("written");
            assert_eq!(serde_json::from_str::<Needs>(&json).expect("read"), needs(text));
        }
        assert_eq!(needs("((a>=1)) or b≥30").to_string(), "a or b >= 30");
        assert_eq!(Needs::from(&levels(&[("b", 2), ("a", 1)])), needs("a and b >= 2"));
        assert_eq!(Needs::from(&levels(&[("b", 2)])), needs("b >= 2"));
    }

    #[test]
    fn what_is_no_expression_is_refused_with_its_reason() {
        let deep = format!("{}a{}", "(".repeat(40), ")".repeat(40));
        let long = vec!["a"; 65].join(" and ");
        for (text, expected) in [
            ("regulation > 50", "`>` has no meaning"),
            ("regulation >= 0", "from 1 to 100"),
            ("regulation >= 101", "from 1 to 100"),
            ("regulation >= ", "from 1 to 100"),
            ("regulation lang-en", "missing before `lang-en`"),
            ("regulation 50", "missing before `50`"),
            ("regulation and", "missing before the end"),
            ("or a", "missing before `or`"),
            (">= 5", "missing before `>=`"),
            ("(a or b", "bracket"),
            ("a)", "bracket"),
            ("Regulation && a", "has no meaning"),
            (deep.as_str(), "brackets more than"),
            (long.as_str(), "more than 64"),
        ] {
            let refused = text.parse::<Needs>().expect_err(text).to_string();
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }

    #[test]
    fn relaxing_lowers_levels_and_takes_skills_out() {
        let asked = needs("regulation >= 50 and (lang-en >= 30 or physician)");
        assert_eq!(asked.lowered_by(40), needs("regulation >= 10 and (lang-en or physician)"));
        assert_eq!(asked.without(&"lang-en".into()), needs("regulation >= 50"));
        assert_eq!(asked.without(&"regulation".into()), needs("lang-en >= 30 or physician"));
        assert_eq!(needs("a").without(&"a".into()), Needs::default());
        assert_eq!(needs("a and b").and(needs("b and c")), needs("a and b and c"));
        assert_eq!(asked.levels(), levels(&[("lang-en", 30), ("physician", 1), ("regulation", 50)]));
    }
}
