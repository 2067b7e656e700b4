//! `;name=value` parameters, of headers and of URIs.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::pieces::{pieces, quote, unquote};
use crate::sip::method::is_token;

/// The most parameters kept of one value: real ones have 0 to 8.
pub const PARAMS_MAX: usize = 32;

/// Parameters in order; names compare in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    list: Vec<(String, Option<String>)>,
}

impl Params {
    /// Reads what follows the first `;`. Quoted values lose their quotes; empty pieces are passed over.
    pub fn parse(text: &str) -> Params {
        let mut list = Vec::new();
        if text.is_empty() {
            return Params { list };
        }
        for piece in pieces(text, b';').filter(|p| !p.is_empty()).take(PARAMS_MAX) {
            list.push(match piece.split_once('=') {
                Some((name, value)) => (name.trim_end().to_owned(), Some(unquote(value.trim_start()))),
                None => (piece.to_owned(), None),
            });
        }
        Params { list }
    }

    /// The value of one parameter in the text, without keeping the others: what [`Params::value`] would say.
    pub(crate) fn find(text: &str, name: &str) -> Option<String> {
        let found = |piece: &str| match piece.split_once('=') {
            Some((n, value)) => n.trim_end().eq_ignore_ascii_case(name).then(|| unquote(value.trim_start())),
            None => piece.eq_ignore_ascii_case(name).then(String::new),
        };
        if text.is_empty() {
            return None;
        }
        pieces(text, b';').filter(|p| !p.is_empty()).take(PARAMS_MAX).find_map(found)
    }

    /// The value of a parameter; `Some("")` when it stands there without one.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_deref().unwrap_or_default())
    }

    /// Whether the parameter is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// Replaces or adds a parameter.
    pub fn set(&mut self, name: &str, value: Option<String>) {
        match self.list.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some(old) => old.1 = value,
            None => self.list.push((name.to_owned(), value)),
        }
    }

    /// Removes a parameter.
    pub fn remove(&mut self, name: &str) {
        self.list.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// All parameters, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.list.iter().map(|(n, v)| (n.as_str(), v.as_deref()))
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.list {
            match value {
                None => write!(f, ";{name}")?,
                Some(value) if is_plain(value) => write!(f, ";{name}={value}")?,
                Some(value) => write!(f, ";{name}={}", quote(value))?,
            }
        }
        Ok(())
    }
}

/// A token, a host or an IPv6 reference needs no quotes.
fn is_plain(value: &str) -> bool {
    is_token(value.as_bytes())
        || (!value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$%".contains(&b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_parameter_is_found_as_it_is_read_among_all() {
        let text = r#"lr; TAG = "a;b" ;tag=c;;q=;x=1=2"#;
        for name in ["lr", "tag", "q", "x", "y", ""] {
            assert_eq!(Params::find(text, name).as_deref(), Params::parse(text).value(name), "{name}");
        }
        assert_eq!(Params::find("", ""), None);
    }
}
