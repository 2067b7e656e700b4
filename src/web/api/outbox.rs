//! Events owed to dispatch: how many, which were given up, and their replay.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::audit::{Act, perform};
use crate::clock;
use crate::model::CallId;
use crate::storage::outbox::{self, OutboxFilter, OutboxOrder, OutboxRow, OutboxState, OwedCount};
use crate::web::Desk;
use crate::web::input::{Id, PathOf, QueryOf, Rows};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::{Admin, Bearer};
use crate::web::words::Stamp;

/// What dispatch is owed.
#[derive(Serialize, ToSchema)]
pub struct OutboxView {
    /// What each endpoint is owed; an endpoint that is owed nothing is not listed.
    endpoints: Vec<EndpointView>,
    /// The deliveries asked for, oldest first (delivered ones newest first): without `state`, all that
    /// is pending or dead.
    items: Vec<DeliveryView>,
    /// Where the next page begins: hand it back as `before`. Null on the last page.
    next: Option<String>,
}

/// What one endpoint is owed.
#[derive(Serialize, ToSchema)]
pub struct EndpointView {
    /// The endpoint's id.
    endpoint: String,
    /// Events not delivered yet: those `due` and those `behind` them.
    pending: u64,
    /// Dead letters.
    dead: u64,
    /// Since when the oldest pending one is owed.
    oldest_pending_since: Option<Stamp>,
}

/// One event owed to one endpoint.
#[derive(Serialize, ToSchema)]
pub struct DeliveryView {
    /// Its place: what a replay takes.
    position: i64,
    /// The event's id; the `webhook-id` too.
    #[schema(format = "uuid")]
    event: String,
    /// To whom it is owed.
    endpoint: String,
    /// `calls/<id>` or `regulators/<id>`.
    subject: String,
    /// The event's type: `call.received`…
    #[serde(rename = "type")]
    kind: String,
    /// Its place within the subject, from 1.
    sequence: u32,
    /// Where it stands.
    state: DeliveryState,
    /// Attempts made.
    attempts: u32,
    /// When the next attempt is due.
    due_at: Option<Stamp>,
    /// Since when it is owed.
    owed_since: Stamp,
    /// When it was delivered or given up.
    settled_at: Option<Stamp>,
    /// The last HTTP status.
    status: Option<u16>,
    /// The last error, or why it was given up.
    reason: Option<String>,
}

/// Where a delivery stands: `due` next, `behind` an earlier event of its subject, `delivered`, or given up: `dead`.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// The next of its subject.
    Due,
    /// An earlier event of its subject is still owed.
    Behind,
    /// The endpoint has it.
    Delivered,
    /// Given up; can be replayed.
    Dead,
}

impl From<OutboxState> for DeliveryState {
    fn from(state: OutboxState) -> DeliveryState {
        match state {
            OutboxState::Due => DeliveryState::Due,
            OutboxState::Behind => DeliveryState::Behind,
            OutboxState::Delivered => DeliveryState::Delivered,
            OutboxState::Dead => DeliveryState::Dead,
        }
    }
}

/// Which deliveries are wanted.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// `due` and `behind`: what the counter `pending` counts.
    Pending,
    /// The next of their subjects.
    Due,
    /// Behind an earlier event of their subject.
    Behind,
    /// Delivered.
    Delivered,
    /// Given up.
    Dead,
}

/// The states wanted, and in which order: what is owed is served oldest first.
fn choose(wanted: Option<Wanted>) -> (Vec<OutboxState>, OutboxOrder) {
    use OutboxOrder::{NewestFirst, OldestFirst};
    match wanted {
        None => (vec![OutboxState::Due, OutboxState::Behind, OutboxState::Dead], OldestFirst),
        Some(Wanted::Pending) => (vec![OutboxState::Due, OutboxState::Behind], OldestFirst),
        Some(Wanted::Due) => (vec![OutboxState::Due], OldestFirst),
        Some(Wanted::Behind) => (vec![OutboxState::Behind], OldestFirst),
        Some(Wanted::Dead) => (vec![OutboxState::Dead], OldestFirst),
        Some(Wanted::Delivered) => (vec![OutboxState::Delivered], NewestFirst),
    }
}

