//! What is added to a sealed recording: case numbers, tags, notes, redacted copies; each signed, none ever changed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, ETAG};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::exports::blocking;
use super::recordings::find;
use crate::archive::redact::Span;
use crate::archive::{Addendum, Evidence, EvidenceError, Note};
use crate::model::CallId;
use crate::web::Desk;
use crate::web::access::{Given, Said, Wish, hand_out};
use crate::web::input::{BodyOf, Example, PathOf};
use crate::web::problem::{Problem, Refusals};
use crate::web::sending;
use crate::web::token::{Asker, Keeper};
use crate::web::words::Octets;

/// The longest text of a case number, tag or note, in characters.
const TEXT_CHARACTERS_MAX: usize = 500;
/// The most tags at once.
const TAGS_MAX: usize = 32;

/// An addendum.
#[derive(Serialize, ToSchema)]
pub struct AddendumView {
    /// 1, 2, 3… of this recording.
    addendum: usize,
    /// When: RFC 3339 with the site's offset.
    at: String,
    /// The same in UTC.
    at_utc: String,
    /// Whose word it is: a token's name.
    by: String,
    /// `note`, `redaction`, or what other parts of Vigie add.
    kind: String,
    /// Why.
    reason: String,
    /// The rest: `case`, `tags` and `text` of a note; `spans` and hashes of a redaction.
    #[schema(value_type = Object)]
    body: serde_json::Value,
    /// SHA-256 of the addendum before; empty in the first.
    previous_sha256: String,
}

impl From<Addendum> for AddendumView {
    fn from(one: Addendum) -> AddendumView {
        AddendumView {
            addendum: one.addendum,
            at: one.at,
            at_utc: one.at_utc,
            by: one.by,
            kind: one.kind,
            reason: one.reason,
            body: one.body,
            previous_sha256: one.previous_sha256,
        }
    }
}

/// What is added.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewNote {
    /// The case number that this recording belongs to.
    #[serde(default)]
    case: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    tags: Vec<String>,
    /// Anything else, in words.
    #[serde(default)]
    text: Option<String>,
    /// Why, 3 to 500 characters.
    #[serde(default)]
    #[schema(value_type = String, min_length = 3, max_length = 500, required = true)]
    reason: Option<String>,
}

impl Example for NewNote {
    const EXAMPLE: &'static str = r#"{"case": "2026-0412", "tags": ["complaint"], "reason": "complaint of 12 May"}"#;
}

/// What is silenced.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRedaction {
    /// From when to when, on the recording's clock, in milliseconds; 1 to 1000 spans.
    #[serde(default)]
    #[schema(value_type = Vec<Object>, required = true)]
    spans: Vec<Span>,
    /// Why, 3 to 500 characters.
    #[serde(default)]
    #[schema(value_type = String, min_length = 3, max_length = 500, required = true)]
    reason: Option<String>,
}

impl Example for NewRedaction {
    const EXAMPLE: &'static str =
        r#"{"spans": [{"start_ms": 4000, "end_ms": 6500}], "reason": "a third person's name"}"#;
}

