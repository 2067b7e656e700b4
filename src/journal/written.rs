//! What is to be brought to the disk, and how it is done again after a sync that failed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// So much is written again at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// A file as far as it is written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The file, open for reading and writing.
    pub file: Arc<File>,
    /// Nothing before this place changes any more.
    pub bytes: u64,
    /// A sync of it has failed.
    pub is_doubtful: bool,
    /// The folder in which its name is new.
    pub named_in: Option<PathBuf>,
}

impl Written {
    /// Brings it to the disk for certain.
    ///
    /// A system that could not write pages says so once and takes them for written from then on (fsync(2), "EIO"): the
    /// next sync would succeed and the sound be lost with the power. So what is doubtful is written again before.
    pub fn sync(&self) -> io::Result<()> {
        if self.is_doubtful {
            self.write_again()?;
        }
        self.file.sync_data()?;
        self.named_in.as_ref().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }

    fn write_again(&self) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES.min(self.bytes as usize)];
        let mut place = 0;
        while place < self.bytes {
            let length = (self.bytes - place).min(PIECE_BYTES as u64) as usize;
            let (now, _) = piece.split_at_mut(length);
            self.file.read_exact_at(now, place)?;
            self.file.write_all_at(now, place)?;
            place += length as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_again_is_what_was_there_and_nothing_behind_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..PIECE_BYTES * 2 + 77).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &bytes).expect("written");
        let file = File::options().read(true).write(true).open(&path).expect("opened");
        let written =
            Written { file: Arc::new(file), bytes: bytes.len() as u64 - 5, is_doubtful: true, named_in: None };
        written.sync().expect("synced");
        assert!(std::fs::read(&path).expect("read") == bytes);
        let cut = Written { bytes: bytes.len() as u64 + 1, ..written };
        assert!(cut.sync().is_err(), "a file that is shorter than it was is told");
    }
}
