//! All regulators: one way to change a state, which keeps every index and tells every change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::{Centre, Moment, Now, RegulatorId, RegulatorState};

use super::StateChange;
use super::cost::Costs;
use super::crowd::Crowd;
use super::desk::{Desk, Turn};
use super::forecast::Learned;
use super::need::NeedBook;
use super::people::People;

/// The desks and what is counted about them.
#[derive(Debug)]
pub(super) struct Regulators {
    pub centre: Arc<Centre>,
    pub people: People,
    /// In the order of their ids: a lower index is a lower id.
    pub desks: Vec<Desk>,
    index: HashMap<RegulatorId, usize>,
    /// Indices of all who are ready.
    pub ready: Crowd,
    /// Indices of all who will take calls again without anybody's doing.
    pub on_duty: Crowd,
    pub needs: NeedBook,
    pub costs: Costs,
    pub learned: Learned,
    /// Since when each one has been busy with a caller.
    pub busy_since: Vec<Option<Moment>>,
    /// How many are in each state, by its name.
    pub counts: BTreeMap<&'static str, u32>,
    /// Ends of wrap-ups and timed pauses.
    pub timers: BTreeSet<(Moment, usize)>,
}

impl Regulators {
    pub fn new(centre: Arc<Centre>) -> Regulators {
        let desks: Vec<Desk> =
            centre.regulators.values().map(|one| Desk::new(one.id.clone(), one.ready_on_register)).collect();
        let index = desks.iter().enumerate().map(|(index, desk)| (desk.regulator.clone(), index)).collect();
        let counts = BTreeMap::from([(RegulatorState::Offline.name(), desks.len() as u32)]);
        let people = People::new(&centre);
        Regulators {
            needs: NeedBook::new(&centre, &people),
            costs: Costs::new(&centre, &people),
            learned: Learned::default(),
            busy_since: vec![None; desks.len()],
            centre,
            people,
            desks,
            index,
            ready: Crowd::default(),
            on_duty: Crowd::default(),
            counts,
            timers: BTreeSet::new(),
        }
    }

    pub fn find(&self, regulator: &RegulatorId) -> Option<usize> {
        self.index.get(regulator).copied()
    }

    pub fn desk(&self, regulator: &RegulatorId) -> Option<&Desk> {
        self.desks.get(self.find(regulator)?)
    }

    pub fn desk_mut(&mut self, regulator: &RegulatorId) -> Option<(usize, &mut Desk)> {
        let index = self.find(regulator)?;
        self.desks.get_mut(index).map(|desk| (index, desk))
    }

    /// The one place where a state changes.
    pub fn turn(&mut self, index: usize, turn: Turn, now: Now, out: &mut Vec<StateChange>) {
        let Some(desk) = self.desks.get_mut(index) else { return };
        if let Some(until) = desk.until.take() {
            self.timers.remove(&(until, index));
        }
        desk.until = turn.lasting.map(|lasting| now.moment + lasting);
        if let Some(until) = desk.until {
            self.timers.insert((until, index));
        }
        if desk.state == turn.state {
            return;
        }
        let was_on_duty = desk.is_on_duty();
        let was = std::mem::replace(&mut desk.state, turn.state);
        desk.since = now;
        let before = self.counts.entry(was.name()).or_default();
        *before = before.saturating_sub(1);
        *self.counts.entry(desk.state.name()).or_default() += 1;
        if was_on_duty != desk.is_on_duty() {
            self.costs.mark(self.people.own.get(index).map_or(&[], Vec::as_slice), !was_on_duty);
            if was_on_duty {
                self.on_duty.remove(index);
            } else {
                self.on_duty.insert(index);
            }
        }
        out.push(StateChange { regulator: desk.regulator.clone(), was: was.clone(), state: desk.state.clone() });
        let is_ready = desk.state == RegulatorState::Ready;
        if is_ready {
            self.ready.insert(index);
            // Only a cancelled offer leads straight back from ringing: it took nothing of his rest.
            if !matches!(was, RegulatorState::Ringing { .. }) {
                desk.free_since = now.moment;
            }
        } else {
            self.ready.remove(index);
        }
        self.learn(index, now);
    }

    /// How long people are busy with a caller, from the answer to the end of the rest.
    fn learn(&mut self, index: usize, now: Now) {
        let (Some(desk), Some(busy)) = (self.desks.get(index), self.busy_since.get_mut(index)) else { return };
        match &desk.state {
            RegulatorState::Talking { .. } => {
                busy.get_or_insert(now.moment);
            }
            RegulatorState::Ready => {
                if let Some(since) = busy.take() {
                    self.learned.note_busy(now.moment.since(since));
                }
            }
            RegulatorState::WrapUp | RegulatorState::Ringing { .. } => {}
            RegulatorState::Offline | RegulatorState::Paused { .. } => *busy = None,
        }
    }

    /// Ends the wrap-ups and timed pauses whose time has come.
    pub fn tick(&mut self, now: Now, out: &mut Vec<StateChange>) {
        while let Some((until, index)) = self.timers.first().copied()
            && until <= now.moment
        {
            // Taken out here, not only by `turn`: this loop must end whatever else is wrong.
            self.timers.pop_first();
            self.turn(index, Turn { state: RegulatorState::Ready, lasting: None }, now, out);
        }
    }

    pub fn deadline(&self) -> Option<Moment> {
        self.timers.first().map(|(until, _)| *until)
    }
}
