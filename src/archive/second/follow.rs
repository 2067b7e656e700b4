//! What changed in the recordings folder, as the seal log tells it: the folders of all that got a line.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Component, Path};

use crate::model::CallId;
use crate::recorder::layout::SEAL_LOG_FOLDER;
use crate::recorder::seal_log::{Entry, log_paths};

/// Lines taken in one turn.
const LINES_MAX: usize = 2000;

/// Folders that changed, and how far the log was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Relative to the recordings folder.
    pub folders: BTreeSet<String>,
    /// Where the next turn begins, in bytes.
    pub offset: u64,
}

/// The changes from `offset` on in the log of `node`. A log that is shorter than that is another one: it is read anew.
///
/// # Errors
/// When it cannot be read.
pub fn changes_since(recordings: &Path, node: &str, offset: u64) -> io::Result<Changes> {
    let mut file = match File::open(log_paths(recordings, node).0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Changes::default()),
        file => file?,
    };
    let offset = if offset > file.metadata()?.len() { 0 } else { offset };
    file.seek(SeekFrom::Start(offset))?;
    let mut changes = Changes { folders: BTreeSet::new(), offset };
    let (mut lines, mut line) = (BufReader::new(file), Vec::new());
    for _ in 0..LINES_MAX {
        line.clear();
        let read = lines.read_until(b'\n', &mut line)?;
        // One that is being written has no end yet.
        if line.pop() != Some(b'\n') {
            break;
        }
        changes.offset += read as u64;
        // The log itself grew; lines that cannot be read are for `vigie verify`.
        changes.folders.insert(SEAL_LOG_FOLDER.to_owned());
        let entry = serde_json::from_slice::<Entry>(&line).ok();
        changes.folders.extend(entry.as_ref().and_then(|entry| folder_in(&entry.path)));
    }
    Ok(changes)
}

/// The folder of a file that a line names, when it leads nowhere else.
pub(super) fn folder_in(path: &str) -> Option<String> {
    let is_plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    path.rsplit_once('/').filter(|_| is_plain).map(|(folder, _)| folder.to_owned())
}

/// The call whose folder this is, if it is one's.
pub fn call_in(folder: &str) -> Option<CallId> {
    folder.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::tests::World;

    #[test]
    fn each_line_is_told_once_and_a_torn_one_not_yet() {
        let world = World::new();
        world.seal_one(3);
        let (root, node) = (&world.parts.settings.folder, &world.parts.node);
        let first = changes_since(root, node, 0).expect("read");
        assert_eq!(first.folders.len(), 2, "{first:?}");
        assert_eq!(changes_since(root, node, first.offset).expect("read").folders.len(), 0);
        let log = log_paths(root, node).0;
        let whole = std::fs::read(&log).expect("the log");
        std::fs::write(&log, [&whole[..], b"{\"sequence\":2"].concat()).expect("torn");
        assert_eq!(changes_since(root, node, first.offset).expect("read").offset, first.offset);
        std::fs::write(&log, &whole[..10]).expect("another");
        assert_eq!(changes_since(root, node, first.offset).expect("read").offset, 0);
    }

    #[test]
    fn no_path_leads_out() {
        for path in ["../x/y", "/etc/passwd", "a/../../b", "x"] {
            assert_eq!(folder_in(path), None, "{path}");
        }
        assert_eq!(folder_in("2026/01/01/a/b"), Some("2026/01/01/a".into()));
    }
}
