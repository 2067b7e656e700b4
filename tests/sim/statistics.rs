//! What the statistics say of a simulated day, recomputed from its events alone, as a webhook's receiver would.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use vigie::config::settings::StorageSettings;
use vigie::model::{Fact, OfferEnd, Utc};
use vigie::storage::statistics::{Asked, By, Figures, of};
use vigie::storage::{Storage, Writer, WriterSettings};

use crate::faults::Plant;
use crate::world::World;

/// One event as it goes out: its type, its subject, its time in microseconds, what it says.
struct Told {
    kind: String,
    subject: String,
    at: i64,
    data: Value,
}

/// A call as its events tell it.
#[derive(Default)]
struct Story {
    received: i64,
    line: String,
    line_at_first: String,
    association: String,
    region: String,
    skills: BTreeSet<String>,
    is_queued: bool,
    wait_ms: Option<u64>,
    end: Option<(String, u64)>,
    /// The call whose caller asked for this one: ours, not one that came.
    callback_of: Option<String>,
    /// Whether a call-back has reached this call's caller.
    is_reached: bool,
    /// The first of the person's unserved calls, of which this is another.
    first_call: Option<String>,
    /// The wait that it brought from those.
    kept_wait_ms: u64,
    is_test: bool,
}

impl Story {
    /// The line of the call from this event on, and what it asks there.
    fn moves(&mut self, data: &Value) {
        self.line = text(&data["line"]);
        self.association = text(&data["association"]);
        self.region = text(&data["region"]);
        self.asks(data);
    }

