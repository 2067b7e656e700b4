//! What lies among recordings and is none of Vigie's: told, for whoever looks for what was put there or left behind.

use std::ffi::OsStr;
use std::path::Path;

use super::{Verdict, list};
use crate::archive::second::{MENDING_FILE, QUARANTINE};
use crate::model::CallId;
use crate::recorder::deposit::addendum_of;
use crate::recorder::layout::{
    AUDIO_FILE, CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE, KEPT_FILE, LOCK_FILE, SEAL_LOG_FOLDER, SIDECAR_FILE,
    SIGNATURE_FILE, leg_of, name_of_part,
};
use crate::recorder::peaks::PEAKS_FILE;
use crate::vault::{FLAC_FILE, KEY_FILE};

/// Notes the entries of a recording's folder that no recording has.
pub(super) fn note_in_recording(folder: &Path, verdict: &mut Verdict) {
    for path in list(folder).unwrap_or_default() {
        let name = name_of(&path);
        let is_ours = |name: &str| {
            [AUDIO_FILE, FLAC_FILE, SIDECAR_FILE, SIGNATURE_FILE, KEPT_FILE, KEY_FILE].contains(&name)
                || [CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE].contains(&name)
                || name == PEAKS_FILE
                || leg_of(name).is_some()
                || addendum_of(name.strip_suffix(".sig").unwrap_or(name)).is_some()
        };
        if name_of_part(name).is_some_and(is_ours) {
            verdict.note(format!("{}: left by a write that was interrupted; no part of the recording", path.display()));
        } else if !is_ours(name) || path.is_dir() {
            verdict.note(format!("{}: is no part of the recording and not sealed with it", path.display()));
        }
    }
}

/// Notes the entries of a folder `depth` levels below the recordings folder (years, months, days, calls) that are not
/// what Vigie puts there.
pub(super) fn note_among_days(folder: &Path, depth: usize, verdict: &mut Verdict) {
    for path in list(folder).unwrap_or_default() {
        let name = name_of(&path);
        let has_digits = |count| name.len() == count && name.bytes().all(|byte| byte.is_ascii_digit());
        let is_ours = match depth {
            0 if name == LOCK_FILE || name == MENDING_FILE => path.is_file(),
            0 => path.is_dir() && (name == SEAL_LOG_FOLDER || name == QUARANTINE || has_digits(4)),
            1 | 2 => path.is_dir() && has_digits(2),
            3 => path.is_dir() && name.parse::<CallId>().is_ok(),
            // A call's folder without one file of a recording.
            _ => false,
        };
        if !is_ours {
            verdict.note(format!("{}: is none of Vigie's and was not checked as a recording's", path.display()));
        }
    }
}

/// Notes what lies beside the seal logs.
pub(super) fn note_in_seal_log(path: &Path, verdict: &mut Verdict) {
    verdict.note(format!("{}: is no seal log and no key of one", path.display()));
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or_default()
}
