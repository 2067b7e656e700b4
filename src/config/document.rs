//! A TOML text with the place of every key, walked section by section; what nobody asked for is an unknown key.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Fault;
use crate::model::ids::is_valid_id;

/// The most errors told at once: beyond that the file is probably another program's.
const FAULTS_MAX: usize = 200;

/// Why a value cannot be taken: the problem, and the remedy.
pub(super) type Trouble = (String, String);

/// Errors and warnings as they are found, and the places to tell them with.
pub(super) struct Report {
    file: PathBuf,
    places: HashMap<String, (usize, usize)>,
    /// Keys that stand in another file: the file, the line, the column.
    elsewhere: RefCell<HashMap<String, (PathBuf, usize, usize)>>,
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<Fault>>,
}

impl Report {
    pub(super) fn new(file: &Path, text: &str, document: &DeTable<'_>) -> Report {
        let lines = LineStarts::of(text);
        let mut places = HashMap::new();
        index_table("", document, &lines, &mut places);
        let (elsewhere, faults, warnings) = (RefCell::default(), RefCell::default(), RefCell::default());
        Report { file: file.to_owned(), places, elsewhere, faults, warnings }
    }

    /// What is told of `key` stands in another file.
    pub(super) fn stands_in(&self, key: &str, file: &Path, line: usize, column: usize) {
        self.elsewhere.borrow_mut().insert(key.to_owned(), (file.to_owned(), line, column));
    }

    /// Notes an error at `key`, or at the nearest part of the file that would hold it.
    pub(super) fn fault(&self, key: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let fault = self.at(key, problem.into(), remedy.into());
        let mut faults = self.faults.borrow_mut();
        if faults.len() < FAULTS_MAX {
            faults.push(fault);
        }
    }

    /// Notes what is odd but works.
    pub(super) fn warn(&self, key: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let fault = self.at(key, problem.into(), remedy.into());
        let mut warnings = self.warnings.borrow_mut();
        if warnings.len() < FAULTS_MAX {
            warnings.push(fault);
        }
    }

