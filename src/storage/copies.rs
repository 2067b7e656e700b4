//! What was copied to the second place, and what waits for it.
//!
//! What changed waits since a time, and comes first. A copy whose keys or locks alone are renewed waits since no time: of
//! these there may be all of ten years, and they are done when nothing else is due.

use sqlx::Row;

use super::database::{self, Connection, Db};
use super::{Storage, StorageError, failed};
use crate::model::{AssociationId, Utc};

/// Renewals stand so far behind in the one queue that `next_at` is, in microseconds: two hundred years.
const BEHIND_US: i64 = 200 * 366 * 86_400_000_000;

/// Rows changed in one statement.
const TOUCHED_AT_ONCE: i64 = 1000;

/// A folder that waits for its copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Relative to the recordings folder.
    pub folder: String,
    /// Which change it is.
    pub version: i64,
    /// Attempts that failed.
    pub attempts: u32,
    /// Until when it is locked there already.
    pub locked_until: Option<Utc>,
    /// Whether it is held there.
    pub is_held: bool,
}

/// What is known of one folder's copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyState {
    /// In which place.
    pub place: String,
    /// When it was copied last.
    pub copied_at: Option<Utc>,
    /// Since when a change waits.
    pub waiting_since: Option<Utc>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Until when it is locked there.
    pub locked_until: Option<Utc>,
}

/// How much waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Folders with something new.
    pub waiting: u64,
    /// Since when the longest.
    pub oldest: Option<Utc>,
    /// Why the last attempt for one of them failed.
    pub error: Option<String>,
}

/// How a copy came out.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// When.
    pub at: Utc,
    /// Until when it is locked now.
    pub locked_until: Option<Utc>,
    /// Whether it is held there now.
    pub is_held: bool,
}

/// How far a log was followed for a place, in bytes.
pub async fn mark(storage: &Storage, place: &str, log: &str) -> Result<u64, StorageError> {
    let row: Option<(i64,)> = sqlx::query_as("SELECT read_bytes FROM copy_marks WHERE place = $1 AND log = $2")
        .bind(place)
        .bind(log)
        .fetch_optional(&storage.read)
        .await
        .map_err(failed("reading how far a seal log was followed"))?;
    Ok(row.and_then(|(bytes,)| u64::try_from(bytes).ok()).unwrap_or_default())
}

/// Whether anything was ever copied to a place.
pub async fn has_any(storage: &Storage, place: &str) -> Result<bool, StorageError> {
    let row: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM copies WHERE place = $1 AND copied_at IS NOT NULL LIMIT 1")
        .bind(place)
        .fetch_optional(&storage.read)
        .await
        .map_err(failed("reading what was copied"))?;
    Ok(row.is_some())
}

/// Notes that folders changed, and how far the log was followed; both hold or neither.
pub async fn note(
    storage: &Storage,
    (place, log): (&str, &str),
    folders: impl IntoIterator<Item = &String>,
    read_bytes: u64,
    now: Utc,
) -> Result<(), StorageError> {
    const ACT: &str = "noting what is to be copied";
    let mut transaction = database::begin(storage).await.map_err(failed(ACT))?;
    for folder in folders {
        sqlx::query(
            "INSERT INTO copies (place, folder, version, waiting_since, next_at) VALUES ($1, $2, 1, $3, $3)
             ON CONFLICT (place, folder) DO UPDATE SET version = version + 1,
                 waiting_since = COALESCE(waiting_since, excluded.waiting_since), next_at = excluded.next_at",
        )
        .bind(place)
        .bind(folder)
        .bind(now.0)
        .execute(&mut *transaction)
        .await
        .map_err(failed(ACT))?;
    }
    sqlx::query(
        "INSERT INTO copy_marks (place, log, read_bytes) VALUES ($1, $2, $3)
         ON CONFLICT (place, log) DO UPDATE SET read_bytes = excluded.read_bytes",
    )
    .bind(place)
    .bind(log)
    .bind(i64::try_from(read_bytes).unwrap_or(i64::MAX))
    .execute(&mut *transaction)
    .await
    .map_err(failed(ACT))?;
    transaction.commit().await.map_err(failed(ACT))
}

