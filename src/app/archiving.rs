//! The second place at work: what was sealed is copied there beside live calls, once a day both places are compared, and
//! audio that is old enough becomes FLAC. A call never waits for any of it.

mod comparing;
mod packing;

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use comparing::Daily;
use ed25519_dalek::VerifyingKey;
use packing::Packer;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::AppError;
use crate::archive::Evidence;
use crate::archive::custody::Custodian;
use crate::archive::second::follow::{call_in, changes_since};
use crate::archive::second::{Copied, Place, Protection, Second};
use crate::clock;
use crate::config::Settings;
use crate::config::archive::{ArchiveSettings, PlaceSettings};
use crate::model::{Alarm, Utc};
use crate::recorder::seal_log::log_paths;
use crate::storage::copies::{self, Done, Waiting};
use crate::storage::{Storage, StorageError};
use crate::switchboard::tell;
use crate::vault::Keys;

/// How often the seal log is looked at: a recording has its copy some seconds after its seal.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A copy that failed is tried again after this, then after twice as long, and so on.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// And at last every so often.
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(600);
/// So many failures in a row are told before a recording waits too long.
const FAILURES_TOLD: u32 = 3;
/// A tenth of the weight of the threads that serve calls (sched(7)).
const BACKGROUND_NICE: i32 = 10;

/// The second place that the settings name.
pub(super) fn open(settings: &Settings) -> Result<Option<Arc<Second>>, AppError> {
    let Some(place) = &settings.archive.place else { return Ok(None) };
    if let PlaceSettings::Folder(folder) = place
        && let (Ok(first), Ok(second)) = (settings.recording.folder.metadata(), folder.metadata())
        && first.dev() == second.dev()
    {
        tracing::warn!(folder = %folder.display(), "the second place of recordings is on the same disk as the first");
    }
    let place = Place::open(place).map_err(|source| AppError::System { act: "use the second place", source })?;
    Ok(Some(Arc::new(Second::new(&settings.recording.folder, place))))
}

/// Before the recorder opens the seal log: a recordings folder that has lost it gets it back from the second place, so that
/// it goes on and what it proves can be fetched. Nothing of this keeps a call waiting for long.
pub(super) async fn bring_log_back(
    settings: &Settings,
    second: Option<&Arc<Second>>,
    (key, storage): (VerifyingKey, &Storage),
) -> Result<(), StorageError> {
    let Some(second) = second.cloned() else { return Ok(()) };
    let (node, place) = (settings.node.name.clone(), second.there().name());
    let log = log_paths(second.recordings(), &node).0;
    let log = log.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let text = match aside("archive-log", move || second.bring_log_back(&node, &key)).await {
        None | Some(Ok(None)) => return Ok(()),
        Some(Ok(Some(length))) => {
            // What was copied is known: only what comes now is news.
            if copies::mark(storage, &place, &log).await? > length {
                copies::note(storage, (&place, &log), [], length, clock::utc()).await?;
            }
            format!(
                "the recordings folder had lost its seal log; it goes on from the copy in the second place, {place}. What was \
                 sealed and not copied before is lost. `vigie archive check --repair` fetches the recordings"
            )
        }
        Some(Err(error)) => format!(
            "the recordings folder has no seal log, and the copy in the second place, {place}, could not be had: {error}. A new \
             one is begun; `vigie archive check --repair` fetches what was there"
        ),
    };
    tell(&Alarm { kind: "archive-differs".into(), call: None, text });
    Ok(())
}

/// The keys of those who read audio: what is not here they find in the second place.
pub(super) fn keys_of_readers(keys: &Keys, second: Option<&Arc<Second>>) -> Keys {
    second.map_or_else(|| keys.clone(), |second| keys.and_elsewhere(second.clone()))
}

/// Begins everything that the settings ask for, until `stopped`.
pub(super) fn start(
    settings: &Settings,
    second: Option<Arc<Second>>,
    (storage, custodian, evidence): (&Storage, &Arc<Custodian>, Evidence),
    stopped: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    if let Some(second) = second {
        let copier = Copier::new(settings, second.clone(), storage, custodian.clone());
        tasks.push(tokio::spawn(copier.run(stopped.clone())));
        tasks.push(tokio::spawn(Daily::new(settings, second, storage).run(stopped.clone())));
    }
    if settings.archive.flac_after_days > 0 {
        let packer = Packer::new(evidence, storage, settings.archive.flac_after_days);
        tasks.push(tokio::spawn(packer.run(stopped.clone())));
    }
    tasks
}

