//! The media plane over real sockets on loopback, seen from the far ends.

mod changing;
mod direct;
mod hostile;
mod keys;
mod mixing;
mod one_way;
mod protecting;
mod renaming;
mod showing;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::journal::FrameKind;
use crate::model::media::{AfterSounds, Format};
use crate::model::{Codec, Direction, LegQuality, RemoteMedia, Utc};
use crate::rtp::g711::Law;
use crate::rtp::packet::{self, Header};
use crate::rtp::reception::Block;
use crate::rtp::{g711, rtcp};

/// Far beyond what any of these facts needs.
const PATIENCE: Duration = Duration::from_secs(20);
const EVER: Duration = Duration::from_secs(3600);
const HERE: &str = "127.0.0.1";
const ELSEWHERE: &str = "127.0.0.2";

struct Bench {
    media: Media,
    reports: Receiver<MediaReport>,
    _folder: TempDir,
}

/// A far end: a phone or a carrier.
struct Peer {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    codec: Codec,
    ssrc: u32,
    sequence: u16,
}

struct Got {
    header: Header,
    payload: Vec<u8>,
}

fn bench(change: impl FnOnce(&mut MediaSettings)) -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = MediaSettings {
        address: HERE.parse().expect("an address"),
        advertised: None,
        codecs: Codec::USUAL.to_vec(),
        ports: (20_000, 29_999),
        threads: 1,
        silence_max: EVER,
        relatch_after: EVER,
        ring_folder: folder.path().to_owned(),
        ring_bytes: 1 << 20,
    };
    change(&mut settings);
    let sounds = [("short", 800), ("tone", 2400)].map(|(name, samples)| {
        let path = folder.path().join(format!("{name}.wav"));
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).expect("a file");
        (0..samples).for_each(|place| writer.write_sample(sample(place)).expect("written"));
        writer.finalize().expect("finished");
        (SoundId::from(name), path)
    });
    let (sender, reports) = channel();
    let media = start(&settings, &sounds.into(), move |report| sender.send(report).unwrap_or(())).expect("started");
    Bench { media, reports, _folder: folder }
}

/// A rising saw: every place of a sound is told from its neighbours.
fn sample(place: i32) -> i16 {
    ((place * 37) % 20_000 - 10_000) as i16
}

fn leg(number: u16) -> LegId {
    LegId { call: CallId::new(Utc(0), &mut Chance::from_number(4)), number }
}

impl Bench {
    fn wait_for<T>(&self, wanted: impl Fn(MediaReport) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let report = self.reports.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            if let Some(found) = wanted(report.expect("the report in time")) {
                return found;
            }
        }
    }

    fn open(&self, number: u16) -> SocketAddr {
        self.media.send(MediaCommand::Open { leg: leg(number) });
        self.wait_for(|report| match report {
            MediaReport::Opened { leg: id, rtp } if id == leg(number) => Some(rtp),
            _ => None,
        })
    }

    fn aim(&self, number: u16, remote: RemoteMedia) {
        self.media.send(MediaCommand::Aim { leg: leg(number), remote });
    }

    /// Two legs open, aimed and bridged; their addresses.
    fn bridge(&self, a: &Peer, b: &Peer) -> (SocketAddr, SocketAddr) {
        let ports = (self.open(0), self.open(1));
        self.aim(0, a.remote());
        self.aim(1, b.remote());
        self.media.send(MediaCommand::Bridge { a: leg(0), b: leg(1) });
        self.settle();
        ports
    }

    /// All commands sent so far are done: the answer to one more has come.
    fn settle(&self) {
        self.media.send(MediaCommand::Open { leg: leg(0) });
        self.wait_for(|report| matches!(report, MediaReport::Opened { .. }).then_some(()));
    }

    fn close(&self, number: u16) -> LegQuality {
        self.media.send(MediaCommand::Close { leg: leg(number) });
        self.wait_for(|report| match report {
            MediaReport::Closed { leg: id, quality } if id == leg(number) => Some(*quality),
            _ => None,
        })
    }

    fn wait_until(&self, fact: impl Fn(MediaCounters) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !fact(self.media.counters()) {
            assert!(Instant::now() < deadline, "never: {:?}", self.media.counters());
            std::thread::yield_now();
        }
    }
}