/// Notes that a folder is to be looked at again wherever it was copied: its locks may have changed.
pub async fn touch(storage: &Storage, folder: &str, now: Utc) -> Result<(), StorageError> {
    sqlx::query(
        "UPDATE copies SET version = version + 1, waiting_since = COALESCE(waiting_since, $1), next_at = $1
         WHERE folder = $2",
    )
    .bind(now.0)
    .bind(folder)
    .execute(&storage.write)
    .await
    .map_err(failed("noting that a copy is to be looked at again"))?;
    Ok(())
}

/// Notes that every recording is to be looked at again wherever it was copied: their keys were wrapped anew. Behind everything
/// else, and in pieces: a running server writes beside it.
pub async fn renew_all(storage: &Storage, now: Utc) -> Result<u64, StorageError> {
    const ACT: &str = "noting that all copies are to be looked at again";
    let (mut done, mut after) = (0, (String::new(), String::new()));
    loop {
        let last: Option<(String, String)> = sqlx::query_as(
            "SELECT place, folder FROM (SELECT place, folder FROM copies WHERE (place, folder) > ($1, $2)
                 ORDER BY place, folder LIMIT $3) AS some ORDER BY place DESC, folder DESC LIMIT 1",
        )
        .bind(after.0.as_str())
        .bind(after.1.as_str())
        .bind(TOUCHED_AT_ONCE)
        .fetch_optional(&storage.write)
        .await
        .map_err(failed(ACT))?;
        let Some(last) = last else { return Ok(done) };
        let renewed = sqlx::query(
            "UPDATE copies SET version = version + 1, next_at = CASE WHEN waiting_since IS NULL THEN $1 ELSE next_at END
             WHERE copied_at IS NOT NULL AND (place, folder) > ($2, $3) AND (place, folder) <= ($4, $5)",
        )
        .bind(now.0.saturating_add(BEHIND_US))
        .bind(after.0.as_str())
        .bind(after.1.as_str())
        .bind(last.0.as_str())
        .bind(last.1.as_str())
        .execute(&storage.write)
        .await
        .map_err(failed(ACT))?;
        done += renewed.rows_affected();
        after = last;
    }
}

/// Notes that the copies of an association's recordings are to be looked at again in every bucket: their locks are too short
/// now. A folder locks nothing.
pub(super) async fn renew_of(
    transaction: &mut Connection,
    association: &AssociationId,
    now: Utc,
) -> Result<u64, sqlx::Error> {
    // A recording's folder is YYYY/MM/DD/CALL.
    let done = sqlx::query(
        "UPDATE copies SET version = version + 1, next_at = CASE WHEN waiting_since IS NULL THEN $1 ELSE next_at END
         WHERE place LIKE 's3:%' AND copied_at IS NOT NULL
             AND substr(folder, 12) IN (SELECT call FROM recordings WHERE association = $2)",
    )
    .bind(now.0.saturating_add(BEHIND_US))
    .bind(association.as_str())
    .execute(transaction)
    .await?;
    Ok(done.rows_affected())
}

/// Folders whose time has come: what changed, the longest waiting first, then renewals.
pub async fn due(storage: &Storage, place: &str, now: Utc, limit: u32) -> Result<Vec<Waiting>, StorageError> {
    let mut due = due_between(storage, place, (Utc(i64::MIN), now), limit).await?;
    let room = limit.saturating_sub(u32::try_from(due.len()).unwrap_or(limit));
    if room > 0 {
        let behind = |at: Utc| Utc(at.0.saturating_add(BEHIND_US));
        due.extend(due_between(storage, place, (behind(Utc(0)), behind(now)), room).await?);
    }
    Ok(due)
}

