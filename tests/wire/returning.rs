//! Callers as persons, over real calls: who calls again, who is on a list, who hears that a region is overrun.

use serde_json::json;

use super::harness::{let_pass, until};
use super::phone::Phone;
use super::server::Setup;
use super::sound::frequency;

const ZOE: &str = "+33612345678";
const YVES: &str = "+33687654321";

#[tokio::test]
async fn who_hangs_up_is_a_task_and_who_calls_again_on_another_line_goes_before_those_who_came_meanwhile() {
    let server = Setup::new().change("[skills]", "[callers]\nabandoned_after = \"1s\"\n[skills]").start().await;
    let (_anne, busy) = Phone::pair(&server, "0261910101").await;
    let first = Phone::caller(&server, ZOE).await;
    first.dial_in("0261910101").await;
    first.voice.hears(frequency("music"), 300).await;
    let_pass(std::time::Duration::from_secs(3)).await;
    first.hang_up().await;
    let task = until("a task", || async {
        let listed = server.api.json("/abandoned-callers").await;
        listed["items"].as_array().filter(|items| !items.is_empty()).map(|items| items[0].clone())
    })
    .await;
    assert_eq!(task["caller"]["e164"].as_str(), Some(ZOE), "{task:#}");
    let other = Phone::caller(&server, YVES).await;
    other.dial_in("0261910101").await;
    other.voice.hears(frequency("music"), 300).await;
    let again = Phone::caller(&server, ZOE).await;
    again.dial_in("0261910103").await;
    again.voice.hears(frequency("music"), 300).await;
    let room = server.api.json("/room").await;
    assert_eq!(room["waiting"][0]["caller"]["e164"].as_str(), Some(ZOE), "{room:#}");
    assert!(room["waiting"][0]["wait_ms"].as_u64().is_some_and(|wait_ms| wait_ms >= 3000), "{room:#}");
    busy.hang_up().await;
    until("the person is served and the task closed", || async {
        let listed = server.api.json("/abandoned-callers?state=closed").await;
        let how = listed["items"][0]["closed"]["how"].as_str().map(str::to_owned);
        how.filter(|how| how == "answered")
    })
    .await;
    again.hang_up().await;
    let story = server.api.story("the second call", |story| story["call"]["line"] == "secret").await;
    let person = &story["call"]["person"];
    assert!(person["kept_wait_ms"].as_u64().is_some_and(|kept| kept >= 3000), "{person:#}");
    assert_eq!((&person["calls_before"], &person["first_call"]), (&json!(1), &task["id"]));
}

#[tokio::test]
async fn a_blocked_caller_is_refused_and_an_overrun_region_tells_the_others() {
    let lists = "[lists.blocked]\nkind = \"blocked\"\n[skills]";
    let server = Setup::new().change("[skills]", lists).start().await;
    let surge = json!({"message": "sorry"});
    assert_eq!(server.api.put("/surges/north", surge).await, 204);
    let far = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(400 * 24)).to_string();
    let until_when = json!({"reason": "shouts at the staff", "until": far});
    let path = format!("/lists/blocked/numbers/{ZOE}");
    // A day more than a year ahead is a slip of the keyboard.
    assert_eq!(server.api.put(&path, until_when).await, 400);
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
    assert_eq!(server.api.put(&path, json!({"reason": "shouts at the staff", "until": soon})).await, 204);
    let _anne = Phone::regulator(&server, "anne").await;
    let blocked = Phone::caller(&server, ZOE).await;
    blocked.dial(blocked.invite("0261910101")).await;
    assert!(!blocked.receives("SIP/2.0 603").await.0.is_empty());
    let story = server.api.ended().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("refused"));
    assert!(story["call"]["detail"].as_str().is_some_and(|detail| detail.contains("shouts at the staff")));
    let other = Phone::caller(&server, YVES).await;
    other.dial_in("0261910101").await;
    other.voice.hears(frequency("sorry"), 200).await;
    other.hang_up().await;
    assert_eq!(server.api.delete(&path).await, 204);
}
