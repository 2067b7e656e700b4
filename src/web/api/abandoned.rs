//! Callers who hung up unserved: whom to call back, who did, and what came of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::audit::{Act, perform};
use super::page::{Page, find_caller};
use super::room::unexpected;
use crate::model::person::ClosedBy;
use crate::model::{AbandonedCaller, AssociationId, CallId, Command, LineId, RegionId, Reply};
use crate::storage::Cursor;
use crate::storage::abandoned::{self, AbandonedFilter};
use crate::web::Desk;
use crate::web::input::{BodyOf, Example, Id, Number, PathOf, QueryOf, Reason, Rows, When};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::{Admin, Bearer};
use crate::web::words::{CallerView, EndedByWord, OutcomeWord, Stamp};

/// Somebody who hung up, or was lost, after waiting: a task until it is closed.
#[derive(Serialize, ToSchema)]
pub struct AbandonedView {
    /// The task's id: that of the first call that made it.
    #[schema(format = "uuid")]
    id: String,
    /// Whether it is still to be done.
    open: bool,
    /// Who.
    caller: CallerView,
    /// On which line, the last time.
    line: String,
    /// Of which association.
    association: String,
    /// From where.
    region: String,
    /// The line's language, BCP 47.
    language: String,
    /// 1 is the most urgent, 9 the least.
    priority: u8,
    /// The first time.
    first_at: Stamp,
    /// The last time.
    last_at: Stamp,
    /// The call of the last time.
    #[schema(format = "uuid")]
    last_call: String,
    /// How many times.
    times: u32,
    /// The wait of all these calls together, in milliseconds.
    wait_ms: u64,
    /// How the last call came out.
    outcome: OutcomeWord,
    /// Who ended the last call.
    ended_by: EndedByWord,
    /// When the person called again; null when not.
    seen_again: Option<SeenAgainView>,
    /// Who called back, the first one first; at most 20.
    call_backs: Vec<CallBackView>,
    /// How it came to its end; null while it is open.
    closed: Option<ClosedView>,
    /// Until when the wait is kept should the person call again; null when it is not any more.
    wait_kept_until: Option<Stamp>,
}

/// The person called again.
#[derive(Serialize, ToSchema)]
pub struct SeenAgainView {
    /// When.
    at: Stamp,
    /// This call.
    #[schema(format = "uuid")]
    call: String,
}

/// One attempt to call back.
#[derive(Serialize, ToSchema)]
pub struct CallBackView {
    /// When.
    at: Stamp,
    /// Who: a regulator's id, or the name of the token that noted it.
    by: String,
    /// Whether the person picked up.
    reached: bool,
}

/// How a task came to its end.
#[derive(Serialize, ToSchema)]
pub struct ClosedView {
    /// When.
    at: Stamp,
    /// How.
    how: ClosedWord,
    /// By whom: the regulator who answered or called back, the number that it was put through to, or the name of the token;
    /// null when it expired.
    by: Option<String>,
    /// The call that was answered.
    #[schema(format = "uuid")]
    call: Option<String>,
    /// The words of whoever closed it through the API.
    reason: Option<String>,
}

/// How a task came to its end, in one word.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum ClosedWord {
    /// The person called again and a regulator answered.
    Answered,
    /// A regulator called back and the person picked up.
    CalledBack,
    /// The person called again and was put through to an outside number, such as the SAMU.
    PutThrough,
    /// Somebody closed it through the API.
    Operator,
    /// It was open for a week.
    Expired,
}

impl AbandonedView {
    fn of(task: AbandonedCaller, zone: &TimeZone) -> AbandonedView {
        AbandonedView {
            id: task.id.to_string(),
            open: task.closed.is_none(),
            caller: task.caller.into(),
            line: task.line.to_string(),
            association: task.association.to_string(),
            region: task.region.to_string(),
            language: task.language,
            priority: task.priority,
            first_at: Stamp::of(task.first_at, zone),
            last_at: Stamp::of(task.last_at, zone),
            last_call: task.last_call.to_string(),
            times: task.times,
            wait_ms: task.wait_ms,
            outcome: task.outcome.into(),
            ended_by: task.ended_by.into(),
            seen_again: task
                .seen_again
                .map(|seen| SeenAgainView { at: Stamp::of(seen.at, zone), call: seen.call.to_string() }),
            call_backs: task
                .call_backs
                .into_iter()
                .map(|back| CallBackView { at: Stamp::of(back.at, zone), by: back.by, reached: back.reached })
                .collect(),
            closed: task.closed.map(|closed| {
                let view = ClosedView {
                    at: Stamp::of(closed.at, zone),
                    how: ClosedWord::Expired,
                    by: None,
                    call: None,
                    reason: None,
                };
                match closed.by {
                    ClosedBy::Answered { call, regulator } => ClosedView {
                        how: ClosedWord::Answered,
                        by: Some(regulator.to_string()),
                        call: Some(call.to_string()),
                        ..view
                    },
                    ClosedBy::CalledBack { regulator } => {
                        ClosedView { how: ClosedWord::CalledBack, by: Some(regulator.to_string()), ..view }
                    }
                    ClosedBy::PutThrough { call, to } => {
                        ClosedView { how: ClosedWord::PutThrough, by: Some(to), call: Some(call.to_string()), ..view }
                    }
                    ClosedBy::Operator { name, reason } => {
                        ClosedView { how: ClosedWord::Operator, by: Some(name), reason: Some(reason), ..view }
                    }
                    ClosedBy::Expired => view,
                }
            }),
            wait_kept_until: task.kept.map(|kept| Stamp::of(kept.until, zone)),
        }
    }
}

