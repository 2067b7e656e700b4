//! A leg that goes on under another name: its ports, its bridge and its numbers stay, its reports and frames bear the new one.

use super::*;
use uuid::Uuid;

/// `Bench::settle` opens a leg that is open: in `bridge`, and once more here.
const SETTLED: u64 = 2;

/// Another call, on the same thread for any number of threads.
fn beside(number: u16) -> LegId {
    let (high, low) = leg(0).call.0.as_u64_pair();
    LegId { call: CallId(Uuid::from_u64_pair(high ^ 0xff00, low)), number }
}

/// A call on the other one of two threads.
fn elsewhere(number: u16) -> LegId {
    let (high, low) = leg(0).call.0.as_u64_pair();
    LegId { call: CallId(Uuid::from_u64_pair(high, low ^ 1)), number }
}

#[test]
fn a_renamed_leg_keeps_its_bridge_and_is_recorded_and_reported_under_the_new_name() {
    let mut bench = bench(|settings| settings.threads = 2);
    let mut rings = bench.media.rings();
    let (mut a, mut b) = (Peer::new(HERE, Codec::Pcma), Peer::new(ELSEWHERE, Codec::Pcma));
    let (to_a, to_b) = bench.bridge(&a, &b);
    let (from, to) = (leg(1), beside(7));
    bench.media.send(MediaCommand::Rename { from, to });
    bench.media.send(MediaCommand::Record { leg: to, on: true });
    bench.settle();
    a.send(to_a, &[1; 160]);
    b.send(to_b, &[2; 160]);
    assert_eq!((b.receive().payload, a.receive().payload), (vec![1; 160], vec![2; 160]));
    bench.media.send(MediaCommand::Close { leg: to });
    let quality = bench.wait_for(|report| match report {
        MediaReport::Closed { leg, quality } if leg == to => Some(quality),
        _ => None,
    });
    assert_eq!((quality.packets_received, quality.frames_recorded), (1, 1));
    let mut frames = Vec::new();
    for ring in &mut rings {
        ring.read(|frame| frames.push((frame.leg_id(), frame.number, frame.payload.to_vec()))).expect("readable");
    }
    assert_eq!(frames, [(to, 0, vec![2; 160])]);
    assert_eq!(bench.media.counters().commands_unknown, SETTLED, "but for what `settle` asks");
}

#[test]
fn a_name_that_is_taken_or_on_another_thread_is_refused_and_counted() {
    let bench = bench(|settings| settings.threads = 2);
    let (mut a, b) = (Peer::new(HERE, Codec::Pcma), Peer::new(ELSEWHERE, Codec::Pcma));
    let (to_a, _) = bench.bridge(&a, &b);
    for (from, to) in [(leg(1), leg(0)), (leg(9), beside(1)), (leg(1), elsewhere(1))] {
        bench.media.send(MediaCommand::Rename { from, to });
    }
    bench.settle();
    assert_eq!(bench.media.counters().commands_unknown, SETTLED + 3);
    a.send(to_a, &[1; 160]);
    assert_eq!(b.receive().payload, vec![1; 160]);
    assert_eq!(bench.close(1).packets_sent, 1, "the leg goes on under the name it had");
}
