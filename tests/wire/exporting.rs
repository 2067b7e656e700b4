//! A recording is handed out: asked for by one person, approved by another, proven by standard tools; the key changes after it.

use std::path::PathBuf;
use std::process::Command;

use super::harness::{let_pass, until};
use super::phone::Phone;
use super::server::{Centre, Server, Setup};
use super::voice::Words;
use std::time::Duration;

/// `vigie` with arguments that must succeed; what it said.
fn vigie(centre: &Centre, arguments: &[&str]) -> String {
    let output = centre.vigie(arguments);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    said
}

/// One recording asked for by one person, approved by another, fetched, and proven by the commands of its own VERIFY.txt; where
/// it is unpacked.
pub fn hand_out(server: &Server, call: &str) -> PathBuf {
    let place = |name: &str| server.centre.place.path(name).display().to_string();
    let (config, out) = (place("vigie.toml"), place("export.zip"));
    let (admin, compliance) = (place("state/secrets/api-token-admin"), place("state/secrets/api-token-compliance"));
    let common = ["--config", config.as_str(), "--reason", "réquisition 12", "--token-file"];
    let with = |more: &[&str], token: &str| -> Vec<String> {
        [&["export"][..], more, &common, &[token]].concat().into_iter().map(str::to_owned).collect()
    };
    let run = |arguments: &[String]| server.centre.vigie(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let asked = run(&with(&[call], &compliance));
    let said = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(asked.status.success(), "{said}{}", String::from_utf8_lossy(&asked.stderr));
    let id = said.lines().next().expect("an id").to_owned();
    let fetch = with(&["--fetch", &id, "--output", &out], &compliance);
    assert!(!run(&fetch).status.success(), "nobody has approved it");
    assert!(!run(&with(&["--approve", &id], &compliance)).status.success(), "by who asked for it");
    assert!(run(&with(&["--approve", &id], &admin)).status.success());
    let fetched = run(&fetch);
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));

    let unpacked = server.centre.place.path(format!("unpacked-{id}"));
    std::fs::create_dir(&unpacked).expect("a folder");
    let shell = |line: &str| Command::new("sh").args(["-c", line]).current_dir(&unpacked).output().expect("a shell");
    assert!(shell("unzip -q ../export.zip").status.success());
    let text = std::fs::read_to_string(unpacked.join("VERIFY.txt")).expect("instructions");
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert!(lines.len() > 6, "{text}");
    for line in lines {
        let done = shell(line);
        assert!(done.status.success(), "{line}\n{}", String::from_utf8_lossy(&done.stderr));
    }
    unpacked
}

#[tokio::test]
async fn an_export_needs_two_people_and_its_own_commands_prove_it_and_keys_change_without_losing_it() {
    let mut server = Setup::new().change("[web]", "[proof]\nroot_every = \"1s\"\n\n[web]").start().await;
    let (anne, caller) = Phone::pair(&server, "0261910101").await;
    anne.voice.says(Words::Tone(1000.0));
    caller.voice.hears(1000.0, 300).await;
    assert_eq!(caller.reoffer("sendonly").await.status(), 200);
    let_pass(Duration::from_millis(500)).await;
    assert_eq!(caller.reoffer("sendrecv").await.status(), 200);
    caller.hang_up().await;
    drop(anne);
    let story = server.api.sealed().await;
    let call = story["call"]["id"].as_str().expect("an id").to_owned();
    let folder = server.centre.place.folder.clone();
    let place = |name: &str| folder.join(name).display().to_string();
    let config = place("vigie.toml");
    let roots = place("recordings/seal-log");
    until("a root is made", || async {
        let listed = Command::new("find").args([&roots, "-path", "*.roots/*.json"]).output().expect("find");
        (!listed.stdout.is_empty()).then_some(())
    })
    .await;

    let unpacked = hand_out(&server, &call);
    let sidecar = std::fs::read_to_string(unpacked.join(&call).join("recording.json")).expect("a sidecar");
    let sidecar: serde_json::Value = serde_json::from_str(&sidecar).expect("JSON");
    let history = sidecar["dialog"][0]["party_history"].as_array().expect("a history");
    let words: Vec<&str> = history.iter().filter_map(|one| one["event"].as_str()).collect();
    for word in ["join", "hold", "unhold", "drop"] {
        assert!(words.contains(&word), "{word}: {history:?}");
    }

    server.interrupt();
    server.end().await;
    let rotated = vigie(&server.centre, &["seal-key", "rotate", "--config", &config]);
    assert!(rotated.contains("new key"), "{rotated}");
    server.start_again().await;
    let (code, said) = server.verify();
    assert_eq!(code, Some(0), "{said}");
    let database = place("state/vigie.db");
    let told = vigie(&server.centre, &["verify", &place("recordings"), "--database", &database]);
    assert!(told.contains("1 rows of the database compared"), "{told}");
}
