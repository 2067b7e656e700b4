//! What the far end's SDP says of its first audio line that we can speak to.

use std::net::{IpAddr, SocketAddr};

use sdp_types::{Attribute, Connection, Media, Session};
use serde::{Deserialize, Serialize};

use super::crypto::{CryptoLine, read_lines};
use crate::model::media::{DTMF_CLOCK_HZ, Format};
use crate::model::srtp::SrtpPolicy;
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
    /// It does not begin with `v=0`.
    #[error("reading an SDP: its first line is not v=0")]
    Version,
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
    /// The first audio line that is not refused (port 0) and whose address is one: over plain RTP, unless
    /// [`Description::under`] chose otherwise.
    pub audio: Option<Audio>,
    /// Every such line, over plain RTP or SRTP.
    heard: Vec<Audio>,
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
    /// Its payload types for telephone-event (RFC 4733), each with its clock: the first of each clock that a codec of ours has.
    pub keys: Vec<(u8, u32)>,
    /// Every payload type that it names, known to us or not.
    pub payloads: Vec<u8>,
    /// Who sends, seen from Vigie: the far end's `sendonly` is our `ReceiveOnly`.
    pub direction: Direction,
    /// Milliseconds of audio a packet, when it says.
    pub ptime_ms: Option<u16>,
    /// Whether it is over RTP/SAVP: without keys there is nothing to be heard.
    pub is_secured: bool,
    /// Its keys that we can use, in its order of preference (RFC 4568).
    pub crypto: Vec<CryptoLine>,
}

impl Description {
    /// Reads an SDP, passing over lines that Vigie does not use and that phones write wrongly.
    pub fn parse(body: &[u8]) -> Result<Description, SdpFault> {
        let session = read_session(body)?;
        if session.medias.len() > MEDIA_MAX {
            return Err(SdpFault::MediaMany);
        }
        let medias = session.medias.iter().enumerate();
        let heard: Vec<_> = medias.filter_map(|(index, media)| read_audio(index, media, &session)).collect();
        let lines = session
            .medias
            .iter()
            .map(|m| MediaLine { media: m.media.clone(), proto: m.proto.clone(), formats: m.fmt.clone() })
            .collect();
        Ok(Description { audio: None, heard, lines }.under(SrtpPolicy::Off))
    }

    /// The same with the audio line that fits best: a protected one where that is wished for, a plain one where that is
    /// allowed.
    pub fn under(mut self, policy: SrtpPolicy) -> Description {
        let secure = || self.heard.iter().find(|audio| !audio.crypto.is_empty());
        let plain = || self.heard.iter().find(|audio| !audio.is_secured);
        self.audio = match policy {
            SrtpPolicy::Off => plain().map(|audio| Audio { crypto: Vec::new(), ..audio.clone() }),
            SrtpPolicy::Preferred => secure().or_else(plain).cloned(),
            SrtpPolicy::Required => secure().cloned(),
        };
        self
    }

    /// Whether it has an audio line at all, if not one of the kind that is wanted.
    pub fn has_audio(&self) -> bool {
        !self.heard.is_empty()
    }
}

impl Audio {
    /// The far end's first codec that is one of `ours`: the order is its own (RFC 3264 §6.1, decision 24).
    pub fn choose(&self, ours: &[Codec]) -> Option<Codec> {
        self.codecs.iter().map(|(codec, _)| *codec).find(|codec| ours.contains(codec))
    }

    /// Its telephone-event beside a codec: the one of the codec's clock (RFC 4733 §2.1), else that of 8000.
    pub fn keys_beside(&self, codec: Codec) -> Option<(u8, u32)> {
        let of = |clock_hz: u32| self.keys.iter().copied().find(|(_, clock)| *clock == clock_hz);
        of(codec.clock_rate()).or_else(|| of(DTMF_CLOCK_HZ))
    }

