//! How other systems choose, written anew from their documentation: same calls, same people, same steps.
//!
//! What they share is to their favour: no polling delay, priorities, and steps as penalty rules or waiting-time rules
//! give them; none loses a call or a state. What differs is whom they choose.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::centre::Line;
use crate::model::{AssociationId, Moment, Now, OfferEnd};

use super::router::{Ask, CallKey, Router};
use super::scenario::Scenario;

/// A documented way to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Asterisk, `strategy = rrmemory`: in turn, each queue remembering who was rung last.
    RoundRobinMemory,
    /// Asterisk, `strategy = leastrecent`: whom this queue's calls left longest ago.
    LeastRecent,
    /// FreeSWITCH `mod_callcenter`, `longest-idle-agent`: whose last call, of any queue, ended longest ago.
    LongestIdle,
    /// XiVO's skill-based routing: one queue, skill rules by waiting time, among those who fit the least recent.
    SkillRules,
    /// No pool: each association's calls to its own people, the longest idle first.
    PerAssociation,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Doing {
    Away,
    Free,
    Ringing(CallKey),
    Talking(CallKey),
    /// Resting or paused until then.
    Resting(Moment),
}

struct Person {
    doing: Doing,
    on_duty: bool,
    association: AssociationId,
    last_call_ended: Moment,
}

struct Waiter {
    line: usize,
    entered: Moment,
    step: usize,
    is_offered: bool,
}

/// Priority, arrival, order: who is served first.
type Turn = (u8, Moment, CallKey);

/// One of the others.
pub struct Rival<'a> {
    strategy: Strategy,
    scenario: &'a Scenario,
    lines: Vec<&'a Line>,
    people: Vec<Person>,
    /// Who fits a line at a step.
    fits: Vec<Vec<Vec<bool>>>,
    waiting: BTreeMap<Turn, Waiter>,
    turns: BTreeMap<CallKey, Turn>,
    steps: BTreeSet<(Moment, CallKey)>,
    rests: BTreeSet<(Moment, usize)>,
    free: BTreeSet<usize>,
    /// Who was rung last, by line.
    last_rung: Vec<usize>,
    /// When this line's last call with a person ended.
    last_by_line: Vec<Vec<Moment>>,
}

