//! Three and more parties, and two with different codecs, over real sockets: who hears whom is told by the pitch of each voice.

use super::*;
use crate::model::{MIX_LEGS_MAX, MixedLeg};
use crate::rtp::codec::{Decoder, Encoder, samples_in};

/// The pitch of each party's voice.
const PITCHES: [f64; 4] = [400.0, 700.0, 1100.0, 1700.0];
const AMPLITUDE: f64 = 5000.0;

/// A far end that says a tone and listens.
pub(super) struct Voice {
    pub(super) peer: Peer,
    pub(super) to: SocketAddr,
    pitch: f64,
    ptime_ms: u64,
    /// Its clock runs so much faster than ours, in parts of a million.
    skew_ppm: f64,
    encoder: Encoder,
    decoder: Decoder,
    said: u64,
    heard: Vec<i16>,
    packets: usize,
}

/// The way between: what it loses, and how much later each packet comes.
struct Line {
    loss: f64,
    jitter_micros: u64,
    chance: Chance,
}

impl Voice {
    pub(super) fn new(bench: &Bench, number: u16, codec: Codec) -> Voice {
        let peer = Peer::new(HERE, codec);
        peer.rtp.set_nonblocking(true).expect("set");
        let to = bench.open(number);
        bench.aim(number, peer.remote());
        let pitch = PITCHES[number as usize % PITCHES.len()];
        let (encoder, decoder) = (Encoder::new(codec), Decoder::new(codec));
        Voice { peer, to, pitch, ptime_ms: 20, skew_ppm: 0.0, encoder, decoder, said: 0, heard: Vec::new(), packets: 0 }
    }

    fn rate(&self) -> u32 {
        self.peer.codec.sample_rate()
    }

    /// When the next packet is due, in microseconds after the beginning.
    fn due(&self) -> u64 {
        ((self.said * self.ptime_ms * 1000) as f64 / (1.0 + self.skew_ppm / 1e6)) as u64
    }

    /// The next packet, as bytes.
    fn next_packet(&mut self) -> Vec<u8> {
        let codec = self.peer.codec;
        let samples = u64::from(self.rate()) * self.ptime_ms / 1000;
        let step = std::f64::consts::TAU * self.pitch / f64::from(self.rate());
        let at = self.said * samples;
        let pcm: Vec<i16> = (at..at + samples).map(|n| (AMPLITUDE * (step * n as f64).sin()) as i16).collect();
        let mut payload = [0; 1500];
        let length = self.encoder.encode(&pcm, &mut payload);
        let header = Header {
            payload_type: codec.payload_type(),
            marker: self.said == 0,
            sequence: 65_500u16.wrapping_add(self.said as u16),
            timestamp: (self.said * self.ptime_ms * u64::from(codec.clock_rate()) / 1000) as u32,
            ssrc: self.peer.ssrc,
        };
        self.said += 1;
        let mut buffer = vec![0; 1600];
        let length = packet::write(&header, &payload[..length], &mut buffer).expect("room");
        buffer.truncate(length);
        buffer
    }

    /// Takes what has come.
    fn listen(&mut self) {
        let mut buffer = [0; 2000];
        while let Ok(length) = self.peer.rtp.recv(&mut buffer) {
            let packet = packet::read(&buffer[..length]).expect("RTP");
            assert_eq!(packet.header.payload_type, self.peer.codec.payload_type());
            let before = self.heard.len();
            self.heard.resize(before + samples_in(self.peer.codec, packet.payload), 0);
            let decoded = self.decoder.decode(packet.payload, &mut self.heard[before..]);
            self.heard.truncate(before + decoded);
            self.packets += 1;
        }
    }

