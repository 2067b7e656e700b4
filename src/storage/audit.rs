//! Who did what, when and why: written before the deed, never changed, never removed here.
//!
//! A deed that was then refused is told by a later entry that points back at the first.

use serde::{Deserialize, Serialize};
use sqlx::QueryBuilder;

use crate::model::{CallId, Utc};

use super::database::{self, Db};
use super::{Storage, StorageError, failed, filter};

/// One deed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: Utc,
    /// Who: the token's name, or `vigie` itself.
    pub actor: String,
    /// From where: an address.
    pub source: String,
    /// What, as a stable word: `recording.listen`, `regulator.pause`…
    pub act: String,
    /// Which call it touched.
    pub call: Option<CallId>,
    /// Why, in the person's own words.
    pub reason: String,
    /// Anything more: a range of bytes, the parameters of a search; why a deed was refused.
    pub detail: String,
    /// The place of the entry whose deed was refused, when that is what this one tells.
    #[serde(default)]
    pub refuses: Option<i64>,
}

/// An entry with its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Its place; also the cursor of the next page.
    pub position: i64,
    /// What happened.
    #[serde(flatten)]
    pub entry: AuditEntry,
    /// Why it was refused and so never done, as a later entry tells it.
    #[serde(default)]
    pub refusal: Option<String>,
}

/// Which entries; the newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditFilter {
    /// At this time or later.
    pub from: Option<Utc>,
    /// Before this time.
    pub to: Option<Utc>,
    /// By whom.
    pub actor: Option<String>,
    /// Touching which call.
    pub call: Option<CallId>,
    /// At most so many, 1 to [`super::ROWS_MAX`].
    pub limit: Option<u32>,
    /// Only places before this one.
    pub before: Option<i64>,
}

/// Writes an entry and returns its place once it is on the disk: only then may the deed be done.
pub async fn write(storage: &Storage, entry: &AuditEntry) -> Result<i64, StorageError> {
    const ACT: &str = "writing to the audit table";
    let mut transaction = database::begin(storage).await.map_err(failed(ACT))?;
    let (position,): (i64,) = sqlx::query_as(
        "INSERT INTO audit (at, actor, source, act, call, reason, detail, refuses)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         RETURNING position",
    )
    .bind(entry.at.0)
    .bind(entry.actor.as_str())
    .bind(entry.source.as_str())
    .bind(entry.act.as_str())
    .bind(entry.call.map(|call| call.to_string()))
    .bind(entry.reason.as_str())
    .bind(entry.detail.as_str())
    .bind(entry.refuses)
    .fetch_one(&mut *transaction)
    .await
    .map_err(failed(ACT))?;
    transaction.commit().await.map_err(failed(ACT))?;
    Ok(position)
}

/// Entries, newest first.
pub async fn list(storage: &Storage, filter: &AuditFilter) -> Result<Vec<AuditRow>, StorageError> {
    let mut sql = QueryBuilder::<Db>::new(
        "SELECT a.position, a.at, a.actor, a.source, a.act, a.call, a.reason, a.detail, a.refuses, later.detail
         FROM audit a LEFT JOIN audit later ON later.refuses = a.position WHERE true",
    );
    if let Some(from) = filter.from {
        sql.push(" AND a.at >= ").push_bind(from.0);
    }
    if let Some(to) = filter.to {
        sql.push(" AND a.at < ").push_bind(to.0);
    }
    if let Some(actor) = &filter.actor {
        sql.push(" AND a.actor = ").push_bind(actor.clone());
    }
    if let Some(call) = filter.call {
        sql.push(" AND a.call = ").push_bind(call.to_string());
    }
    if let Some(before) = filter.before {
        sql.push(" AND a.position < ").push_bind(before);
    }
    sql.push(" ORDER BY a.position DESC LIMIT ").push_bind(i64::from(filter::rows(filter.limit)));
    type Row = (i64, i64, String, String, String, Option<String>, String, String, Option<i64>, Option<String>);
    let rows: Vec<Row> =
        sql.build_query_as().fetch_all(&storage.read).await.map_err(failed("listing the audit table"))?;
    let read = |(position, at, actor, source, act, call, reason, detail, refuses, refusal): Row| AuditRow {
        position,
        entry: AuditEntry {
            at: Utc(at),
            actor,
            source,
            act,
            call: call.and_then(|call| call.parse().ok()),
            reason,
            detail,
            refuses,
        },
        refusal,
    };
    Ok(rows.into_iter().map(read).collect())
}
