//! What a listener would say of a leg: the E-model's rating and mean opinion score, from loss, bursts and delay; on the
//! scale of the telephone band (ITU-T G.107) for G.711, and on the wide band's (G.107.1) for what sounds wider.

use crate::model::{Codec, MosScale};

/// How G.711 with loss concealment bears random loss: equipment impairment 0, robustness 25.1 (ITU-T G.113, table I.2).
pub const G711_CONCEALED: Impairment =
    Impairment { scale: MosScale::Narrowband, equipment: 0.0, robustness: ROBUSTNESS_CONCEALED };
/// The same without concealment, as in a pure relay to a phone that has none: robustness 4.3.
pub const G711_BARE: Impairment = Impairment { scale: MosScale::Narrowband, equipment: 0.0, robustness: 4.3 };
/// G.722 at 64 kbit/s: 13 on the wide band's scale (G.113, appendix IV).
pub const G722_CONCEALED: Impairment =
    Impairment { scale: MosScale::Wideband, equipment: 13.0, robustness: ROBUSTNESS_LEAST };
/// Opus is in no table of G.113 for this scale. At the rates that phones use (24 kbit/s and more) it is held to cost no more
/// than G.722, whose band it has at least.
pub const OPUS_CONCEALED: Impairment =
    Impairment { scale: MosScale::Wideband, equipment: 13.0, robustness: ROBUSTNESS_LEAST };

/// G.711 with the concealment of its appendix I.
const ROBUSTNESS_CONCEALED: f64 = 25.1;
/// The least that table I.2 has for a codec with a concealment of its own (GSM EFR): what is assumed of those for which we
/// know no figure, so that loss is told too loudly rather than too softly.
const ROBUSTNESS_LEAST: f64 = 10.0;

/// What a codec costs by itself, and how it bears loss (G.113, appendices I and IV).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impairment {
    /// The scale that the figures belong to.
    pub scale: MosScale,
    /// Ie, or Ie,wb: points lost without any packet loss.
    pub equipment: f64,
    /// Bpl: the loss in percent at which half of what is left is gone, with random loss.
    pub robustness: f64,
}

impl Impairment {
    /// What a codec costs at the far end of a call: a phone conceals what is lost.
    pub fn of(codec: Codec) -> Impairment {
        match codec {
            Codec::Pcma | Codec::Pcmu => G711_CONCEALED,
            Codec::G722 => G722_CONCEALED,
            Codec::Opus => OPUS_CONCEALED,
        }
    }
}

/// What was measured on one leg.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Path {
    /// Lost, and come too late: 0.0–1.0.
    pub loss: f64,
    /// Mean length of the bursts that were lost, over that of random loss: 1 is random (G.107 §7.5's BurstR).
    pub burst_ratio: f64,
    /// From mouth to ear, in milliseconds: half the round trip, packets, jitter buffer.
    pub delay_ms: f64,
}

/// The rating of a perfect connection with the default values of every other parameter: 93.2 (G.107 §7.6, table 3), and 129
/// on the wide band's scale (G.107.1 §7.7).
fn rating_best(scale: MosScale) -> f64 {
    match scale {
        MosScale::Narrowband => 93.2,
        MosScale::Wideband => 129.0,
    }
}

/// What a rating of the scale is divided by before it is read as a mean opinion score (G.107.1 annex A).
fn rating_span(scale: MosScale) -> f64 {
    match scale {
        MosScale::Narrowband => 1.0,
        MosScale::Wideband => 1.29,
    }
}

/// The rating R on the codec's scale, 0–100 or 0–129. In the telephone band: over 80 satisfied, under 60 many dissatisfied
/// (G.109).
pub fn rating(path: Path, codec: Impairment) -> f64 {
    let percent = if path.loss.is_nan() { 0.0 } else { path.loss.clamp(0.0, 1.0) * 100.0 };
    let bursts = if path.burst_ratio.is_finite() { path.burst_ratio.max(1.0) } else { 1.0 };
    // G.107 §7.5: Ie,eff; G.107.1 §7.5 has it the same.
    let effective = codec.equipment + (95.0 - codec.equipment) * percent / (percent / bursts + codec.robustness);
    let best = rating_best(codec.scale);
    (best - delay_impairment(path.delay_ms) - effective).clamp(0.0, 100.0 * rating_span(codec.scale))
}

