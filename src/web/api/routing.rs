//! Why a call waited: every turn of its wait with who was weighed, who was not and why, in figures and in words.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::calls::no_call;
use super::room::ForecastView;
use super::story::{ExcludedView, OfferView};
use crate::model::{Asked, CallId, CallRecord, ForecastDay, OfferRecord, RoutingNote, RoutingTurn, Utc};
use crate::storage::{calls, routing};
use crate::web::Desk;
use crate::web::input::{PathOf, QueryOf};
use crate::web::problem::{Problem, Refusals};
use crate::web::routing_words::{self, Language, Moments};
use crate::web::token::Bearer;
use crate::web::words::Stamp;

/// In which language.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RoutingQuery {
    /// The language of the sentences: `fr` or `en`.
    #[serde(default)]
    #[param(inline, required = false)]
    lang: Language,
}

/// Why a call waited as long as it did.
#[derive(Serialize, ToSchema)]
pub struct RoutingView {
    /// The call.
    #[schema(format = "uuid")]
    call: String,
    /// How long it has waited in all, up to the answer, its end, or now, in milliseconds; null when it never waited.
    wait_ms: Option<u64>,
    /// How much of that nobody who could be given it was free, in milliseconds.
    nobody_free_ms: u64,
    /// How much of it phones rang for it, in milliseconds.
    ringing_ms: u64,
    /// The answer to "why did this call wait so long?", in one or two sentences.
    summary: String,
    /// Everything that happened to its wait, in order.
    turns: Vec<TurnView>,
    /// Every offer, with who was weighed and at what cost.
    offers: Vec<OfferView>,
}

/// One turn of a call's wait.
#[derive(Serialize, ToSchema)]
pub struct TurnView {
    /// When.
    at: Stamp,
    /// Waited by then, in milliseconds.
    wait_ms: u64,
    /// `entered`, `step`, `changed`, `passed`, `offered`, `offer-ended`, `answered` or `ended`.
    turn: &'static str,
    /// The same in words.
    text: String,
    /// What it asked from then on, and who could meet it.
    asked: Option<AskedView>,
    /// What was foreseen then.
    forecast: Option<ForecastView>,
    /// The step that began: 0 is the demand itself.
    step: Option<u32>,
    /// Which offer, by number.
    offer: Option<u16>,
    /// Whom it is about.
    regulator: Option<String>,
    /// The call that somebody was given instead.
    other: Option<String>,
}

/// What a call asked, and who could meet it then.
#[derive(Serialize, ToSchema)]
pub struct AskedView {
    /// The skills, as an expression.
    needs: String,
    /// How far from the caller's region is looked: `home`, `neighbours`, `parent` or `all`.
    reach: String,
    /// 1 is the most urgent, 9 the least.
    priority: u8,
    /// How many were free and fitted.
    free: u32,
    /// How many could not be given the call, by why.
    excluded: std::collections::BTreeMap<String, u32>,
    /// The first 32 of them by name, those who have the skills first.
    excluded_people: Vec<ExcludedView>,
}

impl From<Asked> for AskedView {
    fn from(asked: Asked) -> AskedView {
        let Asked { needs, reach, priority, free, excluded, people } = asked;
        AskedView {
            needs: needs.to_string(),
            reach: reach.name().to_owned(),
            priority,
            free,
            excluded,
            excluded_people: people.into_iter().map(ExcludedView::from).collect(),
        }
    }
}

