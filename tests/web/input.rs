//! Bad input: a 400 that names the key, never a crash.

use reqwest::{Method, StatusCode};

use super::desk::{ADMIN, Desk};

#[tokio::test]
async fn every_bad_query_gets_a_400_that_names_what_is_wrong() {
    let desk = Desk::open().await;
    let table = [
        ("/api/v1/calls?colour=red", "colour"),
        ("/api/v1/calls?from=yesterday", "from"),
        ("/api/v1/calls?to=2023-11-14", "to"),
        ("/api/v1/calls?from=", "from"),
        ("/api/v1/calls?limit=0", "limit"),
        ("/api/v1/calls?limit=501", "limit"),
        ("/api/v1/calls?limit=-1", "limit"),
        ("/api/v1/calls?limit=ten", "limit"),
        ("/api/v1/calls?line=Rouen%20Nord", "line"),
        ("/api/v1/calls?line=a&line=b", "line"),
        ("/api/v1/calls?regulator=..%2Fx", "regulator"),
        ("/api/v1/calls?outcome=great", "outcome"),
        ("/api/v1/calls?before=12", "before"),
        ("/api/v1/calls?caller=", "caller"),
        ("/api/v1/recordings?wrong=1", "wrong"),
        ("/api/v1/recordings?region=%27%20OR%201%3D1", "region"),
        ("/api/v1/audit?before=x", "before"),
        ("/api/v1/audit?call=7", "call"),
        ("/api/v1/outbox?state=lost", "state"),
        ("/api/v1/calls/00000000-0000-0000-0000-000000000001/ladder?format=xml", "format"),
        ("/api/v1/calls/00000000-0000-0000-0000-000000000001/ladder?messages=perhaps", "messages"),
        ("/api/v1/calls/00000000-0000-0000-0000-000000000001/routing?lang=de", "lang"),
        ("/api/v1/calls/7", "in the path"),
        ("/api/v1/regulators/Anne%20B", "in the path"),
    ];
    for (path, names) in table {
        let answer = desk.read(ADMIN, path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.text());
        let detail = answer.problem();
        assert!(detail.contains(names), "{path}: {detail}");
    }
    let endless = desk.read(ADMIN, &format!("/api/v1/calls?line={}", "x".repeat(5000))).await;
    assert_eq!(endless.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_bad_body_is_refused_with_its_own_status() {
    let desk = Desk::open().await;
    let path = "/api/v1/regulators/anne/pause";
    let large = format!("{{\"reason\": \"{}\"}}", "x".repeat(20_000));
    let table = [
        ("{", 400, "body"),
        ("[]", 400, "body"),
        ("null", 400, "for example {\"reason\": \"lunch\"}"),
        ("{\"reason\": 1}", 400, "for example {\"reason\": \"lunch\"}"),
        ("{\"reason\": \"x\"}", 400, "reason"),
        ("{\"reason\": \"lunch\", \"until\": 3}", 400, "until"),
        (large.as_str(), 413, "bytes"),
    ];
    for (body, status, names) in table {
        let answer = desk.order(ADMIN, path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{:.60}: {}", body, answer.text());
        let detail = answer.problem();
        assert!(detail.contains(names), "{body:.60}: {detail}");
    }
    let bearer = format!("Bearer {ADMIN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "text/plain")];
    let answer = desk.ask(Method::POST, path, &headers, "{\"reason\": \"lunch\"}").await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(answer.problem().contains("application/json"));
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let desk = Desk::open().await;
    let nobody = "00000000-0000-0000-0000-000000000001";
    let paths = [
        "/nowhere".to_owned(),
        "/api/v2/calls".to_owned(),
        "/api/v1/calls/".to_owned(),
        format!("/api/v1/calls/{nobody}"),
        format!("/api/v1/calls/{nobody}/ladder"),
        format!("/api/v1/calls/{nobody}/routing"),
        format!("/api/v1/recordings/{nobody}"),
        format!("/api/v1/recordings/{nobody}/audio?reason=plainte"),
    ];
    for path in paths {
        let answer = desk.read(ADMIN, &path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(!answer.problem().is_empty());
    }
    let answer = desk.order(ADMIN, "/api/v1/outbox/999/replay", "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
}

#[tokio::test]
async fn a_wrong_method_is_told_which_are_right() {
    let desk = Desk::open().await;
    let answer = desk.ask(Method::DELETE, "/api/v1/calls", &[], "").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(answer.header("allow").contains("GET"), "{:?}", answer.headers);
    assert!(answer.problem().contains("Allow"));
}
