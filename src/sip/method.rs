//! The methods of requests.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A request's method; case-sensitive (RFC 3261 §7.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Method {
    /// Starts a call, or changes one (RFC 3261 §13, §14).
    Invite,
    /// Confirms a final answer to an INVITE (RFC 3261 §17.1.1.3).
    Ack,
    /// Ends a call (RFC 3261 §15).
    Bye,
    /// Withdraws an INVITE (RFC 3261 §9).
    Cancel,
    /// Binds a device to its owner (RFC 3261 §10).
    Register,
    /// Asks what the far end can do (RFC 3261 §11).
    Options,
    /// Application words within a dialog (RFC 6086); DTMF with some phones.
    Info,
    /// Changes what an early dialog agreed on (RFC 3311).
    Update,
    /// Confirms a provisional answer (RFC 3262).
    Prack,
    /// Asks to be told (RFC 6665).
    Subscribe,
    /// Tells (RFC 6665).
    Notify,
    /// Asks the far end to call a third (RFC 3515).
    Refer,
    /// A text (RFC 3428).
    Message,
    /// Publishes a state (RFC 3903).
    Publish,
    /// Any other token.
    Other(Arc<str>),
}

impl Method {
    /// Reads a method; `None` when `text` is no token (RFC 3261 §25.1).
    pub fn parse(text: &str) -> Option<Method> {
        Some(match text {
            "INVITE" => Method::Invite,
            "ACK" => Method::Ack,
            "BYE" => Method::Bye,
            "CANCEL" => Method::Cancel,
            "REGISTER" => Method::Register,
            "OPTIONS" => Method::Options,
            "INFO" => Method::Info,
            "UPDATE" => Method::Update,
            "PRACK" => Method::Prack,
            "SUBSCRIBE" => Method::Subscribe,
            "NOTIFY" => Method::Notify,
            "REFER" => Method::Refer,
            "MESSAGE" => Method::Message,
            "PUBLISH" => Method::Publish,
            other if is_token(other.as_bytes()) => Method::Other(other.into()),
            _ => return None,
        })
    }

    /// The method as the wire has it.
    pub fn as_str(&self) -> &str {
        match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Bye => "BYE",
            Method::Cancel => "CANCEL",
            Method::Register => "REGISTER",
            Method::Options => "OPTIONS",
            Method::Info => "INFO",
            Method::Update => "UPDATE",
            Method::Prack => "PRACK",
            Method::Subscribe => "SUBSCRIBE",
            Method::Notify => "NOTIFY",
            Method::Refer => "REFER",
            Method::Message => "MESSAGE",
            Method::Publish => "PUBLISH",
            Method::Other(word) => word,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether these bytes are a token of RFC 3261 §25.1.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| is_token_byte(*b))
}

fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_case_sensitive_and_a_token() {
        assert_eq!(Method::parse("INVITE"), Some(Method::Invite));
        assert_eq!(Method::parse("invite"), Some(Method::Other("invite".into())));
        assert_eq!(Method::parse("IN VITE"), None);
        assert_eq!(Method::parse(""), None);
    }
}
