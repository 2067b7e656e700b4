//! Whether this node may be given calls, and what still stands against it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What stands against readiness, by part; cheap to clone, shared by whoever knows.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Readiness {
    /// Ready, until somebody objects.
    pub fn new() -> Readiness {
        Readiness::default()
    }

    /// `part` is not ready, and why; replaces what it said before.
    pub fn object(&self, part: &'static str, why: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(part, why.into());
    }

    /// `part` is ready.
    pub fn withdraw(&self, part: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(part);
    }

    /// All that stands against it, as `part: why`; empty when ready.
    pub fn reasons(&self) -> Vec<String> {
        let objections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        objections.iter().map(|(part, why)| format!("{part}: {why}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_once_every_objection_is_withdrawn() {
        let ready = Readiness::new();
        ready.object("sip", "not listening yet");
        ready.clone().object("media", "no ports");
        assert_eq!(ready.reasons(), ["media: no ports", "sip: not listening yet"]);
        ready.withdraw("sip");
        ready.withdraw("media");
        assert!(ready.reasons().is_empty());
    }
}
