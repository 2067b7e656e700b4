//! From calls, offers and changes of state to figures: pure counting.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::{CallId, OfferEnd, Outcome, RegulatorId, RegulatorState, Utc};

use super::persons::Persons;
use super::{By, Statistics};

/// Callers who hang up within so long are counted apart, in milliseconds: they changed their mind.
const SHORT_MS: u64 = 10_000;

/// An hour in microseconds.
const HOUR_US: i64 = 3_600_000_000;

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The id of the line, association, region, skill or regulator; of an hour its beginning, RFC 3339 in UTC.
    pub key: String,
    /// Its figures.
    pub figures: Figures,
}

/// What is counted. Calls count where they were received; times in milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Calls that came (`call.received`; those with `callback_of` are ours, and no such; nor is what a regulator dialled). Of a regulator: nothing.
    pub received: u64,
    /// Calls that came and entered the waiting room (`call.queued`). Of a regulator: offers that were made (`call.offered`).
    pub offered: u64,
    /// Calls that a regulator answered (`call.answered`), each once; one whose caller asked for a call-back where and when
    /// the call-back was placed that reached the caller, with the whole wait. Of a regulator: offers that were answered.
    pub answered: u64,
    /// Of `answered`, within 15 s of the waiting room's door.
    pub answered_within_15s: u64,
    /// Of `answered`, within 30 s.
    pub answered_within_30s: u64,
    /// Of `answered`, within 60 s.
    pub answered_within_60s: u64,
    /// Calls whose caller hung up unanswered after 10 s in the waiting room or later (`call.ended`, `abandoned`). Of a
    /// regulator: offers that ended because the caller hung up or the call went on elsewhere.
    pub abandoned: u64,
    /// The same before 10 s, or during the greeting. Of a regulator: nothing.
    pub abandoned_short: u64,
    /// Persons who called: a call, and the unserved ones shortly before that it goes on with (`first_call` of
    /// `call.received`), are one; who cannot be known again is another one each time. In a row those with a call in it, so
    /// that one person may be in several rows. Of a regulator: nothing.
    pub persons: u64,
    /// Of `persons`, those whom a regulator answered in a call of the row.
    pub persons_answered: u64,
    /// Of `persons_answered`, within 15 s of the waiting room's door in all their calls together (`wait_ms` of the first
    /// answer and the `kept_wait_ms` that the call brought).
    pub persons_answered_within_15s: u64,
    /// The same within 30 s.
    pub persons_answered_within_30s: u64,
    /// The same within 60 s.
    pub persons_answered_within_60s: u64,
    /// Calls that ended in any other way without an answer: overflowed, nobody on duty, closed, refused, interrupted, or
    /// wanting a call-back that has not reached the caller within the period. Of a regulator: offers refused, not answered
    /// in time, or failed.
    pub unanswered: u64,
    /// Calls that something else than a regulator served: put through to an outside number, a message left, told what there
    /// was to know. Of a regulator: nothing.
    pub served_otherwise: u64,
    /// The wait that half of the answered calls did not exceed.
    pub wait_p50_ms: Option<u64>,
    /// The wait that 95 of 100 answered calls did not exceed.
    pub wait_p95_ms: Option<u64>,
    /// The wait that 99 of 100 answered calls did not exceed.
    pub wait_p99_ms: Option<u64>,
    /// The time that regulators talked on these calls and rested after them, to its end, all together.
    pub handling_ms: u64,
    /// `handling_ms` by call answered.
    pub handling_mean_ms: Option<u64>,
    /// Of the time in which regulators were on duty (ready, ringing, talking, resting) within the period, the part in which
    /// they talked or rested: of a regulator on any call, of an hour within it; of the others, on these calls.
    pub occupancy: Option<f64>,
}

/// A call as it is counted.
#[derive(Clone, Debug)]
pub(super) struct CallSeen {
    pub id: CallId,
    pub received_at: Utc,
    pub is_answered: bool,
    pub ended_at: Option<Utc>,
    pub line: String,
    pub association: String,
    pub region: String,
    pub skills: Vec<String>,
    pub outcome: Option<Outcome>,
    pub wait_ms: Option<u64>,
    /// The call whose caller asked for this one.
    pub callback_of: Option<CallId>,
    /// The first of the person's unserved calls that this one goes on with.
    pub first_call: Option<CallId>,
    /// The wait that it brought from those.
    pub kept_wait_ms: u64,
}

