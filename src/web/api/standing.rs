//! Standing orders: lists of callers with the numbers added to them, and messages while a region is overrun.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit::{Act, perform};
use super::room::unexpected;
use crate::clock;
use crate::model::ids::is_valid_id;
use crate::model::standing::{CallerList, ListedNumber, Numbers, StandingOrder, StandingView, Surge};
use crate::model::{Command, ListId, NumberPlan, RegionId, Reply, SoundId, Utc};
use crate::web::Desk;
use crate::web::input::{BodyOf, Example, Id, PathOf, Reason, When};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::{Admin, Bearer};
use crate::web::words::Stamp;

/// The longest that a number added to a list, or a message, may hold when a time is said: a year and a day.
const UNTIL_MAX_US: i64 = 366 * 86_400_000_000;
/// The longest number looked for, in characters.
const NUMBER_LENGTH_MAX: usize = 64;

/// A list of callers.
#[derive(Serialize, ToSchema)]
pub struct ListView {
    /// Its id in the configuration.
    list: String,
    /// Shown to people.
    name: String,
    /// `priority` changes what its callers' calls need, `blocked` refuses them, `test` marks their calls.
    kind: &'static str,
    /// The lines that it holds for; empty: all.
    lines: Vec<String>,
    /// The numbers in the configuration: E.164, a beginning with `*`, or `anonymous`.
    numbers: Vec<String>,
    /// Why these stand there.
    reason: Option<String>,
    /// Until when these hold.
    until: Option<Stamp>,
    /// The numbers added through the API that hold now.
    added: Vec<AddedView>,
}

/// A number that was added to a list.
#[derive(Serialize, ToSchema)]
pub struct AddedView {
    /// E.164, a beginning with `*`, or `anonymous`.
    number: String,
    /// Why.
    reason: Option<String>,
    /// Until when; it ends by itself.
    until: Option<Stamp>,
    /// By whom: the token's name.
    by: String,
    /// When.
    at: Stamp,
}

/// A message that new callers of a region hear before they wait.
#[derive(Serialize, ToSchema)]
pub struct SurgeView {
    /// Which region, with all that are parts of it.
    region: String,
    /// The sound; null: `surge-` and the line's language.
    message: Option<String>,
    /// Until when; it ends by itself.
    until: Option<Stamp>,
    /// By whom: the token's name.
    by: String,
    /// When.
    at: Stamp,
}

impl ListView {
    fn of(list: CallerList, orders: &[StandingOrder], zone: &TimeZone) -> ListView {
        let added = orders.iter().filter_map(|order| match order {
            StandingOrder::Listed(listed) if listed.list == list.id => Some(AddedView {
                number: listed.number.to_string(),
                reason: listed.reason.clone(),
                until: Stamp::maybe(listed.until, zone),
                by: listed.by.clone(),
                at: Stamp::of(listed.at, zone),
            }),
            StandingOrder::Listed(_) | StandingOrder::Surge(_) => None,
        });
        ListView {
            added: added.collect(),
            kind: list.kind.name(),
            list: list.id.to_string(),
            name: list.name,
            lines: list.lines.iter().map(ToString::to_string).collect(),
            numbers: list.numbers.iter().map(ToString::to_string).collect(),
            reason: list.reason,
            until: Stamp::maybe(list.until, zone),
        }
    }
}

impl SurgeView {
    fn of(order: StandingOrder, zone: &TimeZone) -> Option<SurgeView> {
        match order {
            StandingOrder::Listed(_) => None,
            StandingOrder::Surge(surge) => Some(SurgeView {
                region: surge.region.to_string(),
                message: surge.message.map(|sound| sound.to_string()),
                until: Stamp::maybe(surge.until, zone),
                by: surge.by,
                at: Stamp::of(surge.at, zone),
            }),
        }
    }
}

async fn ask_standing(desk: &Desk) -> Result<StandingView, Problem> {
    match desk.parts.door.ask(Command::Standing).await {
        Ok(Reply::Standing(view)) => Ok(*view),
        Ok(reply) => Err(unexpected(&reply)),
        Err(closed) => Err(Problem::unavailable(closed.to_string())),
    }
}

/// The lists of callers
///
/// Each `[lists.ID]` of the configuration with the numbers that were added through the API.
#[utoipa::path(
    get, path = "/api/v1/lists", operation_id = "listCallerLists", tag = "calls",
    security(("token" = ["admin", "compliance", "viewer"])),
    responses((status = 200, description = "The lists now", body = Vec<ListView>), Refusals),
)]
pub async fn lists(_bearer: Bearer, State(desk): State<Arc<Desk>>) -> Result<Json<Vec<ListView>>, Problem> {
    let StandingView { lists, orders } = ask_standing(&desk).await?;
    Ok(Json(lists.into_iter().map(|list| ListView::of(list, &orders, &desk.parts.zone)).collect()))
}

