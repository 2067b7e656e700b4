//! The one seeded source of randomness in the decisions: tags, branches, nonces, SSRCs, ids.
//!
//! In service it is seeded from the system, so its values cannot be guessed; in simulation from
//! the test's seed, so a run repeats to the bit.

use sha2::{Digest, Sha256};

/// A generator of unpredictable values: SHA-256 over a 32-byte seed and a counter.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Chance {
    seed: [u8; 32],
    counter: u64,
    block: [u8; 32],
    left: u8,
}

impl Chance {
    /// A generator that repeats itself for the same `seed`.
    pub fn new(seed: [u8; 32]) -> Chance {
        Chance { seed, counter: 0, block: [0; 32], left: 0 }
    }

    /// A generator for simulations and tests.
    pub fn from_number(number: u64) -> Chance {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        Chance::new(seed)
    }

    /// A generator of its own for one part, so that parts do not disturb each other's draws.
    pub fn fork(&mut self) -> Chance {
        let mut seed = [0; 32];
        for piece in seed.chunks_mut(8) {
            piece.copy_from_slice(&self.next_u64().to_le_bytes());
        }
        Chance::new(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        if self.left == 0 {
            let mut hash = Sha256::new();
            hash.update(self.seed);
            hash.update(self.counter.to_le_bytes());
            self.block = hash.finalize().into();
            self.counter += 1;
            self.left = 4;
        }
        self.left -= 1;
        let at = self.left as usize * 8;
        u64::from_le_bytes(self.block[at..at + 8].try_into().unwrap_or_default())
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.next_u64() as u32
    }

    /// A number from 0 to `bound - 1` (0 when `bound` is 0).
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { ((self.next_u64() as u128 * bound as u128) >> 64) as u64 }
    }

    /// A fraction in `0.0..1.0`.
    pub fn fraction(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// 16 lower-case hexadecimal digits (64 bits): a tag, a branch's tail, a nonce.
    pub fn token(&mut self) -> String {
        format!("{:016x}", self.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_values() {
        let (mut a, mut b) = (Chance::from_number(7), Chance::from_number(7));
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut chance = Chance::from_number(1);
        let mut seen = [false; 6];
        for _ in 0..1000 {
            seen[chance.below(6) as usize] = true;
        }
        assert!(seen.iter().all(|s| *s));
    }
}
