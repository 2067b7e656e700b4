//! The call record (CDR) and its parts: written once, with `call.ended`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::centre::RecordingPolicy;
use super::demand::Reach;
use super::explain::Excluded;
use super::ids::{
    AssociationId, CallId, DeviceId, LineId, MenuId, OfferNumber, RegionId, RegulatorId, SkillId, TrunkId,
};
use super::media::{Codec, LegQuality};
use super::number::E164;
use super::person::Person;
use super::time::Utc;

/// Who calls, as far as the trunk says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Caller {
    /// The user part of From, verbatim.
    pub raw: String,
    /// From's display name, verbatim (invalid UTF-8 replaced).
    pub display_name: Option<String>,
    /// The caller in E.164: of P-Asserted-Identity when the trunk gives one, else of From.
    pub e164: Option<E164>,
    /// P-Asserted-Identity verbatim (RFC 3325); only from a trunk.
    pub asserted_identity: Option<String>,
    /// Whether the caller asked not to be shown (RFC 3323 Privacy, or From `anonymous`).
    pub anonymous: bool,
    /// Whether the trunk vouches for `e164`: it asserts the number, or is trusted to deliver only numbers that are true.
    pub verified: bool,
}

/// What a trunk says of a call beside who calls: kept raw, and read as far as it can be. Nothing of it is taken from
/// anybody but a trunk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallContext {
    /// Each header kept, by its name and verbatim (invalid UTF-8 replaced), in their order: P-Asserted-Identity,
    /// Privacy, Diversion, History-Info, Geolocation, Geolocation-Routing, User-to-User, Call-Info.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub raw: Vec<(String, String)>,
    /// Who diverted the call to us, the last one first (RFC 5806, or History-Info's retargeting, RFC 7044).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diversions: Vec<Diversion>,
    /// Where the caller is (RFC 6442), the first location that could be read; also of a caller who is not to be shown,
    /// for it is help that must find the place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// User-to-User verbatim (RFC 7433).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_to_user: Option<String>,
    /// Call-Info's URIs with their purpose (RFC 3261 §20.9).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub call_info: Vec<CallInfo>,
}

impl CallContext {
    /// Whether the trunk said nothing.
    pub fn is_empty(&self) -> bool {
        *self == CallContext::default()
    }
}

/// One diversion of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Diversion {
    /// The number or address that diverted, as written.
    pub from: String,
    /// The same in E.164, when it is a number.
    pub e164: Option<E164>,
    /// Why: `unconditional`, `user-busy`, `no-answer`…, or History-Info's cause.
    pub reason: Option<String>,
    /// Whether nobody is to be shown it (Diversion's `privacy`, History-Info's `Privacy`).
    pub private: bool,
}

/// Where a caller is, as a PIDF-LO says (RFC 4119, RFC 5491).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Location {
    /// Degrees north, WGS 84.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east, WGS 84.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// Radius of a circle around it, in metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub radius_m: Option<f64>,
    /// Civic elements by their RFC 5139 name (`country`, `A3` city, `RD` road, `HNO` house number, `PC` postal code).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub civic: BTreeMap<String, String>,
    /// How it was found: `GPS`, `Cell`, `Manual`…
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The PIDF-LO document verbatim, when it came with the INVITE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// The URI to ask, when the location came by reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// One Call-Info.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallInfo {
    /// The URI.
    pub uri: String,
    /// `icon`, `info`, `card`, or another.
    pub purpose: Option<String>,
}

/// How a call came to its end, as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A regulator answered; of a call that a regulator dialled: the other side did.
    Answered,
    /// The caller hung up before that.
    Abandoned,
    /// The caller waited too long and heard the overflow message.
    Overflowed,
    /// Nobody was on duty.
    NobodyOnDuty,
    /// The line was closed.
    Closed,
    /// The call could not be served: no common codec, no port, trunk over its limit.
    Refused,
    /// No regulator answered: the caller was put through to an outside number, by a key or because the line says so.
    Forwarded,
    /// The caller left a message.
    Voicemail,
    /// The caller asked to be called back, and keeps the place in another call.
    CallBack,
    /// The caller heard what there was to hear, and the menu hung up.
    Informed,
    /// The caller who had asked to be called back, or whom a regulator called, could not be reached.
    Unreached,
    /// A call-back that was not needed any more: the person had been answered.
    Superseded,
    /// Vigie was stopped or failed during the call.
    Interrupted,
}

