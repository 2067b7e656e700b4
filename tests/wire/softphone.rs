//! The regulator's softphone is pjsua2: it registers, answers, holds, takes back, presses keys.

use serde_json::json;

use super::api::event_types;
use super::harness::until;
use super::phone::Phone;
use super::pjsua::Pjsua;
use super::server::Setup;
use super::sound::{frequency, length_of_tone_ms};
use super::voice::Words;

#[tokio::test]
async fn a_softphone_registers_answers_is_heard_holds_resumes_and_hangs_up() {
    let server = Setup::new().start().await;
    let anne = Pjsua::regulator(&server, "anne", 1000.0).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.call_is(0, "CONFIRMED").await;
    anne.hears(0, 440.0, 500).await;
    caller.voice.hears(1000.0, 500).await;

    anne.does("hold", json!({ "call": 0 })).await;
    caller.voice.hears(frequency("music"), 300).await;
    anne.media_is(0, 2).await;
    anne.does("resume", json!({ "call": 0 })).await;
    anne.hears(0, 440.0, 500).await;
    caller.voice.hears(1000.0, 500).await;
    anne.does("hang_up", json!({ "call": 0 })).await;
    caller.is_over().await;

    let story = server.api.sealed().await;
    let types = event_types(&story);
    assert_eq!(types[4..6], ["call.held", "call.resumed"], "{types:?}");
    assert_eq!(story["call"]["ended_by"].as_str(), Some("regulator"));
    let [left, right] = server.api.audio(&story).await;
    assert!(length_of_tone_ms(&left, 440.0) >= 1000 && length_of_tone_ms(&right, 440.0) == 0);
    assert!(length_of_tone_ms(&right, 1000.0) >= 1000 && length_of_tone_ms(&left, 1000.0) == 0);
    server.assert_sound();

    anne.does("unregister", json!({})).await;
    server.api.regulator_is("anne", "offline").await;
}

#[tokio::test]
async fn a_softphone_that_knows_sha_256_registers_where_nothing_else_is_offered() {
    let server = Setup::new().change("digest = \"md5\"", "digest = \"sha256\"").start().await;
    let anne = Pjsua::regulator(&server, "anne", 1000.0).await;
    anne.does("dial", json!({ "uri": format!("sip:*10@{}", server.centre.sip) })).await;
    server.api.regulator_is("anne", "paused own").await;
}

#[tokio::test]
async fn a_softphone_with_a_wrong_password_stays_outside() {
    let server = Setup::new().start().await;
    let anne = Pjsua::stranger(&server, "anne", json!({ "password": "not hers" })).await;
    anne.sees("registration", |event| event["status"] == 401 || event["status"] == 403).await;
    assert_eq!(server.api.regulator("anne").await, "offline");
}

#[tokio::test]
async fn a_caller_holds_and_the_softphone_hears_music_until_it_is_taken_back() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.voice.says(Words::Tone(1000.0));
    let caller = Pjsua::caller(&server, "+33612345678", json!({ "tone": 440 })).await;
    let call = caller.dials(&server, "0261910101").await;
    caller.call_is(call, "CONFIRMED").await;
    caller.hears(call, 1000.0, 500).await;
    caller.does("hold", json!({ "call": call })).await;
    anne.voice.hears(frequency("music"), 300).await;
    caller.does("resume", json!({ "call": call })).await;
    anne.voice.hears(440.0, 500).await;
    caller.does("hang_up", json!({ "call": call })).await;
    anne.is_over().await;
    let types = event_types(&server.api.sealed().await);
    assert_eq!(types[4..6], ["call.held", "call.resumed"], "{types:?}");
}

#[tokio::test]
async fn keys_of_a_softphone_pass_over_rtp_both_ways() {
    let server = Setup::new().start().await;
    let anne = Pjsua::regulator(&server, "anne", 1000.0).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.hears(0, 440.0, 300).await;
    anne.does("keys", json!({ "call": 0, "digits": "59", "by": "rtp" })).await;
    until("both keys arrive", || std::future::ready((caller.voice.keys_heard() == [5, 9]).then_some(()))).await;
    caller.voice.press(7);
    anne.sees("key", |event| event["digit"] == "7").await;
    caller.hang_up().await;
    anne.call_is(0, "DISCONNECTED").await;
}

#[tokio::test]
async fn a_softphones_update_and_keys_by_info_are_taken_within_the_call() {
    let server = Setup::new().start().await;
    let anne = Pjsua::regulator(&server, "anne", 1000.0).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.hears(0, 440.0, 300).await;
    anne.does("update", json!({ "call": 0 })).await;
    anne.does("keys", json!({ "call": 0, "digits": "5", "by": "info" })).await;
    let id = server.api.calls().await[0]["id"].as_str().expect("an id").to_owned();
    until("both are answered 200", || async {
        let (_, ladder) = server.api.fetch(&format!("/api/v1/calls/{id}/ladder?format=text")).await;
        let ladder = String::from_utf8(ladder).expect("text");
        ["200 OK (UPDATE)", "200 OK (INFO)"].iter().all(|one| ladder.contains(one)).then_some(())
    })
    .await;
    anne.hears(0, 440.0, 300).await;
    caller.voice.hears(1000.0, 300).await;
    caller.hang_up().await;
    anne.call_is(0, "DISCONNECTED").await;
}

#[tokio::test]
async fn a_softphone_that_insists_on_timers_and_reliable_answers_has_its_call() {
    let server = Setup::new().start().await;
    let insists = json!({
        "tone": 1000, "timer": "required", "timer_expires": 90, "prack": "mandatory", "manner": [180],
    });
    let anne = Pjsua::regulator_with(&server, "anne", insists).await;
    let insists = json!({ "tone": 440, "timer": "always", "timer_expires": 90, "prack": "mandatory" });
    let caller = Pjsua::caller(&server, "+33612345678", insists).await;
    let call = caller.dials(&server, "0261910101").await;
    anne.call_is(0, "EARLY").await;
    anne.does("answer", json!({ "call": 0, "status": 183 })).await;
    anne.does("answer", json!({ "call": 0, "status": 200 })).await;
    anne.hears(0, 440.0, 300).await;
    caller.hears(call, 1000.0, 300).await;
    let story = server.api.story("it is answered", |story| !story["call"]["answered_at"].is_null()).await;
    let id = story["call"]["id"].as_str().expect("an id").to_owned();
    let (_, ladder) = server.api.fetch(&format!("/api/v1/calls/{id}/ladder?format=text")).await;
    let ladder = String::from_utf8(ladder).expect("text");
    assert!(ladder.contains("PRACK"), "{ladder}");
    caller.does("hang_up", json!({ "call": call })).await;
    anne.call_is(0, "DISCONNECTED").await;
}
