//! Real call records played again: the calls as they came, the people who were on duty, the centre as configured now.
//!
//! What needed no regulator is left out: forwarded, a message, a closed line. A call-back is one call with the one that asked
//! for it. What a record does not know is drawn: how long who was answered would have waited else (exponential; its mean is the
//! waits' sum by the abandoned calls, which counts answered ones as cut off), and how long who gave up would have talked
//! (one of the real talking times).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{Date, DateTime};

use crate::config::Settings;
use crate::model::{CallId, CallRecord, Centre, Chance, OfferEnd, Outcome, Utc};
use crate::storage::{CallFilter, ROWS_MAX, Storage, StorageError, calls, events};

use super::scenario::{ATTEMPTS_MAX, Attempt, Away, CallerPlan, Duty, Ringing, Scenario};

/// The most calls of one history: ten years of one site.
const CALLS_MAX: usize = 5_000_000;
/// Without events of regulators: on duty so long before the first and after the last call of a row of calls…
const MARGIN: Duration = Duration::from_secs(15 * 60);
/// …which a gap longer than this ends.
const GAP_MAX: Duration = Duration::from_secs(90 * 60);
/// Patience when nobody ever gave up.
const PATIENCE_UNKNOWN: Duration = Duration::from_secs(1200);

/// When each regulator was on duty, by id.
type Shifts = BTreeMap<String, Vec<(Utc, Utc)>>;

/// Why a history cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The span is not readable.
    #[error(
        "--history {0}: write FROM..TO, such as 2026-11-01..2026-11-08 or 2026-11-01T08:00..2026-11-01T20:00; TO is not played any more"
    )]
    Span(String),
    /// The configuration has errors.
    #[error("{0}")]
    Config(#[from] crate::config::Faults),
    /// There is no database yet, or it is not readable.
    #[error("{0}; give the configuration of a centre that has taken calls with --config FILE")]
    NoDatabase(StorageError),
    /// The database could not be read.
    #[error("{0}; a database of an older version is brought to this one by `vigie serve`")]
    Storage(#[from] StorageError),
    /// The system would not run it.
    #[error("starting to read the database: {0}")]
    Runtime(#[from] std::io::Error),
    /// Nothing is there to be played.
    #[error("no call of these days waited on a line that the configuration has: choose other days")]
    Nothing,
    /// More people are asked for than are known.
    #[error(
        "--staff {asked}: only {known} regulators were on duty in these days; a history can be played with fewer, not with more"
    )]
    Staff {
        /// As asked.
        asked: usize,
        /// In the history.
        known: usize,
    },
}

/// A history, ready to be played.
#[derive(Clone, Debug)]
pub struct History {
    name: String,
    base: Scenario,
    staff: usize,
    known: Vec<Known>,
    talks: Vec<Duration>,
    patience: Duration,
}

/// What is known of one call.
#[derive(Clone, Copy, Debug)]
struct Known {
    plan: CallerPlan,
    talked: Option<Duration>,
    waited: Duration,
    /// Whether the call leaves after that wait, answered or not.
    leaves: bool,
    /// Whether that was the caller's own wish.
    gave_up: bool,
}

/// What of a call needed a regulator: until when it waited for one, and how long it talked then.
struct Need {
    until: Utc,
    talked: Option<Duration>,
    leaves: bool,
    gave_up: bool,
}

/// The call-backs among the records, by the call whose caller asked for them.
#[derive(Default)]
struct CallBacks<'a> {
    of: BTreeMap<CallId, Vec<&'a CallRecord>>,
}

