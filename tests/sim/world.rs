//! One day of the centre in virtual time: the network, the people, the planes, and the decisions in their midst.

mod asking;
mod auditing;
mod happenings;
mod outside;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use vigie::call::Switch;
use vigie::model::{
    Action, Centre, Chance, Command, Fact, Input, Moment, Now, Path, Reply, Target, Ticket, Transport, Utc,
};
use vigie::switchboard::Decisions;
use vigie::useragent::UserAgent;

use crate::centre;
use crate::faults::{Plant, Subject};
use crate::invariants::Checks;
use crate::ledger::{Tally, demand};
use crate::people::{Device, Person, Wish};
use crate::phone::{Stage, Timer, Turn};
use crate::planes::{Later, MediaPlane, RecorderPlane};
use crate::wire::Text;

const SECOND: u64 = 1_000_000;
/// 2026-11-21T17:00:00Z.
const START_UTC_US: i64 = 1_795_280_400_000_000;
/// New calls come for so long.
pub const DAY_S: u64 = 3_600;
/// After that, those on duty stay so long.
const SHIFT_S: u64 = 1_500;
/// And so long after that, nothing may be left.
const AFTER_S: u64 = 7_200;
/// What a phone believes in may be gone for so long.
const ORPHAN_S: u64 = 120;
/// And a phone that Vigie has heard ring may ring for so long: a CANCEL is repeated for 32 s (RFC 3261 §17.1.2.2).
const GHOST_S: u64 = 40;
/// One that could not be cancelled (RFC 3261 §9.1), for none of its answers came while the INVITE was open, rings for as
/// long as the INVITE's Expires lets it.
const UNHEARD_GHOST_S: u64 = 130;
/// An INVITE is open for so long without any answer (RFC 3261 §17.1.1.2, timer B).
const OPEN_S: u64 = 32;
/// Steps shown with a violation, unless `VIGIE_SIM_SHOWN` wants more.
const SHOWN: usize = 40;

/// What happens in the world.
enum Event {
    ToVigie { from: SocketAddr, bytes: Bytes },
    ToPhone { to: SocketAddr, bytes: Bytes },
    Wake { person: u32, timer: Timer },
    Later(Later),
    NewCall,
    Burst(u32),
    Ask,
    Steer,
    Dusk,
    Reload,
    Storm,
    Stray,
    Audit,
    Drain,
}

/// A violated invariant: the story to be read.
#[derive(Debug)]
pub struct Violation {
    pub what: String,
    pub story: String,
}

/// The whole simulated world.
pub struct World {
    now_us: u64,
    end_us: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Event>,
    pub subject: Subject,
    checks: Checks,
    people: BTreeMap<u32, Person>,
    by_address: HashMap<SocketAddr, u32>,
    by_call_id: HashMap<String, u32>,
    media: MediaPlane,
    recorder: RecorderPlane,
    chance: Chance,
    losses: u64,
    shown: VecDeque<(u64, Input, Vec<Action>)>,
    shown_max: usize,
    /// Every fact of the day, where somebody wants them.
    kept: Option<Vec<Fact>>,
    arrived: HashSet<String>,
    refused: HashSet<String>,
    orphans: HashMap<(u32, String), u64>,
    /// When each call of Vigie's to a phone went out first, and those that the phone was heard to ring for in time.
    rung: HashMap<String, u64>,
    heard: HashSet<String>,
    tickets: u64,
    drain: Option<Ticket>,
    /// The last answer to a question.
    replied: Option<Reply>,
    steps: u64,
    centre: Arc<Centre>,
}

impl World {
    pub fn new(seed: u64, plant: Plant) -> World {
        let centre = centre::centre();
        let mut chance = Chance::from_number(seed);
        let read = plant.misread(centre.clone());
        let useragent = UserAgent::new(centre::rules(), read.clone(), centre::credentials(&centre), chance.fork());
        let switch = Switch::new(read, "Vigie/sim".into(), chance.fork());
        let mut world = World {
            now_us: 0,
            end_us: (DAY_S + SHIFT_S + AFTER_S) * SECOND,
            order: 0,
            queue: BTreeMap::new(),
            subject: Subject::new(Decisions::new(useragent, switch), plant),
            checks: Checks::new(centre.clone()),
            people: BTreeMap::new(),
            by_address: HashMap::new(),
            by_call_id: HashMap::new(),
            media: MediaPlane::new(chance.fork()),
            recorder: RecorderPlane::new(chance.fork()),
            losses: chance.below(6) * 10,
            chance,
            shown: VecDeque::new(),
            kept: None,
            shown_max: crate::number("VIGIE_SIM_SHOWN").map_or(SHOWN, |count| count as usize),
            arrived: HashSet::new(),
            refused: HashSet::new(),
            orphans: HashMap::new(),
            rung: HashMap::new(),
            heard: HashSet::new(),
            tickets: 0,
            drain: None,
            replied: None,
            steps: 0,
            centre,
        };
        world.people_the_day();
        world
    }

