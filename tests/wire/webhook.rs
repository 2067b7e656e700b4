//! Dispatch's end of the webhook: verifies every delivery and keeps what came, in the order in which it came.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::task::JoinHandle;
use vigie::outbox::signature::{Secret, TOLERANCE, verify};

use super::harness::until;
use super::server::Centre;

/// One delivery whose signature was right.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// CloudEvents' id, the same as in the header.
    pub id: String,
    /// `call.ended`…
    pub kind: String,
    /// The call or regulator.
    pub subject: String,
    /// Within the subject.
    pub sequence: u64,
    /// When it happened.
    pub at: jiff::Zoned,
    /// The event's own fields.
    pub fields: Value,
}

#[derive(Default)]
struct Kept {
    delivered: Vec<Delivery>,
    distrusted: Vec<String>,
}

/// A receiver that listens.
pub struct Webhook {
    kept: Arc<Mutex<Kept>>,
    serving: JoinHandle<()>,
}

struct Desk {
    secret_file: PathBuf,
    kept: Arc<Mutex<Kept>>,
}

impl Webhook {
    /// Opens the receiver of a centre.
    pub async fn open(centre: &Centre) -> Webhook {
        Webhook::open_at(centre.hook, centre.place.path("state/secrets/webhook-receiver")).await
    }

    async fn open_at(address: SocketAddr, secret_file: PathBuf) -> Webhook {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let desk = Arc::new(Desk { secret_file, kept: kept.clone() });
        let listener = tokio::net::TcpListener::bind(address).await.expect("the receiver's port");
        let router = Router::new().route("/events", post(receive)).with_state(desk);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("the receiver serves") });
        Webhook { kept, serving }
    }

    /// What came so far; fails when anything came that is not to be trusted.
    pub fn delivered(&self) -> Vec<Delivery> {
        let kept = self.kept.lock().expect("the receiver's memory");
        assert!(kept.distrusted.is_empty(), "distrusted deliveries: {:?}", kept.distrusted);
        kept.delivered.clone()
    }

    /// The events of calls, in the order in which they came.
    pub fn of_calls(&self) -> Vec<Delivery> {
        self.delivered().into_iter().filter(|one| one.kind != "regulator.state").collect()
    }

    /// Waits until an event of this type has come.
    pub async fn has(&self, kind: &str) -> Delivery {
        until(&format!("{kind} reaches the receiver"), || {
            std::future::ready(self.delivered().into_iter().find(|one| one.kind == kind))
        })
        .await
    }

    /// Checks that each subject's events came once each, in order, from the first on.
    pub fn assert_in_order(&self) {
        let mut next = std::collections::HashMap::<String, u64>::new();
        for one in self.delivered() {
            let expected = next.entry(one.subject.clone()).or_insert(1);
            assert_eq!(one.sequence, *expected, "{} of {} came out of order", one.kind, one.subject);
            *expected += 1;
        }
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn receive(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let secrets = std::fs::read_to_string(&desk.secret_file).expect("the webhook's secret");
    let secrets: Vec<Secret> = secrets.lines().filter_map(|line| line.parse().ok()).collect();
    let mut kept = desk.kept.lock().expect("the receiver's memory");
    if let Err(why) = verify(&secrets, &headers, &body, vigie::clock::utc(), TOLERANCE) {
        kept.distrusted.push(why.to_string());
        return StatusCode::UNAUTHORIZED;
    }
    match read(&headers, &body) {
        Some(delivery) => kept.delivered.push(delivery),
        None => kept.distrusted.push(format!("no CloudEvent: {}", String::from_utf8_lossy(&body))),
    }
    StatusCode::NO_CONTENT
}

fn read(headers: &HeaderMap, body: &[u8]) -> Option<Delivery> {
    let event: Value = serde_json::from_slice(body).ok()?;
    let id = event["id"].as_str()?.to_owned();
    let is_same = headers.get("webhook-id")?.to_str().ok()? == id;
    let text = |name: &str| event[name].as_str().map(str::to_owned);
    is_same.then_some(Delivery {
        id,
        kind: text("type")?,
        subject: text("subject")?,
        sequence: text("sequence")?.parse().ok()?,
        at: wall_time(event["time"].as_str()?)?,
        fields: event["data"].clone(),
    })
}

/// A time as the clock on the centre's wall shows it.
fn wall_time(written: &str) -> Option<jiff::Zoned> {
    let pieces = jiff::fmt::temporal::Pieces::parse(written).ok()?;
    let offset = pieces.to_numeric_offset()?;
    let at: jiff::Timestamp = written.parse().ok()?;
    Some(at.to_zoned(offset.to_time_zone()))
}
