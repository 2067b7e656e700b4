//! Hold and its end by re-INVITE, from either side.

use super::api::event_types;
use super::baresip::Baresip;
use super::phone::Phone;
use super::server::Setup;
use super::sound::frequency;
use super::voice::Words;

#[tokio::test]
async fn a_caller_holds_and_the_regulator_hears_music_until_it_is_taken_back() {
    let server = Setup::new().start().await;
    let (anne, caller) = Phone::pair(&server, "0261910101").await;
    anne.voice.says(Words::Tone(1000.0));
    anne.voice.hears(440.0, 300).await;

    assert_eq!(caller.reoffer("sendonly").await.status(), 200);
    anne.voice.hears(frequency("music"), 300).await;
    assert_eq!(caller.reoffer("sendrecv").await.status(), 200);
    anne.voice.hears(440.0, 300).await;
    caller.voice.hears(1000.0, 300).await;
    caller.hang_up().await;

    let story = server.api.sealed().await;
    let types = event_types(&story);
    assert_eq!(types[4..6], ["call.held", "call.resumed"], "{types:?}");
    let by = |n: usize| story["events"][n]["data"]["by"].as_str().unwrap_or_default().to_owned();
    assert_eq!((by(4).as_str(), by(5).as_str()), ("caller", "caller"), "{:#}", story["events"][4]);
}

#[tokio::test]
async fn a_regulator_holds_and_the_caller_hears_music_until_it_is_taken_back() {
    let server = Setup::new().start().await;
    let anne = Baresip::regulator(&server, "anne", 1000.0).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(1000.0, 300).await;

    anne.command("hold", "");
    caller.voice.hears(frequency("music"), 300).await;
    anne.command("resume", "");
    caller.voice.hears(1000.0, 300).await;
    anne.command("hangup", "");
    caller.is_over().await;

    let story = server.api.sealed().await;
    let types = event_types(&story);
    assert_eq!(types[4..6], ["call.held", "call.resumed"], "{types:?}");
    assert_eq!(story["call"]["ended_by"].as_str(), Some("regulator"));
    server.assert_sound();
}