async fn due_between(
    storage: &Storage,
    place: &str,
    (from, to): (Utc, Utc),
    limit: u32,
) -> Result<Vec<Waiting>, StorageError> {
    const ACT: &str = "reading what is to be copied";
    let rows = sqlx::query(
        "SELECT folder, version, attempts, locked_until, is_held FROM copies
         WHERE place = $1 AND next_at >= $2 AND next_at <= $3 ORDER BY next_at, folder LIMIT $4",
    )
    .bind(place)
    .bind(from.0)
    .bind(to.0)
    .bind(i64::from(limit))
    .fetch_all(&storage.read)
    .await
    .map_err(failed(ACT))?;
    let read = |row: &<Db as sqlx::Database>::Row| {
        let (attempts, locked_until, is_held): (i64, Option<i64>, i64) =
            (row.try_get("attempts")?, row.try_get("locked_until")?, row.try_get("is_held")?);
        Ok(Waiting {
            folder: row.try_get("folder")?,
            version: row.try_get("version")?,
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            locked_until: locked_until.map(Utc),
            is_held: is_held != 0,
        })
    };
    rows.iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(failed(ACT))
}

/// Notes that a folder was copied as it was at this version.
pub async fn finish(storage: &Storage, place: &str, copied: &Waiting, done: Done) -> Result<(), StorageError> {
    sqlx::query(
        "UPDATE copies SET copied_at = $1, locked_until = $2, is_held = $3, attempts = 0, error = NULL,
             waiting_since = CASE WHEN version = $4 THEN NULL ELSE waiting_since END,
             next_at = CASE WHEN version = $4 THEN NULL ELSE next_at END
         WHERE place = $5 AND folder = $6",
    )
    .bind(done.at.0)
    .bind(done.locked_until.map(|until| until.0))
    .bind(i64::from(done.is_held))
    .bind(copied.version)
    .bind(place)
    .bind(copied.folder.as_str())
    .execute(&storage.write)
    .await
    .map_err(failed("noting that a recording was copied"))?;
    Ok(())
}

/// Notes that a copy failed, and when it is tried again.
pub async fn fail(
    storage: &Storage,
    place: &str,
    folder: &str,
    (error, next_at): (&str, Utc),
) -> Result<(), StorageError> {
    sqlx::query(
        "UPDATE copies SET attempts = attempts + 1, error = $1,
             next_at = CASE WHEN waiting_since IS NULL THEN $2 + $3 ELSE $2 END
         WHERE place = $4 AND folder = $5",
    )
    .bind(error)
    .bind(next_at.0)
    .bind(BEHIND_US)
    .bind(place)
    .bind(folder)
    .execute(&storage.write)
    .await
    .map_err(failed("noting that a copy failed"))?;
    Ok(())
}

/// Notes that a recording was removed from a place, but for the certificate of its deletion.
pub async fn note_removed(storage: &Storage, place: &str, folder: &str, now: Utc) -> Result<(), StorageError> {
    sqlx::query("UPDATE copies SET removed_at = $1 WHERE place = $2 AND folder = $3")
        .bind(now.0)
        .bind(place)
        .bind(folder)
        .execute(&storage.write)
        .await
        .map_err(failed("noting that a copy was removed"))?;
    Ok(())
}

/// The places that hold a copy of a folder, removed from none of them.
pub async fn places_with(storage: &Storage, folder: &str) -> Result<Vec<String>, StorageError> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT place FROM copies WHERE folder = $1 AND copied_at IS NOT NULL AND removed_at IS NULL ORDER BY place",
    )
    .bind(folder)
    .fetch_all(&storage.read)
    .await
    .map_err(failed("reading where a recording was copied to"))?;
    Ok(rows.into_iter().map(|(place,)| place).collect())
}

