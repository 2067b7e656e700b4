//! Packets of 10, 40 and 60 ms through the executable: the other side hears them, relayed or in another codec, and the
//! recording holds all of it in its time.

use std::time::Duration;

use serde_json::Value;
use vigie::model::Codec;

use super::codecs::{distance_ms, is_recorded, marks_ms};
use super::harness::let_pass;
use super::phone::Phone;
use super::server::Setup;
use super::voice::Words;

/// A caller whose packets hold so much, and a phone of 20 ms in this codec.
async fn talks_in_packets_of(packet_ms: u64, codec: Codec) {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    anne.voice.speaks(codec);
    anne.voice.says(Words::Tone(1000.0));
    caller.voice.speaks(Codec::Pcma);
    caller.voice.packs(packet_ms);
    caller.voice.says(Words::Tone(1200.0));
    caller.dial_in("0261910101").await;
    anne.voice.hears(1200.0, 1500).await;
    caller.voice.hears(1000.0, 1000).await;
    caller.voice.says(Words::Marks(1200.0));
    anne.voice.says(Words::Marks(1000.0));
    let_pass(Duration::from_secs(6)).await;
    caller.hang_up().await;

    let rate = codec.sample_rate();
    let names = [Codec::Pcma, codec].map(|codec| codec.name().to_uppercase());
    let story = is_recorded(&server, rate, [&names[0], &names[1]], [1200.0, 1000.0]).await;
    let (_, [left, right]) = server.api.audio_at(&story).await;
    // What was said without a break is without one there: the marks are a second apart, both sides' together.
    let [left, right] = [(&left, 1200.0), (&right, 1000.0)].map(|(side, pitch)| marks_ms(rate, side, pitch));
    let seconds: Vec<i64> = left.windows(2).map(|two| two[1] - two[0]).skip(1).collect();
    assert!(seconds.len() >= 3 && seconds.iter().all(|apart| (960..=1040).contains(apart)), "{left:?}");
    let distance = distance_ms(&left, &right);
    assert!(distance.abs() <= 40, "{packet_ms} ms, {codec:?}: {distance} ms apart; left {left:?}, right {right:?}");
    assert_eq!(story["recording"]["gaps"], 0, "{:#}", story["recording"]);
    let quality = &story["legs"][0]["quality"];
    let number = |what: &str| Value::as_u64(&quality[what]).expect("a count");
    assert_eq!((number("packets_lost"), number("malformed")), (0, 0), "{quality:#}");
    // What came before the answer is not recorded.
    let said_ms = number("frames_recorded") * packet_ms;
    let length_ms = story["recording"]["duration_ms"].as_u64().expect("a length");
    assert!(said_ms.abs_diff(length_ms) <= 1000, "{said_ms} of {length_ms} ms");
}

#[tokio::test]
async fn packets_of_10_ms_are_heard_and_recorded_in_their_time() {
    talks_in_packets_of(10, Codec::Pcma).await;
    talks_in_packets_of(10, Codec::G722).await;
}

#[tokio::test]
async fn packets_of_40_ms_are_heard_and_recorded_in_their_time() {
    talks_in_packets_of(40, Codec::Pcma).await;
    talks_in_packets_of(40, Codec::G722).await;
}

#[tokio::test]
async fn packets_of_60_ms_are_heard_and_recorded_in_their_time() {
    talks_in_packets_of(60, Codec::Pcma).await;
    talks_in_packets_of(60, Codec::Opus).await;
}
