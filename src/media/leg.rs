//! One leg on its thread: sockets, far end, streams both ways, and what is to be closed with it.

use std::net::SocketAddr;
use std::time::Duration;

use super::board::Board;
use super::latch::Latch;
use super::listening::Listening;
use super::mix::MixEnd;
use super::outgoing::Outgoing;
use super::player::Player;
use super::ports::Pair;
use super::press::{Presses, Ways};
use super::protection::{self, Protection};
use super::speech::Speech;
use super::tally::{Tally, count};
use crate::journal::{Frame, FrameKind};
use crate::model::media::Format;
use crate::model::{Chance, Codec, LegId, LegQuality, Moment, RemoteMedia};
use crate::rtp::CLOCK_RATE;
use crate::rtp::dtmf::{Digits, News, Press, TelephoneEvent};
use crate::rtp::noise::NOISE_PAYLOAD;
use crate::rtp::packet::{Header, Packet};
use crate::rtp::reception::Reception;
use crate::rtp::srtp::{GROWTH_BYTES_MAX, SrtpFault};
use crate::rtp::{mos, rtcp};

/// Between two reports of a leg, on average (RFC 3550 §6.2); each wait is drawn from half to one and a half of it (§6.3.1).
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// How often what a leg is like is put out while it is open; the first time after [`SHOW_AFTER`].
const SHOW_EVERY: Duration = Duration::from_secs(2);
/// Before that hardly anything has come.
const SHOW_AFTER: Duration = Duration::from_secs(1);

/// A packet of keys: one event, or as many as RFC 4733 §2.5.1.5 lets follow each other in a fraction of a second.
const EVENT_BYTES_MAX: usize = 40;

/// What packets wait for at the far end: its jitter buffer, at least this.
const BUFFER_MS_MIN: f64 = 40.0;

#[derive(Debug)]
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) sockets: Pair,
    pub(super) aim: Option<Aim>,
    pub(super) outgoing: Outgoing,
    /// Both ways' keys, when the media are SRTP.
    pub(super) protection: Option<Box<Protection>>,
    pub(super) player: Option<Player>,
    /// What encodes sounds and mixes for it; made with the first of them.
    speech: Option<Box<Speech>>,
    /// The place of the leg that it is bridged to.
    pub(super) peer: Option<usize>,
    /// What it needs to be mixed; `None` while its packets are relayed, or nobody hears it.
    pub(super) mix: Option<Box<MixEnd>>,
    pub(super) recording: bool,
    pub(super) digits: Digits,
    /// What its far end has told of keys, and by which way.
    pub(super) ways: Ways,
    /// Keys that it is to hear.
    pub(super) presses: Option<Box<Presses>>,
    pub(super) quality: LegQuality,
    /// Whether sound goes both ways.
    pub(super) listening: Listening,
    watch: Watch,
    reception: Reception,
    frame_number: u32,
    /// A good packet has come.
    heard: bool,
    /// When anything of the far end's that is RTP came last.
    alive_at: Option<Moment>,
    cname: String,
    report_at: Option<Moment>,
    /// When what it is like is put out next.
    show_at: Option<Moment>,
    /// Packets sent when the report before was written.
    reported_packets: u64,
    /// The far end's last sender report, and when it came.
    sender_report: Option<(u32, Moment)>,
}

/// Where the leg's far end is and what it speaks.
#[derive(Clone, Debug)]
pub(super) struct Aim {
    pub(super) remote: RemoteMedia,
    pub(super) latch: Latch,
    /// The codec that it speaks: the one agreed on, until it changes to another of its answer's (RFC 3264 §6.1).
    pub(super) spoken: Codec,
    /// Packets in a row that were in another.
    others: u8,
}

#[derive(Clone, Copy, Debug)]
enum Watch {
    Off,
    Since(Moment),
    Reported,
}

/// What the far end's packet was agreed to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Audio,
    /// Comfort noise (RFC 3389), which a far end may send without having said so.
    Noise,
    Event,
}

impl Kind {
    /// Whether a payload can be what its type says: keys have their form, and anything else is passed on to nobody as one.
    pub(super) fn fits(self, payload: &[u8]) -> bool {
        match self {
            Kind::Audio | Kind::Noise => true,
            Kind::Event => payload.len() <= EVENT_BYTES_MAX && TelephoneEvent::read(payload).is_some(),
        }
    }
}

