//! A far end that changes among the codecs of its answer (RFC 3264 §6.1), over real sockets.

use super::*;

/// Two sides in G.722, bridged.
fn wideband() -> (Bench, [Peer; 2], [SocketAddr; 2]) {
    let bench = bench(|_| ());
    let (a, b) = (Peer::new(HERE, Codec::G722), Peer::new(HERE, Codec::G722));
    let (to_a, to_b) = bench.bridge(&a, &b);
    bench.aim(0, RemoteMedia { formats: vec![(8, Format::Audio(Codec::Pcma))], ..a.remote() });
    bench.settle();
    (bench, [a, b], [to_a, to_b])
}

#[test]
fn a_packet_that_strays_into_another_codec_is_not_relayed_and_tears_nothing_down() {
    let (bench, [mut a, b], [to_a, _]) = wideband();
    a.send(to_a, &[1; 160]);
    for _ in 0..2 {
        a.send_typed(to_a, (8, 0), &[2; 160]);
        a.send(to_a, &[3; 160]);
    }
    let got: Vec<Got> = (0..3).map(|_| b.receive()).collect();
    assert_eq!(got.iter().map(|got| got.payload[0]).collect::<Vec<_>>(), [1, 3, 3]);
    assert!(got.iter().all(|got| got.header.payload_type == 9));
    bench.wait_until(|counters| counters.packets_relayed == 3);
    assert_eq!(bench.media.counters().packets_mixed, 0);
}

#[test]
fn a_codec_that_was_not_agreed_on_is_counted_and_goes_nowhere() {
    let (bench, [mut a, b], [to_a, _]) = wideband();
    for _ in 0..5 {
        a.send_typed(to_a, (0, 0), &[2; 160]);
    }
    a.send(to_a, &[1; 160]);
    assert_eq!(b.receive().payload, vec![1; 160]);
    let counters = bench.media.counters();
    assert_eq!((counters.malformed, counters.packets_mixed), (5, 0));
}

#[test]
fn a_far_end_that_changes_its_codec_is_decoded_and_relayed_again_when_it_changes_back() {
    let (bench, [mut a, b], [to_a, _]) = wideband();
    let loud: Vec<u8> = (0..160).map(|n| g711::encode(Law::A, if n % 8 < 4 { 9000 } else { -9000 })).collect();
    a.rtp.set_nonblocking(true).expect("set");
    let deadline = Instant::now() + PATIENCE;
    let mut decoder = crate::rtp::codec::Decoder::new(Codec::G722);
    let mut loudest = 0;
    b.rtp.set_read_timeout(Some(Duration::from_millis(20))).expect("set");
    while loudest < 5000 {
        assert!(Instant::now() < deadline, "never heard: {:?}", bench.media.counters());
        a.send_typed(to_a, (8, u32::from(a.sequence) * 160), &loud);
        let mut buffer = [0; 2000];
        let Ok(length) = b.rtp.recv(&mut buffer) else { continue };
        let packet = packet::read(&buffer[..length]).expect("RTP");
        assert_eq!(packet.header.payload_type, 9, "in the codec that it agreed on");
        let mut pcm = [0i16; 5760];
        let samples = decoder.decode(packet.payload, &mut pcm);
        loudest = pcm[..samples].iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0).max(loudest);
    }
    assert!(bench.media.counters().packets_mixed > 0);
    // And back: the third packet shows it, the fourth is relayed.
    let relayed = bench.media.counters().packets_relayed;
    for _ in 0..4 {
        a.send(to_a, &[7; 160]);
    }
    bench.wait_until(|counters| counters.packets_relayed > relayed);
}
