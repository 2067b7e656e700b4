//! The outbox against a real receiver: order, retries, dead letters, restarts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use jiff::tz::TimeZone;
use tempfile::TempDir;
use tokio::sync::Notify;
use vigie::clock;
use vigie::model::{Fact, Utc};
use vigie::outbox::{self, Endpoint, Outbox, OutboxSettings, Schedule, Secret};
use vigie::storage::outbox as rows;
use vigie::storage::outbox::{OutboxFilter, OutboxState};

use crate::receiver::{Receiver, Script, always};
use crate::story::{House, alarms, call_id, endpoint, event, event_now, until};

/// Every retry at once; what is not tried again at once is not tried again in a test's life.
fn quick() -> Schedule {
    let wait = Duration::from_millis(2);
    Schedule { delays: vec![wait; 4], afterwards: wait, give_up_after: Duration::from_secs(72 * 3600), jitter: 0.5 }
}

fn secret() -> Secret {
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().expect("a secret")
}

fn start(house: &House, url: &str, schedule: Schedule) -> Outbox {
    start_with(house, Endpoint { settings: endpoint("dispatch", url), secrets: vec![secret()] }, schedule)
}

fn start_with(house: &House, endpoint: Endpoint, schedule: Schedule) -> Outbox {
    let kept = house.alarms.clone();
    let alarm = Arc::new(move |alarm| kept.lock().expect("alarms").push(alarm));
    let settings = OutboxSettings { node: "test".into(), zone: TimeZone::UTC, schedule, alarm };
    outbox::start(&house.storage, vec![endpoint], settings).expect("starts")
}

fn subject(n: u64) -> String {
    format!("calls/{}", call_id(n))
}

async fn pending(house: &House) -> u64 {
    let counts = rows::pending(&house.storage).await.expect("counts");
    counts.iter().map(|count| count.pending).sum()
}

async fn drained(house: &House) {
    until("everything is settled", async || (pending(house).await == 0).then_some(())).await;
}

/// A script under which the first attempt of every event that `fails` names is answered with `status`.
fn once(status: StatusCode, fails: fn(u32) -> bool) -> Script {
    Arc::new(move |taken, before| {
        let first = before.iter().all(|earlier| earlier.id != taken.id);
        if first && fails(taken.sequence) { status } else { StatusCode::NO_CONTENT }
    })
}

#[tokio::test]
async fn events_of_each_call_arrive_in_order_whatever_fails_on_the_way() {
    let house = House::open(&["dispatch"]).await;
    let receiver =
        Receiver::start(&secret(), once(StatusCode::INTERNAL_SERVER_ERROR, |sequence| sequence % 3 == 1)).await;
    let running = start(&house, &receiver.url(), quick());
    for sequence in 1..=8 {
        house.writer.remember((0..40).map(|n| event_now(n, sequence)).collect());
    }
    house.writer.flush().await.expect("stored");
    drained(&house).await;
    for n in 0..40 {
        assert_eq!(receiver.accepted(&subject(n)), (1..=8).collect::<Vec<_>>(), "call {n}");
    }
    assert_eq!(receiver.accepted_count(), 320, "none twice");
    running.stop().await;
}

#[tokio::test]
async fn an_attempt_carries_what_standard_webhooks_and_cloudevents_ask() {
    let house = House::open(&["dispatch"]).await;
    let receiver = Receiver::start(&secret(), once(StatusCode::BAD_GATEWAY, |_| true)).await;
    let new: Secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse().expect("a secret");
    let endpoint = Endpoint { settings: endpoint("dispatch", &receiver.url()), secrets: vec![new, secret()] };
    let running = start_with(&house, endpoint, quick());
    house.store(vec![event_now(1, 1)]).await;
    drained(&house).await;
    let taken = receiver.taken();
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[0].body, taken[1].body, "the body is stable over retries");
    for attempt in &taken {
        let header = |name: &str| attempt.headers[name].to_str().expect("text").to_owned();
        assert_eq!(header("webhook-id"), event(1, 1).id.to_string());
        assert_eq!(header("webhook-signature").split(' ').count(), 2, "one for each secret");
        assert!(header("content-type").starts_with("application/cloudevents+json"));
        let field = |name: &str| attempt.body[name].as_str().expect("text").to_owned();
        assert_eq!(field("specversion"), "1.0");
        assert_eq!((field("source"), field("type")), ("urn:vigie:test".into(), "call.abandoned".into()));
        assert_eq!((field("sequence"), field("partitionkey")), ("0000000001".into(), call_id(1).to_string()));
        assert_eq!(attempt.body["data"]["wait_ms"], 1);
    }
    let deliveries = rows::deliveries(&house.storage, event(1, 1).id).await.expect("reads");
    let told: Vec<_> = deliveries.iter().map(|delivery| (delivery.attempt, delivery.status)).collect();
    assert_eq!(told, [(1, Some(502)), (2, Some(204))]);
    assert_eq!(deliveries[0].error.as_deref(), Some("502 Bad Gateway: as the script says"));
    running.stop().await;
}

