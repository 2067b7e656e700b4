//! Custody: what is kept for how long, who stops the clock, and the deletion that two people agreed on.
//!
//! Nothing is deleted by itself: a list is proposed by one person and approved by another, and each recording on it is
//! looked at again before it goes. While the clock is suspected nothing goes at all.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::{Notify, watch};

use super::certificate::Certificate;
use super::retention::{Expiry, Term, expiry};
use super::second::{Protection, Second};
use super::{clock_watch, shred};
use crate::clock;
use crate::model::centre::RETENTION_YEARS_MIN;
use crate::model::{Alarm, AssociationId, CallId, Centre, Now, SealedRecording, Utc};
use crate::recorder::layout::{CERTIFICATE_FILE, SIDECAR_FILE, folder_of};
use crate::recorder::{Burial, BuryError};
use crate::storage::audit::{self, AuditEntry, OURSELVES};
use crate::storage::clock_marks::{self, ClockMark};
use crate::storage::copies::{self, CopyState};
use crate::storage::deletions::{self, Decided, Deletion, Grounds, Item, ItemState, ListState, Word};
use crate::storage::{Storage, StorageError, holds, promises, recordings};
use crate::vault::Elsewhere;

/// The most recordings on one list: what a person can answer for, and what a page shows.
pub const LIST_MAX: usize = 1000;
/// How often the clocks are compared and what is left to do is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Puts certificate and tombstone on the disk; the certificate's SHA-256, or why not. May wait for the disk.
pub type Bury = Arc<dyn Fn(Burial) -> Result<String, BuryError> + Send + Sync>;

/// What custody is built from.
#[derive(Clone)]
pub struct Parts {
    /// Remembers holds and lists.
    pub storage: Storage,
    /// The recordings folder.
    pub recordings: PathBuf,
    /// This machine's name, for certificates.
    pub node: String,
    /// The centre's zone: years are calendar years there.
    pub zone: TimeZone,
    /// The way to the seal log.
    pub bury: Bury,
    /// Where alarms go.
    pub alarm: Arc<dyn Fn(Alarm) + Send + Sync>,
    /// Which boot of the machine this is.
    pub boot: String,
    /// Where every recording is once more, and is deleted, too.
    pub second: Option<Arc<Second>>,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The clock is suspected.
    #[error(
        "the clock is not believed: {0}. Nothing is deleted until somebody has looked at it and said that it is right: \
         POST /api/v1/custody/clock, or `vigie custody clock --confirm`"
    )]
    Clock(String),
    /// These are not to be deleted.
    #[error("not to be deleted: {0}")]
    NotDue(String),
    /// Nothing is to be deleted.
    #[error("no recording's time is over, so there is nothing to propose")]
    Nothing,
}

/// Looks after recordings; one a node.
pub struct Custodian {
    parts: Parts,
    wake: Notify,
    /// What was last told of the clock, so that an alarm is raised once.
    told: Mutex<Option<String>>,
    /// Recordings whose deletion failed, and was told.
    failed: Mutex<BTreeSet<CallId>>,
    /// One at a time compares the clocks: each mark is measured against the last.
    marking: tokio::sync::Mutex<()>,
    /// One at a time deletes.
    deleting: tokio::sync::Mutex<()>,
}

/// Which recordings are proposed.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// These; without it, all whose time is over, [`LIST_MAX`] at most.
    pub calls: Option<BTreeSet<CallId>>,
    /// Of these associations alone.
    pub associations: Option<Vec<AssociationId>>,
}

