//! Every byte of every file counts.

use std::fs;

use ed25519_dalek::pkcs8::EncodePublicKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;

use super::*;
use crate::archive::redact::{self, Plan, Redaction, Span};
use crate::archive::roots;
use crate::recorder::deposit::{Deposit, Note};
use crate::recorder::seal_keys::rotate;
use crate::recorder::tests::World;

mod keys;
mod meanwhile;

fn check(path: &Path, keys: &[PathBuf]) -> Verdict {
    verify(path, keys, |_| ()).expect("something to check")
}

/// Two addenda (one of them a redacted copy), an hour's root, another key, and a line signed with it.
fn enrich(world: &mut World) {
    let running = world.start(1 << 20);
    let notary = running.notary();
    let note = |kind: &str, body| {
        let reason = "dossier".to_owned();
        Deposit::Addendum(Note { call: world.call, kind: kind.into(), by: "marie".into(), reason, body })
    };
    let (root, node) = (&world.parts.settings.folder, &world.parts.node);
    notary.deposit(note("case", serde_json::json!({ "case": "A-1" }))).expect("kept");
    roots::make(root, node, &notary, Utc(1_700_000_000_000_000)).expect("made").expect("a root");
    let wav = fs::File::open(world.in_folder(AUDIO_FILE)).expect("audio");
    let spans = vec![Span { start_ms: 5, end_ms: 10 }];
    let plan = Plan { call: world.call, original: "x".into(), spans: spans.clone() };
    let made = redact::write(wav, plan, &mut std::io::sink()).expect("made");
    let redaction = Redaction {
        call: world.call,
        original_essence_sha256: "x".into(),
        spans,
        bytes: made.bytes,
        sha256: made.sha256,
        essence_sha256: made.essence_sha256,
    };
    running.stop();
    let new = ed25519_dalek::SigningKey::from_bytes(&[8; 32]);
    rotate(&world.parts, &new).expect("another key");
    world.parts.key = new;
    let running = world.start(1 << 20);
    let body = serde_json::to_value(redaction).expect("JSON");
    running.notary().deposit(note(redact::KIND, body)).expect("kept");
    running.stop();
}

#[test]
fn after_a_change_of_keys_the_old_one_or_the_new_one_from_elsewhere_proves_all() {
    let mut world = World::new();
    world.seal_one(3);
    let old = key_of(&world);
    enrich(&mut world);
    let root = world.parts.settings.folder.clone();
    assert!(check(&root, std::slice::from_ref(&old)).is_sound());
    let new = key_of(&world);
    assert!(check(&root, &[new]).is_sound());
    // A key that no line vouches for.
    fs::write(crate::recorder::seal_keys::key_path(&root, "node-1", 3), fs::read(&old).expect("read"))
        .expect("written");
    assert!(!check(&root, &[]).is_sound());
}

#[test]
fn addenda_and_roots_that_were_taken_away_added_or_moved_are_named() {
    let mut world = World::new();
    world.seal_one(3);
    enrich(&mut world);
    let root = world.parts.settings.folder.clone();
    let named = |file: &Path| check(&root, &[]).findings.iter().any(|finding| finding.file == file);
    let (first, second) = (world.in_folder("addendum-0001.json"), world.in_folder("addendum-0002.json"));
    let (one, two) = (fs::read(&first).expect("read"), fs::read(&second).expect("read"));
    fs::write(&first, &two).expect("moved");
    fs::write(&second, &one).expect("moved");
    assert!(named(&first) && named(&second));
    fs::write(&first, &one).expect("mended");
    fs::remove_file(&second).expect("the last is taken away");
    assert!(named(&second));
    fs::write(&second, &two).expect("mended");
    let third = world.in_folder("addendum-0003.json");
    fs::write(&third, &two).expect("added");
    assert!(named(&third));
    fs::remove_file(&third).expect("mended");
    let hour = roots::list(&root.join(roots::folder_of(&root, "node-1"))).expect("listed").remove(0);
    let document = fs::read(&hour).expect("read");
    fs::remove_file(&hour).expect("taken away");
    assert!(named(&hour));
    fs::write(&hour, &document).expect("mended");
    assert!(check(&root, &[]).is_sound());
}

