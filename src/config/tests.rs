//! The configuration against files that are right and files that are wrong.

mod calling;
mod carriers;
mod custody;
mod listening;
mod sample;

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::model::centre::{DigestChoice, RecordingPolicy};

const SAMPLE: &str = include_str!("../../config/vigie.toml");

/// A small centre that is right, but for its missing sounds' sake without any.
const SMALL: &str = r#"
[sip]
realm = "vigie"
[media]
ports = "20000-20999"
[skills]
regulation = "may regulate"
[associations.sos]
[regions.here]
neighbours = ["there"]
[regions.there]
[lines.main]
association = "sos"
ddis = ["+33199000101"]
region = "here"
skills = { regulation = 50 }
steps = [{ after = "20s", lowered_by = 20 }]
[regulators.anne]
association = "sos"
skills = { regulation = 60 }
regions = { here = 0 }
[trunks.carrier]
peers = ["127.0.0.2"]
fallback_line = "main"
[sounds]
music = "music.wav"
"#;

/// The trunk's peers in it.
const PEERS: &str = r#"peers = ["127.0.0.2"]"#;

/// A folder with the one sound of `SMALL`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    make_sound(&folder.path().join("music.wav"));
    folder
}

fn make_sound(file: &Path) {
    let form =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(file, form).expect("a file");
    wav.write_sample(1_i16).expect("a sample");
    wav.finalize().expect("a header");
}

fn read(text: &str) -> Result<Settings, Faults> {
    let folder = folder();
    Settings::from_text(text, &folder.path().join("test.toml"))
}

/// `SMALL` with one piece replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from} is not in the small centre");
    SMALL.replacen(from, to, 1)
}

#[test]
fn a_small_centre_reads_with_its_defaults() {
    let settings = read(SMALL).unwrap_or_else(|faults| panic!("{faults}"));
    let line = settings.centre.lines.values().next().expect("a line");
    assert_eq!(
        (line.demand.priority, line.wrap_up, line.recording),
        (5, Duration::from_secs(30), RecordingPolicy::Always)
    );
    assert_eq!(
        line.demand.steps.first().map(|s| s.needs.as_ref().map(ToString::to_string)),
        Some(Some("regulation >= 30".to_owned()))
    );
    let listeners: Vec<_> = settings.sip.listen.iter().map(|l| (l.address.to_string(), l.digest)).collect();
    assert_eq!(listeners, [("127.0.0.1:5060".to_owned(), DigestChoice::Both)]);
    assert_eq!(settings.storage.url, "sqlite:state/vigie.db");
    let there = settings.centre.regions.get(&"there".into()).expect("a region");
    assert_eq!(there.neighbours, ["here".into()], "a neighbour is one both ways");
}

