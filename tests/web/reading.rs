//! What is read back: calls, their story, their ladder, recordings, the outbox.

use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;
use vigie::model::{CallId, Fact, Utc};

use super::desk::{ADMIN, COMPLIANCE, Desk, RECEIVED, record};

#[tokio::test]
async fn a_call_is_found_by_each_thing_known_of_it() {
    let desk = Desk::open().await;
    let found = [
        "",
        "?from=2023-11-14T23:13:20%2B01:00&to=2023-11-14T22:13:21Z",
        "?from=2023-11-14T23:13:20+01:00",
        "?caller=%2B33612345678",
        "?caller=+33612345678",
        "?caller=%20336%2012-34.56(78)",
        "?caller=0612345678",
        "?caller=0033612345678",
        "?caller=33612345678",
        "?caller=+33%206%2012%2034%2056%2078",
        "?caller=+33+6+12+34+56+78",
        "?caller=%2B33%206%2012%2034%2056%2078",
        "?caller=06+12+34+56+78&line=cherbourg",
        "?line=cherbourg&association=sos-cherbourg&region=cotentin&regulator=anne&outcome=answered&limit=1",
    ];
    let missed = [
        "?to=2023-11-14T22:13:20Z",
        "?caller=%2B33600000000",
        "?caller=0600000000",
        "?caller=anonymous",
        "?caller=12",
        "?caller=%2B",
        "?caller=0612345678&line=rouen",
        "?line=rouen",
        "?outcome=abandoned",
    ];
    for path in ["/api/v1/calls", "/api/v1/recordings"] {
        for query in found {
            let query = query.replace("22:13:21Z", "22:14:00Z");
            let items = desk.read(COMPLIANCE, &format!("{path}{query}")).await.json()["items"].clone();
            assert_eq!(items.as_array().map(Vec::len), Some(1), "{path}{query}");
        }
        for query in missed {
            let page = desk.read(COMPLIANCE, &format!("{path}{query}")).await.json();
            assert_eq!(page, json!({"items": [], "next": null}), "{path}{query}");
        }
    }
}

#[tokio::test]
async fn a_caller_without_a_number_is_found_by_what_the_trunk_wrote() {
    let desk = Desk::open().await;
    let id = CallId(Uuid::from_u128(3));
    let caller = vigie::model::Caller { raw: "anonymous".into(), anonymous: true, ..Default::default() };
    desk.remember(vec![Fact::Call(Box::new(vigie::model::CallRecord { caller, ..record(id) }))]).await;
    let found = desk.read(ADMIN, "/api/v1/calls?caller=anonymous").await.json();
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found["items"][0]["id"], id.to_string());
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap() {
    let desk = Desk::open().await;
    let more = (1..7_u32).map(|n| {
        let received_at = Utc(RECEIVED.0 + i64::from(n) * 1_000_000);
        let id = CallId(Uuid::from_u128(n.into()));
        Fact::Call(Box::new(vigie::model::CallRecord { id, received_at, ..record(id) }))
    });
    desk.remember(more.collect()).await;
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let page = desk.read(ADMIN, &format!("/api/v1/calls?limit=3{before}")).await.json();
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|item| item["received_at"].as_str().expect("a time").to_owned()));
        match page["next"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");
}

