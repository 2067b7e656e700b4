//! RTP as pure values: packets, RTCP, codecs, telephone-event, reception statistics.

pub mod codec;
pub mod conceal;
pub mod dtmf;
pub mod g711;
pub mod jitter;
pub mod losses;
mod margins;
pub mod mos;
pub mod noise;
pub mod packet;
pub mod pitch;
pub mod playout;
pub mod reception;
pub mod rtcp;
pub mod srtp;
pub mod stretch;
pub mod tones;

/// Samples a second of G.711: also its RTP clock rate (RFC 3551 §4.5.14).
pub const CLOCK_RATE: u32 = 8000;

/// Samples, and bytes of G.711, in the 20 ms packet that Vigie makes (RFC 3551 §4.2).
pub const PACKET_SAMPLES: usize = 160;
