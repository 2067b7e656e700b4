//! Phones over TCP and TLS: heard both ways, and refused when their papers, or ours, are wrong.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::baresip::{Baresip, Over};
use super::certificates::Authority;
use super::harness::{free_port, local, until};
use super::phone::Phone;
use super::pjsua::Pjsua;
use super::server::{Server, Setup};
use super::sound::{frequency, length_of_tone_ms};

/// A phone of each kind has its call over TCP, on a connection that it has opened.
#[tokio::test]
async fn baresip_over_tcp_is_called_is_heard_and_hangs_up() {
    let (setup, port) = over_tcp(Setup::new());
    let server = setup.start().await;
    let anne = Baresip::regulator_over(&server, "anne", 1000.0, Over::Tcp(local(port))).await;
    is_called_and_hangs_up(&server, anne).await;
}

#[tokio::test]
async fn pjsua2_over_tcp_is_called_holds_and_hangs_up() {
    let (setup, port) = over_tcp(Setup::new());
    let server = setup.start().await;
    let settings = json!({ "tone": 1000, "transport": "tcp", "server": local(port).to_string() });
    let anne = Pjsua::regulator_with(&server, "anne", settings).await;
    holds_and_hangs_up(&server, &anne).await;
}

#[tokio::test]
async fn baresip_over_tls_is_called_is_heard_and_hangs_up() {
    let setup = Setup::new();
    let authority = Authority::new(&setup.place.folder, "authority");
    let (setup, port) = over_tls(setup, &authority, "");
    let server = setup.start().await;
    let over = Over::Tls(local(port), authority.file.clone());
    let anne = Baresip::regulator_over(&server, "anne", 1000.0, over).await;
    is_called_and_hangs_up(&server, anne).await;
}

#[tokio::test]
async fn pjsua2_over_tls_is_called_and_with_another_authority_it_never_gets_in() {
    let setup = Setup::new();
    let authority = Authority::new(&setup.place.folder, "authority");
    let other = Authority::new(&setup.place.folder, "another-authority");
    let (setup, port) = over_tls(setup, &authority, "");
    let server = setup.start().await;
    let settings =
        |ca: &Authority| json!({ "tone": 1000, "transport": "tls", "server": local(port).to_string(), "ca": ca.file });
    let distrusting = Pjsua::stranger(&server, "anne", settings(&other)).await;
    let refused = distrusting.sees("registration", |event| event["status"].as_u64() >= Some(400)).await;
    assert_eq!(refused["status"], 503, "{refused}");
    assert_eq!(server.api.regulator("anne").await, "offline");
    drop(distrusting);

    let anne = Pjsua::regulator_with(&server, "anne", settings(&authority)).await;
    holds_and_hangs_up(&server, &anne).await;
}

#[tokio::test]
async fn openssl_trusts_us_by_our_authority_alone() {
    let setup = Setup::new();
    let authority = Authority::new(&setup.place.folder, "authority");
    let other = Authority::new(&setup.place.folder, "another-authority");
    let (setup, port) = over_tls(setup, &authority, "");
    let server = setup.start().await;
    for version in ["-tls1_2", "-tls1_3"] {
        let (agrees, said) = s_client(port, &authority.file, version);
        assert!(agrees, "{said}");
        let (agrees, said) = s_client(port, &other.file, version);
        assert!(!agrees && said.contains("unable to get local issuer certificate"), "{said}");
    }
    let (agrees, said) = s_client(port, &authority.file, "-tls1_1");
    assert!(!agrees, "nothing older than TLS 1.2: {said}");
    drop(server);
}

#[tokio::test]
async fn who_has_no_certificate_of_the_carriers_authority_is_not_let_in() {
    let setup = Setup::new();
    let authority = Authority::new(&setup.place.folder, "authority");
    let carriers = Authority::new(&setup.place.folder, "carriers-authority");
    let (right, wrong) = (carriers.signs("carrier"), authority.signs("nobody"));
    let more = format!(", client_ca = \"{}\"", carriers.file.display());
    let (setup, port) = over_tls(setup, &authority, &more);
    let server = setup.start().await;
    let settings = |more: serde_json::Value| {
        let mut all = json!({ "transport": "tls", "server": local(port).to_string(), "ca": authority.file });
        all.as_object_mut().expect("settings").extend(more.as_object().expect("settings").clone());
        all
    };
    let without = Pjsua::stranger(&server, "anne", settings(json!({}))).await;
    without.sees("registration", |event| event["status"].as_u64() >= Some(400)).await;
    let files = json!({ "certificate": wrong.certificate, "key": wrong.key });
    let unknown = Pjsua::stranger(&server, "anne", settings(files)).await;
    unknown.sees("registration", |event| event["status"].as_u64() >= Some(400)).await;
    assert_eq!(server.api.regulator("anne").await, "offline");

    let files = json!({ "certificate": right.certificate, "key": right.key });
    Pjsua::regulator_with(&server, "anne", settings(files)).await;
}

/// The setup with a TCP listener, and its port.
fn over_tcp(setup: Setup) -> (Setup, u16) {
    let port = free_port();
    (setup.listening(&format!("\"tcp:{}\"", local(port))), port)
}

/// The setup with a TLS listener whose certificate is of `authority`, and its port; `more` are further keys.
fn over_tls(setup: Setup, authority: &Authority, more: &str) -> (Setup, u16) {
    let (port, paper) = (free_port(), authority.signs("server"));
    let files = format!("certificate = \"{}\", key = \"{}\"", paper.certificate.display(), paper.key.display());
    let listener = format!("{{ address = \"tls:{}\", {files}{more} }}", local(port));
    (setup.listening(&listener), port)
}

async fn is_called_and_hangs_up(server: &Server, anne: Baresip) {
    let caller = Phone::caller(server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(1000.0, 500).await;
    until("baresip hears the caller", || {
        std::future::ready((length_of_tone_ms(&anne.heard(), 440.0) >= 500).then_some(()))
    })
    .await;
    anne.command("hangup", "");
    caller.is_over().await;
    let story = server.api.sealed().await;
    assert_eq!(story["call"]["ended_by"].as_str(), Some("regulator"));

    // Once more on the same connection, and the caller hangs up.
    server.api.regulator_is("anne", "ready").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(1000.0, 300).await;
    caller.hang_up().await;
    server.api.regulator_is("anne", "ready").await;
}

async fn holds_and_hangs_up(server: &Server, anne: &Pjsua) {
    let caller = Phone::caller(server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.call_is(0, "CONFIRMED").await;
    anne.hears(0, 440.0, 500).await;
    caller.voice.hears(1000.0, 500).await;
    anne.does("hold", json!({ "call": 0 })).await;
    caller.voice.hears(frequency("music"), 300).await;
    anne.does("resume", json!({ "call": 0 })).await;
    caller.voice.hears(1000.0, 500).await;
    anne.does("hang_up", json!({ "call": 0 })).await;
    caller.is_over().await;
    let story = server.api.sealed().await;
    assert_eq!(story["call"]["ended_by"].as_str(), Some("regulator"));
}

/// Whether `openssl s_client` agrees to a connection when it trusts `ca` alone, and what it says.
fn s_client(port: u16, ca: &Path, version: &str) -> (bool, String) {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-verify_return_error", "-CAfile"]).arg(ca);
    command.args(["-connect", &local(port).to_string(), version]).stdin(Stdio::null());
    let output = command.output().expect("openssl runs");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}
