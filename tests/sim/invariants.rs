//! What must hold after every step (field.md, "Invariants"), reckoned from the centre's description and not by Vigie.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::Discriminant;
use std::sync::Arc;
use std::time::Duration;

use vigie::call::{CONSULT_RING_MAX, Call, ConsultState, Guest, Leg, NOBODY_GRACE, State, Switch};
use vigie::model::{
    Action, CallId, Centre, Control, Demand, EventKind, Fact, Input, LegId, Line, LineId, Moment, Needs, Now,
    PauseReason, Reach, RegionId, Regulator, RegulatorId, RegulatorState, Side,
};

use crate::entered::{control_bit, state_bit};
use crate::ledger::{Ledger, demand, is_handed_on, takes_over};

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
    /// Each regulator's state, the number of the event that told it, and since when.
    states: BTreeMap<RegulatorId, (RegulatorState, u32, Moment)>,
    calls: HashMap<CallId, Stay>,
    missed: Option<(Moment, String)>,
    /// Who is near enough to each region.
    near: HashMap<(RegionId, Reach), BTreeSet<RegulatorId>>,
    late: u32,
    /// The colleagues whom regulators' own calls ring, and those who are rung to join a call.
    consulted: BTreeSet<(CallId, RegulatorId)>,
    /// The longest rest of any line so far: a call that lives keeps the line that it came in on.
    wrap_up_max: Duration,
    /// What was added to the rest that each regulator is taking.
    extended: BTreeMap<RegulatorId, Duration>,
    /// The states that calls were in, a bit each.
    pub states_seen: u32,
    /// What was asked of live calls and done, a bit each.
    pub controls_done: u32,
}

/// How long a call has been as it is, and how long it may.
struct Stay {
    state: Discriminant<State>,
    offers: usize,
    /// Another line, another longest wait.
    line: LineId,
    since: Moment,
    most: Duration,
}

