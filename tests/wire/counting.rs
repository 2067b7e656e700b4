//! What the statistics say is what the webhook told: per line and hour, per call and per person, of callers who were led from
//! one line to another, gave up and came back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::harness::{let_pass, until};
use super::phone::{Manner, Phone};
use super::server::Setup;
use super::webhook::{Delivery, Webhook};

const ZOE: &str = "+33612345678";
const YVES: &str = "+33687654321";

/// A call as the webhook told it.
#[derive(Default)]
struct Told {
    line: String,
    hour: String,
    is_queued: bool,
    is_answered: bool,
    /// Of the call, and of the person.
    waits: (u64, u64),
    kept_ms: u64,
    outcome: String,
    person: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn calls_told(delivered: &[Delivery]) -> Vec<Told> {
    let mut calls: BTreeMap<&str, Told> = BTreeMap::new();
    for Delivery { kind, subject, fields, at, .. } in delivered {
        let call = calls.entry(subject).or_default();
        match kind.as_str() {
            "call.received" => {
                call.hour = at.strftime("%Y-%m-%dT%H").to_string();
                let id = subject.rsplit('/').next().unwrap_or_default();
                call.person = fields["first_call"].as_str().unwrap_or(id).to_owned();
            }
            "call.queued" => {
                call.is_queued = true;
                call.kept_ms = fields["kept_wait_ms"].as_u64().expect("a wait");
            }
            "call.answered" => {
                call.is_answered = true;
                let wait = fields["wait_ms"].as_u64().expect("a wait");
                call.waits = (wait, wait + call.kept_ms);
            }
            "call.ended" => call.outcome = text(&fields["outcome"]),
            _ => {}
        }
        if ["call.received", "call.queued", "call.answered", "call.ended"].contains(&kind.as_str()) {
            call.line = text(&fields["line"]);
        }
    }
    calls.into_values().collect()
}

/// The figures of some calls, by their names in the API.
fn figures(calls: &[&Told]) -> BTreeMap<&'static str, u64> {
    let count = |is: &dyn Fn(&Told) -> bool| calls.iter().filter(|call| is(call)).count() as u64;
    let persons = |is: &dyn Fn(&Told) -> bool| {
        calls.iter().filter(|call| is(call)).map(|call| call.person.as_str()).collect::<BTreeSet<_>>().len() as u64
    };
    let ended = |word: &str| count(&|call| !call.is_answered && call.outcome == word);
    BTreeMap::from([
        ("received", calls.len() as u64),
        ("offered", count(&|call| call.is_queued)),
        ("answered", count(&|call| call.is_answered)),
        ("answered_within_15s", count(&|call| call.is_answered && call.waits.0 <= 15_000)),
        ("abandoned_short", ended("abandoned")),
        ("unanswered", ended("overflowed") + ended("closed") + ended("nobody-on-duty")),
        ("persons", persons(&|_| true)),
        ("persons_answered", persons(&|call| call.is_answered)),
        ("persons_answered_within_15s", persons(&|call| call.is_answered && call.waits.1 <= 15_000)),
        ("persons_answered_within_30s", persons(&|call| call.is_answered && call.waits.1 <= 30_000)),
    ])
}

fn assert_same(what: &str, row: &Value, calls: &[&Told]) {
    for (name, counted) in figures(calls) {
        assert_eq!(row[name].as_u64(), Some(counted), "{name} of {what}: {row:#}");
    }
}

/// Waits until the newest call has ended like this.
async fn ended(server: &super::server::Server, outcome: &str) {
    server.api.story(outcome, |story| story["call"]["outcome"].as_str() == Some(outcome)).await;
}

#[tokio::test]
async fn the_figures_of_lines_hours_and_persons_are_what_the_webhook_told() {
    let overflow = "waiting_max = \"8s\"\noverflow_to = { line = \"greeted\" }";
    let setup = Setup::new().change("waiting_max = \"30s\"", overflow);
    let greeted = "music = \"music\"\nwaiting_max = \"8s\"\nnobody_message = \"nobody\"\n\n[lines.secret]";
    let setup = setup.change("music = \"music\"\nnobody_message = \"nobody\"\n\n[lines.secret]", greeted);
    let server = setup.ringing("2m").start().await;
    let webhook = Webhook::open(&server.centre).await;
    let anne = Phone::regulator(&server, "anne").await;

    // Answered at once.
    let yves = Phone::caller(&server, YVES).await;
    yves.dial_in("0261910101").await;
    anne.talks().await;
    // Led on to the other line, and nobody there either.
    let zoe = Phone::caller(&server, ZOE).await;
    zoe.dial_in("0261910101").await;
    zoe.is_over().await;
    ended(&server, "overflowed").await;
    // Comes back on another line, and is answered after a wait that is short for the call and long for the person.
    zoe.dial_in("0261910102").await;
    until("it waits", || async { server.api.json("/room").await["waiting"][0]["call"].as_str().map(|_| ()) }).await;
    yves.hang_up().await;
    anne.is_over().await;
    anne.talks().await;
    zoe.hang_up().await;
    anne.is_over().await;
    ended(&server, "answered").await;
    // Gives up, out of hours of the closed line and while it rings.
    yves.dial_in("0261910104").await;
    yves.is_over().await;
    ended(&server, "closed").await;
    anne.is(Manner::Rings);
    yves.dial_in("0261910101").await;
    anne.rings().await;
    let_pass(std::time::Duration::from_millis(500)).await;
    yves.hang_up().await;
    ended(&server, "abandoned").await;

    let told = until("all five calls are told", || async {
        let told = calls_told(&webhook.of_calls());
        (told.len() == 5 && told.iter().all(|call| !call.outcome.is_empty())).then_some(told)
    })
    .await;
    webhook.assert_in_order();
    let lines: BTreeSet<&str> = told.iter().map(|call| call.line.as_str()).collect();
    assert_eq!(lines, BTreeSet::from(["closed", "greeted", "plain"]));
    let moved = told.iter().find(|call| call.outcome == "overflowed").expect("the call that was led on");
    assert_eq!(moved.line, "greeted", "an unanswered call's last line is told");
    let again = told.iter().find(|call| call.kept_ms > 0).expect("the person who came back");
    assert!(again.waits.0 <= 15_000 && again.waits.1 > 15_000 && again.person == moved.person, "{:?}", again.waits);

    let by_line = server.api.json("/statistics?by=line").await;
    let rows = by_line["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), lines.len());
    for row in rows {
        let of_line: Vec<&Told> = told.iter().filter(|call| row["key"] == call.line.as_str()).collect();
        assert_same(row["key"].as_str().expect("a line"), row, &of_line);
    }
    let all: Vec<&Told> = told.iter().collect();
    assert_same("all", &by_line["total"], &all);
    let by_hour = server.api.json("/statistics?by=hour").await;
    let mut hours = 0;
    for row in by_hour["rows"].as_array().expect("rows") {
        let hour = row["key"].as_str().expect("an hour");
        let of_hour: Vec<&Told> = told.iter().filter(|call| hour.starts_with(&call.hour)).collect();
        assert_same(hour, row, &of_hour);
        hours += of_hour.len();
    }
    assert_eq!(hours, told.len(), "every call is in an hour");
}
