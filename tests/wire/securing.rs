//! SRTP through the executable: one side protected and the other plain, each heard by the other and in the recording.

use serde_json::{Value, json};
use vigie::model::Codec;
use vigie::model::srtp::Profile;

use super::baresip::Baresip;
use super::harness::{Process, free_port, let_pass};
use super::narrow::Narrow;
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

/// Anne's phones alone have a policy of their own: nobody else's are protected.
fn for_anne_alone(policy: &str) -> Setup {
    Setup::new().change("[regulators.anne]\n", &format!("[regulators.anne]\nsrtp = \"{policy}\"\n"))
}

#[tokio::test]
async fn one_regulator_s_phones_demand_srtp_while_everybody_else_s_are_plain() {
    let server = for_anne_alone("required").start().await;
    let anne = Pjsua::regulator_with(&server, "anne", json!({ "tone": 1000, "srtp": "required" })).await;
    let first = Phone::caller(&server, "+33612345678").await;
    first.dial_in("0261910101").await;
    anne.hears(0, 440.0, 700).await;
    first.voice.hears(1000.0, 700).await;
    let offered = anne.events("incoming")[0]["message"].as_str().expect("the INVITE").to_owned();
    assert!(offered.contains("RTP/SAVP ") && offered.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80 "), "{offered}");
    first.hang_up().await;
    is_recorded_and_kept_secret(&server, "AES_CM_128_HMAC_SHA1_80").await;

    // With anne away, bruno's phone is offered what it always was.
    anne.does("unregister", json!({})).await;
    server.api.regulator_is("anne", "offline").await;
    let bruno = Phone::regulator(&server, "bruno").await;
    bruno.voice.says(Words::Tone(1600.0));
    let second = Phone::caller(&server, "+33612345679").await;
    second.dial_in("0261910101").await;
    second.voice.hears(1600.0, 500).await;
    bruno.voice.hears(440.0, 500).await;
    let offered = bruno.receives("INVITE").await;
    assert!(offered.body().contains("RTP/AVP ") && !offered.body().contains("a=crypto"), "{}", offered.body());
    second.hang_up().await;
}

#[tokio::test]
async fn one_regulator_s_phones_that_prefer_srtp_are_protected_when_they_can_be_and_plain_when_not() {
    let server = for_anne_alone("preferred").start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.voice.says(Words::Tone(1000.0));
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(1000.0, 500).await;
    let offered = anne.receives("INVITE").await;
    assert!(offered.body().contains("RTP/AVP ") && offered.body().contains("a=crypto:1 "), "{}", offered.body());
    caller.hang_up().await;
    server.api.sealed().await;
    assert_eq!(anne.register(&server.password("anne"), 0).await, 200);
    server.api.regulator_is("anne", "offline").await;

    let _other = Baresip::regulator_protected(&server, "anne", 1000.0, "srtp").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(1000.0, 1000).await;
    caller.hang_up().await;
    is_recorded_and_kept_secret(&server, "AES_CM_128_HMAC_SHA1_80").await;
    let story = server.api.sealed().await;
    assert_agreed(&ladder(&server, &story).await, "AES_CM_128_HMAC_SHA1_80");
}

/// Our offer names every suite once; the one that the phone took is there once more.
fn assert_agreed(ladder: &str, suite: &str) {
    let times = |suite: &str| ladder.matches(&format!("{suite} inline:***")).count();
    for other in ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_32"] {
        assert!(other == suite || (1..times(suite)).contains(&times(other)), "{suite}, not {other}: {ladder}");
    }
}

#[tokio::test]
async fn a_softphone_that_knows_tags_of_32_bits_alone_is_heard_and_hears() {
    let suite = "AES_CM_128_HMAC_SHA1_32";
    let server = for_anne_alone("required").start().await;
    let settings = json!({ "tone": 1000, "srtp": "required", "suite": suite });
    let anne = Pjsua::regulator_with(&server, "anne", settings).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.hears(0, 440.0, 1000).await;
    caller.voice.hears(1000.0, 1000).await;
    caller.hang_up().await;
    is_recorded_and_kept_secret(&server, suite).await;
    let story = server.api.sealed().await;
    assert_agreed(&ladder(&server, &story).await, suite);
}

