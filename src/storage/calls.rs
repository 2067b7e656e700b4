//! Calls, with their legs and offers.

use crate::model::{CallId, CallRecord, OfferRecord};

use super::database::{Connection, json, word};
use super::filter::{self, CallFilter, Cursor, Page, Searched};
use super::{Storage, StorageError, failed, read_json};

const LISTING: &str = "listing calls";

/// Calls, newest first.
pub async fn list(storage: &Storage, filter: &CallFilter) -> Result<Page<CallRecord>, StorageError> {
    let table =
        Searched { select: "SELECT received_at, id, record FROM calls WHERE true", time: "received_at", id: "id" };
    let mut sql = filter::search(&table, filter).map_err(failed(LISTING))?;
    let rows: Vec<(i64, String, String)> =
        sql.build_query_as().fetch_all(&storage.read).await.map_err(failed(LISTING))?;
    let mut found = Vec::with_capacity(rows.len());
    for (_, _, record) in rows {
        let record: CallRecord = read_json(LISTING, &record)?;
        found.push((Cursor { at: record.received_at, call: record.id }, record));
    }
    Ok(filter::page(found, filter.limit))
}

/// One call with its legs and every offer known so far; a live call too.
pub async fn one(storage: &Storage, call: CallId) -> Result<Option<CallRecord>, StorageError> {
    const ACT: &str = "reading a call";
    let row: Option<(String,)> = sqlx::query_as("SELECT record FROM calls WHERE id = $1")
        .bind(call.to_string())
        .fetch_optional(&storage.read)
        .await
        .map_err(failed(ACT))?;
    let Some((text,)) = row else { return Ok(None) };
    let mut record: CallRecord = read_json(ACT, &text)?;
    record.offers = offers(storage, call).await?;
    Ok(Some(record))
}

/// Every offer of a call, in order.
pub async fn offers(storage: &Storage, call: CallId) -> Result<Vec<OfferRecord>, StorageError> {
    const ACT: &str = "reading the offers of a call";
    let rows: Vec<(String,)> = sqlx::query_as("SELECT record FROM offers WHERE call = $1 ORDER BY number")
        .bind(call.to_string())
        .fetch_all(&storage.read)
        .await
        .map_err(failed(ACT))?;
    rows.iter().map(|(text,)| read_json(ACT, text)).collect()
}

/// Calls without an end, oldest first: after a crash they are to be closed.
pub async fn open_calls(storage: &Storage) -> Result<Vec<CallRecord>, StorageError> {
    const ACT: &str = "reading the calls without an end";
    let rows: Vec<(String,)> = sqlx::query_as("SELECT record FROM calls WHERE ended_at IS NULL ORDER BY received_at")
        .fetch_all(&storage.read)
        .await
        .map_err(failed(ACT))?;
    let mut records = Vec::with_capacity(rows.len());
    for (text,) in rows {
        let mut record: CallRecord = read_json(ACT, &text)?;
        record.offers = offers(storage, record.id).await?;
        records.push(record);
    }
    Ok(records)
}

/// The number by which a caller is searched for: E.164 where it is known, else as the trunk wrote it.
pub(super) fn caller_of(record: &CallRecord) -> String {
    match &record.caller.e164 {
        Some(number) => number.as_str().to_owned(),
        None => record.caller.raw.clone(),
    }
}

/// Inserts or replaces the call, its legs and its offers.
pub(super) async fn put(connection: &mut Connection, call: &CallRecord) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO calls (id, received_at, answered_at, ended_at, trunk, line, association, region, caller, ddi,
             regulator, outcome, priority, wait_ms, talk_ms, record, caller_raw)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
         ON CONFLICT (id) DO UPDATE SET received_at = excluded.received_at, answered_at = excluded.answered_at,
             ended_at = excluded.ended_at, trunk = excluded.trunk, line = excluded.line,
             association = excluded.association, region = excluded.region, caller = excluded.caller,
             ddi = excluded.ddi, regulator = excluded.regulator, outcome = excluded.outcome,
             priority = excluded.priority, wait_ms = excluded.wait_ms, talk_ms = excluded.talk_ms,
             record = excluded.record, caller_raw = excluded.caller_raw",
    )
    .bind(call.id.to_string())
    .bind(call.received_at.0)
    .bind(call.answered_at.map(|at| at.0))
    .bind(call.ended_at.map(|at| at.0))
    .bind(call.trunk.as_str())
    .bind(call.line.as_str())
    .bind(call.association.as_str())
    .bind(call.region.as_str())
    .bind(caller_of(call))
    .bind(call.ddi.as_ref().map_or(call.ddi_raw.as_str(), |ddi| ddi.as_str()))
    .bind(call.regulator.as_ref().map(|regulator| regulator.as_str()))
    .bind(call.outcome.as_ref().map(word).transpose()?)
    .bind(i64::from(call.priority))
    .bind(call.wait_ms().map(|wait_ms| wait_ms as i64))
    .bind(call.talk_ms().map(|talk_ms| talk_ms as i64))
    .bind(json(call)?)
    .bind(call.caller.raw.as_str())
    .execute(&mut *connection)
    .await?;
    put_legs(connection, call).await?;
    for offer in &call.offers {
        put_offer(connection, call.id, offer).await?;
    }
    Ok(())
}

async fn put_legs(connection: &mut Connection, call: &CallRecord) -> Result<(), sqlx::Error> {
    for leg in &call.legs {
        sqlx::query(
            "INSERT INTO legs (call, number, side, regulator, sip_call_id, started_at, ended_at, record)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (call, number) DO UPDATE SET side = excluded.side, regulator = excluded.regulator,
                 sip_call_id = excluded.sip_call_id, started_at = excluded.started_at, ended_at = excluded.ended_at,
                 record = excluded.record",
        )
        .bind(call.id.to_string())
        .bind(i64::from(leg.number))
        .bind(word(&leg.side)?)
        .bind(leg.regulator.as_ref().map(|regulator| regulator.as_str()))
        .bind(leg.sip_call_id.as_str())
        .bind(leg.started_at.0)
        .bind(leg.ended_at.map(|at| at.0))
        .bind(json(leg)?)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Inserts or replaces one offer.
pub(super) async fn put_offer(
    connection: &mut Connection,
    call: CallId,
    offer: &OfferRecord,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO offers (call, number, regulator, offered_at, ended_at, ended_how, record)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (call, number) DO UPDATE SET regulator = excluded.regulator, offered_at = excluded.offered_at,
             ended_at = excluded.ended_at, ended_how = excluded.ended_how, record = excluded.record",
    )
    .bind(call.to_string())
    .bind(i64::from(offer.number.0))
    .bind(offer.regulator.as_str())
    .bind(offer.offered_at.0)
    .bind(offer.ended_at.map(|at| at.0))
    .bind(offer.end.as_ref().map(word).transpose()?)
    .bind(json(offer)?)
    .execute(&mut *connection)
    .await?;
    Ok(())
}