/// A recording's addenda
///
/// What was added after the seal, in order.
#[utoipa::path(
    get, path = "/api/v1/recordings/{call}/addenda", operation_id = "listAddenda", tag = "recordings",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "The addenda", body = Vec<AddendumView>),
        (status = 404, description = "No such recording", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn list(
    Keeper(bearer): Keeper,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<Vec<AddendumView>>, Problem> {
    bearer.demand(&find(&desk, call).await?.record.association)?;
    let found = blocking(&desk, move |evidence| evidence.addenda(call)).await?;
    Ok(Json(found.into_iter().map(AddendumView::from).collect()))
}

/// Add to a recording
///
/// A case number, tags, a text: signed, sealed, and never changed. What is sealed already stays as it is.
#[utoipa::path(
    post, path = "/api/v1/recordings/{call}/addenda", operation_id = "addAddendum", tag = "recordings",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    request_body = NewNote,
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 201, description = "The addenda with the new one", body = Vec<AddendumView>),
        (status = 404, description = "No such recording", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn add(
    Asker(bearer): Asker,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
    BodyOf(new): BodyOf<NewNote>,
) -> Result<Response, Problem> {
    let NewNote { case, tags, text, reason } = new;
    let reason = Said::in_body(reason);
    let texts = case.iter().chain(&tags).chain(&text);
    let fits = |text: &String| (1..=TEXT_CHARACTERS_MAX).contains(&text.chars().count());
    if (case.is_none() && tags.is_empty() && text.is_none()) || tags.len() > TAGS_MAX || !texts.into_iter().all(fits) {
        return Err(Problem::bad_request(format!(
            "in the body: give `case`, `tags` or `text`, each of 1 to {TEXT_CHARACTERS_MAX} characters, at most {TAGS_MAX} tags"
        )));
    }
    let sealed = find(&desk, call).await?;
    let wish = Wish { word: "recording.annotate", reason: &reason, detail: case.as_deref().unwrap_or_default() };
    let body = serde_json::json!({ "case": case, "tags": tags, "text": text });
    let note = Note { call, kind: "note".into(), by: bearer.name.clone(), reason: reason.words(), body };
    let added = move |evidence: &Evidence| evidence.annotate(note).and_then(|_| evidence.addenda(call));
    let found = hand_out(&desk, &bearer, &sealed, &wish, blocking(&desk, added)).await?;
    Ok(created(found))
}

/// Make a redacted copy
///
/// Spans of silence on both sides, as a derivative with its own seal: an addendum with the spans and the copy's hashes.
/// The original is untouched, and the copy is made of it whenever it is fetched.
#[utoipa::path(
    post, path = "/api/v1/recordings/{call}/redactions", operation_id = "redactRecording", tag = "recordings",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    request_body = NewRedaction,
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 201, description = "The addenda with the new one", body = Vec<AddendumView>),
        (status = 404, description = "No such recording", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn redact(
    Asker(bearer): Asker,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
    BodyOf(new): BodyOf<NewRedaction>,
) -> Result<Response, Problem> {
    let NewRedaction { spans, reason } = new;
    let reason = Said::in_body(reason);
    let sealed = find(&desk, call).await?;
    let detail = format!("{} spans", spans.len());
    let (by, why) = (bearer.name.clone(), reason.words());
    let made =
        move |evidence: &Evidence| evidence.redact(call, spans, (&by, &why)).and_then(|_| evidence.addenda(call));
    let wish = Wish { word: "recording.redact", reason: &reason, detail: &detail };
    let found = hand_out(&desk, &bearer, &sealed, &wish, blocking(&desk, made)).await?;
    Ok(created(found))
}

fn created(found: Vec<Addendum>) -> Response {
    let found: Vec<AddendumView> = found.into_iter().map(AddendumView::from).collect();
    (StatusCode::CREATED, Json(found)).into_response()
}

/// A redacted copy's audio
///
/// By the number of its addendum; a WAV. With a reason, written to the audit before the first byte.
#[utoipa::path(
    get, path = "/api/v1/recordings/{call}/redactions/{addendum}/audio", operation_id = "fetchRedactedAudio",
    tag = "recordings",
    params(
        ("call" = String, Path, format = "uuid", description = "The call's id"),
        ("addendum" = usize, Path, description = "The number of its addendum"),
        crate::web::access::ReasonQuery,
        ("x-access-reason" = Option<String>, Header, description = "Why, when the query does not say"),
    ),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "The copy", body = inline(Octets), content_type = "audio/wav",
            headers(("etag" = String, description = "The copy's SHA-256"))),
        (status = 404, description = "No such recording", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn redacted(
    Asker(bearer): Asker,
    Given(reason): Given,
    PathOf((call, number)): PathOf<(CallId, usize)>,
    State(desk): State<Arc<Desk>>,
) -> Result<Response, Problem> {
    let sealed = find(&desk, call).await?;
    let opening = blocking(&desk, move |evidence| {
        let (_, copy) = evidence.redaction(call, Some(number))?;
        // What cannot be opened is said before the first byte.
        evidence.demand_audio(call).map(|()| copy)
    });
    let detail = format!("redacted copy {number}");
    let wish = Wish { word: "recording.listen", reason: &reason, detail: &detail };
    let copy = hand_out(&desk, &bearer, &sealed, &wish, opening).await?;
    let headers = [
        (CONTENT_TYPE, "audio/wav".to_owned()),
        (ETAG, format!("\"{}\"", copy.sha256)),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{call}-redacted-{number}.wav\"")),
    ];
    let evidence = desk.parts.evidence.clone();
    let body = sending::place()?.made(move |out| evidence.write_redacted(call, &copy, out))?;
    Ok((headers, body).into_response())
}

impl From<EvidenceError> for Problem {
    fn from(error: EvidenceError) -> Problem {
        match error {
            EvidenceError::NoRecording { .. } => Problem::not_found(error.to_string()),
            EvidenceError::Asked(what) => Problem::bad_request(what),
            EvidenceError::KeyAbsent(error) => {
                tracing::error!(%error, "a recording cannot be decrypted");
                Problem::key_absent(error)
            }
            EvidenceError::File { .. } => {
                tracing::error!("{error}");
                Problem::fault(error.to_string())
            }
            EvidenceError::Deposit(_) => {
                tracing::error!("{error}");
                Problem::unavailable(error.to_string())
            }
        }
    }
}