#[tokio::test]
async fn a_receiver_that_was_down_gets_everything_in_order_when_it_is_up() {
    let house = House::open(&["dispatch"]).await;
    let gone = Receiver::start(&secret(), always(StatusCode::OK)).await;
    let (address, url) = (gone.address, gone.url());
    gone.stop().await;
    let running = start(&house, &url, quick());
    house.store((1..=5).flat_map(|sequence| (0..5).map(move |n| event_now(n, sequence))).collect()).await;
    until("somebody is told", async || house.alarmed("endpoint-down").then_some(())).await;
    assert_eq!(pending(&house).await, 25);
    let receiver = Receiver::start_at(address, &secret(), always(StatusCode::OK)).await;
    drained(&house).await;
    for n in 0..5 {
        assert_eq!(receiver.accepted(&subject(n)), [1, 2, 3, 4, 5]);
    }
    assert!(house.alarmed("endpoint-back"));
    running.stop().await;
}

#[tokio::test]
async fn when_an_endpoint_is_back_nothing_waits_for_its_hourly_turn() {
    let house = House::open(&["dispatch"]).await;
    let gone = Receiver::start(&secret(), always(StatusCode::OK)).await;
    let (address, url) = (gone.address, gone.url());
    gone.stop().await;
    let hour = Duration::from_secs(3600);
    let hourly = Schedule { delays: Vec::new(), afterwards: hour, give_up_after: 72 * hour, jitter: 0.0 };
    let running = start(&house, &url, hourly);
    house.store((0..30).map(|n| event_now(n, 1)).collect()).await;
    until("all are put off by an hour", async || {
        let due = OutboxFilter { states: vec![OutboxState::Due], ..OutboxFilter::default() };
        let rows = rows::list(&house.storage, &due).await.expect("lists");
        rows.iter().all(|row| row.attempts == 1).then_some(())
    })
    .await;
    let receiver = Receiver::start_at(address, &secret(), always(StatusCode::OK)).await;
    house.store(vec![event_now(99, 1)]).await;
    drained(&house).await;
    assert_eq!(receiver.accepted_count(), 31);
    running.stop().await;
}

