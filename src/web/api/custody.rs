//! Custody of one recording: how long it is kept, what holds it, who had it; and whether the clock is believed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use super::audit::{Act, AuditView, perform};
use super::deletions::DeletionItemView;
use super::holds::{Because, HoldView, association_of};
use crate::archive::retention::Expiry;
use crate::clock;
use crate::model::CallId;
use crate::storage::audit::{self, AuditFilter};
use crate::storage::clock_marks::ClockMark;
use crate::storage::copies::CopyState;
use crate::storage::{ROWS_MAX, deletions, holds, recordings};
use crate::web::Desk;
use crate::web::input::{BodyOf, PathOf};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::{Admin, Keeper};
use crate::web::words::Stamp;

/// A recording's custody.
#[derive(Serialize, ToSchema)]
pub struct CustodyView {
    /// Of this call.
    #[schema(format = "uuid")]
    call: String,
    /// Of this association.
    association: String,
    /// Whether it is there: false when it was deleted, or not sealed yet.
    is_there: bool,
    /// Whether a legal hold is on it.
    is_held: bool,
    /// The retention that counts for it, in years: the longest that was configured since the call's end. Null without a
    /// sealed recording, and when its association was never configured.
    retention_years: Option<u16>,
    /// For how long released holds had stopped the clock.
    held_ms: Option<i64>,
    /// From when on it may be deleted, by two people: end + retention + length of the union of its holds. Null while it is
    /// held.
    expires_at: Option<Stamp>,
    /// Its copy in the second place; null when there is none, or it is not known there yet.
    copy: Option<CopyView>,
    /// Its legal holds, the oldest first.
    holds: Vec<HoldView>,
    /// The lists of deletion that named it, the newest first.
    deletions: Vec<DeletionItemView>,
    /// The audit's entries of this call, the newest first, 500 at most: `GET /api/v1/audit` has all.
    audit: Vec<AuditView>,
}

/// A recording's copy in the second place.
#[derive(Serialize, ToSchema)]
pub struct CopyView {
    /// Which place.
    place: String,
    /// When it was copied last; null when it never was.
    copied_at: Option<Stamp>,
    /// Since when a change waits to be copied.
    waiting_since: Option<Stamp>,
    /// Until when it is locked there, where the place can lock.
    locked_until: Option<Stamp>,
    /// Why the last attempt failed.
    error: Option<String>,
}

impl CopyView {
    fn of(copy: CopyState, zone: &TimeZone) -> CopyView {
        CopyView {
            place: copy.place,
            copied_at: copy.copied_at.map(|at| Stamp::of(at, zone)),
            waiting_since: copy.waiting_since.map(|at| Stamp::of(at, zone)),
            locked_until: copy.locked_until.map(|at| Stamp::of(at, zone)),
            error: copy.error,
        }
    }
}

/// A recording's custody
///
/// How long it is kept and why, what holds it, who listened to it or took it, and what became of it.
#[utoipa::path(
    get, path = "/api/v1/recordings/{call}/custody", operation_id = "showCustody", tag = "custody",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "Its custody", body = CustodyView),
        (status = 404, description = "No such call", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn show(
    Keeper(bearer): Keeper,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<CustodyView>, Problem> {
    let (storage, zone) = (&desk.parts.storage, &desk.parts.zone);
    let association = association_of(&desk, call).await?;
    bearer.demand(&association)?;
    let sealed = recordings::one(storage, call).await?;
    let holds = holds::of_call(storage, call).await?;
    let term = match &sealed {
        Some(sealed) => match desk.parts.custody.expiry(sealed).await? {
            Expiry::At(term) => Some(term),
            Expiry::Held | Expiry::Unknown => None,
        },
        None => None,
    };
    let filter = AuditFilter { call: Some(call), limit: Some(ROWS_MAX), ..AuditFilter::default() };
    let entries = audit::list(storage, &filter).await?;
    let listed = deletions::of_call(storage, call).await?;
    Ok(Json(CustodyView {
        call: call.to_string(),
        association: association.to_string(),
        is_there: sealed.is_some(),
        is_held: holds.iter().any(|hold| hold.released_at.is_none()),
        retention_years: term.map(|term| term.years),
        held_ms: term.map(|term| term.held_us / 1000),
        expires_at: term.map(|term| Stamp::of(term.expires_at, zone)),
        copy: desk.parts.custody.copy_of(call).await?.map(|copy| CopyView::of(copy, zone)),
        holds: holds.into_iter().map(|hold| HoldView::of(hold, zone)).collect(),
        deletions: listed.into_iter().map(|(_, item)| DeletionItemView::of(item, zone)).collect(),
        audit: entries.into_iter().map(|row| AuditView::of(row, zone)).collect(),
    }))
}

/// Whether the clock is believed.
#[derive(Serialize, ToSchema)]
pub struct ClockView {
    /// What it says.
    now: Stamp,
    /// Whether it is believed; while it is not, nothing is deleted.
    is_believed: bool,
    /// Since when it is not.
    suspected_since: Option<Stamp>,
    /// Why not.
    why: Option<String>,
}

impl ClockView {
    fn of(mark: ClockMark, desk: &Desk) -> ClockView {
        let zone = &desk.parts.zone;
        ClockView {
            now: Stamp::of(mark.now.utc, zone),
            is_believed: mark.suspicion.is_none(),
            suspected_since: mark.suspicion.as_ref().map(|suspicion| Stamp::of(suspicion.since, zone)),
            why: mark.suspicion.map(|suspicion| suspicion.why),
        }
    }
}

/// Whether the clock is believed
///
/// It is not when it was set back or ahead by more than a minute, stands before the last seal, or a month after Vigie last
/// ran. Then nothing is deleted until somebody has looked at it.
#[utoipa::path(
    get, path = "/api/v1/custody/clock", operation_id = "showClock", tag = "custody",
    security(("token" = ["admin", "compliance"])),
    responses((status = 200, description = "The clock", body = ClockView), Refusals),
)]
pub async fn clock(_keeper: Keeper, State(desk): State<Arc<Desk>>) -> Result<Json<ClockView>, Problem> {
    let mark = desk.parts.custody.look_at_clock(clock::now()).await?;
    Ok(Json(ClockView::of(mark, &desk)))
}

/// Say that the clock is right
///
/// After looking at it: from now on it is believed, and what was approved for deletion goes on. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/custody/clock", operation_id = "confirmClock", tag = "custody",
    request_body(content = Because),
    security(("token" = ["admin"])),
    responses((status = 200, description = "It is believed", body = ClockView), Refusals),
)]
pub async fn confirm_clock(
    Admin(bearer): Admin,
    State(desk): State<Arc<Desk>>,
    BodyOf(because): BodyOf<Because>,
) -> Result<Json<ClockView>, Problem> {
    let reason = because.given()?;
    let now = clock::now();
    let detail = format!("it says {}", now.utc);
    let act = Act { word: "clock.confirm", call: None, reason: reason.as_str(), detail: &detail };
    let believing = async { Ok(desk.parts.custody.believe_clock(now).await?) };
    let mark = perform(&desk, &bearer, act, believing).await?;
    Ok(Json(ClockView::of(mark, &desk)))
}
