//! A softphone's own transfer button: blind, attended, refused; and the NOTIFYs that it sees.

use serde_json::{Value, json};

use super::api::event_types;
use super::harness::until;
use super::phone::{Manner, Phone};
use super::pjsua::Pjsua;
use super::server::{Server, Setup};
use super::sound::{frequency, length_of_tone_ms};
use super::voice::Words;

/// A caller who talks with anne's softphone, over her call 0.
async fn talk(server: &Server, anne: &Pjsua) -> Phone {
    let caller = Phone::caller(server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(1000.0, 300).await;
    anne.hears(0, 440.0, 300).await;
    caller
}

fn colleague(server: &Server, name: &str) -> String {
    format!("sip:{name}@{}", server.centre.sip)
}

async fn is_transferred(server: &Server, kind: &str) -> Value {
    let story = server.api.sealed().await;
    let told: Vec<&Value> =
        story["events"].as_array().expect("events").iter().filter(|one| one["type"] == "call.transferred").collect();
    assert_eq!(told.len(), 1, "{:?}", event_types(&story));
    assert_eq!(told[0]["data"]["kind"].as_str(), Some(kind), "{:#}", told[0]);
    story
}

#[tokio::test]
async fn a_blind_transfer_gives_the_caller_to_a_colleague_and_the_softphone_sees_it_done() {
    let server = Setup::new().start().await;
    let anne = Pjsua::regulator(&server, "anne", 1000.0).await;
    let caller = talk(&server, &anne).await;
    let bruno = Phone::regulator(&server, "bruno").await;
    bruno.voice.says(Words::Tone(1700.0));

    anne.does("transfer", json!({ "call": 0, "to": colleague(&server, "bruno") })).await;
    anne.sees("transfer", |event| event["status"] == 200 && event["final"] == true).await;
    caller.voice.hears(1700.0, 500).await;
    bruno.voice.hears(440.0, 500).await;
    anne.call_is(0, "DISCONNECTED").await;
    bruno.hang_up().await;
    caller.is_over().await;

    let story = is_transferred(&server, "blind").await;
    let [left, right] = server.api.audio(&story).await;
    assert!(length_of_tone_ms(&left, 440.0) >= 500);
    assert!(length_of_tone_ms(&right, 1000.0) >= 200 && length_of_tone_ms(&right, 1700.0) >= 400);
    server.assert_sound();
}

#[tokio::test]
async fn a_blind_transfer_to_somebody_busy_leaves_the_caller_where_it_was() {
    let server = Setup::new().start().await;
    let anne = Pjsua::regulator(&server, "anne", 1000.0).await;
    let caller = talk(&server, &anne).await;
    let bruno = Phone::regulator(&server, "bruno").await;
    bruno.is(Manner::IsBusy);
    anne.does("transfer", json!({ "call": 0, "to": colleague(&server, "bruno") })).await;
    let told = anne.sees("transfer", |event| event["final"] == true).await;
    assert!(told["status"].as_u64() >= Some(400), "{told}");
    // The softphone has held the call for the transfer's sake, or has not: taken back, they talk as before.
    anne.does("resume", json!({ "call": 0 })).await;
    caller.voice.hears(1000.0, 500).await;
    anne.hears(0, 440.0, 500).await;
    anne.does("hang_up", json!({ "call": 0 })).await;
    caller.is_over().await;
    let types = event_types(&server.api.sealed().await);
    assert!(!types.contains(&"call.transferred".to_owned()), "{types:?}");
}

#[tokio::test]
async fn a_transfer_to_nobody_is_refused_and_the_call_goes_on() {
    let server = Setup::new().start().await;
    let anne = Pjsua::regulator(&server, "anne", 1000.0).await;
    let caller = talk(&server, &anne).await;
    anne.does("transfer", json!({ "call": 0, "to": colleague(&server, "nobody-at-all") })).await;
    let told = anne.sees("transfer", |event| event["final"] == true).await;
    assert_eq!(told["status"], 404, "{told}");
    caller.voice.hears(1000.0, 300).await;
    caller.hang_up().await;
    anne.call_is(0, "DISCONNECTED").await;
}

#[tokio::test]
async fn an_attended_transfer_joins_the_caller_with_whom_the_softphone_has_consulted() {
    let server = Setup::new().start().await;
    let anne = Pjsua::regulator(&server, "anne", 1000.0).await;
    let caller = talk(&server, &anne).await;
    let bruno = Pjsua::regulator(&server, "bruno", 1700.0).await;

    anne.does("hold", json!({ "call": 0 })).await;
    caller.voice.hears(frequency("music"), 300).await;
    let consulted = anne.dials(&server, "bruno").await;
    anne.call_is(consulted, "CONFIRMED").await;
    anne.hears(consulted, 1700.0, 500).await;
    bruno.hears(0, 1000.0, 500).await;
    let both = json!({ "call": 0, "with": consulted });
    anne.does("transfer_attended", both).await;
    anne.sees("transfer", |event| event["status"] == 200 && event["final"] == true).await;
    caller.voice.hears(1700.0, 500).await;
    bruno.hears(0, 440.0, 500).await;
    anne.call_is(0, "DISCONNECTED").await;
    anne.call_is(consulted, "DISCONNECTED").await;
    caller.hang_up().await;
    bruno.call_is(0, "DISCONNECTED").await;
    is_transferred(&server, "attended").await;
    until("no call lives", || async {
        (server.api.json("/room").await["calls_live"].as_u64() == Some(0)).then_some(())
    })
    .await;
}
