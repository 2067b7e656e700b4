//! Our SDP: the offer to a device, the answer to an offer (RFC 3264).

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sdp_types::{Attribute, Connection, Media, MediaType, Session, Time, TransportProto};
use serde::{Deserialize, Serialize};

use super::crypto::{CryptoLine, Protection};
use super::description::{Audio, Description, MediaLine};
use crate::model::media::Format;
use crate::model::{Codec, Direction};

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
    let formats: Vec<_> = Format::offered(codecs).map(|format| (format.payload_type(), format)).collect();
    write_numbered_offer(local, &formats, &Protection::default())
}

/// The same with payload types of our choice, and with keys for SRTP (RFC 4568 §5.1.1).
pub fn write_numbered_offer(local: &LocalMedia, formats: &[(u8, Format)], protection: &Protection) -> Bytes {
    let mut media = audio(local, formats, local.direction);
    if protection.is_required {
        media.proto = TransportProto::RtpSavp.to_string();
    }
    add_crypto(&mut media, &protection.lines);
    write(local, vec![media])
}

/// Our answer: the offer's audio line with `codec`, all its other lines refused with port 0, in their order (RFC 3264 §6).
pub fn write_answer(local: &LocalMedia, offer: &Description, codec: Codec) -> Bytes {
    write_protected_answer(local, offer, codec, None)
}

/// The same with our key for SRTP, under the number of the offer's line that it answers (RFC 4568 §5.1.2).
pub fn write_protected_answer(
    local: &LocalMedia,
    offer: &Description,
    codec: Codec,
    crypto: Option<&CryptoLine>,
) -> Bytes {
    let lines = offer.lines.iter().enumerate().map(|(index, line)| match &offer.audio {
        Some(offered) if offered.index == index => {
            let mut media = answered(local, offered, codec);
            media.proto.clone_from(&line.proto);
            add_crypto(&mut media, crypto);
            media
        }
        Some(_) | None => refused(line),
    });
    write(local, lines.collect())
}

fn add_crypto<'a>(media: &mut Media, lines: impl IntoIterator<Item = &'a CryptoLine>) {
    for line in lines {
        media.add_attribute_with_value("crypto", line.write());
    }
}

fn answered(local: &LocalMedia, offered: &Audio, codec: Codec) -> Media {
    let formats: Vec<_> = answered_formats(offered, codec).collect();
    audio(local, &formats, within(local.direction, offered.direction))
}

