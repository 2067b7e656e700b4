//! Events owed to dispatch: order, retry, signature, dead letters.
//!
//! Every endpoint has a task of its own (`lane.rs`); what it owes stands in storage, so a restart changes nothing.

mod answer;
mod cloudevent;
mod lane;
pub mod schedule;
pub mod signature;

use jiff::tz::TimeZone;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::settings::EndpointSettings;
use crate::storage::Storage;
use crate::storage::writer::AlarmSink;

pub use schedule::Schedule;
pub use signature::Secret;

/// Deliveries under way at once at one endpoint, each of another subject: a burst passes, the endpoint is not flooded.
pub const PARALLEL_MAX: usize = 16;

/// Why the outbox could not start.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The HTTP client could not be built.
    #[error("building the HTTP client of the outbox: {0}; check the system's certificates")]
    Client(#[source] reqwest::Error),
}

/// An endpoint with its secrets.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// As configured.
    pub settings: EndpointSettings,
    /// A signature is sent for each; two while a secret is being changed.
    pub secrets: Vec<Secret>,
}

/// What all lanes share.
#[derive(Clone)]
pub struct OutboxSettings {
    /// This machine's name: the CloudEvents source is `urn:vigie:<node>`.
    pub node: String,
    /// Event times are written with this zone's offset.
    pub zone: TimeZone,
    /// When a delivery that failed is tried again.
    pub schedule: Schedule,
    /// Called with `endpoint-down`, `endpoint-back`, `endpoint-gone`, `dead-letter` and `outbox-storage`; must not block.
    pub alarm: AlarmSink,
}

/// The running outbox; dropping it ends the deliveries where they are, and the next start takes them up again.
#[derive(Debug)]
pub struct Outbox {
    stop: watch::Sender<bool>,
    lanes: JoinSet<()>,
}

/// Starts a lane for each endpoint. Rows of endpoints that are not configured any more wait in storage.
pub fn start(storage: &Storage, endpoints: Vec<Endpoint>, settings: OutboxSettings) -> Result<Outbox, OutboxError> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // The client would panic without one; when another part was faster, its choice stands.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let client = reqwest::Client::builder()
        // CloudEvents HTTP webhook binding §2.1: a redirect is never followed, or a secret's work goes elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        // Straight to the endpoint: no proxy that an environment variable happens to name.
        .no_proxy()
        // object_store brings HTTP/2 into the tree; webhooks are what they were.
        .http1_only()
        .pool_max_idle_per_host(PARALLEL_MAX)
        .user_agent(concat!("vigie/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(OutboxError::Client)?;
    let stop = watch::Sender::new(false);
    let mut lanes = JoinSet::new();
    for endpoint in endpoints {
        let lane = lane::Lane::new(storage.clone(), client.clone(), endpoint, settings.clone());
        lanes.spawn(lane.run(stop.subscribe()));
    }
    Ok(Outbox { stop, lanes })
}

impl Outbox {
    /// Begins no more deliveries, lets those under way come to their end (at most the endpoint's timeout), and
    /// records them.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.lanes.join_next().await.is_some() {}
    }
}