/// So many packets in a row are in another codec before the far end is taken to have changed to it: one that strays must
/// not tear down what decodes.
const CHANGED_AFTER: u8 = 3;

impl Aim {
    /// Counts a packet of sound; whether it shows that the far end has changed its codec.
    pub(super) fn changes_to(&mut self, codec: Codec) -> bool {
        if codec == self.spoken {
            self.others = 0;
            return false;
        }
        self.others += 1;
        let has_changed = self.others >= CHANGED_AFTER;
        if has_changed {
            (self.spoken, self.others) = (codec, 0);
        }
        has_changed
    }

    /// What a payload type was agreed to be, and in which codec; `None` when it was not.
    ///
    /// A device may change between the codecs of its answer (RFC 3264 §6.1).
    pub(super) fn kind(&self, payload_type: u8) -> Option<(Kind, Codec)> {
        let remote = &self.remote;
        match remote.format(payload_type) {
            Some(Format::Audio(codec)) => Some((Kind::Audio, codec)),
            Some(Format::Keys { .. }) => Some((Kind::Event, remote.codec)),
            None if payload_type == NOISE_PAYLOAD && remote.codec.clock_rate() == CLOCK_RATE => {
                Some((Kind::Noise, remote.codec))
            }
            None => None,
        }
    }
}

impl Leg {
    pub(super) fn new(id: LegId, sockets: Pair, chance: &mut Chance) -> Leg {
        Leg {
            id,
            sockets,
            aim: None,
            outgoing: Outgoing::new(chance),
            protection: None,
            player: None,
            speech: None,
            peer: None,
            mix: None,
            recording: false,
            digits: Digits::default(),
            ways: Ways::default(),
            presses: None,
            quality: LegQuality::default(),
            listening: Listening::default(),
            watch: Watch::Off,
            reception: Reception::default(),
            frame_number: 0,
            heard: false,
            alive_at: None,
            cname: chance.token(),
            report_at: None,
            show_at: None,
            reported_packets: 0,
            sender_report: None,
        }
    }

    /// Takes what the newest SDP says.
    pub(super) fn aim_at(&mut self, remote: RemoteMedia, chance: &mut Chance, now: Moment) {
        let latch = Latch::new(&remote, self.aim.as_ref().map(|aim| aim.latch));
        self.listening.aim_at(remote.direction, now);
        self.protection = Protection::renew(self.protection.take(), remote.crypto.as_deref());
        let clock_hz = remote.codec.clock_rate();
        self.outgoing.set_clock(clock_hz);
        self.reception.set_clock(clock_hz);
        self.aim = Some(Aim { spoken: remote.codec, remote, latch, others: 0 });
        self.report_at.get_or_insert(now + report_wait(chance));
        self.show_at.get_or_insert(now + SHOW_AFTER);
    }

    /// Where sound goes now and in which codec; `None` before the first SDP, or when the far end will not hear.
    pub(super) fn target(&self) -> Option<(SocketAddr, &RemoteMedia)> {
        let aim = self.aim.as_ref().filter(|aim| aim.remote.direction.sends())?;
        Some((aim.latch.send_to(), &aim.remote))
    }

    /// Where the direct way should lead: the far end was heard from where it is spoken to, and the way is not there yet.
    pub(super) fn misses_direct(&self) -> Option<SocketAddr> {
        let heard = self.aim.as_ref()?.latch.heard_from().filter(|_| !self.sockets.has_no_direct)?;
        let is_there = self.sockets.direct.as_ref().is_some_and(|direct| direct.leads_to(heard));
        (!is_there).then_some(heard)
    }

    /// The far end speaks another codec of those that were agreed on.
    pub(super) fn follow(&mut self, codec: Codec) {
        self.reception.set_clock(codec.clock_rate());
    }

    /// Encodes 20 ms at `rate_hz` for the leg's far end into `out`; the payload's bytes.
    pub(super) fn encode(&mut self, pcm: &[i16], rate_hz: u32, codec: Codec, out: &mut [u8]) -> usize {
        let kept = self.speech.take().filter(|speech| speech.fits(codec, rate_hz));
        self.speech.insert(kept.unwrap_or_else(|| Box::new(Speech::new(codec, rate_hz)))).encode(pcm, out)
    }