#[tokio::test]
async fn a_refused_event_is_a_dead_letter_and_the_next_proceeds_until_it_is_replayed() {
    let house = House::open(&["dispatch"]).await;
    let refuse = |sequence| sequence == 2;
    let receiver = Receiver::start(&secret(), once(StatusCode::UNPROCESSABLE_ENTITY, refuse)).await;
    let running = start(&house, &receiver.url(), quick());
    house.store((1..=4).map(|sequence| event_now(1, sequence)).collect()).await;
    drained(&house).await;
    assert_eq!(receiver.accepted(&subject(1)), [1, 3, 4]);
    assert!(house.alarmed("dead-letter"));
    let dead = rows::dead_letters(&house.storage, None, None).await.expect("lists");
    assert_eq!((dead.len(), dead[0].sequence, dead[0].status), (1, 2, Some(422)));
    let reason = dead[0].reason.clone().expect("a reason");
    assert_eq!(reason, "refused for good with 422: 422 Unprocessable Entity: as the script says");

    assert!(rows::replay(&house.storage, dead[0].position, clock::utc()).await.expect("replays"));
    drained(&house).await;
    assert_eq!(receiver.accepted(&subject(1)), [1, 3, 4, 2]);
    assert!(!rows::replay(&house.storage, dead[0].position, clock::utc()).await.expect("asks"), "only once");
    running.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_says_gone_is_backed_off_and_never_given_up() {
    let house = House::open(&["dispatch"]).await;
    let receiver = Receiver::start(&secret(), once(StatusCode::GONE, |sequence| sequence < 3)).await;
    let running = start(&house, &receiver.url(), quick());
    house.store((1..=3).map(|sequence| event_now(1, sequence)).collect()).await;
    drained(&house).await;
    assert_eq!(receiver.accepted(&subject(1)), [3]);
    assert!(house.alarmed("endpoint-gone"));
    assert_eq!(rows::replay_all(&house.storage, "dispatch", clock::utc()).await.expect("replays"), 2);
    drained(&house).await;
    assert_eq!(receiver.accepted(&subject(1)), [3, 1, 2]);
    running.stop().await;
}

#[tokio::test]
async fn a_slow_answer_to_one_call_holds_up_no_other() {
    let house = House::open(&["dispatch"]).await;
    // The first event is not answered before the last of the other call has come.
    let (others_came, secret) = (Arc::new(Notify::new()), secret());
    let seen = others_came.clone();
    let app = axum::Router::new().route(
        "/hook",
        axum::routing::post(async move |body: String| {
            let event: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            match (event["subject"] == subject(1).as_str(), event["sequence"].as_str()) {
                (true, Some("0000000001")) => seen.notified().await,
                (false, Some("0000000003")) => seen.notify_one(),
                _ => {}
            }
            StatusCode::OK
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
    let server = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
    let mut settings = endpoint("dispatch", &url);
    settings.timeout = Duration::from_secs(600);
    let running = start_with(&house, Endpoint { settings, secrets: vec![secret] }, quick());
    house.store((1..=3).flat_map(|sequence| [1, 2].map(|n| event_now(n, sequence))).collect()).await;
    drained(&house).await;
    let attempts = rows::list(&house.storage, &OutboxFilter::default()).await.expect("lists");
    assert!(attempts.iter().all(|row| row.attempts == 1));
    running.stop().await;
    server.abort();
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_timed_out_and_tried_again() {
    let house = House::open(&["dispatch"]).await;
    // Takes connections (the system does, for a listener) and never says a word.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let mut settings = endpoint("dispatch", &format!("http://{}/hook", mute.local_addr().expect("bound")));
    settings.timeout = Duration::from_millis(20);
    let running = start_with(&house, Endpoint { settings, secrets: vec![secret()] }, quick());
    house.store(vec![event_now(1, 1)]).await;
    until("it was tried twice", async || {
        let deliveries = rows::deliveries(&house.storage, event(1, 1).id).await.expect("reads");
        (deliveries.len() >= 2 && deliveries.iter().all(|d| d.status.is_none() && d.error.is_some())).then_some(())
    })
    .await;
    assert_eq!(pending(&house).await, 1);
    running.stop().await;
}

/// Runs on what stands in `folder` until the receiver has `goal` events more; then everything dies without a word.
async fn live_and_die(folder: TempDir, receiver: &Receiver, facts: Vec<Fact>, goal: usize) -> TempDir {
    let house = House::open_in(folder, &["dispatch"]).await;
    let running = start(&house, &receiver.url(), quick());
    let before = receiver.accepted_count();
    house.store(facts).await;
    until("some are delivered", async || (receiver.accepted_count() >= before + goal).then_some(())).await;
    drop(running);
    let House { folder, storage, .. } = house;
    storage.close().await;
    folder
}

#[tokio::test]
async fn a_kill_in_the_middle_loses_nothing_and_keeps_the_order() {
    let receiver = Receiver::start(&secret(), once(StatusCode::SERVICE_UNAVAILABLE, |sequence| sequence == 5)).await;
    let facts = (1..=50).flat_map(|sequence| (0..4).map(move |n| event_now(n, sequence))).collect();
    let folder = live_and_die(tempfile::tempdir().expect("a folder"), &receiver, facts, 30).await;
    let folder = live_and_die(folder, &receiver, Vec::new(), 30).await;
    let house = House::open_in(folder, &["dispatch"]).await;
    let running = start(&house, &receiver.url(), quick());
    drained(&house).await;
    for n in 0..4 {
        // An event whose answer was on its way when the process died comes again: at least once, never out of order.
        let mut arrived = receiver.accepted(&subject(n));
        arrived.dedup();
        assert_eq!(arrived, (1..=50).collect::<Vec<_>>(), "call {n}");
    }
    running.stop().await;
}

#[tokio::test]
async fn an_endpoint_is_owed_only_the_events_that_it_wants() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::open_in(folder, &[]).await;
    house.writer.stop().await;
    let mut wants = endpoint("some", "http://127.0.0.1:9/");
    wants.events = vec!["call.ended".into()];
    let endpoints = vec![wants, endpoint("all", "http://127.0.0.1:9/")];
    let spool = house.folder.path().join("spool2");
    let settings = vigie::storage::WriterSettings { spool, endpoints, alarm: alarms().1 };
    let writer = vigie::storage::Writer::start(&house.storage, settings).await.expect("starts");
    writer.remember(vec![event_now(1, 1)]);
    writer.flush().await.expect("stored");
    let owed = rows::list(&house.storage, &OutboxFilter::default()).await.expect("lists");
    let endpoints: BTreeMap<_, _> = owed.iter().map(|row| (row.endpoint.as_str(), row.state)).collect();
    assert_eq!(endpoints, BTreeMap::from([("all", OutboxState::Due)]));
}

#[tokio::test]
async fn what_was_delivered_long_ago_is_pruned_and_dead_letters_stay() {
    let house = House::open(&["dispatch"]).await;
    let receiver = Receiver::start(&secret(), once(StatusCode::BAD_REQUEST, |sequence| sequence == 1)).await;
    let running = start(&house, &receiver.url(), quick());
    house.store((1..=3).map(|sequence| event_now(1, sequence)).collect()).await;
    drained(&house).await;
    let later = |days: i64| Utc(clock::utc().0 + days * 86_400_000_000);
    let left = async |at| {
        house.storage.prune(at).await.expect("prunes");
        rows::list(&house.storage, &OutboxFilter::default()).await.expect("lists").len()
    };
    assert_eq!(left(later(29)).await, 3);
    assert_eq!(left(later(31)).await, 1);
    assert_eq!(rows::dead_letters(&house.storage, None, None).await.expect("lists").len(), 1);
    running.stop().await;
}
