//! Replaces (RFC 3891 §6.1): which dialog a new one is to take the place of.

use crate::model::RegulatorId;
use crate::sip::{Params, Request};

use super::UserAgent;
use super::incoming::{Origination, Refusal};
use super::leg::{Leg, Stage};
use super::rules::TEXT_LENGTH_MAX;

/// The longest Replaces read, in bytes: a Call-ID and two tags of the longest kept.
pub(super) const REPLACES_LENGTH_MAX: usize = 4 * TEXT_LENGTH_MAX;

/// What one Replaces names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replaces {
    call_id: String,
    to_tag: String,
    from_tag: String,
    /// Only while nobody has picked up yet.
    pub early_only: bool,
}

impl Replaces {
    /// Reads one; `None` when a tag is missing or given twice.
    pub(super) fn parse(text: &str) -> Option<Replaces> {
        if text.len() > REPLACES_LENGTH_MAX {
            return None;
        }
        let (call_id, params) = text.split_once(';')?;
        let params = Params::parse(params);
        let once = |name: &str| {
            let mut all = params.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).filter_map(|(_, value)| value);
            let first = all.next().filter(|tag| !tag.is_empty() && tag.len() <= TEXT_LENGTH_MAX)?;
            all.next().is_none().then(|| first.to_owned())
        };
        let call_id = call_id.trim();
        let is_bounded = (1..=TEXT_LENGTH_MAX).contains(&call_id.len()) && !call_id.contains([' ', ',']);
        let (to_tag, from_tag) = (once("to-tag")?, once("from-tag")?);
        let early_only = params.has("early-only");
        is_bounded.then(|| Replaces { call_id: call_id.to_owned(), to_tag, from_tag, early_only })
    }

    /// The Call-ID and the two tags.
    pub(super) fn tags(&self) -> (&str, [&str; 2]) {
        (&self.call_id, [&self.to_tag, &self.from_tag])
    }
}

impl UserAgent {
    /// The leg that an INVITE is to take the place of (RFC 3891 §3), if it says so. Carriers replace nothing here.
    pub(super) fn replaced(&self, request: &Request, by: &Origination) -> Result<Option<&Leg>, Refusal> {
        let mut all = request.headers.all_bytes("Replaces");
        let Some(first) = all.next() else { return Ok(None) };
        match by {
            Origination::Trunk(_) if request.headers.has_token("Require", "replaces") => {
                return Err(Refusal::with(420, "Unsupported", "replaces"));
            }
            Origination::Trunk(_) => return Err(Refusal::of(403)),
            Origination::Regulator(_) => {}
        }
        let text = std::str::from_utf8(first).ok().filter(|_| all.next().is_none());
        let replaces = text.and_then(Replaces::parse).ok_or(Refusal::of(400))?;
        let (call_id, tags) = replaces.tags();
        let leg = self.legs.of_tags(call_id, tags).ok_or(Refusal::of(481))?;
        // The caller's own dialog is nobody's to take.
        if leg.owner.is_none() {
            return Err(Refusal::of(403));
        }
        match &leg.stage {
            Stage::Ended | Stage::Leaving(_) | Stage::Cancelling => Err(Refusal::of(603)),
            // An early dialog that we did not begin cannot be taken over.
            Stage::Invited(_) => Err(Refusal::of(481)),
            Stage::Dialling { .. } => Ok(Some(leg)),
            Stage::Accepted(_) | Stage::Confirmed { .. } if replaces.early_only => Err(Refusal::of(486)),
            Stage::Accepted(_) | Stage::Confirmed { .. } => Ok(Some(leg)),
        }
    }

    /// The leg that a regulator's transfer is to join with, when it is another live one of the same person; else the
    /// status that refuses the REFER. Never 481, which would end the dialog that the REFER came in (RFC 5057 §5.1).
    pub(super) fn consulted(&self, replaces: &Replaces, owner: &RegulatorId) -> Result<&Leg, u16> {
        let (call_id, tags) = replaces.tags();
        let leg = self.legs.of_tags(call_id, tags).filter(|leg| leg.owner.as_ref() == Some(owner)).ok_or(403u16)?;
        match &leg.stage {
            Stage::Ended | Stage::Leaving(_) | Stage::Cancelling => Err(603),
            Stage::Accepted(_) | Stage::Confirmed { .. } if replaces.early_only => Err(486),
            Stage::Invited(_) | Stage::Dialling { .. } | Stage::Accepted(_) | Stage::Confirmed { .. } => Ok(leg),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tags_are_due_once_each() {
        let read = Replaces::parse("98732@sip.example.com; from-tag=r33th4x0r ;to-tag=ff87ff;early-only").unwrap();
        assert_eq!(read.tags(), ("98732@sip.example.com", ["ff87ff", "r33th4x0r"]));
        assert!(read.early_only);
        let long = format!("{};to-tag=1;from-tag=2", "x".repeat(TEXT_LENGTH_MAX + 1));
        for text in
            ["", "a", "a;to-tag=1", "a;from-tag=1", ";to-tag=1;from-tag=2", "a;to-tag=1;to-tag=1;from-tag=2", &long]
        {
            assert_eq!(Replaces::parse(text), None, "{text}");
        }
    }
}
