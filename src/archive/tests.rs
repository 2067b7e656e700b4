//! Exports, checked by the very commands that they tell, and roots stamped by a real authority.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::redact::Span;
use super::verify::verify;
use super::{Evidence, Note, export, roots, timestamp};
use crate::config::settings::StorageSettings;
use crate::model::{CallId, Fact, SealedRecording, Utc};
use crate::recorder::deposit::Deposit;
use crate::recorder::tests::World;
use crate::storage::audit::{self, AuditEntry};
use crate::storage::exports::{Decided, Decision, Export};
use crate::storage::holds::{self, NewHold};
use crate::storage::{Storage, Writer, WriterSettings};

/// Runs a line of a shell in a folder: whether it succeeded, and what it said.
fn shell(folder: &Path, line: &str) -> (bool, String) {
    let out = Command::new("sh").args(["-c", line]).current_dir(folder).output().expect("a shell");
    let said = [out.stdout, out.stderr].concat();
    (out.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn must(folder: &Path, line: &str) {
    let (done, said) = shell(folder, line);
    assert!(done, "{line}\n{said}");
}

/// The commands of a VERIFY.txt, and which programs they name.
fn commands(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("VERIFY.txt")).expect("instructions");
    let lines: Vec<String> = text.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect();
    for program in lines.iter().flat_map(|line| line.split('|')).filter_map(|part| part.split_whitespace().next()) {
        assert!(["sox", "ffmpeg", "sha256sum", "openssl"].contains(&program), "{program}");
    }
    lines
}

/// A time-stamping authority: openssl behind a socket.
fn authority(folder: &Path) -> SocketAddr {
    fs::write(
        folder.join("ts.cnf"),
        "[tsa]\ndefault_tsa = t\n[t]\nserial = ./serial\nsigner_digest = sha256\ndefault_policy = 1.2.3.4.1\n\
         digests = sha256\ness_cert_id_alg = sha256\naccuracy = secs:1\n[ext]\nextendedKeyUsage = critical,timeStamping\n",
    )
    .expect("written");
    for line in [
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 30",
        "openssl req -newkey rsa:2048 -nodes -keyout tsa.key -out tsa.csr -subj /CN=tsa",
        "openssl x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out tsa.pem -days 30 -extfile ts.cnf -extensions ext",
        "echo 01 > serial",
    ] {
        must(folder, line);
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (address, folder) = (listener.local_addr().expect("an address"), folder.to_owned());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            let body = loop {
                let read = stream.read(&mut piece).expect("read");
                request.extend_from_slice(&piece[..read]);
                let text = String::from_utf8_lossy(&request).to_lowercase();
                let Some(end) = text.find("\r\n\r\n") else { continue };
                let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
                let length: usize = length.and_then(|length| length.parse().ok()).expect("a length");
                let at = request.windows(4).position(|four| four == b"\r\n\r\n").expect("the head's end") + 4;
                assert!(end > 0);
                if request.len() >= at + length {
                    break request[at..at + length].to_vec();
                }
            };
            fs::write(folder.join("q.tsq"), body).expect("written");
            must(
                &folder,
                "openssl ts -reply -config ts.cnf -queryfile q.tsq -signer tsa.pem -inkey tsa.key -out r.tsr",
            );
            let reply = fs::read(folder.join("r.tsr")).expect("read");
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/timestamp-reply\r\ncontent-length: {}\r\n\r\n",
                reply.len()
            );
            stream.write_all(&[head.as_bytes(), &reply].concat()).expect("sent");
        }
    });
    address
}

async fn database(world: &World) -> (Storage, Writer) {
    let url = format!("sqlite:{}", world.folder.path().join("vigie.db").display());
    let storage = Storage::open(&StorageSettings { url, ladder_days: 1 }).await.expect("a database");
    let spool = world.folder.path().join("spool");
    let settings = WriterSettings { spool, endpoints: Vec::new(), alarm: Arc::new(|_| {}) };
    let writer = Writer::start(&storage, settings).await.expect("a writer");
    (storage, writer)
}

fn unpack(evidence: &Evidence, contents: &export::Contents, folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    let file = File::create(folder.join("export.zip")).expect("a file");
    export::write(evidence, contents, file, Utc(1_700_000_100_000_000)).expect("exported");
    must(folder, "unzip -q export.zip");
}

/// A sealed recording with a note, a redacted copy, a stamped root, and another key since then.
async fn enriched(world: &mut World) -> (Evidence, Box<SealedRecording>) {
    let sealed = world.seal_one(50);
    let tsa = world.folder.path().join("tsa");
    fs::create_dir(&tsa).expect("a folder");
    let address = authority(&tsa);
    let running = world.start(1 << 20);
    let mut evidence = Evidence {
        recordings: world.parts.settings.folder.clone(),
        node: world.parts.node.clone(),
        zone: world.parts.zone.clone(),
        key: world.parts.key.clone(),
        notary: running.notary(),
        vault: crate::vault::Keys::off(),
        authority: Some(tsa.join("ca.pem")),
    };
    let note = Note {
        call: world.call,
        kind: "note".into(),
        by: "marie".into(),
        reason: "plainte".into(),
        body: serde_json::json!({ "case": "=cmd|' /C calc'!A0\r\nX: y" }),
    };
    evidence.annotate(note).expect("added");
    let spans = vec![Span { start_ms: 200, end_ms: 400 }];
    evidence.redact(world.call, spans, ("marie", "un nom")).expect("a copy");
    let (root, node) = (&evidence.recordings, &evidence.node);
    let made = roots::make(root, node, &evidence.notary, Utc(1_700_000_000_000_000)).expect("made").expect("a root");
    let document = fs::read(root.join(&made)).expect("read");
    let stamp = timestamp::ask(&format!("http://{address}/tsr"), &document, Duration::from_secs(30)).await;
    let path = format!("{made}.{}", roots::STAMP);
    let bytes = stamp.expect("stamped");
    evidence.notary.deposit(Deposit::File { call: None, path, bytes }).expect("kept");
    running.stop();
    let key = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    crate::recorder::seal_keys::rotate(&world.parts, &key).expect("rotated");
    world.parts.key = key.clone();
    evidence.key = key;
    (evidence, sealed)
}

