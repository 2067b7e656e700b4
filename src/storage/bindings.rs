//! Registered devices, so that a restart rings them without waiting for their next REGISTER.

use crate::model::{Binding, DeviceId, RegulatorId, Utc};

use super::database::{Connection, json};
use super::{Storage, StorageError, failed, read_json};

/// Bindings that still hold at `now`.
pub async fn unexpired(storage: &Storage, now: Utc) -> Result<Vec<Binding>, StorageError> {
    const ACT: &str = "reading the bindings";
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT record FROM bindings WHERE expires_at > $1 ORDER BY regulator, device")
            .bind(now.0)
            .fetch_all(&storage.read)
            .await
            .map_err(failed(ACT))?;
    rows.iter().map(|(text,)| read_json(ACT, text)).collect()
}

/// Removes bindings that ended before `before`.
pub(super) async fn prune(storage: &Storage, before: Utc) -> Result<(), StorageError> {
    let pruned = sqlx::query("DELETE FROM bindings WHERE expires_at < $1").bind(before.0).execute(&storage.write);
    pruned.await.map(|_| ()).map_err(failed("removing expired bindings"))
}

/// Inserts or replaces a binding.
pub(super) async fn put(connection: &mut Connection, binding: &Binding) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO bindings (regulator, device, expires_at, record) VALUES ($1, $2, $3, $4)
         ON CONFLICT (regulator, device) DO UPDATE SET expires_at = excluded.expires_at, record = excluded.record",
    )
    .bind(binding.regulator.as_str())
    .bind(device_text(binding.device))
    .bind(binding.expires_at.0)
    .bind(json(binding)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes a binding.
pub(super) async fn remove(
    connection: &mut Connection,
    regulator: &RegulatorId,
    device: DeviceId,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM bindings WHERE regulator = $1 AND device = $2")
        .bind(regulator.as_str())
        .bind(device_text(device))
        .execute(connection)
        .await?;
    Ok(())
}

/// A device's id uses all 64 bits, which no database's integer holds without a sign.
fn device_text(device: DeviceId) -> String {
    format!("{:016x}", device.0)
}
