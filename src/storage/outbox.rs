//! Events owed to endpoints: what is due, what became of an attempt, dead letters and their replay.
//!
//! Of each subject at each endpoint one row at most is `due` and the others stand `behind` it; when it is settled,
//! the next is promoted in the same transaction. So events of one call stay in order, and nothing scans a backlog.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use sqlx::{Executor, QueryBuilder};

use crate::model::{CallId, Event, EventId, Utc};

use super::database::{self, Connection, Db, Row};
use super::events::{self, EventRow, StoredEvent, subject_text};
use super::{Storage, StorageError, failed, filter};

/// Rows removed in one transaction when old ones are pruned.
const PRUNED_AT_ONCE: i64 = 1000;
/// Attempts listed for one event: hourly for three days, and replays.
const DELIVERIES_MAX: i64 = 500;

/// Where an owed event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutboxState {
    /// The next of its subject: delivered at `due_at`.
    Due,
    /// An earlier event of its subject is still owed.
    Behind,
    /// The endpoint has it.
    Delivered,
    /// Given up, with a reason; can be replayed.
    Dead,
}

impl OutboxState {
    fn as_str(self) -> &'static str {
        match self {
            OutboxState::Due => "due",
            OutboxState::Behind => "behind",
            OutboxState::Delivered => "delivered",
            OutboxState::Dead => "dead",
        }
    }

    fn read(text: &str) -> OutboxState {
        match text {
            "due" => OutboxState::Due,
            "behind" => OutboxState::Behind,
            "delivered" => OutboxState::Delivered,
            _ => OutboxState::Dead,
        }
    }
}

impl fmt::Display for OutboxState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event to be delivered now.
#[derive(Clone, Debug, PartialEq)]
pub struct Owed {
    /// Its row.
    pub position: i64,
    /// Attempts made before.
    pub attempts: u32,
    /// Since when it is owed: 72 h count from here.
    pub owed_since: Utc,
    /// The event.
    pub event: StoredEvent,
}

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint has it.
    Delivered,
    /// Try again then.
    Again {
        /// When.
        due_at: Utc,
    },
    /// Given up.
    Dead {
        /// Why.
        reason: String,
    },
}

/// One attempt and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The row.
    pub position: i64,
    /// When the attempt began.
    pub at: Utc,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
    /// What follows.
    pub verdict: Verdict,
}

/// A row of the outbox, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// Its place; the cursor of the next page, and what [`replay`] takes.
    pub position: i64,
    /// The event.
    pub event: EventId,
    /// To whom it is owed.
    pub endpoint: String,
    /// `calls/<id>` or `regulators/<id>`.
    pub subject: String,
    /// `call.received`…
    pub kind: String,
    /// Within the subject.
    pub sequence: u32,
    /// Where it stands.
    pub state: OutboxState,
    /// Attempts made.
    pub attempts: u32,
    /// When the next attempt is due (of a `due` row).
    pub due_at: Utc,
    /// Since when it is owed.
    pub owed_since: Utc,
    /// When it was delivered or given up.
    pub settled_at: Option<Utc>,
    /// The last HTTP status.
    pub status: Option<u16>,
    /// The last error, or why it was given up.
    pub reason: Option<String>,
}

/// Which rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutboxFilter {
    /// Of this endpoint.
    pub endpoint: Option<String>,
    /// In one of these states; in any, when there is none.
    pub states: Vec<OutboxState>,
    /// About this call.
    pub call: Option<CallId>,
    /// At most so many, 1 to [`super::ROWS_MAX`].
    pub limit: Option<u32>,
    /// Which come first.
    pub order: OutboxOrder,
    /// Only what stands behind this place in that order: the last of the page before.
    pub after: Option<i64>,
}

/// Which rows of a list come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutboxOrder {
    /// What was owed last.
    #[default]
    NewestFirst,
    /// What was owed first.
    OldestFirst,
}

/// What one endpoint is owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwedCount {
    /// The endpoint.
    pub endpoint: String,
    /// Events not delivered yet.
    pub pending: u64,
    /// Dead letters.
    pub dead: u64,
    /// The oldest that is pending is owed since.
    pub oldest: Option<Utc>,
}

/// One attempt, as recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// To whom.
    pub endpoint: String,
    /// 1, 2, 3…; begins again at a replay.
    pub attempt: u32,
    /// When.
    pub at: Utc,
    /// How long, in milliseconds.
    pub elapsed_ms: u64,
    /// The HTTP status.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
}

