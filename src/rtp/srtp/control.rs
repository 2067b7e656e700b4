//! SRTCP over one packet (RFC 3711 §3.4, RFC 7714 §9): its own index travels with it, behind the flag that says it is encrypted.

use super::cipher::{Cipher, GCM_TAG_BYTES, RTCP_TAG_BYTES};
use super::{SrtpFault, be32};

/// Bytes that stay readable: the first header and the sender's SSRC.
const CLEAR_BYTES: usize = 8;
/// Bytes of flag and index.
const INDEX_BYTES: usize = 4;
/// Says that the packet is encrypted.
const FLAG: u32 = 1 << 31;

/// Protects `buffer[..length]`; its new length.
pub(super) fn protect(cipher: &Cipher, buffer: &mut [u8], length: usize, index: u32) -> Result<usize, SrtpFault> {
    if index >= FLAG {
        return Err(SrtpFault::UsedUp);
    }
    let (packet, room) = buffer.split_at_mut_checked(length).ok_or(SrtpFault::Malformed)?;
    let ssrc = be32(packet, 4).ok_or(SrtpFault::Malformed)?;
    let (clear, body) = packet.split_at_mut_checked(CLEAR_BYTES).ok_or(SrtpFault::Malformed)?;
    let flagged = (FLAG | index).to_be_bytes();
    match cipher {
        Cipher::Counter(cipher) => {
            let (written, rest) = room.split_at_mut_checked(INDEX_BYTES).ok_or(SrtpFault::NoRoom)?;
            let tag = rest.get_mut(..RTCP_TAG_BYTES).ok_or(SrtpFault::NoRoom)?;
            cipher.scramble(ssrc, index.into(), body);
            written.copy_from_slice(&flagged);
            cipher.sign([packet, &flagged], tag);
            Ok(length + INDEX_BYTES + RTCP_TAG_BYTES)
        }
        Cipher::Gcm(cipher) => {
            let (tag, rest) = room.split_at_mut_checked(GCM_TAG_BYTES).ok_or(SrtpFault::NoRoom)?;
            let written = rest.get_mut(..INDEX_BYTES).ok_or(SrtpFault::NoRoom)?;
            let sealed = cipher.seal((ssrc, index.into()), &readable(clear, flagged), body);
            tag.copy_from_slice(&sealed.ok_or(SrtpFault::UsedUp)?);
            written.copy_from_slice(&flagged);
            Ok(length + GCM_TAG_BYTES + INDEX_BYTES)
        }
    }
}

/// The index that a packet carries, authentic or not.
pub(super) fn index_of(cipher: &Cipher, packet: &[u8]) -> Option<u32> {
    let behind = match cipher {
        Cipher::Counter(_) => INDEX_BYTES + RTCP_TAG_BYTES,
        Cipher::Gcm(_) => INDEX_BYTES,
    };
    be32(packet, packet.len().checked_sub(behind)?).map(|word| word & !FLAG)
}

/// Opens a packet; the length of what was protected. One that is authentic and not encrypted is left readable as it is.
pub(super) fn open(cipher: &Cipher, packet: &mut [u8]) -> Result<usize, SrtpFault> {
    let malformed = SrtpFault::Malformed;
    let ssrc = be32(packet, 4).ok_or(malformed)?;
    match cipher {
        Cipher::Counter(cipher) => {
            let signed = packet.len().checked_sub(RTCP_TAG_BYTES).ok_or(malformed)?;
            let length = signed.checked_sub(INDEX_BYTES).filter(|n| *n >= CLEAR_BYTES).ok_or(malformed)?;
            let (plain, tag) = packet.split_at_mut_checked(signed).ok_or(malformed)?;
            if !cipher.is_signed([plain, &[]], tag) {
                return Err(SrtpFault::Forged);
            }
            let word = be32(plain, length).ok_or(malformed)?;
            if word & FLAG != 0 {
                let body = plain.get_mut(CLEAR_BYTES..length).ok_or(malformed)?;
                cipher.scramble(ssrc, (word & !FLAG).into(), body);
            }
            Ok(length)
        }
        Cipher::Gcm(cipher) => {
            let sealed = packet.len().checked_sub(INDEX_BYTES).ok_or(malformed)?;
            let length = sealed.checked_sub(GCM_TAG_BYTES).filter(|n| *n >= CLEAR_BYTES).ok_or(malformed)?;
            let word = be32(packet, sealed).ok_or(malformed)?;
            let (plain, behind) = packet.split_at_mut_checked(length).ok_or(malformed)?;
            let tag = behind.get(..GCM_TAG_BYTES).ok_or(malformed)?;
            let whose = (ssrc, u64::from(word & !FLAG));
            let is_authentic = if word & FLAG != 0 {
                let (clear, body) = plain.split_at_mut_checked(CLEAR_BYTES).ok_or(malformed)?;
                cipher.open(whose, &readable(clear, word.to_be_bytes()), body, tag)
            } else {
                // RFC 7714 §9.3: all of it is only authenticated.
                let mut all = [0; super::BUFFER_BYTES];
                let covered = length + INDEX_BYTES;
                let pieces = plain.iter().copied().chain(word.to_be_bytes());
                all.iter_mut().zip(pieces).for_each(|(to, from)| *to = from);
                all.get(..covered).is_some_and(|all| cipher.open(whose, all, &mut [], tag))
            };
            if is_authentic { Ok(length) } else { Err(SrtpFault::Forged) }
        }
    }
}

/// What is authenticated and not encrypted (RFC 7714 §9.2): the first eight bytes, then flag and index.
fn readable(clear: &[u8], flagged: [u8; INDEX_BYTES]) -> [u8; CLEAR_BYTES + INDEX_BYTES] {
    let mut out = [0; CLEAR_BYTES + INDEX_BYTES];
    out.iter_mut().zip(clear.iter().copied().chain(flagged)).for_each(|(to, from)| *to = from);
    out
}