impl Peer {
    fn new(ip: &str, codec: Codec) -> Peer {
        let bind = || {
            let socket = UdpSocket::bind((ip, 0)).expect("a port");
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            socket
        };
        Peer { rtp: bind(), rtcp: bind(), codec, ssrc: 0x5eed, sequence: 65_530 }
    }

    fn remote(&self) -> RemoteMedia {
        RemoteMedia {
            rtp: self.rtp.local_addr().expect("bound"),
            rtcp: self.rtcp.local_addr().expect("bound"),
            signalling: HERE.parse().expect("an address"),
            codec: self.codec,
            payload: self.codec.payload_type(),
            dtmf_payload: None,
            dtmf_clock_hz: 8000,
            formats: Vec::new(),
            direction: Direction::Both,
            crypto: None,
        }
    }

    fn send(&mut self, to: SocketAddr, payload: &[u8]) {
        let timestamp = self.sequence as u32 * 160;
        self.send_typed(to, (self.codec.payload_type(), timestamp), payload);
    }

    fn send_typed(&mut self, to: SocketAddr, (payload_type, timestamp): (u8, u32), payload: &[u8]) {
        let header = Header { payload_type, marker: false, sequence: self.sequence, timestamp, ssrc: self.ssrc };
        self.sequence = self.sequence.wrapping_add(1);
        let mut buffer = [0; 512];
        let length = packet::write(&header, payload, &mut buffer).expect("room");
        self.rtp.send_to(&buffer[..length], to).expect("sent");
    }

    fn receive(&self) -> Got {
        let mut buffer = [0; 2000];
        let length = self.rtp.recv(&mut buffer).expect("a packet in time");
        let packet = packet::read(&buffer[..length]).expect("RTP");
        Got { header: packet.header, payload: packet.payload.to_vec() }
    }
}

#[test]
fn a_greeting_reaches_the_peer_in_step_and_the_music_after_it_goes_on_in_the_same_numbers() {
    let bench = bench(|_| ());
    let mut peer = Peer::new(HERE, Codec::Pcma);
    let ours = bench.open(0);
    peer.send(ours, &[0; 160]);
    bench.wait_until(|counters| counters.early == 1);
    bench.media.send(MediaCommand::Play { leg: leg(0), sounds: vec!["tone".into()], after: AfterSounds::Report });
    bench.aim(0, peer.remote());
    let began = Instant::now();
    let mut got: Vec<Got> = (0..15).map(|_| peer.receive()).collect();
    // No more than the five ticks that are caught up with may come early.
    assert!(began.elapsed() >= Duration::from_millis(20 * 9), "{:?}", began.elapsed());
    let heard: Vec<u8> = got.iter().flat_map(|packet| packet.payload.clone()).collect();
    let expected: Vec<u8> = (0..2400).map(|place| g711::encode(Law::A, sample(place))).collect();
    assert_eq!(heard, expected);
    bench.wait_for(|report| matches!(report, MediaReport::Played { .. }).then_some(()));
    bench.media.send(MediaCommand::Play { leg: leg(0), sounds: vec!["short".into()], after: AfterSounds::RepeatLast });
    // The greeting's tail of silence lies between.
    got.extend((0..22).map(|_| peer.receive()));
    assert!(got[0].header.marker && got[0].header.payload_type == 8);
    for pair in got.windows(2) {
        assert_eq!(pair[1].header.ssrc, pair[0].header.ssrc);
        assert_eq!(pair[1].header.sequence, pair[0].header.sequence.wrapping_add(1));
        let step = pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp);
        assert!(step == 160 || (step > 160 && pair[1].header.marker), "{step}");
    }
    assert_eq!(got[25].payload, got[30].payload, "800 samples later the music begins again");
    let sent = bench.close(0).packets_sent;
    assert_eq!(bench.media.counters().packets_played, sent);
    bench.media.stop();
}

