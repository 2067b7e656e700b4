//! The legs' voices: a socket each, numbered packets out every 20 ms, and what of the far end's came.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;

use super::numbered::{LegName, LoadSide, Numbered, Numbers};
use super::spread::Spread;
use crate::clock;
use crate::model::srtp::Crypto;
use crate::model::{Chance, Codec, Moment};
use crate::rtp::packet::{self, Header, PACKET_BYTES_MAX};
use crate::rtp::srtp::{GROWTH_BYTES_MAX, Incoming, Outgoing};

const PACKET_TIME: Duration = Duration::from_millis(20);
/// From the first word heard of the far end until packets are counted: both ways are open by then.
const SETTLE: Duration = Duration::from_millis(300);
/// A leg held up for longer leaves packets out rather than flood the far end.
const CATCH_UP_MAX: Duration = Duration::from_millis(200);
/// Packets taken from one socket before the others have their turn.
const PACKETS_AT_ONCE: usize = 8;

/// What every leg speaks.
#[derive(Clone, Copy, Debug)]
pub struct Speech {
    /// Drawn once a run.
    pub run: u32,
    /// Callers, in which codec.
    pub codec: Codec,
    /// Regulators.
    pub regulator_codec: Codec,
    /// Whether the regulators' media are SRTP, with keys in their SDP (RFC 4568).
    pub is_protected: bool,
    /// How long each leg counts.
    pub duration: Duration,
    /// The far end sends back what it hears: a caller's partner is the caller.
    pub is_echoed: bool,
}

impl Speech {
    /// What a side speaks.
    pub fn codec_of(&self, side: LoadSide) -> Codec {
        match side {
            LoadSide::Caller => self.codec,
            LoadSide::Regulator => self.regulator_codec,
        }
    }

    /// Whether the server must turn one codec into another: then no number comes through, and what comes is counted by
    /// the sequence of the server's own packets.
    pub fn is_transcoded(&self) -> bool {
        self.codec != self.regulator_codec
    }
}

/// Where a leg's far end hears, and how.
#[derive(Clone, Debug)]
pub struct FarEnd {
    /// Its address.
    pub rtp: SocketAddr,
    /// The payload type of the leg's codec.
    pub payload: u8,
    /// Both ways' keys.
    pub crypto: Option<Crypto>,
}

/// One leg.
#[derive(Debug)]
struct Voice {
    socket: Option<UdpSocket>,
    to: Option<SocketAddr>,
    /// The far end sends from where it hears, so the socket is connected to it: the kernel need not look the way up for
    /// every packet.
    is_connected: bool,
    srtp: Option<Box<(Incoming, Outgoing)>>,
    header: Header,
    partner: Option<LegName>,
    counted_from: Option<Moment>,
    sent: u32,
    heard: Numbers,
    highest: u32,
    /// The sequence of the first counted packet of a transcoded stream.
    sequence_first: Option<u16>,
}

impl Voice {
    /// The length of what came, when something did.
    fn receive(&mut self, into: &mut [u8]) -> Option<usize> {
        let socket = self.socket.as_ref()?;
        if self.is_connected {
            return socket.recv(into).ok();
        }
        let (length, from) = socket.recv_from(into).ok()?;
        self.is_connected = self.to == Some(from) && socket.connect(from).is_ok();
        Some(length)
    }

    /// Hears whoever sends again.
    fn disconnect(&mut self) {
        let dissolved = self.socket.as_ref().is_some_and(|socket| rustix::net::connect_unspec(socket).is_ok());
        self.is_connected &= !dissolved;
    }
}

/// Sends, and again where the system only told that an earlier packet met a closed port.
fn send(socket: &UdpSocket, datagram: &[u8], to: SocketAddr, is_connected: bool) -> io::Result<usize> {
    if !is_connected {
        return socket.send_to(datagram, to);
    }
    match socket.send(datagram) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => socket.send(datagram),
        sent => sent,
    }
}

/// One leg's account after the run.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    /// Which leg.
    pub leg: LegName,
    /// Whom it heard.
    pub partner: Option<LegName>,
    /// Counted packets that it sent.
    pub sent: u32,
    /// Counted packets of its partner that came, each once.
    pub heard: u32,
    /// Of a transcoded stream: packets of the server's that should have come meanwhile.
    pub expected: u32,
}

