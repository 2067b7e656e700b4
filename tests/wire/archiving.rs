//! A second place of recordings, a folder: copied while calls live, listened to when the first one has lost them, compared,
//! mended; away for a while; and audio that becomes FLAC after some days, encrypted, in both places.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::harness::{until, within};
use super::phone::Phone;
use super::server::{Server, Setup};
use super::sound::length_of_tone_ms;
use super::voice::Words;

/// A place that was away is tried again within this.
const TRIED_AGAIN_WITHIN: Duration = Duration::from_secs(90);

/// A centre with a second place beside it, and more of the section.
pub fn setup(more: &str) -> (Setup, PathBuf) {
    let setup = Setup::new();
    let second = setup.place.path("second");
    std::fs::create_dir(&second).expect("a folder");
    let section = format!("[archive]\nplace = \"folder:{}\"\n{more}\n\n[web]", second.display());
    (setup.change("[web]", &section), second)
}

/// One call in which both sides are heard; its story, and the recording's folder within a place.
pub async fn record(server: &Server) -> (Value, String) {
    let (anne, caller) = Phone::pair(server, "0261910101").await;
    anne.voice.says(Words::Tone(1000.0));
    caller.voice.hears(1000.0, 1000).await;
    anne.voice.hears(440.0, 500).await;
    caller.hang_up().await;
    drop(anne);
    let story = server.api.sealed().await;
    let path = story["recording"]["path"].as_str().expect("a path").to_owned();
    let folder = path.rsplit_once('/').expect("a folder").0.to_owned();
    (story, folder)
}

/// Waits until everything of a recording is in the second place.
pub async fn copied(server: &Server, story: &Value) -> Value {
    let call = story["call"]["id"].as_str().expect("an id").to_owned();
    within(TRIED_AGAIN_WITHIN, "the recording is copied", || async {
        let copy = server.api.json(&format!("/recordings/{call}/custody")).await["copy"].clone();
        (!copy["copied_at"].is_null() && copy["waiting_since"].is_null()).then_some(copy)
    })
    .await
}

