//! Rotation: every recording's key wrapped anew with the current key-encryption key; the audio is not touched.

use std::io;
use std::path::{Path, PathBuf};

use super::folder::KEY_FILE;
use super::keys::Keys;
use super::wrapped::Wrapped;
use super::{VaultError, fault};

/// The deepest folder looked into: `recordings/YYYY/MM/DD/<call-id>` and some above.
const DEPTH_MAX: usize = 8;

/// What a rotation did.
#[derive(Debug, Default)]
pub struct Rotated {
    /// Wrapped anew.
    pub rewrapped: u64,
    /// Wrapped with the current key already.
    pub current: u64,
    /// What could not be, and why; each is as it was.
    pub failed: Vec<VaultError>,
}

/// Wraps every key below `folders` anew. Each file is replaced whole or not at all, so a rotation that was killed is
/// finished by the next one, and a running server is not disturbed. `progress` is told how many were looked at.
pub fn rotate(folders: &[PathBuf], keys: &Keys, mut progress: impl FnMut(u64)) -> Result<Rotated, VaultError> {
    let mut rotated = Rotated::default();
    for folder in folders {
        if folder.is_dir() {
            look_in(folder, 0, &mut |path| {
                match rewrap(path, keys) {
                    Ok(true) => rotated.rewrapped += 1,
                    Ok(false) => rotated.current += 1,
                    Err(error) => rotated.failed.push(error),
                }
                progress(rotated.rewrapped + rotated.current + rotated.failed.len() as u64);
            })
            .map_err(fault("listing", folder))?;
        }
    }
    Ok(rotated)
}

/// Whether it had to be.
fn rewrap(path: &Path, keys: &Keys) -> Result<bool, VaultError> {
    let Some(wrapped) = Wrapped::read(path)? else { return Ok(false) };
    match keys.rewrap(&wrapped, path)? {
        None => Ok(false),
        Some(anew) => anew.put(path).map(|()| true).map_err(fault("writing", path)),
    }
}

fn look_in(folder: &Path, depth: usize, each: &mut dyn FnMut(&Path)) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let is_key = path.file_name().is_some_and(|name| name == KEY_FILE)
            || path.extension().is_some_and(|ending| ending == "key");
        if kind.is_file() && is_key && !entry.file_name().to_string_lossy().starts_with('.') {
            each(&path);
        } else if kind.is_dir() && depth < DEPTH_MAX {
            look_in(&path, depth + 1, each)?;
        }
    }
    Ok(())
}