/// An offer as it is counted.
#[derive(Clone, Debug)]
pub(super) struct OfferSeen {
    pub regulator: String,
    pub end: Option<OfferEnd>,
    pub wait_ms: u64,
}

/// A change of a regulator's state.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub regulator: RegulatorId,
    pub at: Utc,
    pub state: RegulatorState,
    pub was: RegulatorState,
}

/// A row in the making.
#[derive(Clone, Debug, Default)]
struct Sum {
    figures: Figures,
    waits: Vec<u64>,
    persons: Persons,
    handling_us: i64,
    /// Talking and resting within the period.
    busy_us: i64,
    /// On duty within the period, where the row has people of its own.
    duty_us: i64,
}

/// What has been counted so far.
pub(super) struct Tally {
    by: By,
    from: Utc,
    to: Utc,
    rows: BTreeMap<String, Sum>,
    total: Sum,
    /// The rows that each call is in.
    keys: HashMap<CallId, Vec<String>>,
    /// Calls whose callers asked to be called back.
    wishes: BTreeSet<CallId>,
    /// Those of them whose callers were reached.
    reached: BTreeSet<CallId>,
}

impl Tally {
    pub(super) fn new(by: By, (from, to): (Utc, Utc), now: Utc) -> Tally {
        Tally {
            by,
            from,
            to: to.min(now),
            rows: BTreeMap::new(),
            total: Sum::default(),
            keys: HashMap::new(),
            wishes: BTreeSet::new(),
            reached: BTreeSet::new(),
        }
    }

    pub(super) fn add_call(&mut self, call: CallSeen) {
        let keys = match self.by {
            By::Line => vec![call.line.clone()],
            By::Association => vec![call.association.clone()],
            By::Region => vec![call.region.clone()],
            By::Skill => call.skills.clone(),
            By::Hour => vec![hour_of(call.received_at)],
            By::Regulator => Vec::new(),
        };
        for key in &keys {
            self.rows.entry(key.clone()).or_default().add_call(&call);
        }
        self.total.add_call(&call);
        if call.outcome == Some(Outcome::CallBack) {
            self.wishes.insert(call.id);
        }
        self.reached.extend(call.callback_of.filter(|_| call.is_answered));
        self.keys.insert(call.id, keys);
    }

    pub(super) fn add_offer(&mut self, offer: &OfferSeen) {
        let sum = self.rows.entry(offer.regulator.clone()).or_default();
        sum.figures.offered += 1;
        match offer.end {
            Some(OfferEnd::Accepted) => sum.answer(offer.wait_ms),
            Some(OfferEnd::Refused | OfferEnd::TimedOut | OfferEnd::Failed) => sum.figures.unanswered += 1,
            Some(OfferEnd::Cancelled) => sum.figures.abandoned += 1,
            None => {}
        }
    }

    /// One regulator's changes of state, in their order; what has not ended by `until` is counted to there. A state that
    /// ended in another way than was told (Vigie had been killed) is not counted: nobody knows when.
    pub(super) fn add_turns(&mut self, turns: &[Turn], until: Utc) {
        // A rest belongs to the call before it.
        let mut talked = None;
        for (place, turn) in turns.iter().enumerate() {
            let next = turns.get(place + 1);
            if next.is_some_and(|next| next.was != turn.state) {
                talked = None;
                continue;
            }
            let end = next.map_or(until, |next| next.at);
            match &turn.state {
                RegulatorState::Talking { call } => {
                    talked = Some(*call);
                    self.add_span(turn, end, Some(*call));
                }
                RegulatorState::WrapUp => self.add_span(turn, end, talked),
                RegulatorState::Ready | RegulatorState::Ringing { .. } => self.add_duty(turn, end),
                RegulatorState::Offline | RegulatorState::Paused { .. } => {}
            }
        }
    }

