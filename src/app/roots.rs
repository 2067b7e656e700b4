//! Every hour: a root over the seal log's new lines, and the authority's time stamp on it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use crate::archive::roots::{self, RootError};
use crate::archive::timestamp::{self, StampError};
use crate::clock;
use crate::config::Settings;
use crate::config::settings::ProofSettings;
use crate::model::Alarm;
use crate::recorder::{Deposit, DepositError, Notary};
use crate::switchboard::tell;

/// What failed is tried again after this, and told once in this time.
const AGAIN_AFTER: Duration = Duration::from_secs(300);
/// So many roots without a stamp are stamped in one turn: a day of an authority that was away.
const STAMPS_MAX: usize = 24;

/// Whose log it is.
#[derive(Clone)]
pub struct Log {
    /// The recordings folder.
    pub recordings: PathBuf,
    /// This machine's name.
    pub node: String,
    /// Signs and keeps.
    pub notary: Notary,
    /// How often, and who stamps.
    pub settings: ProofSettings,
}

impl Log {
    /// The log of this machine.
    pub fn of(settings: &Settings, notary: Notary) -> Log {
        Log {
            recordings: settings.recording.folder.clone(),
            node: settings.node.name.clone(),
            notary,
            settings: settings.proof.clone(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("making the root of the seal log: {0}")]
    Root(#[from] RootError),
    #[error("reading a root to be stamped: {0}")]
    Read(#[from] std::io::Error),
    #[error(transparent)]
    Stamp(#[from] StampError),
    #[error("keeping a time stamp: {0}")]
    Keep(#[from] DepositError),
}

/// Makes and stamps roots until `stopped`: on the hour, when they are hourly.
pub async fn keep(log: Log, mut stopped: watch::Receiver<bool>) {
    loop {
        let turned = tokio::select! {
            _ = stopped.changed() => return,
            turned = turn(&log) => turned,
        };
        let wait = match turned {
            Ok(()) => until_next(log.settings.root_every),
            Err(fault) => {
                let text = format!("{fault}; tried again in some minutes, nothing of the recordings is lost");
                tell(&Alarm { kind: "proof-delayed".into(), call: None, text });
                AGAIN_AFTER.min(log.settings.root_every)
            }
        };
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Until the clock shows a whole multiple of `every`.
fn until_next(every: Duration) -> Duration {
    let every = (every.as_micros() as i64).max(1);
    Duration::from_micros((every - clock::utc().0.rem_euclid(every)) as u64)
}

async fn turn(log: &Log) -> Result<(), Fault> {
    make(log.clone()).await?;
    let Some(authority) = &log.settings.authority else { return Ok(()) };
    for path in roots::unstamped(&log.recordings, &log.node)?.into_iter().take(STAMPS_MAX) {
        let document = tokio::fs::read(&path).await?;
        let bytes = timestamp::ask(&authority.url, &document, authority.timeout).await?;
        deposit(log.clone(), &roots::stamp_of(&path), bytes).await?;
    }
    Ok(())
}

async fn make(log: Log) -> Result<(), RootError> {
    let made = tokio::task::spawn_blocking(move || {
        roots::make(&log.recordings, &log.node, &log.notary, clock::utc()).map(|_| ())
    });
    // Ended only when the runtime stops.
    made.await.unwrap_or(Ok(()))
}

async fn deposit(log: Log, file: &Path, bytes: Vec<u8>) -> Result<(), DepositError> {
    let path = file.strip_prefix(&log.recordings).unwrap_or(file).to_string_lossy().into_owned();
    let kept =
        tokio::task::spawn_blocking(move || log.notary.deposit(Deposit::File { call: None, path, bytes }).map(|_| ()));
    kept.await.unwrap_or(Ok(()))
}
