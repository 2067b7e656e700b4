//! Calls that were killed before anything of their recording was on a disk: the database knows them, the rings their voices.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::Parts;
use super::kept::{Kept, KeptLeg};
use super::layout::{KEPT_FILE, SIDECAR_FILE, folder_of};
use crate::journal::Frame;
use crate::journal::ring::LeftRing;
use crate::journal::segment::read_all;
use crate::model::centre::RecordingPolicy;
use crate::model::{CallId, CallRecord, Moment, Now};
use crate::vault::VaultError;

/// Keeps what is known of each of `live` that has frames and nothing else, as the recorder would have done a moment later.
pub(super) fn keep(parts: &Parts, journal: &Path, rings: &[LeftRing], live: &[CallRecord]) -> io::Result<()> {
    let mut heard: BTreeMap<CallId, Option<Moment>> =
        live.iter().filter(|record| is_missing(parts, record)).map(|record| (record.id, None)).collect();
    if heard.is_empty() {
        return Ok(());
    }
    let mut hear = |frame: Frame<'_>| {
        if let Some(first) = heard.get_mut(&frame.call) {
            *first = Some(first.map_or(frame.arrival, |first| first.min(frame.arrival)));
        }
    };
    match read_all(journal, (&parts.keys, u64::MAX), &mut hear) {
        Ok(_) => (),
        Err(VaultError::File { source, .. }) => return Err(source),
        // The journal waits for its key; a call that began so lately is in the rings, too.
        Err(_) => (),
    }
    for ring in rings {
        // One that cannot be read is told when its frames are rescued.
        let _ = ring.scan(&mut hear);
    }
    for record in live {
        if let Some(first) = heard.get(&record.id).copied().flatten() {
            known(record, first).write(&parts.settings.folder.join(folder_of(record.id)), &parts.state)?;
        }
    }
    Ok(())
}

fn is_missing(parts: &Parts, record: &CallRecord) -> bool {
    let folder = parts.settings.folder.join(folder_of(record.id));
    let is_recorded = match record.recording {
        RecordingPolicy::Always => true,
        RecordingPolicy::Never => false,
    };
    is_recorded && !folder.join(KEPT_FILE).exists() && !folder.join(SIDECAR_FILE).exists()
}

/// The call as the recorder would have kept it, its clock beginning with the first sound.
fn known(record: &CallRecord, first: Moment) -> Kept {
    let joined =
        |leg: &crate::model::LegRecord| KeptLeg { side: leg.side, regulator: leg.regulator.clone(), joined: first };
    let begun = Now { moment: first, utc: record.answered_at.or(record.queued_at).unwrap_or(record.received_at) };
    let legs = record.legs.iter().filter(|leg| leg.accepted_at.is_some());
    Kept {
        call: record.id,
        begun,
        finished: None,
        legs: legs.map(|leg| (leg.number, joined(leg))).collect(),
        turns: Vec::new(),
        record: Box::new(record.clone()),
        pauses: Vec::new(),
    }
}
