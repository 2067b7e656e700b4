//! The threads that may wait for a disk: one renders and seals, one syncs the
//! journal, one what is kept of calls, one frame files.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;

use super::bury::{Burial, Told};
use super::deposit::{Claim, Deposit, DepositError, Deposited, Notary};
use super::doubts::{Doubts, Unsettled};
use super::late::{Late, LateWork};
use super::layout::{KEPT_FILE, remove_file, sync_file, sync_folders, write_and_sync};
use super::seal::Sealer;
use super::{Message, RecorderError, spawn};
use crate::clock;
use crate::journal::Written;
use crate::model::{CallId, LegId};
use crate::vault::KEY_FILE;

/// Jobs that may wait; what does not fit is offered again at the next turn.
const JOBS_MAX: usize = 1024;
/// A tenth of the weight of the threads that serve calls (sched(7)).
const BACKGROUND_NICE: i32 = 10;

/// The ends that the copying thread holds.
#[derive(Debug)]
pub(super) struct Workers {
    seals: SyncSender<SealJob>,
    /// Kept files have a thread of their own: they must be safe within the journal's half second.
    keeps: SyncSender<SyncJob>,
    syncs: SyncSender<SyncJob>,
    /// The journal's own: were it synced by the copying thread, a call that begins meanwhile would not be known on disk.
    journals: SyncSender<Vec<Written>>,
    threads: [JoinHandle<()>; 4],
}

/// What the sealing thread does.
#[derive(Debug)]
pub(super) enum SealJob {
    /// Seals a finished recording.
    Seal(CallId),
    /// Signs a document, and answers; unless the asker has given up before.
    Deposit(Box<Deposit>, Claim, SyncSender<Result<Deposited, DepositError>>),
    /// Seals what waited for its keys.
    Late(Late),
    /// A recording's lawful end: writes its tombstone, and answers.
    Bury(Box<Burial>, Told),
    /// The last one.
    Stop,
}

/// Something to bring to the disk for certain.
#[derive(Clone, Debug)]
pub(super) enum SyncJob {
    /// A call's kept file, its folders up to the root, and the folder of marks.
    Kept { call: CallId, folder: PathBuf, root: PathBuf, marks: PathBuf, is_again: bool },
    /// The frame files that a journal segment touched, and their names; then the segment goes.
    Segment { path: PathBuf, files: Vec<(LegId, Written)>, folders: HashSet<PathBuf>, is_again: bool },
}

/// Starts the threads; results come to `done`.
pub(super) fn start(mut sealer: Sealer, done: SyncSender<Message>) -> Result<Workers, RecorderError> {
    let (seals, seal_jobs) = sync_channel(JOBS_MAX);
    let (keeps, keep_jobs) = sync_channel(JOBS_MAX);
    let (syncs, sync_jobs) = sync_channel(JOBS_MAX);
    let (journals, journal_jobs) = sync_channel(1);
    let (sealed, kept, journalled) = (done.clone(), done.clone(), done.clone());
    let unsettled = Unsettled::default();
    sealer.heed(unsettled.clone());
    let journalling = spawn("recorder-journal", move || sync_journals(&journal_jobs, &journalled))?;
    let sealing = spawn("recorder-seal", move || {
        stand_back();
        seal_all(sealer, &seal_jobs, &sealed);
    })?;
    let keeping = spawn("recorder-keep", move || sync_each(&keep_jobs, &unsettled.kept, &kept))?;
    let syncing = spawn("recorder-sync", move || {
        stand_back();
        sync_each(&sync_jobs, &unsettled.frames, &done);
    })?;
    Ok(Workers { seals, keeps, syncs, journals, threads: [sealing, keeping, syncing, journalling] })
}

impl Workers {
    /// Whether the job was taken.
    pub(super) fn seal(&self, call: CallId) -> bool {
        self.seals.try_send(SealJob::Seal(call)).is_ok()
    }

    /// The way to the sealing thread for everybody else.
    pub(super) fn notary(&self) -> Notary {
        Notary::new(self.seals.clone())
    }

    /// Has what an earlier run left sealed; with too much to do, nobody is answered, and it is asked again.
    pub(super) fn seal_late(&self, late: Late) {
        let _ = self.seals.try_send(SealJob::Late(late));
    }

    /// Whether the sync was begun; its end comes as a message.
    pub(super) fn sync_journal(&self, due: Vec<Written>) -> bool {
        self.journals.try_send(due).is_ok()
    }

    /// The job back when it was not taken.
    pub(super) fn sync(&self, job: SyncJob) -> Option<SyncJob> {
        let jobs = match job {
            SyncJob::Kept { .. } => &self.keeps,
            SyncJob::Segment { .. } => &self.syncs,
        };
        match jobs.try_send(job) {
            Ok(()) => None,
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => Some(job),
        }
    }