/// Does something on a thread of its own that stands back behind live calls.
async fn aside<T: Send + 'static>(name: &str, deed: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, told) = oneshot::channel();
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Where it cannot be set, all stays as it is.
        let _ = rustix::process::nice(BACKGROUND_NICE);
        // Who asked has gone only when Vigie stops.
        let _ = tell.send(deed());
    });
    if let Err(error) = spawned {
        tracing::error!(%error, "a thread for the second place cannot be started");
        return None;
    }
    told.await.ok()
}

/// Copies what is sealed.
pub(super) struct Copier {
    second: Arc<Second>,
    storage: Storage,
    custodian: Arc<Custodian>,
    settings: ArchiveSettings,
    node: String,
    place: String,
    /// Whether there was any copy, as far as is known.
    is_known: bool,
    /// Failures in a row, and whether they, or the lag, were told.
    failures: u32,
    is_failing_told: bool,
    is_lag_told: bool,
    /// What was last told of a copy.
    amiss_told: String,
}

impl Copier {
    pub(super) fn new(
        settings: &Settings,
        second: Arc<Second>,
        storage: &Storage,
        custodian: Arc<Custodian>,
    ) -> Copier {
        let place = second.there().name();
        Copier {
            second,
            storage: storage.clone(),
            custodian,
            settings: settings.archive.clone(),
            node: settings.node.name.clone(),
            place,
            is_known: false,
            failures: 0,
            is_failing_told: false,
            is_lag_told: false,
            amiss_told: String::new(),
        }
    }

