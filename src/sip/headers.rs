//! The headers of one message: in order, as bytes, read only when asked.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::header::pieces::pieces;
use super::header::{
    AuthParams, CSeq, Contacts, InvalidHeader, NameAddr, Privacy, RAck, Reason, SessionExpires, Via, session_expires,
};

/// The most tokens read of one list header: real ones have up to twenty.
pub const TOKENS_MAX: usize = 64;
/// The longest token read, in bytes; longer ones are cut.
pub const TOKEN_LENGTH_MAX: usize = 64;

/// One header line: its name and its raw value, unfolded and trimmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// As written, but compact forms (RFC 3261 §7.3.3) in full.
    pub name: Bytes,
    /// Not necessarily UTF-8: what a peer wrote is echoed as it wrote it.
    pub value: Bytes,
}

/// The headers of one message, without Content-Length, which the body's length says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headers {
    list: Vec<Header>,
}

impl Headers {
    /// No header.
    pub fn new() -> Headers {
        Headers::default()
    }

    pub(crate) fn with_capacity(count: usize) -> Headers {
        Headers { list: Vec::with_capacity(count) }
    }

    pub(crate) fn push_read(&mut self, name: Bytes, value: Bytes) {
        self.list.push(Header { name, value });
    }

    /// Adds a header behind the others. A line break in `value` becomes a space, so it cannot start a header of its own.
    pub fn push(&mut self, name: &'static str, value: impl Into<Bytes>) {
        self.list.push(written(name, value.into()));
    }

    /// Adds a header before the others.
    pub fn push_front(&mut self, name: &'static str, value: impl Into<Bytes>) {
        self.list.insert(0, written(name, value.into()));
    }

    /// Replaces the first header of that name, or adds it; removes the others of that name.
    pub fn set(&mut self, name: &'static str, value: impl Into<Bytes>) {
        let header = written(name, value.into());
        match self.list.iter().position(|h| is_named(h, name)) {
            Some(at) => {
                let mut index = 0;
                self.list.retain(|h| {
                    index += 1;
                    index - 1 <= at || !is_named(h, name)
                });
                if let Some(first) = self.list.get_mut(at) {
                    *first = header;
                }
            }
            None => self.list.push(header),
        }
    }

    /// Replaces the value of the first header of that name only.
    pub(crate) fn replace_first(&mut self, name: &str, value: Bytes) {
        if let Some(first) = self.list.iter_mut().find(|h| is_named(h, name)) {
            first.value = value;
        }
    }

    /// Removes every header of that name.
    pub fn remove(&mut self, name: &str) {
        self.list.retain(|h| !is_named(h, name));
    }

    /// All headers, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.list.iter()
    }

    /// How many header lines there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether there is a header of that name.
    pub fn has(&self, name: &str) -> bool {
        self.list.iter().any(|h| is_named(h, name))
    }

    /// The raw value of the first header of that name.
    pub fn first_bytes(&self, name: &str) -> Option<&Bytes> {
        self.list.iter().find(|h| is_named(h, name)).map(|h| &h.value)
    }

    /// The raw values of all headers of that name, a line each.
    pub fn all_bytes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Bytes> {
        self.list.iter().filter(move |h| is_named(h, name)).map(|h| &h.value)
    }

    /// The first header of that name, as text; what is not UTF-8 is read as Latin-1.
    pub fn first(&self, name: &str) -> Option<Cow<'_, str>> {
        self.first_bytes(name).map(|value| readable(value))
    }

    /// All headers of that name, a line each, as text.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
        self.all_bytes(name).map(|value| readable(value))
    }

    /// The comma-separated tokens of all headers of that name (`Require`, `Supported`, `Allow`).
    pub fn tokens(&self, name: &str) -> Vec<String> {
        let mut tokens = Vec::new();
        for line in self.all(name) {
            let room = TOKENS_MAX.saturating_sub(tokens.len());
            let kept =
                |token: &str| token.get(..token.floor_char_boundary(TOKEN_LENGTH_MAX)).unwrap_or_default().to_owned();
            tokens.extend(pieces(&line, b',').filter(|t| !t.is_empty()).map(kept).take(room));
        }
        tokens
    }

    /// Whether a list header names `token`, in any case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name).any(|line| pieces(&line, b',').any(|t| t.eq_ignore_ascii_case(token)))
    }

    /// The topmost Via.
    pub fn via(&self) -> Option<Via> {
        let line = self.first("Via")?;
        Via::parse(pieces(&line, b',').next()?)
    }

    /// Every Via that can be read, topmost first.
    pub fn vias(&self) -> Vec<Via> {
        let mut vias = Vec::new();
        for line in self.all("Via") {
            vias.extend(pieces(&line, b',').filter_map(Via::parse));
        }
        vias
    }

    /// Who sends the request.
    pub fn from(&self) -> Option<NameAddr> {
        NameAddr::parse(&self.first("From")?)
    }

    /// Whom the request is for.
    pub fn to(&self) -> Option<NameAddr> {
        NameAddr::parse(&self.first("To")?)
    }

    /// The Call-ID.
    pub fn call_id(&self) -> Option<Cow<'_, str>> {
        self.first("Call-ID").filter(|id| !id.is_empty())
    }

    /// The sequence number and the method it counts.
    pub fn cseq(&self) -> Option<CSeq> {
        CSeq::parse(&self.first("CSeq")?)
    }

    /// Every Contact, over all its lines; an empty list when there is none.
    pub fn contacts(&self) -> Result<Contacts, InvalidHeader> {
        Contacts::read(self.all("Contact"))
    }

    /// Every address of a list header that can be read: Route, Record-Route, P-Asserted-Identity.
    pub fn addresses(&self, name: &str) -> Vec<NameAddr> {
        let mut addresses = Vec::new();
        for line in self.all(name) {
            addresses.extend(pieces(&line, b',').filter_map(NameAddr::parse));
        }
        addresses
    }

    /// How many hops are left (RFC 3261 §20.22); `None` when there is no such header.
    pub fn max_forwards(&self) -> Option<Result<u8, InvalidHeader>> {
        self.first("Max-Forwards").map(|value| super::header::max_forwards::parse(&value))
    }

    /// The Expires header in seconds; `None` when it is missing or cannot be read (RFC 3261 §20.19 says then: as if it were 3600).
    pub fn expires(&self) -> Option<u32> {
        super::header::expires::parse(&self.first("Expires")?)
    }

    /// What the caller wants hidden (RFC 3323).
    pub fn privacy(&self) -> Privacy {
        Privacy::read(self.all("Privacy"))
    }

    /// Why the far end did so (RFC 3326), the first that can be read.
    pub fn reason(&self) -> Option<Reason> {
        let line = self.first("Reason")?;
        pieces(&line, b',').find_map(Reason::parse)
    }

    /// Which provisional answer a PRACK confirms (RFC 3262 §7.2).
    pub fn rack(&self) -> Option<RAck> {
        RAck::parse(&self.first("RAck")?)
    }

    /// The number of a reliable provisional answer (RFC 3262 §7.1).
    pub fn rseq(&self) -> Option<u32> {
        self.first("RSeq")?.trim().parse().ok()
    }

    /// How long the call may go on unrefreshed (RFC 4028 §4).
    pub fn session_expires(&self) -> Option<SessionExpires> {
        SessionExpires::parse(&self.first("Session-Expires")?)
    }

    /// The shortest such time that the peer takes, in seconds (RFC 4028 §5).
    pub fn min_se(&self) -> Option<u32> {
        session_expires::parse_min(&self.first("Min-SE")?)
    }

    /// Every header of that name read as a scheme with parameters: Authorization, WWW-Authenticate…
    pub fn auth_params(&self, name: &str) -> Vec<AuthParams> {
        self.all(name).filter_map(|line| AuthParams::parse(&line)).collect()
    }
}

