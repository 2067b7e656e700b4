//! One leg's media as both sides have agreed on them so far, and the SDPs that said so (RFC 3264).

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::media::{FORMATS_MAX, Format};
use crate::model::{Codec, Direction, RemoteMedia};
use crate::sip::sdp::{
    Audio, Description, LocalMedia, Origin, answered_formats, write_numbered_offer, write_protected_answer,
};

use super::security::Security;
use super::terms::Terms;

/// Dynamic payload types (RFC 3551 §6).
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;

/// Both sides' media as agreed so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LegMedia {
    /// Ours, once a socket was given.
    pub local: Option<LocalMedia>,
    /// The far end's.
    pub remote: Option<RemoteMedia>,
    /// The codec in use, or to be preferred.
    pub codec: Codec,
    /// The codecs that may be spoken, the preferred one first.
    #[serde(default = "usual")]
    allowed: Vec<Codec>,
    /// The payload types of our last SDP.
    #[serde(default)]
    ours: Vec<(u8, Format)>,
    /// Those of the far end's last SDP, as far as we know them.
    #[serde(default)]
    theirs: Vec<(u8, Format)>,
    /// All that it named, known to us or not.
    #[serde(default)]
    taken: Vec<u8>,
    /// The first codec of its last offer, when it has made one.
    #[serde(default)]
    wished: Option<Codec>,
    origin: Origin,
    security: Security,
    /// Our last SDP.
    said: Bytes,
    /// The far end's last SDP.
    heard: Bytes,
}

/// What a snapshot without terms was agreed under.
fn usual() -> Vec<Codec> {
    Codec::USUAL.to_vec()
}

/// What an SDP of the far end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It asks; of what it names we speak what our answer says.
    Offer,
    /// It answers our last SDP; of what both name, it may send each (RFC 3264 §6.1).
    Answer,
}

/// What an SDP of the far end changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It has no codec that we speak, or not the keys that there must be.
    Nothing,
    /// The same as before.
    Same,
    /// Other media.
    Other(RemoteMedia),
}

impl LegMedia {
    /// Before any SDP. Of the codecs that may be spoken `prefer` is, where it is one of them.
    pub(super) fn new(origin: Origin, codecs: (Vec<Codec>, Option<Codec>), security: Security) -> LegMedia {
        let (allowed, prefer) = codecs;
        LegMedia {
            local: None,
            remote: None,
            codec: prefer.or_else(|| allowed.first().copied()).unwrap_or(Codec::Pcma),
            allowed,
            ours: Vec::new(),
            theirs: Vec::new(),
            taken: Vec::new(),
            wished: None,
            origin,
            security,
            said: Bytes::new(),
            heard: Bytes::new(),
        }
    }

    /// Our socket is known; the first one stays.
    pub(super) fn open(&mut self, rtp: SocketAddr) {
        self.local.get_or_insert(LocalMedia { rtp, origin: self.origin, direction: Direction::Both });
    }

    /// An SDP of ours. Its version is the last one's unless it says something else (RFC 3264 §8), so that what only
    /// keeps a call alive does not disturb the far end's media.
    fn say(&mut self, write: impl Fn(&LocalMedia) -> Bytes) -> Bytes {
        let Some(local) = self.local.as_mut() else { return Bytes::new() };
        let same = write(local);
        if !self.said.is_empty() && same != self.said {
            local.origin = local.origin.next();
            self.said = write(local);
        } else {
            self.said = same;
        }
        self.said.clone()
    }

    /// An offer of ours: the codec in use or preferred, then those that its packets can be sent on in, then the others in
    /// the order of the terms.
    pub(super) fn offer(&mut self) -> Bytes {
        let mut codecs = self.allowed.clone();
        // Stable: equals keep their order.
        codecs.sort_by_key(|codec| (*codec != self.codec, !self.codec.is_relayed_to(*codec)));
        self.offer_of(&codecs)
    }

