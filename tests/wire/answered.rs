//! A caller is answered: the whole path, with baresip at both ends.

use super::api::event_types;
use super::baresip::Baresip;
use super::harness::let_pass;
use super::server::Setup;
use super::sipp::{Sipp, voice};
use super::sound::length_of_tone_ms;
use super::webhook::Webhook;
use std::time::Duration;

#[tokio::test]
async fn a_call_between_two_baresips_is_recorded_with_each_voice_in_its_own_channel() {
    let server = Setup::new().start().await;
    let webhook = Webhook::open(&server.centre).await;
    let _anne = Baresip::regulator(&server, "anne", 1000.0).await;
    let caller = Baresip::caller(&server, "+33612345678", 440.0).await;

    caller.dial(&server, "0261910101");
    server.api.regulator_is("anne", "talking").await;
    let_pass(Duration::from_secs(3)).await;
    caller.command("hangup", "");

    let story = server.api.sealed().await;
    let [left, right] = server.api.audio(&story).await;
    let lengths = [&left, &right].map(|side| [440.0, 1000.0].map(|tone| length_of_tone_ms(side, tone)));
    assert!(lengths[0][0] >= 2500 && lengths[0][1] == 0, "left: {lengths:?}");
    assert!(lengths[1][1] >= 2500 && lengths[1][0] == 0, "right: {lengths:?}");
    server.assert_sound();

    let call = &story["call"];
    assert_eq!((call["outcome"].as_str(), call["ended_by"].as_str()), (Some("answered"), Some("caller")));
    assert_eq!((call["regulator"].as_str(), call["line"].as_str()), (Some("anne"), Some("plain")));
    assert_eq!(call["caller"]["e164"].as_str(), Some("+33612345678"));
    assert!(call["talk_ms"].as_u64() >= Some(3000));
    assert_eq!(story["offers"].as_array().map(Vec::len), Some(1));
    assert_eq!(story["offers"][0]["end"].as_str(), Some("accepted"));
    assert_eq!(story["offers"][0]["reasoning"]["candidates"][0]["regulator"].as_str(), Some("anne"));
    let legs = story["legs"].as_array().expect("legs");
    assert_eq!(legs.len(), 2);
    for leg in legs {
        assert!(leg["quality"]["packets_received"].as_u64() >= Some(130), "{leg:#}");
    }

    webhook.has("recording.sealed").await;
    let types: Vec<String> = webhook.of_calls().into_iter().map(|one| one.kind).collect();
    let expected = ["call.received", "call.queued", "call.offered", "call.answered", "call.ended", "recording.sealed"];
    assert_eq!(types, expected);
    assert_eq!(event_types(&story), expected);
    webhook.assert_in_order();

    let id = call["id"].as_str().expect("an id");
    let (_, ladder) = server.api.fetch(&format!("/api/v1/calls/{id}/ladder?format=text")).await;
    let ladder = String::from_utf8(ladder).expect("text");
    let mut rest = ladder.as_str();
    for step in ["INVITE +SDP", "100 Trying", "200 OK (INVITE) +SDP", "INVITE +SDP", "200 Answering", "ACK", "BYE"] {
        rest = rest.split_once(step).unwrap_or_else(|| panic!("no {step} in its place in\n{ladder}")).1;
    }
}

#[tokio::test]
async fn a_call_between_two_sipps_of_different_codecs_is_transcoded_and_recorded() {
    let server = Setup::new().start().await;
    let said = voice(&server, vigie::model::Codec::Pcmu, 1000.0);
    let regulator = Sipp::regulator(&server, "anne", &said).await;

    let said = voice(&server, vigie::model::Codec::Pcma, 440.0);
    let values = [("TALK_MS", "4000"), ("VOICE", said.as_str())];
    let caller = Sipp::start(&server, "caller", server.centre.place.trunk, "0261910102", &values);
    caller.passes().await;
    regulator.passes().await;

    let story = server.api.sealed().await;
    let [left, right] = server.api.audio(&story).await;
    let lengths = [&left, &right].map(|side| [440.0, 1000.0].map(|tone| length_of_tone_ms(side, tone)));
    assert!(lengths[0][0] >= 2000 && lengths[0][1] == 0, "left: {lengths:?}");
    assert!(lengths[1][1] >= 2000 && lengths[1][0] == 0, "right: {lengths:?}");
    let codecs: Vec<&str> = (0..2).filter_map(|leg| story["legs"][leg]["codec"].as_str()).collect();
    assert_eq!(codecs, ["PCMA", "PCMU"]);
    for leg in 0..2 {
        let sent = story["legs"][leg]["quality"]["packets_sent"].as_u64();
        assert!(sent >= Some(100), "each side is sent the other's voice: {:#}", story["legs"][leg]);
    }
}
