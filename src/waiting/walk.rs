//! Seeded walks over everything that can happen to the waiting room, checked after every step against the rules
//! told a second time, without any index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::centre::{Demand, Reach, Regulator, Step};
use crate::model::command::RegulatorView;
use crate::model::{
    CallId, Chance, DeviceId, Moment, Needs, Now, OfferEnd, PauseReason, RegulatorId, RegulatorState, SkillId, Utc,
};
use crate::routing::sample;

use super::{Choice, StateChange, WaitingError, WaitingRoom};

const SKILLS: [&str; 4] = ["regulation", "physician", "paediatrics", "lang-en"];
const REGIONS: [&str; 5] = ["cherbourg", "caen", "rouen", "cannes", "atlantis"];

struct Walk {
    chance: Chance,
    room: WaitingRoom,
    now: Now,
    people: Vec<RegulatorId>,
    /// The states as the changes tell them.
    told: BTreeMap<RegulatorId, RegulatorState>,
    /// Everybody in the room, by arrival.
    callers: BTreeMap<usize, CallId>,
    demands: BTreeMap<CallId, Demand>,
    entered: usize,
    winners: BTreeSet<CallId>,
}

fn pick<'a, T>(chance: &mut Chance, from: &'a [T]) -> &'a T {
    &from[chance.below(from.len() as u64) as usize]
}

fn fits(has: &BTreeMap<SkillId, u8>, asked: &Needs) -> bool {
    asked.is_met_by(has)
}

/// All of some levels, or one of two such lists.
fn draw_needs(chance: &mut Chance) -> Needs {
    let one = Needs::from(&draw_skills(chance));
    match chance.below(3) {
        0 if one != Needs::default() => Needs::Any(vec![one, Needs::Level("physician".into(), 20)]),
        _ => one,
    }
}

fn draw_skills(chance: &mut Chance) -> BTreeMap<SkillId, u8> {
    let some: Vec<&str> = SKILLS.into_iter().filter(|_| chance.below(2) == 0).collect();
    some.into_iter().map(|skill| (SkillId::from(skill), 10 * (1 + chance.below(3) as u8))).collect()
}

fn draw_demand(chance: &mut Chance) -> Demand {
    let mut demand = sample::demand(pick::<&str>(chance, &REGIONS), &[], &[]);
    demand.needs = draw_needs(chance);
    demand.priority = 1 + chance.below(3) as u8;
    demand.reach = *pick(chance, &[Reach::Home, Reach::Neighbours, Reach::Parent, Reach::All, Reach::All]);
    for after in [20, 60] {
        if chance.below(2) == 0 {
            let mut step = Step { after: Some(Duration::from_secs(after)), ..Step::default() };
            step.needs = (chance.below(2) == 0).then(|| draw_needs(chance));
            step.reach = (chance.below(2) == 0).then(|| *pick(chance, &[Reach::Parent, Reach::All]));
            step.priority = (chance.below(4) == 0).then_some(1);
            step.forecast = (chance.below(4) == 0).then_some(Duration::from_secs(300));
            demand.steps.push(step);
        }
    }
    demand
}

fn draw_person(chance: &mut Chance, number: usize) -> Regulator {
    let (region, cost) = (*pick(chance, &REGIONS), chance.below(9) as u32);
    let mut one = sample::regulator(&format!("r{number}"), &[], &[(region, cost)]);
    one.skills = draw_skills(chance);
    one.ready_on_register = chance.below(4) > 0;
    one
}

/// How near somebody is who serves one region, of the sample's: told a second time.
fn nearness(one: &RegulatorView, demand: &Demand) -> Reach {
    let (served, region) = (one.regions.keys().next().expect("one").as_str(), demand.region.as_str());
    let in_normandie = |region: &str| ["cherbourg", "caen", "rouen"].contains(&region);
    match (served, region) {
        (_, "atlantis") => Reach::All,
        (served, region) if served == region => Reach::Home,
        ("cherbourg", "caen") | ("caen", "cherbourg") => Reach::Neighbours,
        (served, region) if in_normandie(served) && in_normandie(region) => Reach::Parent,
        _ => Reach::All,
    }
}

impl Walk {
    fn new(seed: u64) -> Walk {
        let mut chance = Chance::from_number(seed);
        let count = 1 + chance.below(8) as usize;
        let people: Vec<Regulator> = (0..count).map(|number| draw_person(&mut chance, number)).collect();
        let lines = (0..3).map(|n| sample::line(&format!("line-{n}"), "", draw_demand(&mut chance))).collect();
        let ids: Vec<RegulatorId> = people.iter().map(|one| one.id.clone()).collect();
        Walk {
            room: WaitingRoom::new(Arc::new(sample::centre(people, lines))),
            chance,
            now: Now { moment: Moment(5_000_000), utc: Utc(1_700_000_000_000_000) },
            told: ids.iter().map(|id| (id.clone(), RegulatorState::Offline)).collect(),
            people: ids,
            callers: BTreeMap::new(),
            demands: BTreeMap::new(),
            entered: 0,
            winners: BTreeSet::new(),
        }
    }