/// Why a call waited
///
/// "Why did this call wait 94 s?": what it asked and how that relaxed, who was free, busy, too far or without the skills at
/// each turn, which other calls went first, and each offer with its candidates and their costs; in figures and in words. Of a
/// call that still waits, up to now.
#[utoipa::path(
    get, path = "/api/v1/calls/{call}/routing", operation_id = "showRouting", tag = "calls",
    params(("call" = String, Path, format = "uuid", description = "The call's id"), RoutingQuery),
    security(("token" = ["admin", "compliance", "viewer"])),
    responses(
        (status = 200, description = "Why it waited", body = RoutingView),
        (status = 404, description = "No such call", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn show(
    bearer: Bearer,
    PathOf(call): PathOf<CallId>,
    QueryOf(query): QueryOf<RoutingQuery>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<RoutingView>, Problem> {
    let stored = desk.stored().await;
    let record = calls::one(stored, call).await?.ok_or_else(no_call)?;
    bearer.demand(&record.association)?;
    let notes = routing::of_call(stored, call).await?;
    Ok(Json(view(record, notes, query.lang, (crate::clock::utc(), &desk.parts.zone))))
}

fn view(record: CallRecord, notes: Vec<RoutingNote>, lang: Language, (now, zone): (Utc, &TimeZone)) -> RoutingView {
    let moments = Moments::of(&record, now);
    let mut turns: Vec<(Utc, TurnView)> = Vec::new();
    for note in notes {
        let at = note.at;
        turns.push((at, turn_of_note(note, &record, lang, zone)));
    }
    for offer in &record.offers {
        turns.extend(turns_of_offer(offer, &record, lang, zone));
    }
    turns.extend(last_turn(&record, lang, zone));
    // Stable: what happened in one beat stays in the order in which it was kept.
    turns.sort_by_key(|(at, _)| *at);
    RoutingView {
        call: record.id.to_string(),
        wait_ms: moments.as_ref().map(|moments| moments.wait_ms),
        nobody_free_ms: moments.as_ref().map_or(0, |moments| moments.nobody_free_ms()),
        ringing_ms: moments.as_ref().map_or(0, |moments| moments.ringing_ms),
        summary: routing_words::summary(&record, moments.as_ref(), lang),
        turns: turns.into_iter().map(|(_, turn)| turn).collect(),
        offers: record.offers.into_iter().map(|offer| OfferView::of(offer, zone)).collect(),
    }
}

fn waited_by(record: &CallRecord, at: Utc) -> u64 {
    record.queued_at.map_or(0, |queued| at.since(queued).as_millis() as u64)
}

fn plain(at: Utc, record: &CallRecord, (turn, text): (&'static str, String), zone: &TimeZone) -> TurnView {
    TurnView {
        at: Stamp::of(at, zone),
        wait_ms: waited_by(record, at),
        turn,
        text,
        asked: None,
        forecast: None,
        step: None,
        offer: None,
        regulator: None,
        other: None,
    }
}

fn turn_of_note(note: RoutingNote, record: &CallRecord, lang: Language, zone: &TimeZone) -> TurnView {
    let text = routing_words::tell(&note.turn, note.wait_ms, record, lang);
    let plain = |turn| TurnView { wait_ms: note.wait_ms, ..plain(note.at, record, (turn, text), zone) };
    match note.turn {
        RoutingTurn::Entered { asked, forecast, region: _ } => TurnView {
            asked: Some((*asked).into()),
            forecast: forecast.map(ForecastView::from),
            step: Some(0),
            ..plain("entered")
        },
        RoutingTurn::Step { step, asked, forecast, by_forecast: _, message: _ } => TurnView {
            asked: Some((*asked).into()),
            forecast: forecast.map(ForecastView::from),
            step: Some(step),
            ..plain("step")
        },
        RoutingTurn::Changed { asked, region: _ } => TurnView { asked: Some((*asked).into()), ..plain("changed") },
        RoutingTurn::Passed { regulator, to, by_priority: _ } => {
            TurnView { regulator: Some(regulator.to_string()), other: Some(to.to_string()), ..plain("passed") }
        }
    }
}

fn turns_of_offer(offer: &OfferRecord, record: &CallRecord, lang: Language, zone: &TimeZone) -> Vec<(Utc, TurnView)> {
    let named =
        |turn: TurnView| TurnView { offer: Some(offer.number.0), regulator: Some(offer.regulator.to_string()), ..turn };
    let told = ("offered", routing_words::offered(offer, record, lang));
    let mut turns = vec![(offer.offered_at, named(plain(offer.offered_at, record, told, zone)))];
    if let Some((at, text)) = offer.ended_at.zip(routing_words::offer_ended(offer, record, lang)) {
        turns.push((at, named(plain(at, record, ("offer-ended", text), zone))));
    }
    turns
}

fn last_turn(record: &CallRecord, lang: Language, zone: &TimeZone) -> Option<(Utc, TurnView)> {
    record.queued_at?;
    let (at, turn) = match (record.answered_at, record.ended_at) {
        (Some(at), _) => (at, "answered"),
        (None, Some(at)) => (record.wait_ended_at.unwrap_or(at), "ended"),
        (None, None) => return None,
    };
    let regulator = record.regulator.as_ref().map(ToString::to_string);
    let text = routing_words::came_out(record, lang);
    Some((at, TurnView { regulator, ..plain(at, record, (turn, text), zone) }))
}

/// How true one day's forecasts were.
#[derive(Serialize, ToSchema)]
pub struct ForecastDayView {
    /// The day in the centre's zone.
    #[schema(format = "date")]
    day: String,
    /// Callers who found nobody free, and of whom it is known whether the forecast made on entering was true.
    judged: u32,
    /// Of these, the share who waited no longer than the median said: honest at 0.5. Null when there were none.
    within_median: Option<f64>,
    /// Of these, the share who waited no longer than "nine in ten" said: honest at 0.9. Null when there were none.
    within_nine_in_ten: Option<f64>,
    /// What the bare estimate of the median was multiplied by at the day's end.
    scale_median: f64,
    /// What the bare estimate of nine in ten was multiplied by at the day's end.
    scale_nine_in_ten: f64,
    /// How long a regulator was busy with one caller, talk and rest, in milliseconds, as learned by then.
    busy_mean_ms: u64,
}

impl From<ForecastDay> for ForecastDayView {
    fn from(one: ForecastDay) -> ForecastDayView {
        let share = |count: u32| (one.judged > 0).then(|| f64::from(count) / f64::from(one.judged));
        ForecastDayView {
            judged: one.judged,
            within_median: share(one.within_median),
            within_nine_in_ten: share(one.within_nine_in_ten),
            scale_median: one.scale_median,
            scale_nine_in_ten: one.scale_nine_in_ten,
            busy_mean_ms: one.busy_mean_ms as u64,
            day: one.day,
        }
    }
}

/// How true the forecasts were
///
/// Day by day, the newest first, at most 400: of callers who found nobody free, how many waited no longer than they were told.
#[utoipa::path(
    get, path = "/api/v1/forecasts", operation_id = "listForecasts", tag = "room",
    security(("token" = ["admin", "compliance", "viewer"])),
    responses((status = 200, description = "The days", body = Vec<ForecastDayView>), Refusals),
)]
pub async fn forecasts(_bearer: Bearer, State(desk): State<Arc<Desk>>) -> Result<Json<Vec<ForecastDayView>>, Problem> {
    let days = routing::forecast_days(desk.stored().await).await?;
    Ok(Json(days.into_iter().map(ForecastDayView::from).collect()))
}