/// A list and a number.
#[derive(Deserialize)]
pub struct Entry {
    list: String,
    number: String,
}

impl Entry {
    fn read(self, plans: &[NumberPlan]) -> Result<(ListId, Numbers), Problem> {
        let written = self.number.trim();
        if !is_valid_id(&self.list) || written.len() > NUMBER_LENGTH_MAX {
            return Err(no_list());
        }
        let national = || plans.iter().find_map(|plan| plan.normalise(written)).map(Numbers::One);
        let number = Numbers::parse(written).or_else(national).ok_or_else(|| {
            Problem::bad_request("in the path: not a number of a list; write +33233000001, +3323300* or anonymous")
        })?;
        Ok((ListId::from(self.list.as_str()), number))
    }
}

fn no_list() -> Problem {
    Problem::not_found("no list has this id; GET /api/v1/lists lists them")
}

/// Why a number is added to a list, and until when.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "threatened the staff", "until": "2026-12-31T00:00:00+01:00"}))]
pub struct Adding {
    /// Why, 3 to 500 characters; a list of blocked callers needs it.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 3, max_length = 500)]
    reason: Option<Reason>,
    /// Until when, at most a year; a list of blocked callers needs it. Without it: until it is taken out.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "date-time")]
    until: Option<When>,
}

impl Example for Adding {
    const EXAMPLE: &'static str = r#"{"reason": "threatened the staff", "until": "2026-12-31T00:00:00+01:00"}"#;
}

fn read_until(until: Option<When>, now: Utc) -> Result<Option<Utc>, Problem> {
    match until {
        Some(When(at)) if at <= now => Err(Problem::bad_request("in the body: `until` lies in the past")),
        Some(When(at)) if at.0 - now.0 > UNTIL_MAX_US => {
            Err(Problem::bad_request("in the body: `until` is more than a year ahead"))
        }
        until => Ok(until.map(|When(at)| at)),
    }
}

