//! The audit: who did what and why, written before it is done, read by those who watch over it; a refusal is added.

use std::future::Future;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::page::Page;
use crate::clock;
use crate::model::{Alarm, CallId};
use crate::storage::audit::{self, AuditEntry, AuditFilter, AuditRow};
use crate::switchboard::tell;
use crate::web::Desk;
use crate::web::input::{QueryOf, Rows, When};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::{Bearer, Keeper};
use crate::web::words::Stamp;

/// What is about to be done.
pub struct Act<'a> {
    /// What, as a stable word: `recording.listen`, `regulator.pause`…
    pub word: &'static str,
    /// Which call it touches.
    pub call: Option<CallId>,
    /// Why, in the person's own words.
    pub reason: &'a str,
    /// Anything more.
    pub detail: &'a str,
}

/// Writes an act to the audit and returns its place once it is on the disk: only then may it be done.
pub async fn note(desk: &Desk, bearer: &Bearer, act: &Act<'_>) -> Result<i64, Problem> {
    let entry = AuditEntry {
        at: clock::utc(),
        actor: bearer.name.clone(),
        source: bearer.source.clone(),
        act: act.word.into(),
        call: act.call,
        reason: act.reason.into(),
        detail: act.detail.into(),
        refuses: None,
    };
    match audit::write(&desk.parts.storage, &entry).await {
        Ok(written) => {
            tell_of_damage(&written);
            Ok(written.position)
        }
        Err(error) => {
            tracing::error!(%error, act = act.word, "the audit could not be written; the request was refused");
            Err(Problem::unavailable("the audit cannot be written, so nothing was done; ask again later"))
        }
    }
}

/// Notes an act, then does it; when it is refused, a second entry tells so, for the first is never changed.
pub async fn perform<T>(
    desk: &Desk,
    bearer: &Bearer,
    act: Act<'_>,
    deed: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let position = note(desk, bearer, &act).await?;
    let done = deed.await;
    if let Err(problem) = &done {
        let entry = AuditEntry {
            at: clock::utc(),
            actor: bearer.name.clone(),
            source: bearer.source.clone(),
            act: format!("{}.refused", act.word),
            call: act.call,
            reason: String::new(),
            detail: problem.detail().into(),
            refuses: Some(position),
        };
        // Nothing was done, and whoever asked is told so: the refusal stands, written or not.
        match audit::write(&desk.parts.storage, &entry).await {
            Ok(written) => tell_of_damage(&written),
            Err(error) => {
                tracing::error!(%error, act = act.word, position, "a refusal could not be added to the audit")
            }
        }
    }
    done
}

/// Somebody changed the audit past Vigie: whoever watches is told.
fn tell_of_damage(written: &audit::Written) {
    if let Some(text) = &written.broken {
        let text = format!("{text}: run `vigie audit verify`");
        tell(&Alarm { kind: "audit-damaged".into(), call: None, text });
    }
}

/// As [`perform`], to its end even when whoever asked is gone meanwhile: a deed of several steps is not left half done.
pub async fn perform_to_the_end<T: Send + 'static>(
    desk: Arc<Desk>,
    bearer: Bearer,
    word: &'static str,
    deed: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let doing = tokio::spawn(async move {
        let act = Act { word, call: None, reason: "", detail: "" };
        perform(&desk, &bearer, act, deed).await
    });
    doing.await.unwrap_or_else(|_| Err(Problem::fault("it could not be done to its end; the log says why")))
}

