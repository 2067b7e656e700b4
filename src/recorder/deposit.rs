//! What comes after a seal, and is sealed itself: addenda, hours' roots, keys; each a signed file with a line in the seal log.
//!
//! Nothing sealed is ever rewritten. A deposit is marked before it is written and the mark goes with its line, so that a
//! crash in between leaves either nothing or a document that the next start finishes.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use ed25519_dalek::Signer;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::bury::{Burial, BuryError};
use super::layout::{SIDECAR_FILE, folder_of, journal_folder, make_folder, put_file, remove_file, sync_folders};
use super::render::hex;
use super::seal::{SealError, Sealer};
use super::seal_log::{SealLine, SealLogError};
use super::work::SealJob;
use crate::model::{CallId, Utc};

/// The mark of a deposit under way, in the journal's folder.
const MARK_FILE: &str = "deposit.json";
/// The most addenda of one recording: four digits name them.
pub const ADDENDA_MAX: usize = 9999;
/// The longest document, in bytes: an hour's root of a whole country's calls has far less.
pub const DOCUMENT_BYTES_MAX: usize = 8 << 20;
/// So long an answer is waited for: the sealing thread may be rendering a call of hours.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// What is to be signed and kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Deposit {
    /// A further document beside a sealed recording; it is numbered here.
    Addendum(Note),
    /// A file at a place of its own, relative to the recordings folder; it must not be there yet, or be the same.
    File {
        /// Whose, when it is a call's.
        call: Option<CallId>,
        /// Plain names and slashes.
        path: String,
        /// Its exact bytes.
        bytes: Vec<u8>,
    },
}

/// What an addendum says.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Of which recording.
    pub call: CallId,
    /// What kind: `case`, `tags`, `note`, `redaction`, `hold`, `release`…
    pub kind: String,
    /// Whose word it is.
    pub by: String,
    /// Why.
    pub reason: String,
    /// The rest, by kind.
    pub body: serde_json::Value,
}

/// An addendum as it lies beside the sidecar: `addendum-0001.json`, with its signature in `addendum-0001.json.sig`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Addendum {
    /// 1, 2, 3… of this recording.
    pub addendum: usize,
    /// The call.
    pub call: CallId,
    /// SHA-256 of the sidecar: the seal that it adds to.
    pub recording_sha256: String,
    /// SHA-256 of the addendum before; empty in the first.
    pub previous_sha256: String,
    /// When: RFC 3339 with the site's offset.
    pub at: String,
    /// The same in UTC.
    pub at_utc: String,
    /// The same in microseconds since 1970 UTC.
    pub at_us: Utc,
    /// Whose word it is.
    pub by: String,
    /// What kind.
    pub kind: String,
    /// Why.
    pub reason: String,
    /// The rest.
    pub body: serde_json::Value,
}

/// What was signed and kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deposited {
    /// The file, relative to the recordings folder.
    pub path: String,
    /// Its SHA-256.
    pub sha256: String,
    /// The place of its line in the seal log; of a file that was there already, 0.
    pub sequence: u64,
}

/// A document could not be signed and kept.
#[derive(Debug, thiserror::Error)]
pub enum DepositError {
    /// There is no sealed recording to add to.
    #[error("call {call} has no sealed recording here to add to")]
    NoRecording {
        /// Of this call.
        call: CallId,
    },
    /// The document cannot be taken.
    #[error("this document cannot be kept: {why}")]
    Refused {
        /// Why.
        why: String,
    },
    /// A file could not be read or written.
    #[error("{act} {path}: {source}; look at the disk's room and rights")]
    File {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The seal log.
    #[error(transparent)]
    Log(#[from] SealLogError),
    /// A seal that comes first could not be logged.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A recording that was sealed before waits for its line.
    #[error("the recording of {call} waits for its line in the seal log; ask again when it has it")]
    Waiting {
        /// Of this call.
        call: CallId,
    },
    /// The sealing thread does not answer.
    #[error("nothing was kept: Vigie is stopping, or its disk is stuck; ask again later")]
    Silent,
    /// It has begun, and does not come to its end.
    #[error("it is being kept, and the disk is very slow: look whether it is there before asking again")]
    UnderWay,
}

/// The way to the sealing thread: signs documents beside recordings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Notary {
    jobs: SyncSender<SealJob>,
}

impl Notary {
    pub(super) fn new(jobs: SyncSender<SealJob>) -> Notary {
        Notary { jobs }
    }

