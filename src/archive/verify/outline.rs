//! A recording's outline against its sidecar.

use std::path::Path;

use super::Verdict;
use crate::recorder::peaks::PEAKS_FILE;
use crate::recorder::render::hash_short;
use crate::recorder::sidecar::Sidecar;

/// Checks the outline's file as it rests.
pub(super) fn check(folder: &Path, sidecar: &Sidecar, verdict: &mut Verdict) {
    let path = folder.join(PEAKS_FILE);
    let Some(told) = &sidecar.vigie.peaks else {
        if path.exists() {
            verdict.note(format!("{}: is no part of the recording and not sealed with it", path.display()));
        }
        return;
    };
    match hash_short(&path) {
        Ok((bytes, _)) if bytes != told.bytes => {
            verdict.add(&path, "vigie.peaks.bytes", format!("is {bytes} bytes long, the sidecar says {}", told.bytes));
        }
        Ok((_, sha256)) if sha256 != told.sha256 => verdict.add(&path, "vigie.peaks.sha256", "the file was changed"),
        Ok(_) => (),
        Err(error) => verdict.add(&path, "file", format!("cannot be read: {error}")),
    }
}
