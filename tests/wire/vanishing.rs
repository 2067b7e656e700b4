//! What is killed in mid-call: a regulator's phone, and the server itself.

use std::collections::BTreeSet;

use vigie::rtp::g711::{self, Law};

use super::api::event_types;
use super::baresip::Baresip;
use super::harness::until;
use super::phone::{Manner, Phone};
use super::server::Setup;
use super::sound::length_of_tone_ms;
use super::voice::{FRAME, Words, number_of};
use super::webhook::Webhook;

#[tokio::test]
async fn a_killed_phone_returns_the_caller_to_the_room_and_the_next_regulator_answers() {
    let server = Setup::new().start().await;
    let mut anne = Baresip::regulator(&server, "anne", 1000.0).await;
    let bruno = Phone::regulator(&server, "bruno").await;
    bruno.voice.says(Words::Tone(1600.0));
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(1000.0, 1000).await;

    anne.process.kill();
    caller.voice.hears(1600.0, 1000).await;
    caller.hang_up().await;

    let story = server.api.sealed().await;
    assert_eq!(story["legs"][1]["ended_by"].as_str(), Some("silence"), "{:#}", story["legs"]);
    assert_eq!(story["call"]["regulator"].as_str(), Some("bruno"));
    assert_eq!(story["call"]["outcome"].as_str(), Some("answered"));
    let [left, right] = server.api.audio(&story).await;
    assert!(length_of_tone_ms(&left, 440.0) >= 6000, "one recording holds the caller's voice from end to end");
    assert!(length_of_tone_ms(&right, 1000.0) >= 800 && length_of_tone_ms(&right, 1600.0) >= 800);
    server.assert_sound();
}

#[tokio::test]
async fn a_caller_who_vanishes_keeps_no_regulator_busy() {
    let server = Setup::new().start().await;
    let (anne, caller) = Phone::pair(&server, "0261910101").await;
    anne.voice.hears(440.0, 300).await;
    // Its BYE is lost with it; what tells is that no RTP comes.
    caller.vanish();
    anne.is_over().await;
    let story = server.api.sealed().await;
    assert_eq!(story["call"]["ended_by"].as_str(), Some("silence"), "{:#}", story["call"]);
    server.api.regulator_is("anne", "ready").await;
}

/// The numbered frames in one side of a recording.
fn numbers_in(side: &[i16]) -> BTreeSet<u32> {
    let coded: Vec<u8> = side.iter().map(|sample| g711::encode(Law::A, *sample)).collect();
    coded.windows(FRAME).filter_map(number_of).collect()
}

#[tokio::test]
async fn a_killed_server_keeps_all_but_at_most_one_packet_of_each_leg() {
    let mut server = Setup::new().start().await;
    let (anne, caller) = Phone::pair(&server, "0261910101").await;
    caller.voice.says(Words::Numbers);
    anne.voice.says(Words::Numbers);
    let (mut by_anne, mut by_caller) = (None, None);
    until("each has heard a hundred numbers", || {
        (by_anne, by_caller) = (anne.voice.highest_heard(), caller.voice.highest_heard());
        std::future::ready((by_anne >= Some(150) && by_caller >= Some(150)).then_some(()))
    })
    .await;
    server.process.kill();
    // What was relayed had reached the server before it was killed.
    let (by_anne, by_caller) = (anne.voice.highest_heard(), caller.voice.highest_heard());
    drop((anne, caller));

    server.start_again().await;
    let webhook = Webhook::open(&server.centre).await;
    let story = server.api.sealed().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("interrupted"), "{:#}", story["call"]);
    assert_eq!(story["recording"]["recovered"].as_bool(), Some(true));
    server.assert_sound();
    for (side, relayed) in server.api.audio(&story).await.iter().zip([by_anne, by_caller]) {
        let found = numbers_in(side);
        let (first, last) = (found.first().expect("a first number"), found.last().expect("a last number"));
        assert!(Some(last + 1) >= relayed, "recorded up to {last}, relayed up to {relayed:?}");
        assert_eq!(found.len() as u32, last - first + 1, "none is missing between {first} and {last}");
        assert!(found.len() >= 100, "{found:?}");
    }
    let sealed = webhook.has("recording.sealed").await;
    assert_eq!(sealed.fields["recovered"].as_bool(), Some(true), "{:#}", sealed.fields);
    let kinds: Vec<String> = webhook.of_calls().into_iter().map(|one| one.kind).collect();
    assert_eq!(kinds[kinds.len() - 2..], ["call.ended", "recording.sealed"], "{kinds:?}");
    webhook.assert_in_order();

    // A second start finds nothing more to do.
    server.process.kill();
    server.start_again().await;
    assert_eq!(server.api.sealed().await["recording"], story["recording"]);
    server.assert_sound();
}

#[tokio::test]
async fn a_killed_server_remembers_its_phones_and_ends_the_record_of_who_was_waiting() {
    let mut server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.is(Manner::Rings);
    let waiting = Phone::caller(&server, "+33612345678").await;
    waiting.dial_in("0261910101").await;
    anne.rings().await;
    server.api.story("the offer is stored", |story| !story["offers"][0].is_null()).await;
    server.process.kill();
    drop(waiting);

    server.start_again().await;
    let story = server.api.ended().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("interrupted"));
    assert_eq!(story["offers"][0]["end"].as_str(), Some("cancelled"));
    assert_eq!(event_types(&story)[2..], ["call.offered", "call.offer-ended", "call.ended"]);
    assert!(story["recording"].is_null());

    anne.forget_call();
    anne.is(Manner::Answers);
    let caller = Phone::caller(&server, "+33687654321").await;
    caller.dial_in("0261910101").await;
    anne.talks().await;
    caller.voice.hears(440.0, 300).await;
    caller.hang_up().await;
}
