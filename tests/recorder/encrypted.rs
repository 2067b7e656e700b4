//! Recordings encrypted at rest: nothing plain on the disk, a key that is away, a key that is wrong, rotation.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use vigie::archive::verify::{Verdict, Wish, verify, verify_as};
use vigie::config::encryption::{EncryptionSettings, KeySource};
use vigie::journal::{Frame, FrameKind, RingWriter};
use vigie::model::{Codec, RecorderReport, SealedRecording};
use vigie::recorder::layout::{AUDIO_FILE, SIDECAR_FILE, SIGNATURE_FILE, journal_folder, open_folder};
use vigie::recorder::seal_log::log_paths;
use vigie::recorder::{self, Parts, Recorder, recover};
use vigie::rtp::g711::{self, Law};
use vigie::vault::{self, KEY_FILE, Keys, new_master_key};

use super::bench::{DEADLINE, Talk, parts, recording_of, until};

/// Sound that is found again wherever it is written: no other part of a file holds these bytes.
const MARK: [u8; 16] = [0x31, 0x07, 0xe2, 0x5c, 0x99, 0x14, 0xaf, 0x63, 0x28, 0xdb, 0x70, 0x4e, 0xb5, 0x0a, 0xc6, 0x8d];

/// A recorder's world whose audio is encrypted.
struct Safe {
    folder: tempfile::TempDir,
    parts: Parts,
    settings: EncryptionSettings,
}

/// A recorder at work in it.
struct Running {
    ring: RingWriter,
    recorder: Recorder,
    reports: Receiver<RecorderReport>,
}

impl Running {
    fn in_(parts: &Parts) -> Running {
        let ring = RingWriter::create(&parts.ring_folder.join("media-0.ring"), 1 << 20).expect("a ring");
        let (report, reports) = channel();
        let tell = move |told| report.send(told).expect("heard");
        let recorder = recorder::start(parts.clone(), vec![ring.reader()], tell, |_, _, _| ()).expect("a recorder");
        Running { ring, recorder, reports }
    }

    fn push(&mut self, talk: &Talk, numbers: std::ops::Range<u32>) {
        let payload: Vec<u8> = MARK.iter().copied().cycle().take(160).collect();
        for number in numbers {
            for leg in 0..2 {
                let frame = Frame {
                    call: talk.call,
                    leg,
                    number,
                    codec: Codec::Pcma,
                    kind: FrameKind::Audio,
                    rtp_sequence: number as u16,
                    rtp_timestamp: number * 160,
                    ssrc: u32::from(leg) + 1,
                    marker: false,
                    arrival: talk.begin.moment + Duration::from_millis(20 * u64::from(number)),
                    payload: &payload,
                };
                assert!(self.ring.push(&frame));
            }
        }
        self.ring.flush().expect("flushed");
    }

    fn seal(&self, talk: &Talk, frames: u32) -> SealedRecording {
        talk.finish(&self.recorder, frames);
        match self.reports.recv_timeout(DEADLINE).expect("a report") {
            RecorderReport::Sealed(sealed) => *sealed,
            RecorderReport::Failed { reason, .. } => panic!("{reason}"),
        }
    }
}

impl Safe {
    fn new() -> Safe {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = EncryptionSettings { key: Some(new_key(&folder, "kek-1")), ..EncryptionSettings::default() };
        let mut safe = Safe { parts: parts(folder.path()), folder, settings };
        safe.reopen();
        safe
    }

    /// The keys as another start finds them.
    fn reopen(&mut self) {
        self.parts.keys = Keys::open(&self.settings, &self.parts.state.join("secrets")).expect("keys");
    }

    /// One call of so many frames, recorded and sealed.
    fn record(&self, frames: u32) -> Talk {
        let mut running = Running::in_(&self.parts);
        let talk = Talk::begin(1, &running.recorder);
        running.push(&talk, 0..frames);
        running.seal(&talk, frames);
        running.recorder.stop();
        talk
    }

    /// One call of 300 frames whose recorder was killed in its midst, but for the locks, which this process holds.
    fn record_and_kill(&self) -> Talk {
        self.record_and_kill_call(1)
    }

    fn record_and_kill_call(&self, number: u64) -> Talk {
        let mut running = Running::in_(&self.parts);
        let talk = Talk::begin(number, &running.recorder);
        running.push(&talk, 0..300);
        let last = recording_of(&self.parts, talk.call).join("leg-1.frames");
        until("frames are written", || last.exists());
        running.push(&talk, 300..310);
        std::mem::forget(running.recorder);
        talk
    }

    fn verdict(&self) -> Verdict {
        check(&self.parts)
    }
}

