//! The public keys beside a node's seal log: the first, and each that came after it, vouched for by its neighbours.
//!
//! `NODE.pub.pem` is the first key. `NODE.key-2.pub.pem` and so on are later ones: the line that seals such a file is
//! signed with the key before it, and everything after that line with the new one. `….pub.pem.before.sig` is the new key's
//! signature over the older key's file, so that who holds only the newest key can trust the older ones, too.

use std::io;
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePublicKey, EncodePublicKey};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::Parts;
use super::deposit::{Deposit, DepositError, Deposited, forget_deposit, signature_of};
use super::layout::{SEAL_LOG_FOLDER, put_file, remove_file};
use super::render::hex;
use super::seal::Sealer;
use super::seal_log::{SealLogError, find_line, log_paths};
use crate::clock;

/// The most changes of keys looked for: one a month for eighty years.
const KEYS_MAX: usize = 1000;
/// How the file with the newer key's word for the older one ends.
const BEFORE: &str = "before.sig";

/// A key of a node.
#[derive(Clone, Debug)]
pub struct NodeKey {
    /// 1 is the first.
    pub number: usize,
    /// Its file.
    pub path: PathBuf,
    /// Its file's text.
    pub pem: String,
    /// The key; `None` when the file holds none as Vigie writes it.
    pub key: Option<VerifyingKey>,
}

/// The name of a node's key in the seal log's folder.
pub fn key_path(recordings: &Path, node: &str, number: usize) -> PathBuf {
    let (_, first) = log_paths(recordings, node);
    if number <= 1 {
        return first;
    }
    let stem = first.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = stem.strip_suffix(".pub.pem").unwrap_or(&stem).to_owned();
    first.with_file_name(format!("{stem}.key-{number}.pub.pem"))
}

/// The same relative to the recordings folder, as the seal log's line says it.
pub fn relative_key_path(recordings: &Path, node: &str, number: usize) -> String {
    let path = key_path(recordings, node, number);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{SEAL_LOG_FOLDER}/{name}")
}

/// A node's keys, the oldest first.
///
/// # Errors
/// When a key's file is there and cannot be read.
pub fn keys_of(recordings: &Path, node: &str) -> io::Result<Vec<NodeKey>> {
    let mut keys = Vec::new();
    for number in 1..=KEYS_MAX {
        let path = key_path(recordings, node, number);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            bytes => bytes?,
        };
        let pem = String::from_utf8_lossy(&bytes).into_owned();
        let key = VerifyingKey::from_public_key_pem(&pem).ok();
        let key = key.filter(|key| key.to_public_key_pem(LineEnding::LF).is_ok_and(|written| written == pem));
        keys.push(NodeKey { number, path, pem, key });
    }
    Ok(keys)
}

/// Whether the newer key vouches for the older one that stood before it.
pub fn vouches(newer: &NodeKey, older: &NodeKey) -> bool {
    let bytes = std::fs::read(before_path(&newer.path)).unwrap_or_default();
    let signature = Signature::from_slice(&bytes).ok();
    let (Some(key), Some(signature)) = (&newer.key, signature) else { return false };
    key.verify_strict(older.pem.as_bytes(), &signature).is_ok()
}

/// The file with the newer key's word for the one before it.
pub fn before_path(newer: &Path) -> PathBuf {
    let name = newer.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    newer.with_file_name(format!("{name}.{BEFORE}"))
}

/// That `key` is the node's newest; the first of all is written down.
pub(super) fn check_current(recordings: &Path, node: &str, key: &SigningKey) -> Result<(), SealLogError> {
    let pem = key.verifying_key().to_public_key_pem(LineEnding::LF).map_err(|e| SealLogError::Key(e.to_string()))?;
    let first = key_path(recordings, node, 1);
    let fault = |act, path: &Path| {
        let path = path.to_owned();
        move |source| SealLogError::File { act, path, source }
    };
    match keys_of(recordings, node).map_err(fault("reading", &first))?.last() {
        None => put_file(&first, pem.as_bytes()).map_err(fault("writing", &first)),
        Some(newest) if newest.pem == pem => Ok(()),
        Some(newest) => Err(SealLogError::OtherKey { path: newest.path.clone() }),
    }
}

