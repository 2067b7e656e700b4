//! Two folders, one recording: every way in which they can differ, and what mends it.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

use super::*;
use crate::archive::second::{Folder, QUARANTINE};
use crate::archive::shred;
use crate::archive::verify::verify;
use crate::recorder::Burial;
use crate::recorder::layout::{SIDECAR_FILE, SIGNATURE_FILE, folder_of};
use crate::recorder::render::hex;
use crate::recorder::tests::World;

struct Pair {
    world: World,
    second: Second,
    folder: String,
}

impl Pair {
    /// A sealed recording, copied.
    fn new() -> Pair {
        let world = World::new();
        world.seal_one(20);
        let path = world.folder.path().join("second");
        fs::create_dir(&path).expect("a folder");
        let second = Second::new(&world.parts.settings.folder, Place::Folder(Folder::new(&path)));
        second.there.claim(false).expect("an empty folder");
        let folder = folder_of(world.call);
        let pair = Pair { world, second, folder };
        pair.copy();
        pair
    }

    fn copy(&self) -> super::super::Copied {
        self.second.copy(SEAL_LOG_FOLDER, Utc(1), None).expect("the log is copied");
        self.second.copy(&self.folder, Utc(1), None).expect("copied")
    }

    fn here(&self, name: &str) -> PathBuf {
        self.world.parts.settings.folder.join(&self.folder).join(name)
    }

    fn there(&self, name: &str) -> PathBuf {
        self.world.folder.path().join("second").join(&self.folder).join(name)
    }

    fn compare(&self, repair: bool) -> Comparison {
        let wish = Wish { repair, at: Utc(7), ..Wish::default() };
        compare(&self.second, &wish, |_, _| ()).expect("compared")
    }

    /// What is told, and that it is all well once it is mended.
    fn mends(&self, file: &str, place: &str) {
        let told = self.compare(false);
        let names: Vec<_> = told.findings.iter().map(|one| (one.file.as_str(), one.place)).collect();
        assert_eq!(names, [(file, place)], "{told:?}");
        assert_eq!(told.mended, 0, "nothing is mended without being asked");
        let mended = self.compare(true);
        assert_eq!((mended.findings_total, mended.mended), (1, 1), "{mended:?}");
        assert_eq!(self.compare(false).findings, [], "and then all is well");
    }
}

fn flip(path: &PathBuf) {
    let mut bytes = fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("changed");
}

#[test]
fn a_copy_is_the_same_byte_for_byte_and_proves_itself_there() {
    let pair = Pair::new();
    assert_eq!(pair.compare(false).findings, []);
    assert_eq!(pair.copy().files, 0, "twice is as once");
    for entry in fs::read_dir(pair.here("")).expect("listed").flatten() {
        let name = entry.file_name().into_string().expect("a name");
        assert_eq!(fs::read(entry.path()).expect("here"), fs::read(pair.there(&name)).expect("there"), "{name}");
    }
    let verdict = verify(&pair.world.folder.path().join("second"), &[], |_| ()).expect("checked");
    assert_eq!((verdict.findings, verdict.recordings), (vec![], 1), "the second place is whole by itself");
}

#[test]
fn what_is_missing_in_one_place_is_fetched_from_the_other() {
    let pair = Pair::new();
    for name in [AUDIO_FILE, SIDECAR_FILE, SIGNATURE_FILE, "leg-0.frames"] {
        let file = format!("{}/{name}", pair.folder);
        fs::remove_file(pair.here(name)).expect("removed");
        pair.mends(&file, "here");
        fs::remove_file(pair.there(name)).expect("removed");
        pair.mends(&file, "there");
    }
}