    /// Counts a good packet of the far end; whether it is the leg's first.
    pub(super) fn take(&mut self, header: &Header, kind: Kind, now: Moment) -> bool {
        self.reception.take(header, kind == Kind::Audio, now);
        self.alive_at = Some(now);
        self.listening.take(kind == Kind::Noise, now);
        !std::mem::replace(&mut self.heard, true)
    }

    /// What a packet of telephone-event tells; nothing when INFO has told the key already.
    pub(super) fn hear_key(&mut self, packet: &Packet, now: Moment) -> News {
        let format = self.aim.as_ref().and_then(|aim| aim.remote.format(packet.header.payload_type));
        let event = TelephoneEvent::read(packet.payload).filter(|event| event.key().is_some());
        let (Some(Format::Keys { clock_hz }), Some(_)) = (format, event) else { return News::default() };
        let News { before, press } = self.digits.take(packet, clock_hz, now);
        let mut is_new = |press: &Press| self.ways.hear(*press, now);
        News { before: before.filter(&mut is_new), press: press.filter(&mut is_new) }
    }

    /// A press of which the far end says no more, over by now; to be asked until there is none.
    pub(super) fn settle_key(&mut self, now: Moment) -> Option<Press> {
        std::iter::from_fn(|| self.digits.settle(now)).find(|press| self.ways.hear(*press, now))
    }

    /// Counts a packet of the far end that is of no use. If it is RTP, as the comfort noise of a muted phone (RFC 3389), it shows
    /// that the far end is alive.
    pub(super) fn take_useless(&mut self, packet: Option<&Packet>, now: Moment) {
        self.quality.malformed += 1;
        if let Some(packet) = packet {
            self.alive_at = Some(now);
            self.listening.take(packet.header.payload_type == NOISE_PAYLOAD, now);
        }
    }

