//! Encryption at rest, as a start finds it: its keys, the rings' place, the wait for a key that is away, and what waits with it.

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
/// Of the tries to seal what an earlier run left, at most so many are left out between two: one is made in ten minutes.
const RESTS_MAX: u32 = 59;

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

/// Keeps the pool of keys full, waits for a key that is away, and has sealed what an earlier run left: what waited for that
/// key, or for a disk that works.
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
        let (mut looks, mut left) = (0, Left::default());
        loop {
            tokio::select! {
                _ = stopped.changed() => return,
                () = tokio::time::sleep(POOL_EVERY) => {}
            }
            keys.fill_pool();
            let is_locked = keys.why_locked().is_some();
            metrics::gauge!("vigie_recording_key_absent").set(if is_locked { 1.0 } else { 0.0 });
            looks += 1;
            if looks < LOOKS_A_TRY {
                continue;
            }
            looks = 0;
            if is_locked {
                let trying = keys.clone();
                if !spawn_blocking(move || trying.try_again()).await.unwrap_or(false) {
                    continue;
                }
                let text = "the key-encryption key is there again; what waited for it is sealed now".to_owned();
                tell(&Alarm { kind: "recording-key-back".into(), call: None, text });
                left = Left::default();
            }
            if left.is_due()
                && let Err(error) = seal_late(&recorder, (&storage, &writer), &mut chance, &mut left).await
            {
                tracing::error!(%error, "recordings that were sealed late are stored at the next start");
            }
        }
    })
}

/// Recordings of an earlier run that the start did not seal, as far as is known.
#[derive(Debug, Default)]
struct Left {
    /// The next tries that are left out, and how many were the last time: all of the old journal is read in each.
    rests: u32,
    rested: u32,
    /// So many waited when it was told last; `None`: not asked yet.
    waiting: Option<usize>,
}

impl Left {
    /// Whether it is tried now.
    fn is_due(&mut self) -> bool {
        let is_due = self.rests == 0 && self.waiting != Some(0);
        self.rests = self.rests.saturating_sub(1);
        is_due
    }

    /// So many wait still. Whether that is to be told.
    fn note(&mut self, waiting: usize) -> bool {
        self.rested = (self.rested * 2 + 1).min(RESTS_MAX);
        self.rests = self.rested;
        self.waiting.replace(waiting) != Some(waiting) && waiting > 0
    }
}

async fn seal_late(
    recorder: &Weak<Recorder>,
    (storage, writer): (&Storage, &Writer),
    chance: &mut Chance,
    left: &mut Left,
) -> Result<(), AppError> {
    let Some(recorder) = recorder.upgrade() else { return Ok(()) };
    // Nobody did it: it is asked again at the next try.
    let Some(late) = spawn_blocking(move || recorder.seal_late()).await.unwrap_or_default() else { return Ok(()) };
    if left.note(late.waiting) {
        let text = format!(
            "{} recordings of an earlier run are not sealed yet: the log says why. They are kept, and tried again, after \
             10 s and then less often, every {} minutes at least",
            late.waiting,
            POOL_EVERY.as_secs() * u64::from(LOOKS_A_TRY * (RESTS_MAX + 1)) / 60
        );
        tell(&Alarm { kind: "recording-left".into(), call: None, text });
    }
    for text in late.damaged {
        tell(&Alarm { kind: "recording-damaged".into(), call: None, text });
    }
    if !late.sealed.is_empty() {
        tracing::info!(recordings = late.sealed.len(), "recordings that an earlier run had left were sealed");
    }
    recovery::remember_sealed(&late.sealed, (storage, writer), chance).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_tried_until_nothing_is_and_told_when_it_changes() {
        let mut left = Left::default();
        assert!(left.is_due(), "at first nobody knows");
        assert!(left.note(2));
        // One try is left out, then three, then seven.
        assert_eq!([(); 2].map(|()| left.is_due()), [false, true]);
        assert!(!left.note(2), "told already");
        assert_eq!([(); 4].map(|()| left.is_due()), [false, false, false, true]);
        assert!(left.note(1));
        for _ in 0..20 {
            while !left.is_due() {}
            left.note(1);
        }
        assert_eq!(left.rests, RESTS_MAX);
        while !left.is_due() {}
        assert!(!left.note(0), "nothing is left");
        assert!(!(0..1000).any(|_| left.is_due()));
    }
}
