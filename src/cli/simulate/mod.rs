//! `vigie simulate`: what a centre's callers would have lived through with other people, rules or another system.

mod arrivals;
#[cfg(test)]
mod erlang;
mod measure;
mod profile;
mod rivals;
mod roster;
mod router;
mod scenario;
mod site;
mod told;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::{Args, ValueEnum};

use measure::{Estimate, FIGURES, Tally, estimate};
use profile::Source;
use rivals::{Rival, Strategy};
use router::Production;
use scenario::Scenario;
use site::Site;
use world::World;

/// The most seeds of one simulation.
const SEEDS_MAX: i64 = 10_000;
/// The most people on a roster.
const STAFF_MAX: i64 = 10_000;

/// Plays callers against the production waiting room in virtual time, and says how long they would have waited.
///
/// The same callers, with the same patience, ring other systems too: --policy asks for their way to choose, written anew
/// from their documentation. Every figure is a mean over seeds, with the interval that holds the true one in 95 of 100
/// cases; more seeds make it narrower.
///
///   vigie simulate --profile one-site --policy vigie,longest-idle,per-association
///   vigie simulate --profile config/profiles/one-site.toml --staff 34 --seeds 20 --json
///
/// A profile is a TOML file; `one-site` and `network` are built in, and config/profiles/one-site.toml explains each key.
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct SimulateArguments {
    /// The arrival profile: a file, or `one-site` or `network`.
    #[arg(long, value_name = "FILE", default_value = "one-site")]
    pub profile: PathBuf,
    /// Who chooses; several with commas.
    #[arg(long, value_enum, value_name = "POLICY", value_delimiter = ',', default_value = "vigie")]
    pub policy: Vec<Policy>,
    /// People on the roster, 1 to 10000, instead of the profile's number: shifts are filled in proportion.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=STAFF_MAX))]
    pub staff: Option<u32>,
    /// How many times, each with other callers, 1 to 10000.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=SEEDS_MAX))]
    pub seeds: u32,
    /// End with one JSON object on standard output, and nothing else there.
    #[arg(long)]
    pub json: bool,
}

/// A way to choose who gets which call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// The production waiting room.
    Vigie,
    /// Asterisk's round robin with memory, a queue a line.
    Rrmemory,
    /// Asterisk's least recent, a queue a line.
    Leastrecent,
    /// FreeSWITCH's longest-idle-agent.
    LongestIdle,
    /// XiVO's skill rules.
    Xivo,
    /// No pool: each association answers for itself.
    PerAssociation,
}

impl Policy {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Vigie => "vigie",
            Policy::Rrmemory => "rrmemory",
            Policy::Leastrecent => "leastrecent",
            Policy::LongestIdle => "longest-idle",
            Policy::Xivo => "xivo",
            Policy::PerAssociation => "per-association",
        }
    }

    /// What it is and where that comes from.
    pub fn origin(self) -> &'static str {
        match self {
            Policy::Vigie => "Vigie's own waiting room, as in production",
            Policy::Rrmemory => "re-implemented from Asterisk's documentation of queues.conf (strategy = rrmemory)",
            Policy::Leastrecent => {
                "re-implemented from Asterisk's documentation of queues.conf (strategy = leastrecent)"
            }
            Policy::LongestIdle => {
                "re-implemented from FreeSWITCH's documentation of mod_callcenter (longest-idle-agent)"
            }
            Policy::Xivo => "re-implemented from XiVO's documentation of skill-based routing (skill rules with WT)",
            Policy::PerAssociation => "separate queues: each association's calls to its own people, longest idle first",
        }
    }

    fn play(self, scenario: &Scenario) -> Tally {
        let strategy = match self {
            Policy::Vigie => return World::play(scenario, Production::new(scenario)),
            Policy::Rrmemory => Strategy::RoundRobinMemory,
            Policy::Leastrecent => Strategy::LeastRecent,
            Policy::LongestIdle => Strategy::LongestIdle,
            Policy::Xivo => Strategy::SkillRules,
            Policy::PerAssociation => Strategy::PerAssociation,
        };
        World::play(scenario, Rival::new(strategy, scenario))
    }
}

/// What came of one policy.
pub struct Outcome {
    /// Which.
    pub policy: Policy,
    /// Calls, attempts of all, over all seeds.
    pub calls: u64,
    /// Persons, over all seeds.
    pub persons: u64,
    /// The figures, in the order of [`FIGURES`].
    pub figures: Vec<Option<Estimate>>,
}

/// What was played.
pub struct Played {
    /// The profile's name.
    pub name: String,
    /// People on the roster.
    pub staff: usize,
    /// On duty on average.
    pub on_duty_mean: f64,
    /// Days of each seed.
    pub days: f64,
    /// How many seeds.
    pub seeds: u32,
    /// Each policy.
    pub outcomes: Vec<Outcome>,
}

/// Plays it and tells; exit status 0 unless it could not be played.
pub fn run(arguments: &SimulateArguments) -> ExitCode {
    let site = match Source::read(&arguments.profile).and_then(|source| Site::new(&source, arguments.staff)) {
        Ok(site) => site,
        Err(error) => {
            eprintln!("vigie simulate: {error}");
            return ExitCode::FAILURE;
        }
    };
    let played = play(&site, &arguments.policy, arguments.seeds);
    match arguments.json {
        true => println!("{}", told::json(&played)),
        false => print!("{}", told::words(&played)),
    }
    ExitCode::SUCCESS
}

/// Plays every seed with every policy, on all cores.
fn play(site: &Site, policies: &[Policy], seeds: u32) -> Played {
    let (next, done) = (AtomicU32::new(0), AtomicU32::new(0));
    let tallies: Mutex<Vec<(u32, usize, Tally)>> = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            let scenario = site.scenario(u64::from(seed) + 1);
            for (place, policy) in policies.iter().enumerate() {
                let tally = policy.play(&scenario);
                tallies.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((seed, place, tally));
            }
            eprintln!("{} of {seeds} seeds played", done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(seeds as usize);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut tallies = tallies.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Threads finish in any order; sums of floats must not depend on it.
    tallies.sort_by_key(|(seed, place, _)| (*place, *seed));
    let first = site.scenario(1);
    let outcomes = policies.iter().enumerate().map(|(place, policy)| {
        let own: Vec<Tally> =
            tallies.iter().filter(|(_, of, _)| *of == place).map(|(.., tally)| tally.clone()).collect();
        sum_up(*policy, own)
    });
    Played {
        name: site.name().to_owned(),
        staff: site.staff(),
        on_duty_mean: first.on_duty_mean(),
        days: first.span.as_secs_f64() / 86_400.0,
        seeds,
        outcomes: outcomes.collect(),
    }
}

fn sum_up(policy: Policy, mut tallies: Vec<Tally>) -> Outcome {
    let each: Vec<Vec<Option<f64>>> = tallies.iter_mut().map(Tally::figures).collect();
    let figure = |place: usize| -> Option<Estimate> {
        let values: Vec<f64> = each.iter().filter_map(|run| run.get(place).copied().flatten()).collect();
        estimate(&values)
    };
    Outcome {
        policy,
        calls: tallies.iter().map(|tally| tally.calls).sum(),
        persons: tallies.iter().map(|tally| tally.persons).sum(),
        figures: (0..FIGURES.len()).map(figure).collect(),
    }
}

#[cfg(test)]
mod tests;