/// What all legs saw together.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// RTP packets sent, counted ones and others.
    pub sent: u64,
    /// The system would not take it.
    pub sends_failed: u64,
    /// Numbered packets that came, each time.
    pub heard: u64,
    /// Came a second time.
    pub duplicates: u64,
    /// Came after a later one.
    pub reordered: u64,
    /// Of a leg that is not the partner: somebody else's conversation.
    pub crossed: u64,
    /// Without a number: music, greetings, transcoded sound.
    pub other: u64,
    /// From sending to hearing, this program's own delay included.
    pub latency: Spread,
    /// How late this program sent: its own starvation.
    pub lateness: Spread,
    /// Packets left out because this program was held up.
    pub left_out: u64,
}

/// Every leg of the run.
#[derive(Debug)]
pub struct Voices {
    speech: Speech,
    chance: Chance,
    callers: Vec<Voice>,
    regulators: Vec<Voice>,
    /// Who speaks next and when, in order: every leg's wait is the same.
    due: VecDeque<(Moment, LegName)>,
    /// Legs that began to count since this was looked at last.
    pub begun: Vec<LegName>,
    /// What was seen.
    pub counts: Counts,
    inbound: [u8; PACKET_BYTES_MAX + 1],
    outbound: [u8; PACKET_BYTES_MAX + GROWTH_BYTES_MAX],
}

impl Voices {
    /// None yet.
    pub fn new(speech: Speech, chance: Chance) -> Voices {
        Voices {
            speech,
            chance,
            callers: Vec::new(),
            regulators: Vec::new(),
            due: VecDeque::new(),
            begun: Vec::new(),
            counts: Counts::default(),
            inbound: [0; PACKET_BYTES_MAX + 1],
            outbound: [0; PACKET_BYTES_MAX + GROWTH_BYTES_MAX],
        }
    }

    /// What every leg speaks.
    pub fn speech(&self) -> Speech {
        self.speech
    }

