//! Comfort noise (RFC 3389): how loud and of what colour a far end says its silence is, and the noise made of it.

/// The static payload type of comfort noise at 8000 Hz (RFC 3551 §6).
pub const NOISE_PAYLOAD: u8 = 13;
/// Reflection coefficients beyond these are left out: RFC 3389 §3.2 leaves the order open, and G.711's own use is 10.
const ORDER_MAX: usize = 16;

/// A quiet room.
#[derive(Clone, Debug, PartialEq)]
pub struct Noise {
    /// Of the excitation, so that what is heard has the level that was said.
    amplitude: f64,
    /// Reflection coefficients, the first `order` of them.
    reflections: [f64; ORDER_MAX],
    order: usize,
    /// The lattice filter's backward errors.
    memory: [f64; ORDER_MAX + 1],
    /// Of a linear congruential generator: noise needs no secrets.
    seed: u32,
}

impl Noise {
    /// Reads a payload; `None` when it is empty.
    pub fn read(payload: &[u8]) -> Option<Noise> {
        let (level, coefficients) = payload.split_first()?;
        // RFC 3389 §3.1: the level is in -dBov, the first bit 0. Full scale is a square wave's.
        let level = 32_767.0 * 10f64.powf(-f64::from(level & 0x7f) / 20.0);
        let mut reflections = [0.0; ORDER_MAX];
        let mut gain = 1.0;
        for (target, byte) in reflections.iter_mut().zip(coefficients) {
            // RFC 3389 §3.2: 127 is nil, 8 bits over the range from -1 to 1; kept from the edge, where filters ring.
            let reflection = ((f64::from(*byte) - 127.0) * 258.0 / 32_768.0).clamp(-0.98, 0.98);
            gain *= 1.0 - reflection * reflection;
            *target = reflection;
        }
        // Even noise within ±1 has a mean square of a third.
        let amplitude = level * (3.0 * gain).sqrt();
        let order = coefficients.len().min(ORDER_MAX);
        Some(Noise { amplitude, reflections, order, memory: [0.0; ORDER_MAX + 1], seed: 0x5eed })
    }

    /// Goes on from the noise before: no click where one says that it is a little louder now.
    pub fn follow(mut self, before: &Noise) -> Noise {
        (self.memory, self.seed) = (before.memory, before.seed);
        self
    }

    /// Makes noise, at whatever rate it is listened to.
    pub fn fill(&mut self, pcm: &mut [i16]) {
        for sample in pcm {
            self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let mut forward = self.amplitude * (f64::from(self.seed >> 8) / f64::from(1 << 23) - 1.0);
            // The all-pole lattice, from its last stage to its first.
            for stage in (0..self.order).rev() {
                let (reflection, backward) = (self.reflections[stage], self.memory[stage]);
                forward -= reflection * backward;
                self.memory[stage + 1] = backward + reflection * forward;
            }
            self.memory[0] = forward;
            *sample = forward.clamp(-32_768.0, 32_767.0) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn level_dbov(payload: &[u8]) -> f64 {
        let mut pcm = vec![0; 80_000];
        Noise::read(payload).expect("noise").fill(&mut pcm);
        let square: f64 = pcm.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / pcm.len() as f64;
        10.0 * (square / 32_767f64.powi(2)).log10()
    }

    #[test]
    fn noise_is_as_loud_as_it_was_said_to_be_whatever_its_colour() {
        for payload in [&[40u8][..], &[60], &[50, 200, 90], &[45, 40, 160, 127, 127, 100]] {
            let (is, said) = (level_dbov(payload), -f64::from(payload[0]));
            assert!((is - said).abs() < 1.0, "{payload:?}: {is}");
        }
    }

    #[test]
    fn the_quietest_noise_is_silence_and_nothing_is_none() {
        assert!(level_dbov(&[127]) < -85.0);
        assert_eq!(Noise::read(&[]), None);
    }

    proptest! {
        #[test]
        fn no_payload_panics_or_rings_for_ever(payload in proptest::collection::vec(any::<u8>(), 1..40)) {
            let mut noise = Noise::read(&payload).expect("not empty");
            noise.fill(&mut [0; 4000]);
            prop_assert!(noise.memory.iter().all(|m| m.is_finite()));
        }
    }
}
