//! From frames to a sealed recording: frame files, WAV, sidecar, signature, seal log.
//!
//! One thread copies frames from the rings to the journal and the frame files and never waits for the others: one renders
//! and seals, three bring files to the disk for certain.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use ed25519_dalek::SigningKey;
use jiff::tz::TimeZone;

use crate::config::settings::RecordingSettings;
use crate::journal::{Journal, RingError, RingReader};
use crate::model::{CallId, RecorderCommand, RecorderReport};
use crate::vault::{Keys, VaultError};

mod bury;
mod copy;
pub mod deposit;
mod doubts;
mod history;
mod kept;
mod late;
pub mod layout;
mod live;
pub mod ogg;
pub mod one_sided;
mod paused;
pub mod peaks;
pub mod place;
mod record_in_us;
mod recover;
mod remembered;
pub mod render;
mod rescue;
mod seal;
pub mod seal_keys;
pub mod seal_log;
pub mod sidecar;
pub mod tag;
pub mod wav;
mod work;

pub use bury::{Burial, BuryError};
pub use deposit::{Deposit, DepositError, Deposited, Notary};
pub use late::LateSeals;
pub use recover::recover;
pub use seal::{SealError, sealed_there};

/// Commands and results that may wait for the copying thread: thousands of calls beginning at once.
const MESSAGES_MAX: usize = 16_384;

/// What the recorder is built from.
#[derive(Clone)]
pub struct Parts {
    /// Where recordings go and how often they are synced.
    pub settings: RecordingSettings,
    /// The machine's name, in sidecars and in the seal log's name.
    pub node: String,
    /// The state folder: the journal is in it.
    pub state: PathBuf,
    /// The site's time zone, for times in the sidecar.
    pub zone: TimeZone,
    /// Signs.
    pub key: SigningKey,
    /// Where the rings are. This node's alone: recovery removes every dead ring in it.
    pub ring_folder: PathBuf,
    /// Encrypts audio on its way to the disk, or does not.
    pub keys: Keys,
}

/// The recorder could not be started.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// A file or folder could not be used.
    #[error("{act} {path}: {source}; check its rights and the disk's room")]
    File {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A running Vigie writes the journal.
    #[error(
        "the journal {path} is in use by another Vigie, which is still recording; nothing was changed: stop that one first, or give this one its own node.state"
    )]
    InUse {
        /// The journal's folder.
        path: PathBuf,
    },
    /// A ring of an earlier run cannot be had: a living process writes it.
    #[error("{0}; nothing was changed")]
    Ring(RingError),
    /// The seal log could not be opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A key is not to be had, or an encrypted file is not as it was written.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A thread could not be started.
    #[error("starting the thread {name}: {source}")]
    Thread {
        /// Which.
        name: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The running recorder.
#[derive(Debug)]
pub struct Recorder {
    sender: SyncSender<Message>,
    notary: Notary,
    copying: JoinHandle<()>,
}

/// What reaches the copying thread.
enum Message {
    Command(RecorderCommand),
    /// The sealing thread is done with a call.
    Sealed {
        call: CallId,
        result: Result<Box<seal::Seal>, SealError>,
    },
    /// The syncing thread could not do a job; it is handed back.
    Unsynced {
        job: work::SyncJob,
        error: std::io::Error,
    },
    /// The journal's sync, begun with [`work::Workers::sync_journal`], ended: each of what was due.
    JournalSynced(Vec<std::io::Result<()>>),
    /// The frame files of a journal segment are synced, and it is removed.
    SegmentGone(PathBuf),
    /// What an earlier run left is to be sealed, and handed back.
    SealLate(SyncSender<LateSeals>),
    Stop,
}

/// Starts the recorder's threads. `report` and `alarm` (kind, call, text) are called on threads of the recorder and must not
/// block; an alarm's text holds no caller's number or name.
pub fn start(
    parts: Parts,
    rings: Vec<RingReader>,
    report: impl Fn(RecorderReport) + Send + Sync + 'static,
    alarm: impl Fn(String, Option<CallId>, String) + Send + Sync + 'static,
) -> Result<Recorder, RecorderError> {
    let folder = layout::journal_folder(&parts.state);
    parts.keys.fill_pool();
    let key = parts.keys.is_on().then(|| parts.keys.new_key()).transpose()?;
    let journal = Journal::open(&folder, parts.settings.segment_bytes, key).map_err(journal_fault(folder.clone()))?;
    let mut sealer = seal::Sealer::open(&parts)?;
    keep_names(&parts, &folder)?;
    if let Some(warning) = sealer.take_warning() {
        alarm("seal-log-damaged".into(), None, warning);
    }
    let (sender, receiver) = sync_channel(MESSAGES_MAX);
    let workers = work::start(sealer, sender.clone())?;
    let notary = workers.notary();
    let doors = Arc::new(copy::Doors { report: Box::new(report), alarm: Box::new(alarm) });
    let copier = copy::Copier::new(parts, journal, rings, workers, doors.clone())?;
    copy::watch::start(copier.pulse(), doors)?;
    let copying = spawn("recorder", move || copier.run(&receiver))?;
    Ok(Recorder { sender, notary, copying })
}

impl Recorder {
    /// Hands over a command; never waits.
    pub fn send(&self, command: RecorderCommand) {
        match self.sender.try_send(Message::Command(command)) {
            Ok(()) => (),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                tracing::error!("the recorder does not follow: a command was dropped; look at the disk");
            }
        }
    }

    /// What signs documents beside recordings; it outlives the recorder and then refuses.
    pub fn notary(&self) -> Notary {
        self.notary.clone()
    }

    /// Seals what an earlier run recorded and the start could not seal, for want of its keys or of a disk that works; waits
    /// until that is tried. `None` when nobody does it now: the recorder is stopping, or has too much to do.
    pub fn seal_late(&self) -> Option<LateSeals> {
        let (sender, receiver) = sync_channel(1);
        self.sender.send(Message::SealLate(sender)).ok()?;
        receiver.recv().ok()
    }

    /// Drains the rings, seals what is finished (for at most 30 s), and leaves the rest for [`recover`].
    pub fn stop(self) {
        if self.sender.send(Message::Stop).is_err() || self.copying.join().is_err() {
            tracing::error!("the recorder's thread had ended before it was stopped; recovery finishes its work");
        }
    }
}

/// Brings to the disk the names of the folders in which the first call's files will be: what is synced in a folder goes with
/// the folder's name.
fn keep_names(parts: &Parts, journal: &Path) -> Result<(), RecorderError> {
    let marks = layout::open_folder(&parts.state);
    let recordings = &parts.settings.folder;
    let made = layout::make_private_folder(&marks).and_then(|()| layout::sync_file(journal));
    let made = made.and_then(|()| layout::sync_file(recordings));
    made.and_then(|()| recordings.parent().filter(|above| above.is_dir()).map_or(Ok(()), layout::sync_file))
        .map_err(|source| RecorderError::File { act: "bringing to the disk the folders", path: marks, source })
}

fn journal_fault(path: PathBuf) -> impl FnOnce(std::io::Error) -> RecorderError {
    move |source| match source.kind() {
        std::io::ErrorKind::ResourceBusy => RecorderError::InUse { path },
        _ => RecorderError::File { act: "opening the journal in", path, source },
    }
}

fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, RecorderError> {
    let thread = std::thread::Builder::new().name(name.into()).spawn(body);
    thread.map_err(|source| RecorderError::Thread { name, source })
}

#[cfg(test)]
pub(crate) mod tests;
