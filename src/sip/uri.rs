//! SIP, SIPS and TEL URIs (RFC 3261 §19.1, RFC 3966).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::header::Params;

/// The longest URI read, in bytes.
pub const URI_LENGTH_MAX: usize = 2048;

/// What kind of URI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other, in lower case.
    Other(String),
}

/// A URI in its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uri {
    /// What kind.
    pub scheme: Scheme,
    /// The user part as written (still percent-encoded, without password); the number of a `tel:`.
    pub user: Option<String>,
    /// The password, which nobody should write.
    pub password: Option<String>,
    /// A name, an IPv4 address, or an IPv6 one in brackets; empty for `tel:`; everything after the scheme for other kinds.
    pub host: String,
    /// The port.
    pub port: Option<u16>,
    /// `transport`, `lr`, `user`, `ob`…
    pub params: Params,
    /// What follows `?`, as written.
    pub headers: Option<String>,
}

impl Uri {
    /// Reads a URI; `None` when it has no scheme, no host, or a port that is none.
    pub fn parse(text: &str) -> Option<Uri> {
        if text.len() > URI_LENGTH_MAX {
            return None;
        }
        let (scheme, rest) = text.split_once(':')?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "sip" => Scheme::Sip,
            "sips" => Scheme::Sips,
            "tel" => Scheme::Tel,
            "" => return None,
            other => Scheme::Other(other.to_owned()),
        };
        match scheme {
            Scheme::Sip | Scheme::Sips => Uri::parse_sip(scheme, rest),
            Scheme::Tel => {
                let (number, params) = rest.split_once(';').unwrap_or((rest, ""));
                let mut uri = Uri::bare(scheme, String::new());
                uri.user = Some(number.to_owned()).filter(|n| !n.is_empty());
                uri.params = Params::parse(params);
                uri.user.is_some().then_some(uri)
            }
            Scheme::Other(_) => (!rest.is_empty()).then(|| Uri::bare(scheme, rest.to_owned())),
        }
    }

    fn bare(scheme: Scheme, host: String) -> Uri {
        Uri { scheme, user: None, password: None, host, port: None, params: Params::default(), headers: None }
    }

    fn parse_sip(scheme: Scheme, rest: &str) -> Option<Uri> {
        // The user part may hold `;` and `?` (RFC 3261 §25.1), so the `@` is sought first.
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers.to_owned())),
            None => (rest, None),
        };
        let (host_port, params) = rest.split_once(';').unwrap_or((rest, ""));
        let (host, port) = split_host_port(host_port)?;
        let (user, password) = match user.map(|u| u.split_once(':').unwrap_or((u, ""))) {
            Some((user, password)) => (Some(user.to_owned()), Some(password.to_owned()).filter(|p| !p.is_empty())),
            None => (None, None),
        };
        let host = host.to_owned();
        Some(Uri { scheme, user, password, host, port, params: Params::parse(params), headers })
    }

    /// The user part with `%XX` decoded and, when what it holds is a number, without its parameters
    /// (RFC 3261 §19.1.6: `+3312;phone-context=…` before the `@`).
    pub fn user_decoded(&self) -> Option<String> {
        let user = self.user.as_deref()?;
        let user = user.split(';').next().unwrap_or_default();
        Some(decode(user))
    }

    /// The `transport` parameter.
    pub fn transport(&self) -> Option<&str> {
        self.params.value("transport")
    }

    /// Whether a proxy routes loosely (RFC 3261 §19.1.1).
    pub fn is_loose_router(&self) -> bool {
        self.params.has("lr")
    }

    /// The host as an address; `None` for a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// Where to send over UDP, when the host is an address: port 5060 unless it says another (RFC 3263 §4.2).
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.ip()?, self.port.unwrap_or(5060)))
    }

    /// Whether both name the same resource (RFC 3261 §19.1.4).
    pub fn is_same_as(&self, other: &Uri) -> bool {
        let user = |uri: &Uri| uri.user.as_deref().map(decode);
        self.scheme == other.scheme
            && user(self) == user(other)
            && self.password == other.password
            && self.host.eq_ignore_ascii_case(&other.host)
            && self.port == other.port
            && params_match(&self.params, &other.params)
            && self.headers == other.headers
    }

    /// Whether two texts are the same URI: word for word, or as both are read.
    pub fn are_same(a: &str, b: &str) -> bool {
        let as_read = || Some(Uri::parse(a)?.is_same_as(&Uri::parse(b)?));
        a == b || as_read().unwrap_or(false)
    }
}

