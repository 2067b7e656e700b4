//! Events: facts about a call or a regulator, stored and owed to dispatch.
#![allow(missing_docs, reason = "a variant's sentence names its fields")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::control::Supervision;
use super::demand::Reach;
use super::ids::{AssociationId, CallId, DeviceId, EventId, LineId, OfferNumber, RegionId, RegulatorId, SkillId};
use super::media::OneWay;
use super::needs::Needs;
use super::record::{CallContext, CallRecord, Caller, EndedBy, OfferEnd, Outcome, Side};
use super::recording::AskedBy;
use super::regulator::RegulatorState;
use super::time::Utc;

/// One fact, numbered within its subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Stable over retries.
    pub id: EventId,
    /// What it is about.
    pub subject: Subject,
    /// 1, 2, 3… within the subject.
    pub sequence: u32,
    /// When it happened.
    pub at: Utc,
    /// What happened.
    pub kind: EventKind,
}

/// What an event is about; events of one subject reach dispatch in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A call.
    Call(CallId),
    /// A regulator.
    Regulator(RegulatorId),
}

/// What happened. The serialised form is `{"type": "call.received", "data": {…}}`; CloudEvents takes both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum EventKind {
    /// A call came in.
    #[serde(rename = "call.received")]
    CallReceived {
        caller: Caller,
        ddi: String,
        line: LineId,
        association: AssociationId,
        region: RegionId,
        fallback: bool,
        context: Box<CallContext>,
        /// The call whose caller asked for this one: a call-back, not a caller who calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        callback_of: Option<CallId>,
        /// The first of the person's unserved calls that this one goes on with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first_call: Option<CallId>,
        /// From a number that only tests: in no figure.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_test: bool,
    },
    /// A regulator calls out, or is rung to: the first event of a call that did not come in.
    #[serde(rename = "call.dialled")]
    CallDialled {
        by: RegulatorId,
        by_name: String,
        to: Caller,
        line: LineId,
        association: AssociationId,
        region: RegionId,
    },
    /// Whom the regulator called has picked up, and they talk.
    #[serde(rename = "call.reached")]
    CallReached { by: RegulatorId, to: Caller, recorded: bool },
    /// It entered the waiting room, on this line: a caller may be led from one line to another before and meanwhile.
    #[serde(rename = "call.queued")]
    CallQueued {
        #[serde(default = "unsaid")]
        line: LineId,
        #[serde(default = "unsaid")]
        association: AssociationId,
        skills: BTreeMap<SkillId, u8>,
        priority: u8,
        region: RegionId,
        /// The skills as an expression: `regulation >= 50 and (lang-en >= 30 or physician)`.
        #[serde(default)]
        needs: String,
        /// The wait that the person brings from unserved calls shortly before.
        #[serde(default)]
        kept_wait_ms: u64,
    },
    /// It rings at a regulator.
    #[serde(rename = "call.offered")]
    CallOffered { offer: OfferNumber, regulator: RegulatorId, step: u32, wait_ms: u64 },
    /// An offer ended without an answer; the caller is back in its place, or gone.
    #[serde(rename = "call.offer-ended")]
    CallOfferEnded { offer: OfferNumber, regulator: RegulatorId, end: OfferEnd, detail: Option<String> },
    /// A regulator answered: all that a screen pop needs.
    #[serde(rename = "call.answered")]
    CallAnswered {
        offer: OfferNumber,
        regulator: RegulatorId,
        regulator_name: String,
        device: DeviceId,
        caller: Caller,
        ddi: String,
        line: LineId,
        line_name: String,
        association: AssociationId,
        region: RegionId,
        language: String,
        skills: BTreeMap<SkillId, u8>,
        priority: u8,
        step: u32,
        wait_ms: u64,
        recorded: bool,
        context: Box<CallContext>,
    },
    /// One side put the other on hold.
    #[serde(rename = "call.held")]
    CallHeld { by: EndedBy },
    /// And took it back.
    #[serde(rename = "call.resumed")]
    CallResumed { by: EndedBy },
    /// A regulator handed the caller on, and the other party answered.
    #[serde(rename = "call.transferred")]
    CallTransferred { by: RegulatorId, to: TransferParty, kind: TransferKind },
    /// No regulator has it: it was put through to an outside number, by a key or because the line says so.
    #[serde(rename = "call.forwarded")]
    CallForwarded { to: String },
    /// A further party has joined those who talk.
    #[serde(rename = "call.joined")]
    CallJoined { party: TransferParty, leg: u16 },
    /// Whoever was to join did not come; those who talk go on talking.
    #[serde(rename = "call.join-failed")]
    CallJoinFailed { party: TransferParty, detail: String },
    /// A further party has left; the others go on talking.
    #[serde(rename = "call.left")]
    CallLeft { party: TransferParty, leg: u16 },
    /// The SAMU is being rung for this caller: all that it needs to know.
    #[serde(rename = "call.handed-to-samu")]
    CallHandedToSamu(Box<SamuContext>),
    /// A supervisor takes part, or does so in another way from now on.
    #[serde(rename = "call.supervised")]
    CallSupervised { by: RegulatorId, way: Supervision, leg: u16 },
    /// Somebody has changed what the call needs, or the caller by a key while waiting.
    #[serde(rename = "call.demand-changed")]
    CallDemandChanged {
        /// The line that the caller stands in line for from now on; unknown in events of an earlier version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<LineId>,
        /// The line's association.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        association: Option<AssociationId>,
        skills: BTreeMap<SkillId, u8>,
        priority: u8,
        region: RegionId,
        needs: String,
        reach: Reach,
    },
    /// Sound began to go one way only on one of its legs, or does so no more (`is_over`).
    #[serde(rename = "call.one-way-audio")]
    CallOneWayAudio { leg: u16, side: Side, way: OneWay, is_over: bool },
    /// The caller hung up before an answer.
    #[serde(rename = "call.abandoned")]
    CallAbandoned { wait_ms: u64 },
    /// The call is over.
    #[serde(rename = "call.ended")]
    CallEnded {
        outcome: Outcome,
        ended_by: EndedBy,
        detail: Option<String>,
        regulator: Option<RegulatorId>,
        wait_ms: Option<u64>,
        talk_ms: Option<u64>,
        /// The line that it was a call of at its end, and what it asked there.
        #[serde(default = "unsaid")]
        line: LineId,
        #[serde(default = "unsaid")]
        association: AssociationId,
        #[serde(default = "unsaid")]
        region: RegionId,
        #[serde(default)]
        skills: BTreeMap<SkillId, u8>,
        #[serde(default)]
        priority: u8,
    },
    /// The recording is whole, rendered and sealed; `seal` is the SHA-256 of the sidecar's bytes.
    #[serde(rename = "recording.sealed")]
    RecordingSealed {
        path: String,
        duration_ms: u64,
        audio_sha256: String,
        essence_sha256: String,
        seal: String,
        seal_sequence: u64,
        gaps: u32,
        recovered: bool,
    },
    /// The recording could not be written or sealed; the call went on.
    #[serde(rename = "recording.failed")]
    RecordingFailed { reason: String },
    /// Nothing is recorded from now on, at most until `until`.
    #[serde(rename = "recording.paused")]
    RecordingPaused { by: AskedBy, reason: Option<String>, until: Utc },
    /// It is recorded again.
    #[serde(rename = "recording.resumed")]
    RecordingResumed { by: AskedBy, paused_ms: u64 },
    /// A regulator's state changed.
    #[serde(rename = "regulator.state")]
    RegulatorState { regulator: RegulatorId, state: RegulatorState, was: RegulatorState },
}