impl<'a> CallBacks<'a> {
    fn among(records: &'a [CallRecord]) -> CallBacks<'a> {
        let known: BTreeSet<CallId> = records.iter().map(|record| record.id).collect();
        let mut of: BTreeMap<CallId, Vec<&CallRecord>> = BTreeMap::new();
        for record in records {
            // One whose first call is of another day stands for itself.
            if let Some(first) = record.choices.callback_of.filter(|first| known.contains(first)) {
                of.entry(first).or_default().push(record);
            }
        }
        CallBacks { of }
    }

    /// Whether it is counted with the call that asked for it.
    fn holds(&self, record: &CallRecord) -> bool {
        record.choices.callback_of.is_some_and(|first| self.of.contains_key(&first))
    }

    /// How the wish of this call's caller came out: answered, owed to nobody any more, or never.
    fn need_of(&self, record: &CallRecord) -> Option<Need> {
        let all = self.of.get(&record.id).map(Vec::as_slice).unwrap_or_default();
        if let Some(need) = all.iter().find_map(|one| answered(one)) {
            return Some(need);
        }
        // Answered in a call of their own, which is among the others.
        let is_elsewhere = all.iter().any(|one| one.outcome == Some(Outcome::Superseded));
        if is_elsewhere { None } else { left(record, false) }
    }
}

fn answered(record: &CallRecord) -> Option<Need> {
    let (true, Some(until)) = (record.outcome == Some(Outcome::Answered), record.answered_at) else { return None };
    let talked = record.talk_ms().map(Duration::from_millis);
    Some(Need { until, talked, leaves: false, gave_up: false })
}

fn left(record: &CallRecord, gave_up: bool) -> Option<Need> {
    Some(Need { until: record.waited_until()?, talked: None, leaves: true, gave_up })
}

/// What of a call needed a regulator, if anything did: who was put through elsewhere, left a message or found the line
/// closed needed none.
fn need_of(record: &CallRecord, call_backs: &CallBacks) -> Option<Need> {
    match record.outcome? {
        Outcome::Answered => answered(record),
        Outcome::Abandoned => left(record, true),
        Outcome::Overflowed => left(record, false),
        Outcome::CallBack => call_backs.need_of(record),
        Outcome::NobodyOnDuty
        | Outcome::Closed
        | Outcome::Refused
        | Outcome::Forwarded
        | Outcome::Voicemail
        | Outcome::Informed
        | Outcome::Unreached
        | Outcome::Superseded
        | Outcome::Interrupted => None,
    }
}

impl History {
    /// Reads the records of `span` from the database that `config` names.
    pub fn read(span: &str, config: &std::path::Path, staff: Option<u32>) -> Result<History, HistoryError> {
        let settings = Settings::read(config)?;
        let (from, to) = parse_span(span, &settings.centre).ok_or_else(|| HistoryError::Span(span.to_owned()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (records, states) = runtime.block_on(async {
            // To read and nothing else: a server may be running on it.
            let storage = Storage::open_to_read(&settings.storage).await.map_err(HistoryError::NoDatabase)?;
            let found =
                (read_calls(&storage, from, to).await, events::of_kind(&storage, "regulator.state", from, to).await);
            storage.close().await;
            Ok::<_, HistoryError>((found.0?, found.1?))
        })?;
        let shifts = shifts_of_states(&states, to);
        History::of(span, settings.centre, (from, to), (&records, shifts)).and_then(|history| history.cut(staff))
    }

    /// Of records and the shifts that events tell, by regulator.
    fn of(
        span: &str,
        centre: Centre,
        (from, to): (Utc, Utc),
        (records, mut shifts): (&[CallRecord], Shifts),
    ) -> Result<History, HistoryError> {
        let people: Vec<_> = centre.regulators.keys().cloned().collect();
        let lines: Vec<_> = centre.lines.keys().cloned().collect();
        let mut known = Vec::new();
        let call_backs = CallBacks::among(records);
        for record in records.iter().filter(|record| !call_backs.holds(record)) {
            let (Some(queued), Ok(line)) = (record.queued_at, lines.binary_search(&record.line)) else { continue };
            let Some(need) = need_of(record, &call_backs) else { continue };
            let wrap_up = centre.lines.get(&record.line).map_or(Duration::ZERO, |line| line.wrap_up);
            let plan = CallerPlan {
                at: queued.since(from),
                line,
                priority: Some(record.priority),
                handling: Duration::ZERO,
                wrap_up,
                attempts: [Attempt::default(); ATTEMPTS_MAX],
                luck: 0,
            };
            let Need { until, talked, leaves, gave_up } = need;
            known.push(Known { plan, talked, waited: until.since(queued), leaves, gave_up });
        }
        if known.is_empty() {
            return Err(HistoryError::Nothing);
        }
        known.sort_by_key(|one| one.plan.at);
        for (id, worked) in shifts_of_calls(records) {
            shifts.entry(id).or_insert(worked);
        }
        let within = |at: Utc| Utc(at.0.clamp(from.0, to.0)).since(from);
        let mut duties: Vec<Duty> = Vec::new();
        for (id, spans) in &shifts {
            let Ok(person) = people.binary_search_by(|one| one.as_str().cmp(id)) else { continue };
            let spans = spans.iter().map(|(start, end)| Duty { person, from: within(*start), to: within(*end) });
            duties.extend(spans.filter(|duty| duty.from < duty.to));
        }
        duties.sort_by_key(|duty| (duty.from, duty.person));
        let (waited, gave_up) = known
            .iter()
            .fold((0.0, 0.0), |sum, one| (sum.0 + one.waited.as_secs_f64(), sum.1 + f64::from(u8::from(one.gave_up))));
        let patience =
            if gave_up > 0.0 { Duration::from_secs_f64((waited / gave_up).max(1.0)) } else { PATIENCE_UNKNOWN };
        let staff = duties.iter().map(|duty| duty.person).collect::<std::collections::BTreeSet<_>>().len();
        let base = Scenario {
            centre: Arc::new(centre),
            people,
            lines,
            duties: duties.into(),
            callers: Vec::new(),
            ringing: ringing(records),
            // Real talking times hold whatever a far region made longer.
            away: Away { second: 1.0, other: 1.0 },
            start: from,
            span: to.since(from),
        };
        let talks = known.iter().filter_map(|one| one.talked).collect();
        Ok(History { name: format!("the calls of {span}"), base, staff, known, talks, patience })
    }

    /// With so many of the people, those who were on duty longest.
    fn cut(mut self, staff: Option<u32>) -> Result<History, HistoryError> {
        let Some(asked) = staff.map(|staff| staff as usize) else { return Ok(self) };
        if asked > self.staff {
            return Err(HistoryError::Staff { asked, known: self.staff });
        }
        let mut worked: BTreeMap<usize, Duration> = BTreeMap::new();
        for duty in self.base.duties.iter() {
            *worked.entry(duty.person).or_default() += duty.to.saturating_sub(duty.from);
        }
        let mut longest: Vec<(Duration, usize)> = worked.into_iter().map(|(person, span)| (span, person)).collect();
        longest.sort_unstable_by(|a, b| b.cmp(a));
        let kept: Vec<usize> = longest.into_iter().take(asked).map(|(_, person)| person).collect();
        self.base.duties = self.base.duties.iter().filter(|duty| kept.contains(&duty.person)).copied().collect();
        self.staff = asked;
        Ok(self)
    }

    /// What it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// People who were on duty.
    pub fn staff(&self) -> usize {
        self.staff
    }

    /// The calls, with what is drawn for them by this seed.
    pub fn scenario(&self, seed: u64) -> Scenario {
        let mut chance = Chance::from_number(seed ^ 0x6869_7374_6f72_7900);
        let callers = self.known.iter().map(|one| {
            let (rest, talk) = (chance.fraction(), chance.below(self.talks.len() as u64) as usize);
            let more = self.patience.mul_f64(-(1.0 - rest).ln());
            let patience = if one.leaves { one.waited } else { one.waited + more };
            let mut plan = one.plan;
            plan.handling = one.talked.or_else(|| self.talks.get(talk).copied()).unwrap_or(Duration::from_secs(165));
            plan.attempts = [Attempt { patience, again_after: None }; ATTEMPTS_MAX];
            plan.luck = chance.next_u64();
            plan
        });
        Scenario { callers: callers.collect(), ..self.base.clone() }
    }
}

/// `FROM..TO` in the centre's zone.
fn parse_span(text: &str, centre: &Centre) -> Option<(Utc, Utc)> {
    let (from, to) = text.split_once("..")?;
    let read = |text: &str| -> Option<Utc> {
        if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
            return Some(Utc(timestamp.as_microsecond()));
        }
        let civil: DateTime = match text.parse::<Date>() {
            Ok(date) if !text.contains('T') => date.at(0, 0, 0, 0),
            _ => text.parse().ok()?,
        };
        Some(Utc(civil.to_zoned(centre.zone.clone()).ok()?.timestamp().as_microsecond()))
    };
    let (from, to) = (read(from.trim())?, read(to.trim())?);
    (from < to).then_some((from, to))
}

async fn read_calls(storage: &Storage, from: Utc, to: Utc) -> Result<Vec<CallRecord>, StorageError> {
    let mut all = Vec::new();
    let mut filter = CallFilter { from: Some(from), to: Some(to), limit: Some(ROWS_MAX), ..CallFilter::default() };
    loop {
        let page = calls::list(storage, &filter).await?;
        all.extend(page.items);
        if page.next.is_none() || all.len() >= CALLS_MAX {
            return Ok(all);
        }
        filter.before = page.next;
    }
}

/// Whether a state as stored is one in which calls are taken, sooner or later, without anybody's doing.
fn is_on_duty(state: &serde_json::Value) -> bool {
    let word = |key: &str| state.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
    match word("state") {
        "offline" | "" => false,
        "paused" => {
            let reason = state.get("reason");
            let name = reason.and_then(|reason| reason.as_str().or_else(|| reason.get("reason")?.as_str()));
            matches!(name, Some("no-answer" | "refused" | "unreachable"))
        }
        _ => true,
    }
}

/// Who was on duty from when to when, as the changes of state tell.
fn shifts_of_states(states: &[events::StoredEvent], to: Utc) -> Shifts {
    let mut shifts: Shifts = BTreeMap::new();
    let mut since: BTreeMap<String, Option<Utc>> = BTreeMap::new();
    for event in states {
        let Some(id) = event.subject.strip_prefix("regulators/") else { continue };
        let (was, is) =
            (event.payload.get("was").is_some_and(is_on_duty), event.payload.get("state").is_some_and(is_on_duty));
        // Who was on duty before the first event had been so from the beginning.
        let open = since.entry(id.to_owned()).or_insert(was.then_some(Utc(i64::MIN)));
        match (*open, is) {
            (None, true) => *open = Some(event.at),
            (Some(start), false) => {
                shifts.entry(id.to_owned()).or_default().push((start, event.at));
                *open = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    for (id, open) in since {
        if let Some(start) = open {
            shifts.entry(id).or_default().push((start, to));
        }
    }
    shifts
}

/// Who was on duty from when to when, as the calls that they answered let one guess.
fn shifts_of_calls(records: &[CallRecord]) -> Shifts {
    let mut talks: Shifts = BTreeMap::new();
    for record in records {
        if let (Some(regulator), Some(from), Some(to)) = (&record.regulator, record.answered_at, record.ended_at) {
            talks.entry(regulator.as_str().to_owned()).or_default().push((from, to));
        }
    }
    for spans in talks.values_mut() {
        spans.sort_unstable();
        let mut joined: Vec<(Utc, Utc)> = Vec::new();
        for (from, to) in spans.drain(..) {
            match joined.last_mut() {
                Some(last) if from.since(last.1) <= GAP_MAX => last.1 = last.1.max(to),
                Some(_) | None => joined.push((from, to)),
            }
        }
        let margin = MARGIN.as_micros() as i64;
        *spans = joined.into_iter().map(|(from, to)| (Utc(from.0 - margin), Utc(to.0 + margin))).collect();
    }
    talks
}

/// How phones rang, as the offers tell; four seconds where none is known.
fn ringing(records: &[CallRecord]) -> Ringing {
    let (mut rang, mut accepted, mut unanswered) = (0.0, 0_u32, 0_u32);
    for offer in records.iter().flat_map(|record| &record.offers) {
        match (offer.end, offer.ended_at) {
            (Some(OfferEnd::Accepted), Some(at)) => {
                accepted += 1;
                rang += at.since(offer.offered_at).as_secs_f64();
            }
            (Some(OfferEnd::TimedOut | OfferEnd::Refused | OfferEnd::Failed), _) => unanswered += 1,
            (Some(OfferEnd::Accepted | OfferEnd::Cancelled) | None, _) => {}
        }
    }
    let offers = f64::from(accepted + unanswered);
    let unanswered = if offers > 0.0 { (f64::from(unanswered) / offers).min(0.9) } else { 0.0 };
    let mean = if accepted > 0 { rang / f64::from(accepted) } else { 4.0 };
    Ringing { mean: Duration::from_secs_f64(mean), unanswered }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::EventId;

    fn at(minute: i64) -> Utc {
        Utc(1_767_567_600_000_000 + minute * 60_000_000)
    }

    fn change(minute: i64, who: &str, was: serde_json::Value, state: serde_json::Value) -> events::StoredEvent {
        events::StoredEvent {
            id: EventId::new(at(minute), &mut Chance::from_number(minute as u64)),
            subject: format!("regulators/{who}"),
            call: None,
            sequence: 1,
            at: at(minute),
            kind: "regulator.state".to_owned(),
            payload: json!({ "regulator": who, "was": was, "state": state }),
        }
    }

    #[test]
    fn duty_is_what_the_changes_of_state_tell() {
        let (off, ready) = (json!({"state": "offline"}), json!({"state": "ready"}));
        let lunch = json!({"state": "paused", "reason": {"reason": "own"}});
        let missed = json!({"state": "paused", "reason": {"reason": "no-answer"}});
        let told = [
            change(1, "anne", off.clone(), ready.clone()),
            change(5, "bruno", ready.clone(), missed.clone()),
            change(6, "bruno", missed, ready.clone()),
            change(10, "anne", ready.clone(), lunch.clone()),
            change(12, "anne", lunch, ready.clone()),
            change(20, "bruno", ready, off),
        ];
        let shifts = shifts_of_states(&told, at(30));
        assert_eq!(shifts["anne"], [(at(1), at(10)), (at(12), at(30))]);
        // On duty before the first event: from the beginning.
        assert_eq!(shifts["bruno"], [(Utc(i64::MIN), at(20))]);
    }

    fn called(minute: i64, outcome: Outcome) -> CallRecord {
        let is_answered = outcome == Outcome::Answered;
        CallRecord {
            id: CallId::new(at(minute), &mut Chance::from_number(minute as u64)),
            trunk: "carrier".into(),
            line: "north".into(),
            association: "sos".into(),
            region: "north".into(),
            language: "fr".into(),
            ddi_raw: String::new(),
            ddi: None,
            names: Default::default(),
            fallback: false,
            caller: Default::default(),
            context: Box::default(),
            skills: BTreeMap::new(),
            priority: 5,
            received_at: at(minute),
            accepted_at: Some(at(minute)),
            queued_at: Some(at(minute)),
            answered_at: is_answered.then(|| at(minute + 1)),
            wait_ended_at: None,
            ended_at: Some(at(minute + 3)),
            regulator: is_answered.then(|| "anne".into()),
            outcome: Some(outcome),
            ended_by: None,
            detail: None,
            offers: Vec::new(),
            legs: Vec::new(),
            recording: crate::model::centre::RecordingPolicy::Always,
            choices: Default::default(),
            dialled_by: None,
            software: String::new(),
            person: Default::default(),
        }
    }

    fn history(records: &[CallRecord]) -> Result<History, HistoryError> {
        let centre = crate::config::read_centre_alone(CENTRE, std::path::Path::new("test.toml"));
        History::of(
            "a day",
            centre.unwrap_or_else(|faults| panic!("{faults}")),
            (at(0), at(600)),
            (records, Shifts::new()),
        )
    }

    const CENTRE: &str = "[sounds]\nmusic = \"music.wav\"\n[skills]\nregulation = \"regulation\"\n[regions.north]\n\
        [associations.sos]\n[lines.north]\nassociation = \"sos\"\nregion = \"north\"\nskills = { regulation = 50 }\n\
        [regulators.anne]\nassociation = \"sos\"\nskills = { regulation = 70 }\nregions = { north = 0 }\n\
        [regulators.bruno]\nassociation = \"sos\"\nskills = { regulation = 70 }\nregions = { north = 0 }\n";

    #[test]
    fn only_calls_that_needed_a_regulator_are_played_each_person_once() {
        let mut asked = called(10, Outcome::CallBack);
        asked.ended_at = Some(at(11));
        let mut tried = called(12, Outcome::Unreached);
        let mut reached = called(20, Outcome::Answered);
        for call_back in [&mut tried, &mut reached] {
            (call_back.choices.callback_of, call_back.queued_at) = (Some(asked.id), asked.queued_at);
        }
        let others =
            [Outcome::Forwarded, Outcome::Voicemail, Outcome::Closed, Outcome::NobodyOnDuty, Outcome::Informed];
        let mut records = vec![asked, tried, reached, called(30, Outcome::Answered), called(40, Outcome::Abandoned)];
        records.push(called(50, Outcome::Overflowed));
        records.extend(others.into_iter().enumerate().map(|(place, outcome)| called(60 + place as i64, outcome)));
        let history = history(&records).unwrap_or_else(|error| panic!("{error}"));
        let waits: Vec<_> = history.known.iter().map(|one| (one.waited.as_secs(), one.leaves, one.gave_up)).collect();
        // Called back after eleven minutes; answered after one; gave up after three; sent away after three.
        assert_eq!(waits, [(660, false, false), (60, false, false), (180, true, true), (180, true, false)]);
        // Of all that was waited, by those who gave up: what was talked elsewhere is no patience.
        assert_eq!(history.patience, Duration::from_secs(660 + 60 + 180 + 180));
        let callers = history.scenario(1).callers;
        assert_eq!(callers.len(), 4);
        assert_eq!(callers[2].attempts[0].patience, Duration::from_secs(180));
        assert!(callers[1].attempts[0].patience > Duration::from_secs(60));
        assert_eq!((callers[0].handling, callers[1].handling), (Duration::from_secs(120), Duration::from_secs(120)));
    }

    #[test]
    fn whoever_was_called_back_for_nothing_is_played_unless_answered_elsewhere() {
        let (asked, mut other) = (called(10, Outcome::CallBack), called(12, Outcome::Superseded));
        other.choices.callback_of = Some(asked.id);
        assert!(matches!(history(&[asked.clone(), other.clone()]), Err(HistoryError::Nothing)));
        other.outcome = Some(Outcome::Unreached);
        let played = history(&[asked, other.clone()]).map(|history| history.known.len()).ok();
        assert_eq!(played, Some(1));
        // The call that asked is of another day: the one that calls back stands for itself.
        other.choices.callback_of = Some(called(1, Outcome::CallBack).id);
        (other.outcome, other.answered_at) = (Some(Outcome::Answered), Some(at(13)));
        assert_eq!(history(&[other]).map(|history| history.known.len()).ok(), Some(1));
    }

    #[test]
    fn with_fewer_people_those_stay_who_worked_longest_and_with_more_it_cannot_be_played() {
        let mut records: Vec<CallRecord> = (0..4).map(|n| called(10 + 20 * n, Outcome::Answered)).collect();
        records.push(CallRecord { regulator: Some("bruno".into()), ..called(30, Outcome::Answered) });
        let both = history(&records).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(both.staff(), 2);
        let alone = both.clone().cut(Some(1)).unwrap_or_else(|error| panic!("{error}"));
        let scenario = alone.scenario(1);
        let people: Vec<_> = scenario.duties.iter().map(|duty| scenario.people[duty.person].as_str()).collect();
        assert_eq!((alone.staff(), people), (1, vec!["anne"]));
        assert!(matches!(both.cut(Some(3)), Err(HistoryError::Staff { asked: 3, known: 2 })));
    }

    #[test]
    fn a_span_is_read_on_the_centres_clock_and_ends_before_its_second_day() {
        let centre = crate::routing::sample::centre(Vec::new(), Vec::new());
        let span = |text| parse_span(text, &centre).map(|(from, to)| to.since(from).as_secs() / 3600);
        assert_eq!(span("2026-11-01..2026-11-08"), Some(168));
        assert_eq!(span("2026-11-01T08:00..2026-11-01T20:00"), Some(12));
        // The night on which summer begins has an hour less.
        assert_eq!(span("2026-03-29..2026-03-30"), Some(23));
        assert_eq!((span("2026-11-08..2026-11-01"), span("yesterday"), span("2026-11-01")), (None, None, None));
    }
}
