//! Who fails too often is banned for a while, seen and pardoned by the API; a carrier never is.

use tokio::net::UdpSocket;

use super::harness::until;
use super::phone::Phone;
use super::server::{Server, Setup};

/// Where somebody tries passwords; no phone of ours is there.
const STRANGER: [u8; 4] = [127, 0, 3, 7];

/// Tries ten wrong passwords, and waits until that is a ban.
async fn guess(server: &Server) -> Phone {
    let guesser = Phone::start(STRANGER, server.centre.sip, "anne").await;
    for n in 1..=10 {
        assert_eq!(guesser.register(&format!("guess {n}"), 600).await, 401, "guess {n}");
    }
    guesser
}

async fn banned(server: &Server) -> Vec<String> {
    let bans = server.api.json("/sip/bans").await;
    bans.as_array().expect("bans").iter().map(|ban| ban["who"].as_str().expect("whom").to_owned()).collect()
}

async fn nobody_is_banned(server: &Server) {
    until("the ban is over", || async { banned(server).await.is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn ten_wrong_passwords_are_a_ban_that_is_seen_and_lifted_and_the_others_go_on() {
    let server = Setup::new().start().await;
    let (anne, caller) = Phone::pair(&server, "0261910101").await;

    let guesser = guess(&server).await;
    until("the ban is told", || async { (banned(&server).await == ["127.0.3.7"]).then_some(()) }).await;
    let ban = server.api.json("/sip/bans").await[0].clone();
    assert_eq!((ban["kind"].as_str(), ban["failures"].as_u64()), (Some("source"), Some(10)), "{ban:#}");

    // Not even a challenge comes from now on.
    let answers = guesser.received("SIP/2.0").len();
    guesser.send(guesser.plain("OPTIONS", &format!("sip:{}", server.centre.sip), "anne")).await;
    until("it is dropped", || async { (server.metric("vigie_sip_banned_dropped_total").await >= 1.0).then_some(()) })
        .await;
    assert_eq!(guesser.received("SIP/2.0").len(), answers);

    assert_eq!(anne.register(&server.password("anne"), 600).await, 200, "her own phone is not touched");
    caller.voice.hears(440.0, 300).await;
    caller.hang_up().await;

    assert_eq!(server.api.delete("/sip/bans/127.0.3.7").await, 204);
    assert_eq!(server.api.delete("/sip/bans/127.0.3.7").await, 404);
    assert!(banned(&server).await.is_empty());
    assert_eq!(guesser.register(&server.password("anne"), 600).await, 200);
}

#[tokio::test]
async fn a_ban_ends_by_itself() {
    let server = Setup::new().change("digest = \"md5\"", "digest = \"md5\"\nban_duration = \"2s\"").start().await;
    let guesser = guess(&server).await;
    until("the ban is counted", || async { (server.metric("vigie_sip_banned_total").await >= 1.0).then_some(()) })
        .await;
    nobody_is_banned(&server).await;
    assert_eq!(guesser.register(&server.password("anne"), 600).await, 200);
}

/// More than `ban_strays` of what is no SIP, and requests of somebody unknown, from this address.
async fn pester(server: &Server, address: std::net::IpAddr) {
    let socket = UdpSocket::bind((address, 0)).await.expect("a socket");
    let phone = Phone::start(address, server.centre.sip, "nobody-of-ours").await;
    let before = server.metric("vigie_sip_received_total").await;
    for n in 0..300 {
        let garbage = format!("INVITE \u{1}{n} garbage SIP/2.0\r\nVia: ;;;\r\n\r\n");
        socket.send_to(garbage.as_bytes(), server.centre.sip).await.expect("sent");
        phone.send(phone.plain("SUBSCRIBE", &format!("sip:nobody@{}", server.centre.sip), "nobody")).await;
    }
    until("it was all taken in, or dropped", || async {
        let taken = server.metric("vigie_sip_received_total").await - before;
        let dropped = server.metric("vigie_sip_banned_dropped_total").await;
        (taken + dropped >= 400.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stranger_that_pesters_is_banned_and_a_carrier_that_does_the_same_never() {
    let server = Setup::new().start().await;
    let (anne, caller) = Phone::pair(&server, "0261910101").await;

    pester(&server, server.centre.place.trunk).await;
    assert!(banned(&server).await.is_empty(), "a carrier is never banned");
    pester(&server, STRANGER.into()).await;
    until("the stranger is banned", || async { (banned(&server).await == ["127.0.3.7"]).then_some(()) }).await;

    anne.voice.hears(440.0, 300).await;
    caller.hang_up().await;
    caller.dial_in("0261910101").await;
    caller.hang_up().await;
}
