//! Listening to what is encrypted: outline, preview and voices go through the recording's key, and rest under it.

use std::fs;
use std::io::Read;
use std::sync::mpsc::channel;

use vigie::archive::listening;
use vigie::archive::verify::{Wish, verify_as};
use vigie::config::encryption::{EncryptionSettings, KeySource};
use vigie::journal::RingWriter;
use vigie::model::RecorderReport;
use vigie::recorder::layout::AUDIO_FILE;
use vigie::recorder::{self, Parts};
use vigie::vault::{self, KEY_FILE, Keys, new_master_key};

use super::bench::{DEADLINE, Talk, parts, recording_of};

/// One call of so many frames, sealed.
fn record(parts: &Parts, frames: u32) -> Talk {
    let mut ring = RingWriter::create(&parts.ring_folder.join("media-0.ring"), 1 << 20).expect("a ring");
    let (report, reports) = channel();
    let tell = move |told| report.send(told).expect("heard");
    let recorder = recorder::start(parts.clone(), vec![ring.reader()], tell, |_, _, _| ()).expect("a recorder");
    let talk = Talk::begin(1, &recorder);
    (0..frames).for_each(|number| talk.push_both(&mut ring, number));
    ring.flush().expect("flushed");
    talk.finish(&recorder, frames);
    match reports.recv_timeout(DEADLINE).expect("a report") {
        RecorderReport::Sealed(_) => recorder.stop(),
        RecorderReport::Failed { reason, .. } => panic!("{reason}"),
    }
    talk
}

#[test]
fn outline_preview_and_voices_of_an_encrypted_recording_are_heard_with_its_key_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut parts = parts(folder.path());
    let kek = folder.path().join("kek");
    fs::write(&kek, new_master_key().expect("a key").0.as_bytes()).expect("written");
    let settings = EncryptionSettings { key: Some(KeySource::File(kek)), ..EncryptionSettings::default() };
    parts.keys = Keys::open(&settings, &parts.state.join("secrets")).expect("keys");
    let call = record(&parts, 150).call;
    let (folder, keys) = (recording_of(&parts, call), &parts.keys);

    let resting = fs::read(folder.join(listening::PEAKS_FILE)).expect("an outline");
    assert!(vault::is_sealed(&resting), "it rests encrypted");
    let outline = listening::outline(&folder, keys).expect("decrypted").expect("an outline");
    let outline: serde_json::Value = serde_json::from_slice(&outline).expect("JSON");
    assert_eq!(outline["length"], 30);

    let mut wav = Vec::new();
    vault::open_audio(&folder, AUDIO_FILE, keys).expect("opened").read_to_end(&mut wav).expect("read");
    let mut parties = listening::parties(&folder, keys, 1).expect("opened");
    let second = parties.next_second().expect("read").expect("a second");
    assert!(second == wav[44 + 32_000..][..32_000], "two voices lie as two sides do");

    let audio = vault::open_audio(&folder, AUDIO_FILE, keys).expect("opened");
    let pages: Result<Vec<_>, _> = listening::preview(audio, 1).expect("begun").collect();
    assert_eq!(pages.expect("made").len(), 2 + 3, "head, tags, two seconds and what the encoder held back");

    let wish = Wish { vault: keys.clone(), ..Wish::default() };
    let check = || verify_as(&parts.settings.folder, &wish, |_| ()).expect("checked");
    assert_eq!(check().findings, []);
    let mut changed = resting.clone();
    changed[resting.len() / 2] ^= 1;
    fs::write(folder.join(listening::PEAKS_FILE), changed).expect("changed");
    let findings = check().findings;
    assert!(findings.iter().any(|finding| finding.file.ends_with(listening::PEAKS_FILE)), "{findings:?}");
    fs::write(folder.join(listening::PEAKS_FILE), resting).expect("mended");

    fs::rename(folder.join(KEY_FILE), folder.join("away")).expect("taken away");
    assert!(listening::outline(&folder, keys).is_err() && listening::parties(&folder, keys, 0).is_err());
}
