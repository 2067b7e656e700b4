//! Seals a finished recording: renders it, writes sidecar and signature, adds the seal log's line, forgets what was kept.
//!
//! Every step may be repeated: a crash anywhere is mended by doing it again, and what is sealed is never rewritten.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use ed25519_dalek::Signer;
use sha2::{Digest, Sha256};

use super::Parts;
use super::doubts::Unsettled;
use super::kept::{Kept, unfinished};
use super::layout::{
    AUDIO_FILE, KEPT_FILE, SIDECAR_FILE, SIGNATURE_FILE, folder_of, frames_file, leg_of, open_folder, put_file,
    remove_file, sync_file, sync_folders, write_and_sync,
};
use super::one_sided::Silence;
use super::place::samples_between;
use super::render::{RenderError, hash_short, hex, render};
use super::seal_log::{SealLine, SealLog, SealLogError};
use super::sidecar::{SealPlace, Sidecar};
use crate::journal::FrameFile;
use crate::model::{CallId, Moment, PlainWav, SealedRecording, Utc};
use crate::vault::{AudioKey, KEY_FILE, VaultError, ensure_key, is_sealed, key_of};

/// A recording could not be sealed; all of it that exists is kept.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A file could not be read or written.
    #[error("{act} {path}: {source}; look at the disk's room and rights, the recording is sealed when they are back")]
    File {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The WAV could not be made.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The seal log could not be used.
    #[error(transparent)]
    Log(#[from] SealLogError),
    /// The recording's key is not to be had, or does not fit.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A sidecar is there that the seal log cannot take.
    #[error(
        "{path} says seal {sequence}, which the seal log does not have and cannot take ({next} is next); check it with `vigie verify` and set it aside by hand"
    )]
    OutOfPlace {
        /// The sidecar.
        path: PathBuf,
        /// What it says.
        sequence: u64,
        /// What the log says.
        next: u64,
    },
}

/// A seal, and what somebody should know of the recording.
#[derive(Clone, Debug)]
pub struct Seal {
    /// In the decisions' words.
    pub recording: SealedRecording,
    /// Legs that were not heard to their end.
    pub silences: Vec<Silence>,
}

/// What seals; one a node.
pub struct Sealer {
    pub(super) parts: Parts,
    pub(super) log: SealLog,
    /// A sidecar that is on disk while its line is not yet in the log: nothing else is sealed before it.
    unlogged: Option<SealedRecording>,
    /// Calls whose frame files may not be on the disk, whatever a sync says now: an earlier attempt failed.
    doubtful: BTreeSet<CallId>,
    /// What the threads that sync have not settled.
    unsettled: Unsettled,
    /// The day whose folders, up to the root, were synced last.
    synced_day: Option<PathBuf>,
}

impl Sealer {
    /// Opens the seal log.
    pub fn open(parts: &Parts) -> Result<Sealer, SealError> {
        let log = SealLog::open(&parts.settings.folder, &parts.node, &parts.key)?;
        let unlogged = next_in_line(parts, log.next_sequence());
        let (doubtful, unsettled) = (BTreeSet::new(), Unsettled::default());
        Ok(Sealer { parts: parts.clone(), log, unlogged, doubtful, unsettled, synced_day: None })
    }

    /// Heeds what these threads have not settled.
    pub(super) fn heed(&mut self, unsettled: Unsettled) {
        self.unsettled = unsettled;
    }

    /// What it was opened with.
    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// What was found amiss with the seal log when it was opened.
    pub fn take_warning(&mut self) -> Option<String> {
        self.log.warning.take()
    }

    /// Seals the recording of `call`, or finishes a seal that a crash or a full disk interrupted.
    pub fn seal(&mut self, call: CallId, recovered: bool, at: Utc) -> Result<Seal, SealError> {
        self.log_waiting()?;
        let folder = self.folder(call);
        let (sealed, logged) = match seal_there(&self.parts.settings.folder, call)? {
            Some(sealed) => {
                let logged = self.sync_names(&folder).and_then(|()| self.add_line(&sealed.recording));
                (sealed, logged)
            }
            None => match self.write_seal(call, recovered, at) {
                Ok(sealed) => {
                    let logged = self.add_line(&sealed.recording);
                    (sealed, logged)
                }
                Err(error) => {
                    self.doubtful.insert(call);
                    // The sidecar may have got its name all the same: then its number is taken.
                    if let Ok(Some(sealed)) = sealed_there(&self.parts.settings.folder, call) {
                        self.hold(sealed);
                    }
                    return Err(error);
                }
            },
        };
        self.doubtful.remove(&call);
        if let Err(error) = logged {
            self.hold(sealed.recording);
            return Err(error);
        }
        let kept = folder.join(KEPT_FILE);
        remove_file(&kept).map_err(fault("removing", &kept))?;
        let mark = open_folder(&self.parts.state).join(call.to_string());
        remove_file(&mark).map_err(fault("removing", &mark))?;
        Ok(sealed)
    }

