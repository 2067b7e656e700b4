//! One media thread: its wait, its commands, its packets, its ticks.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::time::Timespec;

use super::board::Board;
use super::leg::{Kind, Leg};
use super::listening;
use super::player::Left;
use super::ports::Ports;
use super::protection;
use super::sounds::Sounds;
use super::tally::{Tally, count};
use crate::clock;
use crate::config::settings::MediaSettings;
use crate::journal::RingWriter;
use crate::model::{Chance, Codec, LegId, MediaCommand, MediaReport, Moment, Utc};
use crate::rtp::g711::{self, Law};
use crate::rtp::packet::{self, HEADER_BYTES, Header, PACKET_BYTES_MAX, Packet};
use crate::rtp::srtp::GROWTH_BYTES_MAX;
use crate::rtp::{CLOCK_RATE, PACKET_SAMPLES, rtcp};

mod commands;
mod mixing;
mod pressing;

/// Sockets served in one wake-up; those beyond it are served by the next, at once.
const EVENTS_MAX: usize = 256;
/// The length of a packet that Vigie makes.
const TICK: Duration = Duration::from_millis(20);
/// A thread held up for longer leaves ticks out rather than flood its legs.
const CATCH_UP_MAX: Duration = Duration::from_millis(100);
/// How often silence and RTCP are looked after.
const SWEEP: Duration = Duration::from_millis(100);
/// Commands done before packets are served again.
const COMMANDS_AT_ONCE: usize = 64;
/// A packet with our header, and what SRTP adds.
const OUTBOUND_BYTES: usize = PACKET_BYTES_MAX + HEADER_BYTES + GROWTH_BYTES_MAX;
/// The eventfd's token.
const WAKE_TOKEN: u64 = u64::MAX;
/// A leg's tokens begin at its place times this: the RTP port, the RTCP port, the direct way.
const TOKENS_A_LEG: u64 = 4;
const RTP_TOKEN: u64 = 0;
const RTCP_TOKEN: u64 = 1;
const DIRECT_TOKEN: u64 = 2;
/// Direct ways opened in one sweep, so that many calls at once do not hold up the packets of those before.
const DIRECT_AT_ONCE: usize = 32;

/// How a thread is spoken to and answers.
pub(super) struct Post<R> {
    pub(super) inbox: Receiver<MediaCommand>,
    pub(super) wake: Arc<OwnedFd>,
    pub(super) stopping: Arc<AtomicBool>,
    pub(super) report: R,
}

pub(super) struct Worker<R> {
    epoll: OwnedFd,
    post: Post<R>,
    sounds: Arc<Sounds>,
    ports: Arc<Ports>,
    ring: RingWriter,
    tally: Arc<Tally>,
    board: Arc<Board>,
    chance: Chance,
    silence_max: Duration,
    relatch_after: Duration,
    legs: Vec<Option<Box<Leg>>>,
    /// The places of legs that are mixed.
    mixed: Vec<usize>,
    places: HashMap<LegId, usize>,
    now: Moment,
    /// The wall clock when `Moment(0)` was, so that NTP times never step (RFC 3550 §4).
    epoch: Utc,
    next_tick: Option<Moment>,
    next_sweep: Option<Moment>,
    inbound: [u8; PACKET_BYTES_MAX + 1],
    scratch: [u8; PACKET_BYTES_MAX],
    outbound: [u8; OUTBOUND_BYTES],
}