    fn now(&self) -> Now {
        Now { moment: Moment(1_000 * SECOND + self.now_us), utc: Utc(START_UTC_US + self.now_us as i64) }
    }

    fn at(&mut self, time_us: u64, event: Event) {
        self.order += 1;
        self.queue.insert((time_us, self.order), event);
    }

    fn after(&mut self, span_us: u64, event: Event) {
        self.at(self.now_us + span_us, event);
    }

    /// Who comes to work when, and when the telephones ring.
    fn people_the_day(&mut self) {
        let users: Vec<String> = self.centre.regulators.keys().map(|id| id.as_str().to_owned()).collect();
        for (index, user) in users.iter().enumerate() {
            let devices = if index % 4 == 1 { 2 } else { 1 };
            // About seven of twelve at any time: some come late, some leave early, one never comes.
            let shift = self.chance.below(10);
            let starts = if shift < 6 { self.chance.below(30) } else { self.chance.below(DAY_S) };
            let ends =
                if shift < 3 { starts + 600 + self.chance.below(DAY_S) } else { DAY_S + self.chance.below(SHIFT_S) };
            if shift == 9 && index > 3 {
                continue;
            }
            for place in 0..devices {
                let id = 1_000_000 + index as u32 * 10 + place;
                let device = Device::new(user, (index * 10) as u8 + place as u8, self.chance.fork());
                self.people.insert(id, Person::Regulator(Box::new(device)));
                self.plan(id, starts * SECOND + u64::from(place) * SECOND, Wish::PowerOn);
                let lag = self.chance_us(5 * SECOND);
                self.plan(id, ends * SECOND + lag, Wish::EndShift);
                if place == 0 && index % 5 == 4 {
                    self.plan(id, (starts + 10) * SECOND, Wish::Errand("*11"));
                }
            }
        }
        self.after(5 * SECOND, Event::NewCall);
        let bursts = self.chance.below(3);
        for _ in 0..bursts {
            let at = self.chance_us(DAY_S * SECOND);
            let calls = 10 + self.chance.below(25) as u32;
            self.at(at, Event::Burst(calls));
        }
        self.after(SECOND, Event::Stray);
        self.after(60 * SECOND, Event::Ask);
        self.after(60 * SECOND, Event::Steer);
        self.after((DAY_S + SHIFT_S + 600) * SECOND, Event::Dusk);
        let targets = vec![Target { transport: Transport::Udp, address: centre::trunk(0) }];
        let resolved = Input::Resolved { trunk: "carrier".into(), targets, why: None };
        self.at(0, Event::Later(Later::Report(resolved)));
        let reload = self.chance_us(1_200 * SECOND);
        self.after(reload, Event::Reload);
        if self.chance.below(2) == 0 {
            let storm = self.chance_us(DAY_S * SECOND);
            self.after(storm, Event::Storm);
        }
        self.after(20 * SECOND, Event::Audit);
        if self.chance.below(2) == 0 {
            self.at((DAY_S + 60) * SECOND, Event::Drain);
        }
    }

    fn chance_us(&mut self, bound: u64) -> u64 {
        self.chance.below(bound)
    }

    fn plan(&mut self, person: u32, at_us: u64, wish: Wish) {
        self.at(at_us, Event::Wake { person, timer: Timer::Person(wish) });
    }

    /// Lives the whole day.
    pub fn run(&mut self) -> Result<Tally, Violation> {
        let result = self.live().and_then(|()| self.close());
        result.map_err(|what| Violation { what, story: self.tell() })
    }

