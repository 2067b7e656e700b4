//! Keys through the executable: by RFC 4733 and by SIP INFO, to whoever takes them so, or as tones; each press once.

use serde_json::json;

use super::baresip::{Baresip, Ear, Speaks};
use super::harness::until;
use super::phone::Phone;
use super::pjsua::Pjsua;
use super::server::{Server, Setup};

/// The keys that a softphone has heard in its first call, in order.
fn keys(phone: &Pjsua) -> String {
    phone.events("key").iter().filter_map(|event| event["digit"].as_str().map(str::to_owned)).collect()
}

async fn hears(phone: &Pjsua, expected: &str) {
    until(&format!("pjsua2 hears {expected}"), || std::future::ready((keys(phone) == expected).then_some(()))).await;
}

async fn presses(phone: &Pjsua, digits: &str, by: &str) {
    phone.does("keys", json!({ "call": 0, "digits": digits, "by": by })).await;
}

/// Waits until a caller of our own has heard so many keys; all that it has heard.
async fn hears_keys(caller: &Phone, count: usize) -> Vec<u8> {
    until(&format!("{count} keys arrive"), || {
        let heard = caller.voice.keys_heard();
        std::future::ready((heard.len() >= count).then_some(heard))
    })
    .await
}

/// A caller of our own who talks with a softphone.
async fn talk(server: &Server, caller: &Phone) -> Pjsua {
    let anne = Pjsua::regulator(server, "anne", 1000.0).await;
    caller.dial_in("0261910101").await;
    anne.hears(0, 440.0, 300).await;
    anne
}

/// A caller's keys, one after the other, each heard once.
async fn dials_each_once(caller: &Ear, phone: &Pjsua) {
    let mut expected = String::new();
    for key in ["1", "1", "5", "#"] {
        caller.command("sndcode", key);
        expected.push_str(key);
        hears(phone, &expected).await;
    }
}

#[tokio::test]
async fn baresips_and_pjsuas_keys_reach_each_other_once_by_whichever_way_they_are_told() {
    let server = Setup::new().start().await;
    let anne = Pjsua::regulator(&server, "anne", 1000.0).await;
    let caller = Baresip::caller(&server, "+33612345678", 440.0).await;
    caller.dial(&server, "0261910101");
    anne.hears(0, 440.0, 300).await;
    let ear = caller.listens();
    dials_each_once(&ear, &anne).await;
    let heard = |expected: &'static str| {
        let ear = &ear;
        until("baresip hears them", move || std::future::ready((ear.keys() == expected).then_some(())))
    };
    presses(&anne, "77#", "rtp").await;
    heard("77#").await;
    presses(&anne, "4", "info").await;
    heard("77#4").await;
    presses(&anne, "4", "info").await;
    heard("77#44").await;
    anne.does("hang_up", json!({ "call": 0 })).await;
    assert_eq!((keys(&anne).as_str(), ear.keys().as_str()), ("115#", "77#44"));
}

#[tokio::test]
async fn a_key_told_by_rtp_and_by_info_is_heard_once() {
    let server = Setup::new().start().await;
    let caller = Phone::caller(&server, "+33612345678").await;
    let anne = talk(&server, &caller).await;
    presses(&anne, "9", "rtp").await;
    presses(&anne, "9", "info").await;
    assert_eq!(hears_keys(&caller, 1).await, [9]);
    presses(&anne, "6", "info").await;
    presses(&anne, "6", "rtp").await;
    presses(&anne, "8", "rtp").await;
    assert_eq!(hears_keys(&caller, 3).await, [9, 6, 8]);
    caller.hang_up().await;
}

#[tokio::test]
async fn a_caller_without_telephone_event_hears_the_keys_tones() {
    let server = Setup::new().start().await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.voice.has_no_keys();
    let anne = talk(&server, &caller).await;
    for (digits, by, tones) in [("5", "rtp", [770.0, 1336.0]), ("1", "info", [697.0, 1209.0])] {
        caller.voice.forget();
        presses(&anne, digits, by).await;
        until("both tones are heard, and the voice after them", || {
            let voice = &caller.voice;
            let is_heard = tones.iter().all(|tone| voice.heard_ms(*tone) >= 100) && voice.heard_ms(1000.0) >= 300;
            std::future::ready(is_heard.then_some(()))
        })
        .await;
        for tone in tones {
            // Of pjsua2's own length, or 100 ms; judged by tenths of a second.
            assert!(caller.voice.heard_ms(tone) <= 400, "{tone} Hz: {} ms", caller.voice.heard_ms(tone));
        }
    }
    assert!(caller.voice.keys_heard().is_empty() && caller.received("INFO").is_empty());
    caller.hang_up().await;
}

