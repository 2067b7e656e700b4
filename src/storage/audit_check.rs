//! The audit's chain as a whole: taken up at the start, and checked from end to end.

use std::path::{Path, PathBuf};

use ed25519_dalek::{SigningKey, VerifyingKey};
use sqlx::Row;

use super::audit::AuditEntry;
use super::audit_chain::{self, Head};
use super::database::{self, Connection};
use super::{Storage, StorageError, failed, hold_check};
use crate::model::Utc;

/// Entries read at once.
const ROWS_AT_ONCE: i64 = 1000;
/// So many findings are kept; the rest is counted.
const FINDINGS_MAX: usize = 1000;

/// What a check of the audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditVerdict {
    /// Entries looked at.
    pub entries: u64,
    /// The place of the last one, 0 without any.
    pub last: i64,
    /// What is wrong: the entry's place, 0 where it is none's, and in words; at most a thousand.
    pub findings: Vec<(i64, String)>,
    /// How many findings there are in all.
    pub findings_total: u64,
}

impl AuditVerdict {
    pub(super) fn add(&mut self, position: i64, what: impl Into<String>) {
        self.findings_total += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push((position, what.into()));
        }
    }
}

/// One entry as it stands in the table.
struct Stored {
    position: i64,
    entry: AuditEntry,
    /// As it stands, also where it is no call's id any more.
    call: Option<String>,
    previous: String,
    hash: String,
    signature: String,
}

/// Signs the audit with `key` from now on and keeps its head in `file`. Entries of versions without a chain are chained
/// as they stand, once. Says what is amiss, for an alarm.
pub async fn take_up(storage: &Storage, key: SigningKey, file: PathBuf) -> Result<Option<String>, StorageError> {
    const ACT: &str = "chaining the audit table";
    let at = |source| StorageError::File { act: "reading the audit's head from", path: file.clone(), source };
    let mut chain = storage.audit.lock().await;
    chain.seal_with(key, file.clone()).map_err(at)?;
    let mut transaction = database::begin(storage).await.map_err(failed(ACT))?;
    let (chained,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM audit WHERE hash <> ''")
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed(ACT))?;
    if chained == 0 && chain.head.is_none() {
        let mut previous = String::new();
        let mut after = 0;
        loop {
            let rows = read(&mut transaction, after).await.map_err(failed(ACT))?;
            let Some(last) = rows.last() else { break };
            after = last.position;
            for row in rows {
                let text = audit_chain::text(row.position, &row.entry, &previous);
                let hash = audit_chain::hash(&text);
                sqlx::query("UPDATE audit SET previous = $1, hash = $2, signature = $3 WHERE position = $4")
                    .bind(previous.as_str())
                    .bind(hash.as_str())
                    .bind(chain.sign(&text))
                    .bind(row.position)
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed(ACT))?;
                previous = hash;
            }
        }
        transaction.commit().await.map_err(failed(ACT))?;
        if after > 0 {
            let written = chain.advance(after, previous);
            written.map_err(|source| StorageError::File { act: "writing the audit's head to", path: file, source })?;
        }
        return Ok(None);
    }
    let (position, hash) = chain.head.clone().unwrap_or_default();
    let there: Option<(String,)> = sqlx::query_as("SELECT hash FROM audit WHERE position = $1")
        .bind(position)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed(ACT))?;
    // Before the first head is written, a kill leaves one entry without it.
    if chain.head.is_none() && chained > 1 {
        let amiss = format!(
            "the audit has {chained} entries, and its signed head {} is not there: whether its last entries were taken \
             away cannot be said; look for it in a backup, and run `vigie audit verify` before anything is done",
            file.display()
        );
        return Ok(Some(amiss));
    }
    let is_whole = position == 0 || there.is_some_and(|(there,)| there == hash);
    let amiss = || {
        format!(
            "entry {position} of the audit, its last, is not there or not as it was written: run `vigie audit verify`"
        )
    };
    Ok((!is_whole).then(amiss))
}

