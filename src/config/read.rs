//! From the text of the file to [`Settings`], or to everything that is wrong with it.

use std::fs;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::archive::read_archive;
use super::centre::{read_centre, read_phone_defaults, read_zone};
use super::codes::check_supervision;
use super::control::check_control;
use super::custody::read_access;
use super::document::{LineStarts, Report, Section};
use super::fault::{Fault, Faults};
use super::outbound::check_outbound;
use super::parts::{read_dispatch, read_media, read_node, read_recording, read_sip, read_storage, read_web};
use super::people::{PeopleFile, Usual, read_people, read_people_file, read_regulators};
use super::proof::read_proof;
use super::references::{check_machine, check_reach, check_references};
use super::settings::Settings;
use super::trunks::{check_trunks, read_trunks};
use super::unmet::{check_lists_needs, pass_over_unmet_steps};
use super::voice_checks::check_voice;
use crate::model::Centre;

/// The largest configuration read, in bytes: a thousand lines and regulators fit many times over.
const FILE_BYTES_MAX: u64 = 8 << 20;

impl Settings {
    /// Reads and checks the file at `path`.
    ///
    /// Relative sound files are taken from the folder of that file; `node.state`, `recording.folder`,
    /// `storage.url` and `dispatch.secret_file` from the folder that the server is started in.
    pub fn read(path: &Path) -> Result<Settings, Faults> {
        Settings::read_with_warnings(path).map(|(settings, _)| settings)
    }

    /// As [`Settings::read`], with what is odd but works.
    pub fn read_with_warnings(path: &Path) -> Result<(Settings, Vec<Fault>), Faults> {
        Settings::read_beside(path, None)
    }

    /// As [`Settings::read_with_warnings`], as if the file of people were another.
    pub fn read_with_people(path: &Path, people: (&Path, &str)) -> Result<(Settings, Vec<Fault>), Faults> {
        Settings::read_beside(path, Some(people))
    }

    /// Where the file of people is, of a configuration that may be right only with it.
    pub fn people_file(path: &Path) -> Result<PathBuf, Faults> {
        let text = read_text(path)?;
        let (document, errors) = DeTable::parse_recoverable(&text);
        if !errors.is_empty() {
            return Err(Faults { errors: no_toml(&text, path, &errors), warnings: Vec::new() });
        }
        let report = Report::new(path, &text, document.get_ref());
        let root = Section::root(&report, document.get_ref());
        let node = read_node(&root.section("node"));
        Ok(read_people_file(&root, &node))
    }

    fn read_beside(path: &Path, people: Option<(&Path, &str)>) -> Result<(Settings, Vec<Fault>), Faults> {
        let text = read_text(path)?;
        from_text(&text, path, people)
    }

    /// Reads and checks `text` as if it stood in the file `path`, for the demonstration and tests.
    pub fn from_text(text: &str, path: &Path) -> Result<Settings, Faults> {
        from_text(text, path, None).map(|(settings, _)| settings)
    }
}

/// The text of the configuration.
fn read_text(path: &Path) -> Result<String, Faults> {
    let unreadable = |problem: String, remedy: &str| {
        let (file, remedy) = (path.to_owned(), remedy.to_owned());
        let fault = Fault { file, line: 0, column: 0, key: String::new(), problem, remedy };
        Faults { errors: vec![fault], warnings: Vec::new() }
    };
    let size = fs::metadata(path).map_or(0, |file| file.len());
    if size > FILE_BYTES_MAX {
        let problem = format!("the file has {size} bytes, more than {FILE_BYTES_MAX}");
        return Err(unreadable(problem, "give the path of a Vigie configuration with --config FILE"));
    }
    fs::read_to_string(path).map_err(|error| {
        unreadable(format!("the file cannot be read: {error}"), "give the path of the configuration with --config FILE")
    })
}

fn from_text(text: &str, path: &Path, people: Option<(&Path, &str)>) -> Result<(Settings, Vec<Fault>), Faults> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(Faults { errors: no_toml(text, path, &errors), warnings: Vec::new() });
    }
    let report = Report::new(path, text, document.get_ref());
    let settings = walk(Section::root(&report, document.get_ref()), path, people);
    let (errors, warnings) = report.into_parts();
    if errors.is_empty() { Ok((settings, warnings)) } else { Err(Faults { errors, warnings }) }
}

