//! Who gets in: tokens, roles, and what is open to all.

use reqwest::{Method, StatusCode};

use super::desk::{ADMIN, COMPLIANCE, Desk};

#[tokio::test]
async fn nothing_under_api_v1_answers_without_a_known_token() {
    let desk = Desk::open().await;
    let paths = [
        "/api/v1/calls",
        "/api/v1/recordings",
        "/api/v1/room",
        "/api/v1/regulators",
        "/api/v1/outbox",
        "/api/v1/audit",
        "/api/v1/calls?nonsense=1",
    ];
    for path in paths {
        for header in ["", "Bearer", "Bearer wrong", "Basic b3BzOm9wcw==", "Bearer \u{e9}", ADMIN] {
            let headers: &[(&str, &str)] = if header.is_empty() { &[] } else { &[("authorization", header)] };
            let answer = desk.ask(Method::GET, path, headers, "").await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path} {header}");
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"vigie\"");
            assert!(answer.problem().contains("Bearer TOKEN") || answer.problem().contains("not known"));
        }
    }
    assert_eq!(desk.read(ADMIN, "/api/v1/calls").await.status, StatusCode::OK);
}

#[tokio::test]
async fn two_authorization_headers_are_as_good_as_none() {
    let desk = Desk::open().await;
    let bearer = format!("Bearer {ADMIN}");
    let headers = [("authorization", bearer.as_str()), ("authorization", bearer.as_str())];
    let answer = desk.ask(Method::GET, "/api/v1/calls", &headers, "").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn compliance_reads_but_does_not_command() {
    let desk = Desk::open().await;
    let call = desk.call;
    for path in ["/api/v1/calls", "/api/v1/audit", "/api/v1/recordings", "/api/v1/outbox"] {
        assert_eq!(desk.read(COMPLIANCE, path).await.status, StatusCode::OK, "{path}");
    }
    let orders = [
        (format!("/api/v1/calls/{call}/end"), ""),
        ("/api/v1/regulators/anne/pause".to_owned(), "{\"reason\": \"pause déjeuner\"}"),
        ("/api/v1/regulators/anne/ready".to_owned(), ""),
        ("/api/v1/outbox/1/replay".to_owned(), ""),
    ];
    for (path, body) in orders {
        let answer = desk.order(COMPLIANCE, &path, body).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.problem().contains("admin"), "{path}");
    }
    let audit = desk.read(ADMIN, "/api/v1/audit").await.json();
    assert_eq!(audit["items"], serde_json::json!([]), "what was refused was not done");
}

#[tokio::test]
async fn health_and_the_index_are_open_and_metrics_are_on_loopback() {
    let desk = Desk::open().await;
    let index = desk.ask(Method::GET, "/", &[], "").await;
    assert!(index.text().contains("/api/openapi.json") && index.header("content-type").starts_with("text/plain"));
    assert_eq!(desk.ask(Method::GET, "/healthz", &[], "").await.json()["status"], "ok");
    desk.read(ADMIN, &format!("/api/v1/calls/{}", desk.call)).await;
    let metrics = desk.ask(Method::GET, "/metrics", &[], "").await;
    assert_eq!(metrics.status, StatusCode::OK);
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    let text = metrics.text();
    assert!(text.contains("# HELP vigie_http_requests_total"), "{text}");
    assert!(text.contains("route=\"/api/v1/calls/{call}\""), "{text}");
    assert!(!text.contains(&desk.call.to_string()), "an id in a label is a series a call");
}

#[tokio::test]
async fn what_stands_against_readiness_is_told_with_503() {
    let desk = Desk::open().await;
    desk.ready.object("media", "no port could be bound");
    let answer = desk.ask(Method::GET, "/readyz", &[], "").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let told = answer.json();
    assert_eq!(told["ready"], false);
    assert!(told["reasons"].to_string().contains("media: no port could be bound"), "{told}");
}

#[tokio::test]
async fn every_answer_stays_out_of_caches_and_is_not_sniffed() {
    let desk = Desk::open().await;
    for path in ["/", "/healthz", "/nowhere", "/api/v1/calls", "/api/openapi.json"] {
        let answer = desk.read(ADMIN, path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test]
async fn metrics_are_not_open_to_a_peer_that_is_not_known_to_be_local() {
    let mut desk = Desk::open().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    desk.base = format!("http://{}", listener.local_addr().expect("an address"));
    // Served without the peer's address: as good as from anywhere.
    let router = vigie::web::router(desk.parts.clone());
    tokio::spawn(axum::serve(listener, router).into_future());
    assert_eq!(desk.ask(Method::GET, "/metrics", &[], "").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(desk.read(COMPLIANCE, "/metrics").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_stop_ends_the_server_although_a_client_keeps_its_connection() {
    let desk = Desk::open().await;
    assert_eq!(desk.read(ADMIN, "/healthz").await.status, StatusCode::OK);
    desk.stop().await;
}
