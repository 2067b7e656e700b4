//! What a call sounds like, while it lives and afterwards: one-way audio, and losses on the way.

use std::time::Duration;

use serde_json::{Value, json};
use vigie::clock;

use super::harness::{let_pass, until};
use super::phone::Phone;
use super::pjsua::Pjsua;
use super::server::{Server, Setup};
use super::voice::{FRAME, Words, packet};
use super::webhook::Webhook;

/// The quality of a leg of the newest call, once it is so.
async fn quality(server: &Server, leg: usize, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let story = server.api.story(what, |story| is_it(&story["legs"][leg]["quality"])).await;
    story["legs"][leg].clone()
}

async fn metric_is(server: &Server, name: &str, wanted: f64) {
    until(&format!("{name} is {wanted}"), || async { (server.metric(name).await == wanted).then_some(()) }).await;
}

/// The sidecar of the newest call's recording.
async fn sidecar(server: &Server, story: &Value) -> Value {
    server
        .api
        .json(&format!("/recordings/{}/manifest?reason=wire+test", story["call"]["id"].as_str().expect("an id")))
        .await
}

#[tokio::test]
async fn one_way_audio_is_told_within_five_seconds_by_alarm_event_metric_api_and_log_and_so_is_its_end() {
    let server = Setup::new().change("silence_max = \"5s\"", "silence_max = \"60s\"").start().await;
    let webhook = Webhook::open(&server.centre).await;
    let (anne, caller) = Phone::pair(&server, "0261910101").await;
    anne.voice.says(Words::Tone(1000.0));
    caller.voice.hears(1000.0, 300).await;

    anne.voice.says(Words::Nothing);
    let muted_at = clock::utc();
    let told = webhook.has("call.one-way-audio").await;
    let told = ["leg", "side", "way", "is_over"].map(|name| told.fields[name].clone());
    assert_eq!(told, [json!(1), json!("regulator"), json!("sends-nothing"), json!(false)]);
    let live = quality(&server, 1, "the API shows it", |quality| quality["one_way"] == "sends-nothing").await;
    assert!(live["ended_at"].is_null() && live["quality"]["one_way_times"] == 1, "{live:#}");
    let story = server.api.story("the event is stored", |_| true).await;
    let event = story["events"].as_array().expect("events").iter().find(|one| one["type"] == "call.one-way-audio");
    let at: jiff::Timestamp = event.expect("the event")["at"].as_str().expect("a time").parse().expect("RFC 3339");
    let took = Duration::from_micros((at.as_microsecond() - muted_at.0).max(0) as u64);
    assert!(took < Duration::from_secs(5), "told {took:?} after the last packet");
    metric_is(&server, "vigie_alarms_total{kind=\"one-way-audio\"}", 1.0).await;
    metric_is(&server, "vigie_legs_one_way", 1.0).await;
    let log = server.process.output();
    assert!(log.contains("one-way-audio") && log.contains("the regulator's phone, sends no sound"), "{log}");

    anne.voice.says(Words::Tone(1000.0));
    caller.voice.hears(1000.0, 300).await;
    metric_is(&server, "vigie_alarms_total{kind=\"one-way-audio-back\"}", 1.0).await;
    metric_is(&server, "vigie_legs_one_way", 0.0).await;
    quality(&server, 1, "the API shows its end", |quality| quality["one_way"].is_null()).await;
    caller.hang_up().await;
    let story = server.api.sealed().await;
    let [first, second] = [0, 1].map(|leg| story["legs"][leg]["quality"].clone());
    assert_eq!((&first["one_way_times"], &second["one_way_times"]), (&json!(0), &json!(1)), "{second:#}");
    assert!(second["one_way_ms"].as_u64() > Some(0), "{second:#}");
    until("its end is told too", || {
        let mut told = webhook.delivered().into_iter().filter(|one| one.kind == "call.one-way-audio");
        std::future::ready(told.next_back().filter(|last| last.fields["is_over"] == true))
    })
    .await;
    webhook.assert_in_order();
}

