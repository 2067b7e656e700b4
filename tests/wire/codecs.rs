//! G.722 and Opus through the executable: each side hears the other's tone, and so does the recording, at the rate of the
//! widest codec that was spoken.

use serde_json::{Value, json};
use vigie::model::Codec;
use vigie::model::srtp::Profile;

use super::baresip::{Baresip, Speaks};
use super::harness::until;
use super::phone::{Manner, Phone};
use super::pjsua::Pjsua;
use super::server::{Server, Setup};
use super::sound::{amplitude_at, frequency, length_at};
use super::voice::Words;

/// A count of the media plane's.
pub(super) async fn counted(server: &Server, what: &str) -> u64 {
    server.metric(&format!("vigie_media_total{{what=\"{what}\"}}")).await as u64
}

/// The call's recording: its rate, each leg's codec, and each voice alone in its channel. The story.
pub(super) async fn is_recorded(server: &Server, rate: u32, codecs: [&str; 2], tones: [f64; 2]) -> Value {
    let story = server.api.sealed().await;
    let (told, sides) = server.api.audio_at(&story).await;
    assert_eq!(told, rate, "{story:#}");
    let lengths = sides.each_ref().map(|side| tones.map(|tone| length_at(rate, side, tone)));
    assert!(lengths[0][0] >= 500 && lengths[0][1] == 0, "left: {lengths:?}");
    assert!(lengths[1][1] >= 500 && lengths[1][0] == 0, "right: {lengths:?}");
    let spoken: Vec<&str> = (0..2).filter_map(|leg| story["legs"][leg]["codec"].as_str()).collect();
    assert_eq!(spoken, codecs, "{:#}", story["legs"]);
    server.assert_sound();
    story
}

/// A baresip that speaks one wide codec alone, and a caller in PCMA.
async fn a_baresip_and_a_pcma_caller(speaks: Speaks, (rate, codec): (u32, &str)) {
    let server = Setup::new().start().await;
    let anne = Baresip::regulator_speaking(&server, "anne", 1000.0, speaks).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(1000.0, 1000).await;
    anne.hears(440.0, 1000).await;
    caller.hang_up().await;
    is_recorded(&server, rate, ["PCMA", codec], [440.0, 1000.0]).await;
}

#[tokio::test]
async fn a_phone_that_speaks_g722_alone_and_a_pcma_caller_hear_each_other() {
    a_baresip_and_a_pcma_caller(Speaks::G722, (16_000, "G722")).await;
}

#[tokio::test]
async fn a_phone_that_speaks_opus_alone_and_a_pcma_caller_hear_each_other() {
    a_baresip_and_a_pcma_caller(Speaks::Opus, (48_000, "OPUS")).await;
}

#[tokio::test]
async fn a_caller_who_speaks_opus_alone_and_a_phone_in_g711_hear_each_other() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.is(Manner::Rings);
    anne.voice.says(Words::Tone(1000.0));
    let caller = Baresip::caller_speaking(&server, "+33612345678", 440.0, Speaks::Opus).await;
    caller.dial(&server, "0261910102");
    // Sounds are encoded for it.
    caller.hears(frequency("greeting"), 200).await;
    caller.hears(frequency("music"), 500).await;
    anne.rings().await;
    anne.pick_up().await;
    anne.voice.hears(440.0, 1000).await;
    caller.hears(1000.0, 1000).await;
    caller.command("hangup", "");
    anne.is_over().await;
    is_recorded(&server, 48_000, ["OPUS", "PCMA"], [440.0, 1000.0]).await;
}

#[tokio::test]
async fn a_softphone_in_g722_alone_and_a_pcma_caller_hear_each_other_before_and_after_a_hold() {
    let server = Setup::new().start().await;
    let settings = json!({ "tone": 1000, "codec": "G722", "codec_alone": true, "rate": 16_000 });
    let anne = Pjsua::regulator_with(&server, "anne", settings).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.hears(0, 440.0, 700).await;
    caller.voice.hears(1000.0, 700).await;
    anne.does("hold", json!({ "call": 0 })).await;
    caller.voice.hears(frequency("music"), 300).await;
    anne.does("resume", json!({ "call": 0 })).await;
    anne.hears(0, 440.0, 500).await;
    caller.voice.hears(1000.0, 500).await;
    caller.hang_up().await;
    anne.call_is(0, "DISCONNECTED").await;
    is_recorded(&server, 16_000, ["PCMA", "G722"], [440.0, 1000.0]).await;
}

