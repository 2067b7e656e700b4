//! The regulators' last states and the sequences of their events.

use crate::model::{RegulatorId, RegulatorState, Utc};

use super::database::{self, Connection, Row, json};
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

/// Inserts or replaces states; no regulator may be there twice.
pub(super) async fn put(
    connection: &mut Connection,
    states: &[(&RegulatorId, &RegulatorState, Utc)],
) -> Result<(), sqlx::Error> {
    let bind = |row: &mut Row<'_>, (regulator, state, since): &(&RegulatorId, &RegulatorState, Utc)| {
        row.push_bind(regulator.as_str().to_owned()).push_bind(json(state)?).push_bind(since.0).push_bind(0);
        Ok(())
    };
    database::insert(
        connection,
        "regulators (id, state, since, sequence)",
        states,
        bind,
        "(id) DO UPDATE SET state = excluded.state, since = excluded.since",
    )
    .await
}

/// Keeps the highest sequence of each regulator's events; no regulator may be there twice.
pub(super) async fn raise_sequences(
    connection: &mut Connection,
    sequences: &[(&RegulatorId, u32)],
) -> Result<(), sqlx::Error> {
    let bind = |row: &mut Row<'_>, (regulator, sequence): &(&RegulatorId, u32)| {
        row.push_bind(regulator.as_str().to_owned());
        row.push("NULL").push_bind(0).push_bind(i64::from(*sequence));
        Ok(())
    };
    database::insert(
        connection,
        "regulators (id, state, since, sequence)",
        sequences,
        bind,
        "(id) DO UPDATE SET sequence = excluded.sequence WHERE excluded.sequence > regulators.sequence",
    )
    .await
}
