//! A recording's folder: its key, and its audio by name.

use std::io;
use std::path::Path;

use super::flac::FLAC_FILE;
use super::keys::Keys;
use super::place::open_anywhere;
use super::read::AudioReader;
use super::wrapped::{AudioKey, Wrapped};
use super::{VaultError, fault};

/// The wrapped key of the recording, beside its audio. Without it what is encrypted is noise: to destroy it is to shred.
pub const KEY_FILE: &str = "audio.key";

/// The key of the recording in `folder`, here or where its copy is; `None` when it has none, and its audio is plain.
pub fn key_of(folder: &Path, keys: &Keys) -> Result<Option<AudioKey>, VaultError> {
    let path = folder.join(KEY_FILE);
    if let Some(wrapped) = Wrapped::read(&path)? {
        return keys.open_key(wrapped, &path).map(Some);
    }
    let Some(elsewhere) = keys.elsewhere() else { return Ok(None) };
    let Some(file) = elsewhere.open(&path).map_err(fault("reading the copy of", &path))? else { return Ok(None) };
    keys.open_key(Wrapped::from_place(&*file, &path)?, &path).map(Some)
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

/// Opens the finished file `name` of the recording in `folder`, encrypted or plain: what is read is the plain audio. A WAV
/// that rests as FLAC is read as the WAV; what is not here is read from where its copy is.
///
/// # Errors
/// [`VaultError::NotHeld`] or [`VaultError::Away`] without its key; [`VaultError::Broken`] when it does not end as it was written.
pub fn open_audio(folder: &Path, name: &str, keys: &Keys) -> Result<AudioReader, VaultError> {
    let is_there = |name: &str| folder.join(name).exists();
    let elsewhere = keys.elsewhere();
    let is_wav = Path::new(name).extension().is_some_and(|ending| ending == "wav");
    if !is_wav || is_there(name) {
        return open_file(folder, name, keys);
    }
    let is_flac = is_there(FLAC_FILE);
    match open_file(folder, if is_flac { FLAC_FILE } else { name }, keys) {
        Ok(reader) if is_flac => reader.unpack(),
        Err(VaultError::File { source, .. })
            if !is_flac && elsewhere.is_some() && source.kind() == io::ErrorKind::NotFound =>
        {
            open_file(folder, FLAC_FILE, keys)?.unpack()
        }
        opened => opened,
    }
}

/// Opens the FLAC of the recording in `folder` as the WAV that it stands for, whether or not that is there, too.
///
/// # Errors
/// As [`open_audio`].
pub fn open_flac(folder: &Path, keys: &Keys) -> Result<AudioReader, VaultError> {
    open_file(folder, FLAC_FILE, keys)?.unpack()
}

fn open_file(folder: &Path, name: &str, keys: &Keys) -> Result<AudioReader, VaultError> {
    let path = folder.join(name);
    let elsewhere = keys.elsewhere();
    let file = open_anywhere(&path, elsewhere.as_deref()).map_err(fault("opening", &path))?;
    let reader = AudioReader::from(file, &path, name, || key_of(folder, keys))?;
    if !reader.is_whole() {
        let what = "the encrypted file does not end as it was written: it is cut short or changed".to_owned();
        return Err(VaultError::Broken { path, what });
    }
    Ok(reader)
}
