//! Via: the way that a response takes back (RFC 3261 §20.42, RFC 3581).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::params::Params;
use crate::sip::uri::split_host_port;

/// What RFC 3261 §8.1.1.7 says that a branch of its own time starts with.
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// One hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Via {
    /// `UDP`, `TCP`… as written.
    pub transport: String,
    /// Host of sent-by: a name, an IPv4 address, or an IPv6 one in brackets.
    pub host: String,
    /// Port of sent-by.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport`…
    pub params: Params,
}

/// One hop as it stands in its line.
struct Parts<'a> {
    transport: &'a str,
    host: &'a str,
    port: Option<u16>,
    params: &'a str,
}

/// The `rport` parameter (RFC 3581 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rport {
    /// Not there: the response goes to the port in sent-by.
    Absent,
    /// Asked for.
    Asked,
    /// Filled in by the server.
    Filled(u16),
}

impl Via {
    /// Our own Via, asking for `rport`.
    pub fn new(transport: &str, sent_by: SocketAddr, branch: &str) -> Via {
        let mut params = Params::default();
        params.set("branch", Some(branch.to_owned()));
        params.set("rport", None);
        let host = match sent_by.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Via { transport: transport.to_owned(), host, port: Some(sent_by.port()), params }
    }

    /// Reads one hop: `SIP/2.0/UDP host:port;branch=…`, with spaces around the slashes if need be.
    pub fn parse(text: &str) -> Option<Via> {
        let Parts { transport, host, port, params } = Via::split(text)?;
        Some(Via { transport: transport.to_owned(), host: host.to_owned(), port, params: Params::parse(params) })
    }

    /// Whether [`Via::parse`] would read it, without keeping anything.
    pub(crate) fn is_readable(text: &str) -> bool {
        Via::split(text).is_some()
    }

    fn split(text: &str) -> Option<Parts<'_>> {
        let (head, params) = text.split_once(';').unwrap_or((text, ""));
        let (name, rest) = head.split_once('/')?;
        let (version, rest) = rest.split_once('/')?;
        // Another version is read too: its request is to be answered 505.
        let is_version = version.trim().split_once('.').is_some_and(|(a, b)| is_number(a) && is_number(b));
        if !name.trim().eq_ignore_ascii_case("SIP") || !is_version {
            return None;
        }
        let (transport, sent_by) = rest.trim().split_once([' ', '\t'])?;
        let (host, port) = split_host_port(sent_by.trim())?;
        crate::sip::method::is_token(transport.as_bytes()).then_some(Parts { transport, host, port, params })
    }

    /// The branch, when it is not empty.
    pub fn branch(&self) -> Option<&str> {
        self.params.value("branch").filter(|b| !b.is_empty())
    }

    /// Whether the branch names the transaction by itself (RFC 3261 §17.2.3).
    pub fn has_magic_cookie(&self) -> bool {
        self.branch().and_then(|b| b.get(..MAGIC_COOKIE.len())).is_some_and(|b| b.eq_ignore_ascii_case(MAGIC_COOKIE))
    }

    /// The address that the request was seen to come from.
    pub fn received(&self) -> Option<IpAddr> {
        let value = self.params.value("received")?;
        value.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// The `rport` parameter.
    pub fn rport(&self) -> Rport {
        match self.params.value("rport") {
            None => Rport::Absent,
            Some(port) => port.parse().map_or(Rport::Asked, Rport::Filled),
        }
    }

    /// Host and port of sent-by as one word, in lower case, to compare.
    pub fn sent_by(&self) -> String {
        format!("{}:{}", self.host.to_ascii_lowercase(), self.port.unwrap_or(5060))
    }

    /// Writes down where the request came from (RFC 3261 §18.2.1, RFC 3581 §4).
    pub fn stamp(&mut self, peer: SocketAddr) {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let asked = self.rport() != Rport::Absent;
        if asked {
            self.params.set("rport", Some(peer.port().to_string()));
        }
        if asked || host.parse() != Ok(peer.ip()) {
            self.params.set("received", Some(peer.ip().to_string()));
        } else {
            self.params.remove("received");
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_via_with_spaces_everywhere_reads_the_same() {
        let via = Via::parse("SIP  / 2.0\t/ UDP  192.0.2.2 : 5061 ; branch = z9hG4bK30239 ;rport").expect("valid");
        assert_eq!((via.host.as_str(), via.port, via.branch()), ("192.0.2.2", Some(5061), Some("z9hG4bK30239")));
        assert_eq!(via.rport(), Rport::Asked);
        assert_eq!(Via::parse(&via.to_string()), Some(via));
    }

    #[test]
    fn an_ipv6_sent_by_keeps_its_brackets() {
        let via =
            Via::parse("SIP/2.0/UDP [2001:db8::9:1]:5070;branch=z9hG4bKa;received=[2001:db8::9:255]").expect("valid");
        assert_eq!((via.host.as_str(), via.port), ("[2001:db8::9:1]", Some(5070)));
        assert_eq!(via.received(), "2001:db8::9:255".parse().ok());
    }

    #[test]
    fn rport_brings_both_received_and_the_port() {
        let mut via = Via::parse("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;rport").expect("valid");
        via.stamp("10.0.0.1:4540".parse().expect("address"));
        assert_eq!(via.to_string(), "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;rport=4540;received=10.0.0.1");
    }

    #[test]
    fn a_lying_received_is_replaced_or_removed() {
        let mut via = Via::parse("SIP/2.0/UDP 10.0.0.1:5060;received=1.2.3.4").expect("valid");
        via.stamp("10.0.0.1:5060".parse().expect("address"));
        assert_eq!(via.received(), None);
        via.stamp("10.0.0.9:5060".parse().expect("address"));
        assert_eq!(via.received(), "10.0.0.9".parse().ok());
    }

    #[test]
    fn no_version_or_no_host_is_refused() {
        for text in [
            "SIP/x/UDP h",
            "SIP/2/UDP h",
            "HTTP/2.0/UDP h",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ;branch=x",
            "UDP h",
            "",
            "SIP/2.0/UDP h:99999",
        ] {
            assert_eq!(Via::parse(text), None, "{text}");
        }
    }
}
