//! What a supervisor does about a regulator's duty: the rest after a call ended or extended, a forced log-out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::regulators::{StateNow, Steered, steer};
use crate::model::Command;
use crate::web::Desk;
use crate::web::input::{BodyOf, Example, Id, PathOf, Reason};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::Admin;

/// How much longer a regulator rests.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"seconds": 120}))]
pub struct Longer {
    /// So many seconds more, 1 to 3600; without it `wrap_up_extension` of `[offers]`. No rest is longer than an hour.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3600)]
    seconds: Option<u32>,
}

impl Example for Longer {
    const EXAMPLE: &'static str = r#"{"seconds": 120}"#;
}

/// Extend the rest after a call
///
/// The regulator rests longer: as `*12` does from the person's own phone. Refused with 409 for one who does not rest.
/// Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/regulators/{regulator}/wrap-up/extend", operation_id = "extendWrapUp", tag = "room",
    params(("regulator" = String, Path, description = "The regulator's id")),
    request_body = Option<Longer>,
    security(("token" = ["admin"])),
    responses(Steered, Refusals),
)]
pub async fn extend(
    Admin(bearer): Admin,
    PathOf(Id(id)): PathOf<Id>,
    State(desk): State<Arc<Desk>>,
    BodyOf(Longer { seconds }): BodyOf<Longer>,
) -> Result<Json<StateNow>, Problem> {
    if seconds.is_some_and(|seconds| !(1..=3600).contains(&seconds)) {
        return Err(Problem::bad_request("in the body: `seconds` is a number from 1 to 3600"));
    }
    let extending = |regulator| Command::ExtendWrapUp { regulator, by_s: seconds };
    steer(&desk, &bearer, ("regulator.wrap-up.extend", ""), &id, extending).await
}

/// End the rest after a call
///
/// The regulator is ready at once: as `*11` does from the person's own phone. Refused with 409 for one who does not
/// rest. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/regulators/{regulator}/wrap-up/end", operation_id = "endWrapUp", tag = "room",
    params(("regulator" = String, Path, description = "The regulator's id")),
    security(("token" = ["admin"])),
    responses(Steered, Refusals),
)]
pub async fn end(
    Admin(bearer): Admin,
    PathOf(Id(id)): PathOf<Id>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<StateNow>, Problem> {
    steer(&desk, &bearer, ("regulator.wrap-up.end", ""), &id, |regulator| Command::EndWrapUp { regulator }).await
}

/// The reason of a log-out when the supervisor gives none.
const REASON_UNSAID: &str = "logged out by a supervisor";

/// Why a regulator is logged out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "left without logging out"}))]
pub struct LogOut {
    /// In the supervisor's words; `logged out by a supervisor` when nothing is said.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 3, max_length = 500)]
    reason: Option<Reason>,
}

impl Example for LogOut {
    const EXAMPLE: &'static str = r#"{"reason": "left without logging out"}"#;
}

/// Log a regulator out
///
/// The registrations of all devices end at once; what rings there goes back to the waiting room, a live call goes on to
/// its end. A phone that registers again is paused (`logged-out`) until the person dials `*11` or is made ready; a
/// restart of the server does not undo it. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/regulators/{regulator}/log-out", operation_id = "logOutRegulator", tag = "room",
    params(("regulator" = String, Path, description = "The regulator's id")),
    request_body = Option<LogOut>,
    security(("token" = ["admin"])),
    responses(
        (status = 200, description = "The regulator's state now", body = StateNow),
        (status = 404, description = "No such regulator", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn log_out(
    Admin(bearer): Admin,
    PathOf(Id(id)): PathOf<Id>,
    State(desk): State<Arc<Desk>>,
    BodyOf(LogOut { reason }): BodyOf<LogOut>,
) -> Result<Json<StateNow>, Problem> {
    let reason = reason.as_ref().map_or(REASON_UNSAID, Reason::as_str);
    let leaving = |regulator| Command::LogOut { regulator, reason: reason.into() };
    steer(&desk, &bearer, ("regulator.log-out", reason), &id, leaving).await
}
