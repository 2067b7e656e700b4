//! The test phone's RTP: says a tone or numbered frames, and remembers everything that it hears.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use vigie::model::Codec;
use vigie::model::srtp::Profile;
use vigie::rtp::codec::{Decoder, Encoder, SAMPLES_MAX};
use vigie::rtp::g711::{self, Law};

use super::harness::until;
use super::rough::Rough;
use super::shield::Shield;
use super::sound;

/// Samples, and bytes of G.711, in a frame of 20 ms.
pub const FRAME: usize = 160;

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Words {
    /// A sine of this frequency.
    Tone(f64),
    /// Frames that carry their number.
    Numbers,
    /// A sine of this frequency for the first [`MARK_MS`] of every second that has passed since [`begun`]: all who say
    /// marks say them together.
    Marks(f64),
    /// Nothing: no packet leaves it.
    Nothing,
}

impl Words {
    /// The frequency that is said so many milliseconds from now; 0 is silence.
    fn pitch(self, ahead_ms: u64) -> f64 {
        match self {
            Words::Tone(frequency) => frequency,
            Words::Marks(frequency) => {
                let is_mark = (begun().elapsed().as_millis() + u128::from(ahead_ms)) % 1000 < MARK_MS;
                if is_mark { frequency } else { 0.0 }
            }
            Words::Numbers | Words::Nothing => 0.0,
        }
    }
}

/// How long a mark is.
pub const MARK_MS: u128 = 200;

/// When the first mark was due.
fn begun() -> Instant {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    *BEGUN.get_or_init(Instant::now)
}

/// What speaks another codec than PCMA.
struct Wide {
    codec: Codec,
    encoder: Encoder,
    decoder: Decoder,
    heard: Vec<i16>,
    /// Pieces of [`PIECE_MS`].
    said: u64,
    packets: u64,
}

/// What goes into packets, whatever their length.
const PIECE_MS: usize = 10;

struct State {
    words: Words,
    far_end: Option<SocketAddr>,
    said: u32,
    sequence: u16,
    heard: Vec<u8>,
    pressed: Option<Press>,
    keys_heard: Vec<u8>,
    key_ended: Option<u32>,
    has_keys: bool,
    source_heard: u32,
    /// One of so many packets is lost on the way; 0: none.
    lost_each: u16,
    odd_heard: u32,
    /// Its SDP agrees to nothing but G.722.
    is_wide: bool,
    wide: Option<Wide>,
    rough: Option<Arc<Rough>>,
    /// Its clock runs so much faster, in parts of a million.
    skew_ppm: f64,
    /// How much sound a packet holds.
    packet_ms: u64,
    shield: Option<Shield>,
}

/// A key that is being pressed: RFC 4733 §2.5.1.
#[derive(Clone, Copy)]
struct Press {
    key: u8,
    begun_at: u16,
    sent: u16,
    /// Which of its packets are not lost on the way.
    kept: &'static [u16],
}

/// The payload type of telephone-event in every SDP of these phones.
const KEYS: u8 = 101;

/// Packets of a key press, the last three of them its end.
const PRESS_PACKETS: u16 = 6;

/// A phone's RTP.
pub struct Voice {
    /// Where it is.
    pub local: SocketAddr,
    socket: UdpSocket,
    state: Mutex<State>,
}

/// Begins and ends each piece of a numbered frame, so that only a whole frame in its place reads as one.
const MARKS: [u8; 2] = [0xA7, 0x3C];

/// The payload of a numbered frame: its number again and again, between marks.
pub fn numbered(number: u32) -> Vec<u8> {
    let [.., high, low] = number.to_be_bytes();
    [MARKS[0], high, low, MARKS[1]].repeat(FRAME / 4)
}

/// The number that a frame carries, when it is a numbered one.
pub fn number_of(payload: &[u8]) -> Option<u32> {
    let [first, high, low, fourth] = *payload.first_chunk()?;
    let number = u32::from(high) << 8 | u32::from(low);
    ([first, fourth] == MARKS && payload == numbered(number)).then_some(number)
}

/// The numbers of the numbered frames in some decoded sound, in their order.
pub fn numbers_in(samples: &[i16]) -> Vec<u32> {
    let codes: Vec<u8> = samples.iter().map(|sample| g711::encode(Law::A, *sample)).collect();
    let (mut numbers, mut at) = (Vec::new(), 0);
    while let Some(frame) = codes.get(at..at + FRAME) {
        match number_of(frame) {
            Some(number) => {
                numbers.push(number);
                at += FRAME;
            }
            None => at += 1,
        }
    }
    numbers
}

