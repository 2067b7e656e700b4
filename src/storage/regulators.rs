//! The regulators' last states and the sequences of their events.

use crate::model::{RegulatorId, RegulatorState, Utc};

use super::database::{Connection, json};
use super::{Storage, StorageError, failed, read_json};

/// States with their beginnings, and the highest event sequences.
pub(super) type Known = (Vec<(RegulatorId, RegulatorState, Utc)>, Vec<(RegulatorId, u32)>);

/// Everything remembered of the regulators.
pub(super) async fn remembered(storage: &Storage) -> Result<Known, StorageError> {
    const ACT: &str = "reading the regulators' states";
    let rows: Vec<(String, Option<String>, i64, i64)> =
        sqlx::query_as("SELECT id, state, since, sequence FROM regulators ORDER BY id")
            .fetch_all(&storage.read)
            .await
            .map_err(failed(ACT))?;
    let mut known = Known::default();
    for (id, state, since, sequence) in rows {
        let id = RegulatorId::from(id.as_str());
        if let Some(state) = state {
            known.0.push((id.clone(), read_json(ACT, &state)?, Utc(since)));
        }
        known.1.push((id, u32::try_from(sequence).unwrap_or(0)));
    }
    Ok(known)
}

/// Inserts or replaces a state.
pub(super) async fn put(
    connection: &mut Connection,
    regulator: &RegulatorId,
    state: &RegulatorState,
    since: Utc,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO regulators (id, state, since, sequence) VALUES ($1, $2, $3, 0)
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, since = excluded.since",
    )
    .bind(regulator.as_str())
    .bind(json(state)?)
    .bind(since.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps the highest sequence of a regulator's events.
pub(super) async fn raise_sequence(
    connection: &mut Connection,
    regulator: &RegulatorId,
    sequence: u32,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO regulators (id, state, since, sequence) VALUES ($1, NULL, 0, $2)
         ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence
         WHERE excluded.sequence > regulators.sequence",
    )
    .bind(regulator.as_str())
    .bind(i64::from(sequence))
    .execute(connection)
    .await?;
    Ok(())
}
