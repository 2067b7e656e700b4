//! SRTP on one leg: packets are opened and protected where they lie, and a new SDP with the same keys changes nothing.

use crate::model::srtp::Crypto;
use crate::rtp::srtp::{Incoming, Outgoing, SrtpFault};

/// Both directions of a leg whose media are protected.
#[derive(Debug)]
pub(super) struct Protection {
    incoming: Incoming,
    outgoing: Outgoing,
}

impl Protection {
    /// What the newest SDP agrees on, going on with what was before: a key that stays keeps its counters and its replay
    /// window, or the same key stream would be used twice.
    pub(super) fn renew(before: Option<Box<Protection>>, crypto: Option<&Crypto>) -> Option<Box<Protection>> {
        let crypto = crypto?;
        let (incoming, outgoing) = before.map(|old| (old.incoming, old.outgoing)).unzip();
        let incoming = incoming.filter(|old| *old.master() == crypto.theirs);
        let outgoing = outgoing.filter(|old| *old.master() == crypto.ours);
        Some(Box::new(Protection {
            incoming: incoming.unwrap_or_else(|| Incoming::new(crypto.theirs.clone())),
            outgoing: outgoing.unwrap_or_else(|| Outgoing::new(crypto.ours.clone())),
        }))
    }
}

/// Opens an RTP packet of the far end; its length. Plain RTP is left as it is.
pub(super) fn open(protection: Option<&mut Protection>, packet: &mut [u8]) -> Result<usize, SrtpFault> {
    protection.map_or(Ok(packet.len()), |protection| protection.incoming.open(packet))
}

/// The same for RTCP.
pub(super) fn open_rtcp(protection: Option<&mut Protection>, packet: &mut [u8]) -> Result<usize, SrtpFault> {
    protection.map_or(Ok(packet.len()), |protection| protection.incoming.open_rtcp(packet))
}

/// Protects the RTP packet `buffer[..length]` of ours; its new length, or `None` when it may not be sent: nothing leaves
/// in clear that was to be protected.
pub(super) fn protect(protection: Option<&mut Protection>, buffer: &mut [u8], length: usize) -> Option<usize> {
    protection.map_or(Some(length), |protection| protection.outgoing.protect(buffer, length).ok())
}

/// The same for RTCP.
pub(super) fn protect_rtcp(protection: Option<&mut Protection>, buffer: &mut [u8], length: usize) -> Option<usize> {
    protection.map_or(Some(length), |protection| protection.outgoing.protect_rtcp(buffer, length).ok())
}
