//! What two places of recordings are for: a server killed in the midst of a copy leaves nothing half, and what lies in the
//! second place alone is handed out, redacted and heard as if it were here.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::archiving::{archive, copied, record, setup};
use super::disk::{Disk, Lever, SYNCS, WRITES};
use super::exporting::hand_out;
use super::harness::{let_pass, until};
use super::server::Server;

/// Longer than a write that is held looks whether it still is (`disk.c`).
const MOMENT: Duration = Duration::from_millis(6);
/// A copy that does nothing for so long is over.
const OVER_AFTER: Duration = Duration::from_millis(1500);

/// Lets the copy go on for a moment, then holds its next write or sync; whether there was one more.
async fn goes_on(disk: &Disk) -> bool {
    let before = disk.faults();
    disk.heals();
    let_pass(MOMENT).await;
    disk.set(Lever::Stall, WRITES | SYNCS);
    let end = Instant::now() + OVER_AFTER;
    while disk.faults() == before {
        if Instant::now() > end {
            return false;
        }
        let_pass(MOMENT).await;
    }
    true
}

/// The names in a folder; none when it is not there.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
        .collect();
    names.sort();
    names
}

/// What stands in the second place under its name is what is here, and with the sidecar everything is there; how many files
/// are.
fn assert_nothing_half(first: &Path, second: &Path, folder: &str) -> usize {
    let (here, there) = (first.join(folder), second.join(folder));
    let whole: Vec<String> = names(&there).into_iter().filter(|name| !name.starts_with('.')).collect();
    for name in &whole {
        let (one, other) =
            (std::fs::read(here.join(name)).expect("here"), std::fs::read(there.join(name)).expect("there"));
        assert!(one == other, "{name}: {} bytes there, {} here", other.len(), one.len());
    }
    assert!(!whole.contains(&"recording.json".to_owned()) || whole == names(&here), "the sidecar came last: {whole:?}");
    for log in names(&first.join("seal-log")).iter().filter(|name| name.ends_with(".jsonl")) {
        let here = std::fs::read(first.join("seal-log").join(log)).expect("the log here");
        let there = std::fs::read(second.join("seal-log").join(log)).expect("the log there");
        assert!(here.starts_with(&there), "the log there is the beginning of the one here");
    }
    whole.len()
}

/// Files that are being written, anywhere below.
fn parts_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in names(folder) {
        let path = folder.join(&name);
        if path.is_dir() {
            found.extend(parts_below(&path));
        } else if name.ends_with(".part") {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_server_killed_in_mid_copy_leaves_no_half_file_and_copies_the_rest_when_it_is_back() {
    let (setup, second) = setup("");
    let mut centre = setup.write();
    let first = centre.place.path("recordings");
    let disk = Disk::before([first.clone(), second.clone()], &centre.place.folder);
    disk.only_in(&second);
    centre.environment.extend(disk.environment.clone());
    let mut server = centre.start().await;
    let (story, _) = record(&server).await;
    copied(&server, &story).await;
    let mut half_way = 0;
    for moments in [0, 1, 2, 4, 7, 11] {
        let held = disk.faults();
        disk.set(Lever::Stall, WRITES | SYNCS);
        let (story, folder) = record(&server).await;
        until("the copy has begun", || async { (disk.faults() > held).then_some(()) }).await;
        for _ in 0..moments {
            if !goes_on(&disk).await {
                break;
            }
        }
        server.process.kill();
        disk.heals();
        let whole = assert_nothing_half(&first, &second, &folder);
        half_way += u32::from(whole < names(&first.join(&folder)).len());
        server.start_again().await;
        copied(&server, &story).await;
        assert_nothing_half(&first, &second, &folder);
        assert_eq!(names(&first.join(&folder)), names(&second.join(&folder)), "after {moments} moments");
        let (code, said) = archive(&server, &["check"]);
        assert_eq!(code, Some(0), "after {moments} moments: {said}");
    }
    assert!(half_way >= 2, "{half_way} kills of six struck a copy that was not whole yet");
    assert_eq!(parts_below(&second), Vec::<PathBuf>::new(), "nothing unfinished is left");
    server.assert_sound();
    let output = server.centre.vigie(&["verify", second.to_str().expect("a plain path")]);
    assert!(output.status.success(), "the second place proves itself: {}", String::from_utf8_lossy(&output.stdout));
}

/// A recording whose files here have gone is exported, redacted and heard by party from the second place.
async fn is_handed_out_from_there(server: &Server) {
    let (story, folder) = record(server).await;
    copied(server, &story).await;
    let call = story["call"]["id"].as_str().expect("an id").to_owned();
    let here = server.centre.place.path("recordings").join(&folder);
    let fetch = async |end: &str| {
        let (status, bytes) = server.api.fetch(&format!("/api/v1/recordings/{call}/{end}?reason=wire+test")).await;
        assert_eq!(status, 200, "{end}: {}", String::from_utf8_lossy(&bytes));
        bytes
    };
    let lose = || std::fs::remove_dir_all(&here).expect("lost");
    let (voices, preview, outline) = (fetch("parties").await, fetch("preview").await, fetch("peaks").await);
    lose();
    assert!(fetch("parties").await == voices, "a channel a party, from the frame files there");
    lose();
    assert!(fetch("preview").await == preview && fetch("peaks").await == outline);

    let unpacked = hand_out(server, &call);
    let sidecar = std::fs::read(unpacked.join(&call).join("recording.json")).expect("a sidecar");
    assert_eq!(std::fs::read(here.join("recording.json")).expect("it was fetched back"), sidecar);
    assert!(!here.join("audio.wav").exists(), "audio is read from there, not fetched");

    lose();
    let spans = serde_json::json!({ "spans": [{ "start_ms": 200, "end_ms": 700 }], "reason": "wire test" });
    assert_eq!(server.api.post(&format!("/recordings/{call}/redactions"), Some(spans)).await, 201);
    let copy = fetch("redactions/1/audio").await;
    let whole = fetch("audio").await;
    let (from, to) = (44 + 200 * 32, 44 + 700 * 32);
    assert!(copy[from..to].iter().all(|byte| *byte == 0) && copy[to..to + 8000] == whole[to..to + 8000]);
    // What comes when the first addendum is there alone takes the next number, not the same again.
    let there = server.centre.place.path("second").join(&folder).join("addendum-0001.json.sig");
    until("the redaction is copied", || async { there.exists().then_some(()) }).await;
    lose();
    let note = serde_json::json!({ "text": "later", "reason": "wire test" });
    assert_eq!(server.api.post(&format!("/recordings/{call}/addenda"), Some(note)).await, 201);
    assert!(here.join("addendum-0001.json").exists() && here.join("addendum-0002.json").exists());
    copied(server, &story).await;
    let (code, said) = archive(server, &["check", "--repair"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(archive(server, &["check"]).0, Some(0));
}

#[tokio::test]
async fn what_lies_in_the_second_place_alone_is_exported_redacted_and_heard_by_party() {
    let (setup, _) = setup("");
    let server = setup.start().await;
    is_handed_out_from_there(&server).await;
    server.assert_sound();
}

#[tokio::test]
async fn what_lies_encrypted_in_the_second_place_alone_is_exported_redacted_and_heard_by_party() {
    let (setup, _) = setup("");
    let server = setup.encrypted().start().await;
    is_handed_out_from_there(&server).await;
}
