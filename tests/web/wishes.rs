//! Wishes for recordings that are refused: each is in the audit, whatever was missing and whichever door was asked; nobody fills
//! the audit by asking; and whoever takes many recordings, also as exports, raises the alarm.

use reqwest::{Method, StatusCode};
use serde_json::json;
use vigie::model::{CallId, Fact, SealedRecording};
use vigie::storage::audit::{self, AuditFilter, AuditRow};

use super::desk::{ADMIN, CHERBOURG, COMPLIANCE, Desk, ROUEN, VIEWER, record};

/// Everything of a recording that leaves by a GET, and the word that the audit has for it.
const DOORS: [(&str, &str); 8] = [
    ("audio", "recording.listen"),
    ("audio?from=1", "recording.listen"),
    ("preview", "recording.listen"),
    ("parties", "recording.listen"),
    ("peaks", "recording.listen"),
    ("redactions/1/audio", "recording.listen"),
    ("manifest", "recording.manifest"),
    ("signature", "recording.signature"),
];

async fn rows(desk: &Desk) -> Vec<AuditRow> {
    let filter = AuditFilter { limit: Some(500), ..AuditFilter::default() };
    audit::list(&desk.storage, &filter).await.expect("the audit")
}

async fn fetch(desk: &Desk, (token, door, reason): (&str, &str, &str)) -> super::desk::Answer {
    let (bearer, path) = (format!("Bearer {token}"), format!("/api/v1/recordings/{}/{door}", desk.call));
    let mut headers = vec![("authorization", bearer.as_str())];
    headers.extend((!reason.is_empty()).then_some(("x-access-reason", reason)));
    desk.ask(Method::GET, &path, &headers, "").await
}

#[tokio::test]
async fn each_door_refuses_for_want_of_a_role_an_association_or_a_reason_and_the_audit_has_it() {
    for (door, act) in DOORS {
        let desk = Desk::open().await;
        let table = [
            (VIEWER, "screen", "curious", StatusCode::FORBIDDEN),
            (VIEWER, "screen", "", StatusCode::FORBIDDEN),
            (ROUEN, "rouen", "curious", StatusCode::FORBIDDEN),
            (ADMIN, "ops", "", StatusCode::BAD_REQUEST),
            (CHERBOURG, "cherbourg", "ab", StatusCode::BAD_REQUEST),
        ];
        for (turn, (token, name, reason, status)) in table.into_iter().enumerate() {
            let answer = fetch(&desk, (token, door, reason)).await;
            assert_eq!(answer.status, status, "{door} {name} {reason}: {}", answer.text());
            let why = answer.problem();
            let rows = rows(&desk).await;
            assert_eq!(rows.len(), 2 * (turn + 1), "{door} {name}: the wish and its refusal");
            let (refusal, wish) = (&rows[0], &rows[1]);
            assert_eq!((wish.entry.act.as_str(), wish.entry.actor.as_str()), (act, name), "{door}");
            assert_eq!((wish.entry.call, wish.entry.reason.as_str()), (Some(desk.call), reason), "{door}");
            assert_eq!(refusal.entry.act, format!("{act}.refused"));
            assert_eq!((refusal.entry.refuses, refusal.entry.detail.as_str()), (Some(wish.position), why.as_str()));
            assert_eq!(wish.refusal.as_deref(), Some(why.as_str()));
        }
        let stranger = fetch(&desk, ("a-strangers-token", door, "curious")).await;
        assert_eq!(stranger.status, StatusCode::UNAUTHORIZED, "{door}");
        assert_eq!(rows(&desk).await.len(), 10, "{door}: who is nobody leaves nothing");
    }
}

