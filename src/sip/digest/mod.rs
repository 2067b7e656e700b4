//! Digest authentication (RFC 7616, RFC 8760): both sides, with `qop=auth` only.

pub mod authorization;
pub mod challenge;

use md5::Md5;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use authorization::{Authorization, DigestFault, Login};
pub use challenge::Challenge;

/// Which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// `MD5`, for old phones.
    Md5,
    /// `SHA-256`.
    Sha256,
}

impl Algorithm {
    /// As `algorithm=` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    /// Reads `algorithm=`, in any case; MD5 when it is missing (RFC 7616 §3.3). `None` for `-sess` forms and unknown ones.
    pub fn parse(text: Option<&str>) -> Option<Algorithm> {
        match text {
            None => Some(Algorithm::Md5),
            Some(text) if text.eq_ignore_ascii_case("MD5") => Some(Algorithm::Md5),
            Some(text) if text.eq_ignore_ascii_case("SHA-256") => Some(Algorithm::Sha256),
            Some(_) => None,
        }
    }

    /// The hash of `parts` joined by `:`, in lower-case hexadecimal.
    pub fn hash(self, parts: &[&str]) -> String {
        let joined = parts.join(":");
        match self {
            Algorithm::Md5 => hexadecimal(&Md5::digest(joined)),
            Algorithm::Sha256 => hexadecimal(&Sha256::digest(joined)),
        }
    }

    /// HA1: what a registrar keeps in place of a password (RFC 7616 §3.4.2).
    pub fn ha1(self, user: &str, realm: &str, password: &str) -> String {
        self.hash(&[user, realm, password])
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(nibble as usize).copied().unwrap_or('0');
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}
