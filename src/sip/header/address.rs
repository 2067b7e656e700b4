//! `"Name" <uri>;params`: From, To, Contact, Route, Record-Route, P-Asserted-Identity (RFC 3261 §20.10, §25.1).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::params::Params;
use super::pieces::{find, quote, unquote};
use crate::sip::uri::Uri;

/// An address with its display name and header parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameAddr {
    /// The display name, without quotes and escapes.
    pub display: Option<String>,
    /// The URI as written.
    pub uri: String,
    /// The header's parameters (`tag`, `expires`…), not the URI's.
    pub params: Params,
}

/// An address as it stands in its line.
struct Parts<'a> {
    /// With its quotes.
    name: &'a str,
    uri: &'a str,
    params: &'a str,
}

impl NameAddr {
    /// An address without name or parameters.
    pub fn new(uri: impl Into<String>) -> NameAddr {
        NameAddr { display: None, uri: uri.into(), params: Params::default() }
    }

    /// Reads one address; `None` when there is no URI or a bracket is missing.
    pub fn parse(text: &str) -> Option<NameAddr> {
        let Parts { name, uri, params } = NameAddr::split(text)?;
        let display = Some(name).filter(|name| !name.is_empty()).map(unquote).filter(|name| !name.is_empty());
        Some(NameAddr { display, uri: uri.to_owned(), params: Params::parse(params) })
    }

    /// Whether [`NameAddr::parse`] would read it, without keeping anything.
    pub(crate) fn is_readable(text: &str) -> bool {
        NameAddr::split(text).is_some()
    }

    /// The `tag` of an address that is not read otherwise.
    pub(crate) fn tag_in(text: &str) -> Option<String> {
        Params::find(NameAddr::split(text)?.params, "tag").filter(|tag| !tag.is_empty())
    }

    fn split(text: &str) -> Option<Parts<'_>> {
        let text = text.trim();
        let (name, rest) = split_name(text)?;
        let Some(rest) = rest else {
            // RFC 3261 §20.10: without brackets, parameters belong to the header.
            let (uri, params) = text.split_once(';').unwrap_or((text, ""));
            let uri = uri.trim_end();
            // Nor may it have headers of its own then.
            return (!uri.contains('?') && is_uri(uri)).then_some(Parts { name: "", uri, params });
        };
        let (uri, after) = rest.split_once('>')?;
        let (uri, after) = (uri.trim(), after.trim_start());
        let params = after.strip_prefix(';').unwrap_or_default();
        if params.is_empty() && !after.is_empty() && after != ";" {
            return None;
        }
        is_uri(uri).then_some(Parts { name, uri, params })
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&str> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }

    /// This address with a `tag`.
    pub fn with_tag(mut self, tag: &str) -> NameAddr {
        self.params.set("tag", Some(tag.to_owned()));
        self
    }

    /// The URI, read; `None` when it is none that RFC 3261 or 3966 knows how to write.
    pub fn to_uri(&self) -> Option<Uri> {
        Uri::parse(&self.uri)
    }
}

/// Whether it has a scheme and something behind it, and nothing that cannot stand in a URI.
fn is_uri(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    !rest.is_empty()
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        && !uri.bytes().any(|b| b.is_ascii_whitespace() || b == b'"' || b == b'<')
}

/// The display name and what follows its `<`; no second part in the form without brackets.
fn split_name(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('"') {
        // The bracket is sought behind the closing quote.
        let open = find(text, b'<')?;
        let (name, rest) = text.split_at_checked(open)?;
        let name = name.trim_end();
        return (name.len() > 1 && name.ends_with('"')).then_some((name, rest.get(1..)));
    }
    match text.split_once('<') {
        Some((name, rest)) => Some((name.trim_end(), Some(rest))),
        None => Some(("", None)),
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{} ", quote(display))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> NameAddr {
        NameAddr::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn a_display_name_keeps_its_escaped_quotes_and_brackets() {
        let address = read(r#""J \\\"Rosen\\\" <x>, \"q\"" <sip:j@h;lr>;tag=98asjd8"#);
        assert_eq!(address.display.as_deref(), Some(r#"J \"Rosen\" <x>, "q""#));
        assert_eq!((address.uri.as_str(), address.tag()), ("sip:j@h;lr", Some("98asjd8")));
        assert_eq!(NameAddr::parse(&address.to_string()), Some(address));
    }

    #[test]
    fn without_brackets_the_parameters_are_the_headers() {
        let address = read("sip:+33612345678@trunk:5080;tag=a");
        assert_eq!((address.uri.as_str(), address.tag()), ("sip:+33612345678@trunk:5080", Some("a")));
        assert_eq!(read("tel:+33612345678").uri, "tel:+33612345678");
        assert_eq!(read("Anonymous <sip:anonymous@anonymous.invalid>;tag=1").display.as_deref(), Some("Anonymous"));
        assert_eq!(read("<sip:a@b>").display, None);
    }

    #[test]
    fn what_has_no_uri_is_refused() {
        for text in ["", "<>", "<sip:a@b", "\"open <sip:a@b>", "nobody", "<sip:>", "\"a\" sip:x", "<sip:a@b> x", "\""] {
            assert_eq!(NameAddr::parse(text), None, "{text}");
        }
    }
}
