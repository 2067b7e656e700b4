//! What is kept of why each call waits, and messages that steps have for callers; handed on by whoever owns the room.

use crate::model::{Asked, CallId, NOTES_MAX, Now, RoutingNote, RoutingTurn, SoundId};

use super::WaitingRoom;
use super::need::Place;

/// How many callers behind are told that somebody who fits them was given another call.
const PASSED_MAX: usize = 8;

/// Notes and messages not yet taken.
#[derive(Debug, Default)]
pub(super) struct Notes {
    is_kept: bool,
    notes: Vec<(CallId, RoutingNote)>,
    messages: Vec<(CallId, SoundId)>,
}

impl Notes {
    pub fn is_kept(&self) -> bool {
        self.is_kept
    }

    pub fn say(&mut self, call: CallId, message: SoundId) {
        self.messages.push((call, message));
    }
}

impl WaitingRoom {
    /// The same room, which keeps notes of why each call waits: take them with [`Self::take_notes`] after every change.
    #[must_use]
    pub fn explaining(mut self) -> WaitingRoom {
        self.notes.is_kept = true;
        self
    }

    /// What has happened to each call's wait since this was asked last, in order; nothing unless the room is
    /// [`Self::explaining`].
    pub fn take_notes(&mut self) -> Vec<(CallId, RoutingNote)> {
        std::mem::take(&mut self.notes.notes)
    }

    /// What steps that have begun have to say to their callers.
    pub fn take_messages(&mut self) -> Vec<(CallId, SoundId)> {
        std::mem::take(&mut self.notes.messages)
    }

    /// Keeps a turn of the call at this place, as long as it has not kept too many.
    pub(super) fn note(&mut self, place: Place, turn: Option<RoutingTurn>, now: Now) {
        if !self.notes.is_kept {
            return;
        }
        let (Some(turn), Some(waiter)) = (turn, self.waiters.get_mut(&place)) else { return };
        if waiter.notes >= NOTES_MAX {
            return;
        }
        waiter.notes += 1;
        let wait_ms = now.moment.since(waiter.entered.moment).as_millis() as u64;
        self.notes.notes.push((waiter.call, RoutingNote { number: waiter.notes, at: now.utc, wait_ms, turn }));
    }

    /// What the caller at this place asks now, and who could meet it.
    pub(super) fn asked(&self, place: Place) -> Option<Box<Asked>> {
        let waiter = self.waiters.get(&place).filter(|_| self.notes.is_kept)?;
        let need = self.regulators.needs.find(waiter.need)?;
        let (excluded, mut people) = self.exclude(need);
        let free = need.fitting.count_shared(&self.regulators.ready) as u32;
        // Then an offer follows, and its reasoning names them.
        if free > 0 {
            people = Vec::new();
        }
        Some(Box::new(Asked {
            needs: need.wanted.needs.clone(),
            reach: need.wanted.reach(),
            priority: place.priority,
            free,
            excluded,
            people,
        }))
    }

    pub(super) fn note_entering(&mut self, place: Place, now: Now) {
        let Some(waiter) = self.waiters.get(&place) else { return };
        let (region, forecast) = (waiter.demand.region.clone(), waiter.foreseen.map(|(_, forecast)| forecast));
        let turn = self.asked(place).map(|asked| RoutingTurn::Entered { region, asked, forecast });
        self.note(place, turn, now);
    }

    /// The callers next in the order who would have fitted this regulator, who was given another call.
    pub(super) fn note_passed(&mut self, served: Place, index: usize, now: Now) {
        if !self.notes.is_kept {
            return;
        }
        let Some(to) = self.waiters.get(&served).map(|waiter| waiter.call) else { return };
        let Some(regulator) = self.regulators.desks.get(index).map(|desk| desk.regulator.clone()) else { return };
        let fits = self.regulators.needs.all().filter(|(_, need)| need.fitting.contains(index));
        let mut passed: Vec<Place> = fits.flat_map(|(_, need)| need.waiting.iter().copied().take(PASSED_MAX)).collect();
        passed.sort_unstable();
        passed.truncate(PASSED_MAX);
        for place in passed {
            let by_priority = served.priority < place.priority;
            self.note(place, Some(RoutingTurn::Passed { regulator: regulator.clone(), to, by_priority }), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Stage;
    use crate::model::centre::{Demand, Step};
    use crate::model::{Cause, RoutingTurn};
    use crate::routing::sample::{centre, demand, line, regulator};

    const PLAIN: &[(&str, u8)] = &[("regulation", 50)];

    fn stage() -> Stage {
        let people = vec![regulator("anne", PLAIN, &[]), regulator("bruno", &[("administration", 9)], &[])];
        let lines = vec![line("line", "+33233010101", demand("cherbourg", PLAIN, &[]))];
        let mut stage = Stage::of(centre(people, lines));
        stage.room = super::WaitingRoom::new(stage.centre()).explaining();
        stage
    }

    #[test]
    fn each_turn_of_a_wait_is_noted_with_who_was_not_free_and_why() {
        let mut stage = stage();
        stage.register(&["anne", "bruno"]);
        let first = stage.talk("anne");
        let step = Step {
            after: Some(std::time::Duration::from_secs(20)),
            needs: Some("regulation".parse().expect("one")),
            ..Step::default()
        };
        let call = stage.enter(Demand { steps: vec![step], ..demand("cherbourg", PLAIN, &[]) });
        let urgent = stage.enter(Demand { priority: 2, ..demand("cherbourg", PLAIN, &[]) });
        stage.choose();
        stage.pass(20);
        stage.choose();
        stage.release("anne", 0);
        assert_eq!(stage.pairs(), [(urgent, "anne".to_owned())]);
        let notes: Vec<_> =
            stage.room.take_notes().into_iter().filter(|(of, _)| *of == call).map(|(_, note)| note).collect();
        assert_eq!(
            notes.iter().map(|note| (note.number, note.wait_ms)).collect::<Vec<_>>(),
            [(1, 0), (2, 20_000), (3, 20_000)]
        );
        let RoutingTurn::Entered { asked, forecast, .. } = &notes[0].turn else { panic!("{notes:?}") };
        let named: Vec<(&str, Cause)> = asked.people.iter().map(|one| (one.regulator.as_str(), one.why)).collect();
        assert_eq!((asked.free, named), (0, vec![("anne", Cause::Talking), ("bruno", Cause::Skills)]));
        assert!(forecast.is_some_and(|forecast| forecast.pool == 1));
        let RoutingTurn::Step { step, by_forecast, asked, .. } = &notes[1].turn else { panic!("{notes:?}") };
        assert_eq!((*step, *by_forecast, asked.needs.to_string().as_str()), (1, false, "regulation"));
        let passed = RoutingTurn::Passed { regulator: "anne".into(), to: urgent, by_priority: true };
        assert_eq!(notes[2].turn, passed);
        assert!(stage.room.take_notes().is_empty() && first != call);
    }

    #[test]
    fn a_room_that_is_not_to_explain_keeps_nothing() {
        let mut stage = Stage::new(vec![regulator("anne", PLAIN, &[])]);
        stage.enter_plain();
        stage.choose();
        assert!(stage.room.take_notes().is_empty());
    }
}
