//! What SRTP agrees on in SDP (RFC 4568): its profiles, the master keys of both directions, and who wants it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of every master key here.
pub const KEY_BYTES: usize = 16;
/// Bytes of the longest salt: 112 bits (RFC 3711 §5.1); GCM uses the first 96.
pub const SALT_BYTES_MAX: usize = 14;

/// Whether a far end's media are to be protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SrtpPolicy {
    /// Never: RTP as it is.
    #[default]
    Off,
    /// When the far end can: offered in RTP/AVP with keys beside it, as phones do, and taken from whoever offers it.
    Preferred,
    /// Always: offered as RTP/SAVP; a call without it is refused with 488.
    Required,
}

/// The keys of one leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crypto {
    /// What we send is protected with this.
    pub ours: MasterKey,
    /// What the far end sends is.
    pub theirs: MasterKey,
}

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
    pub(crate) key: [u8; KEY_BYTES],
    /// The rest is zero with GCM.
    pub(crate) salt: [u8; SALT_BYTES_MAX],
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
