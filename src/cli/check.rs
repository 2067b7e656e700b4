//! `vigie check`: everything that is wrong with a configuration at once, or what the centre is when nothing is.

mod hours;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::settings::ListenerSettings;
use crate::config::{Fault, Settings, StepReach, reach};
use crate::model::centre::{RecordingPolicy, TrunkReach};
use crate::model::{Centre, Line, Needs, Reach, RecordingRule};

/// Check a configuration without starting anything: exit status 0 when it is right, 1 when it is not.
#[derive(Args, Clone, Debug)]
pub struct CheckArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "config/vigie.toml")]
    pub config: PathBuf,
    /// Also say which lines are open at this time, and until when: by the centre's clock (2026-05-01T10:00), or with an offset
    /// (2026-10-25T02:30+01:00, …Z).
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

/// Reads the file; errors and warnings go to standard error, the summary to standard output.
pub fn run(arguments: &CheckArguments) -> ExitCode {
    match Settings::read_with_warnings(&arguments.config) {
        Ok((settings, warnings)) => {
            tell_warnings(&warnings);
            match told(&settings, arguments.at.as_deref()) {
                Ok(text) => {
                    print!("{text}");
                    ExitCode::SUCCESS
                }
                Err(problem) => {
                    eprintln!("vigie check: {problem}");
                    ExitCode::FAILURE
                }
            }
        }
        Err(faults) => {
            tell_warnings(&faults.warnings);
            eprintln!("{faults}");
            ExitCode::FAILURE
        }
    }
}

/// The summary, and the lines' hours when they are asked for.
fn told(settings: &Settings, at: Option<&str>) -> Result<String, String> {
    let Some(at) = at else { return Ok(summary(settings)) };
    let at = hours::read_time(at, &settings.centre.zone)?;
    Ok(summary(settings) + &hours::describe(&settings.centre, &at))
}

fn tell_warnings(warnings: &[Fault]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}

/// The centre in words: its lines with their numbers, and who can answer each at each step.
pub fn summary(settings: &Settings) -> String {
    let centre = &settings.centre;
    let mut text = format!("{}: no errors\n", settings.file.display());
    let written = |listener: &ListenerSettings| format!("{}:{}", listener.transport.name(), listener.address);
    let listeners: Vec<String> = settings.sip.listen.iter().map(written).collect();
    let endpoints: Vec<&str> = settings.dispatch.iter().map(|endpoint| endpoint.id.as_str()).collect();
    let rows = [
        ("SIP", listeners.join(", ")),
        ("media", format!("{} ports {}-{}", settings.media.address, settings.media.ports.0, settings.media.ports.1)),
        ("API", format!("http://{}", settings.web.listen)),
        ("state", settings.node.state.display().to_string()),
        ("recordings", settings.recording.folder.display().to_string()),
        ("dispatch", if endpoints.is_empty() { "nobody".into() } else { endpoints.join(", ") }),
    ];
    for (name, value) in rows {
        let _ = writeln!(text, "  {name:<11} {value}");
    }
    let reach = reach(centre);
    for line in centre.lines.values() {
        let steps: Vec<&StepReach> = reach.iter().filter(|step| step.line == line.id).collect();
        write_line(&mut text, line, &steps);
    }
    write_trunks(&mut text, centre);
    text
}

/// How a line's calls are recorded, in words.
fn describe_recording(line: &Line) -> String {
    let of = |rule: &RecordingRule| match rule.policy {
        RecordingPolicy::Always if rule.waiting => "recorded from the wait on",
        RecordingPolicy::Always => "recorded",
        RecordingPolicy::Never => "not recorded",
    };
    let usual = of(&line.usual_recording());
    let mut other: Vec<&str> = line.recording_terms.slots.iter().map(|slot| of(&slot.rule)).collect();
    other.retain(|word| *word != usual);
    other.dedup();
    if other.is_empty() { usual.to_owned() } else { format!("{usual} (at certain hours {})", other.join(", ")) }
}

