//! One leg's media as both sides have agreed on them so far, and the SDPs that said so (RFC 3264).

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::srtp::SrtpPolicy;
use crate::model::{Codec, Direction, RemoteMedia};
use crate::sip::sdp::{Audio, Description, LocalMedia, Origin, write_protected_answer, write_protected_offer};

use super::security::Security;

/// Both sides' media as agreed so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LegMedia {
    /// Ours, once a socket was given.
    pub local: Option<LocalMedia>,
    /// The far end's.
    pub remote: Option<RemoteMedia>,
    /// The codec in use, or to be preferred.
    pub codec: Codec,
    /// The codecs that the far end's last SDP named.
    known: Vec<Codec>,
    origin: Origin,
    security: Security,
    /// Our last SDP.
    said: Bytes,
    /// The far end's last SDP.
    heard: Bytes,
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
    pub(super) fn new(origin: Origin, codec: Codec, security: Security) -> LegMedia {
        let (local, remote, known) = (None, None, Vec::new());
        LegMedia { local, remote, codec, known, origin, security, said: Bytes::new(), heard: Bytes::new() }
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

    /// An offer of ours: the codec in use first.
    pub(super) fn offer(&mut self) -> Bytes {
        let codecs = match self.codec {
            Codec::Pcma | Codec::G722 | Codec::Opus => [Codec::Pcma, Codec::Pcmu],
            Codec::Pcmu => [Codec::Pcmu, Codec::Pcma],
        };
        let protection = self.security.protection();
        self.say(|local| write_protected_offer(local, &codecs, &protection))
    }

    /// Our answer to an offer that was heard.
    pub(super) fn answer(&mut self, offer: &Description) -> Bytes {
        let codec = self.codec;
        let crypto = offer.audio.as_ref().and_then(|audio| self.security.answer(audio));
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

    /// Takes over what an SDP of the far end says. One that is the last one word for word keeps the codec in use.
    pub(super) fn hear(&mut self, theirs: &Description, body: &Bytes, signalling: IpAddr) -> Heard {
        let Some(audio) = &theirs.audio else { return Heard::Nothing };
        let is_repeated = self.remote.is_some() && *body == self.heard && audio.payload(self.codec).is_some();
        let Some(codec) = (if is_repeated { Some(self.codec) } else { audio.choose(&[]) }) else {
            return Heard::Nothing;
        };
        let Some(remote) = self.weigh(audio, codec, signalling) else { return Heard::Nothing };
        self.security.agree(remote.crypto.as_deref());
        self.codec = codec;
        self.known = audio.codecs.iter().map(|(codec, _)| *codec).collect();
        // A copy, so that the datagram that it came in can go.
        self.heard = Bytes::copy_from_slice(body);
        if self.remote.as_ref() == Some(&remote) {
            return Heard::Same;
        }
        self.remote = Some(remote.clone());
        Heard::Other(remote)
    }

    /// Takes over what was agreed on before, in an early dialog.
    pub(super) fn take(&mut self, remote: &RemoteMedia) {
        self.codec = remote.codec;
        self.security.agree(remote.crypto.as_deref());
        self.remote = Some(remote.clone());
    }

    /// Whether the media are to be protected.
    pub(super) fn policy(&self) -> SrtpPolicy {
        self.security.policy
    }

    /// What an SDP of the far end means for us, and nothing is taken over yet: its first codec that we speak.
    pub(super) fn agree(&self, theirs: &Description, signalling: IpAddr) -> Option<RemoteMedia> {
        let audio = theirs.audio.as_ref()?;
        self.weigh(audio, audio.choose(&[])?, signalling)
    }

    fn weigh(&self, theirs: &Audio, codec: Codec, signalling: IpAddr) -> Option<RemoteMedia> {
        let crypto = self.security.weigh(theirs).ok()?.map(Box::new);
        Some(RemoteMedia { crypto, ..theirs.remote(codec, signalling) })
    }

    /// Whether the far end's last SDP named this codec.
    pub(super) fn knows(&self, codec: Codec) -> bool {
        self.known.contains(&codec)
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