    fn live(&mut self) -> Result<(), String> {
        loop {
            let tick = self.subject.deadline().map(|at| {
                // A loop that has much to do comes late now and then, and other inputs come first.
                let late = if at.0 % 10 == 0 { at.0 % 4_001 } else { 0 };
                (at.0.saturating_sub(1_000 * SECOND) + late).max(self.now_us)
            });
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            let is_tick = match (tick, next) {
                (Some(tick), Some(next)) => tick <= next,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => return Ok(()),
            };
            let at = if is_tick { tick } else { next }.unwrap_or(self.now_us);
            if at > self.end_us {
                self.now_us = self.end_us;
                return Ok(());
            }
            self.now_us = at;
            if is_tick {
                self.step(Input::Tick)?;
            } else if let Some((_, event)) = self.queue.pop_first() {
                self.happen(event)?;
            }
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::ToVigie { from, bytes } => {
                if bytes.starts_with(b"INVITE")
                    && let Some(text) = Text::read(&bytes)
                {
                    self.arrived.insert(text.header("call-id").to_owned());
                }
                self.hear_ringing(&bytes);
                self.step(Input::Sip { path: path(from), bytes })
            }
            Event::ToPhone { to, bytes } => self.deliver(to, &bytes),
            Event::Wake { person, timer } => {
                let now_ms = self.now_us / 1_000;
                let Some(who) = self.people.get_mut(&person) else { return Ok(()) };
                let was = who.phone().address;
                who.phone_mut().now_ms = now_ms;
                let mut turn = Turn::default();
                who.wake(timer, &mut turn);
                self.take_turn(person, was, turn);
                Ok(())
            }
            Event::Later(Later::Report(input)) => self.step(input),
            Event::Later(Later::Listen(leg)) => {
                let later = self.media.listen(leg, self.now_us);
                self.plan_later(later.into_iter().collect());
                Ok(())
            }
            Event::Later(Later::Played(leg, playing)) => {
                self.media.played(leg, playing).map_or(Ok(()), |input| self.step(input))
            }
            Event::Later(Later::Opened(leg)) => self.media.open(leg).map_or(Ok(()), |input| self.step(input)),
            Event::NewCall => self.new_call(),
            Event::Burst(left) => self.burst(left),
            Event::Ask => self.ask(),
            Event::Steer => self.steer(),
            Event::Dusk => self.dusk(),
            Event::Reload => self.reload(),
            Event::Storm => {
                self.storm();
                Ok(())
            }
            Event::Stray => self.stray(),
            Event::Audit => self.audit(),
            Event::Drain => {
                self.tickets += 1;
                self.drain = Some(Ticket(self.tickets));
                self.step(Input::Command { ticket: Ticket(self.tickets), command: Command::Drain })
            }
        }
    }

    /// Keeps every fact from now on.
    pub fn keep_facts(&mut self) {
        self.kept = Some(Vec::new());
    }

    /// The facts kept.
    pub fn kept_facts(self) -> Vec<Fact> {
        self.kept.unwrap_or_default()
    }

    /// One step of the decisions, checked, and what it asks carried out.
    fn step(&mut self, input: Input) -> Result<(), String> {
        self.steps += 1;
        let mut actions = Vec::new();
        let now = self.now();
        self.subject.step(input.clone(), now, &mut actions);
        let (switch, deadline) = (self.subject.inner.switch(), self.subject.deadline());
        let checked = self.checks.after_step(switch, now, &actions);
        let ticked = self.checks.after_tick(&input, deadline, now.moment);
        let outcome = checked.and(ticked).and_then(|()| self.carry_out(&input, &actions));
        let outcome = outcome.and_then(|()| self.check_hearing());
        if self.shown.len() >= self.shown_max {
            self.shown.pop_front();
        }
        self.shown.push_back((self.now_us, input, actions));
        outcome
    }

    fn carry_out(&mut self, input: &Input, actions: &[Action]) -> Result<(), String> {
        let mut replies = 0;
        for action in actions {
            match action {
                Action::Send { path, bytes } => self.send(path.peer, bytes),
                Action::Media(command) => {
                    let outcome = self.media.command(command, self.now_us)?;
                    self.plan_later(outcome.later);
                    for (rtp, has_voice) in outcome.voices {
                        self.give_voice(rtp, has_voice);
                    }
                }
                Action::Recorder(command) => {
                    let later = self.recorder.command(command, self.now().utc)?;
                    self.plan_later(later);
                }
                Action::Reply { ticket, reply } => {
                    if self.drain == Some(*ticket) {
                        demand!(*reply == Reply::Drained, "a drain was answered {reply:?}");
                        self.drain = None;
                    } else {
                        replies += 1;
                        self.replied = Some(reply.clone());
                    }
                }
                Action::Alarm(alarm) => demand!(alarm.kind != "call-fault", "a call's own fault: {}", alarm.text),
                Action::Store(facts) => {
                    if let Some(kept) = &mut self.kept {
                        kept.extend(facts.iter().cloned());
                    }
                }
                Action::Count(_) | Action::Notice(_) | Action::Resolve { .. } | Action::Ban { .. } => {}
            }
        }
        let is_asked = matches!(input, Input::Command { command, .. } if *command != Command::Drain);
        demand!(replies == usize::from(is_asked), "{replies} replies to {input:?}");
        Ok(())
    }

