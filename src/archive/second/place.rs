//! One place where recordings lie, whatever it is: a folder, or a bucket. Everything here may wait: never on a thread that
//! serves calls.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::bucket::Bucket;
use super::folder::Folder;
use crate::config::archive::PlaceSettings;
use crate::model::Utc;
use crate::recorder::layout::KEPT_FILE;
use crate::recorder::render::hex;
use crate::vault::ReadAt;

/// Where files go that are not what they should be, within each place: `quarantine/YYYY/…/NAME.MICROSECONDS`.
pub const QUARANTINE: &str = "quarantine";
/// Bytes read at once.
const PIECE_BYTES: usize = 1 << 20;

/// A place of recordings.
pub enum Place {
    /// A folder.
    Folder(Folder),
    /// A bucket of an S3-compatible store.
    Bucket(Box<Bucket>),
}

/// Until when nobody may remove an object, where the place can do so by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// Until here; `None`: not known.
    pub until: Option<Utc>,
    /// And as long as it is held.
    pub is_held: bool,
}

impl Place {
    /// The place that the settings name.
    ///
    /// # Errors
    /// When its keys cannot be read, or it cannot be spoken to at all; a place that is away is no error.
    pub fn open(settings: &PlaceSettings) -> io::Result<Place> {
        Ok(match settings {
            PlaceSettings::Folder(path) => Place::Folder(Folder::new(path)),
            PlaceSettings::Bucket(bucket) => Place::Bucket(Box::new(Bucket::open(bucket)?)),
        })
    }

    /// Its name in the database and in what is told: another place has another.
    pub fn name(&self) -> String {
        match self {
            Place::Folder(folder) => format!("folder:{}", folder.path().display()),
            Place::Bucket(bucket) => bucket.name(),
        }
    }

    /// Makes sure that this is the place it is taken for; `is_known`: something was copied to it before.
    ///
    /// # Errors
    /// When it is away, or another (a disk that is not mounted).
    pub fn claim(&self, is_known: bool) -> io::Result<()> {
        match self {
            Place::Folder(folder) => folder.claim(is_known),
            Place::Bucket(bucket) => bucket.claim(),
        }
    }

    /// The files of a folder with their lengths; empty when it is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn list(&self, folder: &str) -> io::Result<BTreeMap<String, u64>> {
        match self {
            Place::Folder(place) => place.list(folder),
            Place::Bucket(place) => place.list(folder),
        }
    }

    /// The folders of calls, `YYYY/MM/DD/<call>`.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn calls(&self) -> io::Result<Vec<String>> {
        match self {
            Place::Folder(place) => place.calls(),
            Place::Bucket(place) => place.calls(),
        }
    }

    /// Puts a file there, whole or not at all; one that is there is replaced.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn put(&self, path: &str, from: &dyn ReadAt) -> io::Result<()> {
        match self {
            Place::Folder(place) => place.put(path, from),
            Place::Bucket(place) => place.put(path, from),
        }
    }

    /// Opens a file; `None` when it is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open_file(&self, path: &str) -> io::Result<Option<Box<dyn ReadAt>>> {
        match self {
            Place::Folder(place) => place.open_file(path),
            Place::Bucket(place) => place.open_file(path),
        }
    }

    /// Removes a file with every version of it; one that is not there is fine.
    ///
    /// # Errors
    /// When it cannot be removed: it is locked, or the place is away.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        match self {
            Place::Folder(place) => place.remove(path),
            Place::Bucket(place) => place.remove(path),
        }
    }

    /// Puts a file that is not what it should be out of the way; where it is now.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn set_aside(&self, path: &str, at: Utc) -> io::Result<String> {
        let aside = format!("{QUARANTINE}/{path}.{}", at.0);
        match self {
            Place::Folder(place) => place.rename(path, &aside)?,
            Place::Bucket(place) => place.set_aside(path, &aside)?,
        }
        Ok(aside)
    }

    /// Locks a file, where the place can.
    ///
    /// # Errors
    /// When the place can and does not.
    pub fn protect(&self, path: &str, protection: Protection) -> io::Result<()> {
        match self {
            Place::Folder(_) => Ok(()),
            Place::Bucket(place) => place.protect(path, protection),
        }
    }

    /// Whether files are locked in this place.
    pub fn locks(&self) -> bool {
        match self {
            Place::Folder(_) => false,
            Place::Bucket(place) => place.locks(),
        }
    }

    /// A small file whole; `None` when it is not there.
    ///
    /// # Errors
    /// When it cannot be read, or has more than `bytes_max`.
    pub fn read(&self, path: &str, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        Reading { file: &*file, at: 0 }.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > bytes_max {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{path} has more than {bytes_max} bytes")));
        }
        Ok(Some(bytes))
    }

    /// The length and the SHA-256 of a file; `None` when it is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn hash(&self, path: &str) -> io::Result<Option<(u64, String)>> {
        let Some(file) = self.open_file(path)? else { return Ok(None) };
        hash(&*file).map(Some)
    }
}

/// The length and the SHA-256 of a file.
///
/// # Errors
/// When it cannot be read.
pub fn hash(file: &dyn ReadAt) -> io::Result<(u64, String)> {
    let (mut hash, mut reading, mut piece) = (Sha256::new(), Reading { file, at: 0 }, vec![0; PIECE_BYTES]);
    loop {
        match reading.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => hash.update(piece.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok((reading.at, hex(&hash.finalize())))
}

/// Reads a file from its begin to its end.
pub struct Reading<'a> {
    /// Which.
    pub file: &'a dyn ReadAt,
    /// From here on.
    pub at: u64,
}

impl Read for Reading<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(to, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// What belongs to a recording: nothing that is being written, and nothing of an unfinished call.
pub(super) fn is_ours(name: &str) -> bool {
    name != KEPT_FILE && !name.starts_with('.')
}

/// For `map_err`: names what was tried.
pub(super) fn context(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> io::Error + use<> {
    let path = path.display().to_string();
    move |error| io::Error::new(error.kind(), format!("{act} {path}: {error}"))
}

/// A part of a file as if it were one.
pub(super) struct Part<'a> {
    /// The file.
    pub file: &'a dyn ReadAt,
    /// Its first byte.
    pub from: u64,
    /// The byte behind its last.
    pub to: u64,
}

impl ReadAt for Part<'_> {
    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let left = (self.to - self.from).saturating_sub(at).min(to.len() as u64) as usize;
        let to = to.get_mut(..left).unwrap_or_default();
        if to.is_empty() { Ok(0) } else { self.file.read_at(to, self.from + at) }
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.to - self.from)
    }
}
