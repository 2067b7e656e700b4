//! The HTTP door: the API, its description, metrics and health.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::serve::ListenerExt;
use jiff::tz::TimeZone;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::archive::Evidence;
use crate::archive::custody::Custodian;
use crate::config::settings::AccessSettings;
use crate::model::{CallId, LegQuality, NumberPlan};
use crate::storage::{Storage, Writer};
use crate::switchboard::Door;
use crate::vault::Keys;

mod access;
mod api;
mod drawing;
mod guard;
mod input;
mod listen;
pub mod metrics;
mod problem;
mod range;
mod readiness;
mod refused;
mod reloader;
mod routing_words;
mod sending;
mod token;
mod words;

use refused::RefusedWishes;

pub use api::{ConfigurationChange, LastDay, Moved, ReachView, ReloadReport, RoomForesight, StrandedCall};
pub use readiness::Readiness;
pub use reloader::{InForce, ReloadRefused, Reloaded, Reloader, Waiting};
pub use token::{ApiToken, Role, hash_token};

/// How long a stop waits for answers that are still being sent.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How long a question waits for what was decided before it to be stored.
const STORED_WITHIN: Duration = Duration::from_secs(1);

/// What the media of a live call's legs are like so far, by the number of the leg.
pub type LiveQuality = Arc<dyn Fn(CallId) -> BTreeMap<u16, LegQuality> + Send + Sync>;

/// What the door needs of the other parts.
#[derive(Clone)]
pub struct Parts {
    /// What is remembered.
    pub storage: Storage,
    /// What is about to be.
    pub writer: Writer,
    /// The way to the running decisions.
    pub door: Door,
    /// Asks the media plane.
    pub live_quality: LiveQuality,
    /// The configuration file: people are imported beside it.
    pub config: PathBuf,
    /// Puts another configuration in force.
    pub reloader: Arc<dyn Reloader>,
    /// The recordings folder: no file outside it is ever sent.
    pub recordings: PathBuf,
    /// Adds to recordings, makes redacted copies and exports.
    pub evidence: Evidence,
    /// What somebody who takes many recordings is watched for.
    pub access: AccessSettings,
    /// Open the recordings that are encrypted.
    pub keys: Keys,
    /// Keeps recordings, and deletes them when two people agree.
    pub custody: Arc<Custodian>,
    /// The tokens that are accepted.
    pub tokens: Vec<ApiToken>,
    /// The zone that times are written in.
    pub zone: TimeZone,
    /// How the trunks write numbers, each way once: a caller is searched by any of them.
    pub numbers: Vec<NumberPlan>,
    /// Where `/metrics` reads from.
    pub metrics: PrometheusHandle,
    /// What `/readyz` tells.
    pub ready: Readiness,
}

/// What every operation is handed.
struct Desk {
    parts: Parts,
    refused: RefusedWishes,
}

impl Desk {
    /// The database, once it has everything that was decided before; as it is, when it is away or slow. So who hangs
    /// up and then asks finds his call ended.
    async fn stored(&self) -> &Storage {
        let Parts { storage, writer, .. } = &self.parts;
        if !writer.backlog().away {
            // Late or stopped: what is there is answered all the same.
            let _ = timeout(STORED_WITHIN, writer.flush()).await;
        }
        storage
    }
}

/// Every route, with its limits.
pub fn router(parts: Parts) -> Router {
    let (routes, _) = api::describe();
    routes
        .fallback(api::refuse_unknown)
        .method_not_allowed_fallback(api::refuse_method)
        .layer(DefaultBodyLimit::max(input::BODY_BYTES_MAX))
        .layer(from_fn(guard::guard))
        .with_state(Arc::new(Desk { parts, refused: RefusedWishes::default() }))
}

/// The description of the API (OpenAPI 3.1), as `/api/openapi.json` serves it.
pub fn openapi() -> utoipa::openapi::OpenApi {
    api::describe().1
}

/// Serves until `stop` ends, then lets answers finish for at most 5 s.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    parts: Parts,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (tell, told) = oneshot::channel();
    let stopped = async move {
        stop.await;
        // Nobody listens any more only when the server is gone already.
        let _ = tell.send(());
    };
    let service = router(parts).into_make_service_with_connect_info::<SocketAddr>();
    // axum tells the peer's address of a listener of our own only when it is tapped; there is nothing to tap for.
    let listener = listen::Bounded::new(listener).tap_io(|_| ());
    let serving = axum::serve(listener, service).with_graceful_shutdown(stopped);
    let grace = async {
        match told.await {
            Ok(()) => sleep(STOP_GRACE).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        served = serving.into_future() => served,
        () = grace => Ok(()),
    }
}
