//! Profiles, master keys, and the keys that are derived from them (RFC 3711 §4.3, RFC 7714 §11).

use std::fmt;

use aes::Aes128;
use aes::cipher::{KeyIvInit, StreamCipher};
use serde::{Deserialize, Serialize};

/// AES in counter mode, as RFC 3711 §4.1.1 has it.
pub(super) type Counter = ctr::Ctr128BE<Aes128>;

/// Bytes of every encryption key here.
pub(super) const KEY_BYTES: usize = 16;
/// Bytes of an authentication key for HMAC-SHA1 (RFC 3711 §5.2).
pub(super) const AUTH_KEY_BYTES: usize = 20;
/// Bytes of the longest salt: 112 bits (RFC 3711 §5.1); GCM uses the first 96.
pub(super) const SALT_BYTES_MAX: usize = 14;

/// What protects a stream (RFC 4568 §6.2, RFC 7714 §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Profile {
    /// AES in counter mode, HMAC-SHA1 cut to 80 bits.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_80")]
    Sha1Tag80,
    /// AES in counter mode, HMAC-SHA1 cut to 32 bits for RTP; RTCP keeps 80.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_32")]
    Sha1Tag32,
    /// AES in Galois counter mode, a tag of 128 bits.
    #[serde(rename = "AEAD_AES_128_GCM")]
    Gcm,
}

impl Profile {
    /// Every profile, the best first.
    pub const ALL: [Profile; 3] = [Profile::Gcm, Profile::Sha1Tag80, Profile::Sha1Tag32];

    /// The crypto-suite's name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Sha1Tag80 => "AES_CM_128_HMAC_SHA1_80",
            Profile::Sha1Tag32 => "AES_CM_128_HMAC_SHA1_32",
            Profile::Gcm => "AEAD_AES_128_GCM",
        }
    }

    /// Reads [`Profile::name`]; case counts for nothing.
    pub fn parse(name: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of the master salt: 14, or 12 with GCM.
    pub fn salt_bytes(self) -> usize {
        match self {
            Profile::Sha1Tag80 | Profile::Sha1Tag32 => 14,
            Profile::Gcm => 12,
        }
    }

    /// Bytes that an RTP packet grows by.
    pub fn tag_bytes(self) -> usize {
        match self {
            Profile::Sha1Tag80 => 10,
            Profile::Sha1Tag32 => 4,
            Profile::Gcm => 16,
        }
    }
}

/// A master key and its salt, for one direction of one leg.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterKey {
    profile: Profile,
    key: [u8; KEY_BYTES],
    /// The rest is zero with GCM.
    salt: [u8; SALT_BYTES_MAX],
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({}, …)", self.profile.name())
    }
}

impl MasterKey {
    /// A key from its bytes as SDP carries them, key then salt (RFC 4568 §6.1); `None` when their number is wrong.
    pub fn new(profile: Profile, key_and_salt: &[u8]) -> Option<MasterKey> {
        let (key, given) = key_and_salt.split_at_checked(KEY_BYTES)?;
        if given.len() != profile.salt_bytes() {
            return None;
        }
        let mut salt = [0; SALT_BYTES_MAX];
        salt.get_mut(..given.len())?.copy_from_slice(given);
        Some(MasterKey { profile, key: key.try_into().ok()?, salt })
    }

    /// The same bytes again.
    pub fn to_bytes(&self) -> Vec<u8> {
        let salt = self.salt.iter().take(self.profile.salt_bytes());
        self.key.iter().chain(salt).copied().collect()
    }

    /// What it protects with.
    pub fn profile(&self) -> Profile {
        self.profile
    }

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

    #[test]
    fn a_key_of_another_length_is_none_and_its_bytes_come_back() {
        assert_eq!(MasterKey::new(Profile::Gcm, &[1; 30]), None);
        assert_eq!(MasterKey::new(Profile::Sha1Tag80, &[1; 28]), None);
        assert_eq!(MasterKey::new(Profile::Sha1Tag80, &[]), None);
        assert_eq!(MasterKey::new(Profile::Gcm, &[7; 28]).expect("a key").to_bytes(), [7; 28]);
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = MasterKey::new(Profile::Gcm, &[0xab; 28]).expect("a key");
        assert_eq!(format!("{key:?}"), "MasterKey(AEAD_AES_128_GCM, …)");
    }
}