    /// Talking or resting.
    fn add_span(&mut self, turn: &Turn, end: Utc, call: Option<CallId>) {
        self.add_duty(turn, end);
        let whole = (end.0 - turn.at.0).max(0);
        let within = overlap((turn.at, end), (self.from, self.to));
        if self.by == By::Hour {
            for (hour, part) in hours((turn.at, end), (self.from, self.to)) {
                self.rows.entry(hour).or_default().busy_us += part;
            }
        }
        let counted = call.filter(|call| self.keys.contains_key(call));
        let mut keys = counted.and_then(|call| self.keys.get(&call)).cloned().unwrap_or_default();
        if self.by == By::Regulator {
            let key = turn.regulator.to_string();
            self.rows.entry(key.clone()).or_default().busy_us += within;
            keys = counted.map(|_| key).into_iter().collect();
        }
        for key in keys {
            let sum = self.rows.entry(key).or_default();
            sum.handling_us += whole;
            if !matches!(self.by, By::Hour | By::Regulator) {
                sum.busy_us += within;
            }
        }
        if counted.is_some() {
            self.total.handling_us += whole;
        }
        self.total.busy_us += within;
    }

    fn add_duty(&mut self, turn: &Turn, end: Utc) {
        let within = overlap((turn.at, end), (self.from, self.to));
        self.total.duty_us += within;
        match self.by {
            By::Regulator if within > 0 => {
                self.rows.entry(turn.regulator.to_string()).or_default().duty_us += within;
            }
            By::Hour => {
                for (hour, part) in hours((turn.at, end), (self.from, self.to)) {
                    self.rows.entry(hour).or_default().duty_us += part;
                }
            }
            By::Regulator | By::Line | By::Association | By::Region | By::Skill => {}
        }
    }

    pub(super) fn finish(mut self) -> Statistics {
        for wish in self.wishes.difference(&self.reached) {
            for key in self.keys.get(wish).into_iter().flatten() {
                self.rows.entry(key.clone()).or_default().figures.unanswered += 1;
            }
            self.total.figures.unanswered += 1;
        }
        let all = self.total.duty_us;
        let has_own = matches!(self.by, By::Regulator | By::Hour);
        let row = |(key, sum): (String, Sum)| {
            let duty = if has_own { sum.duty_us } else { all };
            Row { key, figures: sum.finish(duty) }
        };
        Statistics { rows: self.rows.into_iter().map(row).collect(), total: self.total.finish(all) }
    }
}

impl Sum {
    fn add_call(&mut self, call: &CallSeen) {
        self.persons.add(call);
        if call.is_answered {
            self.answer(call.wait_ms.unwrap_or_default());
        }
        if call.callback_of.is_some() {
            return;
        }
        let figures = &mut self.figures;
        figures.received += 1;
        figures.offered += u64::from(call.wait_ms.is_some());
        match call.outcome.filter(|_| !call.is_answered) {
            // Known when all calls are.
            Some(Outcome::CallBack) | None => {}
            Some(Outcome::Abandoned) if call.wait_ms.unwrap_or_default() < SHORT_MS => figures.abandoned_short += 1,
            Some(Outcome::Abandoned) => figures.abandoned += 1,
            Some(Outcome::Forwarded | Outcome::Voicemail | Outcome::Informed) => figures.served_otherwise += 1,
            Some(
                Outcome::Answered
                | Outcome::Overflowed
                | Outcome::NobodyOnDuty
                | Outcome::Closed
                | Outcome::Refused
                | Outcome::Unreached
                | Outcome::Superseded
                | Outcome::Interrupted,
            ) => figures.unanswered += 1,
        }
    }

    fn answer(&mut self, wait_ms: u64) {
        let figures = &mut self.figures;
        figures.answered += 1;
        figures.answered_within_15s += u64::from(wait_ms <= 15_000);
        figures.answered_within_30s += u64::from(wait_ms <= 30_000);
        figures.answered_within_60s += u64::from(wait_ms <= 60_000);
        self.waits.push(wait_ms);
    }

    fn finish(mut self, duty_us: i64) -> Figures {
        self.waits.sort_unstable();
        let handling_ms = (self.handling_us / 1000) as u64;
        let answered = self.figures.answered;
        self.persons.count(&mut self.figures);
        Figures {
            wait_p50_ms: percentile(&self.waits, 50),
            wait_p95_ms: percentile(&self.waits, 95),
            wait_p99_ms: percentile(&self.waits, 99),
            handling_ms,
            handling_mean_ms: handling_ms.checked_div(answered),
            occupancy: (duty_us > 0).then(|| self.busy_us as f64 / duty_us as f64),
            ..self.figures
        }
    }
}

/// The least of these, in their order, that so many of a hundred do not exceed (nearest rank).
pub fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