    /// How loud `pitch` is in a part of what was heard, in parts of how loud it was said.
    pub(super) fn loudness(&self, part: &[i16], pitch: f64) -> f64 {
        let step = std::f64::consts::TAU * pitch / f64::from(self.rate());
        let (sine, cosine) = part.iter().enumerate().fold((0.0, 0.0), |(s, c), (n, sample)| {
            let (at, sample) = (step * n as f64, f64::from(*sample));
            (s + sample * at.sin(), c + sample * at.cos())
        });
        2.0 * f64::hypot(sine, cosine) / part.len() as f64 / AMPLITUDE
    }

    /// Whose voices were heard in the last half of what came.
    fn hears(&self) -> Vec<usize> {
        let part = &self.heard[self.heard.len() / 2..];
        let is_heard = |pitch: f64| {
            // In windows of 100 ms, for a stretched tone loses its phase.
            let windows = part.chunks_exact(self.rate() as usize / 10);
            let levels: Vec<f64> = windows.map(|window| self.loudness(window, pitch)).collect();
            let mean = levels.iter().sum::<f64>() / levels.len().max(1) as f64;
            assert!(!(0.1..0.6).contains(&mean), "half heard: {pitch} Hz, {mean}");
            mean > 0.6
        };
        (0..PITCHES.len()).filter(|n| is_heard(PITCHES[*n])).collect()
    }
}

