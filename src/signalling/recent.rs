//! INVITEs of the last half minute, for as long as they may come again: a repetition shall get no other answer.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

use crate::model::Moment;

/// How long an INVITE is repeated (RFC 3261 §17.1.1.2: timer B, 64·T1).
const REMEMBERED_FOR: Duration = Duration::from_secs(32);

/// Remembered at once: 2,000 a second for as long as they count; with more, the oldest are forgotten.
const INVITES_MAX: usize = 65_536;

/// How far into a message the topmost Via's branch is looked for.
const LOOK_BYTES_MAX: usize = 2048;

/// A number an INVITE, of its branch and its sender, so that nobody can make two of them alike.
#[derive(Debug, Default)]
pub struct RecentInvites {
    hasher: RandomState,
    marks: HashSet<u64>,
    order: VecDeque<(Moment, u64)>,
}

impl RecentInvites {
    /// Remembers this INVITE.
    pub fn note(&mut self, datagram: &[u8], peer: SocketAddr, now: Moment) {
        let Some(mark) = self.mark(datagram, peer) else { return };
        if self.marks.insert(mark) {
            self.order.push_back((now, mark));
        }
        while self.order.len() > INVITES_MAX {
            self.forget_oldest();
        }
    }

    /// Whether this is such an INVITE again, or the ACK of its refusal.
    pub fn knows(&mut self, datagram: &[u8], peer: SocketAddr, now: Moment) -> bool {
        while self.order.front().is_some_and(|(at, _)| now.since(*at) >= REMEMBERED_FOR) {
            self.forget_oldest();
        }
        !self.marks.is_empty() && self.mark(datagram, peer).is_some_and(|mark| self.marks.contains(&mark))
    }

    fn forget_oldest(&mut self) {
        if let Some((_, mark)) = self.order.pop_front() {
            self.marks.remove(&mark);
        }
    }

    /// RFC 3261 §17.2.3: the branch names the transaction, and the ACK of a refusal has its INVITE's.
    fn mark(&self, datagram: &[u8], peer: SocketAddr) -> Option<u64> {
        const BRANCH: &[u8] = b"branch=";
        let look = datagram.get(..LOOK_BYTES_MAX).unwrap_or(datagram);
        let at = look.windows(BRANCH.len()).position(|window| window.eq_ignore_ascii_case(BRANCH))?;
        let rest = look.get(at + BRANCH.len()..)?;
        let end = rest.iter().position(|b| matches!(b, b';' | b',' | b'\r' | b'\n' | b' ')).unwrap_or(rest.len());
        Some(self.hasher.hash_one((rest.get(..end)?, peer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(method: &str, branch: u32) -> Vec<u8> {
        format!("{method} sip:1 SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK{branch};rport\r\n\r\n").into_bytes()
    }

    #[test]
    fn an_invite_is_known_again_by_its_repetition_and_its_ack_until_it_cannot_come_again() {
        let peer = ([127, 0, 0, 2], 5060).into();
        let mut recent = RecentInvites::default();
        recent.note(&message("INVITE", 1), peer, Moment(0));
        let soon = Moment(31_000_000);
        assert!(recent.knows(&message("INVITE", 1), peer, soon) && recent.knows(&message("ACK", 1), peer, soon));
        assert!(!recent.knows(&message("INVITE", 2), peer, soon));
        assert!(!recent.knows(&message("INVITE", 1), ([127, 0, 0, 3], 5060).into(), soon));
        assert!(!recent.knows(&message("INVITE", 1), peer, Moment(32_000_000)));
        assert!(recent.marks.is_empty() && recent.order.is_empty());
    }

    #[test]
    fn a_flood_fills_nothing() {
        let mut recent = RecentInvites::default();
        let peer = ([127, 0, 0, 2], 5060).into();
        (0..INVITES_MAX as u32 * 2).for_each(|n| recent.note(&message("INVITE", n), peer, Moment(1)));
        assert_eq!((recent.marks.len(), recent.order.len()), (INVITES_MAX, INVITES_MAX));
    }
}
