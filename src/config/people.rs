//! Who answers: the tables `[regulators.ID]`, and the rows of the file of people that accounts are imported into.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use toml::de::DeValue;

use super::centre::{DIGESTS, PhoneDefaults, SRTP};
use super::codes::read_supervises;
use super::csv::{self, Cell, Row};
use super::document::{Report, Section, Trouble, nearest};
use super::lines::read_levels;
use super::settings::NodeSettings;
use super::values;
use crate::model::centre::Terms;
use crate::model::ids::is_valid_id;
use crate::model::outbound::{Period, ROLE_USUAL};
use crate::model::{AssociationId, Regulator, RegulatorId, Utc};

/// The columns of the file of people; `id` and `association` must be there.
pub(super) const COLUMNS: [&str; 12] = [
    "id",
    "name",
    "association",
    "skills",
    "regions",
    "valid_from",
    "valid_until",
    "role",
    "auto_answer_after",
    "ready_on_register",
    "supervises",
    "trainee_of",
];

/// The most rows read: several weeks of a national network.
const ROWS_MAX: usize = 20_000;

/// What a person without a word of their own has.
#[derive(Clone, Debug)]
pub(super) struct Usual {
    pub ours: PhoneDefaults,
    pub zone: TimeZone,
}

/// The file of people: where it is, and its text, when there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct PeopleFile {
    pub path: PathBuf,
    pub text: Option<String>,
}

/// The largest file of people read, in bytes.
const FILE_BYTES_MAX: usize = 4 << 20;

/// What is done about a file of people that cannot be read.
pub(super) const READABLE: &str = "let the server's user read it, as UTF-8 text";

impl PeopleFile {
    /// The file at `path`, or another with its text in its place; one that is missing holds nobody.
    pub(super) fn open(report: &Report, path: PathBuf, instead: Option<(&Path, &str)>) -> PeopleFile {
        let (path, read) = match instead {
            Some((path, text)) => (path.to_owned(), Ok(text.to_owned())),
            None => {
                let read = std::fs::read_to_string(&path);
                (path, read)
            }
        };
        let text = match read {
            Ok(text) if text.len() <= FILE_BYTES_MAX => Some(text),
            Ok(text) => {
                let size = text.len();
                let problem = format!("{} has {size} bytes, more than {FILE_BYTES_MAX}", path.display());
                report.fault("people.file", problem, "take out what is long over");
                None
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                let problem = format!("{} cannot be read: {error}", path.display());
                report.fault("people.file", problem, READABLE);
                None
            }
        };
        PeopleFile { path, text }
    }
}

/// The key `file` of `[people]`: default `STATE/people.csv`.
pub(super) fn read_people_file(root: &Section<'_>, node: &NodeSettings) -> PathBuf {
    let section = root.section("people");
    let file = section.or("file", node.state.join("people.csv"), values::path);
    section.close();
    file
}

/// Everybody, of both files.
pub(super) fn read_people(root: &Section<'_>, file: &PeopleFile, usual: &Usual) -> BTreeMap<RegulatorId, Regulator> {
    let mut regulators = read_regulators(root, usual);
    let report = root.report;
    if let Some(text) = &file.text {
        let faults = report.count_faults();
        for (id, person) in read_rows(report, (&file.path, text), usual) {
            if regulators.contains_key(&id) {
                report.fault(
                    &format!("regulators.{id}"),
                    format!("`{id}` stands in the configuration too"),
                    "let a person stand in one of the two files: take the row or the table out",
                );
            }
            regulators.entry(id).or_insert(person);
        }
        if report.count_faults() > faults {
            return regulators;
        }
    }
    if regulators.is_empty() && !report.has_fault_under("regulators") {
        report.fault(
            "regulators",
            "no regulator is configured",
            "write at least one [regulators.ID] with its skills, or import people (`vigie import FILE`)",
        );
    }
    regulators
}

pub(super) fn read_regulators(root: &Section<'_>, usual: &Usual) -> BTreeMap<RegulatorId, Regulator> {
    let mut regulators = BTreeMap::new();
    for (id, section) in root.named("regulators") {
        let association = section.must("association", "write the id of one of the [associations.ID]", values::id);
        let regions = section.pairs("regions", values::whole(0..=1000));
        let regulator = Regulator {
            id: id.as_str().into(),
            name: section.or("name", id.clone(), values::text),
            association: association.unwrap_or_default().as_str().into(),
            skills: read_levels(&section),
            regions: regions.into_iter().map(|(region, cost)| (region.as_str().into(), cost)).collect(),
            ready_on_register: section.or("ready_on_register", true, values::flag),
            digest: section.or("digest", usual.ours.digest, values::choice(&DIGESTS)),
            srtp: section.or("srtp", usual.ours.srtp, values::choice(&SRTP)),
            terms: read_terms(&section, usual),
        };
        section.close();
        regulators.insert(id.as_str().into(), regulator);
    }
    regulators
}

