//! The end of a recording in the seal log: a tombstone, written by the thread that seals, before anything is removed.

use std::io;
use std::sync::mpsc::SyncSender;

use ed25519_dalek::Signer;
use sha2::{Digest, Sha256};

use super::layout::{CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE, SIDECAR_FILE, folder_of, open_folder, put_file};
use super::render::hex;
use super::seal::{SealError, Sealer, sealed_there};
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
    /// The sidecar on the disk is not the one that was sealed: to be looked at, never deleted.
    #[error(
        "its sidecar is not the one that was sealed: run `vigie verify` on its folder, and find out who changed it"
    )]
    Changed,
    /// A file could not be written.
    #[error("writing its certificate: {0}; look at the disk's room and rights")]
    File(io::Error),
    /// The seal log could not be used.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Where the end of a burial is told.
pub(super) type Told = SyncSender<Result<String, BuryError>>;

impl Sealer {
    /// See [`super::Notary::bury`].
    pub fn bury(&mut self, burial: &Burial) -> Result<String, BuryError> {
        self.log_waiting()?;
        self.refuse_while_seals_wait()?;
        let folder = self.parts.settings.folder.join(folder_of(burial.call));
        match std::fs::read(folder.join(SIDECAR_FILE)) {
            Ok(bytes) if hex(&Sha256::digest(&bytes)) == burial.seal => (),
            Ok(_) => return Err(BuryError::Changed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.buried_before(burial),
            Err(error) => return Err(BuryError::File(error)),
        }
        let certificate = hex(&Sha256::digest(&burial.certificate));
        let told = folder.join(CERTIFICATE_FILE);
        if self.has_tombstone(burial, &told)? {
            return self.buried_before(burial);
        }
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
    fn has_tombstone(&self, burial: &Burial, certificate: &std::path::Path) -> Result<bool, BuryError> {
        let bytes = match std::fs::read(certificate) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(BuryError::File(error)),
        };
        Ok(self.log.buries(burial.call, &hex(&Sha256::digest(&bytes))).map_err(SealError::from)?)
    }

    fn buried_before(&self, burial: &Burial) -> Result<String, BuryError> {
        let folder = self.parts.settings.folder.join(folder_of(burial.call));
        let bytes = std::fs::read(folder.join(CERTIFICATE_FILE)).map_err(BuryError::File)?;
        Ok(hex(&Sha256::digest(&bytes)))
    }

    /// A sidecar that names its place in the log while its line is not there yet keeps that place: a tombstone must not
    /// take it.
    fn refuse_while_seals_wait(&self) -> Result<(), BuryError> {
        let entries = match std::fs::read_dir(open_folder(&self.parts.state)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(BuryError::File)?,
        };
        for entry in entries {
            let name = entry.map_err(BuryError::File)?.file_name();
            let Some(call) = name.to_str().and_then(|name| name.parse::<CallId>().ok()) else { continue };
            if sealed_there(&self.parts.settings.folder, call)?
                .is_some_and(|sealed| sealed.seal_sequence >= self.log.next_sequence())
            {
                return Err(BuryError::Waiting { call });
            }
        }
        Ok(())
    }
}
