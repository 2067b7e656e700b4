//! Audio that is old enough becomes FLAC: one recording after the other, behind everything else.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;

use super::aside;
use crate::archive::Evidence;
use crate::archive::archived::archive;
use crate::clock;
use crate::model::{Alarm, CallId, Utc};
use crate::storage::{Storage, StorageError, archived};
use crate::switchboard::tell;

/// The first look comes so long after the start, when calls are taken again.
const FIRST_LOOK_AFTER: Duration = Duration::from_secs(5);
/// How often is looked for recordings whose time has come.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// A day in microseconds.
const DAY_US: i64 = 86_400_000_000;

/// Archives audio.
pub(crate) struct Packer {
    evidence: Evidence,
    storage: Storage,
    after_days: u32,
    /// Recordings that could not be archived, and were told.
    failed: BTreeSet<CallId>,
    /// Of the last turn: recordings whose key is under a key-encryption key that is not held, and why.
    shut: Vec<(CallId, String)>,
    is_shut_told: bool,
}

impl Packer {
    pub(crate) fn new(evidence: Evidence, storage: &Storage, after_days: u32) -> Packer {
        Packer {
            evidence,
            storage: storage.clone(),
            after_days,
            failed: BTreeSet::new(),
            shut: Vec::new(),
            is_shut_told: false,
        }
    }

    /// Archives until `stopped`.
    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut wait = FIRST_LOOK_AFTER;
        loop {
            tokio::select! {
                _ = stopped.changed() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = LOOK_EVERY;
            let turn = tokio::select! {
                _ = stopped.changed() => return,
                turn = self.turn() => turn,
            };
            if let Err(error) = turn {
                tracing::warn!(%error, "archiving waits for the database");
            }
        }
    }

    async fn turn(&mut self) -> Result<(), StorageError> {
        let before = Utc(clock::utc().0.saturating_sub(i64::from(self.after_days) * DAY_US));
        let mut after = None;
        self.shut.clear();
        loop {
            let due = archived::candidates(&self.storage, before, after).await?;
            let Some(last) = due.last() else {
                self.tell_shut();
                return Ok(());
            };
            after = Some(*last);
            for (_, call) in due {
                let evidence = self.evidence.clone();
                match aside("archive-flac", move || archive(&evidence, call)).await {
                    Some(Ok(is_packed)) => {
                        if is_packed {
                            metrics::counter!("vigie_archive_flac_total").increment(1);
                        }
                        archived::note(&self.storage, call, clock::utc()).await?;
                    }
                    // Without any key all the others wait, too; with another one, what it opens.
                    Some(Err(error)) if error.is_for_want_of_any_key() => return Ok(()),
                    Some(Err(error)) if error.is_for_want_of_a_key() => self.shut.push((call, error.to_string())),
                    Some(Err(error)) => self.tell_failure(call, &error.to_string()),
                    None => return Ok(()),
                }
            }
        }
    }

    /// Once, until all can be opened again.
    fn tell_shut(&mut self) {
        let first = self.shut.first();
        if let Some((call, why)) = first.filter(|_| !self.is_shut_told) {
            let text = format!(
                "{} recordings cannot be archived as FLAC for want of their key; the first is that of {call}: {why}",
                self.shut.len()
            );
            tell(&Alarm { kind: "archive-flac-failed".into(), call: None, text });
        }
        self.is_shut_told = first.is_some();
    }

    /// Once for each recording.
    fn tell_failure(&mut self, call: CallId, error: &str) {
        if self.failed.insert(call) {
            let text = format!("its audio could not be archived as FLAC, and is kept as it is: {error}");
            tell(&Alarm { kind: "archive-flac-failed".into(), call: Some(call), text });
        }
    }
}
