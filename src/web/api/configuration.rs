//! The configuration: what another one would change, and its being put in force without a call noticing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit::perform_to_the_end;
use crate::model::{CallId, LineId, RegulatorId};
use crate::web::Desk;
use crate::web::input::{BodyOf, Example};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::{Admin, Bearer};
use crate::web::words::Stamp;
use crate::web::{ReloadRefused, Reloaded};

/// What is in force.
#[derive(Serialize, ToSchema)]
pub struct ConfigurationView {
    /// The file.
    file: String,
    /// Since when this content of it is in force.
    in_force_since: Stamp,
    /// Whether the file reads otherwise now: `POST /api/v1/configuration/reload` takes it in.
    is_changed: bool,
    /// Whether the file can be read and has no errors, as `vigie check` sees it.
    is_sound: bool,
}

/// What is wanted of the file as it is now.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReloadWish {
    /// Only say what would follow; nothing changes.
    #[serde(default)]
    dry_run: bool,
}

impl Example for ReloadWish {
    const EXAMPLE: &'static str = r#"{"dry_run": true}"#;
}

/// What another configuration changes, and for whom.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct ReloadReport {
    /// Whether it is in force now; false for a dry run, and when nothing differs.
    pub is_applied: bool,
    /// What differs; empty when the file says what is in force.
    pub changes: Vec<ConfigurationChange>,
    /// What is odd about the file but no error, as `vigie check` says it.
    pub warnings: Vec<String>,
    /// Steps of lines that other people can answer than before; the worst first.
    pub reach: Vec<ReachView>,
    /// The waiting room now.
    pub room: RoomForesight,
    /// The calls of the last 24 hours, asked of the new configuration.
    pub last_day: LastDay,
}

/// One thing that differs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ConfigurationChange {
    /// As `lines.rouen`.
    pub what: String,
    /// `added`, `removed` or `changed`.
    pub kind: String,
    /// Which of its keys differ.
    pub keys: Vec<String>,
}

/// Who can answer a step of a line.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReachView {
    /// The line.
    #[schema(value_type = String)]
    pub line: LineId,
    /// 0 is the demand itself, n the n-th step.
    pub step: usize,
    /// Who can no more.
    #[schema(value_type = Vec<String>)]
    pub lost: Vec<RegulatorId>,
    /// Who can now.
    #[schema(value_type = Vec<String>)]
    pub gained: Vec<RegulatorId>,
    /// How many can now; 0 is a step that nobody can answer.
    pub left: usize,
}

/// What it means for those who wait and answer now.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct RoomForesight {
    /// Callers who wait.
    pub waiting: u32,
    /// Those whom nobody on duty could answer any more; they go on waiting, for somebody to come on duty.
    pub stranded: Vec<StrandedCall>,
    /// Who is on duty and no longer in the file: off duty at once, or when the present call is over.
    #[schema(value_type = Vec<String>)]
    pub leaving: Vec<RegulatorId>,
}

/// A caller whom nobody on duty could answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StrandedCall {
    /// Which call.
    #[schema(value_type = String, format = "uuid")]
    pub call: CallId,
    /// On which line.
    #[schema(value_type = String)]
    pub line: LineId,
    /// Waited so far, in milliseconds.
    pub wait_ms: u64,
}

/// The calls of the last 24 hours under the new configuration: what would differ from the one in force.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct LastDay {
    /// How many were looked at: the newest 100,000 at most.
    pub calls: u64,
    /// Calls that would come in on another line than under the configuration in force.
    pub moved: Vec<Moved>,
    /// Calls to a number that no line would know any more; the trunk's fallback line takes them.
    pub unknown_numbers: u64,
    /// Calls that waited for somebody and would find their line closed, which is open now.
    pub closed: u64,
    /// Calls of lines that nobody could answer any more, at any step.
    pub unserved: u64,
    /// Answered calls whose regulator is not in the file any more, or could not answer them any more, at any step.
    pub answered_by_others: u64,
    /// Calls that were to be recorded and would not be.
    pub unrecorded: u64,
}

/// Calls that would change their line.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Moved {
    /// The line that takes them now.
    #[schema(value_type = String)]
    pub from: LineId,
    /// The line that would take them.
    #[schema(value_type = String)]
    pub to: LineId,
    /// How many.
    pub calls: u64,
}

/// The configuration in force
///
/// Which file, since when, and whether it has been changed on the disk meanwhile.
#[utoipa::path(
    get, path = "/api/v1/configuration", operation_id = "showConfiguration", tag = "server",
    security(("token" = ["admin", "compliance", "viewer"])),
    responses((status = 200, description = "What is in force", body = ConfigurationView), Refusals),
)]
pub async fn show(_bearer: Bearer, State(desk): State<Arc<Desk>>) -> Json<ConfigurationView> {
    let state = desk.parts.reloader.state().await;
    Json(ConfigurationView {
        file: state.file.display().to_string(),
        in_force_since: Stamp::of(state.since, &desk.parts.zone),
        is_changed: state.is_changed,
        is_sound: state.is_sound,
    })
}

/// Put the changed file in force
///
/// The file is checked, compared, tried on the present waiting room and on the calls of the last 24 hours, and then put
/// in force as a whole: live calls, the waiting room and every regulator's state stay as they are. With `dry_run` only the
/// report is made. What needs a restart (sockets, folders, carriers' places) is refused with 409, and nothing changes.
/// The same as `vigie reload`, or SIGHUP. It may take up to two minutes, and once begun it is done, whether or not whoever
/// asked waits for it. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/configuration/reload", operation_id = "reloadConfiguration", tag = "server",
    request_body = ReloadWish,
    security(("token" = ["admin"])),
    responses(
        (status = 200, description = "What changes, and for whom", body = ReloadReport),
        (status = 409, description = "It takes a restart; the detail names the keys", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The file has errors; the detail has each with its place and remedy", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn reload(
    Admin(bearer): Admin,
    State(desk): State<Arc<Desk>>,
    BodyOf(wish): BodyOf<ReloadWish>,
) -> Result<Json<ReloadReport>, Problem> {
    let reloader = desk.parts.reloader.clone();
    let reloading = async move {
        match reloader.reload(wish.dry_run).await {
            Reloaded::Done(report) => Ok(Json(*report)),
            Reloaded::Refused(ReloadRefused::Faults(text)) => Err(Problem::unsound(text)),
            Reloaded::Refused(ReloadRefused::TakesRestart(keys)) => Err(Problem::conflict(format!(
                "nothing was changed: restart Vigie for {}, or put them back as they were",
                keys.join(", ")
            ))),
            Reloaded::Refused(ReloadRefused::Failed(text)) => Err(Problem::fault(text)),
        }
    };
    let act = if wish.dry_run { "configuration.try" } else { "configuration.reload" };
    perform_to_the_end(desk, bearer, act, reloading).await
}
