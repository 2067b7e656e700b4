//! `vigie simulate` as a person runs it: its words, its one JSON object, its picture, and stored calls played again.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use vigie::model::{Fact, Outcome};

use super::story::{House, call};

fn simulate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
    command.arg("simulate").args(arguments).output().expect("vigie runs")
}

fn told(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// The built-in site on one day.
fn one_day(folder: &Path) -> String {
    let text = include_str!("../../config/profiles/one-site.toml").replace("days = 56", "days = 1");
    let path = folder.join("day.toml");
    std::fs::write(&path, text).expect("a profile");
    path.display().to_string()
}

#[test]
fn it_ends_with_one_object_of_fractions_and_draws_a_picture_that_is_xml() {
    let folder = tempfile::tempdir().expect("a folder");
    let (profile, picture) = (one_day(folder.path()), folder.path().join("day.svg"));
    let plot = picture.display().to_string();
    let text = told(&simulate(&["--profile", &profile, "--seeds", "2", "--staff", "34", "--json", "--plot", &plot]));
    // The whole output is the object: nothing stands before it or after it.
    let object: Value = serde_json::from_str(&text).expect("one JSON object");
    let share = object["answered_within_30s"].as_f64().expect("a figure");
    assert!((0.5..=1.0).contains(&share), "{share}");
    assert_eq!(
        (object["policy"].as_str(), object["staff"].as_u64(), object["seeds"].as_u64()),
        (Some("vigie"), Some(34), Some(2))
    );
    let both = &object["confidence_95"]["answered_within_30s"];
    assert!(both[0].as_f64() <= Some(share) && Some(share) <= both[1].as_f64(), "{both}");
    let drawn = std::fs::read_to_string(&picture).expect("a picture");
    assert_well_formed(&drawn);
    let pixels = folder.path().join("day.PNG");
    let plot = pixels.display().to_string();
    told(&simulate(&["--profile", &profile, "--seeds", "1", "--plot", &plot]));
    let ffmpeg =
        ["-v", "error", "-err_detect", "crccheck+explode", "-i", &plot, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"];
    let seen = std::process::Command::new("ffmpeg").args(ffmpeg).output().expect("ffmpeg runs");
    assert!(seen.status.success() && seen.stderr.is_empty(), "{}", String::from_utf8_lossy(&seen.stderr));
    assert_eq!(seen.stdout.len(), 960 * 720 * 3);
    assert!(seen.stdout.chunks_exact(3).filter(|pixel| pixel == &[0x0b, 0x6e, 0x4f]).count() > 300, "Vigie's lines");
    assert!(drawn.contains(">vigie</text>") && !drawn.contains("NaN"));
}

/// Every element that is opened is closed, in its order, within one `svg`.
fn assert_well_formed(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let end = rest[at..].find('>').expect("a tag ends") + at;
        let (tag, after) = (&rest[at + 1..end], &rest[end + 1..]);
        assert!(!open.is_empty() || at == 0 || rest[..at].trim().is_empty(), "text outside of svg");
        assert!(tag.matches('"').count() % 2 == 0, "a quote is open in <{tag}>");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().expect("a name");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else if !tag.ends_with('/') {
            assert!(!open.is_empty() || name == "svg", "<{name}> comes first");
            open.push(name);
        }
        rest = after;
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
}

#[test]
fn several_policies_are_a_table_and_what_cannot_be_done_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let profile = one_day(folder.path());
    let text = told(&simulate(&["--profile", &profile, "--policy", "vigie,xivo,per-association", "--seeds", "1"]));
    let row = text.lines().find(|line| line.starts_with("answered_within_30s")).expect("a row");
    assert_eq!(row.matches(" %").count(), 3, "{row}");
    assert!(text.contains("re-implemented from XiVO's documentation"), "{text}");
    for (arguments, what) in [
        (vec!["--profile", "gone.toml"], "gone.toml"),
        (vec!["--profile", profile.as_str(), "--plot", "day.pdf"], ".svg or .png"),
        (vec!["--history", "yesterday", "--config", "config/vigie.toml"], "FROM..TO"),
    ] {
        let output = simulate(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(what), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn stored_calls_are_played_again_and_the_database_of_a_running_server_is_only_read() {
    let house = House::open(&[]).await;
    let mut facts: Vec<Fact> = (0..40).map(|n| Fact::Call(Box::new(call(n)))).collect();
    // None of these needed a regulator.
    for (place, outcome) in [Outcome::Forwarded, Outcome::Voicemail, Outcome::Closed].into_iter().enumerate() {
        let record = vigie::model::CallRecord { outcome: Some(outcome), answered_at: None, ..call(50 + place as u64) };
        facts.push(Fact::Call(Box::new(record)));
    }
    house.store(facts).await;
    let config = house.folder.path().join("vigie.toml");
    let url = format!("url = \"sqlite:{}\"", house.database().display());
    let text = include_str!("../../config/vigie.toml").replace("url = \"sqlite:state/vigie.db\"", &url);
    std::fs::write(&config, text).expect("a configuration");
    let sounds = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sounds");
    std::os::unix::fs::symlink(sounds, house.folder.path().join("sounds")).expect("the sounds");
    let path = config.display().to_string();
    let asked = ["--history", "2026-11-21..2026-11-23", "--config", &path, "--seeds", "2", "--json"];
    let before = std::fs::read(house.database()).expect("the database");
    // The server's writer holds the database all the while.
    let object: Value = serde_json::from_str(&told(&simulate(&asked))).expect("one JSON object");
    assert_eq!((object["persons"].as_u64(), object["staff"].as_u64()), (Some(80), Some(1)), "{object:#}");
    assert_eq!(std::fs::read(house.database()).expect("the database"), before, "the history was written to");
    // Nothing is there on another day, and nothing is made where no database is.
    let nothing = simulate(&["--history", "2026-01-01..2026-01-02", "--config", &path]);
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("choose other days"));
    let elsewhere = house.folder.path().join("gone/vigie.db");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let text = text.replace(&house.database().display().to_string(), &elsewhere.display().to_string());
    std::fs::write(&config, text).expect("a configuration");
    assert!(!simulate(&asked).status.success() && !elsewhere.exists());
    house.writer.stop().await;
}
