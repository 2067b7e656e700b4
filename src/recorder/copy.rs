//! The copying thread: from the rings to the journal and the frame files, every turn; it never waits for a seal.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::kept::{Turn, unfinished};
use super::late::Late;
use super::layout::open_folder;
use super::live::{Live, LiveKey, Stage};
use super::seal::{Seal, SealError};
use super::work::{SyncJob, Workers};
use super::{Message, Parts, RecorderError};
use crate::clock;
use crate::journal::{EndedSegment, Journal, RingReader};
use crate::model::{CallId, LegId, Moment, RecorderCommand, RecorderReport};

mod backlog;
mod pace;
pub(super) mod watch;

use backlog::Backlog;
use pace::Pace;

/// The rings, the recordings and their files are looked after this often.
const TURN_EVERY: Duration = Duration::from_millis(20);
/// The rings so often while sound comes: a little each time, so that on a machine with few cores no packet of a call waits
/// behind 20 ms of everybody's.
const COPY_EVERY: Duration = Duration::from_millis(5);
/// Frames that may wait in memory for their frame files; beyond that they wait in the rings. Minutes at the call limit.
const BACKLOG_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Frames of a call that nobody announced are dropped after this.
const UNANNOUNCED_MAX: Duration = Duration::from_secs(30);
/// A seal that failed is tried again after this.
const SEAL_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// A finished recording that is not sealed by then is reported as failed (and still tried again).
const SEAL_WITHIN: Duration = Duration::from_secs(60);
/// A sync of the journal that takes longer breaks the promise of 500 ms.
const SYNC_MAX: Duration = Duration::from_millis(500);
/// An alarm of one kind is told once in this time.
const ALARM_EVERY: Duration = Duration::from_secs(60);
/// Calls that are over, remembered so that their late frames are no riddle.
const DONE_MAX: usize = 4096;
/// How long a stop waits for seals.
const STOP_MAX: Duration = Duration::from_secs(30);

/// Where results go.
pub(super) struct Doors {
    pub(super) report: Box<dyn Fn(RecorderReport) + Send + Sync>,
    pub(super) alarm: Box<dyn Fn(String, Option<CallId>, String) + Send + Sync>,
}

/// The copying thread's state.
pub(super) struct Copier {
    parts: Parts,
    journal: Journal,
    rings: Vec<RingReader>,
    live: BTreeMap<CallId, Live>,
    done: Done,
    workers: Workers,
    voice: Voice,
    pace: Pace,
    /// The journal is being synced since then.
    syncing: Option<Moment>,
    /// Segments whose frames are not all in frame files yet.
    ended: VecDeque<EndedSegment>,
    /// Jobs that the syncing threads had no room for, or failed at.
    unsynced: Backlog,
    refused: u64,
    /// Segments below this number are of earlier runs.
    first_segment: u64,
    /// Calls of earlier runs whose recordings were unfinished when this one began: no live one is ever among them.
    left: BTreeSet<CallId>,
    /// Since then frames stay in the rings.
    blocked: Option<Moment>,
    /// Frames that wait for their frame files, in bytes; counted anew each turn.
    backlog_bytes: usize,
    /// The rings held something when they were looked at last.
    is_sounding: bool,
    turned_at: Moment,
    pulse: Arc<watch::Pulse>,
}

impl Copier {
    pub(super) fn new(
        parts: Parts,
        journal: Journal,
        rings: Vec<RingReader>,
        workers: Workers,
        doors: Arc<Doors>,
    ) -> Result<Copier, RecorderError> {
        let fault =
            |source| RecorderError::File { act: "listing unfinished recordings in", path: parts.state.clone(), source };
        Ok(Copier {
            first_segment: journal.next_number(),
            left: unfinished(&parts.state).map_err(fault)?.into_iter().collect(),
            pace: Pace::of(parts.settings.sync_every),
            parts,
            journal,
            rings,
            live: BTreeMap::new(),
            done: Done::default(),
            workers,
            voice: Voice { doors, told: BTreeMap::new() },
            syncing: None,
            ended: VecDeque::new(),
            unsynced: Backlog::default(),
            refused: 0,
            blocked: None,
            backlog_bytes: 0,
            is_sounding: false,
            turned_at: Moment(0),
            pulse: Arc::default(),
        })
    }

    /// What a thread beside it may see.
    pub(super) fn pulse(&self) -> Arc<watch::Pulse> {
        self.pulse.clone()
    }