impl<'a> Rival<'a> {
    /// Nobody is on duty and nobody waits.
    pub fn new(strategy: Strategy, scenario: &'a Scenario) -> Rival<'a> {
        let centre = &scenario.centre;
        let lines: Vec<&Line> = scenario.lines.iter().filter_map(|id| centre.lines.get(id)).collect();
        let regulators: Vec<_> = scenario.people.iter().filter_map(|id| centre.regulators.get(id)).collect();
        let fitting = |line: &&Line, step: usize| -> Vec<bool> {
            let needs = line.demand.needs_at(step);
            regulators.iter().map(|one| needs.is_met_by(&one.skills)).collect()
        };
        let steps = |line: &&Line| (0..=line.demand.steps.len()).map(|step| fitting(line, step)).collect();
        let person = |one: &&crate::model::Regulator| Person {
            doing: Doing::Away,
            on_duty: false,
            association: one.association.clone(),
            last_call_ended: Moment::default(),
        };
        Rival {
            strategy,
            scenario,
            fits: lines.iter().map(steps).collect(),
            people: regulators.iter().map(person).collect(),
            waiting: BTreeMap::new(),
            turns: BTreeMap::new(),
            steps: BTreeSet::new(),
            rests: BTreeSet::new(),
            free: BTreeSet::new(),
            last_rung: vec![0; lines.len()],
            last_by_line: vec![vec![Moment::default(); regulators.len()]; lines.len()],
            lines,
        }
    }

    fn become_free(&mut self, index: usize, now: Moment) {
        let Some(person) = self.people.get_mut(index) else { return };
        person.doing = if person.on_duty { Doing::Free } else { Doing::Away };
        if person.on_duty {
            self.free.insert(index);
        }
        self.rests.remove(&(now, index));
    }

    fn rest(&mut self, index: usize, until: Moment, now: Moment) {
        if until <= now || self.people.get(index).is_some_and(|person| !person.on_duty) {
            return self.become_free(index, now);
        }
        if let Some(person) = self.people.get_mut(index) {
            person.doing = Doing::Resting(until);
            self.rests.insert((until, index));
        }
    }

    fn may_serve(&self, index: usize, waiter: &Waiter) -> bool {
        let fits = self.fits.get(waiter.line).and_then(|steps| steps.get(waiter.step));
        if !fits.and_then(|fits| fits.get(index)).copied().unwrap_or(false) {
            return false;
        }
        match self.strategy {
            Strategy::PerAssociation => {
                let line = self.lines.get(waiter.line).map(|line| &line.association);
                self.people.get(index).map(|person| &person.association) == line
            }
            Strategy::RoundRobinMemory | Strategy::LeastRecent | Strategy::LongestIdle | Strategy::SkillRules => true,
        }
    }

    /// Whom the strategy takes for a call, of those who are free and fit.
    fn pick(&self, waiter: &Waiter) -> Option<usize> {
        let fitting = self.free.iter().copied().filter(|index| self.may_serve(*index, waiter));
        let ended = |index: &usize| self.people.get(*index).map(|person| person.last_call_ended);
        match self.strategy {
            Strategy::RoundRobinMemory => {
                let last = self.last_rung.get(waiter.line).copied().unwrap_or_default();
                fitting.min_by_key(|index| (*index <= last, *index))
            }
            Strategy::LeastRecent => {
                let ended = |index: &usize| self.last_by_line.get(waiter.line).and_then(|at| at.get(*index)).copied();
                fitting.min_by_key(|index| (ended(index), *index))
            }
            Strategy::LongestIdle | Strategy::SkillRules | Strategy::PerAssociation => {
                fitting.min_by_key(|index| (ended(index), *index))
            }
        }
    }

    /// Ends rests and begins steps whose time has come.
    fn tick(&mut self, now: Moment) {
        while let Some((until, index)) = self.rests.first().copied()
            && until <= now
        {
            self.rests.pop_first();
            self.become_free(index, now);
        }
        while let Some((at, call)) = self.steps.first().copied()
            && at <= now
        {
            self.steps.pop_first();
            let Some(waiter) = self.turns.get(&call).and_then(|turn| self.waiting.get_mut(turn)) else { continue };
            if let Some((_, step)) = timed_step(&self.lines, waiter) {
                waiter.step = step;
            }
            self.plan_step(call);
        }
    }

    /// When the waiter's next step by waited time begins.
    fn next_step(&self, waiter: &Waiter) -> Option<Moment> {
        timed_step(&self.lines, waiter).map(|(at, _)| at)
    }

    fn plan_step(&mut self, call: CallKey) {
        let waiter = self.turns.get(&call).and_then(|turn| self.waiting.get(turn));
        if let Some(at) = waiter.and_then(|waiter| self.next_step(waiter)) {
            self.steps.insert((at, call));
        }
    }
}

/// When the waiter's next step by waited time begins, and which it is. Rivals know no forecast: a step that has nothing else
/// holds none of those behind it up, and counts with them, as in the waiting room.
fn timed_step(lines: &[&Line], waiter: &Waiter) -> Option<(Moment, usize)> {
    let steps = lines.get(waiter.line)?.demand.steps.iter().enumerate().skip(waiter.step);
    steps.filter_map(|(place, step)| Some((waiter.entered + step.after?, place + 1))).next()
}

impl Router for Rival<'_> {
    fn come(&mut self, person: usize, now: Now) {
        let Some(one) = self.people.get_mut(person) else { return };
        one.on_duty = true;
        if one.doing == Doing::Away {
            self.become_free(person, now.moment);
        }
    }

    fn go(&mut self, person: usize, _now: Now) {
        let Some(one) = self.people.get_mut(person) else { return };
        one.on_duty = false;
        match one.doing {
            Doing::Free | Doing::Away => one.doing = Doing::Away,
            Doing::Resting(until) => {
                one.doing = Doing::Away;
                self.rests.remove(&(until, person));
            }
            Doing::Ringing(_) | Doing::Talking(_) => {}
        }
        self.free.remove(&person);
    }

    fn enter(&mut self, ask: &Ask, now: Now) -> bool {
        let Some(line) = self.lines.get(ask.line) else { return false };
        let turn = (ask.priority.unwrap_or(line.demand.priority), now.moment, ask.call);
        let waiter = Waiter { line: ask.line, entered: now.moment, step: 0, is_offered: false };
        self.waiting.insert(turn, waiter);
        self.turns.insert(ask.call, turn);
        self.plan_step(ask.call);
        true
    }

    fn leave(&mut self, call: CallKey, _now: Now) {
        let Some(turn) = self.turns.remove(&call) else { return };
        let Some(waiter) = self.waiting.remove(&turn) else { return };
        if let Some(at) = self.next_step(&waiter) {
            self.steps.remove(&(at, call));
        }
    }