#[tokio::test]
async fn a_caller_who_takes_keys_by_info_gets_each_so_and_hears_no_tone() {
    let server = Setup::new().start().await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.voice.has_no_keys();
    caller.claims("Recv-Info: infoDtmf\r\n");
    let anne = talk(&server, &caller).await;
    caller.voice.forget();
    presses(&anne, "55#", "rtp").await;
    until("all keys are told", || std::future::ready((caller.received("INFO").len() == 3).then_some(()))).await;
    let told: Vec<String> = caller.received("INFO").iter().map(|info| info.body().to_owned()).collect();
    let signals: Vec<&str> = told.iter().filter_map(|body| body.lines().next()).collect();
    assert_eq!(signals, ["Signal=5", "Signal=5", "Signal=#"], "{told:?}");
    caller.voice.hears(1000.0, 300).await;
    assert_eq!([770.0, 941.0, 1336.0, 1477.0].map(|tone| caller.voice.heard_ms(tone)), [0; 4]);
    caller.hang_up().await;
}

#[tokio::test]
async fn whatever_is_lost_of_a_key_the_other_side_hears_it_once() {
    let server = Setup::new().start().await;
    let caller = Phone::caller(&server, "+33612345678").await;
    let anne = talk(&server, &caller).await;
    let mut expected = String::new();
    // All but the first; no end; the first alone; one in the middle; the last end alone; the same key again.
    let kept: [&'static [u16]; 6] = [&[1, 2, 3, 4, 5], &[0, 1, 2], &[0], &[2], &[5], &[0, 5]];
    for (key, kept) in [1, 2, 3, 4, 5, 5].into_iter().zip(kept) {
        caller.voice.press_lossy(key, kept);
        expected.push((b'0' + key) as char);
        hears(&anne, &expected).await;
    }
    caller.voice.press(9);
    hears(&anne, "1234559").await;
    caller.hang_up().await;
}

#[tokio::test]
async fn a_key_pressed_into_a_hold_is_not_heard_afterwards() {
    let server = Setup::new().start().await;
    let caller = Phone::caller(&server, "+33612345678").await;
    let anne = talk(&server, &caller).await;
    anne.does("hold", json!({ "call": 0 })).await;
    caller.voice.hears(super::sound::frequency("music"), 300).await;
    caller.voice.press(7);
    // The whole key is out when the music has gone on for so long.
    caller.voice.hears(super::sound::frequency("music"), 500).await;
    anne.does("resume", json!({ "call": 0 })).await;
    anne.hears(0, 440.0, 300).await;
    caller.voice.press(8);
    hears(&anne, "8").await;
    caller.hang_up().await;
}

#[tokio::test]
async fn keys_are_neither_lost_nor_doubled_between_g722_and_opus() {
    let server = Setup::new().start().await;
    let settings = json!({ "tone": 1000, "codec": "G722", "codec_alone": true, "rate": 16_000 });
    let anne = Pjsua::regulator_with(&server, "anne", settings).await;
    let caller = Baresip::caller_speaking(&server, "+33612345678", 440.0, Speaks::Opus).await;
    caller.dial(&server, "0261910101");
    anne.hears(0, 440.0, 300).await;
    let ear = caller.listens();
    dials_each_once(&ear, &anne).await;
    presses(&anne, "77#", "rtp").await;
    until("baresip hears three", || std::future::ready((ear.keys() == "77#").then_some(()))).await;
    presses(&anne, "4", "info").await;
    until("baresip hears four", || std::future::ready((ear.keys() == "77#4").then_some(()))).await;
    anne.hears(0, 440.0, 300).await;
    anne.does("hang_up", json!({ "call": 0 })).await;
    let story = server.api.sealed().await;
    assert_eq!([0, 1].map(|leg| story["legs"][leg]["codec"].as_str()), [Some("OPUS"), Some("G722")]);
    assert_eq!((keys(&anne).as_str(), ear.keys().as_str()), ("115#", "77#4"));
}

#[tokio::test]
async fn keys_are_neither_lost_nor_doubled_between_opus_and_a_lossy_pcma() {
    let server = Setup::new().start().await;
    let anne = Baresip::regulator_speaking(&server, "anne", 1000.0, Speaks::Opus).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(1000.0, 300).await;
    let ear = anne.listens();
    let mut expected = String::new();
    let kept: [&'static [u16]; 4] = [&[0, 1, 2, 3, 4, 5], &[0], &[5], &[1, 3]];
    for (key, kept) in [7, 7, 2, 2].into_iter().zip(kept) {
        caller.voice.press_lossy(key, kept);
        expected.push((b'0' + key) as char);
        until(&format!("baresip hears {expected}"), || std::future::ready((ear.keys() == expected).then_some(())))
            .await;
    }
    for key in ["1", "1", "#"] {
        let before = caller.voice.keys_heard().len();
        ear.command("sndcode", key);
        hears_keys(&caller, before + 1).await;
    }
    caller.voice.hears(1000.0, 300).await;
    assert_eq!((caller.voice.keys_heard(), ear.keys().as_str()), (vec![1, 1, 11], "7722"));
    caller.hang_up().await;
}
