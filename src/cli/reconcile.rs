//! `vigie reconcile`: whether calls, events and recordings of a day agree.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use jiff::ToSpan;
use jiff::civil::Date;

use crate::archive::reconcile::{Reconciliation, reconcile, span_of};
use crate::clock;
use crate::config::Settings;
use crate::storage::Storage;

/// Compare calls, events and recordings: every answered call has its recording or a stated reason why not.
///
/// Works beside a running server and without one. Exit status 0 when all agree, 1 when something does not or could not be
/// compared.
#[derive(Args, Clone, Debug)]
pub struct ReconcileArguments {
    /// The day by the site's clock, such as 2026-11-21. Default: yesterday.
    #[arg(long, value_name = "DATE")]
    pub day: Option<Date>,
    /// So many days up to that one.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=3660))]
    pub days: u16,
    /// Print what was found as one JSON object a day.
    #[arg(long)]
    pub json: bool,
    /// The configuration file: says where database and recordings are.
    #[arg(long, value_name = "FILE", default_value = "config/vigie.toml")]
    pub config: PathBuf,
}

/// Compares, and says what it found on standard output.
pub fn run(arguments: &ReconcileArguments) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("vigie reconcile: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(compare(arguments)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("vigie reconcile: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn compare(arguments: &ReconcileArguments) -> Result<u64, String> {
    let settings = Settings::read(&arguments.config).map_err(|faults| faults.to_string())?;
    let zone = settings.centre.zone.clone();
    let now = clock::utc();
    let today = now.timestamp().to_zoned(zone.clone()).date();
    let last = arguments.day.or_else(|| today.yesterday().ok()).unwrap_or(today);
    let first = last.checked_sub((i64::from(arguments.days) - 1).days()).map_err(|error| error.to_string())?;
    let storage = Storage::open_to_read(&settings.storage).await.map_err(|error| error.to_string())?;
    let mut differences = 0;
    for day in first.series(1.day()).take_while(|day| *day <= last) {
        let Some(span) = span_of(day, &zone) else { continue };
        let found = reconcile(&storage, &settings.recording.folder, span, now).await;
        let found = found.map_err(|error| error.to_string())?;
        differences += found.differences_total;
        if arguments.json {
            let mut told = serde_json::to_value(&found).map_err(|error| error.to_string())?;
            told["day"] = day.to_string().into();
            println!("{told}");
        } else {
            print!("{}", in_words(day, &found));
        }
    }
    storage.close().await;
    Ok(differences)
}

/// What was found, for a person.
fn in_words(day: Date, found: &Reconciliation) -> String {
    let mut text = String::new();
    for one in &found.excused {
        text += &format!("note {}: not recorded: {}\n", one.call, one.reason);
    }
    for one in &found.differences {
        text += &format!("DIFFERS {}: {}: {}\n", one.call, one.kind.name(), one.what);
    }
    let untold = found.differences_total - found.differences.len() as u64;
    if untold > 0 {
        text += &format!("and {untold} differences more\n");
    }
    let verdict = match found.differences_total {
        0 => "all agree".to_owned(),
        1 => "1 thing does NOT agree".to_owned(),
        n => format!("{n} things do NOT agree"),
    };
    text + &format!(
        "{day}: {} calls, {} answered, {} recorded, {} not to be recorded, {} failed with a reason, {} pending: {verdict}.\n",
        found.calls, found.answered, found.recorded, found.not_to_be_recorded, found.excused_total, found.pending
    )
}
