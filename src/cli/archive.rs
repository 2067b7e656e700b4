//! `vigie archive check`, `… status`, `… forget`: the second place of recordings.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::civil::Date;

use crate::archive::second::check::{Comparison, Finding, Wanted, Wish, compare};
use crate::archive::second::{Place, Second};
use crate::clock;
use crate::config::Settings;
use crate::model::CallId;
use crate::recorder::layout::folder_of;
use crate::storage::copies::{self, Backlog};
use crate::storage::{Storage, StorageError};

/// Progress is told after so many recordings.
const PROGRESS_EVERY: u64 = 1000;

/// The second place of recordings (`[archive]` in the configuration): compare it with the first, mend the one from the other,
/// see what waits to be copied.
#[derive(Args, Clone, Debug)]
pub struct ArchiveArguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Clone, Debug, Subcommand)]
enum Act {
    Check(CheckArguments),
    Status(StatusArguments),
    Forget(ForgetArguments),
}

/// Compare both places with what the seal log, the sidecars and the addenda say: every file, to its last byte.
///
/// Works beside a running server and without one. Exit status 0 when everything is as it should be, or was mended; 1 when
/// something is not, or could not be compared.
#[derive(Args, Clone, Debug)]
struct CheckArguments {
    /// Calls whose recordings are compared. Default: all there are, in either place.
    calls: Vec<CallId>,
    /// Those that came on this day (UTC, as the folders are named), such as 2026-11-21.
    #[arg(long, value_name = "DATE")]
    day: Option<Date>,
    /// Mend what is missing or wrong in one place from the other. What is wrong is set aside in `quarantine`, never
    /// overwritten; where both are wrong nothing is done.
    #[arg(long)]
    repair: bool,
    /// Print what was found as one JSON object.
    #[arg(long)]
    json: bool,
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "config/vigie.toml")]
    config: PathBuf,
}

/// What waits to be copied, and why. Exit status 0 when nothing waits, 1 when something does.
#[derive(Args, Clone, Debug)]
struct StatusArguments {
    /// Print it as one JSON object.
    #[arg(long)]
    json: bool,
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "config/vigie.toml")]
    config: PathBuf,
}

/// Forget a place that was the second one before and is gone for good, with all that was copied there: a deletion waits for it
/// no more. Its name is as the alarm says it. Removes nothing from the place itself.
#[derive(Args, Clone, Debug)]
struct ForgetArguments {
    /// The place's name, such as `folder:/mnt/old` or `s3:host/bucket/prefix`.
    place: String,
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "config/vigie.toml")]
    config: PathBuf,
}

