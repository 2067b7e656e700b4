//! What the demo tells: a story for people, and JSON Lines for programs.

use std::io::Write;

use serde_json::{Value, json};
use tokio::time::Instant;

/// Tells with times since the start.
///
/// With JSON each line of standard output is one object: `at_ms` (milliseconds since the start), `type`
/// (`story`, `call`, `event`, `check`, `kept`, `result`), and the fields of that type; the story goes to standard error.
pub struct Story {
    started: Instant,
    json: bool,
}

impl Story {
    /// Begins now.
    pub fn new(json: bool) -> Story {
        Story { started: Instant::now(), json }
    }

    /// One thing that happened.
    pub fn tell(&self, text: &str) {
        let at = self.started.elapsed();
        self.human(&format!("{:6.2} s  {text}", at.as_secs_f64()));
        self.machine("story", json!({ "text": text }));
    }

    /// A line without a time.
    pub fn say(&self, text: &str) {
        self.human(text);
    }

    /// Facts for programs alone.
    pub fn machine(&self, kind: &str, fields: Value) {
        if !self.json {
            return;
        }
        let mut line = json!({ "type": kind, "at_ms": self.started.elapsed().as_millis() as u64 });
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
        }
        print(&mut std::io::stdout().lock(), &line.to_string());
    }

    fn human(&self, text: &str) {
        if self.json {
            print(&mut std::io::stderr().lock(), text);
        } else {
            print(&mut std::io::stdout().lock(), text);
        }
    }
}

/// A reader that has gone away (`vigie demo | head`) is no reason to fail.
fn print(out: &mut impl Write, text: &str) {
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}