#[test]
fn a_bridge_relays_both_ways_in_our_own_numbers() {
    let bench = bench(|_| ());
    let (mut a, mut b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    let (to_a, to_b) = bench.bridge(&a, &b);
    for round in 0..10u8 {
        a.send(to_a, &[round; 160]);
        b.send(to_b, &[100 + round; 160]);
        let (at_b, at_a) = (b.receive(), a.receive());
        assert_eq!((at_b.payload, at_a.payload), (vec![round; 160], vec![100 + round; 160]));
        assert_eq!(at_b.header.marker, round == 0);
        assert!(at_b.header.ssrc != a.ssrc && at_b.header.ssrc != at_a.header.ssrc);
    }
    let quality = bench.close(0);
    assert_eq!(bench.media.counters().packets_relayed, 20);
    assert_eq!((quality.packets_received, quality.packets_sent, quality.packets_lost), (10, 10, 0));
}

#[test]
fn a_law_and_u_law_sound_the_same_on_both_sides_of_a_bridge() {
    let bench = bench(|_| ());
    let (mut a, mut b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcmu));
    let (to_a, to_b) = bench.bridge(&a, &b);
    let linear = |law: Law, codes: &[u8]| codes.iter().map(|c| g711::decode(law, *c) as i32).collect::<Vec<_>>();
    let voice: Vec<i16> = (0..160).map(sample).collect();
    let coded = |law| voice.iter().map(|s| g711::encode(law, *s)).collect::<Vec<u8>>();
    a.send(to_a, &coded(Law::A));
    b.send(to_b, &coded(Law::Mu));
    let (at_b, at_a) = (b.receive(), a.receive());
    assert_eq!((at_b.header.payload_type, at_a.header.payload_type), (0, 8));
    for heard in [linear(Law::Mu, &at_b.payload), linear(Law::A, &at_a.payload)] {
        let far = heard.iter().zip(&voice).find(|(h, s)| (**h - **s as i32).abs() > 32 + (**s as i32).abs() / 10);
        assert_eq!(far, None);
    }
}

#[test]
fn a_stranger_is_neither_relayed_nor_recorded_nor_answered() {
    let mut bench = bench(|_| ());
    let mut ring = bench.media.rings().remove(0);
    let (mut a, b, mut stranger) =
        (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma), Peer::new(ELSEWHERE, Codec::Pcma));
    let (to_a, _) = bench.bridge(&a, &b);
    bench.media.send(MediaCommand::Record { leg: leg(0), on: true });
    bench.settle();
    stranger.send(to_a, &[66; 160]);
    a.send(to_a, &[1; 160]);
    assert_eq!(b.receive().payload, vec![1; 160]);
    assert_eq!(bench.media.counters().strangers, 1);
    let quality = bench.close(0);
    assert_eq!((quality.strangers, quality.packets_received, quality.frames_recorded), (1, 1, 1));
    let mut recorded = Vec::new();
    ring.read(|frame| recorded.push(frame.payload.to_vec())).expect("readable");
    assert_eq!(recorded, [vec![1; 160]]);
    stranger.rtp.set_nonblocking(true).expect("set");
    assert!(stranger.rtp.recv(&mut [0; 2000]).is_err());
}

#[test]
fn a_phone_behind_a_nat_is_heard_from_where_its_signalling_came_and_answered_there() {
    let bench = bench(|_| ());
    let (mut a, mut b) = (Peer::new(HERE, Codec::Pcma), Peer::new(ELSEWHERE, Codec::Pcma));
    let (to_a, to_b) = (bench.open(0), bench.open(1));
    bench.aim(0, a.remote());
    let private: SocketAddr = "127.0.0.3:9".parse().expect("an address");
    let signalling: IpAddr = ELSEWHERE.parse().expect("an address");
    bench.aim(1, RemoteMedia { rtp: private, rtcp: private, signalling, ..b.remote() });
    bench.media.send(MediaCommand::Bridge { a: leg(0), b: leg(1) });
    bench.settle();
    b.send(to_b, &[7; 160]);
    assert_eq!(a.receive().payload, vec![7; 160]);
    bench.wait_for(|report| matches!(report, MediaReport::Heard { leg: id } if id == leg(1)).then_some(()));
    a.send(to_a, &[8; 160]);
    assert_eq!(b.receive().payload, vec![8; 160]);
}

