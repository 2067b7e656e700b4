//! Regulators call out, over real trunks: dialled from a softphone or asked for through the API; recorded and told.

use serde_json::json;

use super::api::event_types;
use super::baresip::Baresip;
use super::harness::{let_pass, until};
use super::joining::{ANNE, OUTSIDE, far_end};
use super::phone::{Manner, Phone};
use super::server::{Server, Setup};
use super::sound::{frequency, length_of_tone_ms};
use super::voice::Words;

/// A centre whose association shows a number of its own, and whose callers are tasks after a second.
fn setup() -> Setup {
    let shown = "name = \"SOS Test\"\nnumber_shown = \"+33261910199\"\n";
    let setup = Setup::new().change("name = \"SOS Test\"\n", shown);
    setup.change("[skills]", "[callers]\nabandoned_after = \"1s\"\n[skills]")
}

#[tokio::test]
async fn a_softphones_call_to_a_number_is_recorded_told_and_shows_the_associations_number() {
    let (server, outside) = far_end(setup()).await;
    let anne = Baresip::regulator(&server, "anne", ANNE).await;
    anne.dial(&server, "+33698765432");
    outside.talks().await;
    anne.hears(OUTSIDE, 800).await;
    outside.voice.hears(ANNE, 800).await;
    assert_eq!(server.api.regulator("anne").await, "talking");
    let invite = outside.received("INVITE").remove(0);
    assert!(invite.header("From").contains("+33261910199"), "{}", invite.0);
    outside.hang_up().await;
    let story = server.api.sealed().await;
    assert_eq!(event_types(&story), ["call.dialled", "call.reached", "call.ended", "recording.sealed"]);
    let call = &story["call"];
    assert_eq!((call["dialled_by"].as_str(), call["outcome"].as_str()), (Some("anne"), Some("answered")), "{call:#}");
    assert_eq!(
        (call["caller"]["e164"].as_str(), call["association"].as_str()),
        (Some("+33698765432"), Some("sos-test"))
    );
    let [left, right] = server.api.audio(&story).await;
    assert!(length_of_tone_ms(&left, OUTSIDE) >= 700 && length_of_tone_ms(&right, ANNE) >= 700);
    assert_eq!((length_of_tone_ms(&left, ANNE), length_of_tone_ms(&right, OUTSIDE)), (0, 0));
    server.assert_sound();
    let ladder = server.api.json(&format!("/calls/{}/ladder", call["id"].as_str().expect("an id"))).await;
    assert!(ladder.to_string().contains("INVITE"), "the messages of both legs are kept");
    let counted = server.api.json("/statistics?by=line").await;
    assert_eq!(counted["total"]["received"].as_u64(), Some(0), "no caller called: {counted:#}");
}

#[tokio::test]
async fn a_number_that_is_busy_is_told_to_the_softphone_and_leaves_a_record() {
    let (server, outside) = far_end(setup()).await;
    outside.is(Manner::IsBusy);
    let anne = Phone::regulator(&server, "anne").await;
    anne.dial_as(&server.password("anne"), "+33698765432").await;
    assert!(!anne.receives("SIP/2.0 486").await.0.is_empty());
    let story = server.api.ended().await;
    assert_eq!((story["call"]["outcome"].as_str(), story["recording"].is_null()), (Some("unreached"), true));
    assert_eq!(event_types(&story), ["call.dialled", "call.ended"]);
    server.api.regulator_is("anne", "ready").await;
}

/// Waits until there is a task of this state.
async fn task(server: &Server, state: &str) -> serde_json::Value {
    until(&format!("a task that is {state}"), || async {
        let listed = server.api.json(&format!("/abandoned-callers?state={state}")).await;
        listed["items"].as_array().filter(|items| !items.is_empty()).map(|items| items[0].clone())
    })
    .await
}

#[tokio::test]
async fn after_a_kill_who_waited_is_a_task_and_the_api_calls_the_person_back() {
    let (mut server, outside) = far_end(setup()).await;
    outside.is(Manner::Answers);
    let anne = Phone::regulator(&server, "anne").await;
    anne.is(Manner::Rings);
    anne.voice.says(Words::Tone(ANNE));
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(frequency("music"), 300).await;
    let_pass(std::time::Duration::from_secs(2)).await;
    server.process.kill();
    server.start_again().await;
    let open = task(&server, "open").await;
    assert_eq!(open["caller"]["e164"].as_str(), Some("+33612345678"));
    let id = open["id"].as_str().expect("an id").to_owned();
    anne.forget_call();
    anne.is(Manner::Answers);
    let path = format!("/abandoned-callers/{id}/call-back");
    until("anne's phone is known again", || async {
        (server.api.post(&path, Some(json!({ "regulator": "anne" }))).await == 200).then_some(())
    })
    .await;
    outside.talks().await;
    assert!(outside.received("INVITE")[0].0.starts_with("INVITE sip:+33612345678@"));
    outside.voice.hears(ANNE, 500).await;
    anne.voice.hears(OUTSIDE, 500).await;
    let closed = task(&server, "closed").await;
    assert_eq!(
        (closed["closed"]["how"].as_str(), closed["closed"]["by"].as_str()),
        (Some("called-back"), Some("anne"))
    );
    anne.hang_up().await;
    let story = server.api.sealed().await;
    assert_eq!(story["call"]["dialled_by"].as_str(), Some("anne"));
    let [left, right] = server.api.audio(&story).await;
    assert!(length_of_tone_ms(&left, OUTSIDE) >= 400 && length_of_tone_ms(&right, ANNE) >= 400);
    assert_eq!(server.api.post(&path, Some(json!({ "regulator": "anne" }))).await, 409, "it is done");
    server.assert_sound();
}