/// Two sides with one wide codec: what G.711 could not carry is heard, and nothing is decoded on the way.
async fn a_wide_relay(speaks: Speaks, (rate, codec): (u32, &str)) {
    let server = Setup::new().start().await;
    let anne = Baresip::regulator_speaking(&server, "anne", 5000.0, speaks).await;
    let caller = Baresip::caller_speaking(&server, "+33612345678", 440.0, speaks).await;
    caller.dial(&server, "0261910101");
    caller.hears(5000.0, 1000).await;
    anne.hears(440.0, 1000).await;
    caller.command("hangup", "");
    is_recorded(&server, rate, [codec, codec], [440.0, 5000.0]).await;
    until("the counts are published", || async { (counted(&server, "packets_relayed").await > 100).then_some(()) })
        .await;
    assert_eq!(counted(&server, "packets_mixed").await, 0);
}

#[tokio::test]
async fn two_sides_in_g722_are_relayed_as_they_are() {
    a_wide_relay(Speaks::G722, (16_000, "G722")).await;
}

#[tokio::test]
async fn two_sides_in_opus_are_relayed_as_they_are() {
    a_wide_relay(Speaks::Opus, (48_000, "OPUS")).await;
}

#[tokio::test]
async fn a_softphone_that_knows_both_is_offered_the_callers_g722_and_hears_it_wide() {
    let server = Setup::new().start().await;
    // It prefers PCMA, and knows G.722.
    let settings = json!({ "tone": 1000, "codec": "PCMA", "codec_also": "G722", "rate": 16_000 });
    let anne = Pjsua::regulator_with(&server, "anne", settings).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.voice.speaks(Codec::G722);
    caller.voice.says(Words::Tone(5000.0));
    caller.dial_in("0261910101").await;
    anne.hears(0, 5000.0, 700).await;
    caller.voice.hears(1000.0, 700).await;
    caller.hang_up().await;
    anne.call_is(0, "DISCONNECTED").await;
    is_recorded(&server, 16_000, ["G722", "G722"], [5000.0, 1000.0]).await;
    assert_eq!(counted(&server, "packets_mixed").await, 0);
}

#[tokio::test]
async fn g722_and_opus_hear_each_other_wide() {
    let server = Setup::new().start().await;
    let anne = Baresip::regulator_speaking(&server, "anne", 5000.0, Speaks::Opus).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.voice.speaks(Codec::G722);
    caller.voice.says(Words::Tone(3500.0));
    caller.dial_in("0261910101").await;
    caller.voice.hears(5000.0, 1000).await;
    anne.hears(3500.0, 1000).await;
    caller.hang_up().await;
    is_recorded(&server, 48_000, ["G722", "OPUS"], [3500.0, 5000.0]).await;
}

#[tokio::test]
async fn a_trunk_with_codecs_of_its_own_refuses_others_with_488_and_its_alarm_says_what_to_do() {
    let server = Setup::new().change("calls_max = 40", "calls_max = 40\ncodecs = [\"pcma\", \"pcmu\"]").start().await;
    let caller = Pjsua::caller(&server, "+33612345678", json!({ "codec": "G722", "codec_alone": true })).await;
    let call = caller.dials(&server, "0261910101").await;
    let over = caller.call_is(call, "DISCONNECTED").await;
    assert_eq!(over["status"], 488, "{over}");
    assert!(caller.log().contains("Incompatible media format: PCMA or PCMU is needed"));
    let log = server.process.output();
    assert!(log.contains("trunk-call-refused") && log.contains("codecs and srtp of trunks.carrier"), "{log}");
}

/// Where the marks of one pitch begin, in milliseconds.
pub(super) fn marks_ms(rate: u32, side: &[i16], pitch: f64) -> Vec<i64> {
    const STEP_MS: usize = 5;
    let (step, window) = (rate as usize / 1000 * STEP_MS, rate as usize / 50);
    let is_on = |at: usize| side.get(at..at + window).is_some_and(|piece| amplitude_at(rate, piece, pitch) > 2500.0);
    let (mut marks, mut quiet_ms) = (Vec::new(), 1000);
    for at in (0..side.len()).step_by(step) {
        match is_on(at) {
            true if quiet_ms >= 400 => {
                marks.push((at * 1000 / rate as usize) as i64);
                quiet_ms = 0;
            }
            true => quiet_ms = 0,
            false => quiet_ms += STEP_MS,
        }
    }
    marks
}

/// Marks that both sides said together, as far apart as the recording has them: the median of the distances.
pub(super) fn distance_ms(left: &[i64], right: &[i64]) -> i64 {
    let nearest = |mark: &i64| right.iter().map(|other| mark - other).min_by_key(|distance| distance.abs());
    let mut distances: Vec<i64> = left.iter().filter_map(nearest).filter(|distance| distance.abs() < 500).collect();
    distances.sort_unstable();
    assert!(distances.len() >= 3, "{left:?} {right:?}");
    distances[distances.len() / 2]
}

