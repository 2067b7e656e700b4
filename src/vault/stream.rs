//! The bytes of an encrypted file: sections, each a header and a row of chunks.
//!
//! Header (64 bytes): `magic [8], number u32, key check [4], offset u64, salt [32], prefix [7], 0 u8`, little-endian.
//! `offset` is where the header stands in the file, `number` counts the sections; the key check is the beginning of a hash
//! of the key, by which a wrong key is told from a changed file. Chunk: `length u32` with its top bit set in a last
//! chunk, then `length` bytes of AES-256-GCM: ciphertext and a tag of 16.
//!
//! STREAM (see `vault`): a chunk's nonce is `prefix ‖ its number in the section, u32 big-endian ‖ 1 when it is the last,
//! else 0`, so that chunks cannot be dropped, doubled or put in another order, and a file without its last chunk is known
//! for torn. The header is the associated text of each chunk: a section cannot be moved, nor one before it be cut out. A
//! section's key is HKDF-SHA256 of the recording's key with the section's salt and the file's name, so no nonce is ever
//! used twice under one key, though a file that a crash tore is continued by a new section, and files of one recording
//! cannot stand in for each other.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::wrapped::AudioKey;
use super::{VaultError, random};

/// What an encrypted file begins with.
pub(super) const MAGIC: &[u8; 8] = b"VIGVLT1\n";
/// Bytes of a section's header.
pub(super) const HEADER_LENGTH: usize = 64;
/// Bytes before a chunk's ciphertext.
pub(super) const LENGTH_BYTES: usize = 4;
/// Bytes of GCM's tag.
pub(super) const TAG_BYTES: usize = 16;
/// The most plain bytes in a chunk; a whole one must be decrypted to read one byte of it.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Marks a last chunk in its length.
const LAST: u32 = 1 << 31;

/// Whether a file that begins so is an encrypted one.
pub fn is_sealed(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// One section's key and header.
pub(super) struct Section {
    cipher: Aes256Gcm,
    prefix: [u8; 7],
    pub(super) header: [u8; HEADER_LENGTH],
}

/// What stands before a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A chunk of so many bytes with its tag.
    Chunk { length: usize, is_last: bool },
    /// Another section.
    Section,
    /// Neither: the file is torn or was changed.
    Nothing,
}

impl Section {
    /// The `number`-th section of the file `name`, to be written at `offset`.
    pub(super) fn begin(key: &AudioKey, name: &str, number: u32, offset: u64) -> Result<Section, VaultError> {
        let mut header = [0; HEADER_LENGTH];
        let (salt, prefix) = (random::<32>()?, random::<7>()?);
        let (number, offset, check) = (number.to_le_bytes(), offset.to_le_bytes(), key_check(key));
        let fields: [&[u8]; 6] = [MAGIC, &number, &check, &offset, &salt, &prefix];
        header.iter_mut().zip(fields.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        Ok(Section { cipher: cipher_of(key, name, &salt), prefix, header })
    }

    /// The section whose header was read at `offset`; `None` when it is no header, or another place's.
    pub(super) fn read(key: &AudioKey, name: &str, header: [u8; HEADER_LENGTH], at: (u32, u64)) -> Option<Section> {
        let fits = header.get(..8)? == MAGIC
            && header.get(8..12)? == at.0.to_le_bytes()
            && header.get(12..16)? == key_check(key)
            && header.get(16..24)? == at.1.to_le_bytes()
            && header.get(63)? == &0;
        let salt: [u8; 32] = header.get(24..56)?.try_into().ok()?;
        let prefix = header.get(56..63)?.try_into().ok()?;
        fits.then(|| Section { cipher: cipher_of(key, name, &salt), prefix, header })
    }

    /// Appends a chunk with `plain` in it to `to`.
    pub(super) fn seal(&self, number: u32, is_last: bool, plain: &[u8], to: &mut Vec<u8>) -> Result<(), VaultError> {
        let broken = || VaultError::Broken { path: "the chunk".into(), what: "is too long to be encrypted".into() };
        if plain.len() > CHUNK_BYTES_MAX {
            return Err(broken());
        }
        let length = (plain.len() + TAG_BYTES) as u32 | if is_last { LAST } else { 0 };
        to.extend_from_slice(&length.to_le_bytes());
        let begin = to.len();
        to.extend_from_slice(plain);
        let nonce = self.nonce(number, is_last);
        let body = InOutBuf::from(to.get_mut(begin..).unwrap_or_default());
        let tag = self.cipher.encrypt_inout_detached(&nonce.into(), &self.header, body).map_err(|_| broken())?;
        to.extend_from_slice(&tag);
        Ok(())
    }

    /// Decrypts a chunk's bytes in place and takes the tag off; `false`: they are not what was written.
    pub(super) fn open(&self, number: u32, is_last: bool, sealed: &mut Vec<u8>) -> bool {
        let Some(body) = sealed.len().checked_sub(TAG_BYTES) else { return false };
        let (text, tag) = sealed.split_at_mut(body);
        let Ok(tag) = <[u8; TAG_BYTES]>::try_from(&*tag) else { return false };
        let nonce = self.nonce(number, is_last);
        let text = InOutBuf::from(text);
        let is_sound = self.cipher.decrypt_inout_detached(&nonce.into(), &self.header, text, &tag.into()).is_ok();
        sealed.truncate(body);
        is_sound
    }

    fn nonce(&self, number: u32, is_last: bool) -> [u8; 12] {
        let mut nonce = [0; 12];
        let parts = self.prefix.into_iter().chain(number.to_be_bytes()).chain([u8::from(is_last)]);
        nonce.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        nonce
    }
}

/// Whether the header is of a section under another key.
pub(super) fn is_foreign(header: &[u8; HEADER_LENGTH], key: &AudioKey) -> bool {
    header.get(12..16) != Some(&key_check(key))
}

fn key_check(key: &AudioKey) -> [u8; 4] {
    let print = Sha256::new().chain_update(b"vigie key check 1\0").chain_update(key.bytes()).finalize();
    print.first_chunk().copied().unwrap_or_default()
}

fn cipher_of(key: &AudioKey, name: &str, salt: &[u8; 32]) -> Aes256Gcm {
    let mut derived = Zeroizing::new([0; 32]);
    let info: [&[u8]; 2] = [b"vigie vault 1 ", name.as_bytes()];
    // 32 bytes are well within what HKDF gives (RFC 5869 §2.3: 255 × 32).
    let _ = Hkdf::<Sha256>::new(Some(salt), key.bytes()).expand_multi_info(&info, derived.as_mut());
    Aes256Gcm::new(&(*derived).into())
}

/// What the four bytes at a place announce.
pub(super) fn next_of(bytes: [u8; LENGTH_BYTES]) -> Next {
    if bytes.as_slice() == MAGIC.get(..LENGTH_BYTES).unwrap_or_default() {
        return Next::Section;
    }
    let word = u32::from_le_bytes(bytes);
    let length = (word & !LAST) as usize;
    if (TAG_BYTES..=CHUNK_BYTES_MAX + TAG_BYTES).contains(&length) {
        return Next::Chunk { length, is_last: word & LAST != 0 };
    }
    Next::Nothing
}
