//! What must hold after every step (field.md, "Invariants"), reckoned from the centre's description and not by Vigie.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::Discriminant;
use std::sync::Arc;
use std::time::Duration;

use vigie::call::{CONSULT_RING_MAX, Call, ConsultState, NOBODY_GRACE, State, Switch};
use vigie::model::{
    Action, CallId, Centre, EventKind, Fact, Input, LegId, LineId, Moment, Now, PauseReason, Regulator, RegulatorId,
    RegulatorState,
};

use crate::ledger::{Ledger, demand, is_handed_on};

/// A step's actions: an end of everything at once would be the most.
const ACTIONS_MAX: usize = 400;
/// A free regulator and a caller who fits may miss each other for so long.
const MISS_MAX: Duration = Duration::from_millis(100);
/// A talk that nothing ends by itself.
const TALK_MAX: Duration = Duration::from_secs(3000);
/// A clock may be late by so much.
const SLACK: Duration = Duration::from_millis(50);

/// The checks and what they remember.
pub struct Checks {
    centre: Arc<Centre>,
    pub ledger: Ledger,
    states: BTreeMap<RegulatorId, (RegulatorState, Moment)>,
    calls: HashMap<CallId, (Discriminant<State>, usize, Moment)>,
    missed: Option<(Moment, String)>,
    /// Who can answer each line at each step.
    reach: HashMap<(LineId, usize), Vec<RegulatorId>>,
    late: u32,
    /// The colleagues whom regulators' own calls ring.
    consulted: BTreeSet<(CallId, RegulatorId)>,
}

impl Checks {
    pub fn new(centre: Arc<Centre>) -> Checks {
        let all = vigie::config::reach(&centre).into_iter();
        Checks {
            reach: all.map(|one| ((one.line, one.step), one.regulators)).collect(),
            centre,
            ledger: Ledger::default(),
            states: BTreeMap::new(),
            calls: HashMap::new(),
            missed: None,
            late: 0,
            consulted: BTreeSet::new(),
        }
    }

    /// Another configuration is in force from the next step on.
    pub fn recentre(&mut self, centre: Arc<Centre>) {
        let all = vigie::config::reach(&centre).into_iter();
        self.reach = all.map(|one| ((one.line, one.step), one.regulators)).collect();
        self.centre = centre;
    }

    /// Everything that can be seen after a step.
    pub fn after_step(&mut self, switch: &Switch, now: Now, actions: &[Action]) -> Result<(), String> {
        demand!(actions.len() <= ACTIONS_MAX, "a step asked for {} actions", actions.len());
        let mut stores = 0;
        for action in actions {
            if let Action::Store(facts) = action {
                stores += 1;
                self.ledger.store(facts, now)?;
            }
        }
        demand!(stores <= 1, "a step stored in {stores} transactions");
        self.check_order(switch, now.moment, actions)?;
        self.check_calls(switch, now.moment)?;
        self.check_consults(switch, now.moment)?;
        self.check_regulators(switch, now.moment)?;
        self.check_meeting(switch, now.moment)
    }

    /// A deadline must move on when it was served.
    pub fn after_tick(&mut self, input: &Input, deadline: Option<Moment>, now: Moment) -> Result<(), String> {
        let is_past = *input == Input::Tick && deadline.is_some_and(|at| at <= now);
        self.late = if is_past { self.late + 1 } else { 0 };
        demand!(self.late < 2, "the deadline stays in the past after its Tick: a busy loop");
        Ok(())
    }

