//! A live call's recording, paused and resumed.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::control::{Answers, order};
use crate::model::{AskedBy, CallId, Control};
use crate::web::Desk;
use crate::web::input::{BodyOf, Example, PathOf, Reason};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::Admin;

/// Why nothing is to be recorded for a while.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the caller gives a card's number"}))]
pub struct Paused {
    /// In words, for the recording and the audit.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 3, max_length = 500)]
    reason: Option<Reason>,
}

impl Example for Paused {
    const EXAMPLE: &'static str = r#"{"reason": "the caller gives a card's number"}"#;
}

/// Pause a call's recording
///
/// Of what is said from now on nothing is kept anywhere, until `resume`, until the line's `recording_pause_max` is over, or
/// until somebody else has the caller. The recording has a gap there, marked with who asked and why (`recording.paused`,
/// `recording.resumed`). Refused on a line whose recordings may not be paused. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/calls/{call}/recording/pause", operation_id = "pauseRecording", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    request_body = Option<Paused>,
    security(("token" = ["admin"])),
    responses(Answers, Refusals),
)]
pub async fn pause(
    Admin(bearer): Admin,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
    BodyOf(body): BodyOf<Paused>,
) -> Result<StatusCode, Problem> {
    let reason = body.reason.as_ref().map(|reason| reason.as_str().to_owned());
    let words = reason.clone().unwrap_or_default();
    let control = Control::PauseRecording { by: AskedBy::Token(bearer.name.clone()), reason };
    order(&desk, &bearer, (call, control), ("recording.pause", "", &words)).await
}

/// Resume a call's recording
///
/// Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/calls/{call}/recording/resume", operation_id = "resumeRecording", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    security(("token" = ["admin"])),
    responses(Answers, Refusals),
)]
pub async fn resume(
    Admin(bearer): Admin,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
) -> Result<StatusCode, Problem> {
    let control = Control::ResumeRecording { by: AskedBy::Token(bearer.name.clone()) };
    order(&desk, &bearer, (call, control), ("recording.resume", "", "")).await
}
