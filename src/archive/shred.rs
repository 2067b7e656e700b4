//! What is left of a recording after its lawful deletion: the certificate and its signature. Keys go first.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use super::second::QUARANTINE;
use crate::model::CallId;
use crate::recorder::layout::{CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE, folder_of, name_of_part, sync_file};

/// A key file has a few hundred bytes; nothing longer is overwritten: on many disks that destroys nothing.
const KEY_BYTES_MAX: u64 = 4096;

/// Removes every file of a recording but its certificate, and what was set aside of it. The wrapped data key is overwritten
/// and removed before its audio and for certain: from then on no copy of encrypted audio, wherever it lies, can be read.
/// Doing it twice changes nothing.
pub fn remove_recording(recordings: &Path, call: CallId) -> io::Result<()> {
    let folder = recordings.join(folder_of(call));
    let aside = recordings.join(QUARANTINE).join(folder_of(call));
    match std::fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => (),
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != CERTIFICATE_FILE && name != CERTIFICATE_SIGNATURE_FILE {
            files.push(entry.path());
        }
    }
    for key in files.iter().filter(|path| is_key(path)) {
        overwrite(key)?;
        std::fs::remove_file(key)?;
    }
    sync_file(&folder)?;
    for file in files.iter().filter(|path| !is_key(path)) {
        if file.is_dir() && !file.is_symlink() {
            std::fs::remove_dir_all(file)?;
        } else {
            std::fs::remove_file(file)?;
        }
    }
    sync_file(&folder)
}

/// Whether this is a wrapped key, or what a rotation of keys that was killed has left of one.
fn is_key(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name_of_part(&name).unwrap_or(&name).ends_with(".key")
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
    fn a_key_is_overwritten_before_it_is_removed() {
        let root = tempfile::tempdir().expect("a folder");
        let (key, other) = (root.path().join("data.key"), root.path().join("copy"));
        std::fs::write(&key, b"secret").expect("written");
        // A second name for the same bytes shows what became of them.
        std::fs::hard_link(&key, &other).expect("linked");
        overwrite(&key).expect("overwritten");
        assert_eq!(std::fs::read(&other).expect("read"), [0; 6]);
    }
}