    fn asks(&mut self, data: &Value) {
        if let Some(skills) = data["skills"].as_object() {
            self.skills = skills.keys().cloned().collect();
        }
        self.region = text(&data["region"]);
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Every call, from its events.
fn stories(told: &[Told]) -> BTreeMap<String, Story> {
    let mut stories: BTreeMap<String, Story> = BTreeMap::new();
    let named = |value: &Value| value.as_str().map(|id| format!("call:{id}"));
    for event in told.iter().filter(|event| event.subject.starts_with("call:")) {
        let story = stories.entry(event.subject.clone()).or_default();
        let data = &event.data;
        match event.kind.as_str() {
            "call.received" => {
                story.received = event.at;
                story.callback_of = named(&data["callback_of"]);
                story.first_call = named(&data["first_call"]);
                story.is_test = data["is_test"] == true;
                story.moves(data);
                story.line_at_first = story.line.clone();
            }
            "call.queued" => {
                story.is_queued = true;
                story.kept_wait_ms = data["kept_wait_ms"].as_u64().expect("a wait");
                story.moves(data);
            }
            "call.demand-changed" => story.asks(data),
            "call.answered" => {
                let wait = data["wait_ms"].as_u64().expect("a wait");
                story.wait_ms.get_or_insert(wait);
                story.moves(data);
            }
            "call.ended" => {
                let wait = data["wait_ms"].as_u64().unwrap_or_default();
                story.end = Some((text(&data["outcome"]), wait));
                story.moves(data);
            }
            _ => {}
        }
    }
    let reached =
        stories.values().filter(|story| story.wait_ms.is_some()).filter_map(|story| story.callback_of.clone());
    for first in reached.collect::<Vec<String>>() {
        stories.entry(first).or_default().is_reached = true;
    }
    stories
}

/// Persons, told by the first of their calls, and the shortest wait with which each was answered.
fn count_persons<'a>(figures: &mut Figures, calls: impl Iterator<Item = (&'a String, &'a Story)>) {
    let mut persons: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (id, story) in calls {
        let first = story.first_call.as_ref().or(story.callback_of.as_ref()).unwrap_or(id);
        let waits = persons.entry(first.clone()).or_default();
        waits.extend(story.wait_ms.map(|wait| wait + story.kept_wait_ms));
    }
    let waits: Vec<u64> = persons.values().filter_map(|waits| waits.iter().min().copied()).collect();
    let at_most = |limit| waits.iter().filter(|wait| **wait <= limit).count() as u64;
    (figures.persons, figures.persons_answered) = (persons.len() as u64, waits.len() as u64);
    figures.persons_answered_within_15s = at_most(15_000);
    figures.persons_answered_within_30s = at_most(30_000);
    figures.persons_answered_within_60s = at_most(60_000);
}

/// Counted anew: the calls for which `is_in` holds.
fn count(stories: &BTreeMap<String, Story>, is_in: impl Fn(&Story) -> bool) -> Figures {
    let mut figures = Figures::default();
    let mut waits = Vec::new();
    for story in stories.values().filter(|story| is_in(story)) {
        let is_ours = story.callback_of.is_some();
        figures.received += u64::from(!is_ours);
        figures.offered += u64::from(story.is_queued && !is_ours);
        if let Some(wait) = story.wait_ms {
            waits.push(wait);
            figures.answered += 1;
        } else if let Some((outcome, wait)) = story.end.as_ref().filter(|_| !is_ours && !story.is_reached) {
            match (outcome.as_str(), *wait >= 10_000) {
                ("abandoned", true) => figures.abandoned += 1,
                ("abandoned", false) => figures.abandoned_short += 1,
                ("forwarded" | "voicemail" | "informed", _) => figures.served_otherwise += 1,
                _ => figures.unanswered += 1,
            }
        }
    }
    within(&mut figures, waits);
    count_persons(&mut figures, stories.iter().filter(|(_, story)| is_in(story)));
    figures
}

fn within(figures: &mut Figures, mut waits: Vec<u64>) {
    waits.sort_unstable();
    let at_most = |limit| waits.iter().filter(|wait| **wait <= limit).count() as u64;
    figures.answered_within_15s = at_most(15_000);
    figures.answered_within_30s = at_most(30_000);
    figures.answered_within_60s = at_most(60_000);
    // The least wait that at least so many of a hundred do not exceed.
    let rank = |percent: usize| {
        waits
            .iter()
            .copied()
            .find(|wait| waits.iter().filter(|one| *one <= wait).count() * 100 >= waits.len() * percent)
    };
    (figures.wait_p50_ms, figures.wait_p95_ms, figures.wait_p99_ms) = (rank(50), rank(95), rank(99));
}

/// Of each regulator and call, and of each regulator alone: microseconds of talking and resting, and on duty.
#[derive(Default)]
struct Times {
    by_call: BTreeMap<(String, String), i64>,
    busy: BTreeMap<String, i64>,
    duty: BTreeMap<String, i64>,
    /// Of everybody, in each hour of the clock.
    busy_in: BTreeMap<String, i64>,
    duty_in: BTreeMap<String, i64>,
}

const HOUR_US: i64 = 3_600_000_000;

fn hour_of(at: i64) -> String {
    Utc(at.div_euclid(HOUR_US) * HOUR_US).rfc3339()
}

/// Adds a span to the hours that it lies in, minute by minute of the clock.
fn add_hours(sums: &mut BTreeMap<String, i64>, from: i64, to: i64) {
    let minute = 60_000_000;
    let mut at = from;
    while at < to {
        let next = ((at / minute + 1) * minute).min(to);
        *sums.entry(hour_of(at)).or_default() += next - at;
        at = next;
    }
}

fn times(told: &[Told], until: i64) -> Times {
    let mut times = Times::default();
    let people: BTreeSet<&String> =
        told.iter().filter(|event| event.kind == "regulator.state").map(|event| &event.subject).collect();
    for subject in people {
        let turns: Vec<&Told> = told.iter().filter(|event| event.subject == *subject).collect();
        let who = subject.trim_start_matches("regulator:").to_owned();
        let mut call = String::new();
        for (place, turn) in turns.iter().enumerate() {
            let end = turns.get(place + 1).map_or(until, |next| next.at);
            let state = text(&turn.data["state"]["state"]);
            if state == "talking" {
                call = text(&turn.data["state"]["call"]);
            }
            if ["ready", "ringing", "talking", "wrap-up"].contains(&state.as_str()) {
                *times.duty.entry(who.clone()).or_default() += end - turn.at;
                add_hours(&mut times.duty_in, turn.at, end);
            }
            if ["talking", "wrap-up"].contains(&state.as_str()) {
                *times.busy.entry(who.clone()).or_default() += end - turn.at;
                add_hours(&mut times.busy_in, turn.at, end);
                *times.by_call.entry((who.clone(), format!("call:{call}"))).or_default() += end - turn.at;
            }
        }
    }
    times
}

/// A day's facts in a database, and its events as they go out.
async fn store(facts: &[Fact]) -> (tempfile::TempDir, Storage, Vec<Told>) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("vigie.db").display());
    let storage = Storage::open(&StorageSettings { url, ladder_days: 30 }).await.expect("opens");
    let settings = WriterSettings {
        spool: folder.path().join("spool"),
        endpoints: Vec::new(),
        alarm: std::sync::Arc::new(|_| {}),
    };
    let writer = Writer::start(&storage, settings).await.expect("starts");
    let mut told = Vec::new();
    for some in facts.chunks(200) {
        let kept: Vec<Fact> = some.iter().filter(|fact| !matches!(fact, Fact::SipMessage(_))).cloned().collect();
        for fact in &kept {
            if let Fact::Event(event) = fact {
                let subject = match &event.subject {
                    vigie::model::Subject::Call(call) => format!("call:{call}"),
                    vigie::model::Subject::Regulator(who) => format!("regulator:{who}"),
                };
                let mut said = serde_json::to_value(&event.kind).expect("JSON");
                let (kind, data) = (event.kind.name().to_owned(), said["data"].take());
                told.push(Told { kind, subject, at: event.at.0, data });
            }
        }
        writer.remember(kept);
        writer.flush().await.expect("stored");
    }
    writer.stop().await;
    (folder, storage, told)
}

