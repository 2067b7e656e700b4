//! Every byte of every file counts.

use std::fs;

use super::*;
use crate::recorder::tests::World;

fn check(path: &Path, keys: &[PathBuf]) -> Verdict {
    verify(path, keys, |_| ()).expect("something to check")
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
    let world = World::new();
    world.seal_one(1);
    let root = world.parts.settings.folder.clone();
    let files: Vec<_> = world.tree().into_iter().filter(|(path, _)| path.starts_with(&root)).collect();
    assert_eq!(files.len(), 7);
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
