//! Whether somebody may have a recording: role, association, reason; each wish is an entry of the audit before the first byte,
//! and so is its refusal.
//!
//! Every door through which a recording leaves asks [`hand_out`] or [`permit`]: listening, sidecar, export, a redacted copy.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Desk;
use super::api::{Act, perform};
use super::input::{QueryOf, Reason};
use super::problem::Problem;
use super::refused::{self, Place};
use super::token::{Bearer, Role};
use crate::clock;
use crate::model::{Alarm, SealedRecording, Utc};
use crate::storage::StorageError;
use crate::storage::audit::{self, AuditEntry, OURSELVES};
use crate::switchboard::tell;

/// The header that may carry the reason in place of the query.
const REASON_HEADER: &str = "x-access-reason";
/// The act that tells of bulk listening.
const BULK: &str = "alarm.bulk-listening";
/// The act that tells of somebody who is refused again and again.
const REFUSED: &str = "alarm.refused-wishes";
/// What the audit keeps of a reason that is none, in characters: as many as one may have.
const SAID_CHARACTERS_MAX: usize = 500;

/// What somebody wants of a recording.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// What, as a stable word: `recording.listen`, `recording.manifest`, `export.fetch`…
    pub word: &'static str,
    /// Why, in the person's own words.
    pub reason: &'a Said,
    /// Anything more: which bytes, which file.
    pub detail: &'a str,
}

/// Lets `bearer` have what `open` opens of the recording, or refuses. Either way the audit says so before this returns, and
/// what cannot be opened is added as refused; when the audit cannot be written, it is refused. Whoever takes many recordings
/// in a short time raises an alarm.
pub async fn hand_out<T>(
    desk: &Desk,
    bearer: &Bearer,
    sealed: &SealedRecording,
    wish: &Wish<'_>,
    open: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let words = wish.reason.words();
    let act = Act { word: wish.word, call: Some(sealed.call), reason: &words, detail: wish.detail };
    if let Err(problem) = may_have(bearer, sealed, wish.reason) {
        return Err(refuse(desk, bearer, act, problem).await);
    }
    let had = perform(desk, bearer, act, open).await?;
    watch_for_bulk(desk, bearer, clock::utc()).await;
    Ok(had)
}

/// The same where nothing is to be opened.
pub async fn permit(desk: &Desk, bearer: &Bearer, sealed: &SealedRecording, wish: &Wish<'_>) -> Result<(), Problem> {
    hand_out(desk, bearer, sealed, wish, ready(Ok(()))).await
}

/// Whether `bearer` may have the recording, and `open` opens it: asked of each of several before any of them is handed out, so
/// that the audit tells of none as had when one is refused. What is granted is not written yet.
pub async fn demand(
    desk: &Desk,
    bearer: &Bearer,
    sealed: &SealedRecording,
    wish: &Wish<'_>,
    open: impl Future<Output = Result<(), Problem>>,
) -> Result<(), Problem> {
    let granted = match may_have(bearer, sealed, wish.reason) {
        Ok(()) => open.await,
        refused => refused,
    };
    let Err(problem) = granted else { return Ok(()) };
    let words = wish.reason.words();
    let act = Act { word: wish.word, call: Some(sealed.call), reason: &words, detail: wish.detail };
    Err(refuse(desk, bearer, act, problem).await)
}

fn may_have(bearer: &Bearer, sealed: &SealedRecording, reason: &Said) -> Result<(), Problem> {
    demand_keeper(bearer)?;
    bearer.demand(&sealed.record.association)?;
    reason.demand().map(|_| ())
}

/// Refuses whom the role keeps from recordings.
pub fn demand_keeper(bearer: &Bearer) -> Result<(), Problem> {
    match bearer.role {
        Role::Admin | Role::Compliance => Ok(()),
        Role::Viewer => Err(Problem::forbidden("use a token with the role admin or compliance")),
    }
}

/// Writes a refused wish to the audit, the wish and its refusal, and gives the refusal back. Only so many of one token: what
/// comes then is counted, so that nobody fills the audit by asking.
pub async fn refuse(desk: &Desk, bearer: &Bearer, act: Act<'_>, problem: Problem) -> Problem {
    metrics::counter!("vigie_refused_wishes_total").increment(1);
    let place = desk.refused.count(&bearer.name, clock::moment());
    let detail = match place {
        Place::Counted => return problem,
        Place::Written { unwritten } if unwritten > 0 => {
            format!("{} ({unwritten} refused wishes before it are not written)", act.detail)
        }
        Place::Written { .. } | Place::Last => act.detail.to_owned(),
    };
    let act = Act { detail: &detail, ..act };
    let refused = match perform(desk, bearer, act, ready(Err::<Infallible, _>(problem))).await {
        Err(problem) => problem,
        Ok(never) => match never {},
    };
    if place == Place::Last
        && let Err(error) = alarm(desk, bearer, (REFUSED, "refused-wishes"), refused::describe(&bearer.name)).await
    {
        tracing::error!(%error, "that somebody is refused again and again could not be added to the audit");
    }
    refused
}

