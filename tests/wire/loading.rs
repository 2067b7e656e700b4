//! `vigie load` against the executable: what it says of calls, packets and recordings is true.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::harness::{Place, Process, free_port, let_pass, until};
use super::server::{Server, Setup};

/// Percentiles of so many values, in their order and of a size that loopback can have.
fn is_spread(of: &Value, count: u64) -> bool {
    let ms = ["p50_ms", "p99_ms", "p999_ms", "max_ms"].map(|key| of[key].as_f64().expect("a figure in milliseconds"));
    of["count"].as_u64() >= Some(count) && ms[0] > 0.0 && ms.is_sorted() && ms[3] < 30_000.0
}

/// Plays four calls of 2 s each; the result.
fn play(server: &Server, more: &[&str]) -> Value {
    let centre = &server.centre;
    let target = format!("sip:+33261910101@{}", centre.sip);
    let from = centre.place.trunk.to_string();
    let mut arguments = vec!["load", "--callers-to", &target, "--from", &from];
    arguments.extend(["--passwords", "state/secrets/passwords.txt", "--recordings", "recordings", "--json", "-"]);
    arguments.extend(["--calls", "4", "--rate", "2", "--duration", "2"]);
    arguments.extend(more);
    let output = centre.vigie(&arguments);
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let result: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}\n{told}"));
    assert!(output.status.success(), "{said}\n{told}");
    let (calls, rtp, recordings) = (&result["calls"], &result["rtp"], &result["recordings"]);
    assert_eq!((&calls["talked"], &calls["one_sided"], &calls["faults"]), (&4.into(), &0.into(), &json!({})));
    assert_eq!((&rtp["lost"], &rtp["crossed"], &rtp["duplicates"]), (&0.into(), &0.into(), &0.into()));
    assert_eq!((&recordings["sealed"], &recordings["legs_complete"]), (&4.into(), &8.into()));
    for set_up in ["accepted", "rung", "talked"] {
        assert!(is_spread(&result["set_up"][set_up], 4), "{set_up}: {:#}", result["set_up"]);
        let line = told.lines().find(|line| line.starts_with(set_up)).unwrap_or_default();
        assert!(line.contains("p50 ") && line.contains("p99 ") && line.contains(" ms"), "{set_up}: {told}");
    }
    result
}

/// 2 s of 50 packets a second, of eight legs.
fn is_whole(counted: &Value) -> bool {
    counted.as_u64().is_some_and(|counted| (700..=816).contains(&counted))
}

#[tokio::test]
async fn a_load_is_set_up_heard_without_loss_and_found_complete_in_the_recordings() {
    let server = Setup::new().start().await;
    let rtp = &play(&server, &[])["rtp"];
    assert!(is_whole(&rtp["counted_sent"]) && rtp["transcoded"] == json!(false), "{rtp}");
    assert!(is_spread(&rtp["delay"], 700), "{rtp:#}");
}

