//! Standing orders: numbers added to lists, messages of regions that are overrun.

use super::database::{Connection, json};
use super::{Storage, StorageError, failed, read_json};
use crate::model::standing::StandingOrder;

/// Every order that was not withdrawn.
pub async fn all(storage: &Storage) -> Result<Vec<StandingOrder>, StorageError> {
    const ACT: &str = "reading the standing orders";
    let rows: Vec<(String,)> = sqlx::query_as("SELECT record FROM standing_orders ORDER BY name")
        .fetch_all(&storage.read)
        .await
        .map_err(failed(ACT))?;
    rows.iter().map(|(record,)| read_json(ACT, record)).collect()
}

/// Inserts or replaces an order.
pub(super) async fn put(connection: &mut Connection, order: &StandingOrder) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO standing_orders (name, record) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET record = excluded.record",
    )
    .bind(order.key())
    .bind(json(order)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes an order.
pub(super) async fn remove(connection: &mut Connection, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM standing_orders WHERE name = $1").bind(name).execute(connection).await?;
    Ok(())
}
