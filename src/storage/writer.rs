//! Takes facts in without ever making anybody wait, and stores them in order; while the database is away they go to
//! the spool.
//!
//! What is owed to the database stands in three places, oldest first: the `queue` in memory, the spool on the disk,
//! and the `tail` in memory, which holds what the spool itself could not take.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::config::settings::EndpointSettings;
use crate::model::{Alarm, Fact};

use super::database::is_refusal;
use super::spool::Spool;
use super::{Storage, StorageError, facts};

/// Batches that may stand between the decisions and the writer. A minute of the busiest site: it fills only when the
/// writer itself is stuck on a dead disk, and then batches are lost, counted and alarmed.
const INTAKE_MAX: usize = 65_536;
/// Batches taken from the intake at once.
const TAKEN_AT_ONCE: usize = 1024;
/// Facts kept in memory while the database is only slow; more goes to the spool.
const MEMORY_FACTS_MAX: usize = 8192;
/// Facts kept in memory when the spool cannot take them either; more is lost, counted and alarmed.
const TAIL_FACTS_MAX: usize = 65_536;
/// Batches in one transaction.
const GROUP_MAX: usize = 512;
/// From one transaction to the next, unless a group is full or somebody waits: a commit and its fsync cost more than
/// what they store, so under load many calls share them. What comes after a rest is stored at once.
const GROUP_EVERY: Duration = Duration::from_millis(50);
/// The first wait before the database is tried again; it doubles up to [`BACK_OFF_MAX`].
const BACK_OFF_MIN: Duration = Duration::from_millis(100);
/// The longest wait before the database is tried again.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// How often a database that is away is tried when everything stops; then the spool keeps what is left.
const TRIES_AT_STOP_MAX: u32 = 3;

/// Told once whatever a person should know.
pub type AlarmSink = Arc<dyn Fn(Alarm) + Send + Sync>;

/// What a writer needs to know.
#[derive(Clone)]
pub struct WriterSettings {
    /// The spool's folder: `<state>/spool`.
    pub spool: PathBuf,
    /// Who is owed events.
    pub endpoints: Vec<EndpointSettings>,
    /// Called with `storage-away`, `storage-back`, `spool-failed`, `facts-refused` and `facts-lost`; must not block.
    pub alarm: AlarmSink,
}

/// Hands facts to the database; cheap to clone.
#[derive(Clone)]
pub struct Writer {
    notes: mpsc::Sender<Note>,
    /// Ends a rest: somebody waits.
    hurry: Arc<Notify>,
    counts: Arc<Counts>,
    alarm: AlarmSink,
}

/// How the writer is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Facts in memory that are not stored yet.
    pub facts: u64,
    /// Bytes in the spool.
    pub spooled_bytes: u64,
    /// Facts lost since the start: always 0, or somebody is called at night.
    pub lost: u64,
    /// Whether the database is away.
    pub away: bool,
}

/// Facts that hold together, and their place in the order of handing in.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub number: u64,
    pub facts: Arc<[Fact]>,
}

#[derive(Default)]
struct Counts {
    facts: AtomicU64,
    spooled_bytes: AtomicU64,
    lost: AtomicU64,
    away: AtomicBool,
    losing: AtomicBool,
}

enum Note {
    Facts(Vec<Fact>),
    Flush(oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writer").field(&self.backlog()).finish()
    }
}

impl Writer {
    /// Stores what an earlier run had to spool, then starts the task that stores what is handed in.
    pub async fn start(storage: &Storage, settings: WriterSettings) -> Result<Writer, StorageError> {
        let spool = Spool::open(&settings.spool)?;
        let (notes, intake) = mpsc::channel(INTAKE_MAX);
        let counts = Arc::new(Counts::default());
        let hurry = Arc::new(Notify::new());
        let writer = Writer { notes, hurry: hurry.clone(), counts: counts.clone(), alarm: settings.alarm.clone() };
        let mut scribe = Scribe {
            storage: storage.clone(),
            endpoints: settings.endpoints.into(),
            alarm: settings.alarm,
            counts,
            queue: VecDeque::new(),
            queue_facts: 0,
            spool,
            tail: VecDeque::new(),
            tail_facts: 0,
            next_number: 1,
            flushes: Vec::new(),
            stop: None,
            failures: 0,
            spool_failing: false,
            retry_at: None,
            rest_until: None,
            hurry,
        };
        scribe.store_left_over().await?;
        tokio::spawn(scribe.run(intake));
        Ok(writer)
    }

