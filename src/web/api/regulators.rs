//! Regulators: who they are, what they are doing, and an operator's control over it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit::{Act, perform};
use super::room::{ask_room, unexpected};
use crate::model::command::RegulatorView;
use crate::model::{Command, PauseReason, RegulatorId, RegulatorState, Reply, Utc};
use crate::web::Desk;
use crate::web::input::{BodyOf, Example, Id, PathOf, Reason};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::{Admin, Bearer};
use crate::web::words::Stamp;

/// One regulator, now.
#[derive(Serialize, ToSchema)]
pub struct RegulatorNow {
    /// The regulator's id.
    regulator: String,
    /// Shown to people.
    name: String,
    /// Employed by.
    association: String,
    /// Doing what.
    #[serde(flatten)]
    state: StateNow,
    /// Since when; null for one who has never been anything but offline.
    since: Option<Stamp>,
    /// Until when, for states that end by themselves.
    until: Option<Stamp>,
    /// How many softphones are registered.
    devices: usize,
    /// Level of each skill, 1–100.
    skills: BTreeMap<String, u8>,
    /// Cost of each region served; 0 is home.
    region_costs: BTreeMap<String, u32>,
}

/// What a regulator is doing.
#[derive(Serialize, ToSchema)]
pub struct StateNow {
    /// The state.
    state: StateWord,
    /// On which call, while ringing or talking.
    #[schema(format = "uuid")]
    call: Option<String>,
    /// Why, while paused.
    pause: Option<PauseNow>,
}

/// Why a regulator is paused.
#[derive(Serialize, ToSchema)]
pub struct PauseNow {
    /// Why, in one word.
    reason: PauseWord,
    /// The operator's or the supervisor's words.
    detail: Option<String>,
}

/// A regulator's state in one word.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum StateWord {
    Offline,
    Ready,
    Ringing,
    Talking,
    WrapUp,
    Paused,
}

/// Why a regulator is paused, in one word.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum PauseWord {
    Own,
    Operator,
    LoggedOut,
    NoAnswer,
    Refused,
    Unreachable,
    NotYetReady,
}

impl From<RegulatorState> for StateNow {
    fn from(state: RegulatorState) -> StateNow {
        let plain = |state| StateNow { state, call: None, pause: None };
        match state {
            RegulatorState::Offline => plain(StateWord::Offline),
            RegulatorState::Ready => plain(StateWord::Ready),
            RegulatorState::WrapUp => plain(StateWord::WrapUp),
            RegulatorState::Ringing { call } => StateNow { call: Some(call.to_string()), ..plain(StateWord::Ringing) },
            RegulatorState::Talking { call } => StateNow { call: Some(call.to_string()), ..plain(StateWord::Talking) },
            RegulatorState::Paused { reason } => {
                StateNow { pause: Some(PauseNow::from(reason)), ..plain(StateWord::Paused) }
            }
        }
    }
}

impl From<PauseReason> for PauseNow {
    fn from(reason: PauseReason) -> PauseNow {
        let (reason, detail) = match reason {
            PauseReason::Own => (PauseWord::Own, None),
            PauseReason::Operator(words) => (PauseWord::Operator, Some(words)),
            PauseReason::LoggedOut(words) => (PauseWord::LoggedOut, Some(words)),
            PauseReason::NoAnswer => (PauseWord::NoAnswer, None),
            PauseReason::Refused => (PauseWord::Refused, None),
            PauseReason::Unreachable => (PauseWord::Unreachable, None),
            PauseReason::NotYetReady => (PauseWord::NotYetReady, None),
        };
        PauseNow { reason, detail }
    }
}

impl RegulatorNow {
    /// A regulator as the decisions show it.
    pub fn of(one: RegulatorView, zone: &TimeZone) -> RegulatorNow {
        RegulatorNow {
            regulator: one.regulator.to_string(),
            name: one.name,
            association: one.association.to_string(),
            state: one.state.into(),
            // The decisions have no time for who was never online.
            since: Stamp::maybe((one.since != Utc::default()).then_some(one.since), zone),
            until: Stamp::maybe(one.until, zone),
            devices: one.devices.len(),
            skills: one.skills.into_iter().map(|(skill, level)| (skill.to_string(), level)).collect(),
            region_costs: one.regions.into_iter().map(|(region, cost)| (region.to_string(), cost)).collect(),
        }
    }
}

