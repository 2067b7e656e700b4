//! Another configuration in the running server: what is handed to the decisions, and what they foresee of it.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::centre::Centre;
use super::credential::Credential;
use super::ids::{CallId, LineId, RegulatorId};

/// A checked configuration that is to take the present one's place.
///
/// Live calls go on as they began, with the line that they came in on; what comes afterwards follows this.
#[derive(Clone, Debug)]
pub struct Reload {
    /// What routing is to know.
    pub centre: Arc<Centre>,
    /// The passwords' hashes of everybody in it.
    pub credentials: Arc<HashMap<RegulatorId, Credential>>,
    /// Whether only what would follow is told, and nothing changes.
    pub is_trial: bool,
}

impl PartialEq for Reload {
    /// Whether it is the same configuration, not one that reads alike.
    fn eq(&self, other: &Reload) -> bool {
        Arc::ptr_eq(&self.centre, &other.centre)
            && Arc::ptr_eq(&self.credentials, &other.credentials)
            && self.is_trial == other.is_trial
    }
}

impl Eq for Reload {}

/// What the decisions say of a configuration, at the instant in which they were asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foresight {
    /// Callers in the waiting room.
    pub waiting: u32,
    /// Those of them whom nobody on duty could answer any more, at any step.
    pub stranded: Vec<Stranded>,
    /// Who is on duty and not in the configuration any more: goes off duty at once, or when his call is over.
    pub leaving: Vec<RegulatorId>,
    /// Whether it is in force now.
    pub is_applied: bool,
}

/// A caller who waits now, and whom nobody on duty could answer under the new configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranded {
    /// Whose.
    pub call: CallId,
    /// On which line.
    pub line: LineId,
    /// Waited so far, in milliseconds.
    pub wait_ms: u64,
}
