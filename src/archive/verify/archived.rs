//! Audio that was archived: the FLAC against its addendum, and what it decodes to against the sidecar.

use std::path::Path;

use super::Verdict;
use super::audio::hash;
use super::sealed::Lock;
use crate::archive::archived::{Archived, plain_wav};
use crate::recorder::deposit::{Addendum, addenda_in};
use crate::recorder::layout::AUDIO_FILE;
use crate::recorder::render::hash_short;
use crate::recorder::sidecar::Sidecar;
use crate::vault::{AudioReader, FLAC_FILE};

/// Checks a recording's FLAC, when an addendum names one; `false` when its WAV is to be checked: it has no FLAC, or a WAV lies
/// beside it (the archiving was interrupted, or somebody put it back).
pub(super) fn check(folder: &Path, sidecar: &Sidecar, lock: &Lock, verdict: &mut Verdict) -> bool {
    let addenda = addenda_in(folder).unwrap_or_default();
    let read = |(_, bytes): &(usize, Vec<u8>)| serde_json::from_slice::<Addendum>(bytes).ok();
    let Some(told) = addenda.iter().filter_map(read).find_map(|addendum| Archived::of(&addendum)) else { return false };
    let path = folder.join(FLAC_FILE);
    match hash_short(&path) {
        Err(error) => verdict.add(&path, "file", format!("cannot be read: {error}")),
        Ok((bytes, _)) if bytes != told.bytes => {
            verdict.add(&path, "body.bytes", format!("is {bytes} bytes long, its addendum says {}", told.bytes));
        }
        Ok((_, sha256)) if sha256 != told.sha256 => verdict.add(&path, "body.sha256", "the file was changed"),
        Ok(_) => check_inside(&path, sidecar, lock, verdict),
    }
    !folder.join(AUDIO_FILE).exists()
}

fn check_inside(path: &Path, sidecar: &Sidecar, lock: &Lock, verdict: &mut Verdict) {
    let Some(key) = lock.key() else { return };
    let opened = AudioReader::open(path, FLAC_FILE, || Ok(key.cloned())).and_then(AudioReader::unpack);
    match opened.map_err(std::io::Error::from).and_then(|reader| hash(reader, false)) {
        Err(error) => verdict.add(path, "coding", format!("cannot be decoded: {error}")),
        Ok(found) => {
            let (bytes, sha256) = plain_wav(sidecar);
            if found.bytes != bytes || found.sha256 != sha256 {
                verdict.add(path, "body.wav_sha256", "decodes to another WAV than was sealed");
            }
            if found.essence_sha256.as_ref() != Some(&sidecar.vigie.audio.essence_sha256) {
                verdict.add(path, "vigie.audio.essence_sha256", "the samples were changed");
            }
        }
    }
}
