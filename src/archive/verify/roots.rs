//! The hours' roots of a seal log, and their time stamps.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Seals, Verdict};
use crate::archive::merkle;
use crate::archive::roots::{Root, folder_of, list, stamp_of};
use crate::archive::timestamp;
use crate::recorder::render::hex;

/// A document's line follows it within so many seconds, on the slowest disk that is of use.
const UNDER_WAY_S: i64 = 10;

/// Checks each root against the lines that it covers; `hashes` are those of the log's sound lines by sequence.
pub(super) fn check(
    recordings: &Path,
    (node, log): (&str, &Path),
    hashes: &[(u64, String)],
    seals: &Seals,
    verdict: &mut Verdict,
) {
    let folder = recordings.join(folder_of(recordings, node));
    let all = match list(&folder) {
        Ok(all) => all,
        Err(error) => return verdict.add(&folder, "file", format!("cannot be listed: {error}")),
    };
    let (mut previous, mut last) = (String::new(), 0);
    for path in all {
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                verdict.add(&path, "file", format!("cannot be read: {error}"));
                continue;
            }
        };
        let is_logged = seals.entries.contains_key(&path);
        if !is_logged && is_being_made(&bytes, seals) {
            verdict.note(format!("{} is being made by a running Vigie", path.display()));
            continue;
        }
        if !is_logged {
            verdict.add(&path, "sha256", "the seal log has no sound line of it");
        }
        let root: Root = match serde_json::from_slice(&bytes) {
            Ok(root) => root,
            Err(error) => {
                verdict.add(&path, "form", format!("is no root as Vigie writes it: {error}"));
                continue;
            }
        };
        if root.previous_sha256 != previous || root.first != last + 1 {
            verdict.add(&path, "previous_sha256", "does not follow the root before: one is missing or was changed");
        }
        let covered = covered(hashes, &root);
        if merkle::root_of(&covered).as_ref() != Some(&root.root) || covered.last() != Some(&root.last_hash) {
            let what = format!(
                "lines {} to {} are not those that were there when {} was made",
                root.first,
                root.last,
                path.display()
            );
            verdict.add(log, "root", what);
        }
        check_stamp(&path, &bytes, seals, verdict);
        (previous, last) = (hex(&Sha256::digest(&bytes)), root.last);
    }
}

/// The hashes under a root. Those of a log whose lines are out of order are found or not: that was told of the log.
fn covered(hashes: &[(u64, String)], root: &Root) -> Vec<String> {
    let place = |sequence: u64| hashes.partition_point(|(there, _)| *there < sequence);
    let inside = hashes.get(place(root.first)..place(root.last.saturating_add(1))).unwrap_or_default();
    inside.iter().map(|(_, hash)| hash.clone()).collect()
}

/// Whether a root is from the moment at which the logs were read: a running Vigie writes the document and then its line.
fn is_being_made(document: &[u8], seals: &Seals) -> bool {
    let root: Option<Root> = serde_json::from_slice(document).ok();
    let made = root.and_then(|root| root.made_at.parse::<jiff::Timestamp>().ok());
    made.is_some_and(|made| seals.begun.timestamp().duration_since(made).as_secs() < UNDER_WAY_S)
}

/// That the time stamp speaks of this document; its signature is for `openssl ts -verify`.
fn check_stamp(root: &Path, document: &[u8], seals: &Seals, verdict: &mut Verdict) {
    let path = stamp_of(root);
    let Ok(reply) = std::fs::read(&path) else { return };
    if !seals.entries.contains_key(&path) {
        verdict.add(&path, "sha256", "the seal log has no sound line of it");
    }
    let hash: [u8; 32] = Sha256::digest(document).into();
    match timestamp::read(&reply) {
        Ok(stamp) if stamp.sha256 == hash => (),
        Ok(_) => verdict.add(&path, "messageImprint", "is a time stamp of another document"),
        Err(error) => verdict.add(&path, "form", error.to_string()),
    }
}