    /// One event, then a choice, as the switch does it.
    fn step(&mut self) {
        let mut out = Vec::new();
        self.happen(&mut out);
        self.hear(out);
        let mut out = Vec::new();
        let choices = self.room.choose(self.now, &mut out);
        self.check_choices(&choices);
        self.hear(out);
        self.check();
    }

    fn happen(&mut self, out: &mut Vec<StateChange>) {
        let who = pick(&mut self.chance, &self.people).clone();
        let device = DeviceId(self.chance.below(2));
        let now = self.now;
        match self.chance.below(14) {
            0 | 1 => self.room.registered(&who, device, now, out),
            2 => self.room.unregistered(&who, device, now, out),
            3 => {
                let was = self.room.state_of(&who).cloned().expect("known");
                let made = self.room.ready(&who, now, out);
                assert_eq!(made.is_err(), was == RegulatorState::Offline);
            }
            4 => {
                let reasons = [PauseReason::Own, PauseReason::Operator("why".into())];
                let reason = pick(&mut self.chance, &reasons).clone();
                self.room.pause(&who, reason, now, out).expect("known");
            }
            5 => {
                let ends = [OfferEnd::Refused, OfferEnd::TimedOut, OfferEnd::Cancelled, OfferEnd::Failed];
                self.room.offer_ended(&who, *pick(&mut self.chance, &ends), now, out);
            }
            6 => self.pick_up(&who, out),
            7 => self.room.released(&who, Duration::from_secs(self.chance.below(3) * 7), now, out),
            8 | 9 => self.come_in(),
            10 => self.go_away(out),
            11 => self.ask_otherwise(),
            12 => self.recentre(),
            _ => self.pass(out),
        }
    }

    fn pick_up(&mut self, who: &RegulatorId, out: &mut Vec<StateChange>) {
        let state = self.room.state_of(who).cloned().expect("known");
        let call = match state {
            RegulatorState::Ringing { call } => call,
            _ => match self.callers.values().next() {
                Some(call) => *call,
                None => return,
            },
        };
        let won = self.room.answered(who, call, self.now, out);
        assert_eq!(won, state == RegulatorState::Ringing { call });
        if won {
            assert!(self.winners.insert(call), "a call has at most one winner");
            self.callers.retain(|_, one| *one != call);
        }
    }

    fn come_in(&mut self) {
        let call = CallId::new(self.now.utc, &mut self.chance);
        let demand = draw_demand(&mut self.chance);
        self.callers.insert(self.entered, call);
        self.entered += 1;
        self.demands.insert(call, demand.clone());
        self.room.enter(call, &"line-0".into(), demand, self.now).expect("room for one more");
    }

    /// Somebody changes what a caller asks.
    fn ask_otherwise(&mut self) {
        let all: Vec<CallId> = self.callers.values().copied().collect();
        if all.is_empty() {
            return;
        }
        let (call, demand) = (*pick(&mut self.chance, &all), draw_demand(&mut self.chance));
        let fits_nobody = !self.room.anyone_fits(&demand);
        let done = self.room.redemand(call, demand.clone(), self.now);
        assert_eq!(done, if fits_nobody { Err(WaitingError::NobodyFits) } else { Ok(()) });
        if done.is_ok() {
            self.demands.insert(call, demand);
        }
    }

    /// Another configuration: other skills, somebody gone, somebody back; no state, wait or offer changes.
    fn recentre(&mut self) {
        let mut centre = sample::centre(Vec::new(), Vec::new());
        for number in 0..self.people.len() {
            let mut one = draw_person(&mut self.chance, number);
            let is_in = self.room.state_of(&one.id).is_some_and(|state| *state != RegulatorState::Offline);
            if is_in && self.chance.below(4) == 0 {
                // On duty and no longer in the file: stays known, as he was, until he goes.
                continue;
            }
            // How near one is, the rules tell by the first region that the walk began with.
            if let Some(present) = self.room.regulators(self.now).into_iter().find(|view| view.regulator == one.id) {
                one.regions = present.regions;
            }
            centre.regulators.insert(one.id.clone(), one);
        }
        let (waited, states) = (self.room.waiting(self.now), self.states());
        self.room.recentre(&Arc::new(centre));
        let ids = |places: Vec<super::WaitingPlace>| -> Vec<_> {
            places.into_iter().map(|one| (one.call, one.step, one.offered_to, one.offers)).collect()
        };
        assert_eq!(ids(self.room.waiting(self.now)), ids(waited));
        assert_eq!(self.states(), states);
    }

