//! The end of a recording in the seal log: a tombstone, written by the thread that seals, before anything is removed.

use std::io;
use std::path::Path;
use std::sync::mpsc::SyncSender;

use ed25519_dalek::Signer;
use sha2::{Digest, Sha256};

use super::layout::{CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE, SIDECAR_FILE, folder_of, put_file};
use super::render::hex;
use super::seal::{SealError, Sealer};
use super::seal_log::SealLine;
use crate::model::{CallId, Utc};

/// The lawful end of one recording.
#[derive(Clone, Debug)]
pub struct Burial {
    /// Of this call.
    pub call: CallId,
    /// The sidecar that was sealed, relative to the recordings folder.
    pub sidecar: String,
    /// Its SHA-256: the seal.
    pub seal: String,
    /// The certificate's exact bytes; they are signed, and put beside the recording.
    pub certificate: Vec<u8>,
    /// When.
    pub at: Utc,
}

/// A recording was not buried; all of it is there.
#[derive(Debug, thiserror::Error)]
pub enum BuryError {
    /// The recorder has stopped.
    #[error("the recorder has stopped, or its disk is stuck; the deletion goes on when Vigie runs again")]
    Stopped,
    /// Sealed recordings wait for their lines in the seal log.
    #[error("the recording of {call} waits for its line in the seal log; the deletion goes on when it has it")]
    Waiting {
        /// The call.
        call: CallId,
    },
    /// The sidecar on the disk is not the one that was sealed, or is gone without a tombstone: to be looked at, never
    /// deleted.
    #[error(
        "its sidecar is not the one that was sealed, or is gone: run `vigie verify` on its folder, and find out who changed it; \
         what is lost here `vigie archive check --repair` fetches from the second place"
    )]
    Changed,
    /// A file could not be written.
    #[error("writing its certificate: {0}; look at the disk's room and rights")]
    File(io::Error),
    /// The seal log could not be used.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Its copy in the second place is still there.
    #[error("it is deleted here, and its copy in the second place is not: {0}; tried again until it is")]
    Copy(io::Error),
    /// A place that was the second one before has a copy.
    #[error(
        "it is deleted here, and {place}, which was the second place before, still has a copy: set [archive] place to it until \
         it is deleted there, too; when that place is gone for good, say so with `vigie archive forget`"
    )]
    OtherPlace {
        /// Its name.
        place: String,
    },
}

/// Where the end of a burial is told.
pub(super) type Told = SyncSender<Result<String, BuryError>>;

impl Sealer {
    /// See [`super::Notary::bury`].
    pub fn bury(&mut self, burial: &Burial) -> Result<String, BuryError> {
        self.log_waiting()?;
        if let Some(call) = self.without_line()? {
            return Err(BuryError::Waiting { call });
        }
        let folder = self.parts.settings.folder.join(folder_of(burial.call));
        let told = folder.join(CERTIFICATE_FILE);
        match std::fs::read(folder.join(SIDECAR_FILE)) {
            Ok(bytes) if hex(&Sha256::digest(&bytes)) == burial.seal => (),
            Ok(_) => return Err(BuryError::Changed),
            // Without a sidecar only a tombstone says that its removal was lawful.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.buried_before(burial, &told)?.ok_or(BuryError::Changed);
            }
            Err(error) => return Err(BuryError::File(error)),
        }
        if let Some(certificate) = self.buried_before(burial, &told)? {
            return Ok(certificate);
        }
        let certificate = hex(&Sha256::digest(&burial.certificate));
        put_file(&folder.join(CERTIFICATE_SIGNATURE_FILE), &self.parts.key.sign(&burial.certificate).to_bytes())
            .map_err(BuryError::File)?;
        put_file(&told, &burial.certificate).map_err(BuryError::File)?;
        let line = SealLine {
            call: Some(burial.call),
            path: &burial.sidecar,
            sidecar_sha256: &burial.seal,
            certificate_sha256: Some(&certificate),
            at: burial.at,
        };
        self.log.append(&line, &self.parts.key).map_err(SealError::from)?;
        Ok(certificate)
    }

    /// Killed between the tombstone and the removal: the certificate is there, and the log has its hash.
    fn buried_before(&self, burial: &Burial, certificate: &Path) -> Result<Option<String>, BuryError> {
        let hash = match std::fs::read(certificate) {
            Ok(bytes) => hex(&Sha256::digest(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BuryError::File(error)),
        };
        let is_buried = self.log.buries(burial.call, &hash).map_err(SealError::from)?;
        Ok(is_buried.then_some(hash))
    }
}