    /// An offer of this codec alone, so that its answer can bring no other.
    pub(super) fn offer_only(&mut self, codec: Codec) -> Bytes {
        self.offer_of(&[codec])
    }

    fn offer_of(&mut self, codecs: &[Codec]) -> Bytes {
        let mut formats: Vec<(u8, Format)> = Vec::new();
        for format in Format::offered(codecs) {
            formats.push((self.number(format, &formats), format));
        }
        let protection = self.security.protection();
        let said = self.say(|local| write_numbered_offer(local, &formats, &protection));
        self.ours = formats;
        said
    }

    /// The payload type for a format in an offer: a number keeps its meaning for the life of a dialog (RFC 3264 §8.3.2).
    fn number(&self, format: Format, used: &[(u8, Format)]) -> u8 {
        let of =
            |formats: &[(u8, Format)]| formats.iter().find(|(_, known)| *known == format).map(|(number, _)| *number);
        let is_free = |number: &u8| !self.taken.contains(number) && !used.iter().any(|(other, _)| other == number);
        let own = format.payload_type();
        let known = of(&self.ours).or_else(|| of(&self.theirs));
        known.or_else(|| Some(own).filter(is_free)).or_else(|| DYNAMIC.into_iter().find(is_free)).unwrap_or(own)
    }

    /// Our answer to an offer that was heard: one codec, so that both sides know what is spoken.
    pub(super) fn answer(&mut self, offer: &Description) -> Bytes {
        let codec = self.codec;
        let crypto = offer.audio.as_ref().and_then(|audio| self.security.answer(audio));
        self.ours = offer.audio.iter().flat_map(|audio| answered_formats(audio, codec)).collect();
        self.say(|local| write_protected_answer(local, offer, codec, crypto.as_ref()))
    }

    /// Our last SDP, word for word: an offer that changes nothing (RFC 4028 §7.4).
    pub(super) fn repeat(&self) -> Bytes {
        self.said.clone()
    }

    /// The same while it is our first one; nothing once another has taken its place.
    pub(super) fn repeat_first(&self) -> Bytes {
        let is_first = self.local.is_some_and(|local| local.origin == self.origin);
        if is_first { self.said.clone() } else { Bytes::new() }
    }

    /// Takes over what an offer of the far end says. One that is its last SDP word for word keeps the codec in use.
    pub(super) fn hear_offer(&mut self, theirs: &Description, body: &Bytes, signalling: IpAddr) -> Heard {
        self.hear(theirs, body, (signalling, Role::Offer))
    }

    /// Takes over what its answer to our last SDP says.
    pub(super) fn hear_answer(&mut self, theirs: &Description, body: &Bytes, signalling: IpAddr) -> Heard {
        self.hear(theirs, body, (signalling, Role::Answer))
    }

    fn hear(&mut self, theirs: &Description, body: &Bytes, how: (IpAddr, Role)) -> Heard {
        let Some(audio) = &theirs.audio else { return Heard::Nothing };
        let first = audio.choose(&self.allowed);
        let is_kept = self.remote.is_some() && audio.payload(self.codec).is_some() && self.keeps(body, how.1, first);
        let Some(codec) = (if is_kept { Some(self.codec) } else { first }) else { return Heard::Nothing };
        let Some(remote) = self.weigh(audio, codec, how) else { return Heard::Nothing };
        if how.1 == Role::Offer {
            self.wished = first;
        }
        self.security.agree(remote.crypto.as_deref());
        self.codec = codec;
        self.theirs = audio.formats().collect();
        self.taken.clone_from(&audio.payloads);
        // A copy, so that the datagram that it came in can go.
        self.heard = Bytes::copy_from_slice(body);
        if self.remote.as_ref() == Some(&remote) {
            return Heard::Same;
        }
        self.remote = Some(remote.clone());
        Heard::Other(remote)
    }