/// Occupancy is a fraction of two sums, the same up to its last digit.
fn assert_same(what: &str, said: &Figures, counted: &Figures) {
    let (one, other) = (said.occupancy.unwrap_or(-1.0), counted.occupancy.unwrap_or(-1.0));
    assert!((one - other).abs() < 1e-9, "occupancy of {what}: {one} and {other}");
    assert_eq!(Figures { occupancy: None, ..said.clone() }, Figures { occupancy: None, ..counted.clone() }, "{what}");
}

#[test]
fn the_statistics_of_a_day_are_what_its_events_say_to_the_call() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for seed in [3, 11] {
        let mut world = World::new(seed, Plant::Nothing);
        world.keep_facts();
        world.run().unwrap_or_else(|violation| panic!("seed {seed}: {}", violation.what));
        let facts = world.kept_facts();
        runtime.block_on(check_day(&facts));
    }
}

async fn check_day(facts: &[Fact]) {
    let (_folder, storage, mut told) = store(facts).await;
    let mut stories = stories(&told);
    // Test numbers are in no figure.
    let is_test = |subject: &String, stories: &BTreeMap<String, Story>| stories.get(subject).is_some_and(|s| s.is_test);
    assert!(told.iter().any(|event| is_test(&event.subject, &stories)), "nobody called from a test number");
    told.retain(|event| !is_test(&event.subject, &stories));
    stories.retain(|_, story| !story.is_test);
    assert!(stories.len() > 50, "{} calls", stories.len());
    let is_moved = |story: &Story| story.line != story.line_at_first;
    assert!(stories.values().any(is_moved), "no caller was led to another line");
    assert!(stories.values().any(|story| story.first_call.is_some()), "nobody came back");
    let (first, last) =
        (told.iter().map(|one| one.at).min().expect("events"), told.iter().map(|one| one.at).max().expect("events"));
    let (from, now) = (Utc(first), Utc(last + 1_000_000));
    let times = times(&told, now.0);
    let all_duty: i64 = times.duty.values().sum();
    let asked = |by| Asked { from, to: now, by, line: None, association: None, region: None };

    for by in [By::Line, By::Association, By::Region, By::Skill, By::Hour] {
        let said = of(&storage, &asked(by), now).await.expect("counts");
        let keys = |story: &Story| -> BTreeSet<String> {
            match by {
                By::Line => [story.line.clone()].into(),
                By::Association => [story.association.clone()].into(),
                By::Region => [story.region.clone()].into(),
                By::Skill => story.skills.clone(),
                By::Hour | By::Regulator => [hour_of(story.received)].into(),
            }
        };
        let mut all: BTreeSet<String> = stories.values().flat_map(keys).collect();
        if by == By::Hour {
            all.extend(times.duty_in.keys().cloned());
        }
        let rows: BTreeSet<String> = said.rows.iter().map(|row| row.key.clone()).collect();
        assert_eq!((rows, said.rows.len()), (all.clone(), all.len()), "the rows by {by:?}");
        for row in &said.rows {
            let is_in = |story: &Story| keys(story).contains(&row.key);
            let mut counted = count(&stories, is_in);
            let own = |call: &String| stories.get(call).is_some_and(is_in);
            let handled: i64 = times.by_call.iter().filter(|((_, call), _)| own(call)).map(|(_, time)| time).sum();
            counted.handling_ms = (handled / 1000) as u64;
            counted.handling_mean_ms = counted.handling_ms.checked_div(counted.answered);
            counted.occupancy = Some(handled as f64 / all_duty as f64);
            if by == By::Hour {
                // Each hour has its own time on duty, and what was talked and rested in it, on whatever call.
                let (busy, duty) = (times.busy_in.get(&row.key), times.duty_in.get(&row.key));
                counted.occupancy = duty.map(|duty| busy.copied().unwrap_or_default() as f64 / *duty as f64);
            }
            assert_same(&format!("{by:?} {}", row.key), &row.figures, &counted);
        }
        let mut total = count(&stories, |_| true);
        let own = |call: &String| stories.contains_key(call);
        let handled: i64 = times.by_call.iter().filter(|((_, call), _)| own(call)).map(|(_, time)| time).sum();
        total.handling_ms = (handled / 1000) as u64;
        total.handling_mean_ms = total.handling_ms.checked_div(total.answered);
        total.occupancy = Some(times.busy.values().sum::<i64>() as f64 / all_duty as f64);
        assert_same("all together", &said.total, &total);
    }
    check_regulators(&storage, &asked(By::Regulator), (&told, &times, facts), now).await;
}

