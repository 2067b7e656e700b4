//! `vigie verify PATH [--key FILE] [--database FILE]`: whether recordings are as they were sealed; offline, exit status 0 or 1.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::archive::verify::{Progress, Verdict, Wish, database, root_above, verify_as};
use crate::clock;
use crate::config::encryption::KeySource;
use crate::model::Moment;
use crate::storage::comparing;
use crate::vault::Keys;

/// Progress is told so often, on standard error.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// A command has so long to print a key-encryption key.
const KEY_WITHIN: Duration = Duration::from_secs(60);

/// Checks hashes, signatures, keys, roots and the seal log of recordings.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    /// A recording's folder or a file in it, a day, or the whole recordings folder.
    pub path: PathBuf,
    /// A node's public key (PEM) from elsewhere; once a node. Without it the key beside the seal log is used.
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
    /// Compare the database's rows with the sidecars, too; it is only read, and may be in use.
    #[arg(long, value_name = "FILE")]
    pub database: Option<PathBuf>,
    /// Compute what follows from the SHA-256 of each file as well: the audio's SHA-512, the hash of its samples, the CRC
    /// of each frame. Several times slower.
    #[arg(long)]
    pub thorough: bool,
    /// Recordings checked at once; 0 is one a core. Calls on the same machine go first.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub threads: usize,
    /// A key-encryption key of encrypted recordings: `file:PATH`, `env:NAME` or `command:PROGRAM WORDS`; as many as there
    /// are. Without it what rests on the disk is checked, and not what is inside.
    #[arg(long = "decrypt-with", value_name = "KEY")]
    pub decrypt_with: Vec<KeySource>,
}

/// Runs the check: 0 when everything holds, 1 when something is wrong or nothing could be checked.
pub fn run(args: &VerifyArgs) -> ExitCode {
    let vault = match Keys::to_read(&args.decrypt_with, KEY_WITHIN) {
        Ok(vault) => vault,
        Err(error) => {
            eprintln!("vigie verify: {error}");
            return ExitCode::FAILURE;
        }
    };
    let wish = Wish { keys: args.keys.clone(), is_thorough: args.thorough, threads: args.threads, vault };
    stand_back();
    let begun = clock::moment();
    let mut teller = Teller { begun, told: begun, is_live: std::io::stderr().is_terminal() };
    let mut verdict = match verify_as(&args.path, &wish, |progress| teller.tell(progress)) {
        Ok(verdict) => verdict,
        Err(error) => {
            eprintln!("vigie verify: {error}");
            return ExitCode::FAILURE;
        }
    };
    teller.end();
    let mut rows = None;
    if let Some(file) = &args.database {
        match compare(file, &args.path, &mut verdict) {
            Ok(compared) => rows = Some(compared),
            Err(error) => {
                eprintln!("vigie verify: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    verdict.notes.iter().for_each(|note| println!("note: {note}"));
    let untold = verdict.notes_total - verdict.notes.len() as u64;
    if untold > 0 {
        println!("note: and {untold} notes more");
    }
    for finding in &verdict.findings {
        println!("WRONG {}: {}: {}", finding.file.display(), finding.field, finding.what);
    }
    if let Some(rows) = rows {
        println!("{rows} rows of the database compared with their sidecars");
    }
    let seconds = clock::moment().since(begun).as_secs_f64();
    let rate = verdict.bytes as f64 / 1e6 / seconds.max(0.001);
    println!("{:.1} MB in {seconds:.1} s: {rate:.0} MB/s", verdict.bytes as f64 / 1e6);
    println!("{}", summarise(&verdict));
    if verdict.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Calls come first: a check takes a tenth of their weight (sched(7)).
fn stand_back() {
    if let Err(error) = rustix::process::nice(10) {
        eprintln!("vigie verify: goes on at the weight of any other program: {error}");
    }
}

/// Compares the database's rows; how many.
fn compare(file: &Path, path: &Path, verdict: &mut Verdict) -> anyhow::Result<u64> {
    let (root, target) = root_above(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let storage = comparing::open(file).await?;
        let compared = database::check(&storage, file, (&root, &target), clock::utc(), verdict).await?;
        storage.close().await;
        Ok(compared)
    })
}

/// Tells how far the check is: one line that is written over, or a line now and then.
struct Teller {
    begun: Moment,
    told: Moment,
    is_live: bool,
}

impl Teller {
    fn tell(&mut self, done: Progress) {
        let now = clock::moment();
        if now.since(self.told) < PROGRESS_EVERY {
            return;
        }
        self.told = now;
        let line = in_words(done, now.since(self.begun));
        if self.is_live {
            eprint!("\r\x1b[K{line}");
            // A terminal that is gone takes nothing from the check.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    fn end(&self) {
        if self.is_live && self.told != self.begun {
            eprintln!();
        }
    }
}

/// Recordings and bytes done, the speed, and how long the rest takes at it.
fn in_words(done: Progress, elapsed: Duration) -> String {
    let rate = done.bytes as f64 / elapsed.as_secs_f64().max(0.001);
    let left = done.bytes_total.saturating_sub(done.bytes) as f64 / rate.max(1.0);
    format!(
        "{} of {} recordings, {:.1} of {:.1} GB, {:.0} MB/s, about {:.0} s left",
        done.recordings,
        done.recordings_total,
        done.bytes as f64 / 1e9,
        done.bytes_total as f64 / 1e9,
        rate / 1e6,
        left
    )
}

/// The last line: the whole result in one sentence.
fn summarise(verdict: &Verdict) -> String {
    let recordings = match verdict.recordings {
        1 => "1 recording".to_owned(),
        n => format!("{n} recordings"),
    };
    let lines = match verdict.log_lines {
        1 => "1 line".to_owned(),
        n => format!("{n} lines"),
    };
    let deleted = match verdict.recordings_deleted {
        0 => String::new(),
        n => format!(" ({n} lawfully deleted, with certificate and tombstone)"),
    };
    let checked = format!("{recordings}{deleted} and {lines} of the seal log checked");
    if verdict.is_sound() {
        return format!("{checked}: everything is as it was sealed.");
    }
    let things = match verdict.findings_total {
        1 => "1 thing is wrong".to_owned(),
        n => format!("{n} things are wrong"),
    };
    format!("{checked}: {things}; {} of {recordings} NOT as sealed.", verdict.recordings_wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_recordings_bytes_speed_and_time_left() {
        let done = Progress { recordings: 3, recordings_total: 12, bytes: 1_000_000_000, bytes_total: 4_000_000_000 };
        let told = in_words(done, Duration::from_secs(2));
        assert_eq!(told, "3 of 12 recordings, 1.0 of 4.0 GB, 500 MB/s, about 6 s left");
    }

    #[test]
    fn the_summary_never_says_sound_when_something_is_wrong() {
        let sound = Verdict { recordings: 1, log_lines: 2, ..Verdict::default() };
        assert_eq!(
            summarise(&sound),
            "1 recording and 2 lines of the seal log checked: everything is as it was sealed."
        );
        let wrong = Verdict { findings_total: 1, ..sound };
        assert!(summarise(&wrong).contains("1 thing is wrong"));
    }
}
