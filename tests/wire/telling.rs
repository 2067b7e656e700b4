//! What callers are told while they wait, in their own language: their place, a forecast, a message again and again. Every word
//! is a tone of its own.

use std::collections::BTreeMap;
use std::path::Path;

use vigie::model::voice::spoken_names;

use super::harness::{let_pass, until};
use super::phone::Phone;
use super::server::Setup;
use super::sound::{self, RATE, frequency};

/// How long each word is.
const WORD_MS: u32 = 400;

/// The tone of each word: apart from every other by more than the ear's tenth of a second tells, above the centre's own sounds.
fn words(first: u32) -> BTreeMap<String, f64> {
    let tones = (0..).map(|n| f64::from(first + n * 50));
    spoken_names().into_iter().zip(tones).collect()
}

fn write_words(folder: &Path, words: &BTreeMap<String, f64>) {
    std::fs::create_dir_all(folder).expect("a folder of words");
    for (name, frequency) in words {
        let samples = sound::tone(*frequency, (RATE * WORD_MS / 1000) as usize);
        sound::write(&folder.join(format!("{name}.wav")), &samples);
    }
}

/// The words that somebody has heard so far.
fn heard(phone: &Phone, words: &BTreeMap<String, f64>) -> Vec<String> {
    let is_heard = |tone: f64| phone.voice.heard_ms(tone) >= WORD_MS / 2;
    words.iter().filter(|(_, tone)| is_heard(**tone)).map(|(name, _)| name.clone()).collect()
}

#[tokio::test]
async fn callers_are_told_their_place_and_a_forecast_and_a_message_again_each_in_the_own_language() {
    let (french, english) = (words(1600), words(1625));
    let plain = "messages = [{ after = \"2s\", every = \"10s\", sounds = [\"paused-fr\"], tell = [\"position\"] }]\n";
    let english_line = "language = \"en\"\nmessages = [\n\
        { after = \"2s\", tell = [\"position\", \"forecast\"] },\n\
        { after = \"3s\", every = \"10s\", sounds = [\"sorry\"], language = \"en\" },\n\
        { after = \"3s\", every = \"10s\", sounds = [\"nobody\"], language = \"fr\" },\n]\n";
    let setup = Setup::new()
        .change("waiting_max = \"30s\"\n", &format!("waiting_max = \"10m\"\n{plain}"))
        .change("greeting = \"greeting\"\n", english_line)
        .change("[sounds]\n", "[spoken]\nfr = \"fr\"\nen = \"en\"\n\n[sounds]\n");
    write_words(&setup.place.path("fr"), &french);
    write_words(&setup.place.path("en"), &english);
    let server = setup.start().await;
    let (_anne, busy) = Phone::pair(&server, "0261910101").await;

    let first = Phone::caller(&server, "+33612345678").await;
    first.dial_in("0261910101").await;
    until("the first waits", || async { server.api.json("/room").await["waiting"][0]["call"].as_str().map(|_| ()) })
        .await;
    let second = Phone::caller(&server, "+33612345679").await;
    second.dial_in("0261910102").await;

    until("the first is told to be next", || async { heard(&first, &french).contains(&"next".into()).then_some(()) })
        .await;
    until("the second is told the place", || async {
        let heard = heard(&second, &english);
        (heard.contains(&"position".into()) && heard.contains(&"2".into())).then_some(())
    })
    .await;
    let forecasts = ["wait-minute", "wait-within", "wait-long"];
    until("the second is told a forecast", || async {
        heard(&second, &english).iter().any(|word| forecasts.contains(&word.as_str())).then_some(())
    })
    .await;
    assert!(first.voice.heard_ms(frequency("paused")) >= 200, "the message's own sound comes before the place");

    // Again after a while, and the message of the language alone.
    until("the message comes again", || async {
        (first.voice.heard_ms(frequency("paused")) >= 600 && second.voice.heard_ms(frequency("sorry")) >= 300)
            .then_some(())
    })
    .await;
    first.voice.hears(frequency("music"), 300).await;
    let_pass(std::time::Duration::from_secs(1)).await;
    assert_eq!(second.voice.heard_ms(frequency("nobody")), 0, "that is for callers who speak French");
    assert!(heard(&first, &english).is_empty(), "{:?}", heard(&first, &english));
    assert!(heard(&second, &french).is_empty(), "{:?}", heard(&second, &french));
    for caller in [first, second, busy] {
        caller.hang_up().await;
    }
}
