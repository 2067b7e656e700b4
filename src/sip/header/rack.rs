//! RAck: which reliable provisional answer a PRACK confirms (RFC 3262 §7.2).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::sip::method::Method;

/// A provisional answer: its RSeq, and the CSeq of the request that it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RAck {
    /// The answer's RSeq.
    pub rseq: u32,
    /// The request's number.
    pub number: u32,
    /// The request's method: INVITE.
    pub method: Method,
}

impl RAck {
    /// Reads `776656 1 INVITE`.
    pub fn parse(text: &str) -> Option<RAck> {
        let mut words = text.split_ascii_whitespace();
        let (rseq, number) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let method = Method::parse(words.next()?)?;
        words.next().is_none().then_some(RAck { rseq, number, method })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.rseq, self.number, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rack_has_two_numbers_and_a_method_and_no_more() {
        let rack = RAck::parse("776656  1 INVITE").expect("valid");
        assert_eq!((rack.rseq, rack.number, rack.to_string().as_str()), (776_656, 1, "776656 1 INVITE"));
        for text in ["", "1", "1 2", "1 2 INVITE x", "-1 2 INVITE", "4294967296 1 INVITE"] {
            assert_eq!(RAck::parse(text), None, "{text}");
        }
    }
}