/// One entry of the audit.
#[derive(Serialize, ToSchema)]
pub struct AuditView {
    /// Its place; grows with time.
    position: i64,
    /// When.
    at: Stamp,
    /// Who: the token's name, `regulator:ID` for what was done by a phone's feature code, or `vigie` itself.
    actor: String,
    /// From which address; `phone` for a feature code.
    source: String,
    /// What: `recording.listen`, `recording.measure`, `recording.manifest`, `recording.signature`, `recording.export`,
    /// `recording.pause`, `recording.resume`,
    /// `recording.hold`, `recording.release`, `recording.deleted`, `deletion.propose`, `deletion.approve`,
    /// `deletion.withdraw`, `clock.confirm`, `alarm.bulk-listening`, `alarm.refused-wishes`, `regulator.pause`, `regulator.ready`, `call.end`,
    /// `call.hold`, `call.resume`, `call.add`, `call.join`, `call.drop`, `call.leave`, `call.samu`, `call.requeue`,
    /// `call.transfer`, `call.demand`, `call.listen`, `call.whisper`, `call.barge-in`, `call.take-over`, `outbox.replay`,
    /// `sip.unban`, `abandoned.call-back`, `abandoned.close`, `regulator.wrap-up.extend`, `regulator.wrap-up.end`,
    /// `regulator.log-out`, `regulators.import`, `regulators.import.try`, `list.add`, `list.remove`, `surge.on`,
    /// `surge.off`, `configuration.reload`, `configuration.try`, `recording.annotate`, `recording.redact`, `export.request`,
    /// `export.answer`, `export.approve`, `export.refuse`, `export.fetch`. An entry is written before the deed and
    /// never changed: when the deed was then refused, a second entry follows, with `.refused` behind the same word.
    act: String,
    /// Which call it touched.
    #[schema(format = "uuid")]
    call: Option<String>,
    /// Why, in the person's own words.
    reason: String,
    /// Anything more: the bytes asked for, the regulator; of a `.refused` entry, why.
    detail: String,
    /// Of a `.refused` entry: the `position` of the entry whose deed was refused.
    refuses: Option<i64>,
    /// SHA-256 that binds it to the entry before it and to what it says: the next one carries it, and so shows a change or a
    /// removal (`vigie audit verify`).
    hash: String,
    /// Why this deed was refused and so not done, as its `.refused` entry tells; null when none did.
    refusal: Option<String>,
}

impl AuditView {
    /// An entry as storage has it.
    pub fn of(row: AuditRow, zone: &TimeZone) -> AuditView {
        let AuditRow { position, entry, hash, refusal } = row;
        AuditView {
            position,
            at: Stamp::of(entry.at, zone),
            actor: entry.actor,
            source: entry.source,
            act: entry.act,
            call: entry.call.map(|call| call.to_string()),
            reason: entry.reason,
            detail: entry.detail,
            refuses: entry.refuses,
            hash,
            refusal,
        }
    }
}

/// Which entries: everything given must hold.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// At this time or later; RFC 3339 with an offset or `Z`.
    #[param(value_type = Option<String>, format = "date-time")]
    from: Option<When>,
    /// Before this time; RFC 3339 with an offset or `Z`.
    #[param(value_type = Option<String>, format = "date-time")]
    to: Option<When>,
    /// By whom: a token's name.
    actor: Option<String>,
    /// Touching which call.
    #[param(value_type = Option<String>, format = "uuid")]
    call: Option<CallId>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 100)]
    limit: Rows,
    /// `next` of the page before, unchanged.
    #[param(value_type = Option<String>)]
    before: Option<i64>,
}

/// The audit
///
/// Who listened to which recording and why, who paused whom, who ended a call; newest first. What was asked and then
/// refused has two entries: the first with its `refusal`, the second pointing back at it with `refuses`.
#[utoipa::path(
    get, path = "/api/v1/audit", operation_id = "listAudit", tag = "audit",
    params(AuditQuery),
    security(("token" = ["admin", "compliance"])),
    responses((status = 200, description = "A page of entries", body = Page<AuditView>), Refusals),
)]
pub async fn list(
    _keeper: Keeper,
    QueryOf(query): QueryOf<AuditQuery>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<Page<AuditView>>, Problem> {
    let filter = AuditFilter {
        from: query.from.map(|When(utc)| utc),
        to: query.to.map(|When(utc)| utc),
        actor: query.actor,
        call: query.call,
        limit: Some(query.limit.0),
        before: query.before,
    };
    let rows = audit::list(&desk.parts.storage, &filter).await?;
    // A full page may have another behind it; an empty one then says that it had not.
    let full = rows.len() >= query.limit.0 as usize;
    let next = rows.last().filter(|_| full).map(|row| row.position.to_string());
    Ok(Json(Page { items: rows.into_iter().map(|row| AuditView::of(row, &desk.parts.zone)).collect(), next }))
}