    /// Each live call stands where its regulator says, and does not stay anywhere for ever.
    fn check_calls(&mut self, switch: &Switch, now: Moment) -> Result<(), String> {
        let mut live = 0;
        for call in switch.calls() {
            live += 1;
            let kind = std::mem::discriminant(&call.state);
            let since = match self.calls.get(&call.id) {
                Some((was, offers, since)) if *was == kind && *offers == call.record.offers.len() => *since,
                Some(_) | None => {
                    self.calls.insert(call.id, (kind, call.record.offers.len(), now));
                    now
                }
            };
            let stay = now.since(since);
            let most = longest(call);
            demand!(stay <= most + SLACK, "{} has been in {:?} for {stay:?}", call.id, call.state);
            let room = switch.room();
            match &call.state {
                State::Offering(offer) => {
                    let state = room.state_of(&offer.regulator);
                    let rings = state == Some(&RegulatorState::Ringing { call: call.id });
                    demand!(rings, "{} is offered to {}, who is {state:?}", call.id, offer.regulator);
                    demand!(!offer.ringing.is_empty(), "{} is offered to no device", call.id);
                }
                State::Talking { leg } => {
                    let who = call.leg(*leg).and_then(|leg| leg.regulator.as_ref());
                    let state = who.and_then(|who| room.state_of(who));
                    let talks = state == Some(&RegulatorState::Talking { call: call.id });
                    demand!(talks, "{} talks with {who:?}, who is {state:?}", call.id);
                    demand!(!room.is_waiting(call.id), "{} talks and waits", call.id);
                }
                State::Transferring(handover) => {
                    if let Some(to) = handover.to.regulator() {
                        let state = room.state_of(to);
                        let rings = state == Some(&RegulatorState::Ringing { call: call.id });
                        demand!(rings, "{} is handed on to {to}, who is {state:?}", call.id);
                    }
                    demand!(!handover.ringing.is_empty(), "{} is handed on to no device", call.id);
                    demand!(!room.is_waiting(call.id), "{} is handed on and waits", call.id);
                }
                State::Waiting => demand!(room.is_waiting(call.id), "{} waits outside the room", call.id),
                State::Opening { .. }
                | State::Greeting
                | State::Choosing(_)
                | State::Forwarding(_)
                | State::Voicemail(_)
                | State::Postponed
                | State::Recalling(_)
                | State::CallingOut(_)
                | State::Farewell { .. }
                | State::Ending
                | State::Sealing => {
                    demand!(!room.is_waiting(call.id), "{} waits as {:?}", call.id, call.state);
                }
            }
        }
        if self.calls.len() > live {
            let known: BTreeSet<CallId> = switch.calls().map(|call| call.id).collect();
            self.calls.retain(|id, _| known.contains(id));
        }
        Ok(())
    }

    /// A colleague who is asked is busy with nothing else, and nobody asks for ever.
    fn check_consults(&mut self, switch: &Switch, now: Moment) -> Result<(), String> {
        for consult in switch.consults() {
            demand!(consult.deadline + SLACK >= now, "{} should have ended", consult.id);
            let Some(to) = consult.to.regulator() else { continue };
            self.consulted.insert((consult.id, to.clone()));
            let state = switch.room().state_of(to);
            let call = consult.id;
            let stands = match consult.state {
                ConsultState::Ringing => state == Some(&RegulatorState::Ringing { call }),
                ConsultState::Talking { .. } => state == Some(&RegulatorState::Talking { call }),
                ConsultState::Leaving => true,
            };
            demand!(stands, "{call} is with {to}, who is {state:?}: {:?}", consult.state);
            let is_free = switch.room().state_of(&consult.by) == Some(&RegulatorState::Ready);
            demand!(!is_free || consult.state == ConsultState::Leaving, "{} asks and is ready", consult.by);
        }
        Ok(())
    }

    /// Whether a phone may ring for this call: it was offered to its person, or a colleague asks.
    pub fn may_ring(&self, call: &str, user: &str) -> bool {
        let asked = call.parse().is_ok_and(|call| self.consulted.contains(&(call, RegulatorId::from(user))));
        asked || self.ledger.was_offered(call, user)
    }