/// Checks everything with the keys.
fn check(parts: &Parts) -> Verdict {
    let wish = Wish { vault: parts.keys.clone(), is_thorough: true, ..Wish::default() };
    verify_as(&parts.settings.folder, &wish, |_| ()).expect("checked")
}

fn new_key(folder: &tempfile::TempDir, name: &str) -> KeySource {
    let path = folder.path().join(name);
    fs::write(&path, new_master_key().expect("a key").0.as_bytes()).expect("written");
    KeySource::File(path)
}

/// Every file below `folder`.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Files on the disk that hold plain sound: as it came, or as samples of one side or of two.
fn plain_files(parts: &Parts) -> Vec<PathBuf> {
    let [samples, stereo] = as_samples(&MARK[..6]);
    let is_plain = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap_or_default();
        [&MARK[..], &samples, &stereo].iter().any(|what| bytes.windows(what.len()).any(|window| window == *what))
    };
    let disk = [&parts.settings.folder, &parts.state];
    disk.into_iter().flat_map(|folder| files_below(folder)).filter(is_plain).collect()
}

/// A-law as 16-bit samples: of one side, and of two that say the same.
fn as_samples(law: &[u8]) -> [Vec<u8>; 2] {
    let samples: Vec<u8> = law.iter().flat_map(|byte| g711::decode(Law::A, *byte).to_le_bytes()).collect();
    let stereo = samples.chunks(2).flat_map(|sample| [sample, sample].concat()).collect();
    [samples, stereo]
}

/// The same world in another folder, as a restart finds it.
fn copy_of(safe: &Safe, to: &Path) -> Parts {
    for path in files_below(safe.folder.path()) {
        let place = to.join(path.strip_prefix(safe.folder.path()).expect("inside"));
        fs::create_dir_all(place.parent().expect("a folder")).expect("made");
        fs::copy(&path, &place).expect("copied");
    }
    let mut copy = parts(to);
    copy.keys = Keys::open(&safe.settings, &copy.state.join("secrets")).expect("keys");
    copy
}

#[test]
fn no_plain_sound_ever_rests_on_the_disk_while_a_call_is_recorded_and_after_it_is_sealed() {
    let safe = Safe::new();
    let mut running = Running::in_(&safe.parts);
    let talk = Talk::begin(1, &running.recorder);
    let mut searched = 0;
    for turn in 0..8u32 {
        running.push(&talk, turn * 25..(turn + 1) * 25);
        std::thread::sleep(Duration::from_millis(100));
        searched += files_below(&safe.parts.state).len() + files_below(&safe.parts.settings.folder).len();
        assert_eq!(plain_files(&safe.parts), Vec::<PathBuf>::new(), "turn {turn}");
    }
    assert!(searched > 16, "there was something to search: {searched}");
    let sealed = running.seal(&talk, 200);
    running.recorder.stop();
    assert_eq!(plain_files(&safe.parts), Vec::<PathBuf>::new());
    // The same search finds the sound where it is plain: in the ring, and in what the reader gives.
    assert!(fs::read(safe.parts.ring_folder.join("media-0.ring")).expect("a ring").windows(16).any(|w| w == MARK));
    let mut plain = Vec::new();
    let folder = recording_of(&safe.parts, talk.call);
    let mut reader = vault::open_audio(&folder, AUDIO_FILE, &safe.parts.keys).expect("opened");
    std::io::Read::read_to_end(&mut reader, &mut plain).expect("read");
    let [_, stereo] = as_samples(&MARK);
    assert!(plain.windows(stereo.len()).any(|window| window == stereo));
    let on_disk = fs::metadata(folder.join(AUDIO_FILE)).expect("a file").len();
    assert_eq!((sealed.size_bytes, reader.disk_bytes()), (on_disk, on_disk));
}

#[test]
fn a_sealed_recording_verifies_inside_with_its_key_and_outside_without_it() {
    let safe = Safe::new();
    let talk = safe.record(200);
    let folder = recording_of(&safe.parts, talk.call);
    assert_eq!(safe.verdict().findings, []);
    let outside = verify(&safe.parts.settings.folder, &[], |_| ()).expect("checked");
    assert_eq!(outside.findings, []);
    assert!(outside.notes.iter().any(|note| note.contains("what is inside was not")), "{:?}", outside.notes);
    // One flipped bit of the ciphertext is found by either.
    for name in [AUDIO_FILE, "leg-0.frames"] {
        let path = folder.join(name);
        let whole = fs::read(&path).expect("read");
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        fs::write(&path, changed).expect("written");
        for verdict in [safe.verdict(), verify(&folder, &[], |_| ()).expect("checked")] {
            assert!(verdict.findings.iter().any(|finding| finding.file.ends_with(name)), "{name}");
        }
        fs::write(&path, whole).expect("written");
    }
    // Without its key the recording is noise, and that is told.
    fs::remove_file(folder.join(KEY_FILE)).expect("shredded");
    let told = safe.verdict().findings;
    assert!(told.iter().any(|finding| finding.file.ends_with(KEY_FILE)), "{told:?}");
}

