//! Exports: who asked for which recordings and why, and which other person said yes or no.

use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::database::{self, json};
use super::{Storage, StorageError, failed, filter, read_json};
use crate::model::{CallId, Utc};

/// What became of an export's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It may be fetched.
    Approved,
    /// It may not.
    Refused,
}

/// A person's answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// When.
    pub at: Utc,
    /// By whom: the token's name.
    pub by: String,
    /// Who holds that token: never who asked.
    pub person: String,
    /// What.
    pub what: Decision,
    /// Why.
    pub words: String,
}

/// One export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Its id.
    pub id: Uuid,
    /// When it was asked for.
    pub requested_at: Utc,
    /// By whom: the token's name.
    pub requested_by: String,
    /// Who holds that token.
    pub requested_person: String,
    /// Why.
    pub reason: String,
    /// Which recordings.
    pub calls: Vec<CallId>,
    /// Whether it holds the newest redacted copies in place of the originals.
    pub is_redacted: bool,
    /// The other person's answer.
    pub decided: Option<Decided>,
}

/// Who asked for what, and the answer.
type Row = (
    (String, i64, String, String, String, String, i64),
    (Option<i64>, Option<String>, Option<String>, Option<String>, Option<String>),
);

const COLUMNS: &str = "SELECT id, requested_at, requested_by, requested_person, reason, calls, is_redacted,
     decided_at, decided_by, decided_person, decision, words FROM exports";

/// Stores a request.
///
/// # Errors
/// When the database does not take it.
pub async fn request(storage: &Storage, export: &Export) -> Result<(), StorageError> {
    const ACT: &str = "storing an export's request";
    let mut transaction = database::begin(storage).await.map_err(failed(ACT))?;
    sqlx::query(
        "INSERT INTO exports (id, requested_at, requested_by, reason, calls, is_redacted, requested_person)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(export.id.to_string())
    .bind(export.requested_at.0)
    .bind(export.requested_by.as_str())
    .bind(export.reason.as_str())
    .bind(json(&export.calls).map_err(failed(ACT))?)
    .bind(i64::from(export.is_redacted))
    .bind(export.requested_person.as_str())
    .execute(&mut *transaction)
    .await
    .map_err(failed(ACT))?;
    transaction.commit().await.map_err(failed(ACT))
}

/// Stores the answer to a request; `false` when it was answered already, is not there, or was asked by the same person.
///
/// # Errors
/// When the database does not take it.
pub async fn decide(storage: &Storage, id: Uuid, decided: &Decided) -> Result<bool, StorageError> {
    const ACT: &str = "storing the answer to an export's request";
    let mut transaction = database::begin(storage).await.map_err(failed(ACT))?;
    let done = sqlx::query(
        "UPDATE exports SET decided_at = $2, decided_by = $3, decision = $4, words = $5, decided_person = $6
         WHERE id = $1 AND decided_at IS NULL AND lower(requested_person) <> lower($6)",
    )
    .bind(id.to_string())
    .bind(decided.at.0)
    .bind(decided.by.as_str())
    .bind(database::word(&decided.what).map_err(failed(ACT))?)
    .bind(decided.words.as_str())
    .bind(decided.person.as_str())
    .execute(&mut *transaction)
    .await
    .map_err(failed(ACT))?;
    transaction.commit().await.map_err(failed(ACT))?;
    Ok(done.rows_affected() == 1)
}

/// One export.
///
/// # Errors
/// When the database cannot be read.
pub async fn one(storage: &Storage, id: Uuid) -> Result<Option<Export>, StorageError> {
    let mut sql = sqlx::QueryBuilder::<database::Db>::new(COLUMNS);
    sql.push(" WHERE id = ").push_bind(id.to_string());
    let row = sql.build().fetch_optional(&storage.read).await.map_err(failed("reading an export"))?;
    row.as_ref().map(read).transpose()
}

/// The newest exports, at most `limit`.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(storage: &Storage, limit: u32) -> Result<Vec<Export>, StorageError> {
    let mut sql = sqlx::QueryBuilder::<database::Db>::new(COLUMNS);
    sql.push(" ORDER BY requested_at DESC, id LIMIT ").push_bind(i64::from(filter::rows(Some(limit))));
    let rows = sql.build().fetch_all(&storage.read).await.map_err(failed("listing the exports"))?;
    rows.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> Result<Export, StorageError> {
    const ACT: &str = "reading an export";
    let (asked, answered) = columns(row).map_err(failed(ACT))?;
    let (id, requested_at, requested_by, requested_person, reason, calls, is_redacted) = asked;
    let (at, by, person, what, words) = answered;
    let unreadable = |source| StorageError::Unreadable { act: ACT, source };
    let decided = match (at, by, what) {
        (Some(at), Some(by), Some(what)) => Some(Decided {
            at: Utc(at),
            by,
            person: person.unwrap_or_default(),
            what: serde_json::from_value(what.into()).map_err(unreadable)?,
            words: words.unwrap_or_default(),
        }),
        (_, _, _) => None,
    };
    Ok(Export {
        id: serde_json::from_value(id.into()).map_err(unreadable)?,
        requested_at: Utc(requested_at),
        requested_by,
        requested_person,
        reason,
        calls: read_json(ACT, &calls)?,
        is_redacted: is_redacted != 0,
        decided,
    })
}

fn columns(row: &SqliteRow) -> Result<Row, sqlx::Error> {
    let asked = (
        row.try_get(0)?,
        row.try_get(1)?,
        row.try_get(2)?,
        row.try_get(3)?,
        row.try_get(4)?,
        row.try_get(5)?,
        row.try_get(6)?,
    );
    Ok((asked, (row.try_get(7)?, row.try_get(8)?, row.try_get(9)?, row.try_get(10)?, row.try_get(11)?)))
}