/// RFC 3261 §19.1.4: a parameter in both must match; `user`, `ttl`, `method`, `maddr` and `transport` in one must be in both.
fn params_match(a: &Params, b: &Params) -> bool {
    let one_way = |a: &Params, b: &Params| {
        a.iter().all(|(name, value)| match b.value(name) {
            Some(other) => decode(value.unwrap_or_default()).eq_ignore_ascii_case(&decode(other)),
            None => {
                !["user", "ttl", "method", "maddr", "transport"].iter().any(|needed| name.eq_ignore_ascii_case(needed))
            }
        })
    };
    one_way(a, b) && one_way(b, a)
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scheme {
            Scheme::Sip => f.write_str("sip:")?,
            Scheme::Sips => f.write_str("sips:")?,
            Scheme::Tel => f.write_str("tel:")?,
            Scheme::Other(scheme) => write!(f, "{scheme}:")?,
        }
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            if self.scheme != Scheme::Tel {
                f.write_str("@")?;
            }
        }
        f.write_str(&self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)?;
        match &self.headers {
            Some(headers) => write!(f, "?{headers}"),
            None => Ok(()),
        }
    }
}

/// `host[:port]`; `None` when the host is empty or the port is no number.
pub(crate) fn split_host_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let end = inner.find(']')? + 2;
            (text.get(..end)?, text.get(end..)?.trim_start())
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            (text.get(..end)?.trim_end(), text.get(end..)?)
        }
    };
    let port = match port.strip_prefix(':') {
        // A colon without a number is forgiven.
        Some(port) if port.trim().is_empty() => None,
        Some(port) => Some(port.trim().parse().ok()?),
        None if port.is_empty() => None,
        None => return None,
    };
    let well_formed = !host.is_empty() && !host.bytes().any(|b| b.is_ascii_whitespace() || b == b'@' || b == b'"');
    well_formed.then_some((host, port))
}

/// `%XX` decoded; what is no valid escape stays, what is no UTF-8 becomes `�`.
pub(crate) fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        let mut ahead = bytes.clone();
        let pair = (ahead.next().and_then(hex), ahead.next().and_then(hex));
        match (b, pair) {
            (b'%', (Some(high), Some(low))) => {
                out.push(high << 4 | low);
                bytes = ahead;
            }
            (b, _) => out.push(b),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(b: u8) -> Option<u8> {
    (b as char).to_digit(16).map(|d| d as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Uri {
        Uri::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn the_parts_of_a_uri_are_found_and_written_back() {
        let text = "sip:+33612%3bx;phone-context=a?b:pw@[2001:db8::1]:5070;transport=udp;lr?Subject=x";
        let uri = read(text);
        assert_eq!(uri.user.as_deref(), Some("+33612%3bx;phone-context=a?b"));
        assert_eq!(uri.user_decoded().as_deref(), Some("+33612;x"));
        assert_eq!((uri.host.as_str(), uri.port, uri.transport()), ("[2001:db8::1]", Some(5070), Some("udp")));
        assert!(uri.is_loose_router());
        assert_eq!(uri.to_string(), text);
        assert_eq!(uri.socket_addr(), "[2001:db8::1]:5070".parse().ok());
    }

    #[test]
    fn tel_and_urn_are_kept() {
        assert_eq!(read("tel:+33-2;phone-context=+33").user.as_deref(), Some("+33-2"));
        assert_eq!(read("urn:service:sos").to_string(), "urn:service:sos");
    }

    #[test]
    fn the_same_resource_is_known_under_every_spelling() {
        // RFC 3261 §19.1.4, its own examples.
        let same = [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        ];
        let different = [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:carol@chicago.com;security=off", "sip:carol@chicago.com;security=on"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ];
        for (a, b) in same {
            assert!(read(a).is_same_as(&read(b)) && read(b).is_same_as(&read(a)), "{a} {b}");
        }
        for (a, b) in different {
            assert!(!read(a).is_same_as(&read(b)) && !read(b).is_same_as(&read(a)), "{a} {b}");
        }
    }

    #[test]
    fn what_is_no_uri_is_none() {
        for text in ["", "sip:", "sip:@", "sip:a@", "sip:h:x", "sip:h:99999", "sip:[::1", "tel:", ":x", "h"] {
            assert_eq!(Uri::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_broken_escape_stays_as_it_is() {
        assert_eq!(read("sip:a%4@h").user_decoded().as_deref(), Some("a%4"));
        assert_eq!(read("sip:a%zz%41%@h").user_decoded().as_deref(), Some("a%zzA%"));
    }
}