fn write_line(text: &mut String, line: &Line, steps: &[&StepReach]) {
    let ddis: Vec<&str> = line.ddis.iter().map(|number| number.as_str()).collect();
    let recorded = describe_recording(line);
    let hours = if line.hours.is_some() { "at its hours" } else { "always open" };
    let _ = writeln!(
        text,
        "\nline {} ({}): {}\n  {}, {}, priority {}, {recorded}, {hours}, waits at most {} s",
        line.id,
        line.name,
        if ddis.is_empty() { "no number".into() } else { ddis.join(" ") },
        line.association,
        line.demand.region,
        line.demand.priority,
        line.waiting_max.as_secs(),
    );
    for step in steps {
        let (needs, reach) = (line.demand.needs_at(step.step), line.demand.reach_at(step.step));
        let asked = if *needs == Needs::default() { "anybody".to_owned() } else { needs.to_string() };
        let within = if reach == Reach::All { String::new() } else { format!(", within {}", reach.name()) };
        let people: Vec<&str> = step.regulators.iter().map(|person| person.as_str()).collect();
        let people = if people.is_empty() { "NOBODY".into() } else { people.join(", ") };
        let when = match (step.after, step.forecast) {
            (Some(after), None) => format!("from {:>3} s", after.as_secs()),
            (Some(after), Some(wait)) => format!("from {:>3} s or a forecast of {} s", after.as_secs(), wait.as_secs()),
            (None, wait) => format!("from a forecast of {} s", wait.unwrap_or_default().as_secs()),
        };
        let _ = writeln!(text, "  {when}  {asked}{within}: {people}");
    }
}

fn write_trunks(text: &mut String, centre: &Centre) {
    for trunk in centre.trunks.values() {
        let hosts = trunk.reach.iter().map(show_reach);
        let from: Vec<String> = trunk.peers.iter().map(ToString::to_string).chain(hosts).collect();
        let _ = writeln!(
            text,
            "\ntrunk {}: from {}, at most {} calls, {} a second, unknown numbers go to {}",
            trunk.id,
            from.join(", "),
            trunk.calls_max,
            trunk.rate_max,
            trunk.fallback_line
        );
        if let Some(registration) = &trunk.registration {
            let does = if registration.registers { "registers" } else { "answers challenges" };
            let every = registration.expires.as_secs();
            let _ = writeln!(text, "  {does} as {}@{} for {every} s", registration.user, registration.domain);
        }
        if let Some(every) = trunk.options_every {
            let _ = writeln!(text, "  asked by OPTIONS every {} s", every.as_secs());
        }
        if !trunk.dials.is_empty() {
            let _ = writeln!(text, "  outside numbers that begin with {}", trunk.dials.join(", "));
        }
    }
}

/// Where a trunk is reached, as the file has it: `tls:sip.carrier.example:5061`.
fn show_reach(reach: &TrunkReach) -> String {
    let transport = reach.transport.map_or(String::new(), |transport| format!("{}:", transport.name()));
    let port = reach.port.map_or(String::new(), |port| format!(":{port}"));
    format!("{transport}{}{port}", reach.host)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn sample() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("config/vigie.toml")
    }

    #[test]
    fn the_summary_names_who_can_answer_each_step() {
        let settings = Settings::read(&sample()).unwrap_or_else(|faults| panic!("{faults}"));
        let text = summary(&settings);
        assert!(text.contains("line rouen-en (Rouen in English): +33261910203"), "{text}");
        assert!(text.contains("from   0 s  lang-en >= 60 and regulation >= 50: bruno\n"), "{text}");
        assert!(text.contains("trunk carrier: from 127.0.0.2, at most 100 calls"), "{text}");
        assert!(!text.contains("NOBODY"), "{text}");
    }

    #[test]
    fn the_summary_says_how_a_carrier_is_reached_and_as_whom() {
        let sample = std::fs::read_to_string(sample()).expect("the sample");
        let carrier = "peers = [\"127.0.0.2\"]\nhost = \"127.0.0.3\"\nport = 5070\nregister = true\nuser = \"centre\"\n\
                       dials = [\"15\"]\noptions_every = \"10s\"";
        let text = sample.replace("peers = [\"127.0.0.2\"]", carrier);
        let settings = Settings::from_text(&text, &self::sample()).unwrap_or_else(|faults| panic!("{faults}"));
        let text = summary(&settings);
        assert!(
            text.contains("trunk carrier: from 127.0.0.2, 127.0.0.3:5070, at most 100 calls, 100 a second"),
            "{text}"
        );
        assert!(text.contains("registers as centre@127.0.0.3 for 3600 s\n  asked by OPTIONS every 10 s\n"), "{text}");
        assert!(text.contains("outside numbers that begin with 15\n"), "{text}");
    }
}
