//! SRTP through the executable: one side protected and the other plain, each heard by the other and in the recording.

use serde_json::{Value, json};

use super::baresip::Baresip;
use super::phone::Phone;
use super::pjsua::Pjsua;
use super::server::{Server, Setup};
use super::sound::length_of_tone_ms;
use super::voice::Words;

/// A centre whose regulators' phones and whose carrier are so.
fn setup(phones: &str, carrier: &str) -> Setup {
    let setup = Setup::new().change("digest = \"md5\"", &format!("digest = \"md5\"\nsrtp = \"{phones}\""));
    setup.change("calls_max = 40", &format!("calls_max = 40\nsrtp = \"{carrier}\""))
}

/// The call's SDPs as Vigie kept them.
async fn ladder(server: &Server, story: &Value) -> String {
    let id = story["call"]["id"].as_str().expect("an id");
    let (_, ladder) = server.api.fetch(&format!("/api/v1/calls/{id}/ladder")).await;
    String::from_utf8(ladder).expect("text")
}

/// Each voice alone in its own channel of the recording; nothing but a first packet dropped; keys masked wherever they stood.
async fn is_recorded_and_kept_secret(server: &Server, suite: &str) {
    let story = server.api.sealed().await;
    let [left, right] = server.api.audio(&story).await;
    let lengths = [&left, &right].map(|side| [440.0, 1000.0].map(|tone| length_of_tone_ms(side, tone)));
    assert!(lengths[0][0] >= 500 && lengths[0][1] == 0, "left: {lengths:?}");
    assert!(lengths[1][1] >= 500 && lengths[1][0] == 0, "right: {lengths:?}");
    server.assert_sound();
    for leg in story["legs"].as_array().expect("legs") {
        let quality = &leg["quality"];
        // baresip may send a packet or two before its own keys are in force.
        assert!(quality["forged"].as_u64() <= Some(2) && quality["replayed"] == 0, "{leg:#}");
    }
    let ladder = ladder(server, &story).await;
    assert!(ladder.contains(&format!("{suite} inline:***")), "{ladder}");
    for key in ladder.split("inline:").skip(1) {
        assert!(key.starts_with("***"), "a key in the ladder: {ladder}");
    }
}

#[tokio::test]
async fn a_softphone_that_demands_srtp_and_a_plain_caller_hear_each_other() {
    let server = setup("required", "off").start().await;
    let anne = Pjsua::regulator_with(&server, "anne", json!({ "tone": 1000, "srtp": "required" })).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.hears(0, 440.0, 700).await;
    caller.voice.hears(1000.0, 700).await;
    // Hold and back: the same keys go on.
    anne.does("hold", json!({ "call": 0 })).await;
    anne.media_is(0, 2).await;
    anne.does("resume", json!({ "call": 0 })).await;
    anne.hears(0, 440.0, 500).await;
    caller.voice.hears(1000.0, 500).await;
    anne.does("hang_up", json!({ "call": 0 })).await;
    caller.is_over().await;
    is_recorded_and_kept_secret(&server, "AES_CM_128_HMAC_SHA1_80").await;
}

#[tokio::test]
async fn a_protected_caller_of_baresips_and_a_plain_phone_hear_each_other() {
    let server = setup("off", "required").start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.voice.says(Words::Tone(1000.0));
    let caller = Baresip::caller_protected(&server, "+33612345678", 440.0, "srtp-mand").await;
    caller.dial(&server, "0261910101");
    anne.voice.hears(440.0, 1000).await;
    super::harness::until("the caller hears the regulator", || {
        std::future::ready((length_of_tone_ms(&caller.heard(), 1000.0) >= 500).then_some(()))
    })
    .await;
    caller.command("hangup", "");
    anne.is_over().await;
    is_recorded_and_kept_secret(&server, "AES_CM_128_HMAC_SHA1_80").await;
}

#[tokio::test]
async fn a_baresip_that_can_do_both_is_protected_where_the_policy_prefers_it() {
    let server = setup("preferred", "preferred").start().await;
    let _anne = Baresip::regulator_protected(&server, "anne", 1000.0, "srtp").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(1000.0, 1000).await;
    caller.hang_up().await;
    is_recorded_and_kept_secret(&server, "AES_CM_128_HMAC_SHA1_80").await;
}

#[tokio::test]
async fn a_plain_caller_over_a_trunk_that_demands_srtp_is_refused_with_488() {
    let server = setup("off", "required").start().await;
    let caller = Pjsua::caller(&server, "+33612345678", json!({ "tone": 440 })).await;
    let call = caller.dials(&server, "0261910101").await;
    let over = caller.call_is(call, "DISCONNECTED").await;
    assert_eq!(over["status"], 488, "{over}");
}