/// What is due for an endpoint at `now`, the longest due first, at most `limit`.
pub async fn due(storage: &Storage, endpoint: &str, now: Utc, limit: u32) -> Result<Vec<Owed>, StorageError> {
    type Row = (i64, i64, i64, String, String, Option<String>, i64, i64, String, String);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT o.position, o.attempts, o.owed_since, e.id, e.subject, e.call, e.sequence, e.at, e.kind, e.payload
         FROM outbox o JOIN events e ON e.id = o.event
         WHERE o.state = 'due' AND o.endpoint = $1 AND o.due_at <= $2 ORDER BY o.due_at, o.position LIMIT $3",
    )
    .bind(endpoint)
    .bind(now.0)
    .bind(i64::from(limit))
    .fetch_all(&storage.read)
    .await
    .map_err(failed("reading what is due in the outbox"))?;
    let mut owed = Vec::with_capacity(rows.len());
    for row in rows {
        let (position, attempts, owed_since, id, subject, call, sequence, at, kind, payload) = row;
        let event: EventRow = (id, subject, call, sequence, at, kind, payload);
        match events::read(event) {
            Ok(event) => owed.push(Owed {
                position,
                attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
                owed_since: Utc(owed_since),
                event,
            }),
            // A row that nobody can read must not hold up all the others.
            Err(error) => {
                let verdict = Verdict::Dead { reason: error.to_string() };
                settle(storage, &[Settled { position, at: now, elapsed_ms: 0, status: None, error: None, verdict }])
                    .await?;
            }
        }
    }
    Ok(owed)
}

/// When the next row of an endpoint is due that is not due at `now`.
pub async fn next_due(storage: &Storage, endpoint: &str, now: Utc) -> Result<Option<Utc>, StorageError> {
    let (due_at,): (Option<i64>,) =
        sqlx::query_as("SELECT MIN(due_at) FROM outbox WHERE state = 'due' AND endpoint = $1 AND due_at > $2")
            .bind(endpoint)
            .bind(now.0)
            .fetch_one(&storage.read)
            .await
            .map_err(failed("reading what is due next in the outbox"))?;
    Ok(due_at.map(Utc))
}

/// Records attempts and what follows, all in one transaction.
pub async fn settle(storage: &Storage, attempts: &[Settled]) -> Result<(), StorageError> {
    const ACT: &str = "recording deliveries";
    let mut transaction = database::begin(storage).await.map_err(failed(ACT))?;
    for attempt in attempts {
        settle_one(&mut transaction, attempt).await.map_err(failed(ACT))?;
    }
    transaction.commit().await.map_err(failed(ACT))
}

async fn settle_one(connection: &mut Connection, settled: &Settled) -> Result<(), sqlx::Error> {
    let ended_at = settled.at.0.saturating_add((settled.elapsed_ms as i64).saturating_mul(1000));
    let (state, due_at, settled_at, reason) = match &settled.verdict {
        Verdict::Delivered => (OutboxState::Delivered, None, Some(ended_at), None),
        Verdict::Again { due_at } => (OutboxState::Due, Some(due_at.0), None, settled.error.as_deref()),
        Verdict::Dead { reason } => (OutboxState::Dead, None, Some(ended_at), Some(reason.as_str())),
    };
    let status = settled.status.map(i64::from);
    let row: Option<(String, String, i64)> = sqlx::query_as(
        "UPDATE outbox SET state = $2, attempts = attempts + 1, due_at = COALESCE($3, due_at), settled_at = $4,
             status = $5, reason = $6
         WHERE position = $1 RETURNING endpoint, subject, attempts",
    )
    .bind(settled.position)
    .bind(state.as_str())
    .bind(due_at)
    .bind(settled_at)
    .bind(status)
    .bind(reason)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((endpoint, subject, attempt)) = row else { return Ok(()) };
    sqlx::query(
        "INSERT INTO deliveries (outbox, attempt, at, elapsed_ms, status, error) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (outbox, attempt, at) DO NOTHING",
    )
    .bind(settled.position)
    .bind(attempt)
    .bind(settled.at.0)
    .bind(settled.elapsed_ms as i64)
    .bind(status)
    .bind(settled.error.as_deref())
    .execute(&mut *connection)
    .await?;
    match settled.verdict {
        Verdict::Again { .. } => Ok(()),
        Verdict::Delivered | Verdict::Dead { .. } => promote(connection, &endpoint, &subject, ended_at).await,
    }
}

/// The next of the subject is due now.
async fn promote(connection: &mut Connection, endpoint: &str, subject: &str, now: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE outbox SET state = 'due', due_at = $3 WHERE position =
             (SELECT MIN(position) FROM outbox WHERE endpoint = $1 AND subject = $2 AND state = 'behind')",
    )
    .bind(endpoint)
    .bind(subject)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Brings everything that waits for its next attempt at `endpoint` forward to `now`: the endpoint is back.
pub async fn hasten(storage: &Storage, endpoint: &str, now: Utc) -> Result<u64, StorageError> {
    let hastened = sqlx::query("UPDATE outbox SET due_at = $2 WHERE state = 'due' AND endpoint = $1 AND due_at > $2")
        .bind(endpoint)
        .bind(now.0)
        .execute(&storage.write)
        .await
        .map_err(failed("bringing the outbox forward"))?;
    Ok(hastened.rows_affected())
}

