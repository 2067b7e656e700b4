//! What a choice costs: the national evening (2,000 callers wait, 1,000 regulators are free), and the usual one event.
//!
//! `cargo bench --bench waiting` fails when the evening's median misses its target; with `VIGIE_RESULTS=1` it writes its
//! section of RESULTS.md.
#![allow(clippy::expect_used, reason = "a bench may stop where it stands")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion};
use vigie::config::Settings;
use vigie::model::centre::{Demand, Reach, Region, Regulator, Step};
use vigie::model::{CallId, Centre, Chance, DeviceId, Moment, Needs, Now, RegulatorId, Utc};
use vigie::waiting::WaitingRoom;

const REGIONS: usize = 63;
const REGULATORS: usize = 1_000;
const CALLERS: usize = 2_000;

fn region(number: usize) -> String {
    format!("region-{:02}", number % REGIONS)
}

/// Sixty-three regions in a chain of second ones, a thousand people, one in five with a scarce skill.
fn network() -> Centre {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/vigie.toml");
    let mut network = Settings::read(&sample).expect("the sample").centre;
    let parent = |n: usize| (format!("whole-{}", n / 7), n);
    network.regions = (0..REGIONS)
        .map(|n| {
            let region = Region {
                samu: None,
                name: region(n),
                parent: Some(parent(n).0.as_str().into()),
                second: Some(self::region(n + 1).as_str().into()),
                neighbours: vec![self::region(n + 2).as_str().into()],
            };
            (self::region(n).as_str().into(), region)
        })
        .collect();
    let pattern = network.regulators.values().next().expect("a regulator").clone();
    network.regulators = (0..REGULATORS).map(|n| person(&pattern, n)).map(|one| (one.id.clone(), one)).collect();
    network.lines.clear();
    network
}

fn person(pattern: &Regulator, n: usize) -> Regulator {
    let mut skills = vec![("regulation".into(), 50 + (n % 50) as u8)];
    match n % 10 {
        0 | 1 => skills.push(("paediatrics".into(), 60)),
        2 => skills.push(("lang-en".into(), 60)),
        _ => {}
    }
    Regulator {
        id: format!("r{n:04}").as_str().into(),
        skills: skills.into_iter().collect(),
        regions: [(region(n).as_str().into(), 0)].into(),
        ready_on_register: true,
        ..pattern.clone()
    }
}

fn demand(n: usize) -> Demand {
    let needs = match n % 20 {
        0..=2 => "regulation >= 50 and paediatrics >= 50",
        3 => "regulation >= 50 and (lang-en >= 30 or physician)",
        _ => "regulation >= 50",
    };
    let step = Step { after: Some(Duration::from_secs(20)), needs: Some(Needs::default()), ..Step::default() };
    Demand {
        region: region(n * 7).as_str().into(),
        needs: needs.parse().expect("an expression"),
        priority: if n.is_multiple_of(50) { 1 } else { 5 },
        reach: Reach::All,
        steps: vec![step],
    }
}

/// Everybody is there, nobody is given anything yet; explaining, as in service.
fn evening(callers: usize, regulators: usize) -> (WaitingRoom, Now) {
    let mut room = WaitingRoom::new(Arc::new(network())).explaining();
    let (mut chance, mut now) =
        (Chance::from_number(1), Now { moment: Moment(5_000_000), utc: Utc(1_700_000_000_000_000) });
    for n in 0..callers {
        let call = CallId::new(now.utc, &mut chance);
        room.enter(call, &"line".into(), demand(n), now).expect("room for one more");
        now = now.after(Duration::from_millis(5));
    }
    // In service each caller is welcomed by the event that brings it: that is no part of a choice.
    assert!(room.choose(now, &mut Vec::new()).is_empty());
    for n in 0..regulators {
        room.registered(&RegulatorId::from(format!("r{n:04}").as_str()), DeviceId(1), now, &mut Vec::new());
    }
    room.take_notes();
    (room, now)
}

/// The longest that all offers of the national evening may take, by the median of the runs.
const EVENING_MAX: Duration = Duration::from_millis(10);