    fn plan_later(&mut self, later: Vec<(u64, Later)>) {
        for (span, what) in later {
            self.after(span, Event::Later(what));
        }
    }

    /// The network: late, lost, twice, overtaken.
    fn carry(&mut self, make: impl Fn() -> Event) {
        if self.chance.below(1000) < self.losses {
            return;
        }
        let copies = 1 + u64::from(self.chance.below(100) == 0);
        for _ in 0..copies {
            let delay = 1_000 + self.chance_us(39_000);
            self.after(delay, make());
        }
    }

    fn send(&mut self, to: SocketAddr, bytes: &Bytes) {
        let is_refusal = !bytes.starts_with(b"SIP/2.0 1") && !bytes.starts_with(b"SIP/2.0 2");
        if is_refusal
            && bytes.starts_with(b"SIP/2.0")
            && let Some(text) = Text::read(bytes)
        {
            self.refused.insert(text.header("call-id").to_owned());
        }
        if bytes.starts_with(b"INVITE ")
            && let Some(text) = Text::read(bytes)
        {
            self.rung.entry(text.header("call-id").to_owned()).or_insert(self.now_us);
        }
        self.carry(|| Event::ToPhone { to, bytes: bytes.clone() });
    }

    fn deliver(&mut self, to: SocketAddr, bytes: &Bytes) -> Result<(), String> {
        let text = Text::read(bytes).ok_or("Vigie sent what is no SIP")?;
        let person = match self.by_address.get(&to) {
            Some(person) => *person,
            None => match self.by_call_id.get(text.header("call-id")) {
                Some(person) => *person,
                None => match self.callee(to, &text) {
                    Some(person) => person,
                    None => return Ok(()),
                },
            },
        };
        let now_ms = self.now_us / 1_000;
        let Some(who) = self.people.get_mut(&person).filter(|who| who.is_alive()) else { return Ok(()) };
        if let (Person::Regulator(device), "INVITE") = (&*who, text.method())
            && !text.header("to").contains(";tag=")
        {
            let (call, user) = (text.header("x-vigie-call"), device.user.as_str());
            let is_offered = self.checks.may_ring(call, user);
            demand!(is_offered, "{user}'s phone rings for {call}, which was never offered to {user}");
        }
        who.phone_mut().now_ms = now_ms;
        let was = who.phone().address;
        let mut turn = Turn::default();
        who.hear(&text, &mut turn);
        self.take_turn(person, was, turn);
        Ok(())
    }

    /// What a phone did goes out into the world.
    fn take_turn(&mut self, person: u32, was: SocketAddr, turn: Turn) {
        let Some(who) = self.people.get(&person) else { return };
        let from = who.phone().address;
        match who {
            Person::Regulator(_) => {
                if was != from {
                    self.by_address.remove(&was);
                }
                self.by_address.insert(from, person);
            }
            Person::Caller(caller) => {
                for call_id in &caller.call_ids {
                    if !self.by_call_id.contains_key(call_id) {
                        self.by_call_id.insert(call_id.clone(), person);
                    }
                }
            }
            Person::Outsider(_) => {}
        }
        for bytes in turn.sends {
            let bytes = Bytes::from(bytes);
            self.carry(|| Event::ToVigie { from, bytes: bytes.clone() });
        }
        for (after_ms, timer) in turn.timers {
            self.after(after_ms * 1_000, Event::Wake { person, timer });
        }
        for (rtp, digit) in turn.keys {
            self.press(rtp, digit);
        }
        for (rtp, is_sending) in turn.rtp {
            let later = self.media.source(rtp, is_sending, self.now_us);
            self.plan_later(later);
        }
    }

    fn give_voice(&mut self, rtp: SocketAddr, has_voice: bool) {
        let heard = self.people.iter_mut().find_map(|(id, who)| match who {
            Person::Caller(caller) if caller.phone.talks.values().any(|t| t.rtp == rtp && t.stage != Stage::Over) => {
                let mut turn = Turn::default();
                caller.hear_voice(has_voice, &mut turn);
                Some((*id, caller.phone.address, turn))
            }
            Person::Caller(_) | Person::Regulator(_) | Person::Outsider(_) => None,
        });
        if let Some((person, address, turn)) = heard {
            self.take_turn(person, address, turn);
        }
    }

    /// When it was, in virtual seconds.
    pub fn seconds(&self) -> f64 {
        self.now_us as f64 / SECOND as f64
    }
}

fn path(peer: SocketAddr) -> Path {
    Path { listener: 0, transport: Transport::Udp, peer }
}
