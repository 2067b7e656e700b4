//! What an operator does with a live call: hold, add, transfer, hand to the SAMU, put back, supervise.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::audit::{Act, perform};
use super::room::unexpected;
use crate::model::control::{Control, Destination, Supervision};
use crate::model::ids::is_valid_id;
use crate::model::{CallId, Command, DemandChange, Needs, Reach, RegionId, RegulatorId, Reply, SkillId};
use crate::web::Desk;
use crate::web::input::{BodyOf, Example, PathOf, Reason};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::{Admin, Bearer};

/// The longest name or number of somebody, in bytes.
const TO_LENGTH_MAX: usize = 64;
/// The most skills that a demand may name.
const SKILLS_MAX: usize = 32;

/// Somebody who is to be rung.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"to": "+33612345678"}))]
pub struct Added {
    /// A regulator's id, or an outside number that a trunk may dial.
    #[schema(min_length = 1, max_length = 64)]
    to: String,
}

impl Example for Added {
    const EXAMPLE: &'static str = r#"{"to": "+33612345678"}"#;
}

/// To whom a caller is handed on.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"to": "paediatrics", "level": 50}))]
pub struct HandedOn {
    /// A regulator's id, a line's id or number, a skill's name, or an outside number that a trunk may dial: the first of
    /// these that it is.
    #[schema(min_length = 1, max_length = 64)]
    to: String,
    /// The least level, when it is a skill.
    #[serde(default)]
    #[schema(value_type = Option<u8>, minimum = 1, maximum = 100, default = 1)]
    level: Option<u8>,
}

impl Example for HandedOn {
    const EXAMPLE: &'static str = r#"{"to": "paediatrics", "level": 50}"#;
}

/// Who is to leave.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"leg": 2}))]
pub struct Dropped {
    /// The number of the party's leg; without it the one who joined last.
    #[serde(default)]
    leg: Option<u16>,
}

impl Example for Dropped {
    const EXAMPLE: &'static str = r#"{"leg": 2}"#;
}

/// What a call needs from now on; what is left out stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"priority": 1}))]
pub struct Demanded {
    /// 1 is the most urgent, 9 the least.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 9)]
    priority: Option<u8>,
    /// The caller's area.
    #[serde(default)]
    region: Option<String>,
    /// The skills asked instead before any step, as an expression: `regulation >= 50 and (lang-en >= 30 or physician)`.
    #[serde(default)]
    needs: Option<String>,
    /// The same in short: every one of these levels, 1–100.
    #[serde(default)]
    skills: Option<BTreeMap<String, u8>>,
    /// How far from the region a regulator is looked for before any step.
    #[serde(default)]
    reach: Option<ReachAsked>,
}

/// How far from the caller's region a regulator is looked for.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum ReachAsked {
    /// Those who serve it.
    Home,
    /// And those of its second region, or of one beside it.
    Neighbours,
    /// And those of another part of the same whole.
    Parent,
    /// Everybody.
    All,
}

impl From<ReachAsked> for Reach {
    fn from(word: ReachAsked) -> Reach {
        match word {
            ReachAsked::Home => Reach::Home,
            ReachAsked::Neighbours => Reach::Neighbours,
            ReachAsked::Parent => Reach::Parent,
            ReachAsked::All => Reach::All,
        }
    }
}

impl Example for Demanded {
    const EXAMPLE: &'static str = r#"{"priority": 1}"#;
}

/// Who takes part in a call, and how.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"by": "claire", "way": "listen", "reason": "complaint 12"}))]
pub struct Supervised {
    /// The regulator whose phone rings to take part.
    by: String,
    /// How.
    way: WayWord,
    /// Why, for the audit.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 3, max_length = 500)]
    reason: Option<Reason>,
}

impl Example for Supervised {
    const EXAMPLE: &'static str = r#"{"by": "claire", "way": "listen"}"#;
}

/// How a supervisor takes part.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum WayWord {
    /// Hears all, is heard by nobody.
    #[default]
    Listen,
    /// Is heard by the regulator alone.
    Whisper,
    /// Is heard by all, and recorded.
    BargeIn,
    /// Has the caller; the regulator is let go.
    TakeOver,
}

