//! The database against the evidence: each recording's row against its sidecar, and each sealed recording for its row.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use super::{Verdict, list};
use crate::archive::roots::lines_from;
use crate::model::{CallId, SealedRecording, Utc};
use crate::recorder::layout::{SEAL_LOG_FOLDER, SIDECAR_FILE, folder_of};
use crate::recorder::sealed_there;
use crate::storage::comparing::{COLUMNS, StoredRow, columns_of, id_of, is_same_record, rows};
use crate::storage::{Storage, StorageError, recordings};

/// So long a row may be on its way, in seconds: the writer keeps it beside the database while that is busy or away.
const ON_ITS_WAY_S: i64 = 300;

/// Compares the rows of recordings below `target`, which stands in the recordings folder `root`, with their sidecars;
/// `file` is the database's, for findings. It may be in use: what was sealed just before `now` is not looked for, and what is
/// lawfully deleted meanwhile is not missed.
///
/// # Errors
/// When the database cannot be read.
pub async fn check(
    storage: &Storage,
    file: &Path,
    (root, target): (&Path, &Path),
    now: Utc,
    verdict: &mut Verdict,
) -> Result<u64, StorageError> {
    // Before the rows: a row follows its line.
    let sealed = read_logs(root).0;
    let (mut seen, mut after, mut compared, mut gone) = (HashSet::new(), String::new(), 0, Vec::new());
    loop {
        let some = rows(storage, &after).await?;
        let Some(last) = some.last() else { break };
        after = last.call().to_owned();
        for row in &some {
            let Some(call) = id_of(row) else {
                verdict.add(file, "recordings.call", format!("`{}` is no call's id", row.call()));
                continue;
            };
            seen.insert(call);
            if root.join(folder_of(call)).starts_with(target) {
                compared += 1;
                match sealed_there(root, call) {
                    Ok(Some(sealed)) => compare(row, &sealed, file, verdict)?,
                    Ok(None) => gone.push(call),
                    // Told with the recording itself.
                    Err(_) => (),
                }
            }
        }
    }
    tell_gone(storage, root, gone, verdict).await?;
    let mut young = 0;
    for Sealed { call, sidecar, at } in sealed {
        if !root.join(&sidecar).starts_with(target) || !root.join(&sidecar).is_file() || seen.contains(&call) {
            continue;
        }
        if at.is_some_and(|at| now.timestamp().duration_since(at).as_secs() < ON_ITS_WAY_S) {
            young += 1;
            continue;
        }
        verdict.add(file, "recordings", format!("has no row of call {call}, whose recording is sealed"));
    }
    if young > 0 {
        let minutes = ON_ITS_WAY_S / 60;
        verdict.note(format!("{}: {young} recordings of the last {minutes} minutes have no row yet", file.display()));
    }
    Ok(compared)
}

/// Rows whose recordings are not there: a lawful deletion removes the recording first, and the row after it.
async fn tell_gone(
    storage: &Storage,
    root: &Path,
    gone: Vec<CallId>,
    verdict: &mut Verdict,
) -> Result<(), StorageError> {
    if gone.is_empty() {
        return Ok(());
    }
    let deleted = read_logs(root).1;
    for call in gone {
        let path = root.join(folder_of(call)).join(SIDECAR_FILE);
        if !deleted.contains(&call) {
            verdict.add(&path, "file", "the database has this recording, and it is not there");
        } else if recordings::one(storage, call).await?.is_some() {
            verdict.note(format!("{}: was lawfully deleted, and its row is still to go", path.display()));
        }
    }
    Ok(())
}

fn compare(row: &StoredRow, sealed: &SealedRecording, file: &Path, verdict: &mut Verdict) -> Result<(), StorageError> {
    let call = sealed.call;
    let due = columns_of(sealed)?;
    for ((name, due), there) in COLUMNS.iter().zip(&due).zip(&row.columns) {
        if due != there {
            let what = match *name {
                "record" => format!("of call {call} is not what the sidecar says"),
                _ => format!(
                    "of call {call} is `{}`, the sidecar says `{}`",
                    there.as_deref().unwrap_or("NULL"),
                    due.as_deref().unwrap_or("NULL")
                ),
            };
            verdict.add(file, format!("recordings.{name}"), what);
        }
    }
    // After a crash the record was ended anew, beside what had been sealed of it.
    match &row.call_record {
        Some(record) if !sealed.recovered && !is_same_record(record, &sealed.record) => {
            verdict.add(file, "calls.record", format!("of call {call} is not what was sealed with its recording"));
        }
        None => verdict.add(file, "calls", format!("has no row of call {call}, whose recording is sealed")),
        Some(_) => (),
    }
    Ok(())
}

/// A line of a seal.
struct Sealed {
    call: CallId,
    sidecar: String,
    /// When; nothing, when the line does not say it as Vigie does.
    at: Option<jiff::Timestamp>,
}

/// The sealed recordings that the logs know, and those that were lawfully deleted; a log that cannot be read was told.
fn read_logs(root: &Path) -> (Vec<Sealed>, HashSet<CallId>) {
    let (mut sealed, mut deleted) = (Vec::new(), HashSet::new());
    for log in list(&root.join(SEAL_LOG_FOLDER)).unwrap_or_default() {
        if log.extension() != Some(OsStr::new("jsonl")) {
            continue;
        }
        let mut from = 0;
        while let Ok((lines, end)) = lines_from(&log, from) {
            if lines.is_empty() {
                break;
            }
            from = end;
            for (entry, _) in lines.into_iter().filter(|(entry, _)| entry.path.ends_with(SIDECAR_FILE)) {
                let Some(call) = entry.call else { continue };
                if entry.certificate_sha256.is_some() {
                    deleted.insert(call);
                } else {
                    sealed.push(Sealed { call, sidecar: entry.path, at: entry.at.parse().ok() });
                }
            }
        }
    }
    (sealed, deleted)
}