    /// The frame for the ring of a packet that is to be recorded; its number is used up even if the ring refuses it.
    pub(super) fn next_frame<'a>(&mut self, packet: &Packet<'a>, kind: Kind, codec: Codec, now: Moment) -> Frame<'a> {
        let number = self.frame_number;
        self.frame_number = self.frame_number.wrapping_add(1);
        Frame {
            call: self.id.call,
            leg: self.id.number,
            number,
            codec,
            kind: match kind {
                Kind::Audio => FrameKind::Audio,
                Kind::Event => FrameKind::Event,
                Kind::Noise => FrameKind::Noise,
            },
            rtp_sequence: packet.header.sequence,
            rtp_timestamp: packet.header.timestamp,
            ssrc: packet.header.ssrc,
            marker: packet.header.marker,
            arrival: now,
            payload: packet.payload,
        }
    }

    /// Begins or ends watching for silence; watching anew begins a new wait.
    pub(super) fn watch(&mut self, on: bool, now: Moment) {
        self.watch = if on { Watch::Since(now) } else { Watch::Off };
    }

    /// Whether the leg has just been silent for `silence_max`; true once for each watch.
    pub(super) fn falls_silent(&mut self, silence_max: Duration, now: Moment) -> bool {
        let Watch::Since(since) = self.watch else { return false };
        let quiet_since = self.alive_at.map_or(since, |alive| alive.max(since));
        let silent = now.since(quiet_since) >= silence_max;
        if silent {
            self.watch = Watch::Reported;
        }
        silent
    }

    /// Opens what the far end sent, when the media are SRTP, and counts what is not authentic. It is no sign of life either.
    pub(super) fn open(&mut self, datagram: &mut [u8], tally: &Tally) -> Option<usize> {
        let opened = protection::open(self.protection.as_deref_mut(), datagram);
        self.count_opened(opened, tally)
    }

    /// The same for RTCP.
    pub(super) fn open_rtcp(&mut self, datagram: &mut [u8], tally: &Tally) -> Option<usize> {
        let opened = protection::open_rtcp(self.protection.as_deref_mut(), datagram);
        self.count_opened(opened, tally)
    }

    fn count_opened(&mut self, opened: Result<usize, SrtpFault>, tally: &Tally) -> Option<usize> {
        let (of_leg, of_all) = match opened {
            Ok(length) => return Some(length),
            Err(SrtpFault::Forged) => (&mut self.quality.forged, &tally.srtp_forged),
            Err(SrtpFault::Replayed) => (&mut self.quality.replayed, &tally.srtp_replayed),
            Err(SrtpFault::Malformed | SrtpFault::NoRoom | SrtpFault::UsedUp) => {
                (&mut self.quality.malformed, &tally.malformed)
            }
        };
        *of_leg += 1;
        count(of_all);
        None
    }

    /// Takes the far end's RTCP; false when it is none. A BYE is read and left: only signalling ends a leg.
    pub(super) fn take_rtcp(&mut self, datagram: &[u8], ntp: u64, now: Moment) -> bool {
        let Some(incoming) = rtcp::read(datagram, self.outgoing.ssrc()) else { return false };
        self.quality.rtcp_received += 1;
        if let Some(report) = incoming.sender_report {
            self.sender_report = Some((report, now));
        }
        self.listening.take_report(incoming.about_us.map(|about| about.highest_sequence), self.outgoing.packets());
        if let Some(about) = incoming.about_us {
            self.quality.remote_lost = Some(about.cumulative_lost.into());
            self.quality.remote_loss = Some(about.fraction_lost);
            self.quality.remote_jitter_ms =
                Some(f64::from(about.jitter) * 1000.0 / f64::from(self.outgoing.clock_hz()));
            let trip = rtcp::round_trip(rtcp::ntp_middle(ntp), about).map(|trip| trip.as_secs_f64() * 1000.0);
            self.quality.round_trip_ms = trip.or(self.quality.round_trip_ms);
        }
        true
    }

    /// Whether the next report is due; then the one after is planned.
    pub(super) fn report_is_due(&mut self, chance: &mut Chance, now: Moment) -> bool {
        let due = self.report_at.is_some_and(|at| at <= now);
        if due {
            self.report_at = Some(now + report_wait(chance));
        }
        due
    }

    /// Puts out what the leg is like, when that is due; when somebody reads just now, at the next look.
    pub(super) fn show(&mut self, board: &Board, now: Moment) {
        if self.show_at.is_some_and(|at| at <= now) && board.show(self.id, self.quality(now)) {
            self.show_at = Some(now + SHOW_EVERY);
        }
    }

    /// What the leg is like has changed: it is put out at the next look.
    pub(super) fn show_soon(&mut self, now: Moment) {
        self.show_at = Some(now);
    }

    /// Writes and sends a report: a sender's when anything was sent since the last one (RFC 3550 §6.4), else a receiver's.
    pub(super) fn send_report(&mut self, bye: bool, ntp: u64, now: Moment) {
        let Some(aim) = &self.aim else { return };
        let sent_since = self.outgoing.packets() > self.reported_packets;
        self.reported_packets = self.outgoing.packets();
        let report = rtcp::Outgoing {
            ssrc: self.outgoing.ssrc(),
            cname: &self.cname,
            sent: self.outgoing.sent(ntp, now).filter(|_| sent_since),
            block: self.reception.report(),
            last_sender_report: self.sender_report.map(|(report, at)| (report, now.since(at))),
            bye,
        };
        let mut buffer = [0; rtcp::RTCP_BYTES_MAX + GROWTH_BYTES_MAX];
        let written = rtcp::write(&report, &mut buffer);
        let protection = self.protection.as_deref_mut();
        let length = written.and_then(|length| protection::protect_rtcp(protection, &mut buffer, length));
        if let Some(bytes) = length.and_then(|length| buffer.get(..length)) {
            // A report that the system will not take is a report lost: the next one says the same.
            let _ = self.sockets.send_rtcp(bytes, aim.latch.rtcp_to(aim.remote.rtcp));
        }
    }

    /// What the leg's media was like, so far.
    pub(super) fn quality(&self, now: Moment) -> LegQuality {
        let (totals, pattern) = (self.reception.totals(), self.reception.pattern());
        let mean_burst = pattern.burst_packets.checked_div(pattern.bursts).unwrap_or(0);
        let mut quality = LegQuality {
            packets_received: totals.received,
            packets_sent: self.outgoing.packets(),
            packets_lost: totals.lost,
            packets_late: self.reception.late(),
            packets_repeated: pattern.repeated,
            packets_reordered: pattern.reordered,
            loss_longest: pattern.run_longest,
            bursts: pattern.bursts,
            burst_loss: pattern.burst_loss(),
            gap_loss: pattern.gap_loss(),
            burst_ms: mean_burst as f64 * self.reception.packet_ms(),
            jitter_ms: self.reception.jitter_ms(),
            one_way_times: self.listening.times(),
            one_way_ms: self.listening.total(now).as_millis() as u64,
            one_way: self.listening.one_way(),
            ..self.quality.clone()
        };
        if let Some(mix) = &self.mix {
            mix.add_to(&mut quality);
        }
        self.rate(&mut quality, pattern.burst_ratio());
        quality
    }

    /// What people would say of the sound each way (decision 18).
    fn rate(&self, quality: &mut LegQuality, burst_ratio: f64) {
        let Some(aim) = &self.aim else { return };
        let impairment = mos::Impairment::of(aim.remote.codec);
        quality.mos_scale = impairment.scale;
        let way_ms = quality.round_trip_ms.unwrap_or(0.0) / 2.0 + self.reception.packet_ms();
        let delay_ms = |jitter: f64| way_ms + (2.0 * jitter).max(BUFFER_MS_MIN);
        let score = |loss, burst_ratio, jitter| {
            mos::score(mos::Path { loss, burst_ratio, delay_ms: delay_ms(jitter) }, impairment)
        };
        if quality.packets_received > 0 {
            let expected = (quality.packets_received + quality.packets_lost) as f64;
            let missed = (quality.packets_lost + quality.packets_late) as f64;
            quality.mos = Some(score(missed / expected, burst_ratio, quality.jitter_ms));
        }
        if let Some(lost) = quality.remote_lost.filter(|_| quality.packets_sent > 0) {
            let loss = lost as f64 / quality.packets_sent as f64;
            quality.remote_mos = Some(score(loss, 1.0, quality.remote_jitter_ms.unwrap_or(0.0)));
        }
    }
}