#[test]
fn roots_are_in_the_order_of_their_names_though_the_clock_was_ahead_for_a_while() {
    let world = World::new();
    world.seal_one(3);
    let (root, node) = (&world.parts.settings.folder, &world.parts.node);
    let running = world.start(1 << 20);
    let hour = 3_600_000_000;
    // Right, ten years ahead, right again, twice within one second.
    for at in [0, 87_600 * hour, hour, hour, 2 * hour] {
        let reason = "dossier".to_owned();
        let note = Note { call: world.call, kind: "note".into(), by: "marie".into(), reason, body: Default::default() };
        running.notary().deposit(Deposit::Addendum(note)).expect("kept");
        roots::make(root, node, &running.notary(), Utc(1_700_000_000_000_000 + at)).expect("made").expect("a root");
    }
    running.stop();
    let all = roots::list(&root.join(roots::folder_of(root, node))).expect("listed");
    assert_eq!(all.len(), 5);
    let verdict = check(root, &[]);
    assert!(verdict.is_sound(), "{verdict:?}");
    // Every line's root is found among them; of the newest line, without a look at the oldest roots.
    let (log, _) = crate::recorder::seal_log::log_paths(root, node);
    let covering = |sequence: u64| roots::covering(root, &log, sequence).expect("read").map(|(path, ..)| path);
    let covered: Vec<_> = (1..=11).map(covering).collect();
    let due = [Some(0), Some(0), Some(1), Some(1), Some(2), Some(2), Some(3), Some(3), Some(4), Some(4), None];
    assert_eq!(covered, due.map(|place: Option<usize>| place.map(|place| all[place].clone())));
    fs::write(&all[0], "not to be read").expect("written");
    assert_eq!(covering(10), Some(all[4].clone()));
}

#[tokio::test]
async fn a_row_of_the_database_that_says_something_else_is_named_with_its_column() {
    let world = World::new();
    let sealed = world.seal_one(3);
    let file = world.folder.path().join("vigie.db");
    let settings =
        crate::config::settings::StorageSettings { url: format!("sqlite:{}", file.display()), ladder_days: 1 };
    let storage = crate::storage::Storage::open(&settings).await.expect("a database");
    let spool = world.folder.path().join("spool");
    let alarm = std::sync::Arc::new(|_| {});
    let writer = crate::storage::WriterSettings { spool, endpoints: Vec::new(), alarm };
    let writer = crate::storage::Writer::start(&storage, writer).await.expect("a writer");
    let root = world.parts.settings.folder.canonicalize().expect("a folder");
    let reading = crate::storage::comparing::open(&file).await.expect("opened");
    // When a row is on its way no more.
    let later = Utc(sealed.sealed_at.0 + 300_000_000);
    let compare = async || {
        let mut verdict = Verdict::default();
        database::check(&reading, &file, (&root, &root), later, &mut verdict).await.expect("compared");
        verdict.findings.into_iter().map(|finding| finding.field).collect::<Vec<_>>()
    };
    assert_eq!(compare().await, ["recordings"], "no row yet");
    writer
        .remember(vec![crate::model::Fact::Call(sealed.record.clone()), crate::model::Fact::Recording(sealed.clone())]);
    writer.flush().await.expect("stored");
    assert_eq!(compare().await, [""; 0]);
    for (column, value) in crate::storage::comparing::COLUMNS.iter().zip(1..).skip(1) {
        storage.run(&format!("UPDATE recordings SET {column} = '{value}'")).await.expect("changed");
        assert_eq!(compare().await, [format!("recordings.{column}")]);
        writer.remember(vec![crate::model::Fact::Recording(sealed.clone())]);
        writer.flush().await.expect("mended");
    }
    storage.run("UPDATE calls SET record = REPLACE(record, '0612345678', '0612345679')").await.expect("changed");
    assert_eq!(compare().await, ["calls.record"]);
    fs::remove_file(world.in_folder(SIDECAR_FILE)).expect("taken away");
    assert_eq!(compare().await, ["file"]);
    writer.stop().await;
}