/// `vigie archive` with arguments: exit status and what it said.
pub fn archive(server: &Server, arguments: &[&str]) -> (Option<i32>, String) {
    let config = server.centre.config.display().to_string();
    let output = server.centre.vigie(&[&["archive"], arguments, &["--config", config.as_str()]].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

pub async fn assert_heard(server: &Server, story: &Value) {
    let [left, right] = server.api.audio(story).await;
    assert!(length_of_tone_ms(&left, 440.0) >= 500, "the caller is heard");
    assert!(length_of_tone_ms(&right, 1000.0) >= 1000, "the regulator is heard");
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("changed");
}

#[tokio::test]
async fn a_place_that_is_gone_for_good_is_forgotten_by_its_name_and_never_the_present_one() {
    let (setup, second) = setup("");
    let mut server = setup.start().await;
    let (story, _) = record(&server).await;
    copied(&server, &story).await;
    let place = format!("folder:{}", second.display());
    let (code, said) = archive(&server, &["forget", &place]);
    assert!(code == Some(1) && said.contains("is the second place now"), "{said}");
    server.process.kill();
    let text = std::fs::read_to_string(&server.centre.config).expect("the configuration");
    std::fs::write(&server.centre.config, text.replace(&format!("\"{place}\""), "\"off\"")).expect("written");
    let (code, said) = archive(&server, &["forget", "folder:/nowhere"]);
    assert!(code == Some(1) && said.contains(&place), "it names those there are: {said}");
    let (code, said) = archive(&server, &["forget", &place]);
    assert!(code == Some(0) && said.contains("folders forgotten"), "{said}");
    assert!(second.join("seal-log").is_dir(), "nothing there is touched");
    let (code, said) = archive(&server, &["forget", &place]);
    assert!(code == Some(1) && said.contains("none"), "{said}");
}

#[tokio::test]
async fn a_recording_lies_in_two_places_and_each_mends_the_other() {
    let (setup, second) = setup("");
    let server = setup.start().await;
    let (story, folder) = record(&server).await;
    copied(&server, &story).await;
    let first = server.centre.place.path("recordings");
    assert_eq!(archive(&server, &["check"]).0, Some(0));
    assert_eq!(archive(&server, &["status"]).0, Some(0));
    for name in ["audio.wav", "recording.json", "recording.json.sig", "leg-0.frames", "leg-1.frames"] {
        let (here, there) = (first.join(&folder).join(name), second.join(&folder).join(name));
        assert_eq!(std::fs::read(here).expect("here"), std::fs::read(there).expect("there"), "{name}");
    }
    let output = server.centre.vigie(&["verify", second.to_str().expect("a plain path")]);
    assert!(output.status.success(), "the second place proves itself: {}", String::from_utf8_lossy(&output.stdout));

    // The first place has lost it: it is heard all the same, and its documents are had.
    std::fs::remove_dir_all(first.join(&folder)).expect("lost");
    assert_heard(&server, &story).await;
    let call = story["call"]["id"].as_str().expect("an id");
    let (status, manifest) = server.api.fetch(&format!("/api/v1/recordings/{call}/manifest?reason=wire+test")).await;
    assert_eq!((status, manifest), (200, std::fs::read(second.join(&folder).join("recording.json")).expect("there")));
    let (code, said) = archive(&server, &["check"]);
    assert!(code == Some(1) && said.contains("audio.wav (here): is missing"), "{said}");
    let (code, said) = archive(&server, &["check", "--repair", call]);
    assert!(code == Some(0) && said.contains("put back from the second place"), "{said}");
    server.assert_sound();

    // What is corrupt there is set aside, and put back from here.
    flip(&second.join(&folder).join("audio.wav"));
    let (code, said) = archive(&server, &["check"]);
    assert!(code == Some(1) && said.contains("audio.wav (there): does not hash"), "{said}");
    let (code, said) = archive(&server, &["check", "--repair"]);
    assert!(code == Some(0) && said.contains("what was there is quarantine/"), "{said}");
    assert_eq!(archive(&server, &["check"]).0, Some(0));

    // What comes later is copied, too.
    let note = serde_json::json!({ "text": "later", "reason": "wire test" });
    assert_eq!(server.api.post(&format!("/recordings/{call}/addenda"), Some(note)).await, 201);
    let addendum = second.join(&folder).join("addendum-0001.json");
    until("the addendum is there", || async { addendum.exists().then_some(()) }).await;
}

#[tokio::test]
async fn a_second_place_that_is_away_stops_no_call_is_told_and_catches_up() {
    let (setup, second) = setup("lag_max = \"10s\"");
    let server = setup.start().await;
    let (story, _) = record(&server).await;
    copied(&server, &story).await;
    let away = server.centre.place.path("away");
    std::fs::rename(&second, &away).expect("away");
    // As a disk looks that is not mounted: an empty folder is no second place.
    std::fs::create_dir(&second).expect("a mount point");
    let (story, folder) = record(&server).await;
    within(TRIED_AGAIN_WITHIN, "it is told", || async {
        (server.metric("vigie_alarms_total{kind=\"archive-behind\"").await >= 1.0).then_some(())
    })
    .await;
    let (code, said) = archive(&server, &["status"]);
    assert!(code == Some(1) && said.contains("is not the folder that was copied to before"), "{said}");
    assert_eq!(std::fs::read_dir(&second).expect("listed").count(), 0, "nothing is written to the mount point");
    std::fs::remove_dir(&second).expect("unmounted");
    std::fs::rename(&away, &second).expect("back");
    copied(&server, &story).await;
    assert!(second.join(&folder).join("audio.wav").exists());
    assert_eq!(archive(&server, &["check"]).0, Some(0));
}

#[tokio::test]
async fn audio_becomes_flac_after_days_encrypted_in_both_places_and_sounds_the_same() {
    let (setup, second) = setup("flac_after_days = 1");
    let kek = setup.place.path("kek");
    let encryption = format!("[recording.encryption]\nkey = \"file:{}\"\n\n[archive]", kek.display());
    let centre = setup.change("[archive]", &encryption).write();
    assert!(centre.vigie(&["key", "new", kek.to_str().expect("a plain path")]).status.success());
    let mut server = centre.start().await;
    let (story, folder) = record(&server).await;
    copied(&server, &story).await;
    let call = story["call"]["id"].as_str().expect("an id").to_owned();
    let (_, before) = server.api.fetch(&format!("/api/v1/recordings/{call}/audio?reason=wire+test")).await;
    server.interrupt();
    server.end().await;
    let here = server.centre.place.path("recordings").join(&folder);
    // Its key has gone here: the FLAC is encrypted with the one in the second place, never written plain.
    std::fs::remove_file(here.join("audio.key")).expect("lost");
    // Two days go by.
    let database = server.centre.place.path("state/vigie.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", database.display())).await.expect("the database");
    let changed = sqlx::query("UPDATE recordings SET sealed_at = sealed_at - 172800000000").execute(&pool).await;
    assert_eq!(changed.expect("changed").rows_affected(), 1);
    pool.close().await;
    server.start_again().await;
    within(TRIED_AGAIN_WITHIN, "it is archived", || async {
        (here.join("audio.flac").exists() && !here.join("audio.wav").exists()).then_some(())
    })
    .await;
    let there = second.join(&folder);
    within(TRIED_AGAIN_WITHIN, "there, too", || async {
        (there.join("audio.flac").exists() && !there.join("audio.wav").exists()).then_some(())
    })
    .await;
    copied(&server, &story).await;
    let flac = std::fs::read(here.join("audio.flac")).expect("the FLAC");
    assert!(flac.starts_with(b"VIGVLT1\n"), "encrypted as the WAV was");
    let (_, after) = server.api.fetch(&format!("/api/v1/recordings/{call}/audio?reason=wire+test")).await;
    assert!(before == after, "whoever listens gets the very same WAV");
    assert_eq!(archive(&server, &["check", "--repair"]).0, Some(0), "the key is put back");
    let recordings = server.centre.place.path("recordings").display().to_string();
    let with_key = format!("file:{}", kek.display());
    let verified = server.centre.vigie(&["verify", &recordings, "--decrypt-with", &with_key]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    assert_eq!(archive(&server, &["check"]).0, Some(0), "{}", archive(&server, &["check"]).1);
    // Lost here, it is decrypted and decoded from there.
    std::fs::remove_file(here.join("audio.flac")).expect("lost");
    std::fs::remove_file(here.join("audio.key")).expect("lost");
    let (_, far) = server.api.fetch(&format!("/api/v1/recordings/{call}/audio?reason=wire+test")).await;
    assert!(before == far);
    assert_eq!(archive(&server, &["check", "--repair"]).0, Some(0));
    flip(&here.join("audio.flac"));
    let verified = server.centre.vigie(&["verify", &recordings, "--decrypt-with", &with_key]);
    assert!(String::from_utf8_lossy(&verified.stdout).contains("audio.flac: body.sha256"), "a flipped bit is named");
}
