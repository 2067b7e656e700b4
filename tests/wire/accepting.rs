//! An INVITE's life on a network that repeats, crosses and loses messages.

use std::net::SocketAddr;

use super::harness::until;
use super::phone::{Manner, Phone};
use super::server::Setup;
use super::sipp::Sipp;
use super::voice::Words;

#[tokio::test]
async fn a_cancel_right_behind_its_invite_ends_the_call_whoever_was_first() {
    let server = Setup::new().start().await;
    for _ in 0..10 {
        let caller = Phone::caller(&server, "+33612345678").await;
        caller.dial(caller.invite("0261910102")).await;
        caller.cancel().await;
        caller.receives("SIP/2.0 200").await;
        let answered = || caller.received("SIP/2.0 487").len() + usize::from(caller.is_talking());
        until("the INVITE has its answer", || std::future::ready((answered() > 0).then_some(()))).await;
        if caller.is_talking() {
            caller.hang_up().await;
        }
        server.api.lives(0).await;
    }
    until("ten calls were abandoned", || async {
        let calls = server.api.calls().await;
        assert!(calls.len() <= 10, "one call for each INVITE: {calls:#?}");
        (calls.iter().filter(|call| call["outcome"] == "abandoned").count() == 10).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_phone_that_picks_up_while_it_is_cancelled_is_hung_up() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.is(Manner::PicksUpTooLate);
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.rings().await;
    caller.hang_up().await;
    anne.receives("CANCEL").await;
    anne.receives("ACK").await;
    anne.receives("BYE").await;
    let story = server.api.ended().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("abandoned"));
    assert_eq!(story["offers"][0]["end"].as_str(), Some("cancelled"));
    server.api.regulator_is("anne", "ready").await;
}

#[tokio::test]
async fn a_lost_ack_is_followed_by_a_bye() {
    let server = Setup::new().change("silence_max = \"5s\"", "silence_max = \"60s\"").start().await;
    let _anne = Phone::regulator(&server, "anne").await;
    Sipp::start(&server, "never-acks", server.centre.place.trunk, "0261910101", &[]).passes().await;
    let story = server.api.ended().await;
    assert_eq!(story["legs"][0]["ended_by"].as_str(), Some("no-ack"), "{story:#}");
    assert!(server.metric("vigie_sip_retransmitted_total").await >= 5.0);
    server.api.lives(0).await;
}

#[tokio::test]
async fn a_repeated_invite_is_one_call_and_a_merged_one_is_refused() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    let invite = caller.invite("0261910101");
    caller.dial(invite.clone()).await;
    caller.send(invite.clone()).await;
    caller.talks().await;
    anne.talks().await;
    caller.send(invite.clone()).await;
    // The same request over another path (RFC 3261 §8.2.2.2).
    caller.send(invite.replacen("branch=z9hG4bK", "branch=z9hG4bKmerged", 1)).await;
    let refused = caller.receives("SIP/2.0 482").await;
    assert!(refused.header("Via").contains("merged"), "{}", refused.0);
    let tags: std::collections::HashSet<String> =
        caller.received("SIP/2.0 200").iter().map(|ok| ok.header("To")).collect();
    assert_eq!(tags.len(), 1, "every 200 is of one dialog: {tags:?}");
    caller.hang_up().await;
    server.api.ended().await;
    assert_eq!(server.api.calls().await.len(), 1);
    assert_eq!(anne.calls_received(), 1);
}

#[tokio::test]
async fn a_stranger_in_the_audio_is_not_heard_not_recorded_and_counted() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    anne.voice.says(Words::Tone(1000.0));
    caller.dial_in("0261910101").await;
    anne.voice.hears(440.0, 300).await;

    let stranger = Phone::start([127, 9, 9, 9], server.centre.sip, "stranger").await;
    let SocketAddr::V4(target) = caller.voice.far_end() else { panic!("an IPv4 address") };
    stranger.voice.says(Words::Tone(2000.0));
    stranger.voice.aim(&format!("c=IN IP4 {}\r\nm=audio {} RTP/AVP 8\r\n", target.ip(), target.port()));
    anne.voice.hears(440.0, 2000).await;
    assert_eq!(anne.voice.heard_ms(2000.0), 0);
    drop(stranger);

    caller.hang_up().await;
    let story = server.api.sealed().await;
    let strangers = story["legs"][0]["quality"]["strangers"].as_u64().expect("a count");
    assert!((40..400).contains(&strangers), "{strangers}");
    let [left, right] = server.api.audio(&story).await;
    assert_eq!([&left, &right].map(|side| super::sound::length_of_tone_ms(side, 2000.0)), [0, 0]);
    server.assert_sound();
}