    /// Each regulator who is busy is busy with a live call, and nobody is stuck.
    fn check_regulators(&mut self, switch: &Switch, now: Moment) -> Result<(), String> {
        let room = switch.room();
        for id in self.centre.regulators.keys() {
            let state = room.state_of(id).ok_or_else(|| format!("{id} is unknown"))?;
            let known = self.states.entry(id.clone()).or_insert_with(|| (RegulatorState::Offline, now));
            if known.0 != *state {
                *known = (state.clone(), now);
                let told = self.ledger.state_of(id);
                // A pause asked for is remembered in place of the absence, so that a restart does not end it.
                let ahead = room.pause_ahead(id).map(|reason| RegulatorState::Paused { reason: reason.clone() });
                demand!(told == ahead.unwrap_or(state.clone()), "{id} is {state:?}; storage knows {told:?}");
            }
            let stay = now.since(known.1);
            let rules = &self.centre.offers;
            let most = match state {
                RegulatorState::Offline => {
                    demand!(room.devices_of(id).is_empty(), "{id} is offline with a device");
                    Duration::MAX
                }
                RegulatorState::Ready => {
                    demand!(!room.devices_of(id).is_empty(), "{id} is ready without a device");
                    Duration::MAX
                }
                RegulatorState::Ringing { call } => {
                    let is_asked = switch.consults().any(|c| c.id == *call && c.to.regulator() == Some(id));
                    let rings = switch.calls().any(|c| {
                        c.id == *call
                            && match &c.state {
                                State::Offering(o) => o.regulator == *id,
                                State::Transferring(handover) => handover.to.regulator() == Some(id),
                                _ => false,
                            }
                    });
                    demand!(rings || is_asked, "{id} rings for {call}, which is not offered to him");
                    if is_asked { CONSULT_RING_MAX } else { rules.ring_duration_max }
                }
                RegulatorState::Talking { call } => {
                    let is_over = |leg: LegId, call: &Call| {
                        call.leg(leg).is_some_and(|leg| leg.regulator.as_ref() == Some(id) && leg.is_alive())
                    };
                    let talks = switch.calls().any(|c| {
                        c.id == *call
                            && match &c.state {
                                State::Talking { leg } => is_over(*leg, c),
                                State::Transferring(handover) => is_over(handover.by, c),
                                _ => false,
                            }
                    });
                    let asks =
                        switch.consults().any(|c| c.id == *call && (c.by == *id || c.to.regulator() == Some(id)));
                    demand!(talks || asks, "{id} talks on {call}, which does not talk with him");
                    TALK_MAX
                }
                // It may be extended, an hour in all.
                RegulatorState::WrapUp => Duration::from_secs(3600),
                RegulatorState::Paused { reason } => match reason {
                    PauseReason::NoAnswer => rules.pause_no_answer,
                    PauseReason::Refused => rules.pause_refused,
                    PauseReason::Unreachable => rules.pause_unreachable,
                    PauseReason::Own
                    | PauseReason::Operator(_)
                    | PauseReason::LoggedOut(_)
                    | PauseReason::NotYetReady => Duration::MAX,
                },
            };
            demand!(stay <= most.saturating_add(SLACK), "{id} has been {state:?} for {stay:?}");
        }
        Ok(())
    }

    /// No eligible free regulator beside a call that waits without an offer.
    fn check_meeting(&mut self, switch: &Switch, now: Moment) -> Result<(), String> {
        let waiting = switch.calls().filter(|call| call.state == State::Waiting);
        let mut missed = None;
        for call in waiting {
            let step = step_of(call, now);
            let is_free = |one: &&Regulator| switch.room().state_of(&one.id) == Some(&RegulatorState::Ready);
            let mut free = self.centre.regulators.values().filter(is_free);
            if let Some(one) = free.find(|one| self.can(one, call, step)) {
                let asked = call.demand.needs_at(step);
                missed = Some(format!("{} waits for {asked} beside {}, who is ready", call.id, one.id));
                break;
            }
        }
        let Some(what) = missed else {
            self.missed = None;
            return Ok(());
        };
        let since = self.missed.get_or_insert((now, what)).0;
        demand!(now.since(since) < MISS_MAX, "{}", self.missed.as_ref().map_or("", |m| m.1.as_str()));
        Ok(())
    }

