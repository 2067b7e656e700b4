//! The letterbox: a public key with which new recordings' keys are wrapped while the key-encryption key is away.
//!
//! X25519 (RFC 7748 §5) with an ephemeral key for each letter, HKDF-SHA256, AES-256-GCM. The private key is made once
//! and rests wrapped with the key-encryption key, so a server that lost its key can lock audio up, and not open it.

use std::io;
use std::path::{Path, PathBuf};

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::MontgomeryPoint;
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::master::MasterKey;
use super::wrapped::{With, Wrapped, put_private};
use super::{VaultError, fault, hex, random};

/// Its file in `STATE/secrets`.
pub(super) const LETTERBOX_FILE: &str = "letterbox.json";
const PUBLIC_BYTES: usize = 32;

/// The letterbox, shut: it takes letters.
#[derive(Clone, Debug)]
pub(super) struct Letterbox {
    path: PathBuf,
    public: [u8; 32],
    pub(super) private: Wrapped,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// X25519, base64.
    public: String,
    private: Wrapped,
}

impl Letterbox {
    /// The one of this server; `None` when none was made yet.
    pub(super) fn read(path: &Path) -> Result<Option<Letterbox>, VaultError> {
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(fault("reading", path))?,
        };
        let damaged = |what: String| VaultError::Damaged { path: path.to_owned(), what };
        let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        let public = STANDARD.decode(&kept.public).ok().and_then(|bytes| bytes.try_into().ok());
        let public = public.ok_or_else(|| damaged("its public key is none".into()))?;
        Ok(Some(Letterbox { path: path.to_owned(), public, private: kept.private }))
    }

    /// A new one, on the disk.
    pub(super) fn make(path: &Path, master: &MasterKey) -> Result<Letterbox, VaultError> {
        let private = Zeroizing::new(random::<32>()?);
        let public = MontgomeryPoint::mul_base_clamped(*private).to_bytes();
        let made = Letterbox {
            path: path.to_owned(),
            public,
            private: master.wrap(&format!("letterbox {}", id_of(&public)), &private)?,
        };
        made.put()?;
        Ok(made)
    }

    fn put(&self) -> Result<(), VaultError> {
        let kept = Kept { public: STANDARD.encode(self.public), private: self.private.clone() };
        let text = serde_json::to_vec(&kept).map_err(io::Error::from).map_err(fault("composing", &self.path))?;
        put_private(&self.path, &text).map_err(fault("writing", &self.path))
    }

    pub(super) fn id(&self) -> String {
        id_of(&self.public)
    }

    /// The id of the key-encryption key that opens it.
    pub(super) fn kek(&self) -> &str {
        match &self.private.with {
            With::Kek(id) | With::Letterbox(id) => id,
        }
    }

    /// Opens it.
    pub(super) fn open(&self, master: &MasterKey) -> Option<Opened> {
        let private = master.unwrap(&self.private.key, &self.private.wrapped)?;
        let is_whole = MontgomeryPoint::mul_base_clamped(*private).to_bytes() == self.public;
        is_whole.then(|| Opened { public: self.public, private })
    }

    /// Wraps the private key anew, on the disk.
    pub(super) fn rewrap(&mut self, opened: &Opened, master: &MasterKey) -> Result<(), VaultError> {
        self.private = master.wrap(&self.private.key, &opened.private)?;
        self.put()
    }

    /// Wraps the key `name` so that only the letterbox's private key opens it.
    pub(super) fn post(&self, name: &str, key: &[u8; 32]) -> Result<Wrapped, VaultError> {
        let secret = Zeroizing::new(random::<32>()?);
        let ephemeral = MontgomeryPoint::mul_base_clamped(*secret).to_bytes();
        let shared = Zeroizing::new(MontgomeryPoint(self.public).mul_clamped(*secret).to_bytes());
        let mut sealed = Zeroizing::new(key.to_vec());
        // The key is of this letter alone, so the nonce may be zero.
        let result =
            cipher(&shared, &ephemeral, &self.public).encrypt_in_place(&[0; 12].into(), name.as_bytes(), &mut *sealed);
        result.map_err(|_| VaultError::Broken { path: name.into(), what: "the key cannot be wrapped".into() })?;
        let wrapped = STANDARD.encode([ephemeral.as_slice(), &sealed].concat());
        Ok(Wrapped { vault: 1, key: name.to_owned(), with: With::Letterbox(self.id()), wrapped })
    }
}

/// The letterbox, open: its letters can be read.
#[derive(Clone)]
pub(super) struct Opened {
    public: [u8; 32],
    private: Zeroizing<[u8; 32]>,
}

impl Opened {
    pub(super) fn id(&self) -> String {
        id_of(&self.public)
    }

    /// The key in a letter; `None`: changed, or for another.
    pub(super) fn read(&self, name: &str, wrapped: &str) -> Option<Zeroizing<[u8; 32]>> {
        let bytes = STANDARD.decode(wrapped).ok()?;
        let (ephemeral, sealed) = bytes.split_at_checked(PUBLIC_BYTES)?;
        let ephemeral: [u8; 32] = ephemeral.try_into().ok()?;
        let shared = Zeroizing::new(MontgomeryPoint(ephemeral).mul_clamped(*self.private).to_bytes());
        let mut opened = Zeroizing::new(sealed.to_vec());
        let cipher = cipher(&shared, &ephemeral, &self.public);
        cipher.decrypt_in_place(&[0; 12].into(), name.as_bytes(), &mut *opened).ok()?;
        opened.as_slice().try_into().ok().map(Zeroizing::new)
    }
}

fn cipher(shared: &[u8; 32], ephemeral: &[u8; 32], public: &[u8; 32]) -> Aes256Gcm {
    let mut key = Zeroizing::new([0; 32]);
    let salt = [ephemeral.as_slice(), public].concat();
    // 32 bytes are well within what HKDF gives.
    let _ = Hkdf::<Sha256>::new(Some(&salt), shared).expand(b"vigie letterbox 1", key.as_mut());
    Aes256Gcm::new(&(*key).into())
}

fn id_of(public: &[u8; 32]) -> String {
    hex(Sha256::digest(public).get(..8).unwrap_or_default())
}
