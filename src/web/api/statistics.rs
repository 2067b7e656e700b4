//! Statistics: calls, waits, handling and occupancy by line, association, region, skill, regulator or hour.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::clock;
use crate::model::Utc;
use crate::storage::statistics::{self, Asked, By, DAYS_MAX, Figures, Row, Statistics};
use crate::web::Desk;
use crate::web::input::{Id, QueryOf, When};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::Bearer;
use crate::web::words::Stamp;

const DAY_US: i64 = 86_400_000_000;

/// How the figures are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// As JSON.
    #[default]
    Json,
    /// As a table in plain text.
    Text,
}

/// Which calls are counted, and how.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StatisticsQuery {
    /// Received at this time or later; RFC 3339 with an offset or `Z`. Default: 24 hours before `to`.
    #[param(value_type = Option<String>, format = "date-time")]
    from: Option<When>,
    /// Received before this time; at most 31 days after `from`. Default: now.
    #[param(value_type = Option<String>, format = "date-time")]
    to: Option<When>,
    /// What the rows are: `line`, `association`, `region`, `skill`, `regulator` or `hour`.
    #[param(value_type = String, example = "line")]
    by: By,
    /// Only calls of this line.
    #[param(value_type = Option<String>)]
    line: Option<Id>,
    /// Only calls of this association's lines.
    #[param(value_type = Option<String>)]
    association: Option<Id>,
    /// Only calls from this region.
    #[param(value_type = Option<String>)]
    region: Option<Id>,
    /// `json`, or `text`: a table for people without a console.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "json")]
    format: Form,
}

/// What is counted. Each figure is what the events say, and can be counted again from them.
#[derive(Serialize, ToSchema)]
pub struct FiguresView {
    /// Calls that came (`call.received` without `callback_of` and `is_test`) in the period. Of a regulator: 0.
    received: u64,
    /// Calls that entered the waiting room (`call.queued`). Of a regulator: offers made (`call.offered`).
    offered: u64,
    /// Calls that a regulator answered (`call.answered`), each once. Who asked for a call-back counts here, with the whole
    /// wait, once a call-back has reached them. Of a regulator: offers answered.
    answered: u64,
    /// Of `answered`: those with a wait of 15 s at most, from the waiting room's door to the first answer.
    answered_within_15s: u64,
    /// The same within 30 s.
    answered_within_30s: u64,
    /// The same within 60 s.
    answered_within_60s: u64,
    /// Calls whose caller hung up unanswered after 10 s of waiting or later (`call.ended` with `abandoned`). Of a regulator:
    /// offers that ended because the caller hung up or the call went on elsewhere.
    abandoned: u64,
    /// The same before 10 s of waiting, or during the greeting.
    abandoned_short: u64,
    /// Persons who called: a call and the person's unserved ones shortly before, that it goes on with (`first_call` of
    /// `call.received`), are one; who cannot be known again is another one each time. A row counts those with a call in it, so
    /// that one person may be in several rows. Of a regulator: 0.
    persons: u64,
    /// Of `persons`: those whom a regulator answered in a call of the row.
    persons_answered: u64,
    /// Of `persons_answered`: those with a wait of 15 s at most in all their calls together (`wait_ms` of the first answer and
    /// `kept_wait_ms` of its call's `call.queued`).
    persons_answered_within_15s: u64,
    /// The same within 30 s.
    persons_answered_within_30s: u64,
    /// The same within 60 s.
    persons_answered_within_60s: u64,
    /// Calls that ended unanswered otherwise: overflowed, nobody on duty, closed, refused, interrupted, or wanting a
    /// call-back that has not reached the caller. Of a regulator: offers refused, not answered in time, or failed
    /// (`call.offer-ended`).
    unanswered: u64,
    /// Calls that something else than a regulator served (`call.ended` with `forwarded`, `voicemail` or `informed`): put
    /// through to an outside number such as the 15, a message left, told what there was to know. Of a regulator: 0.
    served_otherwise: u64,
    /// The wait that half of the answered calls did not exceed (nearest rank), in milliseconds; null without any.
    wait_p50_ms: Option<u64>,
    /// The wait that 95 of 100 answered calls did not exceed.
    wait_p95_ms: Option<u64>,
    /// The wait that 99 of 100 answered calls did not exceed.
    wait_p99_ms: Option<u64>,
    /// The time that regulators talked on these calls and rested after them (`regulator.state`: `talking` with the call, and
    /// the `wrap-up` that follows), all together, in milliseconds.
    handling_ms: u64,
    /// `handling_ms` by call answered.
    handling_mean_ms: Option<u64>,
    /// Of the time in which regulators were on duty (`ready`, `ringing`, `talking`, `wrap-up`) within the period, the part in
    /// which they talked or rested, 0 to 1: of a regulator and of `total` on any call, of an hour within it; of the other rows
    /// on their calls, by the time of all regulators. Null when nobody was on duty.
    occupancy: Option<f64>,
}

/// One row.
#[derive(Serialize, ToSchema)]
pub struct RowView {
    /// The id of the line, association, region, skill or regulator; of an hour its beginning.
    key: String,
    /// Its figures.
    #[serde(flatten)]
    figures: FiguresView,
}

/// Statistics of a period.
#[derive(Serialize, ToSchema)]
pub struct StatisticsView {
    /// Received at this time or later.
    from: Stamp,
    /// Received before this time.
    to: Stamp,
    /// In the order of their keys.
    rows: Vec<RowView>,
    /// Every call once, and every regulator.
    total: FiguresView,
}