fn read_terms(section: &Section<'_>, usual: &Usual) -> Terms {
    let time = |key, side| section.take(key, |value| time_of_value(value, side, &usual.zone));
    let period = Period { from: time("valid_from", Side::From), until: time("valid_until", Side::Until) };
    check_period(section.report, &section.key, period);
    Terms {
        valid: if period == Period::default() { Vec::new() } else { vec![period] },
        role: section.or("role", ROLE_USUAL.to_owned(), values::id),
        auto_answer_after: section.take("auto_answer_after", values::duration(AUTO_ANSWER)),
        supervises: read_supervises(section),
        trainee_of: section.take("trainee_of", values::id).map(|tutor| tutor.as_str().into()),
    }
}

const AUTO_ANSWER: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(10);

fn check_period(report: &Report, key: &str, period: Period) {
    if let (Some(from), Some(until)) = (period.from, period.until)
        && from >= until
    {
        let remedy = "let it end after it has begun; a date alone is meant to the end of that day";
        report.fault(&format!("{key}.valid_until"), "the account ends before it begins", remedy);
    }
}

/// Which end of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    From,
    Until,
}

fn time_of_value(value: &DeValue<'_>, side: Side, zone: &TimeZone) -> Result<Utc, Trouble> {
    match value {
        // A date may also stand without quotes.
        DeValue::Datetime(written) => read_time(&written.to_string(), side, zone),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => read_time(&values::text(value)?, side, zone),
    }
}

/// A date, or a date and a time, on the centre's wall; a date alone as the end of a period is that day's end.
fn read_time(written: &str, side: Side, zone: &TimeZone) -> Result<Utc, Trouble> {
    if let Ok(at) = written.parse::<jiff::Timestamp>() {
        return Ok(Utc(at.as_microsecond()));
    }
    let is_date = written.len() <= "2026-12-31".len();
    let local = match written.parse::<Date>() {
        Ok(date) if is_date && side == Side::Until => date.tomorrow().ok().map(|next| next.at(0, 0, 0, 0)),
        Ok(date) if is_date => Some(date.at(0, 0, 0, 0)),
        Ok(_) | Err(_) => written.parse::<DateTime>().ok(),
    };
    let at = local.and_then(|local| local.to_zoned(zone.clone()).ok());
    at.map(|at| Utc(at.timestamp().as_microsecond())).ok_or_else(|| {
        (
            format!("`{written}` is neither a date nor a time"),
            "write it such as 2026-12-31 (the whole day) or 2026-12-31T20:00".into(),
        )
    })
}

/// The rows of the file of people: one a person, and one more for each further time in which the account is good.
fn read_rows(report: &Report, (file, text): (&Path, &str), usual: &Usual) -> Vec<(RegulatorId, Regulator)> {
    let rows = match csv::rows(text) {
        Ok(rows) => rows,
        Err(unclosed) => {
            report.stands_in("people", file, unclosed.line, unclosed.column);
            report.fault("people", "a quote is not closed", "close it, or double it inside a quoted cell");
            return Vec::new();
        }
    };
    let Some((header, rows)) = rows.split_first() else { return Vec::new() };
    let Some(columns) = read_header(report, file, header) else { return Vec::new() };
    if rows.len() > ROWS_MAX {
        report.stands_in("people", file, 1, 1);
        report.fault("people", format!("more than {ROWS_MAX} rows"), "take out what is long over");
        return Vec::new();
    }
    let mut people: Vec<(RegulatorId, Regulator)> = Vec::new();
    let mut first: BTreeMap<RegulatorId, (usize, &Row)> = BTreeMap::new();
    for row in rows {
        let line = Line { report, file, row, columns: &columns };
        let id = line.text("id");
        if !is_valid_id(&id) {
            let remedy = "ids have 1 to 64 of a–z, 0–9, `-`, `_`, `.` and do not start with a dot";
            line.fault("id", format!("`{id}` is no id"), remedy);
            continue;
        }
        let id = RegulatorId::from(id.as_str());
        let before = first.get(&id).and_then(|(place, row)| Some((people.get_mut(*place)?, *row)));
        match before {
            None => {
                first.insert(id.clone(), (people.len(), row));
                people.push((id.clone(), line.read_person(&id, usual)));
            }
            Some(((_, person), other)) => {
                let period = line.read_period(&format!("regulators.{id}"), usual);
                line.check_same(&id, other);
                person.terms.valid.extend(period);
            }
        }
    }
    people
}

