//! The Ed25519 key that seals recordings: PKCS#8 PEM, and its public part for those who verify (RFC 8410).

use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};

use super::{SecretsError, damaged, files, random};

const KEY: &str = "seal-key.pem";
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
