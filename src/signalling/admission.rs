//! How many datagrams one source may send: a token bucket an address, none for trunks.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::model::Moment;
use crate::model::centre::AddressBlock;

/// Sources remembered at once; beyond it the quiet ones are forgotten, and a flood of forged addresses fills nothing.
const SOURCES_MAX: usize = 16_384;

/// A source may send this many seconds' worth at once.
const BURST_SECONDS: u64 = 2;

struct Bucket {
    /// Micro-datagrams left: one datagram is a million.
    left: u64,
    seen: Moment,
}

/// The admission of one listener.
pub struct Admission {
    trunks: Vec<AddressBlock>,
    rate_max: u64,
    sources: HashMap<IpAddr, Bucket>,
}

impl Admission {
    /// Admits `rate_max` datagrams a second from each address outside `trunks`.
    pub fn new(trunks: Vec<AddressBlock>, rate_max: u32) -> Admission {
        Admission { trunks, rate_max: u64::from(rate_max.max(1)), sources: HashMap::new() }
    }

    /// Whether a datagram of this source is taken now. A trunk is never limited here.
    pub fn admit(&mut self, source: IpAddr, now: Moment) -> bool {
        if self.trunks.iter().any(|block| block.contains(source)) {
            return true;
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
                true
            }
            None => false,
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
        assert_eq!((0..100).filter(|_| admission.admit(loud, at)).count(), 20);
        assert_eq!((0..100).filter(|_| admission.admit(carrier, at)).count(), 100);
        assert_eq!((0..100).filter(|_| admission.admit(loud, at + Duration::from_secs(1))).count(), 10);
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
