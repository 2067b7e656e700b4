//! Persons, not calls: the wait that a caller brings back, and those who hung up unserved and are owed a call.
#![allow(missing_docs, reason = "a variant's sentence names its fields")]

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{AssociationId, CallId, LineId, ListId, RegionId, RegulatorId};
use super::number::E164;
use super::record::{CallRecord, Caller, EndedBy, Outcome};
use super::time::Utc;

/// How persons are followed across their calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerRules {
    /// A person who calls again within so long after an unserved call keeps the wait of it; zero is never.
    pub return_within: Duration,
    /// Whoever hangs up after so long a wait, of all calls together, is a task.
    pub abandoned_after: Duration,
}

impl Default for CallerRules {
    fn default() -> CallerRules {
        CallerRules { return_within: Duration::from_secs(600), abandoned_after: Duration::from_secs(10) }
    }
}

/// What a call has of its caller's earlier calls, and of the lists that the number stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Person {
    /// The first of the unserved calls that this one goes on with; `None`: it is the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_call: Option<CallId>,
    /// When that one came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_received_at: Option<Utc>,
    /// How many of the person's unserved calls came before this one.
    pub calls_before: u32,
    /// The wait that is kept from them, in milliseconds.
    pub kept_wait_ms: u64,
    /// The list that the number stands on, when one holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<ListId>,
    /// Whether it is a test number's: to be left out of statistics.
    pub is_test: bool,
}

impl Caller {
    /// The number by which a person is known again: one that the trunk vouches for, of a caller who may be shown.
    pub fn person(&self) -> Option<&E164> {
        self.e164.as_ref().filter(|_| self.verified && !self.anonymous)
    }
}

impl CallRecord {
    /// The wait of the person: of this call and of the unserved ones before, in milliseconds.
    pub fn person_wait_ms(&self) -> Option<u64> {
        Some(self.wait_ms()?.saturating_add(self.person.kept_wait_ms))
    }
}

/// Calls back that one task remembers, the last ones: enough to see that it was tried.
pub const CALL_BACKS_MAX: usize = 20;

/// Somebody who hung up, or was lost, after waiting: a task until it is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbandonedCaller {
    /// The task's id: that of the first call that made it.
    pub id: CallId,
    /// Who.
    pub caller: Caller,
    /// On which line, the last time.
    pub line: LineId,
    /// Of which association.
    pub association: AssociationId,
    /// From where.
    pub region: RegionId,
    /// BCP 47.
    pub language: String,
    /// 1 is the most urgent.
    pub priority: u8,
    /// The first time.
    pub first_at: Utc,
    /// The last time.
    pub last_at: Utc,
    /// The call of the last time.
    pub last_call: CallId,
    /// How many times.
    pub times: u32,
    /// The wait of all these calls together, in milliseconds.
    pub wait_ms: u64,
    /// How the last call came out.
    pub outcome: Outcome,
    /// Who ended the last call.
    pub ended_by: EndedBy,
    /// When the person called again.
    pub seen_again: Option<SeenAgain>,
    /// The attempts to call back, the oldest first; at most [`CALL_BACKS_MAX`].
    pub call_backs: Vec<CallBack>,
    /// How the task came to its end; `None` while it is open.
    pub closed: Option<Closed>,
    /// Until when the wait is kept for the person's next call, what it is, and what came before.
    pub kept: Option<KeptWait>,
}

/// A person's wait while nobody of that number waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptWait {
    /// What it has come to, in milliseconds.
    pub wait_ms: u64,
    /// Until when it is kept.
    pub until: Utc,
    /// The first unserved call.
    pub first_call: CallId,
    /// When that one came.
    pub first_received_at: Utc,
    /// How many unserved calls there were.
    pub calls: u32,
}

/// The person called again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenAgain {
    /// When.
    pub at: Utc,
    /// This call.
    pub call: CallId,
}

/// Somebody called the person back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallBack {
    /// When.
    pub at: Utc,
    /// Who: a regulator's id, or the name of whoever said so through the API.
    pub by: String,
    /// Whether the person picked up.
    pub reached: bool,
}

/// How a task came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// When.
    pub at: Utc,
    /// By whom.
    pub by: ClosedBy,
}

/// Who or what closed a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum ClosedBy {
    /// The person called again and a regulator answered.
    Answered { call: CallId, regulator: RegulatorId },
    /// A regulator called back and the person picked up.
    CalledBack { regulator: RegulatorId },
    /// The person called again and was put through to an outside number: the SAMU, as a rule.
    PutThrough { call: CallId, to: String },
    /// Somebody, through the API.
    Operator { name: String, reason: String },
    /// Nobody, for so long that it is of no use any more.
    Expired,
}

impl AbandonedCaller {
    /// The task that an ended call makes, which its caller left unserved after waiting for so long.
    pub fn of(record: &CallRecord, wait: Duration, at: Utc) -> AbandonedCaller {
        AbandonedCaller {
            id: record.id,
            caller: record.caller.clone(),
            line: record.line.clone(),
            association: record.association.clone(),
            region: record.region.clone(),
            language: record.language.clone(),
            priority: record.priority,
            first_at: at,
            last_at: at,
            last_call: record.id,
            times: 1,
            wait_ms: wait.as_millis() as u64,
            outcome: record.outcome.unwrap_or(Outcome::Interrupted),
            ended_by: record.ended_by.unwrap_or(EndedBy::Fault),
            seen_again: None,
            call_backs: Vec::new(),
            closed: None,
            kept: None,
        }
    }
}

impl AbandonedCaller {
    /// The same person's next unserved call, in the task that is open for the ones before.
    pub fn add(&mut self, last: AbandonedCaller) {
        *self = AbandonedCaller {
            id: self.id,
            first_at: self.first_at,
            times: self.times.saturating_add(1),
            // Each brings the wait of those before it.
            wait_ms: self.wait_ms.max(last.wait_ms),
            seen_again: self.seen_again.take(),
            call_backs: std::mem::take(&mut self.call_backs),
            ..last
        };
    }
}

impl KeptWait {
    /// The wait that the next call of this one's caller begins with, unless it comes too late.
    pub fn after(record: &CallRecord, wait: Duration, until: Utc) -> KeptWait {
        KeptWait {
            wait_ms: wait.as_millis() as u64,
            until,
            first_call: record.person.first_call.unwrap_or(record.id),
            first_received_at: record.person.first_received_at.unwrap_or(record.received_at),
            calls: record.person.calls_before.saturating_add(1),
        }
    }
}
