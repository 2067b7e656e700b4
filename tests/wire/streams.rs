//! A regulator's phone over every transport and over IPv6: registered, called, heard both ways.

use std::path::PathBuf;

use super::harness::{free_port, local, until};
use super::link::Link;
use super::phone::Phone;
use super::server::{Server, Setup};

const SIP: (&str, &str) = ("Sec-WebSocket-Protocol", "sip");

/// A certificate for `localhost`, vouched for by itself alone.
fn certify(setup: &Setup) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let (certificate, key) = (setup.place.path("sip.pem"), setup.place.path("sip.key"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    (certificate, key)
}

/// Registers anne's phone, calls her, and lets both hear each other.
async fn is_called(server: &Server, anne: Phone) {
    let password = server.password("anne");
    assert_eq!(anne.register(&password, 600).await, 200);
    server.api.regulator_is("anne", "ready").await;
    let caller = Phone::caller(server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.talks().await;
    caller.voice.hears(440.0, 300).await;
    anne.voice.hears(440.0, 300).await;
    anne.hang_up().await;
    caller.is_over().await;
    assert_eq!(anne.register(&password, 0).await, 200);
    server.api.regulator_is("anne", "offline").await;
}

#[tokio::test]
async fn a_regulator_registers_and_is_called_over_tcp_tls_and_websockets() {
    let setup = Setup::new();
    let (certificate, key) = certify(&setup);
    let [tcp, tls, ws, wss] = [(); 4].map(|()| local(free_port()));
    let shown = format!("certificate = \"{}\", key = \"{}\"", certificate.display(), key.display());
    let listeners = [
        format!("\"tcp:{tcp}\""),
        format!("{{ address = \"tls:{tls}\", {shown} }}"),
        format!("\"ws:{ws}\""),
        format!("{{ address = \"wss:{wss}\", {shown}, origins = [\"https://desk.example\"] }}"),
    ];
    let server = setup.listening(&listeners.join(", ")).start().await;

    is_called(&server, Phone::over(Link::tcp(tcp).await, tcp, "anne").await).await;
    let link = Link::tls(tls, &certificate).await.expect("trusted");
    is_called(&server, Phone::over(link, tls, "anne").await).await;
    let link = Link::websocket(ws, None, &[SIP]).await.expect("welcome");
    is_called(&server, Phone::over(link, ws, "anne").await).await;
    let headers = [SIP, ("Origin", "https://desk.example")];
    let link = Link::websocket(wss, Some(&certificate), &headers).await.expect("welcome");
    is_called(&server, Phone::over(link, wss, "anne").await).await;

    // Who trusts another authority, comes from another page or speaks something else is not let in.
    let elsewhere = Setup::new();
    let (other, _) = certify(&elsewhere);
    assert!(Link::tls(tls, &other).await.is_err());
    assert!(Link::websocket(ws, None, &[SIP, ("Origin", "https://evil.example")]).await.is_err());
    assert!(Link::websocket(ws, None, &[("Sec-WebSocket-Protocol", "xmpp")]).await.is_err());
    until("the refusals are counted", || async {
        (server.metric("vigie_sip_connections_refused_total").await >= 3.0).then_some(())
    })
    .await;
    assert!(server.metric("vigie_sip_received_total").await > 0.0);
}

#[tokio::test]
async fn a_regulator_with_ipv6_talks_to_a_caller_with_ipv4() {
    let (udp, tcp) = (free_port(), free_port());
    let listeners = [format!("\"udp:[::1]:{udp}\""), format!("\"tcp:[::1]:{tcp}\"")];
    let server =
        Setup::new().listening(&listeners.join(", ")).change("[media]\n", "[media]\naddress = \"::\"\n").start().await;
    let [udp, tcp] = [udp, tcp].map(|port| format!("[::1]:{port}").parse().expect("an address"));

    is_called(&server, Phone::start(std::net::Ipv6Addr::LOCALHOST, udp, "anne").await).await;
    is_called(&server, Phone::over(Link::tcp(tcp).await, tcp, "anne").await).await;
    let story = server.api.ended().await;
    let call = story["call"]["id"].as_str().expect("an id");
    let (_, ladder) = server.api.fetch(&format!("/api/v1/calls/{call}/ladder")).await;
    let ladder = String::from_utf8(ladder).expect("text");
    assert!(ladder.contains("c=IN IP6 ::1") && ladder.contains("c=IN IP4 127.0.0.1"), "{ladder}");
}

#[tokio::test]
async fn a_phone_whose_connection_is_lost_is_noticed_at_once() {
    let tcp = local(free_port());
    let server = Setup::new().listening(&format!("\"tcp:{tcp}\"")).start().await;
    let anne = Phone::over(Link::tcp(tcp).await, tcp, "anne").await;
    assert_eq!(anne.register(&server.password("anne"), 600).await, 200);
    server.api.regulator_is("anne", "ready").await;
    until("one connection is open", || async { (server.metric("vigie_sip_connections{").await == 1.0).then_some(()) })
        .await;
    anne.vanish();
    until("the connection's end is seen", || async {
        (server.metric("vigie_sip_cut_total").await == 1.0).then_some(())
    })
    .await;
    assert_eq!(server.metric("vigie_sip_connections{").await, 0.0);
}
