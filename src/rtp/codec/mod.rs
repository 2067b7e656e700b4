//! Sound to payloads and back: one decoder for what a leg says, one encoder for what it hears, and resampling between.
//!
//! All but G.711 remember what went before, so each leg has its own.

mod opus;
mod resampler;

use audio_codec::g722::{G722Decoder, G722Encoder};
use audio_codec::{Decoder as _, Encoder as _};

pub use resampler::Resampler;

use super::g711::{self, Law};
use crate::model::Codec;

/// The most samples that one payload holds: 120 ms of Opus (RFC 6716 §3.2.5). Room for so many is always enough.
pub const SAMPLES_MAX: usize = 5760;

/// Samples in the 20 ms packet that Vigie makes.
pub fn packet_samples(codec: Codec) -> usize {
    codec.sample_rate() as usize / 50
}

/// Samples that `payload` stands for, at the codec's own rate; 0 when it is none of the codec's. Nothing is decoded.
pub fn samples_in(codec: Codec, payload: &[u8]) -> usize {
    match codec {
        Codec::Pcma | Codec::Pcmu => payload.len(),
        Codec::G722 => payload.len() * 2,
        Codec::Opus => opus::samples_in(payload),
    }
}

/// The same in units of the codec's RTP clock: as far as its next packet's timestamp lies ahead.
pub fn clock_units_in(codec: Codec, payload: &[u8]) -> u32 {
    match codec {
        Codec::Pcma | Codec::Pcmu | Codec::G722 => payload.len() as u32,
        Codec::Opus => opus::samples_in(payload) as u32,
    }
}

/// What a codec remembers, one way: nothing, `A` or `B`.
enum Coding<A, B> {
    G711(Law),
    G722(Box<A>),
    Opus(Box<B>),
}

impl<A, B> Coding<A, B> {
    fn new(codec: Codec, g722: fn() -> A, opus: fn() -> B) -> Coding<A, B> {
        match codec {
            Codec::Pcma => Coding::G711(Law::A),
            Codec::Pcmu => Coding::G711(Law::Mu),
            Codec::G722 => Coding::G722(Box::new(g722())),
            Codec::Opus => Coding::Opus(Box::new(opus())),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Coding::G711(_) => "G.711",
            Coding::G722(_) => "G.722",
            Coding::Opus(_) => "Opus",
        }
    }
}

/// Payloads of one source to samples at [`Codec::sample_rate`].
pub struct Decoder(Coding<G722Decoder, opus::Decoder>);

impl Decoder {
    /// Begins with silence.
    pub fn new(codec: Codec) -> Decoder {
        Decoder(Coding::new(codec, G722Decoder::new, opus::Decoder::new))
    }

    /// Decodes the next payload into `pcm`; the samples written, 0 when the payload is of no use. What is more than
    /// `pcm` holds is left out: see [`SAMPLES_MAX`].
    pub fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> usize {
        match &mut self.0 {
            Coding::G711(law) => {
                pcm.iter_mut().zip(payload).for_each(|(sample, code)| *sample = g711::decode(*law, *code));
                payload.len().min(pcm.len())
            }
            Coding::G722(decoder) => {
                let payload = payload.get(..pcm.len() / 2).unwrap_or(payload);
                decoder.decode_into(payload, pcm).unwrap_or(0)
            }
            Coding::Opus(decoder) => decoder.decode(payload, pcm),
        }
    }

    /// Makes up for a packet of `samples` samples that never came; the samples written. `next` is the payload that
    /// follows it, when that is there: Opus keeps a copy of the packet before in it (RFC 6716 §2.1.7). G.711 and G.722
    /// know nothing of loss and write none: whoever plays repeats what was heard.
    pub fn conceal(&mut self, samples: usize, next: Option<&[u8]>, pcm: &mut [i16]) -> usize {
        match &mut self.0 {
            Coding::G711(_) | Coding::G722(_) => 0,
            Coding::Opus(decoder) => decoder.conceal(samples, next, pcm),
        }
    }
}

/// Samples at [`Codec::sample_rate`] to payloads for one listener.
pub struct Encoder(Coding<G722Encoder, opus::Encoder>);

impl Encoder {
    /// Begins with silence.
    pub fn new(codec: Codec) -> Encoder {
        Encoder(Coding::new(codec, G722Encoder::new, opus::Encoder::new))
    }

