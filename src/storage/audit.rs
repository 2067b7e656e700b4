//! Who did what, when and why: written before the deed, chained (`audit_chain.rs`), never changed, never removed here.
//!
//! A deed that was then refused is told by a later entry that points back at the first.

use serde::{Deserialize, Serialize};
use sqlx::QueryBuilder;

use crate::model::{CallId, Deed, Utc};

use super::audit_chain::Chain;
use super::database::{self, Connection, Db};
use super::{Storage, StorageError, audit_chain, failed, filter};

/// Who acts when nobody asked.
pub const OURSELVES: &str = "vigie";

/// One deed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: Utc,
    /// Who: the token's name, `regulator:ID` for what was done by phone, or `vigie` itself.
    pub actor: String,
    /// From where: an address, or `phone`.
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
    /// Its hash, which the next entry carries.
    #[serde(default)]
    pub hash: String,
    /// Why it was refused and so never done, as a later entry tells it.
    #[serde(default)]
    pub refusal: Option<String>,
}

/// An entry that is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its place.
    pub position: i64,
    /// What is wrong with the audit before it: somebody changed or removed something. For whoever watches.
    pub broken: Option<String>,
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

/// Writes an entry at the end of the chain, and returns once it is on the disk: only then may the deed be done.
pub async fn write(storage: &Storage, entry: &AuditEntry) -> Result<Written, StorageError> {
    const ACT: &str = "writing to the audit table";
    let mut chain = storage.audit.lock().await;
    let mut transaction = database::begin(storage).await.map_err(failed(ACT))?;
    let (written, hash) = append(&mut transaction, &chain, entry).await.map_err(failed(ACT))?;
    transaction.commit().await.map_err(failed(ACT))?;
    advance(&mut chain, &written, hash);
    Ok(written)
}

/// The entry is on the disk and chained: the head is brought up, now or with the next one.
pub(super) fn advance(chain: &mut Chain, written: &Written, hash: String) {
    if let Err(error) = chain.advance(written.position, hash) {
        tracing::error!(%error, "the audit's head could not be written; look at the state folder's room and rights");
    }
}

/// Adds what was done by phone, in the transaction of the call's own facts; [`advance`] follows its commit.
pub(super) async fn put(
    connection: &mut Connection,
    chain: &Chain,
    deed: &Deed,
) -> Result<(Written, String), sqlx::Error> {
    let Deed { at, by, act, call, detail } = deed.clone();
    let (actor, source) = (format!("regulator:{by}"), "phone".to_owned());
    let entry = AuditEntry { at, actor, source, act, call, reason: String::new(), detail, refuses: None };
    append(connection, chain, &entry).await
}

/// One more entry behind the table's last, and its hash.
async fn append(
    connection: &mut Connection,
    chain: &Chain,
    entry: &AuditEntry,
) -> Result<(Written, String), sqlx::Error> {
    let last: Option<(i64, String)> = sqlx::query_as("SELECT position, hash FROM audit ORDER BY position DESC LIMIT 1")
        .fetch_optional(&mut *connection)
        .await?;
    let at_head: Option<(String,)> = sqlx::query_as("SELECT hash FROM audit WHERE position = $1")
        .bind(chain.head.as_ref().map_or(0, |(position, _)| *position))
        .fetch_optional(&mut *connection)
        .await?;
    let link = chain.next(last.as_ref(), at_head.as_ref().map(|(hash,)| hash.as_str()));
    let text = audit_chain::text(link.position, entry, &link.previous);
    let hash = audit_chain::hash(&text);
    sqlx::query(
        "INSERT INTO audit (position, at, actor, source, act, call, reason, detail, refuses, previous, hash, signature)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(link.position)
    .bind(entry.at.0)
    .bind(entry.actor.as_str())
    .bind(entry.source.as_str())
    .bind(entry.act.as_str())
    .bind(entry.call.map(|call| call.to_string()))
    .bind(entry.reason.as_str())
    .bind(entry.detail.as_str())
    .bind(entry.refuses)
    .bind(link.previous.as_str())
    .bind(hash.as_str())
    .bind(chain.sign(&text))
    .execute(connection)
    .await?;
    Ok((Written { position: link.position, broken: link.broken }, hash))
}

/// How many different recordings one token has taken since `from`, by the acts that take one; what was refused it has not.
pub async fn count_taken(storage: &Storage, actor: &str, from: Utc) -> Result<u32, StorageError> {
    let (count,): (i64,) = sqlx::query_as(
        "SELECT COUNT(DISTINCT call) FROM audit a
         WHERE actor = $1 AND at >= $2
             AND act IN ('recording.listen', 'recording.manifest', 'recording.signature', 'export.request', 'export.fetch')
             AND NOT EXISTS (SELECT 1 FROM audit later WHERE later.refuses = a.position)",
    )
    .bind(actor)
    .bind(from.0)
    .fetch_one(&storage.read)
    .await
    .map_err(failed("counting who took recordings"))?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Whether an entry of this act by Vigie itself, whose detail begins so, was written since `from`.
pub async fn was_told(storage: &Storage, act: &str, begins: &str, from: Utc) -> Result<bool, StorageError> {
    let (count,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM audit
         WHERE actor = $1 AND at >= $2 AND act = $3 AND substr(detail, 1, length($4)) = $4",
    )
    .bind(OURSELVES)
    .bind(from.0)
    .bind(act)
    .bind(begins)
    .fetch_one(&storage.read)
    .await
    .map_err(failed("reading the audit table"))?;
    Ok(count > 0)
}

/// Entries, newest first.
pub async fn list(storage: &Storage, filter: &AuditFilter) -> Result<Vec<AuditRow>, StorageError> {
    let mut sql = QueryBuilder::<Db>::new(
        "SELECT a.position, a.at, a.actor, a.source, a.act, a.call, a.reason, a.detail, a.refuses,
             later.detail, a.hash
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
    type Row = (i64, i64, String, String, String, Option<String>, String, String, Option<i64>, Option<String>, String);
    let rows: Vec<Row> =
        sql.build_query_as().fetch_all(&storage.read).await.map_err(failed("listing the audit table"))?;
    let read = |(position, at, actor, source, act, call, reason, detail, refuses, refusal, hash): Row| AuditRow {
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
        hash,
        refusal,
    };
    Ok(rows.into_iter().map(read).collect())
}
