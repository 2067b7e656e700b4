//! What the registrar keeps of a regulator's password: never the password.

use std::fmt;

/// The HA1 values of one regulator (RFC 7616 §3.4.2): hashes of `user:realm:password`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// With MD5, lower-case hexadecimal.
    pub md5: String,
    /// With SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}