    /// Adds the line of a sidecar that has none yet: its number is taken.
    pub(super) fn log_waiting(&mut self) -> Result<(), SealError> {
        let Some(waiting) = self.unlogged.take() else { return Ok(()) };
        let folder = self.folder(waiting.call);
        let logged = self.sync_names(&folder).and_then(|()| self.add_line(&waiting));
        if logged.is_err() {
            self.hold(waiting);
        }
        logged
    }

    /// Lets nothing be sealed before this sidecar has its line, when its number is the next one: anything else would take it.
    /// One out of place takes nobody's; it is told, and the rest goes on.
    fn hold(&mut self, sealed: SealedRecording) {
        self.unlogged = Some(sealed).filter(|sealed| sealed.seal_sequence == self.log.next_sequence());
    }

    /// A call whose sidecar names the next place in the log while its line is not there yet, as a crash may leave it: nothing
    /// else may take that place. One that names another is out of place.
    pub(super) fn without_line(&self) -> Result<Option<CallId>, SealError> {
        let state = &self.parts.state;
        for call in unfinished(state).map_err(fault("listing unfinished recordings in", state))? {
            let sealed = sealed_there(&self.parts.settings.folder, call)?;
            if sealed.is_some_and(|sealed| sealed.seal_sequence == self.log.next_sequence()) {
                return Ok(Some(call));
            }
        }
        Ok(None)
    }

    fn folder(&self, call: CallId) -> PathBuf {
        self.parts.settings.folder.join(folder_of(call))
    }

    /// Renders, writes signature and sidecar. The sidecar comes last: where it is, the rest is.
    fn write_seal(&mut self, call: CallId, recovered: bool, at: Utc) -> Result<Seal, SealError> {
        let folder = self.folder(call);
        let mut kept = Kept::read(&folder).map_err(fault("reading the kept", &folder.join(KEPT_FILE)))?;
        let key = key_for(&folder, &self.parts)?;
        if key.is_some() {
            // Without it all the rest is noise. What an earlier run was told of its syncs nobody knows any more.
            let is_doubtful = || recovered || self.doubtful.contains(&call) || self.unsettled.kept.has(call);
            bring_to_disk(&folder.join(KEY_FILE), is_doubtful)?;
        }
        // An announced leg from which nothing came gets a frame file without frames: that, too, is evidence.
        let mut legs: BTreeSet<u16> = kept.legs.keys().copied().collect();
        legs.extend(list_legs(&folder).map_err(fault("listing", &folder))?);
        let legs: Vec<u16> = legs.into_iter().collect();
        let mut hashes = Vec::new();
        let mut last = Moment(0);
        for leg in &legs {
            let path = folder.join(frames_file(*leg));
            // Cuts a torn end; changes nothing when there is none.
            FrameFile::end(&path, key.as_ref(), |_, frame| last = last.max(frame.arrival))
                .map_err(fault("opening", &path))?;
            bring_to_disk(&path, || self.doubtful.contains(&call) || self.unsettled.frames.has(call))?;
            hashes.push(hash_short(&path).map_err(fault("reading", &path))?);
        }
        let rendered = render(&folder, &kept, &legs, key.as_ref())?;
        let spoken_us = samples_between(kept.begun.moment, last).max(0) * 125;
        kept.interrupt(Utc(kept.begun.utc.0 + spoken_us));
        let sequence = self.log.next_sequence();
        let place = SealPlace { node: &self.parts.node, sequence, at, zone: &self.parts.zone, recovered };
        let sidecar = Sidecar::build(&kept, &rendered, &hashes, &place);
        let path = folder.join(SIDECAR_FILE);
        let mut bytes =
            serde_json::to_vec_pretty(&sidecar).map_err(io::Error::from).map_err(fault("composing", &path))?;
        bytes.push(b'\n');
        let signature = folder.join(SIGNATURE_FILE);
        // Syncs the folder, and with it the WAV's name.
        put_file(&signature, &self.parts.key.sign(&bytes).to_bytes()).map_err(fault("writing", &signature))?;
        put_file(&path, &bytes).map_err(fault("writing", &path))?;
        self.sync_above(&folder)?;
        Ok(tell(&sidecar, &bytes))
    }

    /// Brings the names of a sidecar that stands already to the disk, and its folder's: whoever wrote it may have ended, or
    /// failed, before that. The log must never speak of a sidecar that goes with the power.
    fn sync_names(&mut self, folder: &Path) -> Result<(), SealError> {
        sync_file(folder).map_err(fault("syncing", folder))?;
        self.sync_above(folder)
    }

    /// Syncs the folders in which the call's own has its name: the day's each time, those above it once, because nothing
    /// new comes into them until another day.
    fn sync_above(&mut self, folder: &Path) -> Result<(), SealError> {
        let Some(day) = folder.parent() else { return Ok(()) };
        if self.synced_day.as_deref() == Some(day) {
            return sync_file(day).map_err(fault("syncing", day));
        }
        sync_folders(day, &self.parts.settings.folder).map_err(fault("syncing", day))?;
        self.synced_day = Some(day.to_owned());
        Ok(())
    }

