//! What one leg is made to hear that nobody sent as it is: sounds and mixes, resampled and encoded for it.

use crate::model::Codec;
use crate::rtp::codec::{Encoder, Resampler, packet_samples};

/// The most samples of 20 ms: Opus's.
const PACKET_SAMPLES_MAX: usize = 960;

/// The encoder of one leg's own stream; kept from packet to packet, because codecs remember.
#[derive(Debug)]
pub(super) struct Speech {
    codec: Codec,
    encoder: Encoder,
    rate_hz: u32,
    resampler: Resampler,
}

impl Speech {
    /// For a leg with `codec`, from samples at `rate_hz`.
    pub(super) fn new(codec: Codec, rate_hz: u32) -> Speech {
        let resampler = Resampler::new(rate_hz, codec.sample_rate());
        Speech { codec, encoder: Encoder::new(codec), rate_hz, resampler }
    }

    /// Whether it is for such samples and such a codec.
    pub(super) fn fits(&self, codec: Codec, rate_hz: u32) -> bool {
        self.codec == codec && self.rate_hz == rate_hz
    }

    /// Encodes 20 ms into `out`; the bytes of the payload.
    pub(super) fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        if self.rate_hz == self.codec.sample_rate() {
            return self.encoder.encode(pcm, out);
        }
        let mut resampled = [0; PACKET_SAMPLES_MAX];
        self.resampler.resample(pcm, &mut resampled);
        let wanted = resampled.get(..packet_samples(self.codec)).unwrap_or_default();
        self.encoder.encode(wanted, out)
    }
}
