//! `vigie load` against the executable: what it says of calls, packets and recordings is true.

use serde_json::Value;

use super::server::Setup;

#[tokio::test]
async fn a_load_is_set_up_heard_without_loss_and_found_complete_in_the_recordings() {
    let server = Setup::new().start().await;
    let target = format!("sip:+33261910101@{}", server.centre.sip);
    let from = server.centre.place.trunk.to_string();
    let centre = &server.centre;
    let output = centre.vigie(&[
        "load",
        "--callers-to",
        &target,
        "--from",
        &from,
        "--passwords",
        "state/secrets/passwords.txt",
        "--calls",
        "4",
        "--rate",
        "2",
        "--duration",
        "2",
        "--recordings",
        "recordings",
        "--json",
        "-",
    ]);
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let result: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}\n{told}"));
    assert!(output.status.success(), "{said}\n{told}");
    let (calls, rtp, recordings) = (&result["calls"], &result["rtp"], &result["recordings"]);
    assert_eq!(
        (&calls["talked"], &calls["one_sided"], &calls["faults"]),
        (&4.into(), &0.into(), &serde_json::json!({}))
    );
    // 2 s of 50 packets a second, of eight legs.
    let counted = rtp["counted_sent"].as_u64().unwrap_or_default();
    assert!((700..=816).contains(&counted), "{rtp}");
    assert_eq!((&rtp["lost"], &rtp["crossed"], &rtp["duplicates"]), (&0.into(), &0.into(), &0.into()));
    assert_eq!((&recordings["sealed"], &recordings["legs_complete"]), (&4.into(), &8.into()));
}

#[test]
fn a_load_that_nobody_would_answer_is_refused_with_what_to_do() {
    let arguments = ["load", "--callers-to", "sip:600@127.0.0.1:9", "--from", "127.0.0.1"];
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_vigie")).args(arguments).output().expect("vigie runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("--passwords"), "{told}");
}
