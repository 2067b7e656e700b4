//! A caller chooses by keys: before waiting and while waiting, with real keys in RTP, to the SAMU, to voicemail, to a
//! call-back.

use super::api::event_types;
use super::baresip::Baresip;
use super::harness::{free_port, until};
use super::phone::{Manner, Phone};
use super::server::{Server, Setup};
use super::sound::{frequency, length_of_tone_ms};
use super::voice::Words;
use super::webhook::Webhook;

/// The plain line with a menu (500 Hz), the greeted one with keys while waiting; a carrier that is dialled at this phone.
pub(super) async fn centre() -> (Server, Phone) {
    let setup = Setup::new();
    let carrier = carrier(&setup).await;
    let reach = format!(
        "[trunks.carrier]\nhost = \"{}\"\nport = {}\ndials = [\"+33\", \"15\"]\nnumber_shown = \"+33261910101\"\n\
         options_every = \"0s\"\n",
        carrier.local.ip(),
        carrier.local.port()
    );
    let menu = r#"[menus.welcome]
say = ["greeting"]
keys.1 = { number = "15" }
keys.2 = { priority = 2, language = "en" }
keys.3 = { hang_up = true, say = ["closed"] }
keys.4 = { go_to = "more" }
key_wait = "2s"
attempts_max = 2
wrong = "sorry"

[menus.more]
say = ["ready-fr"]
otherwise = { line = "secret" }

[trunks.carrier]
"#;
    let keys = r#"greeting = "greeting"
voicemail_prompt = "closed"
callback_noted = "ready-fr"
callback_refused = "sorry"
messages = [{ after = "2s", every = "10s", sounds = ["paused-fr"] }]
keys.1 = { number = "15" }
keys.2 = { call_back = true }
keys.3 = { voicemail = true }
"#;
    let setup = setup.change("[trunks.carrier]\n", &reach).change("[trunks.carrier]\n", menu);
    let setup = setup.change("greeting = \"greeting\"\n", keys);
    let setup = setup.change("overflow_message = \"sorry\"\n", "overflow_message = \"sorry\"\nmenu = \"welcome\"\n");
    (setup.start().await, carrier)
}

/// A phone at the carrier's other address, which takes what is dialled over the trunk, with a voice of 1600 Hz.
pub(super) async fn carrier(setup: &Setup) -> Phone {
    let server = ([127, 0, 0, 1], free_port()).into();
    let carrier = Phone::start(setup.place.trunk, server, "carrier").await;
    carrier.voice.says(Words::Tone(1600.0));
    carrier
}

/// Keeps both regulators of the centre from being offered anything.
pub(super) async fn nobody_is_free(server: &Server) -> [Phone; 2] {
    let phones = [Phone::regulator(server, "anne").await, Phone::regulator(server, "bruno").await];
    for phone in &phones {
        phone.is(Manner::Rings);
    }
    phones
}

#[tokio::test]
async fn a_key_sets_the_demand_and_a_regulator_answers() {
    let (server, _carrier) = centre().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.voice.says(Words::Tone(1000.0));
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(frequency("greeting"), 200).await;
    caller.voice.press(2);
    caller.voice.hears(1000.0, 300).await;
    caller.hang_up().await;
    let story = server.api.ended().await;
    assert_eq!((story["call"]["priority"].as_u64(), story["call"]["language"].as_str()), (Some(2), Some("en")));
    assert_eq!(story["call"]["choices"]["keys"][0]["key"].as_str(), Some("2"), "{:#}", story["call"]);
    assert_eq!(story["call"]["choices"]["keys"][0]["menu"].as_str(), Some("welcome"));
    assert_eq!(story["call"]["outcome"].as_str(), Some("answered"));
}

#[tokio::test]
async fn a_wrong_key_and_none_are_asked_again_and_then_the_caller_waits() {
    let (server, _carrier) = centre().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.voice.says(Words::Tone(1000.0));
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(frequency("greeting"), 200).await;
    caller.voice.press(9);
    caller.voice.hears(frequency("sorry"), 200).await;
    caller.voice.hears(frequency("greeting"), 200).await;
    assert_eq!(server.api.regulator("anne").await, "ready");
    // Nothing is pressed now.
    caller.voice.hears(1000.0, 300).await;
    caller.hang_up().await;
    let story = server.api.ended().await;
    assert_eq!(story["call"]["choices"]["keys"][0]["to"].as_str(), Some("wait"));
    assert!(story["call"]["choices"]["keys"][0]["key"].is_null());
}

#[tokio::test]
async fn an_emergency_is_with_the_samu_at_once_and_recorded() {
    let (server, carrier) = centre().await;
    let webhook = Webhook::open(&server.centre).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.press(1);
    carrier.talks().await;
    assert!(carrier.received("INVITE")[0].0.starts_with("INVITE sip:15@"), "{}", carrier.received("INVITE")[0].0);
    caller.voice.hears(1600.0, 600).await;
    carrier.voice.hears(440.0, 600).await;
    caller.hang_up().await;
    carrier.is_over().await;
    let story = server.api.sealed().await;
    let expected = ["call.received", "call.forwarded", "call.ended", "recording.sealed"];
    assert_eq!(event_types(&story), expected);
    assert_eq!(story["call"]["outcome"].as_str(), Some("forwarded"));
    let [left, right] = server.api.audio(&story).await;
    assert!(length_of_tone_ms(&left, 440.0) >= 500 && length_of_tone_ms(&right, 1600.0) >= 500);
    assert_eq!(webhook.has("call.forwarded").await.fields["to"].as_str(), Some("15"));
    server.assert_sound();
}

