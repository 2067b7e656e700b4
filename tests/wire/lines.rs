//! What a line says of itself: recorded or not, open or closed, known or not.

use super::phone::Phone;
use super::server::Setup;
use super::sound::frequency;
use super::voice::Words;
use super::webhook::Webhook;

#[tokio::test]
async fn a_line_that_is_never_recorded_leaves_no_audio_and_says_so() {
    let server = Setup::new().start().await;
    let webhook = Webhook::open(&server.centre).await;
    let (anne, caller) = Phone::pair(&server, "0261910103").await;
    anne.voice.says(Words::Tone(1000.0));
    caller.voice.hears(1000.0, 500).await;
    caller.hang_up().await;

    assert_eq!(webhook.has("call.answered").await.fields["recorded"].as_bool(), Some(false));
    webhook.has("call.ended").await;
    let story = server.api.ended().await;
    assert_eq!(story["call"]["recording_policy"].as_str(), Some("never"));
    assert!(story["recording"].is_null() && story["recording_failure"].is_null());
    for leg in 0..2 {
        assert_eq!(story["legs"][leg]["quality"]["frames_recorded"].as_u64(), Some(0));
    }
    let id = story["call"]["id"].as_str().expect("an id");
    let (status, _) = server.api.fetch(&format!("/api/v1/recordings/{id}/audio?reason=wire+test")).await;
    assert_eq!(status, 404);
    let mut folders = vec![server.centre.place.path("recordings")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(!name.ends_with(".wav") && !name.contains(id), "{name}");
            folders.extend(entry.path().is_dir().then(|| entry.path()));
        }
    }
}

#[tokio::test]
async fn a_closed_line_plays_its_message_and_hangs_up() {
    let server = Setup::new().start().await;
    let _anne = Phone::regulator(&server, "anne").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910104").await;
    caller.is_over().await;
    assert!(caller.voice.heard_ms(frequency("closed")) >= 300);
    assert_eq!(server.api.ended().await["call"]["outcome"].as_str(), Some("closed"));
}

#[tokio::test]
async fn a_number_that_no_line_knows_reaches_the_fallback_line_with_an_alarm() {
    let server = Setup::new().start().await;
    let (_anne, caller) = Phone::pair(&server, "0033999999999").await;
    caller.hang_up().await;
    let story = server.api.ended().await;
    assert_eq!((story["call"]["line"].as_str(), story["call"]["fallback"].as_bool()), (Some("plain"), Some(true)));
    assert!(server.metric("vigie_alarms_total").await >= 1.0);
    let said = server.process.output();
    assert!(!said.contains("612345678"), "a caller's number never reaches the log:\n{said}");
}
