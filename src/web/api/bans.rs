//! Bans: which sources and accounts are refused for a while, and an operator's pardon.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit::{Act, perform};
use super::room::unexpected;
use crate::model::{self, BanView, Command, Reply};
use crate::web::Desk;
use crate::web::input::PathOf;
use crate::web::problem::{Problem, Refusals};
use crate::web::token::{Admin, Bearer};
use crate::web::words::Stamp;

/// The longest name of a ban that is looked for: an IPv6 address or an id is shorter.
const WHO_LENGTH_MAX: usize = 64;

/// One ban in force.
#[derive(Serialize, ToSchema)]
pub struct Ban {
    /// An IP address, or an account: a regulator's id.
    who: String,
    /// What `who` is: `source` is an address, nothing of which is taken; `account` is believed only where it has a
    /// device registered.
    kind: BanKind,
    /// Why.
    reason: String,
    /// Since when.
    since: Stamp,
    /// Until when; it ends by itself.
    until: Stamp,
    /// How many requests failed before.
    failures: u32,
}

/// What is banned.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum BanKind {
    Source,
    Account,
}

impl Ban {
    fn of(view: BanView, zone: &TimeZone) -> Ban {
        Ban {
            kind: match view.kind {
                model::BanKind::Source => BanKind::Source,
                model::BanKind::Account => BanKind::Account,
            },
            who: view.who,
            reason: view.reason,
            since: Stamp::of(view.since, zone),
            until: Stamp::of(view.until, zone),
            failures: view.failures,
        }
    }
}

/// Every ban
///
/// The addresses and accounts that failed too often (`ban_failures`, `ban_strays`, `ban_account_failures` in [sip]), the
/// one whose ban ends first at the head. A trunk is never among them.
#[utoipa::path(
    get, path = "/api/v1/sip/bans", operation_id = "listBans", tag = "signalling",
    security(("token" = ["admin", "compliance", "viewer"])),
    responses((status = 200, description = "The bans in force", body = Vec<Ban>), Refusals),
)]
pub async fn list(_bearer: Bearer, State(desk): State<Arc<Desk>>) -> Result<Json<Vec<Ban>>, Problem> {
    match desk.parts.door.ask(Command::Bans).await {
        Ok(Reply::Bans(bans)) => Ok(Json(bans.into_iter().map(|ban| Ban::of(ban, &desk.parts.zone)).collect())),
        Ok(reply) => Err(unexpected(&reply)),
        Err(closed) => Err(Problem::unavailable(closed.to_string())),
    }
}

/// Whose ban.
#[derive(Deserialize)]
pub struct Whose(String);

/// Lift a ban
///
/// What led to it is forgotten too. Written to the audit.
#[utoipa::path(
    delete, path = "/api/v1/sip/bans/{who}", operation_id = "liftBan", tag = "signalling",
    params(("who" = String, Path, description = "The address or the account, as the list has it")),
    security(("token" = ["admin"])),
    responses(
        (status = 204, description = "Lifted"),
        (status = 404, description = "No such ban", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn lift(
    Admin(bearer): Admin,
    PathOf(Whose(who)): PathOf<Whose>,
    State(desk): State<Arc<Desk>>,
) -> Result<StatusCode, Problem> {
    if who.len() > WHO_LENGTH_MAX {
        return Err(no_ban());
    }
    let lifting = async {
        match desk.parts.door.ask(Command::Unban { who: who.clone() }).await {
            Ok(Reply::Done) => Ok(StatusCode::NO_CONTENT),
            Ok(Reply::Unknown) => Err(no_ban()),
            Ok(reply) => Err(unexpected(&reply)),
            Err(closed) => Err(Problem::unavailable(closed.to_string())),
        }
    };
    perform(&desk, &bearer, Act { word: "sip.unban", call: None, reason: "", detail: &who }, lifting).await
}

fn no_ban() -> Problem {
    Problem::not_found("nothing of this name is banned; GET /api/v1/sip/bans lists the bans")
}
