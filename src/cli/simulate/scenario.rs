//! What a simulation plays: a centre, who is on duty when, and who calls with how much patience.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Centre, LineId, RegulatorId, Utc};

/// The most attempts of one caller: the first call and those after giving up.
pub const ATTEMPTS_MAX: usize = 3;

/// Everything that happens from outside; the same for every policy, so that policies alone make the difference.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The centre.
    pub centre: Arc<Centre>,
    /// Its regulators, in the order of their ids; a person is an index here.
    pub people: Vec<RegulatorId>,
    /// Its lines, in the order of their ids; a line is an index here.
    pub lines: Vec<LineId>,
    /// Who is on duty when, by the beginning.
    pub duties: Arc<[Duty]>,
    /// Who calls, by the time of the first call.
    pub callers: Vec<CallerPlan>,
    /// How phones ring.
    pub ringing: Ringing,
    /// What a call from another region takes longer.
    pub away: Away,
    /// When it begins; moment 0.
    pub start: Utc,
    /// How long calls come.
    pub span: Duration,
}

/// One person's shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duty {
    /// Who.
    pub person: usize,
    /// From, after the start.
    pub from: Duration,
    /// Until, after the start.
    pub to: Duration,
}

/// One person who calls, and all that chance has in store for that person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallerPlan {
    /// The first call, after the start.
    pub at: Duration,
    /// Which line.
    pub line: usize,
    /// Its priority, where it is not the line's.
    pub priority: Option<u8>,
    /// How long the call takes at a regulator of the caller's own region.
    pub handling: Duration,
    /// How long the regulator rests afterwards.
    pub wrap_up: Duration,
    /// How long each attempt waits, and after how long the next one follows, if any.
    pub attempts: [Attempt; ATTEMPTS_MAX],
    /// What the ringing of each offer is drawn from.
    pub luck: u64,
}

/// One attempt of a caller.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Attempt {
    /// The caller hangs up after so long without an answer.
    pub patience: Duration,
    /// And calls again after so long.
    pub again_after: Option<Duration>,
}

/// How phones ring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ringing {
    /// Mean time until somebody picks up (exponential); zero is at once.
    pub mean: Duration,
    /// The share of offers that nobody picks up.
    pub unanswered: f64,
}

/// What a call takes at a regulator of another region, as a factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Away {
    /// A region that the regulator serves beside the own one.
    pub second: f64,
    /// Any other.
    pub other: f64,
}

impl Scenario {
    /// Regulators on duty, on average over the time that calls come.
    pub fn on_duty_mean(&self) -> f64 {
        let inside = |duty: &Duty| duty.to.min(self.span).saturating_sub(duty.from).as_secs_f64();
        self.duties.iter().map(inside).sum::<f64>() / self.span.as_secs_f64().max(1.0)
    }

    /// How much longer a call of `line` takes at `person`, and whether the person is from another region.
    pub fn distance(&self, line: usize, person: usize) -> (f64, bool) {
        let line = self.lines.get(line).and_then(|id| self.centre.lines.get(id));
        let person = self.people.get(person).and_then(|id| self.centre.regulators.get(id));
        let (Some(line), Some(person)) = (line, person) else { return (1.0, false) };
        match person.regions.get(&line.demand.region) {
            Some(0) => (1.0, false),
            Some(_) => (self.away.second, true),
            None => (self.away.other, true),
        }
    }
}
