//! The seal logs between the two places: copied as they grow, never over what they do not go on from; brought back when the
//! recordings folder has lost them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::DecodePublicKey;
use sha2::{Digest, Sha256};

use super::place::{Part, Reading};
use super::{Place, Second};
use crate::clock;
use crate::recorder::deposit::{DOCUMENT_BYTES_MAX, signature_of};
use crate::recorder::layout::{SEAL_LOG_FOLDER, create_file, make_folder, name_part, part_of, put_file, sync_file};
use crate::recorder::render::hex;
use crate::recorder::seal_keys::keys_of;
use crate::recorder::seal_log::{Entry, earlier_name, log_paths};
use crate::vault::ReadAt;

/// A bucket cannot append: there, a seal log lies in parts of this length, of which only the last one changes. What is
/// compared is compared so much at a time.
const LOG_PART_BYTES: u64 = 256 * 1024;
/// A server that begins waits at most so long for a log that it has lost: calls come first, and a new log can be begun.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// So many digits of a hash tell one earlier log of a node from another.
const PRINT_DIGITS: usize = 8;

/// How a log here stands to what is there of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It goes on from what is there, behind this byte.
    GoesOn(u64),
    /// It ends before what is there does.
    Behind,
    /// It is another one from this part on.
    Other(u64),
}

impl Second {
    /// Brings a seal log there up to date. What is amiss is said: a log that does not go on from what is there is a new one,
    /// begun because the old one was lost; the old one, all that lies there of it, is kept under a name of its own.
    pub(super) fn copy_log(&self, path: &str) -> io::Result<Option<String>> {
        let _one = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(here) = self.here.open_file(path)? else { return Ok(None) };
        match self.standing(path, &*here, false)? {
            Standing::GoesOn(from) => self.extend(path, (&*here, from)).map(|()| None),
            // One that is opened and has no line yet.
            Standing::Behind if here.length()? == 0 => Ok(None),
            Standing::Behind => Ok(Some(format!("{path} is longer there than here: lines were lost here"))),
            Standing::Other(_) if !self.is_log_sound(path, &*here)? => {
                Ok(Some(format!("{path} is damaged here, and is not copied: run `vigie verify`")))
            }
            Standing::Other(part) => {
                let earlier = self.keep_earlier(path, part)?;
                self.extend(path, (&*here, part * LOG_PART_BYTES))?;
                Ok(Some(format!(
                    "{path} does not go on from what was there of it: it was begun anew after the old one was lost. What was \
                     there is {earlier} now; `vigie archive check --repair` fetches it, and the recordings that it proves"
                )))
            }
        }
    }

    /// How the log `here` stands to what is there; `is_thorough`: to its last byte. Otherwise the last part tells, since each
    /// line binds the one before.
    pub(super) fn standing(&self, path: &str, here: &dyn ReadAt, is_thorough: bool) -> io::Result<Standing> {
        // There first: a running server makes both longer, here first.
        let length = self.log_length_there(path)?;
        let Some(last) = length.checked_sub(1).map(|end| end / LOG_PART_BYTES) else { return Ok(Standing::GoesOn(0)) };
        let end = self.log_part_there(path, last)?;
        let mine = log_part(here, last)?;
        let lines = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        // What a kill cut off in mid-line there is written again.
        let goes_on = [end.len(), lines]
            .into_iter()
            .find(|length| *length > 0 && end.get(..*length).is_some_and(|begin| mine.starts_with(begin)));
        match goes_on {
            Some(within) if !is_thorough => return Ok(Standing::GoesOn(last * LOG_PART_BYTES + within as u64)),
            Some(within) => {
                let differs = self.first_difference(path, here, last)?;
                return Ok(differs.map_or(Standing::GoesOn(last * LOG_PART_BYTES + within as u64), Standing::Other));
            }
            None => {}
        }
        let ours = here.length()?;
        let Some(end) = ours.checked_sub(1).map(|end| end / LOG_PART_BYTES) else { return Ok(Standing::Behind) };
        if ours < length && self.log_part_there(path, end)?.starts_with(&log_part(here, end)?) {
            return Ok(Standing::Behind);
        }
        Ok(Standing::Other(self.first_difference(path, here, last)?.unwrap_or(last)))
    }

