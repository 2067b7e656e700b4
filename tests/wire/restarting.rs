//! kill -9 in the middle of it all: who stands in line keeps the place, no number of an event is missing or given twice, and
//! every recording holds.

use std::collections::{BTreeMap, BTreeSet};

use super::harness::{let_pass, until};
use super::ivr::{centre, nobody_is_free};
use super::phone::{Manner, Phone};
use super::server::{Server, Setup};
use super::sound::frequency;
use super::voice::Words;
use super::webhook::Webhook;

/// The numbers of each subject's events, as they were delivered: at least once each, so an id may come twice.
fn numbers(webhook: &Webhook) -> BTreeMap<String, BTreeSet<u64>> {
    let mut ids = BTreeMap::new();
    let mut numbers: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for one in webhook.delivered() {
        let before = ids.insert((one.subject.clone(), one.sequence), one.id.clone());
        assert!(before.is_none_or(|id| id == one.id), "number {} of {} was given twice", one.sequence, one.subject);
        numbers.entry(one.subject).or_default().insert(one.sequence);
    }
    numbers
}

fn assert_no_gap(webhook: &Webhook) {
    for (subject, numbers) in numbers(webhook) {
        let last = numbers.last().copied().unwrap_or_default();
        assert_eq!(numbers, (1..=last).collect(), "a number of {subject} is missing");
    }
}

async fn queued_at(server: &Server, call: &str) -> String {
    let story = server.api.json(&format!("/calls/{call}")).await;
    story["call"]["queued_at"].as_str().expect("a time").to_owned()
}

#[tokio::test]
async fn a_call_back_has_the_same_place_after_a_kill_and_no_event_number_is_missing() {
    let (mut server, carrier) = centre().await;
    let webhook = Webhook::open(&server.centre).await;
    let phones = nobody_is_free(&server).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910102").await;
    caller.voice.hears(frequency("music"), 300).await;
    caller.voice.press(2);
    caller.is_over().await;
    let call = until("the call-back stands in line", || async {
        let room = server.api.json("/room").await;
        room["waiting"][0]["call"].as_str().map(str::to_owned)
    })
    .await;
    let before = queued_at(&server, &call).await;
    let asked = server.api.calls().await;
    let asked = asked.iter().find(|one| one["outcome"] == "call-back").expect("the call that asked");
    assert_eq!(asked["queued_at"].as_str(), Some(before.as_str()));

    server.process.kill();
    let_pass(std::time::Duration::from_secs(2)).await;
    server.start_again().await;
    until("it stands in line again", || async {
        (server.api.json("/room").await["waiting"][0]["call"].as_str()? == call).then_some(())
    })
    .await;
    assert_eq!(queued_at(&server, &call).await, before);
    let wait = server.api.json("/room").await["waiting"][0]["wait_ms"].as_u64();
    assert!(wait >= Some(2_000), "the time of the restart is waited too: {wait:?}");
    for phone in &phones {
        phone.forget_call();
        phone.voice.says(Words::Tone(1000.0));
        phone.is(Manner::Answers);
    }
    carrier.talks().await;
    carrier.voice.hears(1000.0, 500).await;
    phones.iter().find(|phone| phone.is_talking()).expect("who called back").hang_up().await;
    carrier.is_over().await;
    let story = server.api.sealed().await;
    assert_eq!((story["call"]["id"].as_str(), story["call"]["queued_at"].as_str()), (Some(&*call), Some(&*before)));
    until("the seal is told", || async {
        let subject = format!("calls/{call}");
        let told = webhook.delivered();
        told.iter().any(|one| one.subject.ends_with(&subject) && one.kind == "recording.sealed").then_some(())
    })
    .await;
    assert_no_gap(&webhook);
    server.assert_sound();
}

#[tokio::test]
async fn calls_that_talk_and_wait_when_it_is_killed_have_whole_stories_and_recordings_and_keep_their_wait() {
    let setup = Setup::new().change("[skills]", "[callers]\nabandoned_after = \"1s\"\n[skills]");
    let mut server = setup.start().await;
    let webhook = Webhook::open(&server.centre).await;
    let (anne, talking) = Phone::pair(&server, "0261910101").await;
    anne.voice.says(Words::Tone(1000.0));
    talking.voice.hears(1000.0, 1000).await;
    let waiting = Phone::caller(&server, "+33687654321").await;
    waiting.dial_in("0261910102").await;
    waiting.voice.hears(frequency("music"), 300).await;
    let_pass(std::time::Duration::from_secs(2)).await;
    let talked = server.api.calls().await;
    let talked = talked.iter().find(|one| one["line"] == "plain").expect("the call that talks");
    let (talked, entered) = (talked["id"].clone(), talked["queued_at"].clone());

    server.process.kill();
    for phone in [&anne, &talking, &waiting] {
        phone.forget_call();
    }
    server.start_again().await;
    let id = talked.as_str().expect("an id");
    let story = until("the recording is sealed", || async {
        let story = server.api.json(&format!("/calls/{id}")).await;
        (!story["recording"].is_null()).then_some(story)
    })
    .await;
    assert_eq!((&story["call"]["queued_at"], story["recording"]["recovered"].as_bool()), (&entered, Some(true)));
    server.assert_sound();
    // Whoever waited then calls again and goes on waiting.
    anne.is(Manner::Rings);
    let again = Phone::caller(&server, "+33687654321").await;
    again.dial_in("0261910101").await;
    anne.rings().await;
    anne.pick_up().await;
    again.voice.hears(1000.0, 300).await;
    again.hang_up().await;
    let story = server.api.sealed().await;
    assert!(story["call"]["person"]["kept_wait_ms"].as_u64() >= Some(2_000), "{:#}", story["call"]["person"]);
    until("each call has its end and each recording its seal", || async {
        let told = webhook.delivered();
        let subjects = |kind: &str| -> BTreeSet<String> {
            told.iter().filter(|one| one.kind == kind).map(|one| one.subject.clone()).collect()
        };
        (subjects("call.ended").len() == 3 && subjects("recording.sealed").len() == 2).then_some(())
    })
    .await;
    assert_no_gap(&webhook);
    server.assert_sound();
}
