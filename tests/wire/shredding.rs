//! Crypto-shredding, from outside: of a recording that two people delete, every key goes before anything else does: beside its
//! audio, set aside, and in the second place; overwritten, too; and a kill in the midst of it is made good by the next start.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::archiving::{copied, record, setup};
use super::disk::{Disk, EIO, Lever};
use super::encrypting::{Office, make_older};
use super::harness::until;

/// The key of the recording as it is named in its folder.
const KEY: &str = "audio.key";

fn names_in(folder: &Path) -> Vec<String> {
    let listed = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = listed.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn every_key_is_destroyed_before_any_audio_goes_and_a_kill_in_between_is_made_good() {
    let (setup, second) = setup("");
    let mut centre = setup.encrypted().write();
    let disk = Disk::before(centre.roots(), &centre.place.folder);
    centre.environment.extend(disk.environment.clone());
    let mut server = centre.start().await;
    let (story, folder) = record(&server).await;
    copied(&server, &story).await;
    let call = story["call"]["id"].as_str().expect("an id").to_owned();
    let first = server.centre.place.path("recordings");
    server.interrupt();
    server.end().await;
    make_older(&server.centre, &call).await;

    // What a repair may have set aside, in both places; and a second name for each key's bytes, to see what becomes of them.
    let keys: Vec<PathBuf> = [&first, &second]
        .into_iter()
        .flat_map(|root| {
            let aside = root.join("quarantine").join(&folder);
            std::fs::create_dir_all(&aside).expect("a folder");
            let moved = aside.join(format!("{KEY}.1700000000000000"));
            std::fs::copy(root.join(&folder).join(KEY), &moved).expect("a key set aside");
            std::fs::write(aside.join("audio.wav.1700000000000000"), b"corrupt").expect("audio set aside");
            [root.join(&folder).join(KEY), moved]
        })
        .collect();
    let links: Vec<PathBuf> = (0..keys.len()).map(|n| server.centre.place.path(format!("key-{n}"))).collect();
    for (key, link) in keys.iter().zip(&links) {
        std::fs::hard_link(key, link).expect("a second name");
        assert!(std::fs::read(link).expect("a key").starts_with(b"{"));
    }

    server.start_again().await;
    let audio = first.join(&folder).join("audio.wav");
    disk.only_in(&audio);
    disk.set(Lever::Name, EIO);
    let office = Office(&server.centre);
    let list = Office::id_in(&office.must_as("admin", &["custody", "propose", &call, "--reason", "yearly", "--json"]));
    office.must_as("compliance", &["custody", "approve", &list, "--reason", "seen"]);
    until("the deletion is stuck at its audio", || async {
        let metrics = server.api.text("/metrics").await;
        metrics.contains("kind=\"deletion-failed\"").then_some(())
    })
    .await;
    assert!(disk.faults() > 0 && audio.exists(), "it could not be removed");
    for (key, link) in keys.iter().zip(&links) {
        assert!(!key.exists(), "{} is still there", key.display());
        let bytes = std::fs::read(link).expect("its bytes");
        assert!(bytes.iter().all(|byte| *byte == 0), "{} was not overwritten", key.display());
    }
    assert!(second.join(&folder).join("audio.wav").exists(), "the audio of the other place goes after all keys");
    server.process.kill();
    disk.heals();

    server.start_again().await;
    until("the recording is deleted", || async {
        let told = server.api.json(&format!("/deletions/{list}")).await;
        (told["recordings"][0]["state"] == json!("deleted")).then_some(())
    })
    .await;
    for root in [&first, &second] {
        assert_eq!(names_in(&root.join(&folder)), ["deletion.json", "deletion.json.sig"], "{}", root.display());
        assert!(!root.join("quarantine").join(&folder).exists(), "{}", root.display());
    }
    let (is_sound, said) = Office(&server.centre).verify(&["kek"]);
    assert!(is_sound && said.contains("1 lawfully deleted"), "{said}");
}
