//! What is inside an encrypted recording: checked with its key, told as unchecked without it.

use std::path::Path;

use super::Verdict;
use super::audio::{Hashes, hash, hash_whole};
use crate::recorder::layout::AUDIO_FILE;
use crate::recorder::sidecar::{Encryption, Sidecar};
use crate::vault::{self, AudioKey, AudioReader, KEY_FILE, Keys, VaultError};

/// Whether a recording can be looked into.
pub(super) enum Lock {
    /// It is plain.
    Plain,
    /// It is encrypted, with this key.
    Open(AudioKey),
    /// It is encrypted, and cannot be decrypted.
    Shut,
}

impl Lock {
    /// Of the recording in `folder`; why it is shut is told.
    pub(super) fn of(folder: &Path, sidecar: &Sidecar, keys: &Keys, verdict: &mut Verdict) -> Lock {
        let Some(encryption) = &sidecar.vigie.encryption else { return Lock::Plain };
        let path = folder.join(KEY_FILE);
        match vault::key_of(folder, keys) {
            Ok(Some(key)) if key.id() == encryption.key => return Lock::Open(key),
            Ok(Some(key)) => {
                let what = format!("is another key ({}) than the one that was sealed ({})", key.id(), encryption.key);
                verdict.add(&path, "key", what);
            }
            Ok(None) => verdict.add(&path, "file", "the recording's key is not there: nobody can decrypt it"),
            Err(VaultError::Damaged { what, .. }) => verdict.add(&path, "key", format!("is damaged: {what}")),
            Err(error) if error.is_for_want_of_a_key() => {
                let what = "is encrypted: what rests on the disk was checked, what is inside was not";
                verdict.note(format!("{}: {what} ({error})", folder.display()));
            }
            Err(error) => verdict.add(&path, "file", format!("cannot be read: {error}")),
        }
        Lock::Shut
    }

    /// What to read the files with; `None`: they cannot be read.
    pub(super) fn key(&self) -> Option<Option<&AudioKey>> {
        match self {
            Lock::Plain => Some(None),
            Lock::Open(key) => Some(Some(key)),
            Lock::Shut => None,
        }
    }
}

/// Whether the WAV at `path` decrypts to what was sealed; in no words.
pub(super) fn is_as_sealed(path: &Path, told: &Encryption, key: &AudioKey) -> bool {
    let opened = AudioReader::open(path, AUDIO_FILE, || Ok(Some(key.clone())));
    let reader = opened.ok().filter(|reader| reader.is_sealed() && reader.is_whole());
    let found = reader.and_then(|reader| hash_whole(reader).ok());
    found.is_some_and(|(bytes, sha256)| bytes == told.plain_bytes && sha256 == told.plain_sha256)
}

/// Hashes the WAV at `path` decrypted, and tells when that is not what was sealed; `None`: it cannot be decrypted.
pub(super) fn look_inside(path: &Path, told: &Encryption, key: &AudioKey, verdict: &mut Verdict) -> Option<Hashes> {
    let opened = AudioReader::open(path, AUDIO_FILE, || Ok(Some(key.clone())));
    let hashed = match opened {
        Ok(reader) if !reader.is_sealed() || !reader.is_whole() => {
            verdict.add(path, "encryption", "is not an encrypted file that ends as it was written");
            return None;
        }
        Ok(reader) => hash(reader, false),
        Err(error) => Err(error.into()),
    };
    match hashed {
        Ok(inside) => {
            if inside.bytes != told.plain_bytes || inside.sha256 != told.plain_sha256 {
                let what = "decrypts to something else than was sealed";
                verdict.add(path, "vigie.encryption.plain_sha256", what);
            }
            Some(inside)
        }
        Err(error) => {
            verdict.add(path, "encryption", format!("cannot be decrypted: {error}"));
            None
        }
    }
}
