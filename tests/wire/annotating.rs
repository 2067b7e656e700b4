//! What comes after the seal, over the API: a redacted copy whose span is silent, a note in words, a legal hold; each proven,
//! each in an export, none of it touching the original, and a changed byte in any of them is named.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::encrypting::{Office, export_and_prove};
use super::harness::let_pass;
use super::joining::{ANNE, CALLER, talk};
use super::server::{Server, Setup};
use super::sound::{amplitude, read_stereo};

/// The silenced span.
const SPAN_MS: std::ops::Range<usize> = 600..1400;
/// Samples a millisecond.
const RATE_KHZ: usize = 8;

/// A call of some seconds in which both speak all the time: its id and its recording's folder.
async fn record(server: &Server) -> (String, PathBuf) {
    let (anne, caller, call) = talk(server).await;
    let_pass(Duration::from_millis(2500)).await;
    caller.hang_up().await;
    drop(anne);
    let story = server.api.sealed().await;
    let path = story["recording"]["path"].as_str().expect("a path").to_owned();
    let folder = server.centre.place.path("recordings").join(path).parent().expect("a folder").to_owned();
    (call, folder)
}

/// Both tones are heard in `outside` of the span, and nothing at all in it.
fn assert_silenced([left, right]: &[Vec<i16>; 2]) {
    for (side, tone) in [(left, CALLER), (right, ANNE)] {
        let [from, to] = [SPAN_MS.start, SPAN_MS.end].map(|ms| ms * RATE_KHZ);
        assert!(side[from..to].iter().all(|sample| *sample == 0), "the span is silent");
        for heard in [&side[from - 2400..from], &side[to..to + 2400]] {
            assert!(amplitude(heard, tone) > 1000.0, "{tone} Hz is heard beside it: {}", amplitude(heard, tone));
        }
    }
}

#[tokio::test]
async fn a_redacted_copy_is_silent_in_its_span_alone_and_the_original_and_every_seal_stay() {
    let server = Setup::new().start().await;
    let (call, folder) = record(&server).await;
    let audio = || std::fs::read(folder.join("audio.wav")).expect("the audio");
    let original = audio();
    let spans = json!([{"start_ms": SPAN_MS.start, "end_ms": SPAN_MS.end}]);
    let path = format!("/recordings/{call}/redactions");
    let (status, told) = server.api.told(&path, json!({"spans": spans, "reason": "a third person's name"})).await;
    assert_eq!(status, 201, "{told:#}");
    let number = told[0]["addendum"].as_u64().expect("a number");
    assert_eq!((&told[0]["kind"], &told[0]["body"]["spans"]), (&json!("redaction"), &spans), "{told:#}");
    let (status, copy) = server.api.fetch(&format!("/api/v1{path}/{number}/audio?reason=wire+test")).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&copy));
    let (_, sides) = read_stereo(&copy);
    assert_silenced(&sides);
    let (_, whole) = read_stereo(&original);
    for (side, was) in sides.iter().zip(&whole) {
        assert_eq!(side.len(), was.len());
        assert!(side[..SPAN_MS.start * RATE_KHZ] == was[..SPAN_MS.start * RATE_KHZ], "before it, sample for sample");
        assert!(side[SPAN_MS.end * RATE_KHZ..] == was[SPAN_MS.end * RATE_KHZ..], "and after it");
        assert!(was[SPAN_MS.start * RATE_KHZ..SPAN_MS.end * RATE_KHZ].iter().any(|sample| *sample != 0));
    }
    assert!(audio() == original, "the original is untouched");
    server.assert_sound();
    for spans in
        [json!([]), json!([{"start_ms": 900, "end_ms": 900}]), json!([{"start_ms": 9_000_000, "end_ms": 9_000_001}])]
    {
        let (status, told) = server.api.told(&path, json!({"spans": spans, "reason": "a test"})).await;
        assert_eq!(status, 400, "{spans}: {told:#}");
    }
    assert!(server.api.json(&format!("/recordings/{call}/addenda")).await.as_array().is_some_and(|all| all.len() == 1));
    assert_each_byte_counts(&server, &folder, "addendum-0001.json");
}

