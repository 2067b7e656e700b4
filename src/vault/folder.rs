//! A recording's folder: its key, and its audio by name.

use std::path::Path;

use super::keys::Keys;
use super::read::AudioReader;
use super::wrapped::{AudioKey, Wrapped};
use super::{VaultError, fault};

/// The wrapped key of the recording, beside its audio. Without it what is encrypted is noise: to destroy it is to shred.
pub const KEY_FILE: &str = "audio.key";

/// The key of the recording in `folder`; `None` when it has none, and its audio is plain.
pub fn key_of(folder: &Path, keys: &Keys) -> Result<Option<AudioKey>, VaultError> {
    let path = folder.join(KEY_FILE);
    Wrapped::read(&path)?.map(|wrapped| keys.open_key(wrapped, &path)).transpose()
}

/// Puts the recording's key into its folder, unless it is there; the caller syncs it. Another key that is there already
/// is never replaced.
pub fn ensure_key(folder: &Path, key: &AudioKey) -> Result<(), VaultError> {
    let path = folder.join(KEY_FILE);
    match Wrapped::read(&path)? {
        Some(there) if there.key == key.id() => Ok(()),
        Some(there) => {
            let what = format!("another key, {}, is there already", there.key);
            Err(VaultError::Broken { path, what })
        }
        None => key.wrapped().put_unsynced(&path).map_err(fault("writing", &path)),
    }
}

/// Opens the finished file `name` of the recording in `folder`, encrypted or plain: what is read is the plain audio.
///
/// # Errors
/// [`VaultError::NotHeld`] without its key; [`VaultError::Broken`] when it does not end as it was written.
pub fn open_audio(folder: &Path, name: &str, keys: &Keys) -> Result<AudioReader, VaultError> {
    let path = folder.join(name);
    let reader = AudioReader::open(&path, name, || key_of(folder, keys))?;
    if !reader.is_whole() {
        let what = "the encrypted file does not end as it was written: it is cut short or changed".to_owned();
        return Err(VaultError::Broken { path, what });
    }
    Ok(reader)
}