impl Custodian {
    /// Custody over these parts.
    pub fn new(parts: Parts) -> Custodian {
        let (marking, deleting) = (tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        Custodian { parts, wake: Notify::new(), told: Mutex::default(), failed: Mutex::default(), marking, deleting }
    }

    /// Takes the retention of a configuration that is in force now.
    pub async fn follow(&self, centre: &Centre, now: Utc) -> Result<(), StorageError> {
        let years = centre.associations.iter().map(|(id, one)| (id.clone(), one.retention_years)).collect();
        self.promise(&years, now).await
    }

    async fn promise(&self, years: &BTreeMap<AssociationId, u16>, now: Utc) -> Result<(), StorageError> {
        // A clock that was set back must not make a promise end before recordings that were made under it.
        let latest = clock_marks::latest_told(&self.parts.storage).await?;
        let now = latest.map_or(now, |latest| now.max(latest));
        let changed = promises::follow(&self.parts.storage, years, now).await?;
        if changed.copies > 0 {
            tracing::info!(copies = changed.copies, "retention is longer now: the locks of copies are renewed");
        }
        for association in changed.shorter {
            tracing::warn!(%association, "its retention is shorter now: that holds for recordings made from now on, not for those there are");
        }
        Ok(())
    }

    /// When a recording may be deleted at the earliest.
    pub async fn expiry(&self, sealed: &SealedRecording) -> Result<Expiry, StorageError> {
        let storage = &self.parts.storage;
        let promised = promises::of(storage, &sealed.record.association).await?;
        let holds = holds::of_call(storage, sealed.call).await?;
        Ok(expiry(ended_at(sealed), &promised, &holds, &self.parts.zone))
    }

    /// Until when a recording is to be locked where it can be; `None` when nothing is known of it. One whose time is over
    /// is locked no longer: a store takes no day that has passed.
    pub async fn protection(&self, call: CallId, now: Utc) -> Result<Option<Protection>, StorageError> {
        let Some(sealed) = recordings::one(&self.parts.storage, call).await? else { return Ok(None) };
        Ok(match self.expiry(&sealed).await? {
            Expiry::Held => Some(Protection { until: None, is_held: true }),
            Expiry::Unknown => None,
            Expiry::At(term) => {
                Some(Protection { until: Some(term.expires_at).filter(|until| *until > now), is_held: false })
            }
        })
    }

    /// What is known of a recording's copy in the second place, when there is one.
    pub async fn copy_of(&self, call: CallId) -> Result<Option<CopyState>, StorageError> {
        let Some(second) = &self.parts.second else { return Ok(None) };
        copies::of_folder(&self.parts.storage, &second.there().name(), &folder_of(call)).await
    }

    /// A hold was placed or released: what locks its copy is looked at again.
    pub async fn look_at_copy(&self, call: CallId, now: Utc) -> Result<(), StorageError> {
        copies::touch(&self.parts.storage, &folder_of(call), now).await
    }

    /// Compares the clocks with the last reading of them; tells an alarm when they are not believed.
    pub async fn look_at_clock(&self, now: Now) -> Result<ClockMark, StorageError> {
        let _one = self.marking.lock().await;
        let storage = &self.parts.storage;
        let last = clock_marks::read(storage).await?;
        let latest = clock_marks::latest_told(storage).await?;
        let mark = clock_watch::judge(last.as_ref(), latest, &self.parts.boot, now);
        clock_marks::keep(storage, &mark).await?;
        self.tell_of_clock(&mark);
        Ok(mark)
    }

    /// Somebody has looked: the clock is right.
    pub async fn believe_clock(&self, now: Now) -> Result<ClockMark, StorageError> {
        let _one = self.marking.lock().await;
        let latest = clock_marks::latest_told(&self.parts.storage).await?;
        let mark = clock_watch::believe(latest, &self.parts.boot, now);
        clock_marks::keep(&self.parts.storage, &mark).await?;
        self.tell_of_clock(&mark);
        self.wake.notify_one();
        Ok(mark)
    }

    fn tell_of_clock(&self, mark: &ClockMark) {
        let why = mark.suspicion.as_ref().map(|suspicion| suspicion.why.clone());
        let Ok(mut told) = self.told.lock() else { return };
        if *told == why {
            return;
        }
        if let Some(why) = &why {
            let text =
                format!("the clock is not believed: {why}; nothing is deleted until somebody says that it is right");
            (self.parts.alarm)(Alarm { kind: "clock-suspected".into(), call: None, text });
        }
        *told = why;
    }

    async fn demand_clock(&self, now: Now) -> Result<(), CustodyError> {
        match self.look_at_clock(now).await?.suspicion {
            None => Ok(()),
            Some(suspicion) => Err(CustodyError::Clock(suspicion.why)),
        }
    }

    /// Proposes a list; somebody else must approve it.
    pub async fn propose(&self, wanted: &Wanted, word: &Word<'_>, now: Now) -> Result<Deletion, CustodyError> {
        self.demand_clock(now).await?;
        let items = match &wanted.calls {
            Some(calls) => self.examine(calls, wanted, now.utc).await?,
            None => self.find_expired(wanted, now.utc).await?,
        };
        if items.is_empty() {
            return Err(CustodyError::Nothing);
        }
        let storage = &self.parts.storage;
        let id = deletions::propose(storage, word, &items).await?;
        deletions::one(storage, id).await?.ok_or(CustodyError::Nothing)
    }

    /// Approves what somebody else proposed, or withdraws it. What is approved is done soon, and after a restart too.
    pub async fn decide(&self, id: i64, word: &Word<'_>, state: ListState, now: Now) -> Result<Decided, CustodyError> {
        if state == ListState::Approved {
            self.demand_clock(now).await?;
        }
        let decided = deletions::decide(&self.parts.storage, id, word, state).await?;
        self.wake.notify_one();
        Ok(decided)
    }

    async fn examine(&self, calls: &BTreeSet<CallId>, wanted: &Wanted, now: Utc) -> Result<Vec<Grounds>, CustodyError> {
        let (mut due, mut refused) = (Vec::new(), Vec::new());
        for call in calls {
            let sealed = recordings::one(&self.parts.storage, *call).await?;
            let sees = |sealed: &SealedRecording| {
                wanted.associations.as_ref().is_none_or(|all| all.contains(&sealed.record.association))
            };
            match sealed.filter(sees) {
                None => refused.push(format!("{call} has no recording")),
                Some(sealed) => match self.due(&sealed, now).await? {
                    Ok(grounds) => due.push(grounds),
                    Err(why) => refused.push(format!("{call} {why}")),
                },
            }
        }
        if refused.is_empty() { Ok(due) } else { Err(CustodyError::NotDue(refused.join("; "))) }
    }

    /// The grounds on which a recording may go at `now`, or why it may not.
    async fn due(&self, sealed: &SealedRecording, now: Utc) -> Result<Result<Grounds, String>, CustodyError> {
        Ok(match self.expiry(sealed).await? {
            Expiry::Held => Err("is held".into()),
            Expiry::Unknown => Err(format!(
                "is of the association {}, whose retention nobody ever configured",
                sealed.record.association
            )),
            Expiry::At(term) if term.expires_at > now => Err(format!("is kept until {}", term.expires_at)),
            Expiry::At(term) => Ok(grounds(sealed, term)),
        })
    }

    async fn find_expired(&self, wanted: &Wanted, now: Utc) -> Result<Vec<Grounds>, CustodyError> {
        let storage = &self.parts.storage;
        let mut found = Vec::new();
        for association in deletions::associations(storage).await? {
            if wanted.associations.as_ref().is_some_and(|all| !all.contains(&association)) {
                continue;
            }
            // Nothing that began later can be due: the shortest promise holds for all. A year has 365 days at least.
            let promised = promises::of(storage, &association).await?;
            let years = promised.iter().map(|promise| promise.years).min().unwrap_or_default().max(RETENTION_YEARS_MIN);
            let before = Utc(now.0.saturating_sub(i64::from(years) * 365 * 86_400_000_000));
            let mut after = None;
            while found.len() < LIST_MAX {
                let page = deletions::candidates(storage, &association, before, after).await?;
                let Some(last) = page.last() else { break };
                after = Some((last.started_at, last.call));
                for sealed in &page {
                    if let Ok(grounds) = self.due(sealed, now).await? {
                        found.push(grounds);
                    }
                }
            }
        }
        found.truncate(LIST_MAX);
        Ok(found)
    }

    /// Looks at the clock and does what is approved, until `stopped`.
    pub async fn run(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        loop {
            if let Err(error) = self.work(clock::now(), || !*stopped.borrow()).await {
                tracing::warn!(%error, "deletion waits; trying again soon");
            }
            tokio::select! {
                _ = stopped.changed() => return,
                () = self.wake.notified() => (),
                () = tokio::time::sleep(LOOK_EVERY) => (),
            }
        }
    }

    /// One look: compares the clocks, then deletes what two people agreed on, one recording after the other as long as it
    /// `goes_on`; what is left is done after the next start.
    pub async fn work(&self, now: Now, goes_on: impl Fn() -> bool + Send) -> Result<(), CustodyError> {
        let _one = self.deleting.lock().await;
        let believed = self.look_at_clock(now).await?.suspicion.is_none();
        for list in deletions::approved(&self.parts.storage).await? {
            let mut is_left = false;
            for item in deletions::items(&self.parts.storage, list.id).await? {
                if !goes_on() {
                    return Ok(());
                }
                is_left |= !self.carry_out(&list, &item, believed, now.utc).await?;
            }
            if !is_left {
                deletions::close(&self.parts.storage, list.id, now.utc).await?;
            }
        }
        Ok(())
    }

    /// Deletes one recording, or keeps it and says why; `false` when it is to be tried again.
    async fn carry_out(&self, list: &Deletion, item: &Item, believed: bool, now: Utc) -> Result<bool, CustodyError> {
        let storage = &self.parts.storage;
        let call = item.grounds.call;
        match item.state {
            ItemState::Deleted | ItemState::Kept => return Ok(true),
            // What has begun is finished whatever the clock says: its tombstone may be written already.
            ItemState::Deleting => (),
            ItemState::Listed if !believed => return Ok(false),
            ItemState::Listed => {
                let Some(sealed) = recordings::one(storage, call).await? else {
                    deletions::keep(storage, list.id, call, "its recording is not there any more").await?;
                    return Ok(true);
                };
                if let Err(why) = self.due(&sealed, now).await? {
                    deletions::keep(storage, list.id, call, &format!("it {why}")).await?;
                    return Ok(true);
                }
                if sealed.seal != item.grounds.seal {
                    deletions::keep(storage, list.id, call, "its seal is another than the one on the list").await?;
                    return Ok(true);
                }
                // Refused when a hold came in between.
                if !deletions::begin(storage, list.id, call).await? {
                    return Ok(false);
                }
            }
        }
        self.remove(list, item, now).await
    }

    async fn remove(&self, list: &Deletion, item: &Item, now: Utc) -> Result<bool, CustodyError> {
        let (grounds, storage) = (&item.grounds, &self.parts.storage);
        if let Err(error) = self.fetch_documents(grounds.call).await {
            self.tell_failure(list, grounds.call, &BuryError::File(error)).await?;
            return Ok(false);
        }
        let certificate = Certificate::of(grounds, list, &self.parts.node, (now, &self.parts.zone));
        let burial = Burial {
            call: grounds.call,
            sidecar: grounds.sidecar.clone(),
            seal: grounds.seal.clone(),
            certificate: certificate.bytes(),
            at: now,
        };
        let (bury, root) = (self.parts.bury.clone(), self.parts.recordings.clone());
        let (call, second) = (grounds.call, self.parts.second.clone());
        let done = tokio::task::spawn_blocking(move || {
            let _alone = second.as_ref().map(|second| second.hold()).transpose().map_err(BuryError::File)?;
            let certificate = bury(burial)?;
            let keys = match &second {
                Some(second) => second.destroy_keys(call),
                None => shred::destroy_keys(&root, call).map(Ok),
            };
            // A place that is away keeps its key until its turn comes again; what is here goes all the same.
            let there = keys.map_err(BuryError::File)?;
            shred::remove_recording(&root, call).map_err(BuryError::File)?;
            there.map_err(BuryError::Copy)?;
            second.map_or(Ok(()), |second| second.remove_recording(call)).map_err(BuryError::Copy)?;
            Ok(certificate)
        });
        let done = match done.await.unwrap_or(Err(BuryError::Stopped)) {
            Ok(certificate) => self.left_elsewhere(call, now).await?.map_or(Ok(certificate), Err),
            failed => failed,
        };
        match done {
            Ok(certificate) => {
                self.note(list, call, &certificate, now).await?;
                deletions::finish(storage, list.id, call, &certificate).await?;
                tracing::info!(%call, deletion = list.id, "a recording was deleted, as two people agreed");
                Ok(true)
            }
            // Nothing was written: it is kept, and somebody must look at it.
            Err(error @ BuryError::Changed) => {
                self.tell_failure(list, call, &error).await?;
                deletions::keep(storage, list.id, call, &error.to_string()).await?;
                Ok(true)
            }
            Err(error) => {
                self.tell_failure(list, call, &error).await?;
                Ok(false)
            }
        }
    }

    /// Notes that a recording is removed from the second place; a place that was that before and still has a copy.
    async fn left_elsewhere(&self, call: CallId, now: Utc) -> Result<Option<BuryError>, StorageError> {
        let (storage, folder) = (&self.parts.storage, folder_of(call));
        if let Some(second) = &self.parts.second {
            copies::note_removed(storage, &second.there().name(), &folder, now).await?;
        }
        let left = copies::places_with(storage, &folder).await?.into_iter().next();
        Ok(left.map(|place| BuryError::OtherPlace { place }))
    }

    /// The documents of a recording that lies in the second place alone: its certificate is made from them.
    async fn fetch_documents(&self, call: CallId) -> io::Result<()> {
        let folder = self.parts.recordings.join(folder_of(call));
        let is_here = |name: &str| folder.join(name).exists();
        let Some(second) = self.parts.second.clone() else { return Ok(()) };
        if is_here(SIDECAR_FILE) || is_here(CERTIFICATE_FILE) {
            return Ok(());
        }
        tokio::task::spawn_blocking(move || second.bring_back(&folder)).await.map_err(io::Error::other)?
    }

    /// Says on the list what is in the way; an alarm once for each recording.
    async fn tell_failure(&self, list: &Deletion, call: CallId, error: &BuryError) -> Result<(), StorageError> {
        let is_new = self.failed.lock().is_ok_and(|mut failed| failed.insert(call));
        if is_new {
            let text = format!("deleting its recording, as list {} says, did not come to its end: {error}", list.id);
            (self.parts.alarm)(Alarm { kind: "deletion-failed".into(), call: Some(call), text });
        }
        deletions::wait(&self.parts.storage, list.id, call, &error.to_string()).await
    }

    async fn note(&self, list: &Deletion, call: CallId, certificate: &str, at: Utc) -> Result<(), StorageError> {
        let approver = list.decided_by.as_deref().unwrap_or_default();
        let entry = AuditEntry {
            at,
            actor: OURSELVES.into(),
            source: String::new(),
            act: "recording.deleted".into(),
            call: Some(call),
            reason: list.reason.clone(),
            detail: format!(
                "list {}, proposed by {}, approved by {approver}, certificate {certificate}",
                list.id, list.proposed_by
            ),
            refuses: None,
        };
        audit::write(&self.parts.storage, &entry).await.map(|_| ())
    }
}

/// The call's end; of a recording whose call has none, the end of its audio.
fn ended_at(sealed: &SealedRecording) -> Utc {
    let heard =
        Utc(sealed.started_at.0.saturating_add(i64::try_from(sealed.duration_ms).unwrap_or(0).saturating_mul(1000)));
    sealed.record.ended_at.map_or(heard, |ended| ended.max(heard))
}

fn grounds(sealed: &SealedRecording, term: Term) -> Grounds {
    Grounds {
        call: sealed.call,
        association: sealed.record.association.clone(),
        ended_at: term.ended_at,
        retention_years: term.years,
        held_us: term.held_us,
        expired_at: term.expires_at,
        seal: sealed.seal.clone(),
        seal_sequence: sealed.seal_sequence,
        sidecar: sealed.sidecar.clone(),
        audio_sha256: sealed.audio_sha256.clone(),
        essence_sha256: sealed.essence_sha256.clone(),
    }
}

#[cfg(test)]
mod tests;
