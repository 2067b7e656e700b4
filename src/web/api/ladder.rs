//! A call's SIP messages: the first thing that an operator asks for.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::calls::no_call;
use crate::model::{CallId, SipTrace};
use crate::storage::{calls, ladder};
use crate::web::Desk;
use crate::web::drawing::draw_ladder;
use crate::web::input::{PathOf, QueryOf};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::Bearer;
use crate::web::words::Stamp;

/// One SIP message, in the order in which they passed.
#[derive(Serialize, ToSchema)]
pub struct SipMessageView {
    /// When.
    at: Stamp,
    /// Which leg; 0 is the caller's.
    leg: u16,
    /// Whether Vigie received it, or sent it.
    received: bool,
    /// The far end, `address:port`.
    peer: String,
    /// The message, at most 4096 bytes of it; credentials masked, invalid UTF-8 replaced.
    text: String,
}

impl SipMessageView {
    fn of(trace: SipTrace, zone: &TimeZone) -> SipMessageView {
        SipMessageView {
            at: Stamp::of(trace.at, zone),
            leg: trace.leg,
            received: trace.received,
            peer: trace.peer.to_string(),
            text: trace.text,
        }
    }
}

/// How the ladder is written.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A list of messages.
    #[default]
    Json,
    /// A drawing for a terminal.
    Text,
}

/// How the ladder is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LadderQuery {
    /// `json` (a list) or `text` (a drawing: a column per party, arrows, times, first lines).
    #[serde(default)]
    #[param(inline, required = false)]
    format: Format,
    /// With `format=text`: the whole messages follow the drawing.
    #[serde(default)]
    #[param(required = false)]
    messages: bool,
}

/// A call's SIP messages
///
/// At most 200, kept for a limited time; an empty list when they are gone or none was kept.
#[utoipa::path(
    get, path = "/api/v1/calls/{call}/ladder", operation_id = "showLadder", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id"), LadderQuery),
    security(("token" = ["admin", "compliance", "viewer"])),
    responses(
        (status = 200, description = "The messages", content(
            (Vec<SipMessageView> = "application/json"),
            (String = "text/plain"),
        )),
        (status = 404, description = "No such call", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn show(
    bearer: Bearer,
    PathOf(call): PathOf<CallId>,
    QueryOf(query): QueryOf<LadderQuery>,
    State(desk): State<Arc<Desk>>,
) -> Result<Response, Problem> {
    let messages = ladder::of_call(desk.stored().await, call).await?;
    match calls::one(&desk.parts.storage, call).await? {
        Some(record) => bearer.demand(&record.association)?,
        // Messages that belong to no call are shown to whoever sees all.
        None if messages.is_empty() || bearer.associations.is_some() => return Err(no_call()),
        None => (),
    }
    let zone = &desk.parts.zone;
    match query.format {
        Format::Json => {
            let views: Vec<SipMessageView> = messages.into_iter().map(|one| SipMessageView::of(one, zone)).collect();
            Ok(Json(views).into_response())
        }
        Format::Text => {
            let drawing = draw_ladder(&messages, query.messages, zone);
            Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], drawing).into_response())
        }
    }
}
