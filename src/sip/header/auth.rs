//! A scheme with comma-separated parameters: Authorization, WWW-Authenticate and their proxy forms (RFC 7616 §3.3, §3.4).

use super::pieces::{pieces, unquote};

/// The most parameters read: RFC 7616 knows 12.
pub const AUTH_PARAMS_MAX: usize = 32;
/// The longest value of one parameter, in bytes.
pub const AUTH_VALUE_LENGTH_MAX: usize = 1024;

/// The scheme and its parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthParams {
    /// `Digest`, in any case.
    pub scheme: String,
    list: Vec<(String, String)>,
}

impl AuthParams {
    /// Reads one line; `None` when it has no scheme, too many parameters, one twice or too long, or one without a value.
    pub fn parse(line: &str) -> Option<AuthParams> {
        let (scheme, rest) = line.trim().split_once([' ', '\t'])?;
        let mut list: Vec<(String, String)> = Vec::with_capacity(12);
        for piece in pieces(rest, b',').filter(|p| !p.is_empty()) {
            let (name, value) = piece.split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            let twice = list.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
            if twice || list.len() >= AUTH_PARAMS_MAX || value.len() > AUTH_VALUE_LENGTH_MAX {
                return None;
            }
            list.push((name.to_owned(), unquote(value)));
        }
        Some(AuthParams { scheme: scheme.to_owned(), list })
    }

    /// A parameter's value, without quotes.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// The response and nonces stay out of every log.
impl std::fmt::Debug for AuthParams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} …", self.scheme)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_within_quotes_does_not_cut() {
        let read = AuthParams::parse(r#"Digest realm="a, b",qop="auth,auth-int" , nc=00000001"#).expect("valid");
        assert_eq!(
            (read.value("realm"), read.value("QOP"), read.value("nc")),
            (Some("a, b"), Some("auth,auth-int"), Some("00000001"))
        );
    }

    #[test]
    fn a_parameter_twice_is_refused() {
        assert!(AuthParams::parse("Digest nonce=1, nonce=2").is_none());
        assert!(AuthParams::parse("Digest").is_none() && AuthParams::parse("Digest x").is_none());
    }
}
