//! One source as it is listened to: its jitter buffer, its decoder, and what is heard where nothing came.
//!
//! Packets go in when they come; every 20 ms as much sound comes out, whatever came.

use super::codec::{Decoder, samples_in};
use super::conceal::Concealer;
use super::g711;
use super::jitter::{Content, Counts, Jitter, Next, Wish};
use super::noise::Noise;
use super::packet::{Header, PACKET_BYTES_MAX};
use super::pitch::{self, LAG_MICROS_MAX};
use super::stretch;
use crate::model::{Codec, Moment};

/// What is made up in place of sound fades within this; what is missing beyond it is silence, and nobody is deceived.
const CONCEALED_MICROS_MAX: u64 = 60_000;
/// Ticks from one stretch to the next (100 ms): more often would be heard as a change of the voice.
const STRETCH_EVERY: u32 = 5;

/// A source's sound, in step with the listener's clock.
#[derive(Debug)]
pub struct Playout {
    codec: Codec,
    jitter: Jitter,
    decoder: Decoder,
    concealer: Concealer,
    /// The far end says that it is quiet, and how that sounds.
    noise: Option<Noise>,
    /// Decoded and not yet played.
    waiting: Vec<i16>,
    ticks_since_stretch: u32,
    /// Made up since the last sound.
    concealing_micros: u64,
    /// Made up in all.
    concealed_micros: u64,
}

impl Playout {
    /// For a source that speaks `codec`.
    pub fn new(codec: Codec) -> Playout {
        Playout {
            codec,
            jitter: Jitter::new(codec.clock_rate()),
            decoder: Decoder::new(codec),
            concealer: Concealer::new(codec.sample_rate()),
            noise: None,
            waiting: Vec::new(),
            ticks_since_stretch: 0,
            // Before the first sound there is nothing to make any of.
            concealing_micros: CONCEALED_MICROS_MAX,
            concealed_micros: 0,
        }
    }

    /// What the source speaks.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Takes a packet of sound in `codec`: the source's own, or the other law of G.711, which a far end may change to
    /// (RFC 3264 §6.1). Any other is left.
    pub fn put(&mut self, header: &Header, (codec, payload): (Codec, &[u8]), arrival: Moment) {
        if codec == self.codec {
            return self.jitter.put(header, (Content::Sound, payload), arrival);
        }
        if let (Some(from), Some(to)) = (g711::Law::of(codec), g711::Law::of(self.codec)) {
            let mut other = [0; PACKET_BYTES_MAX];
            let length = g711::transcode(from, to, payload, &mut other);
            self.jitter.put(header, (Content::Sound, other.get(..length).unwrap_or_default()), arrival);
        }
    }

    /// Takes a packet of comfort noise.
    pub fn put_noise(&mut self, header: &Header, payload: &[u8], arrival: Moment) {
        self.jitter.put(header, (Content::Noise, payload), arrival);
    }

    /// Fills `out`, 20 ms at the codec's sample rate, for the tick at `now`.
    pub fn take(&mut self, now: Moment, out: &mut [i16]) {
        while self.waiting.len() < out.len() {
            self.decode_next(out.len());
        }
        self.stretch(out.len());
        let played = out.len();
        for (sample, waiting) in out.iter_mut().zip(self.waiting.drain(..played)) {
            *sample = waiting;
        }
        self.jitter.tick(now);
    }

    /// What happened to the source's packets here.
    pub fn counts(&self) -> Counts {
        self.jitter.counts()
    }

    /// Sound that was made up in place of what was missing, in milliseconds.
    pub fn concealed_ms(&self) -> u64 {
        self.concealed_micros / 1000
    }

    /// The delay that waiting adds at present, in microseconds.
    pub fn delay_micros(&self) -> i64 {
        self.jitter.delay_micros()
    }

    /// Samples in a unit of the RTP clock: two in G.722 (RFC 3551 §4.5.2).
    fn grain(&self) -> usize {
        (self.codec.sample_rate() / self.codec.clock_rate()).max(1) as usize
    }