#[tokio::test]
async fn losses_are_in_the_api_while_the_call_lives_and_in_record_sidecar_and_metrics_when_it_is_over() {
    let server = Setup::new().start().await;
    let (anne, caller) = Phone::pair(&server, "0261910101").await;
    anne.voice.says(Words::Tone(1000.0));
    caller.voice.loses_one_of(8);
    anne.voice.hears(440.0, 300).await;

    let live = quality(&server, 0, "losses are seen", |quality| quality["packets_lost"].as_u64() >= Some(20)).await;
    assert!(live["ended_at"].is_null() && live["codec"] == "PCMA", "{live:#}");
    let mos = |quality: &Value| quality["mos"].as_f64().expect("a score");
    let spoken = mos(&live["quality"]);
    assert!((1.0..3.6).contains(&spoken), "{live:#}");
    assert_eq!(live["quality"]["mos_scale"], "narrowband");
    metric_is(&server, "vigie_legs_poor", 1.0).await;
    metric_is(&server, "vigie_legs_live", 2.0).await;
    assert!(server.metric("vigie_leg_mos_least").await < 3.6);

    caller.hang_up().await;
    let story = server.api.sealed().await;
    let legs = [0, 1].map(|leg| story["legs"][leg]["quality"].clone());
    assert!(legs[0]["packets_lost"].as_u64() >= Some(20) && mos(&legs[0]) < 3.6, "{:#}", legs[0]);
    assert!(legs[1]["packets_lost"] == 0 && mos(&legs[1]) > 4.3, "{:#}", legs[1]);
    let kept = sidecar(&server, &story).await;
    let kept = &kept["vigie"]["record"]["legs"][0]["quality"];
    assert_eq!((&kept["packets_lost"], &kept["mos"]), (&legs[0]["packets_lost"], &legs[0]["mos"]), "{kept:#}");
    let metrics = server.api.text("/metrics").await;
    for expected in [
        "vigie_leg_mos_count{way=\"received\"} 2",
        "vigie_leg_mos_bucket{way=\"received\",le=\"3.6\"} 1",
        "vigie_leg_loss_ratio_bucket{way=\"received\",le=\"0\"} 1",
        "vigie_leg_loss_ratio_bucket{way=\"received\",le=\"0.1\"} 1",
        "vigie_leg_loss_ratio_bucket{way=\"received\",le=\"0.3\"} 2",
        "vigie_leg_jitter_seconds_count{way=\"received\"} 2",
    ] {
        assert!(metrics.contains(expected), "{expected}: {metrics}");
    }
    metric_is(&server, "vigie_legs_live", 0.0).await;
    metric_is(&server, "vigie_media_total{what=\"legs_poor\"}", 1.0).await;
}

#[tokio::test]
async fn a_softphone_s_own_reports_say_how_it_hears_us_and_how_far_it_is_while_the_call_lives() {
    let setup = Setup::new().change("digest = \"md5\"", "digest = \"md5\"\nsrtp = \"required\"");
    let server = setup.start().await;
    let _anne = Pjsua::regulator_with(&server, "anne", json!({ "tone": 1000, "srtp": "required" })).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(1000.0, 300).await;
    // Its SRTCP comes every five seconds or so, and the second one knows of ours.
    let is_told = |quality: &Value| !quality["round_trip_ms"].is_null() && !quality["remote_mos"].is_null();
    let live = quality(&server, 1, "the far end has reported", is_told).await;
    let quality = &live["quality"];
    assert!(live["ended_at"].is_null(), "{live:#}");
    assert!(quality["round_trip_ms"].as_f64() < Some(200.0), "{quality:#}");
    assert!(quality["remote_mos"].as_f64() > Some(4.0) && quality["mos"].as_f64() > Some(4.0), "{quality:#}");
    assert!(quality["remote_loss_fraction"].as_f64() < Some(0.05), "{quality:#}");
    caller.hang_up().await;
    server.api.sealed().await;
    assert!(server.api.text("/metrics").await.contains("vigie_leg_round_trip_seconds_count 1"));
}

#[tokio::test]
async fn a_pause_that_comfort_noise_announces_is_neither_loss_nor_gap_nor_alarm() {
    let server = Setup::new().change("silence_max = \"5s\"", "silence_max = \"60s\"").start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.voice.says(Words::Nothing);
    caller.dial_in("0261910101").await;
    anne.talks().await;
    let target = caller.voice.far_end();
    let mut sequence = 0;
    let mut say = async |packets: u16, is_noise: bool, timestamp: u32| {
        for place in 0..packets {
            // A pause has one packet each half a second (RFC 3389 §4); its level is -70 dBov.
            let payload = if is_noise { vec![70] } else { vec![0x2a; FRAME] };
            let mut bytes = packet(sequence, 0x0051_ED07, &payload);
            bytes[1] = if is_noise { 13 } else { 8 };
            let apart: u64 = if is_noise { 500 } else { 20 };
            let at = timestamp + u32::from(place) * apart as u32 * 8;
            bytes[4..8].copy_from_slice(&at.to_be_bytes());
            sequence += 1;
            caller.voice.throws(&bytes, target).await;
            let_pass(Duration::from_millis(apart)).await;
        }
    };
    say(50, false, 0).await;
    say(12, true, 8000).await;
    say(50, false, 8000 + 48_000).await;
    caller.hang_up().await;
    let story = server.api.sealed().await;
    let quality = &story["legs"][0]["quality"];
    assert_eq!((&quality["packets_lost"], &quality["malformed"]), (&json!(0), &json!(0)), "{quality:#}");
    assert_eq!((&quality["packets_received"], &quality["frames_recorded"]), (&json!(112), &json!(112)), "{quality:#}");
    assert_eq!(server.metric("vigie_alarms_total{kind=\"one-way-audio\"}").await, 0.0);
    let sealed = sidecar(&server, &story).await;
    let [frames, gaps] = ["frames", "gaps"].map(|name| sealed["vigie"][name].as_array().expect("a list").clone());
    let own = frames.iter().find(|one| one["leg"] == 0).expect("the caller's frames");
    assert_eq!((&own["lost"], &own["frames"], &own["events"]), (&json!(0), &json!(112), &json!(0)), "{own:#}");
    assert!(gaps.iter().all(|gap| gap["leg"] != 0), "{gaps:#?}");
    server.assert_sound();
}