/// Makes `new` the node's key: the last line signed with the key of `parts` seals the new key's file, and the new key
/// vouches for the old one. To be called while no Vigie runs; afterwards the new key must be the one in the secrets.
///
/// # Errors
/// When the seal log is in use, or a file cannot be written; doing it again with the same key finishes what was begun.
pub fn rotate(parts: &Parts, new: &SigningKey) -> Result<Deposited, DepositError> {
    take_back(parts, new)?;
    let mut sealer = Sealer::open(parts)?;
    let recordings = &parts.settings.folder;
    let keys = keys_of(recordings, &parts.node).map_err(fault("reading the keys in", recordings))?;
    let number = keys.len() + 1;
    let pem = new.verifying_key().to_public_key_pem(LineEnding::LF);
    let pem = pem.map_err(|error| DepositError::Refused { why: error.to_string() })?;
    if let Some(older) = keys.last() {
        let path = before_path(&key_path(recordings, &parts.node, number));
        put_file(&path, &new.sign(older.pem.as_bytes()).to_bytes()).map_err(fault("writing", &path))?;
    }
    let path = relative_key_path(recordings, &parts.node, number);
    let deposit = Deposit::File { call: None, path, bytes: pem.into_bytes() };
    sealer.deposit(&deposit, clock::utc())
}

/// Whether `key` is already the newest, and the log says so: a change of keys that was interrupted after its line.
///
/// # Errors
/// When a key's file or the log cannot be read.
pub fn is_newest(parts: &Parts, key: &SigningKey) -> Result<bool, DepositError> {
    match newest_if(parts, key)? {
        None => Ok(false),
        Some(newest) => has_line(parts, &newest),
    }
}

/// Takes the file of a new key back that a change of keys left without its line: signed with nothing, it vouches for
/// nothing, and the line must be signed with the key before it.
fn take_back(parts: &Parts, new: &SigningKey) -> Result<(), DepositError> {
    let Some(newest) = newest_if(parts, new)?.filter(|newest| newest.number > 1) else { return Ok(()) };
    if has_line(parts, &newest)? {
        return Ok(());
    }
    let file = relative_key_path(&parts.settings.folder, &parts.node, newest.number);
    for path in [&newest.path, &signature_of(&newest.path)] {
        remove_file(path).map_err(fault("removing", path))?;
    }
    forget_deposit(&parts.state, &file).map_err(fault("removing the mark of a change of keys in", &parts.state))
}

/// The newest key beside the log, when it is this one.
fn newest_if(parts: &Parts, key: &SigningKey) -> Result<Option<NodeKey>, DepositError> {
    let recordings = &parts.settings.folder;
    let pem = key.verifying_key().to_public_key_pem(LineEnding::LF);
    let pem = pem.map_err(|error| DepositError::Refused { why: error.to_string() })?;
    let keys = keys_of(recordings, &parts.node).map_err(fault("reading the keys in", recordings))?;
    Ok(keys.into_iter().last().filter(|newest| newest.pem == pem))
}

/// Whether the log has the line of a key's file; the first key has none.
fn has_line(parts: &Parts, key: &NodeKey) -> Result<bool, DepositError> {
    let (log, _) = log_paths(&parts.settings.folder, &parts.node);
    if key.number <= 1 {
        return Ok(true);
    }
    if !log.exists() {
        return Ok(false);
    }
    let file = relative_key_path(&parts.settings.folder, &parts.node, key.number);
    let line = find_line(&log, &file)?;
    Ok(line.is_some_and(|line| line.entry.sidecar_sha256 == hex(&Sha256::digest(&key.pem))))
}

fn fault(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DepositError + use<> {
    let path = path.to_owned();
    move |source| DepositError::File { act, path, source }
}
