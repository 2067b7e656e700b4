//! The server's own secrets, made at the first start and kept in `STATE/secrets/`: passwords, tokens, keys.
//!
//! Nothing here is ever logged; what a person must learn once is written to a file that may be deleted.

mod accounts;
mod files;
mod seal_key;
mod tokens;
mod trunks;
mod webhooks;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::settings::Settings;
use crate::model::{Credential, RegulatorId, TrunkId};

pub use accounts::{new_password, set_password};
pub use tokens::{ApiRole, ApiToken};

/// What the server needs to know of its secrets.
pub struct Secrets {
    /// The HA1 values of every configured regulator.
    pub credentials: HashMap<RegulatorId, Credential>,
    /// The API's bearer tokens, hashed.
    pub tokens: Vec<ApiToken>,
    /// The key that seals recordings.
    pub seal_key: ed25519_dalek::SigningKey,
    /// The `whsec_…` secrets of each dispatch endpoint, the current one first.
    pub endpoint_secrets: HashMap<String, Vec<String>>,
    /// The passwords that carriers gave, by trunk.
    pub trunk_passwords: HashMap<TrunkId, String>,
    /// The files that this opening made: worth telling the person at the console.
    pub made: Vec<PathBuf>,
}

/// Why the secrets cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what its fields are")]
pub enum SecretsError {
    #[error("{act} {}: {source}; check the folder's owner and the free space", path.display())]
    Io { act: &'static str, path: PathBuf, source: std::io::Error },
    #[error(
        "{} can be read by others (mode {mode:03o}): run `chmod go= {}`, and think of it as known if others had accounts here",
        path.display(), path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{} is damaged ({what}): {remedy}", path.display())]
    Damaged { path: PathBuf, what: String, remedy: &'static str },
    #[error(
        "{} was made for the realm `{was}`, and sip.realm is now `{now}`: put the realm back, or move the file away and every regulator gets a new password at the next start",
        path.display()
    )]
    RealmChanged { path: PathBuf, was: String, now: String },
    #[error("no regulator `{id}` is configured: write [regulators.{id}] first")]
    UnknownRegulator { id: RegulatorId },
    #[error(
        "the password of the trunk `{trunk}` is not in {}: write what the carrier gave into that file, on one line, and \
         let its owner alone read it (`chmod 600`); or take `user` out of [trunks.{trunk}]",
        path.display()
    )]
    NoTrunkPassword { trunk: TrunkId, path: PathBuf },
    #[error("the password is too short or holds what a phone cannot type: use 12 to 128 plain ASCII characters")]
    WeakPassword,
    #[error("the system gave no random numbers: {0}; without them no secret can be made")]
    Randomness(getrandom::Error),
}

impl Secrets {
    /// Reads the secrets; makes those that are missing.
    ///
    /// Refuses files that others may read, and files that are damaged: a secret is never silently replaced.
    pub fn open_or_make(settings: &Settings) -> Result<Secrets, SecretsError> {
        let folder = folder(settings);
        files::make_folder(&folder)?;
        let mut made = Vec::new();
        Ok(Secrets {
            credentials: accounts::open_or_make(settings, &folder, &mut made)?,
            tokens: tokens::open_or_make(&folder, &mut made)?,
            seal_key: seal_key::open_or_make(&folder, &mut made)?,
            endpoint_secrets: webhooks::open_or_make(settings, &mut made)?,
            trunk_passwords: trunks::open(settings)?,
            made,
        })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

/// The seal key that comes next: made and kept aside, or the one that an interrupted change has made.
///
/// # Errors
/// When it cannot be read or written.
pub fn begin_seal_key(settings: &Settings) -> Result<ed25519_dalek::SigningKey, SecretsError> {
    seal_key::begin(&folder(settings))
}

/// Puts the next seal key in the place of the one in use.
///
/// # Errors
/// When the file cannot be put in place.
pub fn finish_seal_key(settings: &Settings) -> Result<(), SecretsError> {
    seal_key::finish(&folder(settings))
}

/// `STATE/secrets`.
fn folder(settings: &Settings) -> PathBuf {
    settings.node.state.join("secrets")
}

fn io(act: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SecretsError {
    let path = path.to_owned();
    move |source| SecretsError::Io { act, path, source }
}

fn damaged(path: &Path, what: impl fmt::Display, remedy: &'static str) -> SecretsError {
    SecretsError::Damaged { path: path.to_owned(), what: what.to_string(), remedy }
}

/// Random bytes from the system.
fn random<const N: usize>() -> Result<[u8; N], SecretsError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(SecretsError::Randomness)?;
    Ok(bytes)
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests;
