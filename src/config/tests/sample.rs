//! The sample: right as it is, its own manual, and told what is wrong when any one line is lost.

use super::*;
use crate::model::E164;

#[test]
fn the_sample_centre_reads_without_error() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/vigie.toml");
    let (settings, warnings) = Settings::read_with_warnings(&file).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(warnings, []);
    let centre = &settings.centre;
    assert_eq!([centre.associations.len(), centre.lines.len(), centre.regulators.len()], [4, 6, 6]);
    assert!(centre.ddis.contains_key(&E164::parse("+33261910101").expect("a number")));
    assert!(centre.regulators.values().all(|person| person.digest == DigestChoice::Md5));
    let names: Vec<String> = centre.trunks.values().flat_map(|t| &t.peers).map(|p| p.address.to_string()).collect();
    assert_eq!(names, ["127.0.0.2"], "127.0.0.1 stays free for phones");
}

/// Every key of the sample has a comment above it where it first stands, so that the file is its own manual.
#[test]
fn every_key_of_the_sample_is_explained_where_it_first_stands() {
    let mut explained = std::collections::HashSet::new();
    let mut section = String::new();
    let mut after_comment = false;
    for line in SAMPLE.lines() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[').filter(|_| line.ends_with(']')) {
            let kind = header.split(['.', ']']).find(|part| !part.is_empty()).unwrap_or_default();
            section = kind.to_owned();
            after_comment = false;
        } else if line.starts_with('#') {
            after_comment = true;
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('{')) {
            let listed = matches!(section.as_str(), "skills" | "sounds");
            if listed || after_comment {
                explained.insert((section.clone(), key.to_owned()));
            }
            assert!(explained.contains(&(section.clone(), key.to_owned())), "{section}.{key} has no comment");
        } else if line.is_empty() {
            after_comment = false;
        }
    }
}

/// Every key that the reader knows stands in the sample, so that nothing can only be found in the source.
#[test]
fn every_key_that_is_read_stands_in_the_sample() {
    let sources = [
        include_str!("../parts.rs"),
        include_str!("../lines.rs"),
        include_str!("../demand.rs"),
        include_str!("../centre.rs"),
        include_str!("../hours.rs"),
        include_str!("../trunks.rs"),
        include_str!("../listeners.rs"),
    ];
    for source in sources {
        // A call may go on in the next line.
        let source: String = source.split_whitespace().collect();
        for call in [
            ".or(\"",
            ".take(\"",
            ".must(\"",
            ".list(\"",
            ".pairs(\"",
            ".named(\"",
            ".each(\"",
            "sound(\"",
            "farewell(\"",
            "pause(\"",
        ] {
            for piece in source.split(call).skip(1) {
                let key = piece.split('"').next().unwrap_or_default();
                assert!(SAMPLE.contains(&format!("{key} = ")) || SAMPLE.contains(&format!("[{key}")), "{key}");
            }
        }
    }
}

#[test]
fn a_sample_that_lost_any_one_line_is_read_or_told_with_a_place_and_a_remedy() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/vigie.toml");
    let lines: Vec<&str> = SAMPLE.lines().collect();
    for lost in (0..lines.len()).filter(|n| lines.get(*n).is_some_and(|line| line.contains(['=', '[', ']']))) {
        let text: String =
            lines.iter().enumerate().filter(|(n, _)| *n != lost).map(|(_, l)| format!("{l}\n")).collect();
        if let Err(faults) = Settings::from_text(&text, &file) {
            assert!(!faults.errors.is_empty());
            assert!(faults.errors.iter().all(|f| f.line > 0 && f.column > 0 && !f.remedy.is_empty()), "{faults}");
        }
    }
}
