//! Another configuration: other accounts and rules for the phones and carriers that are there.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Effect, UserAgent};
use crate::model::{Centre, Credential, Now, RegulatorId, Validity};

impl UserAgent {
    /// Goes on under `centre`: whose account is not good any more has no device from now on, whose account ends has
    /// none from then on. Legs and carriers' registrations stay as they are; a carrier's places and account are those of the start.
    pub fn recentre(
        &mut self,
        centre: Arc<Centre>,
        credentials: HashMap<RegulatorId, Credential>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        self.admission.recentre(centre.clone(), credentials);
        self.trunks.recentre(centre);
        self.end_with_accounts(now, out);
    }

    /// Nobody's phone is registered beyond the account's time.
    pub(super) fn end_with_accounts(&mut self, now: Now, out: &mut Vec<Effect>) {
        let admission = &self.admission;
        let validity = |regulator: &RegulatorId| match admission.knows(regulator) {
            true => admission.validity(regulator, now.utc),
            false => Validity::Not,
        };
        self.registrar.bindings.end_with_accounts(validity, now, out);
    }
}