/// Rows of the outbox.
pub async fn list(storage: &Storage, filter: &OutboxFilter) -> Result<Vec<OutboxRow>, StorageError> {
    read(&storage.read, filter).await
}

pub(super) async fn read(
    from: impl Executor<'_, Database = Db>,
    filter: &OutboxFilter,
) -> Result<Vec<OutboxRow>, StorageError> {
    let mut sql = QueryBuilder::<Db>::new(
        "SELECT o.position, o.event, o.endpoint, o.subject, e.kind, e.sequence, o.state, o.attempts, o.due_at,
             o.owed_since, o.settled_at, o.status, o.reason
         FROM outbox o JOIN events e ON e.id = o.event WHERE true",
    );
    if let Some(endpoint) = &filter.endpoint {
        sql.push(" AND o.endpoint = ").push_bind(endpoint.clone());
    }
    if !filter.states.is_empty() {
        let mut states = sql.push(" AND o.state IN (").separated(", ");
        for state in &filter.states {
            states.push_bind(state.as_str());
        }
        sql.push(")");
    }
    if let Some(call) = filter.call {
        sql.push(" AND o.subject = ").push_bind(subject_text(&crate::model::Subject::Call(call)));
    }
    let (behind, order) = match filter.order {
        OutboxOrder::NewestFirst => (" AND o.position < ", " ORDER BY o.position DESC LIMIT "),
        OutboxOrder::OldestFirst => (" AND o.position > ", " ORDER BY o.position LIMIT "),
    };
    if let Some(after) = filter.after {
        sql.push(behind).push_bind(after);
    }
    sql.push(order).push_bind(i64::from(filter::rows(filter.limit)));
    let rows: Vec<OutboxRowRead> = sql.build_query_as().fetch_all(from).await.map_err(failed("listing the outbox"))?;
    Ok(rows.into_iter().filter_map(OutboxRowRead::read).collect())
}

/// The dead letters of all endpoints, newest first.
pub async fn dead_letters(
    storage: &Storage,
    limit: Option<u32>,
    after: Option<i64>,
) -> Result<Vec<OutboxRow>, StorageError> {
    list(storage, &OutboxFilter { states: vec![OutboxState::Dead], limit, after, ..OutboxFilter::default() }).await
}

#[derive(sqlx::FromRow)]
struct OutboxRowRead {
    position: i64,
    event: String,
    endpoint: String,
    subject: String,
    kind: String,
    sequence: i64,
    state: String,
    attempts: i64,
    due_at: i64,
    owed_since: i64,
    settled_at: Option<i64>,
    status: Option<i64>,
    reason: Option<String>,
}

impl OutboxRowRead {
    fn read(self) -> Option<OutboxRow> {
        Some(OutboxRow {
            position: self.position,
            event: EventId(self.event.parse().ok()?),
            endpoint: self.endpoint,
            subject: self.subject,
            kind: self.kind,
            sequence: u32::try_from(self.sequence).unwrap_or(u32::MAX),
            state: OutboxState::read(&self.state),
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            due_at: Utc(self.due_at),
            owed_since: Utc(self.owed_since),
            settled_at: self.settled_at.map(Utc),
            status: self.status.and_then(|status| u16::try_from(status).ok()),
            reason: self.reason,
        })
    }
}

/// Owes a dead letter again, from the first attempt; false when there is no such dead letter.
pub async fn replay(storage: &Storage, position: i64, now: Utc) -> Result<bool, StorageError> {
    // Behind whatever its subject still owes: two of one subject are never under way at once.
    let replayed = sqlx::query(
        "UPDATE outbox SET attempts = 0, due_at = $2, owed_since = $2, settled_at = NULL,
             state = CASE WHEN EXISTS (SELECT 1 FROM outbox other WHERE other.endpoint = outbox.endpoint
                 AND other.subject = outbox.subject AND other.state IN ('due', 'behind')) THEN 'behind' ELSE 'due' END
         WHERE position = $1 AND state = 'dead'",
    )
    .bind(position)
    .bind(now.0)
    .execute(&storage.write)
    .await
    .map_err(failed("replaying a dead letter"))?;
    storage.announce_commit();
    Ok(replayed.rows_affected() > 0)
}

