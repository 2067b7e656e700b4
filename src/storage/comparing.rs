//! The database beside the evidence: every column of a sealed recording's row as it must be, and as it is.

use std::path::Path;

use sqlx::Row as _;

use super::calls::caller_of;
use super::database::{self, json, word};
use super::{Storage, StorageError, failed};
use crate::model::{CallId, CallRecord, SealedRecording};

/// Rows read at once.
const ROWS_AT_ONCE: i64 = 500;

/// The columns of `recordings` that are compared, in the order of [`columns_of`].
pub const COLUMNS: [&str; 13] = [
    "call",
    "started_at",
    "line",
    "association",
    "region",
    "caller",
    "regulator",
    "outcome",
    "duration_ms",
    "sealed_at",
    "seal",
    "record",
    "caller_raw",
];

/// One row of `recordings`, each column as text, and the record of its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// In the order of [`COLUMNS`].
    pub columns: Vec<Option<String>>,
    /// `calls.record` of the same call, when there is such a row.
    pub call_record: Option<String>,
}

impl StoredRow {
    /// The key, as it stands.
    pub fn call(&self) -> &str {
        self.columns.first().and_then(Option::as_deref).unwrap_or_default()
    }
}

/// Opens a database for reading alone: nothing is made, migrated or written, and a running Vigie is not disturbed.
///
/// # Errors
/// When the file is not there or is no database.
pub async fn open(path: &Path) -> Result<Storage, StorageError> {
    let pool = database::open_to_read(&format!("sqlite:{}", path.display())).await?;
    Ok(Storage::of(pool.clone(), pool, 0))
}

#[cfg(test)]
impl Storage {
    /// Runs a statement as it stands, as somebody with a shell would.
    pub(crate) async fn run(&self, sql: &str) -> Result<(), sqlx::Error> {
        sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&self.write).await.map(|_| ())
    }
}

/// The rows behind `after` (a call's id, or empty text), by the id.
///
/// # Errors
/// When the database cannot be read.
pub async fn rows(storage: &Storage, after: &str) -> Result<Vec<StoredRow>, StorageError> {
    const ACT: &str = "reading the rows of recordings";
    let found = sqlx::query(
        "SELECT CAST(r.call AS TEXT), CAST(r.started_at AS TEXT), CAST(r.line AS TEXT), CAST(r.association AS TEXT),
             CAST(r.region AS TEXT), CAST(r.caller AS TEXT), CAST(r.regulator AS TEXT), CAST(r.outcome AS TEXT),
             CAST(r.duration_ms AS TEXT), CAST(r.sealed_at AS TEXT), CAST(r.seal AS TEXT), CAST(r.record AS TEXT),
             CAST(r.caller_raw AS TEXT), CAST(c.record AS TEXT)
         FROM recordings r LEFT JOIN calls c ON c.id = r.call WHERE r.call > $1 ORDER BY r.call LIMIT $2",
    )
    .bind(after)
    .bind(ROWS_AT_ONCE)
    .fetch_all(&storage.read)
    .await
    .map_err(failed(ACT))?;
    let read = |row: &sqlx::sqlite::SqliteRow| -> Result<StoredRow, sqlx::Error> {
        let columns = (0..COLUMNS.len()).map(|at| row.try_get(at)).collect::<Result<_, _>>()?;
        Ok(StoredRow { columns, call_record: row.try_get(COLUMNS.len())? })
    };
    found.iter().map(read).collect::<Result<_, _>>().map_err(failed(ACT))
}

/// The columns of a sealed recording as they must stand.
///
/// # Errors
/// When a value cannot be written as JSON.
pub fn columns_of(sealed: &SealedRecording) -> Result<Vec<Option<String>>, StorageError> {
    let record = &sealed.record;
    let failed = failed("writing a recording as its row");
    Ok(vec![
        Some(sealed.call.to_string()),
        Some(sealed.started_at.0.to_string()),
        Some(record.line.to_string()),
        Some(record.association.to_string()),
        Some(record.region.to_string()),
        Some(caller_of(record).to_owned()),
        record.regulator.as_ref().map(ToString::to_string),
        record.outcome.as_ref().map(word).transpose().map_err(&failed)?,
        Some(sealed.duration_ms.to_string()),
        Some(sealed.sealed_at.0.to_string()),
        Some(sealed.seal.clone()),
        Some(json(sealed).map_err(&failed)?),
        Some(record.caller.raw.clone()),
    ])
}

/// Whether a stored call record says the same as the sealed one.
pub fn is_same_record(stored: &str, sealed: &CallRecord) -> bool {
    serde_json::from_str::<CallRecord>(stored).is_ok_and(|stored| stored == *sealed)
}

/// The id of a row's key.
pub fn id_of(row: &StoredRow) -> Option<CallId> {
    row.call().parse().ok()
}
