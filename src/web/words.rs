//! How the model's words are written in the API: times with their offset, enumerations, a caller.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{self, Utc};

/// A time in RFC 3339 with the offset of the centre's zone: `2026-11-21T22:30:00.123+01:00`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = "date-time", example = "2026-11-21T22:30:00.123+01:00")]
pub struct Stamp(String);

impl Stamp {
    /// `utc` as read in `zone`.
    pub fn of(utc: Utc, zone: &TimeZone) -> Stamp {
        Stamp(utc.with_offset(zone))
    }

    /// The same for a time that may not have come.
    pub fn maybe(utc: Option<Utc>, zone: &TimeZone) -> Option<Stamp> {
        utc.map(|utc| Stamp::of(utc, zone))
    }
}

/// Bytes of a file, as they are.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "only its description is used")]
pub struct Octets(Vec<u8>);

/// An enumeration of the model with the same variants and the same serialised words, and a schema.
/// A variant that the model gains breaks the build here.
macro_rules! mirror {
    ($($(#[$doc:meta])* $name:ident from $source:path { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = "kebab-case")]
        #[allow(missing_docs, reason = "the model says what each means")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl From<$source> for $name {
            fn from(word: $source) -> $name {
                use $source as Source;
                match word { $(Source::$variant => $name::$variant),+ }
            }
        }
    )+};
}

mirror! {
    /// How a call came to its end.
    OutcomeWord from model::Outcome {
        Answered, Abandoned, Overflowed, NobodyOnDuty, Closed, Refused, Forwarded, Voicemail, CallBack, Informed, Unreached,
        Superseded, Interrupted,
    }
    /// Who or what ended a call or a leg.
    EndedByWord from model::EndedBy {
        Caller, Regulator, Message, Silence, NoAck, DeviceLost, AnsweredElsewhere, NoAnswer, Operator, Shutdown,
        Fault, Refused,
    }
    /// How an offer ended.
    OfferEndWord from model::OfferEnd { Accepted, Refused, TimedOut, Cancelled, Failed }
    /// In which way sound goes one way only: nothing comes from the far end while the other side speaks, or its RTCP says
    /// that nothing arrives there.
    OneWayWord from model::OneWay { SendsNothing, HearsNothing }
    /// What mean opinion scores are measured against: the telephone band (ITU-T G.107, at best 4.41) or a wide one (G.107.1,
    /// at best 4.34 with G.722). Scores of the two must not be compared.
    MosScaleWord from model::MosScale { Narrowband, Wideband }
    /// What a leg is for.
    SideWord from model::Side { Caller, Regulator, Outside, Supervisor }
    /// Whether the line's calls are recorded.
    RecordingPolicyWord from model::centre::RecordingPolicy { Always, Never }
    /// A codec (RFC 3551 §6; Opus: RFC 7587).
    CodecWord from model::Codec {
        #[serde(rename = "PCMA")] Pcma,
        #[serde(rename = "PCMU")] Pcmu,
        #[serde(rename = "G722")] G722,
        #[serde(rename = "OPUS")] Opus,
    }
}

/// What people called line, association and regulators when the call came; empty in records that kept no names.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NamesView {
    /// The line's name.
    line: String,
    /// The association's name.
    association: String,
    /// The name of each regulator who was offered the call, by id.
    regulators: BTreeMap<String, String>,
}

impl From<model::record::Names> for NamesView {
    fn from(names: model::record::Names) -> NamesView {
        let regulators = names.regulators.into_iter().map(|(id, name)| (id.to_string(), name)).collect();
        NamesView { line: names.line, association: names.association, regulators }
    }
}

/// Who calls, as far as the trunk says; every text is the caller's own and must be escaped where it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CallerView {
    /// The user part of From, verbatim.
    raw: String,
    /// From's display name, verbatim.
    display_name: Option<String>,
    /// The caller in E.164.
    e164: Option<String>,
    /// P-Asserted-Identity verbatim (RFC 3325).
    asserted_identity: Option<String>,
    /// Whether the caller asked not to be shown.
    anonymous: bool,
    /// Whether the trunk vouches for `e164` (`verified_by` of the trunk): only then the person is known again.
    verified: bool,
}

impl From<model::Caller> for CallerView {
    fn from(caller: model::Caller) -> CallerView {
        CallerView {
            raw: caller.raw,
            display_name: caller.display_name,
            e164: caller.e164.map(|number| number.to_string()),
            asserted_identity: caller.asserted_identity,
            anonymous: caller.anonymous,
            verified: caller.verified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_written_in_the_api_as_in_the_model() {
        let same = |a: serde_json::Value, b: serde_json::Value| assert_eq!(a, b);
        let word = model::Outcome::NobodyOnDuty;
        same(serde_json::json!(word), serde_json::json!(OutcomeWord::from(word)));
        let word = model::EndedBy::NoAck;
        same(serde_json::json!(word), serde_json::json!(EndedByWord::from(word)));
        let word = model::OfferEnd::TimedOut;
        same(serde_json::json!(word), serde_json::json!(OfferEndWord::from(word)));
        assert_eq!(serde_json::json!(CodecWord::Pcma), "PCMA");
    }
}
