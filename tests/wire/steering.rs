//! Callers are put before others, moved and handed to a skill while they wait and talk, over real calls; the wait stays theirs.

use serde_json::{Value, json};

use super::api::event_types;
use super::harness::{let_pass, until};
use super::phone::{Manner, Phone};
use super::server::{Server, Setup};
use super::sound::frequency;
use super::voice::Words;

const ZOE: &str = "+33612345678";
const YVES: &str = "+33687654321";
const HOME: &str = "+33233000001";

/// A caller who hears the music of the waiting room.
async fn waits(server: &Server, number: &str) -> Phone {
    let caller = Phone::caller(server, number).await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(frequency("music"), 300).await;
    caller
}

/// The callers who wait, in the order of service.
async fn order(server: &Server) -> Vec<String> {
    let room = server.api.json("/room").await;
    let number = |one: &Value| one["caller"]["e164"].as_str().unwrap_or_default().to_owned();
    room["waiting"].as_array().expect("a list").iter().map(number).collect()
}

#[tokio::test]
async fn a_listed_caller_and_one_who_is_made_urgent_go_before_those_who_came_first() {
    let list = "[lists.homes]\nkind = \"priority\"\npriority = 2\nnumbers = [\"+33233000001\"]\n[skills]";
    let server = Setup::new().change("[skills]", list).start().await;
    let (anne, busy) = Phone::pair(&server, "0261910101").await;
    let first = waits(&server, ZOE).await;
    let second = waits(&server, YVES).await;
    let home = waits(&server, HOME).await;
    assert_eq!(order(&server).await, [HOME, ZOE, YVES]);
    let room = server.api.json("/room").await;
    let call = room["waiting"][2]["call"].as_str().expect("a call").to_owned();
    assert_eq!(server.api.post(&format!("/calls/{call}/demand"), Some(json!({ "priority": 1 }))).await, 204);
    assert_eq!(order(&server).await, [YVES, HOME, ZOE]);
    assert_eq!(server.api.post(&format!("/calls/{call}/demand"), Some(json!({ "needs": "flying" }))).await, 409);
    anne.voice.says(Words::Tone(1000.0));
    busy.hang_up().await;
    second.voice.hears(1000.0, 300).await;
    for caller in [first, second, home] {
        caller.hang_up().await;
    }
    let acts = server.api.json("/audit").await.to_string();
    assert!(acts.contains("call.demand"), "{acts}");
}

#[tokio::test]
async fn a_caller_is_handed_to_a_skill_by_the_api_and_keeps_the_wait() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.is(Manner::Rings);
    let caller = waits(&server, ZOE).await;
    anne.rings().await;
    let_pass(std::time::Duration::from_secs(2)).await;
    anne.pick_up().await;
    caller.voice.says(Words::Tone(700.0));
    anne.voice.hears(700.0, 300).await;
    let id = server.api.calls().await[0]["id"].as_str().expect("an id").to_owned();
    let path = format!("/calls/{id}/transfer");
    let speaks = |level: u8| Some(json!({ "to": "lang-en", "level": level }));
    assert_eq!(server.api.post(&path, speaks(50)).await, 409, "nobody on duty speaks it");
    let bruno = Phone::regulator(&server, "bruno").await;
    bruno.voice.says(Words::Tone(1600.0));
    assert_eq!(server.api.post(&path, speaks(90)).await, 409, "nobody speaks it so well");
    assert_eq!(server.api.post(&path, speaks(50)).await, 204);
    anne.is_over().await;
    caller.voice.hears(1600.0, 300).await;
    caller.hang_up().await;
    let story = server.api.sealed().await;
    assert_eq!(story["call"]["regulator"].as_str(), Some("bruno"));
    assert!(event_types(&story).contains(&"call.transferred".to_owned()));
    let offers = story["events"].as_array().expect("events").clone();
    let second = offers.iter().filter(|event| event["type"] == "call.offered").nth(1).expect("a second offer");
    assert!(second["data"]["wait_ms"].as_u64().is_some_and(|wait| wait >= 2000), "as if it had never left: {second:#}");
    server.assert_sound();
}

#[tokio::test]
async fn who_is_on_a_call_of_the_own_is_busy_for_callers() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let bruno = Phone::regulator(&server, "bruno").await;
    anne.dial_as(&server.password("anne"), "bruno").await;
    bruno.talks().await;
    anne.talks().await;
    let caller = waits(&server, ZOE).await;
    let_pass(std::time::Duration::from_secs(2)).await;
    assert_eq!((bruno.calls_received(), anne.calls_received()), (1, 0), "nobody rings at a phone in use");
    assert_eq!(order(&server).await, [ZOE]);
    anne.hang_up().await;
    let is_answered = || async { (anne.is_talking() || bruno.is_talking()).then_some(()) };
    until("one of the two answers", is_answered).await;
    caller.hang_up().await;
}
