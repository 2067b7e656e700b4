//! Exports: asked for by one person, approved by another, then fetched as a zip that proves itself.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::{Act, note, perform};
use super::page::Page;
use super::recordings::find;
use crate::archive::export;
use crate::clock;
use crate::model::{CallId, Utc};
use crate::storage::exports::{self, Decided, Decision, Export};
use crate::storage::is_same_person;
use crate::web::Desk;
use crate::web::access::{self, Given, Said, Wish, demand, demand_keeper, permit};
use crate::web::input::{BodyOf, Example, PathOf};
use crate::web::problem::{Problem, Refusals};
use crate::web::sending;
use crate::web::token::{Asker, Bearer, Keeper};
use crate::web::words::{Octets, Stamp};

/// An approval holds for so long: an export is for now, not a standing right.
const APPROVED_US: i64 = 7 * 86_400_000_000;
/// Exports listed at once.
const LISTED_MAX: u32 = 200;

/// An export.
#[derive(Serialize, ToSchema)]
pub struct ExportView {
    /// Its id.
    #[schema(format = "uuid")]
    id: String,
    /// When it was asked for.
    requested_at: Stamp,
    /// By whom: the token's name.
    requested_by: String,
    /// Why.
    reason: String,
    /// Whose recordings.
    calls: Vec<String>,
    /// Whether it holds the newest redacted copies, and nothing that tells who called, in place of the originals.
    is_redacted: bool,
    /// `requested`, `approved`, `refused` or `expired` (approved more than seven days ago).
    state: &'static str,
    /// When it was approved or refused.
    decided_at: Option<Stamp>,
    /// By whom: another person.
    decided_by: Option<String>,
    /// With which words.
    decided_why: Option<String>,
    /// Where the zip is fetched once it is approved.
    archive_url: String,
}

impl ExportView {
    fn of(export: Export, zone: &TimeZone) -> ExportView {
        let state = state_of(&export, clock::utc());
        let decided = export.decided;
        ExportView {
            archive_url: format!("/api/v1/exports/{}/archive", export.id),
            id: export.id.to_string(),
            requested_at: Stamp::of(export.requested_at, zone),
            requested_by: export.requested_by,
            reason: export.reason,
            calls: export.calls.iter().map(ToString::to_string).collect(),
            is_redacted: export.is_redacted,
            state,
            decided_at: Stamp::maybe(decided.as_ref().map(|decided| decided.at), zone),
            decided_by: decided.as_ref().map(|decided| decided.by.clone()),
            decided_why: decided.map(|decided| decided.words),
        }
    }
}

fn state_of(export: &Export, now: Utc) -> &'static str {
    match &export.decided {
        None => "requested",
        Some(Decided { what: Decision::Refused, .. }) => "refused",
        Some(Decided { at, .. }) if now.0 - at.0 > APPROVED_US => "expired",
        Some(_) => "approved",
    }
}

/// What is asked for.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The calls whose recordings are exported, 1 to 100.
    #[serde(default)]
    #[schema(value_type = Vec<String>, required = true)]
    calls: Vec<CallId>,
    /// Why, 3 to 500 characters.
    #[serde(default)]
    #[schema(value_type = String, min_length = 3, max_length = 500, required = true)]
    reason: Option<String>,
    /// The newest redacted copies in place of the originals; each recording must have one.
    #[serde(default)]
    is_redacted: bool,
}

impl Example for Request {
    const EXAMPLE: &'static str =
        r#"{"calls": ["01890a5d-ac96-774b-bcce-b302099a8057"], "reason": "requisition 12/2026"}"#;
}

/// An answer to a request.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Why, 3 to 500 characters.
    #[serde(default)]
    #[schema(value_type = String, min_length = 3, max_length = 500, required = true)]
    reason: Option<String>,
}

impl Example for Answer {
    const EXAMPLE: &'static str = r#"{"reason": "seen the requisition"}"#;
}

