//! Who asks: bearer tokens (RFC 6750), kept as SHA-256 only, and what each role may do.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts as RequestParts;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Desk;
use super::problem::Problem;
use crate::model::AssociationId;

/// The longest token looked at, in bytes: ours have 43 characters, and a peer must not make us hash megabytes.
const TOKEN_LENGTH_MAX: usize = 512;

/// What a token's holder may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything: also pause regulators, end calls, replay deliveries.
    Admin,
    /// Read everything, listen with a reason, read the audit, custody.
    Compliance,
    /// Read, but neither recordings nor the audit.
    Viewer,
}

impl Role {
    /// The role's name in the audit and in problems.
    pub fn name(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Compliance => "compliance",
            Role::Viewer => "viewer",
        }
    }
}

/// A token that the API accepts.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Whose it is, as the audit writes it.
    pub name: String,
    /// Who holds it: two tokens of one person are one where a second person must agree.
    pub person: String,
    /// What it allows.
    pub role: Role,
    /// The associations whose calls and recordings it may see; `None` is all.
    pub associations: Option<Vec<AssociationId>>,
    /// SHA-256 of the token, lower-case hexadecimal.
    pub sha256: String,
}

impl ApiToken {
    /// A token for all associations, held by whom it is named after.
    pub fn new(name: &str, role: Role, token: &str) -> ApiToken {
        ApiToken { name: name.into(), person: name.into(), role, associations: None, sha256: hash_token(token) }
    }
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
    /// Who holds it.
    pub person: String,
    /// What it allows.
    pub role: Role,
    /// The associations whose calls and recordings it may see; `None` is all.
    pub associations: Option<Vec<AssociationId>>,
    /// The address that the request came from, for the audit.
    pub source: String,
}

/// A request with a known token, of any role and for any association: for what looks at both itself, and writes down whom it
/// refuses.
#[derive(Clone, Debug)]
pub struct Asker(
    /// Whose.
    pub Bearer,
);

impl FromRequestParts<Arc<Desk>> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut RequestParts, desk: &Arc<Desk>) -> Result<Asker, Problem> {
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
        let bearer = Bearer {
            name: one.name.clone(),
            person: one.person.clone(),
            role: one.role,
            associations: one.associations.clone(),
            source,
        };
        Ok(Asker(bearer))
    }
}

impl FromRequestParts<Arc<Desk>> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut RequestParts, desk: &Arc<Desk>) -> Result<Bearer, Problem> {
        let Asker(bearer) = Asker::from_request_parts(parts, desk).await?;
        let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        if bearer.associations.is_some() && !SCOPED.contains(&route) {
            let detail =
                "this token is for some associations, and this tells of all of them; ask with one that is for all";
            return Err(Problem::forbidden(detail));
        }
        Ok(bearer)
    }
}

/// The routes that look at whose call or recording it is ([`Bearer::demand`]): all that a token for some associations may
/// ask. A route that is added and not named here is closed to it.
const SCOPED: [&str; 22] = [
    "/api/v1/calls",
    "/api/v1/calls/{call}",
    "/api/v1/calls/{call}/ladder",
    "/api/v1/calls/{call}/routing",
    "/api/v1/recordings",
    "/api/v1/recordings/{call}",
    "/api/v1/recordings/{call}/audio",
    "/api/v1/recordings/{call}/manifest",
    "/api/v1/recordings/{call}/parties",
    "/api/v1/recordings/{call}/peaks",
    "/api/v1/recordings/{call}/preview",
    "/api/v1/recordings/{call}/signature",
    "/api/v1/recordings/{call}/addenda",
    "/api/v1/recordings/{call}/redactions",
    "/api/v1/recordings/{call}/redactions/{addendum}/audio",
    "/api/v1/recordings/{call}/custody",
    "/api/v1/recordings/{call}/holds",
    "/api/v1/holds/{hold}/release",
    "/api/v1/deletions",
    "/api/v1/deletions/{deletion}",
    "/api/v1/deletions/{deletion}/approve",
    "/api/v1/deletions/{deletion}/withdraw",
];

impl Bearer {
    /// Whether calls and recordings of this association may be seen.
    pub fn sees(&self, association: &AssociationId) -> bool {
        self.associations.as_ref().is_none_or(|all| all.contains(association))
    }

    /// Refuses who may not see calls and recordings of this association.
    pub fn demand(&self, association: &AssociationId) -> Result<(), Problem> {
        let refuse = || Problem::forbidden(format!("this token is not for the association `{association}`"));
        self.sees(association).then_some(()).ok_or_else(refuse)
    }
}

/// A request with a token that may have recordings, hold them and read the audit.
#[derive(Clone, Debug)]
pub struct Keeper(
    /// Whose.
    pub Bearer,
);

impl FromRequestParts<Arc<Desk>> for Keeper {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut RequestParts, desk: &Arc<Desk>) -> Result<Keeper, Problem> {
        let bearer = Bearer::from_request_parts(parts, desk).await?;
        match bearer.role {
            Role::Admin | Role::Compliance => Ok(Keeper(bearer)),
            Role::Viewer => Err(Problem::forbidden("use a token with the role admin or compliance")),
        }
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
            Role::Compliance | Role::Viewer => Err(Problem::forbidden("use a token with the role admin")),
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
        vec![ApiToken::new("ops", Role::Admin, "one"), ApiToken::new("audit", Role::Compliance, "two")]
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