fn is_named(header: &Header, name: &str) -> bool {
    header.name.eq_ignore_ascii_case(name.as_bytes())
}

fn written(name: &'static str, value: Bytes) -> Header {
    let value = if value.iter().any(|b| matches!(b, b'\r' | b'\n')) {
        value.iter().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { *b }).collect::<Vec<u8>>().into()
    } else {
        value
    };
    Header { name: Bytes::from_static(name.as_bytes()), value }
}

/// The full name of a compact form (RFC 3261 §7.3.3, §20 and the registry of RFC 3261's extensions).
pub(crate) fn full_name(letter: u8) -> Option<&'static str> {
    Some(match letter.to_ascii_lowercase() {
        b'a' => "Accept-Contact",
        b'b' => "Referred-By",
        b'c' => "Content-Type",
        b'd' => "Request-Disposition",
        b'e' => "Content-Encoding",
        b'f' => "From",
        b'i' => "Call-ID",
        b'j' => "Reject-Contact",
        b'k' => "Supported",
        b'l' => "Content-Length",
        b'm' => "Contact",
        b'n' => "Identity-Info",
        b'o' => "Event",
        b'r' => "Refer-To",
        b's' => "Subject",
        b't' => "To",
        b'u' => "Allow-Events",
        b'v' => "Via",
        b'x' => "Session-Expires",
        b'y' => "Identity",
        _ => return None,
    })
}

/// A value as text. RFC 3261 §25.1 wants UTF-8; what is none is read as Latin-1, which is what old exchanges write.
fn readable(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(value.iter().map(|byte| char::from(*byte)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_value_cannot_start_a_header_of_its_own() {
        let mut headers = Headers::new();
        headers.push("Subject", "a\r\nVia: evil");
        assert_eq!(headers.first("subject").as_deref(), Some("a  Via: evil"));
    }

    #[test]
    fn set_leaves_one_header_in_the_place_of_the_first() {
        let mut headers = Headers::new();
        for (name, value) in [("A", "1"), ("B", "2"), ("a", "3"), ("C", "4")] {
            headers.push(name, value);
        }
        headers.set("A", "9");
        let flat: Vec<_> = headers.iter().map(|h| String::from_utf8_lossy(&h.value).into_owned()).collect();
        assert_eq!(flat, ["9", "2", "4"]);
    }

    #[test]
    fn tokens_of_several_lines_come_as_one_list() {
        let mut headers = Headers::new();
        headers.push("Require", "100rel, timer");
        headers.push("Require", "foo,,");
        assert_eq!(headers.tokens("require"), ["100rel", "timer", "foo"]);
        assert!(headers.has_token("Require", "TIMER"));
    }
}