/// A byte that is changed in the file, or in its signature, is found and named; the file is put back.
fn assert_each_byte_counts(server: &Server, folder: &Path, name: &str) {
    for name in [name.to_owned(), format!("{name}.sig")] {
        let path = folder.join(&name);
        let whole = std::fs::read(&path).expect("an addendum");
        for at in [0, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).expect("changed");
            let (status, said) = server.verify();
            let (file, _) = name.split_once(".sig").unwrap_or((name.as_str(), ""));
            assert!(status == Some(1) && said.contains(file), "byte {at} of {name}: {status:?} {said}");
        }
        std::fs::write(&path, &whole).expect("put back");
    }
    server.assert_sound();
}

#[tokio::test]
async fn a_note_and_a_hold_and_its_release_are_in_the_export_and_a_changed_byte_of_the_note_is_named() {
    let server = Setup::new().start().await;
    let (call, folder) = record(&server).await;
    let text = "rappelé le 12 : la plaignante, =cmd|' /C calc'!A0, <b>";
    let note = json!({"case": "RG 26/01234", "tags": ["plainte"], "text": text, "reason": "complaint of 12 May"});
    let (status, told) = server.api.told(&format!("/recordings/{call}/addenda"), note).await;
    assert_eq!((status, &told[0]["body"]["text"], &told[0]["by"]), (201, &json!(text), &json!("admin")), "{told:#}");
    server.assert_sound();
    let office = Office(&server.centre);
    let hold = ["custody", "hold", &call, "--reason", "before the court", "--case", "RG 26/01234", "--json"];
    let hold = Office::id_in(&office.must_as("admin", &hold));
    office.must_as("compliance", &["custody", "release", &hold, "--reason", "the case is closed"]);
    export_and_prove(&office, &call, |unpacked| {
        let read = |name: &str| -> Value {
            let bytes =
                std::fs::read(unpacked.join(&call).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            serde_json::from_slice(&bytes).expect("JSON")
        };
        assert_eq!(read("addendum-0001.json")["body"]["text"], text);
        let custody = read("custody.json");
        let entry = |act: &str| {
            let found = custody.as_array().expect("entries").iter().find(|row| row["act"] == act);
            found.unwrap_or_else(|| panic!("{act}: {custody:#}")).clone()
        };
        let (placed, released) = (entry("recording.hold"), entry("recording.release"));
        assert_eq!((&placed["actor"], &placed["reason"]), (&json!("admin"), &json!("before the court")));
        assert!(placed["detail"].as_str().is_some_and(|detail| detail.contains("RG 26/01234")), "{placed:#}");
        assert_eq!((&released["actor"], &released["reason"]), (&json!("compliance"), &json!("the case is closed")));
        for row in [&placed, &released] {
            assert!(row["hash"].as_str().is_some_and(|hash| hash.len() == 64), "chained: {row:#}");
        }
        let held = &read("holds.json")[0];
        assert_eq!((held["id"].to_string(), &held["case_number"]), (hold.clone(), &json!("RG 26/01234")), "{held:#}");
        assert!(held["placed_at_utc"].is_string() && held["released_at_utc"].is_string(), "{held:#}");
        assert_eq!(&held["released_by"], "compliance", "{held:#}");
    });
    let config = server.centre.config.display().to_string();
    let audit = server.centre.vigie(&["audit", "verify", "--config", &config]);
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    assert_each_byte_counts(&server, &folder, "addendum-0001.json");

    // A hold's row that is taken out of the database, or whose time is changed, is missed.
    let database = server.centre.place.path("state/vigie.db").display().to_string();
    let sql = |text: &str| {
        let program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()";
        let status = std::process::Command::new("python3").args(["-c", program, &database, text]).status();
        assert!(status.expect("python3").success(), "{text}");
    };
    let verify = || {
        let ended = server.centre.vigie(&["audit", "verify", "--config", &config]);
        (ended.status.success(), String::from_utf8_lossy(&ended.stdout).into_owned())
    };
    sql("UPDATE holds SET released_at = released_at - 86400000000");
    let (is_sound, said) = verify();
    assert!(!is_sound && said.contains("hold 1"), "{said}");
    sql("UPDATE holds SET released_at = released_at + 86400000000");
    assert!(verify().0);
    sql("DELETE FROM holds");
    let (is_sound, said) = verify();
    assert!(!is_sound && said.contains(&call), "{said}");
}
