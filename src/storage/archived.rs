//! Recordings whose audio was archived, and those whose time for it has come.

use super::{Storage, StorageError, failed};
use crate::model::{CallId, Utc};

/// Recordings looked at in one turn.
const ROWS_MAX: i64 = 100;

/// Recordings sealed before `before` whose audio is not archived yet, the oldest first, after `after`.
pub async fn candidates(
    storage: &Storage,
    before: Utc,
    after: Option<(Utc, CallId)>,
) -> Result<Vec<(Utc, CallId)>, StorageError> {
    const ACT: &str = "looking for recordings to archive";
    let (at, call) = after.map_or((i64::MIN, String::new()), |(at, call)| (at.0, call.to_string()));
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT sealed_at, call FROM recordings WHERE sealed_at < $1 AND (sealed_at, call) > ($2, $3)
             AND NOT EXISTS (SELECT 1 FROM archived WHERE archived.call = recordings.call)
         ORDER BY sealed_at, call LIMIT $4",
    )
    .bind(before.0)
    .bind(at)
    .bind(call)
    .bind(ROWS_MAX)
    .fetch_all(&storage.read)
    .await
    .map_err(failed(ACT))?;
    Ok(rows.into_iter().filter_map(|(at, call)| Some((Utc(at), call.parse().ok()?))).collect())
}

/// Notes that nothing is left to do for a recording.
pub async fn note(storage: &Storage, call: CallId, at: Utc) -> Result<(), StorageError> {
    sqlx::query("INSERT INTO archived (call, at) VALUES ($1, $2) ON CONFLICT (call) DO NOTHING")
        .bind(call.to_string())
        .bind(at.0)
        .execute(&storage.write)
        .await
        .map_err(failed("noting that a recording was archived"))?;
    Ok(())
}
