//! Where sound resembles itself: the lag of a voice's pitch, for concealing a loss and for stretching without a click.

/// The shortest lag that is looked at: 2.5 ms (a pitch of 400 Hz).
pub const LAG_MICROS_MIN: usize = 2500;
/// The longest: 12 ms (83 Hz), so that with the window a packet of 20 ms is enough.
pub const LAG_MICROS_MAX: usize = 12_000;
/// How much of the sound is compared: 8 ms.
pub const WINDOW_MICROS: usize = 8000;
/// Mean square below which sound is silence, and like any other silence.
const SILENCE_SQUARE: i64 = 40 * 40;

/// The window of `among` that is most like `sound`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Where it begins in `among`.
    pub offset: usize,
    /// 1.0 is the same shape, 0.0 nothing alike.
    pub likeness: f64,
}

/// Samples in `micros` microseconds at `sample_rate` Hz.
pub fn samples(micros: usize, sample_rate: u32) -> usize {
    micros * sample_rate as usize / 1_000_000
}

/// Finds the window of `among` most like `sound`. Offsets are multiples of `grain`, tried first in steps of about an
/// eighth of a millisecond and then around the best one. `None` when `among` is the shorter one.
pub fn find(sound: &[i16], among: &[i16], sample_rate: u32, grain: usize) -> Option<Match> {
    let last = among.len().checked_sub(sound.len())?;
    let grain = grain.max(1);
    let coarse = (sample_rate as usize / 8000).max(1).next_multiple_of(grain);
    let best = |offsets: &mut dyn Iterator<Item = usize>, stride: usize| {
        let weighed = offsets.filter_map(|offset| {
            let window = among.get(offset..offset + sound.len())?;
            Some(Match { offset, likeness: likeness(sound, window, stride) })
        });
        weighed.max_by(|a, b| a.likeness.total_cmp(&b.likeness))
    };
    let rough = best(&mut (0..=last).step_by(coarse), coarse)?;
    if coarse == grain {
        return Some(rough);
    }
    let from = rough.offset.saturating_sub(coarse);
    best(&mut (from..=(rough.offset + coarse).min(last)).step_by(grain), 1)
}

/// The normalized cross-correlation of every `stride`th sample.
fn likeness(a: &[i16], b: &[i16], stride: usize) -> f64 {
    let (mut cross, mut square_a, mut square_b, mut taken) = (0i64, 0i64, 0i64, 0i64);
    for (a, b) in a.iter().zip(b).step_by(stride.max(1)) {
        let (a, b) = (i64::from(*a), i64::from(*b));
        cross += a * b;
        square_a += a * a;
        square_b += b * b;
        taken += 1;
    }
    if square_a.max(square_b) <= SILENCE_SQUARE * taken {
        return 1.0;
    }
    cross as f64 / ((square_a.max(1) as f64) * (square_b.max(1) as f64)).sqrt()
}

/// Goes over from `from` to `to` in equal steps, into `to`: the first sample is nearly `from`'s, the last nearly `to`'s.
pub fn cross_fade(from: &[i16], to: &mut [i16]) {
    let length = from.len().min(to.len()) as i32;
    for (step, (from, to)) in (1..).zip(from.iter().zip(to)) {
        let mixed = (i32::from(*from) * (length + 1 - step) + i32::from(*to) * step) / (length + 1);
        *to = mixed as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, rate: u32, samples: usize) -> Vec<i16> {
        let step = std::f64::consts::TAU * hertz / f64::from(rate);
        (0..samples).map(|n| (10_000.0 * (step * n as f64).sin()) as i16).collect()
    }

    #[test]
    fn a_tone_resembles_itself_a_whole_period_on() {
        for rate in [8000, 16_000, 48_000] {
            let pcm = tone(200.0, rate, samples(25_000, rate));
            let window = samples(WINDOW_MICROS, rate);
            let least = samples(LAG_MICROS_MIN, rate);
            let found = find(&pcm[..window], &pcm[least..], rate, 1).expect("long enough");
            let period = rate as usize / 200;
            let off = (found.offset + least) % period;
            assert!(off.min(period - off) <= 1 && found.likeness > 0.99, "{rate}: {found:?}");
        }
    }

    #[test]
    fn offsets_keep_to_the_grain_and_what_is_too_short_has_no_match() {
        let pcm = tone(310.0, 16_000, 500);
        assert_eq!(find(&pcm[..128], &pcm[40..], 16_000, 2).expect("found").offset % 2, 0);
        assert_eq!(find(&pcm[..128], &pcm[400..], 16_000, 2), None);
    }

    #[test]
    fn a_cross_fade_of_a_tone_with_itself_changes_nothing() {
        let pcm = tone(500.0, 8000, 64);
        let mut faded = pcm.clone();
        cross_fade(&pcm, &mut faded);
        assert!(faded.iter().zip(&pcm).all(|(a, b)| a.abs_diff(*b) <= 1));
    }
}
