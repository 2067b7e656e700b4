//! One RTP packet (RFC 3550 §5.1): read from a datagram, written into a caller's buffer without allocation.

use rtp_rs::{RtpPacketBuilder, RtpReader};

/// Bytes of the header that Vigie writes: no contributing sources, no extension.
pub const HEADER_BYTES: usize = 12;

/// Longest datagram taken: an Ethernet frame's worth; anything longer is no telephone audio.
pub const PACKET_BYTES_MAX: usize = 1500;

/// The fixed header's fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// What the payload is, 0–127.
    pub payload_type: u8,
    /// The first packet of a talkspurt (RFC 3551 §4.1) or of an event (RFC 4733 §2.5.1.1).
    pub marker: bool,
    /// Counts packets; wraps.
    pub sequence: u16,
    /// The sampling instant of the first sample, in units of the clock rate; wraps.
    pub timestamp: u32,
    /// The source.
    pub ssrc: u32,
}

/// A packet as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its header's fields.
    pub header: Header,
    /// Its payload, without padding.
    pub payload: &'a [u8],
}

/// Reads a datagram; `None` when it is no RTP version 2, is cut short, is longer than [`PACKET_BYTES_MAX`],
/// or is an RTCP packet astray (RFC 5761 §4: payload types 72–76 with the marker are RTCP's).
pub fn read(datagram: &[u8]) -> Option<Packet<'_>> {
    if datagram.len() > PACKET_BYTES_MAX {
        return None;
    }
    let reader = RtpReader::new(datagram).ok()?;
    let header = Header {
        payload_type: reader.payload_type(),
        marker: reader.mark(),
        sequence: reader.sequence_number().into(),
        timestamp: reader.timestamp(),
        ssrc: reader.ssrc(),
    };
    if header.marker && (72..=76).contains(&header.payload_type) {
        return None;
    }
    Some(Packet { header, payload: reader.payload() })
}

/// Writes a packet into `buffer`; its length, or `None` when the buffer is too small or the payload type is above 127.
pub fn write(header: &Header, payload: &[u8], buffer: &mut [u8]) -> Option<usize> {
    RtpPacketBuilder::new()
        .payload_type(header.payload_type)
        .marked(header.marker)
        .sequence(header.sequence.into())
        .timestamp(header.timestamp)
        .ssrc(header.ssrc)
        .payload(payload)
        .build_into(buffer)
        .ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: [u8; 14] = [0x80, 0x88, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef, 0xd5, 0x55];

    #[test]
    fn a_header_reads_as_rfc_3550_draws_it() {
        let packet = read(&PLAIN).expect("plain packet");
        let header = Header { payload_type: 8, marker: true, sequence: 0x1234, timestamp: 160, ssrc: 0xdead_beef };
        assert_eq!(packet, Packet { header, payload: &[0xd5, 0x55] });
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        let packet = read(&PLAIN).expect("plain packet");
        let mut buffer = [0; 64];
        let length = write(&packet.header, packet.payload, &mut buffer).expect("room");
        assert_eq!(&buffer[..length], &PLAIN);
    }

    #[test]
    fn padding_sources_and_extension_are_no_payload() {
        let mut datagram = vec![0xb1, 0x00, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
        datagram.extend([0, 0, 0, 7, 0xbe, 0xde, 0, 1, 1, 2, 3, 4, 0xaa, 0xbb, 0, 2]);
        assert_eq!(read(&datagram).expect("packet").payload, &[0xaa, 0xbb]);
    }

    #[test]
    fn a_buffer_too_small_is_refused() {
        assert_eq!(write(&Header::default(), &[0; 160], &mut [0; 100]), None);
    }

    #[test]
    fn rtcp_astray_is_no_rtp() {
        assert_eq!(read(&[0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), version in any::<bool>()) {
            if version && let Some(first) = bytes.first_mut() {
                *first = 0x80 | (*first & 0x3f);
            }
            let _ = read(&bytes);
        }
    }
}
