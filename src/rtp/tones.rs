//! The tones of keys (ITU-T Q.23), for a far end that knows neither telephone-event nor SIP INFO.

use std::f64::consts::TAU;

/// Each of the two tones: -9 dBm0, as a telephone sends them (ETSI ES 201 235-2: -11 and -9 dBV ± 2); full scale is 3.14 dBm0.
const AMPLITUDE: f64 = 8100.0;
/// Row by row of the pad.
const LOW_HZ: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
/// Column by column.
const HIGH_HZ: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];

/// The two frequencies of a key; `None` when it is none.
pub fn frequencies(key: char) -> Option<(f64, f64)> {
    let place = "123A456B789C*0#D".find(key)?;
    Some((*LOW_HZ.get(place / 4)?, *HIGH_HZ.get(place % 4)?))
}

/// Fills `pcm` with the tone of a key from its sample `from` on, so that it goes on from packet to packet.
pub fn fill(key: char, from: usize, rate_hz: u32, pcm: &mut [i16]) {
    let Some((low, high)) = frequencies(key) else { return pcm.fill(0) };
    for (place, sample) in pcm.iter_mut().enumerate() {
        let at = TAU * (from + place) as f64 / f64::from(rate_hz.max(1));
        *sample = (AMPLITUDE * ((at * low).sin() + (at * high).sin())) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_row_and_column() {
        for (key, expected) in
            [('1', (697.0, 1209.0)), ('0', (941.0, 1336.0)), ('#', (941.0, 1477.0)), ('D', (941.0, 1633.0))]
        {
            assert_eq!(frequencies(key), Some(expected), "{key}");
        }
        assert_eq!((frequencies('x'), frequencies('é')), (None, None));
    }

    #[test]
    fn a_tone_goes_on_from_packet_to_packet_and_never_clips() {
        let mut whole = [0; 480];
        fill('5', 0, 8000, &mut whole);
        let mut parts = [0; 480];
        parts.chunks_mut(160).enumerate().for_each(|(n, part)| fill('5', n * 160, 8000, part));
        assert_eq!(whole, parts);
        assert!(whole.iter().all(|sample| sample.abs() < 16_300));
        let energy = |hertz: f64| {
            let (s, c) = whole.iter().enumerate().fold((0.0, 0.0), |(s, c), (n, sample)| {
                let at = TAU * hertz * n as f64 / 8000.0;
                (s + at.sin() * f64::from(*sample), c + at.cos() * f64::from(*sample))
            });
            s.hypot(c) * 2.0 / 480.0
        };
        assert!(energy(770.0) > 7000.0 && energy(1336.0) > 7000.0 && energy(941.0) < 1500.0);
    }
}