impl Checks {
    pub fn new(centre: Arc<Centre>) -> Checks {
        Checks {
            near: near(&centre),
            wrap_up_max: wrap_up_max(&centre),
            extended: BTreeMap::new(),
            states_seen: 0,
            controls_done: 0,
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
        self.near = near(&centre);
        self.wrap_up_max = self.wrap_up_max.max(wrap_up_max(&centre));
        self.centre = centre;
    }

    /// Somebody's rest is about to be made longer, if there is one.
    pub fn extends(&mut self, regulator: &RegulatorId, switch: &Switch, by: Duration) {
        if switch.room().state_of(regulator) == Some(&RegulatorState::WrapUp) {
            *self.extended.entry(regulator.clone()).or_default() += by;
        }
    }

    /// Something was asked of a live call, and done.
    pub fn note_control(&mut self, control: &Control) {
        self.controls_done |= 1 << control_bit(control);
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
            self.states_seen |= 1 << state_bit(&call.state);
            self.check_stay(call, now)?;
            let guests = call.guests.iter().filter_map(|guest| Some((call.id, guest.to.regulator()?.clone())));
            self.consulted.extend(guests);
            let room = switch.room();
            match &call.state {
                State::Offering(offer) => {
                    let state = room.state_of(&offer.regulator);
                    let rings = state == Some(&RegulatorState::Ringing { call: call.id });
                    demand!(rings, "{} is offered to {}, who is {state:?}", call.id, offer.regulator);
                    demand!(!offer.ringing.is_empty(), "{} is offered to no device", call.id);
                }
                State::Talking { leg } => {
                    let is_there = call.leg(call.caller_leg()).is_some_and(Leg::is_alive);
                    demand!(is_there, "{} talks, and the caller is not there", call.id);
                    let leg = call.leg(*leg).ok_or("a talk without its leg")?;
                    let who = leg.regulator.as_ref();
                    let state = who.and_then(|who| room.state_of(who));
                    let talks = state == Some(&RegulatorState::Talking { call: call.id });
                    let is_outside = leg.side == Side::Outside && who.is_none();
                    demand!(talks || is_outside, "{} talks with {who:?}, who is {state:?}", call.id);
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

    /// No call is anywhere for longer than it may be: also not when that shows only as it leaves.
    fn check_stay(&mut self, call: &Call, now: Moment) -> Result<(), String> {
        let (state, offers, most) = (std::mem::discriminant(&call.state), call.record.offers.len(), longest(call));
        let line = call.line.id.clone();
        let known =
            self.calls.entry(call.id).or_insert_with(|| Stay { state, offers, line: line.clone(), since: now, most });
        let stay = now.since(known.since);
        if known.state == state && known.offers == offers && known.line == line {
            known.most = most;
        }
        let most = known.most.saturating_add(SLACK);
        demand!(stay <= most, "{} has been as it was before {:?} for {stay:?}, not {most:?}", call.id, call.state);
        if known.state != state || known.offers != offers || known.line != line {
            *known = Stay { state, offers, line, since: now, most: longest(call) };
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
        let all: Vec<RegulatorId> = self.centre.regulators.keys().cloned().collect();
        for id in &all {
            let state = room.state_of(id).ok_or_else(|| format!("{id} is unknown"))?;
            let turns = self.ledger.turns_of(id);
            let known = self.states.entry(id.clone()).or_insert_with(|| (RegulatorState::Offline, 0, now)).clone();
            // Also what is over by now was not to last longer: who is woken too late shows here alone.
            let stay = now.since(known.2);
            let most = self.stay_max(switch, id, &known.0).saturating_add(SLACK);
            demand!(stay <= most, "{id} has been {:?} for {stay:?}, not {most:?}", known.0);
            // Who was free within a step, and is rung for the same call again, rings anew: both turns were told.
            if known.0 != *state || known.1 != turns {
                self.extended.remove(id);
                self.states.insert(id.clone(), (state.clone(), turns, now));
                let told = self.ledger.state_of(id);
                // A pause asked for is remembered in place of the absence, so that a restart does not end it.
                let ahead = room.pause_ahead(id).map(|reason| RegulatorState::Paused { reason: reason.clone() });
                demand!(told == ahead.unwrap_or(state.clone()), "{id} is {state:?}; storage knows {told:?}");
            }
            check_engaged(switch, id, state)?;
        }
        Ok(())
    }

    /// How long somebody may be in this state.
    fn stay_max(&self, switch: &Switch, id: &RegulatorId, state: &RegulatorState) -> Duration {
        let rules = &self.centre.offers;
        match state {
            RegulatorState::Offline | RegulatorState::Ready => Duration::MAX,
            RegulatorState::Ringing { call } => {
                let is_asked = switch.consults().any(|c| c.id == *call && c.to.regulator() == Some(id));
                let joins = self.consulted.contains(&(*call, id.clone()));
                if is_asked || joins { CONSULT_RING_MAX } else { rules.ring_duration_max }
            }
            RegulatorState::Talking { .. } => TALK_MAX,
            RegulatorState::WrapUp => self.wrap_up_max + self.extended.get(id).copied().unwrap_or_default(),
            RegulatorState::Paused { reason } => match reason {
                PauseReason::NoAnswer => rules.pause_no_answer,
                PauseReason::Refused => rules.pause_refused,
                PauseReason::Unreachable => rules.pause_unreachable,
                PauseReason::Own | PauseReason::Operator(_) | PauseReason::LoggedOut(_) | PauseReason::NotYetReady => {
                    Duration::MAX
                }
            },
        }
    }

    /// No eligible free regulator beside a call that waits without an offer.
    fn check_meeting(&mut self, switch: &Switch, now: Moment) -> Result<(), String> {
        let waiting = switch.calls().filter(|call| call.state == State::Waiting);
        let mut missed = None;
        for call in waiting {
            let step = self.step_of(call, now);
            let is_free = |one: &&Regulator| switch.room().state_of(&one.id) == Some(&RegulatorState::Ready);
            let mut free = self.centre.regulators.values().filter(is_free);
            if let Some(one) = free.find(|one| self.can(one, call, step)) {
                let asked = self.demand_of(call).needs_at(step);
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
        self.check_fit(switch, now, &facts)?;
        for fact in &facts {
            let Fact::Event(event) = fact else { continue };
            let EventKind::CallOffered { regulator, offer, .. } = &event.kind else { continue };
            // Whom a regulator chooses is nobody's turn.
            if event.call().is_some_and(|call| is_handed_on(call, *offer, &facts) || takes_over(call, *offer, &facts)) {
                continue;
            }
            let served = switch.calls().find(|call| Some(call.id) == event.call());
            let (Some(served), Some(one)) = (served, self.centre.regulators.get(regulator)) else { continue };
            if matches!(served.state, State::Transferring(_)) {
                continue;
            }
            let place = |call: &Call| (self.demand_of(call).priority_at(self.step_of(call, now)), call.queued.moment);
            let waiting = switch.calls().filter(|call| call.state == State::Waiting && place(call) < place(served));
            for call in waiting {
                let is_passed = self.can(one, call, self.step_of(call, now));
                demand!(!is_passed, "{regulator} was given {} and {} was before it", served.id, call.id);
            }
        }
        Ok(())
    }

    /// Nobody is rung who lacks a skill that the call asks by now, or is too far away; but for whom a regulator chooses.
    fn check_fit(&self, switch: &Switch, now: Moment, facts: &[Fact]) -> Result<(), String> {
        for fact in facts {
            let Fact::Event(event) = fact else { continue };
            let EventKind::CallOffered { regulator, offer, .. } = &event.kind else { continue };
            let call = switch.calls().find(|call| Some(call.id) == event.call());
            let (Some(call), Some(one)) = (call, self.centre.regulators.get(regulator)) else { continue };
            let fits = self.can(one, call, self.step_of(call, now)) || is_handed_on(call.id, *offer, facts);
            // Nor for whom somebody who watches the room has moved a caller.
            let is_moved = matches!(call.state, State::Transferring(_));
            let fits = fits || is_moved || takes_over(call.id, *offer, facts);
            demand!(fits, "{} was offered to {regulator}, who does not fit {}", call.id, call.demand.needs);
        }
        Ok(())
    }

    /// Whether somebody has the skills that the step asks, and is near enough: as the configuration's own check reckons,
    /// which shares nothing with the waiting room.
    fn can(&self, one: &Regulator, call: &Call, step: usize) -> bool {
        let demand = self.demand_of(call);
        let place = (demand.region.clone(), demand.reach_at(step));
        let is_near = self.near.get(&place).is_some_and(|near| near.contains(&one.id));
        demand.needs_at(step).is_met_by(&one.skills) && is_near
    }

    /// What a call asks: what is written of its line here, and not what Vigie has made of that, until somebody changes it.
    fn demand_of<'a>(&'a self, call: &'a Call) -> &'a Demand {
        let is_lines = call.demand == call.line.demand;
        let written = self.centre.lines.get(&call.line.id).filter(|_| is_lines);
        written.map_or(&call.demand, |line| &line.demand)
    }

    /// The step in force, by the wait.
    fn step_of(&self, call: &Call, now: Moment) -> usize {
        let waited = now.since(call.queued.moment);
        let steps = &self.demand_of(call).steps;
        steps.iter().take_while(|step| step.after.is_some_and(|after| waited >= after)).count()
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

/// Who is offline has no phone, who is ready has one, and who is busy is busy with a live call.
fn check_engaged(switch: &Switch, id: &RegulatorId, state: &RegulatorState) -> Result<(), String> {
    match state {
        RegulatorState::Offline => {
            demand!(switch.room().devices_of(id).is_empty(), "{id} is offline with a device");
        }
        RegulatorState::Ready => {
            demand!(!switch.room().devices_of(id).is_empty(), "{id} is ready without a device");
        }
        RegulatorState::Ringing { call } => {
            let is_asked = switch.consults().any(|c| c.id == *call && c.to.regulator() == Some(id));
            let joins = |guest: &Guest| guest.to.regulator() == Some(id) && guest.live_leg().is_none();
            let rings = switch.calls().filter(|c| c.id == *call).any(|c| match &c.state {
                State::Offering(o) => o.regulator == *id,
                State::Transferring(handover) => handover.to.regulator() == Some(id),
                State::Talking { .. } => c.guests.iter().any(joins),
                _ => false,
            });
            demand!(rings || is_asked, "{id} rings for {call}, which is not offered to him");
        }
        RegulatorState::Talking { call } => {
            let is_over = |leg: LegId, call: &Call| {
                call.leg(leg).is_some_and(|leg| leg.regulator.as_ref() == Some(id) && leg.is_alive())
            };
            let joined = |guest: &Guest| guest.to.regulator() == Some(id) && guest.live_leg().is_some();
            let is_there = |call: &Call| call.legs.iter().any(|leg| is_over(leg.id, call));
            let talks = switch.calls().filter(|c| c.id == *call).any(|c| match &c.state {
                State::Talking { leg } => is_over(*leg, c) || c.guests.iter().any(joined),
                State::Transferring(handover) => is_over(handover.by, c),
                State::Recalling(_) => is_there(c),
                _ => false,
            });
            let asks = switch.consults().any(|c| c.id == *call && (c.by == *id || c.to.regulator() == Some(id)));
            demand!(talks || asks, "{id} talks on {call}, which does not talk with him");
        }
        RegulatorState::WrapUp | RegulatorState::Paused { .. } => {}
    }
    Ok(())
}

fn wrap_up_max(centre: &Centre) -> Duration {
    centre.lines.values().map(|line| line.wrap_up).max().unwrap_or_default()
}

/// Who is near enough to each region at each reach, of a line for each of them that asks no skill.
fn near(centre: &Centre) -> HashMap<(RegionId, Reach), BTreeSet<RegulatorId>> {
    let line = centre.lines.values().next().expect("a line");
    let mut alone = Centre { lines: BTreeMap::new(), ..centre.clone() };
    let mut places = HashMap::new();
    for region in centre.regions.keys() {
        for reach in [Reach::Home, Reach::Neighbours, Reach::Parent, Reach::All] {
            let id = LineId::from(format!("{region}.{reach:?}").as_str());
            let demand =
                Demand { region: region.clone(), needs: Needs::default(), priority: 5, reach, steps: Vec::new() };
            alone.lines.insert(id.clone(), Line { id: id.clone(), demand, ..line.clone() });
            places.insert(id, (region.clone(), reach));
        }
    }
    let all = vigie::config::reach(&alone).into_iter();
    all.filter_map(|one| Some((places.remove(&one.line)?, one.regulators.into_iter().collect()))).collect()
}

/// How long a call may stay in one state.
fn longest(call: &Call) -> Duration {
    match &call.state {
        State::Opening { .. } | State::Ending => Duration::from_secs(5),
        State::Greeting | State::Farewell { .. } => Duration::from_secs(120),
        // A call-back stands in line for a day.
        State::Waiting if call.recall.is_some() => Duration::from_secs(24 * 3600),
        State::Waiting => call.line.waiting_max + NOBODY_GRACE,
        State::Offering(_) => call.centre.offers.ring_duration_max,
        State::Talking { .. } => TALK_MAX,
        State::Transferring(_) | State::Forwarding(_) | State::Recalling(_) => CONSULT_RING_MAX,
        // First at the regulator's, where the API asks for it, and then at the number.
        State::CallingOut(_) => 2 * CONSULT_RING_MAX,
        State::Choosing(_) => Duration::from_secs(1200),
        State::Voicemail(_) => call.line.voice.voicemail.duration_max + Duration::from_secs(120),
        // With nobody on duty it stands in line and is put off again in one step, for a day.
        State::Postponed => Duration::from_secs(24 * 3600),
        State::Sealing => Duration::from_secs(1800),
    }
}
