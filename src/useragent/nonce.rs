//! Digest nonces: recognised by their own signature, so that handing one out keeps nothing; counts are kept
//! only for nonces that a valid credential has used. A nonce is good only at the address that it was sent to.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use sha2::{Digest, Sha256};

use serde::{Deserialize, Serialize};

use crate::model::{Chance, Moment};

use super::rules::NONCES_MAX;

/// Digits of a nonce's time and of its random part.
const PART_LENGTH: usize = 16;
/// Digits of a nonce's signature.
const SIGNATURE_LENGTH: usize = 32;

/// The nonces of one user agent; those of another, or of one before a restart, are stale.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Nonces {
    key: [u8; 32],
    lifetime: Duration,
    chance: Chance,
    used: HashMap<String, Counts>,
    order: VecDeque<(Moment, String)>,
    /// Nonces issued before this are stale: their counts may have been forgotten.
    floor: Moment,
}

/// Which counts of a nonce have been seen: the highest, and the 64 up to it as bits.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Counts {
    highest: u32,
    seen: u64,
}

/// What is to be thought of a nonce that came with a right response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Ours, in time, and the count was not used before.
    Fresh,
    /// Not ours, too old, or the count was used before: the phone shall take a new one.
    Stale,
}

impl Nonces {
    /// Nonces good for `lifetime`.
    pub(super) fn new(lifetime: Duration, mut chance: Chance) -> Nonces {
        let mut key = [0; 32];
        for part in key.chunks_mut(8) {
            part.copy_from_slice(&chance.next_u64().to_le_bytes());
        }
        Nonces { key, lifetime, chance, used: HashMap::new(), order: VecDeque::new(), floor: Moment(0) }
    }

    /// A new nonce for whoever reads what is sent to `source`: its time, chance, and a signature over all three.
    pub(super) fn issue(&mut self, source: IpAddr, now: Moment) -> String {
        let text = format!("{:016x}{}", now.0, self.chance.token());
        let signature = self.sign(&text, source);
        text + &signature
    }

    /// Whether `nonce` is one that we sent to `source`, however old: whoever writes it from there has read it there.
    pub(super) fn is_of(&self, nonce: &str, source: IpAddr) -> bool {
        self.read(nonce, source).is_some()
    }

    /// Whether `nonce` is one of ours that is still good, whatever its count.
    pub(super) fn is_current(&self, nonce: &str, source: IpAddr, now: Moment) -> bool {
        self.read(nonce, source).is_some_and(|issued| self.is_in_time(issued, now))
    }

    /// Takes the count of a nonce whose response was right; a count is good once (RFC 7616 §3.3, `nc`).
    pub(super) fn spend(&mut self, (nonce, count): (&str, u32), source: IpAddr, now: Moment) -> Freshness {
        let Some(issued) = self.read(nonce, source).filter(|issued| self.is_in_time(*issued, now)) else {
            return Freshness::Stale;
        };
        if let Some(counts) = self.used.get_mut(nonce) {
            return counts.take(count);
        }
        self.forget(now);
        self.used.insert(nonce.to_owned(), Counts { highest: count, seen: 1 });
        self.order.push_back((issued, nonce.to_owned()));
        Freshness::Fresh
    }

    fn is_in_time(&self, issued: Moment, now: Moment) -> bool {
        issued >= self.floor && issued <= now && now.since(issued) < self.lifetime
    }

    /// Drops what is too old, and the oldest when there are too many.
    fn forget(&mut self, now: Moment) {
        while let Some((issued, nonce)) = self.order.front() {
            let is_old = now.since(*issued) >= self.lifetime;
            if !is_old && self.order.len() < NONCES_MAX {
                return;
            }
            if !is_old {
                self.floor = self.floor.max(Moment(issued.0 + 1));
            }
            self.used.remove(nonce);
            self.order.pop_front();
        }
    }

