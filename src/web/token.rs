//! Who asks: bearer tokens (RFC 6750), kept as SHA-256 only, and what each role may do.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts as RequestParts;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Desk;
use super::problem::Problem;

/// The longest token looked at, in bytes: ours have 43 characters, and a peer must not make us hash megabytes.
const TOKEN_LENGTH_MAX: usize = 512;

/// What a token's holder may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything: also pause regulators, end calls, replay deliveries.
    Admin,
    /// Read everything, listen with a reason, read the audit.
    Compliance,
}

impl Role {
    /// The role's name in the audit and in problems.
    pub fn name(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Compliance => "compliance",
        }
    }
}

/// A token that the API accepts.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Whose it is, as the audit writes it.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// SHA-256 of the token, lower-case hexadecimal.
    pub sha256: String,
}

impl std::fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiToken({}, {})", self.name, self.role.name())
    }
}

/// SHA-256 of `token` in lower-case hexadecimal: what is kept in its place.
pub fn hash_token(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A request with a known token, of any role.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// Whose token it is.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// The address that the request came from, for the audit.
    pub source: String,
}

impl FromRequestParts<Arc<Desk>> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut RequestParts, desk: &Arc<Desk>) -> Result<Bearer, Problem> {
        let mut values = parts.headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Problem::unauthorised("send one header: Authorization: Bearer TOKEN"));
        };
        let token = value.to_str().ok().and_then(read_bearer);
        let token = token.ok_or_else(|| Problem::unauthorised("write the header as: Authorization: Bearer TOKEN"))?;
        let one = identify(token, &desk.parts.tokens)
            .ok_or_else(|| Problem::unauthorised("this token is not known; ask the operator for one"))?;
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let source = peer.map_or_else(|| "unknown".into(), |ConnectInfo(peer)| peer.ip().to_canonical().to_string());
        Ok(Bearer { name: one.name.clone(), role: one.role, source })
    }
}

/// A request with an admin's token.
#[derive(Clone, Debug)]
pub struct Admin(
    /// Whose.
    pub Bearer,
);

impl FromRequestParts<Arc<Desk>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut RequestParts, desk: &Arc<Desk>) -> Result<Admin, Problem> {
        let bearer = Bearer::from_request_parts(parts, desk).await?;
        match bearer.role {
            Role::Admin => Ok(Admin(bearer)),
            Role::Compliance => Err(Problem::forbidden("use a token with the role admin")),
        }
    }
}

/// The token of `Bearer TOKEN`; the scheme's case does not matter (RFC 9110 §11.1).
fn read_bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    let well_formed = scheme.eq_ignore_ascii_case("bearer") && (1..=TOKEN_LENGTH_MAX).contains(&token.len());
    well_formed.then_some(token)
}

/// Looks at every hash, whichever fits, so that the time taken says nothing.
fn identify<'a>(token: &str, known: &'a [ApiToken]) -> Option<&'a ApiToken> {
    let hash = hash_token(token);
    let mut found = None;
    for one in known {
        if bool::from(one.sha256.as_bytes().ct_eq(hash.as_bytes())) {
            found = Some(one);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<ApiToken> {
        vec![
            ApiToken { name: "ops".into(), role: Role::Admin, sha256: hash_token("one") },
            ApiToken { name: "audit".into(), role: Role::Compliance, sha256: hash_token("two") },
        ]
    }

    #[test]
    fn a_token_is_known_by_its_hash_alone() {
        assert_eq!(hash_token("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(identify("two", &known()).map(|one| one.name.as_str()), Some("audit"));
        assert!(identify("three", &known()).is_none() && identify(&hash_token("one"), &known()).is_none());
    }

    #[test]
    fn what_is_no_bearer_header_is_no_token() {
        assert_eq!(read_bearer("bEARER x"), Some("x"));
        for value in ["", "Bearer", "Bearer ", "Basic eDp5", "x", "Bearerx y"] {
            assert_eq!(read_bearer(value), None, "{value}");
        }
        assert_eq!(read_bearer(&format!("Bearer {}", "x".repeat(TOKEN_LENGTH_MAX + 1))), None);
    }
}
