//! The demo's dispatch: a real HTTP receiver that verifies every delivery before it believes it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::clock;
use crate::outbox::signature::{self, Secret};

/// Events kept at most: the demo tells some forty.
const EVENTS_MAX: usize = 1000;

/// One event as dispatch got it.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// The event's id.
    pub id: String,
    /// `call.received`…
    pub kind: String,
    /// The call or the regulator.
    pub subject: String,
    /// Its number within the subject.
    pub sequence: u64,
    /// The whole event.
    pub event: Value,
}

#[derive(Default)]
struct Log {
    delivered: Vec<Delivered>,
    refused: Vec<String>,
}

/// A receiver that is listening.
#[derive(Clone)]
pub struct Receiver {
    /// Where.
    pub address: SocketAddr,
    log: Arc<Mutex<Log>>,
    secrets: Arc<Mutex<Vec<Secret>>>,
}

impl Receiver {
    /// Listens on a free port of the loopback.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> io::Result<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let receiver = Receiver { address: listener.local_addr()?, log: Arc::default(), secrets: Arc::default() };
        let router = Router::new().route("/events", post(take)).with_state(receiver.clone());
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the demo's receiver failed");
            }
        });
        Ok(receiver)
    }

    /// The secrets that a signature must have been made with.
    pub fn trust(&self, secrets: Vec<Secret>) {
        *self.secrets.lock().unwrap_or_else(PoisonError::into_inner) = secrets;
    }

    /// What was delivered and verified so far.
    pub fn delivered(&self) -> Vec<Delivered> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).delivered.clone()
    }

    /// Why deliveries were refused.
    pub fn refused(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }

    /// The verified events of one subject, each once, in the order of their coming.
    pub fn of_subject(&self, subject: &str) -> Vec<Delivered> {
        let mut seen = BTreeMap::new();
        let all = self.delivered().into_iter().filter(|one| one.subject == subject);
        all.filter(|one| seen.insert(one.id.clone(), ()).is_none()).collect()
    }

    fn check(&self, headers: &HeaderMap, body: &[u8]) -> Result<Delivered, String> {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        signature::verify(&secrets, headers, body, clock::utc(), signature::TOLERANCE)
            .map_err(|error| error.to_string())?;
        let event: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let field = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let sequence = field("sequence").parse().map_err(|_| "no sequence".to_owned())?;
        let (id, kind, subject) = (field("id"), field("type"), field("subject"));
        if headers.get("webhook-id").is_none_or(|header| header.as_bytes() != id.as_bytes()) {
            return Err("the event's id is not the webhook-id".into());
        }
        Ok(Delivered { id, kind, subject, sequence, event })
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let checked = receiver.check(&headers, &body);
    let mut log = receiver.log.lock().unwrap_or_else(PoisonError::into_inner);
    match checked {
        Ok(delivered) if log.delivered.len() < EVENTS_MAX => {
            log.delivered.push(delivered);
            StatusCode::NO_CONTENT
        }
        Ok(_) => StatusCode::INSUFFICIENT_STORAGE,
        Err(reason) => {
            log.refused.push(reason);
            StatusCode::UNAUTHORIZED
        }
    }
}