/// Who or what ended a call or a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndedBy {
    /// The caller hung up or cancelled.
    Caller,
    /// The regulator hung up.
    Regulator,
    /// A message was played to its end and the call was over.
    Message,
    /// No RTP came for the configured time.
    Silence,
    /// The ACK of our 200 never came (RFC 3261 §13.3.1.4).
    NoAck,
    /// The device's registration was lost in mid-call, or its transport failed.
    DeviceLost,
    /// Another device or person answered.
    AnsweredElsewhere,
    /// The offer timed out.
    NoAnswer,
    /// An operator ended it through the API.
    Operator,
    /// Vigie was stopping.
    Shutdown,
    /// A fault of Vigie's own.
    Fault,
    /// The far end refused.
    Refused,
}

/// How an offer ended: exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OfferEnd {
    /// The regulator picked up.
    Accepted,
    /// The regulator declined, or all devices were busy.
    Refused,
    /// Nobody picked up within the ringing time.
    TimedOut,
    /// The caller left, or the call ended, while it rang.
    Cancelled,
    /// No device could be reached.
    Failed,
}

/// Why a regulator was or was not chosen; kept with every offer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reasoning {
    /// 0: the demand as the line sets it; n: the n-th step.
    pub step: u32,
    /// What the step in force asked: each skill with the lowest level asked of it.
    pub skills: BTreeMap<SkillId, u8>,
    /// The same as an expression.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub needs: String,
    /// How far from the caller's region was looked.
    pub reach: Reach,
    /// The best eight who fitted, cheapest first, and the chosen one if it is not among them.
    pub candidates: Vec<Candidate>,
    /// How many calls were given out together, so that all of them cost least; then the cheapest for this one alone may
    /// have been given another. 0 or 1: this one alone, to the cheapest.
    pub together: u32,
    /// How many fitted.
    pub fitting: u32,
    /// How many did not, by reason: `offline`, `paused`, `talking`, `ringing`, `wrap-up`, `skills`, `region`.
    pub excluded: BTreeMap<String, u32>,
    /// The first of them by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excluded_people: Vec<Excluded>,
}

/// One regulator weighed for one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Who.
    pub regulator: RegulatorId,
    /// The sum; the lowest wins.
    pub total: f64,
    /// What the distance of the regions costs, after so long a wait.
    pub region: f64,
    /// What it costs that the person lacks levels that the call asked at first.
    #[serde(default)]
    pub fit: f64,
    /// What using up scarce skills costs.
    pub scarcity: f64,
    /// What idleness takes off (zero or negative).
    pub idle: f64,
}

/// One ringing attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OfferRecord {
    /// Its place among the call's offers, from 1.
    pub number: OfferNumber,
    /// To whom.
    pub regulator: RegulatorId,
    /// When.
    pub offered_at: Utc,
    /// When it ended.
    pub ended_at: Option<Utc>,
    /// How it ended.
    pub end: Option<OfferEnd>,
    /// In words for people: `486 Busy Here`, `no answer in 15 s`.
    pub detail: Option<String>,
    /// Why this person; empty when somebody handed the caller on. Shared: it is the greater part of a record, of which a live
    /// call has a second one with its recorder.
    pub reasoning: Arc<Reasoning>,
    /// Who handed the caller on to this person; without it the waiting room chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_by: Option<RegulatorId>,
}

/// What a leg is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The caller's: left channel.
    Caller,
    /// A regulator's: right channel.
    Regulator,
    /// An outside party's, to whom the caller was handed on or who joined: right channel.
    Outside,
    /// A supervisor's, who takes part: right channel, where the caller hears it.
    Supervisor,
}

/// One leg, when it is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LegRecord {
    /// Its number in the call.
    pub number: u16,
    /// Whose it is.
    pub side: Side,
    /// Which regulator.
    pub regulator: Option<RegulatorId>,
    /// Which device.
    pub device: Option<DeviceId>,
    /// The outside number that was dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialled: Option<String>,
    /// The SIP Call-ID.
    pub sip_call_id: String,
    /// Created.
    pub started_at: Utc,
    /// Picked up.
    pub accepted_at: Option<Utc>,
    /// Over.
    pub ended_at: Option<Utc>,
    /// Who ended it.
    pub ended_by: Option<EndedBy>,
    /// The SIP answer or reason in words: `486 Busy Here`.
    pub detail: Option<String>,
    /// The codec.
    pub codec: Option<Codec>,
    /// What its media was like.
    pub quality: LegQuality,
}

/// Names as people knew them when the call came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Names {
    /// The line's.
    pub line: String,
    /// The association's.
    pub association: String,
    /// Of each regulator who was offered the call.
    pub regulators: BTreeMap<RegulatorId, String>,
}