    /// Lets the threads end: what is queued is done, its results are in `receiver` or go unread.
    pub(super) fn stop(self, receiver: &Receiver<Message>) {
        // A notary may be held elsewhere still: the sealing thread is told, not left alone.
        while let Err(TrySendError::Full(_)) = self.seals.try_send(SealJob::Stop) {
            let _unread = receiver.recv_timeout(std::time::Duration::from_millis(10));
        }
        drop((self.seals, self.keeps, self.syncs, self.journals));
        for thread in self.threads {
            while !thread.is_finished() {
                let _unread = receiver.recv_timeout(std::time::Duration::from_millis(10));
            }
            if thread.join().is_err() {
                tracing::error!("a thread of the recorder ended in a fault; recovery finishes its work");
            }
        }
    }
}

/// Lets this thread wait when others have something to do: a seal may come a second later, a caller's packet may not.
/// Linux keeps the nice value for each thread; where it cannot be set, all stays as it is.
fn stand_back() {
    let _ = rustix::process::nice(BACKGROUND_NICE);
}

pub(super) fn seal_all(mut sealer: Sealer, jobs: &Receiver<SealJob>, done: &SyncSender<Message>) {
    if let Err(error) = sealer.finish_deposit() {
        tracing::error!("a document that an earlier run was depositing is not in the seal log yet: {error}");
    }
    let mut late: Option<LateWork> = None;
    while let Some(job) = next_job(&mut late, jobs, &mut sealer) {
        match job {
            SealJob::Seal(call) => {
                let result = sealer.seal(call, false, clock::utc()).map(Box::new);
                if done.send(Message::Sealed { call, result }).is_err() {
                    return;
                }
            }
            SealJob::Deposit(deposit, claim, answer) => {
                if claim.take() {
                    // Who asked may go meanwhile; the document stands all the same.
                    let _ = answer.try_send(sealer.deposit(&deposit, clock::utc()));
                }
            }
            SealJob::Late(more) => {
                while let Some(work) = late.take() {
                    late = work.go_on(&mut sealer);
                }
                late = LateWork::begin(more, &mut sealer);
            }
            SealJob::Bury(burial, told) => {
                // Who asked may have gone meanwhile; what is done is done.
                let _ = told.try_send(sealer.bury(&burial));
            }
            SealJob::Stop => {
                if let Some(late) = late.take() {
                    late.tell(sealer.parts());
                }
                return;
            }
        }
    }
}

/// The next job; while there is none, what waited for its keys is sealed, one at a time. `None`: nobody is left to ask.
fn next_job(late: &mut Option<LateWork>, jobs: &Receiver<SealJob>, sealer: &mut Sealer) -> Option<SealJob> {
    while late.is_some() {
        match jobs.try_recv() {
            Ok(job) => return Some(job),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => *late = late.take().and_then(|work| work.go_on(sealer)),
        }
    }
    jobs.recv().ok()
}

fn sync_journals(jobs: &Receiver<Vec<Written>>, done: &SyncSender<Message>) {
    for due in jobs {
        if done.send(Message::JournalSynced(due.iter().map(Written::sync).collect())).is_err() {
            return;
        }
    }
}

/// `doubts` is of this thread's kind of jobs.
fn sync_each(jobs: &Receiver<SyncJob>, doubts: &Doubts, done: &SyncSender<Message>) {
    for job in jobs {
        let calls = job.calls();
        // A job that failed is in doubt since then. What its fault has taken may be another job's, too.
        let again = doubts.begin(&calls, job.is_again());
        let told = match sync(&job, &again) {
            Ok(()) => {
                match &job {
                    // By its path, the whole of it.
                    SyncJob::Kept { .. } => doubts.clear(&calls),
                    SyncJob::Segment { .. } => doubts.settle(&calls),
                }
                job.gone()
            }
            Err(error) => Some(Message::Unsynced { job: job.again(), error }),
        };
        if told.is_some_and(|told| done.send(told).is_err()) {
            return;
        }
    }
}

impl SyncJob {
    /// The same after a sync that failed.
    fn again(self) -> SyncJob {
        match self {
            SyncJob::Kept { call, folder, root, marks, .. } => {
                SyncJob::Kept { call, folder, root, marks, is_again: true }
            }
            SyncJob::Segment { path, files, folders, .. } => SyncJob::Segment { path, files, folders, is_again: true },
        }
    }

