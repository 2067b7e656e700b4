//! Deletion: a list that one person proposes and another approves; what became of each recording on it.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::audit::{Act, perform};
use super::holds::Because;
use crate::archive::custody::{CustodyError, LIST_MAX, Wanted};
use crate::clock;
use crate::model::CallId;
use crate::storage::deletions::{self, Decided, Deletion, Item, ItemState, ListState, Word};
use crate::web::Desk;
use crate::web::input::{BodyOf, Example, PathOf, QueryOf, Reason};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::{Bearer, Keeper};
use crate::web::words::Stamp;

/// How far a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ListWord {
    /// It waits for a second person.
    Proposed,
    /// A second person agreed; its recordings are being deleted.
    Approved,
    /// Taken back; nothing was deleted.
    Withdrawn,
    /// Each of its recordings is deleted or kept with a reason.
    Done,
}

/// How far a recording on a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ItemWord {
    /// Nothing was done yet.
    Listed,
    /// Its deletion has begun.
    Deleting,
    /// It is gone; its certificate is there.
    Deleted,
    /// It was not deleted: `detail` says why.
    Kept,
}

/// A list of recordings to delete.
#[derive(Serialize, ToSchema)]
pub struct DeletionView {
    /// Its number.
    id: i64,
    /// How far it is.
    state: ListWord,
    /// When it was proposed.
    proposed_at: Stamp,
    /// By whom.
    proposed_by: String,
    /// Why.
    reason: String,
    /// When it was approved or withdrawn.
    decided_at: Option<Stamp>,
    /// By whom.
    decided_by: Option<String>,
    /// Why.
    decision_reason: Option<String>,
    /// When the last of its recordings was deleted or kept.
    finished_at: Option<Stamp>,
    /// How many recordings are on it.
    recordings_total: usize,
    /// Its recordings; of the lists together none, GET of one list has them.
    recordings: Vec<DeletionItemView>,
}

/// A recording on a list: `expired_at` is `ended_at`, the retention, and the length of the union of its holds.
#[derive(Serialize, ToSchema)]
pub struct DeletionItemView {
    /// Of this call.
    #[schema(format = "uuid")]
    call: String,
    /// Of this association.
    association: String,
    /// How far it is.
    state: ItemWord,
    /// The call's end.
    ended_at: Stamp,
    /// The retention that counts, in years.
    retention_years: u16,
    /// For how long holds had stopped the clock.
    held_ms: i64,
    /// When its time was over.
    expired_at: Stamp,
    /// SHA-256 of the sidecar: the seal.
    seal: String,
    /// Why it was kept; while it is being deleted, what is in the way: a lock in the second place, a place that is away.
    detail: Option<String>,
    /// SHA-256 of the certificate that is left.
    certificate_sha256: Option<String>,
}

impl DeletionItemView {
    /// An item as storage has it.
    pub fn of(item: Item, zone: &TimeZone) -> DeletionItemView {
        let grounds = item.grounds;
        DeletionItemView {
            call: grounds.call.to_string(),
            association: grounds.association.to_string(),
            state: match item.state {
                ItemState::Listed => ItemWord::Listed,
                ItemState::Deleting => ItemWord::Deleting,
                ItemState::Deleted => ItemWord::Deleted,
                ItemState::Kept => ItemWord::Kept,
            },
            ended_at: Stamp::of(grounds.ended_at, zone),
            retention_years: grounds.retention_years,
            held_ms: grounds.held_us / 1000,
            expired_at: Stamp::of(grounds.expired_at, zone),
            seal: grounds.seal,
            detail: item.detail,
            certificate_sha256: item.certificate,
        }
    }
}

/// What is proposed.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the yearly clearing of expired recordings"}))]
pub struct Proposing {
    /// Why, 3 to 500 characters.
    #[serde(default)]
    #[schema(value_type = String, min_length = 3, max_length = 500, required = true)]
    reason: Option<Reason>,
    /// These calls' recordings, 1000 at most; each one's time must be over. Without it: all whose time is over, the oldest
    /// of each association first, 1000 at most.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    calls: Option<BTreeSet<CallId>>,
}

impl Example for Proposing {
    const EXAMPLE: &'static str = r#"{"reason": "the yearly clearing of expired recordings"}"#;
}