/// The mean opinion score of what was measured, 1.0–4.5, on the codec's scale.
pub fn score(path: Path, codec: Impairment) -> f64 {
    mos(rating(path, codec) / rating_span(codec.scale))
}

/// Idd: what delay without echo costs (G.107 §7.4): nothing up to 100 ms.
fn delay_impairment(delay_ms: f64) -> f64 {
    if !delay_ms.is_finite() || delay_ms <= 100.0 {
        return 0.0;
    }
    let x = (delay_ms / 100.0).log2();
    25.0 * ((1.0 + x.powi(6)).powf(1.0 / 6.0) - 3.0 * (1.0 + (x / 3.0).powi(6)).powf(1.0 / 6.0) + 2.0)
}

/// The mean opinion score of a rating, 1.0–4.5 (G.107 annex B).
fn mos(rating: f64) -> f64 {
    match rating {
        r if r <= 6.5 => 1.0,
        r if r >= 100.0 => 4.5,
        r => 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(loss: f64, delay_ms: f64) -> f64 {
        score(Path { loss, burst_ratio: 1.0, delay_ms }, G711_CONCEALED)
    }

    #[test]
    fn a_perfect_connection_scores_4_41_as_g_107_has_it() {
        assert!((of(0.0, 0.0) - 4.41).abs() < 0.005, "{}", of(0.0, 0.0));
    }

    #[test]
    fn a_perfect_wide_band_is_read_off_its_own_scale() {
        let path = Path { burst_ratio: 1.0, ..Path::default() };
        // G.107.1: 129 less the 13 of G.722 at 64 kbit/s; by annex A that is 89.9 of 100.
        assert!((rating(path, G722_CONCEALED) - 116.0).abs() < 1e-9);
        assert!((score(path, G722_CONCEALED) - 4.33).abs() < 0.01, "{}", score(path, G722_CONCEALED));
        assert_eq!(Impairment::of(Codec::Pcmu).scale, MosScale::Narrowband);
        assert_eq!(Impairment::of(Codec::Opus).scale, MosScale::Wideband);
    }

    #[test]
    fn loss_bursts_and_delay_each_cost() {
        assert!(of(0.05, 0.0) < of(0.01, 0.0));
        assert!(of(0.0, 400.0) < of(0.0, 150.0));
        let bursty = Path { loss: 0.05, burst_ratio: 3.0, delay_ms: 0.0 };
        assert!(rating(bursty, G711_CONCEALED) < rating(Path { burst_ratio: 1.0, ..bursty }, G711_CONCEALED));
        assert!(rating(bursty, G711_BARE) < rating(bursty, G711_CONCEALED));
    }

    #[test]
    fn the_delay_curve_goes_through_its_known_points() {
        // G.107 §7.4's own formula, evaluated by hand: 200 ms costs 3 points, 400 ms about 24.
        assert!((delay_impairment(200.0) - 3.0).abs() < 0.2, "{}", delay_impairment(200.0));
        assert!((delay_impairment(400.0) - 24.0).abs() < 1.0, "{}", delay_impairment(400.0));
    }

    #[test]
    fn no_measurement_however_odd_leaves_the_scale() {
        for loss in [-1.0, 0.0, 0.5, 2.0, f64::NAN] {
            for delay_ms in [-5.0, 0.0, 1e9, f64::INFINITY, f64::NAN] {
                for codec in [G711_BARE, G722_CONCEALED, OPUS_CONCEALED] {
                    let score = score(Path { loss, burst_ratio: f64::NAN, delay_ms }, codec);
                    assert!((1.0..=4.5).contains(&score), "{loss} {delay_ms} {score}");
                }
            }
        }
    }
}
