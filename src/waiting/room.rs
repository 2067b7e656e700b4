//! The waiting room itself: what callers and regulators do, and the choice of who gets whom.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::model::centre::Demand;
use crate::model::{
    CallId, Centre, DeviceId, Forecast, LineId, Moment, Now, OfferEnd, PauseReason, RegulatorId, RegulatorState, Utc,
};

use super::need::{NeedId, Place, Wanted};
use super::notes::Notes;
use super::regulators::Regulators;
use super::{StateChange, WAITING_MAX, WaitingError};

/// Everybody who waits and everybody who answers.
///
/// Every change of a regulator's state is pushed to the `out` of the call that made it, once.
#[derive(Debug)]
pub struct WaitingRoom {
    pub(super) regulators: Regulators,
    /// In the order of service.
    pub(super) waiters: BTreeMap<Place, Waiter>,
    pub(super) places: HashMap<CallId, Place>,
    arrivals: u64,
    /// When each caller's next step may begin.
    pub(super) wakes: BTreeSet<(Moment, Place)>,
    /// Who has entered since the last choice.
    pub(super) fresh: Vec<CallId>,
    pub(super) notes: Notes,
}

/// A caller, from entering until an answer or leaving.
#[derive(Debug)]
pub(super) struct Waiter {
    pub call: CallId,
    pub line: LineId,
    pub demand: Demand,
    pub entered: Now,
    pub step: usize,
    pub need: NeedId,
    /// What it will need at its later steps.
    pub later: Vec<NeedId>,
    /// Index of the regulator at whose phone it rings.
    pub offered_to: Option<usize>,
    pub offers: u32,
    /// When its next step may begin.
    pub wake: Option<Moment>,
    /// What was foreseen when it entered and nobody was free: to be held against what came.
    pub foreseen: Option<(Moment, Forecast)>,
    /// Notes kept of it so far.
    pub notes: u16,
}

/// Regulators.
impl WaitingRoom {
    /// An empty room; every regulator is `Offline`.
    pub fn new(centre: Arc<Centre>) -> WaitingRoom {
        WaitingRoom {
            regulators: Regulators::new(centre),
            waiters: BTreeMap::new(),
            places: HashMap::new(),
            arrivals: 0,
            wakes: BTreeSet::new(),
            fresh: Vec::new(),
            notes: Notes::default(),
        }
    }

    /// Takes in what storage remembered over a restart; it takes effect with each regulator's next registration.
    ///
    /// A pause that somebody asked for comes back; who was at work comes back ready. Unknown regulators are passed over.
    pub fn restore(&mut self, remembered: &[(RegulatorId, RegulatorState, Utc)]) {
        for (regulator, state, _) in remembered {
            if let Some((_, desk)) = self.regulators.desk_mut(regulator) {
                desk.remember(state);
            }
        }
    }

    /// A device registered or refreshed: the first one brings the regulator back from `Offline`.
    pub fn registered(&mut self, who: &RegulatorId, device: DeviceId, now: Now, out: &mut Vec<StateChange>) {
        let rules = self.regulators.centre.offers;
        let Some((index, desk)) = self.regulators.desk_mut(who) else { return };
        if let Some(turn) = desk.register(device, &rules) {
            self.regulators.turn(index, turn, now, out);
        }
    }

    /// A device is gone: with the last one the regulator is `Offline`, at once or when his call is over.
    pub fn unregistered(&mut self, who: &RegulatorId, device: DeviceId, now: Now, out: &mut Vec<StateChange>) {
        let Some((index, desk)) = self.regulators.desk_mut(who) else { return };
        if let Some(turn) = desk.unregister(device) {
            self.regulators.turn(index, turn, now, out);
        }
    }

    /// Ends a pause or a wrap-up at once; during a call, takes back the pause that was to follow it.
    pub fn ready(&mut self, who: &RegulatorId, now: Now, out: &mut Vec<StateChange>) -> Result<(), WaitingError> {
        let (index, desk) = self.regulators.desk_mut(who).ok_or(WaitingError::UnknownRegulator)?;
        let turn = desk.make_ready().ok_or(WaitingError::Offline)?;
        self.regulators.turn(index, turn, now, out);
        Ok(())
    }

    /// Pauses, at once or when the live offer or call is over; while `Offline`, with the next registration.
    pub fn pause(
        &mut self,
        who: &RegulatorId,
        reason: PauseReason,
        now: Now,
        out: &mut Vec<StateChange>,
    ) -> Result<(), WaitingError> {
        let rules = self.regulators.centre.offers;
        let (index, desk) = self.regulators.desk_mut(who).ok_or(WaitingError::UnknownRegulator)?;
        if let Some(turn) = desk.pause(reason, &rules) {
            self.regulators.turn(index, turn, now, out);
        }
        Ok(())
    }

