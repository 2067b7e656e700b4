//! A line that is accepted only when a regulator answers: greeting and music are early media (183, RFC 3960).

use serde_json::json;

use super::api::event_types;
use super::harness::until;
use super::phone::{Manner, Phone};
use super::pjsua::Pjsua;
use super::server::Setup;
use super::sipp::Sipp;
use super::sound::frequency;

fn accepted_late() -> Setup {
    Setup::new().change("name = \"Plain\"\n", "name = \"Plain\"\naccept = \"answered\"\ngreeting = \"greeting\"\n")
}

#[tokio::test]
async fn a_caller_hears_the_greeting_and_the_music_before_it_is_accepted() {
    for prack in ["none", "optional", "mandatory"] {
        let server = accepted_late().start().await;
        let anne = Pjsua::regulator_with(&server, "anne", json!({ "tone": 1000, "manner": [180] })).await;
        let caller = Pjsua::caller(&server, "+33612345678", json!({ "tone": 440, "prack": prack })).await;
        let call = caller.dials(&server, "0261910101").await;
        caller.call_is(call, "EARLY").await;
        until("it hears the greeting", || {
            let ms = super::sound::length_of_tone_ms(&caller.heard(call), frequency("greeting"));
            std::future::ready((ms >= 100).then_some(()))
        })
        .await;
        caller.hears(call, frequency("music"), 500).await;
        assert!(caller.events("call").iter().all(|event| event["state"] != "CONFIRMED"), "accepted before the answer");
        anne.call_is(0, "EARLY").await;
        anne.does("answer", json!({ "call": 0, "status": 200 })).await;
        caller.call_is(call, "CONFIRMED").await;
        caller.hears(call, 1000.0, 500).await;
        anne.hears(0, 440.0, 500).await;
        caller.does("hang_up", json!({ "call": call })).await;
        anne.call_is(0, "DISCONNECTED").await;
        let story = server.api.sealed().await;
        assert_eq!(story["call"]["outcome"].as_str(), Some("answered"));
        assert_eq!(story["call"]["accepted_at"], story["call"]["answered_at"], "charged from the answer on");
        server.api.lives(0).await;
    }
}

#[tokio::test]
async fn a_caller_who_gives_up_in_early_media_is_a_caller_lost() {
    let server = accepted_late().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.is(Manner::Rings);
    let caller = Pjsua::caller(&server, "+33612345678", json!({ "tone": 440 })).await;
    let call = caller.dials(&server, "0261910101").await;
    anne.rings().await;
    // CANCEL.
    caller.does("hang_up", json!({ "call": call })).await;
    let over = caller.call_is(call, "DISCONNECTED").await;
    assert_eq!(over["status"], 487, "{over}");
    anne.receives("CANCEL").await;
    let story = server.api.ended().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("abandoned"));
    server.api.regulator_is("anne", "ready").await;

    // BYE within the early dialog (RFC 3261 §15).
    Sipp::start(&server, "early-bye", server.centre.place.trunk, "0261910101", &[]).passes().await;
    server.api.lives(0).await;
    until("both calls are told as abandoned", || async {
        let calls = server.api.calls().await;
        (calls.len() == 2 && calls.iter().all(|call| call["outcome"] == "abandoned")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nobody_on_duty_is_said_in_early_media_and_the_call_is_never_accepted() {
    let server = accepted_late().start().await;
    let caller = Pjsua::caller(&server, "+33612345678", json!({ "tone": 440 })).await;
    let call = caller.dials(&server, "0261910101").await;
    let over = caller.call_is(call, "DISCONNECTED").await;
    assert!(over["status"].as_u64() >= Some(400), "{over}");
    let ms = super::sound::length_of_tone_ms(&caller.heard(call), frequency("nobody"));
    assert!(ms >= 300, "{ms} ms of the last message");
    let story = server.api.ended().await;
    assert!(story["call"]["accepted_at"].is_null(), "{:?}", event_types(&story));
    server.api.lives(0).await;
}
