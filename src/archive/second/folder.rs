//! A place that is a folder: another disk, or a share that is mounted; the recordings folder itself is one, too.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::place::{Reading, context};
use crate::model::CallId;
use crate::recorder::layout::{make_folder, name_of_part, name_part, part_of, remove_file, sync_file};
use crate::vault::ReadAt;

/// Says that the folder is the second place: a disk that is not mounted leaves an empty one.
const MARK_FILE: &str = ".vigie-second-place";
/// Bytes written at once.
const PIECE_BYTES: usize = 256 * 1024;

/// A folder.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`; it need not be there now.
    pub fn new(path: &Path) -> Folder {
        Folder { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn claim(&self, is_known: bool) -> io::Result<()> {
        if !self.path.is_dir() {
            let what = format!("{} is not there: mount its disk, or make it once by hand", self.path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, what));
        }
        let mark = self.path.join(MARK_FILE);
        if mark.is_file() {
            return Ok(());
        }
        if is_known {
            let what = format!(
                "{} is not the folder that was copied to before ({MARK_FILE} is not in it): mount its disk; if the folder is \
                 new on purpose, put an empty file {MARK_FILE} into it",
                self.path.display()
            );
            return Err(io::Error::other(what));
        }
        let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o640).open(&mark);
        made.and_then(|file| file.sync_all()).map_err(context("marking as the second place", &mark))?;
        sync_file(&self.path)
    }

    pub(super) fn list(&self, folder: &str) -> io::Result<BTreeMap<String, u64>> {
        let path = self.path.join(folder);
        let entries = match std::fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            entries => entries.map_err(context("listing", &path))?,
        };
        let mut found = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(context("listing", &path))?;
            let (name, about) = (entry.file_name(), entry.metadata().map_err(context("looking at", &entry.path()))?);
            if let Some(name) = name.to_str().filter(|name| about.is_file() && name_of_part(name).is_none()) {
                found.insert(name.to_owned(), about.len());
            }
        }
        Ok(found)
    }

    pub(super) fn calls(&self) -> io::Result<Vec<String>> {
        let mut level = vec![String::new()];
        for digits in [4, 2, 2] {
            let is_of_date = |name: &str| name.len() == digits && name.bytes().all(|byte| byte.is_ascii_digit());
            level = self.below(&level, is_of_date)?;
        }
        self.below(&level, |name| name.parse::<CallId>().is_ok())
    }

    /// The folders within `folders` whose names are as wanted, in order.
    fn below(&self, folders: &[String], is_wanted: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        for folder in folders {
            let path = self.path.join(folder);
            for entry in std::fs::read_dir(&path).map_err(context("listing", &path))? {
                let entry = entry.map_err(context("listing", &path))?;
                if let Some(name) = entry.file_name().to_str().filter(|name| is_wanted(name))
                    && entry.file_type().map_err(context("looking at", &entry.path()))?.is_dir()
                {
                    found.push(if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") });
                }
            }
        }
        found.sort();
        Ok(found)
    }

    pub(super) fn put(&self, path: &str, from: &dyn ReadAt) -> io::Result<()> {
        let to = self.path.join(path);
        let folder = to.parent().unwrap_or(&self.path);
        make_folder(folder).map_err(context("making", folder))?;
        let part = part_of(&to);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&part);
        let mut out = BufWriter::with_capacity(PIECE_BYTES, file.map_err(context("making", &part))?);
        let written = io::copy(&mut Reading { file: from, at: 0 }, &mut out).and_then(|_| out.flush());
        if let Err(error) = written {
            // Nothing half-written is left for a full disk to keep.
            let _ = remove_file(&part);
            return Err(context("writing", &to)(error));
        }
        name_part(&to).map_err(context("naming", &to))?;
        // Its folders, too, each time: whoever made them may have been killed before they were on the disk.
        let mut above = folder;
        sync_file(above)?;
        while above != self.path {
            above = above.parent().unwrap_or(&self.path);
            sync_file(above)?;
        }
        Ok(())
    }

    pub(super) fn open_file(&self, path: &str) -> io::Result<Option<Box<dyn ReadAt>>> {
        let path = self.path.join(path);
        match File::open(&path) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(context("opening", &path)(error)),
        }
    }

    pub(super) fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.path.join(path);
        remove_file(&path).map_err(context("removing", &path))?;
        match path.parent() {
            Some(folder) if folder.is_dir() => sync_file(folder),
            _ => Ok(()),
        }
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path.join(from), self.path.join(to));
        if let Some(folder) = to.parent() {
            make_folder(folder).map_err(context("making", folder))?;
        }
        std::fs::rename(&from, &to).map_err(context("setting aside", &from))
    }

    /// The paths of everything in a folder, folders too.
    pub(super) fn entries(&self, folder: &str) -> io::Result<Vec<String>> {
        let path = self.path.join(folder);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(context("listing", &path))? {
            let name = entry.map_err(context("listing", &path))?.file_name();
            found.extend(name.to_str().map(|name| format!("{folder}/{name}")));
        }
        Ok(found)
    }

    /// Lets a file go on with `rest` behind byte `from`.
    pub(super) fn extend(&self, path: &str, from: u64, rest: &dyn ReadAt) -> io::Result<()> {
        let to = self.path.join(path);
        if let Some(folder) = to.parent() {
            make_folder(folder).map_err(context("making", folder))?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(&to);
        let mut file = file.map_err(context("opening", &to))?;
        if file.metadata()?.len() > from {
            file.set_len(from).map_err(context("cutting", &to))?;
        }
        io::copy(&mut Reading { file: rest, at: 0 }, &mut file).map_err(context("appending to", &to))?;
        file.sync_all().map_err(context("syncing", &to))?;
        to.parent().map_or(Ok(()), sync_file)
    }
}