/// Add a number to a list of callers
///
/// It holds for the next call, over a restart, until its time is over or it is taken out. Written to the audit.
#[utoipa::path(
    put, path = "/api/v1/lists/{list}/numbers/{number}", operation_id = "addListedNumber", tag = "calls",
    params(
        ("list" = String, Path, description = "The list's id"),
        ("number" = String, Path, description = "E.164 or as a trunk writes it, a beginning with `*`, or `anonymous`"),
    ),
    request_body(content = Adding),
    security(("token" = ["admin"])),
    responses(
        (status = 204, description = "It stands there"),
        (status = 404, description = "No such list", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It cannot be added, and why", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn add(
    Admin(bearer): Admin,
    PathOf(entry): PathOf<Entry>,
    State(desk): State<Arc<Desk>>,
    BodyOf(adding): BodyOf<Adding>,
) -> Result<StatusCode, Problem> {
    let (list, number) = entry.read(&desk.parts.numbers)?;
    let at = clock::utc();
    let until = read_until(adding.until, at)?;
    let reason = adding.reason.as_ref().map(|reason| reason.as_str().to_owned());
    let known = ask_standing(&desk).await?.lists.into_iter().any(|known| known.id == list);
    let listed = ListedNumber { list, number, reason: reason.clone(), until, by: bearer.name.clone(), at };
    let order = StandingOrder::Listed(listed);
    let detail = order.key();
    let act = Act { word: "list.add", call: None, reason: reason.as_deref().unwrap_or_default(), detail: &detail };
    let giving = async { if known { give(&desk, order).await } else { Err(no_list()) } };
    perform(&desk, &bearer, act, giving).await
}

async fn give(desk: &Desk, order: StandingOrder) -> Result<StatusCode, Problem> {
    match desk.parts.door.ask(Command::Order(Box::new(order))).await {
        Ok(Reply::Done) => Ok(StatusCode::NO_CONTENT),
        Ok(Reply::Refused(why)) => Err(Problem::conflict(why)),
        Ok(reply) => Err(unexpected(&reply)),
        Err(closed) => Err(Problem::unavailable(closed.to_string())),
    }
}

async fn withdraw(desk: &Desk, key: String, unknown: &'static str) -> Result<StatusCode, Problem> {
    match desk.parts.door.ask(Command::Withdraw { order: key }).await {
        Ok(Reply::Done) => Ok(StatusCode::NO_CONTENT),
        Ok(Reply::Unknown) => Err(Problem::not_found(unknown)),
        Ok(reply) => Err(unexpected(&reply)),
        Err(closed) => Err(Problem::unavailable(closed.to_string())),
    }
}

/// Take a number out of a list of callers
///
/// One that was added through the API; those of the configuration stay. Written to the audit.
#[utoipa::path(
    delete, path = "/api/v1/lists/{list}/numbers/{number}", operation_id = "removeListedNumber", tag = "calls",
    params(
        ("list" = String, Path, description = "The list's id"),
        ("number" = String, Path, description = "As it was added"),
    ),
    security(("token" = ["admin"])),
    responses(
        (status = 204, description = "It is taken out"),
        (status = 404, description = "No such number was added", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn remove(
    Admin(bearer): Admin,
    PathOf(entry): PathOf<Entry>,
    State(desk): State<Arc<Desk>>,
) -> Result<StatusCode, Problem> {
    let (list, number) = entry.read(&desk.parts.numbers)?;
    let key = StandingOrder::key_of_number(&list, &number);
    let unknown = "this number was not added to the list; GET /api/v1/lists shows what was";
    let act = Act { word: "list.remove", call: None, reason: "", detail: &key };
    perform(&desk, &bearer, act, withdraw(&desk, key.clone(), unknown)).await
}

/// The regions that are overrun
///
/// Whose new callers hear a message before they wait.
#[utoipa::path(
    get, path = "/api/v1/surges", operation_id = "listSurges", tag = "room",
    security(("token" = ["admin", "compliance", "viewer"])),
    responses((status = 200, description = "The messages that are on", body = Vec<SurgeView>), Refusals),
)]
pub async fn surges(_bearer: Bearer, State(desk): State<Arc<Desk>>) -> Result<Json<Vec<SurgeView>>, Problem> {
    let orders = ask_standing(&desk).await?.orders;
    Ok(Json(orders.into_iter().filter_map(|order| SurgeView::of(order, &desk.parts.zone)).collect()))
}

/// What callers of a region are to hear.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"message": "surge-fr", "until": "2026-12-31T00:00:00+01:00"}))]
pub struct Raising {
    /// A sound of the configuration. Default: `surge-` and the line's language, such as `surge-fr`.
    #[serde(default)]
    message: Option<String>,
    /// Until when, at most a year. Default: until it is switched off.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "date-time")]
    until: Option<When>,
}

impl Example for Raising {
    const EXAMPLE: &'static str = r#"{"message": "surge-fr", "until": "2026-12-31T00:00:00+01:00"}"#;
}

/// Switch a region's message on
///
/// From now on new callers of the region, and of the regions that are parts of it, hear it after the greeting, over a
/// restart too. Written to the audit.
#[utoipa::path(
    put, path = "/api/v1/surges/{region}", operation_id = "switchSurgeOn", tag = "room",
    params(("region" = String, Path, description = "The region's id")),
    request_body(content = Raising),
    security(("token" = ["admin"])),
    responses(
        (status = 204, description = "It is on"),
        (status = 409, description = "No such region or sound", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn raise(
    Admin(bearer): Admin,
    PathOf(Id(region)): PathOf<Id>,
    State(desk): State<Arc<Desk>>,
    BodyOf(raising): BodyOf<Raising>,
) -> Result<StatusCode, Problem> {
    let at = clock::utc();
    let message = match raising.message {
        Some(id) if is_valid_id(&id) => Some(SoundId::from(id.as_str())),
        Some(_) => return Err(Problem::bad_request("in the body: `message` is no id; name one of [sounds]")),
        None => None,
    };
    let until = read_until(raising.until, at)?;
    let surge = Surge { region: RegionId::from(region.as_str()), message, until, by: bearer.name.clone(), at };
    let act = Act { word: "surge.on", call: None, reason: "", detail: &region };
    perform(&desk, &bearer, act, give(&desk, StandingOrder::Surge(surge))).await
}

/// Switch a region's message off
///
/// Written to the audit.
#[utoipa::path(
    delete, path = "/api/v1/surges/{region}", operation_id = "switchSurgeOff", tag = "room",
    params(("region" = String, Path, description = "The region's id")),
    security(("token" = ["admin"])),
    responses(
        (status = 204, description = "It is off"),
        (status = 404, description = "It was not on", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn lower(
    Admin(bearer): Admin,
    PathOf(Id(region)): PathOf<Id>,
    State(desk): State<Arc<Desk>>,
) -> Result<StatusCode, Problem> {
    let key = StandingOrder::key_of_surge(&RegionId::from(region.as_str()));
    let act = Act { word: "surge.off", call: None, reason: "", detail: &region };
    let unknown = "no message is on for this region; GET /api/v1/surges lists them";
    perform(&desk, &bearer, act, withdraw(&desk, key, unknown)).await
}