    /// Adds the next packet's sound, or makes up what is missing of `wanted` samples.
    fn decode_next(&mut self, wanted: usize) {
        let (grain, before) = (self.grain(), self.waiting.len());
        match self.jitter.pull() {
            Next::Sound { payload, skip } => {
                self.waiting.resize(before + samples_in(self.codec, payload), 0);
                let (_, room) = self.waiting.split_at_mut(before);
                let decoded = self.decoder.decode(payload, room);
                let skipped = usize::try_from(skip).unwrap_or(0).saturating_mul(grain).min(decoded);
                self.waiting.truncate(before + decoded);
                self.waiting.drain(before..before + skipped);
                if skipped == decoded {
                    return self.jitter.count_late();
                }
                self.noise = None;
                self.concealing_micros = 0;
                self.concealer.join(self.waiting.get_mut(before..).unwrap_or_default());
                self.jitter.give(((decoded - skipped) / grain) as i64);
            }
            Next::Noise(payload) => {
                let heard = Noise::read(payload);
                self.noise = match (heard, &self.noise) {
                    (Some(heard), Some(before)) => Some(heard.follow(before)),
                    (heard, _) => heard,
                };
            }
            Next::Gap { units, then } => {
                let missing = usize::try_from(units).unwrap_or(usize::MAX).saturating_mul(grain);
                let length = missing.min(wanted - before);
                self.waiting.resize(wanted.min(before + length), 0);
                let (_, room) = self.waiting.split_at_mut(before);
                if let Some(noise) = &mut self.noise {
                    noise.fill(room);
                    return self.jitter.give((length / grain) as i64);
                }
                if self.decoder.conceal(length, then.filter(|_| missing == length), room) == length {
                    self.concealer.join(room);
                } else {
                    self.concealer.fill(room);
                }
                self.count_concealed(length);
                self.jitter.give((length / grain) as i64);
            }
        }
    }

    fn count_concealed(&mut self, samples: usize) {
        let micros = samples as u64 * 1_000_000 / u64::from(self.codec.sample_rate());
        let counted = micros.min(CONCEALED_MICROS_MAX.saturating_sub(self.concealing_micros));
        self.concealing_micros += counted;
        self.concealed_micros += counted;
    }

