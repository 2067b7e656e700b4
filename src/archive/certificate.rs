//! The certificate of a lawful deletion: what was deleted, on what grounds, and which two people agreed. No caller is named.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::model::{CallId, Utc};
use crate::storage::deletions::{Deletion, Grounds};

/// The form's name and version.
pub const FORM: &str = "vigie-deletion-1";

/// What stands in `deletion.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// [`FORM`].
    pub form: String,
    /// The call whose recording was deleted.
    pub call: CallId,
    /// The machine that deleted it.
    pub node: String,
    /// When, with the site's offset.
    pub deleted_at: String,
    /// The same in UTC.
    pub deleted_at_utc: String,
    /// The recording's seal: SHA-256 of the sidecar, as the seal log has it.
    pub seal: String,
    /// Its place in the seal log.
    pub seal_sequence: u64,
    /// SHA-256 of the WAV.
    pub audio_sha256: String,
    /// SHA-256 of the samples.
    pub essence_sha256: String,
    /// Why it may be deleted.
    pub basis: Basis,
    /// The list that it stood on.
    pub deletion: i64,
    /// The two people who agreed: who proposed, who approved.
    pub approvers: Vec<Approver>,
}

/// Why a recording may be deleted: `expired_at` = `ended_at` + `retention_years` + `held_us`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// In words.
    pub text: String,
    /// Of this association.
    pub association: String,
    /// The call's end, in UTC.
    pub ended_at: String,
    /// The retention that counted, in years.
    pub retention_years: u16,
    /// The length of the union of its legal holds, in microseconds.
    pub held_us: i64,
    /// When its time was over, in UTC.
    pub expired_at: String,
}

/// One of the two people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approver {
    /// Who.
    pub person: String,
    /// What: `proposed` or `approved`.
    pub act: String,
    /// When, in UTC.
    pub at: String,
    /// Why, in the person's own words.
    pub reason: String,
}

impl Certificate {
    /// The certificate for one recording of an approved list.
    pub fn of(grounds: &Grounds, list: &Deletion, node: &str, (at, zone): (Utc, &TimeZone)) -> Certificate {
        let approver = |person: &str, act: &str, at: Utc, reason: &str| Approver {
            person: person.into(),
            act: act.into(),
            at: at.rfc3339(),
            reason: reason.into(),
        };
        let mut approvers = vec![approver(&list.proposed_by, "proposed", list.proposed_at, &list.reason)];
        if let (Some(by), Some(at)) = (&list.decided_by, list.decided_at) {
            approvers.push(approver(by, "approved", at, list.decision_reason.as_deref().unwrap_or_default()));
        }
        let text = format!(
            "kept {} years from the call's end, and as long as legal holds had stopped the clock (French order of 20 October 2011)",
            grounds.retention_years
        );
        Certificate {
            form: FORM.into(),
            call: grounds.call,
            node: node.into(),
            deleted_at: at.with_offset(zone),
            deleted_at_utc: at.rfc3339(),
            seal: grounds.seal.clone(),
            seal_sequence: grounds.seal_sequence,
            audio_sha256: grounds.audio_sha256.clone(),
            essence_sha256: grounds.essence_sha256.clone(),
            basis: Basis {
                text,
                association: grounds.association.to_string(),
                ended_at: grounds.ended_at.rfc3339(),
                retention_years: grounds.retention_years,
                held_us: grounds.held_us,
                expired_at: grounds.expired_at.rfc3339(),
            },
            deletion: list.id,
            approvers,
        }
    }

    /// Its exact bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}
