//! Sound made a little shorter or longer without a click and without another pitch: one period left out or said twice.

use super::pitch::{self, LAG_MICROS_MAX, LAG_MICROS_MIN, WINDOW_MICROS, cross_fade};

/// Below this likeness a period left out would be heard; better to wait for another moment.
const LIKENESS_MIN: f64 = 0.85;

/// Samples that are needed to stretch at `sample_rate`.
pub fn samples_min(sample_rate: u32) -> usize {
    pitch::samples(LAG_MICROS_MAX + WINDOW_MICROS, sample_rate)
}

/// Leaves one period of the beginning of `pcm` out; how many samples, a multiple of `grain`. 0 when there is none that
/// could be, or too little sound.
pub fn shorten(pcm: &mut Vec<i16>, sample_rate: u32, grain: usize) -> usize {
    let Some(lag) = find_lag(pcm, sample_rate, grain) else { return 0 };
    let window = pitch::samples(WINDOW_MICROS, sample_rate);
    let (before, after) = pcm.split_at_mut(lag.max(window));
    if lag >= window {
        cross_fade(before.get(..window).unwrap_or_default(), after.get_mut(..window).unwrap_or_default());
        pcm.drain(..lag);
        return lag;
    }
    // The two windows overlap: what is faded from is read before it is written.
    for place in 0..window {
        let (from, to) = (pcm.get(place).copied(), pcm.get(place + lag).copied());
        if let (Some(from), Some(to), Some(target)) = (from, to, pcm.get_mut(place)) {
            let step = place as i32 + 1;
            let length = window as i32 + 1;
            *target = ((i32::from(from) * (length - step) + i32::from(to) * step) / length) as i16;
        }
    }
    pcm.drain(window..window + lag);
    lag
}

/// Says one period of the beginning of `pcm` twice; how many samples were put in, a multiple of `grain`. 0 when there is
/// none that could be, or too little sound.
pub fn lengthen(pcm: &mut Vec<i16>, sample_rate: u32, grain: usize) -> usize {
    let Some(lag) = find_lag(pcm, sample_rate, grain) else { return 0 };
    let window = pitch::samples(WINDOW_MICROS, sample_rate);
    let length = pcm.len();
    // What was there, `lag` later; over its beginning what lies there now fades out.
    pcm.resize(length + lag, 0);
    let mut following = [0i16; FOLLOWING_MAX];
    let (following, _) = following.split_at_mut(window.min(FOLLOWING_MAX));
    following.iter_mut().zip(pcm.iter().skip(lag)).for_each(|(kept, sample)| *kept = *sample);
    pcm.copy_within(..length, lag);
    if let Some(joint) = pcm.get_mut(lag..lag + following.len()) {
        cross_fade(following, joint);
    }
    lag
}

/// A window in samples at 48 kHz.
const FOLLOWING_MAX: usize = WINDOW_MICROS * 48 / 1000;

fn find_lag(pcm: &[i16], sample_rate: u32, grain: usize) -> Option<usize> {
    let least = pitch::samples(LAG_MICROS_MIN, sample_rate).next_multiple_of(grain.max(1));
    let window = pitch::samples(WINDOW_MICROS, sample_rate);
    let among = pcm.get(least..samples_min(sample_rate))?;
    let found = pitch::find(pcm.get(..window)?, among, sample_rate, grain)?;
    (found.likeness >= LIKENESS_MIN).then_some(found.offset + least)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, rate: u32, samples: usize) -> Vec<i16> {
        let step = std::f64::consts::TAU * hertz / f64::from(rate);
        (0..samples).map(|n| (10_000.0 * (step * n as f64).sin()) as i16).collect()
    }

    /// The largest second difference against a tone's own: a click is far above.
    fn is_smooth(pcm: &[i16], hertz: f64, rate: u32) -> bool {
        let step = std::f64::consts::TAU * hertz / f64::from(rate);
        let most = 10_000.0 * step * step * 1.6 + 60.0;
        pcm.windows(3).all(|w| (f64::from(w[0]) - 2.0 * f64::from(w[1]) + f64::from(w[2])).abs() <= most)
    }

    #[test]
    fn a_tone_is_shortened_and_lengthened_without_a_click() {
        for (rate, grain) in [(8000, 1), (16_000, 2), (48_000, 1)] {
            for hertz in [100.0, 333.0, 440.0, 1000.0] {
                let pcm = tone(hertz, rate, rate as usize / 25);
                let (mut short, mut long) = (pcm.clone(), pcm.clone());
                let (out, put_in) = (shorten(&mut short, rate, grain), lengthen(&mut long, rate, grain));
                assert!(out > 0 && out % grain == 0 && put_in % grain == 0, "{rate} {hertz}: {out}");
                assert_eq!((short.len(), long.len()), (pcm.len() - out, pcm.len() + put_in));
                assert!(short[0].abs_diff(pcm[0]) + long[0].abs_diff(pcm[0]) < 100);
                assert!(is_smooth(&short, hertz, rate), "shorter: {rate} {hertz}");
                assert!(is_smooth(&long, hertz, rate), "longer: {rate} {hertz}");
            }
        }
    }

    #[test]
    fn noise_and_what_is_too_short_are_left_as_they_are() {
        let mut chance = crate::model::Chance::from_number(1);
        let mut noise: Vec<i16> = (0..400).map(|_| chance.next_u32() as i16).collect();
        let before = noise.clone();
        assert_eq!((shorten(&mut noise, 8000, 1), lengthen(&mut noise, 8000, 1)), (0, 0));
        let mut short = tone(400.0, 8000, 100);
        assert_eq!((shorten(&mut short, 8000, 1), noise), (0, before));
    }
}