    /// Opens the next leg of a side; where it hears.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn open(&mut self, side: LoadSide, address: IpAddr, epoll: &OwnedFd) -> io::Result<(LegName, SocketAddr)> {
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let header = Header {
            ssrc: self.chance.next_u32(),
            sequence: self.chance.next_u32() as u16,
            timestamp: self.chance.next_u32(),
            marker: true,
            payload_type: self.speech.codec_of(side).payload_type(),
        };
        let legs = match side {
            LoadSide::Caller => &mut self.callers,
            LoadSide::Regulator => &mut self.regulators,
        };
        let leg = LegName { side, index: legs.len() as u32 };
        epoll::add(epoll, &socket, EventData::new_u64(token(leg)), EventFlags::IN)?;
        legs.push(Voice {
            socket: Some(socket),
            to: None,
            is_connected: false,
            srtp: None,
            header,
            partner: None,
            counted_from: None,
            sent: 0,
            heard: Numbers::default(),
            highest: 0,
            sequence_first: None,
        });
        Ok((leg, local))
    }

    /// Speaks to its far end from now on. The keys of the first time stay.
    pub fn aim(&mut self, leg: LegName, far: FarEnd, now: Moment) {
        let Some(voice) = self.voice(leg) else { return };
        let was_to = voice.to.replace(far.rtp);
        let is_first = was_to.is_none();
        if voice.is_connected && was_to != Some(far.rtp) {
            voice.disconnect();
        }
        voice.header.payload_type = far.payload;
        if let Some(crypto) = far.crypto.filter(|_| voice.srtp.is_none()) {
            voice.srtp = Some(Box::new((Incoming::new(crypto.theirs), Outgoing::new(crypto.ours))));
        }
        if is_first {
            // Each in a step of its own, as people's phones are: calls that come 10 ms apart would else speak at the same
            // two instants for ever.
            let first = now + Duration::from_micros(u64::from(self.chance.next_u32() % 20_000));
            let place = self.due.partition_point(|(at, _)| *at <= first);
            self.due.insert(place, (first, leg));
        }
    }

    /// Says who speaks with whom, where no numbers tell it.
    pub fn pair(&mut self, caller: LegName, regulator: LegName) {
        for (leg, partner) in [(caller, regulator), (regulator, caller)] {
            if let Some(voice) = self.voice(leg) {
                voice.partner = Some(partner);
            }
        }
    }

    /// Falls silent and closes the socket.
    pub fn close(&mut self, leg: LegName) {
        if let Some(voice) = self.voice(leg) {
            (voice.socket, voice.to) = (None, None);
        }
    }

    /// When somebody is to speak next.
    pub fn deadline(&self) -> Option<Moment> {
        self.due.front().map(|(at, _)| *at)
    }

    /// Says what is due.
    pub fn speak(&mut self, now: Moment) {
        while let Some((at, leg)) = self.due.front().copied().filter(|(at, _)| *at <= now) {
            self.due.pop_front();
            let late = now.since(at);
            self.counts.lateness.add(late);
            if late > CATCH_UP_MAX {
                let missed = late.as_micros() / PACKET_TIME.as_micros();
                self.counts.left_out += missed as u64;
                if self.say(leg, now) {
                    self.due.push_back((now + PACKET_TIME, leg));
                }
            } else if self.say(leg, now) {
                self.due.push_back((at + PACKET_TIME, leg));
            }
        }
    }

    /// One packet; whether the leg goes on speaking.
    fn say(&mut self, leg: LegName, now: Moment) -> bool {
        let Speech { run, duration, .. } = self.speech;
        let codec = self.speech.codec_of(leg.side);
        let voices = match leg.side {
            LoadSide::Caller => &mut self.callers,
            LoadSide::Regulator => &mut self.regulators,
        };
        let Some(voice) = voices.get_mut(leg.index as usize) else { return false };
        let (Some(socket), Some(to)) = (&voice.socket, voice.to) else { return false };
        let counts = voice.counted_from.is_some_and(|from| now >= from && now < from + duration);
        let number = counts.then_some(voice.sent);
        let (bytes, step) = frame_of(codec);
        let mut payload = [0xD5; FRAME_BYTES_MAX];
        let payload = payload.get_mut(..bytes).unwrap_or_default();
        Numbered { run, leg, number, sent: clock::moment() }.write(payload);
        let length = packet::write(&voice.header, payload, &mut self.outbound).unwrap_or(0);
        let length = match voice.srtp.as_deref_mut() {
            Some((_, outgoing)) => outgoing.protect(&mut self.outbound, length).unwrap_or(0),
            None => length,
        };
        let datagram = self.outbound.get(..length).unwrap_or_default();
        if send(socket, datagram, to, voice.is_connected).is_ok() {
            self.counts.sent += 1;
            voice.sent += u32::from(counts);
        } else {
            self.counts.sends_failed += 1;
        }
        voice.header.marker = false;
        voice.header.sequence = voice.header.sequence.wrapping_add(1);
        voice.header.timestamp = voice.header.timestamp.wrapping_add(step);
        true
    }

    /// Hears what came for a leg.
    pub fn hear(&mut self, leg: LegName) {
        for _ in 0..PACKETS_AT_ONCE {
            let voices = match leg.side {
                LoadSide::Caller => &mut self.callers,
                LoadSide::Regulator => &mut self.regulators,
            };
            let Some(voice) = voices.get_mut(leg.index as usize) else { return };
            let Some(length) = voice.receive(&mut self.inbound) else { return };
            let now = clock::moment();
            let length = match (voice.srtp.as_deref_mut(), self.inbound.get_mut(..length)) {
                (Some((incoming, _)), Some(datagram)) => incoming.open(datagram).unwrap_or(0),
                (None, _) | (Some(_), None) => length,
            };
            let Some(packet) = self.inbound.get(..length).and_then(packet::read) else {
                self.counts.other += 1;
                continue;
            };
            match Numbered::read(packet.payload).filter(|heard| heard.run == self.speech.run) {
                Some(heard) => self.take(leg, heard, now),
                None => {
                    self.counts.other += 1;
                    let (sequence, payload_type) = (packet.header.sequence, packet.header.payload_type);
                    if self.speech.is_transcoded() && payload_type == voice.header.payload_type {
                        self.take_transcoded(leg, sequence, now);
                    }
                }
            }
        }
    }

    /// Takes a packet that the server encoded. What a regulator hears first is the caller: both count from then on.
    fn take_transcoded(&mut self, leg: LegName, sequence: u16, now: Moment) {
        let duration = self.speech.duration;
        let Some(voice) = self.voice(leg) else { return };
        let Some(partner) = voice.partner else { return };
        if voice.counted_from.is_none() {
            if leg.side == LoadSide::Regulator {
                for begins in [leg, partner] {
                    if let Some(voice) = self.voice(begins) {
                        voice.counted_from = Some(now + SETTLE);
                        self.begun.push(begins);
                    }
                }
            }
            return;
        }
        // The last packets are still on their way when the counting ends.
        if voice.counted_from.is_some_and(|from| now >= from && now < from + duration) {
            let first = *voice.sequence_first.get_or_insert(sequence);
            // A call lasts less than half a round of the sequence, or is not counted beyond it.
            let number = u32::from(sequence.wrapping_sub(first));
            if voice.heard.insert(number) {
                voice.highest = voice.highest.max(number);
                self.counts.heard += 1;
            }
        }
    }

    fn take(&mut self, leg: LegName, heard: Numbered, now: Moment) {
        let voices = match leg.side {
            LoadSide::Caller => &mut self.callers,
            LoadSide::Regulator => &mut self.regulators,
        };
        let Some(voice) = voices.get_mut(leg.index as usize) else { return };
        self.counts.heard += 1;
        let may_partner = if self.speech.is_echoed { heard.leg == leg } else { heard.leg.side != leg.side };
        if voice.partner.is_none() && may_partner {
            voice.partner = Some(heard.leg);
            voice.counted_from = Some(now + SETTLE);
            self.begun.push(leg);
        }
        if voice.partner != Some(heard.leg) {
            self.counts.crossed += 1;
            return;
        }
        let Some(number) = heard.number else { return };
        if !voice.heard.insert(number) {
            self.counts.duplicates += 1;
            return;
        }
        if number < voice.highest {
            self.counts.reordered += 1;
        }
        voice.highest = voice.highest.max(number);
        self.counts.latency.add(now.since(heard.sent));
    }

    /// What each leg sent and heard.
    pub fn accounts(&self) -> impl Iterator<Item = Account> + '_ {
        let of = |side, voices: &'_ [Voice]| -> Vec<Account> {
            let account = |(index, voice): (usize, &Voice)| Account {
                leg: LegName { side, index: index as u32 },
                partner: voice.partner,
                sent: voice.sent,
                heard: voice.heard.count(),
                expected: voice.sequence_first.map_or(0, |_| voice.highest + 1),
            };
            voices.iter().enumerate().map(account).collect()
        };
        of(LoadSide::Caller, &self.callers).into_iter().chain(of(LoadSide::Regulator, &self.regulators))
    }

    fn voice(&mut self, leg: LegName) -> Option<&mut Voice> {
        match leg.side {
            LoadSide::Caller => self.callers.get_mut(leg.index as usize),
            LoadSide::Regulator => self.regulators.get_mut(leg.index as usize),
        }
    }
}

/// How long a call lives after its leg began to count: the counted part, and room for its last packets.
pub fn life(duration: Duration) -> Duration {
    SETTLE * 2 + duration
}

/// The most bytes of one frame.
const FRAME_BYTES_MAX: usize = 160;

/// Bytes of 20 ms, and how far the RTP clock goes on.
fn frame_of(codec: Codec) -> (usize, u32) {
    match codec {
        // G.722 samples at 16 kHz and its clock counts 8 kHz (RFC 3551 §4.5.2).
        Codec::Pcma | Codec::Pcmu | Codec::G722 => (160, 160),
        // At 32 kbit/s, a usual rate for speech (RFC 7587 §3.1.1).
        Codec::Opus => (80, 960),
    }
}

/// A leg's token in the epoll.
pub fn token(leg: LegName) -> u64 {
    let side = match leg.side {
        LoadSide::Caller => 0,
        LoadSide::Regulator => 1,
    };
    u64::from(leg.index) * 2 + side
}

/// The leg of a token.
pub fn leg_of(token: u64) -> LegName {
    let side = if token.is_multiple_of(2) { LoadSide::Caller } else { LoadSide::Regulator };
    LegName { side, index: (token / 2) as u32 }
}
