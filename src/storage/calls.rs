//! Calls, with their legs and offers.

use sqlx::Executor;

use crate::model::{CallId, CallRecord, LegRecord, OfferRecord, OpenCallBack};

use super::database::{self, Connection, Db, Row, json, word};
use super::filter::{self, CallFilter, Cursor, Page, Searched};
use super::{Storage, StorageError, failed, read_json};

const LISTING: &str = "listing calls";
const READING: &str = "reading a call";

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
    let mut snapshot = database::snapshot(storage).await.map_err(failed(READING))?;
    read(&mut snapshot, call).await
}

pub(super) async fn read(connection: &mut Connection, call: CallId) -> Result<Option<CallRecord>, StorageError> {
    let row: Option<(String,)> = sqlx::query_as("SELECT record FROM calls WHERE id = $1")
        .bind(call.to_string())
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed(READING))?;
    let Some((text,)) = row else { return Ok(None) };
    let mut record: CallRecord = read_json(READING, &text)?;
    record.offers = read_offers(&mut *connection, call).await?;
    Ok(Some(record))
}

/// Every offer of a call, in order.
pub async fn offers(storage: &Storage, call: CallId) -> Result<Vec<OfferRecord>, StorageError> {
    read_offers(&storage.read, call).await
}

async fn read_offers(from: impl Executor<'_, Database = Db>, call: CallId) -> Result<Vec<OfferRecord>, StorageError> {
    const ACT: &str = "reading the offers of a call";
    let rows: Vec<(String,)> = sqlx::query_as("SELECT record FROM offers WHERE call = $1 ORDER BY number")
        .bind(call.to_string())
        .fetch_all(from)
        .await
        .map_err(failed(ACT))?;
    rows.iter().map(|(text,)| read_json(ACT, text)).collect()
}

/// Calls without an end, oldest first: after a crash they are to be closed.
pub async fn open_calls(storage: &Storage) -> Result<Vec<CallRecord>, StorageError> {
    const ACT: &str = "reading the calls without an end";
    let mut snapshot = database::snapshot(storage).await.map_err(failed(ACT))?;
    let rows: Vec<(String,)> = sqlx::query_as("SELECT record FROM calls WHERE ended_at IS NULL ORDER BY received_at")
        .fetch_all(&mut *snapshot)
        .await
        .map_err(failed(ACT))?;
    let mut records = Vec::with_capacity(rows.len());
    for (text,) in rows {
        let mut record: CallRecord = read_json(ACT, &text)?;
        record.offers = read_offers(&mut *snapshot, record.id).await?;
        records.push(record);
    }
    Ok(records)
}

/// Call-backs that stood in line, the oldest first: what the recovery has left open.
pub(super) async fn open_call_backs(storage: &Storage) -> Result<Vec<OpenCallBack>, StorageError> {
    const ACT: &str = "reading the call-backs that stood in line";
    let mut open = Vec::new();
    for record in open_calls(storage).await?.into_iter().filter(CallRecord::stands_in_line) {
        let (last,): (Option<i64>,) = sqlx::query_as("SELECT MAX(number) FROM routing_notes WHERE call = $1")
            .bind(record.id.to_string())
            .fetch_one(&storage.read)
            .await
            .map_err(failed(ACT))?;
        let sequence = super::events::next_sequence(storage, record.id).await?.saturating_sub(1);
        let notes = last.and_then(|last| u16::try_from(last).ok()).unwrap_or(0);
        open.push(OpenCallBack { record: Box::new(record), sequence, notes });
    }
    Ok(open)
}

/// The number by which a caller is searched for: E.164 where it is known, else as the trunk wrote it.
pub(super) fn caller_of(record: &CallRecord) -> String {
    match &record.caller.e164 {
        Some(number) => number.as_str().to_owned(),
        None => record.caller.raw.clone(),
    }
}

