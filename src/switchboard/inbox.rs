//! The switchboard's inbox: bounded lanes behind one lock, and a receiver that sleeps until something comes.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::lanes::{Full, Lane, Lanes};
use crate::clock;
use crate::model::Input;

#[derive(Debug, Default)]
struct Waiting {
    lanes: Lanes,
    closed: bool,
}

/// The inbox; clones are the senders.
#[derive(Clone, Debug, Default)]
pub struct Inbox {
    waiting: Arc<(Mutex<Waiting>, Condvar)>,
}

impl Inbox {
    /// Hands an input over without waiting.
    ///
    /// # Errors
    /// [`Full`] when the lane has no room, or calls in it are late; the sender decides what that means (503, or count
    /// and drop).
    pub fn send(&self, lane: Lane, input: Input) -> Result<(), Full> {
        let (waiting, ready) = &*self.waiting;
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.lanes.push(lane, input, clock::moment())?;
        ready.notify_one();
        Ok(())
    }

    /// The same for what makes the work less: taken while there is room, however late what waits before it is.
    ///
    /// # Errors
    /// [`Full`] when the lane has no room.
    pub fn send_behind(&self, lane: Lane, input: Input) -> Result<(), Full> {
        let (waiting, ready) = &*self.waiting;
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.lanes.put(lane, input, clock::moment())?;
        ready.notify_one();
        Ok(())
    }

    /// The next input, waiting for one at most `patience`; `None` when none came or the inbox is closed.
    pub fn receive(&self, patience: Duration) -> Option<Input> {
        let (waiting, ready) = &*self.waiting;
        let mut guard = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.lanes.is_empty() && !guard.closed && !patience.is_zero() {
            guard = ready.wait_timeout(guard, patience).map_or_else(|poisoned| poisoned.into_inner().0, |(g, _)| g);
        }
        guard.lanes.pop(clock::moment())
    }

    /// Wakes the receiver for good.
    pub fn close(&self) {
        let (waiting, ready) = &*self.waiting;
        waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        ready.notify_all();
    }

    /// Whether [`Inbox::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner).closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Command, Ticket};

    /// Counts, never times: four senders, one slow receiver.
    #[test]
    fn with_many_senders_everything_taken_is_received_and_nothing_that_lives_is_refused() {
        const EACH: u64 = 5000;
        let inbox = Inbox::default();
        let senders: Vec<_> = (0..4u64)
            .map(|sender| {
                let inbox = inbox.clone();
                std::thread::spawn(move || {
                    let send = |lane, n| {
                        let input = Input::Command { ticket: Ticket(sender * EACH + n), command: Command::Room };
                        inbox.send(lane, input).is_ok()
                    };
                    (0..EACH).filter(|n| send(if n % 4 == 0 { Lane::First } else { Lane::Calls }, *n)).count()
                })
            })
            .collect();
        let mut received = 0;
        while senders.iter().any(|sender| !sender.is_finished()) {
            received += usize::from(inbox.receive(Duration::from_millis(1)).is_some());
        }
        let taken: usize = senders.into_iter().map(|sender| sender.join().expect("no panic")).sum();
        received += std::iter::from_fn(|| inbox.receive(Duration::ZERO)).count();
        assert_eq!(received, taken);
        assert!(taken as u64 >= EACH, "each of what lives was taken: {taken}");
    }
}