    /// Makes what waits shorter or longer, when the jitter buffer wishes it and a place is found; `played` samples stay.
    fn stretch(&mut self, played: usize) {
        self.ticks_since_stretch += 1;
        let wish = self.jitter.wish();
        if self.ticks_since_stretch < STRETCH_EVERY || wish == Wish::Keep {
            return;
        }
        let (rate, grain) = (self.codec.sample_rate(), self.grain());
        let units = match wish {
            Wish::Keep => 0,
            Wish::Longer => -(stretch::lengthen(&mut self.waiting, rate, grain) as i64),
            Wish::Shorter => {
                let needed = played + pitch::samples(LAG_MICROS_MAX, rate);
                while self.waiting.len() < needed && self.jitter.is_ready() {
                    self.decode_next(0);
                }
                if self.waiting.len() < needed {
                    return;
                }
                stretch::shorten(&mut self.waiting, rate, grain) as i64
            }
        };
        if units != 0 {
            self.ticks_since_stretch = 0;
            self.jitter.stretched(units / grain as i64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{Encoder, packet_samples};
    use super::*;
    use crate::model::Chance;

    const HERTZ: f64 = 400.0;
    const AMPLITUDE: f64 = 8000.0;

    /// A far end that says a tone, and the line to here.
    struct Source {
        codec: Codec,
        ptime_ms: u64,
        /// Its clock runs so much faster than ours, in parts of a million.
        skew_ppm: f64,
        chance: Chance,
        jitter_micros: u64,
        loss: f64,
    }

    impl Source {
        fn new(codec: Codec, ptime_ms: u64) -> Source {
            Source { codec, ptime_ms, skew_ppm: 0.0, chance: Chance::from_number(3), jitter_micros: 0, loss: 0.0 }
        }

        /// Arrival, header and payload of all packets of `seconds`, in the order in which they come.
        fn packets(&mut self, seconds: u64) -> Vec<(u64, Header, Vec<u8>)> {
            let samples = self.codec.sample_rate() as u64 * self.ptime_ms / 1000;
            let step = std::f64::consts::TAU * HERTZ / f64::from(self.codec.sample_rate());
            let mut encoder = Encoder::new(self.codec);
            let mut packets = Vec::new();
            for n in 0..seconds * 1000 / self.ptime_ms {
                let tone = |at: u64| (AMPLITUDE * (step * at as f64).sin()) as i16;
                let pcm: Vec<i16> = (n * samples..(n + 1) * samples).map(tone).collect();
                let mut payload = vec![0; 1500];
                let length = encoder.encode(&pcm, &mut payload);
                payload.truncate(length);
                let sent = (n * self.ptime_ms * 1000) as f64 / (1.0 + self.skew_ppm / 1e6);
                let late = self.chance.below(self.jitter_micros + 1);
                let header = Header {
                    sequence: (60_000 + n) as u16,
                    timestamp: (n * self.ptime_ms * u64::from(self.codec.clock_rate()) / 1000) as u32,
                    ..Header::default()
                };
                if self.chance.fraction() >= self.loss {
                    packets.push((1_003_000 + sent as u64 + late, header, payload));
                }
            }
            packets.sort_by_key(|(at, ..)| *at);
            packets
        }
    }

    struct Heard {
        concealed_ms: u64,
        pcm: Vec<i16>,
        /// In microseconds, at each tick after the first second.
        delays: Vec<i64>,
        counts: Counts,
    }

    fn listen(source: &mut Source, seconds: u64) -> Heard {
        let mut playout = Playout::new(source.codec);
        // A second more, for a fast source is done early.
        let mut packets = source.packets(seconds + 1).into_iter().peekable();
        let mut out = vec![0; packet_samples(source.codec)];
        let (mut pcm, mut delays) = (Vec::new(), Vec::new());
        for tick in 0..seconds * 50 {
            let now = 1_000_000 + tick * 20_000;
            while let Some((at, header, payload)) = packets.next_if(|(at, ..)| *at <= now) {
                playout.put(&header, (source.codec, &payload), Moment(at));
            }
            playout.take(Moment(now), &mut out);
            pcm.extend_from_slice(&out);
            if tick >= 50 {
                delays.push(playout.delay_micros());
            }
        }
        Heard { concealed_ms: playout.concealed_ms(), pcm, delays, counts: playout.counts() }
    }

    /// The amplitude of the tone in a part.
    fn amplitude(pcm: &[i16], rate: u32) -> f64 {
        let step = std::f64::consts::TAU * HERTZ / f64::from(rate);
        let (sine, cosine) = pcm.iter().enumerate().fold((0.0, 0.0), |(s, c), (n, sample)| {
            let (at, sample) = (step * n as f64, f64::from(*sample));
            (s + sample * at.sin(), c + sample * at.cos())
        });
        2.0 * sine.hypot(cosine) / pcm.len() as f64
    }

    /// Parts of 20 ms, from the second second on, in which the tone is not heard as loud as it was said.
    fn faint(heard: &Heard, codec: Codec) -> usize {
        let rate = codec.sample_rate();
        let parts = heard.pcm.chunks(packet_samples(codec)).skip(50);
        parts.filter(|part| !(0.8..1.2).contains(&(amplitude(part, rate) / AMPLITUDE))).count()
    }

    /// The largest second difference after the first second: a click is far above a tone's own.
    fn roughness(pcm: &[i16], rate: u32) -> f64 {
        let kept = pcm.get(rate as usize..).unwrap_or_default();
        kept.windows(3).map(|w| (f64::from(w[0]) - 2.0 * f64::from(w[1]) + f64::from(w[2])).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn packets_of_any_length_are_heard_without_a_hole() {
        for codec in [Codec::Pcma, Codec::Pcmu, Codec::G722, Codec::Opus] {
            for ptime_ms in [10, 20, 30, 40, 60] {
                if codec == Codec::Opus && ptime_ms == 30 {
                    continue;
                }
                let heard = listen(&mut Source::new(codec, ptime_ms), 4);
                assert_eq!(faint(&heard, codec), 0, "{codec:?} {ptime_ms} ms");
                assert_eq!(heard.counts, Counts::default(), "{codec:?} {ptime_ms} ms");
            }
        }
    }

    #[test]
    fn over_an_hour_with_clocks_100_ppm_apart_nothing_drifts_or_clicks() {
        for skew_ppm in [100.0, -100.0] {
            let heard = listen(&mut Source { skew_ppm, ..Source::new(Codec::Pcma, 20) }, 3600);
            assert_eq!((faint(&heard, Codec::Pcma), heard.counts), (0, Counts::default()), "{skew_ppm}");
            let (least, most) = (heard.delays.iter().min(), heard.delays.iter().max());
            assert!(least >= Some(&10_000) && most <= Some(&60_000), "{skew_ppm}: {least:?} to {most:?}");
            // The tone's own is 788, and what G.711 adds below 700.
            let rough = roughness(&heard.pcm, 8000);
            assert!(rough < 1600.0, "{skew_ppm}: {rough}");
        }
    }

    #[test]
    fn a_wide_band_s_clock_may_be_fast_or_slow_as_well() {
        for skew_ppm in [500.0, -500.0] {
            for codec in [Codec::G722, Codec::Opus] {
                let heard = listen(&mut Source { skew_ppm, ..Source::new(codec, 20) }, 120);
                assert_eq!((faint(&heard, codec), heard.counts), (0, Counts::default()), "{codec:?} {skew_ppm}");
                assert!(heard.delays.iter().all(|d| (10_000..=60_000).contains(d)), "{codec:?} {skew_ppm}");
            }
        }
    }

    #[test]
    fn of_50_ms_jitter_little_is_heard_once_the_delay_has_grown() {
        let mut source = Source { jitter_micros: 50_000, ..Source::new(Codec::Pcma, 20) };
        let heard = listen(&mut source, 60);
        // 3000 packets; those reordered come in time.
        assert!(heard.counts.late <= 30 && heard.counts.cut == 0, "{:?}", heard.counts);
        assert!(faint(&heard, Codec::Pcma) <= 60, "{}", faint(&heard, Codec::Pcma));
        assert!(heard.delays.iter().all(|delay| *delay <= 150_000));
    }

    #[test]
    fn losses_of_5_percent_are_concealed_and_the_delay_stays_small() {
        let mut source = Source { loss: 0.05, ..Source::new(Codec::Pcma, 20) };
        let heard = listen(&mut source, 60);
        assert_eq!(heard.counts, Counts::default());
        assert!(faint(&heard, Codec::Pcma) <= 75, "of 150 losses: {}", faint(&heard, Codec::Pcma));
        // 150 packets of 20 ms are lost, more or less.
        assert!((2400..3600).contains(&heard.concealed_ms), "{} ms", heard.concealed_ms);
        assert!(heard.delays.iter().all(|delay| *delay <= 60_000));
    }

    #[test]
    fn jitter_that_is_over_is_paid_for_no_longer() {
        let mut source = Source { jitter_micros: 100_000, ..Source::new(Codec::Pcma, 20) };
        let mut packets = source.packets(30);
        packets[500..].sort_by_key(|(_, header, _)| header.timestamp);
        for (n, packet) in packets.iter_mut().enumerate().skip(500) {
            packet.0 = 1_003_000 + n as u64 * 20_000;
        }
        packets.sort_by_key(|(at, ..)| *at);
        let mut playout = Playout::new(Codec::Pcma);
        let mut packets = packets.into_iter().peekable();
        let mut highest = 0;
        for tick in 0..1500u64 {
            let now = 1_000_000 + tick * 20_000;
            while let Some((at, header, payload)) = packets.next_if(|(at, ..)| *at <= now) {
                playout.put(&header, (Codec::Pcma, &payload), Moment(at));
            }
            playout.take(Moment(now), &mut [0; 160]);
            highest = if tick < 500 { playout.delay_micros().max(highest) } else { highest };
        }
        assert!(highest > 90_000 && playout.delay_micros() < 60_000, "{highest}, {}", playout.delay_micros());
    }

    #[test]
    fn comfort_noise_is_heard_until_the_voice_returns() {
        let mut playout = Playout::new(Codec::Pcma);
        let mut pcm = Vec::new();
        for n in 0..100u32 {
            let now = Moment(1_000_000 + u64::from(n) * 20_000);
            let header = Header { sequence: n as u16, timestamp: n * 160, ..Header::default() };
            match n {
                0..20 => playout.put(&header, (Codec::Pcma, &[0x2a; 160]), now),
                20 => playout.put_noise(&header, &[40], now),
                70.. => playout.put(&Header { sequence: n as u16 - 49, ..header }, (Codec::Pcma, &[0x2a; 160]), now),
                21..70 => {}
            }
            let mut out = [0; 160];
            playout.take(now, &mut out);
            pcm.push(out);
        }
        let level = |out: &[i16; 160]| (out.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / 160.0).sqrt();
        // -40 dBov is an RMS of 328.
        assert!(pcm[25..65].iter().all(|out| (230.0..430.0).contains(&level(out))));
        assert!(pcm[75..].iter().all(|out| level(out) > 20_000.0));
        assert_eq!((playout.counts(), playout.concealed_ms()), (Counts::default(), 0));
    }
}
