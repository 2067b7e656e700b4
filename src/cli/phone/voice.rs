//! The demo phone's voice: speaks a recording over RTP, counts and measures what it hears.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::time::{Interval, MissedTickBehavior};

use crate::model::{Chance, Codec, Direction};
use crate::rtp::g711::{self, Law};
use crate::rtp::packet;
use crate::sip::sdp::{Audio, Description, LocalMedia, Origin, write_answer, write_offer};

const SAMPLES_A_PACKET: usize = 160;
/// An hour of sound.
const KEPT_SAMPLES_MAX: usize = 3600 * 8000;
const PACKET_TIME: Duration = Duration::from_millis(20);

/// What a phone heard of its far end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heard {
    /// RTP packets that came.
    pub packets: u64,
    /// RMS level of their sound, in dBFS; -120 is silence.
    pub level_dbfs: f64,
}

/// The RTP side of a phone.
pub struct Voice {
    socket: UdpSocket,
    local: SocketAddr,
    words: Arc<[i16]>,
    position: usize,
    tick: Interval,
    far_end: Option<(SocketAddr, Law)>,
    header: packet::Header,
    packets: u64,
    energy: f64,
    samples: u64,
    kept: Option<Vec<i16>>,
}

impl Voice {
    /// Binds the RTP socket.
    pub async fn bind(address: IpAddr, words: Arc<[i16]>, keeps: bool) -> std::io::Result<Voice> {
        let socket = UdpSocket::bind((address, 0)).await?;
        let mut tick = tokio::time::interval(PACKET_TIME);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Ok(Voice {
            local: socket.local_addr()?,
            socket,
            words,
            position: 0,
            tick,
            far_end: None,
            header: packet::Header::default(),
            packets: 0,
            energy: 0.0,
            samples: 0,
            kept: keeps.then(Vec::new),
        })
    }

    fn media(&mut self, chance: &mut Chance) -> LocalMedia {
        self.header = packet::Header {
            ssrc: chance.next_u32(),
            sequence: chance.next_u32() as u16,
            timestamp: chance.next_u32(),
            marker: true,
            payload_type: 0,
        };
        (self.packets, self.energy, self.samples, self.position) = (0, 0.0, 0, 0);
        LocalMedia { rtp: self.local, origin: Origin::new(chance.next_u64()), direction: Direction::Both }
    }

    /// Our SDP offer.
    pub fn offer(&mut self, chance: &mut Chance) -> Bytes {
        write_offer(&self.media(chance), &[Codec::Pcma, Codec::Pcmu])
    }

    /// Our answer to the server's offer; `None` when there is no common codec.
    pub fn answer(&mut self, offer: &[u8], chance: &mut Chance) -> Option<Bytes> {
        let offer = Description::parse(offer).ok()?;
        let audio = offer.audio.clone()?;
        let (codec, law) = choose(&audio)?;
        let local = self.media(chance);
        self.far_end = Some((audio.rtp, law));
        Some(write_answer(&local, &offer, codec))
    }

    /// The server's answer to our offer; whether it is one.
    pub fn take_answer(&mut self, answer: &[u8]) -> bool {
        let audio = Description::parse(answer).ok().and_then(|answer| answer.audio);
        self.far_end = audio.and_then(|audio| Some((audio.rtp, choose(&audio)?.1)));
        self.far_end.is_some()
    }

    /// Falls silent; what was heard.
    pub fn stop(&mut self) -> Heard {
        self.far_end = None;
        let mean = if self.samples == 0 { 0.0 } else { self.energy / self.samples as f64 };
        let level_dbfs = if mean < 1.0 { -120.0 } else { 10.0 * (mean / (32768.0 * 32768.0)).log10() };
        Heard { packets: self.packets, level_dbfs }
    }

    /// What was heard so far, once.
    pub fn take_heard(&mut self) -> Vec<i16> {
        self.kept.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Hears one packet or says one; never ends with nothing done but at a tick without a call.
    pub async fn turn(&mut self) {
        let mut buffer = [0; packet::PACKET_BYTES_MAX];
        tokio::select! {
            received = self.socket.recv_from(&mut buffer) => {
                if let Ok((length, _)) = received {
                    self.hear(buffer.get(..length).unwrap_or_default());
                }
            }
            _ = self.tick.tick() => self.speak().await,
        }
    }

    fn hear(&mut self, datagram: &[u8]) {
        let (Some((_, law)), Some(packet)) = (self.far_end, packet::read(datagram)) else { return };
        if packet.header.payload_type != payload_type(law) {
            return;
        }
        self.packets += 1;
        for code in packet.payload {
            let sample = g711::decode(law, *code);
            if let Some(kept) = self.kept.as_mut().filter(|kept| kept.len() < KEPT_SAMPLES_MAX) {
                kept.push(sample);
            }
            let sample = f64::from(sample);
            self.energy += sample * sample;
            self.samples += 1;
        }
    }

    async fn speak(&mut self) {
        let Some((far_end, law)) = self.far_end else { return };
        let mut payload = [g711::silence(law); SAMPLES_A_PACKET];
        for code in &mut payload {
            if let Some(sample) = self.words.get(self.position) {
                *code = g711::encode(law, *sample);
                self.position += 1;
            }
        }
        if self.position >= self.words.len() {
            self.position = 0;
        }
        let mut buffer = [0; packet::HEADER_BYTES + SAMPLES_A_PACKET];
        self.header.payload_type = payload_type(law);
        if let Some(length) = packet::write(&self.header, &payload, &mut buffer) {
            let _ = self.socket.send_to(buffer.get(..length).unwrap_or_default(), far_end).await;
        }
        self.header.marker = false;
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(SAMPLES_A_PACKET as u32);
    }
}

/// The far end's first codec that is G.711: all that this phone speaks.
fn choose(audio: &Audio) -> Option<(Codec, Law)> {
    audio.codecs.iter().find_map(|(codec, _)| Some((*codec, Law::of(*codec)?)))
}

fn payload_type(law: Law) -> u8 {
    match law {
        Law::A => Codec::Pcma,
        Law::Mu => Codec::Pcmu,
    }
    .payload_type()
}