/// What an answer to this offer names: one codec and the telephone-event beside it, under the offer's numbers.
pub fn answered_formats(offered: &Audio, codec: Codec) -> impl Iterator<Item = (u8, Format)> {
    let payload = offered.payload(codec).unwrap_or(codec.payload_type());
    let keys = offered.keys_beside(codec).map(|(number, clock_hz)| (number, Format::Keys { clock_hz }));
    [(payload, Format::Audio(codec))].into_iter().chain(keys)
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

fn audio(local: &LocalMedia, formats: &[(u8, Format)], direction: Direction) -> Media {
    let numbers: Vec<String> = formats.iter().map(|(number, _)| number.to_string()).collect();
    let mut media = Media::new(MediaType::Audio, local.rtp.port(), TransportProto::RtpAvp, numbers.join(" "));
    for (number, format) in formats {
        let (map, parameters) = match format {
            Format::Audio(codec) => rtpmap(*codec),
            Format::Keys { clock_hz } => (format!("telephone-event/{clock_hz}"), Some("0-15")),
        };
        media.add_attribute_with_value("rtpmap", format!("{number} {map}"));
        if let Some(parameters) = parameters {
            media.add_attribute_with_value("fmtp", format!("{number} {parameters}"));
        }
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

/// A codec's `a=rtpmap` and `a=fmtp`, without the number.
fn rtpmap(codec: Codec) -> (String, Option<&'static str>) {
    let map = format!("{}/{}", codec.name(), codec.clock_rate());
    match codec {
        Codec::Pcma | Codec::Pcmu | Codec::G722 => (map, None),
        // RFC 7587 §7: written with two voices whatever is sent; §6.1: a copy of the packet before is of use to us, and
        // one voice is all there is.
        Codec::Opus => (map + "/2", Some("useinbandfec=1;stereo=0;sprop-stereo=0")),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn local(direction: Direction) -> LocalMedia {
        LocalMedia { rtp: "10.0.0.1:20000".parse().expect("address"), origin: Origin::new(u64::MAX), direction }
    }

    fn text(bytes: Bytes) -> String {
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    #[test]
    fn our_offer_reads_back() {
        let offer = write_offer(&local(Direction::Both), &[Codec::Pcmu, Codec::Pcma]);
        let audio = Description::parse(&offer).expect("readable").audio.expect("audio");
        assert_eq!(audio.codecs, [(Codec::Pcmu, 0), (Codec::Pcma, 8)]);
        assert_eq!((audio.rtp, &audio.keys[..]), ("10.0.0.1:20000".parse().expect("address"), &[(101, 8000)][..]));
        assert!(text(offer).starts_with("v=0\r\no=vigie 4611686018427387903 1 IN IP4 10.0.0.1\r\ns=-\r\n"));
    }

    #[test]
    fn an_ipv6_address_is_written_as_such_and_reads_back() {
        let rtp = "[2001:db8::7]:20000".parse().expect("address");
        let offer = write_offer(&LocalMedia { rtp, ..local(Direction::Both) }, &[Codec::Pcma]);
        assert_eq!(Description::parse(&offer).expect("readable").audio.expect("audio").rtp, rtp);
        let text = text(offer);
        assert!(text.contains(" IN IP6 2001:db8::7\r\ns=-\r\nc=IN IP6 2001:db8::7\r\n"), "{text}");
    }

    #[test]
    fn every_line_of_an_offer_is_answered_in_its_order() {
        let offer = "v=0\r\nc=IN IP4 1.2.3.4\r\nm=video 4006 RTP/AVP 34 96\r\nm=audio 4000 RTP/AVPF 96 97\r\n\
            a=rtpmap:96 PCMA/8000\r\na=rtpmap:97 telephone-event/8000\r\nm=application 9 UDP/BFCP *\r\n";
        let offer = Description::parse(offer.as_bytes()).expect("readable");
        let answer = text(write_answer(&local(Direction::Both), &offer, Codec::Pcma));
        let lines: Vec<_> = answer.lines().filter(|l| l.starts_with("m=")).collect();
        assert_eq!(lines, ["m=video 0 RTP/AVP 34 96", "m=audio 20000 RTP/AVPF 96 97", "m=application 0 UDP/BFCP *"]);
        assert!(
            answer.contains("a=rtpmap:96 PCMA/8000\r\n") && answer.contains("a=rtpmap:97 telephone-event/8000\r\n")
        );
    }

    #[test]
    fn every_codec_is_offered_and_answered_as_its_standard_writes_it() {
        let offer = write_offer(&local(Direction::Both), &Codec::USUAL);
        let read = Description::parse(&offer).expect("readable").audio.expect("audio");
        assert_eq!(read.codecs, [(Codec::G722, 9), (Codec::Opus, 111), (Codec::Pcma, 8), (Codec::Pcmu, 0)]);
        assert_eq!(read.keys, [(101, 8000), (110, 48_000)], "telephone-event at each clock");
        let offer = text(offer);
        for line in [
            "m=audio 20000 RTP/AVP 9 111 8 0 101 110",
            "a=rtpmap:9 G722/8000",
            "a=rtpmap:111 opus/48000/2",
            "a=fmtp:111 useinbandfec=1;stereo=0;sprop-stereo=0",
            "a=rtpmap:110 telephone-event/48000",
            "a=fmtp:110 0-15",
        ] {
            assert!(offer.contains(&format!("{line}\r\n")), "{line}: {offer}");
        }
        let theirs = offer.replace("111", "96").replace("110", "97");
        let theirs = Description::parse(theirs.as_bytes()).expect("readable");
        for (codec, formats) in [(Codec::Opus, "96 97"), (Codec::G722, "9 101"), (Codec::Pcma, "8 101")] {
            let answer = text(write_answer(&local(Direction::Both), &theirs, codec));
            assert!(answer.contains(&format!("m=audio 20000 RTP/AVP {formats}\r\n")), "{codec:?}: {answer}");
        }
    }

    #[test]
    fn an_answer_offers_no_telephone_event_that_was_not_offered() {
        let offer = Description::parse(b"v=0\r\nc=IN IP4 1.2.3.4\r\nm=audio 4000 RTP/AVP 8\r\n").expect("readable");
        assert!(!text(write_answer(&local(Direction::Both), &offer, Codec::Pcma)).contains("telephone-event"));
    }

    #[test]
    fn an_answers_direction_stays_within_the_offers() {
        for (offered, ours, expected) in [
            ("sendonly", Direction::Both, "recvonly"),
            ("recvonly", Direction::Both, "sendonly"),
            ("inactive", Direction::Both, "inactive"),
            ("sendrecv", Direction::Both, "sendrecv"),
            ("sendrecv", Direction::SendOnly, "sendonly"),
            ("sendonly", Direction::SendOnly, "inactive"),
        ] {
            let offer = format!("v=0\r\nc=IN IP4 1.2.3.4\r\nm=audio 4000 RTP/AVP 8\r\na={offered}\r\n");
            let offer = Description::parse(offer.as_bytes()).expect("readable");
            let answer = text(write_answer(&local(ours), &offer, Codec::Pcma));
            assert!(answer.contains(&format!("a={expected}\r\n")), "{offered}: {answer}");
        }
    }

    #[test]
    fn the_next_edition_keeps_its_id() {
        let first = Origin::new(40);
        assert_eq!((first.next().id, first.next().version), (first.id, first.version + 1));
    }
}