/// Which lists.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeletionQuery {
    /// Only those before this number.
    before: Option<i64>,
}

/// Propose a deletion
///
/// A list of recordings whose time is over: end + retention + the length of the union of their legal holds. Nothing is
/// deleted until another person approves it. Refused while the clock is suspected. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/deletions", operation_id = "proposeDeletion", tag = "custody",
    request_body(content = Proposing),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 201, description = "It waits for a second person", body = DeletionView),
        (status = 409, description = "Nothing is due, something named is not, or the clock is not believed", body = Problem,
            content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn propose(
    Keeper(bearer): Keeper,
    State(desk): State<Arc<Desk>>,
    BodyOf(proposing): BodyOf<Proposing>,
) -> Result<(StatusCode, Json<DeletionView>), Problem> {
    let example = Proposing::EXAMPLE;
    let missing = || Problem::bad_request(format!("in the body: `reason` is missing; send for example {example}"));
    let reason = proposing.reason.ok_or_else(missing)?;
    if proposing.calls.as_ref().is_some_and(|calls| calls.is_empty() || calls.len() > LIST_MAX) {
        return Err(Problem::bad_request(format!("in the body: `calls` names 1 to {LIST_MAX} calls")));
    }
    let detail =
        proposing.calls.as_ref().map_or("all whose time is over".into(), |calls| format!("{} calls", calls.len()));
    let act = Act { word: "deletion.propose", call: None, reason: reason.as_str(), detail: &detail };
    let proposing = async {
        let wanted = Wanted { calls: proposing.calls, associations: bearer.associations.clone() };
        let now = clock::now();
        let word = Word { at: now.utc, by: &bearer.person, reason: reason.as_str() };
        desk.stored().await;
        Ok(desk.parts.custody.propose(&wanted, &word, now).await?)
    };
    let list = perform(&desk, &bearer, act, proposing).await?;
    Ok((StatusCode::CREATED, Json(view(&desk, list).await?)))
}

/// Lists of recordings to delete
///
/// The newest first, a hundred at most.
#[utoipa::path(
    get, path = "/api/v1/deletions", operation_id = "listDeletions", tag = "custody",
    params(DeletionQuery),
    security(("token" = ["admin", "compliance"])),
    responses((status = 200, description = "The lists", body = Vec<DeletionView>), Refusals),
)]
pub async fn list(
    Keeper(bearer): Keeper,
    QueryOf(query): QueryOf<DeletionQuery>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<Vec<DeletionView>>, Problem> {
    let mut views = Vec::new();
    for list in deletions::list(&desk.parts.storage, query.before).await? {
        let items = deletions::items(&desk.parts.storage, list.id).await?;
        if sees_all(&bearer, &items).is_ok() {
            // Up to a thousand on each of a hundred lists: too much for one answer.
            let recordings_total = items.len();
            views.push(DeletionView { recordings_total, ..view_of(list, Vec::new(), &desk.parts.zone) });
        }
    }
    Ok(Json(views))
}

/// One list of recordings to delete
#[utoipa::path(
    get, path = "/api/v1/deletions/{deletion}", operation_id = "showDeletion", tag = "custody",
    params(("deletion" = i64, Path, description = "The list's number")),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "The list", body = DeletionView),
        (status = 404, description = "No such list", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn show(
    Keeper(bearer): Keeper,
    PathOf(id): PathOf<i64>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<DeletionView>, Problem> {
    let list = deletions::one(&desk.parts.storage, id).await?.ok_or_else(unknown)?;
    let items = deletions::items(&desk.parts.storage, id).await?;
    sees_all(&bearer, &items)?;
    Ok(Json(view_of(list, items, &desk.parts.zone)))
}

/// Approve a deletion
///
/// Only by another person than who proposed it. Each recording is looked at once more, then its key and its files are
/// destroyed; a signed certificate and a tombstone in the seal log are left. Goes on over a restart. GET shows how far it
/// is. Refused while the clock is suspected. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/deletions/{deletion}/approve", operation_id = "approveDeletion", tag = "custody",
    params(("deletion" = i64, Path, description = "The list's number")),
    request_body(content = Because),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 202, description = "It is carried out", body = DeletionView),
        (status = 404, description = "No such list", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Proposed by the same person, decided already, or the clock is not believed",
            body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn approve(
    Keeper(bearer): Keeper,
    PathOf(id): PathOf<i64>,
    State(desk): State<Arc<Desk>>,
    BodyOf(because): BodyOf<Because>,
) -> Result<(StatusCode, Json<DeletionView>), Problem> {
    let word = ("deletion.approve", ListState::Approved);
    Ok((StatusCode::ACCEPTED, decide(&desk, &bearer, (id, because), word).await?))
}

/// Withdraw a proposed deletion
///
/// By anybody who may propose one. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/deletions/{deletion}/withdraw", operation_id = "withdrawDeletion", tag = "custody",
    params(("deletion" = i64, Path, description = "The list's number")),
    request_body(content = Because),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "Nothing of it is deleted", body = DeletionView),
        (status = 404, description = "No such list", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was decided already", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn withdraw(
    Keeper(bearer): Keeper,
    PathOf(id): PathOf<i64>,
    State(desk): State<Arc<Desk>>,
    BodyOf(because): BodyOf<Because>,
) -> Result<Json<DeletionView>, Problem> {
    decide(&desk, &bearer, (id, because), ("deletion.withdraw", ListState::Withdrawn)).await
}

async fn decide(
    desk: &Desk,
    bearer: &Bearer,
    (id, because): (i64, Because),
    (word, state): (&'static str, ListState),
) -> Result<Json<DeletionView>, Problem> {
    let reason = because.given()?;
    let items = deletions::items(&desk.parts.storage, id).await?;
    let detail = format!("list {id}, {} recordings", items.len());
    let act = Act { word, call: None, reason: reason.as_str(), detail: &detail };
    let deciding = async {
        sees_all(bearer, &items)?;
        let now = clock::now();
        let said = Word { at: now.utc, by: &bearer.person, reason: reason.as_str() };
        match desk.parts.custody.decide(id, &said, state, now).await? {
            Decided::Done(list) => Ok(list),
            Decided::Unknown => Err(unknown()),
            Decided::Already(_) => Err(Problem::conflict("this list was approved or withdrawn already")),
            Decided::SamePerson(list) => Err(Problem::conflict(format!(
                "{} proposed this list, so somebody else must approve it; use another person's token",
                list.proposed_by
            ))),
        }
    };
    let list = perform(desk, bearer, act, deciding).await?;
    Ok(Json(view(desk, list).await?))
}

fn sees_all(bearer: &Bearer, items: &[Item]) -> Result<(), Problem> {
    items.iter().try_for_each(|item| bearer.demand(&item.grounds.association))
}

fn unknown() -> Problem {
    Problem::not_found("no list has this number; GET /api/v1/deletions lists them")
}

async fn view(desk: &Desk, list: Deletion) -> Result<DeletionView, Problem> {
    let items = deletions::items(&desk.parts.storage, list.id).await?;
    Ok(view_of(list, items, &desk.parts.zone))
}

fn view_of(list: Deletion, items: Vec<Item>, zone: &TimeZone) -> DeletionView {
    DeletionView {
        id: list.id,
        state: match list.state {
            ListState::Proposed => ListWord::Proposed,
            ListState::Approved => ListWord::Approved,
            ListState::Withdrawn => ListWord::Withdrawn,
            ListState::Done => ListWord::Done,
        },
        proposed_at: Stamp::of(list.proposed_at, zone),
        proposed_by: list.proposed_by,
        reason: list.reason,
        decided_at: Stamp::maybe(list.decided_at, zone),
        decided_by: list.decided_by,
        decision_reason: list.decision_reason,
        finished_at: Stamp::maybe(list.finished_at, zone),
        recordings_total: items.len(),
        recordings: items.into_iter().map(|item| DeletionItemView::of(item, zone)).collect(),
    }
}

impl From<CustodyError> for Problem {
    fn from(error: CustodyError) -> Problem {
        match error {
            CustodyError::Storage(error) => error.into(),
            CustodyError::Clock(_) | CustodyError::NotDue(_) | CustodyError::Nothing => {
                Problem::conflict(error.to_string())
            }
        }
    }
}
