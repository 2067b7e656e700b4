//! Sealed recordings, and those that were expected and are not there.

use serde::{Deserialize, Serialize};
use sqlx::Executor;

use crate::model::{CallId, SealedRecording, Utc};

use super::calls::caller_of;
use super::database::{Connection, Db, json, word};
use super::filter::{self, CallFilter, Cursor, Page, Searched};
use super::{Storage, StorageError, failed, read_json};

const LISTING: &str = "listing recordings";

/// A recording that was expected and is not there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordingFailure {
    /// Of this call.
    pub call: CallId,
    /// When it was known.
    pub at: Utc,
    /// Why.
    pub reason: String,
}

/// Sealed recordings, newest first; `from` and `to` speak of the recording's start.
pub async fn list(storage: &Storage, filter: &CallFilter) -> Result<Page<SealedRecording>, StorageError> {
    let table = Searched {
        select: "SELECT started_at, call, record FROM recordings WHERE true",
        time: "started_at",
        id: "call",
    };
    let mut sql = filter::search(&table, filter).map_err(failed(LISTING))?;
    let rows: Vec<(i64, String, String)> =
        sql.build_query_as().fetch_all(&storage.read).await.map_err(failed(LISTING))?;
    let mut found = Vec::with_capacity(rows.len());
    for (_, _, record) in rows {
        let sealed: SealedRecording = read_json(LISTING, &record)?;
        found.push((Cursor { at: sealed.started_at, call: sealed.call }, sealed));
    }
    Ok(filter::page(found, filter.limit))
}

/// The recording of one call.
pub async fn one(storage: &Storage, call: CallId) -> Result<Option<SealedRecording>, StorageError> {
    read(&storage.read, call).await
}

pub(super) async fn read(
    from: impl Executor<'_, Database = Db>,
    call: CallId,
) -> Result<Option<SealedRecording>, StorageError> {
    const ACT: &str = "reading a recording";
    let row: Option<(String,)> = sqlx::query_as("SELECT record FROM recordings WHERE call = $1")
        .bind(call.to_string())
        .fetch_optional(from)
        .await
        .map_err(failed(ACT))?;
    row.map(|(text,)| read_json(ACT, &text)).transpose()
}

/// Why a call has no recording, when it should have one.
pub async fn failure(storage: &Storage, call: CallId) -> Result<Option<RecordingFailure>, StorageError> {
    read_failure(&storage.read, call).await
}

pub(super) async fn read_failure(
    from: impl Executor<'_, Database = Db>,
    call: CallId,
) -> Result<Option<RecordingFailure>, StorageError> {
    let row: Option<(i64, String)> = sqlx::query_as("SELECT at, reason FROM recording_failures WHERE call = $1")
        .bind(call.to_string())
        .fetch_optional(from)
        .await
        .map_err(failed("reading why a recording failed"))?;
    Ok(row.map(|(at, reason)| RecordingFailure { call, at: Utc(at), reason }))
}

/// Inserts or replaces a recording.
pub(super) async fn put(connection: &mut Connection, sealed: &SealedRecording) -> Result<(), sqlx::Error> {
    let record = &sealed.record;
    sqlx::query(
        "INSERT INTO recordings (call, started_at, line, association, region, caller, regulator, outcome,
             duration_ms, sealed_at, seal, record, caller_raw)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT (call) DO UPDATE SET started_at = excluded.started_at, line = excluded.line,
             association = excluded.association, region = excluded.region, caller = excluded.caller,
             regulator = excluded.regulator, outcome = excluded.outcome, duration_ms = excluded.duration_ms,
             sealed_at = excluded.sealed_at, seal = excluded.seal, record = excluded.record,
             caller_raw = excluded.caller_raw",
    )
    .bind(sealed.call.to_string())
    .bind(sealed.started_at.0)
    .bind(record.line.as_str())
    .bind(record.association.as_str())
    .bind(record.region.as_str())
    .bind(caller_of(record))
    .bind(record.regulator.as_ref().map(|regulator| regulator.as_str()))
    .bind(record.outcome.as_ref().map(word).transpose()?)
    .bind(sealed.duration_ms as i64)
    .bind(sealed.sealed_at.0)
    .bind(sealed.seal.as_str())
    .bind(json(sealed)?)
    .bind(record.caller.raw.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Inserts or replaces a failure.
pub(super) async fn put_failure(
    connection: &mut Connection,
    call: CallId,
    at: Utc,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO recording_failures (call, at, reason) VALUES ($1, $2, $3)
         ON CONFLICT (call) DO UPDATE SET at = excluded.at, reason = excluded.reason",
    )
    .bind(call.to_string())
    .bind(at.0)
    .bind(reason)
    .execute(connection)
    .await?;
    Ok(())
}
