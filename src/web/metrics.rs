//! The Prometheus recorder, and what each metric means.

use std::sync::OnceLock;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Upper bounds of the histograms' buckets, in seconds: from a quick answer to a long wait.
const BUCKETS_SECONDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Counters: name and meaning.
const COUNTERS: [(&str, &str); 11] = [
    ("vigie_sip_malformed_total", "SIP messages that could not be parsed"),
    ("vigie_sip_unauthorised_total", "SIP requests refused for want of credentials or of a trunk"),
    ("vigie_sip_retransmitted_total", "SIP messages sent again"),
    ("vigie_calls_received_total", "Calls received from a trunk"),
    ("vigie_calls_answered_total", "Calls answered by a regulator"),
    ("vigie_calls_abandoned_total", "Calls abandoned before an answer"),
    ("vigie_offers_made_total", "Offers made to regulators"),
    ("vigie_offers_unanswered_total", "Offers that ended without an answer"),
    ("vigie_alarms_total", "Alarms raised, by kind"),
    ("vigie_http_requests_total", "HTTP requests by route, method and status"),
    ("vigie_audio_bytes_total", "Bytes of recordings sent to listeners"),
];

/// Gauges: name and meaning.
const GAUGES: [(&str, &str); 1] = [("vigie_info", "1, with the version as a label")];

/// The handle of the one recorder of this process.
static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder, once; later calls return the same handle.
///
/// When another recorder was installed before, the handle is of one that nothing is counted in.
pub fn install() -> PrometheusHandle {
    INSTALLED.get_or_init(build).clone()
}

fn build() -> PrometheusHandle {
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS_SECONDS).unwrap_or_else(|_| PrometheusBuilder::new());
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is installed; /metrics will be empty");
    }
    describe();
    metrics::gauge!("vigie_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    handle
}

fn describe() {
    for (name, meaning) in COUNTERS {
        describe_counter!(name, Unit::Count, meaning);
    }
    for (name, meaning) in GAUGES {
        describe_gauge!(name, Unit::Count, meaning);
    }
    describe_histogram!("vigie_http_request_seconds", Unit::Seconds, "Time until an HTTP answer begins, by route");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_twice_gives_one_recorder() {
        install();
        metrics::counter!("vigie_alarms_total", "kind" => "test").increment(1);
        let text = install().render();
        assert!(
            text.contains("vigie_info{version=\"") && text.contains("vigie_alarms_total{kind=\"test\"} 1"),
            "{text}"
        );
    }
}
