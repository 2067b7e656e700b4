//! `vigie simulate`: what a centre's callers would have lived through with other people, rules or another system.

mod arrivals;
mod canvas;
#[cfg(test)]
mod erlang;
mod history;
mod measure;
mod picture;
mod pixels;
mod png;
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

use history::History;
use measure::{Estimate, FIGURES, Tally, WEEK_HOURS, estimate};
use picture::{Form, SHOWN_S};
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
///   vigie simulate --history 2026-11-01..2026-11-08 --policy vigie,xivo --plot week.png
///
/// A profile is a TOML file; `one-site` and `network` are built in, and config/profiles/one-site.toml explains each key.
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct SimulateArguments {
    /// The arrival profile: a file, or `one-site` or `network`.
    #[arg(long, value_name = "FILE", default_value = "one-site", conflicts_with = "history")]
    pub profile: PathBuf,
    /// Real calls instead, as stored: from a day (or time) on until before another, such as 2026-11-01..2026-11-08. Who was
    /// on duty is taken from the stored changes of state, and lines, people and weights from --config as it is now.
    #[arg(long, value_name = "FROM..TO")]
    pub history: Option<String>,
    /// With --history: the configuration, whose database is read.
    #[arg(long, value_name = "FILE", default_value = "config/vigie.toml", requires = "history")]
    pub config: PathBuf,
    /// Who chooses; several with commas.
    #[arg(long, value_enum, value_name = "POLICY", value_delimiter = ',', default_value = "vigie")]
    pub policy: Vec<Policy>,
    /// People on the roster, 1 to 10000, instead of the profile's number: shifts are filled in proportion. With
    /// --history: so many of those who were on duty, the longest of them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=STAFF_MAX))]
    pub staff: Option<u32>,
    /// How many times, each with other callers, 1 to 10000.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=SEEDS_MAX))]
    pub seeds: u32,
    /// End with one JSON object on standard output, and nothing else there.
    #[arg(long)]
    pub json: bool,
    /// Draw a picture of it into this file: SVG or PNG, as its name ends (.svg, .png).
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
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
    /// The figures, in the order of `FIGURES`.
    pub figures: Vec<Option<Estimate>>,
    /// The share answered by each second of wait, mean over the seeds.
    pub by_second: Vec<f64>,
    /// Calls by the hour of the week, and how many of them were answered within 30 s, over all seeds.
    pub hours: Vec<(u64, u64)>,
}

impl Outcome {
    /// As it is written on the command line.
    pub fn policy_name(&self) -> &'static str {
        self.policy.name()
    }
}

/// What is played.
enum Material {
    Profile(Box<Site>),
    History(Box<History>),
}

impl Material {
    fn read(arguments: &SimulateArguments) -> Result<Material, String> {
        match &arguments.history {
            Some(span) => History::read(span, &arguments.config, arguments.staff)
                .map(|history| Material::History(Box::new(history)))
                .map_err(|error| error.to_string()),
            None => Source::read(&arguments.profile)
                .and_then(|source| Site::new(&source, arguments.staff))
                .map(|site| Material::Profile(Box::new(site)))
                .map_err(|error| error.to_string()),
        }
    }

    fn name(&self) -> &str {
        match self {
            Material::Profile(site) => site.name(),
            Material::History(history) => history.name(),
        }
    }

    fn staff(&self) -> usize {
        match self {
            Material::Profile(site) => site.staff(),
            Material::History(history) => history.staff(),
        }
    }

    fn scenario(&self, seed: u64) -> Scenario {
        match self {
            Material::Profile(site) => site.scenario(seed),
            Material::History(history) => history.scenario(seed),
        }
    }
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
    match tell(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(told) => {
            eprintln!("vigie simulate: {told}");
            ExitCode::FAILURE
        }
    }
}

fn tell(arguments: &SimulateArguments) -> Result<(), String> {
    let form = |file: &PathBuf| {
        let refused = || format!("--plot {}: write a name that ends in .svg or .png", file.display());
        Ok::<_, String>((file.clone(), Form::of(file).ok_or_else(refused)?))
    };
    let plot = arguments.plot.as_ref().map(form).transpose()?;
    let mut policies = arguments.policy.clone();
    policies.dedup();
    let played = play(&Material::read(arguments)?, &policies, arguments.seeds);
    if let Some((file, form)) = &plot {
        let drawn = std::fs::write(file, form.draw(&played));
        drawn.map_err(|error| format!("writing the picture to {}: {error}", file.display()))?;
    }
    match arguments.json {
        true => println!("{}", told::json(&played)),
        false => print!("{}", told::words(&played)),
    }
    Ok(())
}

/// Plays every seed with every policy, on all cores.
fn play(site: &Material, policies: &[Policy], seeds: u32) -> Played {
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
    let runs = tallies.len().max(1) as f64;
    let (mut by_second, mut hours) = (vec![0.0; SHOWN_S + 1], vec![(0, 0); WEEK_HOURS]);
    for tally in &tallies {
        for (sum, share) in by_second.iter_mut().zip(tally.answered_by_second(SHOWN_S)) {
            *sum += share / runs;
        }
        for (sum, hour) in hours.iter_mut().zip(&tally.hours) {
            (sum.0, sum.1) = (sum.0 + hour.0, sum.1 + hour.1);
        }
    }
    Outcome {
        by_second,
        hours,
        policy,
        calls: tallies.iter().map(|tally| tally.calls).sum(),
        persons: tallies.iter().map(|tally| tally.persons).sum(),
        figures: (0..FIGURES.len()).map(figure).collect(),
    }
}

#[cfg(test)]
mod tests;