/// Inserts or replaces calls with their legs; none may be there twice.
pub(super) async fn put(connection: &mut Connection, calls: &[&CallRecord]) -> Result<(), sqlx::Error> {
    let bind = |row: &mut Row<'_>, call: &&CallRecord| {
        row.push_bind(call.id.to_string())
            .push_bind(call.received_at.0)
            .push_bind(call.answered_at.map(|at| at.0))
            .push_bind(call.ended_at.map(|at| at.0))
            .push_bind(call.trunk.as_str().to_owned())
            .push_bind(call.line.as_str().to_owned())
            .push_bind(call.association.as_str().to_owned())
            .push_bind(call.region.as_str().to_owned())
            .push_bind(caller_of(call))
            .push_bind(call.ddi.as_ref().map_or(call.ddi_raw.as_str(), |ddi| ddi.as_str()).to_owned())
            .push_bind(call.regulator.as_ref().map(|regulator| regulator.as_str().to_owned()))
            .push_bind(call.outcome.as_ref().map(word).transpose()?)
            .push_bind(i64::from(call.priority))
            .push_bind(call.wait_ms().map(|wait_ms| wait_ms as i64))
            .push_bind(call.talk_ms().map(|talk_ms| talk_ms as i64))
            .push_bind(json(call)?)
            .push_bind(call.caller.raw.clone())
            .push_bind(call.choices.callback_of.map(|first| first.to_string()))
            .push_bind(call.dialled_by.as_ref().map(|by| by.as_str().to_owned()))
            .push_bind(call.person.is_test)
            .push_bind(call.person.first_call.map(|first| first.to_string()))
            .push_bind(i64::try_from(call.person.kept_wait_ms).unwrap_or(i64::MAX));
        Ok(())
    };
    database::insert(
        connection,
        "calls (id, received_at, answered_at, ended_at, trunk, line, association, region, caller, ddi, regulator,
             outcome, priority, wait_ms, talk_ms, record, caller_raw, callback_of, dialled_by, is_test,
             first_call, kept_wait_ms)",
        calls,
        bind,
        "(id) DO UPDATE SET received_at = excluded.received_at, answered_at = excluded.answered_at,
             ended_at = excluded.ended_at, trunk = excluded.trunk, line = excluded.line,
             association = excluded.association, region = excluded.region, caller = excluded.caller,
             ddi = excluded.ddi, regulator = excluded.regulator, outcome = excluded.outcome,
             priority = excluded.priority, wait_ms = excluded.wait_ms, talk_ms = excluded.talk_ms,
             record = excluded.record, caller_raw = excluded.caller_raw, callback_of = excluded.callback_of,
             dialled_by = excluded.dialled_by, is_test = excluded.is_test,
             first_call = excluded.first_call, kept_wait_ms = excluded.kept_wait_ms",
    )
    .await?;
    let legs: Vec<_> = calls.iter().flat_map(|call| call.legs.iter().map(|leg| (call.id, leg))).collect();
    put_legs(connection, &legs).await
}

async fn put_legs(connection: &mut Connection, legs: &[(CallId, &LegRecord)]) -> Result<(), sqlx::Error> {
    let bind = |row: &mut Row<'_>, (call, leg): &(CallId, &LegRecord)| {
        row.push_bind(call.to_string())
            .push_bind(i64::from(leg.number))
            .push_bind(word(&leg.side)?)
            .push_bind(leg.regulator.as_ref().map(|regulator| regulator.as_str().to_owned()))
            .push_bind(leg.sip_call_id.clone())
            .push_bind(leg.started_at.0)
            .push_bind(leg.ended_at.map(|at| at.0))
            .push_bind(json(leg)?);
        Ok(())
    };
    database::insert(
        connection,
        "legs (call, number, side, regulator, sip_call_id, started_at, ended_at, record)",
        legs,
        bind,
        "(call, number) DO UPDATE SET side = excluded.side, regulator = excluded.regulator,
             sip_call_id = excluded.sip_call_id, started_at = excluded.started_at, ended_at = excluded.ended_at,
             record = excluded.record",
    )
    .await
}

/// Inserts or replaces offers of calls that are there; none may be there twice.
pub(super) async fn put_offers(
    connection: &mut Connection,
    offers: &[(CallId, &OfferRecord)],
) -> Result<(), sqlx::Error> {
    let bind = |row: &mut Row<'_>, (call, offer): &(CallId, &OfferRecord)| {
        row.push_bind(call.to_string())
            .push_bind(i64::from(offer.number.0))
            .push_bind(offer.regulator.as_str().to_owned())
            .push_bind(offer.offered_at.0)
            .push_bind(offer.ended_at.map(|at| at.0))
            .push_bind(offer.end.as_ref().map(word).transpose()?)
            .push_bind(json(offer)?);
        Ok(())
    };
    database::insert(
        connection,
        "offers (call, number, regulator, offered_at, ended_at, ended_how, record)",
        offers,
        bind,
        "(call, number) DO UPDATE SET regulator = excluded.regulator, offered_at = excluded.offered_at,
             ended_at = excluded.ended_at, ended_how = excluded.ended_how, record = excluded.record",
    )
    .await
}