/// Checks every entry against the one before it, its hash and its signature, the end against `head`, and the legal holds
/// against the entries that tell of them.
pub async fn check(
    storage: &Storage,
    keys: &[VerifyingKey],
    head: Option<&Head>,
) -> Result<AuditVerdict, StorageError> {
    const ACT: &str = "reading the audit table";
    let mut verdict = AuditVerdict::default();
    let mut connection = storage.read.acquire().await.map_err(failed(ACT))?;
    let (mut previous, mut at_head) = (String::new(), None);
    loop {
        let rows = read(&mut connection, verdict.last).await.map_err(failed(ACT))?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            check_row(&row, &previous, verdict.last, keys, &mut verdict);
            if head.is_some_and(|head| head.position == row.position) {
                at_head = Some(row.hash.clone());
            }
            verdict.entries += 1;
            (verdict.last, previous) = (row.position, row.hash);
        }
    }
    check_head(head, at_head, keys, &mut verdict);
    hold_check::compare(&mut connection, &mut verdict).await.map_err(failed("comparing the holds with the audit"))?;
    Ok(verdict)
}

fn check_row(row: &Stored, previous: &str, last: i64, keys: &[VerifyingKey], verdict: &mut AuditVerdict) {
    let position = row.position;
    if row.hash.is_empty() {
        return verdict.add(position, "is not chained: it was put in past Vigie");
    }
    if row.previous != previous {
        let before = match position - last {
            1 => "the entry before it was changed or exchanged".to_owned(),
            _ => format!("entries {} to {} are not there", last + 1, position - 1),
        };
        verdict.add(position, format!("does not follow what stands before it: {before}"));
    }
    let is_call = row.call.as_deref().is_none_or(|call| row.entry.call.is_some_and(|id| id.to_string() == call));
    let text = audit_chain::text(position, &row.entry, &row.previous);
    if !is_call || audit_chain::hash(&text) != row.hash {
        return verdict.add(position, "was changed: its hash does not match what it says");
    }
    if !audit_chain::is_signed(&text, &row.signature, keys) {
        verdict.add(position, "its signature does not match: rewritten, or signed with another key (--key)");
    }
}

fn check_head(head: Option<&Head>, at_head: Option<String>, keys: &[VerifyingKey], verdict: &mut AuditVerdict) {
    let last = verdict.last;
    match head {
        None if last > 0 => {
            verdict.add(last, "the signed head is not there: whether entries after this one are missing cannot be said")
        }
        None => (),
        Some(head) if !head.is_signed(keys) => {
            verdict
                .add(head.position, "the head's signature does not match: changed, or signed with another key (--key)");
        }
        Some(head) if head.position > last => {
            let what = format!(
                "the signed head says that the audit went this far: entries {} to {} are not there",
                last + 1,
                head.position
            );
            verdict.add(head.position, what);
        }
        Some(head) if at_head.as_deref() != Some(head.hash.as_str()) => {
            verdict.add(head.position, "is not the entry that the signed head names");
        }
        // A kill between an entry and the head leaves the head one behind.
        Some(_) => (),
    }
}

async fn read(connection: &mut Connection, after: i64) -> Result<Vec<Stored>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT position, at, actor, source, act, call, reason, detail, refuses, previous, hash, signature
         FROM audit WHERE position > $1 ORDER BY position LIMIT $2",
    )
    .bind(after)
    .bind(ROWS_AT_ONCE)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let call: Option<String> = row.try_get("call")?;
            Ok(Stored {
                position: row.try_get("position")?,
                entry: AuditEntry {
                    at: Utc(row.try_get("at")?),
                    actor: row.try_get("actor")?,
                    source: row.try_get("source")?,
                    act: row.try_get("act")?,
                    call: call.as_deref().and_then(|call| call.parse().ok()),
                    reason: row.try_get("reason")?,
                    detail: row.try_get("detail")?,
                    refuses: row.try_get("refuses")?,
                },
                call,
                previous: row.try_get("previous")?,
                hash: row.try_get("hash")?,
                signature: row.try_get("signature")?,
            })
        })
        .collect()
}

/// The head's file in the state folder.
pub fn head_file(state: &Path) -> PathBuf {
    state.join("audit-head.json")
}
