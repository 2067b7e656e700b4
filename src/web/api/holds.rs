//! Legal holds: one person stops the clock of a recording's retention, another lets it go on.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit::{Act, perform};
use crate::clock;
use crate::model::{AssociationId, CallId};
use crate::storage::holds::{self, Hold, NewHold, Release, Released};
use crate::storage::{calls, recordings};
use crate::web::Desk;
use crate::web::input::{BodyOf, Example, PathOf, Reason};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::Keeper;
use crate::web::words::Stamp;

/// The longest case number, in characters.
const CASE_LENGTH_MAX: usize = 100;

/// A legal hold.
#[derive(Serialize, ToSchema)]
pub struct HoldView {
    /// Its number.
    id: i64,
    /// Of this call.
    #[schema(format = "uuid")]
    call: String,
    /// Of this association.
    association: String,
    /// From when on the retention's clock stands still.
    placed_at: Stamp,
    /// Who placed it.
    placed_by: String,
    /// Why.
    reason: String,
    /// The court's or the insurer's number.
    case_number: Option<String>,
    /// Since when the clock goes on; null while it holds.
    released_at: Option<Stamp>,
    /// Who released it: somebody else.
    released_by: Option<String>,
    /// Why.
    release_reason: Option<String>,
}

impl HoldView {
    /// A hold as storage has it.
    pub fn of(hold: Hold, zone: &TimeZone) -> HoldView {
        HoldView {
            id: hold.id,
            call: hold.call.to_string(),
            association: hold.association.to_string(),
            placed_at: Stamp::of(hold.placed_at, zone),
            placed_by: hold.placed_by,
            reason: hold.reason,
            case_number: hold.case_number,
            released_at: Stamp::maybe(hold.released_at, zone),
            released_by: hold.released_by,
            release_reason: hold.release_reason,
        }
    }
}

/// Why a recording is held.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "complaint before the court of Rouen", "case_number": "RG 26/01234"}))]
pub struct Holding {
    /// Why, 3 to 500 characters.
    #[serde(default)]
    #[schema(value_type = String, min_length = 3, max_length = 500, required = true)]
    reason: Option<Reason>,
    /// The court's or the insurer's number, 1 to 100 characters.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    case_number: Option<String>,
}

impl Example for Holding {
    const EXAMPLE: &'static str = r#"{"reason": "complaint before the court of Rouen", "case_number": "RG 26/01234"}"#;
}

/// Why something is done that two people answer for.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the case is closed"}))]
pub struct Because {
    /// Why, 3 to 500 characters.
    #[serde(default)]
    #[schema(value_type = String, min_length = 3, max_length = 500, required = true)]
    reason: Option<Reason>,
}

impl Example for Because {
    const EXAMPLE: &'static str = r#"{"reason": "the case is closed"}"#;
}

impl Because {
    /// The reason, or a 400 that asks for it.
    pub fn given(self) -> Result<Reason, Problem> {
        self.reason.ok_or_else(|| missing(Because::EXAMPLE))
    }
}

fn missing(example: &str) -> Problem {
    Problem::bad_request(format!("in the body: `reason` is missing; send for example {example}"))
}

/// Place a legal hold
///
/// From now on the retention's clock of this call's recording stands still and nothing of it is deleted, until somebody else
/// releases the hold. Several may hold at once. Also for a call whose recording is not sealed yet. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/recordings/{call}/holds", operation_id = "placeHold", tag = "custody",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    request_body(content = Holding),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 201, description = "It holds", body = HoldView),
        (status = 404, description = "No such call", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is being deleted", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn place(
    Keeper(bearer): Keeper,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
    BodyOf(holding): BodyOf<Holding>,
) -> Result<(StatusCode, Json<HoldView>), Problem> {
    let reason = holding.reason.ok_or_else(|| missing(Holding::EXAMPLE))?;
    let case_number = holding.case_number.map(read_case).transpose()?;
    let association = association_of(&desk, call).await?;
    let detail = case_number.as_deref().map_or_else(String::new, |case| format!("case {case}"));
    let act = Act { word: "recording.hold", call: Some(call), reason: reason.as_str(), detail: &detail };
    let placing = async {
        bearer.demand(&association)?;
        let (by, reason) = (bearer.person.clone(), reason.as_str().to_owned());
        let new = NewHold { call, association: association.clone(), at: clock::utc(), by, reason, case_number };
        let placed = holds::place(&desk.parts.storage, &new).await?;
        placed.ok_or_else(|| Problem::conflict("this recording is being deleted, or is gone"))
    };
    let hold = perform(&desk, &bearer, act, placing).await?;
    desk.parts.custody.look_at_copy(call, clock::utc()).await?;
    Ok((StatusCode::CREATED, Json(HoldView::of(hold, &desk.parts.zone))))
}

