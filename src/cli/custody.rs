//! `vigie custody`: legal holds, deletion by two people, the clock; asks the running server.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::ask::ServerArguments;
use crate::model::CallId;

/// Keep, hold and delete recordings: how long one is kept, legal holds, and deletion that two people agree on.
///
/// Asks the running server. Where two people must agree, each gives an own token (--token-file).
#[derive(Args, Clone, Debug)]
pub struct CustodyArguments {
    #[command(subcommand)]
    act: CustodyAct,
}

#[derive(Clone, Debug, Subcommand)]
enum CustodyAct {
    /// How long a call's recording is kept, what holds it, who had it.
    Show {
        /// The call's id.
        call: CallId,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Place a legal hold: the retention's clock stands still, and nothing is deleted.
    Hold {
        /// The call's id.
        call: CallId,
        /// Why, 3 to 500 characters.
        #[arg(long)]
        reason: String,
        /// The court's or the insurer's number.
        #[arg(long)]
        case: Option<String>,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Release a legal hold; by another person than who placed it.
    Release {
        /// The hold's number.
        hold: i64,
        /// Why, 3 to 500 characters.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Propose to delete recordings whose time is over; another person must approve.
    Propose {
        /// These calls' recordings; without any, all whose time is over.
        calls: Vec<CallId>,
        /// Why, 3 to 500 characters.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Lists of recordings to delete, and how far each is; or one of them.
    List {
        /// The list's number.
        deletion: Option<i64>,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Approve a list that another person proposed: its recordings are destroyed.
    Approve {
        /// The list's number.
        deletion: i64,
        /// Why, 3 to 500 characters.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Withdraw a proposed list.
    Withdraw {
        /// The list's number.
        deletion: i64,
        /// Why, 3 to 500 characters.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Whether the clock is believed; while it is not, nothing is deleted.
    Clock {
        /// Say that it is right, with why.
        #[arg(long, value_name = "REASON")]
        confirm: Option<String>,
        #[command(flatten)]
        server: ServerArguments,
    },
}

/// Runs the command.
pub fn run(arguments: &CustodyArguments) -> ExitCode {
    let (server, method, path, body) = request(&arguments.act);
    match server.ask(method, &path, body) {
        Ok(answer) if server.json => {
            println!("{answer:#}");
            ExitCode::SUCCESS
        }
        Ok(answer) => {
            print!("{}", in_words(&arguments.act, &answer));
            ExitCode::SUCCESS
        }
        Err(told) => {
            eprintln!("vigie custody: {told}");
            ExitCode::FAILURE
        }
    }
}

fn request(act: &CustodyAct) -> (&ServerArguments, Method, String, Option<Value>) {
    let because = |reason: &str| Some(json!({ "reason": reason }));
    match act {
        CustodyAct::Show { call, server } => (server, Method::GET, format!("/recordings/{call}/custody"), None),
        CustodyAct::Hold { call, reason, case, server } => {
            let body = json!({ "reason": reason, "case_number": case });
            (server, Method::POST, format!("/recordings/{call}/holds"), Some(body))
        }
        CustodyAct::Release { hold, reason, server } => {
            (server, Method::POST, format!("/holds/{hold}/release"), because(reason))
        }
        CustodyAct::Propose { calls, reason, server } => {
            let calls = (!calls.is_empty()).then_some(calls);
            (server, Method::POST, "/deletions".into(), Some(json!({ "reason": reason, "calls": calls })))
        }
        CustodyAct::List { deletion: None, server } => (server, Method::GET, "/deletions".into(), None),
        CustodyAct::List { deletion: Some(id), server } => (server, Method::GET, format!("/deletions/{id}"), None),
        CustodyAct::Approve { deletion, reason, server } => {
            (server, Method::POST, format!("/deletions/{deletion}/approve"), because(reason))
        }
        CustodyAct::Withdraw { deletion, reason, server } => {
            (server, Method::POST, format!("/deletions/{deletion}/withdraw"), because(reason))
        }
        CustodyAct::Clock { confirm: None, server } => (server, Method::GET, "/custody/clock".into(), None),
        CustodyAct::Clock { confirm: Some(reason), server } => {
            (server, Method::POST, "/custody/clock".into(), because(reason))
        }
    }
}

fn in_words(act: &CustodyAct, answer: &Value) -> String {
    match act {
        CustodyAct::Show { .. } => show(answer),
        CustodyAct::Hold { .. } | CustodyAct::Release { .. } => hold(answer),
        CustodyAct::Propose { .. } | CustodyAct::Approve { .. } | CustodyAct::Withdraw { .. } => list(answer),
        CustodyAct::List { .. } => match answer.as_array() {
            Some(lists) if lists.is_empty() => "No list was ever proposed.\n".into(),
            Some(lists) => lists.iter().map(list).collect(),
            None => list(answer),
        },
        CustodyAct::Clock { .. } => match answer["is_believed"].as_bool() {
            Some(true) => format!("The clock is believed; it says {}.\n", word(&answer["now"])),
            Some(false) | None => format!(
                "The clock is NOT believed: {}. It says {}. Nothing is deleted until somebody has looked at it: --confirm REASON\n",
                word(&answer["why"]),
                word(&answer["now"])
            ),
        },
    }
}

fn show(answer: &Value) -> String {
    let kept = match (answer["is_held"].as_bool(), answer["expires_at"].as_str(), answer["is_there"].as_bool()) {
        (_, _, Some(false)) => "there is no sealed recording".to_owned(),
        (Some(true), _, _) => "held: nothing of it is deleted".to_owned(),
        (_, Some(expires), _) => format!("kept until {expires}, then until two people agree to delete it"),
        (_, _, _) => "kept: its association's retention was never configured".to_owned(),
    };
    let mut text = format!("call {} of {}: {kept}\n", word(&answer["call"]), word(&answer["association"]));
    for one in answer["holds"].as_array().into_iter().flatten() {
        text.push_str(&hold(one));
    }
    for one in answer["deletions"].as_array().into_iter().flatten() {
        text.push_str(&item(one));
    }
    for one in answer["audit"].as_array().into_iter().flatten() {
        let _ = writeln!(
            text,
            "{} {} {}: {} {}",
            word(&one["at"]),
            word(&one["actor"]),
            word(&one["act"]),
            word(&one["reason"]),
            word(&one["detail"])
        );
    }
    text
}

fn hold(one: &Value) -> String {
    let end = match one["released_at"].as_str() {
        Some(at) => format!("released {at} by {}", word(&one["released_by"])),
        None => "holds".to_owned(),
    };
    let (at, by, reason) = (word(&one["placed_at"]), word(&one["placed_by"]), word(&one["reason"]));
    format!("hold {} on {}: placed {at} by {by} ({reason}); {end}\n", one["id"], word(&one["call"]))
}

fn list(one: &Value) -> String {
    let items = one["recordings"].as_array().cloned().unwrap_or_default();
    let decided = match one["decided_by"].as_str() {
        Some(by) => format!(", decided {} by {by}", word(&one["decided_at"])),
        None => ", waits for a second person".to_owned(),
    };
    let mut text = format!(
        "list {}: {}, {} recordings, proposed {} by {}{decided}\n",
        one["id"],
        word(&one["state"]),
        one["recordings_total"],
        word(&one["proposed_at"]),
        word(&one["proposed_by"])
    );
    items.iter().for_each(|one| text.push_str(&item(one)));
    text
}

fn item(one: &Value) -> String {
    let detail = word(if one["detail"].is_string() { &one["detail"] } else { &one["certificate_sha256"] });
    format!("  {} {}: expired {} {detail}\n", word(&one["call"]), word(&one["state"]), word(&one["expired_at"]))
}

/// A text for a terminal: what people wrote cannot move its cursor.
fn word(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
