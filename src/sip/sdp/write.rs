//! Our SDP: the offer to a device, the answer to an offer (RFC 3264).

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sdp_types::{Attribute, Connection, Media, MediaType, Session, Time, TransportProto};
use serde::{Deserialize, Serialize};

use super::description::{Audio, Description, MediaLine};
use crate::model::{Codec, Direction};

/// The payload type that we offer for telephone-event: what phones use by custom.
pub const DTMF_PAYLOAD: u8 = 101;

/// Who wrote an SDP, and which edition (RFC 8866 §5.2): the version goes up by one when anything changes (RFC 3264 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The same for the life of a dialog; below 2⁶³, which some phones need.
    pub id: u64,
    /// The edition.
    pub version: u64,
}

impl Origin {
    /// The first edition.
    pub fn new(random: u64) -> Origin {
        Origin { id: random >> 2, version: 1 }
    }

    /// The edition after this one.
    pub fn next(self) -> Origin {
        Origin { version: self.version + 1, ..self }
    }
}

/// Our side of one leg's media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalMedia {
    /// Where we receive RTP; RTCP is one port above.
    pub rtp: SocketAddr,
    /// Our SDP's id and edition.
    pub origin: Origin,
    /// Who sends, seen from Vigie. In an answer it is kept within what the offer allows.
    pub direction: Direction,
}

/// Our offer: these codecs in order of preference, and telephone-event.
pub fn write_offer(local: &LocalMedia, codecs: &[Codec]) -> Bytes {
    let payloads: Vec<_> = codecs.iter().map(|codec| (*codec, codec.payload_type())).collect();
    let media = audio(local, &payloads, Some(DTMF_PAYLOAD), local.direction);
    write(local, vec![media])
}

/// Our answer: the offer's audio line with `codec`, all its other lines refused with port 0, in their order (RFC 3264 §6).
pub fn write_answer(local: &LocalMedia, offer: &Description, codec: Codec) -> Bytes {
    let lines = offer.lines.iter().enumerate().map(|(index, line)| match &offer.audio {
        Some(offered) if offered.index == index => {
            let mut media = answered(local, offered, codec);
            media.proto.clone_from(&line.proto);
            media
        }
        Some(_) | None => refused(line),
    });
    write(local, lines.collect())
}

fn answered(local: &LocalMedia, offered: &Audio, codec: Codec) -> Media {
    let payload = offered.payload(codec).unwrap_or(codec.payload_type());
    audio(local, &[(codec, payload)], offered.dtmf_payload, within(local.direction, offered.direction))
}

/// What both `ours` and the offer (turned round) allow (RFC 3264 §6.1).
fn within(ours: Direction, offered: Direction) -> Direction {
    let receives = |d: Direction| matches!(d, Direction::Both | Direction::ReceiveOnly);
    match (ours.sends() && offered.sends(), receives(ours) && receives(offered)) {
        (true, true) => Direction::Both,
        (true, false) => Direction::SendOnly,
        (false, true) => Direction::ReceiveOnly,
        (false, false) => Direction::Inactive,
    }
}

fn refused(line: &MediaLine) -> Media {
    let mut media = Media::new(MediaType::Audio, 0, TransportProto::RtpAvp, &line.formats);
    media.media.clone_from(&line.media);
    media.proto.clone_from(&line.proto);
    media
}

fn audio(local: &LocalMedia, codecs: &[(Codec, u8)], dtmf: Option<u8>, direction: Direction) -> Media {
    let formats: Vec<String> = codecs.iter().map(|(_, p)| *p).chain(dtmf).map(|p| p.to_string()).collect();
    let mut media = Media::new(MediaType::Audio, local.rtp.port(), TransportProto::RtpAvp, formats.join(" "));
    for (codec, payload) in codecs {
        media.add_attribute_with_value("rtpmap", format!("{payload} {}/8000", codec.name()));
    }
    if let Some(payload) = dtmf {
        media.add_attribute_with_value("rtpmap", format!("{payload} telephone-event/8000"));
        media.add_attribute_with_value("fmtp", format!("{payload} 0-15"));
    }
    media.add_attribute_with_value("ptime", 20);
    media.add_attribute(Attribute::new(match direction {
        Direction::Both => "sendrecv",
        Direction::SendOnly => "sendonly",
        Direction::ReceiveOnly => "recvonly",
        Direction::Inactive => "inactive",
    }));
    media
}

fn write(local: &LocalMedia, medias: Vec<Media>) -> Bytes {
    let ip: IpAddr = local.rtp.ip();
    let mut origin = sdp_types::Origin::with_ip_addr(local.origin.id, local.origin.version, ip);
    origin.set_username("vigie");
    let mut session = Session::new(origin, "-");
    session.connection = Some(Connection::from_ip_addr(ip));
    session.times = vec![Time::new(0, 0)];
    session.medias = medias;
    let mut out = Vec::with_capacity(512);
    // Writing to memory does not fail.
    let _ = session.write(&mut out);
    out.into()
}