    fn read(&self, nonce: &str, source: IpAddr) -> Option<Moment> {
        if nonce.len() != 2 * PART_LENGTH + SIGNATURE_LENGTH || !nonce.is_ascii() {
            return None;
        }
        let (text, signature) = nonce.split_at(2 * PART_LENGTH);
        let is_ours = subtle::ConstantTimeEq::ct_eq(self.sign(text, source).as_bytes(), signature.as_bytes());
        if !bool::from(is_ours) {
            return None;
        }
        u64::from_str_radix(text.get(..PART_LENGTH)?, 16).ok().map(Moment)
    }

    fn sign(&self, text: &str, source: IpAddr) -> String {
        // The key stands on both sides, so that SHA-256's length extension cannot forge a signature.
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(text);
        match source.to_canonical() {
            IpAddr::V4(address) => hash.update(address.octets()),
            IpAddr::V6(address) => hash.update(address.octets()),
        }
        hash.update(self.key);
        hash.finalize().iter().take(SIGNATURE_LENGTH / 2).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Counts {
    fn take(&mut self, count: u32) -> Freshness {
        if count > self.highest {
            let step = count - self.highest;
            self.seen = self.seen.checked_shl(step).unwrap_or(0) | 1;
            self.highest = count;
            return Freshness::Fresh;
        }
        let Some(bit) = 1u64.checked_shl(self.highest - count) else { return Freshness::Stale };
        if self.seen & bit != 0 {
            return Freshness::Stale;
        }
        self.seen |= bit;
        Freshness::Fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn nonces() -> Nonces {
        Nonces::new(Duration::from_secs(300), Chance::from_number(1))
    }

    #[test]
    fn a_count_is_good_once_even_out_of_order() {
        let mut nonces = nonces();
        let nonce = nonces.issue(HERE, Moment(5));
        let taken: Vec<_> = [1, 3, 2, 2, 3, 1, 4, 200, 100].map(|n| nonces.spend((&nonce, n), HERE, Moment(9))).into();
        use Freshness::{Fresh, Stale};
        assert_eq!(taken, [Fresh, Fresh, Fresh, Stale, Stale, Stale, Fresh, Fresh, Stale]);
    }

    #[test]
    fn a_nonce_ends_and_a_strange_one_never_began() {
        let mut nonces = nonces();
        let nonce = nonces.issue(HERE, Moment(5));
        assert!(nonces.is_current(&nonce, HERE, Moment(5)));
        assert!(!nonces.is_current(&nonce, HERE, Moment(5) + Duration::from_secs(300)));
        let elsewhere = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 9));
        assert!(!nonces.is_current(&nonce, elsewhere, Moment(6)) && !nonces.is_of(&nonce, elsewhere));
        assert!(nonces.is_of(&nonce, HERE), "however old");
        let other = Nonces::new(Duration::from_secs(300), Chance::from_number(2)).issue(HERE, Moment(5));
        assert!(!nonces.is_current(&other, HERE, Moment(6)));
        for strange in ["", "é", &"0".repeat(64), &nonce[1..]] {
            assert_eq!(nonces.spend((strange, 1), HERE, Moment(6)), Freshness::Stale, "{strange}");
        }
    }

    #[test]
    fn a_forgotten_nonce_is_stale_rather_than_new() {
        let mut nonces = nonces();
        let first = nonces.issue(HERE, Moment(1));
        assert_eq!(nonces.spend((&first, 1), HERE, Moment(1)), Freshness::Fresh);
        for n in 0..NONCES_MAX as u64 {
            let nonce = nonces.issue(HERE, Moment(2 + n));
            assert_eq!(nonces.spend((&nonce, 1), HERE, Moment(2 + n)), Freshness::Fresh);
        }
        assert_eq!(nonces.used.len(), NONCES_MAX);
        assert_eq!(nonces.spend((&first, 1), HERE, Moment(20_000)), Freshness::Stale);
    }
}