fn walk(root: Section<'_>, path: &Path, people: Option<(&Path, &str)>) -> Settings {
    let report = root.report;
    let folder = path.parent().unwrap_or(Path::new(""));
    let (node, sip, media) = (root.section("node"), root.section("sip"), root.section("media"));
    let (zone, ours) = (read_zone(&node), read_phone_defaults(&sip));
    let node_settings = read_node(&node);
    let people = PeopleFile::open(report, read_people_file(&root, &node_settings), people);
    let regulators = read_people(&root, &people, &Usual { ours, zone: zone.clone() });
    let (mut centre, skills) = read_centre(&root, folder, zone, regulators);
    let (recording, storage, web) = (root.section("recording"), root.section("storage"), root.section("web"));
    let media_settings = read_media(&media, &node_settings);
    let (carriers, trunks) = read_trunks(&root, &node_settings, &media_settings.codecs);
    centre.trunks = carriers;
    check_references(report, &centre, &skills);
    check_outbound(report, &centre);
    check_voice(report, &centre, &skills);
    check_control(report, &centre);
    check_supervision(report, &centre);
    let recording_settings = read_recording(&recording);
    let mut settings = Settings {
        file: path.to_owned(),
        archive: read_archive(&root, &node_settings, &recording_settings.folder),
        people: people.path,
        sip: read_sip(&sip),
        media: media_settings,
        recording: recording_settings,
        proof: read_proof(&root, folder),
        storage: read_storage(&storage, &node_settings),
        web: read_web(&web),
        access: read_access(&root),
        dispatch: read_dispatch(&root, &node_settings),
        node: node_settings,
        trunks,
        centre: {
            make_neighbours_mutual(&mut centre);
            centre
        },
    };
    for section in [node, sip, media, recording, storage, web, root] {
        section.close();
    }
    check_machine(report, &settings.centre, &settings.sip, &settings.media);
    check_trunks(report, &settings);
    // Reachability of half-read people and lines would only repeat what was told.
    if !["lines", "regulators", "skills", "people"].iter().any(|key| report.has_fault_under(key)) {
        check_reach(report, &settings.centre, &skills);
        check_lists_needs(report, &settings.centre);
        pass_over_unmet_steps(report, &mut settings.centre);
    }
    settings
}

/// Reads and checks the centre alone of `text`, as if it stood in the file `path`: what routing knows, without the machine,
/// the trunks and the sounds' files. For a simulation, which has none of them.
pub fn read_centre_alone(text: &str, path: &Path) -> Result<Centre, Faults> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(Faults { errors: no_toml(text, path, &errors), warnings: Vec::new() });
    }
    let report = Report::new(path, text, document.get_ref());
    let root = Section::root(&report, document.get_ref());
    let (node, sip) = (root.section("node"), root.section("sip"));
    let (zone, ours) = (read_zone(&node), read_phone_defaults(&sip));
    let regulators = read_regulators(&root, &Usual { ours, zone: zone.clone() });
    let (mut centre, skills) = read_centre(&root, path.parent().unwrap_or(Path::new("")), zone, regulators);
    check_references(&report, &centre, &skills);
    make_neighbours_mutual(&mut centre);
    for section in [node, sip, root] {
        section.close();
    }
    if !["lines", "regulators", "skills"].iter().any(|key| report.has_fault_under(key)) {
        check_reach(&report, &centre, &skills);
        pass_over_unmet_steps(&report, &mut centre);
    }
    let (errors, warnings) = report.into_parts();
    if errors.is_empty() { Ok(centre) } else { Err(Faults { errors, warnings }) }
}

/// A neighbour's neighbour is oneself, even when only one of the two says so.
fn make_neighbours_mutual(centre: &mut Centre) {
    let pairs: Vec<_> = centre
        .regions
        .iter()
        .flat_map(|(id, region)| region.neighbours.iter().map(|neighbour| (neighbour.clone(), id.clone())))
        .collect();
    for (id, neighbour) in pairs {
        if let Some(region) = centre.regions.get_mut(&id)
            && !region.neighbours.contains(&neighbour)
        {
            region.neighbours.push(neighbour);
        }
    }
}

fn no_toml(text: &str, path: &Path, errors: &[toml::de::Error]) -> Vec<Fault> {
    let lines = LineStarts::of(text);
    let mut faults: Vec<Fault> = errors.iter().map(|error| unreadable(text, path, &lines, error)).collect();
    faults.sort_by_key(|fault| (fault.line, fault.column));
    // Of a table that stands twice, each key is a duplicate too: the table alone is told.
    let mut doubled_from = None;
    faults.retain(|fault| {
        let is_header = line_of(text, fault.line).starts_with('[');
        let is_inside = doubled_from.is_some_and(|header| !has_header_between(text, header, fault.line));
        if is_header && fault.problem.contains("twice") {
            doubled_from = Some(fault.line);
        }
        is_header || !is_inside
    });
    faults
}

fn unreadable(text: &str, path: &Path, lines: &LineStarts, error: &toml::de::Error) -> Fault {
    let span = error.span().unwrap_or(0..0);
    let (line, column) = lines.place(span.start);
    let message = error.message().lines().next().unwrap_or("unknown");
    let key = text.get(span).map(str::trim).filter(|key| message == "duplicate key" && !key.is_empty());
    let whole = line_of(text, line).trim();
    let (problem, remedy) = match key {
        Some(_) if whole.starts_with('[') => (
            format!("the table {whole} stands twice"),
            "give one of them another name, or make one table of both".into(),
        ),
        Some(key) => (format!("`{key}` stands twice in its table"), "remove one of the two lines".into()),
        None => (
            format!("not readable as TOML: {message}"),
            "correct the line; values need quotes, lists brackets, and each key stands once".into(),
        ),
    };
    Fault { file: path.to_owned(), line, column, key: key.unwrap_or_default().to_owned(), problem, remedy }
}

/// A line by its number from 1, without leading spaces.
fn line_of(text: &str, line: usize) -> &str {
    text.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim_start()
}

fn has_header_between(text: &str, header: usize, line: usize) -> bool {
    let between = text.lines().skip(header).take(line.saturating_sub(header + 1));
    between.into_iter().any(|line| line.trim_start().starts_with('['))
}
