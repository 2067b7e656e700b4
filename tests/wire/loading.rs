//! `vigie load` against the executable: what it says of calls, packets and recordings is true.

use serde_json::{Value, json};

use super::server::{Server, Setup};

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
