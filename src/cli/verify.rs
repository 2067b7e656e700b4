//! `vigie verify PATH [--key FILE]`: whether recordings are as they were sealed; offline, exit status 0 or 1.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::archive::verify::{Verdict, verify};

/// Progress is told after so many recordings.
const PROGRESS_EVERY: u64 = 100;

/// Checks hashes, signatures and the seal log of recordings.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    /// A recording's folder or a file in it, a day, or the whole recordings folder.
    pub path: PathBuf,
    /// A node's public key (PEM) from elsewhere; once a node. Without it the key beside the seal log is used.
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
}

/// Runs the check: 0 when everything holds, 1 when something is wrong or nothing could be checked.
pub fn run(args: &VerifyArgs) -> ExitCode {
    let progress = |done: u64| {
        if done.is_multiple_of(PROGRESS_EVERY) {
            eprintln!("{done} recordings checked…");
        }
    };
    match verify(&args.path, &args.keys, progress) {
        Ok(verdict) => {
            verdict.notes.iter().for_each(|note| println!("note: {note}"));
            let untold = verdict.notes_total - verdict.notes.len() as u64;
            if untold > 0 {
                println!("note: and {untold} notes more");
            }
            for finding in &verdict.findings {
                println!("WRONG {}: {}: {}", finding.file.display(), finding.field, finding.what);
            }
            println!("{}", summarise(&verdict));
            if verdict.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("vigie verify: {error}");
            ExitCode::FAILURE
        }
    }
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
    let checked = format!("{recordings} and {lines} of the seal log checked");
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
