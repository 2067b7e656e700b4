//! The live offer of a call: one ringing attempt at one regulator, over one leg per device.

use crate::model::{LegId, Moment, OfferNumber, RegulatorId};

/// An offer that rings.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveOffer {
    /// Its place among the call's offers.
    pub number: OfferNumber,
    /// To whom.
    pub regulator: RegulatorId,
    /// When it times out.
    pub until: Moment,
    /// The legs that have not come to nothing.
    pub ringing: Vec<LegId>,
    /// What the legs that came to nothing said, worst for the offer first kept.
    pub refusals: Refusals,
    /// Whether any device said that it rings: of one that says nothing at all, nobody can be blamed for not picking up.
    pub has_rung: bool,
}

/// What the devices of one offer answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refusals {
    /// The words of the first device that was busy.
    pub busy: Option<String>,
    /// The words of the first device that could not be reached.
    pub unreachable: Option<String>,
}

impl LiveOffer {
    /// Takes a leg out of the offer; whether it was one of its legs.
    pub fn drop_leg(&mut self, leg: LegId) -> bool {
        let before = self.ringing.len();
        self.ringing.retain(|ringing| *ringing != leg);
        self.ringing.len() != before
    }
}
