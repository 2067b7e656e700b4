//! Why calls waited, turn by turn; and how true each day's forecasts were.

use crate::model::{CallId, ForecastDay, RoutingNote};

use super::database::{self, Connection, Row, json};
use super::{Storage, StorageError, failed, read_json};

/// The most days of forecasts that are read at once: more than a year.
const DAYS_MAX: i64 = 400;

/// The turns of a call's wait, in order.
pub async fn of_call(storage: &Storage, call: CallId) -> Result<Vec<RoutingNote>, StorageError> {
    const ACT: &str = "reading why a call waited";
    let rows: Vec<(String,)> = sqlx::query_as("SELECT note FROM routing_notes WHERE call = $1 ORDER BY number")
        .bind(call.to_string())
        .fetch_all(&storage.read)
        .await
        .map_err(failed(ACT))?;
    rows.iter().map(|(text,)| read_json(ACT, text)).collect()
}

/// How true the forecasts were, the newest day first.
pub async fn forecast_days(storage: &Storage) -> Result<Vec<ForecastDay>, StorageError> {
    const ACT: &str = "reading how true the forecasts were";
    let rows: Vec<(String,)> = sqlx::query_as("SELECT record FROM forecast_days ORDER BY day DESC LIMIT $1")
        .bind(DAYS_MAX)
        .fetch_all(&storage.read)
        .await
        .map_err(failed(ACT))?;
    rows.iter().map(|(text,)| read_json(ACT, text)).collect()
}

/// Inserts or replaces notes; none may be there twice.
pub(super) async fn put(connection: &mut Connection, notes: &[(CallId, &RoutingNote)]) -> Result<(), sqlx::Error> {
    let bind = |row: &mut Row<'_>, (call, note): &(CallId, &RoutingNote)| {
        row.push_bind(call.to_string()).push_bind(i64::from(note.number)).push_bind(note.at.0).push_bind(json(note)?);
        Ok(())
    };
    let into = "routing_notes (call, number, at, note)";
    database::insert(
        connection,
        into,
        notes,
        bind,
        "(call, number) DO UPDATE SET at = excluded.at, note = excluded.note",
    )
    .await
}

/// Inserts or replaces days of forecasts; none may be there twice.
pub(super) async fn put_days(connection: &mut Connection, days: &[&ForecastDay]) -> Result<(), sqlx::Error> {
    let bind = |row: &mut Row<'_>, day: &&ForecastDay| {
        row.push_bind(day.day.clone()).push_bind(json(day)?);
        Ok(())
    };
    let conflict = "(day) DO UPDATE SET record = excluded.record";
    database::insert(connection, "forecast_days (day, record)", days, bind, conflict).await
}
