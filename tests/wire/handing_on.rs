//! A caller handed on: what dispatch, the record and the recording say of it, and nobody lost by a phone in a hurry.

use serde_json::Value;

use super::api::event_types;
use super::phone::{Manner, Phone};
use super::server::{Server, Setup};
use super::sound::{frequency, length_of_tone_ms};
use super::voice::Words;
use super::webhook::Webhook;

/// Anne (1000 Hz) talks with a caller (440 Hz); Bruno (1600 Hz) is free.
async fn anne_talks(server: &Server) -> (Phone, Phone, Phone) {
    let anne = Phone::regulator(server, "anne").await;
    anne.voice.says(Words::Tone(1000.0));
    let caller = Phone::caller(server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(1000.0, 300).await;
    let bruno = Phone::regulator(server, "bruno").await;
    bruno.voice.says(Words::Tone(1600.0));
    (anne, caller, bruno)
}

fn uri_of(server: &Server, whom: &str) -> String {
    format!("sip:{whom}@{}", server.centre.sip.ip())
}

fn transfer_of(story: &Value) -> &Value {
    let events = story["events"].as_array().expect("events");
    &events.iter().find(|event| event["type"] == "call.transferred").expect("a transfer")["data"]
}

#[tokio::test]
async fn a_caller_handed_on_unasked_is_with_the_colleague_in_one_recording() {
    let server = Setup::new().start().await;
    let webhook = Webhook::open(&server.centre).await;
    let (anne, caller, bruno) = anne_talks(&server).await;

    assert_eq!(anne.refer(&uri_of(&server, "bruno")).await, 202);
    anne.is_told(200).await;
    anne.hang_up().await;
    caller.voice.hears(1600.0, 1000).await;
    bruno.voice.hears(440.0, 300).await;
    server.api.regulator_is("anne", "ready").await;
    bruno.hang_up().await;
    caller.is_over().await;

    let story = server.api.sealed().await;
    let expected = [
        "call.received",
        "call.queued",
        "call.offered",
        "call.answered",
        "call.offered",
        "call.transferred",
        "call.answered",
        "call.ended",
        "recording.sealed",
    ];
    assert_eq!(event_types(&story), expected);
    let told = transfer_of(&story);
    assert_eq!((told["by"].as_str(), told["kind"].as_str()), (Some("anne"), Some("blind")), "{told:#}");
    assert_eq!(told["to"]["regulator"].as_str(), Some("bruno"), "{told:#}");
    assert_eq!(story["call"]["regulator"].as_str(), Some("bruno"));
    assert_eq!(story["offers"][1]["handed_by"].as_str(), Some("anne"), "{:#}", story["offers"]);
    let [left, right] = server.api.audio(&story).await;
    assert!(length_of_tone_ms(&left, 440.0) >= 1200, "the caller from end to end");
    assert!(length_of_tone_ms(&right, 1000.0) >= 200 && length_of_tone_ms(&right, 1600.0) >= 800, "both regulators");
    server.assert_sound();
    webhook.has("recording.sealed").await;
    webhook.assert_in_order();
}

#[tokio::test]
async fn a_phone_that_hangs_up_as_soon_as_its_transfer_is_taken_loses_nobody() {
    let server = Setup::new().start().await;
    let (anne, caller, bruno) = anne_talks(&server).await;
    bruno.is(Manner::Rings);
    assert_eq!(anne.refer(&uri_of(&server, "bruno")).await, 202);
    anne.hang_up().await;
    bruno.rings().await;
    caller.voice.hears(frequency("music"), 300).await;
    // Nobody picks up; Anne has rested for a second by then and is rung again.
    server.api.regulator_is("anne", "ready").await;
    bruno.vanish();
    anne.talks().await;
    caller.voice.hears(1000.0, 300).await;
    caller.hang_up().await;
    let story = server.api.sealed().await;
    let types = event_types(&story);
    assert!(!types.contains(&"call.transferred".to_owned()), "{types:?}");
    assert_eq!(types.iter().filter(|kind| *kind == "call.queued").count(), 2, "{types:?}");
}

#[tokio::test]
async fn a_transfer_that_fails_leaves_the_caller_with_whoever_asked() {
    let server = Setup::new().start().await;
    let (anne, caller, bruno) = anne_talks(&server).await;
    bruno.is(Manner::IsBusy);
    assert_eq!(anne.refer(&uri_of(&server, "nobody")).await, 404);
    assert_eq!(anne.refer(&uri_of(&server, "bruno")).await, 202);
    anne.is_told(486).await;
    caller.voice.hears(1000.0, 300).await;
    anne.voice.hears(440.0, 300).await;
    caller.hang_up().await;
    anne.is_over().await;
    let story = server.api.sealed().await;
    assert_eq!(story["call"]["regulator"].as_str(), Some("anne"));
    assert_eq!(story["offers"][1]["end"].as_str(), Some("refused"), "{:#}", story["offers"]);
    server.assert_sound();
}

#[tokio::test]
async fn a_caller_follows_to_the_colleague_who_was_asked_first() {
    let server = Setup::new().start().await;
    let (anne, caller, bruno) = anne_talks(&server).await;
    assert_eq!(anne.reoffer("sendonly").await.status(), 200);
    caller.voice.hears(frequency("music"), 300).await;
    let second = Phone::start([127, 0, 0, 1], server.centre.sip, "anne").await;
    second.voice.says(Words::Tone(700.0));
    second.dial_as(&server.password("anne"), "bruno").await;
    second.talks().await;
    second.voice.hears(1600.0, 300).await;
    bruno.voice.hears(700.0, 300).await;
    assert_eq!(server.api.regulator("bruno").await, "talking");

    assert_eq!(anne.refer_to_partner_of(&second).await, 202);
    anne.is_told(200).await;
    caller.voice.hears(1600.0, 1000).await;
    bruno.voice.hears(440.0, 300).await;
    // Neither of Anne's phones hangs up by itself.
    anne.is_over().await;
    second.is_over().await;
    server.api.regulator_is("anne", "ready").await;
    caller.hang_up().await;
    bruno.is_over().await;

    let story = server.api.sealed().await;
    let told = transfer_of(&story);
    assert_eq!(
        (told["kind"].as_str(), told["to"]["regulator"].as_str()),
        (Some("attended"), Some("bruno")),
        "{told:#}"
    );
    assert_eq!(story["call"]["regulator"].as_str(), Some("bruno"));
    let [_, right] = server.api.audio(&story).await;
    assert!(length_of_tone_ms(&right, 1600.0) >= 800, "the colleague is recorded from then on");
    assert_eq!(length_of_tone_ms(&right, 700.0), 0, "what colleagues say among themselves is not");
    assert_eq!(server.api.calls().await.len(), 1, "and it is no call of a caller");
    server.assert_sound();
}