impl Voice {
    /// Binds it.
    pub async fn bind(address: IpAddr) -> Voice {
        let socket = UdpSocket::bind((address, 0)).await.expect("the phone's RTP socket");
        let local = socket.local_addr().expect("an address");
        let state = State {
            words: Words::Tone(440.0),
            far_end: None,
            said: 0,
            sequence: 0,
            heard: Vec::new(),
            pressed: None,
            keys_heard: Vec::new(),
            key_ended: None,
            has_keys: true,
            source_heard: 0,
            lost_each: 0,
            odd_heard: 0,
            is_wide: false,
            wide: None,
            rough: None,
            skew_ppm: 0.0,
            packet_ms: 20,
            shield: None,
        };
        Voice { local, socket, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the voice's state")
    }

    /// From now on it says this.
    pub fn says(&self, words: Words) {
        self.state().words = words;
    }

    /// From the next call on it speaks this codec alone.
    pub fn speaks(&self, codec: Codec) {
        let (encoder, decoder) = (Encoder::new(codec), Decoder::new(codec));
        self.state().wide = Some(Wide { codec, encoder, decoder, heard: Vec::new(), said: 0, packets: 0 });
    }

    /// From the next call on its packets hold so much sound, 10 to 60 ms; it must have been told its codec.
    pub fn packs(&self, packet_ms: u64) {
        self.state().packet_ms = packet_ms;
    }

    /// From the next call that it makes its media are SRTP under this profile.
    pub fn protects(&self, profile: Profile) {
        self.state().shield = Some(Shield::new(profile));
    }

    /// Its clock runs so much faster than it should, in parts of a million.
    pub fn runs_fast(&self, skew_ppm: f64) {
        self.state().skew_ppm = skew_ppm;
    }

    fn period(&self) -> Duration {
        let state = self.state();
        Duration::from_secs_f64(state.packet_ms as f64 / 1e3 / (1.0 + state.skew_ppm / 1e6))
    }

    /// From the next call on its packets go over a bad network, both ways.
    pub async fn goes_through(&self, seed: u64) -> Arc<Rough> {
        let rough = Arc::new(Rough::open(self.local, seed).await);
        self.state().rough = Some(rough.clone());
        rough
    }

    /// Presses a key of the pad, 0 to 15, for the time of some packets.
    pub fn press(&self, key: u8) {
        self.press_lossy(key, &[0, 1, 2, 3, 4, 5]);
    }

    /// The same, but only these packets of the key arrive: the last three are its end.
    pub fn press_lossy(&self, key: u8, kept: &'static [u16]) {
        let mut state = self.state();
        let begun_at = state.sequence.wrapping_add(1);
        state.pressed = Some(Press { key, begun_at, sent: 0, kept });
    }

    /// From now on its SDP knows nothing of telephone-event.
    pub fn has_no_keys(&self) {
        self.state().has_keys = false;
    }

    /// The keys whose end was heard, each press once.
    pub fn keys_heard(&self) -> Vec<u8> {
        self.state().keys_heard.clone()
    }

    /// Loses so many packets on the way, at once.
    pub fn loses(&self, packets: u16) {
        let mut state = self.state();
        state.sequence = state.sequence.wrapping_add(packets);
    }

    /// From now on one of so many packets is lost on the way.
    pub fn loses_one_of(&self, packets: u16) {
        self.state().lost_each = packets;
    }

    /// From now on its SDP agrees to G.722 alone; what it says so is thrown.
    pub fn agrees_to_g722(&self) {
        self.state().is_wide = true;
    }

    /// Sends bytes from its RTP port, as they are.
    pub async fn throws(&self, bytes: &[u8], to: SocketAddr) {
        self.socket.send_to(bytes, to).await.expect("sent");
    }

    /// Packets that came and were neither sound in G.711 A-law nor keys.
    pub fn odd_heard(&self) -> u32 {
        self.state().odd_heard
    }

    /// The SSRC of what it hears.
    pub fn source_heard(&self) -> u32 {
        self.state().source_heard
    }

    /// Our SDP.
    pub fn sdp(&self, direction: &str) -> String {
        let state = self.state();
        let seen = state.rough.as_ref().map_or(self.local, |rough| rough.back);
        let (ip, port) = (seen.ip(), seen.port());
        let kind = if ip.is_ipv4() { "IP4" } else { "IP6" };
        if let Some(wide) = &state.wide {
            let (number, name, clock) = (wide.codec.payload_type(), wide.codec.name(), wide.codec.clock_rate());
            let voices = if wide.codec == Codec::Opus { "/2" } else { "" };
            let (profile, key) = match &state.shield {
                Some(shield) => ("RTP/SAVP", shield.line()),
                None => ("RTP/AVP", String::new()),
            };
            return format!(
                "v=0\r\no=- 1 1 IN {kind} {ip}\r\ns=-\r\nc=IN {kind} {ip}\r\nt=0 0\r\nm=audio {port} {profile} {number}\r\n\
                 a=rtpmap:{number} {name}/{clock}{voices}\r\n{key}a=ptime:{}\r\na={direction}\r\n",
                state.packet_ms
            );
        }
        let (keys, map) = match state.has_keys {
            true => (" 101", "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"),
            false => ("", ""),
        };
        let (number, name) = if state.is_wide { (9, "G722") } else { (8, "PCMA") };
        format!(
            "v=0\r\no=- 1 1 IN {kind} {ip}\r\ns=-\r\nc=IN {kind} {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {number}{keys}\r\n\
             a=rtpmap:{number} {name}/8000\r\n{map}a={direction}\r\n"
        )
    }

    /// Speaks to where an SDP says; without one, to nobody.
    pub fn aim(&self, sdp: &str) {
        let line = |begin: &str| sdp.lines().find_map(|line| line.strip_prefix(begin)).map(str::trim);
        let address = line("c=IN IP4 ").or_else(|| line("c=IN IP6 ")).and_then(|ip| ip.parse::<IpAddr>().ok());
        let port = line("m=audio ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        let mut state = self.state();
        if let Some(shield) = &mut state.shield {
            shield.agree(sdp);
        }
        let server = address.zip(port).map(SocketAddr::from);
        state.far_end = match (&state.rough, server) {
            (Some(rough), Some(server)) => {
                rough.aim(server);
                Some(rough.front)
            }
            (_, server) => server,
        };
    }

    /// Speaks to nobody any more; to the next one it says its numbers from 0 on.
    pub fn falls_silent(&self) {
        let mut state = self.state();
        (state.far_end, state.said) = (None, 0);
    }

    /// So many packets it has said.
    pub fn said(&self) -> u32 {
        self.state().said
    }

    /// The port to which it speaks, when it speaks to anybody.
    pub fn port_spoken_to(&self) -> Option<u16> {
        Some(self.state().far_end?.port())
    }

    /// Where it speaks to.
    pub fn far_end(&self) -> SocketAddr {
        self.state().far_end.expect("the far end of the voice")
    }

    /// The highest number among the numbered frames that it heard.
    pub fn highest_heard(&self) -> Option<u32> {
        self.state().heard.chunks(FRAME).filter_map(number_of).max()
    }

    /// Everything heard, as samples.
    pub fn samples(&self) -> Vec<i16> {
        self.state().heard.iter().map(|code| g711::decode(Law::A, *code)).collect()
    }

    /// Forgets what it heard.
    pub fn forget(&self) {
        let mut state = self.state();
        state.heard.clear();
        if let Some(wide) = &mut state.wide {
            wide.heard.clear();
        }
    }

    /// Waits until it has heard that tone for at least so long, from now on.
    pub async fn hears(&self, frequency: f64, length_ms: u32) {
        self.forget();
        until(&format!("{frequency} Hz is heard"), || {
            std::future::ready((self.heard_ms(frequency) >= length_ms).then_some(()))
        })
        .await;
    }

    /// How long it has heard that tone.
    pub fn heard_ms(&self, frequency: f64) -> u32 {
        if let Some(wide) = &self.state().wide {
            return sound::length_at(wide.codec.sample_rate(), &wide.heard, frequency);
        }
        sound::length_of_tone_ms(&self.samples(), frequency)
    }

    /// Speaks and listens until it is dropped.
    pub async fn speak(self: Arc<Voice>) {
        let mut next = tokio::time::Instant::now();
        let mut buffer = [0; 2048];
        loop {
            tokio::select! {
                heard = self.socket.recv_from(&mut buffer) => if let Ok((length, _)) = heard {
                    self.hear(&buffer[..length]);
                },
                () = tokio::time::sleep_until(next) => {
                    // What is missed is caught up with.
                    next += self.period();
                    if let Some((packet, to)) = self.next_packet() {
                        let packet = self.protected(packet);
                        // A far end that is gone refuses the packet: nobody's fault here.
                        let _ = self.socket.send_to(&packet, to).await;
                    }
                },
            }
        }
    }

    fn protected(&self, packet: Vec<u8>) -> Vec<u8> {
        match &mut self.state().shield {
            Some(shield) => shield.protect(packet),
            None => packet,
        }
    }

    fn hear(&self, packet: &[u8]) {
        let mut state = self.state();
        let opened = match &mut state.shield {
            Some(shield) => shield.open(packet),
            None => Some(packet.to_vec()),
        };
        // What it cannot open it does not hear.
        let Some(packet) = opened.as_deref() else { return };
        let is_audio = packet.len() == 12 + FRAME && packet[1] & 0x7f == Codec::Pcma.payload_type();
        if let Some(wide) = &mut state.wide {
            return wide.hear(packet);
        }
        if is_audio {
            state.heard.extend_from_slice(&packet[12..]);
            state.source_heard = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        }
        let is_key = packet.len() == 16 && packet[1] & 0x7f == KEYS;
        state.odd_heard += u32::from(!is_audio && !is_key);
        // The first of the three ends: the others have the same time, at which the key was pressed.
        let is_end = is_key && packet[13] & 0x80 != 0;
        if is_end {
            let pressed_at = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
            if state.key_ended.replace(pressed_at) != Some(pressed_at) {
                state.keys_heard.push(packet[12]);
            }
        }
    }

    fn next_packet(&self) -> Option<(Vec<u8>, SocketAddr)> {
        let mut state = self.state();
        let to = state.far_end?;
        let (words, pieces) = (state.words, state.packet_ms / PIECE_MS as u64);
        let payload = match (words, &mut state.wide) {
            (Words::Nothing, _) => return None,
            (Words::Tone(_) | Words::Marks(_), Some(wide)) => {
                let pitches: Vec<f64> = (0..pieces).map(|piece| words.pitch(piece * PIECE_MS as u64)).collect();
                return Some((wide.say(&pitches), to));
            }
            (Words::Tone(_) | Words::Marks(_), None) => tone_frame(words.pitch(0), state.said),
            (Words::Numbers, _) => numbered(state.said),
        };
        state.said += 1;
        state.sequence = state.sequence.wrapping_add(1);
        if let Some(press) = state.pressed {
            let sent = press.sent + 1;
            state.pressed = (sent < PRESS_PACKETS).then_some(Press { sent, ..press });
            let is_lost = !press.kept.contains(&press.sent);
            return (!is_lost).then(|| (key_packet(state.sequence, 0x0051_ED00, press), to));
        }
        let is_lost = state.lost_each > 0 && state.sequence.is_multiple_of(state.lost_each);
        (!is_lost).then(|| (packet(state.sequence, 0x0051_ED00, &payload), to))
    }
}

impl Wide {
    /// The next packet: 10 ms of each of these tones.
    fn say(&mut self, pitches: &[f64]) -> Vec<u8> {
        let rate = u64::from(self.codec.sample_rate());
        let samples = rate * PIECE_MS as u64 / 1000;
        let mut pcm: Vec<i16> = Vec::new();
        for (piece, pitch) in (self.said..).zip(pitches) {
            let step = std::f64::consts::TAU * pitch / rate as f64;
            let piece = piece * samples..(piece + 1) * samples;
            pcm.extend(piece.map(|n| ((n as f64 * step).sin() * 8000.0) as i16));
        }
        let mut payload = [0; 1500];
        let length = self.encoder.encode(&pcm, &mut payload);
        let timestamp = (self.said * u64::from(self.codec.clock_rate()) * PIECE_MS as u64 / 1000) as u32;
        let mut packet = packet(self.packets as u16, 0x0051_ED01, &payload[..length]);
        packet[1] = self.codec.payload_type();
        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        self.said += pitches.len() as u64;
        self.packets += 1;
        packet
    }

    fn hear(&mut self, packet: &[u8]) {
        if packet.len() <= 12 || packet[1] & 0x7f != self.codec.payload_type() {
            return;
        }
        let mut pcm = [0; SAMPLES_MAX];
        let samples = self.decoder.decode(&packet[12..], &mut pcm);
        self.heard.extend_from_slice(&pcm[..samples]);
    }
}

/// The `number`-th frame of a tone that goes on without a break.
fn tone_frame(frequency: f64, number: u32) -> Vec<u8> {
    let first = number as usize * FRAME;
    let step = 2.0 * std::f64::consts::PI * frequency / f64::from(sound::RATE);
    let sample = |n: usize| (((first + n) as f64 * step).sin() * 8000.0) as i16;
    (0..FRAME).map(|n| g711::encode(Law::A, sample(n))).collect()
}

/// An RTP packet of PCMA; timestamps follow the sequence.
pub fn packet(sequence: u16, source: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, Codec::Pcma.payload_type()];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * FRAME as u32).to_be_bytes());
    packet.extend(source.to_be_bytes());
    packet.extend(payload);
    packet
}

/// A packet of a key press: all of them carry the time at which it began.
fn key_packet(sequence: u16, source: u32, press: Press) -> Vec<u8> {
    let Press { key, begun_at, sent, .. } = press;
    let end = if sent + 3 >= PRESS_PACKETS { 0x80 } else { 0 };
    let [high, low] = ((sent + 1) * FRAME as u16).to_be_bytes();
    let mut packet = packet(sequence, source, &[key, end | 10, high, low]);
    packet[1] = if sent == 0 { 0x80 | KEYS } else { KEYS };
    packet[4..8].copy_from_slice(&(u32::from(begun_at) * FRAME as u32).to_be_bytes());
    packet
}