/// What a caller chose, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choices {
    /// The keys that led somewhere, in order; at most [`KEYS_KEPT_MAX`].
    pub keys: Vec<KeyChosen>,
    /// The call whose caller asked for this one: a call-back.
    pub callback_of: Option<CallId>,
    /// Which attempt of the call-back this is, from 1.
    pub attempt: u8,
    /// The caller was told that somebody calls back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_call_back_promised: bool,
}

/// The most keys kept of one call: a caller who presses more is playing.
pub const KEYS_KEPT_MAX: usize = 64;

/// A key that led somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChosen {
    /// When.
    pub at: Utc,
    /// In which menu; without one, while waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub menu: Option<MenuId>,
    /// The key; without one nothing (or nothing that was offered) was pressed in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<char>,
    /// Where it led, in words: `wait`, `menu paediatrics`, `number 15`, `line rouen-en`, `voicemail`, `call-back`, `hang-up`.
    pub to: String,
}

impl Choices {
    /// Whether nothing was chosen.
    pub fn is_empty(&self) -> bool {
        *self == Choices::default()
    }
}

/// The story of one call, complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The call.
    pub id: CallId,
    /// The trunk it came over.
    pub trunk: TrunkId,
    /// The line that answered.
    pub line: LineId,
    /// The line's association.
    pub association: AssociationId,
    /// What line, association and regulators were called at the time: years later the configuration is another.
    #[serde(default)]
    pub names: Names,
    /// The caller's region.
    pub region: RegionId,
    /// The line's language.
    pub language: String,
    /// The DDI as dialled, verbatim.
    pub ddi_raw: String,
    /// The DDI in E.164.
    pub ddi: Option<E164>,
    /// Whether no line knew the DDI, so that the trunk's fallback line took the call.
    pub fallback: bool,
    /// Who called.
    pub caller: Caller,
    /// What else the trunk said of the call.
    #[serde(default)]
    pub context: Box<CallContext>,
    /// What was asked.
    pub skills: BTreeMap<SkillId, u8>,
    /// 1 is the most urgent.
    pub priority: u8,
    /// The INVITE came.
    pub received_at: Utc,
    /// The caller's leg got its 200.
    pub accepted_at: Option<Utc>,
    /// The call entered the waiting room.
    pub queued_at: Option<Utc>,
    /// A regulator picked up.
    pub answered_at: Option<Utc>,
    /// The wait was over without a regulator: an outside number took the call, or the caller was to leave a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ended_at: Option<Utc>,
    /// Over.
    pub ended_at: Option<Utc>,
    /// Who answered; of several, the last.
    pub regulator: Option<RegulatorId>,
    /// How it came out.
    pub outcome: Option<Outcome>,
    /// Who ended it.
    pub ended_by: Option<EndedBy>,
    /// In words for people.
    pub detail: Option<String>,
    /// Every offer made.
    pub offers: Vec<OfferRecord>,
    /// Every leg.
    pub legs: Vec<LegRecord>,
    /// What the line's policy said.
    pub recording: RecordingPolicy,
    /// What the caller chose by keys, and which call this one calls back.
    #[serde(default, skip_serializing_if = "Choices::is_empty")]
    pub choices: Box<Choices>,
    /// The version of Vigie that wrote this.
    pub software: String,
    /// What the caller's earlier calls and the lists brought.
    #[serde(default)]
    pub person: Person,
    /// The regulator who called out; nothing for a call that came in. Then `caller` is whom he called, over `trunk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialled_by: Option<RegulatorId>,
}

impl CallRecord {
    /// When the wait was over, in whatever way.
    pub fn waited_until(&self) -> Option<Utc> {
        self.answered_at.or(self.wait_ended_at).or(self.ended_at)
    }

    /// Whether it is a call-back that has not reached its caller, nor ended: it outlives a restart.
    pub fn stands_in_line(&self) -> bool {
        self.choices.callback_of.is_some() && self.answered_at.is_none() && self.ended_at.is_none()
    }

    /// From entering the waiting room to the answer, to what served the caller in its place, or to the end when there was
    /// neither; in milliseconds.
    pub fn wait_ms(&self) -> Option<u64> {
        let until = self.waited_until()?;
        self.queued_at.map(|queued| until.since(queued).as_millis() as u64)
    }

    /// From the answer to the end, in milliseconds.
    pub fn talk_ms(&self) -> Option<u64> {
        Some(self.ended_at?.since(self.answered_at?).as_millis() as u64)
    }
}