    /// What each payload type is that we know.
    pub fn formats(&self) -> impl Iterator<Item = (u8, Format)> {
        let keys = self.keys.iter().map(|(number, clock_hz)| (*number, Format::Keys { clock_hz: *clock_hz }));
        self.codecs.iter().map(|(codec, number)| (*number, Format::Audio(*codec))).chain(keys)
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
        let keys = self.keys_beside(codec);
        RemoteMedia {
            rtp: at(self.rtp),
            rtcp: at(self.rtcp),
            signalling,
            codec,
            payload: self.payload(codec).unwrap_or(codec.payload_type()),
            dtmf_payload: keys.map(|(payload, _)| payload),
            dtmf_clock_hz: keys.map_or(DTMF_CLOCK_HZ, |(_, clock_hz)| clock_hz),
            formats: Vec::new(),
            direction: self.direction,
            crypto: None,
        }
    }
}

/// Keeps the lines that Vigie reads, so that a phone's wrong `t=`, `b=` or `o=` does not lose a call.
fn read_session(body: &[u8]) -> Result<Session, SdpFault> {
    if body.is_empty() || body.len() > SDP_LENGTH_MAX {
        return Err(SdpFault::Size);
    }
    let text = String::from_utf8_lossy(body);
    let first = text.split(['\r', '\n']).find(|line| !line.is_empty());
    // RFC 8866 §5.1: what comes first, and the only version there is; anything else is no SDP, or one of another kind.
    if first.is_none_or(|line| line.trim_end_matches([' ', '\t', '\0']) != "v=0") {
        return Err(SdpFault::Version);
    }
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
    let is = |protos: [&str; 2]| protos.iter().any(|proto| media.proto.eq_ignore_ascii_case(proto));
    let is_secured = is(["RTP/SAVP", "RTP/SAVPF"]);
    let is_rtp = is_secured || is(["RTP/AVP", "RTP/AVPF"]);
    if !media.media.eq_ignore_ascii_case("audio") || !is_rtp || media.port == 0 {
        return None;
    }
    let connection = media.connections.first().or(session.connection.as_ref())?;
    let rtp = SocketAddr::new(address(connection)?, media.port);
    let payloads: Vec<u8> = media.fmt.split_ascii_whitespace().take(PAYLOADS_MAX).filter_map(payload_type).collect();
    let (mut codecs, mut keys) = (Vec::<(Codec, u8)>::new(), Vec::<(u8, u32)>::new());
    for payload in payloads.iter().copied() {
        match format(payload, rtpmap(media, payload)) {
            Some(Format::Audio(codec)) if !codecs.iter().any(|(known, _)| *known == codec) => {
                codecs.push((codec, payload));
            }
            Some(Format::Keys { clock_hz }) if !keys.iter().any(|(_, known)| *known == clock_hz) => {
                keys.push((payload, clock_hz));
            }
            Some(Format::Audio(_) | Format::Keys { .. }) | None => {}
        }
    }
    let direction = direction(&media.attributes).or_else(|| direction(&session.attributes));
    let direction = direction.unwrap_or(Direction::Both);
    Some(Audio {
        index,
        rtp,
        rtcp: rtcp(media, rtp),
        codecs,
        keys,
        payloads,
        direction: if rtp.ip().is_unspecified() { without_sending(direction) } else { direction },
        ptime_ms: value(media, "ptime").and_then(|v| v.trim().parse().ok()),
        is_secured,
        crypto: read_lines(media),
    })
}

/// RFC 3550 §5.1: seven bits.
fn payload_type(text: &str) -> Option<u8> {
    text.parse().ok().filter(|number| *number < 128)
}

/// `None` for a host name, which a pure part cannot resolve and phones do not write.
fn address(connection: &Connection) -> Option<IpAddr> {
    connection.connection_address.split('/').next()?.parse().ok()
}

fn value<'a>(media: &'a Media, name: &'a str) -> Option<&'a str> {
    media.get_first_attribute_value(name).flatten()
}

