//! Audio: a reason first, then exactly the bytes asked for, of exactly the file that was sealed.

use std::net::SocketAddr;

use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vigie::model::Fact;
use vigie::storage::audit::{self, AuditFilter};

use super::desk::{ADMIN, COMPLIANCE, Desk};

fn audio_path(desk: &Desk) -> String {
    format!("/api/v1/recordings/{}/audio", desk.call)
}

async fn listen(desk: &Desk, headers: &[(&str, &str)]) -> super::desk::Answer {
    let bearer = format!("Bearer {COMPLIANCE}");
    let mut all = vec![("authorization", bearer.as_str()), ("x-access-reason", "plainte 12/2026")];
    all.extend(headers);
    desk.ask(Method::GET, &audio_path(desk), &all, "").await
}

#[tokio::test]
async fn audio_demands_a_reason_and_says_how_to_give_one() {
    let desk = Desk::open().await;
    let endless = "x".repeat(501);
    let path = audio_path(&desk);
    let ways =
        ["", "?reason=", "?reason=ab", "?reason=%20%20ab%20", "?reason=a%0ab%0ac", &format!("?reason={endless}")];
    for query in ways {
        let answer = desk.read(ADMIN, &format!("{path}{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        let detail = answer.problem();
        assert!(detail.contains("?reason=") && detail.contains("X-Access-Reason"), "{detail}");
    }
    let entries = audit::list(&desk.storage, &AuditFilter::default()).await.expect("the audit");
    assert_eq!(entries.len(), 2 * ways.len(), "each wish and its refusal");
    assert!(entries.iter().all(|row| row.refusal.is_some() || row.entry.refuses.is_some()), "{entries:?}");
}

#[tokio::test]
async fn whoever_listens_is_in_the_audit_with_the_reason() {
    let desk = Desk::open().await;
    let by_query = desk.read(ADMIN, &format!("{}?reason=contr%C3%B4le%20qualit%C3%A9", audio_path(&desk))).await;
    assert_eq!((by_query.status, by_query.body == desk.audio), (StatusCode::OK, true));
    let by_header = listen(&desk, &[("range", "bytes=10-19")]).await;
    assert_eq!(by_header.status, StatusCode::PARTIAL_CONTENT);
    let told = desk.read(COMPLIANCE, &format!("/api/v1/audit?call={}", desk.call)).await.json();
    let entries = told["items"].as_array().expect("entries");
    assert_eq!(entries.len(), 2, "{told}");
    let newest = &entries[0];
    assert_eq!(newest["actor"], "quality");
    assert_eq!(newest["act"], "recording.listen");
    assert_eq!(newest["reason"], "plainte 12/2026");
    assert_eq!(newest["source"], "127.0.0.1");
    assert_eq!(newest["detail"], format!("10 bytes from 10 of {}", desk.audio.len()));
    assert_eq!((&entries[1]["actor"], &entries[1]["reason"]), (&"ops".into(), &"contrôle qualité".into()));
}

#[tokio::test]
async fn when_the_audit_cannot_be_written_nobody_listens() {
    let desk = Desk::open().await;
    break_audit(&desk).await;
    for path in [audio_path(&desk), format!("/api/v1/regulators/anne/{}", "ready")] {
        let answer = match path.ends_with("ready") {
            true => desk.order(ADMIN, &path, "").await,
            false => listen(&desk, &[]).await,
        };
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(answer.problem().contains("audit"), "{path}");
    }
}

/// Takes the audit table away behind the server's back.
async fn break_audit(desk: &Desk) {
    let url = format!("sqlite:{}", desk.folder.path().join("vigie.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.expect("the database");
    sqlx::query("ALTER TABLE audit RENAME TO audit_gone").execute(&pool).await.expect("renamed");
    pool.close().await;
}

#[tokio::test]
async fn the_audit_is_written_before_the_first_byte_is_read() {
    let desk = Desk::open().await;
    let address: SocketAddr = desk.base.trim_start_matches("http://").parse().expect("an address");
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let request = format!(
        "GET {}?reason=plainte HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\nConnection: close\r\n\r\n",
        audio_path(&desk)
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.expect("the first byte of the answer");
    let entries = audit::list(&desk.storage, &AuditFilter::default()).await.expect("the audit");
    assert_eq!(entries.len(), 1);
}

#[tokio::test]
async fn each_range_brings_exactly_its_bytes() {
    let desk = Desk::open().await;
    let length = desk.audio.len();
    let table = [
        ("bytes=0-0", 0, 1),
        ("bytes=0-43", 0, 44),
        ("bytes=100-", 100, length),
        ("bytes=-100", length - 100, length),
        ("bytes=31000-999999", 31000, length),
        ("bytes=-999999", 0, length),
    ];
    for (range, from, to) in table {
        let answer = listen(&desk, &[("range", range)]).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(answer.header("content-range"), format!("bytes {from}-{}/{length}", to - 1));
        assert_eq!(answer.header("content-length"), (to - from).to_string());
        assert!(answer.body == desk.audio[from..to], "{range}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn the_whole_comes_with_its_hash_as_etag() {
    let desk = Desk::open().await;
    for range in [None, Some("bytes=0-1,5-6"), Some("lines=1-2"), Some("bytes=9-3")] {
        let headers: Vec<(&str, &str)> = range.map(|range| ("range", range)).into_iter().collect();
        let answer = listen(&desk, &headers).await;
        assert_eq!(answer.status, StatusCode::OK, "{range:?}");
        assert!(answer.body == desk.audio);
        assert_eq!(answer.header("etag"), format!("\"{}\"", desk.sealed().audio_sha256));
        assert_eq!(answer.header("accept-ranges"), "bytes");
        assert_eq!(answer.header("content-type"), "audio/wav");
        assert_eq!(answer.header("content-length"), desk.audio.len().to_string());
    }
}

#[tokio::test]
async fn a_range_outside_the_audio_is_416_and_tells_the_length() {
    let desk = Desk::open().await;
    for range in [format!("bytes={}-", desk.audio.len()), "bytes=-0".into(), "bytes=99999999999999999999-".into()] {
        let answer = listen(&desk, &[("range", &range)]).await;
        assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
        assert_eq!(answer.header("content-range"), format!("bytes */{}", desk.audio.len()));
        assert!(answer.problem().contains(&desk.audio.len().to_string()));
    }
}

#[tokio::test]
async fn if_range_holds_only_for_the_very_same_audio() {
    let desk = Desk::open().await;
    let etag = format!("\"{}\"", desk.sealed().audio_sha256);
    let same = listen(&desk, &[("range", "bytes=0-9"), ("if-range", &etag)]).await;
    assert_eq!((same.status, same.body.len()), (StatusCode::PARTIAL_CONTENT, 10));
    for other in ["\"0000\"", &format!("W/{etag}"), "Tue, 14 Nov 2023 22:13:20 GMT"] {
        let answer = listen(&desk, &[("range", "bytes=0-9"), ("if-range", other)]).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, desk.audio.len()), "{other}");
    }
}

#[tokio::test]
async fn head_tells_the_length_without_a_byte_and_is_audited_too() {
    let desk = Desk::open().await;
    let bearer = format!("Bearer {COMPLIANCE}");
    let headers = [("authorization", bearer.as_str()), ("x-access-reason", "plainte"), ("range", "bytes=0-9")];
    let answer = desk.ask(Method::HEAD, &audio_path(&desk), &headers, "").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-length"), desk.audio.len().to_string());
    assert_eq!(answer.header("etag"), format!("\"{}\"", desk.sealed().audio_sha256));
    assert!(answer.body.is_empty());
    assert_eq!(audit::list(&desk.storage, &AuditFilter::default()).await.expect("the audit").len(), 1);
    let refused = desk.ask(Method::HEAD, &audio_path(&desk), &headers[..1], "").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(audit::list(&desk.storage, &AuditFilter::default()).await.expect("the audit").len(), 3, "refused, too");
}

#[tokio::test]
async fn sidecar_and_signature_come_byte_for_byte() {
    let desk = Desk::open().await;
    let base = format!("/api/v1/recordings/{}", desk.call);
    let manifest = desk.read(COMPLIANCE, &format!("{base}/manifest?reason=plainte")).await;
    let sidecar = std::fs::read(desk.recording_folder().join("vcon.json")).expect("the sidecar");
    assert!(manifest.body == sidecar && manifest.header("content-type") == "application/json");
    let signature = desk.read(COMPLIANCE, &format!("{base}/signature?reason=plainte")).await;
    assert_eq!((signature.status, signature.body), (StatusCode::OK, vec![7; 64]));
}

#[tokio::test]
async fn no_path_leads_out_of_the_recordings_folder() {
    let desk = Desk::open().await;
    std::fs::write(desk.folder.path().join("secret.wav"), &desk.audio).expect("a secret");
    let link = desk.recording_folder().join("link.wav");
    std::os::unix::fs::symlink(desk.folder.path().join("secret.wav"), &link).expect("a link");
    let outside = desk.folder.path().join("secret.wav").display().to_string();
    let linked = format!("2023/11/14/{}/link.wav", desk.call);
    for path in ["../secret.wav", "2023/../../secret.wav", outside.as_str(), linked.as_str(), "", "2023"] {
        let sealed = vigie::model::SealedRecording { path: path.into(), sidecar: path.into(), ..desk.sealed() };
        desk.remember(vec![Fact::Recording(Box::new(sealed))]).await;
        let audio = listen(&desk, &[]).await;
        assert_eq!(audio.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert!(audio.problem().contains("vigie verify"), "{path}");
        let manifest = desk.read(ADMIN, &format!("/api/v1/recordings/{}/manifest?reason=plainte", desk.call)).await;
        assert_eq!(manifest.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
    }
}

#[tokio::test]
async fn no_id_in_a_request_becomes_a_path() {
    let desk = Desk::open().await;
    for id in ["..%2f..%2fsecret", "%2e%2e", "....//", "%00", "x", "00000000-0000-0000-0000"] {
        for end in ["", "/audio?reason=plainte", "/manifest", "/signature"] {
            let status = desk.read(ADMIN, &format!("/api/v1/recordings/{id}{end}")).await.status;
            assert!(matches!(status.as_u16(), 400 | 404), "{id}{end}: {status}");
        }
    }
}

#[tokio::test]
async fn audio_that_is_not_what_was_sealed_is_not_sent() {
    let desk = Desk::open().await;
    std::fs::write(desk.recording_folder().join("audio.wav"), b"short").expect("tampered");
    let answer = listen(&desk, &[]).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.problem().contains("5 bytes"));
    std::fs::remove_file(desk.recording_folder().join("audio.wav")).expect("removed");
    let answer = listen(&desk, &[]).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.problem().contains("is not there"));
}

#[tokio::test]
async fn a_recording_that_failed_says_why_it_is_not_there() {
    let desk = Desk::open().await;
    let call = vigie::model::CallId(uuid::Uuid::from_u128(99));
    let fact = Fact::RecordingFailed { call, at: super::desk::RECEIVED, reason: "disk full".into() };
    desk.remember(vec![fact]).await;
    let answer = desk.read(ADMIN, &format!("/api/v1/recordings/{call}")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.problem().contains("disk full"));
}
