//! What is wrong with a configuration, where, and what to do about it.

use std::fmt;
use std::path::PathBuf;

/// One error or warning, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file as it was named on the command line.
    pub file: PathBuf,
    /// Line in the file, from 1; 0 when the file could not be read at all.
    pub line: usize,
    /// Column in characters, from 1; 0 with line 0.
    pub column: usize,
    /// The key's path, such as `lines.rouen.skills.regulation`; empty when the text is no TOML.
    pub key: String,
    /// What is wrong, in one sentence without a full stop.
    pub problem: String,
    /// What to do, in one sentence without a full stop.
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}\n    what to do: {}", self.problem, self.remedy)
    }
}

/// Everything that is wrong, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults {
    /// What refuses to start; never empty.
    pub errors: Vec<Fault>,
    /// What is odd but works.
    pub warnings: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.errors {
            writeln!(f, "{fault}")?;
        }
        match self.errors.len() {
            1 => write!(f, "1 error in the configuration"),
            many => write!(f, "{many} errors in the configuration"),
        }
    }
}