    /// Works until it is told to stop, or every sender is gone.
    pub(super) fn run(mut self, receiver: &Receiver<Message>) {
        let mut stop: Option<Moment> = None;
        loop {
            let first = receiver.recv_timeout(if self.is_sounding { COPY_EVERY } else { TURN_EVERY });
            let mut is_told_to_stop = matches!(first, Err(RecvTimeoutError::Disconnected));
            let now = clock::moment();
            let has_news = first.is_ok();
            for message in first.into_iter().chain(receiver.try_iter()) {
                is_told_to_stop |= matches!(message, Message::Stop);
                self.take(message, now);
            }
            let is_due = has_news || is_told_to_stop || now.since(self.turned_at) >= TURN_EVERY;
            if is_due {
                // Before the first write, which may hang.
                self.beat(now);
            }
            let is_drained = self.copy(now);
            if is_due {
                self.turn(is_drained, now);
            }
            if is_told_to_stop {
                stop.get_or_insert(now + STOP_MAX);
            }
            if stop.is_some_and(|until| now >= until || self.is_quiet()) {
                self.write_frames(true, now);
                self.leave(receiver);
                return;
            }
        }
    }

    fn take(&mut self, message: Message, now: Moment) {
        match message {
            Message::Command(command) => self.obey(command, now),
            Message::Sealed { call, result } => self.end(call, result, now),
            Message::Unsynced { mut job, error } => {
                self.voice.alarm(
                    "recording-disk",
                    None,
                    format!("files could not be synced: {error}; trying again"),
                    now,
                );
                job.grow(|leg| self.live.get(&leg.call)?.file_of(leg.number));
                self.unsynced.add_failed(job, now);
            }
            Message::JournalSynced(results) => self.end_sync(results, now),
            Message::SegmentGone(path) => self.journal.forget(&path),
            Message::SealLate(answer) => {
                let left = self.left.iter().filter(|call| !self.live.contains_key(call)).copied().collect();
                self.workers.seal_late(Late { left, first_segment: self.first_segment, answer });
            }
            Message::Stop => (),
        }
    }

    fn obey(&mut self, command: RecorderCommand, now: Moment) {
        match command {
            RecorderCommand::Begin { call, at, so_far } => self.live_of(call, now).begin(call, at, so_far),
            RecorderCommand::Leg { leg, side, regulator } => {
                self.live_of(leg.call, now).add_leg(leg.number, side, regulator, now);
            }
            RecorderCommand::Turn { call, at, what } => {
                if !self.done.has(call) {
                    self.live_of(call, now).add_turn(Turn { at, what });
                }
            }
            RecorderCommand::Pause { call, at, by, reason } => self.live_of(call, now).pause(at, by, reason),
            RecorderCommand::Resume { call, at, by } => self.live_of(call, now).resume(at, by),
            RecorderCommand::Finish { call, at, record } => {
                if !self.live.get_mut(&call).is_some_and(|live| live.finish(at, record, now)) {
                    let reason = "its recording was finished without having begun".to_owned();
                    (self.voice.doors.report)(RecorderReport::Failed { call, reason });
                }
            }
        }
    }

    fn live_of(&mut self, call: CallId, now: Moment) -> &mut Live {
        self.live.entry(call).or_insert_with(|| new_live(call, &self.parts, now))
    }

    fn turn(&mut self, is_drained: bool, now: Moment) {
        self.turned_at = now;
        self.tell_refused(now);
        self.keep_calls(now);
        self.write_frames(false, now);
        self.backlog_bytes = self.live.values().map(Live::waiting_bytes).sum();
        self.tell_unwritten(is_drained, now);
        self.sync_journal(now);
        self.retire_segments(now);
        if is_drained {
            self.finish_calls(now);
        }
        self.forget_unannounced(now);
    }

    /// Copies what the rings hold now. `false`: the disk does not follow and frames stay in the rings.
    fn copy(&mut self, now: Moment) -> bool {
        self.is_sounding = false;
        if !self.write_journal(now) {
            return false;
        }
        for index in 0..self.rings.len() {
            let Some(mut left) = self.rings.get(index).map(RingReader::waiting_bytes) else { break };
            while left > 0 {
                self.is_sounding = true;
                if self.backlog_bytes > BACKLOG_BYTES_MAX {
                    return false;
                }
                let Some(ring) = self.rings.get_mut(index) else { break };
                let before = ring.waiting_bytes();
                let (live, done, journal) = (&mut self.live, &self.done, &mut self.journal);
                let parts = &self.parts;
                let read = ring.read(|frame| {
                    if !done.has(frame.call) {
                        journal.append(&frame);
                        live.entry(frame.call).or_insert_with(|| new_live(frame.call, parts, now)).append(&frame, now);
                    }
                });
                let copied = before.saturating_sub(ring.waiting_bytes());
                if let Err(error) = read {
                    self.voice.alarm("recording-ring", None, error.to_string(), now);
                    if copied == 0 {
                        return false;
                    }
                }
                if !self.write_journal(now) {
                    return false;
                }
                left = left.saturating_sub(copied.max(1));
                self.backlog_bytes += copied as usize;
                // A packet may wait for this core.
                std::thread::yield_now();
            }
            if let Some(ring) = self.rings.get_mut(index) {
                ring.release();
            }
        }
        true
    }