/// Runs the command.
pub fn run(arguments: &ArchiveArguments) -> ExitCode {
    let done = match &arguments.act {
        Act::Check(arguments) => check(arguments),
        Act::Status(arguments) => status(arguments),
        Act::Forget(arguments) => forget(arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("vigie archive: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The settings and the second place that they name.
fn open(config: &Path) -> Result<(Settings, Second), String> {
    let settings = Settings::read(config).map_err(|faults| faults.to_string())?;
    let place = settings.archive.place.as_ref();
    let place = place.ok_or("there is no second place: set [archive] place in the configuration")?;
    let place = Place::open(place).map_err(|error| error.to_string())?;
    let second = Second::new(&settings.recording.folder, place);
    Ok((settings, second))
}

/// Asks the database, which may be a running server's.
fn ask<T>(settings: &Settings, question: impl AsyncFnOnce(&Storage) -> Result<T, StorageError>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
    let asked = runtime.block_on(async {
        let storage = Storage::open_to_read(&settings.storage).await?;
        let answer = question(&storage).await;
        storage.close().await;
        answer
    });
    asked.map_err(|error| error.to_string())
}

fn check(arguments: &CheckArguments) -> Result<bool, String> {
    let (settings, second) = open(&arguments.config)?;
    let place = second.there().name();
    let waiting = ask(&settings, async |storage| copies::waiting(storage, &place).await)?;
    let wish = Wish {
        wanted: wanted(arguments),
        waiting: waiting.into_iter().collect(),
        repair: arguments.repair,
        at: clock::utc(),
    };
    let progress = |done: u64, total: u64| {
        if done.is_multiple_of(PROGRESS_EVERY) {
            eprintln!("{done} of {total} recordings compared…");
        }
    };
    let found = compare(&second, &wish, progress).map_err(|error| format!("comparing with {place}: {error}"))?;
    lock_again(&settings, &found)?;
    if arguments.json {
        println!("{}", serde_json::to_value(&found).map_err(|error| error.to_string())?);
    } else {
        print!("{}", in_words(&found));
    }
    Ok(found.findings_total == found.mended)
}

/// Has the running server look again at what was put back there: a bucket locks it anew.
fn lock_again(settings: &Settings, found: &Comparison) -> Result<(), String> {
    let is_put_there = |one: &&Finding| one.place == "there" && one.mended.is_some();
    let put_there = found.findings.iter().filter(is_put_there);
    let folders: BTreeSet<&str> = put_there.filter_map(|one| Some(one.file.rsplit_once('/')?.0)).collect();
    if folders.is_empty() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
    let noted = runtime.block_on(async {
        let storage = Storage::open(&settings.storage).await?;
        for folder in folders {
            copies::touch(&storage, folder, clock::utc()).await?;
        }
        storage.close().await;
        Ok::<_, StorageError>(())
    });
    noted.map_err(|error| {
        format!("what was put back there could not be noted, and a bucket does not lock it yet: {error}")
    })
}

/// Which folders are wanted; `None`: all.
fn wanted(arguments: &CheckArguments) -> Option<Wanted> {
    let folders: BTreeSet<String> = arguments.calls.iter().map(|call| folder_of(*call)).collect();
    let day = arguments.day.map(|day| format!("{}/", day.strftime("%Y/%m/%d")));
    if folders.is_empty() && day.is_none() {
        return None;
    }
    Some(Box::new(move |folder| {
        folders.contains(folder) || day.as_ref().is_some_and(|day| folder.starts_with(day.as_str()))
    }))
}

/// What was found, for a person.
fn in_words(found: &Comparison) -> String {
    let mut text = String::new();
    for one in &found.findings {
        match &one.mended {
            Some(mended) => text += &format!("MENDED {} ({}): {}: {mended}\n", one.file, one.place, one.what),
            None => text += &format!("WRONG {} ({}): {}\n", one.file, one.place, one.what),
        }
    }
    let untold = found.findings_total - found.findings.len() as u64;
    if untold > 0 {
        text += &format!("and {untold} findings more\n");
    }
    let left = found.findings_total - found.mended;
    let verdict = match (found.findings_total, left) {
        (0, _) => "both places are as they should be".to_owned(),
        (mended, 0) => format!("{mended} things were not as they should be, and are now"),
        (_, left) => format!("{left} things are NOT as they should be"),
    };
    let waiting = match found.waiting {
        0 => String::new(),
        n => format!(", {n} of them wait for their copy"),
    };
    text + &format!("{} recordings{waiting}, {} files compared: {verdict}.\n", found.recordings, found.files)
}

fn status(arguments: &StatusArguments) -> Result<bool, String> {
    let (settings, second) = open(&arguments.config)?;
    let place = second.there().name();
    let (backlog, (renewals, in_the_way)) = ask(&settings, async |storage| {
        Ok((copies::backlog(storage, &place).await?, copies::renewals(storage, &place).await?))
    })?;
    let Backlog { waiting, oldest, error } = backlog;
    let error = error.or(in_the_way);
    if arguments.json {
        let oldest = oldest.map(|oldest| oldest.rfc3339());
        let told = serde_json::json!({
            "place": place, "waiting": waiting, "waiting_since": oldest, "renewals": renewals, "error": error,
        });
        println!("{told}");
        return Ok(waiting == 0);
    }
    match oldest {
        None => println!("{place}: everything is copied."),
        Some(oldest) => {
            println!("{place}: {waiting} folders wait for their copy, the oldest since {oldest}.");
        }
    }
    if renewals > 0 {
        println!(
            "{renewals} copies are looked at again: their keys were wrapped anew, or they are to be locked for longer."
        );
    }
    error.iter().for_each(|error| println!("The last attempt failed: {error}"));
    Ok(waiting == 0)
}

fn forget(arguments: &ForgetArguments) -> Result<bool, String> {
    let settings = Settings::read(&arguments.config).map_err(|faults| faults.to_string())?;
    let name = settings.archive.place.as_ref().map(Place::open).transpose().map_err(|error| error.to_string())?;
    if name.is_some_and(|place| place.name() == arguments.place) {
        return Err(format!("{} is the second place now: change [archive] place first", arguments.place));
    }
    let known = ask(&settings, async |storage| copies::places(storage).await)?;
    if !known.contains(&arguments.place) {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(format!("nothing was ever copied to {}; places with copies: {known}", arguments.place));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
    let forgotten = runtime.block_on(async {
        let storage = Storage::open(&settings.storage).await?;
        let forgotten = copies::forget_place(&storage, &arguments.place).await;
        storage.close().await;
        forgotten
    });
    let forgotten = forgotten.map_err(|error| error.to_string())?;
    println!("{}: {forgotten} folders forgotten; what lies there is not touched.", arguments.place);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_never_told_as_mended() {
        let finding = |mended: Option<&str>| Finding {
            file: "a/audio.wav".into(),
            place: "there",
            what: "is missing".into(),
            mended: mended.map(str::to_owned),
        };
        let mut found = Comparison { recordings: 1, files: 5, findings_total: 2, mended: 1, ..Comparison::default() };
        found.findings = vec![finding(Some("put back")), finding(None)];
        let told = in_words(&found);
        assert!(told.contains("MENDED a/audio.wav (there)") && told.contains("WRONG a/audio.wav (there): is missing"));
        assert!(told.ends_with("1 things are NOT as they should be.\n"), "{told}");
    }
}
