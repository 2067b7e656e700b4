//! What the loop writes into the log: a line a call, a line a change of a regulator, alarms, notices. No caller is named.

use std::time::Duration;

use crate::model::{Alarm, EventKind, Fact, Moment, Subject};

/// Notices written in one second; more of them are a flood, and are counted instead.
const NOTICES_MAX: u32 = 20;

/// Tells whoever runs this, once.
pub fn tell(alarm: &Alarm) {
    metrics::counter!("vigie_alarms_total", "kind" => alarm.kind.clone()).increment(1);
    match alarm.call {
        Some(call) if alarm.is_relief() => tracing::info!(alarm = %alarm.kind, %call, "{}", alarm.text),
        Some(call) => tracing::error!(alarm = %alarm.kind, %call, "{}", alarm.text),
        None if alarm.is_relief() => tracing::info!(alarm = %alarm.kind, "{}", alarm.text),
        None => tracing::error!(alarm = %alarm.kind, "{}", alarm.text),
    }
}

/// Reports what a stored fact says to the log and the metrics.
pub(super) fn report(fact: &Fact) {
    let Fact::Event(event) = fact else { return };
    match (&event.subject, &event.kind) {
        (Subject::Call(call), EventKind::CallAnswered { regulator, line, wait_ms, .. }) => {
            metrics::histogram!("vigie_wait_seconds").record(*wait_ms as f64 / 1000.0);
            tracing::info!(%call, %line, %regulator, wait_ms, "answered");
        }
        (Subject::Call(call), EventKind::CallReceived { line, fallback, .. }) => {
            tracing::info!(%call, %line, fallback, "received");
        }
        (Subject::Call(call), EventKind::CallEnded { .. }) => report_end(&call.to_string(), &event.kind),
        (Subject::Regulator(regulator), EventKind::RegulatorState { state, was, .. }) => {
            tracing::info!(%regulator, "{was} → {state}");
        }
        (subject, kind) => tracing::debug!(?subject, "{}", kind.name()),
    }
}

fn report_end(call: &str, kind: &EventKind) {
    if let EventKind::CallEnded { outcome, ended_by, regulator, wait_ms, talk_ms, detail, .. } = kind {
        let regulator = regulator.as_ref().map(|regulator| regulator.as_str());
        let (outcome, ended_by) = (word(outcome), word(ended_by));
        tracing::info!(call, outcome, ended_by, regulator, wait_ms, talk_ms, detail, "ended");
    }
}

/// A word as events and the API write it.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The log's notices, so many a second.
pub(super) struct Notices {
    second: Moment,
    written: u32,
    left_out: u32,
}

impl Notices {
    pub(super) fn new(now: Moment) -> Notices {
        Notices { second: now, written: 0, left_out: 0 }
    }

    /// Writes a notice, or counts it.
    pub(super) fn write(&mut self, text: &str, now: Moment) {
        if now.since(self.second) >= Duration::from_secs(1) {
            if self.left_out > 0 {
                tracing::warn!("{} more such lines were left out", self.left_out);
            }
            *self = Notices::new(now);
        }
        if self.written < NOTICES_MAX {
            self.written += 1;
            tracing::warn!("{text}");
        } else {
            self.left_out += 1;
        }
    }
}
