//! Listening while the key is away or is another one: said in words, in the audit as refused, no file harmed; and it is heard
//! again when the key is back.

use std::path::Path;

use serde_json::Value;

use super::encrypting::{Office, files_below};
use super::harness::{until, within, write_secret};
use super::joining::{ANNE, talk};
use super::server::{Server, Setup};
use super::sound::length_of_tone_ms;

/// A key that is back is found within this: it is looked for every 10 s.
const FOUND_WITHIN: std::time::Duration = std::time::Duration::from_secs(40);

/// What can be listened to.
const DOORS: [&str; 5] = ["audio", "audio?from=1", "preview", "parties", "peaks"];

async fn ask(server: &Server, call: &str, door: &str) -> (u16, Value) {
    let joint = if door.contains('?') { '&' } else { '?' };
    let path = format!("/api/v1/recordings/{call}/{door}{joint}reason=wire+test");
    let (status, bytes) = server.api.fetch(&path).await;
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// Every door is closed with these words, and each wish stands in the audit with its refusal.
async fn assert_locked(server: &Server, call: &str, words: &[&str]) {
    for door in DOORS {
        let (status, problem) = ask(server, call, door).await;
        assert_eq!(status, 503, "{door}: {problem:#}");
        assert_eq!(problem["type"], "urn:vigie:problem:key-absent", "{door}: {problem:#}");
        let detail = problem["detail"].as_str().expect("a detail");
        for word in words {
            assert!(detail.contains(word), "{door}: no {word} in: {detail}");
        }
        assert!(!detail.contains("()"), "{door}: {detail}");
        let rows = server.api.json(&format!("/audit?call={call}&limit=2")).await;
        let (refusal, wish) = (&rows["items"][0], &rows["items"][1]);
        assert_eq!((&refusal["act"], &wish["act"]), (&"recording.listen.refused".into(), &"recording.listen".into()));
        assert_eq!(refusal["refuses"], wish["position"], "{rows:#}");
        assert!(wish["refusal"].as_str().is_some_and(|why| why.contains("key-encryption key")), "{wish:#}");
    }
    let spans = serde_json::json!({"spans": [{"start_ms": 0, "end_ms": 100}], "reason": "a test"});
    let (status, problem) = server.api.told(&format!("/recordings/{call}/redactions"), spans).await;
    assert_eq!((status, &problem["type"]), (503, &"urn:vigie:problem:key-absent".into()), "{problem:#}");
}

async fn assert_heard(server: &Server, story: &Value, call: &str) {
    let [_, right] = server.api.audio(story).await;
    assert!(length_of_tone_ms(&right, ANNE) >= 300);
    for door in DOORS {
        assert_eq!(ask(server, call, door).await.0, 200, "{door}");
    }
}

fn contents(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut all: Vec<_> =
        files_below(folder).into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a file"))).collect();
    all.sort();
    all
}

async fn restart(server: &mut Server) {
    server.interrupt();
    server.end().await;
    server.start_again().await;
}

#[tokio::test]
async fn who_listens_while_the_key_is_away_or_wrong_is_told_what_to_do_and_hears_it_when_the_key_is_back() {
    let mut server = Setup::new().encrypted().start().await;
    let (anne, caller, call) = talk(&server).await;
    super::harness::let_pass(std::time::Duration::from_millis(1500)).await;
    caller.hang_up().await;
    drop(anne);
    let story = server.api.sealed().await;
    let path = story["recording"]["path"].as_str().expect("a path");
    let folder = server.centre.place.path("recordings").join(path).parent().expect("a folder").to_owned();
    let id_of = |path: &Path| {
        let source = format!("file:{}", path.display()).parse().expect("a source");
        vigie::vault::MasterKey::fetch(&source, std::time::Duration::from_secs(5)).expect("a key").id().to_owned()
    };
    let (key, away) = (server.centre.place.path("kek"), server.centre.place.path("kek.away"));
    let right = id_of(&key);
    let before = contents(&folder);

    // Its file goes while the server runs: the key is in memory, and everything goes on.
    std::fs::rename(&key, &away).expect("taken away");
    assert_heard(&server, &story, &call).await;

    // Away at a start.
    restart(&mut server).await;
    let file = key.display().to_string();
    assert_locked(&server, &call, &[&right, &file, "No such file", "recording.encryption.key", "ask again"]).await;
    let office = Office(&server.centre);
    let (is_done, said) = office.try_as("compliance", &["export", &call, "--reason", "réquisition 12"]);
    assert!(is_done, "an export may be asked for: {said}");
    let id = said.lines().next().expect("an id").to_owned();
    office.must_as("admin", &["export", "--approve", &id, "--reason", "seen"]);
    let zip = office.path("export.zip");
    let fetch = ["export", "--fetch", &id, "--output", &zip, "--reason", "réquisition 12"];
    let (is_done, said) = office.try_as("compliance", &fetch);
    assert!(!is_done && said.contains("503") && said.contains(&right), "{said}");
    assert!(contents(&folder) == before, "no byte of it was changed");

    // Back: found without a restart.
    std::fs::rename(&away, &key).expect("back");
    within(FOUND_WITHIN, "it is heard again", || async { (ask(&server, &call, "audio").await.0 == 200).then_some(()) })
        .await;
    assert_heard(&server, &story, &call).await;

    // Another key in its place.
    std::fs::rename(&key, &away).expect("taken away");
    let other = vigie::vault::new_master_key().expect("a key").0;
    write_secret(&key, other.as_bytes());
    let wrong = id_of(&key);
    restart(&mut server).await;
    assert_locked(&server, &call, &[&right, &wrong, "wrong key"]).await;
    assert!(contents(&folder) == before, "no byte of it was changed");

    // A command that prints no key.
    std::fs::remove_file(&key).expect("removed");
    let text = std::fs::read_to_string(&server.centre.config).expect("the configuration");
    let by_command = text.replace(&format!("file:{file}"), &format!("command:cat {file}"));
    assert_ne!(text, by_command);
    std::fs::write(&server.centre.config, by_command).expect("written");
    restart(&mut server).await;
    assert_locked(&server, &call, &[&right, "cat failed"]).await;
    std::fs::rename(&away, &key).expect("back");
    restart(&mut server).await;
    assert_heard(&server, &story, &call).await;
    assert!(contents(&folder) == before, "no byte of it was changed");
    let (is_sound, said) = Office(&server.centre).verify(&["kek"]);
    assert!(is_sound, "{said}");
}

#[tokio::test]
async fn a_key_file_that_others_can_read_is_told_with_the_remedy() {
    use std::os::unix::fs::PermissionsExt;
    let mut server = Setup::new().encrypted().start().await;
    let key = server.centre.place.path("kek");
    let config = server.centre.config.display().to_string();
    let check = || {
        let ended = server.centre.vigie(&["check", "--config", &config]);
        String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned()
    };
    assert!(!check().contains("chmod"), "{}", check());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let said = check();
    assert!(said.contains("kek") && said.contains("644") && said.contains("chmod go= "), "{said}");
    restart(&mut server).await;
    until("the server has told it", || async {
        let log = server.process.output();
        (log.contains("can be read") && log.contains("chmod go=")).then_some(())
    })
    .await;
}
