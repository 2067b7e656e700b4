//! Statistics: what calls, offers and the regulators' states come to, by line, association, region, skill, regulator or
//! hour. What each number counts is said at [`Figures`], and is what the events say: a test recomputes them from those.

mod persons;
mod tally;

use std::collections::BTreeMap;

use serde::Deserialize;
use sqlx::QueryBuilder;

use crate::model::{AssociationId, CallId, LineId, RegionId, RegulatorId, RegulatorState, SkillId, Utc};

use super::database::Db;
use super::{Storage, StorageError, failed, read_json};

use tally::{CallSeen, OfferSeen, Tally, Turn};
pub use tally::{Figures, Row, percentile};

const ACT: &str = "reading what statistics count";

/// The longest time that one question may be about: so that one question cannot fill the memory.
pub const DAYS_MAX: i64 = 31;

/// How long after the last call's end a rest may still belong to it, in microseconds: its longest, and a little.
const REST_MAX_US: i64 = 2 * 3600 * 1_000_000;

/// What the rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Each line.
    Line,
    /// Each line's association.
    Association,
    /// Each region of callers.
    Region,
    /// Each skill that calls asked at first; a call that asks several is in several rows.
    Skill,
    /// Each regulator.
    Regulator,
    /// Each hour of the clock.
    Hour,
}

/// Which calls are counted, and how.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Received at this time or later.
    pub from: Utc,
    /// Received before this time.
    pub to: Utc,
    /// What the rows are.
    pub by: By,
    /// Only of this line.
    pub line: Option<LineId>,
    /// Only of this association's lines.
    pub association: Option<AssociationId>,
    /// Only of callers from this region.
    pub region: Option<RegionId>,
}

/// The rows, and all of them together.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// In the order of their keys.
    pub rows: Vec<Row>,
    /// Every call once.
    pub total: Figures,
}

/// Counts; `now` ends what has not ended yet.
pub async fn of(storage: &Storage, asked: &Asked, now: Utc) -> Result<Statistics, StorageError> {
    let mut tally = Tally::new(asked.by, (asked.from, asked.to), now);
    let mut last = asked.to;
    for call in calls(storage, asked).await? {
        last = last.max(call.ended_at.unwrap_or(now));
        tally.add_call(call);
    }
    if asked.by == By::Regulator {
        for offer in offers(storage, asked).await? {
            tally.add_offer(&offer);
        }
    }
    let until = Utc(last.0.saturating_add(REST_MAX_US)).min(now);
    for turns in turns(storage, asked.from, until).await? {
        tally.add_turns(&turns, until);
    }
    Ok(tally.finish())
}

/// A row of calls, as its columns are named.
#[derive(sqlx::FromRow)]
struct Found {
    id: String,
    received_at: i64,
    answered_at: Option<i64>,
    ended_at: Option<i64>,
    line: String,
    association: String,
    region: String,
    outcome: Option<String>,
    wait_ms: Option<i64>,
    callback_of: Option<String>,
    first_call: Option<String>,
    kept_wait_ms: i64,
    /// What the call asked, as JSON; without it nobody wants to know.
    skills: Option<String>,
}

impl Found {
    /// As it is counted; nothing for an id that is none.
    fn seen(self) -> Result<Option<CallSeen>, StorageError> {
        let Ok(id) = self.id.parse::<CallId>() else { return Ok(None) };
        let skills: Option<BTreeMap<SkillId, u8>> = self.skills.map(|text| read_json(ACT, &text)).transpose()?;
        Ok(Some(CallSeen {
            id,
            received_at: Utc(self.received_at),
            is_answered: self.answered_at.is_some(),
            ended_at: self.ended_at.map(Utc),
            line: self.line,
            association: self.association,
            region: self.region,
            skills: skills.into_iter().flatten().map(|(skill, _)| skill.to_string()).collect(),
            outcome: self.outcome.map(|word| read_json(ACT, &format!("\"{word}\""))).transpose()?,
            wait_ms: self.wait_ms.map(|wait| wait.max(0) as u64),
            callback_of: self.callback_of.and_then(|first| first.parse().ok()),
            first_call: self.first_call.and_then(|first| first.parse().ok()),
            kept_wait_ms: self.kept_wait_ms.max(0) as u64,
        }))
    }
}

