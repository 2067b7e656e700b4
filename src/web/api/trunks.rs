//! Trunks: whether carriers are reached, registered with, and how much they carry, now.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use super::room::unexpected;
use crate::model::command::{TargetView, TrunkView};
use crate::model::{Command, Reply};
use crate::web::Desk;
use crate::web::problem::{Problem, Refusals};
use crate::web::token::Bearer;
use crate::web::words::Stamp;

/// One trunk.
#[derive(Serialize, ToSchema)]
pub struct TrunkNow {
    /// Its id in the configuration.
    trunk: String,
    /// Live calls, both ways.
    calls_live: u32,
    /// Calls at once, at most (`calls_max`).
    calls_max: u32,
    /// `registered`, `registering`, `refused` or `unreachable`; nothing for a trunk that does not register.
    registration: Option<String>,
    /// Until when it is registered; refreshed well before.
    registered_until: Option<Stamp>,
    /// What is wrong, and where.
    trouble: Option<String>,
    /// Where it is reached, the place in use first; empty for a carrier that only calls us, or whose name was not
    /// looked up yet.
    targets: Vec<TrunkTarget>,
}

/// One place of a trunk.
#[derive(Serialize, ToSchema)]
pub struct TrunkTarget {
    /// Transport, address and port: `udp:192.0.2.1:5060`.
    address: String,
    /// Whether it answers; nothing when it was never asked.
    is_up: Option<bool>,
}

impl TrunkNow {
    fn of(view: TrunkView, zone: &TimeZone) -> TrunkNow {
        let target = |TargetView { address, is_up }| TrunkTarget { address, is_up };
        TrunkNow {
            trunk: view.trunk.to_string(),
            calls_live: view.calls_live,
            calls_max: view.calls_max,
            registration: view.registration,
            registered_until: view.registered_until.map(|until| Stamp::of(until, zone)),
            trouble: view.trouble,
            targets: view.targets.into_iter().map(target).collect(),
        }
    }
}

/// Every trunk
///
/// Whether each carrier is reached and registered with, what is wrong, and how many calls it carries.
#[utoipa::path(
    get, path = "/api/v1/trunks", operation_id = "listTrunks", tag = "signalling",
    security(("token" = ["admin", "compliance", "viewer"])),
    responses((status = 200, description = "The trunks now", body = Vec<TrunkNow>), Refusals),
)]
pub async fn list(_bearer: Bearer, State(desk): State<Arc<Desk>>) -> Result<Json<Vec<TrunkNow>>, Problem> {
    match desk.parts.door.ask(Command::Trunks).await {
        Ok(Reply::Trunks(all)) => Ok(Json(all.into_iter().map(|one| TrunkNow::of(one, &desk.parts.zone)).collect())),
        Ok(reply) => Err(unexpected(&reply)),
        Err(closed) => Err(Problem::unavailable(closed.to_string())),
    }
}