impl DeliveryView {
    /// A row of the outbox.
    pub fn of(row: OutboxRow, zone: &TimeZone) -> DeliveryView {
        DeliveryView {
            position: row.position,
            event: row.event.to_string(),
            endpoint: row.endpoint,
            subject: row.subject,
            kind: row.kind,
            sequence: row.sequence,
            due_at: (row.state == OutboxState::Due).then(|| Stamp::of(row.due_at, zone)),
            state: row.state.into(),
            attempts: row.attempts,
            owed_since: Stamp::of(row.owed_since, zone),
            settled_at: Stamp::maybe(row.settled_at, zone),
            status: row.status,
            reason: row.reason,
        }
    }
}

impl EndpointView {
    fn of(count: OwedCount, zone: &TimeZone) -> EndpointView {
        let OwedCount { endpoint, pending, dead, oldest } = count;
        EndpointView { endpoint, pending, dead, oldest_pending_since: Stamp::maybe(oldest, zone) }
    }
}

/// Which deliveries: everything given must hold.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OutboxQuery {
    /// To this endpoint.
    #[param(value_type = Option<String>)]
    endpoint: Option<Id>,
    /// In this state; `pending` is `due` and `behind`. All that is pending or dead when nothing is said.
    #[param(inline)]
    state: Option<Wanted>,
    /// About this call.
    #[param(value_type = Option<String>, format = "uuid")]
    call: Option<CallId>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 100)]
    limit: Rows,
    /// `next` of the page before, unchanged.
    #[param(value_type = Option<String>)]
    before: Option<i64>,
}

/// The outbox
///
/// What each endpoint is owed, and the deliveries asked for: without `state`, all that is pending or dead. The oldest
/// comes first, of delivered ones the newest.
#[utoipa::path(
    get, path = "/api/v1/outbox", operation_id = "showOutbox", tag = "dispatch",
    params(OutboxQuery),
    security(("token" = ["admin", "compliance", "viewer"])),
    responses((status = 200, description = "Counts and a page of deliveries", body = OutboxView), Refusals),
)]
pub async fn show(
    _bearer: Bearer,
    QueryOf(query): QueryOf<OutboxQuery>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<OutboxView>, Problem> {
    let zone = &desk.parts.zone;
    let (states, order) = choose(query.state);
    let filter = OutboxFilter {
        endpoint: query.endpoint.map(|Id(id)| id),
        states,
        order,
        call: query.call,
        limit: Some(query.limit.0),
        after: query.before,
    };
    let counts = outbox::pending(desk.stored().await).await?;
    let rows = outbox::list(&desk.parts.storage, &filter).await?;
    let full = rows.len() >= query.limit.0 as usize;
    Ok(Json(OutboxView {
        next: rows.last().filter(|_| full).map(|row| row.position.to_string()),
        endpoints: counts.into_iter().map(|count| EndpointView::of(count, zone)).collect(),
        items: rows.into_iter().map(|row| DeliveryView::of(row, zone)).collect(),
    }))
}

/// Replay a dead letter
///
/// It is owed again from the first attempt, behind whatever its subject still owes. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/outbox/{position}/replay", operation_id = "replayDelivery", tag = "dispatch",
    params(("position" = i64, Path, description = "The delivery's `position`")),
    security(("token" = ["admin"])),
    responses(
        (status = 204, description = "It is owed again"),
        (status = 404, description = "No such dead letter", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn replay(
    Admin(bearer): Admin,
    PathOf(position): PathOf<i64>,
    State(desk): State<Arc<Desk>>,
) -> Result<StatusCode, Problem> {
    let detail = format!("outbox {position}");
    let act = Act { word: "outbox.replay", call: None, reason: "", detail: &detail };
    perform(&desk, &bearer, act, owe_again(&desk, position)).await
}

async fn owe_again(desk: &Desk, position: i64) -> Result<StatusCode, Problem> {
    match outbox::replay(&desk.parts.storage, position, clock::utc()).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("no dead letter has this position; GET /api/v1/outbox lists them")),
    }
}
