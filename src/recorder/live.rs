//! One recording while it is written: what is kept of its call, and the frame files of its legs.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::kept::{Kept, KeptLeg, KeptPause, TURNS_MAX, Turn};
use super::layout::{folder_of, frames_file};
use crate::journal::{Frame, FrameFile, Written};
use crate::model::{AskedBy, CallId, CallRecord, Moment, Now, RegulatorId, Side};
use crate::vault::{AudioKey, ensure_key};

/// Frames wait so long for company before they are written to their frame file; the journal has them meanwhile.
const WRITE_EVERY: Duration = Duration::from_millis(500);
/// Or until there are so many bytes.
const WRITE_BYTES: usize = 16 * 1024;
/// After a fault the disk is left alone for so long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where a recording is in its life.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Frames or legs came, `Begin` did not yet: nothing is on disk but in the journal.
    Unannounced { since: Moment },
    /// Being recorded.
    Running,
    /// No more frames come.
    Finishing { since: Moment, next_try: Moment, is_told: bool },
    /// With the sealing thread.
    Sealing { since: Moment, is_told: bool },
}

/// One recording.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) stage: Stage,
    folder: PathBuf,
    kept: Option<Kept>,
    /// Legs that were announced before `Begin`.
    early: BTreeMap<u16, KeptLeg>,
    /// What happened between the parties before `Begin`.
    early_turns: Vec<Turn>,
    /// What is kept is not yet on disk as it is in memory.
    is_stale: bool,
    /// Something of it is on disk.
    is_kept: bool,
    legs: BTreeMap<u16, LiveLeg>,
    next_try: Moment,
    /// It was told that its sound is not written, and still it is not.
    pub(super) is_told_unwritten: bool,
    key: LiveKey,
}

/// How its audio is written.
#[derive(Debug)]
pub(super) enum LiveKey {
    /// As it is.
    Plain,
    /// Encrypted.
    Key(AudioKey),
    /// It should be encrypted and no key could be made: none of it is written.
    Missing,
}

#[derive(Debug)]
struct LiveLeg {
    file: FrameFile,
    oldest: Option<Moment>,
}

impl Live {
    pub(super) fn new(call: CallId, recordings: &Path, key: LiveKey, now: Moment) -> Live {
        Live {
            stage: Stage::Unannounced { since: now },
            folder: recordings.join(folder_of(call)),
            kept: None,
            early: BTreeMap::new(),
            early_turns: Vec::new(),
            is_stale: false,
            is_kept: false,
            legs: BTreeMap::new(),
            next_try: Moment(0),
            key,
            is_told_unwritten: false,
        }
    }

    pub(super) fn begin(&mut self, call: CallId, at: Now, record: Box<CallRecord>) {
        if self.kept.is_none() {
            let legs = std::mem::take(&mut self.early);
            let turns = std::mem::take(&mut self.early_turns);
            self.kept = Some(Kept { call, begun: at, finished: None, legs, turns, record, pauses: Vec::new() });
            self.is_stale = true;
            self.stage = Stage::Running;
        }
    }

    pub(super) fn add_leg(&mut self, leg: u16, side: Side, regulator: Option<RegulatorId>, joined: Moment) {
        let legs = match &mut self.kept {
            Some(kept) => &mut kept.legs,
            None => &mut self.early,
        };
        legs.entry(leg).or_insert(KeptLeg { side, regulator, joined });
        self.is_stale = self.kept.is_some();
    }

    pub(super) fn add_turn(&mut self, turn: Turn) {
        let turns = match &mut self.kept {
            Some(kept) => &mut kept.turns,
            None => &mut self.early_turns,
        };
        if turns.len() < TURNS_MAX {
            turns.push(turn);
            self.is_stale = self.kept.is_some();
        }
    }

    /// No more frames come. `false`: the recording was never begun.
    pub(super) fn finish(&mut self, at: Now, record: Box<CallRecord>, now: Moment) -> bool {
        let Some(kept) = &mut self.kept else { return false };
        if self.stage == Stage::Running {
            kept.finished = Some(at);
            kept.record = record;
            self.is_stale = true;
            self.stage = Stage::Finishing { since: now, next_try: now, is_told: false };
        }
        true
    }

