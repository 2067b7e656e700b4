//! Lists of recordings proposed for deletion: who proposed and who approved, and what became of each recording.

use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::database::{self, Db, json};
use super::{Storage, StorageError, failed, is_same_person, read_json};
use crate::model::{AssociationId, CallId, SealedRecording, Utc};

/// How far a list has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListState {
    /// It waits for a second person.
    Proposed,
    /// A second person agreed; its recordings are being deleted.
    Approved,
    /// It was taken back, and nothing was deleted.
    Withdrawn,
    /// Each of its recordings is deleted or kept with a reason.
    Done,
}

/// How far one recording on a list has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemState {
    /// Nothing was done yet.
    Listed,
    /// Its deletion has begun, and will be finished.
    Deleting,
    /// It is gone; the certificate is there.
    Deleted,
    /// It was not deleted, and why stands beside.
    Kept,
}

/// One recording on a list, and on what grounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grounds {
    /// Of this call.
    pub call: CallId,
    /// Of this association.
    pub association: AssociationId,
    /// The call's end.
    pub ended_at: Utc,
    /// How long it had to be kept, in years.
    pub retention_years: u16,
    /// For how long holds stopped the clock, in microseconds.
    pub held_us: i64,
    /// When its time was over.
    pub expired_at: Utc,
    /// The seal: SHA-256 of the sidecar.
    pub seal: String,
    /// Its place in the seal log.
    pub seal_sequence: u64,
    /// The sidecar, relative to the recordings folder.
    pub sidecar: String,
    /// SHA-256 of the WAV.
    pub audio_sha256: String,
    /// SHA-256 of the samples.
    pub essence_sha256: String,
}

/// One recording on a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Which, and why.
    pub grounds: Grounds,
    /// How far it is.
    pub state: ItemState,
    /// Why it was kept, or what is in the way of its deletion.
    pub detail: Option<String>,
    /// SHA-256 of the certificate of its deletion.
    pub certificate: Option<String>,
}

/// A list, without its recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Its number.
    pub id: i64,
    /// How far it is.
    pub state: ListState,
    /// When it was proposed.
    pub proposed_at: Utc,
    /// By whom.
    pub proposed_by: String,
    /// Why.
    pub reason: String,
    /// When it was approved or withdrawn.
    pub decided_at: Option<Utc>,
    /// By whom.
    pub decided_by: Option<String>,
    /// Why.
    pub decision_reason: Option<String>,
    /// When the last of its recordings was deleted or kept.
    pub finished_at: Option<Utc>,
}

/// Who says something of a list, when and why.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a> {
    /// When.
    pub at: Utc,
    /// Who.
    pub by: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// What became of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// It holds.
    Done(Deletion),
    /// There is no such list.
    Unknown,
    /// It was decided before.
    Already(Deletion),
    /// Who proposed it may not approve it.
    SamePerson(Deletion),
}

/// Keeps a proposed list; returns its number.
pub async fn propose(storage: &Storage, word: &Word<'_>, items: &[Grounds]) -> Result<i64, StorageError> {
    const ACT: &str = "keeping a list of recordings to delete";
    let mut transaction = database::begin(storage).await.map_err(failed(ACT))?;
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO deletions (state, proposed_at, proposed_by, reason) VALUES ('proposed', $1, $2, $3) RETURNING id",
    )
    .bind(word.at.0)
    .bind(word.by)
    .bind(word.reason)
    .fetch_one(&mut *transaction)
    .await
    .map_err(failed(ACT))?;
    let bind = |row: &mut database::Row<'_>, item: &Grounds| {
        row.push_bind(id).push_bind(item.call.to_string()).push_bind(item.association.to_string());
        row.push_bind("listed").push_bind(json(item)?);
        Ok(())
    };
    let into = "deletion_items (deletion, call, association, state, record)";
    database::insert(&mut transaction, into, items, bind, "DO NOTHING").await.map_err(failed(ACT))?;
    transaction.commit().await.map_err(failed(ACT))?;
    Ok(id)
}

/// Approves a list that somebody else proposed, or withdraws one that anybody did.
pub async fn decide(storage: &Storage, id: i64, word: &Word<'_>, state: ListState) -> Result<Decided, StorageError> {
    const ACT: &str = "deciding on a list of recordings to delete";
    let Some(list) = one(storage, id).await? else { return Ok(Decided::Unknown) };
    let is_approval = state == ListState::Approved;
    if is_approval && list.state == ListState::Proposed && is_same_person(&list.proposed_by, word.by) {
        return Ok(Decided::SamePerson(list));
    }
    let done = sqlx::query(
        "UPDATE deletions SET state = $1, decided_at = $2, decided_by = $3, decision_reason = $4
         WHERE id = $5 AND state = 'proposed' AND ($6 = 0 OR lower(proposed_by) <> lower($3))",
    )
    .bind(if is_approval { "approved" } else { "withdrawn" })
    .bind(word.at.0)
    .bind(word.by)
    .bind(word.reason)
    .bind(id)
    .bind(i64::from(is_approval))
    .execute(&storage.write)
    .await
    .map_err(failed(ACT))?;
    let list = one(storage, id).await?.unwrap_or(list);
    Ok(if done.rows_affected() == 1 { Decided::Done(list) } else { Decided::Already(list) })
}