    fn add_line(&mut self, sealed: &SealedRecording) -> Result<(), SealError> {
        let next = self.log.next_sequence();
        if sealed.seal_sequence == next {
            let line = SealLine {
                call: Some(sealed.call),
                path: &sealed.sidecar,
                sidecar_sha256: &sealed.seal,
                certificate_sha256: None,
                at: sealed.sealed_at,
            };
            return Ok(self.log.append(&line, &self.parts.key)?);
        }
        if self.log.contains(sealed.seal_sequence, &sealed.seal)? {
            return Ok(());
        }
        let path = self.parts.settings.folder.join(&sealed.sidecar);
        Err(SealError::OutOfPlace { path, sequence: sealed.seal_sequence, next })
    }
}

/// The recording whose sidecar an earlier run wrote as number `next`, and whose line it could not add: it comes first.
/// What cannot be read is told when it is to be finished.
fn next_in_line(parts: &Parts, next: u64) -> Option<SealedRecording> {
    let calls = unfinished(&parts.state).unwrap_or_default();
    let sealed = |call| sealed_there(&parts.settings.folder, call).ok().flatten();
    calls.into_iter().filter_map(sealed).find(|sealed| sealed.seal_sequence == next)
}

/// The sealed recording of `call` as its sidecar tells it; `None` while there is no sidecar.
pub fn sealed_there(recordings: &Path, call: CallId) -> Result<Option<SealedRecording>, SealError> {
    Ok(seal_there(recordings, call)?.map(|seal| seal.recording))
}

fn seal_there(recordings: &Path, call: CallId) -> Result<Option<Seal>, SealError> {
    let path = recordings.join(folder_of(call)).join(SIDECAR_FILE);
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(fault("reading", &path))?,
    };
    let sidecar: Sidecar =
        serde_json::from_slice(&bytes).map_err(io::Error::from).map_err(fault("understanding", &path))?;
    Ok(Some(tell(&sidecar, &bytes)))
}

/// A sealed recording in the decisions' words.
fn tell(sidecar: &Sidecar, bytes: &[u8]) -> Seal {
    let folder = folder_of(sidecar.uuid);
    let block = &sidecar.vigie;
    let recording = SealedRecording {
        call: sidecar.uuid,
        path: format!("{folder}/{AUDIO_FILE}"),
        sidecar: format!("{folder}/{SIDECAR_FILE}"),
        started_at: block.started_at,
        duration_ms: block.audio.duration_ms,
        size_bytes: block.audio.bytes,
        audio_sha256: block.audio.sha256.clone(),
        wav: block.encryption.as_ref().map(|one| PlainWav { bytes: one.plain_bytes, sha256: one.plain_sha256.clone() }),
        essence_sha256: block.audio.essence_sha256.clone(),
        seal: hex(&Sha256::digest(bytes)),
        seal_sequence: block.seal_sequence,
        sealed_at: block.sealed_at,
        levels_dbfs: block.audio.levels_dbfs,
        gaps: block.gaps_total,
        recovered: block.recovered,
        record: block.record.clone(),
    };
    Seal { recording, silences: sidecar.silences() }
}

/// The key of the recording in `folder`; made when it has none and recordings are to be encrypted. What is encrypted
/// already never gets another one.
pub(super) fn key_for(folder: &Path, parts: &Parts) -> Result<Option<AudioKey>, VaultError> {
    let found = key_of(folder, &parts.keys)?;
    if found.is_some() {
        return Ok(found);
    }
    let file_fault = |path: &Path| {
        let path = path.to_owned();
        move |source| VaultError::File { act: "reading", path, source }
    };
    for leg in list_legs(folder).map_err(file_fault(folder))? {
        let path = folder.join(frames_file(leg));
        let mut head = [0; 8];
        let read = std::fs::File::open(&path).and_then(|mut file| io::Read::read(&mut file, &mut head));
        if read.map_err(file_fault(&path))? == head.len() && is_sealed(&head) {
            return Err(VaultError::NoKey { path });
        }
    }
    if !parts.keys.is_on() {
        return Ok(None);
    }
    let key = parts.keys.new_key()?;
    ensure_key(folder, &key)?;
    sync_file(&folder.join(KEY_FILE)).map_err(file_fault(folder))?;
    Ok(Some(key))
}

/// Syncs a file. Asked after that, because another thread's sync of the same file may begin and fail at any time before:
/// what is in doubt then is written again.
fn bring_to_disk(path: &Path, is_doubtful: impl FnOnce() -> bool) -> Result<(), SealError> {
    let synced = sync_file(path);
    let synced = if is_doubtful() { write_and_sync(path) } else { synced };
    synced.map_err(fault("syncing", path))
}

fn list_legs(folder: &Path) -> io::Result<Vec<u16>> {
    let mut legs = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        legs.extend(entry?.file_name().to_str().and_then(leg_of));
    }
    Ok(legs)
}

fn fault(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SealError + use<> {
    let path = path.to_owned();
    move |source| SealError::File { act, path, source }
}