    /// A notary that refuses everything, for tests of other parts.
    pub fn closed() -> Notary {
        Notary { jobs: sync_channel(1).0 }
    }

    /// Has a document signed, written and logged; it is on the disk when this returns. Blocks: never on a thread that
    /// must not wait.
    ///
    /// # Errors
    /// [`DepositError::Silent`] when the recorder has stopped or does not begin with it within a minute: then nothing is
    /// kept, and it may be asked again.
    pub fn deposit(&self, deposit: Deposit) -> Result<Deposited, DepositError> {
        self.deposit_within(deposit, ANSWER_WITHIN)
    }

    pub(super) fn deposit_within(&self, deposit: Deposit, limit: Duration) -> Result<Deposited, DepositError> {
        let (answer, answered) = sync_channel(1);
        let claim = Claim::default();
        match self.jobs.try_send(SealJob::Deposit(Box::new(deposit), claim.clone(), answer)) {
            Ok(()) => (),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return Err(DepositError::Silent),
        }
        match answered.recv_timeout(limit) {
            Ok(done) => done,
            Err(RecvTimeoutError::Disconnected) => Err(DepositError::Silent),
            Err(RecvTimeoutError::Timeout) if claim.take() => Err(DepositError::Silent),
            Err(RecvTimeoutError::Timeout) => answered.recv_timeout(limit).unwrap_or(Err(DepositError::UnderWay)),
        }
    }

    /// Puts the certificate and the tombstone of a recording's lawful end on the disk for certain; returns the
    /// certificate's SHA-256. Asked again, nothing is written again. Blocks: never on a thread that must not wait.
    ///
    /// # Errors
    /// [`BuryError::Stopped`] when the recorder has stopped or does not answer within a minute: to be asked again.
    pub fn bury(&self, burial: Burial) -> Result<String, BuryError> {
        let (answer, answered) = sync_channel(1);
        match self.jobs.try_send(SealJob::Bury(Box::new(burial), answer)) {
            Ok(()) => answered.recv_timeout(ANSWER_WITHIN).unwrap_or(Err(BuryError::Stopped)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(BuryError::Stopped),
        }
    }
}

/// Whose a job is: whoever is first, the thread that does it or the asker who gives it up.
#[derive(Clone, Debug, Default)]
pub(super) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Whether it was still free.
    pub(super) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// What is remembered of a deposit under way.
#[derive(Serialize, Deserialize)]
struct Mark {
    call: Option<CallId>,
    path: String,
    sha256: String,
    at: Utc,
}

impl Sealer {
    /// Signs, writes and logs a document.
    pub fn deposit(&mut self, deposit: &Deposit, at: Utc) -> Result<Deposited, DepositError> {
        self.log_waiting()?;
        self.wait_for_seals()?;
        self.finish_deposit()?;
        let (call, path, bytes) = match deposit {
            Deposit::Addendum(note) => {
                let (path, bytes) = compose(&self.parts.settings.folder, note, at, &self.parts.zone)?;
                (Some(note.call), path, bytes)
            }
            Deposit::File { call, path, bytes } => (*call, path.clone(), bytes.clone()),
        };
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(DepositError::Refused { why: format!("it is longer than {DOCUMENT_BYTES_MAX} bytes") });
        }
        if !Path::new(&path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(DepositError::Refused { why: "its path leads out of the recordings folder".into() });
        }
        let sha256 = hex(&Sha256::digest(&bytes));
        let file = self.parts.settings.folder.join(&path);
        match std::fs::read(&file) {
            Ok(there) if there == bytes && self.log.has_file(&path, &sha256)? => {
                return Ok(Deposited { path, sha256, sequence: 0 });
            }
            Ok(there) if there != bytes => {
                return Err(DepositError::Refused { why: format!("{path} is there already and says something else") });
            }
            Ok(_) | Err(_) => (),
        }
        let mark = Mark { call, path, sha256, at };
        let mark_path = self.mark_path();
        let written = serde_json::to_vec(&mark).map_err(io::Error::from);
        written.and_then(|bytes| put_file(&mark_path, &bytes)).map_err(fault("writing", &mark_path))?;
        let folder = file.parent().unwrap_or(&self.parts.settings.folder);
        if !folder.is_dir() {
            make_folder(folder).map_err(fault("making", folder))?;
            // The names of new folders are on the disk before the log speaks of what is in them.
            sync_folders(folder, &self.parts.settings.folder).map_err(fault("syncing", folder))?;
        }
        let signature = signature_of(&file);
        let signed = self.parts.key.sign(&bytes).to_bytes();
        put_file(&signature, &signed).map_err(fault("writing", &signature))?;
        put_file(&file, &bytes).map_err(fault("writing", &file))?;
        let sequence = self.log_mark(&mark)?;
        Ok(Deposited { path: mark.path, sha256: mark.sha256, sequence })
    }

