//! SRTP (RFC 3711 §3.3, RFC 7714 §8): one direction of one leg, its sources, roll-over counters and replay windows.

use serde::{Deserialize, Serialize};

use super::cipher::{Cipher, GCM_TAG_BYTES};
use super::keys::MasterKey;
use super::replay::Window;
use super::{SOURCES_MAX, SrtpFault, be16, be32, control, header_length};

/// Indexes are 48 bits: the roll-over counter and the sequence number (RFC 3711 §3.3.1).
const INDEX_MAX: u64 = (1 << 48) - 1;

/// What we send: protects.
#[derive(Debug, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub struct Outgoing {
    kept: Kept,
    rtp: Cipher,
    pub(super) rtcp: Cipher,
}

/// What the far end sends: opens.
#[derive(Debug, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub struct Incoming {
    kept: Kept,
    rtp: Cipher,
    rtcp: Cipher,
}

/// All that a restart needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    master: MasterKey,
    /// The source heard last is last.
    sources: Vec<Source>,
    /// The index of our next SRTCP packet (RFC 3711 §3.4).
    rtcp_index: u32,
}

/// One source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    ssrc: u32,
    rtp: Window,
    rtcp: Window,
}

impl Kept {
    fn new(master: MasterKey) -> Kept {
        Kept { master, sources: Vec::new(), rtcp_index: 0 }
    }

    fn source(&self, ssrc: u32) -> Source {
        let known = self.sources.iter().find(|source| source.ssrc == ssrc).copied();
        known.unwrap_or(Source { ssrc, rtp: Window::default(), rtcp: Window::default() })
    }

    /// Remembers a source whose packet was authentic; nobody else's takes room.
    fn keep(&mut self, source: Source) {
        if self.sources.last().is_some_and(|last| last.ssrc == source.ssrc) {
            self.sources.pop();
        } else {
            self.sources.retain(|other| other.ssrc != source.ssrc);
            if self.sources.len() >= SOURCES_MAX {
                self.sources.remove(0);
            }
        }
        self.sources.push(source);
    }
}

impl Source {
    /// The 48-bit index of a sequence number: the one nearest to the highest so far (RFC 3711 §3.3.1, appendix A).
    fn index_of(&self, sequence: u16) -> u64 {
        let Some(highest) = self.rtp.highest() else { return u64::from(sequence) };
        let (round, last) = (highest >> 16, highest & 0xffff);
        let sequence = u64::from(sequence);
        let round = if last < 0x8000 {
            if sequence.saturating_sub(last) > 0x8000 { round.saturating_sub(1) } else { round }
        } else if last - 0x8000 > sequence {
            round + 1
        } else {
            round
        };
        round << 16 | sequence
    }
}

impl Clone for Outgoing {
    fn clone(&self) -> Outgoing {
        self.kept.clone().into()
    }
}

impl Clone for Incoming {
    fn clone(&self) -> Incoming {
        self.kept.clone().into()
    }
}

impl From<Kept> for Outgoing {
    fn from(kept: Kept) -> Outgoing {
        let profile = kept.master.profile();
        let (rtp, rtcp) = (kept.master.for_rtp(), kept.master.for_rtcp());
        Outgoing { rtp: Cipher::new(profile, &rtp), rtcp: Cipher::new(profile, &rtcp), kept }
    }
}

impl From<Outgoing> for Kept {
    fn from(outgoing: Outgoing) -> Kept {
        outgoing.kept
    }
}

impl From<Kept> for Incoming {
    fn from(kept: Kept) -> Incoming {
        let profile = kept.master.profile();
        let (rtp, rtcp) = (kept.master.for_rtp(), kept.master.for_rtcp());
        Incoming { rtp: Cipher::new(profile, &rtp), rtcp: Cipher::new(profile, &rtcp), kept }
    }
}

impl From<Incoming> for Kept {
    fn from(incoming: Incoming) -> Kept {
        incoming.kept
    }
}

impl Outgoing {
    /// Protects with this key from the first packet on.
    pub fn new(master: MasterKey) -> Outgoing {
        Kept::new(master).into()
    }

    /// The key that it protects with.
    pub fn master(&self) -> &MasterKey {
        &self.kept.master
    }

