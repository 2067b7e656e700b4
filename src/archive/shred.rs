//! What is left of a recording after its lawful deletion: the certificate and its signature. Keys go first.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::second::QUARANTINE;
use crate::model::CallId;
use crate::recorder::layout::{CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE, folder_of, name_of_part, sync_file};

/// A key file has a few hundred bytes; nothing longer is overwritten: on many disks that destroys nothing.
const KEY_BYTES_MAX: u64 = 4096;

/// Destroys every wrapped key of a recording, beside its audio and among what was set aside: all of them are overwritten and
/// synced before the first is removed. From then on no copy of the encrypted audio, wherever it lies, can be read with what is
/// left here. Doing it twice changes nothing.
pub fn destroy_keys(recordings: &Path, call: CallId) -> io::Result<()> {
    let mut keys = Vec::new();
    for folder in [recordings.join(folder_of(call)), recordings.join(QUARANTINE).join(folder_of(call))] {
        collect_keys(&folder, &mut keys)?;
    }
    for key in &keys {
        overwrite(key)?;
    }
    for key in &keys {
        std::fs::remove_file(key)?;
        key.parent().map_or(Ok(()), sync_file)?;
    }
    Ok(())
}

/// The keys below `folder`, when there is one; links are not followed.
fn collect_keys(folder: &Path, keys: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            collect_keys(&path, keys)?;
        } else if is_key(&path) {
            keys.push(path);
        }
    }
    Ok(())
}

/// Removes every file of a recording but its certificate, and what was set aside of it; its keys, wherever they lie, first
/// ([`destroy_keys`]). Killed anywhere, doing it again ends it.
pub fn remove_recording(recordings: &Path, call: CallId) -> io::Result<()> {
    destroy_keys(recordings, call)?;
    let folder = recordings.join(folder_of(call));
    for entry in std::fs::read_dir(&folder)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if name == CERTIFICATE_FILE || name == CERTIFICATE_SIGNATURE_FILE {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            std::fs::remove_dir_all(path)?;
        } else {
            std::fs::remove_file(path)?;
        }
    }
    sync_file(&folder)?;
    remove_aside(recordings, call)
}

/// Removes what was set aside of the call.
///
/// # Errors
/// When something cannot be removed.
pub fn remove_aside(recordings: &Path, call: CallId) -> io::Result<()> {
    match std::fs::remove_dir_all(recordings.join(QUARANTINE).join(folder_of(call))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether this is a wrapped key, what a rotation of keys that was killed has left of one, or one that was set aside
/// (`audio.key.MICROSECONDS`).
pub fn is_key(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let name = match name.rsplit_once('.') {
        Some((before, at)) if !at.is_empty() && at.bytes().all(|byte| byte.is_ascii_digit()) => before,
        Some(_) | None => &name,
    };
    name_of_part(name).unwrap_or(name).ends_with(".key")
}

fn overwrite(key: &Path) -> io::Result<()> {
    let length = key.symlink_metadata()?.len().min(KEY_BYTES_MAX);
    if key.is_symlink() {
        return Ok(());
    }
    let mut file = OpenOptions::new().write(true).open(key)?;
    file.write_all(&vec![0; usize::try_from(length).unwrap_or_default()])?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Chance, Utc};

    #[test]
    fn nothing_but_the_certificate_is_left_and_twice_is_as_once() {
        let root = tempfile::tempdir().expect("a folder");
        let call = CallId::new(Utc(1_700_000_000_000_000), &mut Chance::from_number(1));
        let folder = root.path().join(folder_of(call));
        std::fs::create_dir_all(folder.join("more")).expect("a folder");
        for name in
            [CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE, "audio.wav", "leg-0.frames", "data.key", ".x.part", "more/y"]
        {
            std::fs::write(folder.join(name), b"x").expect("written");
        }
        for _ in 0..2 {
            remove_recording(root.path(), call).expect("removed");
            let mut left: Vec<_> = std::fs::read_dir(&folder).expect("list").flatten().map(|e| e.file_name()).collect();
            left.sort();
            assert_eq!(left, [CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE]);
        }
    }

    #[test]
    fn a_key_that_a_killed_rotation_left_half_way_is_destroyed_with_the_other_before_anything_else() {
        let root = tempfile::tempdir().expect("a folder");
        let call = CallId::new(Utc(1_700_000_000_000_000), &mut Chance::from_number(1));
        let folder = root.path().join(folder_of(call));
        std::fs::create_dir_all(&folder).expect("a folder");
        for name in ["audio.key", ".audio.key.part"] {
            std::fs::write(folder.join(name), b"secret").expect("written");
            std::fs::hard_link(folder.join(name), root.path().join(name)).expect("linked");
        }
        remove_recording(root.path(), call).expect("removed");
        for name in ["audio.key", ".audio.key.part"] {
            assert_eq!(std::fs::read(root.path().join(name)).expect("read"), [0; 6], "{name}");
        }
    }

    #[test]
    fn a_key_that_was_set_aside_is_overwritten_and_gone_before_any_audio_goes() {
        let root = tempfile::tempdir().expect("a folder");
        let call = CallId::new(Utc(1_700_000_000_000_000), &mut Chance::from_number(1));
        let folder = root.path().join(folder_of(call));
        let aside = root.path().join(QUARANTINE).join(folder_of(call));
        for (folder, key) in [(&folder, "audio.key"), (&aside, "audio.key.1700000000000001")] {
            std::fs::create_dir_all(folder).expect("a folder");
            std::fs::write(folder.join(key), b"secret").expect("written");
            // A second name for the same bytes shows what became of them.
            std::fs::hard_link(folder.join(key), root.path().join(key)).expect("linked");
            std::fs::write(folder.join("audio.wav"), b"noise").expect("written");
        }
        destroy_keys(root.path(), call).expect("destroyed");
        for (folder, key) in [(&folder, "audio.key"), (&aside, "audio.key.1700000000000001")] {
            assert!(!folder.join(key).exists() && folder.join("audio.wav").exists(), "{key}");
            assert_eq!(std::fs::read(root.path().join(key)).expect("read"), [0; 6], "{key}");
        }
        // As after a kill in between: what is left goes the second time.
        remove_recording(root.path(), call).expect("removed");
        assert!(!folder.join("audio.wav").exists() && !aside.exists());
    }
}
