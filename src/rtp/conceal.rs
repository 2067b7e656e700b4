//! What is heard where a packet is missing: the last pitch period again and again, fading to silence within 60 ms.
//!
//! In the manner of ITU-T G.711 Appendix I, for any rate; nothing of it is ever recorded.

use super::pitch::{self, LAG_MICROS_MAX, LAG_MICROS_MIN, WINDOW_MICROS, cross_fade};

/// The repetition is as loud as what was heard for so long.
const FULL_MICROS: usize = 10_000;
/// After so long there is silence.
const FADE_MICROS: usize = 60_000;
/// Going over from the repetition to what comes again takes so long.
const JOINT_MICROS: usize = 4000;
/// The longest joint in samples, at 48 kHz.
const JOINT_MAX: usize = 192;

/// One source's last sound, and what is made of it.
#[derive(Clone, Debug)]
pub struct Concealer {
    sample_rate: u32,
    /// The newest sound, as long as is needed to find its pitch.
    history: Vec<i16>,
    /// One period of it while nothing comes.
    period: Vec<i16>,
    /// Samples made up since the last that came.
    made: usize,
}

impl Concealer {
    /// Before any sound, silence is made of silence.
    pub fn new(sample_rate: u32) -> Concealer {
        let length = pitch::samples(LAG_MICROS_MAX + WINDOW_MICROS, sample_rate);
        let longest = pitch::samples(LAG_MICROS_MAX, sample_rate);
        Concealer { sample_rate, history: vec![0; length], period: Vec::with_capacity(longest), made: 0 }
    }

    /// Whether what was heard last was made up.
    pub fn is_concealing(&self) -> bool {
        self.made > 0
    }

    /// Takes sound that came; its beginning is joined to what was made up before it.
    pub fn join(&mut self, pcm: &mut [i16]) {
        if self.made > 0 {
            let mut bridge = [0; JOINT_MAX];
            let length = pitch::samples(JOINT_MICROS, self.sample_rate).min(JOINT_MAX).min(pcm.len());
            let (bridge, _) = bridge.split_at_mut(length);
            self.repeat(bridge);
            cross_fade(bridge, pcm);
            self.made = 0;
        }
        self.remember(pcm);
    }

    /// Makes up what did not come.
    pub fn fill(&mut self, pcm: &mut [i16]) {
        if self.made == 0 {
            self.find_period();
        }
        self.repeat(pcm);
        self.remember(pcm);
    }

    fn find_period(&mut self) {
        let samples = |micros| pitch::samples(micros, self.sample_rate);
        let (least, most) = (samples(LAG_MICROS_MIN), samples(LAG_MICROS_MAX));
        let window = self.history.len() - most;
        let (older, newest) = self.history.split_at(self.history.len() - window);
        // A window that ends `lag` samples before the end begins at `most - lag`.
        let among = self.history.get(..self.history.len() - least).unwrap_or(older);
        let found = pitch::find(newest, among, self.sample_rate, 1);
        let lag = found.map_or(most, |found| most - found.offset.min(most - least));
        self.period.clear();
        self.period.extend_from_slice(self.history.get(self.history.len() - lag..).unwrap_or_default());
    }

    fn repeat(&mut self, pcm: &mut [i16]) {
        let full = pitch::samples(FULL_MICROS, self.sample_rate);
        let fade = pitch::samples(FADE_MICROS, self.sample_rate);
        for sample in pcm {
            let loud = fade.saturating_sub(self.made.max(full)) as i64;
            let repeated = self.period.get(self.made % self.period.len().max(1)).copied().unwrap_or(0);
            *sample = (i64::from(repeated) * loud / (fade - full) as i64) as i16;
            self.made = self.made.saturating_add(1);
        }
    }

    fn remember(&mut self, pcm: &[i16]) {
        let length = self.history.len();
        let newest = pcm.get(pcm.len().saturating_sub(length)..).unwrap_or(pcm);
        self.history.copy_within(newest.len().., 0);
        let (_, end) = self.history.split_at_mut(length - newest.len());
        end.copy_from_slice(newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, from: usize, length: usize) -> Vec<i16> {
        let step = std::f64::consts::TAU * 250.0 / f64::from(rate);
        (from..from + length).map(|n| (8000.0 * (step * n as f64).sin()) as i16).collect()
    }

    fn loudest(pcm: &[i16]) -> i16 {
        pcm.iter().map(|s| s.saturating_abs()).max().unwrap_or(0)
    }

    #[test]
    fn a_tone_goes_on_through_a_loss_without_a_step() {
        for rate in [8000, 16_000, 48_000] {
            let packet = rate as usize / 50;
            let mut concealer = Concealer::new(rate);
            let mut heard = Vec::new();
            for n in 0..6 {
                let mut pcm = tone(rate, n * packet, packet);
                if n == 3 {
                    concealer.fill(&mut pcm);
                } else {
                    concealer.join(&mut pcm);
                }
                heard.extend(pcm);
            }
            // A sine's largest step, and a little for the fading.
            let most = 8000.0 * std::f64::consts::TAU * 250.0 / f64::from(rate) * 1.2;
            let steps = heard.windows(2).map(|pair| f64::from(pair[0].abs_diff(pair[1])));
            assert!(steps.fold(0.0, f64::max) <= most, "{rate}");
            assert!(loudest(&heard[3 * packet..4 * packet]) > 6000, "{rate}");
        }
    }

    #[test]
    fn a_long_loss_fades_to_silence_within_60_ms() {
        let mut concealer = Concealer::new(8000);
        concealer.join(&mut tone(8000, 0, 800));
        let mut pcm = [1; 480];
        concealer.fill(&mut pcm);
        assert!(loudest(&pcm[..80]) > 7500 && loudest(&pcm[320..]) < 4000);
        concealer.fill(&mut pcm);
        assert_eq!(pcm, [0; 480]);
    }

    #[test]
    fn before_any_sound_there_is_silence() {
        let mut pcm = [1; 160];
        Concealer::new(8000).fill(&mut pcm);
        assert_eq!(pcm, [0; 160]);
    }
}
