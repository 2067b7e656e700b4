//! What the far end's SDP says of its first audio line that we can speak to.

use std::net::{IpAddr, SocketAddr};

use sdp_types::{Attribute, Connection, Media, Session};
use serde::{Deserialize, Serialize};

use crate::model::{Codec, Direction, RemoteMedia};

/// The longest SDP read, in bytes: a phone with every codec it knows writes 2 to 4 KiB.
pub const SDP_LENGTH_MAX: usize = 16_384;
/// The most lines read.
pub const LINES_MAX: usize = 512;
/// The most `m=` lines: each must be answered.
pub const MEDIA_MAX: usize = 16;
/// The most payload types of one `m=` line.
pub const PAYLOADS_MAX: usize = 64;

/// Why an SDP is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpFault {
    /// No text at all, or too much of it.
    #[error("reading an SDP: empty, longer than 16 KiB, or more than 512 lines")]
    Size,
    /// It is not SDP.
    #[error("reading an SDP: {0}")]
    Grammar(String),
    /// More `m=` lines than [`MEDIA_MAX`].
    #[error("reading an SDP: more than 16 media lines")]
    MediaMany,
}

/// An SDP offer or answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The first audio line over plain RTP that is not refused (port 0) and whose address is one.
    pub audio: Option<Audio>,
    /// Every `m=` line, in order: each wants an answer (RFC 3264 §6).
    pub(crate) lines: Vec<MediaLine>,
}

/// One `m=` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MediaLine {
    pub(crate) media: String,
    pub(crate) proto: String,
    pub(crate) formats: String,
}

/// What the audio line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audio {
    /// Its place among the `m=` lines.
    pub(crate) index: usize,
    /// Where the far end receives RTP; the address may be `0.0.0.0` (RFC 2543's hold).
    pub rtp: SocketAddr,
    /// Where it receives RTCP (RFC 3605, else port + 1).
    pub rtcp: SocketAddr,
    /// The codecs that we speak too, with their payload types, in the far end's order of preference.
    pub codecs: Vec<(Codec, u8)>,
    /// Its payload type for telephone-event/8000 (RFC 4733).
    pub dtmf_payload: Option<u8>,
    /// Who sends, seen from Vigie: the far end's `sendonly` is our `ReceiveOnly`.
    pub direction: Direction,
    /// Milliseconds of audio a packet, when it says.
    pub ptime_ms: Option<u16>,
}

impl Description {
    /// Reads an SDP, passing over lines that Vigie does not use and that phones write wrongly.
    pub fn parse(body: &[u8]) -> Result<Description, SdpFault> {
        let session = read_session(body)?;
        if session.medias.len() > MEDIA_MAX {
            return Err(SdpFault::MediaMany);
        }
        let audio = session.medias.iter().enumerate().find_map(|(index, media)| read_audio(index, media, &session));
        let lines = session
            .medias
            .iter()
            .map(|m| MediaLine { media: m.media.clone(), proto: m.proto.clone(), formats: m.fmt.clone() })
            .collect();
        Ok(Description { audio, lines })
    }
}

impl Audio {
    /// The first codec of `ours` that the far end speaks; with an empty list its own first.
    pub fn choose(&self, ours: &[Codec]) -> Option<Codec> {
        match ours {
            [] => self.codecs.first().map(|(codec, _)| *codec),
            ours => ours.iter().copied().find(|codec| self.payload(*codec).is_some()),
        }
    }

    /// The far end's payload type of a codec.
    pub fn payload(&self, codec: Codec) -> Option<u8> {
        self.codecs.iter().find(|(c, _)| *c == codec).map(|(_, payload)| *payload)
    }

    /// What the media plane needs. A far end on hold by `0.0.0.0` keeps the signalling's address and is not sent to.
    pub fn remote(&self, codec: Codec, signalling: IpAddr) -> RemoteMedia {
        let at = |addr: SocketAddr| match addr.ip().is_unspecified() {
            true => SocketAddr::new(signalling, addr.port()),
            false => addr,
        };
        RemoteMedia {
            rtp: at(self.rtp),
            rtcp: at(self.rtcp),
            signalling,
            codec,
            dtmf_payload: self.dtmf_payload,
            direction: self.direction,
        }
    }
}

/// Keeps the lines that Vigie reads, so that a phone's wrong `t=`, `b=` or `o=` does not lose a call.
fn read_session(body: &[u8]) -> Result<Session, SdpFault> {
    if body.is_empty() || body.len() > SDP_LENGTH_MAX {
        return Err(SdpFault::Size);
    }
    let text = String::from_utf8_lossy(body);
    let mut kept = String::with_capacity(text.len());
    kept.push_str("v=0\r\n");
    let mut connected = false;
    for (count, line) in text.split(['\r', '\n']).filter(|l| !l.is_empty()).enumerate() {
        if count >= LINES_MAX {
            return Err(SdpFault::Size);
        }
        let is_connection = line.starts_with("c=");
        if !(line.starts_with("m=") || line.starts_with("a=") || is_connection) {
            continue;
        }
        // Only the first `c=` of each part counts; several are for multicast (RFC 8866 §5.7).
        connected = match (line.starts_with("m="), is_connection) {
            (true, _) => false,
            (false, true) if connected => continue,
            (false, true) => true,
            (false, false) => connected,
        };
        kept.push_str(line.trim_end_matches([' ', '\t', '\0']));
        kept.push_str("\r\n");
    }
    Session::parse(kept.as_bytes()).map_err(|e| SdpFault::Grammar(e.to_string()))
}

