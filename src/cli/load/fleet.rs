//! The one thread that all callers and regulators live on: its wait, its sockets, its timers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::time::Timespec;

use super::ng::{NgPlan, NgSetup};
use super::numbered::LoadSide;
use super::setup::{CallNews, Ground};
use super::sip::{SipPlan, SipSetup};
use super::spread::Spread;
use super::voices::{Speech, Voices, leg_of, life};
use crate::clock;
use crate::model::{Chance, Moment};

const EVENTS_MAX: usize = 512;
/// Registrations asked for in a second.
const REGISTER_RATE: u32 = 500;
/// The shortest sleep: packets due meanwhile leave together, so that this program leaves the machine to the server.
const SLEEP_MIN: Duration = Duration::from_micros(200);
/// After the last call, for what is still on its way.
const LINGER: Duration = Duration::from_secs(1);
/// For an answer to a BYE: a server that does not answer must not hold the run for ever.
const BYE_PATIENCE: Duration = Duration::from_secs(10);

/// How calls are set up.
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
pub enum Setup {
    /// By SIP.
    Sip(SipSetup),
    /// By the ng protocol.
    Ng(NgSetup),
}

/// How calls are to be set up.
pub enum SetupPlan {
    /// By SIP; these accounts register first.
    Sip(SipPlan, Vec<(String, String)>),
    /// By the ng protocol.
    Ng(NgPlan),
}

/// What is to be played.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Calls in all.
    pub calls: u32,
    /// New ones a second.
    pub rate: f64,
    /// How long a call may take until both sides hear each other.
    pub patience: Duration,
}

/// What is to be done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Register,
    Dial,
    GiveUp(u32),
    HangUp(u32),
    Abandon(u32),
    Leave,
    Tell,
    Stop,
}

/// A call's row.
#[derive(Clone, Copy, Debug)]
pub struct CallRow {
    /// When it was dialled.
    pub dialled: Moment,
    /// When the caller heard the regulator first.
    pub talking: Option<Moment>,
    /// It is over.
    pub over: Option<Moment>,
}

/// What happened to the calls.
#[derive(Debug, Default)]
pub struct Calls {
    /// A row a call.
    pub rows: Vec<CallRow>,
    /// When regulators' legs were rung.
    pub rung: Vec<Moment>,
    /// From INVITE to 200.
    pub accepted: Spread,
    /// From INVITE to the first word heard of the regulator.
    pub talked: Spread,
    /// What went wrong, and how often.
    pub faults: BTreeMap<String, u64>,
    /// Registered regulators.
    pub registered: u32,
    /// Calls that are over.
    pub over: u32,
    /// The most calls at once in which both sides talked.
    pub at_once: u32,
    talking: u32,
}

impl Calls {
    fn fault(&mut self, why: impl Into<String>) {
        *self.faults.entry(why.into()).or_default() += 1;
    }

    /// Ends a row; whether it was open.
    fn end(&mut self, index: u32, now: Moment) -> bool {
        let Some(row) = self.rows.get_mut(index as usize).filter(|row| row.over.is_none()) else { return false };
        row.over = Some(now);
        self.over += 1;
        self.talking -= u32::from(row.talking.is_some());
        true
    }

    /// From when to when all calls that talked did so at once, in microseconds since the machine's start; `None` when
    /// there is no such time.
    pub fn all_talking(&self) -> Option<(u64, u64)> {
        let talked = || self.rows.iter().filter(|row| row.talking.is_some());
        let (from, until) = (talked().filter_map(|row| row.talking).max()?, talked().filter_map(|row| row.over).min()?);
        (from < until).then_some((from.0, until.0))
    }

    /// Seconds in which both sides talked, of all calls together.
    pub fn talk_seconds(&self) -> f64 {
        let of = |row: &CallRow| Some(row.over?.since(row.talking?).as_secs_f64());
        self.rows.iter().filter_map(of).sum()
    }
}

/// All callers and regulators of a run.
pub struct Fleet {
    epoll: OwnedFd,
    setup: Setup,
    /// The legs.
    pub voices: Voices,
    /// The calls.
    pub calls: Calls,
    pace: Pace,
    accounts: u32,
    timers: BinaryHeap<Reverse<(Moment, Act)>>,
    news: Vec<CallNews>,
    started: Moment,
    stopped: bool,
}