/// Ask for an export
///
/// Nothing leaves until another person has approved it. Written to the audit for each call.
#[utoipa::path(
    post, path = "/api/v1/exports", operation_id = "requestExport", tag = "recordings",
    request_body = Request,
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 201, description = "Asked for", body = ExportView),
        (status = 404, description = "A call has no sealed recording", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn request(
    Asker(bearer): Asker,
    State(desk): State<Arc<Desk>>,
    BodyOf(body): BodyOf<Request>,
) -> Result<Response, Problem> {
    let reason = Said::in_body(body.reason);
    let (mut calls, mut sealed) = (body.calls, Vec::new());
    calls.sort();
    calls.dedup();
    if calls.is_empty() || calls.len() > export::CALLS_MAX {
        return Err(Problem::bad_request(format!("in the body: name 1 to {} calls", export::CALLS_MAX)));
    }
    for call in &calls {
        sealed.push(find(&desk, *call).await?);
    }
    let made = Export {
        id: new_id()?,
        requested_at: clock::utc(),
        requested_by: bearer.name.clone(),
        requested_person: bearer.person.clone(),
        reason: reason.words(),
        calls,
        is_redacted: body.is_redacted,
        decided: None,
    };
    let detail = format!("export {}", made.id);
    let wish = Wish { word: "export.request", reason: &reason, detail: &detail };
    for one in &sealed {
        let call = one.call;
        let copied = async {
            match made.is_redacted {
                true => blocking(&desk, move |evidence| evidence.redaction(call, None)).await.map(|_| ()),
                false => Ok(()),
            }
        };
        demand(&desk, &bearer, one, &wish, copied).await?;
    }
    for one in &sealed {
        permit(&desk, &bearer, one, &wish).await?;
    }
    exports::request(&desk.parts.storage, &made).await?;
    Ok((StatusCode::CREATED, Json(ExportView::of(made, &desk.parts.zone))).into_response())
}

/// Exports
///
/// The newest first, at most 200.
#[utoipa::path(
    get, path = "/api/v1/exports", operation_id = "listExports", tag = "recordings",
    security(("token" = ["admin", "compliance"])),
    responses((status = 200, description = "The newest exports", body = Page<ExportView>), Refusals),
)]
pub async fn list(_bearer: Keeper, State(desk): State<Arc<Desk>>) -> Result<Json<Page<ExportView>>, Problem> {
    let found = exports::list(&desk.parts.storage, LISTED_MAX).await?;
    let items = found.into_iter().map(|export| ExportView::of(export, &desk.parts.zone)).collect();
    Ok(Json(Page { items, next: None }))
}

/// One export
#[utoipa::path(
    get, path = "/api/v1/exports/{export}", operation_id = "showExport", tag = "recordings",
    params(("export" = String, Path, format = "uuid", description = "The export's id")),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "The export", body = ExportView),
        (status = 404, description = "No such export", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn show(
    _bearer: Keeper,
    PathOf(id): PathOf<Uuid>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<ExportView>, Problem> {
    Ok(Json(ExportView::of(known(&desk, id).await?, &desk.parts.zone)))
}

/// Approve an export
///
/// By another person than who asked for it (`person` of the token). The approval holds for seven days.
#[utoipa::path(
    post, path = "/api/v1/exports/{export}/approve", operation_id = "approveExport", tag = "recordings",
    params(("export" = String, Path, format = "uuid", description = "The export's id")),
    request_body = Answer,
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "Approved", body = ExportView),
        (status = 404, description = "No such export", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was answered already", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn approve(
    Asker(bearer): Asker,
    PathOf(id): PathOf<Uuid>,
    State(desk): State<Arc<Desk>>,
    BodyOf(body): BodyOf<Answer>,
) -> Result<Json<ExportView>, Problem> {
    decide(&desk, &bearer, id, (Decision::Approved, Said::in_body(body.reason))).await
}

/// Refuse an export
///
/// By another person than who asked for it.
#[utoipa::path(
    post, path = "/api/v1/exports/{export}/refuse", operation_id = "refuseExport", tag = "recordings",
    params(("export" = String, Path, format = "uuid", description = "The export's id")),
    request_body = Answer,
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "Refused", body = ExportView),
        (status = 404, description = "No such export", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was answered already", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn refuse(
    Asker(bearer): Asker,
    PathOf(id): PathOf<Uuid>,
    State(desk): State<Arc<Desk>>,
    BodyOf(body): BodyOf<Answer>,
) -> Result<Json<ExportView>, Problem> {
    decide(&desk, &bearer, id, (Decision::Refused, Said::in_body(body.reason))).await
}

async fn decide(
    desk: &Desk,
    bearer: &Bearer,
    id: Uuid,
    (what, reason): (Decision, Said),
) -> Result<Json<ExportView>, Problem> {
    let export = known(desk, id).await?;
    let word = match what {
        Decision::Approved => "export.approve",
        Decision::Refused => "export.refuse",
    };
    let detail = format!("export {id}");
    let mut sealed = Vec::new();
    for call in &export.calls {
        sealed.push(find(desk, *call).await?);
    }
    let decided = Decided {
        at: clock::utc(),
        by: bearer.name.clone(),
        person: bearer.person.clone(),
        what,
        words: reason.words(),
    };
    let deed = async {
        for one in &sealed {
            bearer.demand(&one.record.association)?;
        }
        if is_same_person(&export.requested_person, &bearer.person) {
            return Err(Problem::forbidden("another person must answer: you have asked for this export"));
        }
        if !exports::decide(&desk.parts.storage, id, &decided).await? {
            return Err(Problem::conflict("this export was answered already; ask for a new one"));
        }
        Ok(())
    };
    let words = reason.words();
    let act = Act { word: "export.answer", call: None, reason: &words, detail: &detail };
    if let Err(problem) = demand_keeper(bearer).and_then(|()| reason.demand().map(|_| ())) {
        return Err(access::refuse(desk, bearer, act, problem).await);
    }
    perform(desk, bearer, act, deed).await?;
    // Each recording's own custody tells who let it go: only what was decided, never a refused wish to decide.
    for one in &sealed {
        permit(desk, bearer, one, &Wish { word, reason: &reason, detail: &detail }).await?;
    }
    Ok(Json(ExportView::of(known(desk, id).await?, &desk.parts.zone)))
}

