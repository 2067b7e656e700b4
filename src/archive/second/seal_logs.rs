//! The seal logs in both places: each grows, and what is there of one is the beginning of what is here.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use super::check::{Comparison, Finding, Wish};
use super::place::{Part, Reading, is_ours};
use super::{Place, Second};
use crate::recorder::layout::SEAL_LOG_FOLDER;
use crate::vault::ReadAt;

/// A bucket cannot append: there, a seal log lies in parts of this length, of which only the last one changes.
const LOG_PART_BYTES: u64 = 256 * 1024;
/// Bytes compared at once: a log of ten years is no guest in memory.
const PIECE_BYTES: usize = 256 * 1024;

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

/// Brings a seal log there up to date.
pub(super) fn copy_log(second: &Second, path: &str) -> io::Result<()> {
    let Some(here) = second.here.open_file(path)? else { return Ok(()) };
    let length = here.length()?;
    match &second.there {
        Place::Folder(there) => there.append(path, &second.recordings.join(path)),
        Place::Bucket(there) => {
            let parts = parts_folder(path);
            let known = there.list(&parts)?;
            for number in 0..length.div_ceil(LOG_PART_BYTES) {
                let (from, to) = (number * LOG_PART_BYTES, ((number + 1) * LOG_PART_BYTES).min(length));
                let name = part_name(number);
                if known.get(&name) != Some(&(to - from)) {
                    let part = Part { file: &*here, from, to };
                    there.put(&format!("{parts}/{name}"), &part)?;
                }
            }
            Ok(())
        }
    }
}

/// Each seal log here must go on from what is there of it; what lies beside them must be the same.
pub(super) fn compare_logs(second: &Second, wish: &Wish, found: &mut Comparison) -> io::Result<()> {
    let Second { here, there, .. } = second;
    let mut names: BTreeSet<String> = here.list(SEAL_LOG_FOLDER)?.into_keys().collect();
    names.extend(there.list(SEAL_LOG_FOLDER)?.into_keys());
    for name in names.iter().filter(|name| is_ours(name) && !is_log(SEAL_LOG_FOLDER, name)) {
        let path = format!("{SEAL_LOG_FOLDER}/{name}");
        let finding = |place, what: &str, mended| Finding { file: path.clone(), place, what: what.into(), mended };
        match (here.hash(&path)?, there.hash(&path)?) {
            (Some(one), Some(other)) if one == other => {}
            (Some(_), None) | (None, None) => {}
            (None, Some(_)) => {
                let file = there.open_file(&path)?.filter(|_| wish.repair);
                let mended = file.map(|file| put_back(here, &path, &*file)).transpose()?;
                found.add(finding("here", "is missing", mended));
            }
            (Some(_), Some(_)) => {
                let what = "is not the same in both places: run `vigie verify`, and find out who changed it";
                found.add(finding("both", what, None));
            }
        }
    }
    for log in logs_in(second)? {
        let path = format!("{SEAL_LOG_FOLDER}/{log}");
        let Some(copy) = log_there(there, &path)? else { continue };
        let finding = |place, what: &str, mended| Finding { file: path.clone(), place, what: what.into(), mended };
        match here.open_file(&path)? {
            None => {
                let mended = wish.repair.then(|| put_back(here, &path, &*copy)).transpose()?;
                found.add(finding("here", "the seal log is missing", mended));
            }
            Some(file) if begins_with(&*file, &*copy)? => {}
            Some(_) => {
                let what = "the seal log here does not go on from what is there of it: lines were changed or lost in one of \
                            the places; run `vigie verify` on both";
                found.add(finding("both", what, None));
            }
        }
    }
    Ok(())
}

fn put_back(here: &Place, path: &str, from: &dyn ReadAt) -> io::Result<String> {
    here.put(path, from)?;
    Ok("put back from the second place, as far as it was copied".to_owned())
}

/// The names of the seal logs in either place.
fn logs_in(second: &Second) -> io::Result<BTreeSet<String>> {
    let mut logs: BTreeSet<String> = second.here.list(SEAL_LOG_FOLDER)?.into_keys().collect();
    match &second.there {
        Place::Folder(_) => logs.extend(second.there.list(SEAL_LOG_FOLDER)?.into_keys()),
        Place::Bucket(there) => logs.extend(there.logs()?),
    }
    logs.retain(|name| is_log(SEAL_LOG_FOLDER, name));
    Ok(logs)
}

/// What is there of a seal log; `None`: nothing.
fn log_there<'a>(there: &'a Place, path: &str) -> io::Result<Option<Box<dyn ReadAt + 'a>>> {
    let Place::Bucket(bucket) = there else { return Ok(there.open_file(path)?.map(|file| file as Box<dyn ReadAt>)) };
    let folder = parts_folder(path);
    let known = bucket.list(&folder)?;
    let mut parts = Vec::new();
    let mut length = 0;
    for bytes in (0..).map_while(|number| known.get(&part_name(number))) {
        parts.push(length);
        length += bytes;
    }
    Ok((length > 0)
        .then(|| Box::new(Parts { there, folder, parts, length, held: Mutex::default() }) as Box<dyn ReadAt>))
}

/// A seal log in a bucket, read as if it were one file.
struct Parts<'a> {
    there: &'a Place,
    folder: String,
    /// Where each begins.
    parts: Vec<u64>,
    length: u64,
    /// The part that was read last, by its number.
    held: Mutex<Option<(usize, Vec<u8>)>>,
}

impl ReadAt for Parts<'_> {
    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let Some(number) = self.parts.partition_point(|from| *from <= at).checked_sub(1) else { return Ok(0) };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_none_or(|(there, _)| *there != number) {
            let path = format!("{}/{}", self.folder, part_name(number as u64));
            let bytes = self.there.read(&path, LOG_PART_BYTES as usize)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            *held = Some((number, bytes));
        }
        let from = at - self.parts.get(number).copied().unwrap_or(at);
        let bytes = held.as_ref().and_then(|(_, bytes)| bytes.get(from as usize..)).unwrap_or_default();
        let read = bytes.len().min(to.len());
        to.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(read)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn is_far(&self) -> bool {
        true
    }
}

/// Whether `file` goes on from `begin`.
fn begins_with(file: &dyn ReadAt, begin: &dyn ReadAt) -> io::Result<bool> {
    let mut left = begin.length()?;
    if file.length()? < left {
        return Ok(false);
    }
    let (mut one, mut other) = (Reading { file, at: 0 }, Reading { file: begin, at: 0 });
    let (mut here, mut there) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    while left > 0 {
        let length = left.min(PIECE_BYTES as u64) as usize;
        let (Some(here), Some(there)) = (here.get_mut(..length), there.get_mut(..length)) else { return Ok(false) };
        one.read_exact(here)?;
        other.read_exact(there)?;
        if here != there {
            return Ok(false);
        }
        left -= length as u64;
    }
    Ok(true)
}