/// A key file of the world's key, from elsewhere.
fn key_of(world: &World) -> PathBuf {
    let path = world.folder.path().join("from-elsewhere.pem");
    let pem = world.parts.key.verifying_key().to_public_key_pem(LineEnding::LF).expect("PEM");
    fs::write(&path, pem).expect("written");
    path
}

#[test]
fn a_sound_recording_is_sound_from_wherever_one_looks() {
    let world = World::new();
    world.seal_one(5);
    let root = &world.parts.settings.folder;
    let keys = [vec![], vec![key_of(&world)]];
    for path in [root.clone(), root.join("2023/11"), world.in_folder(""), world.in_folder(AUDIO_FILE)] {
        for keys in &keys {
            let verdict = check(&path, keys);
            assert!(verdict.is_sound() && verdict.recordings == 1 && verdict.log_lines == 1, "{verdict:?}");
        }
    }
}

#[test]
fn no_flipped_byte_in_any_file_goes_unseen_and_the_right_file_is_named() {
    let mut world = World::new();
    world.seal_one(1);
    enrich(&mut world);
    let root = world.parts.settings.folder.clone();
    let files: Vec<_> = world.tree().into_iter().filter(|(path, _)| path.starts_with(&root)).collect();
    // Audio, its outline, two frame files, sidecar, two addenda, an hour's root, a second key with a signature each, the new key's word
    // for the old one, the log and the first key.
    assert_eq!(files.len(), 17, "{:?}", files.iter().map(|(path, _)| path).collect::<Vec<_>>());
    assert!(check(&root, &[]).is_sound(), "{:?}", check(&root, &[]));
    for (path, bytes) in files {
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).expect("changed");
            let verdict = check(&root, &[]);
            assert!(!verdict.is_sound(), "byte {at} of {}", path.display());
            assert!(verdict.findings.iter().any(|f| f.file == path), "byte {at} of {}: {verdict:?}", path.display());
        }
        fs::write(&path, &bytes).expect("mended");
    }
    assert!(check(&root, &[]).is_sound());
}

#[test]
fn every_missing_file_is_missed() {
    let world = World::new();
    world.seal_one(3);
    let root = world.parts.settings.folder.clone();
    for (path, bytes) in world.tree().into_iter().filter(|(path, _)| path.starts_with(&root)) {
        fs::remove_file(&path).expect("removed");
        assert!(!check(&root, &[]).is_sound(), "{}", path.display());
        fs::write(&path, &bytes).expect("mended");
    }
    fs::remove_dir_all(world.in_folder("")).expect("removed");
    let verdict = check(&root, &[]);
    assert_eq!(verdict.findings.iter().map(|f| f.file.clone()).collect::<Vec<_>>(), [world.in_folder(SIDECAR_FILE)]);
}

#[test]
fn a_recording_sealed_again_with_another_key_is_seen_with_a_key_from_elsewhere() {
    let world = World::new();
    let key = key_of(&world);
    let mut forger = World::new();
    forger.parts.key = ed25519_dalek::SigningKey::from_bytes(&[66; 32]);
    forger.seal_one(3);
    let root = &forger.parts.settings.folder;
    let without = check(root, &[]);
    assert!(without.is_sound() && without.notes.iter().any(|note| note.contains("proves more")));
    let fields: Vec<_> = check(root, &[key]).findings.into_iter().map(|f| f.field).collect();
    assert!(fields.contains(&"signature".to_owned()) && fields.contains(&"key".to_owned()), "{fields:?}");
}