/// An export's zip
///
/// Audio, sidecar, addenda, call story, custody extract, keys, MANIFEST.sha256, its signature and VERIFY.txt, which says
/// how to check all of it with sha256sum, openssl, and sox or ffmpeg. Only for who asked or who approved, with a reason;
/// each call's row in the audit is written before the first byte leaves. Made while it is sent: nothing rests.
#[utoipa::path(
    get, path = "/api/v1/exports/{export}/archive", operation_id = "fetchExport", tag = "recordings",
    params(
        ("export" = String, Path, format = "uuid", description = "The export's id"),
        crate::web::access::ReasonQuery,
        ("x-access-reason" = Option<String>, Header, description = "Why, when the query does not say"),
    ),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "The zip", body = inline(Octets), content_type = "application/zip"),
        (status = 404, description = "No such export", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is not approved, or no longer", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn archive(
    Asker(bearer): Asker,
    Given(reason): Given,
    PathOf(id): PathOf<Uuid>,
    State(desk): State<Arc<Desk>>,
) -> Result<Response, Problem> {
    let wanted = known(&desk, id).await?;
    let detail = format!("export {id}");
    let words = reason.words();
    let act = Act { word: "export.fetch", call: None, reason: &words, detail: &detail };
    let allowed = demand_keeper(&bearer).and_then(|()| reason.demand()).and_then(|_| may_fetch(&wanted, &bearer));
    if let Err(problem) = allowed {
        return Err(access::refuse(&desk, &bearer, act, problem).await);
    }
    let wish = Wish { word: "export.fetch", reason: &reason, detail: &detail };
    let mut sealed = Vec::new();
    for call in wanted.calls.iter().copied() {
        let one = find(&desk, call).await?;
        // What cannot be opened is said before the first byte.
        let opening = blocking(&desk, move |evidence| evidence.demand_audio(call));
        demand(&desk, &bearer, &one, &wish, opening).await?;
        sealed.push(one);
    }
    note(&desk, &bearer, &act).await?;
    for one in &sealed {
        permit(&desk, &bearer, one, &wish).await?;
    }
    let contents = export::gather(&desk.parts.storage, wanted, &desk.parts.zone).await.map_err(failed)?;
    let evidence = desk.parts.evidence.clone();
    let body = sending::place()?.made(move |out| {
        export::write(&evidence, &contents, out, clock::utc()).map(|_| ()).map_err(io::Error::other)
    })?;
    let headers = [
        (CONTENT_TYPE, "application/zip".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"export-{id}.zip\"")),
    ];
    Ok((headers, body).into_response())
}

/// Only what was approved, and only for the two who asked and approved.
fn may_fetch(wanted: &Export, bearer: &Bearer) -> Result<(), Problem> {
    let state = state_of(wanted, clock::utc());
    if state != "approved" {
        return Err(Problem::conflict(format!("this export is {state}: another person must approve it first")));
    }
    let is_one_of = |person: &str| is_same_person(person, &bearer.person);
    let has_approved = wanted.decided.as_ref().is_some_and(|decided| is_one_of(&decided.person));
    if !is_one_of(&wanted.requested_person) && !has_approved {
        return Err(Problem::forbidden("this export is for who asked for it and who approved it; ask for your own"));
    }
    Ok(())
}

async fn known(desk: &Desk, id: Uuid) -> Result<Export, Problem> {
    let found = exports::one(&desk.parts.storage, id).await?;
    found.ok_or_else(|| Problem::not_found("there is no such export; GET /api/v1/exports lists them"))
}

fn new_id() -> Result<Uuid, Problem> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Problem::unavailable("the system gave no random numbers; ask again"))?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

/// Does something with evidence on a thread that may wait for a disk.
pub(super) async fn blocking<T: Send + 'static>(
    desk: &Desk,
    deed: impl FnOnce(&crate::archive::Evidence) -> Result<T, crate::archive::EvidenceError> + Send + 'static,
) -> Result<T, Problem> {
    let evidence = desk.parts.evidence.clone();
    match tokio::task::spawn_blocking(move || deed(&evidence)).await {
        Ok(done) => done.map_err(Problem::from),
        Err(_) => Err(Problem::unavailable("Vigie is stopping; ask again later")),
    }
}

fn failed(error: export::ExportError) -> Problem {
    tracing::error!("an export could not be made: {error}");
    Problem::fault(format!("{error}"))
}
