//! Events as stored: read back without their Rust type, so that an old event outlives a change of it.

use serde::{Deserialize, Serialize};
use sqlx::Executor;

use crate::model::{CallId, Event, EventId, Subject, Utc};

use super::database::{self, Connection, Db, Row, json};
use super::{Storage, StorageError, failed, read_json};

/// The most events that one question answers: a call has far fewer.
const EVENTS_MAX: i64 = 2000;

/// The most events of one kind that one question answers: half a year of one site's changes of state.
const KIND_MAX: i64 = 5_000_000;

/// One stored event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// Its id; the `webhook-id` too.
    pub id: EventId,
    /// `calls/<id>` or `regulators/<id>`.
    pub subject: String,
    /// The call, when it is about one.
    pub call: Option<CallId>,
    /// 1, 2, 3… within the subject.
    pub sequence: u32,
    /// When it happened.
    pub at: Utc,
    /// Its CloudEvents type: `call.received`…
    pub kind: String,
    /// What the type says.
    pub payload: serde_json::Value,
}

/// The columns of a [`StoredEvent`], in the order of its fields.
pub(super) type EventRow = (String, String, Option<String>, i64, i64, String, String);

/// The events of a call, in their order.
pub async fn of_call(storage: &Storage, call: CallId) -> Result<Vec<StoredEvent>, StorageError> {
    read_of_call(&storage.read, call).await
}

pub(super) async fn read_of_call(
    from: impl Executor<'_, Database = Db>,
    call: CallId,
) -> Result<Vec<StoredEvent>, StorageError> {
    let rows: Vec<EventRow> = sqlx::query_as(
        "SELECT id, subject, call, sequence, at, kind, payload FROM events
         WHERE subject = $1 ORDER BY sequence, at LIMIT $2",
    )
    .bind(subject_text(&Subject::Call(call)))
    .bind(EVENTS_MAX)
    .fetch_all(from)
    .await
    .map_err(failed("reading the events of a call"))?;
    rows.into_iter().map(read).collect()
}

/// The events of one kind from `from` until before `to`, by their time; at most `KIND_MAX`.
pub async fn of_kind(storage: &Storage, kind: &str, from: Utc, to: Utc) -> Result<Vec<StoredEvent>, StorageError> {
    let rows: Vec<EventRow> = sqlx::query_as(
        "SELECT id, subject, call, sequence, at, kind, payload FROM events
         WHERE kind = $1 AND at >= $2 AND at < $3 ORDER BY at, subject, sequence LIMIT $4",
    )
    .bind(kind)
    .bind(from.0)
    .bind(to.0)
    .bind(KIND_MAX)
    .fetch_all(&storage.read)
    .await
    .map_err(failed("reading the events of one kind"))?;
    rows.into_iter().map(read).collect()
}

/// The sequence of a call's next event: one more than the highest stored.
pub async fn next_sequence(storage: &Storage, call: CallId) -> Result<u32, StorageError> {
    let row: (Option<i64>,) = sqlx::query_as("SELECT MAX(sequence) FROM events WHERE subject = $1")
        .bind(subject_text(&Subject::Call(call)))
        .fetch_one(&storage.read)
        .await
        .map_err(failed("reading the last sequence of a call"))?;
    Ok(row.0.and_then(|last| u32::try_from(last).ok()).unwrap_or(0).saturating_add(1))
}

/// A subject as the database, the API and CloudEvents write it.
pub fn subject_text(subject: &Subject) -> String {
    match subject {
        Subject::Call(call) => format!("calls/{call}"),
        Subject::Regulator(regulator) => format!("regulators/{regulator}"),
    }
}

pub(super) fn read(row: EventRow) -> Result<StoredEvent, StorageError> {
    const ACT: &str = "reading an event";
    let (id, subject, call, sequence, at, kind, payload) = row;
    let parse = |text: String| serde_json::from_value(text.into());
    Ok(StoredEvent {
        id: parse(id).map(EventId).map_err(|source| StorageError::Unreadable { act: ACT, source })?,
        call: match call {
            None => None,
            Some(call) => {
                Some(parse(call).map(CallId).map_err(|source| StorageError::Unreadable { act: ACT, source })?)
            }
        },
        subject,
        sequence: u32::try_from(sequence).unwrap_or(u32::MAX),
        at: Utc(at),
        kind,
        payload: read_json(ACT, &payload)?,
    })
}

/// Inserts events, but none that is there already.
pub(super) async fn put(connection: &mut Connection, events: &[&Event]) -> Result<(), sqlx::Error> {
    let bind = |row: &mut Row<'_>, event: &&Event| {
        row.push_bind(event.id.to_string())
            .push_bind(subject_text(&event.subject))
            .push_bind(event.call().map(|call| call.to_string()))
            .push_bind(i64::from(event.sequence))
            .push_bind(event.at.0)
            .push_bind(event.kind.name())
            .push_bind(payload(event)?);
        Ok(())
    };
    database::insert(
        connection,
        "events (id, subject, call, sequence, at, kind, payload)",
        events,
        bind,
        "(id) DO NOTHING",
    )
    .await
}

/// What the event says. `EventKind` serialises as `{"type", "data"}`: the type has its own column.
fn payload(event: &Event) -> Result<String, sqlx::Error> {
    let mut whole = serde_json::to_value(&event.kind).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    json(&whole.get_mut("data").map(serde_json::Value::take).unwrap_or_default())
}
