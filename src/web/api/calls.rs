//! Calls: the list, one call's whole story, and an operator's end to it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::audit::{Act, perform};
use super::outbox::DeliveryView;
use super::page::{CallQuery, Page};
use super::recordings::RecordingView;
use super::room::unexpected;
use super::story::{CallView, EventView, LegView, OfferView};
use crate::model::{CallId, CallRecord, Command, Reply};
use crate::storage::{calls, story};
use crate::web::Desk;
use crate::web::input::{PathOf, QueryOf};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::{Admin, Bearer};
use crate::web::words::Stamp;

/// A call's whole story.
#[derive(Serialize, ToSchema)]
pub struct StoryView {
    /// The call record; of a live call, as far as it is known.
    call: CallView,
    /// Every offer, with why this regulator.
    offers: Vec<OfferView>,
    /// Every leg. One that lives has no `ended_at`, and the quality of its media is as of two seconds ago at most.
    legs: Vec<LegView>,
    /// Every event, in order.
    events: Vec<EventView>,
    /// The recording, once it is sealed.
    recording: Option<RecordingView>,
    /// Why there is no recording, when there should be one.
    recording_failure: Option<RecordingFailureView>,
    /// What became of each event at each endpoint of dispatch, the newest first.
    deliveries: Vec<DeliveryView>,
}

/// A recording that was expected and is not there.
#[derive(Serialize, ToSchema)]
pub struct RecordingFailureView {
    /// When it was known.
    at: Stamp,
    /// Why.
    reason: String,
}

/// Calls
///
/// Newest first, live ones too.
#[utoipa::path(
    get, path = "/api/v1/calls", operation_id = "listCalls", tag = "calls",
    params(CallQuery),
    security(("token" = ["admin", "compliance", "viewer"])),
    responses((status = 200, description = "A page of calls", body = Page<CallView>), Refusals),
)]
pub async fn list(
    bearer: Bearer,
    QueryOf(query): QueryOf<CallQuery>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<Page<CallView>>, Problem> {
    let found = calls::list(desk.stored().await, &query.read(&desk.parts.numbers, &bearer)).await?;
    let items = found.items.iter().map(|record| CallView::of(record, &desk.parts.zone)).collect();
    Ok(Json(Page { items, next: found.next.map(|cursor| cursor.to_string()) }))
}

/// One call's whole story
///
/// The record, offers with their reasoning, legs with the quality of their media, of a live call as it is now, events,
/// recording, and what became of each event at dispatch.
#[utoipa::path(
    get, path = "/api/v1/calls/{call}", operation_id = "showCall", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    security(("token" = ["admin", "compliance", "viewer"])),
    responses(
        (status = 200, description = "The story", body = StoryView),
        (status = 404, description = "No such call", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn show(
    bearer: Bearer,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<StoryView>, Problem> {
    let zone = &desk.parts.zone;
    let mut story = story::of(desk.stored().await, call).await?.ok_or_else(no_call)?;
    bearer.demand(&story.record.association)?;
    if story.record.ended_at.is_none() {
        add_live_legs(&desk, &mut story.record).await;
    }
    Ok(Json(StoryView {
        call: CallView::of(&story.record, zone),
        offers: story.record.offers.into_iter().map(|offer| OfferView::of(offer, zone)).collect(),
        legs: story.record.legs.into_iter().map(|leg| LegView::of(leg, zone)).collect(),
        events: story.events.into_iter().map(|event| EventView::of(event, zone)).collect(),
        recording: story.recording.map(|sealed| RecordingView::of(sealed, zone)),
        recording_failure: story
            .failure
            .map(|failure| RecordingFailureView { at: Stamp::of(failure.at, zone), reason: failure.reason }),
        deliveries: story.owed.into_iter().map(|row| DeliveryView::of(row, zone)).collect(),
    }))
}

/// Adds the legs of a live call as they are now, each with the quality of its media so far. When the switchboard does not
/// answer, what is stored is told all the same.
async fn add_live_legs(desk: &Desk, record: &mut CallRecord) {
    let Ok(Reply::Legs(live)) = desk.parts.door.ask(Command::Legs { call: record.id }).await else { return };
    let mut qualities = (desk.parts.live_quality)(record.id);
    for mut leg in live {
        if let Some(quality) = qualities.remove(&leg.number) {
            leg.quality = quality;
        }
        record.legs.retain(|stored| stored.number != leg.number);
        record.legs.push(leg);
    }
    record.legs.sort_by_key(|leg| leg.number);
}

/// End a live call
///
/// Both sides are hung up; a recording is sealed as always. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/calls/{call}/end", operation_id = "endCall", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    security(("token" = ["admin"])),
    responses(
        (status = 204, description = "It is being ended"),
        (status = 404, description = "No such live call", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It cannot be done now", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn end(
    Admin(bearer): Admin,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
) -> Result<StatusCode, Problem> {
    let act = Act { word: "call.end", call: Some(call), reason: "", detail: "" };
    perform(&desk, &bearer, act, hang_up(&desk, call)).await
}

async fn hang_up(desk: &Desk, call: CallId) -> Result<StatusCode, Problem> {
    match desk.parts.door.ask(Command::EndCall { call }).await {
        Ok(Reply::Done) => Ok(StatusCode::NO_CONTENT),
        Ok(Reply::Unknown) => Err(Problem::not_found("no live call has this id; GET /api/v1/room shows who waits")),
        Ok(Reply::Refused(why)) => Err(Problem::conflict(why)),
        Ok(
            reply @ (Reply::Room(_)
            | Reply::State(_)
            | Reply::Drained
            | Reply::Bans(_)
            | Reply::Legs(_)
            | Reply::Trunks(_)
            | Reply::Foreseen(_)
            | Reply::Standing(_)),
        ) => Err(unexpected(&reply)),
        Err(closed) => Err(Problem::unavailable(closed.to_string())),
    }
}

/// There is no such call.
pub fn no_call() -> Problem {
    Problem::not_found("no call has this id; GET /api/v1/calls lists them")
}