#[test]
fn a_call_cut_off_by_a_kill_is_recovered_from_encrypted_journal_frames_and_rings() {
    let safe = Safe::new();
    safe.record_and_kill();
    let copy = tempfile::tempdir().expect("a folder");
    let parts = copy_of(&safe, copy.path());
    let sealed = recover(&parts, &[]).expect("recovered");
    assert_eq!(sealed.iter().map(|sealed| sealed.duration_ms).collect::<Vec<_>>(), [310 * 20]);
    let left = files_below(&journal_folder(&parts.state));
    assert_eq!(left, Vec::<PathBuf>::new(), "segments and their keys are gone");
    assert!(recover(&parts, &[]).expect("recovered again").is_empty());
    let verdict = check(&parts);
    assert_eq!(verdict.findings, []);
    assert_eq!(plain_files(&parts), Vec::<PathBuf>::new());
}

#[test]
fn without_the_key_at_a_restart_audio_is_kept_calls_are_recorded_and_sealing_waits() {
    let safe = Safe::new();
    let cut = safe.record_and_kill();
    let (there, away) = (safe.folder.path().join("kek-1"), tempfile::tempdir().expect("a folder"));
    fs::copy(&there, away.path().join("kek")).expect("copied");
    fs::remove_file(&there).expect("taken away");
    let copy = tempfile::tempdir().expect("a folder");
    let parts = copy_of(&safe, copy.path());
    assert!(parts.keys.why_locked().is_some_and(|why| why.contains("kek-1")));
    let before = files_below(&parts.settings.folder);
    assert!(recover(&parts, &[]).expect("nothing is refused").is_empty());
    assert_eq!(files_below(&parts.settings.folder), before, "all is kept");

    // Another call is recorded and sealed meanwhile, its key in the letterbox.
    let mut running = Running::in_(&parts);
    let talk = Talk::begin(2, &running.recorder);
    running.push(&talk, 0..100);
    assert_eq!(running.seal(&talk, 100).duration_ms, 2000);
    let key = fs::read_to_string(recording_of(&parts, talk.call).join(KEY_FILE)).expect("a key");
    assert!(key.contains("letterbox"), "{key}");

    // The key comes back: what waited is sealed beside the running recorder.
    fs::copy(away.path().join("kek"), &there).expect("back");
    assert!(parts.keys.try_again());
    let late: Vec<_> = running
        .recorder
        .seal_late()
        .expect("tried")
        .sealed
        .into_iter()
        .map(|sealed| (sealed.call, sealed.duration_ms))
        .collect();
    assert_eq!(late, [(cut.call, 6200)]);
    running.recorder.stop();
    let verdict = check(&parts);
    assert_eq!((verdict.recordings, verdict.findings), (2, vec![]));
    assert_eq!(plain_files(&parts), Vec::<PathBuf>::new());
}

#[test]
fn a_start_without_the_key_gives_no_number_away_that_a_sidecar_has() {
    let safe = Safe::new();
    let first = safe.record(100);
    let cut = safe.record_and_kill_call(2);
    let (there, away) = (safe.folder.path().join("kek-1"), safe.folder.path().join("kek-away"));
    fs::rename(&there, &away).expect("taken away");
    let copy = tempfile::tempdir().expect("a folder");
    let parts = copy_of(&safe, copy.path());
    // As a kill leaves it between the first one's sidecar and its line.
    fs::write(log_paths(&parts.settings.folder, &parts.node).0, "").expect("no line");
    fs::write(open_folder(&parts.state).join(first.call.to_string()), "").expect("a mark");
    let sealed = recover(&parts, &[]).expect("nothing is refused");
    assert_eq!(sealed.iter().map(|one| (one.call, one.seal_sequence)).collect::<Vec<_>>(), [(first.call, 1)]);
    let mut running = Running::in_(&parts);
    let talk = Talk::begin(3, &running.recorder);
    running.push(&talk, 0..50);
    assert_eq!(running.seal(&talk, 50).seal_sequence, 2);
    fs::rename(&away, &there).expect("back");
    assert!(parts.keys.try_again());
    assert_eq!(
        running.recorder.seal_late().expect("tried").sealed.iter().map(|one| one.call).collect::<Vec<_>>(),
        [cut.call]
    );
    running.recorder.stop();
    let verdict = check(&parts);
    assert_eq!((verdict.recordings, verdict.findings), (3, vec![]));
}

