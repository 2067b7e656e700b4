//! The ladder: every SIP message of a call, once, bounded, with its secrets masked.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::model::beat::{TRACE_LENGTH_MAX, TRACE_MESSAGES_MAX};
use crate::model::{CallId, Fact, LegId, SipTrace, Utc};

use super::Effect;

/// How many messages of each live call were kept so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Ladder {
    kept: HashMap<CallId, u16>,
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

impl Ladder {
    /// Keeps one message, unless the call has its fill already.
    pub(super) fn keep(
        &mut self,
        leg: LegId,
        (way, peer): (Way, SocketAddr),
        bytes: &[u8],
        at: Utc,
        out: &mut Vec<Effect>,
    ) {
        let kept = self.kept.entry(leg.call).or_default();
        if *kept >= TRACE_MESSAGES_MAX {
            return;
        }
        *kept += 1;
        let received = way == Way::In;
        let text = mask(bytes);
        out.push(Effect::Remember(Fact::SipMessage(SipTrace {
            call: leg.call,
            leg: leg.number,
            at,
            received,
            peer,
            text,
        })));
    }

    /// Calls that messages are counted for.
    pub(super) fn count_calls(&self) -> usize {
        self.kept.len()
    }

    /// The call has no leg left.
    pub(super) fn forget(&mut self, call: CallId) {
        self.kept.remove(&call);
    }
}

/// The message as text, cut to its bound, without credentials.
fn mask(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut masked = String::with_capacity(text.len().min(TRACE_LENGTH_MAX));
    let (mut in_head, mut in_secret) = (true, false);
    for line in text.split_inclusive('\n') {
        if masked.len() >= TRACE_LENGTH_MAX {
            break;
        }
        if !in_head {
            push_body_line(&mut masked, line);
            continue;
        }
        // A folded line belongs to the header above it (RFC 3261 §7.3.1).
        if in_secret && line.starts_with([' ', '\t']) {
            continue;
        }
        in_head = !line.trim_end().is_empty();
        let name = line.split_once(':').map_or("", |(name, _)| name.trim());
        in_secret = name.eq_ignore_ascii_case("Authorization") || name.eq_ignore_ascii_case("Proxy-Authorization");
        if in_secret {
            masked.push_str(name);
            masked.push_str(": ***\r\n");
        } else {
            masked.push_str(line);
        }
    }
    if masked.len() > TRACE_LENGTH_MAX {
        masked.truncate(masked.floor_char_boundary(TRACE_LENGTH_MAX));
    }
    masked
}

/// A line of a body, without SRTP keys (RFC 4568): whatever stands behind `inline:` in SDP.
fn push_body_line(masked: &mut String, line: &str) {
    const KEY: &str = "inline:";
    let is_attribute = line.trim_start().get(..2).is_some_and(|start| start.eq_ignore_ascii_case("a="));
    let at = line.to_ascii_lowercase().find(KEY).filter(|_| is_attribute);
    match at.and_then(|at| line.get(..at + KEY.len())) {
        Some(readable) => {
            masked.push_str(readable);
            masked.push_str("***\r\n");
        }
        None => masked.push_str(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_never_reach_the_ladder_even_folded() {
        let text = mask(
            b"INVITE sip:x SIP/2.0\r\nproxy-authorization : Digest username=\"a\",\r\n response=\"feed\"\r\nVia: v\r\n\r\nAuthorization: body\r\n",
        );
        assert_eq!(text, "INVITE sip:x SIP/2.0\r\nproxy-authorization: ***\r\nVia: v\r\n\r\nAuthorization: body\r\n");
    }

    #[test]
    fn srtp_keys_never_reach_the_ladder() {
        let sdp = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^20\r\nA=Crypto:2 X INLINE:c2VjcmV0;inline:c2VjcmV0\r\na=sendrecv\r\n";
        let text = mask(format!("SIP/2.0 200 OK\r\n\r\n{sdp}").as_bytes());
        assert!(!text.contains("c2VjcmV0"), "{text}");
        assert!(text.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***\r\n") && text.ends_with("a=sendrecv\r\n"));
    }

    #[test]
    fn a_message_is_cut_at_its_bound_between_characters() {
        let text = mask("é".repeat(TRACE_LENGTH_MAX).as_bytes());
        assert_eq!(text.len(), TRACE_LENGTH_MAX);
        assert!(mask(&[0xe9; 9000]).len() <= TRACE_LENGTH_MAX);
    }

    #[test]
    fn a_call_has_a_last_message() {
        let (mut ladder, mut out) = (Ladder::default(), Vec::new());
        let call = CallId::new(Utc(0), &mut crate::model::Chance::from_number(1));
        let leg = LegId { call, number: 0 };
        for _ in 0..2 * TRACE_MESSAGES_MAX {
            ladder.keep(leg, (Way::In, ([127, 0, 0, 1], 1).into()), b"x", Utc(0), &mut out);
        }
        assert_eq!(out.len(), usize::from(TRACE_MESSAGES_MAX));
    }
}
