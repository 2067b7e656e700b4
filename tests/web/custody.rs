//! Custody over HTTP: holds and their release, deletion, the clock; two people, whatever their tokens are named.

use reqwest::StatusCode;

use super::desk::{ADMIN, CHERBOURG, COMPLIANCE, Desk, OPS_AGAIN, ROUEN, VIEWER};

const BECAUSE: &str = r#"{"reason": "complaint 12"}"#;

#[tokio::test]
async fn a_hold_is_released_by_another_person_and_not_by_another_token_of_the_same() {
    let desk = Desk::open().await;
    let holds = format!("/api/v1/recordings/{}/holds", desk.call);
    let body = r#"{"reason": "=cmd|' /C calc'!A0", "case_number": "RG 26/01234"}"#;
    let placed = desk.order(ADMIN, &holds, body).await;
    assert_eq!(placed.status, StatusCode::CREATED, "{}", placed.text());
    assert_eq!(placed.json()["reason"], "=cmd|' /C calc'!A0", "stored as it was said");
    let release = format!("/api/v1/holds/{}/release", placed.json()["id"]);
    for same in [ADMIN, OPS_AGAIN] {
        let refused = desk.order(same, &release, BECAUSE).await;
        assert_eq!(refused.status, StatusCode::CONFLICT);
        assert!(refused.problem().contains("somebody else"));
    }
    let custody = desk.read(COMPLIANCE, &format!("/api/v1/recordings/{}/custody", desk.call)).await.json();
    assert_eq!((&custody["is_held"], &custody["expires_at"]), (&true.into(), &serde_json::Value::Null));
    let released = desk.order(COMPLIANCE, &release, BECAUSE).await;
    assert_eq!((released.status, &released.json()["released_by"]), (StatusCode::OK, &"quality".into()));
    assert_eq!(desk.order(COMPLIANCE, &release, BECAUSE).await.status, StatusCode::CONFLICT);
    let acts = desk.read(ADMIN, &format!("/api/v1/audit?call={}", desk.call)).await.json();
    let acts: Vec<_> = acts["items"].as_array().expect("rows").iter().map(|row| row["act"].to_string()).collect();
    assert_eq!(acts.iter().filter(|act| act.contains("recording.release.refused")).count(), 3, "{acts:?}");
}

#[tokio::test]
async fn custody_asks_for_role_association_and_reason() {
    let desk = Desk::open().await;
    let holds = format!("/api/v1/recordings/{}/holds", desk.call);
    for token in [VIEWER, ROUEN] {
        assert_eq!(desk.order(token, &holds, BECAUSE).await.status, StatusCode::FORBIDDEN);
        let custody = format!("/api/v1/recordings/{}/custody", desk.call);
        assert_eq!(desk.read(token, &custody).await.status, StatusCode::FORBIDDEN);
    }
    for body in
        ["", "{}", r#"{"reason": "x"}"#, r#"{"reason": "a\r\nb: c"}"#, r#"{"reason": "abc", "case_number": "a\u0000"}"#]
    {
        assert_eq!(desk.order(ADMIN, &holds, body).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    for path in ["/api/v1/holds/..%2f1/release", "/api/v1/holds/99/release", "/api/v1/deletions/99/approve"] {
        let status = desk.order(ADMIN, path, BECAUSE).await.status.as_u16();
        assert!(matches!(status, 400 | 404), "{path}: {status}");
    }
    assert_eq!(desk.order(CHERBOURG, &holds, BECAUSE).await.status, StatusCode::CREATED);
    assert_eq!(desk.order(COMPLIANCE, "/api/v1/custody/clock", BECAUSE).await.status, StatusCode::FORBIDDEN);
    assert_eq!(desk.order(ADMIN, "/api/v1/custody/clock", BECAUSE).await.json()["is_believed"], true);
}

#[tokio::test]
async fn what_is_not_due_is_not_proposed_and_says_why() {
    let desk = Desk::open().await;
    let named = format!(r#"{{"reason": "yearly clearing", "calls": ["{}"]}}"#, desk.call);
    let refused = desk.order(ADMIN, "/api/v1/deletions", &named).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.problem().contains("retention nobody ever configured"), "{}", refused.text());
    assert_eq!(desk.order(ADMIN, "/api/v1/deletions", BECAUSE).await.status, StatusCode::CONFLICT);
    assert_eq!(desk.read(ADMIN, "/api/v1/deletions").await.json(), serde_json::json!([]));
}
