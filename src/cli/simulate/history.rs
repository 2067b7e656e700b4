//! Real call records played again: the calls as they came, the people who were on duty, the centre as configured now.
//!
//! What a record does not know is drawn: how long who was answered would have waited else (exponential; its mean is the
//! waits' sum by the abandoned calls, which counts answered ones as cut off), and how long who gave up would have talked
//! (one of the real talking times).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{Date, DateTime};

use crate::config::Settings;
use crate::model::{CallRecord, Centre, Chance, OfferEnd, Outcome, Utc};
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
    /// There is no database yet.
    #[error("there is no database at {0}: give the configuration of a centre that has taken calls with --config FILE")]
    NoDatabase(PathBuf),
    /// The database could not be read.
    #[error("{0}")]
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
    gave_up: bool,
}

impl History {
    /// Reads the records of `span` from the database that `config` names.
    pub fn read(span: &str, config: &std::path::Path, staff: Option<u32>) -> Result<History, HistoryError> {
        let settings = Settings::read(config)?;
        let (from, to) = parse_span(span, &settings.centre).ok_or_else(|| HistoryError::Span(span.to_owned()))?;
        let path = PathBuf::from(settings.storage.url.trim_start_matches("sqlite:").trim_start_matches("//"));
        if !path.exists() {
            return Err(HistoryError::NoDatabase(path));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (records, states) = runtime.block_on(async {
            let storage = Storage::open(&settings.storage).await?;
            let found =
                (read_calls(&storage, from, to).await, events::of_kind(&storage, "regulator.state", from, to).await);
            storage.close().await;
            Ok::<_, StorageError>((found.0?, found.1?))
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
        for record in records {
            let (Some(queued), Ok(line)) = (record.queued_at, lines.binary_search(&record.line)) else { continue };
            let until = record.waited_until().unwrap_or(queued);
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
            let talked = record.talk_ms().map(Duration::from_millis);
            let gave_up = record.outcome == Some(Outcome::Abandoned);
            known.push(Known { plan, talked, waited: until.since(queued), gave_up });
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
            duties,
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
        for duty in &self.base.duties {
            *worked.entry(duty.person).or_default() += duty.to.saturating_sub(duty.from);
        }
        let mut longest: Vec<(Duration, usize)> = worked.into_iter().map(|(person, span)| (span, person)).collect();
        longest.sort_unstable_by(|a, b| b.cmp(a));
        let kept: Vec<usize> = longest.into_iter().take(asked).map(|(_, person)| person).collect();
        self.base.duties.retain(|duty| kept.contains(&duty.person));
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
            let patience = if one.gave_up { one.waited } else { one.waited + more };
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