    /// Encodes samples into one payload; its bytes, 0 when `out` is too small or, for Opus, `pcm` is not 2.5, 5, 10,
    /// 20, 40 or 60 ms long.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        match &mut self.0 {
            Coding::G711(law) if pcm.len() <= out.len() => {
                out.iter_mut().zip(pcm).for_each(|(code, sample)| *code = g711::encode(*law, *sample));
                pcm.len()
            }
            Coding::G711(_) => 0,
            Coding::G722(encoder) => encoder.encode_into(pcm, out).unwrap_or(0),
            Coding::Opus(encoder) => encoder.encode(pcm, out),
        }
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decoder({})", self.0.name())
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoder({})", self.0.name())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `seconds` of a tone at the codec's rate.
    fn tone(codec: Codec, hertz: f64, seconds: usize) -> Vec<i16> {
        let rate = codec.sample_rate() as usize;
        let at = |n: usize| (n as f64 * hertz / rate as f64 * std::f64::consts::TAU).sin() * 8000.0;
        (0..rate * seconds).map(|n| at(n) as i16).collect()
    }

    fn through(codec: Codec, sound: &[i16]) -> (Vec<i16>, usize) {
        let (mut encoder, mut decoder) = (Encoder::new(codec), Decoder::new(codec));
        let (mut payload, mut pcm) = ([0; 1500], [0; SAMPLES_MAX]);
        let (mut heard, mut bytes) = (Vec::new(), 0);
        for packet in sound.chunks(packet_samples(codec)) {
            let length = encoder.encode(packet, &mut payload);
            assert_eq!(samples_in(codec, &payload[..length]), packet.len(), "{codec:?}");
            let samples = decoder.decode(&payload[..length], &mut pcm);
            assert_eq!(samples, packet.len(), "{codec:?}");
            heard.extend_from_slice(&pcm[..samples]);
            bytes += length;
        }
        (heard, bytes)
    }

    /// Signal to noise in dB over the second half, at the delay that suits best.
    fn signal_to_noise_db(said: &[i16], heard: &[i16]) -> f64 {
        let begin = said.len() / 2;
        let noise = |delay: usize| -> f64 {
            let pairs = said[begin - delay..].iter().zip(&heard[begin..]);
            pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
        };
        let signal: f64 = said[begin..].iter().map(|a| f64::from(*a).powi(2)).sum();
        let least = (0..600).map(noise).fold(f64::MAX, f64::min);
        10.0 * (signal / least.max(1.0)).log10()
    }

    #[test]
    fn a_tone_comes_through_every_codec_as_it_was() {
        for (codec, hertz, least_db, bytes_a_second) in [
            (Codec::Pcma, 1000.0, 35.0, 8000..8001),
            (Codec::Pcmu, 1000.0, 35.0, 8000..8001),
            (Codec::G722, 1000.0, 25.0, 8000..8001),
            (Codec::G722, 6000.0, 15.0, 8000..8001),
            (Codec::Opus, 1000.0, 12.0, 1000..6000),
            (Codec::Opus, 6000.0, 8.0, 1000..6000),
        ] {
            let said = tone(codec, hertz, 2);
            let (heard, bytes) = through(codec, &said);
            let db = signal_to_noise_db(&said, &heard);
            assert!(db >= least_db, "{codec:?} {hertz} Hz: {db:.1} dB");
            assert!(bytes_a_second.contains(&(bytes / 2)), "{codec:?}: {bytes} bytes in 2 s");
        }
    }

    #[test]
    fn opus_makes_up_for_a_lost_packet_best_from_the_one_after_it() {
        // A tone that grows louder, so that what is guessed differs from what was said.
        let said: Vec<i16> = (0..96_000).map(|n| ((n as f64 * 0.04).sin() * n as f64 * 0.2) as i16).collect();
        let (mut encoder, mut payload) = (Encoder::new(Codec::Opus), [0; 1500]);
        let packets: Vec<Vec<u8>> = said
            .chunks(960)
            .map(|packet| {
                let length = encoder.encode(packet, &mut payload);
                payload[..length].to_vec()
            })
            .collect();
        for next in [None, packets.get(61)] {
            let (mut decoder, mut pcm) = (Decoder::new(Codec::Opus), [0; SAMPLES_MAX]);
            for packet in &packets[..60] {
                decoder.decode(packet, &mut pcm);
            }
            assert_eq!(decoder.conceal(960, next.map(Vec::as_slice), &mut pcm), 960);
            let loudest = pcm[..960].iter().map(|s| s.unsigned_abs()).max();
            assert!(loudest > Some(3000), "{loudest:?}");
        }
    }

    #[test]
    fn g722_speaks_bit_for_bit_as_the_telephones_library_does() {
        // What Debian's libspandsp2 (in baresip and FreeSWITCH) makes of the same samples: the end of them, for the two
        // begin with other step sizes, which the codec forgets within some milliseconds.
        let said: Vec<i16> = (0..1280i64).map(|n| (((n * n * 7 + n * 131) % 4001 - 2000) * 8) as i16).collect();
        let mut coded = [0; 640];
        assert_eq!(Encoder::new(Codec::G722).encode(&said, &mut coded), 640);
        let bytes = |text: u128| text.to_be_bytes();
        assert_eq!(coded[624..], bytes(0x6b1d0eaa8b311c52ac926d311e16155a));
    }

    #[test]
    fn what_is_too_small_to_write_into_is_no_panic() {
        for codec in Codec::ALL {
            let (mut encoder, mut decoder) = (Encoder::new(codec), Decoder::new(codec));
            let mut payload = [0; 1500];
            assert_eq!(encoder.encode(&tone(codec, 500.0, 1)[..packet_samples(codec)], &mut []), 0);
            let length = encoder.encode(&tone(codec, 500.0, 1)[..packet_samples(codec)], &mut payload);
            assert!(decoder.decode(&payload[..length], &mut [0; 7]) <= 7);
            assert_eq!(decoder.decode(&[], &mut [0; 7]), 0);
        }
    }

    proptest! {
        #[test]
        fn no_payload_panics(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 1..12)) {
            for codec in Codec::ALL {
                let (mut decoder, mut pcm) = (Decoder::new(codec), [0; SAMPLES_MAX]);
                for payload in &payloads {
                    prop_assert!(decoder.decode(payload, &mut pcm) <= SAMPLES_MAX);
                    prop_assert!(decoder.conceal(960, Some(payload), &mut pcm) <= SAMPLES_MAX);
                }
            }
        }
    }
}