#[test]
fn what_is_corrupt_is_set_aside_and_never_spread() {
    let pair = Pair::new();
    for name in [AUDIO_FILE, SIDECAR_FILE, SIGNATURE_FILE, "leg-1.frames"] {
        let file = format!("{}/{name}", pair.folder);
        for (path, place, root) in [
            (pair.here(name), "here", pair.world.parts.settings.folder.clone()),
            (pair.there(name), "there", pair.world.folder.path().join("second")),
        ] {
            let sound = fs::read(&path).expect("sound");
            flip(&path);
            let corrupt = fs::read(&path).expect("corrupt");
            assert_eq!(pair.copy().files, 0, "a copy spreads nothing over what is there");
            pair.mends(&file, place);
            assert_eq!(fs::read(&path).expect("mended"), sound);
            let aside = root.join(format!("{QUARANTINE}/{file}.7"));
            assert_eq!(fs::read(&aside).expect("set aside"), corrupt);
        }
    }
}

#[test]
fn what_is_corrupt_in_both_places_is_said_and_touched_in_neither() {
    let pair = Pair::new();
    flip(&pair.here(AUDIO_FILE));
    flip(&pair.there(AUDIO_FILE));
    let (one, other) =
        (fs::read(pair.here(AUDIO_FILE)).expect("here"), fs::read(pair.there(AUDIO_FILE)).expect("there"));
    let told = pair.compare(true);
    assert_eq!((told.findings_total, told.mended), (1, 0));
    assert!(told.findings[0].what.contains("neither can mend the other"), "{:?}", told.findings);
    assert_eq!(fs::read(pair.here(AUDIO_FILE)).expect("here"), one);
    assert_eq!(fs::read(pair.there(AUDIO_FILE)).expect("there"), other);
    fs::remove_file(pair.here(AUDIO_FILE)).expect("removed");
    fs::remove_file(pair.there(AUDIO_FILE)).expect("removed");
    assert_eq!(pair.compare(true).findings[0].place, "both");
}

#[test]
fn a_whole_recording_that_has_gone_here_comes_back() {
    let pair = Pair::new();
    fs::remove_dir_all(pair.here("")).expect("removed");
    let mended = pair.compare(true);
    assert!(mended.mended > 4 && mended.mended == mended.findings_total, "{mended:?}");
    assert_eq!(pair.compare(false).findings, []);
    let verdict = verify(&pair.world.parts.settings.folder, &[], |_| ()).expect("checked");
    assert_eq!(verdict.findings, []);
}

#[test]
fn what_waits_for_its_copy_is_no_finding_and_a_folder_that_is_no_second_place_is_refused() {
    let pair = Pair::new();
    let path = pair.world.folder.path().join("second");
    fs::remove_dir_all(pair.there("")).expect("removed");
    let wish = Wish { waiting: BTreeSet::from([pair.folder.clone()]), ..Wish::default() };
    let found = compare(&pair.second, &wish, |_, _| ()).expect("compared");
    assert_eq!((found.findings_total, found.waiting), (0, 1));
    fs::remove_file(path.join(".vigie-second-place")).expect("the mark");
    assert!(compare(&pair.second, &Wish::default(), |_, _| ()).is_err(), "as an empty mount point looks");
    fs::remove_dir_all(&path).expect("gone");
    assert!(pair.second.there.claim(true).is_err());
}

#[test]
fn a_seal_log_that_was_cut_or_changed_here_is_told() {
    let pair = Pair::new();
    let log = pair.world.parts.settings.folder.join(SEAL_LOG_FOLDER).join("node-1.jsonl");
    let whole = fs::read(&log).expect("the log");
    fs::write(&log, &whole[..whole.len() / 2]).expect("cut");
    let told = pair.compare(true);
    assert!(told.findings.iter().any(|one| one.file.ends_with("node-1.jsonl") && one.mended.is_none()), "{told:?}");
    fs::remove_file(&log).expect("removed");
    let mended = pair.compare(true);
    assert!(mended.findings.iter().any(|one| one.file.ends_with("node-1.jsonl") && one.mended.is_some()), "{mended:?}");
    assert_eq!(fs::read(&log).expect("back"), whole);
}

