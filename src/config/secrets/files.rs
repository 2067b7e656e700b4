//! Private files: only their owner may read them, and a power cut leaves the old one or the new one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::{SecretsError, damaged, io};

/// The largest secret file read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The bits that let anybody but the owner in.
const OTHERS: u32 = 0o077;

/// Makes the folder (0700) when it is missing; refuses one that others may enter.
pub(super) fn make_folder(folder: &Path) -> Result<(), SecretsError> {
    let is_new = !folder.exists();
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io("making the folder", folder))?;
    if let Some(above) = folder.parent().filter(|_| is_new) {
        File::open(above).and_then(|above| above.sync_all()).map_err(io("syncing", above))?;
    }
    let mode = fs::metadata(folder).map_err(io("looking at", folder))?.mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(SecretsError::Exposed { path: folder.to_owned(), mode });
    }
    Ok(())
}

/// The text of a private file; `None` when there is none. Refuses one that others may read.
pub(super) fn read(path: &Path) -> Result<Option<String>, SecretsError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("reading", path)(error)),
    };
    let mode = file.metadata().map_err(io("looking at", path))?.mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(SecretsError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(io("reading", path))?;
    let remedy = "put it back from a copy, or move it away to have a new one made";
    String::from_utf8(bytes).map(Some).map_err(|_| damaged(path, "it is no text", remedy))
}

/// Writes a private file (0600): beside it, to the disk for certain, then in its place.
pub(super) fn write(path: &Path, text: &str) -> Result<(), SecretsError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io("making the folder", folder))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = folder.join(name);
    // What a start that died half-way has left is of no use to anybody.
    if let Err(error) = fs::remove_file(&beside)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(io("removing", &beside)(error));
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(io("making", &beside))?;
    file.write_all(text.as_bytes()).map_err(io("writing", &beside))?;
    file.sync_all().map_err(io("syncing", &beside))?;
    fs::rename(&beside, path).map_err(io("renaming to", path))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("syncing", folder))
}