#[tokio::test]
async fn a_menu_leads_to_another_to_another_line_and_to_the_end() {
    let (server, _carrier) = centre().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.voice.says(Words::Tone(1000.0));
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.press(4);
    caller.voice.hears(frequency("ready"), 200).await;
    caller.voice.hears(1000.0, 300).await;
    caller.hang_up().await;
    let story = server.api.ended().await;
    assert_eq!((story["call"]["line"].as_str(), story["recording"].is_null()), (Some("secret"), true));

    let caller = Phone::caller(&server, "+33612345679").await;
    caller.dial_in("0261910101").await;
    caller.voice.press(3);
    caller.is_over().await;
    assert!(caller.voice.heard_ms(frequency("closed")) >= 300);
    let told = |story: &serde_json::Value| story["call"]["outcome"].as_str() == Some("informed");
    server.api.story("the menu hung up", told).await;
}

#[tokio::test]
async fn a_waiting_caller_hears_messages_and_reaches_the_samu_or_waits_on_when_it_is_busy() {
    let (server, carrier) = centre().await;
    let _phones = nobody_is_free(&server).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910102").await;
    caller.voice.hears(frequency("music"), 300).await;
    caller.voice.hears(frequency("paused"), 200).await;
    caller.voice.hears(frequency("music"), 300).await;
    carrier.is(Manner::IsBusy);
    caller.voice.press(1);
    until("the carrier was called", || std::future::ready((carrier.calls_received() == 1).then_some(()))).await;
    until("the caller waits again", || async {
        let room = server.api.json("/room").await;
        (room["waiting"].as_array().map(Vec::len) == Some(1)).then_some(())
    })
    .await;
    carrier.is(Manner::Answers);
    caller.voice.press(1);
    caller.voice.hears(1600.0, 300).await;
    caller.hang_up().await;
    let story = server.api.sealed().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("forwarded"));
    assert_eq!(story["call"]["choices"]["keys"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_message_is_a_recording_like_any_other() {
    let (server, _carrier) = centre().await;
    let _phones = nobody_is_free(&server).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910102").await;
    caller.voice.hears(frequency("music"), 300).await;
    caller.voice.says(Words::Tone(1000.0));
    caller.voice.press(3);
    caller.voice.hears(frequency("closed"), 300).await;
    super::harness::let_pass(std::time::Duration::from_secs(3)).await;
    caller.voice.press(11);
    caller.is_over().await;
    let story = server.api.sealed().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("voicemail"));
    let [left, right] = server.api.audio(&story).await;
    assert!(length_of_tone_ms(&left, 1000.0) >= 1500, "{} ms", length_of_tone_ms(&left, 1000.0));
    assert!(right.iter().all(|sample| *sample == 0), "nobody else speaks");
    server.assert_sound();
}

#[tokio::test]
async fn who_asks_for_it_is_called_back_when_the_turn_comes() {
    let (server, carrier) = centre().await;
    let anne = Phone::regulator(&server, "anne").await;
    let before = Phone::caller(&server, "+33612345670").await;
    before.dial_in("0261910103").await;
    anne.talks().await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910102").await;
    caller.voice.hears(frequency("music"), 300).await;
    caller.voice.press(2);
    caller.is_over().await;
    assert!(caller.voice.heard_ms(frequency("ready")) >= 200, "it is said that it was noted");
    anne.voice.says(Words::Tone(1000.0));
    before.hang_up().await;
    anne.is_over().await;
    carrier.talks().await;
    let dialled = carrier.received("INVITE").remove(0).0;
    assert!(dialled.starts_with("INVITE sip:+33612345678@"), "{dialled}");
    carrier.voice.hears(1000.0, 500).await;
    anne.voice.hears(1600.0, 500).await;
    anne.hang_up().await;
    carrier.is_over().await;
    let story = server.api.sealed().await;
    let calls = server.api.calls().await;
    let asked = calls.iter().find(|call| call["outcome"] == "call-back").expect("the call that asked");
    assert_eq!(story["call"]["choices"]["callback_of"], asked["id"], "{:#}", story["call"]);
    assert_eq!(story["call"]["queued_at"], asked["queued_at"], "the wait is kept");
    assert_eq!(story["call"]["outcome"].as_str(), Some("answered"));
    let [left, right] = server.api.audio(&story).await;
    assert!(length_of_tone_ms(&left, 1600.0) >= 400 && length_of_tone_ms(&right, 1000.0) >= 400);
    server.assert_sound();
}

#[tokio::test]
async fn a_baresip_chooses_by_its_own_keys() {
    let (server, carrier) = centre().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.voice.says(Words::Tone(1000.0));
    let caller = Baresip::caller(&server, "+33612345678", 440.0).await;
    caller.dial(&server, "0261910101");
    server.api.lives(1).await;
    let ear = caller.listens();
    ear.command("sndcode", "2");
    anne.talks().await;
    anne.voice.hears(440.0, 300).await;
    caller.command("hangup", "");
    anne.is_over().await;
    assert_eq!(server.api.ended().await["call"]["choices"]["keys"][0]["key"].as_str(), Some("2"));

    let second = Baresip::caller(&server, "+33612345679", 700.0).await;
    second.dial(&server, "0261910101");
    server.api.lives(1).await;
    second.listens().command("sndcode", "1");
    carrier.talks().await;
    carrier.voice.hears(700.0, 300).await;
    second.command("hangup", "");
    carrier.is_over().await;
}
