//! The Prometheus recorder, and what each metric means.

use std::sync::OnceLock;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of the histograms' buckets, in seconds: from a quick answer to a long wait.
const BUCKETS_SECONDS: [f64; 18] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Bounds of opinion scores, 1.0–4.5; under 3.6 many users are dissatisfied.
const BUCKETS_MOS: [f64; 9] = [1.0, 2.0, 2.6, 3.1, 3.6, 4.0, 4.2, 4.3, 4.5];

/// Bounds of fractions: from one packet in ten thousand to all.
const BUCKETS_RATIO: [f64; 10] = [0.0, 0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0];

/// Histograms that are not of seconds: name, meaning, and bounds of the buckets.
const HISTOGRAMS_OTHER: [(&str, &str, &[f64]); 2] = [
    (
        "vigie_leg_mos",
        "Mean opinion scores of closed legs (ITU-T G.107, G.107.1), by way: received from the far end, or sent to it",
        &BUCKETS_MOS,
    ),
    ("vigie_leg_loss_ratio", "Fraction of packets lost, of closed legs, by way", &BUCKETS_RATIO),
];

/// Counters: name and meaning.
const COUNTERS: [(&str, &str); 33] = [
    ("vigie_archive_files_total", "Files copied to the second place"),
    ("vigie_archive_bytes_total", "Bytes copied to the second place"),
    ("vigie_archive_failures_total", "Copies to the second place that failed, and are tried again"),
    ("vigie_archive_reads_total", "Files read from the second place, because they are not here"),
    ("vigie_archive_flac_total", "Recordings whose WAV became a FLAC"),
    ("vigie_sip_malformed_total", "SIP messages that could not be parsed"),
    ("vigie_sip_unauthorised_total", "SIP requests refused for want of credentials or of a trunk"),
    ("vigie_sip_retransmitted_total", "SIP messages sent again"),
    ("vigie_sip_received_total", "SIP messages and keep-alives taken in"),
    ("vigie_sip_sent_total", "SIP messages sent"),
    ("vigie_sip_unsent_total", "SIP messages that could not be sent"),
    ("vigie_sip_source_refused_total", "SIP datagrams dropped, or connections slowed: their source sends too many"),
    (
        "vigie_sip_account_refused_total",
        "Registrations and calls refused with 503: their account asks too much a second",
    ),
    ("vigie_sip_banned_dropped_total", "SIP messages dropped: their source is banned for a while"),
    ("vigie_sip_banned_total", "Sources and accounts banned for a while, by now: see GET /api/v1/sip/bans"),
    ("vigie_sip_connections_refused_total", "SIP connections not taken, by reason"),
    ("vigie_tls_reload_failed_total", "Changed certificates that could not be used; the former ones are still shown"),
    ("vigie_sip_cut_total", "Connections lost and places that nobody listens at, by transport"),
    (
        "vigie_inbox_refused_total",
        "SIP messages refused with 503: their lane of the switchboard's inbox was full, or late",
    ),
    ("vigie_calls_received_total", "Calls received from a trunk"),
    (
        "vigie_calls_refused_total",
        "Calls refused with 503: over a limit of calls or of calls a second, or late to be answered",
    ),
    ("vigie_calls_answered_total", "Calls answered by a regulator"),
    ("vigie_calls_abandoned_total", "Calls abandoned before an answer"),
    ("vigie_calls_transferred_total", "Callers handed on to another regulator or an outside number"),
    ("vigie_offers_made_total", "Offers made to regulators"),
    ("vigie_offers_unanswered_total", "Offers that ended without an answer"),
    ("vigie_outbox_attempts_total", "Delivery attempts by endpoint and outcome"),
    ("vigie_storage_facts_lost_total", "Facts lost: neither database nor spool took them; always 0 in health"),
    ("vigie_alarms_total", "Alarms raised, by kind"),
    ("vigie_http_requests_total", "HTTP requests by route, method and status"),
    (
        "vigie_media_total",
        "What the media plane counts, by name: packets relayed, played, recorded, strangers, malformed…",
    ),
    ("vigie_audio_bytes_total", "Bytes of recordings sent to listeners"),
    ("vigie_refused_wishes_total", "Wishes for recordings that were refused: role, association, reason"),
];