/// An export that another person has approved.
fn approved(call: CallId, is_redacted: bool) -> Export {
    Export {
        id: Uuid::from_u128(5),
        requested_at: Utc(1_700_000_050_000_000),
        requested_by: "marie".into(),
        requested_person: "marie".into(),
        reason: "réquisition".into(),
        calls: vec![call],
        is_redacted,
        decided: Some(Decided {
            at: Utc(1_700_000_060_000_000),
            by: "paul".into(),
            person: "paul".into(),
            what: Decision::Approved,
            words: "vu".into(),
        }),
    }
}

/// What the database tells of it.
async fn told(world: &World, sealed: Box<SealedRecording>, evidence: &Evidence) -> [export::Contents; 2] {
    let (storage, writer) = database(world).await;
    writer.remember(vec![Fact::Call(sealed.record.clone()), Fact::Recording(sealed)]);
    writer.flush().await.expect("stored");
    let entry = AuditEntry {
        at: Utc(1_700_000_050_000_000),
        actor: "marie".into(),
        source: "127.0.0.1".into(),
        act: "export.request".into(),
        call: Some(world.call),
        reason: "réquisition".into(),
        detail: String::new(),
        refuses: None,
    };
    audit::write(&storage, &entry).await.expect("noted");
    let hold = NewHold {
        call: world.call,
        association: "sos-cherbourg".into(),
        at: Utc(1_700_000_050_000_000),
        by: "marie".into(),
        reason: "complaint of Mme Petit".into(),
        case_number: Some("RG 26/01234".into()),
    };
    holds::place(&storage, &hold).await.expect("asked").expect("placed");
    let whole = export::gather(&storage, approved(world.call, false), &evidence.zone).await.expect("gathered");
    let redacted = export::gather(&storage, approved(world.call, true), &evidence.zone).await.expect("gathered");
    writer.stop().await;
    [whole, redacted]
}

#[tokio::test]
async fn an_export_is_proven_by_exactly_the_commands_that_it_tells_and_a_changed_one_is_not() {
    let mut world = World::new();
    let (evidence, sealed) = enriched(&mut world).await;
    let verdict = verify(&evidence.recordings, &[], |_| ()).expect("checked");
    assert!(verdict.is_sound(), "{verdict:?}");
    let [whole, redacted] = told(&world, sealed, &evidence).await;
    let folder = world.folder.path().join("out");
    unpack(&evidence, &whole, &folder);
    let lines = commands(&folder);
    assert!(lines.len() >= 12, "{lines:#?}");
    lines.iter().for_each(|line| must(&folder, line));
    for part in ["openssl ts -verify", "root-steps", "seal-line.json", "addendum-0002", "before.sig", "ffmpeg", "sox"] {
        assert!(lines.iter().any(|line| line.contains(part)), "{part}: {lines:#?}");
    }
    let inside = |name: &str| fs::read_to_string(folder.join(format!("{}/{name}", world.call))).expect(name);
    assert!(inside("custody.json").contains("export.request") && inside("custody.json").contains("\"at_utc\""));
    assert!(inside("holds.json").contains("RG 26/01234") && inside("holds.json").contains("\"placed_at_utc\""));
    assert!(inside("story.json").contains("\"received_at\": \"2023-11-14T23:13:20.123+01:00\""));
    // Whatever is changed, one of the commands says so.
    for name in ["audio.wav", "recording.json", "addendum-0001.json", "story.json", "root.json", "seal-line.json"] {
        let path = folder.join(format!("{}/{name}", world.call));
        let mut bytes = fs::read(&path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, &bytes).expect("changed");
        assert!(lines.iter().any(|line| !shell(&folder, line).0), "{name}");
        bytes[middle] ^= 1;
        fs::write(&path, &bytes).expect("mended");
    }

    let folder = world.folder.path().join("redacted");
    unpack(&evidence, &redacted, &folder);
    commands(&folder).iter().for_each(|line| must(&folder, line));
    let call = world.call;
    must(&folder, &format!("test ! -e {call}/audio.wav -a ! -e {call}/recording.json -a ! -e {call}/story.json"));
    let custody = fs::read_to_string(folder.join(format!("{call}/custody.json"))).expect("custody");
    assert!(custody.contains("export.request") && custody.contains("\"at_utc\"") && !custody.contains("réquisition"));
    let held = fs::read_to_string(folder.join(format!("{call}/holds.json"))).expect("holds");
    assert!(held.contains("\"placed_at_utc\"") && !held.contains("RG 26") && !held.contains("Petit"), "{held}");
    let (_, all) = shell(&folder, "rm export.zip; cat $(find . -type f)");
    assert!(!all.contains("0612345678"), "a redacted export does not tell who called");
    // What is made now and is not what was sealed is not handed out.
    let audio = world.in_folder("audio.wav");
    let mut bytes = fs::read(&audio).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&audio, bytes).expect("changed");
    assert!(export::write(&evidence, &redacted, Vec::new(), Utc(1_700_000_100_000_000)).is_err());
}