    /// The value at `key`, or its fault noted.
    pub(super) fn read<T>(
        &self,
        key: &str,
        value: &DeValue<'_>,
        read: impl Fn(&DeValue<'_>) -> Result<T, Trouble>,
    ) -> Option<T> {
        match read(value) {
            Ok(value) => Some(value),
            Err((problem, remedy)) => {
                self.fault(key, problem, remedy);
                None
            }
        }
    }

    /// Whether the file has `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// How many errors were told so far.
    pub(super) fn count_faults(&self) -> usize {
        self.faults.borrow().len()
    }

    /// Whether an error was already told at `key` or below it.
    pub(super) fn has_fault_under(&self, key: &str) -> bool {
        self.faults.borrow().iter().any(|fault| {
            fault.key.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Errors and warnings, in the order of the file.
    pub(super) fn into_parts(self) -> (Vec<Fault>, Vec<Fault>) {
        let file = self.file;
        let (mut faults, mut warnings) = (self.faults.into_inner(), self.warnings.into_inner());
        let place = |fault: &Fault| (fault.file != file, fault.line, fault.column);
        faults.sort_by_key(place);
        warnings.sort_by_key(place);
        (faults, warnings)
    }

    fn at(&self, key: &str, problem: String, remedy: String) -> Fault {
        let (file, line, column) = self.place(key);
        Fault { file, line, column, key: key.to_owned(), problem, remedy }
    }

    fn place(&self, key: &str) -> (PathBuf, usize, usize) {
        let elsewhere = self.elsewhere.borrow();
        let mut part = key;
        loop {
            if let Some(place) = elsewhere.get(part) {
                return place.clone();
            }
            if let Some((line, column)) = self.places.get(part) {
                return (self.file.clone(), *line, *column);
            }
            match part.rfind(['.', '[']) {
                Some(end) => part = part.get(..end).unwrap_or_default(),
                None => return (self.file.clone(), 1, 1),
            }
        }
    }
}

/// Where each line of a text starts.
pub(super) struct LineStarts<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> LineStarts<'a> {
    pub(super) fn of(text: &'a str) -> LineStarts<'a> {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        LineStarts { text, starts }
    }

    /// Line and column of a byte offset, both from 1.
    pub(super) fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or_default();
        let column = self.text.get(start..offset).map_or(1, |before| before.chars().count() + 1);
        (line, column)
    }
}

/// The path of `key` inside `parent`.
pub(super) fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

fn index_table(
    parent: &str,
    table: &DeTable<'_>,
    lines: &LineStarts<'_>,
    places: &mut HashMap<String, (usize, usize)>,
) {
    for (key, value) in table {
        let path = join(parent, key.get_ref());
        places.insert(path.clone(), lines.place(key.span().start));
        index_value(&path, value, lines, places);
    }
}

fn index_value(
    path: &str,
    value: &Spanned<DeValue<'_>>,
    lines: &LineStarts<'_>,
    places: &mut HashMap<String, (usize, usize)>,
) {
    match value.get_ref() {
        DeValue::Table(table) => index_table(path, table, lines, places),
        DeValue::Array(array) => {
            for (number, item) in array.iter().enumerate() {
                let path = format!("{path}[{number}]");
                let Range { start, .. } = item.span();
                places.insert(path.clone(), lines.place(start));
                index_value(&path, item, lines, places);
            }
        }
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}

/// One entry of an array: a table, or a value with its path.
pub(super) enum Item<'a> {
    /// `{ … }`.
    Table(Section<'a>),
    /// Anything else.
    Value(String, &'a DeValue<'a>),
}

/// One table of the file, or an absent one whose keys all have their default.
pub(super) struct Section<'a> {
    /// The report that its faults go to.
    pub(super) report: &'a Report,
    /// Its path.
    pub(super) key: String,
    table: Option<&'a DeTable<'a>>,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    pub(super) fn root(report: &'a Report, table: &'a DeTable<'a>) -> Section<'a> {
        Section::new(report, String::new(), Some(table))
    }

    fn new(report: &'a Report, key: String, table: Option<&'a DeTable<'a>>) -> Section<'a> {
        Section { report, key, table, known: RefCell::default() }
    }

    /// The path of one of its keys.
    pub(super) fn path(&self, key: &str) -> String {
        join(&self.key, key)
    }

    /// Whether the file has the key.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// The value of `key`, when it is there and good.
    pub(super) fn take<T>(&self, key: &'static str, read: impl Fn(&DeValue<'_>) -> Result<T, Trouble>) -> Option<T> {
        self.report.read(&self.path(key), self.value(key)?, read)
    }

    /// The value of `key`, or `default`.
    pub(super) fn or<T>(&self, key: &'static str, default: T, read: impl Fn(&DeValue<'_>) -> Result<T, Trouble>) -> T {
        self.take(key, read).unwrap_or(default)
    }

    /// The value of `key`; its absence is an error, told with `remedy`.
    pub(super) fn must<T>(
        &self,
        key: &'static str,
        remedy: &str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Trouble>,
    ) -> Option<T> {
        if self.value(key).is_none() {
            self.report.fault(&self.path(key), "this key is missing", remedy);
        }
        self.take(key, read)
    }

    /// The values of the array `key`, each with its path; empty when it is absent.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Trouble>,
    ) -> Vec<(String, T)> {
        let path = self.path(key);
        let array = match self.value(key) {
            None => return Vec::new(),
            Some(DeValue::Array(array)) => array,
            Some(other) => {
                self.report.fault(
                    &path,
                    format!("must be a list, not {}", kind(other)),
                    format!("put it in brackets: {key} = [ … ]"),
                );
                return Vec::new();
            }
        };
        let mut seen = HashSet::new();
        let mut values = Vec::new();
        for (number, item) in array.iter().enumerate() {
            let path = format!("{path}[{number}]");
            if item.get_ref().as_str().is_some_and(|text| !seen.insert(text.to_owned())) {
                self.report.fault(&path, "is in this list twice", "take one of them out");
            }
            if let Some(value) = self.report.read(&path, item.get_ref(), &read) {
                values.push((path, value));
            }
        }
        values
    }

    /// The values of the table `key`, by name, each with its path; empty when it is absent.
    pub(super) fn pairs<T>(
        &self,
        key: &'static str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Trouble>,
    ) -> Vec<(String, T)> {
        let section = self.section(key);
        let mut values = Vec::new();
        for (name, value) in section.table.into_iter().flatten() {
            let path = section.path(name.get_ref());
            if section.is_name(name.get_ref()) {
                let value = self.report.read(&path, value.get_ref(), &read);
                values.extend(value.map(|value| (name.get_ref().to_string(), value)));
            }
        }
        values
    }

    /// The table `key`.
    pub(super) fn section(&self, key: &'static str) -> Section<'a> {
        let path = self.path(key);
        match self.value(key) {
            None => Section::new(self.report, path, None),
            Some(DeValue::Table(table)) => Section::new(self.report, path, Some(table)),
            Some(other) => {
                self.report.fault(
                    &path,
                    format!("must be a table, not {}", kind(other)),
                    format!("write [{path}] on a line of its own and its keys below, or {key} = {{ … }}"),
                );
                Section::new(self.report, path, None)
            }
        }
    }

    /// The tables inside the table `key`, by id.
    pub(super) fn named(&self, key: &'static str) -> Vec<(String, Section<'a>)> {
        let outer = self.section(key);
        let mut sections = Vec::new();
        for (name, value) in outer.table.into_iter().flatten() {
            let (name, path) = (name.get_ref(), outer.path(name.get_ref()));
            match value.get_ref() {
                DeValue::Table(table) if outer.is_name(name) => {
                    sections.push((name.to_string(), Section::new(self.report, path, Some(table))));
                }
                DeValue::Table(_) => {}
                other => self.report.fault(
                    &path,
                    format!("must be a table, not {}", kind(other)),
                    format!("write [{key}.ID] with an id of your choice, and this key below it"),
                ),
            }
        }
        sections
    }

    /// The tables inside the table `key`, each by a key of the telephone's pad.
    pub(super) fn of_keys(&self, key: &'static str) -> Vec<(char, Section<'a>)> {
        let outer = self.section(key);
        let mut sections = Vec::new();
        for (name, value) in outer.table.into_iter().flatten() {
            let (name, path) = (name.get_ref(), outer.path(name.get_ref()));
            let mut letters = name.chars();
            let pad = letters.next().filter(|c| letters.next().is_none() && (c.is_ascii_digit() || "*#".contains(*c)));
            match (pad, value.get_ref()) {
                (Some(pad), DeValue::Table(table)) => {
                    sections.push((pad, Section::new(self.report, path, Some(table))));
                }
                (Some(_), other) => {
                    let problem = format!("must be a table, not {}", kind(other));
                    self.report.fault(&path, problem, "write { number = \"15\" }, { wait = true }, { go_to = \"…\" }…");
                }
                (None, _) => {
                    let problem = format!("`{name}` is no key of a telephone");
                    self.report.fault(&path, problem, "keys are 0 to 9, \"*\" and \"#\"");
                }
            }
        }
        sections
    }

    /// The tables of the array of tables `key`, in order.
    pub(super) fn each(&self, key: &'static str) -> Vec<Section<'a>> {
        let mut sections = Vec::new();
        for item in self.items(key) {
            match item {
                Item::Table(section) => sections.push(section),
                Item::Value(path, other) => {
                    let problem = format!("must be a table, not {}", kind(other));
                    self.report.fault(&path, problem, "write { key = value, … }");
                }
            }
        }
        sections
    }

    /// What stands in the array `key`, in order: tables, and values with their path.
    pub(super) fn items(&self, key: &'static str) -> Vec<Item<'a>> {
        let path = self.path(key);
        let items = match self.value(key) {
            None => return Vec::new(),
            Some(DeValue::Array(items)) => items,
            Some(other) => {
                let problem = format!("must be a list, not {}", kind(other));
                self.report.fault(&path, problem, format!("put it in brackets: {key} = [ … ]"));
                return Vec::new();
            }
        };
        let mut all = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let path = format!("{path}[{number}]");
            all.push(match item.get_ref() {
                DeValue::Table(table) => Item::Table(Section::new(self.report, path, Some(table))),
                value => Item::Value(path, value),
            });
        }
        all
    }

    /// Tells every key that nobody asked for.
    pub(super) fn close(self) {
        let known = self.known.borrow();
        for (name, _) in self.table.into_iter().flatten() {
            let name = name.get_ref();
            if !known.iter().any(|key| key == name) {
                let remedy = match nearest(name, known.iter().copied()) {
                    Some(key) => format!("did you mean `{key}`?"),
                    None => format!("take it out; known here: {}", known.join(", ")),
                };
                self.report.fault(&self.path(name), "this key is unknown", remedy);
            }
        }
    }

    fn is_name(&self, name: &str) -> bool {
        if !is_valid_id(name) {
            self.report.fault(
                &self.path(name),
                format!("`{name}` is no id"),
                "ids have 1 to 64 of a–z, 0–9, `-`, `_`, `.` and do not start with a dot",
            );
            return false;
        }
        true
    }

    fn value(&self, key: &'static str) -> Option<&'a DeValue<'a>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        let table = self.table?;
        table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value.get_ref())
    }
}

/// A value's type in words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The candidate that `word` was probably meant to be.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, taken out, changed or swapped with the next to make `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let at = |row: &[usize], n: usize| row.get(n).copied().unwrap_or(usize::MAX / 2);
    let (mut before, mut above): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=b.len()).collect());
    for (i, letter) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in b.iter().enumerate() {
            let changed = at(&above, j) + usize::from(letter != other);
            let mut best = changed.min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(other) && b.get(j - 1) == Some(letter);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    at(&above, b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word_and_another_word_does_not() {
        let known = ["region", "greeting", "skills"];
        assert_eq!(nearest("regoin", known), Some("region"));
        assert_eq!(nearest("skill", known), Some("skills"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn a_place_counts_characters_and_not_bytes() {
        let text = "a = 1\né = 'é' # x\n";
        assert_eq!(LineStarts::of(text).place(text.find('#').expect("there")), (2, 9));
    }
}
