//! An event as CloudEvents 1.0 writes it, in structured JSON mode.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::storage::events::StoredEvent;

/// The Content-Type of a delivery.
pub(super) const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// The `source` of everything that node `node` tells: a URN, whatever the name holds.
pub(super) fn source(node: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') { c } else { '-' };
    format!("urn:vigie:{}", node.chars().map(plain).collect::<String>())
}

/// The body of a delivery: the same on every attempt.
pub(super) fn body(event: &StoredEvent, source: &str, zone: &TimeZone) -> Vec<u8> {
    let mut payload = event.payload.clone();
    if let (Some(call), Value::Object(fields)) = (event.call, &mut payload) {
        fields.insert("call".into(), call.to_string().into());
    }
    // `partitionkey` (partitioning extension): the call's id, or the regulator's.
    let partition = event.subject.rsplit('/').next().unwrap_or_default();
    let written = json!({
        "specversion": "1.0",
        "id": event.id.to_string(),
        "source": source,
        "type": event.kind,
        "subject": event.subject,
        "time": event.at.with_offset(zone),
        "datacontenttype": "application/json",
        // Sequence extension: compared as text, hence the zeros.
        "sequence": format!("{:010}", event.sequence),
        "partitionkey": partition,
        "data": payload,
    });
    written.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CallId, EventId, Utc};

    #[test]
    fn an_event_is_written_with_every_attribute_that_a_receiver_may_ask() {
        let call = CallId(uuid::Uuid::from_u128(2));
        let event = StoredEvent {
            id: EventId(uuid::Uuid::from_u128(1)),
            subject: format!("calls/{call}"),
            call: Some(call),
            sequence: 7,
            at: Utc(1_700_000_000_123_456),
            kind: "call.abandoned".into(),
            payload: json!({"wait_ms": 5}),
        };
        let zone = TimeZone::get("Europe/Paris").expect("bundled zone");
        let body = body(&event, &source("node 1"), &zone);
        let expected = json!({
            "specversion": "1.0", "id": "00000000-0000-0000-0000-000000000001", "source": "urn:vigie:node-1",
            "type": "call.abandoned", "subject": "calls/00000000-0000-0000-0000-000000000002",
            "time": "2023-11-14T23:13:20.123+01:00", "datacontenttype": "application/json",
            "sequence": "0000000007", "partitionkey": "00000000-0000-0000-0000-000000000002",
            "data": {"wait_ms": 5, "call": "00000000-0000-0000-0000-000000000002"},
        });
        assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON"), expected);
    }
}
