//! Streaming conversion between 8, 16 and 48 kHz by a windowed sinc (Kaiser), in phases when the rate goes up.

use std::f64::consts::PI;

/// Taps over one sample of the slower rate: with [`BETA`] the band between 0.41 and 0.5 of that rate falls from nothing
/// to 60 dB. Half of it is the delay: 2.5 ms at 8 kHz.
const TAPS: usize = 40;
/// Kaiser's beta for 60 dB.
const BETA: f64 = 5.65;
/// Where the filter is down by half, in parts of the slower rate.
const CUTOFF: f64 = 0.455;

/// From one rate to another of which one is a multiple of the other; allocates when it is made and never after.
#[derive(Clone, Debug)]
pub struct Resampler {
    up: usize,
    down: usize,
    /// For each phase the taps, those for the oldest sample first.
    taps: Box<[f32]>,
    /// The last samples twice over, so that they always lie in one piece somewhere.
    past: Box<[f32]>,
    /// Where in the first half the next sample goes.
    place: usize,
    /// Samples still to come before the next one goes out.
    skip: usize,
}

impl Resampler {
    /// From `from_hz` to `to_hz`. Rates that are no multiples of each other are nothing that Vigie has; they are taken
    /// as the nearest that are.
    pub fn new(from_hz: u32, to_hz: u32) -> Resampler {
        let (from, to) = (from_hz.max(1) as usize, to_hz.max(1) as usize);
        let (up, down) = ((to / from).max(1), (from / to).max(1));
        let length = TAPS * up.max(down);
        let kernel: Vec<f64> = (0..length).map(|place| tap(place, length, up.max(down))).collect();
        let sum: f64 = kernel.iter().sum();
        let gain = up as f64 / sum;
        let window = length / up;
        let taps = (0..up).flat_map(|phase| (0..window).rev().map(move |back| back * up + phase));
        let taps = taps.filter_map(|place| kernel.get(place).map(|tap| (tap * gain) as f32)).collect();
        Resampler { up, down, taps, past: vec![0.0; window * 2].into(), place: 0, skip: 0 }
    }

    /// Samples that come of `samples`, one more or less at a time.
    pub fn samples_of(&self, samples: usize) -> usize {
        samples * self.up / self.down
    }

    /// Samples of what comes out by which it is behind what went in.
    pub fn delay(&self) -> usize {
        if self.up == self.down { 0 } else { (TAPS * self.up.max(self.down) / 2) / self.down }
    }

    /// Converts the next samples; those written. What `out` has no room for is lost.
    pub fn resample(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        if self.up == self.down {
            out.iter_mut().zip(input).for_each(|(to, from)| *to = *from);
            return input.len().min(out.len());
        }
        let window = self.past.len() / 2;
        let mut free = out.iter_mut();
        let mut written = 0;
        for sample in input {
            for place in [self.place, self.place + window] {
                if let Some(slot) = self.past.get_mut(place) {
                    *slot = f32::from(*sample);
                }
            }
            self.place = (self.place + 1) % window;
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            self.skip = self.down - 1;
            let past = self.past.get(self.place..self.place + window).unwrap_or_default();
            for taps in self.taps.chunks_exact(window) {
                let Some(slot) = free.next() else { break };
                // A float beyond 16 bits is cut off at their end.
                *slot = dot(past, taps).round() as i16;
                written += 1;
            }
        }
        written
    }
}

/// In eight sums, so that the compiler may take eight at a time.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

fn tap(place: usize, length: usize, ratio: usize) -> f64 {
    let middle = (length - 1) as f64 / 2.0;
    let x = place as f64 - middle;
    let cutoff = CUTOFF / ratio as f64;
    let sinc = if x == 0.0 { 2.0 * cutoff } else { (2.0 * PI * cutoff * x).sin() / (PI * x) };
    let across = (x / middle).clamp(-1.0, 1.0);
    sinc * bessel(BETA * (1.0 - across * across).sqrt()) / bessel(BETA)
}

/// The modified Bessel function of order nought, by its series.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    (1..40).fold(1.0, |sum, k| {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum + term
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [u32; 3] = [8000, 16_000, 48_000];

    fn tone(rate: u32, hertz: f64) -> Vec<i16> {
        (0..rate).map(|n| ((f64::from(n) * hertz / f64::from(rate) * 2.0 * PI).sin() * 10_000.0) as i16).collect()
    }

    /// Amplitude at `hertz`, after the first 100 ms.
    fn amplitude(rate: u32, sound: &[i16], hertz: f64) -> f64 {
        let kept = &sound[rate as usize / 10..];
        let turn = |n: usize| n as f64 * hertz / f64::from(rate) * 2.0 * PI;
        let (sine, cosine) = kept.iter().enumerate().fold((0.0, 0.0), |(s, c), (n, sample)| {
            (s + f64::from(*sample) * turn(n).sin(), c + f64::from(*sample) * turn(n).cos())
        });
        2.0 * sine.hypot(cosine) / kept.len() as f64
    }

    /// In packets of 20 ms.
    fn convert(from: u32, to: u32, sound: &[i16]) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to);
        let mut out = vec![0; to as usize / 50];
        sound
            .chunks(from as usize / 50)
            .flat_map(|packet| {
                assert_eq!(resampler.resample(packet, &mut out), out.len(), "as much time as went in");
                out.clone()
            })
            .collect()
    }

    #[test]
    fn a_tone_keeps_its_loudness_and_pitch_between_all_rates() {
        for (from, to) in RATES.iter().flat_map(|from| RATES.map(|to| (*from, to))) {
            for hertz in [300.0, 1000.0, 3000.0] {
                let heard = amplitude(to, &convert(from, to, &tone(from, hertz)), hertz);
                assert!((9_700.0..10_300.0).contains(&heard), "{from} to {to}, {hertz} Hz: {heard}");
            }
        }
    }

    #[test]
    fn what_the_slower_rate_cannot_say_is_gone_and_not_folded_back() {
        for (from, to, hertz, folded) in [
            (16_000, 8000, 5000.0, 3000.0),
            (48_000, 8000, 5000.0, 3000.0),
            (48_000, 8000, 15_000.0, 1000.0),
            (48_000, 16_000, 9000.0, 7000.0),
        ] {
            let heard = amplitude(to, &convert(from, to, &tone(from, hertz)), folded);
            assert!(heard < 20.0, "{hertz} Hz from {from} to {to}: {heard}");
        }
        for (from, to, image) in [(8000, 16_000, 7000.0), (8000, 48_000, 7000.0), (16_000, 48_000, 15_000.0)] {
            let heard = amplitude(to, &convert(from, to, &tone(from, 1000.0)), image);
            assert!(heard < 20.0, "the image at {image} Hz from {from} to {to}: {heard}");
        }
    }

    #[test]
    fn full_scale_is_cut_off_and_never_wraps() {
        let square: Vec<i16> = (0..800).map(|n| if n % 16 < 8 { i16::MAX } else { i16::MIN }).collect();
        let heard = convert(8000, 48_000, &square);
        let jump = heard.windows(2).map(|pair| (i32::from(pair[0]) - i32::from(pair[1])).abs()).max();
        assert!(jump < Some(40_000), "{jump:?}");
    }

    #[test]
    fn room_for_less_is_no_panic() {
        assert_eq!(Resampler::new(8000, 48_000).resample(&[1; 160], &mut [0; 100]), 100);
        assert_eq!(Resampler::new(8000, 8000).resample(&[1; 160], &mut [0; 100]), 100);
    }
}