/// Whether a task is still to be done.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TaskState {
    Open,
    Closed,
    All,
}

/// Which tasks: everything given must hold.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AbandonedQuery {
    /// `open` (the default), `closed` or `all`.
    #[param(value_type = Option<String>)]
    state: Option<TaskState>,
    /// Abandoned, the last time, at this time or later; RFC 3339 with an offset or `Z`.
    #[param(value_type = Option<String>, format = "date-time")]
    from: Option<When>,
    /// Before this time; RFC 3339 with an offset or `Z`.
    #[param(value_type = Option<String>, format = "date-time")]
    to: Option<When>,
    /// The caller's number, in any way in which a trunk writes it.
    #[param(value_type = Option<String>, example = "+33612345678")]
    caller: Option<Number>,
    /// The line's id.
    #[param(value_type = Option<String>)]
    line: Option<Id>,
    /// The association's id.
    #[param(value_type = Option<String>)]
    association: Option<Id>,
    /// The region's id.
    #[param(value_type = Option<String>)]
    region: Option<Id>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 100)]
    limit: Rows,
    /// `next` of the page before, unchanged.
    #[param(value_type = Option<String>)]
    before: Option<Cursor>,
}

/// Callers who hung up unserved
///
/// Everybody who hung up or was lost after waiting for `abandoned_after` (10 s), one task a person, the newest first. A
/// task is closed by itself when the person is answered, or picks up when a regulator dials the number.
#[utoipa::path(
    get, path = "/api/v1/abandoned-callers", operation_id = "listAbandonedCallers", tag = "calls",
    params(AbandonedQuery),
    security(("token" = ["admin", "compliance", "viewer"])),
    responses((status = 200, description = "A page of tasks", body = Page<AbandonedView>), Refusals),
)]
pub async fn list(
    _bearer: Bearer,
    QueryOf(query): QueryOf<AbandonedQuery>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<Page<AbandonedView>>, Problem> {
    let filter = AbandonedFilter {
        open: match query.state {
            None | Some(TaskState::Open) => Some(true),
            Some(TaskState::Closed) => Some(false),
            Some(TaskState::All) => None,
        },
        from: query.from.map(|When(utc)| utc),
        to: query.to.map(|When(utc)| utc),
        caller: query.caller.map(|Number(written)| find_caller(written, &desk.parts.numbers)),
        line: query.line.map(|Id(id)| LineId::from(id.as_str())),
        association: query.association.map(|Id(id)| AssociationId::from(id.as_str())),
        region: query.region.map(|Id(id)| RegionId::from(id.as_str())),
        limit: Some(query.limit.0),
        before: query.before,
    };
    let found = abandoned::list(desk.stored().await, &filter).await?;
    let items = found.items.into_iter().map(|task| AbandonedView::of(task, &desk.parts.zone)).collect();
    Ok(Json(Page { items, next: found.next.map(|cursor| cursor.to_string()) }))
}

/// One caller who hung up unserved
#[utoipa::path(
    get, path = "/api/v1/abandoned-callers/{task}", operation_id = "showAbandonedCaller", tag = "calls",
    params(("task" = String, Path, format = "uuid", description = "The task's id")),
    security(("token" = ["admin", "compliance", "viewer"])),
    responses(
        (status = 200, description = "The task", body = AbandonedView),
        (status = 404, description = "No such task", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn show(
    _bearer: Bearer,
    PathOf(task): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<AbandonedView>, Problem> {
    find(&desk, task).await
}

async fn find(desk: &Desk, task: CallId) -> Result<Json<AbandonedView>, Problem> {
    match abandoned::one(desk.stored().await, task).await? {
        Some(task) => Ok(Json(AbandonedView::of(task, &desk.parts.zone))),
        None => Err(no_task()),
    }
}

fn no_task() -> Problem {
    Problem::not_found("no task has this id; GET /api/v1/abandoned-callers lists them")
}

/// Who calls back.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"regulator": "anne"}))]
pub struct CallBackNote {
    /// Who calls back: a regulator's id. Without it, the name of the token.
    #[serde(default)]
    regulator: Option<String>,
    /// Given, nobody is called, and it is only noted that somebody does so by other means: true when the person was
    /// reached. Left out, the regulator's phones ring, and then the person's.
    #[serde(default)]
    reached: Option<bool>,
}

impl Example for CallBackNote {
    const EXAMPLE: &'static str = r#"{"regulator": "anne"}"#;
}

/// Call back
///
/// With a `regulator` alone, the call is placed: the regulator's phones ring, then the person is dialled over the trunk that may,
/// and sees the association's number (`number_shown`). It is a call with a story and a recording like any other
/// (`dialled_by`), and the task closes itself when the person picks up. What the regulator's role may not dial is refused with
/// 409, as is a regulator who is on a call or has no phone. With `reached`, it is only noted that somebody calls back by other
/// means, so that nobody else does. A regulator who dials the number from a phone of Vigie need not be noted. Written to the
/// audit.
#[utoipa::path(
    post, path = "/api/v1/abandoned-callers/{task}/call-back", operation_id = "callBackAbandonedCaller", tag = "calls",
    params(("task" = String, Path, format = "uuid", description = "The task's id")),
    request_body(content = CallBackNote),
    security(("token" = ["admin"])),
    responses(
        (status = 200, description = "It rings at the regulator's, or it is noted", body = AbandonedView),
        (status = 404, description = "No such task", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is closed, or cannot be called now; the detail says why", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn call_back(
    Admin(bearer): Admin,
    PathOf(task): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
    BodyOf(note): BodyOf<CallBackNote>,
) -> Result<Json<AbandonedView>, Problem> {
    let by = match &note.regulator {
        Some(id) if crate::model::ids::is_valid_id(id) => id.clone(),
        Some(_) => {
            return Err(Problem::bad_request("in the body: `regulator` is no id; write it as in the configuration"));
        }
        None => bearer.name.clone(),
    };
    let act = Act { word: "abandoned.call-back", call: Some(task), reason: "", detail: &by };
    let command = match (note.regulator, note.reached) {
        (Some(_), None) => Command::PlaceCallBack { task, regulator: by.as_str().into() },
        (Some(_) | None, reached) => Command::NoteCallBack { task, by: by.clone(), reached: reached.unwrap_or(false) },
    };
    perform(&desk, &bearer, act, change(&desk, task, command)).await
}

/// Why a task is closed.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the son was reached at home"}))]
pub struct Closing {
    /// Why, 3 to 500 characters.
    #[serde(default)]
    #[schema(value_type = String, min_length = 3, max_length = 500, required = true)]
    reason: Option<Reason>,
}

impl Example for Closing {
    const EXAMPLE: &'static str = r#"{"reason": "the son was reached at home"}"#;
}

/// Close a task
///
/// With a reason, which stays with it. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/abandoned-callers/{task}/close", operation_id = "closeAbandonedCaller", tag = "calls",
    params(("task" = String, Path, format = "uuid", description = "The task's id")),
    request_body(content = Closing),
    security(("token" = ["admin"])),
    responses(
        (status = 200, description = "Closed", body = AbandonedView),
        (status = 404, description = "No such task", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is closed already", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn close(
    Admin(bearer): Admin,
    PathOf(task): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
    BodyOf(closing): BodyOf<Closing>,
) -> Result<Json<AbandonedView>, Problem> {
    let Some(reason) = closing.reason else {
        return Err(Problem::bad_request(format!(
            "in the body: `reason` is missing; send for example {}",
            Closing::EXAMPLE
        )));
    };
    let reason = reason.as_str();
    let act = Act { word: "abandoned.close", call: Some(task), reason, detail: "" };
    let command = Command::CloseAbandoned { task, by: bearer.name.clone(), reason: reason.into() };
    perform(&desk, &bearer, act, change(&desk, task, command)).await
}

async fn change(desk: &Desk, task: CallId, command: Command) -> Result<Json<AbandonedView>, Problem> {
    match desk.parts.door.ask(command).await {
        Ok(Reply::Done) => find(desk, task).await,
        Ok(Reply::Unknown) => match abandoned::one(desk.stored().await, task).await? {
            Some(_) => Err(Problem::conflict("the task is closed already")),
            None => Err(no_task()),
        },
        Ok(Reply::Refused(why)) => Err(Problem::conflict(why)),
        Ok(reply) => Err(unexpected(&reply)),
        Err(closed) => Err(Problem::unavailable(closed.to_string())),
    }
}
