//! Callers who wait: for nobody, for somebody who does not pick up, for somebody who talks.

use super::api::event_types;
use super::harness::until;
use super::phone::{Manner, Phone};
use super::server::Setup;
use super::sound::frequency;
use super::voice::Words;

#[tokio::test]
async fn with_nobody_on_duty_the_caller_is_told_so_and_the_record_says_it() {
    let server = Setup::new().start().await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.is_over().await;
    assert!(caller.voice.heard_ms(frequency("nobody")) >= 300);
    let story = server.api.ended().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("nobody-on-duty"));
    assert_eq!(story["call"]["ended_by"].as_str(), Some("message"));
    assert!(story["call"]["detail"].as_str().is_some_and(|detail| detail.contains("on duty")));
    assert!(story["offers"].as_array().is_some_and(Vec::is_empty));
}

#[tokio::test]
async fn a_caller_is_greeted_hears_music_while_waiting_and_may_give_up() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.is(Manner::Rings);
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910102").await;
    caller.voice.hears(frequency("music"), 300).await;
    anne.rings().await;
    caller.hang_up().await;
    let cancel = anne.receives("CANCEL").await;
    anne.is_over().await;
    assert!(!cancel.0.is_empty());
    let story = server.api.ended().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("abandoned"));
    assert_eq!(story["call"]["ended_by"].as_str(), Some("caller"));
    assert_eq!(story["offers"][0]["end"].as_str(), Some("cancelled"));
    assert!(story["recording"].is_null());
    let types = ["call.received", "call.queued", "call.offered", "call.offer-ended", "call.abandoned", "call.ended"];
    assert_eq!(event_types(&story), types);
    server.api.regulator_is("anne", "ready").await;
}

#[tokio::test]
async fn nobody_picks_up_and_the_caller_goes_on_to_the_next_regulator() {
    let server = Setup::new().ringing("3s").start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let bruno = Phone::regulator(&server, "bruno").await;
    anne.is(Manner::Rings);
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    bruno.talks().await;
    server.api.regulator_is("anne", "paused no-answer").await;
    server.api.regulator_is("bruno", "talking").await;
    caller.hang_up().await;
    bruno.is_over().await;
    let story = server.api.ended().await;
    let offers: Vec<_> =
        (0..2).map(|n| [&story["offers"][n]["regulator"], &story["offers"][n]["end"]].map(|v| v.as_str())).collect();
    assert_eq!(offers, [[Some("anne"), Some("timed-out")], [Some("bruno"), Some("accepted")]]);
    assert!(story["offers"][0]["detail"].as_str().is_some_and(|detail| detail.contains("3 s")));
}

#[tokio::test]
async fn a_busy_and_a_declining_phone_are_passed_over_and_told_apart() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let bruno = Phone::regulator(&server, "bruno").await;
    anne.is(Manner::IsBusy);
    bruno.is(Manner::Declines);
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    until("both have refused", || async { (anne.calls_received() > 0 && bruno.calls_received() > 0).then_some(()) })
        .await;
    anne.is(Manner::Answers);
    anne.talks().await;
    caller.hang_up().await;
    let story = server.api.ended().await;
    assert_eq!(story["call"]["regulator"].as_str(), Some("anne"));
    let offers = story["offers"].as_array().expect("offers");
    let detail = |n: usize| offers[n]["detail"].as_str().unwrap_or_default();
    assert!(detail(0).starts_with("486") && detail(1).starts_with("603"), "{offers:#?}");
    assert_eq!((offers[0]["end"].as_str(), offers[1]["end"].as_str()), (Some("refused"), Some("refused")));
}

#[tokio::test]
async fn a_phone_that_says_nothing_at_all_is_told_apart_from_one_that_nobody_picks_up() {
    let server = Setup::new().ringing("3s").start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let bruno = Phone::regulator(&server, "bruno").await;
    anne.is(Manner::IsDead);
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    bruno.talks().await;
    caller.hang_up().await;
    let story = server.api.ended().await;
    assert_eq!(story["offers"][0]["regulator"].as_str(), Some("anne"));
    assert_eq!(story["offers"][0]["end"].as_str(), Some("failed"), "{:#}", story["offers"][0]);
}

#[tokio::test]
async fn who_waits_is_answered_when_the_regulator_is_free_again() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.voice.says(Words::Tone(1000.0));
    let first = Phone::caller(&server, "+33612345678").await;
    first.dial_in("0261910101").await;
    anne.talks().await;
    let second = Phone::caller(&server, "+33687654321").await;
    second.dial_in("0261910102").await;
    second.voice.hears(frequency("music"), 300).await;
    let room = server.api.json("/room").await;
    assert_eq!(room["waiting"][0]["caller"]["e164"].as_str(), Some("+33687654321"), "{room:#}");
    first.hang_up().await;
    second.voice.hears(1000.0, 300).await;
    second.hang_up().await;
    let story = server.api.ended().await;
    assert_eq!(
        (story["call"]["outcome"].as_str(), story["call"]["line"].as_str()),
        (Some("answered"), Some("greeted"))
    );
}