    fn write_journal(&mut self, now: Moment) -> bool {
        if let Err(error) = self.journal.write(now) {
            let folder = super::layout::journal_folder(&self.parts.state);
            let text = format!(
                "the journal in {} cannot be written: {error}; calls go on, frames wait in the ring for some seconds: make room or mend the disk",
                folder.display()
            );
            self.voice.alarm("recording-disk", None, text, now);
            return false;
        }
        true
    }

    fn tell_refused(&mut self, now: Moment) {
        let refused: u64 = self.rings.iter().map(RingReader::refused).sum();
        if refused > self.refused {
            let text = format!(
                "{} audio frames were lost because a ring was full ({refused} since the start); the gaps are listed in the sidecars: the disk is too slow or full",
                refused - self.refused
            );
            self.voice.alarm("recording-lost", None, text, now);
            self.refused = refused;
        }
    }

    fn keep_calls(&mut self, now: Moment) {
        for (call, live) in &mut self.live {
            match live.keep(&self.parts.state, now) {
                Ok(false) => (),
                Ok(true) => {
                    let job = SyncJob::Kept {
                        call: *call,
                        folder: live.folder().to_owned(),
                        root: self.parts.settings.folder.clone(),
                        marks: open_folder(&self.parts.state),
                        is_again: false,
                    };
                    self.unsynced.add(job, now);
                }
                Err(error) => {
                    let text = format!("{} cannot be written: {error}; trying again", live.folder().display());
                    self.voice.alarm("recording-disk", Some(*call), text, now);
                }
            }
        }
        self.unsynced.offer(now, |job| self.workers.sync(job));
    }

    fn write_frames(&mut self, all: bool, now: Moment) {
        for (call, live) in &mut self.live {
            if let Err(error) = live.write(all, now) {
                let text = format!("frames cannot be written to {}: {error}; trying again", live.folder().display());
                self.voice.alarm("recording-disk", Some(*call), text, now);
            }
        }
    }

    /// Has the journal synced by its thread, so that a slow disk delays neither frames nor the calls that begin.
    fn sync_journal(&mut self, now: Moment) {
        if let Some(since) = self.syncing {
            let takes = now.since(since);
            if takes > SYNC_MAX {
                let text = format!(
                    "syncing the journal takes {} ms and more: a power cut could lose more than 500 ms of sound; look for a slow or failing disk",
                    takes.as_millis()
                );
                self.voice.alarm("recording-slow", None, text, now);
            }
            return;
        }
        if !self.pace.is_due(now) {
            return;
        }
        self.pace.begin(now);
        let due = self.journal.begin_sync();
        if due.is_empty() {
            return;
        }
        if self.workers.sync_journal(due) {
            self.syncing = Some(now);
        } else {
            self.journal.end_sync(&[]);
        }
    }

    fn end_sync(&mut self, results: Vec<io::Result<()>>, now: Moment) {
        self.syncing = None;
        self.journal.end_sync(&results.iter().map(Result::is_ok).collect::<Vec<_>>());
        if let Some(error) = results.into_iter().find_map(Result::err) {
            self.pace.fail(now);
            self.voice.alarm("recording-disk", None, format!("the journal cannot be synced: {error}"), now);
        }
    }

    /// Lets journal segments go whose frames are all in frame files.
    fn retire_segments(&mut self, now: Moment) {
        self.ended.extend(self.journal.end_if_due(now));
        while let Some(segment) = self.ended.front() {
            for call in segment.legs.iter().map(|leg| leg.call).collect::<HashSet<_>>() {
                // A fault is told by write_frames, which meets it too.
                let _ = self.live.get_mut(&call).map(|live| live.write(true, now));
            }
            let live = &self.live;
            let is_written =
                segment.legs.iter().all(|leg| live.get(&leg.call).is_none_or(|l| l.is_leg_written(leg.number)));
            if !is_written {
                return;
            }
            let file_of = |leg: &LegId| Some((*leg, live.get(&leg.call)?.file_of(leg.number)?));
            let files = segment.legs.iter().filter_map(file_of).collect();
            let folders: HashSet<_> =
                segment.legs.iter().filter_map(|leg| Some(live.get(&leg.call)?.folder().to_owned())).collect();
            let path = segment.path.clone();
            self.unsynced.add(SyncJob::Segment { path, files, folders, is_again: false }, now);
            self.ended.pop_front();
        }
    }