#[tokio::test]
async fn a_baresip_that_is_offered_gcm_alone_is_heard_and_hears() {
    let suite = "AEAD_AES_128_GCM";
    let server = for_anne_alone("required").start().await;
    let narrow = Narrow::open(server.centre.sip, suite).await;
    let anne = Baresip::regulator_protected_over(&server, "anne", 1000.0, ("srtp-mand", narrow.front)).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(1000.0, 1000).await;
    anne.hears(440.0, 1000).await;
    caller.hang_up().await;
    is_recorded_and_kept_secret(&server, suite).await;
    let story = server.api.sealed().await;
    assert_agreed(&ladder(&server, &story).await, suite);
}

#[tokio::test]
async fn ffmpeg_s_srtp_is_heard_and_recorded_without_a_break_over_the_wrap_of_its_sequence() {
    let server = setup("off", "required").start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.voice.speaks(Codec::Pcma);
    caller.voice.protects(Profile::Sha1Tag80);
    // Its own voice says nothing: ffmpeg speaks in its place, under its key.
    caller.voice.says(Words::Nothing);
    caller.dial_in("0261910101").await;
    anne.talks().await;
    let key = caller.voice.sdp("sendrecv");
    let key = key.split("inline:").nth(1).and_then(|rest| rest.lines().next()).expect("its key").to_owned();
    let (to, from) = (caller.voice.far_end(), server.centre.place.trunk);
    // 160 bytes of sound, 12 of RTP, and 14 that ffmpeg keeps for SRTP; 65,416 leaves 120 packets before the wrap.
    let to = format!("srtp://{to}?localaddr={from}&localrtpport={}&pkt_size=186", free_port());
    let words = "-v error -nostdin -re -f lavfi -i sine=frequency=440:sample_rate=8000:samples_per_frame=160 -filter:a volume=2 \
                 -t 8 -c:a pcm_alaw -f rtp -seq 65416 -srtp_out_suite AES_CM_128_HMAC_SHA1_80 -srtp_out_params";
    let mut command = std::process::Command::new("ffmpeg");
    command.args(words.split_whitespace()).args([&key, &to]);
    let mut speaker = Process::start("ffmpeg", &mut command, &server.centre.place.path("ffmpeg.log"));
    // Twice as long as the wrap is away.
    anne.voice.hears(440.0, 5000).await;
    assert!(speaker.end().await.success(), "{}", speaker.output());
    caller.hang_up().await;
    let story = server.api.sealed().await;
    let quality = &story["legs"][0]["quality"];
    assert_eq!((&quality["forged"], &quality["replayed"]), (&json!(0), &json!(0)), "{quality:#}");
    assert!(quality["packets_received"].as_u64() > Some(390) && quality["packets_lost"] == 0, "{quality:#}");
    let [left, _] = server.api.audio(&story).await;
    assert!(length_of_tone_ms(&left, 440.0) >= 7500, "{} ms", length_of_tone_ms(&left, 440.0));
    server.assert_sound();
}

#[tokio::test]
async fn a_softphone_opens_ours_over_the_wrap_of_our_sequence() {
    let server = for_anne_alone("required").start().await;
    let anne = Pjsua::regulator_with(&server, "anne", json!({ "tone": 1000, "srtp": "required" })).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.hears(0, 440.0, 700).await;
    // A hole is relayed as one, up to 1000 packets: 73 of 900 go once round, wherever our sequence began; the rest are to spare
    // where two came between two packets.
    for _ in 0..90 {
        caller.voice.loses(900);
        let_pass(std::time::Duration::from_millis(45)).await;
    }
    anne.hears(0, 440.0, 1500).await;
    caller.hang_up().await;
    anne.call_is(0, "DISCONNECTED").await;
    let log = anne.log();
    assert!(!log.to_lowercase().contains("unprotect"), "what it could not open: {log}");
}
