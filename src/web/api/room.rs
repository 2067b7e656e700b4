//! The waiting room: who waits and who answers, now.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use super::context::LocationView;
use super::regulators::RegulatorNow;
use crate::model::command::WaitingView;
use crate::model::{Command, Forecast, Reply, Room};
use crate::web::Desk;
use crate::web::problem::{Problem, Refusals};
use crate::web::token::Bearer;
use crate::web::words::{CallerView, Stamp};

/// The waiting room and the regulators at one instant.
#[derive(Serialize, ToSchema)]
pub struct RoomNow {
    /// Everybody who waits, in the order in which they will be served.
    waiting: Vec<WaitingNow>,
    /// Every regulator of the configuration.
    regulators: Vec<RegulatorNow>,
    /// Live calls, waiting or talking.
    calls_live: u32,
    /// Whether new calls are refused because the server is stopping.
    draining: bool,
}

/// One caller who waits.
#[derive(Serialize, ToSchema)]
pub struct WaitingNow {
    /// Which call.
    #[schema(format = "uuid")]
    call: String,
    /// On which line.
    line: String,
    /// Of which association.
    association: String,
    /// From where.
    region: String,
    /// 1 is the most urgent, 9 the least.
    priority: u8,
    /// Entered the waiting room.
    queued_at: Stamp,
    /// Waited so far, in milliseconds.
    wait_ms: u64,
    /// The step in force; 0 is the demand itself.
    step: u32,
    /// The lowest level that it asks of each skill, 1–100.
    skills: BTreeMap<String, u8>,
    /// The same as an expression, such as `regulation >= 50 and (lang-en >= 30 or physician)`.
    needs: String,
    /// How far from the caller's region is looked: `home`, `neighbours`, `parent` or `all`.
    reach: String,
    /// How long it will go on waiting; null when nobody on duty could ever answer.
    forecast: Option<ForecastView>,
    /// At whose phone it rings now.
    offered_to: Option<String>,
    /// How many offers were made.
    offers: u32,
    /// Where the caller is, when the trunk said so.
    location: Option<LocationView>,
    /// Who calls.
    caller: CallerView,
}

/// How long a caller will go on waiting, from now on.
#[derive(Serialize, ToSchema)]
pub struct ForecastView {
    /// Half of such callers wait no longer, in milliseconds.
    median_ms: u64,
    /// Nine in ten wait no longer, in milliseconds.
    nine_in_ten_ms: u64,
    /// Callers before this one whom the same people answer, rounded.
    ahead: u32,
    /// People on duty who can answer it at the step in force, free or not.
    pool: u32,
}

impl From<Forecast> for ForecastView {
    fn from(forecast: Forecast) -> ForecastView {
        let Forecast { median_ms, nine_in_ten_ms, ahead, pool } = forecast;
        ForecastView { median_ms, nine_in_ten_ms, ahead, pool }
    }
}

impl RoomNow {
    fn of(room: Room, zone: &TimeZone) -> RoomNow {
        RoomNow {
            waiting: room.waiting.into_iter().map(|one| WaitingNow::of(one, zone)).collect(),
            regulators: room.regulators.into_iter().map(|one| RegulatorNow::of(one, zone)).collect(),
            calls_live: room.calls_live,
            draining: room.draining,
        }
    }
}

impl WaitingNow {
    fn of(one: WaitingView, zone: &TimeZone) -> WaitingNow {
        WaitingNow {
            call: one.call.to_string(),
            line: one.line.to_string(),
            association: one.association.to_string(),
            region: one.region.to_string(),
            priority: one.priority,
            queued_at: Stamp::of(one.queued_at, zone),
            wait_ms: one.wait_ms,
            step: one.step,
            skills: one.skills.into_iter().map(|(skill, level)| (skill.to_string(), level)).collect(),
            needs: one.needs,
            reach: one.reach.name().to_owned(),
            forecast: one.forecast.map(ForecastView::from),
            offered_to: one.offered_to.map(|regulator| regulator.to_string()),
            offers: one.offers,
            location: one.location.map(LocationView::from),
            caller: one.caller.into(),
        }
    }
}

/// The waiting room
///
/// Everybody who waits, in the order of service, and every regulator with what they are doing.
#[utoipa::path(
    get, path = "/api/v1/room", operation_id = "showRoom", tag = "room",
    security(("token" = ["admin", "compliance", "viewer"])),
    responses((status = 200, description = "The room now", body = RoomNow), Refusals),
)]
pub async fn show(_bearer: Bearer, State(desk): State<Arc<Desk>>) -> Result<Json<RoomNow>, Problem> {
    Ok(Json(RoomNow::of(ask_room(&desk).await?, &desk.parts.zone)))
}