/// A caller over a bad network, protected or not, and a phone in this or another codec, their clocks 200 ppm apart: each hears
/// the other, and what they said together stands together in the recording, before a hold and after it.
async fn over_a_bad_network(codecs: [Codec; 2], shield: Option<Profile>) {
    let policy = if shield.is_some() { "required" } else { "off" };
    let setup = Setup::new().change("calls_max = 40", &format!("calls_max = 40\nsrtp = \"{policy}\""));
    let server = setup.start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    let rough = caller.voice.goes_through(7).await;
    for (phone, codec, pitch, ppm) in [(&caller, codecs[0], 1200.0, 100.0), (&anne, codecs[1], 1000.0, -100.0)] {
        phone.voice.runs_fast(ppm);
        phone.voice.speaks(codec);
        phone.voice.says(Words::Tone(pitch));
    }
    if let Some(profile) = shield {
        caller.voice.protects(profile);
    }
    caller.dial_in("0261910101").await;
    anne.voice.hears(1200.0, 1500).await;
    caller.voice.hears(1000.0, 1500).await;
    for round in 0..2 {
        caller.voice.says(Words::Marks(1200.0));
        anne.voice.says(Words::Marks(1000.0));
        super::harness::let_pass(std::time::Duration::from_secs(6)).await;
        caller.voice.says(Words::Tone(1200.0));
        anne.voice.says(Words::Tone(1000.0));
        if round == 0 {
            assert_eq!(anne.reoffer("sendonly").await.status(), 200);
            caller.voice.hears(frequency("music"), 500).await;
            assert_eq!(anne.reoffer("sendrecv").await.status(), 200);
            anne.voice.hears(1200.0, 500).await;
        }
    }
    caller.hang_up().await;
    let names = codecs.map(|codec| codec.name().to_uppercase());
    let rate = codecs.map(Codec::sample_rate).into_iter().max().expect("two");
    let story = is_recorded(&server, rate, [&names[0], &names[1]], [1200.0, 1000.0]).await;
    let (_, [left, right]) = server.api.audio_at(&story).await;
    let (left, right) = (marks_ms(rate, &left, 1200.0), marks_ms(rate, &right, 1000.0));
    let middle = (left.first().copied().unwrap_or(0) + left.last().copied().unwrap_or(0)) / 2;
    let halves = |marks: &[i64], is_late: bool| -> Vec<i64> {
        marks.iter().copied().filter(|mark| (*mark > middle) == is_late).collect()
    };
    for is_late in [false, true] {
        let distance = distance_ms(&halves(&left, is_late), &halves(&right, is_late));
        assert!(distance.abs() <= 40, "{distance} ms apart; left {left:?}, right {right:?}");
    }
    let harm = rough.harm();
    assert!(harm.iter().all(|count| *count > 10), "lost, overtaken, twice: {harm:?}");
    let quality = &story["legs"][0]["quality"];
    assert!(quality["packets_lost"].as_u64() > Some(10), "{quality:#}");
    // What came twice is a replay where it is protected, and a repetition where it is not.
    let twice = if shield.is_some() { "replayed" } else { "packets_repeated" };
    assert!(quality[twice].as_u64() > Some(10) && quality["forged"] == 0, "{quality:#}");
    if codecs[0] == codecs[1] {
        until("the counts are published", || async { (counted(&server, "packets_relayed").await > 500).then_some(()) })
            .await;
        assert_eq!(counted(&server, "packets_mixed").await, 0, "the same codec is relayed");
    }
}

#[tokio::test]
async fn pcma_over_a_bad_network_and_g722_hear_each_other_and_are_recorded_together() {
    over_a_bad_network([Codec::Pcma, Codec::G722], None).await;
}

#[tokio::test]
async fn opus_over_a_bad_network_and_pcma_hear_each_other_and_are_recorded_together() {
    over_a_bad_network([Codec::Opus, Codec::Pcma], None).await;
}

#[tokio::test]
async fn pcma_over_a_bad_network_that_is_only_relayed_is_recorded_together_with_the_other_side() {
    over_a_bad_network([Codec::Pcma; 2], None).await;
}

#[tokio::test]
async fn srtp_over_a_bad_network_is_recorded_together_with_the_other_side_relayed_or_in_two_codecs() {
    over_a_bad_network([Codec::Pcma; 2], Some(Profile::Sha1Tag80)).await;
    over_a_bad_network([Codec::Opus, Codec::Pcma], Some(Profile::Gcm)).await;
}