/// Gauges: name and meaning.
const GAUGES: [(&str, &str); 22] = [
    ("vigie_archive_waiting", "Folders that wait to be copied to the second place"),
    ("vigie_archive_lag_seconds", "For how long the oldest of them waits, in seconds"),
    ("vigie_archive_differences", "Files that differed from what was sealed at the last comparison of both places"),
    ("vigie_reconciliation_differences", "What calls, events and files disagreed on at the last comparison"),
    ("vigie_recording_key_absent", "1 while recordings wait for the key-encryption key before they are sealed, else 0"),
    ("vigie_info", "1, with the version as a label"),
    ("vigie_sip_connections", "Open SIP connections by transport"),
    ("vigie_storage_facts_waiting", "Facts that are not stored yet"),
    ("vigie_storage_spool_bytes", "Bytes of facts spooled on disk while the database is away"),
    ("vigie_calls_live", "Live calls, waiting or talking"),
    ("vigie_legs_live", "Legs from which sound came or to which some was sent, and which are open"),
    ("vigie_legs_poor", "Open legs that sound bad so far: a mean opinion score under 3.6, either way"),
    ("vigie_legs_one_way", "Open legs whose sound goes one way only now"),
    ("vigie_leg_mos_least", "The least mean opinion score of all open legs, either way; 4.5 when there is none"),
    ("vigie_calls_sealing", "Calls that are over and whose recording is being sealed"),
    ("vigie_waiting", "Callers in the waiting room"),
    ("vigie_wait_longest_seconds", "The longest present wait, in seconds"),
    ("vigie_regulators", "Regulators by state"),
    ("vigie_trunk_up", "Whether any place of a trunk is reached, by trunk: 1 or 0"),
    ("vigie_trunk_registered", "Whether Vigie is registered with a carrier, by trunk: 1 or 0"),
    ("vigie_outbox_pending", "Events owed to each endpoint"),
    ("vigie_outbox_dead", "Dead letters of each endpoint: see GET /api/v1/outbox"),
];

/// Histograms, all in seconds: name and meaning.
const HISTOGRAMS: [(&str, &str); 7] = [
    ("vigie_http_request_seconds", "Time until an HTTP answer begins, by route"),
    ("vigie_leg_jitter_seconds", "Interarrival jitter of closed legs (RFC 3550 §A.8), by way"),
    ("vigie_leg_round_trip_seconds", "Round trip of closed legs, by their RTCP"),
    ("vigie_leg_one_way_seconds", "How long sound went one way only, of closed legs where it did"),
    ("vigie_wait_seconds", "Time from the waiting room to the answer"),
    ("vigie_step_seconds", "Time that one step of the decisions takes, its actions handed out"),
    ("vigie_outbox_lag_seconds", "Time from an event to its delivery, by endpoint"),
];

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
    let builder = HISTOGRAMS_OTHER.iter().fold(builder, |builder, (name, _, bounds)| {
        let chosen = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds);
        chosen.unwrap_or_else(|_| PrometheusBuilder::new())
    });
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
    for (name, meaning) in HISTOGRAMS {
        describe_histogram!(name, Unit::Seconds, meaning);
    }
    for (name, meaning, _) in HISTOGRAMS_OTHER {
        describe_histogram!(name, Unit::Count, meaning);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Every metric's name in the sources below `folder`, but for those of this file.
    fn collect_names(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                collect_names(&path, names);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with(file!()) {
                let text = std::fs::read_to_string(&path).expect("a source");
                let quoted = text.split('"').filter(|piece| piece.starts_with("vigie_"));
                let is_name = |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                names.extend(quoted.filter(is_name).map(str::to_owned));
            }
        }
    }

    #[test]
    fn every_metric_of_the_sources_is_described_and_none_that_is_not_there() {
        let mut used = BTreeSet::from(["vigie_info".to_owned()]);
        collect_names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut used);
        let tables = [COUNTERS.as_slice(), GAUGES.as_slice(), HISTOGRAMS.as_slice()];
        let mut told: BTreeSet<String> = tables.concat().iter().map(|(name, _)| (*name).to_owned()).collect();
        told.extend(HISTOGRAMS_OTHER.map(|(name, ..)| name.to_owned()));
        assert_eq!(used, told);
    }

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
