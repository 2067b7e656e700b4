//! Whose media are protected, and with which keys (SDES, RFC 4568).

use serde::{Deserialize, Serialize};

use crate::model::Chance;
use crate::model::srtp::{Crypto, MasterKey, Profile, SrtpPolicy};
use crate::sip::sdp::{Audio, CryptoLine, Protection};

/// The suites that we offer. The first one is the one that every phone with SRTP has (RFC 4568 §6.2.1): some look no
/// further.
const SUITES: [Profile; 3] = [Profile::Sha1Tag80, Profile::Gcm, Profile::Sha1Tag32];

/// One leg's policy and its keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Security {
    pub policy: SrtpPolicy,
    /// A key of ours for each suite, drawn once: a new offer or answer in the same dialog repeats it (RFC 4568 §7.1.4),
    /// so that the counters go on.
    ours: Vec<CryptoLine>,
    /// Whether the far end has spoken, and what was agreed on then.
    agreed: Option<Option<Profile>>,
}

impl Security {
    pub(super) fn new(policy: SrtpPolicy, chance: &mut Chance) -> Security {
        let suites: &[Profile] = match policy {
            SrtpPolicy::Off => &[],
            SrtpPolicy::Preferred | SrtpPolicy::Required => &SUITES,
        };
        let line = |(tag, profile): (u32, &Profile)| Some(CryptoLine { tag, key: draw(*profile, chance)? });
        Security { policy, ours: (1..).zip(suites).filter_map(line).collect(), agreed: None }
    }

    /// How our next offer protects: as was agreed on before; at first with every suite.
    pub(super) fn protection(&self) -> Protection {
        let is_required = self.policy == SrtpPolicy::Required;
        let lines = match self.agreed {
            None => self.ours.clone(),
            Some(None) if is_required => self.ours.clone(),
            Some(agreed) => self.ours.iter().filter(|line| Some(line.key.profile()) == agreed).cloned().collect(),
        };
        Protection { is_required, lines }
    }

    /// The keys that an offer or an answer of the far end leads to: its first line of a suite of ours. `Err` when there
    /// must be one and is none.
    pub(super) fn weigh(&self, theirs: &Audio) -> Result<Option<Crypto>, ()> {
        let both = theirs.crypto.iter().find_map(|line| {
            let ours = self.ours.iter().find(|ours| ours.key.profile() == line.key.profile())?;
            Some(Crypto { ours: ours.key.clone(), theirs: line.key.clone() })
        });
        match self.policy {
            SrtpPolicy::Off => Ok(None),
            SrtpPolicy::Preferred if both.is_none() && theirs.is_secured => Err(()),
            SrtpPolicy::Preferred => Ok(both),
            SrtpPolicy::Required => both.map(Some).ok_or(()),
        }
    }

    /// Takes over what was agreed on.
    pub(super) fn agree(&mut self, crypto: Option<&Crypto>) {
        self.agreed = Some(crypto.map(|crypto| crypto.ours.profile()));
    }

    /// Our line in the answer to this offer: under the number that the offer gave its own (RFC 4568 §5.1.2).
    pub(super) fn answer(&self, offered: &Audio) -> Option<CryptoLine> {
        let crypto = self.weigh(offered).ok()??;
        let line = offered.crypto.iter().find(|line| line.key == crypto.theirs)?;
        Some(CryptoLine { tag: line.tag, key: crypto.ours })
    }
}

/// A key of full strength: the generator's seed is the system's.
fn draw(profile: Profile, chance: &mut Chance) -> Option<MasterKey> {
    let mut bytes = [0; 32];
    for piece in bytes.chunks_mut(8) {
        piece.copy_from_slice(&chance.next_u64().to_le_bytes());
    }
    MasterKey::new(profile, bytes.get(..16 + profile.salt_bytes())?)
}
