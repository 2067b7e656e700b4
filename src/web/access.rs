//! Whether somebody may have a recording: role, association, reason; each wish is an entry of the audit before the first byte.
//!
//! Every door through which a recording leaves asks [`permit`]: listening, download, export, a redacted copy.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Desk;
use super::api::{Act, perform};
use super::input::{QueryOf, Reason};
use super::problem::Problem;
use super::token::{Bearer, Role};
use crate::clock;
use crate::model::{Alarm, SealedRecording, Utc};
use crate::storage::audit::{self, AuditEntry, OURSELVES};
use crate::switchboard::tell;

/// The header that may carry the reason in place of the query.
const REASON_HEADER: &str = "x-access-reason";
/// The act that tells of bulk listening.
const BULK: &str = "alarm.bulk-listening";

/// What somebody wants of a recording.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// What, as a stable word: `recording.listen`, `recording.download`, `recording.export`…
    pub word: &'static str,
    /// Why, in the person's own words.
    pub reason: &'a str,
    /// Anything more: which bytes, which file.
    pub detail: &'a str,
}

/// Lets `bearer` have the recording, or refuses. Either way the audit says so before this returns; when the audit cannot be
/// written, it is refused. Whoever takes many recordings in a short time raises an alarm.
pub async fn permit(desk: &Desk, bearer: &Bearer, sealed: &SealedRecording, wish: &Wish<'_>) -> Result<(), Problem> {
    let act = Act { word: wish.word, call: Some(sealed.call), reason: wish.reason, detail: wish.detail };
    let allowed = match bearer.role {
        Role::Admin | Role::Compliance => bearer.demand(&sealed.record.association),
        Role::Viewer => Err(Problem::forbidden("use a token with the role admin or compliance")),
    };
    perform(desk, bearer, act, std::future::ready(allowed)).await?;
    watch_for_bulk(desk, bearer, clock::utc()).await;
    Ok(())
}

/// Raises the alarm once a window. It holds nobody up: who listens has said why, and stands in the audit.
async fn watch_for_bulk(desk: &Desk, bearer: &Bearer, now: Utc) {
    let rules = desk.parts.access;
    let from = Utc(now.0.saturating_sub(rules.bulk_window.as_micros() as i64));
    let storage = &desk.parts.storage;
    let begins = format!("{} took ", bearer.name);
    let found = async {
        let count = audit::count_taken(storage, &bearer.name, from).await?;
        let is_new = count >= rules.bulk_recordings && !audit::was_told(storage, BULK, &begins, from).await?;
        if !is_new {
            return Ok(());
        }
        let minutes = rules.bulk_window.as_secs() / 60;
        let text = format!("{begins}{count} different recordings within {minutes} minutes");
        let entry = AuditEntry {
            at: now,
            actor: OURSELVES.into(),
            source: bearer.source.clone(),
            act: BULK.into(),
            call: None,
            reason: String::new(),
            detail: text.clone(),
            refuses: None,
        };
        audit::write(storage, &entry).await?;
        tell(&Alarm { kind: "bulk-listening".into(), call: None, text });
        Ok::<(), crate::storage::StorageError>(())
    };
    if let Err(error) = found.await {
        tracing::error!(%error, "whether somebody listens to many recordings could not be looked up");
    }
}

/// Why somebody wants a recording.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "its description")]
pub struct ReasonQuery {
    /// Why, in words, 3 to 500 characters; written to the audit. The header `X-Access-Reason` (UTF-8) does as well.
    #[param(value_type = Option<String>, min_length = 3, max_length = 500)]
    reason: Option<String>,
}

/// Why somebody wants to listen, and from where on.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListenQuery {
    /// Why, in words, 3 to 500 characters; written to the audit. The header `X-Access-Reason` (UTF-8) does as well.
    #[param(value_type = Option<String>, min_length = 3, max_length = 500)]
    reason: Option<String>,
    /// The second to begin at; without it, or with 0, the beginning.
    from: Option<u64>,
}

/// What a [`ListenQuery`] or its header says.
pub struct Listening {
    /// Why.
    pub reason: Reason,
    /// From which second on, when it is said.
    pub from_s: Option<u64>,
}

impl FromRequestParts<Arc<Desk>> for Listening {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Listening, Problem> {
        let QueryOf(query) = QueryOf::<ListenQuery>::from_request_parts(parts, desk).await?;
        let text = query.reason.or_else(|| reason_in_header(parts)).unwrap_or_default();
        Ok(Listening { reason: parse(&text)?, from_s: query.from })
    }
}

/// The reason that a request gives, in its query or its header.
pub struct Given(pub Reason);

impl FromRequestParts<Arc<Desk>> for Given {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Given, Problem> {
        let text = read_reason(parts, desk).await?.unwrap_or_default();
        parse(&text).map(Given)
    }
}

/// The reason that a request may give.
pub struct MaybeGiven(pub Option<Reason>);

impl FromRequestParts<Arc<Desk>> for MaybeGiven {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<MaybeGiven, Problem> {
        let text = read_reason(parts, desk).await?;
        text.as_deref().map(parse).transpose().map(MaybeGiven)
    }
}

async fn read_reason(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Option<String>, Problem> {
    let QueryOf(query) = QueryOf::<ReasonQuery>::from_request_parts(parts, desk).await?;
    Ok(query.reason.or_else(|| reason_in_header(parts)))
}

fn reason_in_header(parts: &Parts) -> Option<String> {
    let header = parts.headers.get(REASON_HEADER)?;
    std::str::from_utf8(header.as_bytes()).ok().map(str::to_owned)
}

fn parse(text: &str) -> Result<Reason, Problem> {
    Reason::parse(text).map_err(|what| {
        Problem::reason_missing(format!(
            "say why: ?reason=WORDS or the header X-Access-Reason; {what}; it is written to the audit"
        ))
    })
}
