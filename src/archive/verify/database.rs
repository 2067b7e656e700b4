//! The database against the evidence: each recording's row against its sidecar, and each sealed recording for its row.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use super::{Verdict, list};
use crate::archive::roots::lines_from;
use crate::model::CallId;
use crate::recorder::layout::{SEAL_LOG_FOLDER, SIDECAR_FILE, folder_of};
use crate::recorder::sealed_there;
use crate::storage::comparing::{COLUMNS, StoredRow, columns_of, id_of, is_same_record, rows};
use crate::storage::{Storage, StorageError};

/// Compares the rows of recordings below `target`, which stands in the recordings folder `root`, with their sidecars;
/// `file` is the database's, for findings.
///
/// # Errors
/// When the database cannot be read.
pub async fn check(
    storage: &Storage,
    file: &Path,
    (root, target): (&Path, &Path),
    verdict: &mut Verdict,
) -> Result<u64, StorageError> {
    let (mut seen, mut after, mut compared) = (HashSet::new(), String::new(), 0);
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
                compare(row, call, (root, file), verdict)?;
            }
        }
    }
    for (call, sidecar) in sealed(root) {
        if root.join(&sidecar).starts_with(target) && root.join(&sidecar).is_file() && !seen.contains(&call) {
            verdict.add(file, "recordings", format!("has no row of call {call}, whose recording is sealed"));
        }
    }
    Ok(compared)
}

fn compare(
    row: &StoredRow,
    call: CallId,
    (root, file): (&Path, &Path),
    verdict: &mut Verdict,
) -> Result<(), StorageError> {
    let path = root.join(folder_of(call)).join(SIDECAR_FILE);
    let sealed = match sealed_there(root, call) {
        Ok(Some(sealed)) => sealed,
        Ok(None) => {
            verdict.add(&path, "file", "the database has this recording, and it is not there");
            return Ok(());
        }
        // Told with the recording itself.
        Err(_) => return Ok(()),
    };
    let due = columns_of(&sealed)?;
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

/// The sealed recordings that the logs know; a log that cannot be read was told.
fn sealed(root: &Path) -> Vec<(CallId, String)> {
    let mut found = Vec::new();
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
            let sidecars = lines.into_iter().filter(|(entry, _)| entry.path.ends_with(SIDECAR_FILE));
            found.extend(sidecars.filter_map(|(entry, _)| Some((entry.call?, entry.path))));
        }
    }
    found
}
