//! What waits for the switchboard, in four bounded lanes, and which new calls are refused rather than answered late.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::{Input, Moment};

/// Room in the first lane: results and in-dialog messages of every call the server can hold, several times over.
pub const FIRST_LANE_MAX: usize = 65_536;

/// Room in each lane of new work: half a second of it at full load; beyond it new work is refused at once.
pub const NEW_LANE_MAX: usize = 1_024;

/// How long the oldest new call may have waited before it counts as late: far below the 500 ms after which a caller's
/// side repeats its INVITE, and so makes the load worse.
const WAIT_TARGET: Duration = Duration::from_millis(100);

/// For how long new calls must have been late before further ones are refused: a short stall refuses nobody.
const LATE_MAX: Duration = Duration::from_millis(300);

/// How long a new call may have to wait, reckoned from how many wait and how fast they were taken lately; one that
/// would wait longer is refused at once.
const WAIT_MAX: Duration = Duration::from_millis(250);

/// Of so many turns of new work one goes to what is no call, and one to calls that are not urgent, whatever waits
/// before them: nobody starves.
const TURNS: u32 = 4;

/// Which lane an input takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Results, commands, and SIP that belongs to a dialog.
    First,
    /// New calls to the lines that go first.
    UrgentCalls,
    /// New calls.
    Calls,
    /// Registrations, OPTIONS and whatever else is no call.
    Others,
}

/// The lane is full, or what waits in it is late: the input was not taken.
#[derive(Debug, thiserror::Error)]
#[error("the switchboard's {0:?} lane is full")]
pub struct Full(pub Lane);

/// The lanes.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    first: VecDeque<Input>,
    urgent: VecDeque<Input>,
    /// With the moment of arrival.
    calls: VecDeque<(Moment, Input)>,
    others: VecDeque<Input>,
    /// Since when the oldest of `calls` has waited longer than it should.
    late_since: Option<Moment>,
    /// When a call was last taken while others waited.
    taken_at: Option<Moment>,
    /// How long it takes from one waiting call to the next, smoothed.
    pace: Duration,
    turn: u32,
}

impl Lanes {
    /// Takes an input, or refuses it.
    pub(super) fn push(&mut self, lane: Lane, input: Input, now: Moment) -> Result<(), Full> {
        let reckoned = self.pace.saturating_mul(u32::try_from(self.calls.len()).unwrap_or(u32::MAX));
        if lane == Lane::Calls && (self.is_late(now) || reckoned > WAIT_MAX) {
            return Err(Full(lane));
        }
        self.put(lane, input, now)
    }

    /// Takes an input while there is room, however late what waits before it is.
    pub(super) fn put(&mut self, lane: Lane, input: Input, now: Moment) -> Result<(), Full> {
        let (length, room) = match lane {
            Lane::First => (self.first.len(), FIRST_LANE_MAX),
            Lane::UrgentCalls => (self.urgent.len(), NEW_LANE_MAX),
            Lane::Calls => (self.calls.len(), NEW_LANE_MAX),
            Lane::Others => (self.others.len(), NEW_LANE_MAX),
        };
        if length >= room {
            return Err(Full(lane));
        }
        match lane {
            Lane::First => self.first.push_back(input),
            Lane::UrgentCalls => self.urgent.push_back(input),
            Lane::Calls => self.calls.push_back((now, input)),
            Lane::Others => self.others.push_back(input),
        }
        Ok(())
    }

    /// The next one: what belongs to something live, then urgent calls, calls and the rest, each with its turn.
    pub(super) fn pop(&mut self, now: Moment) -> Option<Input> {
        if let Some(input) = self.first.pop_front() {
            return Some(input);
        }
        self.turn = (self.turn + 1) % TURNS;
        let order = match self.turn {
            0 => [Lane::Others, Lane::UrgentCalls, Lane::Calls],
            1 => [Lane::Calls, Lane::UrgentCalls, Lane::Others],
            _ => [Lane::UrgentCalls, Lane::Calls, Lane::Others],
        };
        let next = order.into_iter().find_map(|lane| match lane {
            Lane::First => self.first.pop_front(),
            Lane::UrgentCalls => self.urgent.pop_front(),
            Lane::Calls => self.take_call(now),
            Lane::Others => self.others.pop_front(),
        });
        self.is_late(now);
        next
    }

    fn take_call(&mut self, now: Moment) -> Option<Input> {
        let (_, input) = self.calls.pop_front()?;
        if let Some(before) = self.taken_at {
            self.pace = (self.pace * 15 + now.since(before)) / 16;
        }
        self.taken_at = Some(now).filter(|_| !self.calls.is_empty());
        Some(input)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.urgent.is_empty() && self.calls.is_empty() && self.others.is_empty()
    }

