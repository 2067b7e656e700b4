//! Diversion: who sent the call on, and why (RFC 5806 §6).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::address::NameAddr;
use super::pieces::pieces;

/// The most diversions read of one message: networks cut a chain of forwarding at five.
pub const DIVERSIONS_MAX: usize = 10;

/// One who diverted a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diverted {
    /// Who, with the parameters.
    pub by: NameAddr,
}

/// Reads all lines of the header, the last diversion first, as it is written; what cannot be read is passed over.
pub fn read<'a>(lines: impl Iterator<Item = Cow<'a, str>>) -> Vec<Diverted> {
    let mut all = Vec::new();
    for line in lines {
        let room = DIVERSIONS_MAX.saturating_sub(all.len());
        all.extend(pieces(&line, b',').filter_map(NameAddr::parse).map(|by| Diverted { by }).take(room));
    }
    all
}

impl Diverted {
    /// `unconditional`, `user-busy`, `no-answer`, `unavailable`, `deflection`…, without quotes.
    pub fn reason(&self) -> Option<&str> {
        self.by.params.value("reason").map(str::trim).filter(|reason| !reason.is_empty())
    }

    /// How many diversions this one stands for, 1 to 999; 1 when it does not say so in digits.
    pub fn count(&self) -> u16 {
        let digits = self.by.params.value("counter").filter(|c| c.bytes().all(|b| b.is_ascii_digit()));
        digits.and_then(|digits| digits.parse().ok()).filter(|count| (1..=999).contains(count)).unwrap_or(1)
    }

    /// Whether whoever diverted asked that nobody be shown it (`privacy=full`, `uri` or `name`).
    pub fn is_private(&self) -> bool {
        self.by
            .params
            .value("privacy")
            .is_some_and(|p| ["full", "uri", "name"].iter().any(|w| p.eq_ignore_ascii_case(w)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_lines(lines: &[&str]) -> Vec<Diverted> {
        read(lines.iter().map(|line| Cow::Borrowed(*line)))
    }

    #[test]
    fn several_diversions_keep_their_order_over_lines_and_commas() {
        let all = read_lines(&[
            "\"Cabinet, Dr A\" <sip:+33235000001@c>;reason=no-answer;counter=2;privacy=off, <tel:+33235000002>;reason=\"user-busy\"",
            "<sip:+33235000003@c>;privacy=FULL;reason=unconditional;counter=0",
        ]);
        let told: Vec<_> = all.iter().map(|d| (d.by.uri.as_str(), d.reason(), d.count(), d.is_private())).collect();
        assert_eq!(
            told,
            [
                ("sip:+33235000001@c", Some("no-answer"), 2, false),
                ("tel:+33235000002", Some("user-busy"), 1, false),
                ("sip:+33235000003@c", Some("unconditional"), 1, true),
            ]
        );
    }

    #[test]
    fn what_is_no_address_is_passed_over_and_a_bomb_is_cut() {
        assert_eq!(read_lines(&["", "nonsense, <sip:", "<>;reason=x"]), []);
        let many = "<sip:1@c>;counter=-1,".repeat(5000);
        let all = read_lines(&[&many, &many]);
        assert_eq!((all.len(), all.last().map(|d| d.count())), (DIVERSIONS_MAX, Some(1)));
        assert_eq!(
            read_lines(&["<sip:1@c>;counter=99999999999999999999;reason="]).first().map(|d| d.reason()),
            Some(None)
        );
    }
}
