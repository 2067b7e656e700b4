//! Calls whose files may be on no disk, whatever a sync says: one is under way elsewhere, or has failed there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::CallId;

/// What the syncing threads leave open, for the thread that seals. A fault is told to one of them alone (decision 34): the
/// sync of another descriptor succeeds then, with what was written on no disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Unsettled {
    /// Of frame files.
    pub(super) frames: Doubts,
    /// Of what is kept of calls, their keys among it.
    pub(super) kept: Doubts,
}

/// So many jobs a call are under way or have failed. Shared; no call is in it longer than its files are being synced.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubts(Arc<Mutex<BTreeMap<CallId, usize>>>);

impl Doubts {
    /// Before an attempt: those of `calls` whose files are to be written again, since this job or another one has failed.
    pub(super) fn begin(&self, calls: &BTreeSet<CallId>, is_again: bool) -> BTreeSet<CallId> {
        let mut jobs = self.jobs();
        if is_again {
            // Counted when it failed; unless another has made that good meanwhile.
            calls.iter().for_each(|call| _ = jobs.entry(*call).or_insert(1));
            return calls.clone();
        }
        let before = calls.iter().filter(|call| jobs.contains_key(call)).copied().collect();
        calls.iter().for_each(|call| *jobs.entry(*call).or_default() += 1);
        before
    }

    /// An attempt has succeeded at all that there is of these calls.
    pub(super) fn clear(&self, calls: &BTreeSet<CallId>) {
        self.jobs().retain(|call, _| !calls.contains(call));
    }

    /// An attempt has succeeded at some of it.
    pub(super) fn settle(&self, calls: &BTreeSet<CallId>) {
        let mut jobs = self.jobs();
        for call in calls {
            let left = jobs.get(call).map_or(0, |count| count.saturating_sub(1));
            if left == 0 {
                jobs.remove(call);
            } else {
                jobs.insert(*call, left);
            }
        }
    }

    /// Whether a sync of another thread may have been told of a fault that nobody else is told.
    pub(super) fn has(&self, call: CallId) -> bool {
        self.jobs().contains_key(&call)
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<CallId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_in_doubt_until_every_attempt_on_its_files_has_succeeded() {
        let doubts = Doubts::default();
        let call = |n| CallId(uuid::Uuid::from_u128(n));
        let (both, one) = (BTreeSet::from([call(1), call(2)]), BTreeSet::from([call(1)]));
        assert!(doubts.begin(&both, false).is_empty());
        assert_eq!(doubts.begin(&one, false), one, "the first has not succeeded yet");
        assert_eq!(doubts.begin(&one, true), one);
        doubts.settle(&one);
        assert!(doubts.has(call(1)) && doubts.has(call(2)));
        doubts.settle(&both);
        assert!(!doubts.has(call(1)) && !doubts.has(call(2)));
        assert_eq!(doubts.begin(&one, true), one, "made good by another, it may fail anew");
        assert!(doubts.has(call(1)));
        doubts.clear(&one);
        assert!(!doubts.has(call(1)));
    }
}