    /// Takes facts that hold together (one transaction). Never blocks; keeps the order of handing in.
    pub fn remember(&self, facts: Vec<Fact>) {
        if facts.is_empty() {
            return;
        }
        let count = facts.len() as u64;
        if self.notes.try_send(Note::Facts(facts)).is_err() {
            self.counts.lost.fetch_add(count, Ordering::Relaxed);
            metrics::counter!("vigie_storage_facts_lost_total").increment(count);
            if !self.counts.losing.swap(true, Ordering::Relaxed) {
                let text = "the storage writer takes nothing more (stuck or stopped): facts are being lost; \
                            check the disk of the state folder";
                (self.alarm)(Alarm { kind: "facts-lost".into(), call: None, text: text.into() });
            }
        }
    }

    /// Waits until everything handed in before is in the database.
    pub async fn flush(&self) -> Result<(), StorageError> {
        let (done, stored) = oneshot::channel();
        self.notes.send(Note::Flush(done)).await.map_err(|_| StorageError::Stopped)?;
        self.hurry.notify_one();
        stored.await.map_err(|_| StorageError::Stopped)
    }

    /// Stores everything handed in before and ends the task; what a missing database leaves is in the spool for the
    /// next start. Nothing may be handed in afterwards.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.notes.send(Note::Stop(done)).await.is_ok() {
            self.hurry.notify_one();
            let _ = stopped.await;
        }
    }

    /// How the writer is doing.
    pub fn backlog(&self) -> Backlog {
        Backlog {
            facts: self.counts.facts.load(Ordering::Relaxed),
            spooled_bytes: self.counts.spooled_bytes.load(Ordering::Relaxed),
            lost: self.counts.lost.load(Ordering::Relaxed),
            away: self.counts.away.load(Ordering::Relaxed),
        }
    }
}

/// The task behind a [`Writer`].
struct Scribe {
    storage: Storage,
    endpoints: Arc<[EndpointSettings]>,
    alarm: AlarmSink,
    counts: Arc<Counts>,
    queue: VecDeque<Batch>,
    queue_facts: usize,
    spool: Spool,
    tail: VecDeque<Batch>,
    tail_facts: usize,
    next_number: u64,
    flushes: Vec<(u64, oneshot::Sender<()>)>,
    stop: Option<oneshot::Sender<()>>,
    failures: u32,
    spool_failing: bool,
    retry_at: Option<Instant>,
    rest_until: Option<Instant>,
    hurry: Arc<Notify>,
}

/// A write under way: batches of the queue, or a segment of the spool. Yields what the database refused for what it says.
struct Work {
    queued: usize,
    future: Pin<Box<dyn Future<Output = Result<Vec<Batch>, sqlx::Error>> + Send>>,
}

impl Scribe {
    async fn store_left_over(&mut self) -> Result<(), StorageError> {
        while let Some(read) = self.spool.read_first()? {
            self.tell_unreadable(read.unreadable);
            let refused = write(self.storage.clone(), self.endpoints.clone(), read.batches)
                .await
                .map_err(super::failed("storing what an earlier run spooled"))?;
            self.keep_refused(&refused);
            self.spool.remove_first()?;
        }
        Ok(())
    }

