//! One received RTP frame, and the record that holds it in rings, journal segments and frame files alike.
//!
//! A record is little-endian and a multiple of 8 bytes: `magic u32, length u32, position u64, call [16], leg u16,
//! kind u8, codec u8, number u32, arrival u64, rtp_timestamp u32, ssrc u32, rtp_sequence u16, marker u8, 0 u8,
//! payload_length u16, 0 u16, payload, crc32c u32` and zeros up to the multiple. `length` counts everything up to
//! and with the CRC; the CRC covers everything from `length` to the payload's end. `position` is where the writer
//! put the record, so that a stale or displaced one is told from a true one.

use uuid::Uuid;

use crate::model::{CallId, Codec, LegId, Moment};

/// The longest payload kept, in bytes: more than any UDP datagram on an Ethernet carries.
pub const PAYLOAD_MAX: usize = 1500;
/// Bytes of a record before its payload.
pub const HEADER_LENGTH: usize = 64;
/// The longest record, padding included.
pub const RECORD_LENGTH_MAX: usize = (HEADER_LENGTH + PAYLOAD_MAX + CRC_LENGTH).next_multiple_of(ALIGNMENT);
/// Every record begins at a multiple of this.
pub const ALIGNMENT: usize = 8;

const CRC_LENGTH: usize = 4;
const MAGIC: u32 = u32::from_le_bytes(*b"VFr1");

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Sound in the frame's codec.
    Audio,
    /// A telephone-event (RFC 4733): kept as evidence, rendered as silence.
    Event,
    /// Comfort noise (RFC 3389): kept because it says that a pause was the far end's own and no loss; rendered as silence.
    Noise,
}

/// One RTP packet of a recorded leg, as it came, before any jitter buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The call.
    pub call: CallId,
    /// The leg's number in the call.
    pub leg: u16,
    /// Counts the leg's frames from 0, with those that a full ring refused: a hole in the numbers tells a refusal from
    /// a packet that the network lost.
    pub number: u32,
    /// How `payload` is coded, or would be were it sound.
    pub codec: Codec,
    /// Sound, telephone-event or comfort noise.
    pub kind: FrameKind,
    /// RTP sequence number (RFC 3550 §5.1).
    pub rtp_sequence: u16,
    /// RTP timestamp, in units of the codec's clock.
    pub rtp_timestamp: u32,
    /// RTP synchronisation source.
    pub ssrc: u32,
    /// RTP marker bit.
    pub marker: bool,
    /// When the packet was taken from its socket.
    pub arrival: Moment,
    /// The RTP payload, at most [`PAYLOAD_MAX`] bytes.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// The leg it belongs to.
    pub fn leg_id(&self) -> LegId {
        LegId { call: self.call, number: self.leg }
    }

    /// Bytes of its record, padding included.
    pub fn record_length(&self) -> usize {
        (HEADER_LENGTH + self.payload.len().min(PAYLOAD_MAX) + CRC_LENGTH).next_multiple_of(ALIGNMENT)
    }

    /// Appends its record to `to`. A payload over [`PAYLOAD_MAX`] is cut.
    pub fn encode(&self, position: u64, to: &mut Vec<u8>) {
        let payload = self.payload.get(..PAYLOAD_MAX).unwrap_or(self.payload);
        let begin = to.len();
        let length = (HEADER_LENGTH + payload.len() + CRC_LENGTH) as u32;
        to.extend_from_slice(&MAGIC.to_le_bytes());
        to.extend_from_slice(&length.to_le_bytes());
        to.extend_from_slice(&position.to_le_bytes());
        to.extend_from_slice(self.call.0.as_bytes());
        to.extend_from_slice(&self.leg.to_le_bytes());
        to.push(match self.kind {
            FrameKind::Audio => 0,
            FrameKind::Event => 1,
            FrameKind::Noise => 2,
        });
        to.push(self.codec.payload_type());
        to.extend_from_slice(&self.number.to_le_bytes());
        to.extend_from_slice(&self.arrival.0.to_le_bytes());
        to.extend_from_slice(&self.rtp_timestamp.to_le_bytes());
        to.extend_from_slice(&self.ssrc.to_le_bytes());
        to.extend_from_slice(&self.rtp_sequence.to_le_bytes());
        to.extend_from_slice(&[u8::from(self.marker), 0]);
        to.extend_from_slice(&(payload.len() as u16).to_le_bytes());
        to.extend_from_slice(&[0, 0]);
        to.extend_from_slice(payload);
        let crc = crc32c::crc32c(to.get(begin + 4..).unwrap_or_default());
        to.extend_from_slice(&crc.to_le_bytes());
        to.resize(begin + self.record_length(), 0);
    }
}

