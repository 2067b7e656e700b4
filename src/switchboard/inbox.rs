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
    /// Whether the receiver sleeps and nobody has woken it yet: only then a sender asks the system to.
    asleep: bool,
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
        self.hand_over(|lanes| lanes.push(lane, input, clock::moment()))
    }

    /// The same for what makes the work less: taken while there is room, however late what waits before it is.
    ///
    /// # Errors
    /// [`Full`] when the lane has no room.
    pub fn send_behind(&self, lane: Lane, input: Input) -> Result<(), Full> {
        self.hand_over(|lanes| lanes.put(lane, input, clock::moment()))
    }

    fn hand_over(&self, give: impl FnOnce(&mut Lanes) -> Result<(), Full>) -> Result<(), Full> {
        let (waiting, ready) = &*self.waiting;
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        give(&mut waiting.lanes)?;
        let sleeps = std::mem::take(&mut waiting.asleep);
        // Woken with the lock still held, the receiver would wait for it at once.
        drop(waiting);
        if sleeps {
            ready.notify_one();
        }
        Ok(())
    }

    /// The next input, waiting for one at most `patience`; `None` when none came or the inbox is closed.
    pub fn receive(&self, patience: Duration) -> Option<Input> {
        let (waiting, ready) = &*self.waiting;
        let mut guard = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.lanes.is_empty() && !guard.closed && !patience.is_zero() {
            guard.asleep = true;
            guard = ready.wait_timeout(guard, patience).map_or_else(|poisoned| poisoned.into_inner().0, |(g, _)| g);
            guard.asleep = false;
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

    #[test]
    fn whoever_sleeps_is_woken_by_the_first_input_and_gets_the_second_without_a_wake() {
        let inbox = Inbox::default();
        let receiver = inbox.clone();
        let long = Duration::from_secs(600);
        let received = std::thread::spawn(move || [receiver.receive(long), receiver.receive(long)]);
        while !inbox.waiting.0.lock().expect("the lanes").asleep {
            std::thread::yield_now();
        }
        for number in 0..2 {
            let input = Input::Command { ticket: Ticket(number), command: Command::Room };
            inbox.send(Lane::First, input).expect("room");
        }
        assert!(received.join().expect("no panic").iter().all(Option::is_some));
        assert!(!inbox.waiting.0.lock().expect("the lanes").asleep);
    }

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