/// The waits after which somebody picked up for a call-back: that is told only when its caller has picked up too, or never.
fn picked_up(regulator: &str, facts: &[Fact]) -> Vec<u64> {
    let mut waits = BTreeMap::new();
    for fact in facts {
        let Fact::Call(record) = fact else { continue };
        let taken = record.offers.iter().filter(|offer| offer.end == Some(OfferEnd::Accepted));
        let own = taken.filter(|offer| {
            offer.regulator.as_str() == regulator && record.choices.callback_of.is_some() && !record.person.is_test
        });
        for offer in own {
            if let (Some(at), Some(queued)) = (offer.ended_at, record.queued_at) {
                waits.insert((record.id, offer.number.0), at.since(queued).as_millis() as u64);
            }
        }
    }
    waits.into_values().collect()
}

async fn check_regulators(
    storage: &Storage,
    asked: &Asked,
    (told, times, facts): (&[Told], &Times, &[Fact]),
    now: Utc,
) {
    let said = of(storage, asked, now).await.expect("counts");
    assert!(said.rows.len() > 5, "{} regulators", said.rows.len());
    let offered = told.iter().filter(|event| event.kind == "call.offered").map(|event| text(&event.data["regulator"]));
    let on_duty = times.duty.iter().filter(|(_, duty)| **duty > 0).map(|(who, _)| who.clone());
    let all: BTreeSet<String> = offered.chain(on_duty).collect();
    assert_eq!(said.rows.iter().map(|row| row.key.clone()).collect::<Vec<_>>(), all.into_iter().collect::<Vec<_>>());
    let is_ours = |event: &&Told| event.kind == "call.received" && !event.data["callback_of"].is_null();
    let ours: BTreeSet<String> = told.iter().filter(is_ours).map(|event| event.subject.clone()).collect();
    let is_call = |call: &String| told.iter().any(|event| event.subject == *call);
    for row in &said.rows {
        let of_hers = |kind: &str| -> Vec<&Told> {
            told.iter().filter(|event| event.kind == kind && event.data["regulator"] == row.key.as_str()).collect()
        };
        let mut counted = Figures { offered: of_hers("call.offered").len() as u64, ..Figures::default() };
        let mut answers = of_hers("call.answered");
        answers.retain(|event| !ours.contains(&event.subject));
        let picked_up = picked_up(&row.key, facts);
        counted.answered = (answers.len() + picked_up.len()) as u64;
        for ended in of_hers("call.offer-ended") {
            match ended.data["end"].as_str() {
                Some("cancelled") => counted.abandoned += 1,
                _ => counted.unanswered += 1,
            }
        }
        let waits = answers.iter().filter_map(|event| event.data["wait_ms"].as_u64());
        within(&mut counted, waits.chain(picked_up).collect());
        let own = times.by_call.iter().filter(|((who, call), _)| *who == row.key && is_call(call));
        counted.handling_ms = (own.map(|(_, time)| time).sum::<i64>() / 1000) as u64;
        counted.handling_mean_ms = counted.handling_ms.checked_div(counted.answered);
        let duty = times.duty.get(&row.key).copied().unwrap_or_default();
        let busy = times.busy.get(&row.key).copied().unwrap_or_default();
        counted.occupancy = (duty > 0).then(|| busy as f64 / duty as f64);
        assert_same(&row.key, &row.figures, &counted);
    }
}
