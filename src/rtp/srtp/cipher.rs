//! The ciphers: counter mode with HMAC-SHA1 (RFC 3711 §4.1.1, §4.2.1), and GCM (RFC 7714 §8, §9), over pieces of a packet.

use std::fmt;

use aes::Aes128;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes128Gcm};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;

use super::keys::{Derived, Profile, SALT_BYTES_MAX};

/// Bytes of GCM's tag (RFC 7714 §13).
pub(super) const GCM_TAG_BYTES: usize = 16;
/// Bytes of RTCP's HMAC tag, whatever RTP's is (RFC 3711 §5.2).
pub(super) const RTCP_TAG_BYTES: usize = 10;

/// The derived keys, ready for use; made anew from the master key after a restart.
pub(super) enum Cipher {
    /// Counter mode and HMAC: the expanded key, and the HMAC after its key block, copied for each packet.
    Counter(Box<CounterHmac>),
    /// GCM.
    Gcm(Box<Gcm>),
}

/// Counter mode with HMAC-SHA1.
pub(super) struct CounterHmac {
    key: Aes128,
    hmac: Hmac<Sha1>,
    salt: [u8; SALT_BYTES_MAX],
}

/// Galois counter mode.
pub(super) struct Gcm {
    key: Aes128Gcm,
    salt: [u8; SALT_BYTES_MAX],
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(…)")
    }
}

impl Cipher {
    pub(super) fn new(profile: Profile, keys: &Derived) -> Cipher {
        match profile {
            Profile::Sha1Tag80 | Profile::Sha1Tag32 => Cipher::Counter(Box::new(CounterHmac {
                key: Aes128::new(&keys.encryption.into()),
                // HMAC's block is 64 bytes: the 20 of the key, then zeros (RFC 2104 §2).
                hmac: Hmac::new(&block_of(&keys.authentication).into()),
                salt: keys.salt,
            })),
            Profile::Gcm => {
                Cipher::Gcm(Box::new(Gcm { key: Aes128Gcm::new(&keys.encryption.into()), salt: keys.salt }))
            }
        }
    }
}

fn block_of(key: &[u8]) -> [u8; 64] {
    let mut block = [0; 64];
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    block
}

impl CounterHmac {
    /// Encrypts, or decrypts, in place. IV = (k_s × 2¹⁶) ⊕ (SSRC × 2⁶⁴) ⊕ (i × 2¹⁶) (RFC 3711 §4.1.1).
    pub(super) fn scramble(&self, ssrc: u32, index: u64, body: &mut [u8]) {
        let mut iv = (u128::from(ssrc) << 64 | u128::from(index) << 16).to_be_bytes();
        iv.iter_mut().zip(self.salt).for_each(|(byte, salt)| *byte ^= salt);
        let core = ctr::CtrCore::<&Aes128, ctr::flavors::Ctr128BE>::inner_iv_init(&self.key, &iv.into());
        StreamCipherCoreWrapper::from_core(core).apply_keystream(body);
    }

    /// Writes the first bytes of the HMAC over `pieces` into `tag`.
    pub(super) fn sign(&self, pieces: [&[u8]; 2], tag: &mut [u8]) {
        let mut hmac = self.hmac.clone();
        pieces.into_iter().for_each(|piece| hmac.update(piece));
        tag.iter_mut().zip(hmac.finalize().into_bytes()).for_each(|(to, from)| *to = from);
    }

    /// Whether `tag` is what [`CounterHmac::sign`] writes; takes as long for a wrong one.
    pub(super) fn is_signed(&self, pieces: [&[u8]; 2], tag: &[u8]) -> bool {
        let mut right = [0; 20];
        self.sign(pieces, &mut right);
        right.get(..tag.len()).is_some_and(|right| bool::from(right.ct_eq(tag)))
    }
}

impl Gcm {
    /// IV = (0¹⁶ ‖ SSRC ‖ the 48 bits of roll-over counter and sequence) ⊕ salt (RFC 7714 §8.1); RTCP has its index in
    /// their place (§9.1).
    fn nonce(&self, ssrc: u32, index: u64) -> [u8; 12] {
        let whole = (u128::from(ssrc) << 48 | u128::from(index)).to_be_bytes();
        let mut nonce = [0; 12];
        let masked = whole.iter().skip(4).zip(self.salt);
        nonce.iter_mut().zip(masked).for_each(|(to, (byte, salt))| *to = byte ^ salt);
        nonce
    }

    /// Encrypts in place; the tag, unless the body is longer than GCM allows.
    pub(super) fn seal(&self, (ssrc, index): (u32, u64), clear: &[u8], body: &mut [u8]) -> Option<[u8; GCM_TAG_BYTES]> {
        let nonce = self.nonce(ssrc, index);
        self.key.encrypt_inout_detached(&nonce.into(), clear, InOutBuf::from(body)).ok().map(Into::into)
    }

    /// Decrypts in place; `false`, and a body that is worth nothing, when the tag is wrong.
    pub(super) fn open(&self, (ssrc, index): (u32, u64), clear: &[u8], body: &mut [u8], tag: &[u8]) -> bool {
        let nonce = self.nonce(ssrc, index);
        let Ok(tag) = <[u8; GCM_TAG_BYTES]>::try_from(tag) else { return false };
        self.key.decrypt_inout_detached(&nonce.into(), clear, InOutBuf::from(body), &tag.into()).is_ok()
    }
}