impl<R: Fn(MediaReport)> Worker<R> {
    pub(super) fn new(
        settings: &MediaSettings,
        (sounds, ports): (Arc<Sounds>, Arc<Ports>),
        (ring, tally, board): (RingWriter, Arc<Tally>, Arc<Board>),
        post: Post<R>,
        chance: Chance,
    ) -> io::Result<Worker<R>> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &post.wake, EventData::new_u64(WAKE_TOKEN), EventFlags::IN)?;
        let started = clock::now();
        Ok(Worker {
            epoll,
            post,
            sounds,
            ports,
            ring,
            tally,
            board,
            chance,
            silence_max: settings.silence_max,
            relatch_after: settings.relatch_after,
            legs: Vec::new(),
            mixed: Vec::new(),
            places: HashMap::new(),
            now: started.moment,
            epoch: Utc(started.utc.0.saturating_sub(started.moment.0 as i64)),
            next_tick: None,
            next_sweep: None,
            inbound: [0; PACKET_BYTES_MAX + 1],
            scratch: [0; PACKET_BYTES_MAX],
            outbound: [0; OUTBOUND_BYTES],
        })
    }

    pub(super) fn run(mut self) {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), self.wait().as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(fault) => {
                    tracing::error!(%fault, "a media thread cannot wait for its sockets and ends: its calls are lost; restart Vigie");
                    return;
                }
            }
            self.now = clock::moment();
            let stopping = self.post.stopping.load(Ordering::Acquire);
            let mut woken = stopping;
            for event in &events {
                match event.data.u64() {
                    WAKE_TOKEN => woken = true,
                    token => match ((token / TOKENS_A_LEG) as usize, token % TOKENS_A_LEG) {
                        (place, RTCP_TOKEN) => self.take_rtcp(place),
                        (place, which) => self.take_rtp(place, which == DIRECT_TOKEN),
                    },
                }
            }
            self.tick();
            self.sweep();
            self.flush();
            // Commands last: a leg that one closes has no event left in this batch.
            if woken && self.take_commands() && stopping {
                return self.close_all();
            }
        }
    }

    /// Until when to sleep: the next tick or sweep; for ever when there is neither.
    fn wait(&self) -> Option<Timespec> {
        let next = self.next_tick.into_iter().chain(self.next_sweep).min()?;
        let span = next.since(clock::moment());
        Some(Timespec { tv_sec: span.as_secs() as i64, tv_nsec: span.subsec_nanos() as _ })
    }

    /// Does what is in the inbox; whether it is empty now. The eventfd keeps the rest from being slept over.
    fn take_commands(&mut self) -> bool {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.post.wake, &mut count);
        for _ in 0..COMMANDS_AT_ONCE {
            match self.post.inbox.try_recv() {
                Ok(command) => self.obey(command),
                Err(_) => return true,
            }
        }
        let _ = rustix::io::write(&self.post.wake, &1u64.to_ne_bytes());
        false
    }

    /// Takes one RTP packet; a socket with more is ready again at once, after the others had their turn.
    fn take_rtp(&mut self, place: usize, is_direct: bool) {
        let Some(leg) = self.legs.get_mut(place).and_then(Option::as_mut) else { return };
        let direct = leg.sockets.direct.as_ref().filter(|_| is_direct).map(|direct| &direct.socket);
        let Some((length, from)) = receive(direct.unwrap_or(&leg.sockets.rtp), &mut self.inbound) else { return };
        let Some(aim) = &mut leg.aim else { return count(&self.tally.early) };
        if !aim.latch.admits(from, self.relatch_after, self.now) {
            leg.quality.strangers += 1;
            return count(&self.tally.strangers);
        }
        let opened = self.inbound.get_mut(..length).and_then(|datagram| leg.open(datagram, &self.tally));
        let Some(length) = opened else { return };
        let Some(aim) = &mut leg.aim else { return };
        let packet = self.inbound.get(..length).and_then(packet::read);
        let kinded = packet.and_then(|packet| aim.kind(packet.header.payload_type).map(|kind| (packet, kind)));
        let kinded = kinded.filter(|(packet, (kind, _))| kind.fits(packet.payload));
        let Some((packet, (kind, codec))) = kinded else {
            leg.take_useless(packet.as_ref(), self.now);
            return count(&self.tally.malformed);
        };
        aim.latch.take(from, self.now);
        let has_changed = kind == Kind::Audio && aim.changes_to(codec);
        count(&self.tally.packets_received);
        if leg.take(&packet.header, kind, self.now) {
            (self.post.report)(MediaReport::Heard { leg: leg.id });
        }
        if leg.recording {
            let frame = leg.next_frame(&packet, kind, codec, self.now);
            if self.ring.push(&frame) {
                leg.quality.frames_recorded += 1;
                count(&self.tally.frames_recorded);
            } else {
                leg.quality.frames_refused += 1;
                count(&self.tally.frames_refused);
            }
        }
        if kind == Kind::Event {
            return self.take_event(place, length);
        }
        if has_changed {
            leg.follow(codec);
            // What its new codec needs; this packet itself is not heard.
            return self.arrange(place);
        }
        if let Some(mix) = &mut leg.mix {
            return match kind {
                Kind::Audio => mix.put(&packet.header, (codec, packet.payload), self.now),
                Kind::Noise => mix.put_noise(&packet.header, packet.payload, self.now),
                Kind::Event => {}
            };
        }
        let Some(peer) = leg.peer.and_then(|peer| self.legs.get_mut(peer)?.as_mut()) else { return };
        let relay =
            Relay { tally: &self.tally, scratch: &mut self.scratch, outbound: &mut self.outbound, now: self.now };
        relay.pass(peer, &packet, kind, codec);
    }

    fn take_rtcp(&mut self, place: usize) {
        let ntp = self.ntp();
        let Some(leg) = self.legs.get_mut(place).and_then(Option::as_mut) else { return };
        let Some((length, from)) = receive(&leg.sockets.rtcp, &mut self.inbound) else { return };
        let Some(aim) = &leg.aim else { return count(&self.tally.early) };
        if !aim.latch.admits_rtcp(from, aim.remote.rtcp) {
            leg.quality.strangers += 1;
            return count(&self.tally.strangers);
        }
        let opened = self.inbound.get_mut(..length).and_then(|datagram| leg.open_rtcp(datagram, &self.tally));
        let Some(length) = opened else { return };
        if self.inbound.get(..length).is_some_and(|datagram| leg.take_rtcp(datagram, ntp, self.now)) {
            count(&self.tally.rtcp_received);
        } else {
            leg.quality.malformed += 1;
            count(&self.tally.malformed);
        }
    }

    /// Plays as many packets as are due. Ticks stand on one grid, so a late one makes the next no later.
    fn tick(&mut self) {
        while let Some(at) = self.next_tick.filter(|at| *at <= self.now) {
            let playing = self.play_once();
            let mixing = self.mix_once(at);
            let late = self.now.since(at);
            let next = if late > CATCH_UP_MAX {
                let skipped = late.as_micros() / TICK.as_micros();
                self.tally.ticks_skipped.fetch_add(skipped as u64, Ordering::Relaxed);
                at + TICK * (skipped as u32).saturating_add(1)
            } else {
                at + TICK
            };
            self.next_tick = (playing || mixing).then_some(next);
        }
    }

    /// One packet for each leg that is played something; whether any still is.
    fn play_once(&mut self) -> bool {
        let mut playing = false;
        let mut sound = [0; PACKET_SAMPLES];
        let mut payload = [0; PACKET_BYTES_MAX];
        for leg in self.legs.iter_mut().flatten() {
            if leg.presses.is_some() && pressing::press_once(leg, &mut self.outbound, (&self.tally, self.now)) {
                playing = true;
                continue;
            }
            let Some(player) = &mut leg.player else { continue };
            // Before the first SDP the sound waits: nobody must miss its beginning.
            let Some(aim) = &leg.aim else {
                playing = true;
                continue;
            };
            let (codec, payload_type) = (aim.remote.codec, aim.remote.payload);
            let left = player.fill(&mut sound);
            if let Some((to, _)) = leg.target() {
                let length = leg.encode(&sound, CLOCK_RATE, codec, &mut payload);
                let payload = payload.get(..length).unwrap_or_default();
                let header = Header { payload_type, ..leg.outgoing.next_of_sound(self.now) };
                if send(leg, (header, payload), to, &mut self.outbound) {
                    count(&self.tally.packets_played);
                } else {
                    count(&self.tally.sends_failed);
                }
            }
            match left {
                Left::More => playing = true,
                Left::Nothing => {
                    leg.player = None;
                    (self.post.report)(MediaReport::Played { leg: leg.id });
                }
            }
        }
        playing
    }

    /// Looks after what is due seldom: silence, reports, what others may see of each leg, and keys whose ends were lost.
    fn sweep(&mut self) {
        let (now, ntp) = (self.now, self.ntp());
        if self.next_sweep.is_none_or(|at| now < at) {
            return;
        }
        self.next_sweep = Some(now + SWEEP);
        listening::look_after(&mut self.legs, &self.tally, &self.post.report, now);
        let mut has_key_down = false;
        for leg in self.legs.iter_mut().flatten() {
            has_key_down |= leg.digits.is_down();
            if leg.falls_silent(self.silence_max, now) {
                (self.post.report)(MediaReport::Silent { leg: leg.id });
            }
            if leg.report_is_due(&mut self.chance, now) {
                leg.send_report(false, ntp, now);
            }
            leg.show(&self.board, now);
        }
        if has_key_down {
            self.settle_keys();
        }
        self.open_ways();
    }

    /// Opens the direct way to far ends that have been heard, and leads it elsewhere when they have moved.
    fn open_ways(&mut self) {
        let missing = self.legs.iter_mut().enumerate().filter_map(|(place, leg)| {
            let leg = leg.as_mut()?;
            Some((place, leg.misses_direct()?, &mut leg.sockets))
        });
        for (place, to, sockets) in missing.take(DIRECT_AT_ONCE) {
            if sockets.lead(to, &self.epoll, place as u64 * TOKENS_A_LEG + DIRECT_TOKEN).is_err() {
                // Its packets go on as they do now.
                (sockets.direct, sockets.has_no_direct) = (None, true);
                count(&self.tally.ways_refused);
            }
        }
    }

    /// Everything that this wake-up recorded, with one write. A fault costs frames, never the call: the ring keeps what it
    /// can and tries again.
    fn flush(&mut self) {
        if let Err(fault) = self.ring.flush()
            && self.tally.ring_faults.fetch_add(1, Ordering::Relaxed) == 0
        {
            tracing::error!(%fault, "the ring of audio frames cannot be written: recordings will have gaps; check media.ring_folder");
        }
    }

    fn with(&mut self, id: LegId, act: impl FnOnce(&mut Leg, Moment)) {
        let now = self.now;
        match self.place(id).and_then(|place| self.legs.get_mut(place)?.as_mut()) {
            Some(leg) => act(leg, now),
            None => count(&self.tally.commands_unknown),
        }
    }

    fn place(&self, id: LegId) -> Option<usize> {
        self.places.get(&id).copied()
    }

    fn leg(&self, place: usize) -> Option<&Leg> {
        self.legs.get(place)?.as_deref()
    }

    fn ntp(&self) -> u64 {
        rtcp::ntp(Utc(self.epoch.0.saturating_add(self.now.0 as i64)))
    }
}

