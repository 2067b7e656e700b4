//! Fuzzing: SIP messages, SDP, sequences of SIP messages into the decision loop, RTP, RTCP and SRTP, and the files of
//! frames, mutated with their structure known.
//!
//! `cargo test --test fuzz` is the short form, with fixed seeds. By hand:
//! `cargo test --test fuzz -- --minutes 30` runs on with seeds of the clock's, `-- --seed 7 --kind sequences` replays one
//! case; each failure prints that line and its input.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

#[path = "../sim/centre.rs"]
#[allow(dead_code, reason = "the simulation uses the rest")]
mod centre;
mod corpus;
mod files;
mod messages;
mod mutation;
#[path = "../wire/torture/notation.rs"]
mod notation;
mod sequences;
mod sound;
#[path = "../wire/torture/table.rs"]
#[allow(dead_code, reason = "the wire tests use the rest")]
mod table;
#[path = "../sim/voice.rs"]
#[allow(dead_code, reason = "the simulation uses the rest")]
mod voice;
#[path = "../sim/wire.rs"]
#[allow(dead_code, reason = "the simulation uses the rest")]
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

/// What was wrong, and the input that showed it.
pub struct Failure {
    pub what: String,
    pub input: Vec<u8>,
}

/// One kind of fuzzing: its name, how many cases the short form tries, and one case of a seed.
struct Kind {
    name: &'static str,
    cases: u64,
    run: fn(u64) -> Result<(), Failure>,
}

const KINDS: [Kind; 10] = [
    Kind { name: "messages", cases: 4_000, run: messages::try_message },
    Kind { name: "sdp", cases: 3_000, run: messages::try_sdp },
    Kind { name: "sequences", cases: 60, run: sequences::try_sequence },
    Kind { name: "rtp", cases: 500, run: sound::try_rtp },
    Kind { name: "keys", cases: 2_000, run: sound::try_keys },
    Kind { name: "rtcp", cases: 6_000, run: sound::try_rtcp },
    Kind { name: "jitter", cases: 500, run: sound::try_jitter },
    Kind { name: "playout", cases: 120, run: sound::try_playout },
    Kind { name: "srtp", cases: 300, run: sound::try_srtp },
    Kind { name: "files", cases: 150, run: files::try_files },
];

struct Options {
    minutes: Option<u64>,
    seed: Option<u64>,
    kind: Option<String>,
}

fn read_options() -> Result<Options, String> {
    let mut options = Options { minutes: None, seed: None, kind: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = |name: &str| {
            let value = words.next().and_then(|value| value.parse().ok());
            value.ok_or(format!("{name} wants a number"))
        };
        match word.as_str() {
            "--minutes" => options.minutes = Some(number("--minutes")?),
            "--seed" => options.seed = Some(number("--seed")?),
            "--kind" => options.kind = words.next(),
            // What cargo test passes to every test executable is of no matter here.
            _ => {}
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match read_options() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("fuzz: {why}");
            return ExitCode::FAILURE;
        }
    };
    let is_chosen = |kind: &&Kind| options.kind.as_deref().is_none_or(|name| name == kind.name);
    let chosen: Vec<&Kind> = KINDS.iter().filter(is_chosen).collect();
    let mut failed = 0;
    match (options.seed, options.minutes) {
        (Some(seed), _) => {
            for kind in &chosen {
                failed += u32::from(!holds(kind, seed));
            }
        }
        (None, Some(minutes)) => failed += run_on(&chosen, Duration::from_secs(60 * minutes)),
        (None, None) => {
            for kind in &chosen {
                let (begun, bad) = (Instant::now(), (1..=kind.cases).filter(|seed| !holds(kind, *seed)).count());
                println!(
                    "fuzz: {} cases of {} in {} ms, {bad} failed",
                    kind.cases,
                    kind.name,
                    begun.elapsed().as_millis()
                );
                failed += bad as u32;
            }
        }
    }
    println!("fuzz: {}", if failed == 0 { "ok" } else { "FAILED" });
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// New seeds until the time is over; stops at the tenth failure.
fn run_on(chosen: &[&Kind], time: Duration) -> u32 {
    let begun = Instant::now();
    let mut seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |since| since.as_micros() as u64);
    let (mut cases, mut failed, mut told) = (0u64, 0, Instant::now());
    while begun.elapsed() < time && failed < 10 {
        for kind in chosen {
            // As many of each as the short form has, in proportion.
            for _ in 0..(kind.cases / 60).max(1) {
                seed = seed.wrapping_add(1);
                cases += 1;
                failed += u32::from(!holds(kind, seed));
            }
        }
        if told.elapsed() > Duration::from_secs(30) {
            told = Instant::now();
            println!("fuzz: {cases} cases in {} s, {failed} failed", begun.elapsed().as_secs());
        }
    }
    println!("fuzz: {cases} cases in {} s, {failed} failed", begun.elapsed().as_secs());
    failed
}

/// Tries one case; tells how to replay it when it fails.
fn holds(kind: &Kind, seed: u64) -> bool {
    let failure = match catch_unwind(AssertUnwindSafe(|| (kind.run)(seed))) {
        Ok(Ok(())) => return true,
        Ok(Err(failure)) => failure,
        Err(_) => Failure { what: "a panic, told above".to_owned(), input: mutation::last_input() },
    };
    let Failure { what, input } = failure;
    println!("fuzz: FAILED: {what}");
    println!("fuzz: replay: cargo test --test fuzz -- --kind {} --seed {seed}", kind.name);
    println!("fuzz: input: {}", input.escape_ascii());
    false
}