    /// Protects the RTP packet `buffer[..length]` in place; its new length.
    ///
    /// # Errors
    /// [`SrtpFault`]: no RTP, no room for the tag, a sequence number that was used, or the key is used up.
    pub fn protect(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SrtpFault> {
        let packet = buffer.get(..length).ok_or(SrtpFault::Malformed)?;
        let header = header_length(packet).ok_or(SrtpFault::Malformed)?;
        let (sequence, ssrc) = (be16(packet, 2), be32(packet, 8));
        let (sequence, ssrc) = sequence.zip(ssrc).ok_or(SrtpFault::Malformed)?;
        let mut source = self.kept.source(ssrc);
        let index = source.index_of(sequence);
        if index > INDEX_MAX {
            return Err(SrtpFault::UsedUp);
        }
        // The same key stream over two packets would give both away (RFC 3711 §9.1).
        if !source.rtp.is_new(index) {
            return Err(SrtpFault::Replayed);
        }
        source.rtp.take(index);
        let tag_bytes = self.kept.master.profile().tag_bytes();
        let (packet, room) = buffer.split_at_mut_checked(length).ok_or(SrtpFault::Malformed)?;
        let tag = room.get_mut(..tag_bytes).ok_or(SrtpFault::NoRoom)?;
        let (clear, body) = packet.split_at_mut_checked(header).ok_or(SrtpFault::Malformed)?;
        match &self.rtp {
            Cipher::Counter(cipher) => {
                cipher.scramble(ssrc, index, body);
                cipher.sign([packet, &rounds(index)], tag);
            }
            Cipher::Gcm(cipher) => {
                tag.copy_from_slice(&cipher.seal((ssrc, index), clear, body).ok_or(SrtpFault::UsedUp)?);
            }
        }
        self.kept.keep(source);
        Ok(length + tag_bytes)
    }

    /// Protects the RTCP packet `buffer[..length]` in place; its new length.
    ///
    /// # Errors
    /// [`SrtpFault`]: no RTCP, no room for index and tag, or the key is used up.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SrtpFault> {
        let index = self.kept.rtcp_index;
        let protected = control::protect(&self.rtcp, buffer, length, index)?;
        self.kept.rtcp_index = index + 1;
        Ok(protected)
    }
}

impl Incoming {
    /// Opens what this key protects.
    pub fn new(master: MasterKey) -> Incoming {
        Kept::new(master).into()
    }

    /// The key that it opens.
    pub fn master(&self) -> &MasterKey {
        &self.kept.master
    }

    /// Opens an SRTP packet in place; the length of the RTP packet. Nothing is remembered of what is not authentic.
    ///
    /// # Errors
    /// [`SrtpFault`]: no SRTP, forged, or a replay. The packet's bytes are worth nothing then.
    pub fn open(&mut self, packet: &mut [u8]) -> Result<usize, SrtpFault> {
        let header = header_length(packet).ok_or(SrtpFault::Malformed)?;
        let (sequence, ssrc) = (be16(packet, 2), be32(packet, 8));
        let (sequence, ssrc) = sequence.zip(ssrc).ok_or(SrtpFault::Malformed)?;
        let length = packet.len().checked_sub(self.kept.master.profile().tag_bytes());
        let length = length.filter(|length| *length >= header).ok_or(SrtpFault::Malformed)?;
        let mut source = self.kept.source(ssrc);
        let index = source.index_of(sequence);
        if index > INDEX_MAX || !source.rtp.is_new(index) {
            return Err(SrtpFault::Replayed);
        }
        let (plain, tag) = packet.split_at_mut_checked(length).ok_or(SrtpFault::Malformed)?;
        let is_authentic = match &self.rtp {
            Cipher::Counter(cipher) => {
                let is_signed = cipher.is_signed([plain, &rounds(index)], tag);
                if is_signed && let Some(body) = plain.get_mut(header..) {
                    cipher.scramble(ssrc, index, body);
                }
                is_signed
            }
            Cipher::Gcm(cipher) => {
                let (clear, body) = plain.split_at_mut_checked(header).ok_or(SrtpFault::Malformed)?;
                cipher.open((ssrc, index), clear, body, tag.get(..GCM_TAG_BYTES).unwrap_or_default())
            }
        };
        if !is_authentic {
            return Err(SrtpFault::Forged);
        }
        source.rtp.take(index);
        self.kept.keep(source);
        Ok(length)
    }

    /// Opens an SRTCP packet in place; the length of the RTCP packet.
    ///
    /// # Errors
    /// As [`Incoming::open`].
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpFault> {
        let ssrc = be32(packet, 4).ok_or(SrtpFault::Malformed)?;
        let mut source = self.kept.source(ssrc);
        let index = control::index_of(&self.rtcp, packet).ok_or(SrtpFault::Malformed)?;
        if !source.rtcp.is_new(index.into()) {
            return Err(SrtpFault::Replayed);
        }
        let length = control::open(&self.rtcp, packet)?;
        source.rtcp.take(index.into());
        self.kept.keep(source);
        Ok(length)
    }
}

/// The roll-over counter, as it is authenticated behind a packet (RFC 3711 §4.2).
fn rounds(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}
