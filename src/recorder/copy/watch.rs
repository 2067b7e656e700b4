//! Whether what comes in is written: a recording that is not is told within seconds, while its call goes on.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::live::{Live, Stage};
use super::super::{RecorderError, spawn};
use super::{Copier, Doors};
use crate::clock;
use crate::model::{CallId, Moment, RecorderReport};

/// Sound that came in so long ago and is in no file yet makes a recording fail; it is told half as late again at most.
pub(super) const UNWRITTEN_MAX: Duration = Duration::from_secs(5);
/// How often the copying thread itself is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What others may see of the copying thread: a write to a disk that hangs never comes back to tell of itself.
#[derive(Debug, Default)]
pub(in super::super) struct Pulse {
    /// When its last turn began, in microseconds; `u64::MAX` once it has ended.
    beat: AtomicU64,
    /// The calls being recorded, but for paused ones.
    running: Mutex<BTreeSet<CallId>>,
}

impl Pulse {
    fn running(&self) -> std::sync::MutexGuard<'_, BTreeSet<CallId>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn end(&self) {
        self.beat.store(u64::MAX, Ordering::Release);
    }
}

/// Starts the thread that looks after the copying thread; it ends with it.
pub(in super::super) fn start(pulse: Arc<Pulse>, doors: Arc<Doors>) -> Result<JoinHandle<()>, RecorderError> {
    pulse.beat.store(clock::moment().0, Ordering::Release);
    spawn("recorder-watch", move || look_after(&pulse, &doors))
}

fn look_after(pulse: &Pulse, doors: &Doors) {
    let mut hung: Option<BTreeSet<CallId>> = None;
    loop {
        std::thread::park_timeout(LOOK_EVERY);
        let beat = pulse.beat.load(Ordering::Acquire);
        if beat == u64::MAX {
            return;
        }
        let is_hung = clock::moment().since(Moment(beat)) > UNWRITTEN_MAX;
        match (&hung, is_hung) {
            (None, true) => {
                let running = pulse.running().clone();
                let reason = "the disk does not answer a write: nothing has been written for some seconds while sound comes in; it waits in the ring";
                (doors.alarm)(
                    "recording-stalled".into(),
                    None,
                    format!("{reason}. Look for a disk or network store that hangs"),
                );
                for call in &running {
                    (doors.report)(RecorderReport::Failed { call: *call, reason: reason.to_owned() });
                }
                hung = Some(running);
            }
            (Some(_), false) => {
                hung = None;
                (doors.alarm)("recording-back".into(), None, "the disk answers again; recordings go on".into());
            }
            (None, false) | (Some(_), true) => {}
        }
    }
}

impl Copier {
    /// Shows that the thread lives, and which calls it records.
    pub(super) fn beat(&self, now: Moment) {
        self.pulse.beat.store(now.0, Ordering::Release);
        let is_running = |live: &Live| live.stage == Stage::Running && !live.is_paused();
        let count = self.live.values().filter(|live| is_running(live)).count();
        let mut running = self.pulse.running();
        let is_same = running.len() == count && running.iter().all(|call| self.live.get(call).is_some_and(is_running));
        if !is_same {
            *running = self.live.iter().filter(|(_, live)| is_running(live)).map(|(call, _)| *call).collect();
        }
    }

    /// Tells of each recording whose sound is not written, once, and of its end.
    pub(super) fn tell_unwritten(&mut self, is_drained: bool, now: Moment) {
        self.blocked = if is_drained { None } else { Some(self.blocked.unwrap_or(now)) };
        let mut is_back = false;
        for (call, live) in &mut self.live {
            if live.stage != Stage::Running {
                continue;
            }
            let since = live.oldest().into_iter().chain(self.blocked.filter(|_| !live.is_paused())).min();
            let is_unwritten = since.is_some_and(|since| now.since(since) > UNWRITTEN_MAX);
            if is_unwritten && !live.is_told_unwritten {
                live.is_told_unwritten = true;
                let reason = format!(
                    "its sound has not been written to {} for {} s while it comes in; it waits in memory: make room or mend the disk",
                    live.folder().display(),
                    UNWRITTEN_MAX.as_secs()
                );
                (self.voice.doors.report)(RecorderReport::Failed { call: *call, reason });
            }
            is_back |= live.is_told_unwritten && since.is_none();
            live.is_told_unwritten &= since.is_some();
        }
        if is_back {
            let text = "recordings that could not be written are written again".to_owned();
            (self.voice.doors.alarm)("recording-back".into(), None, text);
        }
    }
}