    /// A live offer ended without an answer. The caller, if still here, is back in its place.
    ///
    /// Left alone when the regulator is not `Ringing`, and with [`OfferEnd::Accepted`] (see [`Self::answered`]).
    pub fn offer_ended(&mut self, who: &RegulatorId, end: OfferEnd, now: Now, out: &mut Vec<StateChange>) {
        let rules = self.regulators.centre.offers;
        let Some((index, desk)) = self.regulators.desk_mut(who) else { return };
        let rang_for = ringing_for(&desk.state);
        let Some(turn) = desk.end_offer(end, &rules, now.moment) else { return };
        self.regulators.turn(index, turn, now, out);
        if let Some(call) = rang_for {
            self.put_back(call);
        }
    }

    /// The regulator picked up: `Talking`, and the caller has left the waiting room.
    ///
    /// `false`, and nothing has changed, when the phone did not ring for this call: somebody else won it.
    #[must_use]
    pub fn answered(&mut self, who: &RegulatorId, call: CallId, now: Now, out: &mut Vec<StateChange>) -> bool {
        let Some((index, desk)) = self.regulators.desk_mut(who) else { return false };
        let Some(turn) = desk.answer(call) else { return false };
        self.regulators.turn(index, turn, now, out);
        self.judge(call, true, now);
        self.leave(call);
        true
    }

    /// The call is over: `WrapUp` for so long, or `Ready`, or the pause asked for meanwhile, or `Offline`.
    pub fn released(&mut self, who: &RegulatorId, wrap_up: Duration, now: Now, out: &mut Vec<StateChange>) {
        let rules = self.regulators.centre.offers;
        let Some((index, desk)) = self.regulators.desk_mut(who) else { return };
        if let Some(turn) = desk.release(wrap_up, &rules, now.moment) {
            self.regulators.turn(index, turn, now, out);
        }
    }
}

fn ringing_for(state: &RegulatorState) -> Option<CallId> {
    match state {
        RegulatorState::Ringing { call } => Some(*call),
        RegulatorState::Offline
        | RegulatorState::Ready
        | RegulatorState::Talking { .. }
        | RegulatorState::WrapUp
        | RegulatorState::Paused { .. } => None,
    }
}

/// Callers.
impl WaitingRoom {
    /// A caller who came at `since` takes the place behind all of the same priority who came before.
    ///
    /// `since` lies in the past for a caller who comes back from a regulator whose phone vanished.
    pub fn enter(&mut self, call: CallId, line: &LineId, demand: Demand, since: Now) -> Result<(), WaitingError> {
        if self.places.contains_key(&call) {
            return Err(WaitingError::AlreadyWaiting);
        }
        if self.places.len() >= WAITING_MAX {
            return Err(WaitingError::Full);
        }
        let step = demand.step_at(Duration::ZERO);
        let place = Place { priority: demand.priority_at(step), since: since.moment, arrival: self.arrivals };
        self.arrivals += 1;
        let Regulators { needs, people, .. } = &mut self.regulators;
        let need = needs.take_up(Wanted::at(&demand, step), people);
        let later = needs.take_up_later(&demand, step, people);
        needs.wait(need, place);
        let (line, entered) = (line.clone(), since);
        let (wake, foreseen, notes) = (None, None, 0);
        let waiter = Waiter {
            call,
            line,
            demand,
            entered,
            step,
            need,
            later,
            offered_to: None,
            offers: 0,
            wake,
            foreseen,
            notes,
        };
        self.waiters.insert(place, waiter);
        self.places.insert(call, place);
        self.fresh.push(call);
        self.set_wake(place, since.moment);
        Ok(())
    }

    /// A caller leaves: hung up, overflowed, answered. A live offer is the switch's to cancel
    /// ([`Self::offer_ended`] with `Cancelled`). A call that does not wait is left alone.
    pub fn leave(&mut self, call: CallId) {
        let Some(place) = self.places.remove(&call) else { return };
        let Some(waiter) = self.waiters.remove(&place) else { return };
        if let Some(wake) = waiter.wake {
            self.wakes.remove(&(wake, place));
        }
        self.regulators.needs.wait_no_more(waiter.need, place);
        self.regulators.needs.give_up(waiter.need);
        waiter.later.into_iter().for_each(|need| self.regulators.needs.give_up(need));
    }

    /// As [`Self::leave`], of a caller who was not answered: what was foreseen of its wait is held against it.
    pub fn give_up(&mut self, call: CallId, now: Now) {
        self.judge(call, false, now);
        self.leave(call);
    }