/// Where each known column is; `None` when the header cannot be used.
fn read_header(report: &Report, file: &Path, header: &Row) -> Option<Vec<Option<&'static str>>> {
    let mut columns: Vec<Option<&'static str>> = Vec::new();
    let mut is_right = true;
    for cell in &header.cells {
        report.stands_in("people", file, header.line, cell.column);
        let known = COLUMNS.into_iter().find(|column| column.eq_ignore_ascii_case(&cell.text));
        let remedy = match nearest(&cell.text, COLUMNS) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("take the column out; known are: {}", COLUMNS.join(", ")),
        };
        if cell.text.is_empty() {
            columns.push(None);
            continue;
        }
        if known.is_none() {
            report.fault("people", format!("the column `{}` is unknown", cell.text), remedy);
            is_right = false;
        } else if columns.contains(&known) {
            report.fault("people", format!("the column `{}` stands twice", cell.text), "take one of the two out");
            is_right = false;
        }
        columns.push(known);
    }
    report.stands_in("people", file, header.line, 1);
    for column in ["id", "association", "skills"] {
        if !columns.contains(&Some(column)) {
            let remedy = format!("write the names of the columns on the first line: {}", COLUMNS.join(","));
            report.fault("people", format!("the column `{column}` is missing"), remedy);
            is_right = false;
        }
    }
    is_right.then_some(columns)
}

/// One row with the names of its cells.
struct Line<'a> {
    report: &'a Report,
    file: &'a Path,
    row: &'a Row,
    columns: &'a [Option<&'static str>],
}

impl Line<'_> {
    fn cell(&self, column: &str) -> Option<&Cell> {
        let place = self.columns.iter().position(|one| *one == Some(column))?;
        self.row.cells.get(place).filter(|cell| !cell.text.is_empty())
    }

    fn text(&self, column: &str) -> String {
        self.cell(column).map_or_else(String::new, |cell| cell.text.clone())
    }

    /// Tells something of a cell of a row that has no key of its own.
    fn fault(&self, column: &str, problem: impl Into<String>, remedy: &str) {
        let at = self.cell(column).map_or(1, |cell| cell.column);
        self.report.stands_in("people", self.file, self.row.line, at);
        self.report.fault("people", problem, remedy);
    }

    /// What is told of this person from now on stands in this row.
    fn claim(&self, key: &str) {
        self.report.stands_in(key, self.file, self.row.line, 1);
        for (column, cell) in self.columns.iter().zip(&self.row.cells) {
            if let Some(column) = column {
                self.report.stands_in(&format!("{key}.{column}"), self.file, self.row.line, cell.column);
            }
        }
    }

    fn read<T>(&self, key: &str, column: &str, read: impl Fn(&str) -> Result<T, Trouble>) -> Option<T> {
        match read(&self.cell(column)?.text) {
            Ok(value) => Some(value),
            Err((problem, remedy)) => {
                self.report.fault(&format!("{key}.{column}"), problem, remedy);
                None
            }
        }
    }

    fn read_person(&self, id: &RegulatorId, usual: &Usual) -> Regulator {
        let key = format!("regulators.{id}");
        self.claim(&key);
        if self.cell("association").is_none() {
            let remedy = "write the id of one of the [associations.ID]";
            self.report.fault(&format!("{key}.association"), "the cell is empty", remedy);
        }
        let levels = self.read(&key, "skills", |text| read_pairs(text, 1..=100)).unwrap_or_default();
        let regions = self.read(&key, "regions", |text| read_pairs(text, 0..=1000)).unwrap_or_default();
        Regulator {
            id: id.clone(),
            name: self.cell("name").map_or_else(|| id.to_string(), |cell| cell.text.clone()),
            association: self.text("association").as_str().into(),
            skills: levels.iter().map(|(skill, level)| (skill.as_str().into(), *level as u8)).collect(),
            regions: regions.iter().map(|(region, cost)| (region.as_str().into(), *cost)).collect(),
            ready_on_register: self.read(&key, "ready_on_register", read_flag).unwrap_or(true),
            digest: usual.ours.digest,
            srtp: usual.ours.srtp,
            terms: Terms {
                valid: self.read_period(&key, usual).into_iter().collect(),
                role: self.cell("role").map_or_else(|| ROLE_USUAL.to_owned(), |cell| cell.text.clone()),
                auto_answer_after: self.read(&key, "auto_answer_after", read_auto_answer),
                supervises: self.read(&key, "supervises", read_ids).unwrap_or_default(),
                trainee_of: self.cell("trainee_of").map(|cell| cell.text.as_str().into()),
            },
        }
    }

    /// The time in which the account is good, when the row says any.
    fn read_period(&self, key: &str, usual: &Usual) -> Option<Period> {
        for column in ["valid_from", "valid_until"] {
            if let Some(cell) = self.cell(column) {
                self.report.stands_in(&format!("{key}.{column}"), self.file, self.row.line, cell.column);
            }
        }
        let period = Period {
            from: self.read(key, "valid_from", |text| read_time(text, Side::From, &usual.zone)),
            until: self.read(key, "valid_until", |text| read_time(text, Side::Until, &usual.zone)),
        };
        check_period(self.report, key, period);
        (period != Period::default()).then_some(period)
    }

    /// A further row of a person says the same again, or only when else the account is good.
    fn check_same(&self, id: &RegulatorId, first: &Row) {
        let before = Line { report: self.report, file: self.file, row: first, columns: self.columns };
        for column in COLUMNS.into_iter().filter(|column| !column.starts_with("valid_")) {
            if let Some(cell) = self.cell(column)
                && before.text(column) != cell.text
            {
                let problem = format!("the {column} of `{id}` differs from that on line {}", first.line);
                self.fault(
                    column,
                    problem,
                    "let all rows of a person say the same, but for valid_from and valid_until",
                );
            }
        }
        if self.cell("valid_from").or(self.cell("valid_until")).is_none() || before.period_is_open() {
            let problem = format!("`{id}` stands on line {} already", first.line);
            self.fault("id", problem, "write valid_from and valid_until in each row of a person who has several");
        }
    }

    fn period_is_open(&self) -> bool {
        self.cell("valid_from").or(self.cell("valid_until")).is_none()
    }
}