impl From<WayWord> for Supervision {
    fn from(word: WayWord) -> Supervision {
        match word {
            WayWord::Listen => Supervision::Listen,
            WayWord::Whisper => Supervision::Whisper,
            WayWord::BargeIn => Supervision::BargeIn,
            WayWord::TakeOver => Supervision::TakeOver,
        }
    }
}

/// What an order to a live call may be answered.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code, reason = "only its description is used")]
pub(super) enum Answers {
    /// It is being done; what comes of it is told by the call's events.
    #[response(status = 204)]
    Done,
    /// No such live call.
    #[response(status = 404, content_type = "application/problem+json")]
    Unknown(Problem),
    /// It cannot be done now; the detail says why and what to do.
    #[response(status = 409, content_type = "application/problem+json")]
    Refused(Problem),
}

/// Put a caller on hold
///
/// The caller hears the line's music; whoever else is in the call goes on talking. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/calls/{call}/hold", operation_id = "holdCall", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    security(("token" = ["admin"])),
    responses(Answers, Refusals),
)]
pub async fn hold(
    Admin(bearer): Admin,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
) -> Result<StatusCode, Problem> {
    order(&desk, &bearer, (call, Control::Hold), ("call.hold", "", "")).await
}

/// Take a caller back
///
/// Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/calls/{call}/resume", operation_id = "resumeCall", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    security(("token" = ["admin"])),
    responses(Answers, Refusals),
)]
pub async fn resume(
    Admin(bearer): Admin,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
) -> Result<StatusCode, Problem> {
    order(&desk, &bearer, (call, Control::Resume), ("call.resume", "", "")).await
}

/// Add somebody to a call
///
/// A regulator or an outside number is rung, and joins those who talk: caller, regulator and the doctor on the road hear each
/// other, and all are recorded. Until then, and when nobody comes, they talk as before. `call.joined` or `call.join-failed`
/// tells how it went. When the regulator hangs up or leaves, whoever joined has the caller. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/calls/{call}/add", operation_id = "addToCall", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    request_body = Added,
    security(("token" = ["admin"])),
    responses(Answers, Refusals),
)]
pub async fn add(
    Admin(bearer): Admin,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
    BodyOf(body): BodyOf<Added>,
) -> Result<StatusCode, Problem> {
    let to = read_to(body.to)?;
    order(&desk, &bearer, (call, Control::Add { to: to.clone() }), ("call.add", &to, "")).await
}

/// Join whom the regulator has asked
///
/// Whoever the regulator talks with, or rings, over another call comes into this one. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/calls/{call}/join", operation_id = "joinCall", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    security(("token" = ["admin"])),
    responses(Answers, Refusals),
)]
pub async fn join(
    Admin(bearer): Admin,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
) -> Result<StatusCode, Problem> {
    order(&desk, &bearer, (call, Control::Join), ("call.join", "", "")).await
}

/// Take somebody out of a call
///
/// Whoever joined, or rings to, is hung up; the others go on talking. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/calls/{call}/drop", operation_id = "dropFromCall", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    request_body = Option<Dropped>,
    security(("token" = ["admin"])),
    responses(Answers, Refusals),
)]
pub async fn drop(
    Admin(bearer): Admin,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
    BodyOf(body): BodyOf<Dropped>,
) -> Result<StatusCode, Problem> {
    let detail = body.leg.map(|leg| format!("leg {leg}")).unwrap_or_default();
    order(&desk, &bearer, (call, Control::Drop { leg: body.leg }), ("call.drop", &detail, "")).await
}

/// Let the regulator leave
///
/// Whoever joined has the caller from then on: `call.transferred`. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/calls/{call}/leave", operation_id = "leaveCall", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    security(("token" = ["admin"])),
    responses(Answers, Refusals),
)]
pub async fn leave(
    Admin(bearer): Admin,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
) -> Result<StatusCode, Problem> {
    order(&desk, &bearer, (call, Control::Leave), ("call.leave", "", "")).await
}