/// What an older version's event, which waits in the spool still, does not say.
fn unsaid<T: for<'a> From<&'a str>>() -> T {
    T::from("")
}

/// What the SAMU is told of a caller whom it is to take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamuContext {
    /// The number that is rung.
    pub to: String,
    /// Who hands the caller on.
    pub by: RegulatorId,
    /// As people know the regulator.
    pub by_name: String,
    pub caller: Caller,
    pub ddi: String,
    pub line: LineId,
    pub line_name: String,
    pub association: AssociationId,
    pub region: RegionId,
    pub language: String,
    pub skills: BTreeMap<SkillId, u8>,
    pub priority: u8,
    /// From the waiting room to the answer.
    pub wait_ms: u64,
    /// From the answer until now.
    pub talk_ms: u64,
    pub recorded: bool,
    pub context: Box<CallContext>,
}

/// To whom a call was handed on, or who joined it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransferParty {
    /// Another regulator.
    Regulator(RegulatorId),
    /// An outside number, as it was dialled.
    Number(String),
    /// Whoever the waiting room finds for this line.
    Line(LineId),
    /// Whoever the waiting room finds with this skill.
    Skill(SkillId),
}

/// How a call was handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransferKind {
    /// Without speaking to the other party first (RFC 5589 §6).
    Blind,
    /// After speaking to the other party (RFC 5589 §7).
    Attended,
}

