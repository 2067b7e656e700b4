//! Who may have a recording: a role, the right association and a reason, and an entry of the audit each time.

use reqwest::{Method, StatusCode};
use vigie::model::{CallId, Fact, SealedRecording};
use vigie::storage::audit::{self, AuditFilter, AuditRow};

use super::desk::{ADMIN, CHERBOURG, COMPLIANCE, Desk, ROUEN, VIEWER, record};

async fn entries(desk: &Desk) -> Vec<AuditRow> {
    audit::list(&desk.storage, &AuditFilter::default()).await.expect("the audit")
}

#[tokio::test]
async fn a_token_for_another_association_gets_no_byte_and_its_wish_is_in_the_audit() {
    let desk = Desk::open().await;
    for end in ["audio", "manifest", "signature"] {
        let answer = desk.read(ROUEN, &format!("/api/v1/recordings/{}/{end}?reason=curious", desk.call)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{end}");
        assert!(answer.problem().contains("sos-cherbourg"), "{end}");
    }
    let entries = entries(&desk).await;
    assert_eq!(entries.len(), 6, "each wish and its refusal");
    assert_eq!(entries[5].entry.act, "recording.listen");
    assert!(entries[5].refusal.as_deref().is_some_and(|why| why.contains("not for the association")));
    assert_eq!((entries[5].entry.actor.as_str(), entries[5].entry.reason.as_str()), ("rouen", "curious"));
}

#[tokio::test]
async fn a_token_for_some_associations_sees_their_calls_alone_and_nothing_that_tells_of_all() {
    let desk = Desk::open().await;
    let call = desk.call;
    let count = |answer: super::desk::Answer| answer.json()["items"].as_array().map(Vec::len);
    for path in ["/api/v1/calls", "/api/v1/recordings"] {
        assert_eq!(count(desk.read(CHERBOURG, path).await), Some(1), "{path}");
        assert_eq!(count(desk.read(ROUEN, path).await), Some(0), "{path}");
        let asked = format!("{path}?association=sos-cherbourg");
        assert_eq!(count(desk.read(ROUEN, &asked).await), Some(0), "{asked}");
    }
    for path in [
        format!("/api/v1/calls/{call}"),
        format!("/api/v1/calls/{call}/ladder"),
        format!("/api/v1/calls/{call}/routing"),
        format!("/api/v1/recordings/{call}"),
    ] {
        assert_eq!(desk.read(CHERBOURG, &path).await.status, StatusCode::OK, "{path}");
        assert_eq!(desk.read(ROUEN, &path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    for path in ["/api/v1/audit", "/api/v1/outbox", "/api/v1/statistics?from=2026-01-01&to=2026-01-02", "/api/v1/room"]
    {
        let answer = desk.read(ROUEN, path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.problem().contains("tells of all"), "{path}");
    }
    assert_eq!(desk.order(ROUEN, &format!("/api/v1/calls/{call}/end"), "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_viewer_reads_calls_but_has_neither_recordings_nor_the_audit_nor_commands() {
    let desk = Desk::open().await;
    let call = desk.call;
    for path in ["/api/v1/calls".to_owned(), format!("/api/v1/recordings/{call}")] {
        assert_eq!(desk.read(VIEWER, &path).await.status, StatusCode::OK, "{path}");
    }
    for path in [
        format!("/api/v1/recordings/{call}/audio?reason=curious"),
        format!("/api/v1/recordings/{call}/manifest"),
        format!("/api/v1/recordings/{call}/signature"),
        "/api/v1/audit".to_owned(),
    ] {
        assert_eq!(desk.read(VIEWER, &path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(desk.order(VIEWER, "/api/v1/regulators/anne/pause", "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_sidecar_leaves_only_after_its_entry_with_the_reason_that_was_given() {
    let desk = Desk::open().await;
    desk.read(COMPLIANCE, &format!("/api/v1/recordings/{}/manifest?reason=plainte%207", desk.call)).await;
    desk.read(COMPLIANCE, &format!("/api/v1/recordings/{}/signature?reason=plainte%208", desk.call)).await;
    let entries = entries(&desk).await;
    let told = |row: &AuditRow| (row.entry.act.clone(), row.entry.reason.clone(), row.refusal.is_some());
    assert_eq!(told(&entries[1]), ("recording.manifest".into(), "plainte 7".into(), false));
    assert_eq!(told(&entries[0]), ("recording.signature".into(), "plainte 8".into(), false));
}

#[tokio::test]
async fn whoever_takes_many_recordings_raises_an_alarm_once_a_window() {
    let desk = Desk::open().await;
    let mut calls = vec![desk.call];
    for n in 1..5 {
        let call = CallId(uuid::Uuid::from_u128(n));
        let like = desk.sealed();
        let sealed = SealedRecording { call, record: Box::new(record(call)), ..like };
        desk.remember(vec![Fact::Recording(Box::new(sealed))]).await;
        calls.push(call);
    }
    let alarms = async || {
        let told = entries(&desk).await.into_iter().filter(|row| row.entry.act == "alarm.bulk-listening");
        told.map(|row| row.entry.detail).collect::<Vec<_>>()
    };
    for (turn, call) in calls.iter().enumerate() {
        // The same one again and again is one recording.
        for _ in 0..2 {
            let answer = desk.read(COMPLIANCE, &format!("/api/v1/recordings/{call}/audio?reason=quality")).await;
            assert_eq!(answer.status, StatusCode::OK);
        }
        assert_eq!(alarms().await.len(), usize::from(turn >= 2), "after {} recordings", turn + 1);
    }
    assert_eq!(alarms().await, ["quality took or asked for 3 different recordings within 60 minutes"]);
    desk.read(ADMIN, &format!("/api/v1/recordings/{}/audio?reason=quality", calls[0])).await;
    assert_eq!(alarms().await.len(), 1, "another token is counted for itself");
}

#[tokio::test]
async fn nothing_through_the_api_changes_the_audit() {
    let desk = Desk::open().await;
    desk.read(ADMIN, &format!("/api/v1/recordings/{}/audio?reason=quality", desk.call)).await;
    let before = entries(&desk).await;
    let bearer = format!("Bearer {ADMIN}");
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        for path in ["/api/v1/audit", "/api/v1/audit/1", "/api/v1/audit?position=1"] {
            let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
            let status = desk.ask(method.clone(), path, &headers, "{}").await.status.as_u16();
            assert!(matches!(status, 404 | 405), "{method} {path}: {status}");
        }
    }
    assert_eq!(entries(&desk).await, before);
}