    /// Whether this one, done later, does what `other` would.
    pub(super) fn does_as(&self, other: &SyncJob) -> bool {
        match (self, other) {
            (SyncJob::Kept { call, .. }, SyncJob::Kept { call: other, .. }) => call == other,
            (SyncJob::Segment { path, .. }, SyncJob::Segment { path: other, .. }) => path == other,
            (SyncJob::Kept { .. }, SyncJob::Segment { .. }) | (SyncJob::Segment { .. }, SyncJob::Kept { .. }) => false,
        }
    }

    fn is_again(&self) -> bool {
        match self {
            SyncJob::Kept { is_again, .. } | SyncJob::Segment { is_again, .. } => *is_again,
        }
    }

    /// What its success is told with.
    fn gone(self) -> Option<Message> {
        match self {
            SyncJob::Kept { .. } => None,
            SyncJob::Segment { path, .. } => Some(Message::SegmentGone(path)),
        }
    }

    /// Whose files it syncs.
    fn calls(&self) -> BTreeSet<CallId> {
        match self {
            SyncJob::Kept { call, .. } => BTreeSet::from([*call]),
            SyncJob::Segment { files, .. } => files.iter().map(|(leg, _)| leg.call).collect(),
        }
    }

    /// What a failed sync has taken may have been written after the job was made: by then the files of `leg` have grown to
    /// what `written` says now.
    pub(super) fn grow(&mut self, written: impl Fn(LegId) -> Option<Written>) {
        match self {
            SyncJob::Kept { .. } => (),
            SyncJob::Segment { files, .. } => {
                files.iter_mut().for_each(|(leg, file)| *file = written(*leg).unwrap_or_else(|| file.clone()));
            }
        }
    }
}

/// The files of the calls `again` are written once more: a sync of them has failed. All of them are tried; the first error.
fn sync(job: &SyncJob, again: &BTreeSet<CallId>) -> io::Result<()> {
    match job {
        SyncJob::Kept { call, folder, root, marks, is_again: _ } => {
            for file in [KEY_FILE, KEPT_FILE] {
                let path = folder.join(file);
                match if again.contains(call) { write_and_sync(&path) } else { sync_file(&path) } {
                    // A plain recording has no key; what is kept goes when it is sealed.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                    result => result?,
                }
            }
            sync_folders(folder, root)?;
            sync_file(marks)
        }
        SyncJob::Segment { path, files, folders, is_again: _ } => {
            let is_doubtful = |leg: &LegId| again.contains(&leg.call);
            let as_told = |(leg, file): &(LegId, Written)| Written { is_doubtful: is_doubtful(leg), ..file.clone() };
            let files = files.iter().map(|file| as_told(file).sync());
            let synced: Vec<_> = files.chain(folders.iter().map(|folder| sync_file(folder))).collect();
            synced.into_iter().collect::<io::Result<()>>()?;
            remove_file(path)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    /// A file that no sync succeeds with, and one opened to append: what is written again shows at its end.
    fn bad_and_good(folder: &std::path::Path) -> (Written, Written) {
        let bad = File::options().read(true).write(true).open("/dev/null").expect("opened");
        assert!(bad.sync_data().is_err());
        let mut good =
            File::options().read(true).append(true).create_new(true).open(folder.join("good")).expect("made");
        good.write_all(b"sound").expect("written");
        let written = |file: File, bytes| Written { file: file.into(), bytes, is_doubtful: true, named_in: None };
        (written(bad, 0), written(good, 5))
    }

    fn is_done(folder: &std::path::Path) -> bool {
        std::fs::read(folder.join("good")).expect("read") == b"soundsound"
    }

    #[test]
    fn a_frame_file_that_cannot_be_synced_keeps_no_other_unsynced_and_its_segment_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (bad, good) = bad_and_good(folder.path());
        let call = CallId(uuid::Uuid::from_u128(1));
        let path = folder.path().join("segment");
        std::fs::write(&path, "frames").expect("written");
        let files = vec![(LegId { call, number: 0 }, bad), (LegId { call, number: 1 }, good)];
        let job = SyncJob::Segment { path: path.clone(), files, folders: HashSet::new(), is_again: true };
        assert!(sync(&job, &job.calls()).is_err());
        assert!(is_done(folder.path()) && path.exists());
    }

    #[test]
    fn a_segment_of_the_journal_that_cannot_be_synced_keeps_no_other_unsynced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (bad, good) = bad_and_good(folder.path());
        let (jobs, queue) = sync_channel(1);
        let (done, results) = sync_channel(1);
        jobs.send(vec![bad, good]).expect("queued");
        drop(jobs);
        sync_journals(&queue, &done);
        let Message::JournalSynced(told) = results.recv().expect("told") else { panic!("a sync of the journal") };
        assert_eq!(told.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true]);
        assert!(is_done(folder.path()));
    }
}