#[tokio::test]
async fn a_load_that_was_stopped_for_a_second_says_that_it_was_starved_itself() {
    let server = Setup::new().start().await;
    let centre = &server.centre;
    let (target, from) = (format!("sip:+33261910101@{}", centre.sip), centre.place.trunk.to_string());
    let json = centre.place.path("result.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
    command.args(["load", "--callers-to", &target, "--from", &from, "--calls", "2", "--rate", "2", "--duration", "5"]);
    command.args(["--passwords", "state/secrets/passwords.txt", "--json"]).arg(&json).current_dir(&centre.place.folder);
    let mut load = Process::start("vigie load", &mut command, &centre.place.path("load.log"));
    server.api.lives(2).await;
    let_pass(Duration::from_millis(1500)).await;
    load.signal(Signal::STOP);
    let_pass(Duration::from_secs(1)).await;
    load.signal(Signal::CONT);
    load.end().await;
    let result: Value = serde_json::from_slice(&std::fs::read(&json).expect("a result")).expect("JSON");
    let own = &result["own"];
    assert_eq!(own["starved"], json!(true), "{result:#}");
    assert!(own["left_out"].as_u64() > Some(0) && own["lateness"]["max_ms"].as_f64() > Some(800.0), "{own:#}");
    assert!(load.output().contains("STARVED"), "{}", load.output());
}

/// SIPp answers calls by itself, at this address; with `-rtp_echo` it sends back what it hears.
async fn sipp(place: &Place, more: &[&str]) -> (Process, String) {
    let (port, media) = (free_port(), free_port());
    let mut command = Command::new("sipp");
    command.args(["-sn", "uas", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin", "-p", &port.to_string()]);
    command.args(["-mp", &media.to_string()]).args(more).current_dir(&place.folder);
    let process = Process::start("sipp", &mut command, &place.path("sipp.log"));
    until("SIPp listens", || std::future::ready(UdpSocket::bind(("127.0.0.1", port)).is_err().then_some(()))).await;
    (process, format!("sip:600@127.0.0.1:{port}"))
}

/// Plays a load on SIPp; whether all went well, the result and what was told.
fn play_on(target: &str, more: &[&str]) -> (bool, Value, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
    command.args(["load", "--callers-to", target, "--from", "127.0.0.1", "--echo", "--codec", "pcmu", "--json", "-"]);
    let output = command.args(more).output().expect("vigie runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let result = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"));
    (output.status.success(), result, told)
}

#[tokio::test]
async fn a_load_on_another_s_server_that_echoes_is_counted_and_says_what_it_could_not_check() {
    let place = Place::new();
    let (_sipp, target) = sipp(&place, &["-rtp_echo"]).await;
    let (is_good, result, told) = play_on(&target, &["--calls", "4", "--rate", "2", "--duration", "2"]);
    assert!(is_good, "{result:#}\n{told}");
    let (calls, rtp) = (&result["calls"], &result["rtp"]);
    assert_eq!((&calls["talked"], &calls["faults"], &calls["one_sided"]), (&4.into(), &json!({}), &0.into()));
    assert_eq!((&rtp["lost"], &rtp["crossed"]), (&0.into(), &0.into()), "{rtp}");
    // Four legs of 100 packets: the far ends' are the same ones.
    assert!(rtp["counted_sent"].as_u64().is_some_and(|sent| (350..=408).contains(&sent)), "{rtp}");
    assert!(is_spread(&rtp["delay"], 350) && is_spread(&result["set_up"]["accepted"], 4), "{result:#}");
    assert!(result["set_up"]["rung"]["count"] == 0 && result["recordings"].is_null(), "{result:#}");
    let not_checked = result["not_checked"].as_array().expect("what was not checked").len();
    assert_eq!(not_checked, 3, "{result:#}");
    assert!(
        told.contains("rung        not known") && told.contains("not checked which way a packet was lost"),
        "{told}"
    );
}

#[tokio::test]
async fn a_load_on_another_s_server_that_answers_and_is_silent_fails_and_says_why() {
    let place = Place::new();
    let (_sipp, target) = sipp(&place, &[]).await;
    let (is_good, result, told) = play_on(&target, &["--calls", "1", "--patience", "2", "--duration", "2"]);
    let calls = &result["calls"];
    assert!(!is_good && calls["accepted"] == 1 && calls["talked"] == 0, "{result:#}");
    assert!(told.contains("the sides did not hear each other in time"), "{told}");
}

#[tokio::test]
async fn a_load_whose_regulators_demand_srtp_loses_nothing() {
    let server = Setup::new().change("digest = \"md5\"", "digest = \"md5\"\nsrtp = \"required\"").start().await;
    let rtp = &play(&server, &["--srtp"])["rtp"];
    assert!(is_whole(&rtp["counted_sent"]), "{rtp}");
}

#[tokio::test]
async fn a_load_that_is_transcoded_is_counted_by_the_servers_own_packets() {
    let server = Setup::new().start().await;
    let rtp = &play(&server, &["--regulator-codec", "g722"])["rtp"];
    assert!(is_whole(&rtp["counted_sent"]) && rtp["transcoded"] == json!(true), "{rtp}");
    // Nothing came through as it was said once they talked.
    assert_eq!(rtp["delay"]["count"], 0, "{rtp}");
}

#[test]
fn a_load_that_nobody_would_answer_is_refused_with_what_to_do() {
    let arguments = ["load", "--callers-to", "sip:600@127.0.0.1:9", "--from", "127.0.0.1"];
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_vigie")).args(arguments).output().expect("vigie runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("--passwords"), "{told}");
}
