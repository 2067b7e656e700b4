//! One Vigie at a time on a state folder and on a recordings folder: a second one would finish the first one's live calls.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::AppError;
use crate::config::Settings;

/// The locks, held while this value lives; the system takes them back from a process that was killed.
#[derive(Debug)]
pub struct Locks {
    _files: Vec<File>,
}

/// Locks both folders, making them when they are missing.
///
/// # Errors
/// [`AppError::InUse`] when another process has one of them.
pub fn take(settings: &Settings) -> Result<Locks, AppError> {
    let mut files = Vec::new();
    // Secrets and the database are the server's alone; recordings may be read by a group.
    for (folder, mode) in [(&settings.node.state, 0o700), (&settings.recording.folder, 0o750)] {
        files.push(lock(folder, mode)?);
    }
    Ok(Locks { _files: files })
}

fn lock(folder: &Path, mode: u32) -> Result<File, AppError> {
    let refused = |source| AppError::Folder { folder: PathBuf::from(folder), source };
    DirBuilder::new().recursive(true).mode(mode).create(folder).map_err(refused)?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join(".lock"))
        .map_err(refused)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(AppError::InUse { folder: folder.into() }),
        Err(error) => Err(refused(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_process_s_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = lock(folder.path(), 0o700).expect("free");
        assert!(matches!(lock(folder.path(), 0o700), Err(AppError::InUse { .. })));
        drop(first);
        assert!(lock(folder.path(), 0o700).is_ok(), "given back");
    }
}
