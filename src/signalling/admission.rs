//! What is taken from whom: a token bucket an address, bans that end, and neither for trunks.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::model::centre::AddressBlock;
use crate::model::{Moment, TrunkId};

/// Sources remembered at once; beyond it the quiet ones are forgotten, and a flood of forged addresses fills nothing.
const SOURCES_MAX: usize = 16_384;

/// A source may send this many seconds' worth at once.
const BURST_SECONDS: u64 = 2;

/// Addresses banned at once; beyond it those whose ban ends first are forgotten.
const BANS_MAX: usize = 16_384;

#[derive(Debug)]
struct Bucket {
    /// Micro-messages left: one message is a million.
    left: u64,
    seen: Moment,
}

/// The admission of all listeners.
#[derive(Debug)]
pub struct Admission {
    trunks: Vec<AddressBlock>,
    /// Where each trunk's name leads.
    learned: HashMap<TrunkId, Vec<IpAddr>>,
    rate_max: u64,
    sources: HashMap<IpAddr, Bucket>,
    bans: HashMap<IpAddr, Moment>,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken.
    Taken,
    /// Its source sends too many.
    TooMany,
    /// Its source is banned.
    Banned,
}

impl Admission {
    /// Admits `rate_max` messages a second from each address outside `trunks`.
    pub fn new(trunks: Vec<AddressBlock>, rate_max: u32) -> Admission {
        let (learned, sources, bans) = (HashMap::new(), HashMap::new(), HashMap::new());
        Admission { trunks, learned, rate_max: u64::from(rate_max.max(1)), sources, bans }
    }

    /// Whether an address is a trunk's.
    pub fn is_trunk(&self, source: IpAddr) -> bool {
        self.trunks.iter().any(|block| block.contains(source))
            || self.learned.values().any(|addresses| addresses.contains(&source))
    }

    /// Takes what DNS says of a trunk in place of what it said before; a ban from before it was a trunk's is lifted.
    pub fn learn(&mut self, trunk: &TrunkId, addresses: Vec<IpAddr>) {
        let addresses = addresses.into_iter().map(|address| address.to_canonical());
        let addresses: Vec<IpAddr> = addresses.collect();
        self.bans.retain(|source, _| !addresses.contains(source));
        self.learned.insert(trunk.clone(), addresses);
    }

    /// Whether nothing is taken from an address.
    pub fn is_banned(&self, source: IpAddr, now: Moment) -> bool {
        self.bans.get(&source).is_some_and(|until| *until > now)
    }

    /// Bans an address until then, or lifts its ban; whether it is banned now. A trunk never is.
    pub fn ban(&mut self, source: IpAddr, until: Option<Moment>, now: Moment) -> bool {
        let Some(until) = until.filter(|until| *until > now && !self.is_trunk(source)) else {
            self.bans.remove(&source);
            return false;
        };
        if self.bans.len() >= BANS_MAX {
            self.bans.retain(|_, until| *until > now);
        }
        if self.bans.len() >= BANS_MAX
            && let Some(first) = self.bans.iter().min_by_key(|(_, until)| **until).map(|(source, _)| *source)
        {
            self.bans.remove(&first);
        }
        self.bans.insert(source, until);
        true
    }

    /// What becomes of a message of this source now. A trunk is never limited here.
    pub fn admit(&mut self, source: IpAddr, now: Moment) -> Verdict {
        if self.is_trunk(source) {
            return Verdict::Taken;
        }
        if !self.bans.is_empty() && self.is_banned(source, now) {
            return Verdict::Banned;
        }
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&source) {
            self.forget_quiet(now);
        }
        let full = self.rate_max * BURST_SECONDS * 1_000_000;
        let bucket = self.sources.entry(source).or_insert(Bucket { left: full, seen: now });
        let gained = now.since(bucket.seen).as_micros() as u64;
        bucket.left = bucket.left.saturating_add(gained.saturating_mul(self.rate_max)).min(full);
        bucket.seen = now;
        match bucket.left.checked_sub(1_000_000) {
            Some(left) => {
                bucket.left = left;
                Verdict::Taken
            }
            None => Verdict::TooMany,
        }
    }

    fn forget_quiet(&mut self, now: Moment) {
        let quiet = std::time::Duration::from_secs(BURST_SECONDS);
        self.sources.retain(|_, bucket| now.since(bucket.seen) < quiet);
        if self.sources.len() >= SOURCES_MAX {
            // Every one of them is loud: all begin again rather than fill memory.
            self.sources.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_loud_source_is_cut_to_its_rate_and_a_trunk_never() {
        let trunk = AddressBlock::parse("192.0.2.0/24").expect("a block");
        let mut admission = Admission::new(vec![trunk], 10);
        let loud: IpAddr = "198.51.100.1".parse().expect("an address");
        let carrier: IpAddr = "192.0.2.9".parse().expect("an address");
        let at = Moment(1_000_000);
        assert_eq!((0..100).filter(|_| admission.admit(loud, at) == Verdict::Taken).count(), 20);
        assert_eq!((0..100).filter(|_| admission.admit(carrier, at) == Verdict::Taken).count(), 100);
        assert_eq!(
            (0..100).filter(|_| admission.admit(loud, at + Duration::from_secs(1)) == Verdict::Taken).count(),
            10
        );
    }

    #[test]
    fn a_ban_ends_by_itself_and_never_hits_a_trunk() {
        let mut admission = Admission::new(vec![AddressBlock::parse("192.0.2.0/24").expect("a block")], 10);
        let [stranger, carrier]: [IpAddr; 2] = ["198.51.100.1", "192.0.2.9"].map(|a| a.parse().expect("an address"));
        let (now, later) = (Moment(5_000_000), Moment(6_000_000));
        assert!(admission.ban(stranger, Some(later), now) && !admission.ban(carrier, Some(later), now));
        assert_eq!(admission.admit(stranger, now), Verdict::Banned);
        assert_eq!((admission.admit(carrier, now), admission.admit(stranger, later)), (Verdict::Taken, Verdict::Taken));
        assert!(admission.ban(stranger, Some(Moment(9_000_000)), later) && !admission.ban(stranger, None, later));
        assert_eq!(admission.admit(stranger, later), Verdict::Taken);
    }

    #[test]
    fn a_banned_address_that_becomes_a_trunks_is_let_in() {
        let mut admission = Admission::new(Vec::new(), 10);
        let [carrier, stranger]: [IpAddr; 2] = ["192.0.2.9", "198.51.100.1"].map(|a| a.parse().expect("an address"));
        for source in [carrier, stranger] {
            admission.ban(source, Some(Moment(9_000_000)), Moment(1));
        }
        admission.learn(&TrunkId::from("operator"), vec![carrier]);
        assert!(!admission.is_banned(carrier, Moment(2)) && admission.is_banned(stranger, Moment(2)));
    }

    #[test]
    fn forged_addresses_are_banned_within_bounds() {
        let mut admission = Admission::new(Vec::new(), 10);
        for n in 0..(BANS_MAX as u32 + 9) {
            admission.ban(IpAddr::V4(n.into()), Some(Moment(100 + u64::from(n))), Moment(5));
        }
        assert_eq!((admission.bans.len(), admission.is_banned(IpAddr::V4(3.into()), Moment(5))), (BANS_MAX, false));
    }

    #[test]
    fn forged_addresses_do_not_fill_memory() {
        let mut admission = Admission::new(Vec::new(), 10);
        for n in 0..(SOURCES_MAX as u32 * 2) {
            admission.admit(IpAddr::V4(n.into()), Moment(5));
        }
        assert!(admission.sources.len() <= SOURCES_MAX);
    }
}