/// Every place that something was copied to, or is to be.
pub async fn places(storage: &Storage) -> Result<Vec<String>, StorageError> {
    let rows: Vec<(String,)> = sqlx::query_as("SELECT DISTINCT place FROM copies ORDER BY place")
        .fetch_all(&storage.read)
        .await
        .map_err(failed("reading the names of second places"))?;
    Ok(rows.into_iter().map(|(place,)| place).collect())
}

/// Forgets a place that is gone for good with all that was copied there; how many folders that were.
pub async fn forget_place(storage: &Storage, place: &str) -> Result<u64, StorageError> {
    const ACT: &str = "forgetting a second place";
    let mut transaction = database::begin(storage).await.map_err(failed(ACT))?;
    let done = sqlx::query("DELETE FROM copies WHERE place = $1").bind(place).execute(&mut *transaction).await;
    let done = done.map_err(failed(ACT))?;
    let marks = sqlx::query("DELETE FROM copy_marks WHERE place = $1").bind(place).execute(&mut *transaction).await;
    marks.map_err(failed(ACT))?;
    transaction.commit().await.map_err(failed(ACT))?;
    Ok(done.rows_affected())
}

/// How much waits for a place.
pub async fn backlog(storage: &Storage, place: &str) -> Result<Backlog, StorageError> {
    const ACT: &str = "counting what is to be copied";
    let (waiting, oldest): (i64, Option<i64>) =
        sqlx::query_as("SELECT COUNT(*), MIN(waiting_since) FROM copies WHERE place = $1 AND next_at < $2")
            .bind(place)
            .bind(BEHIND_US)
            .fetch_one(&storage.read)
            .await
            .map_err(failed(ACT))?;
    let error: Option<(String,)> = sqlx::query_as(
        "SELECT error FROM copies WHERE place = $1 AND next_at < $2 AND error IS NOT NULL
         ORDER BY waiting_since LIMIT 1",
    )
    .bind(place)
    .bind(BEHIND_US)
    .fetch_optional(&storage.read)
    .await
    .map_err(failed(ACT))?;
    let waiting = u64::try_from(waiting).unwrap_or_default();
    Ok(Backlog { waiting, oldest: oldest.map(Utc), error: error.map(|(error,)| error) })
}

/// How many copies are to be renewed, and why the last attempt failed.
pub async fn renewals(storage: &Storage, place: &str) -> Result<(u64, Option<String>), StorageError> {
    let (count, error): (i64, Option<String>) =
        sqlx::query_as("SELECT COUNT(*), MAX(error) FROM copies WHERE place = $1 AND next_at >= $2")
            .bind(place)
            .bind(BEHIND_US)
            .fetch_one(&storage.read)
            .await
            .map_err(failed("counting the copies to be renewed"))?;
    Ok((u64::try_from(count).unwrap_or_default(), error))
}

/// The folders that wait.
pub async fn waiting(storage: &Storage, place: &str) -> Result<Vec<String>, StorageError> {
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT folder FROM copies WHERE place = $1 AND next_at IS NOT NULL ORDER BY folder")
            .bind(place)
            .fetch_all(&storage.read)
            .await
            .map_err(failed("reading what is to be copied"))?;
    Ok(rows.into_iter().map(|(folder,)| folder).collect())
}

/// What is known of a folder's copy in a place.
pub async fn of_folder(storage: &Storage, place: &str, folder: &str) -> Result<Option<CopyState>, StorageError> {
    type Known = (Option<i64>, Option<i64>, Option<String>, Option<i64>);
    let row: Option<Known> = sqlx::query_as(
        "SELECT copied_at, waiting_since, error, locked_until FROM copies WHERE place = $1 AND folder = $2",
    )
    .bind(place)
    .bind(folder)
    .fetch_optional(&storage.read)
    .await
    .map_err(failed("reading what is known of a copy"))?;
    Ok(row.map(|(copied_at, waiting_since, error, locked_until)| CopyState {
        place: place.to_owned(),
        copied_at: copied_at.map(Utc),
        waiting_since: waiting_since.map(Utc),
        error,
        locked_until: locked_until.map(Utc),
    }))
}