    fn states(&self) -> Vec<(RegulatorId, RegulatorState, Utc)> {
        self.room.regulators(self.now).into_iter().map(|one| (one.regulator, one.state, one.since)).collect()
    }

    /// A caller hangs up; the switch cancels the live offer, before or after.
    fn go_away(&mut self, out: &mut Vec<StateChange>) {
        let all: Vec<CallId> = self.callers.values().copied().collect();
        if all.is_empty() {
            return;
        }
        let call = *pick(&mut self.chance, &all);
        let place = self.room.waiting(self.now).into_iter().find(|one| one.call == call).expect("he waits");
        let leaves_first = self.chance.below(2) == 0;
        if leaves_first {
            self.room.leave(call);
        }
        if let Some(who) = place.offered_to {
            self.room.offer_ended(&who, OfferEnd::Cancelled, self.now, out);
        }
        self.room.leave(call);
        self.callers.retain(|_, one| *one != call);
    }

    /// Time passes, now and then exactly to the deadline.
    fn pass(&mut self, out: &mut Vec<StateChange>) {
        let span = match self.room.deadline() {
            Some(deadline) if self.chance.below(2) == 0 => deadline.since(self.now.moment),
            Some(_) | None => Duration::from_millis(self.chance.below(30_000)),
        };
        self.now = self.now.after(span);
        self.room.tick(self.now, out);
        assert!(self.room.deadline().is_none_or(|deadline| deadline > self.now.moment), "a deadline in the past");
    }

    /// The changes, replayed, give the states.
    fn hear(&mut self, out: Vec<StateChange>) {
        for change in out {
            assert_ne!(change.was, change.state);
            let told = self.told.insert(change.regulator, change.state);
            assert_eq!(told, Some(change.was), "a change that was not told");
        }
        for (who, state) in &self.told {
            assert_eq!(self.room.state_of(who), Some(state), "{who}");
        }
    }

    /// Offers go by priority and arrival; each that is given out alone, to the cheapest.
    fn check_choices(&self, choices: &[Choice]) {
        let places = self.room.waiting(self.now);
        let order: Vec<Option<usize>> =
            choices.iter().map(|choice| places.iter().position(|place| place.call == choice.call)).collect();
        assert!(order.is_sorted() && order.iter().all(Option::is_some), "offers out of order: {order:?}");
        let people = self.room.regulators(self.now);
        let at_first: BTreeSet<&RegulatorId> =
            self.told.iter().filter(|(_, state)| **state == RegulatorState::Ready).map(|(id, _)| id).collect();
        let mut free = at_first.clone();
        for Choice { call, regulator, devices, reasoning } in choices {
            let (needs, demand) = (reasoning.needs.parse().expect("an expression"), &self.demands[call]);
            let can = |one: &&RegulatorView| fits(&one.skills, &needs) && nearness(one, demand) <= reasoning.reach;
            let fitting = people.iter().filter(|one| at_first.contains(&one.regulator)).filter(can).count();
            assert!((1..=fitting).contains(&(reasoning.fitting as usize)));
            assert!(free.remove(regulator), "{regulator} was not free for {call}");
            for candidate in &reasoning.candidates {
                let expected = self.scarcity(&candidate.regulator, &needs, &demand.needs);
                assert!((candidate.scarcity - expected).abs() < 1e-9, "{candidate:?}: {expected}");
                assert!(people.iter().filter(can).any(|one| one.regulator == candidate.regulator), "{candidate:?}");
            }
            assert!(!devices.is_empty());
            let named = reasoning.candidates.iter().position(|one| one.regulator == *regulator);
            assert!(named == Some(0) || (named.is_some() && reasoning.together > 1), "{reasoning:?}");
            assert!(reasoning.candidates.is_sorted_by(|a, b| a.total <= b.total));
            let others: u32 = reasoning.excluded.values().sum();
            assert_eq!(reasoning.fitting + others, self.people.len() as u32, "everybody is counted once");
        }
    }

    /// The scarcity of a person, counted anew.
    fn scarcity(&self, who: &RegulatorId, asked: &Needs, first: &Needs) -> f64 {
        let (asked, first) = (asked.levels(), first.levels());
        let on_duty = |state: &RegulatorState| match state {
            RegulatorState::Offline => false,
            RegulatorState::Paused { reason } => {
                matches!(reason, PauseReason::NoAnswer | PauseReason::Refused | PauseReason::Unreachable)
            }
            RegulatorState::Ready
            | RegulatorState::Ringing { .. }
            | RegulatorState::Talking { .. }
            | RegulatorState::WrapUp => true,
        };
        let people = self.room.regulators(self.now);
        let person = people.iter().find(|one| one.regulator == *who).expect("known");
        let unused = person.skills.keys().filter(|skill| !asked.contains_key(*skill) && !first.contains_key(*skill));
        let having = |skill| people.iter().filter(|one| one.skills.contains_key(skill) && on_duty(&one.state)).count();
        unused.map(|skill| 15.0 / having(skill) as f64).sum()
    }