fn hour_of(at: Utc) -> String {
    Utc(at.0.div_euclid(HOUR_US) * HOUR_US).rfc3339()
}

/// How long two spans have in common, in microseconds.
fn overlap(one: (Utc, Utc), other: (Utc, Utc)) -> i64 {
    (one.1.min(other.1).0 - one.0.max(other.0).0).max(0)
}

/// The hours of a span within a period, and how much of the span lies in each.
fn hours(span: (Utc, Utc), period: (Utc, Utc)) -> Vec<(String, i64)> {
    let (from, to) = (span.0.max(period.0), span.1.min(period.1));
    let mut parts = Vec::new();
    let mut at = from.0;
    while at < to.0 {
        let next = (at.div_euclid(HOUR_US) + 1) * HOUR_US;
        parts.push((hour_of(Utc(at)), next.min(to.0) - at));
        at = next;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_wait_that_somebody_had() {
        let waits: Vec<u64> = (1..=10).collect();
        assert_eq!([50, 95, 99].map(|percent| percentile(&waits, percent)), [Some(5), Some(10), Some(10)]);
        assert_eq!((percentile(&[], 50), percentile(&[7], 99)), (None, Some(7)));
    }

    #[test]
    fn who_asked_to_be_called_back_is_one_call_answered_when_reached_and_else_unanswered() {
        let call = |id: u128, callback_of: Option<u128>, outcome, wait_ms: u64| CallSeen {
            id: CallId(uuid::Uuid::from_u128(id)),
            received_at: Utc(0),
            is_answered: outcome == Outcome::Answered,
            ended_at: None,
            line: "rouen".into(),
            association: "sos-rouen".into(),
            region: "rouen".into(),
            skills: Vec::new(),
            outcome: Some(outcome),
            wait_ms: Some(wait_ms),
            callback_of: callback_of.map(|id| CallId(uuid::Uuid::from_u128(id))),
            first_call: None,
            kept_wait_ms: 0,
        };
        let mut tally = Tally::new(By::Line, (Utc(0), Utc(1)), Utc(1));
        // One is reached at the second attempt, one never.
        for one in [
            call(1, None, Outcome::CallBack, 40_000),
            call(2, Some(1), Outcome::Unreached, 90_000),
            call(3, Some(1), Outcome::Answered, 400_000),
            call(4, None, Outcome::CallBack, 30_000),
            call(5, Some(4), Outcome::Unreached, 80_000),
        ] {
            tally.add_call(one);
        }
        let statistics = tally.finish();
        assert_eq!(statistics.rows[0].figures, statistics.total);
        let Figures { received, offered, answered, unanswered, wait_p50_ms, persons, persons_answered, .. } =
            statistics.total;
        assert_eq!((received, offered, answered, unanswered), (2, 2, 1, 1));
        assert_eq!((persons, persons_answered), (2, 1), "each with the call-backs that they asked for");
        assert_eq!(wait_p50_ms, Some(400_000));
    }

    #[test]
    fn a_span_over_several_hours_counts_in_each_for_its_part() {
        let at = |minutes: i64| Utc(minutes * 60_000_000);
        let parts = hours((at(-30), at(150)), (at(0), at(140)));
        let minutes: Vec<i64> = parts.iter().map(|(_, part)| part / 60_000_000).collect();
        assert_eq!(minutes, [60, 60, 20]);
        assert_eq!(parts[1].0, "1970-01-01T01:00:00.000Z");
    }

    #[test]
    fn a_state_whose_end_was_not_told_is_not_counted() {
        let turn = |at: i64, was, state| Turn { regulator: "anne".into(), at: Utc(at), state, was };
        let turns = [
            turn(0, RegulatorState::Offline, RegulatorState::Ready),
            // Killed here: she was ready until nobody knows when.
            turn(50_000_000, RegulatorState::Offline, RegulatorState::Ready),
            turn(60_000_000, RegulatorState::Ready, RegulatorState::WrapUp),
        ];
        let mut tally = Tally::new(By::Regulator, (Utc(0), Utc(100_000_000)), Utc(90_000_000));
        tally.add_turns(&turns, Utc(90_000_000));
        let statistics = tally.finish();
        assert_eq!(statistics.rows[0].figures.occupancy, Some(30.0 / 40.0));
    }
}
