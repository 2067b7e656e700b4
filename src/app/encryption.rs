//! Encryption at rest, as a start finds it: its keys, the rings' place, and the wait for a key that is away.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{AppError, recovery};
use crate::config::Settings;
use crate::model::{Alarm, Chance};
use crate::recorder::Recorder;
use crate::storage::{Storage, Writer};
use crate::switchboard::tell;
use crate::vault::{self, Keys, VaultError};

/// The pool is looked at this often: calls take keys from it, and none waits for one.
const POOL_EVERY: Duration = Duration::from_secs(1);
/// A key that is away is asked for after so many looks at the pool.
const LOOKS_A_TRY: u32 = 10;

/// Opens the keys that the settings name, and says how audio will rest.
pub(super) fn open_keys(settings: &Settings) -> Result<Keys, VaultError> {
    let encryption = &settings.recording.encryption;
    if encryption.key.is_some() {
        vault::check_ring_folder(&settings.media.ring_folder)?;
    }
    let keys = Keys::open(encryption, &settings.node.state.join("secrets"))?;
    if !keys.is_on() {
        tracing::warn!("recordings are NOT encrypted at rest: recording.encryption.key is \"off\"");
        return Ok(keys);
    }
    if let Some(swap) = vault::swap_in_use() {
        tracing::warn!(
            "swap space is in use ({swap}): sound in memory may be written there in plain. Switch it off, or encrypt it"
        );
    }
    match keys.why_locked() {
        None => tracing::info!(kek = keys.ids().first(), "recordings are encrypted at rest (AES-256-GCM)"),
        Some(why) => tell_absent(&settings.recording.folder, &why),
    }
    Ok(keys)
}

fn tell_absent(recordings: &Path, why: &str) {
    let text = format!(
        "the key-encryption key is not there: {why}. Calls go on and are recorded, encrypted, under {}; what an earlier \
         start left unfinished is kept and sealed when the key is there (it is tried every {} s)",
        recordings.display(),
        POOL_EVERY.as_secs() * u64::from(LOOKS_A_TRY)
    );
    tell(&Alarm { kind: "recording-key-absent".into(), call: None, text });
}

/// Keeps the pool of keys full, and waits for a key that is away; then seals what waited for it.
pub(super) fn watch(
    keys: Keys,
    recorder: &Arc<Recorder>,
    (storage, writer): (&Storage, &Writer),
    chance: &mut Chance,
    stopped: &watch::Receiver<bool>,
) -> JoinHandle<()> {
    let (recorder, mut chance, mut stopped) = (Arc::downgrade(recorder), chance.fork(), stopped.clone());
    let (storage, writer) = (storage.clone(), writer.clone());
    tokio::spawn(async move {
        let mut looks = 0;
        loop {
            tokio::select! {
                _ = stopped.changed() => return,
                () = tokio::time::sleep(POOL_EVERY) => {}
            }
            keys.fill_pool();
            let is_locked = keys.why_locked().is_some();
            metrics::gauge!("vigie_recording_key_absent").set(if is_locked { 1.0 } else { 0.0 });
            looks = if is_locked { looks + 1 } else { 0 };
            if looks < LOOKS_A_TRY {
                continue;
            }
            looks = 0;
            let trying = keys.clone();
            if !spawn_blocking(move || trying.try_again()).await.unwrap_or(false) {
                continue;
            }
            let text = "the key-encryption key is there again; what waited for it is sealed now".to_owned();
            tell(&Alarm { kind: "recording-key-back".into(), call: None, text });
            if let Err(error) = seal_late(&recorder, (&storage, &writer), &mut chance).await {
                tracing::error!(%error, "recordings that were sealed late are stored at the next start");
            }
        }
    })
}

async fn seal_late(
    recorder: &Weak<Recorder>,
    (storage, writer): (&Storage, &Writer),
    chance: &mut Chance,
) -> Result<(), AppError> {
    let Some(recorder) = recorder.upgrade() else { return Ok(()) };
    let sealed = spawn_blocking(move || recorder.seal_late()).await.unwrap_or_default();
    tracing::info!(recordings = sealed.len(), "recordings that waited for their keys were sealed");
    recovery::remember_sealed(&sealed, (storage, writer), chance).await
}
