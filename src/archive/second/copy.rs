//! Copies a folder of the recordings to the second place: what is missing there, byte for byte, the sidecar last.

use std::io;
use std::path::Path;
use std::sync::PoisonError;

use super::logs::is_log;
use super::place::is_ours;
use super::proof::{Logs, Proofs, State};
use super::{Place, Protection, Second};
use crate::model::Utc;
use crate::recorder::layout::{AUDIO_FILE, SEAL_LOG_FOLDER, SIDECAR_FILE};
use crate::vault::{FLAC_FILE, KEY_FILE, Wrapped};

/// The longest key file.
pub(super) const KEY_FILE_BYTES_MAX: usize = 4096;

/// What was done for one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files put there.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What was there and not what it should be: it was set aside there, and is to be looked at.
    pub amiss: Vec<String>,
}

impl Second {
    /// Copies what is new in a folder; locks it there when `protection` says so and the place can.
    ///
    /// # Errors
    /// When a file cannot be read here or written there: to be tried again.
    pub fn copy(&self, folder: &str, at: Utc, protection: Option<Protection>) -> io::Result<Copied> {
        let _shared = self.work.read().unwrap_or_else(PoisonError::into_inner);
        self.copy_files(folder, at, protection)
    }

    pub(super) fn copy_files(&self, folder: &str, at: Utc, protection: Option<Protection>) -> io::Result<Copied> {
        let mut copied = Copied::default();
        // Before what lies beside it: a log that was begun anew has keys and roots of its own.
        if folder == SEAL_LOG_FOLDER || folder.starts_with(&format!("{SEAL_LOG_FOLDER}/")) {
            for name in self.here.list(SEAL_LOG_FOLDER)?.keys().filter(|name| is_log(SEAL_LOG_FOLDER, name)) {
                copied.amiss.extend(self.copy_log(&format!("{SEAL_LOG_FOLDER}/{name}"))?);
            }
        }
        let (here, there) = (self.here.list(folder)?, self.there.list(folder)?);
        let mut names: Vec<(&String, &u64)> = here.iter().filter(|(name, _)| is_ours(name)).collect();
        // Where the sidecar is, the rest is.
        names.sort_by_key(|(name, _)| name.as_str() == SIDECAR_FILE);
        for (name, length) in names.into_iter().filter(|(name, _)| !is_log(folder, name)) {
            let path = format!("{folder}/{name}");
            let is_new = match there.get(name) {
                None => true,
                Some(_) if name == KEY_FILE => self.is_key_newer(&path, at, &mut copied)?,
                Some(other) if other == length => false,
                // What is damaged here displaces nothing.
                Some(_) if !self.is_sound(folder, name, &[&self.here])? => {
                    copied
                        .amiss
                        .push(format!("{path} is not here what was sealed; `vigie archive check --repair` mends it"));
                    false
                }
                Some(other) => {
                    let aside = self.there.set_aside(&path, at)?;
                    let what = format!("{path} has {other} bytes there and {length} here; it is {aside} there now");
                    copied.amiss.push(what);
                    true
                }
            };
            if is_new {
                copied.bytes += self.put(&path)?;
                copied.files += 1;
            }
            if let Some(protection) = protection {
                self.there.protect(&path, protection)?;
            }
        }
        // Archived here: its WAV goes there too, unless a lock keeps it, and when what stands for it is sound in both places.
        let is_archived = here.contains_key(FLAC_FILE) && !here.contains_key(AUDIO_FILE);
        if is_archived
            && there.contains_key(AUDIO_FILE)
            && self.is_sound(folder, FLAC_FILE, &[&self.here, &self.there])?
        {
            match self.there.remove(&format!("{folder}/{AUDIO_FILE}")) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => (),
                removed => removed?,
            }
        }
        Ok(copied)
    }

    /// Whether a file is, in all these places, what the seal log and the addenda say.
    fn is_sound(&self, folder: &str, name: &str, places: &[&Place]) -> io::Result<bool> {
        let logs = Logs::read(&self.recordings, folder)?;
        let Some(sealed) = logs.folders.get(folder) else { return Ok(false) };
        let proofs = Proofs::of(&logs, folder, sealed, [&self.here, &self.there])?;
        for place in places {
            if proofs.look(place, folder, name)? != State::Sound {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn put(&self, path: &str) -> io::Result<u64> {
        let Some(file) = self.here.open_file(path)? else { return Ok(0) };
        let length = file.length()?;
        self.there.put(path, &*file)?;
        Ok(length)
    }

    /// Whether the key there is to be replaced: the same one, wrapped anew. Another one is set aside.
    fn is_key_newer(&self, path: &str, at: Utc, copied: &mut Copied) -> io::Result<bool> {
        let read = |place: &Place| place.read(path, KEY_FILE_BYTES_MAX);
        let (here, there) = (read(&self.here)?.unwrap_or_default(), read(&self.there)?.unwrap_or_default());
        if here == there {
            return Ok(false);
        }
        let name = |bytes: &[u8]| Wrapped::understand(bytes, Path::new(path)).ok().map(|wrapped| wrapped.key);
        match (name(&here), name(&there)) {
            // What is damaged here is never spread.
            (None, _) => {
                copied.amiss.push(format!("{path} is damaged here; `vigie archive check --repair` mends it"));
                Ok(false)
            }
            (Some(here), Some(there)) if here == there => Ok(true),
            (Some(_), _) => {
                let aside = self.there.set_aside(path, at)?;
                copied.amiss.push(format!("{path} was another key there; it is {aside} there now"));
                Ok(true)
            }
        }
    }
}
