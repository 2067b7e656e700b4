//! A second place for recordings: copied there when they are sealed, compared and mended, read from there when they are gone
//! here, deleted in both.
//!
//! What is copied is known from the seal log: every seal and whatever comes after one has a line there. All of this may wait
//! for a disk or a network, and runs on threads that may.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

use rustix::fs::{FlockOperation, flock};

use crate::archive::listening::is_buried;
use crate::archive::shred;
use crate::model::{CallId, Utc};
use crate::recorder::layout::{CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE, folder_of};
use crate::vault::{Elsewhere, ReadAt};

mod bucket;
pub mod check;
mod copy;
mod direct;
mod folder;
pub mod follow;
mod logs;
pub mod place;
mod proof;

pub use copy::Copied;
pub use folder::Folder;
pub use place::{Place, Protection, QUARANTINE};

/// Held, in the recordings folder, by whoever mends or deletes a recording: the server, or `vigie archive check --repair`.
pub const MENDING_FILE: &str = ".mending";
/// How often a folder is listed anew until nothing of it is left: a store lists so many versions at once.
const PASSES_MAX: usize = 32;

/// The recordings folder, and the place where everything in it is once more.
pub struct Second {
    recordings: PathBuf,
    here: Place,
    there: Place,
    /// Copying shares it, deletion has it alone: nothing is put back while it is removed.
    work: RwLock<()>,
    /// One at a time copies seal logs.
    logs: Mutex<()>,
}

impl Second {
    /// `there` beside the recordings folder.
    pub fn new(recordings: &Path, there: Place) -> Second {
        let here = Place::Folder(Folder::new(recordings));
        Second { recordings: recordings.to_owned(), here, there, work: RwLock::default(), logs: Mutex::default() }
    }

    /// The recordings folder as a place.
    pub fn here(&self) -> &Place {
        &self.here
    }

    /// The other one.
    pub fn there(&self) -> &Place {
        &self.there
    }

    /// The recordings folder.
    pub fn recordings(&self) -> &Path {
        &self.recordings
    }

    /// Keeps every other process, and every other thread, from mending and deleting until the file is closed. Waits for one
    /// that does.
    ///
    /// # Errors
    /// When the recordings folder cannot be written.
    pub fn hold(&self) -> io::Result<File> {
        let path = self.recordings.join(MENDING_FILE);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o640).open(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }

    /// Destroys a recording's keys here and there, those that were set aside, too: both at once, so that nothing is brought
    /// back from the one to the other meanwhile. Doing it twice changes nothing. The inner result is the second place's: when
    /// it is away, or the key is locked there, it comes later.
    ///
    /// # Errors
    /// When one cannot be destroyed here.
    pub fn destroy_keys(&self, call: CallId) -> io::Result<io::Result<()>> {
        let _alone = self.work.write().unwrap_or_else(PoisonError::into_inner);
        shred::destroy_keys(&self.recordings, call).map(|()| self.destroy_keys_there(call))
    }

    fn destroy_keys_there(&self, call: CallId) -> io::Result<()> {
        match &self.there {
            Place::Folder(there) => there.claim(true).and_then(|()| shred::destroy_keys(there.path(), call)),
            Place::Bucket(there) => folders_of(call).iter().try_for_each(|folder| {
                self.remove_all(|| there.names_ever(folder), folder, |name| shred::is_key(Path::new(name)))
            }),
        }
    }

    /// Removes a recording there, keys first, with what was set aside of it; its certificate stays. Doing it twice changes
    /// nothing.
    ///
    /// # Errors
    /// When something of it cannot be removed: it is locked there, or the place is away.
    pub fn remove_recording(&self, call: CallId) -> io::Result<()> {
        let _alone = self.work.write().unwrap_or_else(PoisonError::into_inner);
        self.destroy_keys_there(call)?;
        self.remove_there(&folder_of(call), call)?;
        // The certificate of its deletion is what is left, there too.
        self.copy_files(&folder_of(call), Utc(0), None).map(|_| ())
    }

    fn remove_there(&self, folder: &str, call: CallId) -> io::Result<()> {
        match &self.there {
            Place::Folder(there) if !there.path().join(folder).is_dir() => {
                there.claim(true)?;
                shred::remove_aside(there.path(), call)
            }
            Place::Folder(there) => shred::remove_recording(there.path(), call),
            Place::Bucket(there) => folders_of(call).iter().try_for_each(|folder| {
                self.remove_all(|| there.names_ever(folder), folder, |_| true)?;
                there.abort_uploads(folder)
            }),
        }
    }

    fn remove_all(
        &self,
        names: impl Fn() -> io::Result<Vec<String>>,
        folder: &str,
        goes: impl Fn(&str) -> bool,
    ) -> io::Result<()> {
        for _ in 0..PASSES_MAX {
            let mut left = names()?;
            left.retain(|name| name != CERTIFICATE_FILE && name != CERTIFICATE_SIGNATURE_FILE && goes(name));
            if left.is_empty() {
                return Ok(());
            }
            for name in left {
                self.there.remove(&format!("{folder}/{name}"))?;
            }
        }
        Err(io::Error::other(format!("{folder} has more versions than could be removed at once")))
    }

    /// A file's path as both places know it.
    fn relative(&self, path: &Path) -> Option<String> {
        let inside = path.strip_prefix(&self.recordings).ok().map(Path::to_owned).or_else(|| {
            // Whoever asks may have followed links.
            path.strip_prefix(self.recordings.canonicalize().ok()?).ok().map(Path::to_owned)
        })?;
        inside.to_str().map(str::to_owned)
    }
}

/// Where what belongs to a recording lies in a place: its folder, and what was set aside of it.
fn folders_of(call: CallId) -> [String; 2] {
    [folder_of(call), format!("{QUARANTINE}/{}", folder_of(call))]
}

impl Elsewhere for Second {
    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn ReadAt>>> {
        // What was lawfully deleted here is read nowhere, though its copy may be locked for a while yet.
        if path.parent().is_some_and(is_buried) {
            return Ok(None);
        }
        let Some(path) = self.relative(path) else { return Ok(None) };
        self.there.open_file(&path)
    }

    fn bring_back(&self, folder: &Path) -> io::Result<()> {
        let Some(relative) = self.relative(folder) else { return Ok(()) };
        // In this order, as whoever deletes.
        let _alone = self.hold()?;
        let _shared = self.work.read().unwrap_or_else(PoisonError::into_inner);
        check::bring_back(self, &relative)?;
        // Buried meanwhile: the removal here may have passed before, and must find nothing that came after it.
        match follow::call_in(&relative).filter(|_| is_buried(folder)) {
            Some(call) => shred::remove_recording(&self.recordings, call),
            None => Ok(()),
        }
    }
}
