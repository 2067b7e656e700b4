//! Garbage, strangers and spoofed packets at a leg's ports: counted, never relayed, recorded or answered.

use super::*;

/// A binding request (RFC 8489 §5) as browsers and NAT probes send it.
const STUN: [u8; 20] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

struct Scene {
    bench: Bench,
    ring: crate::journal::RingReader,
    a: Peer,
    b: Peer,
    to_a: SocketAddr,
    to_b: SocketAddr,
}

/// Two bridged legs, the first one recorded.
fn scene() -> Scene {
    let mut bench = bench(|_| ());
    let ring = bench.media.rings().remove(0);
    let (a, b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    let (to_a, to_b) = bench.bridge(&a, &b);
    bench.media.send(MediaCommand::Record { leg: leg(0), on: true });
    bench.settle();
    Scene { bench, ring, a, b, to_a, to_b }
}

impl Scene {
    /// One good packet is all that is relayed and recorded after what was sent; nobody else got an answer.
    fn ends_clean(mut self, hostile: &[&UdpSocket]) -> (LegQuality, MediaCounters) {
        self.a.send(self.to_a, &[77; 160]);
        assert_eq!(self.b.receive().payload, vec![77; 160], "the first thing that is relayed");
        let mut recorded = Vec::new();
        self.ring.read(|frame| recorded.push(frame.payload.to_vec())).expect("readable");
        let quality = self.bench.close(0);
        self.ring.read(|frame| recorded.push(frame.payload.to_vec())).expect("readable");
        assert_eq!(recorded, [vec![77; 160]]);
        for socket in hostile {
            socket.set_nonblocking(true).expect("set");
            assert!(socket.recv(&mut [0; 2000]).is_err(), "an answer");
        }
        (quality, self.bench.media.counters())
    }
}

fn rtp(payload_type: u8, length: usize) -> Vec<u8> {
    let header = Header { payload_type, marker: false, sequence: 9, timestamp: 9, ssrc: 0x5eed };
    let mut buffer = vec![0; 12 + length];
    packet::write(&header, &vec![66; length], &mut buffer).expect("room");
    buffer
}

/// What may stand at no RTP port, and payload types that nobody agreed on.
pub(super) fn garbage() -> Vec<Vec<u8>> {
    let mut garbage: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0],
        vec![0x80],
        vec![0xff; 12],
        STUN.to_vec(),
        vec![0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        rtp(8, 160)[..11].to_vec(),
        rtp(8, 1600),
        b"INVITE sip:a@b SIP/2.0\r\n\r\n".to_vec(),
    ];
    garbage.extend([1, 3, 4, 18, 63, 95, 101, 127].map(|payload_type| rtp(payload_type, 160)));
    // Padding that claims more than there is, and more contributing sources than fit.
    garbage.extend([[0xa0, 8].as_slice(), [0x8f, 8].as_slice()].map(|head| {
        let mut bytes = rtp(8, 20);
        bytes[..2].copy_from_slice(head);
        *bytes.last_mut().expect("some") = 255;
        bytes
    }));
    garbage
}

#[test]
fn garbage_stun_rtcp_and_payload_types_not_agreed_on_at_the_rtp_port_are_counted_and_left() {
    let (scene, garbage) = (scene(), garbage());
    for bytes in &garbage {
        scene.a.rtp.send_to(bytes, scene.to_a).expect("sent");
    }
    let sent = garbage.len() as u64;
    scene.bench.wait_until(|counters| counters.malformed == sent);
    let (quality, counters) = scene.ends_clean(&[]);
    assert_eq!((quality.malformed, quality.packets_received, quality.strangers), (sent, 1, 0));
    assert_eq!((counters.packets_relayed, counters.frames_recorded), (1, 1));
}

#[test]
fn what_has_the_number_of_keys_and_not_their_form_is_no_key() {
    let scene = scene();
    scene.bench.aim(0, RemoteMedia { dtmf_payload: Some(101), ..scene.a.remote() });
    scene.bench.aim(1, RemoteMedia { dtmf_payload: Some(101), ..scene.b.remote() });
    scene.bench.settle();
    for length in [0, 3, 44, 160] {
        scene.a.rtp.send_to(&rtp(101, length), scene.to_a).expect("sent");
    }
    scene.bench.wait_until(|counters| counters.malformed == 4);
    let (quality, _) = scene.ends_clean(&[]);
    assert_eq!((quality.malformed, quality.packets_received), (4, 1));
}

#[test]
fn garbage_at_the_rtcp_port_is_counted_and_left() {
    let scene = scene();
    let rtcp_a = SocketAddr::new(scene.to_a.ip(), scene.to_a.port() + 1);
    let garbage: [&[u8]; 7] = [
        &[],
        &[0x80],
        &[0xff; 40],
        &STUN,
        // A lone BYE of our far end's source; a report cut short; a report that claims 31 blocks.
        &[0x81, 203, 0, 1, 0, 0, 0x5e, 0xed],
        &[0x80, 200, 0, 6, 0, 0, 0, 1],
        &[0x9f, 201, 0, 1, 0, 0, 0, 1],
    ];
    for bytes in garbage {
        scene.a.rtcp.send_to(bytes, rtcp_a).expect("sent");
    }
    scene.bench.wait_until(|counters| counters.malformed == 7);
    let (quality, _) = scene.ends_clean(&[]);
    assert_eq!((quality.malformed, quality.rtcp_received), (7, 0));
}

#[test]
fn a_stranger_s_burst_and_its_spoofed_bye_change_nothing() {
    let scene = scene();
    let stranger = Peer::new(ELSEWHERE, Codec::Pcma);
    let rtcp_a = SocketAddr::new(scene.to_a.ip(), scene.to_a.port() + 1);
    let bye = {
        let report =
            rtcp::Outgoing { ssrc: 0x5eed, cname: "far", sent: None, block: None, last_sender_report: None, bye: true };
        let mut buffer = [0; rtcp::RTCP_BYTES_MAX];
        let length = rtcp::write(&report, &mut buffer).expect("room");
        buffer[..length].to_vec()
    };
    let good = rtp(8, 160);
    for round in 0..100u64 {
        // The same source, sequence and payload type as the far end's: only the address tells them apart.
        stranger.rtp.send_to(&good, scene.to_a).expect("sent");
        stranger.rtp.send_to(&STUN, scene.to_a).expect("sent");
        stranger.rtcp.send_to(&bye, rtcp_a).expect("sent");
        scene.bench.wait_until(|counters| counters.strangers == (round + 1) * 3);
    }
    let to_b = scene.to_b;
    stranger.rtp.send_to(&good, to_b).expect("sent");
    let (quality, counters) = scene.ends_clean(&[&stranger.rtp, &stranger.rtcp]);
    assert_eq!((quality.strangers, quality.malformed, quality.packets_received), (300, 0, 1));
    assert_eq!((quality.rtcp_received, counters.packets_relayed), (0, 1));
}

#[test]
fn a_burst_of_the_far_end_s_own_is_relayed_whole_and_counted_once() {
    let scene = scene();
    let Scene { bench, mut a, b, to_a, .. } = scene;
    for round in 0..200u8 {
        a.send(to_a, &[round; 160]);
    }
    let got: Vec<u8> = (0..200).map(|_| b.receive().payload[0]).collect();
    assert_eq!(got, (0..200).collect::<Vec<u8>>());
    let quality = bench.close(0);
    assert_eq!((quality.packets_received, quality.packets_lost, quality.packets_repeated), (200, 0, 0));
}