/// One list.
pub async fn one(storage: &Storage, id: i64) -> Result<Option<Deletion>, StorageError> {
    Ok(read(storage, "SELECT * FROM deletions WHERE id = $1", id).await?.into_iter().next())
}

/// Every list before this number, the newest first; a hundred at most.
pub async fn list(storage: &Storage, before: Option<i64>) -> Result<Vec<Deletion>, StorageError> {
    let sql = "SELECT * FROM deletions WHERE id < $1 ORDER BY id DESC LIMIT 100";
    read(storage, sql, before.unwrap_or(i64::MAX)).await
}

/// The lists whose recordings are to be deleted now, the oldest first.
pub async fn approved(storage: &Storage) -> Result<Vec<Deletion>, StorageError> {
    read(storage, "SELECT * FROM deletions WHERE state = 'approved' AND id > $1 ORDER BY id LIMIT 100", 0).await
}

async fn read(storage: &Storage, sql: &'static str, value: i64) -> Result<Vec<Deletion>, StorageError> {
    const ACT: &str = "reading lists of recordings to delete";
    let rows = sqlx::query(sql).bind(value).fetch_all(&storage.read).await.map_err(failed(ACT))?;
    let read = |row: &<Db as sqlx::Database>::Row| {
        let state: String = row.try_get("state")?;
        let decided_at: Option<i64> = row.try_get("decided_at")?;
        let finished_at: Option<i64> = row.try_get("finished_at")?;
        Ok(Deletion {
            id: row.try_get("id")?,
            state: unword(&state)?,
            proposed_at: Utc(row.try_get("proposed_at")?),
            proposed_by: row.try_get("proposed_by")?,
            reason: row.try_get("reason")?,
            decided_at: decided_at.map(Utc),
            decided_by: row.try_get("decided_by")?,
            decision_reason: row.try_get("decision_reason")?,
            finished_at: finished_at.map(Utc),
        })
    };
    rows.iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(failed(ACT))
}