    /// Nobody who waits is passed over: priority first, then the first arrival.
    fn check_order(&self, switch: &Switch, now: Moment, actions: &[Action]) -> Result<(), String> {
        let facts =
            actions.iter().filter_map(|action| if let Action::Store(facts) = action { Some(facts) } else { None });
        let facts: Vec<Fact> = facts.flatten().cloned().collect();
        for fact in &facts {
            let Fact::Event(event) = fact else { continue };
            let EventKind::CallOffered { regulator, offer, .. } = &event.kind else { continue };
            // Whom a regulator chooses is nobody's turn.
            if event.call().is_some_and(|call| is_handed_on(call, *offer, &facts)) {
                continue;
            }
            let served = switch.calls().find(|call| Some(call.id) == event.call());
            let (Some(served), Some(one)) = (served, self.centre.regulators.get(regulator)) else { continue };
            let place = |call: &Call| (call.demand.priority_at(step_of(call, now)), call.queued.moment);
            let waiting = switch.calls().filter(|call| call.state == State::Waiting && place(call) < place(served));
            for call in waiting {
                let is_passed = self.can(one, call, step_of(call, now));
                demand!(!is_passed, "{regulator} was given {} and {} was before it", served.id, call.id);
            }
        }
        Ok(())
    }

    /// Whether somebody has the skills that the step asks, and is near enough: as the configuration's own check reckons,
    /// which shares nothing with the waiting room. Another demand than the line's looks everywhere.
    fn can(&self, one: &Regulator, call: &Call, step: usize) -> bool {
        let is_near = || self.reach.get(&(call.line.id.clone(), step)).is_some_and(|near| near.contains(&one.id));
        let is_lines = call.demand == call.line.demand;
        call.demand.needs_at(step).is_met_by(&one.skills) && (!is_lines || is_near())
    }

    /// What must hold when the day is over and two hours have passed.
    pub fn close(&self, switch: &Switch) -> Result<(), String> {
        demand!(switch.consults().next().is_none(), "colleagues still talk: {:?}", switch.consults().next());
        demand!(switch.calls().next().is_none(), "a call is still there: {:?}", switch.calls().next());
        for id in self.centre.regulators.keys() {
            let state = switch.room().state_of(id);
            demand!(state == Some(&RegulatorState::Offline), "{id} is still {state:?}");
        }
        Ok(())
    }
}

/// The step in force, by the wait.
fn step_of(call: &Call, now: Moment) -> usize {
    let waited = now.since(call.queued.moment);
    call.demand.steps.iter().take_while(|step| step.after.is_some_and(|after| waited >= after)).count()
}

/// How long a call may stay in one state.
fn longest(call: &Call) -> Duration {
    match &call.state {
        State::Opening { .. } | State::Ending => Duration::from_secs(5),
        State::Greeting | State::Farewell { .. } => Duration::from_secs(120),
        State::Waiting => call.line.waiting_max + NOBODY_GRACE,
        State::Offering(_) => call.centre.offers.ring_duration_max,
        State::Talking { .. } => TALK_MAX,
        State::Transferring(_) | State::Forwarding(_) | State::Recalling(_) => CONSULT_RING_MAX,
        // First at the regulator's, where the API asks for it, and then at the number.
        State::CallingOut(_) => 2 * CONSULT_RING_MAX,
        State::Choosing(_) => Duration::from_secs(1200),
        State::Voicemail(_) => call.line.voice.voicemail.duration_max + Duration::from_secs(120),
        State::Postponed => Duration::from_secs(180),
        State::Sealing => Duration::from_secs(1800),
    }
}
