//! A disk that refuses the recordings while a call is live.

use std::path::PathBuf;
use std::time::Duration;

use super::harness::within;
use super::phone::Phone;
use super::server::{Server, Setup};
use super::voice::Words;
use super::webhook::Webhook;

/// The recorder tries for a minute before it gives a recording up.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(150);

/// Puts a file in the place of the recordings folder, where not even root can write; the folder, moved away.
fn break_disk(server: &Server) -> (PathBuf, PathBuf) {
    let (folder, away) = (server.centre.place.path("recordings"), server.centre.place.path("moved-away"));
    std::fs::rename(&folder, &away).expect("the folder is moved away");
    std::fs::write(&folder, "no folder").expect("a file in its place");
    (folder, away)
}

async fn talk(server: &Server) -> (Phone, Phone) {
    let anne = Phone::regulator(server, "anne").await;
    anne.voice.says(Words::Tone(1000.0));
    let caller = Phone::caller(server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(1000.0, 2000).await;
    anne.voice.hears(440.0, 500).await;
    (anne, caller)
}

#[tokio::test]
async fn a_recordings_folder_that_cannot_be_written_alarms_the_call_goes_on_and_the_sound_is_kept() {
    let server = Setup::new().start().await;
    let webhook = Webhook::open(&server.centre).await;
    let (folder, away) = break_disk(&server);
    let (_anne, caller) = talk(&server).await;
    caller.hang_up().await;
    webhook.has("call.ended").await;
    let story = server.api.ended().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("answered"));
    assert!(server.metric("vigie_alarms_total").await >= 1.0);

    let failed = within(GIVEN_UP_WITHIN, "the recording is given up", || {
        std::future::ready(webhook.delivered().into_iter().find(|one| one.kind == "recording.failed"))
    })
    .await;
    assert!(failed.fields["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{:#}", failed.fields);

    // The recorder goes on trying: the frames are still in the journal.
    std::fs::remove_file(&folder).expect("the file is removed");
    std::fs::rename(&away, &folder).expect("the folder is back");
    webhook.has("recording.sealed").await;
    let [left, right] = server.api.audio(&server.api.sealed().await).await;
    assert!(super::sound::length_of_tone_ms(&left, 440.0) >= 2000);
    assert!(super::sound::length_of_tone_ms(&right, 1000.0) >= 2000);
    server.assert_sound();
    webhook.assert_in_order();
}

#[tokio::test]
async fn a_disk_that_comes_back_in_time_has_lost_nothing() {
    let server = Setup::new().start().await;
    let (folder, away) = break_disk(&server);
    let (_anne, caller) = talk(&server).await;
    std::fs::remove_file(&folder).expect("the file is removed");
    std::fs::rename(&away, &folder).expect("the folder is back");
    caller.hang_up().await;
    let story = server.api.sealed().await;
    let length = story["recording"]["duration_ms"].as_u64().expect("a length");
    assert!(length.abs_diff(story["call"]["talk_ms"].as_u64().expect("a length")) < 500, "{story:#}");
    let [left, right] = server.api.audio(&story).await;
    assert!(super::sound::length_of_tone_ms(&left, 440.0) >= 2000);
    assert!(super::sound::length_of_tone_ms(&right, 1000.0) >= 2000);
    server.assert_sound();
}
