//! Everything that the user agent keeps, as plain values: written in mid-call, it goes on in a fresh process.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Centre, Chance, Credential, Moment, RegulatorId, TrunkId};
use crate::sip::transaction::Transactions;

use super::admission::Admission;
use super::bans::Bans;
use super::ladder::Ladder;
use super::legs::Legs;
use super::nonce::Nonces;
use super::refer::Referrals;
use super::registrar::Registrar;
use super::subscriptions::Subscriptions;
use super::trunks::{Kept, Trunks};
use super::wire::Wire;
use super::{Rules, UserAgent};

/// What is kept, to be written. Secrets and the configuration are no part of it, except the key of the nonces.
#[derive(Debug, Serialize)]
pub struct Snapshot<'a> {
    transactions: &'a Transactions,
    ladder: &'a Ladder,
    chance: &'a Chance,
    legs: &'a Legs,
    nonces: &'a Nonces,
    reached: &'a BTreeMap<TrunkId, Vec<IpAddr>>,
    registrar: &'a Registrar,
    referrals: &'a Referrals,
    subscriptions: &'a Subscriptions,
    bans: &'a Bans,
    trunks: &'a Kept,
    refusals: &'a BTreeMap<u16, Moment>,
}

/// What was kept, as read again: a [`Snapshot`] in any format of serde's that has maps with keys that are no texts.
#[derive(Debug, Deserialize)]
pub struct Restored {
    transactions: Transactions,
    ladder: Ladder,
    chance: Chance,
    legs: Legs,
    nonces: Nonces,
    reached: BTreeMap<TrunkId, Vec<IpAddr>>,
    registrar: Registrar,
    referrals: Referrals,
    subscriptions: Subscriptions,
    bans: Bans,
    trunks: Kept,
    refusals: BTreeMap<u16, Moment>,
}

impl UserAgent {
    /// All that is kept now. Times are moments of this machine's clock since boot: a snapshot is for the same boot.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            transactions: &self.wire.transactions,
            ladder: &self.wire.ladder,
            chance: &self.wire.chance,
            legs: &self.legs,
            nonces: self.admission.nonces(),
            reached: self.admission.reached(),
            registrar: &self.registrar,
            referrals: &self.referrals,
            subscriptions: &self.subscriptions,
            bans: &self.bans,
            trunks: self.trunks.kept(),
            refusals: &self.refusals,
        }
    }

    /// A user agent that goes on where another was: dialogs, transactions, registrations, nonces, bans, randomness.
    pub fn restored(
        kept: Restored,
        rules: Rules,
        centre: Arc<Centre>,
        credentials: HashMap<RegulatorId, Credential>,
    ) -> UserAgent {
        // A copy: what is drawn here must not be missing later.
        let mut chance = kept.chance.clone();
        let mut admission = Admission::new(&rules, centre.clone(), credentials, chance.fork());
        admission.go_on(kept.nonces, kept.reached);
        let mut trunks = Trunks::new(centre, &mut chance);
        trunks.go_on(kept.trunks);
        let mut bans = kept.bans;
        bans.obey(rules.bans.clone());
        let wire = Wire { rules, transactions: kept.transactions, ladder: kept.ladder, chance: kept.chance };
        let Restored { legs, registrar, referrals, subscriptions, refusals, .. } = kept;
        UserAgent { wire, legs, admission, registrar, referrals, subscriptions, bans, trunks, refusals }
    }
}
