//! What was added to a recording after its seal: each signed, sealed by a line, and bound to the one before.

use std::path::Path;

use ed25519_dalek::Signature;
use sha2::{Digest, Sha256};

use super::{Seals, Verdict};
use crate::archive::redact::{self, Redaction};
use crate::recorder::deposit::{Addendum, addenda_in, addendum_file, signature_of};
use crate::recorder::layout::AUDIO_FILE;
use crate::recorder::render::hex;
use crate::vault::{self, Keys};

impl Seals {
    /// Checks the addenda in a recording's folder; `seal` is its sidecar's SHA-256.
    pub(super) fn check_addenda(&self, folder: &Path, seal: &str, verdict: &mut Verdict) {
        let there = match addenda_in(folder) {
            Ok(there) => there,
            Err(error) => return verdict.add(folder, "addenda", format!("cannot be read: {error}")),
        };
        let mut previous = String::new();
        for (place, (number, bytes)) in there.iter().enumerate() {
            let path = folder.join(addendum_file(*number));
            if *number != place + 1 {
                verdict.add(
                    &path,
                    "addendum",
                    format!("is number {number} where {} is due: one is missing", place + 1),
                );
            }
            let hash = hex(&Sha256::digest(bytes));
            let read = serde_json::from_slice::<Addendum>(bytes);
            let entry = self.entries.get(&path);
            match entry {
                Some(entry) if entry.sidecar_sha256 != hash => {
                    verdict.add(&path, "sha256", format!("was changed: number {} of the seal log", entry.sequence));
                }
                None if read.as_ref().is_ok_and(|addendum| self.is_from_now(addendum.at_us)) => {
                    verdict.note(format!("{}: added while this check ran; check it again", path.display()));
                }
                None if self.root.is_some() => {
                    verdict.add(&path, "sha256", "the seal log has no sound line of it");
                }
                Some(_) | None => (),
            }
            let is_as_logged = entry.is_none_or(|entry| entry.sidecar_sha256 == hash);
            self.check_detached(&path, (bytes, is_as_logged), verdict);
            match read {
                Err(error) => verdict.add(&path, "form", format!("is not an addendum as Vigie writes it: {error}")),
                Ok(addendum) => {
                    let told = [
                        ("addendum", addendum.addendum == *number),
                        ("recording_sha256", addendum.recording_sha256 == seal),
                        ("previous_sha256", addendum.previous_sha256 == previous),
                    ];
                    for (field, _) in told.iter().filter(|(_, holds)| !holds) {
                        verdict.add(&path, *field, "is not what this recording and its addenda say");
                    }
                    if let Some(redaction) = Redaction::of(&addendum) {
                        check_redaction((folder, &self.vault), &path, &redaction, verdict);
                    }
                }
            }
            previous = hash;
        }
    }

    /// A file's detached signature, 64 raw bytes; the seal log tells which of the two was changed.
    pub(super) fn check_detached(&self, file: &Path, (bytes, is_as_logged): (&[u8], bool), verdict: &mut Verdict) {
        let path = signature_of(file);
        let signature = match std::fs::read(&path) {
            Ok(bytes) => Signature::from_slice(&bytes),
            Err(error) => return verdict.add(&path, "file", format!("cannot be read: {error}")),
        };
        let Ok(signature) = signature else {
            return verdict.add(&path, "length", "is not a signature of 64 bytes");
        };
        if self.keys.is_empty() {
            return verdict.add(&path, "signature", "there is no key to check it with: give one with --key");
        }
        if !self.keys.iter().any(|key| key.verify_strict(bytes, &signature).is_ok()) {
            let changed = if is_as_logged { &path } else { file };
            verdict.add(changed, "signature", "does not match: changed, or signed with another key");
        }
    }
}

/// The redacted copy that an addendum seals, made again.
fn check_redaction((folder, keys): (&Path, &Keys), addendum: &Path, redaction: &Redaction, verdict: &mut Verdict) {
    let audio = match vault::open_audio(folder, AUDIO_FILE, keys) {
        // What is inside cannot be checked, which was told of the recording.
        Err(error) if error.is_for_want_of_a_key() => return,
        opened => opened.map_err(std::io::Error::from),
    };
    match audio.and_then(|audio| redact::write(audio, redaction.plan(), &mut std::io::sink())) {
        Ok(made) if made.sha256 == redaction.sha256 && made.essence_sha256 == redaction.essence_sha256 => (),
        Ok(_) => verdict.add(addendum, "body.sha256", "the redacted copy made of the audio is another"),
        Err(error) => verdict.add(addendum, "body.spans", format!("the redacted copy cannot be made again: {error}")),
    }
}