#[test]
fn each_fault_is_told_with_its_key_its_line_and_a_remedy() {
    let table = [
        (r#"realm = "vigie""#, r#"relm = "vigie""#, "sip.relm", "`realm`"),
        (r#"realm = "vigie""#, "realm = 5", "sip.realm", "quotes"),
        (r#"realm = "vigie""#, r#"listen = ["127.0.0.1:5060"]"#, "sip.listen[0]", "udp:127.0.0.1:5060"),
        (r#"realm = "vigie""#, r#"listen = ["udp:0.0.0.0:5060"]"#, "sip.advertised", "address"),
        (r#"realm = "vigie""#, r#"listen = ["udp:127.0.0.1:20100"]"#, "sip.listen[0]", "media.ports"),
        (r#"realm = "vigie""#, "devices_max = 0", "sip.devices_max", "1 to 16"),
        (r#"realm = "vigie""#, r#"expires_min = "30""#, "sip.expires_min", "units"),
        (r#"realm = "vigie""#, r#"expires_min = "2h""#, "sip.expires_min", "longest"),
        (r#"ports = "20000-20999""#, r#"ports = "20999-20000""#, "media.ports", "20000-29999"),
        (r#"ports = "20000-20999""#, r#"ring_size = "5""#, "media.ring_size", "MiB"),
        (r#"neighbours = ["there"]"#, r#"neighbours = ["ther"]"#, "regions.here.neighbours[0]", "`there`"),
        (r#"neighbours = ["there"]"#, r#"neighbours = ["here"]"#, "regions.here.neighbours[0]", "take it out"),
        (r#"neighbours = ["there"]"#, r#"parent = "here""#, "regions.here.parent", "no parent"),
        (r#"neighbours = ["there"]"#, r#"second = "here""#, "regions.here.second", "another region"),
        (r#"neighbours = ["there"]"#, r#"second = "ther""#, "regions.here.second", "`there`"),
        (r#"region = "here""#, "region = \"there\"\nreach = \"home\"", "lines.main.skills", "lower the levels"),
        (r#"ddis = ["+33199000101"]"#, r#"ddis = ["0199000101"]"#, "lines.main.ddis[0]", "E.164 form|country code"),
        (r#"ddis = ["+33199000101"]"#, r#"ddis = "+33199000101""#, "lines.main.ddis", "brackets"),
        (r#"association = "sos""#, r#"association = "soss""#, "lines.main.association", "`sos`"),
        (r#"region = "here""#, "", "lines.main.region", "[regions.ID]"),
        (r#"region = "here""#, r#"region = "paris""#, "lines.main.region", "here, there"),
        (r#"{ regulation = 50 }"#, r#"{ regulatoin = 50 }"#, "lines.main.skills.regulatoin", "`regulation`"),
        (r#"{ regulation = 50 }"#, r#"{ regulation = 101 }"#, "lines.main.skills.regulation", "1 to 100"),
        (r#"{ regulation = 50 }"#, "{}", "lines.main.skills", "regulation = 50"),
        (r#"{ regulation = 50 }"#, r#"{ regulation = 90 }"#, "lines.main.skills", "lower the levels"),
        (r#"lowered_by = 20"#, r#"lowerd_by = 20"#, "lines.main.steps[0].lowerd_by", "`lowered_by`"),
        (r#"skills = { regulation = 50 }"#, r#"needs = "regulation >= 50 or""#, "lines.main.needs", "such as"),
        (r#"skills = { regulation = 50 }"#, r#"needs = "regulation > 50""#, "lines.main.needs", "`>=`"),
        (r#"skills = { regulation = 50 }"#, r#"needs = "regulatoin >= 50""#, "lines.main.needs", "`regulation`"),
        (r#"skills = { regulation = 50 }"#, r#"needs = "regulation >= 99""#, "lines.main.needs", "lower the levels"),
        (r#"lowered_by = 20"#, r#"without = ["english"]"#, "lines.main.steps[0].without[0]", "asked until then"),
        (r#"lowered_by = 20"#, r#"reach = "hom""#, "lines.main.steps[0].reach", "\"home\""),
        (r#"lowered_by = 20"#, r#"message = "nothing""#, "lines.main.steps[0].message", "sounds"),
        (r#"after = "20s", "#, "", "lines.main.steps[0].after", "forecast"),
        (r#"region = "here""#, "region = \"here\"\npriority = 10", "lines.main.priority", "1 to 9"),
        (r#"region = "here""#, "region = \"here\"\nrecording = \"alway\"", "lines.main.recording", "\"always\""),
        (r#"region = "here""#, "region = \"here\"\ngreeting = \"musik\"", "lines.main.greeting", "`music`"),
        (r#"region = "here""#, "region = \"here\"\nhours = [\"8-20\"]", "lines.main.hours[0]", "Mon-Fri"),
        (
            r#"region = "here""#,
            "region = \"here\"\nhours = [\"Mon-Fri 08:00-12:00\", \"Fri 11:00-13:00\"]",
            "lines.main.hours[1]",
            "ended",
        ),
        (r#"regions = { here = 0 }"#, r#"regions = { her = 0 }"#, "regulators.anne.regions.her", "`here`"),
        (r#"regions = { here = 0 }"#, r#"digest = "sha-256""#, "regulators.anne.digest", "sha256"),
        (r#"peers = ["127.0.0.2"]"#, r#"peers = ["carrier.example"]"#, "trunks.carrier.peers[0]", "addresses"),
        (r#"peers = ["127.0.0.2"]"#, "", "trunks.carrier.peers", "peers = "),
        (r#"fallback_line = "main""#, r#"fallback_line = "mian""#, "trunks.carrier.fallback_line", "`main`"),
        (r#"music = "music.wav""#, r#"music = "gone.wav""#, "sounds.music", "8000 Hz"),
        (r#"music = "music.wav""#, r#"music = "test.wav""#, "sounds.music", "8000 Hz"),
        (r#"music = "music.wav""#, "", "lines.main.music", "[sounds]"),
        ("[associations.sos]", "[associations.SOS]", "associations.SOS", "a–z"),
    ];
    table.iter().for_each(told);
}

/// That the change (from, to) is told at the key, with the remedy.
fn told((from, to, key, remedy): &(&str, &str, &str, &str)) {
    let text = changed(from, to);
    let faults = read(&text).expect_err(to);
    let found = faults.errors.iter().find(|fault| fault.key == *key);
    let found = found.unwrap_or_else(|| panic!("{to}: no fault at {key}, but\n{faults}"));
    assert!(remedy.split('|').any(|part| found.remedy.contains(part)), "{to}: {found}");
    // The line is that of the change, or of the table in which a key is missing.
    let line = text.lines().nth(found.line - 1).unwrap_or_default();
    let last = key.rsplit('.').next().unwrap_or_default().split('[').next().unwrap_or_default();
    assert!(line.contains(last) || line.starts_with('[') || to.is_empty(), "{to}: told at line {line}");
}

#[test]
fn all_faults_are_told_at_once_and_in_the_order_of_the_file() {
    let text = changed(r#"realm = "vigie""#, r#"relm = "vigie""#)
        .replace("regulation = 60", "regulation = \"x\"")
        .replace("127.0.0.2", "127.0.0.x");
    let faults = read(&text).expect_err("three faults");
    let keys: Vec<&str> = faults.errors.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["sip.relm", "regulators.anne.skills.regulation", "trunks.carrier.peers[0]"]);
    assert!(faults.to_string().contains(":3:1: sip.relm: this key is unknown\n    what to do: did you mean `realm`?"));
    assert!(faults.to_string().ends_with("3 errors in the configuration"));
}

#[test]
fn a_number_that_two_lines_claim_is_told() {
    let second = "[lines.other]\nassociation = \"sos\"\nddis = [\"+33199000101\"]\nregion = \"here\"\nskills = { regulation = 1 }\n";
    let faults = read(&format!("{SMALL}{second}")).expect_err("a clash");
    assert_eq!(faults.errors.iter().map(|f| f.key.as_str()).collect::<Vec<_>>(), ["lines.other.ddis[0]"]);
}

#[test]
fn a_circle_of_parents_is_told_once_a_region() {
    let text = changed("[regions.there]", "[regions.there]\nparent = \"here\"")
        .replace("neighbours = [\"there\"]", "parent = \"there\"");
    let faults = read(&text).expect_err("a circle");
    assert_eq!(faults.errors.len(), 2, "{faults}");
}

#[test]
fn a_text_that_is_no_toml_is_told_with_its_lines() {
    let faults = read("[sip\nrealm = \"x\"\n[media]\nports = \n").expect_err("no TOML");
    let lines: Vec<usize> = faults.errors.iter().map(|fault| fault.line).collect();
    assert!(lines.contains(&1) && lines.contains(&4), "{faults}");
}

#[test]
fn a_file_that_is_missing_is_told_with_its_name() {
    let faults = Settings::read(Path::new("/nowhere/vigie.toml")).expect_err("no file");
    assert!(faults.to_string().contains("/nowhere/vigie.toml: the file cannot be read"), "{faults}");
}

#[test]
fn a_first_step_that_nobody_meets_is_a_warning_when_a_later_one_is_met() {
    let folder = folder();
    let file = folder.path().join("test.toml");
    std::fs::write(&file, changed("{ regulation = 50 }", "{ regulation = 70 }")).expect("written");
    let (_, warnings) = Settings::read_with_warnings(&file).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(warnings.iter().any(|w| w.problem == "no regulator can answer before 20s"), "{warnings:?}");
}

#[test]
fn what_works_but_is_odd_is_a_warning() {
    let table = [
        (r#"realm = "vigie""#, r#"listen = ["udp:192.0.2.7:5060"]"#, "media.address"),
        (r#"peers = ["127.0.0.2"]"#, r#"peers = ["192.0.2.0/24"]"#, "trunks.carrier.peers"),
        (r#"region = "here""#, "region = \"here\"\nhours = [\"Mon 08:00-12:00\"]", "lines.main.hours"),
        (r#"region = "here""#, "region = \"here\"\nwaiting_max = \"15s\"", "lines.main.steps[0].after"),
        ("[associations.sos]", "chess = \"plays well\"\n[associations.sos]", "skills.chess"),
        (r#"ports = "20000-20999""#, r#"ports = "20000-20099""#, "media.ports"),
        (
            "{ regulation = 60 }",
            "{ regulation = 60 }\n[regulators.eve]\nassociation = \"sos\"",
            "regulators.eve.skills",
        ),
    ];
    for (from, to, key) in table {
        let folder = folder();
        let file = folder.path().join("test.toml");
        std::fs::write(&file, changed(from, to)).expect("written");
        let (_, warnings) = Settings::read_with_warnings(&file).unwrap_or_else(|faults| panic!("{to}: {faults}"));
        assert!(warnings.iter().any(|warning| warning.key == key), "{to}: {warnings:?}");
    }
}

#[test]
fn a_table_that_stands_twice_is_told_once_by_its_name() {
    let text =
        SMALL.replace("[trunks.carrier]", "[regulators.anne]\nassociation = \"sos\"\nskills = {}\n[trunks.carrier]");
    let faults = Settings::from_text(&text, Path::new("x/vigie.toml")).expect_err("a doubled table");
    let told: Vec<_> = faults.errors.iter().map(|fault| fault.problem.as_str()).collect();
    assert_eq!(told, ["the table [regulators.anne] stands twice"]);
}

#[test]
fn a_key_that_stands_twice_is_named() {
    let text = SMALL.replace("realm = \"vigie\"", "realm = \"vigie\"\nrealm = \"other\"");
    let faults = Settings::from_text(&text, Path::new("x/vigie.toml")).expect_err("a doubled key");
    assert!(faults.errors[0].problem.contains("`realm` stands twice"), "{faults}");
}

#[test]
fn what_a_line_asks_in_vain_is_told_with_its_place_and_remedy() {
    let folder = folder();
    let read = |from: &str, to: &str| {
        let text = changed(from, to);
        let file = folder.path().join("vain.toml");
        std::fs::write(&file, &text).expect("a file");
        let (_, warnings) = Settings::read_with_warnings(&file).unwrap_or_else(|faults| panic!("{faults}"));
        let told: Vec<(String, usize, String)> =
            warnings.into_iter().map(|one| (one.key, one.line, format!("{} {}", one.problem, one.remedy))).collect();
        (text, told)
    };
    for (from, to, key, expected) in [
        (
            "skills = { regulation = 50 }",
            "needs = \"regulation >= 50 or regulation >= 90\"",
            "lines.main.needs",
            "`regulation >= 90`",
        ),
        ("skills = { regulation = 50 }", "needs = \"regulation >= 70\"", "lines.main.needs", "before 20s"),
        ("lowered_by = 20", "reach = \"all\"", "lines.main.steps[0].reach", "nothing changes"),
        ("lowered_by = 20", "priority = 7", "lines.main.steps[0].priority", "lower number"),
        (
            "region = \"here\"",
            "region = \"here\"\nreach = \"neighbours\"",
            "lines.main.reach",
            "farther away may be free",
        ),
    ] {
        let (text, told) = read(from, to);
        let found = told.iter().find(|(at, _, what)| at == key && what.contains(expected));
        let (_, line, _) = found.unwrap_or_else(|| panic!("{key}: {expected} is not in {told:?}"));
        let place = text.lines().position(|line| line.contains(to.lines().last().unwrap_or_default())).expect("there");
        assert_eq!(*line, place + 1, "{key}");
    }
}
