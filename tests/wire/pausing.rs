//! A recording that is paused and resumed; the day's reconciliation; a line that records by the hour.

use std::time::Duration;

use serde_json::json;

use super::api::event_types;
use super::codes::{acts, did, press, talk};
use super::harness::let_pass;
use super::joining::{ANNE, CALLER};
use super::phone::Phone;
use super::server::{Server, Setup};
use super::sound::length_of_tone_ms;
use super::voice::Words;

#[tokio::test]
async fn what_is_said_in_a_pause_is_heard_by_both_and_kept_nowhere() {
    let server = Setup::new().start().await;
    let (anne, caller) = Phone::pair(&server, "0261910101").await;
    anne.voice.says(Words::Tone(1000.0));
    caller.voice.hears(1000.0, 500).await;
    let id = server.api.calls().await[0]["id"].as_str().expect("an id").to_owned();
    let path = |act: &str| format!("/calls/{id}/recording/{act}");
    assert_eq!(server.api.post(&path("resume"), None).await, 409, "nothing is paused");
    assert_eq!(server.api.post(&path("pause"), Some(json!({"reason": "a card's number"}))).await, 204);
    assert_eq!(server.api.post(&path("pause"), None).await, 409, "it is paused already");
    anne.voice.says(Words::Tone(1700.0));
    caller.voice.hears(1700.0, 1000).await;
    anne.voice.says(Words::Tone(1000.0));
    caller.voice.hears(1000.0, 1000).await;
    assert_eq!(server.api.post(&path("resume"), None).await, 204);
    caller.voice.forget();
    caller.voice.hears(1000.0, 1000).await;
    caller.hang_up().await;

    let story = server.api.sealed().await;
    let types = event_types(&story);
    assert_eq!(types[4..6], ["recording.paused", "recording.resumed"], "{types:?}");
    let [_, right] = server.api.audio(&story).await;
    assert_eq!(length_of_tone_ms(&right, 1700.0), 0, "what was said in the pause");
    assert!(length_of_tone_ms(&right, 1000.0) >= 1000);
    let manifest = server.api.json(&format!("/recordings/{id}/manifest?reason=wire+test")).await;
    let pause = &manifest["vigie"]["pauses"][0];
    assert_eq!((&pause["by"]["token"], &pause["reason"]), (&json!("admin"), &json!("a card's number")), "{pause:#}");
    let marked = manifest["vigie"]["gaps"].as_array().expect("gaps").iter().filter(|gap| gap["reason"] == "paused");
    assert_eq!(marked.count(), 2, "a gap a leg: {:#}", manifest["vigie"]["gaps"]);
    server.assert_sound();
}

/// Waits until the newest call has told this last.
async fn last_told(server: &Server, kind: &str) {
    let is_last = |story: &serde_json::Value| event_types(story).last().is_some_and(|last| last == kind);
    server.api.story(kind, is_last).await;
}

#[tokio::test]
async fn a_regulator_pauses_the_recording_and_lets_it_go_on_by_keys_of_a_softphone() {
    let server = Setup::new().start().await;
    let (anne, caller, id) = talk(&server).await;
    let ear = anne.listens();
    let_pass(Duration::from_secs(1)).await;
    press(&ear, "*9").await;
    last_told(&server, "recording.paused").await;
    caller.voice.says(Words::Tone(1700.0));
    anne.hears(1700.0, 1000).await;
    caller.voice.says(Words::Tone(CALLER));
    let before = anne.heard_ms(CALLER);
    anne.hears(CALLER, before + 500).await;
    press(&ear, "*9").await;
    last_told(&server, "recording.resumed").await;
    let_pass(Duration::from_secs(1)).await;
    caller.hang_up().await;
    assert_eq!(ear.keys(), "1#", "a low tone says paused, a high one recorded");

    let story = server.api.sealed().await;
    let [left, right] = server.api.audio(&story).await;
    assert_eq!(length_of_tone_ms(&left, 1700.0), 0, "what was said in the pause");
    assert!(length_of_tone_ms(&left, CALLER) >= 1500 && length_of_tone_ms(&right, ANNE) >= 1500);
    let manifest = server.api.json(&format!("/recordings/{id}/manifest?reason=wire+test")).await;
    let pause = &manifest["vigie"]["pauses"][0];
    assert_eq!(
        (&pause["by"]["regulator"], &pause["resumed_by"]["regulator"]),
        (&json!("anne"), &json!("anne")),
        "{pause:#}"
    );
    let acts = acts(&server).await;
    for act in ["recording.pause", "recording.resume"] {
        assert!(acts.contains(&did(act, "anne")), "{act}: {acts:?}");
    }
    server.assert_sound();
}

#[tokio::test]
async fn calls_events_and_recordings_agree_until_a_recording_is_taken_away() {
    let server = Setup::new().start().await;
    let (_anne, caller) = Phone::pair(&server, "0261910101").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    caller.hang_up().await;
    let story = server.api.sealed().await;
    let received = story["call"]["received_at"].as_str().expect("a time").to_owned();
    let day = received.get(..10).expect("a date").to_owned();
    let config = server.centre.config.display().to_string();
    let found = server.api.json(&format!("/reconciliation?day={day}")).await;
    assert_eq!((found["calls"].as_u64(), found["agrees"].as_bool()), (Some(1), Some(true)), "{found:#}");
    assert_eq!((found["answered"].as_u64(), found["recorded"].as_u64()), (Some(1), Some(1)));
    let ended = server.centre.vigie(&["reconcile", "--day", &day, "--config", &config]);
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stdout));
    // Nobody has to answer for a file that belongs to no call of the database.
    let folder = server.centre.place.path("recordings");
    let path = story["recording"]["path"].as_str().expect("a path");
    let call = folder.join(path).parent().expect("a folder").to_owned();
    let stranger = call.with_file_name(
        "019dab00-0000-7000-8000-000000000000"
            .replace("019dab00-0000", story["call"]["id"].as_str().and_then(|id| id.get(..13)).expect("a time")),
    );
    std::fs::create_dir(&stranger).expect("a folder");
    std::fs::write(stranger.join("leg-0.frames"), b"VIGFRM1\n").expect("a file");
    let found = server.api.json(&format!("/reconciliation?day={day}")).await;
    assert_eq!(found["differences"][0]["kind"], "unknown-call", "{found:#}");
    let ended = server.centre.vigie(&["reconcile", "--day", &day, "--config", &config]);
    let told = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("DIFFERS") && told.contains("unknown-call"), "{told}");
}