/// Owes every dead letter of an endpoint again, oldest first; how many there were.
pub async fn replay_all(storage: &Storage, endpoint: &str, now: Utc) -> Result<u64, StorageError> {
    const ACT: &str = "listing the dead letters to replay";
    let (mut replayed, mut after) = (0, 0);
    loop {
        let rows: Vec<(i64,)> = sqlx::query_as(
            "SELECT position FROM outbox WHERE state = 'dead' AND endpoint = $1 AND position > $2
             ORDER BY position LIMIT $3",
        )
        .bind(endpoint)
        .bind(after)
        .bind(PRUNED_AT_ONCE)
        .fetch_all(&storage.read)
        .await
        .map_err(failed(ACT))?;
        let Some((last,)) = rows.last() else { return Ok(replayed) };
        after = *last;
        for (position,) in rows {
            replayed += u64::from(replay(storage, position, now).await?);
        }
    }
}

/// What each endpoint is owed.
pub async fn pending(storage: &Storage) -> Result<Vec<OwedCount>, StorageError> {
    let rows: Vec<(String, i64, i64, Option<i64>)> = sqlx::query_as(
        "SELECT endpoint, COUNT(CASE WHEN state <> 'dead' THEN 1 END), COUNT(CASE WHEN state = 'dead' THEN 1 END),
             MIN(CASE WHEN state <> 'dead' THEN owed_since END)
         FROM outbox WHERE state IN ('due', 'behind', 'dead') GROUP BY endpoint ORDER BY endpoint",
    )
    .fetch_all(&storage.read)
    .await
    .map_err(failed("counting the outbox"))?;
    let read = |(endpoint, pending, dead, oldest): (String, i64, i64, Option<i64>)| OwedCount {
        endpoint,
        pending: pending.max(0) as u64,
        dead: dead.max(0) as u64,
        oldest: oldest.map(Utc),
    };
    Ok(rows.into_iter().map(read).collect())
}

/// The attempts made for one event, at every endpoint, oldest first.
pub async fn deliveries(storage: &Storage, event: EventId) -> Result<Vec<Delivery>, StorageError> {
    type Row = (String, i64, i64, i64, Option<i64>, Option<String>);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT o.endpoint, d.attempt, d.at, d.elapsed_ms, d.status, d.error
         FROM deliveries d JOIN outbox o ON o.position = d.outbox WHERE o.event = $1 ORDER BY d.at, d.attempt LIMIT $2",
    )
    .bind(event.to_string())
    .bind(DELIVERIES_MAX)
    .fetch_all(&storage.read)
    .await
    .map_err(failed("reading the deliveries of an event"))?;
    let read = |(endpoint, attempt, at, elapsed_ms, status, error): Row| Delivery {
        endpoint,
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
        at: Utc(at),
        elapsed_ms: elapsed_ms.max(0) as u64,
        status: status.and_then(|status| u16::try_from(status).ok()),
        error,
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Removes what was delivered before `before`; dead letters stay.
pub(super) async fn prune(storage: &Storage, before: Utc) -> Result<(), StorageError> {
    loop {
        // COALESCE keeps SQLite from reading every delivered row by its state, instead of the old ones by their end.
        let pruned = sqlx::query(
            "DELETE FROM outbox WHERE position IN
                 (SELECT position FROM outbox WHERE settled_at < $1 AND COALESCE(state, '') = 'delivered' LIMIT $2)",
        )
        .bind(before.0)
        .bind(PRUNED_AT_ONCE)
        .execute(&storage.write)
        .await
        .map_err(failed("removing old deliveries"))?;
        if pruned.rows_affected() < PRUNED_AT_ONCE as u64 {
            return Ok(());
        }
    }
}

/// Owes events to endpoints, unless they are owed or delivered already.
pub(super) async fn put(connection: &mut Connection, owed: &[(&Event, &str)]) -> Result<(), sqlx::Error> {
    let bind = |row: &mut Row<'_>, (event, endpoint): &(&Event, &str)| {
        row.push_bind(event.id.to_string())
            .push_bind((*endpoint).to_owned())
            .push_bind(subject_text(&event.subject))
            .push_bind(OutboxState::Behind.as_str())
            .push_bind(0)
            .push_bind(event.at.0)
            .push_bind(event.at.0);
        Ok(())
    };
    database::insert(
        connection,
        "outbox (event, endpoint, subject, state, attempts, due_at, owed_since)",
        owed,
        bind,
        "(event, endpoint) DO NOTHING",
    )
    .await?;
    let subjects: BTreeSet<_> =
        owed.iter().map(|(event, endpoint)| (*endpoint, subject_text(&event.subject))).collect();
    for (endpoint, subject) in &subjects {
        let first = sqlx::query(
            "UPDATE outbox SET state = 'due' WHERE position =
                 (SELECT MIN(position) FROM outbox WHERE endpoint = $1 AND subject = $2 AND state = 'behind')
             AND NOT EXISTS (SELECT 1 FROM outbox WHERE endpoint = $1 AND subject = $2 AND state = 'due')",
        );
        first.bind(*endpoint).bind(subject.as_str()).execute(&mut *connection).await?;
    }
    Ok(())
}