fn unword<T: serde::de::DeserializeOwned>(word: &str) -> Result<T, sqlx::Error> {
    serde_json::from_value(serde_json::Value::from(word)).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

type ItemRow = (String, String, Option<String>, Option<String>);
const ITEM: &str = "reading the recordings of a list";

fn item((record, state, detail, certificate): ItemRow) -> Result<Item, StorageError> {
    let state = unword(&state).map_err(failed(ITEM))?;
    Ok(Item { grounds: read_json(ITEM, &record)?, state, detail, certificate })
}

/// The recordings of a list.
pub async fn items(storage: &Storage, id: i64) -> Result<Vec<Item>, StorageError> {
    let sql = "SELECT record, state, detail, certificate FROM deletion_items WHERE deletion = $1 ORDER BY call";
    let rows: Vec<ItemRow> = sqlx::query_as(sql).bind(id).fetch_all(&storage.read).await.map_err(failed(ITEM))?;
    rows.into_iter().map(item).collect()
}

/// What became of a call's recording on the lists that named it, the newest first.
pub async fn of_call(storage: &Storage, call: CallId) -> Result<Vec<(Deletion, Item)>, StorageError> {
    let sql = "SELECT deletion FROM deletion_items WHERE call = $1 ORDER BY deletion DESC";
    let rows: Vec<(i64,)> =
        sqlx::query_as(sql).bind(call.to_string()).fetch_all(&storage.read).await.map_err(failed(ITEM))?;
    let mut found = Vec::new();
    for (id,) in rows {
        let sql = "SELECT record, state, detail, certificate FROM deletion_items WHERE deletion = $1 AND call = $2";
        let row: Option<ItemRow> = sqlx::query_as(sql)
            .bind(id)
            .bind(call.to_string())
            .fetch_optional(&storage.read)
            .await
            .map_err(failed(ITEM))?;
        if let (Some(list), Some(row)) = (one(storage, id).await?, row) {
            found.push((list, item(row)?));
        }
    }
    Ok(found)
}

/// Begins the deletion of one recording; `false` when a hold is on it or it was begun before.
pub async fn begin(storage: &Storage, id: i64, call: CallId) -> Result<bool, StorageError> {
    let sql = "UPDATE deletion_items SET state = 'deleting' WHERE deletion = $1 AND call = $2 AND state = 'listed'
         AND NOT EXISTS (SELECT 1 FROM holds WHERE holds.call = $2 AND released_at IS NULL)";
    change(storage, sql, id, call).await
}

async fn change(storage: &Storage, sql: &'static str, id: i64, call: CallId) -> Result<bool, StorageError> {
    let query = sqlx::query(sql).bind(id).bind(call.to_string());
    let done = query.execute(&storage.write).await.map_err(failed("noting how far a deletion is"))?;
    Ok(done.rows_affected() == 1)
}

/// Keeps a recording that was on a list, and says why.
pub async fn keep(storage: &Storage, id: i64, call: CallId, why: &str) -> Result<(), StorageError> {
    sqlx::query("UPDATE deletion_items SET state = 'kept', detail = $1 WHERE deletion = $2 AND call = $3")
        .bind(why)
        .bind(id)
        .bind(call.to_string())
        .execute(&storage.write)
        .await
        .map_err(failed("noting why a recording is kept"))?;
    Ok(())
}

/// Says what is in the way of a deletion that has begun; it is tried again.
pub async fn wait(storage: &Storage, id: i64, call: CallId, why: &str) -> Result<(), StorageError> {
    let sql = "UPDATE deletion_items SET detail = $1
         WHERE deletion = $2 AND call = $3 AND state = 'deleting' AND (detail IS NULL OR detail <> $1)";
    let query = sqlx::query(sql).bind(why).bind(id).bind(call.to_string());
    query.execute(&storage.write).await.map_err(failed("noting what is in the way of a deletion"))?;
    Ok(())
}

/// Notes that a recording is gone, and takes it out of the list of recordings.
pub async fn finish(storage: &Storage, id: i64, call: CallId, certificate: &str) -> Result<(), StorageError> {
    const ACT: &str = "noting that a recording was deleted";
    let mut transaction = database::begin(storage).await.map_err(failed(ACT))?;
    sqlx::query("UPDATE deletion_items SET state = 'deleted', detail = NULL, certificate = $1 WHERE deletion = $2 AND call = $3")
        .bind(certificate)
        .bind(id)
        .bind(call.to_string())
        .execute(&mut *transaction)
        .await
        .map_err(failed(ACT))?;
    sqlx::query("DELETE FROM recordings WHERE call = $1")
        .bind(call.to_string())
        .execute(&mut *transaction)
        .await
        .map_err(failed(ACT))?;
    transaction.commit().await.map_err(failed(ACT))
}

/// Notes that nothing of a list is left to do.
pub async fn close(storage: &Storage, id: i64, at: Utc) -> Result<(), StorageError> {
    let sql = "UPDATE deletions SET state = 'done', finished_at = $1 WHERE id = $2 AND state = 'approved'";
    let query = sqlx::query(sql).bind(at.0).bind(id);
    query.execute(&storage.write).await.map_err(failed("closing a list of deleted recordings"))?;
    Ok(())
}

/// Recordings of an association that began before `before`, have no hold on them and are on no list that is under way;
/// the oldest first, after `after`.
pub async fn candidates(
    storage: &Storage,
    association: &AssociationId,
    before: Utc,
    after: Option<(Utc, CallId)>,
) -> Result<Vec<SealedRecording>, StorageError> {
    const ACT: &str = "looking for recordings whose time is over";
    let (at, call) = after.map_or((i64::MIN, String::new()), |(at, call)| (at.0, call.to_string()));
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT record FROM recordings WHERE association = $1 AND started_at < $2 AND (started_at, call) > ($3, $4)
             AND NOT EXISTS (SELECT 1 FROM holds WHERE holds.call = recordings.call AND released_at IS NULL)
             AND NOT EXISTS (SELECT 1 FROM deletion_items i JOIN deletions d ON d.id = i.deletion
                 WHERE i.call = recordings.call AND d.state IN ('proposed', 'approved'))
         ORDER BY started_at, call LIMIT 500",
    )
    .bind(association.as_str())
    .bind(before.0)
    .bind(at)
    .bind(call)
    .fetch_all(&storage.read)
    .await
    .map_err(failed(ACT))?;
    rows.iter().map(|(record,)| read_json(ACT, record)).collect()
}

/// The associations of which there are recordings.
pub async fn associations(storage: &Storage) -> Result<Vec<AssociationId>, StorageError> {
    let rows: Vec<(String,)> = sqlx::query_as("SELECT DISTINCT association FROM recordings ORDER BY association")
        .fetch_all(&storage.read)
        .await
        .map_err(failed("listing associations with recordings"))?;
    Ok(rows.into_iter().map(|(id,)| id.as_str().into()).collect())
}