/// The way of one packet to the other leg of its bridge.
struct Relay<'a> {
    tally: &'a Tally,
    scratch: &'a mut [u8; PACKET_BYTES_MAX],
    outbound: &'a mut [u8],
    now: Moment,
}

impl Relay<'_> {
    fn pass(self, to_leg: &mut Leg, packet: &Packet, kind: Kind, from_codec: Codec) {
        // What a leg is played stands before what it is relayed.
        if to_leg.player.is_some() || to_leg.presses.is_some() {
            return;
        }
        let Some((to, remote)) = to_leg.target() else { return };
        let (codec, payload_type) = (remote.codec, remote.payload);
        let payload = match kind {
            Kind::Audio if codec == from_codec => packet.payload,
            Kind::Audio => {
                let (Some(from), Some(to)) = (Law::of(from_codec), Law::of(codec)) else {
                    return to_leg.outgoing.leave_out();
                };
                let length = g711::transcode(from, to, packet.payload, self.scratch);
                self.scratch.get(..length).unwrap_or_default()
            }
            Kind::Event | Kind::Noise => return to_leg.outgoing.leave_out(),
        };
        let header = Header { payload_type, ..to_leg.outgoing.next_of_relay(&packet.header, self.now) };
        if send(to_leg, (header, payload), to, self.outbound) {
            count(&self.tally.packets_relayed);
        } else {
            count(&self.tally.sends_failed);
        }
    }
}

/// Writes a packet and hands it to the system; false when it would not be taken.
fn send(leg: &mut Leg, (header, payload): (Header, &[u8]), to: SocketAddr, outbound: &mut [u8]) -> bool {
    let written = packet::write(&header, payload, outbound);
    let length = written.and_then(|length| protection::protect(leg.protection.as_deref_mut(), outbound, length));
    let sent = length.and_then(|length| outbound.get(..length)).is_some_and(|bytes| leg.sockets.send_rtp(bytes, to));
    if sent {
        leg.outgoing.count(payload.len());
    }
    sent
}

/// One datagram and its source, IPv4 in its own form; `None` when there is none, or it was a passing fault of the socket.
fn receive(socket: &std::net::UdpSocket, inbound: &mut [u8]) -> Option<(usize, SocketAddr)> {
    let (length, from) = socket.recv_from(inbound).ok()?;
    Some((length, SocketAddr::new(from.ip().to_canonical(), from.port())))
}