/// Raises the alarm once a window. It holds nobody up: who listens has said why, and stands in the audit.
async fn watch_for_bulk(desk: &Desk, bearer: &Bearer, now: Utc) {
    let rules = desk.parts.access;
    let from = Utc(now.0.saturating_sub(rules.bulk_window.as_micros() as i64));
    let storage = &desk.parts.storage;
    let begins = format!("{} took or asked for ", bearer.name);
    let found = async {
        let count = audit::count_taken(storage, &bearer.name, from).await?;
        let is_new = count >= rules.bulk_recordings && !audit::was_told(storage, BULK, &begins, from).await?;
        if !is_new {
            return Ok(());
        }
        let minutes = rules.bulk_window.as_secs() / 60;
        let text = format!("{begins}{count} different recordings within {minutes} minutes");
        alarm(desk, bearer, (BULK, "bulk-listening"), text).await
    };
    if let Err(error) = found.await {
        tracing::error!(%error, "whether somebody listens to many recordings could not be looked up");
    }
}

/// An alarm about what `bearer` does, in the audit, too.
async fn alarm(
    desk: &Desk,
    bearer: &Bearer,
    (act, kind): (&'static str, &str),
    text: String,
) -> Result<(), StorageError> {
    let entry = AuditEntry {
        at: clock::utc(),
        actor: OURSELVES.into(),
        source: bearer.source.clone(),
        act: act.into(),
        call: None,
        reason: String::new(),
        detail: text.clone(),
        refuses: None,
    };
    audit::write(&desk.parts.storage, &entry).await?;
    tell(&Alarm { kind: kind.into(), call: None, text });
    Ok(())
}

/// Why somebody wants a recording.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
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

/// The reason that somebody gives, as it was given: whether it will do is said where the wish is written down.
#[derive(Clone, Debug)]
pub struct Said {
    text: Option<String>,
    place: &'static str,
}

impl Said {
    /// As the body of a request has it.
    pub fn in_body(text: Option<String>) -> Said {
        Said { text, place: "in the body: say why with `reason`" }
    }

    fn in_request(text: Option<String>, parts: &Parts) -> Said {
        let text = text.or_else(|| reason_in_header(parts));
        Said { text, place: "say why: ?reason=WORDS or the header X-Access-Reason" }
    }

    /// The reason, or a 400 that asks for it.
    pub fn demand(&self) -> Result<Reason, Problem> {
        Reason::parse(self.text.as_deref().unwrap_or_default())
            .map_err(|what| Problem::reason_missing(format!("{}; {what}; it is written to the audit", self.place)))
    }

    /// The words as the audit keeps them, whether or not they are a reason: one line, and no longer than one may be.
    pub fn words(&self) -> String {
        let text = self.text.as_deref().unwrap_or_default().trim();
        let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
        text.chars().take(SAID_CHARACTERS_MAX).map(plain).collect()
    }
}

/// What a [`ListenQuery`] or its header says.
pub struct Listening {
    /// Why.
    pub reason: Said,
    /// From which second on, when it is said.
    pub from_s: Option<u64>,
}

impl FromRequestParts<Arc<Desk>> for Listening {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Listening, Problem> {
        let QueryOf(query) = QueryOf::<ListenQuery>::from_request_parts(parts, desk).await?;
        Ok(Listening { reason: Said::in_request(query.reason, parts), from_s: query.from })
    }
}

/// The reason that a request gives, in its query or its header.
pub struct Given(pub Said);

impl FromRequestParts<Arc<Desk>> for Given {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Given, Problem> {
        let QueryOf(query) = QueryOf::<ReasonQuery>::from_request_parts(parts, desk).await?;
        Ok(Given(Said::in_request(query.reason, parts)))
    }
}

fn reason_in_header(parts: &Parts) -> Option<String> {
    let header = parts.headers.get(REASON_HEADER)?;
    std::str::from_utf8(header.as_bytes()).ok().map(str::to_owned)
}
