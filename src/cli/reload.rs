//! `vigie reload`: the changed configuration in the running server, or only what it would change.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::ask::ServerArguments;

/// Rows of one kind that are shown; `--json` shows all.
const ROWS_SHOWN: usize = 20;

/// Put the changed configuration in force in the running server: no call and no state changes.
///
/// The server checks the file that it was started with, compares it, tries it on the present waiting room and on the calls
/// of the last 24 hours, tells, and takes it as a whole or not at all. SIGHUP does the same. Exit status 0 when it is in
/// force (or, with --dry-run, could be), 1 when not.
#[derive(Args, Clone, Debug)]
pub struct ReloadArguments {
    /// Only say what would change, and for whom.
    #[arg(long)]
    pub dry_run: bool,
    /// Which server, and who asks.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// Asks the running server.
pub fn run(arguments: &ReloadArguments) -> ExitCode {
    match ask(arguments) {
        Ok(report) => {
            if arguments.server.json {
                println!("{report:#}");
            } else {
                print!("{}", in_words(&report, arguments.dry_run));
            }
            ExitCode::SUCCESS
        }
        Err(told) => {
            eprintln!("{told}");
            ExitCode::FAILURE
        }
    }
}

fn ask(arguments: &ReloadArguments) -> Result<Value, String> {
    arguments.server.settings().map_err(|faults| format!("{faults}\nvigie: nothing was changed"))?;
    let body = serde_json::json!({ "dry_run": arguments.dry_run });
    arguments.server.ask(Method::POST, "/configuration/reload", Some(body)).map_err(|told| format!("vigie: {told}"))
}

/// The report for a person.
fn in_words(report: &Value, dry_run: bool) -> String {
    let mut text = String::new();
    let rows = |key: &str| report[key].as_array().cloned().unwrap_or_default();
    let changes = rows("changes");
    let headline = match (changes.is_empty(), dry_run) {
        (true, true) => "The file says what is in force: nothing to do.",
        (true, false) => "The file says what is in force: nothing to do. Changed passwords hold from now on.",
        (false, true) => "Would change:",
        (false, false) => "In force now:",
    };
    let _ = writeln!(text, "{headline}");
    write_rows(&mut text, &changes, |change| {
        let keys = names(&change["keys"]);
        let keys = if keys.is_empty() { String::new() } else { format!(" ({keys})") };
        format!("{} {}{keys}", word(&change["kind"]), word(&change["what"]))
    });
    for warning in rows("warnings") {
        let _ = writeln!(text, "warning: {}", word(&warning));
    }
    let reach = rows("reach");
    if !reach.is_empty() {
        let _ = writeln!(text, "Who can answer:");
        write_rows(&mut text, &reach, |one| {
            let (lost, gained) = (names(&one["lost"]), names(&one["gained"]));
            let left = if one["left"] == 0 { "NOBODY".to_owned() } else { format!("{} people", one["left"]) };
            let mut row = format!("line {}, step {}: {left}", word(&one["line"]), one["step"]);
            if !lost.is_empty() {
                let _ = write!(row, ", no more {lost}");
            }
            if !gained.is_empty() {
                let _ = write!(row, ", now {gained}");
            }
            row
        });
    }
    let room = &report["room"];
    let stranded = room["stranded"].as_array().cloned().unwrap_or_default();
    let _ = writeln!(text, "Waiting now: {}, whom nobody on duty could answer: {}", room["waiting"], stranded.len());
    write_rows(&mut text, &stranded, |one| {
        let seconds = one["wait_ms"].as_u64().unwrap_or_default() / 1000;
        format!("{} on line {}, waits {seconds} s", word(&one["call"]), word(&one["line"]))
    });
    let leaving = names(&room["leaving"]);
    if !leaving.is_empty() {
        let _ = writeln!(text, "On duty and no longer in the file: {leaving}");
    }
    write_day(&mut text, &report["last_day"]);
    text
}

fn write_day(text: &mut String, day: &Value) {
    let _ = writeln!(text, "The {} calls of the last 24 hours:", day["calls"]);
    let counted = [
        ("unknown_numbers", "to numbers that no line would know"),
        ("closed", "would find their line closed"),
        ("unserved", "could be answered by nobody"),
        ("answered_by_others", "would be answered by others than then"),
        ("unrecorded", "would not be recorded any more"),
    ];
    let mut is_same = true;
    for moved in day["moved"].as_array().into_iter().flatten() {
        is_same = false;
        let _ =
            writeln!(text, "  {} from line {} to line {}", moved["calls"], word(&moved["from"]), word(&moved["to"]));
    }
    for (key, words) in counted {
        if day[key].as_u64().unwrap_or_default() > 0 {
            is_same = false;
            let _ = writeln!(text, "  {} {words}", day[key]);
        }
    }
    if is_same {
        let _ = writeln!(text, "  would all be taken as they were");
    }
}

fn write_rows(text: &mut String, rows: &[Value], row: impl Fn(&Value) -> String) {
    for one in rows.iter().take(ROWS_SHOWN) {
        let _ = writeln!(text, "  {}", row(one));
    }
    if rows.len() > ROWS_SHOWN {
        let _ = writeln!(text, "  and {} more (--json shows all)", rows.len() - ROWS_SHOWN);
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn names(list: &Value) -> String {
    let names: Vec<&str> = list.as_array().into_iter().flatten().map(word).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_in_words_what_changes_and_for_whom() {
        let report = serde_json::json!({
            "is_applied": true,
            "changes": [{ "what": "lines.rouen", "kind": "changed", "keys": ["demand"] }],
            "warnings": ["w"],
            "reach": [{ "line": "rouen", "step": 0, "lost": ["anne"], "gained": [], "left": 0 }],
            "room": { "waiting": 2, "stranded": [{ "call": "c", "line": "rouen", "wait_ms": 12_900 }], "leaving": ["anne"] },
            "last_day": { "calls": 7, "moved": [], "unknown_numbers": 0, "closed": 3, "unserved": 0,
                          "answered_by_others": 0, "unrecorded": 0 },
        });
        let text = in_words(&report, false);
        for part in [
            "In force now:\n  changed lines.rouen (demand)\n",
            "warning: w\n",
            "  line rouen, step 0: NOBODY, no more anne\n",
            "Waiting now: 2, whom nobody on duty could answer: 1\n  c on line rouen, waits 12 s\n",
            "On duty and no longer in the file: anne\n",
            "The 7 calls of the last 24 hours:\n  3 would find their line closed\n",
        ] {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
        assert!(in_words(&report, true).starts_with("Would change:"));
        // Nothing in the file itself: what follows is told all the same, and of passwords only what is true.
        let mut same = report;
        same["changes"] = serde_json::json!([]);
        for (dry_run, says_passwords) in [(true, false), (false, true)] {
            let text = in_words(&same, dry_run);
            assert!(text.starts_with("The file says what is in force: nothing to do."), "{text}");
            assert_eq!(text.contains("passwords"), says_passwords, "{text}");
            assert!(text.contains("line rouen, step 0: NOBODY") && text.contains("3 would find their line closed"));
        }
    }
}