/// `regulation=80 physician=60`: pairs with spaces or `|` between them.
fn read_pairs(text: &str, range: std::ops::RangeInclusive<u32>) -> Result<Vec<(String, u32)>, Trouble> {
    let remedy =
        || format!("write names and numbers from {} to {}: regulation=80 physician=60", range.start(), range.end());
    let words = text.split(|c: char| c == '|' || c.is_whitespace()).filter(|word| !word.is_empty());
    let mut pairs: Vec<(String, u32)> = Vec::new();
    for word in words {
        let pair = word.split_once(['=', ':']).and_then(|(name, number)| {
            let number = number.parse().ok().filter(|number| range.contains(number))?;
            is_valid_id(name).then(|| (name.to_owned(), number))
        });
        let Some(pair) = pair else { return Err((format!("`{word}` is no name with a number"), remedy())) };
        if pairs.iter().any(|(name, _)| *name == pair.0) {
            return Err((format!("`{}` stands twice", pair.0), "take one of the two out".into()));
        }
        pairs.push(pair);
    }
    Ok(pairs)
}

/// `sos-rouen sos-dijon`: ids with spaces or `|` between them.
fn read_ids(text: &str) -> Result<Vec<AssociationId>, Trouble> {
    let words = text.split(|c: char| c == '|' || c.is_whitespace()).filter(|word| !word.is_empty());
    words
        .map(|word| match is_valid_id(word) {
            true => Ok(word.into()),
            false => {
                Err((format!("`{word}` is no id"), "write ids with spaces between them: sos-rouen sos-dijon".into()))
            }
        })
        .collect()
}

fn read_flag(text: &str) -> Result<bool, Trouble> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "oui" | "1" => Ok(true),
        "false" | "no" | "non" | "0" => Ok(false),
        _ => Err((format!("`{text}` is neither true nor false"), "write true or false".into())),
    }
}

fn read_auto_answer(text: &str) -> Result<Duration, Trouble> {
    let read = values::parse_duration(text).filter(|after| AUTO_ANSWER.contains(after));
    read.ok_or_else(|| (format!("`{text}` is no time from 0s to 10s"), "write it such as 2s, or leave it empty".into()))
}