fn read_case(written: String) -> Result<String, Problem> {
    let written = written.trim();
    let fits = (1..=CASE_LENGTH_MAX).contains(&written.chars().count()) && !written.chars().any(char::is_control);
    fits.then(|| written.to_owned())
        .ok_or_else(|| Problem::bad_request("in the body: `case_number` has 1 to 100 characters on one line"))
}

/// Whose recording it is, sealed or not yet.
pub async fn association_of(desk: &Desk, call: CallId) -> Result<AssociationId, Problem> {
    let storage = desk.stored().await;
    if let Some(sealed) = recordings::one(storage, call).await? {
        return Ok(sealed.record.association);
    }
    let record = calls::one(storage, call).await?;
    record.map(|record| record.association).ok_or_else(|| Problem::not_found("no call has this id"))
}

/// A recording's legal holds
///
/// All there ever were, the oldest first.
#[utoipa::path(
    get, path = "/api/v1/recordings/{call}/holds", operation_id = "listHolds", tag = "custody",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "The holds", body = Vec<HoldView>),
        (status = 404, description = "No such call", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn list(
    Keeper(bearer): Keeper,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<Vec<HoldView>>, Problem> {
    bearer.demand(&association_of(&desk, call).await?)?;
    let holds = holds::of_call(&desk.parts.storage, call).await?;
    Ok(Json(holds.into_iter().map(|hold| HoldView::of(hold, &desk.parts.zone)).collect()))
}

/// Release a legal hold
///
/// Only by another person than who placed it. The time that it held is added to the recording's retention. Written to the
/// audit.
#[utoipa::path(
    post, path = "/api/v1/holds/{hold}/release", operation_id = "releaseHold", tag = "custody",
    params(("hold" = i64, Path, description = "The hold's number")),
    request_body(content = Because),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "It holds no more", body = HoldView),
        (status = 404, description = "No such hold", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Placed by the same person, or released already", body = Problem,
            content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn release(
    Keeper(bearer): Keeper,
    PathOf(id): PathOf<i64>,
    State(desk): State<Arc<Desk>>,
    BodyOf(because): BodyOf<Because>,
) -> Result<Json<HoldView>, Problem> {
    let reason = because.given()?;
    let storage = &desk.parts.storage;
    let unknown = || Problem::not_found("no hold has this number; GET /api/v1/recordings/CALL/holds lists them");
    let hold = holds::one(storage, id).await?.ok_or_else(unknown)?;
    let detail = format!("hold {id}");
    let act = Act { word: "recording.release", call: Some(hold.call), reason: reason.as_str(), detail: &detail };
    let releasing = async {
        bearer.demand(&hold.association)?;
        let release = Release { at: clock::utc(), by: &bearer.person, reason: reason.as_str() };
        match holds::release(storage, id, &release).await? {
            Released::Done(hold) => Ok(hold),
            Released::Unknown => Err(unknown()),
            Released::Already(_) => Err(Problem::conflict("this hold was released already")),
            Released::SamePerson(hold) => Err(Problem::conflict(format!(
                "{} placed this hold, so somebody else must release it; use another person's token",
                hold.placed_by
            ))),
        }
    };
    let hold = perform(&desk, &bearer, act, releasing).await?;
    desk.parts.custody.look_at_copy(hold.call, clock::utc()).await?;
    Ok(Json(HoldView::of(hold, &desk.parts.zone)))
}