#[test]
fn audio_that_has_gone_is_read_from_the_second_place_and_documents_come_back() {
    let pair = Pair::new();
    let sound = fs::read(pair.here(AUDIO_FILE)).expect("the WAV");
    fs::remove_dir_all(pair.here("")).expect("removed");
    let folder = pair.here("");
    let elsewhere = std::sync::Arc::new(pair.second);
    let keys = crate::vault::Keys::off().and_elsewhere(elsewhere);
    let mut audio = crate::vault::open_audio(&folder, AUDIO_FILE, &keys).expect("opened");
    let mut read = Vec::new();
    io::Read::read_to_end(&mut audio, &mut read).expect("read");
    assert!(read == sound, "the very bytes");
    keys.elsewhere().expect("a second place").bring_back(&folder).expect("fetched");
    assert!(folder.join(SIDECAR_FILE).exists() && !folder.join(AUDIO_FILE).exists());
}

#[test]
fn a_file_that_is_cut_off_here_displaces_nothing_there_and_a_name_stands_for_no_audio() {
    let pair = Pair::new();
    let sound = fs::read(pair.here(AUDIO_FILE)).expect("the WAV");
    fs::write(pair.here(AUDIO_FILE), &sound[..sound.len() / 2]).expect("cut");
    let copied = pair.copy();
    assert_eq!((copied.files, copied.amiss.len()), (0, 1), "{copied:?}");
    assert!(fs::read(pair.there(AUDIO_FILE)).expect("there") == sound, "the sound copy stays in its place");
    fs::remove_file(pair.here(AUDIO_FILE)).expect("removed");
    fs::write(pair.here(FLAC_FILE), b"no FLAC").expect("written");
    pair.copy();
    assert!(fs::read(pair.there(AUDIO_FILE)).expect("there") == sound, "what is no FLAC stands for nothing");
}

#[test]
fn a_document_that_the_disk_cannot_read_is_mended_and_stops_nothing() {
    for name in [SIDECAR_FILE, SIGNATURE_FILE, AUDIO_FILE] {
        let pair = Pair::new();
        let sound = fs::read(pair.here(name)).expect("sound");
        fs::remove_file(pair.here(name)).expect("removed");
        // Reading it from its begin is an input/output error.
        std::os::unix::fs::symlink("/proc/self/mem", pair.here(name)).expect("linked");
        pair.mends(&format!("{}/{name}", pair.folder), "here");
        assert!(fs::read(pair.here(name)).expect("mended") == sound, "{name}");
    }
}

#[test]
fn a_recording_that_is_lawfully_deleted_while_places_are_compared_is_neither_told_nor_put_back() {
    for repair in [false, true] {
        let pair = Pair::new();
        let (root, call) = (pair.world.parts.settings.folder.clone(), pair.world.call);
        let log = root.join(SEAL_LOG_FOLDER).join("node-1.jsonl");
        let before = fs::read(&log).expect("the log");
        let sidecar = format!("{}/{SIDECAR_FILE}", pair.folder);
        let seal = hex(&Sha256::digest(fs::read(root.join(&sidecar)).expect("the sidecar")));
        let burial = Burial { call, sidecar, seal, certificate: b"{}".to_vec(), at: Utc(1) };
        pair.world.bury(burial).expect("buried");
        let after = fs::read(&log).expect("the log");
        fs::write(&log, before).expect("not yet");
        let asked = AtomicUsize::new(0);
        // First asked while the log is read, then of the folders.
        let wanted = move |_: &str| {
            if asked.fetch_add(1, Ordering::Relaxed) == 1 {
                fs::write(&log, &after).expect("the tombstone");
                shred::remove_recording(&root, call).expect("shredded");
            }
            true
        };
        let wish = Wish { wanted: Some(Box::new(wanted)), repair, at: Utc(7), ..Wish::default() };
        let found = compare(&pair.second, &wish, |_, _| ()).expect("compared");
        assert_eq!((found.findings, found.waiting), (vec![], 1));
        assert!(!pair.here(AUDIO_FILE).exists() && !pair.here(SIDECAR_FILE).exists());
    }
}