    async fn run(mut self, mut intake: mpsc::Receiver<Note>) {
        let mut work: Option<Work> = None;
        let mut notes = Vec::new();
        loop {
            if work.is_none() && self.retry_at.is_none() && !self.may_rest() {
                work = self.next_work();
                self.rest_until = work.as_ref().map(|_| Instant::now() + GROUP_EVERY);
            }
            if work.is_none() && self.stop.is_some() && (self.is_done() || self.failures > TRIES_AT_STOP_MAX) {
                return self.end();
            }
            tokio::select! {
                // While it rests, what comes waits in the intake and wakes nobody.
                taken = intake.recv_many(&mut notes, TAKEN_AT_ONCE), if self.stop.is_none() && (work.is_some() || !self.may_rest()) => {
                    if taken == 0 {
                        // Every `Writer` is gone: the same as a stop that nobody waits for.
                        self.stop = Some(oneshot::channel().0);
                    }
                    notes.drain(..).for_each(|note| self.take(note));
                    self.spool_tail();
                    self.answer_flushes();
                }
                result = finish(&mut work) => {
                    let queued = work.take().map_or(0, |work| work.queued);
                    self.settle(queued, result);
                }
                () = wait(self.retry_at) => self.retry_at = None,
                () = wait(self.rest_until) => self.rest_until = None,
                () = self.hurry.notified() => self.rest_until = None,
            }
            self.publish();
        }
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Facts(facts) => {
                let batch = Batch { number: self.next_number, facts: facts.into() };
                let count = batch.facts.len();
                if self.spool.is_empty() && self.tail.is_empty() && self.queue_facts + count <= MEMORY_FACTS_MAX {
                    self.queue_facts += count;
                    self.queue.push_back(batch);
                } else if self.tail_facts + count <= TAIL_FACTS_MAX {
                    self.tail_facts += count;
                    self.tail.push_back(batch);
                } else {
                    return self.lose(count);
                }
                self.next_number += 1;
            }
            Note::Flush(done) => self.flushes.push((self.next_number - 1, done)),
            Note::Stop(done) => self.stop = Some(done),
        }
    }

    /// Whether the next transaction may wait for more to share it.
    fn may_rest(&self) -> bool {
        let is_awaited = !self.flushes.is_empty() || self.stop.is_some();
        self.rest_until.is_some() && !is_awaited && self.queue.len() < GROUP_MAX && self.spool.is_empty()
    }

    /// What is to be written next, in the order of handing in.
    fn next_work(&mut self) -> Option<Work> {
        if self.queue.is_empty() && self.spool.is_empty() {
            // The spool could not take these; the database can.
            self.queue.append(&mut self.tail);
            self.queue_facts = std::mem::take(&mut self.tail_facts);
        }
        let (queued, batches) = if self.queue.is_empty() {
            match self.spool.read_first() {
                Ok(None) => return None,
                Ok(Some(read)) => {
                    self.tell_unreadable(read.unreadable);
                    (0, read.batches)
                }
                Err(error) => {
                    self.back_off("spool-failed", &error.to_string());
                    return None;
                }
            }
        } else {
            let batches: Vec<Batch> = self.queue.iter().take(GROUP_MAX).cloned().collect();
            (batches.len(), batches)
        };
        Some(Work { queued, future: Box::pin(write(self.storage.clone(), self.endpoints.clone(), batches)) })
    }

    /// A write came to its end.
    fn settle(&mut self, queued: usize, result: Result<Vec<Batch>, sqlx::Error>) {
        match result {
            Ok(refused) => {
                self.keep_refused(&refused);
                if queued == 0 {
                    if let Err(error) = self.spool.remove_first() {
                        self.tell_spool(&error);
                    }
                } else {
                    for batch in self.queue.drain(..queued.min(self.queue.len())) {
                        self.queue_facts = self.queue_facts.saturating_sub(batch.facts.len());
                    }
                }
                self.come_back();
                self.answer_flushes();
            }
            Err(error) => {
                self.back_off("storage-away", &error.to_string());
                // On the disk, so that a kill loses nothing of it; the spool is its only copy from here on.
                match self.spool.prepend(self.queue.make_contiguous()) {
                    Ok(()) => {
                        self.queue.clear();
                        self.queue_facts = 0;
                    }
                    Err(error) => self.tell_spool(&error),
                }
            }
        }
    }

    /// Blocks this task for one fsync, and only while the database is away or too slow.
    fn spool_tail(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        match self.spool.append(self.tail.make_contiguous()) {
            Ok(()) => {
                self.tail.clear();
                self.tail_facts = 0;
                self.spool_failing = false;
            }
            Err(error) => self.tell_spool(&error),
        }
    }

    fn answer_flushes(&mut self) {
        let spooled = || self.spool.first();
        let oldest = self.queue.front().map(|batch| batch.number).or_else(spooled);
        let oldest = oldest.or_else(|| self.tail.front().map(|batch| batch.number)).unwrap_or(self.next_number);
        for (_, done) in self.flushes.extract_if(.., |(number, _)| *number < oldest) {
            let _ = done.send(());
        }
    }

    fn is_done(&self) -> bool {
        self.queue.is_empty() && self.spool.is_empty() && self.tail.is_empty()
    }

    fn end(mut self) {
        self.spool_tail();
        let left = self.queue_facts + self.tail_facts;
        if left > 0 {
            self.lose(left);
        }
        self.answer_flushes();
        self.publish();
        if let Some(stopped) = self.stop.take() {
            let _ = stopped.send(());
        }
    }

    fn back_off(&mut self, kind: &str, why: &str) {
        if self.failures == 0 {
            self.tell(kind, format!("the database cannot be written ({why}); facts go to the spool until it returns"));
        }
        let wait = BACK_OFF_MIN.saturating_mul(1 << self.failures.min(10)).min(BACK_OFF_MAX);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(Instant::now() + wait);
        self.counts.away.store(true, Ordering::Relaxed);
    }

    fn come_back(&mut self) {
        self.counts.losing.store(false, Ordering::Relaxed);
        if self.failures > 0 && self.spool.is_empty() {
            self.tell("storage-back", "the database is back and has everything that was spooled".into());
            self.failures = 0;
            self.spool_failing = false;
            self.counts.away.store(false, Ordering::Relaxed);
        }
    }

    fn keep_refused(&self, refused: &[Batch]) {
        for batch in refused {
            let kept = self.spool.keep_refused_batch(batch);
            let kept = kept.map_or_else(|error| error.to_string(), |()| "it is kept in spool/refused.jsonl".into());
            self.tell(
                "facts-refused",
                format!("the database refuses {} facts for what they say; {kept}", batch.facts.len()),
            );
        }
    }

    fn tell_unreadable(&self, lines: usize) {
        if lines > 0 {
            let text = format!("{lines} lines of the spool cannot be read; they are kept in spool/refused.jsonl");
            self.tell("facts-refused", text);
        }
    }

    fn lose(&self, facts: usize) {
        self.counts.lost.fetch_add(facts as u64, Ordering::Relaxed);
        metrics::counter!("vigie_storage_facts_lost_total").increment(facts as u64);
        if !self.counts.losing.swap(true, Ordering::Relaxed) {
            let text = "neither the database nor the spool takes facts and memory is full: facts are being lost; \
                        free the disk of the state folder";
            self.tell("facts-lost", text.into());
        }
    }

    /// Once a spell, not once a fact.
    fn tell_spool(&mut self, error: &StorageError) {
        if !std::mem::replace(&mut self.spool_failing, true) {
            self.tell("spool-failed", format!("{error}; facts are kept in memory, and a kill would lose them"));
        }
    }

    fn tell(&self, kind: &str, text: String) {
        (self.alarm)(Alarm { kind: kind.into(), call: None, text });
    }

    fn publish(&self) {
        let facts = (self.queue_facts + self.tail_facts) as u64;
        self.counts.facts.store(facts, Ordering::Relaxed);
        self.counts.spooled_bytes.store(self.spool.bytes(), Ordering::Relaxed);
        metrics::gauge!("vigie_storage_facts_waiting").set(facts as f64);
        metrics::gauge!("vigie_storage_spool_bytes").set(self.spool.bytes() as f64);
    }
}

/// Stores batches in groups; what the database refuses for what it says is tried alone and handed back.
async fn write(
    storage: Storage,
    endpoints: Arc<[EndpointSettings]>,
    batches: Vec<Batch>,
) -> Result<Vec<Batch>, sqlx::Error> {
    let mut refused = Vec::new();
    for group in batches.chunks(GROUP_MAX) {
        match facts::store(&storage, &endpoints, group).await {
            Ok(()) => {}
            Err(error) if is_refusal(&error) => {
                for batch in group {
                    match facts::store(&storage, &endpoints, std::slice::from_ref(batch)).await {
                        Ok(()) => {}
                        Err(error) if is_refusal(&error) => refused.push(batch.clone()),
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(refused)
}

/// The end of the write under way; never, when there is none.
async fn finish(work: &mut Option<Work>) -> Result<Vec<Batch>, sqlx::Error> {
    match work {
        Some(work) => work.future.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn wait(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
