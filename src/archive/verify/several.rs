//! Several recordings checked at once, told in their order.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use super::{Progress, Seals, Verdict};

/// Verdicts on their way to be told.
const AHEAD_MAX: usize = 256;
/// More threads than this make no disk faster.
const WORKERS_MAX: usize = 64;

/// Checks the recordings in these folders, each with the bytes of its files, with so many threads (0: one a core); what is
/// found, and `progress`, are told after each, in their order.
pub(super) fn check_all(
    seals: &Seals,
    work: &[(PathBuf, u64)],
    threads: usize,
    progress: &mut dyn FnMut(Progress),
    tell: &mut dyn FnMut(&Path, Verdict),
) {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = if threads == 0 { cores } else { threads }.min(WORKERS_MAX).min(work.len());
    let (recordings_total, bytes_total) = (work.len() as u64, work.iter().map(|(_, bytes)| bytes).sum());
    let mut done = Progress { recordings_total, bytes_total, ..Progress::default() };
    let mut take = |(folder, bytes): &(PathBuf, u64), one: Verdict| {
        tell(folder, one);
        done = Progress { recordings: done.recordings + 1, bytes: done.bytes + *bytes, ..done };
        progress(done);
    };
    if threads < 2 {
        return work.iter().for_each(|one| take(one, seals.check_one(&one.0)));
    }
    let next = AtomicUsize::new(0);
    let (checked, told) = sync_channel(AHEAD_MAX);
    thread::scope(|scope| {
        for _ in 0..threads {
            let (done, next) = (checked.clone(), &next);
            scope.spawn(move || {
                while let Some((place, one)) = claim(next, work) {
                    if done.send((place, (one, seals.check_one(&one.0)))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(checked);
        let (mut waiting, mut due) = (BTreeMap::new(), 0);
        for (place, found) in told {
            waiting.insert(place, found);
            while let Some((one, found)) = waiting.remove(&due) {
                take(one, found);
                due += 1;
            }
        }
    });
}

/// The next recording that nobody has taken.
fn claim<'a>(next: &AtomicUsize, work: &'a [(PathBuf, u64)]) -> Option<(usize, &'a (PathBuf, u64))> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    work.get(place).map(|one| (place, one))
}