#[tokio::test]
async fn an_export_that_is_asked_for_answered_or_fetched_without_the_right_is_in_the_audit_as_refused() {
    let desk = Desk::open().await;
    let body = |reason: &str| json!({ "calls": [desk.call.to_string()], "reason": reason }).to_string();
    let nothing = json!({ "calls": [desk.call.to_string()] }).to_string();
    let tries = [
        (VIEWER, body("curious"), StatusCode::FORBIDDEN),
        (ROUEN, body("curious"), StatusCode::FORBIDDEN),
        (ADMIN, nothing, StatusCode::BAD_REQUEST),
        (ADMIN, body("a\r\nb"), StatusCode::BAD_REQUEST),
    ];
    for (turn, (token, body, status)) in tries.into_iter().enumerate() {
        assert_eq!(desk.order(token, "/api/v1/exports", &body).await.status, status, "{token} {body}");
        let rows = rows(&desk).await;
        assert_eq!(rows.len(), 2 * (turn + 1));
        assert!(rows[1].entry.act == "export.request" && rows[1].refusal.is_some(), "{:?}", rows[1]);
        assert!(!rows[1].entry.reason.contains(['\r', '\n']), "one line: {:?}", rows[1].entry.reason);
    }
    // With one that is refused none is asked for.
    let call = CallId(uuid::Uuid::from_u128(77));
    let mut other = SealedRecording { call, record: Box::new(record(call)), ..desk.sealed() };
    other.record.association = "sos-rouen".into();
    desk.remember(vec![Fact::Recording(Box::new(other))]).await;
    let both = json!({ "calls": [call.to_string(), desk.call.to_string()], "reason": "curious" }).to_string();
    let before = rows(&desk).await.len();
    assert_eq!(desk.order(ROUEN, "/api/v1/exports", &both).await.status, StatusCode::FORBIDDEN);
    let told = rows(&desk).await;
    assert!(told.len() == before + 2 && told[1].refusal.is_some() && told[1].entry.call == Some(desk.call), "{told:?}");
    // A token for the call's association may ask, and its words are the audit's.
    let asked = desk.order(CHERBOURG, "/api/v1/exports", &body("réquisition 12")).await;
    assert_eq!(asked.status, StatusCode::CREATED, "{}", asked.text());
    let id = asked.json()["id"].as_str().expect("an id").to_owned();
    let before = rows(&desk).await.len();
    for (token, end, act) in [
        (VIEWER, "/archive?reason=curious", "export.fetch"),
        (ROUEN, "/archive?reason=curious", "export.fetch"),
        (CHERBOURG, "/archive", "export.fetch"),
        (CHERBOURG, "/archive?reason=too+early", "export.fetch"),
    ] {
        let answer = desk.read(token, &format!("/api/v1/exports/{id}{end}")).await;
        assert!(matches!(answer.status.as_u16(), 400 | 403 | 409), "{end}: {}", answer.status);
        let rows = rows(&desk).await;
        assert!(rows[1].entry.act == act && rows[1].refusal.is_some(), "{end}: {:?}", rows[1]);
    }
    for (token, body) in [(VIEWER, r#"{"reason": "seen"}"#), (ADMIN, "{}"), (ROUEN, r#"{"reason": "seen"}"#)] {
        let answer = desk.order(token, &format!("/api/v1/exports/{id}/approve"), body).await;
        assert!(matches!(answer.status.as_u16(), 400 | 403), "{body}: {}", answer.status);
        let rows = rows(&desk).await;
        assert!(rows[1].entry.act == "export.answer" && rows[1].refusal.is_some(), "{:?}", rows[1]);
    }
    assert_eq!(rows(&desk).await.len(), before + 14, "seven wishes and their refusals");
}

#[tokio::test]
async fn a_token_that_asks_without_end_does_not_fill_the_audit_and_somebody_is_told() {
    let desk = Desk::open().await;
    for turn in 0..60 {
        let answer = fetch(&desk, (VIEWER, "audio", "curious")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{turn}");
        assert!(answer.problem().contains("role"));
    }
    let all = rows(&desk).await;
    let told: Vec<_> = all.iter().filter(|row| row.entry.act == "alarm.refused-wishes").collect();
    assert_eq!((all.len(), told.len()), (41, 1), "twenty wishes, their refusals, and the alarm");
    assert!(told[0].entry.detail.starts_with("screen was refused recordings 20 times"), "{}", told[0].entry.detail);
    // Nobody else is held up, nor left out of the audit.
    assert_eq!(fetch(&desk, (COMPLIANCE, "audio", "plainte")).await.status, StatusCode::OK);
    assert_eq!(fetch(&desk, (ROUEN, "audio", "curious")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(rows(&desk).await.len(), 44);
}

#[tokio::test]
async fn many_recordings_asked_for_in_one_export_or_by_their_sidecars_raise_the_alarm_and_refused_ones_do_not() {
    let desk = Desk::open().await;
    let mut calls = vec![desk.call];
    for n in 1..5 {
        let call = CallId(uuid::Uuid::from_u128(n));
        let sealed = SealedRecording { call, record: Box::new(record(call)), ..desk.sealed() };
        desk.remember(vec![Fact::Recording(Box::new(sealed))]).await;
        calls.push(call);
    }
    let alarms = async || {
        let told = rows(&desk).await.into_iter().filter(|row| row.entry.act == "alarm.bulk-listening");
        told.map(|row| row.entry.detail).collect::<Vec<_>>()
    };
    for call in &calls {
        let path = format!("/api/v1/recordings/{call}/audio?reason=curious");
        assert_eq!(desk.read(ROUEN, &path).await.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(alarms().await, Vec::<String>::new(), "who was refused has taken nothing");
    let body =
        json!({ "calls": calls.iter().map(ToString::to_string).collect::<Vec<_>>(), "reason": "réquisition 12" });
    assert_eq!(desk.order(ADMIN, "/api/v1/exports", &body.to_string()).await.status, StatusCode::CREATED);
    assert_eq!(alarms().await, ["ops took or asked for 3 different recordings within 60 minutes"]);
    for call in &calls {
        let path = format!("/api/v1/recordings/{call}/manifest?reason=statistics");
        assert_eq!(desk.read(COMPLIANCE, &path).await.status, StatusCode::OK);
    }
    let told = alarms().await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("quality took or asked for 3"), "{told:?}");
}