/// A record that was read and found whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// What it holds.
    pub frame: Frame<'a>,
    /// Where its writer put it.
    pub position: u64,
    /// Its length with padding: the next record begins so much further on.
    pub length: usize,
}

/// Reads the record at the start of `bytes`; `None` when there is no whole and correct one.
pub fn decode(bytes: &[u8]) -> Option<Decoded<'_>> {
    if u32_at(bytes, 0)? != MAGIC {
        return None;
    }
    let length = u32_at(bytes, 4)? as usize;
    let payload_length = u16::from_le_bytes(array_at(bytes, 60)?) as usize;
    if payload_length > PAYLOAD_MAX || length != HEADER_LENGTH + payload_length + CRC_LENGTH {
        return None;
    }
    let padded = length.next_multiple_of(ALIGNMENT);
    let crc_at = length - CRC_LENGTH;
    if crc32c::crc32c(bytes.get(4..crc_at)?) != u32_at(bytes, crc_at)? {
        return None;
    }
    // The CRC does not cover the padding, so it is held to its one value here.
    if bytes.get(length..padded)?.iter().any(|byte| *byte != 0) {
        return None;
    }
    let frame = Frame {
        call: CallId(Uuid::from_bytes(array_at(bytes, 16)?)),
        leg: u16::from_le_bytes(array_at(bytes, 32)?),
        kind: match bytes.get(34)? {
            0 => FrameKind::Audio,
            1 => FrameKind::Event,
            2 => FrameKind::Noise,
            3.. => return None,
        },
        codec: match bytes.get(35)? {
            0 => Codec::Pcmu,
            8 => Codec::Pcma,
            9 => Codec::G722,
            111 => Codec::Opus,
            1..=7 | 10..=110 | 112.. => return None,
        },
        number: u32_at(bytes, 36)?,
        arrival: Moment(u64_at(bytes, 40)?),
        rtp_timestamp: u32_at(bytes, 48)?,
        ssrc: u32_at(bytes, 52)?,
        rtp_sequence: u16::from_le_bytes(array_at(bytes, 56)?),
        marker: *bytes.get(58)? != 0,
        payload: bytes.get(HEADER_LENGTH..crc_at)?,
    };
    Some(Decoded { frame, position: u64_at(bytes, 8)?, length: padded })
}

/// Whether a record may begin at the start of `bytes`.
pub(super) fn begins_record(bytes: &[u8]) -> bool {
    u32_at(bytes, 0) == Some(MAGIC)
}

pub(super) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A frame of 20 ms, the `number`-th of its leg, sent and received on time.
    pub(crate) fn frame_of(call: u128, leg: u16, number: u32, payload: &[u8]) -> Frame<'_> {
        Frame {
            call: CallId(Uuid::from_u128(call)),
            leg,
            number,
            codec: Codec::Pcma,
            kind: FrameKind::Audio,
            rtp_sequence: number as u16,
            rtp_timestamp: number.wrapping_mul(160),
            ssrc: 7,
            marker: number == 0,
            arrival: Moment(1_000_000 + u64::from(number) * 20_000),
            payload,
        }
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        for length in [0, 1, 159, 160, 161, PAYLOAD_MAX] {
            let payload = vec![0xd5; length];
            let frame = frame_of(3, 1, 42, &payload);
            let mut bytes = Vec::new();
            frame.encode(4096, &mut bytes);
            assert_eq!(decode(&bytes), Some(Decoded { frame, position: 4096, length: bytes.len() }));
            assert_eq!(bytes.len(), frame.record_length());
        }
    }

    #[test]
    fn every_codec_reads_back() {
        for codec in Codec::ALL {
            let mut bytes = Vec::new();
            Frame { codec, ..frame_of(3, 1, 42, &[1; 80]) }.encode(0, &mut bytes);
            assert_eq!(decode(&bytes).map(|decoded| decoded.frame.codec), Some(codec));
        }
    }

    #[test]
    fn no_flipped_bit_and_no_cut_goes_unseen() {
        let mut bytes = Vec::new();
        frame_of(3, 1, 42, &[9; 33]).encode(8, &mut bytes);
        for at in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert_eq!(decode(&changed), None, "bit {at}");
        }
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "cut to {length}");
        }
    }
}
