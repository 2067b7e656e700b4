//! Seeded days of callers, regulators, lost messages, dead phones and slow storage against the whole decision loop.
//!
//! `VIGIE_SIM_SEED=n` replays one seed; `VIGIE_SIM_SEEDS=n` lives that many days instead of the usual number;
//! `VIGIE_SIM_RESTORED=n` lives n days whose user agent is restored from snapshots all day long, instead of a few;
//! `VIGIE_SIM_SHOWN=n` shows the last n steps of a day that went wrong instead of 40.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands")]
#![allow(clippy::indexing_slicing, reason = "a test may stop where it stands")]

mod centre;
mod entered;
mod faults;
mod invariants;
mod ledger;
mod people;
mod phone;
mod planes;
mod restoring;
mod sealing;
mod statistics;
mod story;
mod strays;
mod voice;
mod wire;
mod world;

use faults::Plant;
use ledger::Tally;
use world::{Violation, World};

/// Days lived in a usual run, both tests together.
const SEEDS: u64 = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn live(seed: u64, plant: Plant) -> Result<Tally, (f64, Violation)> {
    let mut world = World::new(seed, plant);
    world.run().map_err(|violation| (world.seconds(), violation))
}

/// Lives the days of every second seed, so that two tests share the machine's cores.
fn live_days(first: u64) {
    let seeds: Vec<u64> = match number("VIGIE_SIM_SEED") {
        Some(seed) if seed % 2 == first => vec![seed],
        Some(_) => return,
        None => (0..number("VIGIE_SIM_SEEDS").unwrap_or(SEEDS)).filter(|seed| seed % 2 == first).collect(),
    };
    let (mut sum, mut failed) = (Tally::default(), 0);
    for seed in seeds {
        match live(seed, Plant::Nothing) {
            Ok(tally) => sum.add(tally),
            Err((at, violation)) => {
                failed += 1;
                eprintln!("seed {seed}, at {at:.3} s of its day: {}", violation.what);
                if failed == 1 {
                    eprintln!("{}replay: VIGIE_SIM_SEED={seed} cargo test --test sim", violation.story);
                }
            }
        }
    }
    eprintln!("{sum:?}");
    assert!(failed == 0, "{failed} days went wrong");
    let is_whole = number("VIGIE_SIM_SEED").is_none() && number("VIGIE_SIM_SEEDS").is_none();
    assert!(!is_whole || sum.attended > 10 && sum.transferred > sum.attended, "hardly anybody was handed on: {sum:?}");
    let missing = [entered::missing(&entered::STATES, sum.states), entered::missing(&entered::CONTROLS, sum.controls)];
    assert!(!is_whole || missing.concat().is_empty(), "no day had any of {missing:?}");
    let rare = [sum.forwarded, sum.messages, sum.called_back, sum.informed, sum.joined, sum.supervised];
    assert!(!is_whole || rare.iter().chain([&sum.handed_to_samu]).all(|count| *count > 50), "hardly any of: {sum:?}");
}

#[test]
fn every_even_day_keeps_the_invariants() {
    live_days(0);
}

#[test]
fn every_odd_day_keeps_the_invariants() {
    live_days(1);
}

/// Lives days with a planted fault until one is caught; says how.
fn caught(plant: Plant) -> String {
    let caught = (1..=12).find_map(|seed| live(seed, plant).err());
    caught.map(|(_, violation)| violation.what).unwrap_or_else(|| panic!("{plant:?} was not caught"))
}

#[test]
fn a_planted_fault_is_caught() {
    for (plant, word) in [
        (Plant::NoCancel, "on a phone and gone at Vigie"),
        (Plant::NoBye, "on a phone and gone at Vigie"),
        (Plant::LostStore(40), ""),
        (Plant::LostClose(7), "media legs"),
        (Plant::LostFinish(3), "recordings run on"),
        (Plant::SecondOffer(3), "never offered"),
        (Plant::StoppedClock(30), "busy loop"),
        (Plant::DoubledFact(2), "number"),
        (Plant::WrongOrder(5), "number"),
        (Plant::LostEvent(50), "number"),
        (Plant::LostRecord(3), "record"),
        (Plant::LostReply(2), "replies"),
        (Plant::BlindToSkills, "who does not fit"),
        (Plant::LaterFirst, "was before it"),
        (Plant::UrgentLast, "was before it"),
        (Plant::LateSteps, "waits for"),
        (Plant::NearSighted, "waits for"),
        (Plant::LongRest, "has been WrapUp"),
        (Plant::ForgottenWakeUp, "has been"),
        (Plant::LongRinging, "has been"),
    ] {
        let what = caught(plant);
        assert!(what.contains(word), "{plant:?} was caught as: {what}");
    }
}

#[test]
fn a_seed_lives_the_same_day_twice() {
    let (one, other) = (live(5, Plant::Nothing), live(5, Plant::Nothing));
    assert_eq!(one.map_err(|(_, v)| v.what), other.map_err(|(_, v)| v.what));
}
