//! The keys that are derived from a master key (RFC 3711 §4.3, RFC 7714 §11).

use aes::Aes128;
use aes::cipher::{KeyIvInit, StreamCipher};

pub(super) use crate::model::srtp::{KEY_BYTES, SALT_BYTES_MAX};
pub use crate::model::srtp::{MasterKey, Profile};

/// AES in counter mode, as RFC 3711 §4.1.1 has it.
type Counter = ctr::Ctr128BE<Aes128>;

/// Bytes of an authentication key for HMAC-SHA1 (RFC 3711 §5.2).
pub(super) const AUTH_KEY_BYTES: usize = 20;

impl MasterKey {
    /// One derived key (RFC 3711 §4.3.1, with a key derivation rate of zero, as RFC 4568 §6.3 sets it by default).
    ///
    /// The salt of GCM is filled up with zeros (RFC 7714 §11).
    fn derive<const N: usize>(&self, label: Label) -> [u8; N] {
        let mut iv = [0; 16];
        for (to, from) in iv.iter_mut().zip(self.salt) {
            *to = from;
        }
        // The label stands over the 48 bits of the index, right-aligned under the 112 bits of salt.
        if let Some(byte) = iv.get_mut(7) {
            *byte ^= label as u8;
        }
        let mut out = [0; N];
        Counter::new(&self.key.into(), &iv.into()).apply_keystream(&mut out);
        out
    }

    /// The keys for RTP.
    pub(super) fn for_rtp(&self) -> Derived {
        self.derived(Label::RtpEncryption, Label::RtpAuthentication, Label::RtpSalt)
    }

    /// The keys for RTCP.
    pub(super) fn for_rtcp(&self) -> Derived {
        self.derived(Label::RtcpEncryption, Label::RtcpAuthentication, Label::RtcpSalt)
    }

    fn derived(&self, encryption: Label, authentication: Label, salt: Label) -> Derived {
        Derived {
            encryption: self.derive(encryption),
            authentication: self.derive(authentication),
            salt: self.derive(salt),
        }
    }
}

/// What derived keys are for (RFC 3711 §4.3.2).
#[derive(Clone, Copy)]
enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// The keys that are used on packets.
pub(super) struct Derived {
    pub encryption: [u8; KEY_BYTES],
    pub authentication: [u8; AUTH_KEY_BYTES],
    pub salt: [u8; SALT_BYTES_MAX],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn keys_are_derived_as_in_rfc_3711_appendix_b_3() {
        let master = bytes("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
        let keys = MasterKey::new(Profile::Sha1Tag80, &master).expect("a key").for_rtp();
        assert_eq!(keys.encryption.to_vec(), bytes("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(keys.salt.to_vec(), bytes("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(keys.authentication.to_vec(), bytes("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }
}