    fn end_offer(&mut self, person: usize, end: OfferEnd, now: Now) {
        let Some(Doing::Ringing(call)) = self.people.get(person).map(|one| one.doing.clone()) else { return };
        let rules = &self.scenario.centre.offers;
        let pause = match end {
            OfferEnd::TimedOut => rules.pause_no_answer,
            OfferEnd::Refused => rules.pause_refused,
            OfferEnd::Failed => rules.pause_unreachable,
            OfferEnd::Cancelled | OfferEnd::Accepted => Duration::ZERO,
        };
        self.rest(person, now.moment + pause, now.moment);
        if let Some(waiter) = self.turns.get(&call).and_then(|turn| self.waiting.get_mut(turn)) {
            waiter.is_offered = false;
        }
    }

    fn answer(&mut self, person: usize, call: CallKey, now: Now) -> bool {
        let Some(one) = self.people.get_mut(person).filter(|one| one.doing == Doing::Ringing(call)) else {
            return false;
        };
        one.doing = Doing::Talking(call);
        let line = self.turns.get(&call).and_then(|turn| self.waiting.get(turn)).map(|waiter| waiter.line);
        self.leave(call, now);
        // Until the call is over it counts as the most recent of all.
        if let Some(at) = line.and_then(|line| self.last_by_line.get_mut(line)).and_then(|line| line.get_mut(person)) {
            *at = Moment(u64::MAX);
        }
        true
    }

    fn release(&mut self, person: usize, wrap_up: Duration, now: Now) {
        let Some(one) = self.people.get_mut(person) else { return };
        one.last_call_ended = now.moment;
        for line in &mut self.last_by_line {
            if let Some(at) = line.get_mut(person).filter(|at| **at == Moment(u64::MAX)) {
                *at = now.moment;
            }
        }
        self.rest(person, now.moment + wrap_up, now.moment);
    }

    fn deadline(&self) -> Option<Moment> {
        let rest = self.rests.first().map(|(at, _)| *at);
        [rest, self.steps.first().map(|(at, _)| *at)].into_iter().flatten().min()
    }

    fn choose(&mut self, now: Now, out: &mut Vec<(CallKey, usize)>) {
        self.tick(now.moment);
        if self.free.is_empty() {
            return;
        }
        let turns: Vec<Turn> =
            self.waiting.iter().filter(|(_, waiter)| !waiter.is_offered).map(|(turn, _)| *turn).collect();
        for turn in turns {
            if self.free.is_empty() {
                return;
            }
            let Some(index) = self.waiting.get(&turn).and_then(|waiter| self.pick(waiter)) else { continue };
            let Some(waiter) = self.waiting.get_mut(&turn) else { continue };
            waiter.is_offered = true;
            if let Some(last) = self.last_rung.get_mut(waiter.line) {
                *last = index;
            }
            if let Some(person) = self.people.get_mut(index) {
                person.doing = Doing::Ringing(turn.2);
            }
            self.free.remove(&index);
            out.push((turn.2, index));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::simulate::profile::Source;
    use crate::cli::simulate::site::Site;

    #[test]
    fn a_step_by_forecast_alone_holds_up_no_step_behind_it() {
        let text = include_str!("../../../config/profiles/one-site.toml").replace("days = 56", "days = 1");
        let steps =
            "steps = [{ forecast = \"60s\", reach = \"all\" }, { after = \"10s\", skills = { regulation = 50 } }]";
        let text = text.replace("steps = [{ after = \"10s\", skills = { regulation = 50 } }]", steps);
        let site = Site::new(&Source::of(&text), None).unwrap_or_else(|error| panic!("{error}"));
        let scenario = site.scenario(1);
        let mut rival = Rival::new(Strategy::SkillRules, &scenario);
        let line = scenario.lines.iter().position(|id| id.as_str() == "cannes.language").expect("a line");
        let speaks = |id: &crate::model::RegulatorId| {
            scenario.centre.regulators.get(id).is_some_and(|one| one.skills.contains_key(&"lang-en".into()))
        };
        let person = scenario.people.iter().position(|id| !speaks(id)).expect("somebody without English");
        let now = |s: u64| crate::model::Now { moment: Moment(s * 1_000_000), ..crate::model::Now::default() };
        rival.come(person, now(0));
        rival.enter(&Ask { call: 1, line, priority: None, waited_before: Duration::ZERO }, now(0));
        let mut chosen = Vec::new();
        rival.choose(now(0), &mut chosen);
        assert_eq!((chosen.len(), rival.deadline()), (0, Some(Moment(10_000_000))));
        rival.choose(now(10), &mut chosen);
        assert_eq!(chosen, [(1, person)]);
    }
}
