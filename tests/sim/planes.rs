//! The media plane and the recorder, modelled: what they are asked, and what they report, late or never.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use vigie::model::media::AfterSounds;
use vigie::model::{
    CallId, Chance, Input, LegId, LegQuality, MIX_LEGS_MAX, MediaCommand, MediaReport, RecorderCommand, RecorderReport,
    Utc,
};

use crate::centre::SOUND_MS;

/// Without RTP for so long, a watched leg is silent.
const SILENCE_US: u64 = 30_000_000;

/// What happens later in the planes.
#[derive(Clone, Debug)]
pub enum Later {
    /// This reaches the decisions.
    Report(Input),
    /// A leg's silence is looked at.
    Listen(LegId),
    /// A sound is over, if nothing else was played meanwhile.
    Played(LegId, u64),
    /// A port is open.
    Opened(LegId),
}

/// What a command brings about.
#[derive(Default)]
pub struct Outcome {
    /// After so many microseconds.
    pub later: Vec<(u64, Later)>,
    /// The far ends that hear a voice from now on, or do not.
    pub voices: Vec<(SocketAddr, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Watch {
    Off,
    Since(u64),
    Reported,
}

#[derive(Debug)]
struct MediaLeg {
    remote: Option<SocketAddr>,
    watch: Watch,
    playing: u64,
    /// Whom its far end hears.
    hears: BTreeSet<LegId>,
    is_open: bool,
    pub is_recorded: bool,
}

/// The media plane.
pub struct MediaPlane {
    legs: BTreeMap<LegId, MediaLeg>,
    /// Whether RTP comes from these sockets, and since when.
    sources: HashMap<SocketAddr, (bool, u64)>,
    chance: Chance,
    count: u64,
    /// Legs asked for, and legs that came to their end.
    pub opened: u64,
    pub closed: u64,
    /// Legs in each call's recording that are still open.
    pub strays: u64,
}

impl MediaPlane {
    pub fn new(chance: Chance) -> MediaPlane {
        MediaPlane { legs: BTreeMap::new(), sources: HashMap::new(), chance, count: 0, opened: 0, closed: 0, strays: 0 }
    }

    /// Legs that are open.
    pub fn legs_open(&self) -> Vec<LegId> {
        self.legs.keys().copied().collect()
    }

    /// RTP begins or stops to come from a phone's socket.
    pub fn source(&mut self, rtp: SocketAddr, is_sending: bool, now_us: u64) -> Vec<(u64, Later)> {
        self.sources.insert(rtp, (is_sending, now_us));
        if is_sending {
            return Vec::new();
        }
        let legs = self.legs.iter().filter(|(_, leg)| leg.remote == Some(rtp));
        legs.map(|(id, _)| (SILENCE_US, Later::Listen(*id))).collect()
    }

    /// Looks whether a leg has fallen silent.
    pub fn listen(&mut self, id: LegId, now_us: u64) -> Option<(u64, Later)> {
        let leg = self.legs.get_mut(&id)?;
        let Watch::Since(since) = leg.watch else { return None };
        let source = leg.remote.and_then(|rtp| self.sources.get(&rtp));
        let quiet_since = match source {
            Some((true, _)) => return None,
            Some((false, stopped)) => since.max(*stopped),
            None => since,
        };
        let quiet = now_us.saturating_sub(quiet_since);
        if quiet < SILENCE_US {
            return Some((SILENCE_US - quiet, Later::Listen(id)));
        }
        leg.watch = Watch::Reported;
        Some((0, Later::Report(Input::Media(MediaReport::Silent { leg: id }))))
    }

    /// A sound came to its end.
    pub fn played(&mut self, id: LegId, playing: u64) -> Option<Input> {
        let leg = self.legs.get(&id)?;
        (leg.playing == playing).then_some(Input::Media(MediaReport::Played { leg: id }))
    }

    /// A port was opened; `None` when it was closed meanwhile.
    pub fn open(&mut self, id: LegId) -> Option<Input> {
        let leg = self.legs.get_mut(&id)?;
        leg.is_open = true;
        self.count += 1;
        let rtp = SocketAddr::from(([10, 0, 0, 1], 20_000 + 2 * (self.count % 20_000) as u16));
        Some(Input::Media(MediaReport::Opened { leg: id, rtp }))
    }

    /// Carries a command out.
    pub fn command(&mut self, command: &MediaCommand, now_us: u64) -> Result<Outcome, String> {
        let mut outcome = Outcome::default();
        match command {
            MediaCommand::Open { leg } => {
                let new = MediaLeg {
                    remote: None,
                    watch: Watch::Off,
                    playing: 0,
                    hears: BTreeSet::new(),
                    is_open: false,
                    is_recorded: false,
                };
                if self.legs.insert(*leg, new).is_some() {
                    return Err(format!("leg {leg} was opened twice"));
                }
                self.opened += 1;
                self.open_later(*leg, &mut outcome);
            }
            MediaCommand::Aim { leg, remote } => {
                if let Some(open) = self.find(*leg) {
                    open.remote = Some(remote.rtp);
                    let heard = !open.hears.is_empty();
                    outcome.voices.push((remote.rtp, heard));
                }
            }
            MediaCommand::Play { leg, sounds, after } => self.play(*leg, sounds.len() as u64, *after, &mut outcome),
            MediaCommand::Rename { from, to } => {
                if !from.call.is_beside(to.call) {
                    return Err(format!("leg {from} would be {to} on another thread"));
                }
                let leg = self.legs.remove(from).ok_or(format!("no leg {from} to be named {to}"))?;
                if self.legs.insert(*to, leg).is_some() {
                    return Err(format!("{from} took the name of {to}, which is open"));
                }
                for leg in self.legs.values_mut() {
                    if leg.hears.remove(from) {
                        leg.hears.insert(*to);
                    }
                }
            }
            MediaCommand::Quiet { leg } => {
                if let Some(open) = self.find(*leg) {
                    open.playing += 1;
                }
            }
            MediaCommand::Bridge { a, b } => {
                let both = [(*a, [*b].into()), (*b, [*a].into())];
                self.join(both.into(), &mut outcome);
            }
            MediaCommand::Mix { legs } => {
                if legs.len() > MIX_LEGS_MAX {
                    return Err(format!("a mix of {} legs", legs.len()));
                }
                let ears = legs.iter().map(|one| (one.leg, one.hears.iter().copied().collect()));
                self.join(ears.collect(), &mut outcome);
            }
            // No phone of the simulation sends INFO.
            MediaCommand::Key { .. } | MediaCommand::Tone { .. } => {}
            MediaCommand::Unbridge { leg } => self.part(*leg, &mut outcome),
            MediaCommand::Record { leg, on } => {
                if let Some(open) = self.find(*leg) {
                    open.is_recorded = *on;
                }
            }
            MediaCommand::Watch { leg, on } => {
                if let Some(open) = self.find(*leg) {
                    open.watch = if *on { Watch::Since(now_us) } else { Watch::Off };
                    outcome.later.push((SILENCE_US, Later::Listen(*leg)));
                }
            }
            MediaCommand::Close { leg } => {
                self.part(*leg, &mut outcome);
                if self.legs.remove(leg).is_some() {
                    self.closed += 1;
                    let quality = Box::new(LegQuality { packets_received: 50, ..LegQuality::default() });
                    let after = 200 + self.chance.below(3_000);
                    let report = Later::Report(Input::Media(MediaReport::Closed { leg: *leg, quality }));
                    outcome.later.push((after, report));
                }
            }
        }
        Ok(outcome)
    }

    /// The leg, counting commands for one that is not there.
    fn find(&mut self, leg: LegId) -> Option<&mut MediaLeg> {
        if !self.legs.contains_key(&leg) {
            self.strays += 1;
        }
        self.legs.get_mut(&leg)
    }

    fn open_later(&mut self, leg: LegId, outcome: &mut Outcome) {
        match self.chance.below(1000) {
            0..=3 => {
                self.legs.remove(&leg);
                self.closed += 1;
                let why = "no port is free".to_owned();
                outcome.later.push((300, Later::Report(Input::Media(MediaReport::OpenFailed { leg, why }))));
            }
            4 => outcome.later.push((6_500_000, Later::Opened(leg))),
            _ => outcome.later.push((200 + self.chance.below(2_500), Later::Opened(leg))),
        }
    }

    fn play(&mut self, leg: LegId, sounds: u64, after: AfterSounds, outcome: &mut Outcome) {
        let Some(open) = self.find(leg) else { return };
        open.playing += 1;
        let playing = open.playing;
        match after {
            AfterSounds::Report => outcome.later.push((sounds * SOUND_MS * 1000, Later::Played(leg, playing))),
            AfterSounds::RepeatLast => {}
        }
    }

    fn part(&mut self, leg: LegId, outcome: &mut Outcome) {
        let before = self.voices();
        self.take_out(leg);
        self.tell_voices(&before, outcome);
    }

    fn take_out(&mut self, leg: LegId) {
        for (id, open) in &mut self.legs {
            open.hears.remove(&leg);
            if *id == leg {
                open.hears.clear();
            }
        }
    }

    /// Each of these hears those named, in place of whomever it heard; who is not among them hears them no more.
    fn join(&mut self, ears: Vec<(LegId, BTreeSet<LegId>)>, outcome: &mut Outcome) {
        let before = self.voices();
        for (leg, _) in &ears {
            self.take_out(*leg);
        }
        for (leg, hears) in ears {
            let open: BTreeSet<LegId> = hears.into_iter().filter(|other| self.legs.contains_key(other)).collect();
            if let Some(ear) = self.find(leg) {
                ear.playing += 1;
                ear.hears = open;
            }
        }
        self.tell_voices(&before, outcome);
    }

    /// The legs whose far ends hear somebody.
    fn voices(&self) -> BTreeSet<LegId> {
        self.legs.iter().filter(|(_, leg)| !leg.hears.is_empty()).map(|(id, _)| *id).collect()
    }

    fn tell_voices(&self, before: &BTreeSet<LegId>, outcome: &mut Outcome) {
        for (id, leg) in &self.legs {
            let (had, has) = (before.contains(id), !leg.hears.is_empty());
            outcome.voices.extend(leg.remote.filter(|_| had != has).map(|rtp| (rtp, has)));
        }
    }

    /// Whom a leg's far end hears.
    pub fn hears(&self, leg: LegId) -> impl Iterator<Item = LegId> {
        self.legs.get(&leg).into_iter().flat_map(|open| open.hears.iter().copied())
    }

    /// The leg that sends to this socket.
    pub fn leg_of(&self, rtp: SocketAddr) -> Option<LegId> {
        self.legs.iter().find(|(_, leg)| leg.remote == Some(rtp)).map(|(id, _)| *id)
    }
}

/// What the recorder was asked for one call.
#[derive(Debug, Default)]
struct Take {
    legs: Vec<LegId>,
    is_finished: bool,
}

/// The recorder, on slow storage.
pub struct RecorderPlane {
    takes: BTreeMap<CallId, Take>,
    chance: Chance,
    /// The calls that are sealed, or will be, in the order of the seal log.
    pub sealed: Vec<CallId>,
}

impl RecorderPlane {
    pub fn new(chance: Chance) -> RecorderPlane {
        RecorderPlane { takes: BTreeMap::new(), chance, sealed: Vec::new() }
    }

    /// Calls whose recording was begun and never finished.
    pub fn unfinished(&self) -> Vec<CallId> {
        self.takes.iter().filter(|(_, take)| !take.is_finished).map(|(call, _)| *call).collect()
    }

    /// Calls whose recording was begun.
    pub fn begun(&self) -> BTreeSet<CallId> {
        self.takes.keys().copied().collect()
    }

    /// Carries a command out; its reports come after so many microseconds.
    pub fn command(&mut self, command: &RecorderCommand, now: Utc) -> Result<Vec<(u64, Later)>, String> {
        match command {
            RecorderCommand::Begin { call, .. } => {
                if self.takes.insert(*call, Take::default()).is_some() {
                    return Err(format!("the recording of {call} was begun twice"));
                }
                Ok(Vec::new())
            }
            RecorderCommand::Leg { leg, .. } => {
                let take = self.takes.get_mut(&leg.call).filter(|take| !take.is_finished);
                let take = take.ok_or_else(|| format!("leg {leg} joined a recording that is not running"))?;
                if take.legs.contains(leg) {
                    return Err(format!("leg {leg} joined its recording twice"));
                }
                take.legs.push(*leg);
                Ok(Vec::new())
            }
            RecorderCommand::Turn { .. } | RecorderCommand::Pause { .. } | RecorderCommand::Resume { .. } => {
                Ok(Vec::new())
            }
            RecorderCommand::Finish { call, record, .. } => {
                let take = self.takes.get_mut(call).filter(|take| !take.is_finished);
                let take = take.ok_or_else(|| format!("the recording of {call} was finished without a beginning"))?;
                take.is_finished = true;
                Ok(self.seal(*call, now, record))
            }
        }
    }

    /// Mostly sealed within seconds; on a bad day told as failed after a minute, and sealed late or never.
    fn seal(&mut self, call: CallId, now: Utc, record: &vigie::model::CallRecord) -> Vec<(u64, Later)> {
        let report = |report| Later::Report(Input::Recorder(report));
        let failure = || report(RecorderReport::Failed { call, reason: "the disk is full".into() });
        let (roll, fraction) = (self.chance.below(1000), self.chance.fraction());
        let mut reports = match roll {
            0 => return Vec::new(),
            1..=5 => return vec![(60_000_000, failure())],
            6..=25 => vec![(60_000_000, failure())],
            _ => Vec::new(),
        };
        let after = if reports.is_empty() { 50_000.0 } else { 61_000_000.0 } + 59_000_000.0 * fraction.powi(4);
        self.sealed.push(call);
        let sealed = crate::sealing::sealed(call, self.sealed.len() as u64, now, record);
        reports.push((after as u64, report(RecorderReport::Sealed(Box::new(sealed)))));
        reports
    }
}
