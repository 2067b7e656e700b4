//! A sealed recording is listened to from outside: its outline, Opus that ffmpeg plays, any second on, a channel a party;
//! plain and encrypted.

use std::io::Write;
use std::process::{Command, Stdio};

use super::api::Api;
use super::joining::{ANNE, CALLER, talk};
use super::server::{Server, Setup};
use super::sound::{length_of_tone_ms, read_stereo};

/// A talk of some seconds, sealed; its id.
async fn recorded(server: &Server) -> String {
    let (_anne, caller, id) = talk(server).await;
    caller.voice.hears(ANNE, 3000).await;
    caller.hang_up().await;
    server.api.sealed().await;
    id
}

/// What a door of the recording gives.
async fn fetch(api: &Api, id: &str, end: &str) -> Vec<u8> {
    let joint = if end.contains('?') { '&' } else { '?' };
    let (status, bytes) = api.fetch(&format!("/api/v1/recordings/{id}/{end}{joint}reason=wire+test")).await;
    assert_eq!(status, 200, "{end}: {}", String::from_utf8_lossy(&bytes));
    bytes
}

/// Left and right of what ffmpeg makes of an Ogg file.
fn played(ogg: Vec<u8>) -> [Vec<i16>; 2] {
    let mut player = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i", "pipe:0", "-f", "s16le", "-ac", "2", "-ar", "8000", "pipe:1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ffmpeg");
    let mut input = player.stdin.take().expect("a pipe");
    let feeding = std::thread::spawn(move || input.write_all(&ogg));
    let output = player.wait_with_output().expect("ffmpeg ends");
    feeding.join().expect("no panic").expect("all of it was taken");
    assert!(output.status.success());
    let samples: Vec<i16> = output.stdout.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    [0, 1].map(|side| samples.iter().skip(side).step_by(2).copied().collect())
}

async fn is_heard_in_every_way(server: &Server, id: &str) {
    let api = &server.api;
    let (rate, [left, right]) = read_stereo(&fetch(api, id, "audio").await);
    let length_ms = left.len() as u64 * 1000 / u64::from(rate);
    assert!(length_ms >= 3000);

    let outline: serde_json::Value = serde_json::from_slice(&fetch(api, id, "peaks").await).expect("JSON");
    assert_eq!((outline["version"].as_u64(), outline["channels"].as_u64()), (Some(2), Some(2)));
    assert_eq!(outline["length"].as_u64(), Some(left.len().div_ceil(800) as u64));
    let points = outline["data"].as_array().expect("points");
    let loud = points.chunks(4).filter(|point| point.iter().all(|at| at.as_i64().unwrap_or(0).abs() > 20)).count();
    assert!(loud >= 25, "{loud} of {} tenths of a second are loud on both sides", points.len() / 4);

    let (later_rate, later) = read_stereo(&fetch(api, id, "audio?from=1").await);
    assert!(later_rate == rate && later == [&left[8000..], &right[8000..]]);

    for (from_s, end) in [(0, "preview"), (1, "preview?from=1")] {
        let heard = played(fetch(api, id, end).await);
        let told_ms = heard[0].len() as u64 / 8 + from_s * 1000;
        assert!(told_ms.abs_diff(length_ms) <= 10, "{told_ms} of {length_ms} ms");
        for (side, whole, own, other) in [(&heard[0], &left, CALLER, ANNE), (&heard[1], &right, ANNE, CALLER)] {
            let due = length_of_tone_ms(&whole[from_s as usize * 8000..], own);
            assert!(length_of_tone_ms(side, own) + 300 >= due, "{own} Hz: {due} ms");
            // Where a tone begins, a lossy codec makes a click in which the detector may hear anything, once.
            let leaked = length_of_tone_ms(side, other);
            assert!(leaked <= 100, "{other} Hz for {leaked} of {due} ms on the side of {own} Hz, {end}");
        }
    }

    let (_, parties) = read_stereo(&fetch(api, id, "parties").await);
    assert!(parties == [left, right], "two parties sound as two sides");
    let rows = server.api.json(&format!("/audit?call={id}")).await;
    let details: Vec<&str> =
        rows["items"].as_array().expect("rows").iter().filter_map(|row| row["detail"].as_str()).collect();
    for detail in ["the outline", "from second 1", "a preview from second 1", "a channel a party from second 0"] {
        assert!(details.contains(&detail), "{detail}: {details:?}");
    }
}

#[tokio::test]
async fn a_recording_is_heard_by_outline_preview_second_and_party() {
    let server = Setup::new().start().await;
    let id = recorded(&server).await;
    is_heard_in_every_way(&server, &id).await;
    server.assert_sound();
    let later = server.api.measure(&format!("/api/v1/recordings/{id}/audio?from=1&reason=wire+test")).await;
    assert_eq!(later, fetch(&server.api, &id, "audio?from=1").await.len());
    // An outline that was taken away is not one that never was.
    let story = server.api.json(&format!("/calls/{id}")).await;
    let audio = server.centre.place.path("recordings").join(story["recording"]["path"].as_str().expect("a path"));
    std::fs::remove_file(audio.with_file_name("peaks.json")).expect("taken away");
    let (status, told) = server.api.fetch(&format!("/api/v1/recordings/{id}/peaks?reason=wire+test")).await;
    let told = String::from_utf8_lossy(&told);
    assert!(status == 500 && told.contains("vigie verify"), "{status}: {told}");
}

#[tokio::test]
async fn an_encrypted_recording_is_heard_in_the_same_ways_and_nothing_of_it_rests_plain() {
    let setup = Setup::new();
    let key = setup.place.path("kek");
    let centre =
        setup.change("[web]", &format!("[recording.encryption]\nkey = \"file:{}\"\n\n[web]", key.display())).write();
    assert!(centre.vigie(&["key", "new", key.to_str().expect("a plain path")]).status.success());
    let server = centre.start().await;
    let id = recorded(&server).await;
    is_heard_in_every_way(&server, &id).await;
    let story = server.api.json(&format!("/calls/{id}")).await;
    let path = story["recording"]["path"].as_str().expect("a path").to_owned();
    let folder = server.centre.place.path("recordings").join(path).parent().expect("a folder").to_owned();
    for file in std::fs::read_dir(&folder).expect("files") {
        let path = file.expect("a file").path();
        let is_sound =
            path.extension().is_some_and(|kind| kind == "wav" || kind == "frames") || path.ends_with("peaks.json");
        let begin = std::fs::read(&path).expect("read");
        assert_eq!(begin.starts_with(b"VIGVLT1\n"), is_sound, "{}", path.display());
    }
    // Who destroys the key has destroyed the outline with it.
    std::fs::rename(folder.join("audio.key"), folder.join("audio.key.away")).expect("taken away");
    for end in ["peaks", "preview", "parties"] {
        let (status, _) = server.api.fetch(&format!("/api/v1/recordings/{id}/{end}?reason=wire+test")).await;
        assert!(matches!(status, 500 | 503), "{end}: {status}");
    }
}
