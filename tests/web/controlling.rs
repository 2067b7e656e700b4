//! Orders to live calls: each route asks the switchboard for what it says, is audited, and tells what is wrong with a body.

use reqwest::StatusCode;
use serde_json::{Value, json};
use vigie::model::control::{Control, Destination, Supervision};
use vigie::model::{CallId, Command, DemandChange, Needs, Reach};

use super::commands::{Centre, live};
use super::desk::{ADMIN, COMPLIANCE};

fn path(call: CallId, order: &str) -> String {
    format!("/api/v1/calls/{call}/{order}")
}

#[tokio::test]
async fn every_order_reaches_the_switchboard_and_the_audit() {
    let centre = Centre::open().await;
    let skills = json!({"priority": 1, "region": "rouen", "skills": {"physician": 40}, "reach": "home"});
    let change = DemandChange {
        priority: Some(1),
        region: Some("rouen".into()),
        needs: Some(Needs::Level("physician".into(), 40)),
        reach: Some(Reach::Home),
    };
    let supervise = |way| Control::Supervise { by: "anne".into(), way };
    let to = |to: &str, level| Control::Transfer(Destination { to: to.into(), level });
    let table: [(&str, Value, Control, &str, &str); 16] = [
        ("hold", Value::Null, Control::Hold, "call.hold", ""),
        ("resume", Value::Null, Control::Resume, "call.resume", ""),
        ("add", json!({"to": "+33612345678"}), Control::Add { to: "+33612345678".into() }, "call.add", "+33612345678"),
        ("join", Value::Null, Control::Join, "call.join", ""),
        ("drop", Value::Null, Control::Drop { leg: None }, "call.drop", ""),
        ("drop", json!({"leg": 2}), Control::Drop { leg: Some(2) }, "call.drop", "leg 2"),
        ("leave", Value::Null, Control::Leave, "call.leave", ""),
        ("samu", Value::Null, Control::HandToSamu, "call.samu", ""),
        ("requeue", Value::Null, Control::Requeue, "call.requeue", ""),
        ("transfer", json!({"to": "bruno"}), to("bruno", 1), "call.transfer", "bruno"),
        ("transfer", json!({"to": "lang-en", "level": 50}), to("lang-en", 50), "call.transfer", "lang-en"),
        (
            "demand",
            skills,
            Control::Demand(change),
            "call.demand",
            "priority 1, region rouen, physician >= 40, reach home",
        ),
        ("supervise", json!({"by": "anne", "way": "listen"}), supervise(Supervision::Listen), "call.listen", "anne"),
        ("supervise", json!({"by": "anne", "way": "whisper"}), supervise(Supervision::Whisper), "call.whisper", "anne"),
        (
            "supervise",
            json!({"by": "anne", "way": "barge-in"}),
            supervise(Supervision::BargeIn),
            "call.barge-in",
            "anne",
        ),
        (
            "supervise",
            json!({"by": "anne", "way": "take-over"}),
            supervise(Supervision::TakeOver),
            "call.take-over",
            "anne",
        ),
    ];
    for (order, body, _, _, _) in &table {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = centre.desk.order(ADMIN, &path(live(), order), &body).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{order} {body}: {}", answer.text());
    }
    let asked: Vec<Command> =
        table.iter().map(|(_, _, control, _, _)| Command::Control { call: live(), control: control.clone() }).collect();
    assert_eq!(centre.orders(), asked);
    let noted: Vec<[Value; 3]> =
        table.iter().rev().map(|(_, _, _, act, detail)| [json!(act), json!(detail), Value::Null]).collect();
    assert_eq!(centre.audit().await, noted);
    centre.close().await;
}

#[tokio::test]
async fn a_wrong_body_is_told_what_is_wrong_and_nothing_is_done() {
    let centre = Centre::open().await;
    for (order, body) in [
        ("add", ""),
        ("add", "{\"to\": \"\"}"),
        ("add", "{\"to\": \"a b\"}"),
        ("add", "{\"whom\": \"bruno\"}"),
        ("transfer", "{\"to\": \"lang-en\", \"level\": 0}"),
        ("drop", "{\"leg\": -1}"),
        ("demand", "{}"),
        ("demand", "{\"priority\": 10}"),
        ("demand", "{\"skills\": {}}"),
        ("demand", "{\"needs\": \"regulation and\"}"),
        ("demand", "{\"needs\": \"regulation\", \"skills\": {\"regulation\": 1}}"),
        ("demand", "{\"skills\": {\"regulation\": 101}}"),
        ("supervise", "{\"way\": \"listen\"}"),
        ("supervise", "{\"by\": \"anne\", \"way\": \"shout\"}"),
    ] {
        let answer = centre.desk.order(ADMIN, &path(live(), order), body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{order} {body}: {}", answer.text());
    }
    assert!(centre.orders().is_empty());
    centre.close().await;
}

#[tokio::test]
async fn only_an_admin_orders_and_only_a_live_call_is_ordered() {
    let centre = Centre::open().await;
    let refused = centre.desk.order(COMPLIANCE, &path(live(), "hold"), "").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let over = centre.desk.order(ADMIN, &path(centre.desk.call, "hold"), "").await;
    assert_eq!(over.status, StatusCode::NOT_FOUND);
    assert_eq!(over.json()["type"], "urn:vigie:problem:not-found");
    centre.close().await;
}
