//! Opus as a telephone needs it (RFC 7587): mono, speech, 48,000 samples a second, with a copy of the packet before.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ropus::{Application, Bitrate, Channels, DecodeMode, InbandFec};

/// Samples a second, as the RTP clock counts.
const RATE_HZ: u32 = 48_000;
/// Speech up to 12 kHz with room for the copy (RFC 7587 §3.1.1 advises 28 to 40 kbit/s).
const BITS_PER_SECOND: u32 = 32_000;
/// The loss that the encoder prepares for: from it follows how much of a packet is the copy.
const LOSS_EXPECTED_PERCENT: u8 = 5;
/// How hard the encoder tries, 0 to 10: half the time of the best, for a loss that no telephone lets hear.
const COMPLEXITY: u8 = 5;
/// The shortest piece that a decoder makes up (RFC 6716 §2.1.4): 2.5 ms.
const PIECE: usize = RATE_HZ as usize / 400;

/// Samples that a packet stands for (RFC 6716 §3.1 and §3.2), 0 when it is none.
pub(super) fn samples_in(packet: &[u8]) -> usize {
    let Some(toc) = packet.first() else { return 0 };
    let config = usize::from(toc >> 3);
    // In pieces of 2.5 ms: SILK 10 to 60 ms, hybrid 10 and 20, CELT 2.5 to 20.
    let pieces = match config {
        0..=11 => [4, 8, 16, 24].get(config % 4),
        12..=15 => [4, 8].get(config % 2),
        _ => [1, 2, 4, 8].get(config % 4),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(0, |count| usize::from(count & 0x3f)),
    };
    let samples = pieces.copied().unwrap_or(0) * PIECE * frames;
    if samples <= super::SAMPLES_MAX { samples } else { 0 }
}

/// `None` when the library refused to begin: then nothing is ever decoded.
pub(super) struct Decoder(Option<ropus::Decoder>);

impl Decoder {
    pub(super) fn new() -> Decoder {
        Decoder(ropus::Decoder::new(RATE_HZ, Channels::Mono).ok())
    }

    pub(super) fn decode(&mut self, packet: &[u8], pcm: &mut [i16]) -> usize {
        let samples = samples_in(packet);
        if samples == 0 || pcm.len() < samples {
            return 0;
        }
        self.run(packet, pcm.get_mut(..samples), DecodeMode::Normal)
    }

    pub(super) fn conceal(&mut self, samples: usize, next: Option<&[u8]>, pcm: &mut [i16]) -> usize {
        let samples = samples.min(pcm.len()) / PIECE * PIECE;
        if samples == 0 {
            return 0;
        }
        let (packet, mode) = match next.filter(|next| samples_in(next) > 0) {
            Some(next) => (next, DecodeMode::Fec),
            None => (&[][..], DecodeMode::Normal),
        };
        self.run(packet, pcm.get_mut(..samples), mode)
    }

    /// A packet is a stranger's work, and the library has unchecked places: should one of them panic, that leg begins
    /// anew, and the thread that carries hundreds of others goes on.
    fn run(&mut self, packet: &[u8], pcm: Option<&mut [i16]>, mode: DecodeMode) -> usize {
        let (Some(decoder), Some(pcm)) = (self.0.as_mut(), pcm) else { return 0 };
        match catch_unwind(AssertUnwindSafe(|| decoder.decode(packet, pcm, mode))) {
            Ok(decoded) => decoded.unwrap_or(0),
            Err(_) => {
                *self = Decoder::new();
                0
            }
        }
    }
}

/// `None` when the library refused to begin: then nothing is ever encoded.
pub(super) struct Encoder(Option<ropus::Encoder>);

impl Encoder {
    pub(super) fn new() -> Encoder {
        let encoder = ropus::Encoder::builder(RATE_HZ, Channels::Mono, Application::Voip)
            .bitrate(Bitrate::Bits(BITS_PER_SECOND))
            .complexity(COMPLEXITY)
            .inband_fec(InbandFec::Enabled)
            .packet_loss_perc(LOSS_EXPECTED_PERCENT)
            .build();
        Encoder(encoder.ok())
    }

    pub(super) fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        self.0.as_mut().and_then(|encoder| encoder.encode(pcm, out).ok()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::samples_in;

    #[test]
    fn a_packets_first_byte_tells_its_length() {
        for (packet, ms_10) in [
            (&[][..], 0),
            (&[0x00], 100),
            (&[0x18], 600),
            (&[0x60], 100),
            (&[0x68, 1, 2], 200),
            (&[0x80], 25),
            (&[0x98], 200),
            (&[0x99], 400),
            (&[0x9b, 3], 600),
            (&[0x9b], 0),
            (&[0x9b, 0], 0),
            (&[0x1b, 3], 0),
        ] {
            assert_eq!(samples_in(packet), ms_10 * 48 / 10, "{packet:x?}");
        }
    }
}
