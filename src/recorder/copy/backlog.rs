//! What the syncing threads had no room for, or have failed at: each waits for itself, and holds nothing else up.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::work::SyncJob;
use crate::model::Moment;

/// A job that failed is done again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The jobs that wait, each with when it is offered next. At most one of what is kept of a call, and one a segment.
#[derive(Debug, Default)]
pub(super) struct Backlog(VecDeque<(Moment, SyncJob)>);

impl Backlog {
    /// A new job, to be done at once; unless one that waits will do the same.
    pub(super) fn add(&mut self, job: SyncJob, now: Moment) {
        if !self.0.iter().any(|(_, waiting)| waiting.does_as(&job)) {
            self.0.push_back((now, job));
        }
    }

    /// A job that failed.
    pub(super) fn add_failed(&mut self, job: SyncJob, now: Moment) {
        // A newer one of what is kept of the same call has not been begun: this one writes all of it again.
        self.0.retain(|(_, waiting)| !waiting.does_as(&job));
        self.0.push_back((now + AGAIN_AFTER, job));
    }

    /// Offers what is due, each once; `take` gives back what there is no room for.
    pub(super) fn offer(&mut self, now: Moment, mut take: impl FnMut(SyncJob) -> Option<SyncJob>) {
        for _ in 0..self.0.len() {
            let Some((due, job)) = self.0.pop_front() else { return };
            let back = if now < due { Some(job) } else { take(job) };
            self.0.extend(back.map(|job| (due, job)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CallId;

    fn kept(call: u128, is_again: bool) -> SyncJob {
        let call = CallId(uuid::Uuid::from_u128(call));
        SyncJob::Kept { call, folder: "a".into(), root: "b".into(), marks: "c".into(), is_again }
    }

    fn segment(path: &str, is_again: bool) -> SyncJob {
        SyncJob::Segment { path: path.into(), files: Vec::new(), folders: Default::default(), is_again }
    }

    fn due(backlog: &mut Backlog, now: Moment) -> usize {
        let mut taken = 0;
        backlog.offer(now, |_| {
            taken += 1;
            None
        });
        taken
    }

    #[test]
    fn what_failed_holds_up_neither_a_new_call_nor_another_segment() {
        let (mut backlog, now) = (Backlog::default(), Moment(10_000_000));
        backlog.add_failed(segment("1", true), now);
        backlog.add_failed(kept(1, true), now);
        backlog.add(kept(2, false), now);
        backlog.add(segment("2", false), now);
        assert_eq!(due(&mut backlog, now), 2);
        assert_eq!(due(&mut backlog, now + AGAIN_AFTER), 2);
        assert_eq!(due(&mut backlog, now + AGAIN_AFTER * 9), 0);
    }

    #[test]
    fn in_an_outage_a_call_has_one_job_however_often_it_changes() {
        let (mut backlog, now) = (Backlog::default(), Moment(10_000_000));
        (0..100).for_each(|_| backlog.add(kept(1, false), now));
        backlog.add_failed(kept(1, true), now);
        (0..100).for_each(|_| backlog.add(kept(1, false), now));
        assert_eq!(due(&mut backlog, now), 0, "what failed is not tried again at once");
        assert_eq!(due(&mut backlog, now + AGAIN_AFTER), 1);
    }

    #[test]
    fn what_there_is_no_room_for_is_offered_again_and_keeps_no_other_back() {
        let (mut backlog, now) = (Backlog::default(), Moment(0));
        backlog.add(segment("1", false), now);
        backlog.add(kept(1, false), now);
        let is_segment = |job: &SyncJob| matches!(job, SyncJob::Segment { .. });
        let mut taken = Vec::new();
        backlog.offer(now, |job| {
            if is_segment(&job) {
                return Some(job);
            }
            taken.push(job);
            None
        });
        assert!(taken.len() == 1 && !is_segment(&taken[0]));
        assert_eq!(due(&mut backlog, now), 1);
    }
}
