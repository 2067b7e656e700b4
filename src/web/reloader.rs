//! The way from the door to whoever can put another configuration in force.

use std::path::PathBuf;
use std::pin::Pin;

use super::api::ReloadReport;
use crate::model::Utc;

/// What is in force.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The file.
    pub file: PathBuf,
    /// Since when.
    pub since: Utc,
    /// Whether the file reads otherwise now.
    pub is_changed: bool,
    /// Whether the file as it is now has no errors.
    pub is_sound: bool,
}

/// What became of a wish to reload.
#[derive(Clone, Debug)]
pub enum Reloaded {
    /// The report; whether it is in force stands in it.
    Done(Box<ReloadReport>),
    /// Nothing has changed.
    Refused(ReloadRefused),
}

/// Why nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadRefused {
    /// The file has errors: each with its place and remedy, a line each.
    Faults(String),
    /// These keys take a restart.
    TakesRestart(Vec<String>),
    /// Something else, in words: a sound that cannot be played, a folder that cannot be written.
    Failed(String),
}

/// A future that the door may wait for.
pub type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Puts the file in force; the app is one, and a test has its own.
pub trait Reloader: Send + Sync {
    /// What is in force.
    fn state(&self) -> Waiting<'_, InForce>;
    /// Reads the file and puts it in force, or only says what would follow.
    fn reload(&self, dry_run: bool) -> Waiting<'_, Reloaded>;
}
