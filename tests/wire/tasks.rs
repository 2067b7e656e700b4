//! The list of callers who gave up: a task is closed by itself when its person is put through to the SAMU, and by whoever
//! closes it.

use serde_json::{Value, json};

use super::harness::{let_pass, until};
use super::ivr::{centre, nobody_is_free};
use super::phone::Phone;
use super::server::Server;
use super::sound::frequency;

const ZOE: &str = "+33612345678";
const YVES: &str = "+33687654321";

/// Calls, waits for more than the ten seconds after which it is a task, and gives up; the task.
async fn gives_up(server: &Server, number: &str) -> Value {
    let caller = Phone::caller(server, number).await;
    caller.dial_in("0261910102").await;
    caller.voice.hears(frequency("music"), 300).await;
    let_pass(std::time::Duration::from_secs(11)).await;
    caller.hang_up().await;
    until("it is a task", || async { of(server, "open", number).await }).await
}

/// The task of a number among those of a state.
async fn of(server: &Server, state: &str, number: &str) -> Option<Value> {
    let listed = server.api.json(&format!("/abandoned-callers?state={state}")).await;
    listed["items"].as_array()?.iter().find(|task| task["caller"]["e164"] == number).cloned()
}

#[tokio::test]
async fn a_task_is_closed_when_its_person_is_put_through_to_the_samu_and_when_somebody_closes_it() {
    let (server, carrier) = centre().await;
    let _phones = nobody_is_free(&server).await;
    let (zoe, yves) = tokio::join!(gives_up(&server, ZOE), gives_up(&server, YVES));
    assert!(zoe["wait_ms"].as_u64() >= Some(10_000) && zoe["closed"].is_null(), "{zoe:#}");

    let again = Phone::caller(&server, ZOE).await;
    again.dial_in("0261910102").await;
    again.voice.hears(frequency("music"), 300).await;
    until("she was seen again", || async {
        of(&server, "open", ZOE).await.filter(|task| !task["seen_again"].is_null())
    })
    .await;
    again.voice.press(1);
    carrier.talks().await;
    let closed = until("the task is closed", || async { of(&server, "closed", ZOE).await }).await;
    assert_eq!((closed["id"].as_str(), closed["closed"]["how"].as_str()), (zoe["id"].as_str(), Some("put-through")));
    assert_eq!(closed["closed"]["by"].as_str(), Some("15"), "{closed:#}");
    again.hang_up().await;

    let id = yves["id"].as_str().expect("an id");
    let path = format!("/abandoned-callers/{id}/close");
    assert_eq!(server.api.post(&path, Some(json!({ "reason": "rang his neighbour" }))).await, 200);
    let closed = of(&server, "closed", YVES).await.expect("closed");
    assert_eq!(closed["closed"]["how"].as_str(), Some("operator"), "{closed:#}");
    assert_eq!(closed["closed"]["reason"].as_str(), Some("rang his neighbour"));
    assert!(of(&server, "open", YVES).await.is_none() && of(&server, "open", ZOE).await.is_none());
}
