//! A SIP message as text, with just as much of RFC 3261 as a test's own phone needs.

use std::sync::atomic::{AtomicU64, Ordering};

static TOKENS: AtomicU64 = AtomicU64::new(1);

/// A word that no other call of this process has; processes differ by their ids.
pub fn token() -> String {
    format!("t{}x{}", std::process::id(), TOKENS.fetch_add(1, Ordering::Relaxed))
}

/// One message; a character a byte (ISO 8859-1), so that nothing of what came is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

impl Text {
    /// As it came.
    pub fn read(bytes: &[u8]) -> Text {
        Text(bytes.iter().map(|byte| char::from(*byte)).collect())
    }

    /// As it goes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.chars().map(|one| u8::try_from(one).expect("a character of ISO 8859-1")).collect()
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&str> {
        let word = self.0.split(' ').next()?;
        (word != "SIP/2.0").then_some(word)
    }

    /// The status of an answer; 0 of a request.
    pub fn status(&self) -> u16 {
        self.0.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
    }

    /// A request's URI.
    pub fn uri(&self) -> String {
        self.0.split(' ').nth(1).unwrap_or_default().to_owned()
    }

    /// The value of a header's first line; empty without it.
    pub fn header(&self, name: &str) -> String {
        let head = self.0.split("\r\n\r\n").next().unwrap_or_default();
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(one, _)| one.trim().eq_ignore_ascii_case(name));
        found.map_or_else(String::new, |(_, value)| value.trim().to_owned())
    }

    /// The body.
    pub fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// The URI of Contact.
    pub fn contact(&self) -> String {
        let value = self.header("Contact");
        value
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'))
            .map_or(value.clone(), |(uri, _)| uri.to_owned())
    }

    /// An answer to this request: `200 OK`, further headers each with its line's end, and a body.
    pub fn respond(&self, status: &str, headers: &str, sdp: &str) -> String {
        let copied = ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\r\n", self.header(name)));
        let kind = if sdp.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!("SIP/2.0 {status}\r\n{}{headers}{kind}Content-Length: {}\r\n\r\n{sdp}", copied.concat(), sdp.len())
    }
}
