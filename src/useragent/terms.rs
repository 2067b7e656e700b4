//! What the media of a leg may be, as its trunk or the settings for phones say, and SDPs read under these terms.

use bytes::Bytes;

use crate::model::srtp::SrtpPolicy;
use crate::model::{Codec, LegId, RegulatorId, TrunkId};
use crate::sip::sdp::{Audio, Description, SdpFault};
use crate::sip::{Body, BodyFault, Headers};

use super::UserAgent;
use super::incoming::Refusal;
use super::rules::{ACCEPTED, READABLE};

/// One leg's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// Whether its media are to be protected.
    pub srtp: SrtpPolicy,
    /// The codecs that may be spoken, the preferred one first.
    pub codecs: Vec<Codec>,
}

/// What is wanted where nothing is left to speak, for people: the codecs that were to be had.
pub(super) fn names_of(codecs: &[Codec]) -> String {
    let names: Vec<String> = codecs.iter().map(|codec| codec.name().to_uppercase()).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "a codec".to_owned(),
    }
}

impl UserAgent {
    /// The terms of calls to and from a regulator's phones.
    pub(super) fn terms_of_phone(&self, regulator: &RegulatorId) -> Terms {
        Terms { srtp: self.admission.srtp_of(regulator), codecs: self.wire.rules.codecs.clone() }
    }

    /// The terms of calls over a trunk.
    pub(super) fn terms_over(&self, trunk: &TrunkId) -> Terms {
        let codecs = self.admission.codecs_over(trunk).unwrap_or(&self.wire.rules.codecs).to_vec();
        Terms { srtp: self.admission.srtp_over(trunk), codecs }
    }

    /// The terms of a leg that there is.
    pub(super) fn terms_of_leg(&self, id: LegId) -> Terms {
        let unknown = || Terms { srtp: SrtpPolicy::default(), codecs: Vec::new() };
        self.legs.find(id).map_or_else(unknown, |leg| leg.media.terms())
    }
}

impl Terms {
    /// The codec that an SDP of the far end leads to.
    pub(super) fn choose(&self, theirs: &Audio) -> Option<Codec> {
        theirs.choose(&self.codecs)
    }
}

/// The SDP that a message carries, alone or beside other parts (RFC 5621): none, or one with an audio line and a codec that
/// may be spoken.
pub(super) fn read_offer(headers: &Headers, body: &Bytes, terms: &Terms) -> Result<Option<Description>, Refusal> {
    let body = Body::read(headers, body).map_err(|fault| match fault {
        // RFC 3261 §8.2.3: only bodies as they are can be read.
        BodyFault::Encoded => Refusal::with(415, "Accept-Encoding", "identity"),
        fault => Refusal::because(400, fault.to_string()),
    })?;
    if body.not_understood(&READABLE).is_some() {
        return Err(Refusal::with(415, "Accept", ACCEPTED));
    }
    let Some(sdp) = body.sdp() else { return Ok(None) };
    // RFC 3261 §20.43: 304 for the media, 305 for their formats.
    let warn = |code: u16, text: &str| Refusal::with(488, "Warning", format!("{code} vigie \"{text}\""));
    let offer = Description::parse(&sdp.bytes).map_err(|fault| {
        let phrase = match &fault {
            SdpFault::Size => "SDP Empty Or Too Long",
            SdpFault::Version => "SDP Does Not Begin With v=0",
            SdpFault::Grammar(_) => "SDP Unreadable",
            SdpFault::MediaMany => "Too Many Media Lines",
        };
        warn(399, phrase).saying(phrase)
    })?;
    let offer = offer.under(terms.srtp);
    match &offer.audio {
        None if offer.has_audio() => Err(match terms.srtp {
            SrtpPolicy::Off => warn(302, "Incompatible transport protocol: RTP/AVP is needed, SRTP is off"),
            SrtpPolicy::Preferred | SrtpPolicy::Required => {
                warn(302, "Incompatible transport protocol: SRTP with a=crypto of a known suite is needed")
            }
        }),
        None => Err(warn(304, "Media type not available: audio over RTP/AVP is needed")),
        Some(audio) if terms.choose(audio).is_none() => {
            Err(warn(305, &format!("Incompatible media format: {} is needed", names_of(&terms.codecs))))
        }
        Some(_) => Ok(Some(offer)),
    }
}

/// The SDP that an answer or an ACK carries, when it is of use. What else must be understood of it cannot be refused any
/// more, and a call that both sides have agreed on is not ended for it.
pub(super) fn read_answer(headers: &Headers, body: &Bytes, terms: &Terms) -> Option<Description> {
    let body = Body::read(headers, body).ok()?;
    let answer = Description::parse(&body.sdp()?.bytes).ok()?.under(terms.srtp);
    terms.choose(answer.audio.as_ref()?)?;
    Some(answer)
}
