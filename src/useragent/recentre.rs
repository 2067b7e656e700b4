//! Another configuration: other accounts and rules for the phones and carriers that are there.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Effect, UserAgent};
use crate::model::{Centre, Credential, RegulatorId};

impl UserAgent {
    /// Goes on under `centre`: who is not among `credentials` any more has no device from now on. Legs and carriers'
    /// registrations stay as they are; a carrier's places and account are those of the start.
    pub fn recentre(
        &mut self,
        centre: Arc<Centre>,
        credentials: HashMap<RegulatorId, Credential>,
        out: &mut Vec<Effect>,
    ) {
        let known: BTreeSet<RegulatorId> = credentials.keys().cloned().collect();
        self.admission.recentre(centre.clone(), credentials);
        self.trunks.recentre(centre);
        self.registrar.bindings.keep_only(&known, out);
    }
}