    /// Finishes what an interrupted deposit left: its line when its file stands, nothing when it does not.
    pub fn finish_deposit(&mut self) -> Result<(), DepositError> {
        let path = self.mark_path();
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            bytes => bytes.map_err(fault("reading", &path))?,
        };
        // Written whole or not at all: what cannot be read is none of ours, and is told.
        let mark: Mark =
            serde_json::from_slice(&bytes).map_err(io::Error::from).map_err(fault("understanding", &path))?;
        let file = self.parts.settings.folder.join(&mark.path);
        let stands = std::fs::read(&file).is_ok_and(|bytes| hex(&Sha256::digest(&bytes)) == mark.sha256);
        if stands && !self.log.has_file(&mark.path, &mark.sha256)? {
            self.wait_for_seals()?;
            self.log_mark(&mark)?;
        }
        remove_file(&path).map_err(fault("removing", &path))
    }

    fn wait_for_seals(&self) -> Result<(), DepositError> {
        self.without_line()?.map_or(Ok(()), |call| Err(DepositError::Waiting { call }))
    }

    fn log_mark(&mut self, mark: &Mark) -> Result<u64, DepositError> {
        let sequence = self.log.next_sequence();
        let line = SealLine {
            call: mark.call,
            path: &mark.path,
            sidecar_sha256: &mark.sha256,
            certificate_sha256: None,
            at: mark.at,
        };
        self.log.append(&line, &self.parts.key)?;
        let path = self.mark_path();
        remove_file(&path).map_err(fault("removing", &path))?;
        Ok(sequence)
    }

    fn mark_path(&self) -> PathBuf {
        mark_path(&self.parts.state)
    }
}

fn mark_path(state: &Path) -> PathBuf {
    journal_folder(state).join(MARK_FILE)
}

/// Takes the mark of a deposit under way away, when it is of this file: it is to be begun anew.
pub(super) fn forget_deposit(state: &Path, file: &str) -> io::Result<()> {
    let path = mark_path(state);
    let mark = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Mark>(&bytes).ok());
    if mark.is_some_and(|mark| mark.path == file) { remove_file(&path) } else { Ok(()) }
}

/// The detached signature of a file: 64 raw bytes beside it.
pub fn signature_of(file: &Path) -> PathBuf {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    file.with_file_name(format!("{name}.sig"))
}

/// The name of a recording's addendum.
pub fn addendum_file(number: usize) -> String {
    format!("addendum-{number:04}.json")
}

/// The number of the addendum whose file has this name.
pub fn addendum_of(name: &str) -> Option<usize> {
    let number = name.strip_prefix("addendum-")?.strip_suffix(".json")?.parse().ok()?;
    (addendum_file(number) == name).then_some(number)
}

/// The addenda in a recording's folder with their exact bytes, in order.
///
/// # Errors
/// When the folder or a file of them cannot be read.
pub fn addenda_in(folder: &Path) -> io::Result<Vec<(usize, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if let Some(number) = entry.file_name().to_str().and_then(addendum_of) {
            found.push((number, std::fs::read(entry.path())?));
        }
    }
    found.sort_by_key(|(number, _)| *number);
    Ok(found)
}

/// The next addendum's path and bytes.
fn compose(recordings: &Path, note: &Note, at: Utc, zone: &TimeZone) -> Result<(String, Vec<u8>), DepositError> {
    let relative = folder_of(note.call);
    let folder = recordings.join(&relative);
    let sidecar = match std::fs::read(folder.join(SIDECAR_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DepositError::NoRecording { call: note.call });
        }
        bytes => bytes.map_err(fault("reading", &folder.join(SIDECAR_FILE)))?,
    };
    let there = addenda_in(&folder).map_err(fault("listing", &folder))?;
    let number = there.last().map_or(1, |(number, _)| number + 1);
    if number > ADDENDA_MAX {
        return Err(DepositError::Refused { why: format!("a recording has at most {ADDENDA_MAX} addenda") });
    }
    let addendum = Addendum {
        addendum: number,
        call: note.call,
        recording_sha256: hex(&Sha256::digest(&sidecar)),
        previous_sha256: there.last().map(|(_, bytes)| hex(&Sha256::digest(bytes))).unwrap_or_default(),
        at: at.with_offset(zone),
        at_utc: at.rfc3339(),
        at_us: at,
        by: note.by.clone(),
        kind: note.kind.clone(),
        reason: note.reason.clone(),
        body: note.body.clone(),
    };
    let path = format!("{relative}/{}", addendum_file(number));
    let mut bytes =
        serde_json::to_vec_pretty(&addendum).map_err(io::Error::from).map_err(fault("composing", Path::new(&path)))?;
    bytes.push(b'\n');
    Ok((path, bytes))
}