/// The room as the decisions know it now.
pub async fn ask_room(desk: &Desk) -> Result<Room, Problem> {
    match desk.parts.door.ask(Command::Room).await {
        Ok(Reply::Room(room)) => Ok(*room),
        Ok(reply) => Err(unexpected(&reply)),
        Err(closed) => Err(Problem::unavailable(closed.to_string())),
    }
}

/// A reply that does not answer what was asked: a fault of ours.
pub fn unexpected(reply: &Reply) -> Problem {
    let name = match reply {
        Reply::Room(_) => "Room",
        Reply::State(_) => "State",
        Reply::Done => "Done",
        Reply::Drained => "Drained",
        Reply::Unknown => "Unknown",
        Reply::Refused(_) => "Refused",
        Reply::Bans(_) => "Bans",
        Reply::Legs(_) => "Legs",
        Reply::Trunks(_) => "Trunks",
        Reply::Foreseen(_) => "Foreseen",
        Reply::Standing(_) => "Standing",
    };
    Problem::fault(format!("the switchboard replied {name}, which answers another question; report this"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::command::RegulatorView;
    use crate::model::{CallId, Caller, DeviceId, PauseReason, RegulatorState, Utc};

    #[test]
    fn a_room_is_written_with_times_people_can_read_and_states_in_words() {
        let call = CallId(uuid::Uuid::from_u128(7));
        let waiting = WaitingView {
            call,
            line: "rouen".into(),
            association: "sos-rouen".into(),
            region: "seine".into(),
            priority: 3,
            queued_at: Utc(1_700_000_000_000_000),
            wait_ms: 1500,
            step: 0,
            skills: BTreeMap::from([("regulation".into(), 50)]),
            needs: "regulation >= 50".into(),
            reach: Default::default(),
            forecast: Some(Forecast { median_ms: 40_000, nine_in_ten_ms: 240_000, ahead: 1, pool: 2 }),
            offered_to: Some("anne".into()),
            offers: 1,
            location: Some(crate::model::record::Location { latitude: Some(49.4), ..Default::default() }),
            caller: Caller::default(),
        };
        let regulator = |state| RegulatorView {
            regulator: "anne".into(),
            name: "Anne".into(),
            association: "sos-rouen".into(),
            state,
            since: Utc(0),
            until: None,
            devices: vec![DeviceId(4)],
            skills: BTreeMap::new(),
            regions: BTreeMap::from([("seine".into(), 0)]),
        };
        let paused = RegulatorState::Paused { reason: PauseReason::Operator("lunch".into()) };
        let regulators = vec![regulator(RegulatorState::Ringing { call }), regulator(paused)];
        let room = Room { waiting: vec![waiting], regulators, calls_live: 1, draining: false };
        let json = serde_json::json!(RoomNow::of(room, &TimeZone::UTC));
        assert_eq!(json["waiting"][0]["queued_at"], "2023-11-14T22:13:20.000+00:00");
        assert_eq!(json["waiting"][0]["location"]["latitude"], 49.4);
        assert_eq!(json["regulators"][0]["state"], "ringing");
        assert_eq!(json["regulators"][0]["call"], call.to_string());
        assert_eq!(json["regulators"][1]["pause"], serde_json::json!({"reason": "operator", "detail": "lunch"}));
        assert_eq!(json["regulators"][1]["devices"], 1);
        assert_described("RoomNow", &json);
        assert_described("WaitingNow", &json["waiting"][0]);
        assert_described("ForecastView", &json["waiting"][0]["forecast"]);
        assert_described("RegulatorNow", &json["regulators"][1]);
    }

    /// The keys of `value` are exactly the properties that the description gives `schema`.
    fn assert_described(schema: &str, value: &serde_json::Value) {
        let openapi = serde_json::json!(crate::web::openapi());
        let schema = &openapi["components"]["schemas"][schema];
        let mut described: Vec<&String> = Vec::new();
        for part in schema["allOf"].as_array().into_iter().flatten().chain([schema]) {
            let reference = part["$ref"].as_str().and_then(|place| openapi.pointer(place.trim_start_matches('#')));
            described
                .extend(reference.unwrap_or(part)["properties"].as_object().into_iter().flat_map(|all| all.keys()));
        }
        let mut written: Vec<&String> = value.as_object().expect("an object").keys().collect();
        described.sort();
        written.sort();
        assert_eq!(written, described);
    }
}