impl EventKind {
    /// A call came in, or is to call somebody back.
    pub fn received(record: &CallRecord) -> EventKind {
        EventKind::CallReceived {
            caller: record.caller.clone(),
            ddi: record.ddi.as_ref().map_or_else(|| record.ddi_raw.clone(), ToString::to_string),
            line: record.line.clone(),
            association: record.association.clone(),
            region: record.region.clone(),
            fallback: record.fallback,
            context: record.context.clone(),
            callback_of: record.choices.callback_of,
            first_call: record.person.first_call,
            is_test: record.person.is_test,
        }
    }

    /// It entered the waiting room, asking this.
    pub fn queued(record: &CallRecord, needs: &Needs) -> EventKind {
        EventKind::CallQueued {
            line: record.line.clone(),
            association: record.association.clone(),
            skills: record.skills.clone(),
            priority: record.priority,
            region: record.region.clone(),
            needs: needs.to_string(),
            kept_wait_ms: record.person.kept_wait_ms,
        }
    }

    /// It is over, as its record says.
    pub fn ended(record: &CallRecord) -> EventKind {
        EventKind::CallEnded {
            outcome: record.outcome.unwrap_or(Outcome::Interrupted),
            ended_by: record.ended_by.unwrap_or(EndedBy::Fault),
            detail: record.detail.clone(),
            regulator: record.regulator.clone(),
            wait_ms: record.wait_ms(),
            talk_ms: record.talk_ms(),
            line: record.line.clone(),
            association: record.association.clone(),
            region: record.region.clone(),
            skills: record.skills.clone(),
            priority: record.priority,
        }
    }

    /// The CloudEvents type, such as `call.received`.
    pub fn name(&self) -> &'static str {
        match self {
            EventKind::CallReceived { .. } => "call.received",
            EventKind::CallDialled { .. } => "call.dialled",
            EventKind::CallReached { .. } => "call.reached",
            EventKind::CallQueued { .. } => "call.queued",
            EventKind::CallOffered { .. } => "call.offered",
            EventKind::CallOfferEnded { .. } => "call.offer-ended",
            EventKind::CallAnswered { .. } => "call.answered",
            EventKind::CallHeld { .. } => "call.held",
            EventKind::CallResumed { .. } => "call.resumed",
            EventKind::CallTransferred { .. } => "call.transferred",
            EventKind::CallForwarded { .. } => "call.forwarded",
            EventKind::CallJoined { .. } => "call.joined",
            EventKind::CallJoinFailed { .. } => "call.join-failed",
            EventKind::CallLeft { .. } => "call.left",
            EventKind::CallHandedToSamu(_) => "call.handed-to-samu",
            EventKind::CallSupervised { .. } => "call.supervised",
            EventKind::CallDemandChanged { .. } => "call.demand-changed",
            EventKind::CallOneWayAudio { .. } => "call.one-way-audio",
            EventKind::CallAbandoned { .. } => "call.abandoned",
            EventKind::CallEnded { .. } => "call.ended",
            EventKind::RecordingSealed { .. } => "recording.sealed",
            EventKind::RecordingFailed { .. } => "recording.failed",
            EventKind::RecordingPaused { .. } => "recording.paused",
            EventKind::RecordingResumed { .. } => "recording.resumed",
            EventKind::RegulatorState { .. } => "regulator.state",
        }
    }
}

impl Event {
    /// The call it is about, when it is about one.
    pub fn call(&self) -> Option<CallId> {
        match &self.subject {
            Subject::Call(call) => Some(*call),
            Subject::Regulator(_) => None,
        }
    }
}