#[test]
fn another_port_of_the_same_address_is_a_stranger_until_the_first_is_silent() {
    let quick = bench(|settings| settings.relatch_after = Duration::from_millis(100));
    let slow = bench(|_| ());
    let (mut first, mut second, b) =
        (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    for (bench, relatches) in [(slow, false), (quick, true)] {
        let (to_a, _) = bench.bridge(&first, &b);
        first.send(to_a, &[1; 160]);
        assert_eq!(b.receive().payload, vec![1; 160]);
        if relatches {
            let deadline = Instant::now() + PATIENCE;
            while bench.media.counters().packets_relayed < 2 {
                assert!(Instant::now() < deadline, "never relatched");
                second.send(to_a, &[2; 160]);
                std::thread::yield_now();
            }
            assert_eq!(b.receive().payload, vec![2; 160]);
        } else {
            second.send(to_a, &[2; 160]);
            bench.wait_until(|counters| counters.strangers == 1);
            assert_eq!(bench.media.counters().packets_relayed, 1);
        }
    }
}

#[test]
fn silence_is_reported_once_while_it_is_watched() {
    let bench = bench(|settings| settings.silence_max = Duration::from_millis(50));
    bench.open(0);
    bench.open(1);
    bench.media.send(MediaCommand::Watch { leg: leg(1), on: true });
    assert_eq!(bench.wait_for(Some), MediaReport::Silent { leg: leg(1) });
    bench.media.send(MediaCommand::Watch { leg: leg(0), on: true });
    assert_eq!(bench.wait_for(Some), MediaReport::Silent { leg: leg(0) });
}

#[test]
fn a_payload_type_of_the_far_end_s_own_is_heard_and_spoken() {
    let bench = bench(|_| ());
    let (mut a, mut b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    let (to_a, to_b) = bench.bridge(&a, &b);
    bench.aim(0, RemoteMedia { payload: 98, ..a.remote() });
    bench.aim(1, RemoteMedia { formats: vec![(0, Format::Audio(Codec::Pcmu))], ..b.remote() });
    bench.settle();
    a.send_typed(to_a, (98, 160), &[1; 160]);
    assert_eq!(b.receive().header.payload_type, 8);
    b.send(to_b, &[2; 160]);
    assert_eq!(a.receive().header.payload_type, 98);
    // PCMU, which its answer named too (RFC 3264 §6.1).
    b.send_typed(to_b, (0, 320), &[0xff; 160]);
    assert_eq!(a.receive().payload, vec![0xd5; 160]);
}

#[test]
fn a_recorded_leg_s_packets_are_in_the_ring_as_they_came() {
    let mut bench = bench(|_| ());
    let mut ring = bench.media.rings().remove(0);
    assert!(bench.media.rings().is_empty(), "they are handed out once");
    let mut peer = Peer::new(HERE, Codec::Pcmu);
    let to = bench.open(0);
    bench.aim(0, RemoteMedia { dtmf_payload: Some(101), ..peer.remote() });
    bench.settle();
    peer.send(to, &[9; 160]);
    bench.wait_until(|counters| counters.packets_received == 1);
    bench.media.send(MediaCommand::Record { leg: leg(0), on: true });
    bench.settle();
    peer.send(to, &[1; 160]);
    peer.send_typed(to, (101, 1000), &[5, 0x8a, 3, 32]);
    peer.send_typed(to, (18, 1000), &[0; 20]);
    peer.send(to, &[2; 160]);
    bench.wait_until(|counters| counters.packets_received == 4);
    let quality = bench.close(0);
    assert_eq!((quality.frames_recorded, quality.frames_refused, quality.malformed), (3, 0, 1));
    let mut frames = Vec::new();
    ring.read(|f| frames.push((f.leg_id(), f.number, f.codec, f.kind, f.rtp_sequence, f.payload.to_vec())))
        .expect("readable");
    let expected = [
        (leg(0), 0, Codec::Pcmu, FrameKind::Audio, 65_531, vec![1; 160]),
        (leg(0), 1, Codec::Pcmu, FrameKind::Event, 65_532, vec![5, 0x8a, 3, 32]),
        (leg(0), 2, Codec::Pcmu, FrameKind::Audio, 65_534, vec![2; 160]),
    ];
    assert_eq!(frames, expected);
}

#[test]
fn a_full_ring_stops_no_call() {
    let bench = bench(|settings| settings.ring_bytes = 64 * 1024);
    let (mut a, b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    let (to_a, _) = bench.bridge(&a, &b);
    bench.media.send(MediaCommand::Record { leg: leg(0), on: true });
    bench.settle();
    for round in 0..400u32 {
        a.send(to_a, &[round as u8; 160]);
        assert_eq!(b.receive().payload, vec![round as u8; 160]);
    }
    let quality = bench.close(0);
    assert!(quality.frames_refused > 0 && quality.frames_recorded + quality.frames_refused == 400, "{quality:?}");
}

#[test]
fn the_far_end_s_reports_are_read_a_spoofed_bye_does_nothing_and_a_close_says_bye() {
    let bench = bench(|_| ());
    let (mut a, b, stranger) =
        (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma), Peer::new(ELSEWHERE, Codec::Pcma));
    let (to_a, to_b) = bench.bridge(&a, &b);
    a.send(to_a, &[1; 160]);
    let ssrc = b.receive().header.ssrc;
    let rtcp_b = SocketAddr::new(to_b.ip(), to_b.port() + 1);
    let block = Block { ssrc, fraction_lost: 64, cumulative_lost: 1, highest_sequence: 9, jitter: 80 };
    let report =
        rtcp::Outgoing { ssrc: 1, cname: "far", sent: None, block: Some(block), last_sender_report: None, bye: true };
    let mut buffer = [0; rtcp::RTCP_BYTES_MAX];
    let length = rtcp::write(&report, &mut buffer).expect("room");
    stranger.rtcp.send_to(&buffer[..length], rtcp_b).expect("sent");
    b.rtcp.send_to(&buffer[..length], rtcp_b).expect("sent");
    bench.wait_until(|counters| counters.rtcp_received == 1);
    a.send(to_a, &[2; 160]);
    assert_eq!(b.receive().payload, vec![2; 160], "the call goes on");
    let quality = bench.close(1);
    assert_eq!((quality.remote_loss, quality.remote_jitter_ms, quality.strangers), (Some(0.25), Some(10.0), 1));
    let length = b.rtcp.recv(&mut buffer).expect("a report in time");
    assert_eq!(buffer[1], 200, "a sender's report comes first");
    let mut incoming = rtcp::read(&buffer[..length], 0).expect("RTCP");
    while !incoming.bye {
        let length = b.rtcp.recv(&mut buffer).expect("a report in time");
        incoming = rtcp::read(&buffer[..length], 0).expect("RTCP");
    }
}

#[test]
fn nothing_is_sent_to_a_side_that_holds_and_sound_returns_with_the_next_aim() {
    let bench = bench(|_| ());
    let (mut a, b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    let (to_a, _) = bench.bridge(&a, &b);
    bench.aim(1, RemoteMedia { direction: Direction::ReceiveOnly, ..b.remote() });
    bench.settle();
    a.send(to_a, &[1; 160]);
    bench.wait_until(|counters| counters.packets_received == 1);
    bench.aim(1, b.remote());
    bench.settle();
    a.send(to_a, &[2; 160]);
    assert_eq!(b.receive().payload, vec![2; 160]);
}

#[test]
fn ports_that_run_out_are_told_and_come_back_with_a_close() {
    let bench = bench(|settings| {
        settings.address = ports::tests::own_address();
        settings.ports = (30_902, 30_905);
    });
    bench.open(0);
    bench.open(1);
    bench.media.send(MediaCommand::Open { leg: leg(2) });
    let why = bench.wait_for(|report| match report {
        MediaReport::OpenFailed { leg: id, why } if id == leg(2) => Some(why),
        _ => None,
    });
    assert!(why.contains("media.ports"), "{why}");
    bench.close(0);
    bench.open(2);
}

#[test]
fn a_command_for_a_leg_that_is_not_open_is_counted_and_left() {
    let bench = bench(|_| ());
    bench.media.send_all([
        MediaCommand::Close { leg: leg(7) },
        MediaCommand::Quiet { leg: leg(7) },
        MediaCommand::Bridge { a: leg(7), b: leg(8) },
        MediaCommand::Play { leg: leg(7), sounds: Vec::new(), after: AfterSounds::Report },
    ]);
    bench.wait_until(|counters| counters.commands_unknown == 4);
}

#[test]
fn commands_handed_over_together_reach_the_thread_of_each_call() {
    let bench = bench(|settings| settings.threads = 3);
    let mut chance = Chance::from_number(9);
    let calls: Vec<CallId> = (0..12).map(|_| CallId::new(Utc(0), &mut chance)).collect();
    let close = |call: &CallId| MediaCommand::Close { leg: LegId { call: *call, number: 0 } };
    bench.media.send_all(calls.iter().map(close));
    bench.wait_until(|counters| counters.commands_unknown == 12);
    bench.media.send_all(Vec::new());
}