    /// An unanswered offer: the caller is back in the place that its arrival gave it.
    ///
    /// [`Self::offer_ended`] does this already; doing it twice changes nothing, and nothing happens while the
    /// regulator's phone still rings for the call.
    pub fn put_back(&mut self, call: CallId) {
        let Some(place) = self.places.get(&call).copied() else { return };
        let Some(waiter) = self.waiters.get_mut(&place) else { return };
        let Some(desk) = waiter.offered_to.and_then(|index| self.regulators.desks.get(index)) else { return };
        if ringing_for(&desk.state) == Some(call) {
            return;
        }
        waiter.offered_to = None;
        self.regulators.needs.wait(waiter.need, place);
    }

    /// How many are in the room, offered or not.
    pub fn count_waiting(&self) -> usize {
        self.waiters.len().max(self.places.len())
    }

    /// Whether the call is in the room, offered or not.
    pub fn is_waiting(&self, call: CallId) -> bool {
        self.places.contains_key(&call)
    }

    /// When [`Self::tick`] has something to do next.
    pub fn deadline(&self) -> Option<Moment> {
        let step = self.wakes.first().map(|(at, _)| *at);
        [step, self.regulators.deadline()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::super::CANDIDATES_MAX;
    use super::super::stage::Stage;
    use super::*;
    use crate::routing::sample::{demand, regulator, skills};

    const PLAIN: &[(&str, u8)] = &[("regulation", 50)];

    fn stage_of(ids: &[&str]) -> Stage {
        Stage::new(ids.iter().map(|id| regulator(id, PLAIN, &[("cherbourg", 0)])).collect())
    }

    fn urgent() -> Demand {
        Demand { priority: 1, ..demand("cannes", PLAIN, &[]) }
    }

    #[test]
    fn priority_goes_first_and_then_arrival() {
        let mut stage = stage_of(&["a", "b"]);
        let (first, second) = (stage.enter_plain(), stage.enter_plain());
        let hurried = stage.enter(urgent());
        stage.register(&["a"]);
        assert_eq!(stage.pairs(), [(hurried, "a".to_owned())]);
        stage.register(&["b"]);
        assert_eq!(stage.pairs(), [(first, "b".to_owned())]);
        let order: Vec<CallId> = stage.room.waiting(stage.now).iter().map(|one| one.call).collect();
        assert_eq!(order, [hurried, first, second]);
    }

    #[test]
    fn every_match_is_made_at_once_and_no_call_twice() {
        let mut stage = stage_of(&["a", "b", "c"]);
        let (first, second) = (stage.enter_plain(), stage.enter_plain());
        stage.register(&["a", "b", "c"]);
        assert_eq!(stage.pairs(), [(first, "a".to_owned()), (second, "b".to_owned())]);
        assert!(stage.choose().is_empty());
    }

    #[test]
    fn an_offer_keeps_no_room_for_everybody_who_was_weighed() {
        let names: Vec<String> = (0..200).map(|n| format!("r{n}")).collect();
        let ids: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut stage = stage_of(&ids);
        stage.enter_plain();
        stage.register(&ids);
        let reasoning = stage.choose().pop().expect("an offer").reasoning;
        assert_eq!((reasoning.fitting, reasoning.candidates.len()), (200, CANDIDATES_MAX));
        assert_eq!(reasoning.candidates.capacity(), CANDIDATES_MAX);
    }

    #[test]
    fn a_call_that_nobody_fits_does_not_hold_up_those_behind_it() {
        let mut stage = stage_of(&["a"]);
        stage.enter(Demand { priority: 1, ..demand("cherbourg", &[("lang-en", 10)], &[]) });
        let plain = stage.enter_plain();
        stage.register(&["a"]);
        assert_eq!(stage.pairs(), [(plain, "a".to_owned())]);
    }

    #[test]
    fn a_level_below_the_one_asked_does_not_fit_until_the_step_lowers_it() {
        let mut stage = Stage::new(vec![regulator("a", &[("regulation", 30)], &[])]);
        stage.register(&["a"]);
        let call = stage.enter(demand("rouen", PLAIN, &[(20, &[("regulation", 40)]), (60, &[("regulation", 30)])]));
        let entered = stage.now.moment;
        assert!(stage.choose().is_empty());
        assert_eq!(stage.room.deadline(), Some(entered + Duration::from_secs(20)));
        stage.pass(20);
        assert!(stage.choose().is_empty());
        assert_eq!(stage.room.waiting(stage.now)[0].needs.levels(), skills(&[("regulation", 40)]));
        assert_eq!(stage.room.deadline(), Some(entered + Duration::from_secs(60)));
        stage.pass(40);
        let choices = stage.choose();
        assert_eq!((choices[0].call, choices[0].reasoning.step), (call, 2));
        assert_eq!(stage.room.deadline(), None);
    }

    #[test]
    fn a_step_begins_by_itself_while_the_phone_rings() {
        let mut stage = stage_of(&["a", "b"]);
        stage.register(&["a"]);
        let call = stage.enter(demand("rouen", PLAIN, &[(5, &[])]));
        assert_eq!(stage.choose().len(), 1);
        stage.pass(15);
        stage.end_offer("a", OfferEnd::TimedOut);
        stage.register(&["b"]);
        let choices = stage.choose();
        assert_eq!((choices[0].call, choices[0].reasoning.step), (call, 1));
    }

    #[test]
    fn an_unanswered_offer_puts_the_caller_back_in_its_place() {
        let mut stage = stage_of(&["a", "b"]);
        stage.register(&["a"]);
        let (first, _second) = (stage.enter_plain(), stage.enter_plain());
        assert_eq!(stage.pairs(), [(first, "a".to_owned())]);
        stage.end_offer("a", OfferEnd::Refused);
        stage.room.put_back(first);
        stage.register(&["b"]);
        assert_eq!(stage.pairs(), [(first, "b".to_owned())]);
        assert_eq!(stage.room.waiting(stage.now)[0].offers, 2);
    }

    #[test]
    fn putting_back_too_early_makes_no_second_offer() {
        let mut stage = stage_of(&["a", "b"]);
        stage.register(&["a"]);
        let call = stage.ring("a");
        stage.room.put_back(call);
        stage.register(&["b"]);
        assert!(stage.choose().is_empty());
        stage.end_offer("a", OfferEnd::TimedOut);
        assert_eq!(stage.pairs(), [(call, "b".to_owned())]);
    }

    #[test]
    fn who_left_while_it_rang_is_offered_no_more() {
        let mut stage = stage_of(&["a", "b"]);
        stage.register(&["a"]);
        let call = stage.ring("a");
        stage.room.leave(call);
        stage.end_offer("a", OfferEnd::Cancelled);
        stage.room.put_back(call);
        stage.register(&["b"]);
        assert!(stage.choose().is_empty());
        assert!(stage.room.waiting(stage.now).is_empty());
    }

    #[test]
    fn the_room_is_bounded_and_nobody_enters_twice() {
        let mut stage = stage_of(&[]);
        let call = stage.enter_plain();
        let again = stage.room.enter(call, &"line".into(), urgent(), stage.now);
        assert_eq!(again, Err(WaitingError::AlreadyWaiting));
        for _ in 1..WAITING_MAX {
            stage.enter_plain();
        }
        let late = CallId(uuid::Uuid::from_u128(1));
        assert_eq!(stage.room.enter(late, &"line".into(), urgent(), stage.now), Err(WaitingError::Full));
        stage.room.leave(call);
        assert_eq!(stage.room.enter(late, &"line".into(), urgent(), stage.now), Ok(()));
    }

    #[test]
    fn the_reasoning_counts_everybody_once() {
        let ids: Vec<String> = (0..20).map(|n| format!("r{n:02}")).collect();
        let level = |n: usize| if n < 12 { PLAIN } else { &[("physician", 50)] };
        let people = ids.iter().enumerate().map(|(n, id)| regulator(id, level(n), &[("cherbourg", n as u32)]));
        let mut stage = Stage::new(people.collect());
        for id in &ids[..18] {
            stage.register(&[id]);
        }
        stage.room.pause(&"r00".into(), PauseReason::Own, stage.now, &mut stage.out).expect("known");
        stage.talk("r01");
        stage.talk("r02");
        stage.release("r02", 30);
        stage.enter_plain();
        let ringing = stage.choose();
        assert_eq!(ringing[0].devices, [DeviceId(1)]);
        stage.enter_plain();
        let reasoning = stage.choose().remove(0).reasoning;
        assert_eq!(reasoning.candidates.len(), CANDIDATES_MAX);
        assert_eq!(reasoning.candidates[0].regulator.as_str(), "r04");
        assert_eq!(reasoning.fitting, 8);
        assert_eq!(reasoning.skills, skills(PLAIN));
        let counted: Vec<(&str, u32)> = reasoning.excluded.iter().map(|(why, count)| (why.as_str(), *count)).collect();
        let expected = [("offline", 2), ("paused", 1), ("ringing", 1), ("skills", 6), ("talking", 1), ("wrap-up", 1)];
        assert_eq!(counted, expected);
    }
}
