//! Whether calls, events and recordings of a day agree.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::archive::reconcile::{Difference, Excused, reconcile, span_of};
use crate::clock;
use crate::web::Desk;
use crate::web::input::{Day, QueryOf};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::Keeper;

/// Which day.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DayQuery {
    /// By the centre's clock. Default: yesterday.
    #[param(value_type = Option<String>, format = "date", example = "2026-11-21")]
    day: Option<Day>,
}

/// What a comparison of a day found.
#[derive(Serialize, ToSchema)]
pub struct ReconciliationView {
    /// The day.
    #[schema(format = "date")]
    day: String,
    /// Whether all agree.
    agrees: bool,
    /// Calls that came in then.
    calls: u64,
    /// Of them answered, by a regulator or by voicemail.
    answered: u64,
    /// Of those recorded.
    recorded: u64,
    /// Of those not recorded because their line said so.
    not_to_be_recorded: u64,
    /// Calls that are not over, or so lately that they may still be sealed.
    pending: u64,
    /// Folders of recordings.
    folders: u64,
    /// Calls whose recording failed, and why; at most 1000.
    excused: Vec<ExcusedView>,
    /// How many there are in all.
    excused_total: u64,
    /// What does not agree; at most 1000.
    differences: Vec<DifferenceView>,
    /// How many there are in all.
    differences_total: u64,
}

/// A call that has no recording, and why.
#[derive(Serialize, ToSchema)]
pub struct ExcusedView {
    /// The call.
    #[schema(format = "uuid")]
    call: String,
    /// Why.
    reason: String,
}

impl From<Excused> for ExcusedView {
    fn from(one: Excused) -> ExcusedView {
        ExcusedView { call: one.call.to_string(), reason: one.reason }
    }
}

/// One thing that does not agree.
#[derive(Serialize, ToSchema)]
pub struct DifferenceView {
    /// Of this call.
    #[schema(format = "uuid")]
    call: String,
    /// `no-recording`, `file-missing`, `file-differs`, `not-in-database`, `unknown-call`, `unfinished`, `event` or
    /// `too-short`.
    kind: String,
    /// In words, with what to do.
    what: String,
}

impl From<Difference> for DifferenceView {
    fn from(one: Difference) -> DifferenceView {
        DifferenceView { call: one.call.to_string(), kind: one.kind.name().to_owned(), what: one.what }
    }
}

/// Calls, events and recordings of a day
///
/// Compared now: every answered call has its recording or a stated reason, every recording its files, its call and its
/// events. The server does so by itself once a day (`[recording] reconcile_at`), and a difference is an alarm.
#[utoipa::path(
    get, path = "/api/v1/reconciliation", operation_id = "reconcile", tag = "recordings",
    params(DayQuery),
    security(("token" = ["admin", "compliance"])),
    responses((status = 200, description = "What was found", body = ReconciliationView), Refusals),
)]
pub async fn show(
    _keeper: Keeper,
    QueryOf(query): QueryOf<DayQuery>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<ReconciliationView>, Problem> {
    let now = clock::utc();
    let yesterday = || now.timestamp().to_zoned(desk.parts.zone.clone()).date().yesterday().ok();
    let span =
        query.day.map(|Day(day)| day).or_else(yesterday).and_then(|day| Some((day, span_of(day, &desk.parts.zone)?)));
    let (day, span) = span.ok_or_else(|| Problem::bad_request("day: write a date such as 2026-11-21"))?;
    let found = reconcile(desk.stored().await, &desk.parts.recordings, span, now).await;
    let found = found.map_err(|error| Problem::fault(error.to_string()))?;
    Ok(Json(ReconciliationView {
        day: day.to_string(),
        agrees: found.differences_total == 0,
        calls: found.calls,
        answered: found.answered,
        recorded: found.recorded,
        not_to_be_recorded: found.not_to_be_recorded,
        pending: found.pending,
        folders: found.folders,
        excused: found.excused.into_iter().map(ExcusedView::from).collect(),
        excused_total: found.excused_total,
        differences: found.differences.into_iter().map(DifferenceView::from).collect(),
        differences_total: found.differences_total,
    }))
}
