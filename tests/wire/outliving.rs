//! Promises that outlive a kill -9 and a stop, and lines that lead callers on: to a number, to voicemail; recorded all along.

use super::harness::{let_pass, until};
use super::ivr::{centre, nobody_is_free};
use super::joining::{CALLER, OUTSIDE, far_end};
use super::phone::{Manner, Phone};
use super::server::{Server, Setup};
use super::sound::{frequency, length_of_tone_ms};
use super::voice::Words;

/// A caller who asks to be called back while nobody is free, and is told that it is noted.
async fn asks(server: &Server) {
    let caller = Phone::caller(server, "+33612345678").await;
    caller.dial_in("0261910102").await;
    caller.voice.hears(frequency("music"), 300).await;
    caller.voice.press(2);
    caller.is_over().await;
    until("the call-back stands in line", || async {
        let room = server.api.json("/room").await;
        (room["waiting"].as_array().map(Vec::len) == Some(1)).then_some(())
    })
    .await;
    // What a kill cuts off before the beat's transaction is a task and not a call-back (decision 5).
    until("the call-back is remembered", || async {
        let calls = server.api.json("/calls").await;
        (calls["items"].as_array().map(Vec::len) == Some(2)).then_some(())
    })
    .await;
}

/// From now on both pick up; of what rang before they know nothing.
fn pick_up(phones: &[Phone; 2]) {
    for phone in phones {
        phone.forget_call();
        phone.voice.says(Words::Tone(1000.0));
        phone.is(Manner::Answers);
    }
}

async fn is_called_back(server: &Server, carrier: &Phone) {
    carrier.talks().await;
    assert!(carrier.received("INVITE")[0].0.starts_with("INVITE sip:+33612345678@"));
    carrier.voice.hears(1000.0, 500).await;
    server.api.lives(1).await;
}

#[tokio::test]
async fn a_call_back_in_line_is_made_after_a_kill() {
    let (mut server, carrier) = centre().await;
    let phones = nobody_is_free(&server).await;
    asks(&server).await;
    server.process.kill();
    pick_up(&phones);
    server.start_again().await;
    is_called_back(&server, &carrier).await;
}

#[tokio::test]
async fn a_call_back_in_line_does_not_keep_a_server_from_stopping_and_is_made_after_the_start() {
    let (mut server, carrier) = centre().await;
    let phones = nobody_is_free(&server).await;
    asks(&server).await;
    server.interrupt();
    server.end().await;
    pick_up(&phones);
    server.start_again().await;
    is_called_back(&server, &carrier).await;
}

#[tokio::test]
async fn who_waited_as_long_as_the_line_lets_is_put_through_to_an_outside_number_and_recorded() {
    let overflow = "overflow_message = \"sorry\"\noverflow_to = { number = \"15\" }\n";
    let setup = Setup::new().change("overflow_message = \"sorry\"\n", overflow);
    let (server, outside) = far_end(setup.change("waiting_max = \"30s\"", "waiting_max = \"5s\"")).await;
    let _phones = nobody_is_free(&server).await;
    outside.is(Manner::Rings);
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    outside.rings().await;
    caller.voice.hears(frequency("sorry"), 200).await;
    outside.pick_up().await;
    caller.voice.hears(OUTSIDE, 500).await;
    outside.voice.hears(CALLER, 500).await;
    caller.hang_up().await;
    let story = server.api.sealed().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("forwarded"));
    let [left, right] = server.api.audio(&story).await;
    assert!(length_of_tone_ms(&left, CALLER) >= 400 && length_of_tone_ms(&right, OUTSIDE) >= 400);
    server.assert_sound();
}

#[tokio::test]
async fn with_nobody_on_duty_a_line_takes_a_message_and_it_is_a_recording_like_any_other() {
    let nobody = "nobody_message = \"nobody\"\nnobody_to = { voicemail = true }\nclosed_message";
    let server = Setup::new().change("nobody_message = \"nobody\"\nclosed_message", nobody).start().await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.voice.says(Words::Tone(1000.0));
    caller.dial_in("0261910101").await;
    caller.voice.hears(frequency("nobody"), 200).await;
    let_pass(std::time::Duration::from_secs(3)).await;
    caller.hang_up().await;
    let story = server.api.sealed().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("voicemail"));
    let [left, _] = server.api.audio(&story).await;
    assert!(length_of_tone_ms(&left, 1000.0) >= 1500, "{} ms", length_of_tone_ms(&left, 1000.0));
    server.assert_sound();
}