async fn calls(storage: &Storage, asked: &Asked) -> Result<Vec<CallSeen>, StorageError> {
    // The database looks into the records, one after the other: a month of them would fill the memory.
    let skills = if asked.by == By::Skill { "json_extract(record, '$.skills')" } else { "NULL" };
    let mut sql = QueryBuilder::<Db>::new("SELECT id, received_at, answered_at, ended_at, line, association, region, ");
    sql.push("outcome, wait_ms, callback_of, first_call, kept_wait_ms, ")
        .push(skills)
        .push(" AS skills FROM calls WHERE true");
    narrow(&mut sql, "", asked);
    let rows: Vec<Found> = sql.build_query_as().fetch_all(&storage.read).await.map_err(failed(ACT))?;
    rows.into_iter().filter_map(|row| row.seen().transpose()).collect()
}

async fn offers(storage: &Storage, asked: &Asked) -> Result<Vec<OfferSeen>, StorageError> {
    let mut sql = QueryBuilder::<Db>::new(
        "SELECT o.regulator, o.ended_at, o.ended_how, json_extract(c.record, '$.queued_at')
         FROM offers o JOIN calls c ON c.id = o.call WHERE true",
    );
    narrow(&mut sql, "c.", asked);
    type Found = (String, Option<i64>, Option<String>, Option<i64>);
    let rows: Vec<Found> = sql.build_query_as().fetch_all(&storage.read).await.map_err(failed(ACT))?;
    let mut offers = Vec::with_capacity(rows.len());
    for (regulator, ended, how, queued) in rows {
        let wait = queued.zip(ended).map(|(queued, ended)| Utc(ended).since(Utc(queued)).as_millis() as u64);
        let end = how.map(|word| read_json(ACT, &format!("\"{word}\""))).transpose()?;
        offers.push(OfferSeen { regulator, end, wait_ms: wait.unwrap_or_default() });
    }
    Ok(offers)
}

/// The calls that are asked about; those of test numbers never are.
fn narrow(sql: &mut QueryBuilder<Db>, table: &str, asked: &Asked) {
    sql.push(format_args!(" AND NOT {table}is_test"));
    sql.push(format_args!(" AND {table}received_at >= ")).push_bind(asked.from.0);
    sql.push(format_args!(" AND {table}received_at < ")).push_bind(asked.to.0);
    sql.push(format_args!(" AND {table}dialled_by IS NULL"));
    let columns = [
        ("line", asked.line.as_ref().map(ToString::to_string)),
        ("association", asked.association.as_ref().map(ToString::to_string)),
        ("region", asked.region.as_ref().map(ToString::to_string)),
    ];
    for (column, value) in columns {
        if let Some(value) = value {
            sql.push(format_args!(" AND {table}{column} = ")).push_bind(value);
        }
    }
}

/// What a `regulator.state` event says.
#[derive(Deserialize)]
struct StateTold {
    regulator: RegulatorId,
    state: RegulatorState,
    was: RegulatorState,
}

/// The changes of state of each regulator in their order, beginning with the last one before `from`.
async fn turns(storage: &Storage, from: Utc, until: Utc) -> Result<Vec<Vec<Turn>>, StorageError> {
    let before = "SELECT r.id, (SELECT e.at FROM events e WHERE e.subject = 'regulators/' || r.id
            AND e.kind = 'regulator.state' AND e.at < $1 ORDER BY e.at DESC, e.sequence DESC LIMIT 1),
         (SELECT e.payload FROM events e WHERE e.subject = 'regulators/' || r.id
            AND e.kind = 'regulator.state' AND e.at < $1 ORDER BY e.at DESC, e.sequence DESC LIMIT 1)
         FROM regulators r ORDER BY r.id";
    type Before = (String, Option<i64>, Option<String>);
    let first: Vec<Before> = sqlx::query_as(before).bind(from.0).fetch_all(&storage.read).await.map_err(failed(ACT))?;
    let within = "SELECT e.at, e.payload FROM events e WHERE e.subject = $1 AND e.kind = 'regulator.state'
         AND e.at >= $2 AND e.at < $3 ORDER BY e.at, e.sequence";
    let mut all = Vec::with_capacity(first.len());
    for (id, at, payload) in first {
        let rows: Vec<(i64, String)> = sqlx::query_as(within)
            .bind(format!("regulators/{id}"))
            .bind(from.0)
            .bind(until.0)
            .fetch_all(&storage.read)
            .await
            .map_err(failed(ACT))?;
        let mut turns = Vec::with_capacity(rows.len() + 1);
        for (at, payload) in at.zip(payload).into_iter().chain(rows) {
            let StateTold { regulator, state, was } = read_json(ACT, &payload)?;
            turns.push(Turn { regulator, at: Utc(at), state, was });
        }
        all.push(turns);
    }
    Ok(all)
}
