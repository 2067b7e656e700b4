//! A sealed recording as people listen to it: its outline, from any second on, light, or with a voice for each party.

use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use crate::recorder::layout::{CERTIFICATE_FILE, SIDECAR_FILE};
use crate::recorder::render::RenderError;
use crate::recorder::sidecar::Sidecar;
use crate::vault::{self, Keys, VaultError};

pub use crate::recorder::ogg::Preview;
pub use crate::recorder::peaks::PEAKS_FILE;
pub use crate::recorder::render::Parties;
pub use crate::recorder::wav::{HEADER_BYTES, Wav};

/// The longest outline read, in bytes: a whole day has a third of it.
const OUTLINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A recording cannot be listened to.
#[derive(Debug, thiserror::Error)]
pub enum ListeningError {
    /// A file of it.
    #[error("{path} cannot be read: {source}; run `vigie verify` on its folder")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its frame files.
    #[error("{0}; run `vigie verify` on its folder")]
    Render(#[from] RenderError),
    /// Its key.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl ListeningError {
    /// Whether the right key would help.
    pub fn is_for_want_of_a_key(&self) -> bool {
        match self {
            ListeningError::Vault(error) => error.is_for_want_of_a_key(),
            ListeningError::File { .. } | ListeningError::Render(_) => false,
        }
    }
}

/// Whether the recording that was in `folder` was lawfully deleted, or is about to be: then it is read nowhere.
pub fn is_buried(folder: &Path) -> bool {
    folder.join(CERTIFICATE_FILE).exists()
}

/// The outline of the recording in `folder`; `None` when it was sealed without one.
///
/// # Errors
/// When it cannot be read, is missing though it was sealed, or its key is not at hand.
pub fn outline(folder: &Path, keys: &Keys) -> Result<Option<Vec<u8>>, ListeningError> {
    let opened = match vault::open_audio(folder, PEAKS_FILE, keys) {
        Err(VaultError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let missing = || ListeningError::File { path: folder.join(PEAKS_FILE), source };
            return if is_outlined(folder) { Err(missing()) } else { Ok(None) };
        }
        opened => opened?,
    };
    let mut bytes = Vec::new();
    let read = opened.take(OUTLINE_BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|source| ListeningError::File { path: folder.join(PEAKS_FILE), source })?;
    Ok(Some(bytes))
}

/// Whether the sidecar names an outline: then there was one.
fn is_outlined(folder: &Path) -> bool {
    let sidecar = std::fs::read(folder.join(SIDECAR_FILE)).ok();
    let sidecar = sidecar.and_then(|bytes| serde_json::from_slice::<Sidecar>(&bytes).ok());
    sidecar.is_some_and(|sidecar| sidecar.vigie.peaks.is_some())
}

/// `audio` as Opus in Ogg, page after page, from so many seconds on.
///
/// # Errors
/// When it is no WAV as Vigie writes it, or cannot be read.
pub fn preview<R: Read + Seek>(audio: R, from_s: u64) -> io::Result<Preview<R>> {
    Preview::open(audio, from_s)
}

/// The recording in `folder` with a voice for each party, second after second, from so many seconds on. What has gone here
/// is read from the second place.
///
/// # Errors
/// [`ListeningError`], when its sidecar or its frame files cannot be read, or its key is not at hand.
pub fn parties(folder: &Path, keys: &Keys, from_s: u64) -> Result<Parties, ListeningError> {
    let path = folder.join(SIDECAR_FILE);
    if let Some(elsewhere) = keys.elsewhere().filter(|_| !path.exists()) {
        let back = elsewhere.bring_back(folder);
        back.map_err(|source| ListeningError::File { path: path.clone(), source })?;
    }
    let read = std::fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice::<Sidecar>(&bytes)?));
    let sidecar = read.map_err(|source| ListeningError::File { path, source })?;
    Parties::open(folder, &sidecar, |name| Ok(vault::open_audio(folder, name, keys)?), from_s)
}