    /// Copies until `stopped`; a copy that is under way is left to its end, or is done again at the next start.
    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        tracing::info!(place = self.place, "recordings are copied to a second place");
        loop {
            let turn = tokio::select! {
                _ = stopped.changed() => return,
                turn = self.turn() => turn,
            };
            let wait = match turn {
                Ok(true) => Duration::ZERO,
                Ok(false) => LOOK_EVERY,
                Err(error) => {
                    tracing::warn!(%error, "the second place waits for the database");
                    AGAIN_AFTER
                }
            };
            tokio::select! {
                _ = stopped.changed() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One look at the seal log and one round of copies; whether there may be more to do at once.
    async fn turn(&mut self) -> Result<bool, StorageError> {
        let now = clock::utc();
        self.follow(now).await?;
        let limit = self.settings.copies_at_once as u32;
        let due = copies::due(&self.storage, &self.place, now, limit).await?;
        if !due.is_empty() {
            self.is_known = self.is_known || copies::has_any(&self.storage, &self.place).await?;
            let (second, is_known) = (self.second.clone(), self.is_known);
            match aside("archive-claim", move || second.there().claim(is_known)).await {
                Some(Ok(())) => self.copy_all(&due, now).await?,
                Some(Err(error)) => {
                    for one in &due {
                        self.fail(one, &error.to_string(), now).await?;
                    }
                }
                None => return Ok(false),
            }
        }
        self.tell_lag(now).await?;
        Ok(due.len() == limit as usize && self.failures == 0)
    }

    /// Notes what the seal log has new.
    async fn follow(&mut self, now: Utc) -> Result<(), StorageError> {
        let recordings = self.second.recordings().to_owned();
        let log = log_paths(&recordings, &self.node).0;
        let log = log.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let from = copies::mark(&self.storage, &self.place, &log).await?;
        let node = self.node.clone();
        let changes = tokio::task::spawn_blocking(move || changes_since(&recordings, &node, from)).await;
        match changes {
            Ok(Ok(changes)) if changes.offset != from || !changes.folders.is_empty() => {
                copies::note(&self.storage, (&self.place, &log), &changes.folders, changes.offset, now).await
            }
            Ok(Ok(_)) | Err(_) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(%error, "the seal log cannot be followed; what is new is copied later");
                Ok(())
            }
        }
    }

    async fn copy_all(&mut self, due: &[Waiting], now: Utc) -> Result<(), StorageError> {
        let mut copying = Vec::new();
        for one in due {
            let protection = self.protection(&one.folder, now).await?;
            let (second, folder) = (self.second.clone(), one.folder.clone());
            let copied = tokio::spawn(aside("archive-copy", move || second.copy(&folder, now, protection)));
            copying.push((one, protection, copied));
        }
        for (one, protection, copied) in copying {
            match copied.await.ok().flatten() {
                Some(Ok(copied)) => self.finish(one, protection, &copied).await?,
                Some(Err(error)) => self.fail(one, &error.to_string(), now).await?,
                None => {}
            }
        }
        Ok(())
    }

    /// Until when a recording is to be locked there.
    async fn protection(&self, folder: &str, now: Utc) -> Result<Option<Protection>, StorageError> {
        let second = self.second.clone();
        let locks = tokio::task::spawn_blocking(move || second.there().locks()).await.unwrap_or(false);
        match call_in(folder).filter(|_| locks) {
            Some(call) => self.custodian.protection(call, now).await,
            None => Ok(None),
        }
    }

    async fn finish(
        &mut self,
        one: &Waiting,
        protection: Option<Protection>,
        copied: &Copied,
    ) -> Result<(), StorageError> {
        (self.failures, self.is_failing_told, self.is_known) = (0, false, true);
        metrics::counter!("vigie_archive_files_total").increment(copied.files);
        metrics::counter!("vigie_archive_bytes_total").increment(copied.bytes);
        if !copied.amiss.is_empty() {
            let text = format!("in the second place, {}: {}", self.place, copied.amiss.join("; "));
            // A seal log is looked at with each seal: once is enough.
            if self.amiss_told != text {
                tell(&Alarm { kind: "archive-differs".into(), call: None, text: text.clone() });
            }
            self.amiss_told = text;
        }
        let done = Done {
            at: clock::utc(),
            locked_until: protection.and_then(|one| one.until).or(one.locked_until),
            is_held: protection.map_or(one.is_held, |one| one.is_held),
        };
        copies::finish(&self.storage, &self.place, one, done).await
    }

    async fn fail(&mut self, one: &Waiting, error: &str, now: Utc) -> Result<(), StorageError> {
        metrics::counter!("vigie_archive_failures_total").increment(1);
        self.failures += 1;
        tracing::warn!(folder = one.folder, error, "a copy to the second place failed; it is tried again");
        if self.failures >= FAILURES_TOLD && !self.is_failing_told {
            self.is_failing_told = true;
            let text = format!(
                "copies to the second place, {}, fail: {error}. Recordings are kept here and copied when it is back",
                self.place
            );
            tell(&Alarm { kind: "archive-failing".into(), call: None, text });
        }
        let wait = AGAIN_AFTER.saturating_mul(1 << one.attempts.min(10)).min(AGAIN_AFTER_MAX);
        let next = Utc(now.0.saturating_add(wait.as_micros() as i64));
        copies::fail(&self.storage, &self.place, &one.folder, (error, next)).await
    }

    async fn tell_lag(&mut self, now: Utc) -> Result<(), StorageError> {
        let backlog = copies::backlog(&self.storage, &self.place).await?;
        let lag_us = backlog.oldest.map_or(0, |oldest| now.0.saturating_sub(oldest.0)).max(0);
        metrics::gauge!("vigie_archive_waiting").set(backlog.waiting as f64);
        metrics::gauge!("vigie_archive_lag_seconds").set(lag_us as f64 / 1e6);
        let is_late = lag_us > self.settings.lag_max.as_micros() as i64;
        if is_late && !self.is_lag_told {
            let text = format!(
                "{} folders of recordings wait for their copy in the second place, {}, the oldest for {} min: {}",
                backlog.waiting,
                self.place,
                lag_us / 60_000_000,
                backlog.error.unwrap_or_else(|| "it is slower than recordings are made".into())
            );
            tell(&Alarm { kind: "archive-behind".into(), call: None, text });
        }
        self.is_lag_told = is_late;
        Ok(())
    }
}