/// How often each case is measured for the table.
const RUNS: usize = 51;

/// What is measured: its name, callers, regulators, offers that come of it.
const CASES: [(&str, usize, usize, usize); 3] = [
    ("2,000 waiting, 1,000 free: all offers", CALLERS, REGULATORS, REGULATORS),
    ("2,000 waiting, one becomes free: one offer", CALLERS, 1, 1),
    ("1,000 free, one calls: one offer", 1, REGULATORS, 1),
];

/// The times of one case, the shortest first.
fn measure((_, callers, regulators, offers): (&str, usize, usize, usize)) -> Vec<Duration> {
    let run = |_| {
        let (mut room, now) = evening(callers, regulators);
        let begun = Instant::now();
        let made = room.choose(now, &mut Vec::new()).len();
        let took = begun.elapsed();
        assert_eq!(made, offers);
        took
    };
    let mut times: Vec<Duration> = (0..RUNS).map(run).collect();
    times.sort_unstable();
    times
}

/// The median and the worst of each case as a table, and whether the evening's median meets its target.
fn tell() -> (String, bool) {
    let mut text = format!(
        "# Waiting room: measured\n\nOne choice, explained as in service; {RUNS} runs each, with `cargo bench --bench waiting`.\n\n\
         | what | median ms | worst ms | target |\n|---|---|---|---|\n"
    );
    let mut is_met = true;
    for (number, case) in CASES.into_iter().enumerate() {
        let times = measure(case);
        let (median, worst) = (times[RUNS / 2], times[RUNS - 1]);
        let ms = |time: Duration| format!("{:.3}", time.as_secs_f64() * 1000.0);
        let target = if number == 0 { format!("median ≤ {} ms", EVENING_MAX.as_millis()) } else { String::new() };
        is_met &= number > 0 || median <= EVENING_MAX;
        text += &format!("| {} | {} | {} | {target} |\n", case.0, ms(median), ms(worst));
    }
    (text, is_met)
}

/// Puts the table into its section of RESULTS.md.
fn write_section(table: &str) {
    const MARKS: [&str; 2] = ["<!-- waiting: written by its bench -->\n", "<!-- end of waiting -->"];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/benches/RESULTS.md");
    let text = std::fs::read_to_string(&path).expect("RESULTS.md");
    let (before, rest) = text.split_once(MARKS[0]).expect("the section's beginning");
    let (_, after) = rest.split_once(MARKS[1]).expect("the section's end");
    std::fs::write(&path, [before, MARKS[0], table, MARKS[1], after].concat()).expect("written");
}

fn main() {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    criterion.bench_function("2000 waiting, 1000 free: all offers", |bench| {
        let made = || evening(CALLERS, REGULATORS);
        bench.iter_batched_ref(
            made,
            |(room, now)| assert_eq!(room.choose(*now, &mut Vec::new()).len(), REGULATORS),
            BatchSize::PerIteration,
        );
    });
    criterion.bench_function("2000 waiting, one becomes free: one offer", |bench| {
        let made = || evening(CALLERS, 1);
        bench.iter_batched_ref(
            made,
            |(room, now)| assert_eq!(room.choose(*now, &mut Vec::new()).len(), 1),
            BatchSize::PerIteration,
        );
    });
    criterion.bench_function("1000 free, one calls: one offer", |bench| {
        let made = || evening(1, REGULATORS);
        bench.iter_batched_ref(
            made,
            |(room, now)| assert_eq!(room.choose(*now, &mut Vec::new()).len(), 1),
            BatchSize::PerIteration,
        );
    });
    criterion.bench_function("2000 waiting: every forecast", |bench| {
        let (room, now) = evening(CALLERS, 1);
        bench.iter(|| room.forecasts(now).len());
    });
    criterion.final_summary();
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let (table, is_met) = tell();
    println!("{table}");
    if std::env::var_os("VIGIE_RESULTS").is_some() {
        write_section(&table);
    }
    assert!(is_met, "the national evening takes longer than {} ms", EVENING_MAX.as_millis());
}
