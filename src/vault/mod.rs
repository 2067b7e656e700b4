//! Audio at rest, encrypted: keys, the format of an encrypted file, and the one reader for files of either kind.
//!
//! Each recording has a key of its own ([`AudioKey`], AES-256-GCM), which rests beside its audio in `audio.key`, wrapped
//! with the key-encryption key ([`MasterKey`]) of the site. An encrypted file is a row of chunks after the STREAM
//! construction (Hoang, Reyhanitabar, Rogaway, Vizár: *Online Authenticated-Encryption and its Nonce-Reuse
//! Misuse-Resistance*, CRYPTO 2015): `stream.rs` has its bytes.

mod append;
mod flac;
mod flac_frame;
mod flac_read;
mod folder;
mod keys;
mod letterbox;
mod master;
mod place;
mod read;
mod ring_place;
mod rotate;
mod stream;
mod wrapped;
mod write;

pub use append::Appender;
pub use flac::{FLAC_FILE, is_packable, pack};
pub use folder::{KEY_FILE, ensure_key, key_of, open_audio, open_flac};
pub use keys::Keys;
pub use master::{MasterKey, new_master_key};
pub use place::{Elsewhere, ReadAt};
pub use read::AudioReader;
pub use ring_place::{check_ring_folder, swap_in_use};
pub use rotate::{Rotated, rotate};
pub use stream::{CHUNK_BYTES_MAX, is_sealed};
pub use wrapped::{AudioKey, Wrapped};
pub use write::AudioWriter;

use std::io;
use std::path::PathBuf;

/// A key or an encrypted file cannot be used; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what its fields are")]
pub enum VaultError {
    #[error("{act} {}: {source}", path.display())]
    File { act: &'static str, path: PathBuf, source: io::Error },
    #[error("the key-encryption key from {from} cannot be had: {why}; check recording.encryption.key")]
    NoMaster { from: String, why: String },
    #[error("there is no key-encryption key: set recording.encryption.key")]
    Off,
    #[error(
        "the key of {} is wrapped with the key-encryption key {kek}, which is not among those at hand ({held}): it is the \
         wrong key, or an older one (recording.encryption.old_keys); the audio was not touched",
        path.display()
    )]
    NotHeld { path: PathBuf, kek: String, held: String },
    #[error(
        "the key of {} is wrapped with the key-encryption key {kek}, which is not at hand: {why}; the audio was not touched",
        path.display()
    )]
    Away { path: PathBuf, kek: String, why: String },
    #[error("{} is damaged ({what}): put it back from a copy; the audio was not touched", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("{}: the audio is encrypted and its key, {KEY_FILE}, is not there", path.display())]
    NoKey { path: PathBuf },
    #[error("{}: {what}", path.display())]
    Broken { path: PathBuf, what: String },
    #[error("the system gave no random numbers: {0}")]
    Randomness(getrandom::Error),
    #[error("{}: {what}", path.display())]
    Ring { path: PathBuf, what: String },
}

impl VaultError {
    /// Whether the right key would help: then what is there is to be kept and tried again.
    pub fn is_for_want_of_a_key(&self) -> bool {
        matches!(
            self,
            VaultError::NotHeld { .. } | VaultError::Away { .. } | VaultError::NoMaster { .. } | VaultError::Off
        )
    }
}

impl From<VaultError> for io::Error {
    fn from(error: VaultError) -> io::Error {
        match error {
            VaultError::File { source, .. } => source,
            error => io::Error::other(error),
        }
    }
}

fn fault(act: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> VaultError + use<> {
    let path = path.to_owned();
    move |source| VaultError::File { act, path, source }
}

fn random<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(VaultError::Randomness)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
