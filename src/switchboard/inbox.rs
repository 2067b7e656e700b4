//! The switchboard's inbox: two bounded lanes, what belongs to live calls before what is new.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::model::Input;

/// Room in the first lane: results and in-dialog messages of every call the server can hold, several times over.
pub const FIRST_LANE_MAX: usize = 65_536;

/// Room in the second lane: half a second of new work at full load; beyond it new work is refused at once.
pub const SECOND_LANE_MAX: usize = 1_024;

/// Which lane an input takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Results, commands, and SIP that belongs to a dialog.
    First,
    /// New calls, registrations, OPTIONS.
    Second,
}

/// The lane is full: the input was not taken.
#[derive(Debug, thiserror::Error)]
#[error("the switchboard's {0:?} lane is full")]
pub struct Full(pub Lane);

#[derive(Debug, Default)]
struct Lanes {
    first: VecDeque<Input>,
    second: VecDeque<Input>,
    closed: bool,
}

/// The inbox; clones are the senders.
#[derive(Clone, Debug, Default)]
pub struct Inbox {
    lanes: Arc<(Mutex<Lanes>, Condvar)>,
}

impl Inbox {
    /// Hands an input over without waiting.
    ///
    /// # Errors
    /// [`Full`] when the lane has no room; the sender decides what that means (503, or count and drop).
    pub fn send(&self, lane: Lane, input: Input) -> Result<(), Full> {
        let (lanes, ready) = &*self.lanes;
        let mut lanes = lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let (queue, room) = match lane {
            Lane::First => (&mut lanes.first, FIRST_LANE_MAX),
            Lane::Second => (&mut lanes.second, SECOND_LANE_MAX),
        };
        if queue.len() >= room {
            return Err(Full(lane));
        }
        queue.push_back(input);
        ready.notify_one();
        Ok(())
    }

    /// The next input, waiting for one at most `patience`; `None` when none came or the inbox is closed.
    pub fn receive(&self, patience: Duration) -> Option<Input> {
        let (lanes, ready) = &*self.lanes;
        let mut guard = lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.first.is_empty() && guard.second.is_empty() && !guard.closed && !patience.is_zero() {
            guard = ready.wait_timeout(guard, patience).map_or_else(|poisoned| poisoned.into_inner().0, |(g, _)| g);
        }
        guard.first.pop_front().or_else(|| guard.second.pop_front())
    }

    /// Wakes the receiver for good.
    pub fn close(&self) {
        let (lanes, ready) = &*self.lanes;
        lanes.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        ready.notify_all();
    }

    /// Whether [`Inbox::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.lanes.0.lock().unwrap_or_else(PoisonError::into_inner).closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Command, MediaReport, Ticket};

    fn command(number: u64) -> Input {
        Input::Command { ticket: Ticket(number), command: Command::Room }
    }

    #[test]
    fn the_first_lane_is_served_first() {
        let inbox = Inbox::default();
        inbox.send(Lane::Second, command(2)).expect("room");
        inbox.send(Lane::First, command(1)).expect("room");
        assert_eq!(inbox.receive(Duration::ZERO), Some(command(1)));
        assert_eq!(inbox.receive(Duration::ZERO), Some(command(2)));
        assert_eq!(inbox.receive(Duration::ZERO), None);
    }

    #[test]
    fn a_flood_of_new_work_leaves_room_for_results() {
        let inbox = Inbox::default();
        let taken = (0..SECOND_LANE_MAX as u64 * 2).filter(|n| inbox.send(Lane::Second, command(*n)).is_ok()).count();
        assert_eq!(taken, SECOND_LANE_MAX);
        let leg =
            crate::model::LegId { call: "00000000-0000-7000-8000-000000000000".parse().expect("an id"), number: 0 };
        assert!(inbox.send(Lane::First, Input::Media(MediaReport::Played { leg })).is_ok());
    }
}
