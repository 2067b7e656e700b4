//! One leg's end of a mix: its voice as the others hear it, and whom it hears itself.
//!
//! A mix is no object: each of its legs has an end that names the places of those it hears, so that who hears whom may
//! differ from leg to leg (a supervisor who listens is heard by nobody). A bridge of two codecs is a mix of two.

use crate::model::{Codec, LegQuality, Moment};
use crate::rtp::codec::{Resampler, packet_samples};
use crate::rtp::packet::Header;
use crate::rtp::playout::Playout;

/// Samples of a tick at the highest rate (20 ms at 48 kHz).
pub(super) const TICK_SAMPLES_MAX: usize = 960;
/// The rates at which voices are heard.
const RATES: [u32; 3] = [8000, 16_000, 48_000];

/// The others that a leg hears, by their places; all but itself of the most that a mix may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hears([Option<usize>; crate::model::MIX_LEGS_MAX]);

impl Hears {
    /// Those at `places`; beyond the most that a mix may have they are left.
    pub(super) fn new(places: impl IntoIterator<Item = usize>) -> Hears {
        let mut hears = Hears::default();
        for (slot, place) in hears.0.iter_mut().zip(places) {
            *slot = Some(place);
        }
        hears
    }

    pub(super) fn places(&self) -> impl Iterator<Item = usize> + use<> {
        self.0.into_iter().flatten()
    }

    pub(super) fn contains(&self, place: usize) -> bool {
        self.0.contains(&Some(place))
    }

    pub(super) fn forget(&mut self, place: usize) {
        self.0.iter_mut().filter(|slot| **slot == Some(place)).for_each(|slot| *slot = None);
    }
}

/// What a leg needs to be mixed, and has only while it is.
#[derive(Debug)]
pub(super) struct MixEnd {
    pub(super) hears: Hears,
    codec: Codec,
    playout: Playout,
    /// At each of [`RATES`] that somebody listens at.
    voices: [Option<Voice>; 3],
}

/// What a leg says in one tick, at one rate.
#[derive(Debug)]
struct Voice {
    /// `None` at the leg's own rate.
    resampler: Option<Resampler>,
    pcm: Box<[i16]>,
    /// Whether it is this tick's.
    fresh: bool,
}

impl MixEnd {
    pub(super) fn new(codec: Codec, hears: Hears) -> MixEnd {
        let mut end = MixEnd { hears, codec, playout: Playout::new(codec), voices: [None, None, None] };
        if let Some(own) = end.voices.get_mut(slot(codec.sample_rate())) {
            *own = Some(Voice { resampler: None, pcm: vec![0; packet_samples(codec)].into(), fresh: false });
        }
        end
    }

    /// The leg speaks `codec` from now on; nothing changes if it did before. What the jitter buffer did goes to `quality`.
    pub(super) fn aim_at(&mut self, codec: Codec, quality: &mut LegQuality) {
        if codec != self.codec {
            self.add_to(quality);
            *self = MixEnd::new(codec, self.hears);
        }
    }

    /// Adds what its jitter buffer did to what is known of the leg.
    pub(super) fn add_to(&self, quality: &mut LegQuality) {
        let counts = self.playout.counts();
        quality.buffer_late += counts.late;
        quality.buffer_cut += counts.cut;
        quality.concealed_ms += self.playout.concealed_ms();
        quality.buffer_ms = Some(self.playout.delay_micros().max(0) as f64 / 1000.0);
    }

    pub(super) fn put(&mut self, header: &Header, packet: (Codec, &[u8]), now: Moment) {
        self.playout.put(header, packet, now);
    }

    pub(super) fn put_noise(&mut self, header: &Header, payload: &[u8], now: Moment) {
        self.playout.put_noise(header, payload, now);
    }

    /// What the leg says in the tick at `at`, for all who hear it.
    pub(super) fn speak(&mut self, at: Moment) {
        for voice in self.voices.iter_mut().flatten() {
            voice.fresh = voice.resampler.is_none();
            if voice.fresh {
                self.playout.take(at, &mut voice.pcm);
            }
        }
    }

    /// This tick's voice at `rate`; the first listener at a rate makes its resampler.
    pub(super) fn voice_at(&mut self, rate: u32) -> &[i16] {
        let (own, wanted) = (slot(self.codec.sample_rate()), slot(rate));
        if own != wanted {
            let mut voice = self.voices.get_mut(wanted).and_then(Option::take).unwrap_or_else(|| Voice {
                resampler: Some(Resampler::new(self.codec.sample_rate(), rate)),
                pcm: vec![0; rate as usize / 50].into(),
                fresh: false,
            });
            let said = self.voices.get(own).and_then(Option::as_ref).map_or(&[][..], |voice| &voice.pcm);
            if let Some(resampler) = voice.resampler.as_mut().filter(|_| !voice.fresh) {
                resampler.resample(said, &mut voice.pcm);
                voice.fresh = true;
            }
            if let Some(free) = self.voices.get_mut(wanted) {
                *free = Some(voice);
            }
        }
        self.voices.get(wanted).and_then(Option::as_ref).map_or(&[], |voice| &voice.pcm)
    }
}

fn slot(rate: u32) -> usize {
    RATES.iter().position(|known| *known == rate).unwrap_or(0)
}

/// The sum of voices, beyond 16 bits until it is told.
#[derive(Debug)]
pub(super) struct Sum([i32; TICK_SAMPLES_MAX]);

impl Sum {
    pub(super) fn new() -> Sum {
        Sum([0; TICK_SAMPLES_MAX])
    }

    pub(super) fn add(&mut self, voice: &[i16]) {
        self.0.iter_mut().zip(voice).for_each(|(sum, sample)| *sum += i32::from(*sample));
    }

    /// Writes it into `pcm`, cut off at the ends of 16 bits, and begins anew.
    pub(super) fn tell(&mut self, pcm: &mut [i16]) {
        for (sample, sum) in pcm.iter_mut().zip(&mut self.0) {
            *sample = (*sum).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
            *sum = 0;
        }
        self.0.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voices_are_added_and_cut_off_where_16_bits_end() {
        let mut sum = Sum::new();
        sum.add(&[30_000, -30_000, 5]);
        sum.add(&[30_000, -30_000, 6]);
        let mut pcm = [0; 3];
        sum.tell(&mut pcm);
        assert_eq!(pcm, [32_767, -32_768, 11]);
        sum.tell(&mut pcm);
        assert_eq!(pcm, [0; 3]);
    }

    #[test]
    fn whom_a_leg_hears_may_go() {
        let mut hears = Hears::new([3, 5]);
        assert!(hears.contains(5) && !hears.contains(4));
        hears.forget(3);
        assert_eq!(hears.places().collect::<Vec<_>>(), [5]);
    }
}