impl From<Figures> for FiguresView {
    fn from(one: Figures) -> FiguresView {
        FiguresView {
            received: one.received,
            offered: one.offered,
            answered: one.answered,
            answered_within_15s: one.answered_within_15s,
            answered_within_30s: one.answered_within_30s,
            answered_within_60s: one.answered_within_60s,
            abandoned: one.abandoned,
            abandoned_short: one.abandoned_short,
            persons: one.persons,
            persons_answered: one.persons_answered,
            persons_answered_within_15s: one.persons_answered_within_15s,
            persons_answered_within_30s: one.persons_answered_within_30s,
            persons_answered_within_60s: one.persons_answered_within_60s,
            unanswered: one.unanswered,
            served_otherwise: one.served_otherwise,
            wait_p50_ms: one.wait_p50_ms,
            wait_p95_ms: one.wait_p95_ms,
            wait_p99_ms: one.wait_p99_ms,
            handling_ms: one.handling_ms,
            handling_mean_ms: one.handling_mean_ms,
            occupancy: one.occupancy,
        }
    }
}

/// Statistics
///
/// Counted from what is stored of each call, offer and state; equal to what the events at the webhook say. A call counts
/// in the row of the moment at which it was received, also when it ended later; a call that asked several skills is in the
/// row of each; a call of a test number is in none. A state whose end was not told, because Vigie had been killed in it, does not count.
#[utoipa::path(
    get, path = "/api/v1/statistics", operation_id = "showStatistics", tag = "calls",
    params(StatisticsQuery),
    security(("token" = ["admin", "compliance", "viewer"])),
    responses(
        (status = 200, description = "The figures; with `format=text` a table", content(
            (StatisticsView = "application/json"),
            (String = "text/plain"),
        )),
        Refusals,
    ),
)]
pub async fn show(
    _bearer: Bearer,
    QueryOf(query): QueryOf<StatisticsQuery>,
    State(desk): State<Arc<Desk>>,
) -> Result<Response, Problem> {
    let now = clock::utc();
    let to = query.to.map_or(now, |When(to)| to);
    let from = query.from.map_or(Utc(to.0.saturating_sub(DAY_US)), |When(from)| from);
    let length = to.0.saturating_sub(from.0);
    if !(1..=DAYS_MAX * DAY_US).contains(&length) {
        let why =
            format!("in the query: `to` must be after `from`, at most {DAYS_MAX} days; ask for each month by itself");
        return Err(Problem::bad_request(why));
    }
    let asked = Asked {
        from,
        to,
        by: query.by,
        line: query.line.map(|Id(id)| id.as_str().into()),
        association: query.association.map(|Id(id)| id.as_str().into()),
        region: query.region.map(|Id(id)| id.as_str().into()),
    };
    let mut found = statistics::of(desk.stored().await, &asked, now).await?;
    let zone = &desk.parts.zone;
    if asked.by == By::Hour {
        found.rows.iter_mut().for_each(|row| row.key = in_zone(&row.key, zone));
    }
    Ok(match query.format {
        Form::Json => Json(view(found, (from, to), zone)).into_response(),
        Form::Text => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], table(&found)).into_response(),
    })
}

/// An hour of the clock on the centre's wall.
fn in_zone(key: &str, zone: &TimeZone) -> String {
    let at = key.parse::<jiff::Timestamp>().map(|at| Utc(at.as_microsecond()));
    at.map_or_else(|_| key.to_owned(), |at| at.with_offset(zone))
}

fn view(found: Statistics, (from, to): (Utc, Utc), zone: &TimeZone) -> StatisticsView {
    let row = |Row { key, figures }: Row| RowView { key, figures: figures.into() };
    StatisticsView {
        from: Stamp::of(from, zone),
        to: Stamp::of(to, zone),
        rows: found.rows.into_iter().map(row).collect(),
        total: found.total.into(),
    }
}

/// The same as a table: times in seconds.
fn table(found: &Statistics) -> String {
    let heads = [
        "",
        "received",
        "offered",
        "answered",
        "<=15s",
        "<=30s",
        "<=60s",
        "abandoned",
        "short",
        "unanswered",
        "otherwise",
        "persons",
        "p. answered",
        "p. <=30s",
        "p50 s",
        "p95 s",
        "p99 s",
        "handling s",
        "occupancy",
    ];
    let mut lines: Vec<Vec<String>> = vec![heads.map(str::to_owned).to_vec()];
    lines.extend(found.rows.iter().map(|row| cells(&row.key, &row.figures)));
    lines.push(cells("total", &found.total));
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let width = *width;
            // Writing to a String does not fail.
            let _ = if column == 0 { write!(text, "{cell:width$}") } else { write!(text, "  {cell:>width$}") };
        }
        text.push('\n');
    }
    text
}

fn cells(key: &str, one: &Figures) -> Vec<String> {
    let seconds = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{:.1}", ms as f64 / 1000.0));
    let counts = [
        one.received,
        one.offered,
        one.answered,
        one.answered_within_15s,
        one.answered_within_30s,
        one.answered_within_60s,
        one.abandoned,
        one.abandoned_short,
        one.unanswered,
        one.served_otherwise,
        one.persons,
        one.persons_answered,
        one.persons_answered_within_30s,
    ];
    let mut cells = vec![key.to_owned()];
    cells.extend(counts.iter().map(u64::to_string));
    cells.extend([one.wait_p50_ms, one.wait_p95_ms, one.wait_p99_ms, one.handling_mean_ms].map(seconds));
    cells.push(one.occupancy.map_or_else(|| "-".to_owned(), |part| format!("{:.1} %", part * 100.0)));
    cells
}
