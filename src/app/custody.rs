//! Custody's place among the parts: it asks the recorder for tombstones, and is stopped before it.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{AppError, alarm_sink};
use crate::archive::custody::{Custodian, Parts};
use crate::archive::second::Second;
use crate::clock;
use crate::config::Settings;
use crate::recorder::Notary;
use crate::storage::Storage;

/// Tells one boot of the machine from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The running custody.
pub(super) struct Custody {
    pub(super) custodian: Arc<Custodian>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Takes the retention in force, and begins to look after recordings.
pub(super) async fn start(
    settings: &Settings,
    storage: &Storage,
    notary: Notary,
    second: Option<Arc<Second>>,
) -> Result<Custody, AppError> {
    let boot = std::fs::read_to_string(BOOT_ID);
    let boot = boot.map_err(|source| AppError::System { act: "read the machine's boot id", source })?;
    let parts = Parts {
        storage: storage.clone(),
        recordings: settings.recording.folder.clone(),
        node: settings.node.name.clone(),
        zone: settings.centre.zone.clone(),
        bury: Arc::new(move |burial| notary.bury(burial)),
        alarm: alarm_sink(),
        boot: boot.trim().to_owned(),
        second,
    };
    let custodian = Arc::new(Custodian::new(parts));
    custodian.follow(&settings.centre, clock::utc()).await?;
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(custodian.clone().run(stopped));
    Ok(Custody { custodian, stop, task })
}

impl Custody {
    /// Lets a deletion that has begun come to its end, and begins no other.
    pub(super) async fn stop(self) {
        // Nobody listens only when the task has ended.
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}