fn read_audio(index: usize, media: &Media, session: &Session) -> Option<Audio> {
    let plain = media.proto.eq_ignore_ascii_case("RTP/AVP") || media.proto.eq_ignore_ascii_case("RTP/AVPF");
    if !media.media.eq_ignore_ascii_case("audio") || !plain || media.port == 0 {
        return None;
    }
    let connection = media.connections.first().or(session.connection.as_ref())?;
    let rtp = SocketAddr::new(address(connection)?, media.port);
    let payloads: Vec<u8> =
        media.fmt.split_ascii_whitespace().take(PAYLOADS_MAX).filter_map(|p| p.parse().ok()).collect();
    let mapped = |payload: u8| rtpmap(media, payload);
    let dtmf_payload = payloads
        .iter()
        .copied()
        .find(|p| mapped(*p).is_some_and(|(name, rate)| name.eq_ignore_ascii_case("telephone-event") && rate == 8000));
    let mut codecs: Vec<(Codec, u8)> = Vec::new();
    for payload in payloads {
        if let Some(codec) = codec(payload, mapped(payload))
            && !codecs.iter().any(|(c, _)| *c == codec)
        {
            codecs.push((codec, payload));
        }
    }
    let direction = direction(&media.attributes).or_else(|| direction(&session.attributes));
    let direction = direction.unwrap_or(Direction::Both);
    Some(Audio {
        index,
        rtp,
        rtcp: rtcp(media, rtp),
        codecs,
        dtmf_payload,
        direction: if rtp.ip().is_unspecified() { without_sending(direction) } else { direction },
        ptime_ms: value(media, "ptime").and_then(|v| v.trim().parse().ok()),
    })
}

/// `None` for a host name, which a pure part cannot resolve and phones do not write.
fn address(connection: &Connection) -> Option<IpAddr> {
    connection.connection_address.split('/').next()?.parse().ok()
}

fn value<'a>(media: &'a Media, name: &'a str) -> Option<&'a str> {
    media.get_first_attribute_value(name).flatten()
}

/// Name and clock rate that `a=rtpmap` gives a payload type.
fn rtpmap(media: &Media, payload: u8) -> Option<(&str, u32)> {
    media.get_attribute_values("rtpmap").flatten().find_map(|map| {
        let (number, encoding) = map.trim().split_once([' ', '\t'])?;
        let mut parts = encoding.trim().split('/');
        let (name, rate) = (parts.next()?, parts.next()?.trim().parse().ok()?);
        (number.parse() == Ok(payload)).then_some((name, rate))
    })
}

/// RFC 3551 §6: 0 and 8 mean what they mean unless a map says otherwise.
fn codec(payload: u8, map: Option<(&str, u32)>) -> Option<Codec> {
    match (map, payload) {
        (Some((name, 8000)), _) => {
            [Codec::Pcma, Codec::Pcmu].into_iter().find(|codec| name.eq_ignore_ascii_case(codec.name()))
        }
        (Some(_), _) => None,
        (None, 8) => Some(Codec::Pcma),
        (None, 0) => Some(Codec::Pcmu),
        (None, _) => None,
    }
}

/// The far end's direction, turned round.
fn direction(attributes: &[Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|a| match a.attribute.trim().to_ascii_lowercase().as_str() {
        "sendrecv" => Some(Direction::Both),
        "sendonly" => Some(Direction::ReceiveOnly),
        "recvonly" => Some(Direction::SendOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    })
}

/// RFC 3264 §5.1: to `0.0.0.0`, nothing may be sent.
fn without_sending(direction: Direction) -> Direction {
    match direction {
        Direction::Both | Direction::ReceiveOnly => Direction::ReceiveOnly,
        Direction::SendOnly | Direction::Inactive => Direction::Inactive,
    }
}

/// RFC 3605: `a=rtcp:53020` or `a=rtcp:53020 IN IP4 126.16.64.4`.
fn rtcp(media: &Media, rtp: SocketAddr) -> SocketAddr {
    let mut words = value(media, "rtcp").unwrap_or_default().split_ascii_whitespace();
    let port = words.next().and_then(|p| p.parse().ok()).filter(|p| *p != 0);
    let address = words.nth(2).and_then(|a| a.parse().ok());
    SocketAddr::new(address.unwrap_or(rtp.ip()), port.unwrap_or(rtp.port().saturating_add(1)))
}
