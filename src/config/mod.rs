//! Typed settings, read from one TOML file; an unknown key or a bad value refuses to start and says where.

mod calendars;
mod centre;
mod change;
mod codes;
mod control;
mod csv;
mod custody;
mod demand;
mod document;
mod farewells;
mod fault;
mod hours;
mod lines;
mod listeners;
mod lists;
mod outbound;
mod parts;
mod people;
mod proof;
mod reach;
mod read;
mod recording_terms;
mod references;
mod trunks;
mod unmet;
mod validity;
mod values;
mod voice;
mod voice_checks;

pub mod archive;
pub mod certificates;
pub mod encryption;
pub mod import;
pub mod secrets;
pub mod settings;

pub use change::{Change, ChangeKind, ReachChange, changes, reach_changes, takes_restart};
pub use fault::{Fault, Faults};
pub use reach::{StepReach, reach};
pub use read::read_centre_alone;
pub use secrets::{ApiRole, ApiToken, Secrets, SecretsError};
pub use settings::Settings;

#[cfg(test)]
mod tests;
