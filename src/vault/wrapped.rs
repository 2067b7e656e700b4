//! A recording's key, and the file in which it rests, wrapped.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::place::{ReadAt, read_at_most};
use super::{VaultError, fault};

/// A key file is a line of some 200 bytes.
const FILE_BYTES_MAX: u64 = 4096;

/// The key of one recording, with its wrapped form.
#[derive(Clone)]
pub struct AudioKey(Arc<(Zeroizing<[u8; 32]>, Wrapped)>);

impl fmt::Debug for AudioKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AudioKey({})", self.wrapped().key)
    }
}

impl AudioKey {
    pub(super) fn new(bytes: Zeroizing<[u8; 32]>, wrapped: Wrapped) -> AudioKey {
        AudioKey(Arc::new((bytes, wrapped)))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0.0
    }

    /// What may rest on a disk.
    pub fn wrapped(&self) -> &Wrapped {
        &self.0.1
    }

    /// The key's name: no secret.
    pub fn id(&self) -> &str {
        &self.0.1.key
    }
}

/// A key that is wrapped: what `audio.key` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrapped {
    /// The version of this form: 1.
    pub vault: u32,
    /// The key's name: 32 random hexadecimal digits.
    pub key: String,
    /// What it is wrapped with.
    #[serde(flatten)]
    pub with: With,
    /// Base64: `nonce ‖ ciphertext ‖ tag`, or `ephemeral public key ‖ ciphertext ‖ tag` for a letterbox.
    pub wrapped: String,
}

/// What a key is wrapped with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum With {
    /// The key-encryption key of this id.
    Kek(String),
    /// The public key of this id, whose private one is wrapped with the key-encryption key: for times without it.
    Letterbox(String),
}

impl Wrapped {
    /// Reads a key file; `None` when there is none.
    pub fn read(path: &Path) -> Result<Option<Wrapped>, VaultError> {
        let bytes = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault("looking at", path)(error)),
            Ok(about) if about.len() > FILE_BYTES_MAX => {
                return Err(VaultError::Damaged { path: path.to_owned(), what: "it is no key file".into() });
            }
            Ok(_) => std::fs::read(path).map_err(fault("reading", path))?,
        };
        Wrapped::understand(&bytes, path).map(Some)
    }

    /// Reads a key file that lies somewhere; `path` is where it belongs.
    pub(super) fn from_place(file: &dyn ReadAt, path: &Path) -> Result<Wrapped, VaultError> {
        let mut bytes = vec![0; FILE_BYTES_MAX as usize];
        let read = read_at_most(file, &mut bytes, 0).map_err(fault("reading the copy of", path))?;
        bytes.truncate(read);
        Wrapped::understand(&bytes, path)
    }

    /// The key in the bytes of a key file.
    pub fn understand(bytes: &[u8], path: &Path) -> Result<Wrapped, VaultError> {
        let read: Wrapped = serde_json::from_slice(bytes)
            .map_err(|error| VaultError::Damaged { path: path.to_owned(), what: error.to_string() })?;
        if read.vault != 1 {
            let what = format!("its form is {}, and this version knows 1", read.vault);
            return Err(VaultError::Damaged { path: path.to_owned(), what });
        }
        Ok(read)
    }

    /// Puts the key file in place, whole or not at all; over a power cut once file and folder are synced.
    pub(super) fn put_unsynced(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_string(self)? + "\n";
        name_beside(path, text.as_bytes(), |_| Ok(()))
    }

    /// Puts the key file in place, whole or not at all, power cut or no; one that is there is replaced.
    pub fn put(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_string(self)? + "\n";
        put_private(path, text.as_bytes())
    }
}

/// Writes beside, syncs, renames, syncs the folder; 0640 as all of a recording is.
pub(super) fn put_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    name_beside(path, bytes, File::sync_all)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn name_beside(path: &Path, bytes: &[u8], sync: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let part = path.with_file_name(format!(".{name}.part"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&part)?;
    file.write_all(bytes)?;
    sync(&file)?;
    std::fs::rename(&part, path)
}