#[test]
fn a_line_taken_out_of_the_seal_log_breaks_the_chain() {
    let mut world = World::new();
    for n in 0..3 {
        world.call = crate::model::CallId::new(
            crate::model::Utc(1_700_000_000_000_000 + n),
            &mut crate::model::Chance::from_number(n as u64),
        );
        world.seal_one(1);
    }
    let root = &world.parts.settings.folder;
    assert!(check(root, &[]).is_sound());
    let log = crate::recorder::seal_log::log_paths(root, "node-1").0;
    let text = fs::read_to_string(&log).expect("a log");
    for gone in 0..3 {
        let rest: Vec<_> =
            text.lines().enumerate().filter(|(n, _)| *n != gone).map(|(_, l)| format!("{l}\n")).collect();
        fs::write(&log, rest.concat()).expect("changed");
        assert!(!check(root, &[]).is_sound(), "line {gone}");
    }
}

#[test]
fn a_recording_that_was_taken_out_of_its_folder_needs_a_key_and_says_what_was_not_checked() {
    let world = World::new();
    world.seal_one(3);
    let away = tempfile::tempdir().expect("a folder");
    let copy = away.path().join(world.call.to_string());
    fs::create_dir(&copy).expect("a folder");
    for file in list(&world.in_folder("")).expect("list") {
        fs::copy(&file, copy.join(file.file_name().expect("a name"))).expect("copied");
    }
    assert!(!check(&copy, &[]).is_sound());
    let verdict = check(&copy, &[key_of(&world)]);
    assert!(verdict.is_sound() && verdict.notes.iter().any(|note| note.contains("not checked")), "{verdict:?}");
}

#[test]
fn what_holds_no_recording_is_an_error_and_not_a_success() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(matches!(verify(folder.path(), &[], |_| ()), Err(VerifyError::Nothing { .. })));
    assert!(matches!(verify(&folder.path().join("x"), &[], |_| ()), Err(VerifyError::File { .. })));
}

#[test]
fn what_is_none_of_ours_is_noted_and_no_fault() {
    let world = World::new();
    world.seal_one(5);
    let root = &world.parts.settings.folder;
    assert_eq!(check(root, &[]).notes.len(), 1, "where the key came from, and no more");
    let mut enriched = World::new();
    enriched.seal_one(5);
    enrich(&mut enriched);
    let notes = check(&enriched.parts.settings.folder, &[]).notes;
    assert_eq!(notes.len(), 1, "addenda and their signatures are parts of it: {notes:?}");
    fs::write(root.join(".lock"), "").expect("a running Vigie's");
    let foreign = [
        world.in_folder("notes.txt"),
        world.in_folder(".audio.wav.part"),
        root.join("2023/11/14/listing.csv"),
        root.join("2023/11/copy of 14"),
        root.join("2024"),
        root.join("seal-log/readme"),
    ];
    for path in &foreign {
        match path.extension() {
            Some(_) => fs::write(path, "x").expect("written"),
            None => fs::create_dir(path).expect("made"),
        }
    }
    fs::create_dir(root.join("2024/13th")).expect("made");
    let verdict = check(root, &[]);
    assert!(verdict.is_sound(), "{verdict:?}");
    let told = |path: &Path| verdict.notes.iter().any(|note| note.starts_with(&format!("{}: ", path.display())));
    for path in foreign.iter().filter(|path| !path.ends_with("2024")).chain([&root.join("2024/13th")]) {
        assert!(told(path), "{}: {:?}", path.display(), verdict.notes);
    }
    assert_eq!(verdict.notes.len(), 7, "{:?}", verdict.notes);
    let below: Vec<_> = check(&world.in_folder(""), &[]).notes;
    assert_eq!(below.len(), 4, "{below:?}");
}

#[test]
fn a_one_sided_recording_is_sound_and_noted() {
    let world = World::new();
    world.seal_one_sided();
    let verdict = check(&world.parts.settings.folder, &[]);
    assert!(verdict.is_sound(), "{verdict:?}");
    let note = verdict.notes.iter().find(|note| note.contains("one-sided")).expect("a note");
    assert!(note.contains("not one frame was received from the regulator (leg 1) in its 2.0 s"), "{note}");
}
