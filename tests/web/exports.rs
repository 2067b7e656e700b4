//! Exports over HTTP: two different people, a reason, and the audit before anything.

use reqwest::StatusCode;
use serde_json::json;

use super::desk::{ADMIN, COMPLIANCE, Desk, OPS_AGAIN, ROUEN, VIEWER};

async fn ask(desk: &Desk, token: &str) -> String {
    let body = json!({ "calls": [desk.call.to_string()], "reason": "réquisition" }).to_string();
    let asked = desk.order(token, "/api/v1/exports", &body).await;
    assert_eq!(asked.status, StatusCode::CREATED, "{}", asked.text());
    let asked = asked.json();
    assert_eq!((asked["state"].as_str(), asked["decided_by"].as_str()), (Some("requested"), None));
    asked["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn an_export_is_approved_by_another_person_once_and_fetched_by_the_two_alone() {
    let desk = Desk::open().await;
    let id = ask(&desk, ADMIN).await;
    let at = |end: &str| format!("/api/v1/exports/{id}{end}");
    let reason = r#"{"reason": "seen"}"#;
    for (token, body, status) in [
        (ADMIN, reason, StatusCode::FORBIDDEN),
        (OPS_AGAIN, reason, StatusCode::FORBIDDEN),
        (ROUEN, reason, StatusCode::FORBIDDEN),
        (VIEWER, reason, StatusCode::FORBIDDEN),
        (COMPLIANCE, "{}", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(desk.order(token, &at("/approve"), body).await.status, status, "{token} {body}");
    }
    assert_eq!(desk.read(ADMIN, &at("/archive?reason=plainte")).await.status, StatusCode::CONFLICT, "not approved yet");
    let approved = desk.order(COMPLIANCE, &at("/approve"), reason).await;
    assert_eq!(approved.json()["state"].as_str(), Some("approved"), "{}", approved.text());
    assert_eq!(desk.order(COMPLIANCE, &at("/refuse"), reason).await.status, StatusCode::CONFLICT, "answered once");
    assert_eq!(desk.read(ADMIN, &at("/archive")).await.status, StatusCode::BAD_REQUEST, "without a reason");
    assert_eq!(desk.read(VIEWER, &at("/archive?reason=plainte")).await.status, StatusCode::FORBIDDEN);
    let told = desk.read(COMPLIANCE, &format!("/api/v1/audit?call={}", desk.call)).await.json();
    let acts: Vec<&str> =
        told["items"].as_array().expect("items").iter().filter_map(|one| one["act"].as_str()).collect();
    assert!(acts.contains(&"export.request") && acts.contains(&"export.approve"), "{acts:?}");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_and_nothing_is_kept_of_it() {
    let desk = Desk::open().await;
    let call = desk.call.to_string();
    for (body, status) in [
        (json!({ "calls": [], "reason": "plainte" }), StatusCode::BAD_REQUEST),
        (json!({ "calls": [call] }), StatusCode::BAD_REQUEST),
        (json!({ "calls": ["../../etc/passwd"], "reason": "plainte" }), StatusCode::BAD_REQUEST),
        (json!({ "calls": [call], "reason": "a\r\nb" }), StatusCode::BAD_REQUEST),
        (json!({ "calls": ["00000000-0000-4000-8000-000000000001"], "reason": "plainte" }), StatusCode::NOT_FOUND),
    ] {
        let answer = desk.order(ADMIN, "/api/v1/exports", &body.to_string()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    let listed = desk.read(ADMIN, "/api/v1/exports").await.json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(0));
    for path in ["/api/v1/exports/x", "/api/v1/exports/..%2f..%2fsecret/archive?reason=plainte"] {
        assert!(matches!(desk.read(ADMIN, path).await.status.as_u16(), 400 | 404), "{path}");
    }
}