#[tokio::test]
async fn a_story_has_the_record_the_reasoning_the_events_the_recording_and_the_deliveries() {
    let desk = Desk::open().await;
    let story = desk.read(COMPLIANCE, &format!("/api/v1/calls/{}", desk.call)).await.json();
    assert_eq!(story["call"]["received_at"], "2023-11-14T23:13:20.000+01:00");
    assert_eq!((&story["call"]["wait_ms"], &story["call"]["talk_ms"]), (&json!(3500), &json!(5000)));
    assert_eq!(story["call"]["caller"]["display_name"], "Zoé <script>alert(1)</script>\"\\");
    let context = &story["call"]["context"];
    assert_eq!(
        (&context["location"]["latitude"], &context["diversions"][0]["e164"]),
        (&json!(49.6), &json!("+33235000001"))
    );
    assert_eq!(context["raw"][0], json!({"name": "Diversion", "value": "<tel:+33235000001>;reason=no-answer"}));
    let costs = json!({
        "regulator": "anne", "cost_total": -3.5, "cost_region": 0.0, "cost_fit": 0.0, "cost_scarcity": 0.0, "cost_idle": -3.5,
    });
    assert_eq!(story["offers"][0]["reasoning"]["candidates"][0], costs);
    assert_eq!(story["offers"][0]["reasoning"]["excluded"], json!({"paused": 2}));
    assert_eq!(story["legs"][1]["quality"]["packets_received"], 450);
    assert_eq!(story["events"][1]["type"], "call.abandoned");
    assert_eq!(story["events"][1]["data"], json!({"wait_ms": 3500}));
    assert_eq!(story["recording"]["audio_url"], format!("/api/v1/recordings/{}/audio", desk.call));
    assert_eq!(story["recording_failure"], json!(null));
    let names = json!({
        "line": "Cherbourg, urgences", "association": "SOS Médecins Cherbourg", "regulators": {"anne": "Dr Anne Bé"},
    });
    assert_eq!((&story["call"]["names"], &story["recording"]["names"]), (&names, &names));
    assert_eq!(story["deliveries"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_ladder_is_a_list_or_a_drawing() {
    let desk = Desk::open().await;
    let path = format!("/api/v1/calls/{}/ladder", desk.call);
    let list = desk.read(ADMIN, &path).await.json();
    assert_eq!(list[0]["received"], true);
    assert!(list[1]["text"].as_str().is_some_and(|text| text.starts_with("INVITE sip:anne@")));
    let drawing = desk.read(ADMIN, &format!("{path}?format=text")).await;
    assert_eq!(drawing.header("content-type"), "text/plain; charset=utf-8");
    let text = drawing.text();
    assert!(text.contains("23:13:20.000") && text.contains(">|") && text.contains("Vigie"), "{text}");
    assert!(!text.contains("CSeq"));
    assert!(desk.read(ADMIN, &format!("{path}?format=text&messages=true")).await.text().contains("CSeq: 1 INVITE"));
}

#[tokio::test]
async fn a_dead_letter_is_listed_counted_and_replayed_once() {
    let desk = Desk::open().await;
    let outbox = desk.read(COMPLIANCE, "/api/v1/outbox").await.json();
    assert_eq!(outbox["endpoints"][0]["dead"], 1, "{outbox}");
    assert_eq!(outbox["endpoints"][0]["pending"], 1, "{outbox}");
    assert_eq!(outbox["endpoints"][0]["oldest_pending_since"], "2023-11-14T23:13:20.000+01:00", "{outbox}");
    let letter = &outbox["items"][0];
    assert_eq!((&letter["state"], &letter["reason"]), (&json!("dead"), &json!("410 Gone")));
    let path = format!("/api/v1/outbox/{}/replay", letter["position"]);
    assert_eq!(desk.order(ADMIN, &path, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(desk.order(ADMIN, &path, "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(desk.read(ADMIN, "/api/v1/outbox").await.json()["endpoints"][0]["dead"], 0);
    let audit = desk.read(COMPLIANCE, "/api/v1/audit?actor=ops").await.json();
    let acts = audit["items"].as_array().expect("entries").iter().map(|entry| (&entry["act"], &entry["refusal"]));
    let acts: Vec<_> = acts.collect();
    assert_eq!(acts.len(), 3, "{audit}");
    assert_eq!(acts.last(), Some(&(&json!("outbox.replay"), &json!(null))), "the first was done");
}

#[tokio::test]
async fn what_the_outbox_counts_is_what_it_lists_the_oldest_first() {
    let desk = Desk::open().await;
    let states = async |query: &str| {
        let outbox = desk.read(ADMIN, &format!("/api/v1/outbox{query}")).await.json();
        let items = outbox["items"].as_array().expect("items").clone();
        assert!(items.is_sorted_by_key(|item| item["position"].as_i64()), "{outbox}");
        let states = items.iter().map(|item| item["state"].as_str().expect("a state").to_owned());
        (states.collect::<Vec<_>>(), outbox["next"].as_str().map(str::to_owned))
    };
    let all = |states: &[&str]| (states.iter().map(ToString::to_string).collect::<Vec<_>>(), None);
    assert_eq!(states("").await, all(&["dead", "due"]));
    assert_eq!(states("?state=pending").await, all(&["due"]));
    assert_eq!(states("?state=dead").await, all(&["dead"]));
    assert_eq!(states("?state=behind").await, all(&[]));
    let (first, next) = states("?limit=1").await;
    assert_eq!(first, ["dead"]);
    assert_eq!(states(&format!("?before={}", next.expect("another page"))).await, all(&["due"]));
}

#[tokio::test]
async fn what_was_refused_does_not_look_done_in_the_audit() {
    let desk = Desk::open().await;
    let nobody = "00000000-0000-0000-0000-000000000001";
    let replay = desk.order(ADMIN, "/api/v1/outbox/999/replay", "").await;
    assert_eq!(replay.status, StatusCode::NOT_FOUND);
    let end = desk.order(ADMIN, &format!("/api/v1/calls/{nobody}/end"), "").await;
    assert_eq!(end.status, StatusCode::SERVICE_UNAVAILABLE);
    let audit = desk.read(COMPLIANCE, "/api/v1/audit").await.json();
    let acts: Vec<&str> =
        audit["items"].as_array().expect("items").iter().filter_map(|one| one["act"].as_str()).collect();
    assert_eq!(acts, ["call.end.refused", "call.end", "outbox.replay.refused", "outbox.replay"], "{audit}");
    for (first, problem) in [(1, end.problem()), (3, replay.problem())] {
        let (asked, refused) = (&audit["items"][first], &audit["items"][first - 1]);
        assert_eq!((&asked["refusal"], &asked["refuses"]), (&json!(problem), &json!(null)));
        assert_eq!((&refused["detail"], &refused["refuses"]), (&json!(problem), &asked["position"]));
        assert_eq!((&refused["refusal"], &refused["actor"]), (&json!(null), &json!("ops")));
    }
    let of_call = desk.read(COMPLIANCE, &format!("/api/v1/audit?call={nobody}")).await.json();
    assert_eq!(of_call["items"].as_array().map(Vec::len), Some(2), "both belong to the call");
}

#[tokio::test]
async fn without_the_switchboard_the_past_is_still_read() {
    let desk = Desk::open().await;
    for path in ["/api/v1/room", "/api/v1/regulators", "/api/v1/regulators/anne"] {
        let answer = desk.read(ADMIN, path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(answer.problem().contains("switchboard"));
    }
    assert_eq!(desk.read(ADMIN, "/api/v1/calls").await.status, StatusCode::OK);
    assert_eq!(desk.read(ADMIN, "/readyz").await.json()["ready"], false);
}