    /// Hands finished recordings to the sealing thread; every frame is out of the rings by now.
    fn finish_calls(&mut self, now: Moment) {
        for (call, live) in &mut self.live {
            let Stage::Finishing { since, next_try, is_told } = live.stage else { continue };
            if now >= next_try && live.is_written() && self.workers.seal(*call) {
                live.stage = Stage::Sealing { since, is_told };
            } else if !is_told && now.since(since) > SEAL_WITHIN {
                live.stage = Stage::Finishing { since, next_try, is_told: true };
                let reason = format!(
                    "not sealed within {} s of its end; what exists is kept and is tried again",
                    SEAL_WITHIN.as_secs()
                );
                (self.voice.doors.report)(RecorderReport::Failed { call: *call, reason });
            }
        }
    }

    fn end(&mut self, call: CallId, result: Result<Box<Seal>, SealError>, now: Moment) {
        match result {
            Ok(seal) => {
                self.live.remove(&call);
                self.done.add(call);
                // Each is of another recording, so none is left out as a repetition.
                for silence in seal.silences.iter().filter(|silence| silence.is_alarming()) {
                    (self.voice.doors.alarm)("recording-one-sided".to_owned(), Some(call), silence.describe());
                }
                (self.voice.doors.report)(RecorderReport::Sealed(Box::new(seal.recording)));
            }
            Err(error) => {
                self.voice.alarm("recording-seal", Some(call), format!("a recording cannot be sealed: {error}"), now);
                let Some(live) = self.live.get_mut(&call) else { return };
                if let Stage::Sealing { since, is_told } = live.stage {
                    live.stage = Stage::Finishing { since, next_try: now + SEAL_AGAIN_AFTER, is_told };
                }
            }
        }
    }

    fn forget_unannounced(&mut self, now: Moment) {
        let (voice, done) = (&mut self.voice, &mut self.done);
        self.live.retain(|call, live| {
            let Stage::Unannounced { since } = live.stage else { return true };
            if now.since(since) <= UNANNOUNCED_MAX {
                return true;
            }
            let text = "frames came of a call whose recording was never begun; they were dropped".to_owned();
            voice.alarm("recording-unannounced", Some(*call), text, now);
            done.add(*call);
            false
        });
    }

    /// Whether nothing is left that a stop should wait for.
    fn is_quiet(&self) -> bool {
        let is_working = |live: &Live| matches!(live.stage, Stage::Finishing { .. } | Stage::Sealing { .. });
        !self.live.values().any(is_working) && self.rings.iter().all(|ring| ring.waiting_bytes() == 0)
    }

    /// Brings everything to the disk and ends the other threads. What is unfinished is left for recovery.
    fn leave(mut self, receiver: &Receiver<Message>) {
        let synced = self.live.values().flat_map(Live::files).try_for_each(|file| file.sync());
        if let Err(error) = self.journal.sync().and(synced) {
            tracing::error!("the last frames could not be synced: {error}");
        }
        self.workers.stop(receiver);
        self.pulse.end();
    }
}

/// A recording that begins, with a key of the pool when it is to be encrypted.
fn new_live(call: CallId, parts: &Parts, now: Moment) -> Live {
    let key = match parts.keys.is_on().then(|| parts.keys.new_key()) {
        None => LiveKey::Plain,
        Some(Ok(key)) => LiveKey::Key(key),
        Some(Err(error)) => {
            tracing::error!(%call, "is NOT recorded, since no key could be made to encrypt it with: {error}");
            LiveKey::Missing
        }
    };
    Live::new(call, &parts.settings.folder, key, now)
}

/// Calls that are over.
#[derive(Default)]
struct Done {
    order: VecDeque<CallId>,
    calls: HashSet<CallId>,
}

impl Done {
    fn has(&self, call: CallId) -> bool {
        self.calls.contains(&call)
    }

    fn add(&mut self, call: CallId) {
        if self.calls.insert(call) {
            self.order.push_back(call);
        }
        if self.order.len() > DONE_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.calls.remove(&oldest);
        }
    }
}

/// Reports, and alarms that do not repeat themselves.
struct Voice {
    doors: Arc<Doors>,
    told: BTreeMap<&'static str, Moment>,
}

impl Voice {
    fn alarm(&mut self, kind: &'static str, call: Option<CallId>, text: String, now: Moment) {
        let is_repeated = self.told.get(kind).is_some_and(|at| now.since(*at) < ALARM_EVERY);
        if !is_repeated {
            self.told.insert(kind, now);
            (self.doors.alarm)(kind.to_owned(), call, text);
        }
    }
}
