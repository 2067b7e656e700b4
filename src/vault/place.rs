//! Where bytes of audio are read from: a file here, or the same file in another place when the one here has gone.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Something with a length that can be read at any place.
pub trait ReadAt: Send + Sync {
    /// Reads some of what stands at `at`; 0 is the end.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize>;

    /// Its length in bytes.
    ///
    /// # Errors
    /// When it cannot be had.
    fn length(&self) -> io::Result<u64>;

    /// Whether each reading is a journey: then few large ones are better than many small ones.
    fn is_far(&self) -> bool {
        false
    }
}

impl ReadAt for File {
    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, to, at)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// Fills `to` from `at` on, or as far as it goes; how much that is.
pub(super) fn read_at_most(from: &dyn ReadAt, to: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = to.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read_at(rest, at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Where else recordings lie: asked when a file is not in the recordings folder.
pub trait Elsewhere: Send + Sync {
    /// The copy of the file whose place here is `path`; `None`: there is none. Blocks.
    ///
    /// # Errors
    /// When the other place cannot be read.
    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn ReadAt>>>;

    /// Fetches what is missing of the recording in `folder`, but for its audio: sidecar, key, what was added. Blocks.
    ///
    /// # Errors
    /// When the other place cannot be read, or this one not be written.
    fn bring_back(&self, folder: &Path) -> io::Result<()>;
}

/// Opens the file here, or its copy elsewhere.
pub(super) fn open_anywhere(path: &Path, elsewhere: Option<&dyn Elsewhere>) -> io::Result<Box<dyn ReadAt>> {
    match (File::open(path), elsewhere) {
        (Ok(file), _) => Ok(Box::new(file)),
        (Err(missing), Some(elsewhere)) if missing.kind() == io::ErrorKind::NotFound => {
            let found = elsewhere.open(path)?.ok_or(missing)?;
            metrics::counter!("vigie_archive_reads_total").increment(1);
            tracing::warn!(path = %path.display(), "read from the second place: it is not in the recordings folder");
            Ok(found)
        }
        (Err(error), _) => Err(error),
    }
}
