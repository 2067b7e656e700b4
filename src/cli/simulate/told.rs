//! What came of a simulation: in words, and as one JSON object.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::measure::{Estimate, FIGURES, Unit};
use super::{Outcome, Played};

/// A table: a row a figure, a column a policy, each with half its interval.
pub fn words(played: &Played) -> String {
    let mut text = format!(
        "{}: {} people on the roster, {:.1} on duty on average, {} days, {} seeds\n",
        played.name, played.staff, played.on_duty_mean, played.days, played.seeds
    );
    for outcome in &played.outcomes {
        let (policy, calls) = (outcome.policy, outcome.calls);
        let _ =
            writeln!(text, "  {}: {}; {calls} calls of {} persons", policy.name(), policy.origin(), outcome.persons);
    }
    let _ = write!(text, "\n{:<24}", "");
    for outcome in &played.outcomes {
        let _ = write!(text, "{:>19}", outcome.policy.name());
    }
    text.push('\n');
    for (place, figure) in FIGURES.iter().enumerate() {
        let _ = write!(text, "{:<24}", figure.key);
        for outcome in &played.outcomes {
            let shown =
                outcome.figures.get(place).copied().flatten().map_or("-".to_owned(), |one| show(one, figure.unit));
            let _ = write!(text, "{shown:>19}");
        }
        text.push('\n');
    }
    text.push('\n');
    for figure in FIGURES {
        let _ = writeln!(text, "  {:<24}{}", figure.key, figure.words);
    }
    text.push_str(
        "± is half the interval that holds the true figure in 95 of 100 cases (Student's t over the seeds)\n",
    );
    text
}

fn show(one: Estimate, unit: Unit) -> String {
    let (scale, sign, decimals) = match unit {
        Unit::Share => (100.0, "%", 2),
        Unit::Seconds => (1.0, "s", 1),
    };
    let half = one.interval.map_or(String::new(), |(_, high)| format!(" ±{:.decimals$}", (high - one.mean) * scale));
    format!("{:.decimals$} {sign}{half}", one.mean * scale)
}

/// One object; with several policies, each in `policies`.
pub fn json(played: &Played) -> Value {
    let each: Vec<Value> = played.outcomes.iter().map(|outcome| object(played, outcome)).collect();
    match <[Value; 1]>::try_from(each) {
        Ok([one]) => one,
        Err(many) => json!({ "policies": many }),
    }
}

/// Six digits after the point say all that a simulation knows.
fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn object(played: &Played, outcome: &Outcome) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("policy", outcome.policy.name().into());
    put("policy_origin", outcome.policy.origin().into());
    put("profile", played.name.clone().into());
    put("staff", played.staff.into());
    put("on_duty_mean", round(played.on_duty_mean).into());
    put("days", played.days.into());
    put("seeds", played.seeds.into());
    put("calls", outcome.calls.into());
    put("persons", outcome.persons.into());
    let mut intervals = Map::new();
    for (figure, value) in FIGURES.iter().zip(&outcome.figures) {
        put(figure.key, value.map_or(Value::Null, |one| round(one.mean).into()));
        let interval = value.and_then(|one| one.interval);
        intervals.insert(
            figure.key.to_owned(),
            interval.map_or(Value::Null, |(low, high)| json!([round(low), round(high)])),
        );
    }
    put("confidence_95", Value::Object(intervals));
    Value::Object(object)
}