fn report_wait(chance: &mut Chance) -> Duration {
    REPORT_EVERY.mul_f64(0.5 + chance.fraction())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CallId, Utc};

    fn leg() -> Leg {
        let mut chance = Chance::from_number(1);
        let id = LegId { call: CallId::new(Utc(0), &mut chance), number: 0 };
        let socket = || std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        let (rtp, rtcp) = (socket(), socket());
        let address = rtp.local_addr().expect("bound");
        Leg::new(id, Pair { rtp, rtcp, address, direct: None, has_no_direct: false }, &mut chance)
    }

    fn at(seconds: u64) -> Moment {
        Moment(seconds * 1_000_000)
    }

    #[test]
    fn silence_is_told_once_a_watch_and_counts_from_the_last_packet() {
        let (mut leg, limit) = (leg(), Duration::from_secs(30));
        assert!(!leg.falls_silent(limit, at(99)), "nobody watches");
        leg.watch(true, at(100));
        leg.take(&Header::default(), Kind::Audio, at(110));
        assert!(
            !leg.falls_silent(limit, at(139)) && leg.falls_silent(limit, at(140)) && !leg.falls_silent(limit, at(200))
        );
        leg.watch(true, at(200));
        assert!(!leg.falls_silent(limit, at(229)) && leg.falls_silent(limit, at(230)));
    }

    #[test]
    fn comfort_noise_nobody_agreed_on_is_no_silence() {
        let mut leg = leg();
        leg.watch(true, at(0));
        let noise = Packet { header: Header { payload_type: NOISE_PAYLOAD, ..Header::default() }, payload: &[] };
        leg.take_useless(Some(&noise), at(20));
        leg.take_useless(None, at(29));
        let limit = Duration::from_secs(30);
        assert!(!leg.falls_silent(limit, at(49)) && leg.falls_silent(limit, at(50)));
        assert!(leg.take(&Header::default(), Kind::Audio, at(51)), "the first good one is yet to come");
    }

    #[test]
    fn only_the_first_packet_of_a_leg_is_its_first() {
        let mut leg = leg();
        assert!(leg.take(&Header::default(), Kind::Audio, at(0)));
        assert!(!leg.take(&Header { ssrc: 5, ..Header::default() }, Kind::Audio, at(1)));
    }

    #[test]
    fn reports_come_every_five_seconds_on_average() {
        let (mut leg, mut chance) = (leg(), Chance::from_number(2));
        leg.report_at = Some(at(0));
        let due = (0..100_000).filter(|tenth| leg.report_is_due(&mut chance, Moment(tenth * 100_000))).count();
        assert!((1900..2100).contains(&due), "{due}");
    }
}
