//! Keys told by signalling reach the other side as RFC 4733, once, between its sound.

use super::*;
use crate::rtp::dtmf::TelephoneEvent;

/// The next packet that is a key's, and whether anything else came before it.
fn next_key(peer: &Peer) -> Got {
    loop {
        let got = peer.receive();
        if got.header.payload_type == 96 {
            return got;
        }
    }
}

#[test]
fn a_key_told_by_info_is_reported_and_sent_on_as_an_event_that_ends_three_times() {
    let bench = bench(|_| ());
    let (a, b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    bench.bridge(&a, &b);
    bench.aim(1, RemoteMedia { dtmf_payload: Some(96), ..b.remote() });
    bench.media.send(MediaCommand::Key { leg: leg(0), digit: '7' });
    let told = bench.wait_for(|report| match report {
        MediaReport::Dtmf { leg: id, digit, .. } => Some((id, digit)),
        _ => None,
    });
    assert_eq!(told, (leg(0), '7'));
    let packets: Vec<Got> = (0..8).map(|_| next_key(&b)).collect();
    let events: Vec<_> = packets.iter().filter_map(|got| TelephoneEvent::read(&got.payload)).collect();
    assert!(events.len() == 8 && events.iter().all(|event| event.key() == Some('7')));
    assert_eq!(events.iter().filter(|event| event.end).count(), 3);
    assert!(packets.iter().all(|got| got.header.timestamp == packets[0].header.timestamp));
    let steps = packets.windows(2).map(|two| two[1].header.sequence.wrapping_sub(two[0].header.sequence));
    assert!(steps.clone().all(|step| step == 1), "{:?}", steps.collect::<Vec<_>>());
}

#[test]
fn after_a_key_the_voice_goes_on_in_the_same_numbers() {
    let bench = bench(|_| ());
    let (mut a, b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    let (to_a, _) = bench.bridge(&a, &b);
    bench.aim(1, RemoteMedia { dtmf_payload: Some(96), ..b.remote() });
    a.send(to_a, &[1; 160]);
    let before = b.receive().header;
    bench.media.send(MediaCommand::Key { leg: leg(0), digit: '#' });
    let keys: Vec<Got> = (0..8).map(|_| next_key(&b)).collect();
    let last = keys[7].header;
    assert_eq!((last.ssrc, last.sequence), (before.ssrc, before.sequence.wrapping_add(8)));
    // The gap behind a key swallows what is said in it.
    let deadline = Instant::now() + PATIENCE;
    b.rtp.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let mut buffer = [0; 2000];
    let length = loop {
        assert!(Instant::now() < deadline, "the voice never came back");
        a.send(to_a, &[2; 160]);
        if let Ok(length) = b.rtp.recv(&mut buffer) {
            break length;
        }
    };
    let after = packet::read(&buffer[..length]).expect("RTP");
    assert_eq!((after.header.payload_type, after.payload), (8, &[2; 160][..]));
    assert_eq!(after.header.sequence, last.sequence.wrapping_add(1));
    assert!((after.header.timestamp.wrapping_sub(last.timestamp) as i32) >= 8 * 160);
}

#[test]
fn a_key_told_by_info_and_by_rtp_is_one_key_on_either_side() {
    let bench = bench(|_| ());
    let (mut a, b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    let (to_a, _) = bench.bridge(&a, &b);
    bench.aim(0, RemoteMedia { dtmf_payload: Some(101), ..a.remote() });
    bench.aim(1, RemoteMedia { dtmf_payload: Some(96), ..b.remote() });
    bench.settle();
    // By RTP first: what INFO says afterwards is known.
    a.send_typed(to_a, (101, 1000), &[5, 0x8a, 3, 32]);
    bench.wait_until(|counters| counters.packets_received == 1);
    bench.media.send(MediaCommand::Key { leg: leg(0), digit: '5' });
    bench.media.send(MediaCommand::Open { leg: leg(0) });
    let keys = std::cell::Cell::new(0);
    bench.wait_for(|report| {
        keys.set(keys.get() + usize::from(matches!(report, MediaReport::Dtmf { .. })));
        matches!(report, MediaReport::Opened { .. }).then_some(())
    });
    assert_eq!(keys.get(), 1);
    a.send(to_a, &[3; 160]);
    assert_eq!((b.receive().header.payload_type, b.receive().header.payload_type), (96, 8));
}