#[test]
fn a_damaged_key_of_the_journal_keeps_no_recording_from_being_sealed() {
    let safe = Safe::new();
    let cut = safe.record_and_kill();
    let copy = tempfile::tempdir().expect("a folder");
    let parts = copy_of(&safe, copy.path());
    let named = |ending: &str| {
        let all = files_below(&journal_folder(&parts.state)).into_iter();
        all.filter(|path| path.extension().is_some_and(|there| there == ending)).collect::<Vec<_>>()
    };
    let segments = named("segment").len();
    assert!(segments > 0);
    for key in named("key") {
        fs::write(key, "{").expect("damaged");
    }
    let sealed = recover(&parts, &[]).expect("nothing is refused");
    assert_eq!(sealed.iter().map(|one| one.call).collect::<Vec<_>>(), [cut.call]);
    assert_eq!((named("segment").len(), named("damaged").len()), (0, segments), "kept, and told once");
    assert_eq!(check(&parts).findings, []);
}

#[test]
fn a_wrong_key_is_told_and_harms_nothing() {
    let mut safe = Safe::new();
    let talk = safe.record(100);
    let right = safe.settings.clone();
    let contents = |safe: &Safe| {
        let files = [&safe.parts.settings.folder, &safe.parts.state].map(|folder| files_below(folder)).concat();
        files.into_iter().map(|path| (fs::read(&path).expect("read"), path)).collect::<Vec<_>>()
    };
    safe.settings.key = Some(new_key(&safe.folder, "kek-wrong"));
    let before = contents(&safe);
    safe.reopen();
    let why = safe.parts.keys.why_locked().expect("told");
    assert!(why.contains("wrong key") && why.contains("old_keys"), "{why}");
    let opened = vault::open_audio(&recording_of(&safe.parts, talk.call), AUDIO_FILE, &safe.parts.keys);
    let error = opened.expect_err("not opened");
    let [wanted, there] = [&right, &safe.settings].map(|settings| {
        let source = settings.key.as_ref().expect("a key");
        vault::MasterKey::fetch(source, std::time::Duration::from_secs(5)).expect("a key").id().to_owned()
    });
    let told = error.to_string();
    assert!(error.is_for_want_of_a_key() && told.contains("wrong key"), "{told}");
    assert!(told.contains(&wanted) && told.contains(&there) && !told.contains("()"), "{told}");
    assert!(recover(&safe.parts, &[]).expect("nothing to do").is_empty());
    assert!(contents(&safe) == before, "no byte of any file was changed");
    safe.settings = right;
    safe.reopen();
    assert_eq!(safe.verdict().findings, []);
}

#[test]
fn a_rotation_wraps_every_key_anew_and_touches_no_audio() {
    let mut safe = Safe::new();
    let folder = recording_of(&safe.parts, safe.record(100).call);
    let audio = || {
        let names = [AUDIO_FILE, "leg-0.frames", "leg-1.frames", SIDECAR_FILE, SIGNATURE_FILE];
        names.map(|name| fs::read(folder.join(name)).expect("read"))
    };
    let (before, key_before) = (audio(), fs::read(folder.join(KEY_FILE)).expect("a key"));
    let old = safe.settings.key.replace(new_key(&safe.folder, "kek-2"));
    safe.settings.old_keys.extend(old);
    safe.reopen();
    let folders = [safe.parts.settings.folder.clone(), journal_folder(&safe.parts.state)];
    // A rotation that was killed leaves a part behind; the next one is not disturbed by it.
    fs::write(folder.join(".audio.key.part"), b"{ torn").expect("written");
    let rotated = vault::rotate(&folders, &safe.parts.keys, |_| ()).expect("rotated");
    assert!(rotated.rewrapped >= 1 && rotated.failed.is_empty(), "{rotated:?}");
    let again = vault::rotate(&folders, &safe.parts.keys, |_| ()).expect("rotated again");
    assert_eq!((again.rewrapped, again.current), (0, rotated.rewrapped));
    assert!(audio() == before && fs::read(folder.join(KEY_FILE)).expect("a key") != key_before);
    // The old key may be thrown away now.
    safe.settings.old_keys.clear();
    safe.reopen();
    assert_eq!(safe.parts.keys.why_locked(), None);
    assert_eq!(safe.verdict().findings, []);
}