/// Every regulator
#[utoipa::path(
    get, path = "/api/v1/regulators", operation_id = "listRegulators", tag = "room",
    security(("token" = ["admin", "compliance", "viewer"])),
    responses((status = 200, description = "Every regulator of the configuration", body = Vec<RegulatorNow>), Refusals),
)]
pub async fn list(_bearer: Bearer, State(desk): State<Arc<Desk>>) -> Result<Json<Vec<RegulatorNow>>, Problem> {
    let room = ask_room(&desk).await?;
    Ok(Json(room.regulators.into_iter().map(|one| RegulatorNow::of(one, &desk.parts.zone)).collect()))
}

/// One regulator
#[utoipa::path(
    get, path = "/api/v1/regulators/{regulator}", operation_id = "showRegulator", tag = "room",
    params(("regulator" = String, Path, description = "The regulator's id")),
    security(("token" = ["admin", "compliance", "viewer"])),
    responses(
        (status = 200, description = "The regulator now", body = RegulatorNow),
        (status = 404, description = "No such regulator", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn show(
    _bearer: Bearer,
    PathOf(Id(id)): PathOf<Id>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<RegulatorNow>, Problem> {
    let room = ask_room(&desk).await?;
    let one = room.regulators.into_iter().find(|one| one.regulator.as_str() == id).ok_or_else(no_regulator)?;
    Ok(Json(RegulatorNow::of(one, &desk.parts.zone)))
}

/// The reason of a pause when the operator gives none.
const REASON_UNSAID: &str = "operator";

/// Why a regulator is to be paused.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "lunch"}))]
pub struct Pause {
    /// In the operator's words, which the regulator's colleagues see; `operator` when nothing is said.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 3, max_length = 500)]
    reason: Option<Reason>,
}

impl Example for Pause {
    const EXAMPLE: &'static str = r#"{"reason": "lunch"}"#;
}

/// Pause a regulator
///
/// No call is offered until the regulator is made ready again. A live call goes on. The body may be left out. Written
/// to the audit.
#[utoipa::path(
    post, path = "/api/v1/regulators/{regulator}/pause", operation_id = "pauseRegulator", tag = "room",
    params(("regulator" = String, Path, description = "The regulator's id")),
    request_body = Option<Pause>,
    security(("token" = ["admin"])),
    responses(Steered, Refusals),
)]
pub async fn pause(
    Admin(bearer): Admin,
    PathOf(Id(id)): PathOf<Id>,
    State(desk): State<Arc<Desk>>,
    BodyOf(Pause { reason }): BodyOf<Pause>,
) -> Result<Json<StateNow>, Problem> {
    let reason = reason.as_ref().map_or(REASON_UNSAID, Reason::as_str);
    let pausing = |regulator| Command::Pause { regulator, reason: reason.into() };
    steer(&desk, &bearer, ("regulator.pause", reason), &id, pausing).await
}

/// Make a regulator ready
///
/// Refused with 409 while no device is registered. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/regulators/{regulator}/ready", operation_id = "readyRegulator", tag = "room",
    params(("regulator" = String, Path, description = "The regulator's id")),
    security(("token" = ["admin"])),
    responses(Steered, Refusals),
)]
pub async fn ready(
    Admin(bearer): Admin,
    PathOf(Id(id)): PathOf<Id>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<StateNow>, Problem> {
    steer(&desk, &bearer, ("regulator.ready", ""), &id, |regulator| Command::Ready { regulator }).await
}

/// What becomes of an operator's wish about a regulator, for the description.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code, reason = "only its description is used")]
pub enum Steered {
    /// The regulator's state now
    #[response(status = 200)]
    Done(StateNow),
    /// No such regulator
    #[response(status = 404, content_type = "application/problem+json")]
    Unknown(Problem),
    /// It cannot be done now
    #[response(status = 409, content_type = "application/problem+json")]
    Refused(Problem),
}

/// Notes in the audit what is wanted of a regulator and why, then asks for it.
pub(super) async fn steer(
    desk: &Desk,
    bearer: &Bearer,
    (word, reason): (&'static str, &str),
    id: &str,
    wish: impl FnOnce(RegulatorId) -> Command,
) -> Result<Json<StateNow>, Problem> {
    let act = Act { word, call: None, reason, detail: id };
    perform(desk, bearer, act, command(desk, wish(RegulatorId::from(id)))).await
}

async fn command(desk: &Desk, command: Command) -> Result<Json<StateNow>, Problem> {
    match desk.parts.door.ask(command).await {
        Ok(Reply::State(state)) => Ok(Json(state.into())),
        Ok(Reply::Unknown) => Err(no_regulator()),
        Ok(Reply::Refused(why)) => Err(Problem::conflict(why)),
        Ok(
            reply @ (Reply::Room(_)
            | Reply::Done
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

fn no_regulator() -> Problem {
    Problem::not_found("no regulator has this id; GET /api/v1/regulators lists them")
}
