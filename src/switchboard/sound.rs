//! What closed legs sounded like, for the metrics.

use crate::model::LegQuality;

/// Adds a closed leg to the histograms: what it received (`received`), and what its far end says that it received (`sent`).
/// A leg to which nothing came, or of which nothing is known, is in none.
pub(super) fn measure(quality: &LegQuality) {
    if quality.packets_received > 0 {
        let expected = (quality.packets_received + quality.packets_lost) as f64;
        record("received", quality.packets_lost as f64 / expected, quality.jitter_ms, quality.mos);
    }
    if let Some(lost) = quality.remote_lost.filter(|_| quality.packets_sent > 0) {
        let loss = (lost as f64 / quality.packets_sent as f64).min(1.0);
        record("sent", loss, quality.remote_jitter_ms.unwrap_or(0.0), quality.remote_mos);
    }
    if let Some(trip) = quality.round_trip_ms {
        metrics::histogram!("vigie_leg_round_trip_seconds").record(trip / 1000.0);
    }
    if quality.one_way_times > 0 {
        metrics::histogram!("vigie_leg_one_way_seconds").record(quality.one_way_ms as f64 / 1000.0);
    }
}

fn record(way: &'static str, loss: f64, jitter_ms: f64, mos: Option<f64>) {
    metrics::histogram!("vigie_leg_loss_ratio", "way" => way).record(loss);
    metrics::histogram!("vigie_leg_jitter_seconds", "way" => way).record(jitter_ms / 1000.0);
    if let Some(mos) = mos {
        metrics::histogram!("vigie_leg_mos", "way" => way).record(mos);
    }
}
