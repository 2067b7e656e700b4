//! Names of things: calls, legs, offers, devices, events; and the short text ids that the configuration gives.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::chance::Chance;
use super::time::Utc;

/// One caller's story, from the first INVITE to the last webhook: a UUID version 7 (RFC 9562 §5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub Uuid);

impl CallId {
    /// A new id; sorts by `utc`.
    pub fn new(utc: Utc, chance: &mut Chance) -> CallId {
        CallId(uuid_v7(utc, chance))
    }

    /// A new id with the low 64 bits of another: by them a call's media thread is chosen, so that a leg of the one call
    /// may become the other's without leaving its thread.
    pub fn beside(other: CallId, utc: Utc, chance: &mut Chance) -> CallId {
        let (high, _) = uuid_v7(utc, chance).as_u64_pair();
        let (_, low) = other.0.as_u64_pair();
        CallId(Uuid::from_u64_pair(high, low))
    }

    /// Whether both have the same low 64 bits, so that their legs live on one media thread.
    pub fn is_beside(self, other: CallId) -> bool {
        self.0.as_u64_pair().1 == other.0.as_u64_pair().1
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for CallId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<CallId, uuid::Error> {
        Uuid::parse_str(text).map(CallId)
    }
}

/// One event, and its `webhook-id` on every retry: a UUID version 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl EventId {
    /// A new id; sorts by `utc`.
    pub fn new(utc: Utc, chance: &mut Chance) -> EventId {
        EventId(uuid_v7(utc, chance))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

fn uuid_v7(utc: Utc, chance: &mut Chance) -> Uuid {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&chance.next_u64().to_le_bytes());
    random[8..].copy_from_slice(&(chance.next_u32() as u16).to_le_bytes());
    uuid::Builder::from_unix_timestamp_millis((utc.0 / 1000).max(0) as u64, &random).into_uuid()
}

/// One leg of a call; number 0 is the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LegId {
    /// The call that the leg belongs to.
    pub call: CallId,
    /// Its place in the call, in order of creation.
    pub number: u16,
}

impl fmt::Display for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.call, self.number)
    }
}

/// One offer of a call: its place among that call's offers, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OfferNumber(pub u16);

/// A registered softphone (a binding of the registrar): 48 bits, so that every JSON reader keeps it whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceId(pub u64);

/// Whom a reply goes to: handed in with a command, handed back with its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket(pub u64);

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Arc<str>);

        impl $name {
            /// The id as the configuration writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> $name {
                $name(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    )+};
}

names! {
    /// An association's id in the configuration.
    AssociationId,
    /// A line's id in the configuration.
    LineId,
    /// A caller list's id in the configuration.
    ListId,
    /// A menu's id in the configuration.
    MenuId,
    /// A region's id in the configuration.
    RegionId,
    /// A regulator's id: also the user name that the softphone registers with.
    RegulatorId,
    /// A skill's name, such as `regulation` or `lang-en`.
    SkillId,
    /// A trunk's id in the configuration.
    TrunkId,
    /// A sound's name in the configuration, such as `greeting-fr`.
    SoundId,
}

/// The text ids that the configuration may give: 1 to 64 of `a`–`z`, `0`–`9`, `-`, `_`, `.`.
pub fn is_valid_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'))
        && !text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_reads_back_as_written_and_sorts_by_time() {
        let mut chance = Chance::from_number(1);
        let early = CallId::new(Utc(1_700_000_000_000_000), &mut chance);
        let late = CallId::new(Utc(1_700_000_001_000_000), &mut chance);
        assert_eq!(early.to_string().parse::<CallId>().ok(), Some(early));
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.0.get_version_num(), 7);
    }

    #[test]
    fn a_call_beside_another_is_another_of_the_same_thread() {
        let mut chance = Chance::from_number(1);
        let one = CallId::new(Utc(1_700_000_000_000_000), &mut chance);
        let beside = CallId::beside(one, Utc(1_700_000_001_000_000), &mut chance);
        assert_eq!(one.0.as_u64_pair().1, beside.0.as_u64_pair().1);
        assert!(one < beside && one.0.as_u64_pair().0 != beside.0.as_u64_pair().0);
        assert_eq!((beside.0.get_version_num(), beside.0.get_variant()), (7, one.0.get_variant()));
    }

    #[test]
    fn an_id_cannot_climb_out_of_a_folder() {
        assert!(is_valid_id("sos-cherbourg") && !is_valid_id("../x") && !is_valid_id("") && !is_valid_id("a/b"));
    }
}
