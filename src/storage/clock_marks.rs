//! The last reading of the clocks that was found good, and whether the clock is suspected since.

use serde::{Deserialize, Serialize};

use super::database::json;
use super::{Storage, StorageError, failed, read_json};
use crate::model::{Now, Utc};

/// A reading of the clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockMark {
    /// What both clocks said.
    pub now: Now,
    /// Which boot of the machine the monotonic clock counts from.
    pub boot: String,
    /// Why the clock is suspected, and since when; `None` while it is believed.
    pub suspicion: Option<Suspicion>,
    /// Times up to here were looked at by somebody who said that the clock is right.
    pub forgiven: Option<Utc>,
}

/// Why the clock is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspicion {
    /// What it said then.
    pub since: Utc,
    /// In words.
    pub why: String,
}

/// The last mark.
pub async fn read(storage: &Storage) -> Result<Option<ClockMark>, StorageError> {
    const ACT: &str = "reading the last mark of the clock";
    let row: Option<(String,)> = sqlx::query_as("SELECT record FROM clock_marks WHERE id = 1")
        .fetch_optional(&storage.read)
        .await
        .map_err(failed(ACT))?;
    row.map(|(record,)| read_json(ACT, &record)).transpose()
}

/// Keeps a mark in place of the last one.
pub async fn keep(storage: &Storage, mark: &ClockMark) -> Result<(), StorageError> {
    const ACT: &str = "keeping a mark of the clock";
    sqlx::query(
        "INSERT INTO clock_marks (id, record) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
    )
    .bind(json(mark).map_err(failed(ACT))?)
    .execute(&storage.write)
    .await
    .map_err(failed(ACT))?;
    Ok(())
}

/// The latest time that any seal or entry of the audit carries.
pub async fn latest_told(storage: &Storage) -> Result<Option<Utc>, StorageError> {
    let (sealed, audited): (Option<i64>, Option<i64>) =
        sqlx::query_as("SELECT (SELECT MAX(sealed_at) FROM recordings), (SELECT MAX(at) FROM audit)")
            .fetch_one(&storage.read)
            .await
            .map_err(failed("reading the time of the last seal"))?;
    Ok(sealed.max(audited).map(Utc))
}
