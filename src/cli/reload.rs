//! `vigie reload`: the changed configuration in the running server, or only what it would change.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::config::Settings;

/// How long the server may take: the last day's calls are looked at.
const PATIENCE: Duration = Duration::from_secs(120);

/// Rows of one kind that are shown; `--json` shows all.
const ROWS_SHOWN: usize = 20;

/// Put the changed configuration in force in the running server: no call and no state changes.
///
/// The server checks the file that it was started with, compares it, tries it on the present waiting room and on the calls
/// of the last 24 hours, tells, and takes it as a whole or not at all. SIGHUP does the same. Exit status 0 when it is in
/// force (or, with --dry-run, could be), 1 when not.
#[derive(Args, Clone, Debug)]
pub struct ReloadArguments {
    /// The configuration file of the running server: says where its API and its token are.
    #[arg(long, value_name = "FILE", default_value = "config/vigie.toml")]
    pub config: PathBuf,
    /// Only say what would change, and for whom.
    #[arg(long)]
    pub dry_run: bool,
    /// Print the report as one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Where the server's API is, when it is not where the file says.
    #[arg(long, value_name = "URL")]
    pub api: Option<String>,
    /// A file with an administrator's token. Default: `STATE/secrets/api-token-admin`.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// Asks the running server.
pub fn run(arguments: &ReloadArguments) -> ExitCode {
    match ask(arguments) {
        Ok(report) => {
            if arguments.json {
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
    let settings =
        Settings::read(&arguments.config).map_err(|faults| format!("{faults}\nvigie: nothing was changed"))?;
    let base = match &arguments.api {
        Some(api) => api.trim_end_matches('/').to_owned(),
        None => format!("http://{}", reachable(settings.web.listen)),
    };
    let usual = settings.node.state.join("secrets").join("api-token-admin");
    let file = arguments.token_file.clone().unwrap_or(usual);
    let token = std::fs::read_to_string(&file).map_err(|error| {
        format!(
            "vigie: reading an administrator's token from {}: {error}; name another with --token-file",
            file.display()
        )
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("vigie: cannot start the runtime: {error}"))?;
    runtime.block_on(post(&format!("{base}/api/v1/configuration/reload"), token.trim(), arguments.dry_run))
}

/// A server that listens everywhere is asked on this machine.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn post(url: &str, token: &str, dry_run: bool) -> Result<Value, String> {
    // Another part of this process may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
    let client = client.map_err(|error| format!("vigie: {error}"))?;
    let body = serde_json::json!({ "dry_run": dry_run }).to_string();
    let request = client.post(url).bearer_auth(token).header("Content-Type", "application/json").body(body);
    let unreached = |error: reqwest::Error| {
        format!("vigie: no server answers at {url}: {error}; is it running? --api says where it is")
    };
    let response = request.send().await.map_err(unreached)?;
    let status = response.status();
    let text = response.text().await.map_err(unreached)?;
    let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if status.is_success() {
        return Ok(answer);
    }
    let title = answer["title"].as_str().unwrap_or("the server refused");
    Err(format!("vigie: {title} ({})\n{}", status.as_u16(), answer["detail"].as_str().unwrap_or(&text)))
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

    #[test]
    fn a_server_that_listens_everywhere_is_asked_here() {
        assert_eq!(reachable("0.0.0.0:8060".parse().expect("an address")).to_string(), "127.0.0.1:8060");
        assert_eq!(reachable("[::]:8060".parse().expect("an address")).to_string(), "[::1]:8060");
        assert_eq!(reachable("10.1.2.3:80".parse().expect("an address")).to_string(), "10.1.2.3:80");
    }
}