impl Fleet {
    /// Binds the sockets.
    ///
    /// # Errors
    /// When an address cannot be bound, or epoll is not to be had.
    pub fn new(plan: SetupPlan, speech: Speech, pace: Pace) -> io::Result<Fleet> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut voices = Voices::new(speech, Chance::from_number(u64::from(speech.run)));
        let (now, mut news) = (clock::moment(), Vec::new());
        let mut ground = Ground { voices: &mut voices, epoll: &epoll, news: &mut news, now };
        let (setup, accounts) = match plan {
            SetupPlan::Sip(plan, accounts) => {
                let count = accounts.len() as u32;
                (Setup::Sip(SipSetup::new(plan, accounts, &mut ground)?), count)
            }
            SetupPlan::Ng(plan) => (Setup::Ng(NgSetup::new(plan, &mut ground)?), 0),
        };
        let first = if accounts > 0 { Act::Register } else { Act::Dial };
        let timers = [first, Act::Tell].map(|act| Reverse((now, act))).into_iter().collect();
        let calls = Calls::default();
        Ok(Fleet { epoll, setup, voices, calls, pace, accounts, timers, news, started: now, stopped: false })
    }

    /// Plays the whole run; `tell` is called every second.
    ///
    /// # Errors
    /// When the sockets cannot be waited for.
    pub fn run(&mut self, tell: &mut dyn FnMut(&Fleet, Duration)) -> io::Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
        while !self.stopped {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&self.wait())) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(fault) => return Err(fault.into()),
            }
            for event in &events {
                let token = event.data.u64();
                if !self.with_setup(|setup, ground| match setup {
                    Setup::Sip(sip) => sip.receive(token, ground),
                    Setup::Ng(ng) => ng.receive(token, ground),
                }) {
                    self.voices.hear(leg_of(token));
                }
            }
            let now = clock::moment();
            self.voices.speak(now);
            self.with_setup(|setup, ground| match setup {
                Setup::Sip(sip) => sip.tick(ground),
                Setup::Ng(_) => {}
            });
            self.take_news(now);
            while let Some((at, act)) = self.next_due(now) {
                match act {
                    Act::Tell => {
                        tell(self, now.since(self.started));
                        self.later(at + Duration::from_secs(1), Act::Tell);
                    }
                    act => self.act(act, at, now),
                }
            }
        }
        Ok(())
    }

    fn next_due(&mut self, now: Moment) -> Option<(Moment, Act)> {
        self.timers.peek().filter(|Reverse((at, _))| *at <= now)?;
        self.timers.pop().map(|Reverse(due)| due)
    }

    fn wait(&self) -> Timespec {
        let setup = match &self.setup {
            Setup::Sip(sip) => sip.deadline(),
            Setup::Ng(ng) => ng.deadline(),
        };
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let next = self.voices.deadline().into_iter().chain(setup).chain(timer).min();
        let span = next.map_or(Duration::from_secs(1), |at| at.since(clock::moment()));
        let span = if span.is_zero() { span } else { span.max(SLEEP_MIN) };
        Timespec { tv_sec: span.as_secs() as i64, tv_nsec: span.subsec_nanos() as _ }
    }

    fn with_setup<T>(&mut self, act: impl FnOnce(&mut Setup, &mut Ground) -> T) -> T {
        let Fleet { setup, voices, epoll, news, .. } = self;
        act(setup, &mut Ground { voices, epoll, news, now: clock::moment() })
    }

    fn later(&mut self, at: Moment, act: Act) {
        self.timers.push(Reverse((at, act)));
    }

    fn act(&mut self, act: Act, at: Moment, now: Moment) {
        match act {
            Act::Register | Act::Leave => {
                let leaving = act == Act::Leave;
                let more = self.with_setup(|setup, ground| match setup {
                    Setup::Sip(sip) => sip.register_next(leaving, ground),
                    Setup::Ng(_) => false,
                });
                if more {
                    self.later(at + Duration::from_secs(1) / REGISTER_RATE, act);
                }
            }
            Act::Dial => {
                let index = self.calls.rows.len() as u32;
                self.calls.rows.push(CallRow { dialled: now, talking: None, over: None });
                self.with_setup(|setup, ground| match setup {
                    Setup::Sip(sip) => sip.dial(ground),
                    Setup::Ng(ng) => ng.dial(ground),
                });
                self.later(now + self.pace.patience, Act::GiveUp(index));
                if index + 1 < self.pace.calls {
                    self.later(at + Duration::from_secs_f64(1.0 / self.pace.rate), Act::Dial);
                }
            }
            Act::GiveUp(index) => {
                let row = self.calls.rows.get(index as usize);
                if row.is_some_and(|row| row.talking.is_none() && row.over.is_none()) {
                    self.calls.fault("the sides did not hear each other in time");
                    self.act(Act::HangUp(index), at, now);
                }
            }
            Act::HangUp(index) => {
                self.with_setup(|setup, ground| match setup {
                    Setup::Sip(sip) => sip.hang_up(index, ground),
                    Setup::Ng(ng) => ng.hang_up(index, ground),
                });
                self.later(now + BYE_PATIENCE, Act::Abandon(index));
            }
            Act::Abandon(index) => {
                if self.calls.end(index, now) {
                    self.calls.fault("hanging up was not answered");
                }
                self.stop_when_over(now);
            }
            Act::Stop => self.stopped = true,
            Act::Tell => {}
        }
    }

    fn take_news(&mut self, now: Moment) {
        for leg in std::mem::take(&mut self.voices.begun) {
            if leg.side != LoadSide::Caller {
                continue;
            }
            let Some(row) = self.calls.rows.get_mut(leg.index as usize) else { continue };
            row.talking = Some(now);
            self.calls.talked.add(now.since(row.dialled));
            self.calls.talking += 1;
            self.calls.at_once = self.calls.at_once.max(self.calls.talking);
            self.later(now + life(self.voices.speech().duration), Act::HangUp(leg.index));
        }
        for news in std::mem::take(&mut self.news) {
            match news {
                CallNews::Accepted { index } => {
                    if let Some(row) = self.calls.rows.get(index as usize) {
                        self.calls.accepted.add(now.since(row.dialled));
                    }
                }
                CallNews::Failed { index, why } => {
                    self.calls.fault(why);
                    self.calls.end(index, now);
                }
                CallNews::Ended { index, by_server } => {
                    if by_server {
                        self.calls.fault("the server hung up");
                    }
                    self.calls.end(index, now);
                }
                CallNews::Rung { index } => {
                    self.calls.rung.resize((index as usize).max(self.calls.rung.len()), now);
                    self.calls.rung.push(now);
                }
                CallNews::NotTaken { why } => self.calls.fault(why),
                CallNews::Registered => {
                    self.calls.registered += 1;
                    self.dial_when_registered(now);
                }
                CallNews::Unregistered => {
                    self.calls.registered = self.calls.registered.saturating_sub(1);
                    if self.calls.registered == 0 {
                        self.later(now, Act::Stop);
                    }
                }
                CallNews::NotRegistered { why } => {
                    self.calls.fault(why);
                    self.accounts = self.accounts.saturating_sub(1);
                    self.dial_when_registered(now);
                }
            }
        }
        self.stop_when_over(now);
    }

    /// The first call, once everybody who can be is registered.
    fn dial_when_registered(&mut self, now: Moment) {
        if self.calls.rows.is_empty() && self.calls.registered >= self.accounts {
            self.later(now, if self.accounts == 0 { Act::Stop } else { Act::Dial });
        }
    }

    fn stop_when_over(&mut self, now: Moment) {
        if self.calls.over < self.pace.calls || self.pace.calls == 0 {
            return;
        }
        // Once: what comes later finds no more calls to wait for.
        self.pace.calls = 0;
        if self.calls.registered > 0 {
            self.later(now + LINGER, Act::Leave);
            self.later(now + LINGER + Duration::from_secs(5), Act::Stop);
        } else {
            self.later(now + LINGER, Act::Stop);
        }
    }
}
