//! CSeq: the request's number in its dialog (RFC 3261 §20.16).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::sip::method::Method;

/// A number and the method that it counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CSeq {
    /// Below 2³¹ (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl CSeq {
    /// Reads `314159 INVITE`.
    pub fn parse(text: &str) -> Option<CSeq> {
        let (number, method) = text.trim().split_once([' ', '\t'])?;
        let number = number.parse().ok().filter(|n| *n < 1 << 31)?;
        Some(CSeq { number, method: Method::parse(method.trim_start())? })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_beyond_31_bits_is_refused() {
        assert_eq!(CSeq::parse("0009  INVITE").map(|c| (c.number, c.method)), Some((9, Method::Invite)));
        for text in ["2147483648 INVITE", "36893488147419103232 REGISTER", "-1 BYE", "1", "1 ", "", "x INVITE"] {
            assert_eq!(CSeq::parse(text), None, "{text}");
        }
    }
}