    /// Nothing is recorded from `at` on. A recording that was never begun has nothing to pause.
    pub(super) fn pause(&mut self, at: Now, by: AskedBy, reason: Option<String>) {
        let Some(kept) = &mut self.kept else { return };
        kept.pauses.push(KeptPause { from: at, to: None, by, reason, resumed_by: None });
        self.is_stale = true;
    }

    /// It is recorded again from `at` on.
    pub(super) fn resume(&mut self, at: Now, by: AskedBy) {
        let last = self.kept.as_mut().and_then(|kept| kept.pauses.last_mut());
        if let Some(pause) = last.filter(|pause| pause.to.is_none()) {
            (pause.to, pause.resumed_by) = (Some(at), Some(by));
            self.is_stale = true;
        }
    }

    pub(super) fn append(&mut self, frame: &Frame<'_>, now: Moment) {
        let key = match &self.key {
            LiveKey::Plain => None,
            LiveKey::Key(key) => Some(key),
            LiveKey::Missing => return,
        };
        let leg = self.legs.entry(frame.leg).or_insert_with(|| LiveLeg {
            file: FrameFile::new(self.folder.join(frames_file(frame.leg)), key),
            oldest: None,
        });
        leg.file.append(frame);
        leg.oldest.get_or_insert(now);
    }

    /// Writes what is kept of the call, when it changed; `true` when it did.
    pub(super) fn keep(&mut self, state: &Path, now: Moment) -> io::Result<bool> {
        let Some(kept) = self.kept.as_ref().filter(|_| self.is_stale && now >= self.next_try) else { return Ok(false) };
        // A folder that somebody took away is made again.
        let again = self.is_kept && kept.write_again(&self.folder).is_ok();
        let key = match &self.key {
            LiveKey::Plain | LiveKey::Missing => None,
            LiveKey::Key(key) => Some(key),
        };
        let put_key = || key.map_or(Ok(()), |key| Ok(ensure_key(&self.folder, key)?));
        if !again && let Err(error) = kept.write(&self.folder, state).and_then(|()| put_key()) {
            self.next_try = now + RETRY_AFTER;
            return Err(error);
        }
        (self.is_kept, self.is_stale) = (true, false);
        Ok(true)
    }

    /// Writes frames that waited long enough, or all of them.
    pub(super) fn write(&mut self, all: bool, now: Moment) -> io::Result<()> {
        // A frame file stands in a folder that `keep` makes.
        if self.kept.is_none() || now < self.next_try {
            return Ok(());
        }
        let all = all || matches!(self.stage, Stage::Finishing { .. });
        for leg in self.legs.values_mut() {
            let is_due = leg.oldest.is_some_and(|oldest| now.since(oldest) >= WRITE_EVERY);
            if leg.oldest.is_some() && (all || is_due || leg.file.waiting_bytes() >= WRITE_BYTES) {
                if let Err(error) = leg.file.write() {
                    self.next_try = now + RETRY_AFTER;
                    return Err(error);
                }
                leg.oldest = None;
            }
        }
        Ok(())
    }

    /// Since when sound waits for its file; nothing, when none does.
    pub(super) fn oldest(&self) -> Option<Moment> {
        self.legs.values().filter_map(|leg| leg.oldest).min()
    }

    /// Whether nothing is recorded now by somebody's wish.
    pub(super) fn is_paused(&self) -> bool {
        self.kept.as_ref().and_then(|kept| kept.pauses.last()).is_some_and(|pause| pause.to.is_none())
    }

    /// Whether everything that is known is in files.
    pub(super) fn is_written(&self) -> bool {
        !self.is_stale && self.legs.values().all(|leg| leg.oldest.is_none())
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.legs.values().filter(|leg| leg.oldest.is_some()).map(|leg| leg.file.waiting_bytes()).sum()
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The frame file of a leg, to be synced.
    pub(super) fn file_of(&self, leg: u16) -> Option<Written> {
        self.legs.get(&leg)?.file.written()
    }

    /// Every frame file, to be synced.
    pub(super) fn files(&self) -> impl Iterator<Item = Written> {
        self.legs.values().filter_map(|leg| leg.file.written())
    }

    /// Whether a leg's frames are all in its file.
    pub(super) fn is_leg_written(&self, leg: u16) -> bool {
        self.legs.get(&leg).is_none_or(|leg| leg.oldest.is_none())
    }
}