/// Lets all speak and listen in real time.
fn talk(voices: &mut [Voice], line: &mut Line, milliseconds: u64) {
    let began = Instant::now();
    let offset = voices.iter().map(Voice::due).max().unwrap_or(0);
    let until = offset + milliseconds * 1000;
    let mut under_way: Vec<(u64, usize, Vec<u8>)> = Vec::new();
    loop {
        let now = offset + began.elapsed().as_micros() as u64;
        for (place, voice) in voices.iter_mut().enumerate() {
            while voice.due() <= now.min(until) {
                let due = voice.due();
                let packet = voice.next_packet();
                if line.chance.fraction() >= line.loss {
                    under_way.push((due + line.chance.below(line.jitter_micros + 1), place, packet));
                }
            }
            voice.listen();
        }
        under_way.sort_by_key(|(at, ..)| *at);
        let arrived = under_way.partition_point(|(at, ..)| *at <= now);
        for (_, place, packet) in under_way.drain(..arrived) {
            voices[place].peer.rtp.send_to(&packet, voices[place].to).expect("sent");
        }
        if now > until {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn clear() -> Line {
    Line { loss: 0.0, jitter_micros: 0, chance: Chance::from_number(8) }
}

fn mixed(number: u16, hears: &[u16]) -> MixedLeg {
    MixedLeg { leg: leg(number), hears: hears.iter().map(|other| leg(*other)).collect() }
}

pub(super) fn mix(bench: &Bench, legs: &[(u16, &[u16])]) {
    let legs = legs.iter().map(|(number, hears)| mixed(*number, hears)).collect();
    bench.media.send(MediaCommand::Mix { legs });
    bench.settle();
}

fn hearing(voices: &[Voice]) -> Vec<Vec<usize>> {
    voices.iter().map(Voice::hears).collect()
}

/// What is heard from now on.
fn forget(voices: &mut [Voice]) {
    for voice in voices {
        voice.listen();
        voice.heard.clear();
        voice.packets = 0;
    }
}

#[test]
fn of_three_with_three_codecs_each_hears_the_others_and_never_himself() {
    let bench = bench(|_| ());
    let codecs = [Codec::Pcma, Codec::G722, Codec::Pcmu];
    let mut voices: Vec<Voice> = (0..3).map(|n| Voice::new(&bench, n, codecs[n as usize])).collect();
    mix(&bench, &[(0, &[0, 1, 2]), (1, &[0, 2]), (2, &[0, 1])]);
    talk(&mut voices, &mut clear(), 1500);
    assert_eq!(hearing(&voices), [vec![1, 2], vec![0, 2], vec![0, 1]]);
    assert!(voices.iter().all(|voice| (65..=80).contains(&voice.packets)), "{:?}", voices[0].packets);
    bench.media.send(MediaCommand::Unbridge { leg: leg(1) });
    bench.settle();
    forget(&mut voices);
    talk(&mut voices, &mut clear(), 1000);
    assert_eq!((voices[0].hears(), voices[2].hears()), (vec![2], vec![0]), "the others go on");
    assert_eq!(voices[1].packets, 0);
}

#[test]
fn a_supervisor_listens_unheard_whispers_to_the_regulator_alone_and_barges_in() {
    let bench = bench(|_| ());
    let codecs = [Codec::Pcma, Codec::Pcma, Codec::G722];
    let mut voices: Vec<Voice> = (0..3).map(|n| Voice::new(&bench, n, codecs[n as usize])).collect();
    // The caller is 0, the regulator 1, the supervisor 2.
    let listening = ([vec![1], vec![0]], [vec![1], vec![0], vec![0, 1]]);
    let whispering = ([vec![1], vec![0, 2]], [vec![1], vec![0, 2], vec![0, 1]]);
    let barging = ([vec![1, 2], vec![0, 2]], [vec![1, 2], vec![0, 2], vec![0, 1]]);
    for ([caller, regulator], expected) in [listening, whispering, barging] {
        mix(&bench, &[(0, &caller[..]), (1, &regulator[..]), (2, &[0, 1])]);
        forget(&mut voices);
        talk(&mut voices, &mut clear(), 1200);
        assert_eq!(hearing(&voices), expected);
    }
}

#[test]
fn a_bridge_of_wide_and_narrow_band_is_heard_both_ways_and_back_to_a_relay_when_codecs_meet() {
    for wide in [Codec::G722, Codec::Opus] {
        let bench = bench(|_| ());
        let mut voices = [Voice::new(&bench, 0, wide), Voice::new(&bench, 1, Codec::Pcma)];
        bench.media.send(MediaCommand::Bridge { a: leg(0), b: leg(1) });
        bench.settle();
        talk(&mut voices, &mut clear(), 1200);
        assert_eq!(hearing(&voices), [vec![1], vec![0]], "{wide:?}");
        assert_eq!(bench.media.counters().packets_relayed, 0);
        bench.aim(0, RemoteMedia { codec: Codec::Pcma, payload: 8, ..voices[0].peer.remote() });
        bench.settle();
        voices[0].peer.codec = Codec::Pcma;
        (voices[0].encoder, voices[0].decoder) = (Encoder::new(Codec::Pcma), Decoder::new(Codec::Pcma));
        while voices[0].peer.rtp.recv(&mut [0; 2000]).is_ok() {}
        talk(&mut voices, &mut clear(), 300);
        assert!(bench.media.counters().packets_relayed > 20, "{wide:?}");
    }
}

#[test]
fn packets_of_10_40_and_60_ms_become_packets_of_20_ms() {
    let bench = bench(|_| ());
    let mut voices: Vec<Voice> = (0..3).map(|n| Voice::new(&bench, n, Codec::Pcma)).collect();
    for (voice, ptime_ms) in voices.iter_mut().zip([10, 40, 60]) {
        voice.ptime_ms = ptime_ms;
    }
    mix(&bench, &[(0, &[1, 2]), (1, &[0, 2]), (2, &[0, 1])]);
    talk(&mut voices, &mut clear(), 1500);
    assert_eq!(hearing(&voices), [vec![1, 2], vec![0, 2], vec![0, 1]]);
    assert!(voices.iter().all(|voice| voice.heard.len() == voice.packets * 160));
}

#[test]
fn loss_jitter_reordering_and_skewed_clocks_leave_the_voices_to_be_heard_and_the_frames_as_they_came() {
    let mut bench = bench(|_| ());
    let mut ring = bench.media.rings().remove(0);
    let mut voices = [Voice::new(&bench, 0, Codec::G722), Voice::new(&bench, 1, Codec::Pcma)];
    (voices[0].skew_ppm, voices[1].skew_ppm) = (100.0, -100.0);
    bench.media.send(MediaCommand::Bridge { a: leg(0), b: leg(1) });
    bench.media.send(MediaCommand::Record { leg: leg(0), on: true });
    bench.settle();
    let mut line = Line { loss: 0.05, jitter_micros: 50_000, chance: Chance::from_number(5) };
    talk(&mut voices, &mut line, 4000);
    let quality = bench.close(0);
    assert_eq!(hearing(&voices), [vec![1], vec![0]]);
    assert!(quality.packets_lost >= 2 && quality.packets_reordered > 5, "{quality:?}");
    assert!(voices.iter().all(|voice| (185..=205).contains(&voice.packets)), "a packet a tick");
    let mut frames = 0;
    ring.read(|frame| frames += u64::from(frame.codec == Codec::G722)).expect("readable");
    assert_eq!(frames, quality.packets_received, "before any jitter buffer, and nothing made up");
}

#[test]
fn comfort_noise_is_heard_in_a_mix_and_kept_as_what_it_is() {
    let mut bench = bench(|_| ());
    let mut ring = bench.media.rings().remove(0);
    let mut voices = [Voice::new(&bench, 0, Codec::Pcma), Voice::new(&bench, 1, Codec::G722)];
    bench.media.send(MediaCommand::Bridge { a: leg(0), b: leg(1) });
    bench.media.send(MediaCommand::Record { leg: leg(0), on: true });
    bench.settle();
    let to = voices[0].to;
    voices[0].peer.send_typed(to, (13, 0), &[30]);
    talk(&mut voices[1..], &mut clear(), 600);
    let heard = &voices[1].heard;
    let square: f64 = heard.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / heard.len() as f64;
    // -30 dBov is an RMS of 1036; the first ticks are silent.
    assert!((700.0..1200.0).contains(&square.sqrt()), "{}", square.sqrt());
    let quality = bench.close(0);
    assert_eq!((quality.frames_recorded, quality.malformed, quality.packets_received), (1, 0, 1));
    let mut kinds = Vec::new();
    ring.read(|frame| kinds.push(frame.kind)).expect("readable");
    assert_eq!(kinds, [crate::journal::FrameKind::Noise]);
}

#[test]
fn a_key_reaches_those_who_hear_its_leg_once_and_the_sound_around_it_keeps_step() {
    let bench = bench(|_| ());
    let mut voices = [Voice::new(&bench, 0, Codec::G722), Voice::new(&bench, 1, Codec::Pcma)];
    bench.aim(0, RemoteMedia { dtmf_payload: Some(101), ..voices[0].peer.remote() });
    bench.aim(1, RemoteMedia { dtmf_payload: Some(96), ..voices[1].peer.remote() });
    bench.media.send(MediaCommand::Bridge { a: leg(0), b: leg(1) });
    bench.settle();
    let to = voices[0].to;
    for payload in [[5, 10, 0, 160], [5, 0x8a, 3, 32], [5, 0x8a, 3, 32], [5, 0x8a, 3, 32]] {
        voices[0].peer.send_typed(to, (101, 1000), &payload);
    }
    voices[1].peer.rtp.set_nonblocking(false).expect("set");
    let got: Vec<Got> = (0..20).map(|_| voices[1].peer.receive()).collect();
    let keys: Vec<&Got> = got.iter().filter(|got| got.header.payload_type == 96).collect();
    // 100 ms, and the end twice more.
    assert_eq!(keys.len(), 7);
    assert!(keys.iter().all(|key| key.header.timestamp == keys[0].header.timestamp));
    for pair in got.windows(2) {
        assert_eq!(pair[1].header.sequence, pair[0].header.sequence.wrapping_add(1));
    }
    let sound: Vec<&Got> = got.iter().filter(|got| got.header.payload_type == 8).collect();
    for pair in sound.windows(2) {
        let packets = u32::from(pair[1].header.sequence.wrapping_sub(pair[0].header.sequence));
        assert_eq!(pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp), packets * 160);
    }
}

#[test]
fn keys_take_the_place_of_sound_and_put_nothing_off() {
    let bench = bench(|_| ());
    let voices = [Voice::new(&bench, 0, Codec::G722), Voice::new(&bench, 1, Codec::Pcma)];
    bench.aim(1, RemoteMedia { dtmf_payload: Some(96), ..voices[1].peer.remote() });
    bench.media.send(MediaCommand::Bridge { a: leg(0), b: leg(1) });
    bench.settle();
    voices[1].peer.rtp.set_nonblocking(false).expect("set");
    voices[1].peer.receive();
    let began = Instant::now();
    let mut keys = 0;
    for packet in 0..120 {
        if packet % 12 == 0 {
            bench.media.send(MediaCommand::Key { leg: leg(0), digit: '5' });
        }
        keys += u32::from(voices[1].peer.receive().header.payload_type == 96);
    }
    // A packet a tick: were there one more for each key, they would have come in 200 ms less.
    assert!(began.elapsed() >= Duration::from_millis(120 * 20 - 100), "{:?}", began.elapsed());
    assert_eq!(keys, 70);
}

#[test]
fn a_mix_of_too_many_or_of_legs_that_are_not_open_is_counted_and_left() {
    let bench = bench(|_| ());
    bench.media.send(MediaCommand::Mix { legs: Vec::new() });
    bench.media.send(MediaCommand::Mix { legs: vec![mixed(7, &[8]), mixed(8, &[7])] });
    let many = 0..=MIX_LEGS_MAX as u16;
    for number in many.clone() {
        bench.open(number);
    }
    bench.media.send(MediaCommand::Mix { legs: many.map(|number| mixed(number, &[])).collect() });
    bench.wait_until(|counters| counters.commands_unknown == 3);
}

#[test]
fn garbage_and_strangers_at_a_mixed_leg_are_counted_and_sound_nowhere() {
    let mut bench = bench(|_| ());
    let mut ring = bench.media.rings().remove(0);
    let mut voices = [Voice::new(&bench, 0, Codec::Pcma), Voice::new(&bench, 1, Codec::G722)];
    bench.media.send(MediaCommand::Bridge { a: leg(0), b: leg(1) });
    bench.media.send(MediaCommand::Record { leg: leg(0), on: true });
    bench.settle();
    let (to, garbage, stranger) = (voices[0].to, super::hostile::garbage(), Peer::new(ELSEWHERE, Codec::Pcma));
    let loud = packet::read(&voices[0].next_packet()).map(|packet| packet.payload.to_vec()).expect("a packet");
    for (place, bytes) in garbage.iter().enumerate() {
        voices[0].peer.rtp.send_to(bytes, to).expect("sent");
        let header =
            Header { payload_type: 8, sequence: place as u16, timestamp: place as u32 * 160, ..Header::default() };
        let mut good = [0; 200];
        let length = packet::write(&header, &loud, &mut good).expect("room");
        stranger.rtp.send_to(&good[..length], to).expect("sent");
    }
    let sent = garbage.len() as u64;
    bench.wait_until(|counters| counters.malformed == sent && counters.strangers == sent);
    talk(&mut voices[1..], &mut clear(), 300);
    assert!(voices[1].heard.iter().all(|sample| sample.unsigned_abs() < 50), "something was heard");
    talk(&mut voices, &mut clear(), 600);
    assert_eq!(voices[1].hears(), [0]);
    let quality = bench.close(0);
    assert_eq!((quality.malformed, quality.strangers, quality.packets_lost), (sent, sent, 0));
    let mut frames = 0;
    ring.read(|_| frames += 1).expect("readable");
    assert_eq!(frames, quality.packets_received);
}
