//! What the database cannot take now, in order, on the disk: numbered segments of one JSON line a batch.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::model::Fact;

use super::StorageError;
use super::writer::Batch;

/// A segment ends at this size: small enough to be read back whole.
const SEGMENT_BYTES_MAX: u64 = 4 << 20;
/// The most that is spooled, in bytes: days of a whole site's facts; beyond it facts are lost, counted and alarmed.
const SPOOL_BYTES_MAX: u64 = 2 << 30;
/// Where batches go that the database refuses for what they say.
const REFUSED: &str = "refused.jsonl";

/// The folder of segments. A segment is named after the number of its first batch, so names sort as they were handed in.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    segments: Vec<Segment>,
    bytes: u64,
}

#[derive(Clone, Debug)]
struct Segment {
    first: u64,
    path: PathBuf,
    bytes: u64,
    /// Being read back: nothing more is appended to it.
    closed: bool,
}

/// A segment read back.
pub(super) struct Read {
    /// Its batches, in order.
    pub batches: Vec<Batch>,
    /// Lines that could not be read; they are kept in `refused.jsonl`.
    pub unreadable: usize,
}

impl Spool {
    /// Opens the folder (makes it) and finds what an earlier run left.
    pub fn open(folder: &Path) -> Result<Spool, StorageError> {
        let fail = |act, path: &Path| {
            let path = path.to_owned();
            move |source| StorageError::File { act, path, source }
        };
        // What is spooled holds callers' numbers.
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(fail("making the spool", folder))?;
        if let Some(above) = folder.parent() {
            File::open(above)
                .and_then(|above| above.sync_all())
                .map_err(fail("syncing the folder of the spool", above))?;
        }
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(fail("listing the spool", folder))? {
            let path = entry.map_err(fail("listing the spool", folder))?.path();
            let first = path.file_name().and_then(|name| name.to_str()).and_then(number_of);
            let Some(first) = first else { continue };
            let bytes = path.metadata().map_err(fail("reading the spool's", &path))?.len();
            segments.push(Segment { first, path, bytes, closed: true });
        }
        segments.sort_by_key(|segment| segment.first);
        let bytes = segments.iter().map(|segment| segment.bytes).sum();
        Ok(Spool { folder: folder.to_owned(), segments, bytes })
    }

    /// Whether nothing is spooled.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The number of the oldest batch spooled.
    pub fn first(&self) -> Option<u64> {
        self.segments.first().map(|segment| segment.first)
    }

    /// Bytes spooled.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends batches newer than everything spooled; they are on the disk when this returns.
    pub fn append(&mut self, batches: &[Batch]) -> Result<(), StorageError> {
        let Some(first) = batches.first() else { return Ok(()) };
        if self.segments.last().is_none_or(|segment| segment.closed || segment.bytes >= SEGMENT_BYTES_MAX) {
            self.segments.push(self.segment(first.number));
        }
        let at = self.segments.len().saturating_sub(1);
        self.write(at, batches)
    }

    /// Puts batches older than everything spooled before it, in a segment of their own.
    pub fn prepend(&mut self, batches: &[Batch]) -> Result<(), StorageError> {
        let Some(first) = batches.first() else { return Ok(()) };
        self.segments.insert(0, self.segment(first.number));
        self.write(0, batches)
    }

    /// Reads the oldest segment; it stays until [`Spool::remove_first`].
    pub fn read_first(&mut self) -> Result<Option<Read>, StorageError> {
        let Some(segment) = self.segments.first_mut() else { return Ok(None) };
        segment.closed = true;
        let segment = segment.clone();
        let bytes = std::fs::read(&segment.path).map_err(|source| StorageError::File {
            act: "reading the spool's",
            path: segment.path.clone(),
            source,
        })?;
        let mut read = Read { batches: Vec::new(), unreadable: 0 };
        let mut unreadable = Vec::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match serde_json::from_slice::<Vec<Fact>>(line) {
                Ok(facts) => read.batches.push(Batch { number: segment.first, facts: facts.into() }),
                // A line without its end was never promised to anybody: the process died while writing it.
                Err(_) if !line.ends_with(b"\n") => {}
                Err(_) => unreadable.push(line),
            }
        }
        read.unreadable = unreadable.len();
        if !unreadable.is_empty() {
            self.keep_refused(&unreadable.concat())?;
        }
        Ok(Some(read))
    }

    /// Removes the oldest segment: the database has it.
    pub fn remove_first(&mut self) -> Result<(), StorageError> {
        if self.segments.is_empty() {
            return Ok(());
        }
        let segment = self.segments.remove(0);
        self.bytes = self.bytes.saturating_sub(segment.bytes);
        match std::fs::remove_file(&segment.path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(StorageError::File { act: "removing the spool's", path: segment.path, source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Keeps a batch that the database refuses for what it says, so that a person can look at it.
    pub fn keep_refused_batch(&self, batch: &Batch) -> Result<(), StorageError> {
        let mut line = serde_json::to_vec(&batch.facts[..]).unwrap_or_default();
        line.push(b'\n');
        self.keep_refused(&line)
    }

    fn keep_refused(&self, lines: &[u8]) -> Result<(), StorageError> {
        let path = self.folder.join(REFUSED);
        append_and_sync(&path, lines).map_err(|source| StorageError::File { act: "writing to", path, source })
    }

    fn segment(&self, first: u64) -> Segment {
        Segment { first, path: self.folder.join(format!("{first:020}.jsonl")), bytes: 0, closed: false }
    }

    fn write(&mut self, at: usize, batches: &[Batch]) -> Result<(), StorageError> {
        let Some(segment) = self.segments.get_mut(at) else { return Ok(()) };
        let mut lines = Vec::new();
        for batch in batches {
            // Our own plain values always serialise; if one did not, an empty batch stands in its place.
            let written = serde_json::to_writer(&mut lines, &batch.facts[..]);
            debug_assert!(written.is_ok());
            lines.push(b'\n');
        }
        let full = self.bytes.saturating_add(lines.len() as u64) > SPOOL_BYTES_MAX;
        let written = if full {
            Err(std::io::Error::new(std::io::ErrorKind::StorageFull, "the spool has reached its limit of 2 GiB"))
        } else {
            append_and_sync(&segment.path, &lines)
        };
        match written {
            Ok(()) => {
                segment.bytes = segment.bytes.saturating_add(lines.len() as u64);
                self.bytes = self.bytes.saturating_add(lines.len() as u64);
                Ok(())
            }
            Err(source) => {
                let path = segment.path.clone();
                if segment.bytes == 0 {
                    self.segments.remove(at);
                    let _ = std::fs::remove_file(&path);
                }
                Err(StorageError::File { act: "writing to the spool's", path, source })
            }
        }
    }
}

/// Appends and brings it to the disk; on failure the file is cut back, so that no half line stays in its middle.
fn append_and_sync(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    let written = file.write_all(bytes).and_then(|()| file.sync_data());
    if written.is_err() {
        file.set_len(length)?;
    }
    if length == 0
        && let Some(folder) = path.parent()
    {
        File::open(folder)?.sync_all()?;
    }
    written
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".jsonl")?.parse().ok()
}