    /// The first of the parts before `last` that is not the same in both places.
    fn first_difference(&self, path: &str, here: &dyn ReadAt, last: u64) -> io::Result<Option<u64>> {
        for part in 0..last {
            if self.log_part_there(path, part)? != log_part(here, part)? {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    fn log_length_there(&self, path: &str) -> io::Result<u64> {
        match &self.there {
            Place::Folder(there) => there.open_file(path)?.map_or(Ok(0), |file| file.length()),
            Place::Bucket(there) => {
                let parts = there.list(&parts_folder(path))?;
                let last =
                    parts.iter().next_back().and_then(|(name, length)| Some((name.parse::<u64>().ok()?, length)));
                Ok(last.map_or(0, |(number, length)| number * LOG_PART_BYTES + length))
            }
        }
    }

    /// A part of what is there of a log; empty behind its end.
    fn log_part_there(&self, path: &str, number: u64) -> io::Result<Vec<u8>> {
        match &self.there {
            Place::Folder(there) => there.open_file(path)?.map_or(Ok(Vec::new()), |file| log_part(&*file, number)),
            Place::Bucket(_) => {
                let part = format!("{}/{}", parts_folder(path), part_name(number));
                Ok(self.there.read(&part, LOG_PART_BYTES as usize)?.unwrap_or_default())
            }
        }
    }

    /// Adds the whole lines that stand behind byte `from` here.
    fn extend(&self, path: &str, (here, from): (&dyn ReadAt, u64)) -> io::Result<()> {
        let to = end_of_lines(here)?;
        if to <= from {
            return Ok(());
        }
        match &self.there {
            Place::Folder(there) => there.extend(path, from, &Part { file: here, from, to }),
            Place::Bucket(there) => {
                for number in from / LOG_PART_BYTES..to.div_ceil(LOG_PART_BYTES) {
                    let part = number * LOG_PART_BYTES;
                    let part = Part { file: here, from: part, to: (part + LOG_PART_BYTES).min(to) };
                    there.put(&format!("{}/{}", parts_folder(path), part_name(number)), &part)?;
                }
                Ok(())
            }
        }
    }

    /// Whether every line of a log here is one, signed with a key beside it.
    fn is_log_sound(&self, path: &str, here: &dyn ReadAt) -> io::Result<bool> {
        let keys = keys_of(&self.recordings, stem_of(path))?;
        let mut is_sound = true;
        let look = |line: &str| {
            is_sound &= keys.iter().any(|key| key.key.is_some() && Entry::check(line, key.key.as_ref()).is_ok());
            Ok(())
        };
        each_line(|number| log_part(here, number), look)?;
        Ok(is_sound)
    }

    /// Gives what lies there of a log, with its keys and roots, the name of an earlier log; which that is. Killed in between,
    /// it is done again: the name follows from part `differs`, which is replaced last.
    fn keep_earlier(&self, path: &str, differs: u64) -> io::Result<String> {
        let (stem, print) = (stem_of(path), hex(&Sha256::digest(self.log_part_there(path, differs)?)));
        let earlier = earlier_name(stem, print.get(..PRINT_DIGITS).unwrap_or_default());
        let begin = format!("{SEAL_LOG_FOLDER}/{stem}.");
        let renamed = |path: &str| path.strip_prefix(&begin).map(|rest| format!("{SEAL_LOG_FOLDER}/{earlier}.{rest}"));
        let log = format!("{SEAL_LOG_FOLDER}/{earlier}.jsonl");
        match &self.there {
            Place::Folder(there) => {
                let mut all = there.entries(SEAL_LOG_FOLDER)?;
                all.sort_by_key(|one| one == path);
                for (from, to) in all.iter().filter_map(|from| Some((from, renamed(from)?))) {
                    there.rename(from, &to)?;
                }
                sync_file(&there.path().join(SEAL_LOG_FOLDER))?;
            }
            Place::Bucket(there) => {
                let (parts, all) = (parts_folder(path), there.below(SEAL_LOG_FOLDER)?);
                let (mut parts, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.starts_with(&parts));
                for (from, to) in rest.iter().filter_map(|from| Some((from, renamed(from)?))) {
                    there.set_aside(from, &to)?;
                    there.leave(from)?;
                }
                for (from, to) in parts.iter().filter_map(|from| Some((from, renamed(from)?))) {
                    there.set_aside(from, &to)?;
                }
                parts.sort();
                let is_after = |part: &&String| part.rsplit('/').next().is_some_and(|name| *name > *part_name(differs));
                for part in parts.iter().rev().filter(is_after) {
                    there.leave(part)?;
                }
            }
        }
        Ok(log)
    }

    /// Writes what is there of a log here, as far as its lines are whole.
    pub(super) fn put_log_back(&self, path: &str) -> io::Result<()> {
        self.write_log_back(path, |_| Ok(()))
    }

    fn write_log_back(&self, path: &str, mut look: impl FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        let to = self.recordings.join(path);
        let folder = to.parent().unwrap_or(&self.recordings);
        make_folder(folder)?;
        let mut file = io::BufWriter::new(create_file(&part_of(&to))?);
        let put = |line: &str| {
            look(line)?;
            file.write_all(line.as_bytes())?;
            file.write_all(b"\n")
        };
        each_line(|number| self.log_part_there(path, number), put)?;
        file.flush()?;
        drop(file);
        name_part(&to)?;
        sync_file(folder)
    }

    /// Before the seal log of a node is opened: where there is none, or none with a line, and there is one there that was
    /// begun with this key, it is brought back with its keys and its last root, so that it goes on. Its length then.
    ///
    /// # Errors
    /// When it cannot be read there, cannot go on with this key, or does not come in time: then a new log is begun.
    pub fn bring_log_back(&self, node: &str, key: &VerifyingKey) -> io::Result<Option<u64>> {
        let log = log_paths(&self.recordings, node).0;
        let name = log.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let path = format!("{SEAL_LOG_FOLDER}/{name}");
        if log.metadata().is_ok_and(|about| about.len() > 0) || !self.logs_there()?.contains(&name) {
            return Ok(None);
        }
        let until = clock::now().moment.0.saturating_add(BACK_WITHIN.as_micros() as u64);
        let keys = self.keys_there(stem_of(&path), key)?;
        let roots = format!("{SEAL_LOG_FOLDER}/{}.roots/", stem_of(&path));
        let (mut last, mut root) = (None, None);
        let look = |line: &str| {
            let amiss = |_| io::Error::other(format!("a line of {path} there does not hold"));
            let (entry, hash) = Entry::check(line, None).map_err(amiss)?;
            if entry.previous != last.take().unwrap_or_default() {
                return Err(io::Error::other(format!("line {} of {path} there does not follow", entry.sequence)));
            }
            last = Some(hash);
            if entry.path.starts_with(&roots) && entry.path.ends_with(".json") {
                root = Some(entry.path);
            }
            if clock::now().moment.0 > until {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{path} does not come back in time")));
            }
            Ok(())
        };
        // Keys first: without its log a key is nothing, and a log that has none cannot go on.
        for (name, bytes) in &keys {
            let to = self.recordings.join(SEAL_LOG_FOLDER).join(name);
            make_folder(to.parent().unwrap_or(&self.recordings))?;
            put_file(&to, bytes)?;
        }
        self.write_log_back(&path, look)?;
        if let Some(root) = root {
            let signature = signature_of(Path::new(&root));
            for path in [root.as_str(), signature.to_str().unwrap_or_default()] {
                if let Some(file) = self.there.open_file(path)? {
                    self.here.put(path, &*file)?;
                }
            }
        }
        Ok(Some(log.metadata()?.len()))
    }

    /// The keys there of a log whose newest is `key`, and the words of each for the one before.
    fn keys_there(&self, stem: &str, key: &VerifyingKey) -> io::Result<BTreeMap<String, Vec<u8>>> {
        let mut found = BTreeMap::new();
        for name in self.there.list(SEAL_LOG_FOLDER)?.into_keys() {
            let is_key = name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('.') && rest.contains(".pub.pem"));
            if is_key && let Some(bytes) = self.there.read(&format!("{SEAL_LOG_FOLDER}/{name}"), DOCUMENT_BYTES_MAX)? {
                found.insert(name, bytes);
            }
        }
        let number = |name: &str| {
            let rest = name.strip_prefix(stem)?.strip_suffix(".pub.pem")?;
            if rest.is_empty() { Some(1) } else { rest.strip_prefix(".key-")?.parse::<usize>().ok() }
        };
        let newest = found.iter().filter_map(|(name, bytes)| Some((number(name)?, bytes))).max();
        let newest = newest.and_then(|(_, pem)| VerifyingKey::from_public_key_pem(std::str::from_utf8(pem).ok()?).ok());
        if newest != Some(*key) {
            return Err(io::Error::other(format!(
                "the seal log {stem} there was kept with another key than this node's"
            )));
        }
        Ok(found)
    }

    fn logs_there(&self) -> io::Result<BTreeSet<String>> {
        let mut logs: BTreeSet<String> = match &self.there {
            Place::Folder(there) => there.list(SEAL_LOG_FOLDER)?.into_keys().collect(),
            Place::Bucket(there) => there.logs()?.into_iter().collect(),
        };
        logs.retain(|name| is_log(SEAL_LOG_FOLDER, name));
        Ok(logs)
    }

    /// The names of the seal logs in either place.
    pub(super) fn logs(&self) -> io::Result<BTreeSet<String>> {
        let here = self.here.list(SEAL_LOG_FOLDER)?.into_keys().filter(|name| is_log(SEAL_LOG_FOLDER, name));
        Ok(here.chain(self.logs_there()?).collect())
    }
}

/// Whether a file is a seal log.
pub(super) fn is_log(folder: &str, name: &str) -> bool {
    folder == SEAL_LOG_FOLDER && name.ends_with(".jsonl")
}

/// Where the parts of a seal log lie in a bucket.
fn parts_folder(log: &str) -> String {
    format!("{log}.parts")
}

fn part_name(number: u64) -> String {
    format!("{number:08}")
}

/// The log's name without its folder and ending.
fn stem_of(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".jsonl").unwrap_or(name)
}

/// A part of a log; empty behind its end.
fn log_part(file: &dyn ReadAt, number: u64) -> io::Result<Vec<u8>> {
    let (from, length) = (number * LOG_PART_BYTES, file.length()?);
    let mut part = Vec::new();
    if from < length {
        let to = (from + LOG_PART_BYTES).min(length);
        Reading { file: &Part { file, from, to }, at: 0 }.read_to_end(&mut part)?;
    }
    Ok(part)
}

/// The byte behind the last whole line.
fn end_of_lines(file: &dyn ReadAt) -> io::Result<u64> {
    for number in (0..file.length()?.div_ceil(LOG_PART_BYTES)).rev() {
        if let Some(at) = log_part(file, number)?.iter().rposition(|byte| *byte == b'\n') {
            return Ok(number * LOG_PART_BYTES + at as u64 + 1);
        }
    }
    Ok(0)
}

/// Hands on each whole line of what is read part by part, without its end.
fn each_line(
    read: impl Fn(u64) -> io::Result<Vec<u8>>,
    mut look: impl FnMut(&str) -> io::Result<()>,
) -> io::Result<()> {
    let mut left = Vec::new();
    for number in 0.. {
        let part = read(number)?;
        let is_last = (part.len() as u64) < LOG_PART_BYTES;
        left.extend(part);
        let end = left.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let rest = left.split_off(end);
        for line in left.split_inclusive(|byte| *byte == b'\n') {
            look(&String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)))?;
        }
        left = rest;
        if is_last {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