/// Hand a caller to the SAMU
///
/// One transaction: the SAMU of the caller's region is rung (`samu` of the region, else `[samu] number`), dispatch is told all
/// it needs (`call.handed-to-samu`), and when it answers all three are joined (`call.joined`) and the regulator may leave,
/// by hanging up or by `leave`. The recording goes on. When the SAMU does not answer (`call.join-failed`), the caller is with
/// the regulator as before. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/calls/{call}/samu", operation_id = "handCallToSamu", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    security(("token" = ["admin"])),
    responses(Answers, Refusals),
)]
pub async fn samu(
    Admin(bearer): Admin,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
) -> Result<StatusCode, Problem> {
    order(&desk, &bearer, (call, Control::HandToSamu), ("call.samu", "", "")).await
}

/// Put a caller back into the waiting room
///
/// The regulator is let go; the caller waits again in the old place, with the wait kept. Refused when nobody on duty could
/// answer. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/calls/{call}/requeue", operation_id = "requeueCall", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    security(("token" = ["admin"])),
    responses(Answers, Refusals),
)]
pub async fn requeue(
    Admin(bearer): Admin,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
) -> Result<StatusCode, Problem> {
    order(&desk, &bearer, (call, Control::Requeue), ("call.requeue", "", "")).await
}

/// Hand a caller on, or move one who waits
///
/// To a regulator or an outside number, which is rung while the caller hears music; or back to the waiting room for a line or a
/// skill, with the wait kept. A caller who still waits is moved there; one who is yet to be called back only to a line or a
/// skill. When nobody comes, the caller is with the regulator again, or waits in the old place. Handing on after asking first: `add`, then `leave`. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/calls/{call}/transfer", operation_id = "transferCall", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    request_body = HandedOn,
    security(("token" = ["admin"])),
    responses(Answers, Refusals),
)]
pub async fn transfer(
    Admin(bearer): Admin,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
    BodyOf(body): BodyOf<HandedOn>,
) -> Result<StatusCode, Problem> {
    let to = read_to(body.to)?;
    let level = body.level.unwrap_or(1);
    if !LEVELS.contains(&level) {
        return Err(Problem::bad_request("in the body: level: write a number from 1 to 100"));
    }
    let control = Control::Transfer(Destination { to: to.clone(), level });
    order(&desk, &bearer, (call, control), ("call.transfer", &to, "")).await
}

/// Change what a call needs
///
/// Priority, region, skills; of a caller who waits it holds at once. Refused when nobody on duty could answer. Written to the
/// audit.
#[utoipa::path(
    post, path = "/api/v1/calls/{call}/demand", operation_id = "changeDemand", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    request_body = Demanded,
    security(("token" = ["admin"])),
    responses(Answers, Refusals),
)]
pub async fn demand(
    Admin(bearer): Admin,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
    BodyOf(body): BodyOf<Demanded>,
) -> Result<StatusCode, Problem> {
    let (change, detail) = read_change(body)?;
    order(&desk, &bearer, (call, Control::Demand(change)), ("call.demand", &detail, "")).await
}

/// Listen to a call, whisper, barge in or take it over
///
/// The phone of the regulator `by` rings, and takes part when it is picked up; asked again of somebody who takes part already,
/// the way changes at once. `call.supervised` tells each. Only who barges in or takes over is recorded. Written to the audit.
#[utoipa::path(
    post, path = "/api/v1/calls/{call}/supervise", operation_id = "superviseCall", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    request_body = Supervised,
    security(("token" = ["admin"])),
    responses(Answers, Refusals),
)]
pub async fn supervise(
    Admin(bearer): Admin,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
    BodyOf(body): BodyOf<Supervised>,
) -> Result<StatusCode, Problem> {
    let Supervised { by, way, reason } = body;
    if !is_valid_id(&by) {
        return Err(Problem::bad_request("in the body: by: write the id of the regulator whose phone is to ring"));
    }
    let way = Supervision::from(way);
    let word = match way {
        Supervision::Listen => "call.listen",
        Supervision::Whisper => "call.whisper",
        Supervision::BargeIn => "call.barge-in",
        Supervision::TakeOver => "call.take-over",
    };
    let control = Control::Supervise { by: RegulatorId::from(by.as_str()), way };
    order(&desk, &bearer, (call, control), (word, &by, reason.as_ref().map_or("", Reason::as_str))).await
}

