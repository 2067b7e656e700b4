//! The challenge of a 401 or 407 (RFC 7616 §3.3).

use std::fmt;

use super::Algorithm;
use crate::sip::header::AuthParams;
use crate::sip::header::pieces::quote;

/// A challenge, written as a header's value by its `Display`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Whose passwords are asked for.
    pub realm: String,
    /// What the answer is bound to.
    pub nonce: String,
    /// Which hash.
    pub algorithm: Algorithm,
    /// The password was right, the nonce too old: the phone answers again without asking its owner.
    pub is_stale: bool,
    /// To be echoed, when present.
    pub opaque: Option<String>,
    /// Whether `qop=auth` is offered. Old carriers challenge without it (RFC 2069); we never do.
    pub has_qop: bool,
}

impl Challenge {
    /// A challenge without `opaque`.
    pub fn new(realm: impl Into<String>, nonce: impl Into<String>, algorithm: Algorithm) -> Challenge {
        Challenge { realm: realm.into(), nonce: nonce.into(), algorithm, is_stale: false, opaque: None, has_qop: true }
    }

    /// Reads a challenge; `None` when it is not Digest, offers other `qop` than `auth`, or wants an unknown algorithm.
    pub fn read(params: &AuthParams) -> Option<Challenge> {
        if !params.scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let qop = params.value("qop");
        let offers_auth = qop.is_some_and(|qop| qop.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")));
        let challenge = Challenge {
            realm: params.value("realm")?.to_owned(),
            nonce: params.value("nonce")?.to_owned(),
            algorithm: Algorithm::parse(params.value("algorithm"))?,
            is_stale: params.value("stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
            opaque: params.value("opaque").map(str::to_owned),
            has_qop: offers_auth,
        };
        (offers_auth || qop.is_none()).then_some(challenge)
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest realm={}, nonce={}", quote(&self.realm), quote(&self.nonce))?;
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque={}", quote(opaque))?;
        }
        if self.is_stale {
            f.write_str(", stale=true")?;
        }
        write!(f, ", algorithm={}", self.algorithm.as_str())?;
        if self.has_qop { f.write_str(", qop=\"auth\"") } else { Ok(()) }
    }
}
