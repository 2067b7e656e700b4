//! Callers who hung up unserved: the list of whom to call back.

use serde::{Deserialize, Serialize};
use sqlx::QueryBuilder;

use super::database::{Connection, Db, json};
use super::filter::{self, CallerFilter, Cursor, Page};
use super::{Storage, StorageError, failed, read_json};
use crate::model::{AbandonedCaller, AssociationId, CallId, LineId, RegionId, Utc};

const LISTING: &str = "listing abandoned callers";

/// Which tasks. Everything that is set must hold; the newest come first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AbandonedFilter {
    /// Only open ones, or only closed ones.
    pub open: Option<bool>,
    /// Abandoned, the last time, at this time or later.
    pub from: Option<Utc>,
    /// Before this time.
    pub to: Option<Utc>,
    /// Who called.
    pub caller: Option<CallerFilter>,
    /// On which line.
    pub line: Option<LineId>,
    /// Of which association.
    pub association: Option<AssociationId>,
    /// From where.
    pub region: Option<RegionId>,
    /// At most so many rows, 1 to [`super::ROWS_MAX`].
    pub limit: Option<u32>,
    /// Only what stands after this place of an earlier page.
    pub before: Option<Cursor>,
}

/// Tasks, newest first.
pub async fn list(storage: &Storage, filter: &AbandonedFilter) -> Result<Page<AbandonedCaller>, StorageError> {
    let mut sql = QueryBuilder::<Db>::new("SELECT record FROM abandoned_callers WHERE true");
    match filter.open {
        Some(true) => sql.push(" AND closed_at IS NULL"),
        Some(false) => sql.push(" AND closed_at IS NOT NULL"),
        None => sql.push(""),
    };
    for (condition, at) in [(" AND last_at >= ", filter.from), (" AND last_at < ", filter.to)] {
        if let Some(at) = at {
            sql.push(condition).push_bind(at.0);
        }
    }
    let columns = [
        (" AND line = ", filter.line.as_ref().map(ToString::to_string)),
        (" AND association = ", filter.association.as_ref().map(ToString::to_string)),
        (" AND region = ", filter.region.as_ref().map(ToString::to_string)),
    ];
    for (condition, value) in columns {
        if let Some(value) = value {
            sql.push(condition).push_bind(value);
        }
    }
    if let Some(caller) = &filter.caller {
        sql.push(" AND caller IN (").push_bind(caller.raw.clone());
        for number in &caller.e164 {
            sql.push(", ").push_bind(number.to_string());
        }
        sql.push(")");
    }
    if let Some(before) = filter.before {
        sql.push(" AND (last_at, id) < (").push_bind(before.at.0);
        sql.push(", ").push_bind(before.call.to_string()).push(")");
    }
    sql.push(" ORDER BY last_at DESC, id DESC LIMIT ").push_bind(i64::from(filter::rows(filter.limit)) + 1);
    let rows: Vec<(String,)> = sql.build_query_as().fetch_all(&storage.read).await.map_err(failed(LISTING))?;
    let mut found = Vec::with_capacity(rows.len());
    for (record,) in rows {
        let task: AbandonedCaller = read_json(LISTING, &record)?;
        found.push((Cursor { at: task.last_at, call: task.id }, task));
    }
    Ok(filter::page(found, filter.limit))
}

/// One task.
pub async fn one(storage: &Storage, task: CallId) -> Result<Option<AbandonedCaller>, StorageError> {
    const ACT: &str = "reading an abandoned caller";
    let row: Option<(String,)> = sqlx::query_as("SELECT record FROM abandoned_callers WHERE id = $1")
        .bind(task.to_string())
        .fetch_optional(&storage.read)
        .await
        .map_err(failed(ACT))?;
    row.map(|(record,)| read_json(ACT, &record)).transpose()
}

/// The tasks that are open, and those whose caller's wait is still kept; the oldest first.
pub(super) async fn remembered(storage: &Storage, now: Utc) -> Result<Vec<AbandonedCaller>, StorageError> {
    const ACT: &str = "reading the open tasks";
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT record FROM abandoned_callers WHERE closed_at IS NULL OR kept_until > $1 ORDER BY last_at",
    )
    .bind(now.0)
    .fetch_all(&storage.read)
    .await
    .map_err(failed(ACT))?;
    rows.iter().map(|(record,)| read_json(ACT, record)).collect()
}

/// The open tasks, the oldest first.
pub async fn open_tasks(storage: &Storage) -> Result<Vec<AbandonedCaller>, StorageError> {
    // No wait of a closed one is kept as long.
    remembered(storage, Utc(i64::MAX)).await
}

/// Inserts or replaces a task.
pub(super) async fn put(connection: &mut Connection, task: &AbandonedCaller) -> Result<(), sqlx::Error> {
    let caller = task.caller.e164.as_ref().map_or(task.caller.raw.as_str(), |number| number.as_str());
    sqlx::query(
        "INSERT INTO abandoned_callers (id, last_at, closed_at, kept_until, line, association, region, caller, record)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (id) DO UPDATE SET last_at = excluded.last_at, closed_at = excluded.closed_at,
             kept_until = excluded.kept_until, line = excluded.line, association = excluded.association,
             region = excluded.region, caller = excluded.caller, record = excluded.record",
    )
    .bind(task.id.to_string())
    .bind(task.last_at.0)
    .bind(task.closed.as_ref().map(|closed| closed.at.0))
    .bind(task.kept.as_ref().map(|kept| kept.until.0))
    .bind(task.line.as_str())
    .bind(task.association.as_str())
    .bind(task.region.as_str())
    .bind(caller)
    .bind(json(task)?)
    .execute(connection)
    .await?;
    Ok(())
}