fn fault(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DepositError + use<> {
    let path = path.to_owned();
    move |source| DepositError::File { act, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::tests::World;

    fn note(world: &World, words: &str) -> Deposit {
        Deposit::Addendum(Note {
            call: world.call,
            kind: "case".into(),
            by: "marie".into(),
            reason: "dossier".into(),
            body: serde_json::json!({ "case": words }),
        })
    }

    #[test]
    fn addenda_are_numbered_chained_signed_and_logged() {
        let world = World::new();
        world.seal_one(3);
        let mut sealer = Sealer::open(&world.parts).expect("a sealer");
        let first = sealer.deposit(&note(&world, "A-1"), Utc(1)).expect("kept");
        let second = sealer.deposit(&note(&world, "A-2"), Utc(2)).expect("kept");
        assert_eq!((first.sequence, second.sequence), (2, 3));
        let there = addenda_in(&world.in_folder("")).expect("listed");
        let read: Vec<Addendum> =
            there.iter().map(|(_, bytes)| serde_json::from_slice(bytes).expect("an addendum")).collect();
        assert_eq!((read[1].addendum, &read[1].previous_sha256), (2, &first.sha256));
        for (number, bytes) in &there {
            let signature = std::fs::read(world.in_folder(&format!("{}.sig", addendum_file(*number)))).expect("there");
            let signature = ed25519_dalek::Signature::from_slice(&signature).expect("64 bytes");
            world.parts.key.verifying_key().verify_strict(bytes, &signature).expect("signed");
        }
        assert!(sealer.log.has_file(&second.path, &second.sha256).expect("read"));
    }

    #[test]
    fn what_is_not_sealed_gets_no_addendum_and_no_path_leads_out() {
        let world = World::new();
        let mut sealer = Sealer::open(&world.parts).expect("a sealer");
        assert!(matches!(sealer.deposit(&note(&world, "x"), Utc(1)), Err(DepositError::NoRecording { .. })));
        for path in ["../x", "/etc/x", "a/../../x"] {
            let file = Deposit::File { call: None, path: path.into(), bytes: b"x".to_vec() };
            assert!(matches!(sealer.deposit(&file, Utc(1)), Err(DepositError::Refused { .. })), "{path}");
        }
    }

    #[test]
    fn a_deposit_that_a_crash_interrupted_is_finished_or_forgotten() {
        let world = World::new();
        world.seal_one(3);
        let (path, bytes) = ("seal-log/x.json".to_owned(), b"x".to_vec());
        let file = Deposit::File { call: None, path: path.clone(), bytes: bytes.clone() };
        let sha256 = hex(&Sha256::digest(&bytes));
        let mark = || Mark { call: None, path: path.clone(), sha256: sha256.clone(), at: Utc(5) };
        let mark_path = journal_folder(&world.parts.state).join(MARK_FILE);
        // Killed before the file was there: nothing is left of it.
        put_file(&mark_path, &serde_json::to_vec(&mark()).expect("JSON")).expect("written");
        let mut sealer = Sealer::open(&world.parts).expect("a sealer");
        sealer.finish_deposit().expect("forgotten");
        assert!(!mark_path.exists() && !sealer.log.has_file(&path, &sha256).expect("read"));
        // Killed between file and line: the line is added once.
        put_file(&mark_path, &serde_json::to_vec(&mark()).expect("JSON")).expect("written");
        put_file(&world.parts.settings.folder.join(&path), &bytes).expect("written");
        for _ in 0..2 {
            sealer.finish_deposit().expect("finished");
            assert!(!mark_path.exists() && sealer.log.has_file(&path, &sha256).expect("read"));
        }
        assert_eq!(sealer.deposit(&file, Utc(6)).expect("there already").sequence, 0);
        assert_eq!(sealer.log.next_sequence(), 3);
    }
}
