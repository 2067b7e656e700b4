//! SRTP and SRTCP (RFC 3711, RFC 7714): packets are protected and opened in place, and what a restart needs (keys, roll-over
//! counters, replay windows) is plain data.

mod cipher;
mod control;
mod keys;
mod replay;
mod stream;

use serde::{Deserialize, Serialize};

pub use keys::{MasterKey, Profile};
pub use stream::{Incoming, Outgoing};

use crate::rtp::packet::PACKET_BYTES_MAX;

/// The most that protection adds to a packet: GCM's tag, SRTCP's index (RFC 7714 §13, RFC 3711 §3.4).
pub const GROWTH_BYTES_MAX: usize = 16 + 4;

/// A buffer that holds any protected packet.
pub const BUFFER_BYTES: usize = PACKET_BYTES_MAX + GROWTH_BYTES_MAX;

/// Sources told apart in one direction of a leg: a far end changes its own now and then, and nobody has more at once.
/// With more, the one heard longest ago is forgotten.
pub const SOURCES_MAX: usize = 4;

/// Why a packet could not be protected or opened; it is counted and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum SrtpFault {
    /// No RTP or RTCP, or cut short.
    #[error("the packet is no SRTP: too short, or of another version")]
    Malformed,
    /// The tag is wrong: another key, or somebody changed it.
    #[error("the packet's authentication tag is wrong; is the far end's key another one?")]
    Forged,
    /// The packet came before, or is too old to tell.
    #[error("the packet was received before, or is too old to tell")]
    Replayed,
    /// The buffer has no room for the tag.
    #[error("the buffer has no room for the authentication tag")]
    NoRoom,
    /// The keys were used 2⁴⁸ (SRTCP: 2³¹) times and must be changed (RFC 3711 §9.2).
    #[error("the key was used up: negotiate a new one")]
    UsedUp,
}

/// Where the payload of an RTP packet begins: after contributing sources and header extension (RFC 3550 §5.1, §5.3.1).
fn header_length(packet: &[u8]) -> Option<usize> {
    let (first, _) = packet.split_first()?;
    if first >> 6 != 2 {
        return None;
    }
    let fixed = 12 + 4 * usize::from(first & 0x0f);
    let length = match first & 0x10 {
        0 => fixed,
        _ => {
            let words = packet.get(fixed + 2..fixed + 4)?;
            fixed + 4 + 4 * usize::from(u16::from_be_bytes([*words.first()?, *words.get(1)?]))
        }
    };
    (length <= packet.len()).then_some(length)
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