    /// Whether an SDP that names the codec in use is no wish for another: the last one word for word, or an offer that
    /// begins as that far end's offers do. A phone that took the caller's codec names its own first again when it holds,
    /// and a call would be transcoded from then on.
    fn keeps(&self, body: &Bytes, role: Role, first: Option<Codec>) -> bool {
        *body == self.heard || (role == Role::Offer && (self.wished.is_none() || self.wished == first))
    }

    /// Takes over what was agreed on before, in an early dialog.
    pub(super) fn take(&mut self, remote: &RemoteMedia) {
        self.codec = remote.codec;
        self.security.agree(remote.crypto.as_deref());
        self.remote = Some(remote.clone());
    }

    /// What the media may be.
    pub(super) fn terms(&self) -> Terms {
        Terms { srtp: self.security.policy, codecs: self.allowed.clone() }
    }

    /// What an offer of the far end means for us, and nothing is taken over yet.
    pub(super) fn agree_offer(&self, theirs: &Description, signalling: IpAddr) -> Option<RemoteMedia> {
        let audio = theirs.audio.as_ref()?;
        self.weigh(audio, audio.choose(&self.allowed)?, (signalling, Role::Offer))
    }

    /// The same of its answer to our last SDP.
    pub(super) fn agree_answer(&self, theirs: &Description, signalling: IpAddr) -> Option<RemoteMedia> {
        let audio = theirs.audio.as_ref()?;
        self.weigh(audio, audio.choose(&self.allowed)?, (signalling, Role::Answer))
    }

    fn weigh(&self, theirs: &Audio, codec: Codec, (signalling, role): (IpAddr, Role)) -> Option<RemoteMedia> {
        let crypto = self.security.weigh(theirs).ok()?.map(Box::new);
        let mut remote = RemoteMedia { crypto, ..theirs.remote(codec, signalling) };
        remote.formats = match role {
            Role::Answer => self.shared_with(theirs, &remote),
            Role::Offer => self.other_law(theirs, codec),
        };
        Some(remote)
    }

    /// The payload types beyond the first that the far end may send by: of what both SDPs name, under our numbers, and
    /// under its own for those who mistake the direction. What is understood anyhow is left out.
    fn shared_with(&self, theirs: &Audio, remote: &RemoteMedia) -> Vec<(u8, Format)> {
        let named: Vec<(u8, Format)> = theirs.formats().collect();
        let is_in = |list: &[(u8, Format)], format: &Format| list.iter().any(|(_, known)| known == format);
        let by_ours = self.ours.iter().filter(|(_, format)| is_in(&named, format));
        let by_theirs = named.iter().filter(|(_, format)| is_in(&self.ours, format));
        let mut shared: Vec<(u8, Format)> = Vec::new();
        for (number, format) in by_ours.chain(by_theirs) {
            let is_known = shared.iter().any(|(known, _)| known == number);
            if !is_known && shared.len() < FORMATS_MAX && remote.format(*number) != Some(*format) {
                shared.push((*number, *format));
            }
        }
        shared
    }

    /// Our answer names one codec. A carrier that offered both laws of G.711 may send the other all the same, when its call
    /// goes on to another gateway: better heard than lost.
    fn other_law(&self, theirs: &Audio, codec: Codec) -> Vec<(u8, Format)> {
        let other = theirs
            .codecs
            .iter()
            .find(|(other, _)| *other != codec && codec.is_relayed_to(*other) && self.allowed.contains(other));
        other.map(|(other, number)| (*number, Format::Audio(*other))).into_iter().collect()
    }

    /// Whether the far end's last SDP named this codec, and it may be spoken.
    pub(super) fn knows(&self, codec: Codec) -> bool {
        self.allowed.contains(&codec) && self.theirs.iter().any(|(_, format)| *format == Format::Audio(codec))
    }

    /// An offer of ours came to nothing: all is as `before` (RFC 3261 §14.1), but the version that was used up.
    pub(super) fn take_back(&mut self, before: LegMedia) {
        let used = self.local.map(|local| local.origin);
        *self = before;
        if let (Some(local), Some(used)) = (self.local.as_mut(), used) {
            local.origin = used;
        }
    }
}