/// What an `a=rtpmap` says: a name, a clock rate, and how many voices (RFC 8866 §6.6).
struct Map<'a> {
    name: &'a str,
    clock_hz: u32,
    voices: Option<&'a str>,
}

/// What `a=rtpmap` says of a payload type.
fn rtpmap(media: &Media, payload: u8) -> Option<Map<'_>> {
    media.get_attribute_values("rtpmap").flatten().find_map(|map| {
        let (number, encoding) = map.trim().split_once([' ', '\t'])?;
        let mut parts = encoding.trim().split('/').map(str::trim);
        let (name, clock_hz, voices) = (parts.next()?, parts.next()?.parse().ok()?, parts.next());
        (number.parse() == Ok(payload)).then_some(Map { name, clock_hz, voices })
    })
}

/// RFC 3551 §6: 0, 8 and 9 mean what they mean unless a map says otherwise.
fn format(payload: u8, map: Option<Map<'_>>) -> Option<Format> {
    let Some(Map { name, clock_hz, voices }) = map else {
        let known = Codec::ALL.into_iter().find(|codec| codec.static_payload_type() == Some(payload));
        return known.map(Format::Audio);
    };
    if name.eq_ignore_ascii_case("telephone-event") {
        let is_known = Codec::ALL.iter().any(|codec| codec.clock_rate() == clock_hz);
        return is_known.then_some(Format::Keys { clock_hz });
    }
    let codec = Codec::ALL.into_iter().find(|codec| name.eq_ignore_ascii_case(codec.name()))?;
    let (fits, is_mono) = match codec {
        Codec::Pcma | Codec::Pcmu => (clock_hz == codec.clock_rate(), matches!(voices, None | Some("1"))),
        // RFC 3551 §4.5.2: 8000 by mistake of an older RFC; phones that write what it samples at mean the same.
        Codec::G722 => (matches!(clock_hz, 8000 | 16_000), matches!(voices, None | Some("1"))),
        // RFC 7587 §7: always 2, whatever is sent; some phones write 1 or nothing.
        Codec::Opus => (clock_hz == codec.clock_rate(), matches!(voices, None | Some("1" | "2"))),
    };
    (fits && is_mono).then_some(Format::Audio(codec))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn audio(text: &str) -> Option<Audio> {
        Description::parse(text.as_bytes()).expect("readable").audio
    }

    const PHONE: &str = "v=0\r\no=- 3868331676 3868331676 IN IP4 192.168.1.7\r\ns=a call\r\nb=AS:84\r\nt=0 0\r\na=X-nat:0\r\n\
        m=audio 4002 RTP/AVP 98 8 0 97 101\r\nc=IN IP4 192.168.1.7\r\nb=TIAS:64000\r\na=rtcp:4009 IN IP4 192.168.1.8\r\n\
        a=sendrecv\r\na=rtpmap:98 speex/16000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:97 telephone-event/16000\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\nm=video 4006 RTP/AVP 34\r\na=inactive\r\n";

    #[test]
    fn an_ordinary_offer_is_read() {
        let description = Description::parse(PHONE.as_bytes()).expect("readable");
        let audio = description.audio.expect("audio");
        assert_eq!((audio.rtp, audio.rtcp), ("192.168.1.7:4002".parse().unwrap(), "192.168.1.8:4009".parse().unwrap()));
        assert_eq!(audio.codecs, [(Codec::Pcma, 8), (Codec::Pcmu, 0)]);
        assert_eq!((&audio.keys[..], audio.direction, audio.ptime_ms), (&[(101, 8000)][..], Direction::Both, Some(20)));
        assert_eq!(description.lines.len(), 2);
        assert_eq!(audio.choose(&[Codec::Pcmu, Codec::Pcma]), Some(Codec::Pcma), "its own order");
        assert_eq!((audio.choose(&[Codec::Pcmu]), audio.choose(&[Codec::Opus])), (Some(Codec::Pcmu), None));
    }

    #[test]
    fn a_dynamic_payload_is_known_by_its_map_and_a_static_one_by_itself() {
        let mapped =
            audio("v=0\nc=IN IP4 1.2.3.4\nm=audio 9 RTP/AVP 96 0\na=rtpmap:96 pcma/8000/1\na=rtpmap:0 PCMU/16000\n");
        assert_eq!(mapped.map(|a| a.codecs), Some(vec![(Codec::Pcma, 96)]));
        let none = audio("v=0\nc=IN IP4 1.2.3.4\nm=audio 9 RTP/AVP 18 4\n");
        assert_eq!(none.map(|a| (a.codecs.len(), a.choose(&[Codec::Pcma]))), Some((0, None)));
    }

    #[test]
    fn every_codec_is_known_however_phones_write_it() {
        for (formats, maps, expected) in [
            ("9", "", Some((Codec::G722, 9))),
            ("9", "a=rtpmap:9 G722/8000\n", Some((Codec::G722, 9))),
            ("9", "a=rtpmap:9 g722/16000\n", Some((Codec::G722, 9))),
            ("105", "a=rtpmap:105 G722/8000/1\n", Some((Codec::G722, 105))),
            ("9", "a=rtpmap:9 G722/48000\n", None),
            ("9", "a=rtpmap:9 G722.1/16000\n", None),
            (
                "111",
                "a=rtpmap:111 opus/48000/2\na=fmtp:111 maxplaybackrate=16000;stereo=1;useinbandfec=1;cbr=1\n",
                Some((Codec::Opus, 111)),
            ),
            ("96", "a=rtpmap:96 OPUS/48000\n", Some((Codec::Opus, 96))),
            ("96", "a=rtpmap:96 opus/48000/1\na=ptime:40\n", Some((Codec::Opus, 96))),
            ("96", "a=rtpmap:96 opus/48000/6\n", None),
            ("96", "a=rtpmap:96 opus/16000/2\n", None),
            ("96", "", None),
            ("8", "a=rtpmap:8 PCMA/8000/2\n", None),
            ("8", "a=rtpmap:8 PCMA/8000/1\n", Some((Codec::Pcma, 8))),
        ] {
            let text = format!("v=0\nc=IN IP4 1.2.3.4\nm=audio 9 RTP/AVP {formats}\n{maps}");
            let read = audio(&text).map(|audio| audio.codecs);
            assert_eq!(read, Some(expected.into_iter().collect()), "{text}");
        }
    }

    #[test]
    fn keys_go_by_the_codecs_clock_else_by_8000() {
        let both = "a=rtpmap:96 opus/48000/2\na=rtpmap:101 telephone-event/8000\na=rtpmap:110 telephone-event/48000\n\
                    a=rtpmap:99 telephone-event/16000\n";
        for (formats, codec, expected) in [
            ("96 8 101 110", Codec::Opus, Some((110, 48_000))),
            ("96 8 101 110", Codec::Pcma, Some((101, 8000))),
            ("96 9 110 101", Codec::G722, Some((101, 8000))),
            ("96 8 101", Codec::Opus, Some((101, 8000))),
            ("96 8 110", Codec::Pcma, None),
            ("96 8 99", Codec::Opus, None),
        ] {
            let text = format!("v=0\nc=IN IP4 1.2.3.4\nm=audio 9 RTP/AVP {formats}\n{both}");
            let audio = audio(&text).expect("audio");
            assert_eq!(audio.keys_beside(codec), expected, "{formats} {codec:?}");
            let remote = audio.remote(codec, "192.0.2.1".parse().unwrap());
            let told = remote.dtmf_payload.map(|payload| (payload, remote.dtmf_clock_hz));
            assert_eq!(told, expected, "{formats} {codec:?}");
        }
    }

    #[test]
    fn each_way_of_holding_is_seen() {
        for (connection, attribute, expected) in [
            ("1.2.3.4", "a=sendonly", Direction::ReceiveOnly),
            ("1.2.3.4", "a=recvonly", Direction::SendOnly),
            ("1.2.3.4", "a=inactive", Direction::Inactive),
            ("0.0.0.0", "a=sendrecv", Direction::ReceiveOnly),
            ("0.0.0.0", "a=recvonly", Direction::Inactive),
            ("1.2.3.4", "a=ptime:20", Direction::Both),
        ] {
            let media = format!("v=0\r\nc=IN IP4 {connection}\r\nm=audio 4000 RTP/AVP 8\r\n{attribute}\r\n");
            let session = format!("v=0\r\nc=IN IP4 {connection}\r\n{attribute}\r\nm=audio 4000 RTP/AVP 8\r\n");
            for text in [media, session] {
                assert_eq!(audio(&text).map(|a| a.direction), Some(expected), "{text}");
            }
        }
    }

    #[test]
    fn a_peer_on_hold_by_zero_address_is_never_aimed_at_zero() {
        let held = audio("v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 4000 RTP/AVP 8\r\n").expect("audio");
        let remote = held.remote(Codec::Pcma, "192.0.2.1".parse().unwrap());
        assert_eq!((remote.rtp, remote.rtcp), ("192.0.2.1:4000".parse().unwrap(), "192.0.2.1:4001".parse().unwrap()));
        assert!(!remote.direction.sends() && remote.direction.is_held());
    }

    #[test]
    fn a_refused_secured_or_nameless_audio_line_is_passed_over() {
        for line in [
            "m=audio 0 RTP/AVP 8",
            "m=audio 4000 RTP/SAVP 8",
            "m=video 4000 RTP/AVP 8",
            "m=audio 4000 RTP/AVP 8\r\nc=IN IP4 phone.example",
        ] {
            let text = format!("v=0\r\nc=IN IP4 1.2.3.4\r\n{line}\r\nm=audio 5000 RTP/AVP 0\r\n");
            assert_eq!(audio(&text).map(|a| (a.index, a.rtp.port())), Some((1, 5000)), "{line}");
        }
        assert_eq!(audio("v=0\r\nm=audio 5000 RTP/AVP 0\r\n"), None, "no address at all");
    }

    #[test]
    fn wrong_lines_that_nobody_needs_do_not_lose_the_call() {
        let text = "v=0\r\no=broken\r\ns=\r\nt=now\r\nb=x\r\nc=IN IP6 2001:db8::5 \r\nz\r\nm=audio 4000 RTP/AVP 8 \r\nk=\r\n\0";
        assert_eq!(audio(text).map(|a| a.rtp), "[2001:db8::5]:4000".parse().ok());
    }

    #[test]
    fn too_much_is_refused() {
        assert_eq!(Description::parse(b""), Err(SdpFault::Size));
        let after_version = |lines: String| Description::parse(format!("v=0\r\n{lines}").as_bytes());
        assert_eq!(after_version("a=x\r\n".repeat(600)), Err(SdpFault::Size));
        assert_eq!(Description::parse(&[b'a'; SDP_LENGTH_MAX + 1]), Err(SdpFault::Size));
        assert_eq!(after_version("m=audio 1 RTP/AVP 8\r\n".repeat(17)), Err(SdpFault::MediaMany));
        assert!(matches!(after_version("m=audio x RTP/AVP 8".to_owned()), Err(SdpFault::Grammar(_))));
    }

    #[test]
    fn what_does_not_begin_with_the_one_version_is_no_sdp() {
        let rest = "c=IN IP4 1.2.3.4\r\nm=audio 4000 RTP/AVP 8\r\n";
        for first in ["", "v=1\r\n", "v=\r\n", "v=00\r\n", "o=- 1 1 IN IP4 1.2.3.4\r\nv=0\r\n", " v=0\r\n", "<x/>\r\n"]
        {
            assert_eq!(Description::parse(format!("{first}{rest}").as_bytes()), Err(SdpFault::Version), "{first:?}");
        }
        assert!(Description::parse(format!("\r\nv=0 \n{rest}").as_bytes()).is_ok());
    }
}