    /// Whether calls have been late for too long; notes when that began and ended.
    fn is_late(&mut self, now: Moment) -> bool {
        let oldest = self.calls.front().map_or(Duration::ZERO, |(at, _)| now.since(*at));
        if oldest <= WAIT_TARGET {
            self.late_since = None;
            return false;
        }
        now.since(*self.late_since.get_or_insert(now)) >= LATE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Command, MediaReport, Ticket};

    fn command(number: u64) -> Input {
        Input::Command { ticket: Ticket(number), command: Command::Room }
    }

    fn at(ms: u64) -> Moment {
        Moment(1_000_000 + ms * 1000)
    }

    fn number(input: Option<Input>) -> Option<u64> {
        match input {
            Some(Input::Command { ticket, .. }) => Some(ticket.0),
            _ => None,
        }
    }

    #[test]
    fn what_lives_goes_first_and_new_work_by_turns() {
        let mut lanes = Lanes::default();
        for (lane, base) in [(Lane::Others, 300), (Lane::Calls, 200), (Lane::UrgentCalls, 100), (Lane::First, 0)] {
            (0..8).for_each(|n| lanes.push(lane, command(base + n), at(0)).expect("room"));
        }
        let served: Vec<u64> = std::iter::from_fn(|| number(lanes.pop(at(1)))).collect();
        assert_eq!(served[..8], [0, 1, 2, 3, 4, 5, 6, 7]);
        let of = |base: u64| served[8..24].iter().filter(|n| (base..base + 100).contains(n)).count();
        assert_eq!((of(100), of(200), of(300)), (8, 4, 4), "{served:?}");
        assert_eq!(served.len(), 32);
    }

    #[test]
    fn a_flood_of_new_work_leaves_room_for_results() {
        let mut lanes = Lanes::default();
        for lane in [Lane::UrgentCalls, Lane::Calls, Lane::Others] {
            let taken = (0..5000).filter(|n| lanes.push(lane, command(*n), at(0)).is_ok()).count();
            assert_eq!(taken, NEW_LANE_MAX);
        }
        let call = "00000000-0000-7000-8000-000000000000".parse().expect("an id");
        let leg = crate::model::LegId { call, number: 0 };
        assert!(lanes.push(Lane::First, Input::Media(MediaReport::Played { leg }), at(0)).is_ok());
    }

    /// Four times more calls than can be carried, for a minute: one served every 2 ms, four offered.
    #[test]
    fn under_four_times_the_load_all_that_can_be_carried_are_served_and_none_of_them_late() {
        let mut lanes = Lanes::default();
        let (mut served, mut urgent, mut refused, mut longest) = (0u32, 0, 0, 0);
        let mut arrivals = std::collections::HashMap::new();
        for step in 0..30_000u64 {
            let ms = step * 2;
            for n in 0..4 {
                let id = step * 4 + n;
                // One call in forty is urgent; a registration comes now and then.
                let lane = if id % 40 == 0 { Lane::UrgentCalls } else { Lane::Calls };
                match lanes.push(lane, command(id), at(ms)) {
                    Ok(()) => drop(arrivals.insert(id, ms)),
                    Err(_) if lane == Lane::UrgentCalls => panic!("an urgent call was refused"),
                    Err(_) => refused += 1,
                }
            }
            if step % 20 == 0 {
                lanes.push(Lane::Others, command(u64::MAX), at(ms)).expect("registrations find room");
            }
            let Some(id) = number(lanes.pop(at(ms))) else { panic!("the loop was idle under load") };
            if let Some(arrived) = arrivals.remove(&id) {
                served += 1;
                urgent += u32::from(id % 40 == 0);
                longest = longest.max(ms - arrived);
            }
        }
        assert!(served > 28_000, "as many as it can carry: {served}");
        assert_eq!(urgent, 3000, "every urgent call");
        assert!(refused > 85_000, "the rest was refused at once: {refused}");
        assert!(longest < 1_000, "nobody is answered late: {longest} ms");
        assert!(arrivals.len() <= NEW_LANE_MAX * 2);
    }

    #[test]
    fn a_short_stall_refuses_nobody_and_an_overload_that_is_over_is_over() {
        let mut lanes = Lanes::default();
        lanes.push(Lane::Calls, command(0), at(0)).expect("room");
        lanes.push(Lane::Calls, command(1), at(150)).expect("a stall of 150 ms");
        lanes.push(Lane::Calls, command(2), at(440)).expect("late for 290 ms");
        assert!(lanes.push(Lane::Calls, command(9), at(460)).is_err());
        lanes.put(Lane::Calls, command(3), at(465)).expect("what cancels a call waits behind it");
        (0..4).for_each(|n| assert_eq!(number(lanes.pop(at(470))), Some(n)));
        lanes.push(Lane::Calls, command(4), at(471)).expect("caught up");
    }
}