    fn check(&self) {
        let waiting = self.room.waiting(self.now);
        let order: Vec<CallId> = waiting.iter().map(|one| one.call).collect();
        let step = |call: CallId| waiting.iter().find(|one| one.call == call).map_or(0, |one| one.step as usize);
        let mut expected: Vec<(u8, usize, CallId)> = self
            .callers
            .iter()
            .map(|(came, call)| (self.demands[call].priority_at(step(*call)), *came, *call))
            .collect();
        expected.sort();
        assert_eq!(order, expected.iter().map(|(_, _, call)| *call).collect::<Vec<_>>(), "the order of service");
        let people = self.room.regulators(self.now);
        for place in &waiting {
            let ringing = RegulatorState::Ringing { call: place.call };
            let rung: Vec<_> = people.iter().filter(|one| one.state == ringing).map(|one| &one.regulator).collect();
            assert_eq!(rung, place.offered_to.iter().collect::<Vec<_>>(), "one live offer a call, and it is marked");
            if place.offered_to.is_none() {
                let can = |one: &&RegulatorView| {
                    fits(&one.skills, &place.needs) && nearness(one, &self.demands[&place.call]) <= place.reach
                };
                let free = people.iter().filter(can).find(|one| one.state == RegulatorState::Ready);
                assert!(free.is_none(), "{free:?} is free for {place:?}");
            }
        }
        for one in &people {
            assert!(one.until.is_none_or(|until| until > self.now.utc), "{one:?} should have ended");
            match &one.state {
                RegulatorState::Ringing { call } => assert!(order.contains(call), "it rings for nobody"),
                RegulatorState::Talking { call } => assert!(self.winners.contains(call)),
                RegulatorState::Offline => assert!(one.devices.is_empty()),
                RegulatorState::WrapUp => assert!(one.until.is_some()),
                RegulatorState::Ready => assert!(one.until.is_none() && !one.devices.is_empty()),
                RegulatorState::Paused { reason } => match reason {
                    PauseReason::NoAnswer | PauseReason::Refused | PauseReason::Unreachable => {
                        assert!(one.until.is_some());
                    }
                    PauseReason::Own
                    | PauseReason::Operator(_)
                    | PauseReason::LoggedOut(_)
                    | PauseReason::NotYetReady => {
                        assert!(one.until.is_none());
                    }
                },
            }
        }
    }
}

#[test]
fn whatever_happens_the_rules_of_the_waiting_room_hold() {
    for seed in 0..100 {
        let mut walk = Walk::new(seed);
        for _ in 0..300 {
            walk.step();
        }
        assert!(walk.entered > 0);
    }
}

#[test]
fn a_room_that_has_emptied_keeps_nothing_of_its_callers() {
    let mut walk = Walk::new(7);
    let kept = format!("{:?}", walk.room);
    for _ in 0..50 {
        walk.come_in();
    }
    for call in walk.callers.values() {
        walk.room.leave(*call);
    }
    let now = walk.now.after(Duration::from_secs(3_600));
    assert_eq!(walk.room.deadline(), None);
    assert!(walk.room.choose(now, &mut Vec::new()).is_empty());
    // But for the counters of arrivals and needs.
    assert!(format!("{:?}", walk.room).len() <= kept.len() + 8);
}

#[test]
fn the_national_evening_is_served_to_the_last_match() {
    let mut chance = Chance::from_number(1);
    let people: Vec<Regulator> = (0..1_000).map(|number| draw_person(&mut chance, number)).collect();
    let ids: Vec<RegulatorId> = people.iter().map(|one| one.id.clone()).collect();
    let mut room = WaitingRoom::new(Arc::new(sample::centre(people, Vec::new())));
    let now = Now { moment: Moment(5_000_000), utc: Utc(1_700_000_000_000_000) };
    for _ in 0..2_000 {
        let mut demand = draw_demand(&mut chance);
        demand.reach = Reach::All;
        room.enter(CallId::new(now.utc, &mut chance), &"line".into(), demand, now).expect("room for one more");
    }
    let mut offers = 0;
    for id in &ids {
        room.registered(id, DeviceId(1), now, &mut Vec::new());
        offers += room.choose(now, &mut Vec::new()).len();
    }
    let ready = room.regulators(now).iter().filter(|one| one.state == RegulatorState::Ready).count();
    let not_yet = room.regulators(now).iter().filter(|one| one.state.name() == "paused").count();
    assert_eq!(offers + ready + not_yet, 1_000);
    assert!(offers > 500);
}
