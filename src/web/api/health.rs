//! Alive, ready, measured, and where everything is.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{Command, Reply};
use crate::web::Desk;
use crate::web::problem::Problem;
use crate::web::token::Bearer;

/// A switchboard that takes longer to say who waits is not ready.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(2);

/// The index: the whole of it.
const INDEX: &str = "Vigie, the telephone standard of a medical-regulation centre.\n\n\
    The API is under /api/v1 and is described at /api/openapi.json (OpenAPI 3.1).\n\
    It needs a token: Authorization: Bearer TOKEN\n\n\
    /healthz   alive\n/readyz    ready for calls, or what stands against it\n/metrics   Prometheus\n";

/// Where everything is
#[utoipa::path(
    get, path = "/", operation_id = "showIndex", tag = "server",
    responses((status = 200, description = "A pointer to the API", body = String, content_type = "text/plain")),
)]
pub async fn index() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], INDEX)
}

/// Whether the process answers.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`: a process that is not does not answer.
    #[schema(value_type = String)]
    status: &'static str,
    /// The version of Vigie.
    #[schema(value_type = String)]
    version: &'static str,
}

/// Alive
#[utoipa::path(
    get, path = "/healthz", operation_id = "checkHealth", tag = "server",
    responses((status = 200, description = "The process answers", body = Health)),
)]
pub async fn healthz() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Whether this node may be given calls.
#[derive(Serialize, ToSchema)]
pub struct ReadyView {
    /// Whether it is.
    ready: bool,
    /// What stands against it, `part: why`; empty when ready.
    reasons: Vec<String>,
}

/// Ready for calls
///
/// 503 while a part is not ready, while the server is stopping, or while the switchboard does not answer.
/// A database that is away is no reason: calls are answered without it.
#[utoipa::path(
    get, path = "/readyz", operation_id = "checkReadiness", tag = "server",
    responses(
        (status = 200, description = "Ready", body = ReadyView),
        (status = 503, description = "Not ready, and why", body = ReadyView),
    ),
)]
pub async fn readyz(State(desk): State<Arc<Desk>>) -> impl IntoResponse {
    let mut reasons = desk.parts.ready.reasons();
    match tokio::time::timeout(ROOM_WAIT_MAX, desk.parts.door.ask(Command::Room)).await {
        Ok(Ok(Reply::Room(room))) if room.draining => reasons.push("switchboard: draining, no new calls".into()),
        Ok(Ok(_)) => {}
        Ok(Err(closed)) => reasons.push(format!("switchboard: {closed}")),
        Err(_) => reasons.push("switchboard: no answer within 2 s".into()),
    }
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadyView { ready: reasons.is_empty(), reasons }))
}

/// Metrics
///
/// Prometheus' text format. Needs no token from a loopback address, any token from elsewhere: the numbers
/// name no caller, but say how busy the centre is.
#[utoipa::path(
    get, path = "/metrics", operation_id = "readMetrics", tag = "server",
    security((), ("token" = [])),
    responses(
        (status = 200, description = "Prometheus text format 0.0.4", body = String, content_type = "text/plain"),
        (status = 401, description = "Asked for from elsewhere without a token", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
pub async fn metrics(_reader: MetricsReader, State(desk): State<Arc<Desk>>) -> impl IntoResponse {
    desk.parts.metrics.run_upkeep();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], desk.parts.metrics.render())
}

/// Who may read the metrics: the machine itself, or any token.
pub struct MetricsReader;

impl FromRequestParts<Arc<Desk>> for MetricsReader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<MetricsReader, Problem> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        if peer.as_ref().map(IpAddr::to_canonical).is_some_and(|ip| ip.is_loopback()) {
            return Ok(MetricsReader);
        }
        Bearer::from_request_parts(parts, desk).await.map(|_| MetricsReader)
    }
}