/// The levels of a skill.
const LEVELS: std::ops::RangeInclusive<u8> = 1..=100;

fn read_to(to: String) -> Result<String, Problem> {
    let fits = (1..=TO_LENGTH_MAX).contains(&to.len()) && to.bytes().all(|b| b.is_ascii_graphic());
    let remedy =
        "in the body: to: write a regulator's id, a line, a skill, or a number, as in {\"to\": \"+33612345678\"}";
    if fits { Ok(to) } else { Err(Problem::bad_request(remedy)) }
}

fn read_change(body: Demanded) -> Result<(DemandChange, String), Problem> {
    let Demanded { priority, region, needs, skills, reach } = body;
    let refuse = |why: &str| Err(Problem::bad_request(format!("in the body: {why}")));
    if priority.is_some_and(|priority| !(1..=9).contains(&priority)) {
        return refuse("priority: write a number from 1 (most urgent) to 9");
    }
    let needs = match (needs, skills) {
        (Some(_), Some(_)) => return refuse("needs and skills both say what is asked; write one of the two"),
        (Some(text), None) => match text.parse::<Needs>() {
            Ok(needs) if needs != Needs::default() => Some(needs),
            Ok(_) => return refuse("needs: nothing is asked; write such as \"regulation >= 50\""),
            Err(error) => return refuse(&format!("needs: {error}")),
        },
        (None, Some(skills)) => Some(read_skills(&skills)?),
        (None, None) => None,
    };
    let mut detail = Vec::new();
    detail.extend(priority.map(|priority| format!("priority {priority}")));
    detail.extend(region.iter().map(|region| format!("region {region}")));
    detail.extend(needs.iter().map(ToString::to_string));
    let reach = reach.map(Reach::from);
    detail.extend(reach.map(|reach| format!("reach {}", reach.name())));
    if detail.is_empty() {
        return refuse("nothing is to change; write priority, region, needs or reach, as in {\"priority\": 1}");
    }
    let region = region.map(|region| RegionId::from(region.as_str()));
    Ok((DemandChange { region, needs, priority, reach }, detail.join(", ")))
}

fn read_skills(skills: &BTreeMap<String, u8>) -> Result<Needs, Problem> {
    let is_read = |(skill, level): (&String, &u8)| is_valid_id(skill) && LEVELS.contains(level);
    if skills.is_empty() || skills.len() > SKILLS_MAX || !skills.iter().all(is_read) {
        let remedy =
            "in the body: skills: name 1 to 32 skills with a level from 1 to 100 each, as in {\"regulation\": 50}";
        return Err(Problem::bad_request(remedy));
    }
    let levels = skills.iter().map(|(skill, level)| (SkillId::from(skill.as_str()), *level)).collect();
    Ok(Needs::from(&levels))
}

/// Writes to the audit what is to be done, and has it done.
/// Has something done with a live call, and writes it to the audit.
pub(super) async fn order(
    desk: &Desk,
    bearer: &Bearer,
    (call, control): (CallId, Control),
    (word, detail, reason): (&'static str, &str, &str),
) -> Result<StatusCode, Problem> {
    let act = Act { word, call: Some(call), reason, detail };
    perform(desk, bearer, act, ask(desk, call, control)).await
}

async fn ask(desk: &Desk, call: CallId, control: Control) -> Result<StatusCode, Problem> {
    match desk.parts.door.ask(Command::Control { call, control }).await {
        Ok(Reply::Done) => Ok(StatusCode::NO_CONTENT),
        Ok(Reply::Unknown) => Err(Problem::not_found("no live call has this id; GET /api/v1/calls lists them")),
        Ok(Reply::Refused(why)) => Err(Problem::conflict(why)),
        Ok(
            reply @ (Reply::Room(_)
            | Reply::State(_)
            | Reply::Drained
            | Reply::Foreseen(_)
            | Reply::Standing(_)
            | Reply::Bans(_)
            | Reply::Legs(_)
            | Reply::Trunks(_)),
        ) => Err(unexpected(&reply)),
        Err(closed) => Err(Problem::unavailable(closed.to_string())),
    }
}
