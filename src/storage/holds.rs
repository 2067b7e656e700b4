//! Legal holds: each stops the clock of one recording's retention until somebody else releases it.

use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::database;
use super::{Storage, StorageError, failed, is_same_person};
use crate::model::{AssociationId, CallId, Utc};

/// A hold on one recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its number.
    pub id: i64,
    /// Of this call.
    pub call: CallId,
    /// Of this association.
    pub association: AssociationId,
    /// From when on.
    pub placed_at: Utc,
    /// By whom.
    pub placed_by: String,
    /// Why.
    pub reason: String,
    /// The court's or the insurer's number.
    pub case_number: Option<String>,
    /// Until when; `None` while it holds.
    pub released_at: Option<Utc>,
    /// By whom.
    pub released_by: Option<String>,
    /// Why.
    pub release_reason: Option<String>,
}

/// What is placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHold {
    /// On this call's recording.
    pub call: CallId,
    /// Of this association.
    pub association: AssociationId,
    /// When.
    pub at: Utc,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
    /// The court's or the insurer's number.
    pub case_number: Option<String>,
}

/// What became of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Released {
    /// It holds no more.
    Done(Hold),
    /// There is no such hold.
    Unknown,
    /// It was released before.
    Already(Hold),
    /// Who placed it may not release it.
    SamePerson(Hold),
}

/// Places a hold; `None` when the recording is being deleted or is gone.
pub async fn place(storage: &Storage, new: &NewHold) -> Result<Option<Hold>, StorageError> {
    const ACT: &str = "placing a hold";
    let mut transaction = database::begin(storage).await.map_err(failed(ACT))?;
    let (doomed,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM deletion_items WHERE call = $1 AND state IN ('deleting', 'deleted')")
            .bind(new.call.to_string())
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed(ACT))?;
    if doomed > 0 {
        return Ok(None);
    }
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO holds (call, association, placed_at, placed_by, reason, case_number)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
    )
    .bind(new.call.to_string())
    .bind(new.association.as_str())
    .bind(new.at.0)
    .bind(new.by.as_str())
    .bind(new.reason.as_str())
    .bind(new.case_number.as_deref())
    .fetch_one(&mut *transaction)
    .await
    .map_err(failed(ACT))?;
    transaction.commit().await.map_err(failed(ACT))?;
    one(storage, id).await
}

/// Who releases a hold, when and why.
#[derive(Clone, Copy, Debug)]
pub struct Release<'a> {
    /// When.
    pub at: Utc,
    /// Who.
    pub by: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// Releases a hold, when somebody else placed it.
pub async fn release(storage: &Storage, id: i64, release: &Release<'_>) -> Result<Released, StorageError> {
    const ACT: &str = "releasing a hold";
    let Some(hold) = one(storage, id).await? else { return Ok(Released::Unknown) };
    if is_same_person(&hold.placed_by, release.by) {
        return Ok(Released::SamePerson(hold));
    }
    let done = sqlx::query(
        "UPDATE holds SET released_at = $1, released_by = $2, release_reason = $3
         WHERE id = $4 AND released_at IS NULL AND lower(placed_by) <> lower($2)",
    )
    .bind(release.at.0)
    .bind(release.by)
    .bind(release.reason)
    .bind(id)
    .execute(&storage.write)
    .await
    .map_err(failed(ACT))?;
    let hold = one(storage, id).await?.unwrap_or(hold);
    Ok(if done.rows_affected() == 1 { Released::Done(hold) } else { Released::Already(hold) })
}

/// One hold.
pub async fn one(storage: &Storage, id: i64) -> Result<Option<Hold>, StorageError> {
    let rows = read(storage, "SELECT * FROM holds WHERE id = $1", id.to_string()).await?;
    Ok(rows.into_iter().next())
}

/// Every hold there ever was on a call's recording, the oldest first.
pub async fn of_call(storage: &Storage, call: CallId) -> Result<Vec<Hold>, StorageError> {
    read(storage, "SELECT * FROM holds WHERE call = $1 ORDER BY id", call.to_string()).await
}

async fn read(storage: &Storage, sql: &'static str, value: String) -> Result<Vec<Hold>, StorageError> {
    const ACT: &str = "reading holds";
    let rows = sqlx::query(sql).bind(value).fetch_all(&storage.read).await.map_err(failed(ACT))?;
    let read = |row: &<database::Db as sqlx::Database>::Row| {
        let call: String = row.try_get("call")?;
        let association: String = row.try_get("association")?;
        let released_at: Option<i64> = row.try_get("released_at")?;
        Ok(Hold {
            id: row.try_get("id")?,
            call: call.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            association: association.as_str().into(),
            placed_at: Utc(row.try_get("placed_at")?),
            placed_by: row.try_get("placed_by")?,
            reason: row.try_get("reason")?,
            case_number: row.try_get("case_number")?,
            released_at: released_at.map(Utc),
            released_by: row.try_get("released_by")?,
            release_reason: row.try_get("release_reason")?,
        })
    };
    rows.iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(failed(ACT))
}
