//! The answers to a carrier's challenges (RFC 3261 §22, RFC 7616 §3.4, RFC 8760 §2.4): digest as its client.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::centre::TrunkRegistration;
use crate::model::{Chance, TrunkId};
use crate::sip::digest::{Algorithm, Authorization, Challenge};
use crate::sip::{Request, Response};

/// Answers to challenges within one request's story: the first, one for a nonce that grew stale, and one for a proxy
/// behind the registrar. A carrier that asks more often does not know us.
pub(super) const PROOFS_MAX: u8 = 3;

/// The passwords that carriers gave; no state, and never written anywhere.
#[derive(Default)]
pub(super) struct Passwords(pub HashMap<TrunkId, String>);

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passwords({})", self.0.len())
    }
}

/// A challenge that was answered, kept so that the next request carries its answer at once (RFC 3261 §22.2).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Login {
    gate: Gate,
    realm: String,
    nonce: String,
    algorithm: Algorithm,
    opaque: Option<String>,
    has_qop: bool,
    /// How often the nonce was used.
    count: u32,
}

/// Which pair of headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Gate {
    /// 401.
    Server,
    /// 407.
    Proxy,
}

/// What a 401 or 407 asks.
#[derive(Debug)]
pub(super) struct Asked {
    /// To answer with.
    pub login: Login,
    /// The password was right, the nonce too old.
    pub is_stale: bool,
}

/// What a 401 or 407 asks, when we can answer it: the first challenge that we understand, since they come in the
/// carrier's order of preference (RFC 8760 §2.4).
pub(super) fn read_challenge(response: &Response) -> Option<Asked> {
    let (gate, header) = match response.status {
        407 => (Gate::Proxy, "Proxy-Authenticate"),
        _ => (Gate::Server, "WWW-Authenticate"),
    };
    let challenge = response.headers.auth_params(header).iter().find_map(Challenge::read)?;
    let Challenge { realm, nonce, algorithm, is_stale, opaque, has_qop } = challenge;
    Some(Asked { login: Login { gate, realm, nonce, algorithm, opaque, has_qop, count: 0 }, is_stale })
}

impl Login {
    /// Writes the answer for `request` into it.
    pub(super) fn prove(
        &mut self,
        request: &mut Request,
        account: &TrunkRegistration,
        password: &str,
        chance: &mut Chance,
    ) {
        self.count = self.count.saturating_add(1);
        let challenge = Challenge {
            realm: self.realm.clone(),
            nonce: self.nonce.clone(),
            algorithm: self.algorithm,
            is_stale: false,
            opaque: self.opaque.clone(),
            has_qop: self.has_qop,
        };
        let login = crate::sip::digest::Login { user: &account.digest_user, password };
        let turn = (chance.token(), self.count);
        let answer =
            Authorization::answer(&challenge, &login, &request.method, &request.uri, (turn.0.as_str(), turn.1));
        let header = match self.gate {
            Gate::Server => "Authorization",
            Gate::Proxy => "Proxy-Authorization",
        };
        request.headers.set(header, answer.to_string());
    }
}
