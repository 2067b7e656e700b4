//! A recording keeps the widest band that was spoken, and every leg in its place.

use super::*;
use crate::rtp::codec::{Encoder, packet_samples};

/// Bursts of a tone, 500 ms on and 500 ms off, as a leg's frames.
fn push_bursts(world: &World, ring: &mut RingWriter, (leg, codec, hertz): (u16, Codec, f64), frames: u32) {
    let (mut encoder, mut payload) = (Encoder::new(codec), [0; 1500]);
    let (length, rate) = (packet_samples(codec), f64::from(codec.sample_rate()));
    for number in 0..frames {
        let is_on = number % 50 >= 25;
        let at = |n: usize| {
            let turn = (number as usize * length + n) as f64 * hertz / rate * std::f64::consts::TAU;
            if is_on { (turn.sin() * 8000.0) as i16 } else { 0 }
        };
        let pcm: Vec<i16> = (0..length).map(at).collect();
        let bytes = encoder.encode(&pcm, &mut payload);
        assert!(ring.push(&Frame {
            call: world.call,
            leg,
            number,
            codec,
            kind: FrameKind::Audio,
            rtp_sequence: number as u16,
            rtp_timestamp: (u32::MAX - 5000).wrapping_add(number * codec.clock_rate() / 50),
            ssrc: u32::from(leg) + 1,
            marker: number == 0,
            arrival: world.begin.moment + Duration::from_millis(u64::from(number) * 20),
            payload: &payload[..bytes],
        }));
    }
    ring.flush().expect("written");
}

fn share_at(rate: u32, hertz: f64, samples: &[i16]) -> f64 {
    share_of(hertz * 8000.0 / f64::from(rate), samples)
}

#[test]
fn the_widest_codec_gives_the_rate_and_each_tone_is_where_it_was_said() {
    for (other, hertz, rate) in
        [(Codec::Pcmu, 1000.0, 8000), (Codec::G722, 5000.0, 16_000), (Codec::Opus, 5000.0, 48_000)]
    {
        let world = World::new();
        let mut running = world.start(1 << 20);
        world.begin(&running);
        push_bursts(&world, &mut running.ring, (0, Codec::Pcma, 440.0), 200);
        push_bursts(&world, &mut running.ring, (1, other, hertz), 200);
        world.finish(&running, 4000);
        let sealed = running.sealed();
        running.recorder.stop();
        assert!((3990..4010).contains(&sealed.duration_ms), "{other:?}: {} ms", sealed.duration_ms);
        let wav = hound::WavReader::open(world.in_folder(AUDIO_FILE)).expect("a WAV");
        assert_eq!((wav.spec().sample_rate, world.sidecar().vigie.gaps.len()), (rate, 0), "{other:?}");
        let samples = world.samples();
        for (side, hertz) in samples.iter().zip([440.0, hertz]) {
            let ms = |from: usize, to: usize| &side[from * rate as usize / 1000..to * rate as usize / 1000];
            for second in 0..4 {
                let share = share_at(rate, hertz, ms(second * 1000 + 520, second * 1000 + 980));
                assert!(share > 0.9, "{other:?}, {hertz} Hz in second {second}: {share}");
                let loudest = ms(second * 1000 + 30, second * 1000 + 490).iter().map(|s| s.unsigned_abs()).max();
                assert!(loudest < Some(400), "{other:?}, {hertz} Hz: {loudest:?} where nothing was said");
            }
        }
    }
}
