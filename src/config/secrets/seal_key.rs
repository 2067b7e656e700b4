//! The Ed25519 key that seals recordings: PKCS#8 PEM, and its public part for those who verify (RFC 8410).

use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};

use super::{SecretsError, damaged, files, random};

const KEY: &str = "seal-key.pem";
const NEXT_KEY: &str = "seal-key.next.pem";
const PUBLIC_KEY: &str = "seal-key.pub.pem";

const REMEDY: &str =
    "put it back from a copy; moving it away starts a new key, and older seals need the old public key to verify";

/// The key; made at the first start.
pub(super) fn open_or_make(folder: &Path, made: &mut Vec<PathBuf>) -> Result<SigningKey, SecretsError> {
    let (path, public_path) = (folder.join(KEY), folder.join(PUBLIC_KEY));
    let key = match files::read(&path)? {
        Some(text) => SigningKey::from_pkcs8_pem(&text).map_err(|error| damaged(&path, error, REMEDY))?,
        None => {
            let key = SigningKey::from_bytes(&random()?);
            // Without the public key inside: openssl reads only the first version of PKCS#8.
            let pair = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
            let text = pair.to_pkcs8_pem(LineEnding::LF).map_err(|error| damaged(&path, error, REMEDY))?;
            files::write(&path, &text)?;
            made.push(path);
            key
        }
    };
    let public = key.verifying_key().to_public_key_pem(LineEnding::LF);
    let public = public.map_err(|error| damaged(&public_path, error, REMEDY))?;
    if files::read(&public_path)?.is_none_or(|text| text != public) {
        files::write(&public_path, &public)?;
        made.push(public_path);
    }
    Ok(key)
}

/// The key that comes next; made, or the one that an interrupted change has made.
pub(super) fn begin(folder: &Path) -> Result<SigningKey, SecretsError> {
    let path = folder.join(NEXT_KEY);
    match files::read(&path)? {
        Some(text) => SigningKey::from_pkcs8_pem(&text).map_err(|error| damaged(&path, error, REMEDY)),
        None => {
            let key = SigningKey::from_bytes(&random()?);
            let pair = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
            let text = pair.to_pkcs8_pem(LineEnding::LF).map_err(|error| damaged(&path, error, REMEDY))?;
            files::write(&path, &text)?;
            Ok(key)
        }
    }
}

/// Puts the next key in the place of the one in use, which is gone then: its public part stays beside the seal log.
pub(super) fn finish(folder: &Path) -> Result<(), SecretsError> {
    let (next, path) = (folder.join(NEXT_KEY), folder.join(KEY));
    std::fs::rename(&next, &path).map_err(super::io("putting in place", &path))?;
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(super::io("syncing", folder))?;
    open_or_make(folder, &mut Vec::new()).map(|_| ())
}
