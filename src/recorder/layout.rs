//! Where a recording's files are, and how a file gets there: temporary name, fsync, rename, fsync of the folder.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::journal::Written;
use crate::model::{CallId, Utc};

/// The rendering.
pub const AUDIO_FILE: &str = "audio.wav";
/// The sidecar.
pub const SIDECAR_FILE: &str = "recording.json";
/// The detached signature over the sidecar's exact bytes: 64 raw bytes (RFC 8032 §5.1).
pub const SIGNATURE_FILE: &str = "recording.json.sig";
/// What is left of a recording that was lawfully deleted: the certificate.
pub const CERTIFICATE_FILE: &str = "deletion.json";
/// The detached signature over the certificate's exact bytes.
pub const CERTIFICATE_SIGNATURE_FILE: &str = "deletion.json.sig";
/// What is known of a call while its recording is unfinished.
pub const KEPT_FILE: &str = "call.json";
/// The running process holds it in the recordings folder.
pub const LOCK_FILE: &str = ".lock";
/// Folder of the seal logs, in the recordings folder.
pub const SEAL_LOG_FOLDER: &str = "seal-log";

/// The recording's folder relative to the recordings folder: `YYYY/MM/DD/<call-id>`.
///
/// The date is the UTC date in the call's id (RFC 9562 §5.7: a version 7 UUID begins with its time in milliseconds),
/// which is when its INVITE came: so the folder is known from the id alone. An id of another version goes to 1970.
pub fn folder_of(call: CallId) -> String {
    let (seconds, nanoseconds) = call.0.get_timestamp().map_or((0, 0), |at| at.to_unix());
    let received = Utc(seconds as i64 * 1_000_000 + i64::from(nanoseconds) / 1000);
    format!("{}/{call}", received.timestamp().strftime("%Y/%m/%d"))
}

/// The frame file of a leg.
pub fn frames_file(leg: u16) -> String {
    format!("leg-{leg}.frames")
}

/// The leg whose frame file has this name.
pub fn leg_of(name: &str) -> Option<u16> {
    let leg = name.strip_prefix("leg-")?.strip_suffix(".frames")?.parse().ok()?;
    (frames_file(leg) == name).then_some(leg)
}

/// The folder with one empty file a call whose recording is unfinished.
pub fn open_folder(state: &Path) -> PathBuf {
    journal_folder(state).join("open")
}

/// The shared journal's folder.
pub fn journal_folder(state: &Path) -> PathBuf {
    state.join("journal")
}

/// Makes a folder and those above it, readable by the group (0750): compliance reads recordings.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(path)
}

/// Makes a folder and those above it for nobody but this user (0700).
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file so that it is there whole or not at all; 0640. Safe over a kill; over a power cut after [`sync_file`].
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = part_of(path);
    create_file(&part)?.write_all(bytes)?;
    std::fs::rename(&part, path)
}

/// Writes a file so that it is there whole or not at all, power cut or no; 0640.
pub fn put_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = part_of(path);
    create_file(&part)?.write_all(bytes)?;
    name_part(path)?;
    path.parent().map_or(Ok(()), sync_file)
}

/// The temporary name of a file: beside it, hidden.
pub fn part_of(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
    path.with_file_name(format!(".{name}.part"))
}

/// The name that a file with this temporary name would get.
pub fn name_of_part(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(".part")
}

/// A new file (an older one is emptied), 0640.
pub fn create_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o640).open(path)
}

/// Brings the file with the temporary name of `path` to the disk and gives it its name, which is safe over a power cut
/// once the folder is synced.
pub fn name_part(path: &Path) -> io::Result<()> {
    let part = part_of(path);
    sync_file(&part)?;
    std::fs::rename(&part, path)
}

/// fsync of a file or folder by its path.
pub fn sync_file(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// fsync of a file whose last one failed: what the system may have let go is written again first.
pub fn write_and_sync(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let bytes = file.metadata()?.len();
    Written { file: file.into(), bytes, is_doubtful: true, named_in: None }.sync()
}

/// fsync of `folder` and those above it up to `root`, so that their names are on the disk.
pub fn sync_folders(folder: &Path, root: &Path) -> io::Result<()> {
    for above in folder.ancestors().take_while(|above| above.starts_with(root)) {
        sync_file(above)?;
    }
    Ok(())
}

/// Removes a file; one that is not there is fine.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Chance;

    #[test]
    fn the_folder_carries_the_utc_date_at_which_the_call_came() {
        let call = CallId::new(Utc(1_700_000_000_123_456), &mut Chance::from_number(1));
        assert_eq!(folder_of(call), format!("2023/11/14/{call}"));
    }

    #[test]
    fn only_exact_names_are_frame_files() {
        assert_eq!(leg_of(&frames_file(12)), Some(12));
        for name in ["leg-01.frames", "leg-.frames", "leg-70000.frames", "leg-1.framesx", ".leg-1.frames.part"] {
            assert_eq!(leg_of(name), None, "{name}");
        }
    }
}
