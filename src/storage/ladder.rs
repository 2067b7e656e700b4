//! The SIP messages of calls, kept for `ladder_days`.

use crate::model::beat::TRACE_MESSAGES_MAX;
use crate::model::{CallId, SipTrace, Utc};

use super::database::{self, Connection, Row};
use super::{Storage, StorageError, failed};

/// Messages removed in one transaction, so that pruning a month keeps nobody waiting.
const PRUNED_AT_ONCE: i64 = 1000;

/// The messages of a call in the order in which they passed; at most [`TRACE_MESSAGES_MAX`].
pub async fn of_call(storage: &Storage, call: CallId) -> Result<Vec<SipTrace>, StorageError> {
    let rows: Vec<(i64, i64, i64, String, String)> = sqlx::query_as(
        "SELECT leg, at, received, peer, message FROM sip_messages WHERE call = $1 ORDER BY at, position LIMIT $2",
    )
    .bind(call.to_string())
    .bind(i64::from(TRACE_MESSAGES_MAX))
    .fetch_all(&storage.read)
    .await
    .map_err(failed("reading the SIP messages of a call"))?;
    let read = |(leg, at, received, peer, text): (i64, i64, i64, String, String)| {
        let (leg, peer) = (u16::try_from(leg).ok()?, peer.parse().ok()?);
        Some(SipTrace { call, leg, at: Utc(at), received: received != 0, peer, text })
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Removes messages older than `before`, a thousand at a time.
pub(super) async fn prune(storage: &Storage, before: Utc) -> Result<(), StorageError> {
    loop {
        let pruned = sqlx::query(
            "DELETE FROM sip_messages WHERE position IN (SELECT position FROM sip_messages WHERE at < $1 LIMIT $2)",
        )
        .bind(before.0)
        .bind(PRUNED_AT_ONCE)
        .execute(&storage.write)
        .await
        .map_err(failed("removing old SIP messages"))?;
        if pruned.rows_affected() < PRUNED_AT_ONCE as u64 {
            return Ok(());
        }
    }
}

/// Inserts messages, but none that is there already.
pub(super) async fn put(connection: &mut Connection, traces: &[&SipTrace]) -> Result<(), sqlx::Error> {
    let bind = |row: &mut Row<'_>, trace: &&SipTrace| {
        row.push_bind(trace.call.to_string())
            .push_bind(i64::from(trace.leg))
            .push_bind(trace.at.0)
            .push_bind(i64::from(trace.received))
            .push_bind(trace.peer.to_string())
            .push_bind(i64::from(crc32c::crc32c(trace.text.as_bytes())))
            .push_bind(trace.text.clone());
        Ok(())
    };
    database::insert(
        connection,
        "sip_messages (call, leg, at, received, peer, checksum, message)",
        traces,
        bind,
        "(call, at, leg, received, checksum) DO NOTHING",
    )
    .await
}
