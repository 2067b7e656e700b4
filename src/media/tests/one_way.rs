//! That sound goes one way only is noticed, told once, and told again when it is over.

use super::*;
use crate::model::OneWay;

/// Both legs, and who sends; packets go every 20 ms until the wanted report comes.
fn speak_until<T>(
    bench: &Bench,
    speakers: &mut [(&mut Peer, SocketAddr)],
    wanted: impl Fn(MediaReport) -> Option<T>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        for (peer, to) in speakers.iter_mut() {
            peer.send(*to, &[1; 160]);
        }
        match bench.reports.recv_timeout(Duration::from_millis(20)) {
            Ok(report) => {
                if let Some(found) = wanted(report) {
                    return found;
                }
            }
            Err(_) => assert!(Instant::now() < deadline, "never told"),
        }
    }
}

fn one_way(report: MediaReport) -> Option<(u16, OneWay, bool)> {
    match report {
        MediaReport::OneWay { leg, way, is_over } => Some((leg.number, way, is_over)),
        _ => None,
    }
}

#[test]
fn a_side_that_sends_nothing_is_told_within_five_seconds_and_so_is_its_return() {
    let bench = bench(|_| ());
    let (mut a, mut b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    let (to_a, to_b) = bench.bridge(&a, &b);
    let began = Instant::now();
    let told = speak_until(&bench, &mut [(&mut a, to_a)], one_way);
    assert_eq!(told, (1, OneWay::SendsNothing, false));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(bench.media.counters().one_way_began, 1);
    let told = speak_until(&bench, &mut [(&mut a, to_a), (&mut b, to_b)], one_way);
    assert_eq!(told, (1, OneWay::SendsNothing, true));
    assert_eq!(bench.media.counters().one_way_ended, 1);
    let quality = bench.close(1);
    assert!(quality.one_way_times == 1 && quality.one_way_ms < 5_000, "{quality:?}");
    assert_eq!(bench.close(0).one_way_times, 0);
}

#[test]
fn a_far_end_that_reports_to_hear_nothing_is_told() {
    let bench = bench(|_| ());
    let (mut a, mut b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    let (to_a, to_b) = bench.bridge(&a, &b);
    let rtcp_b = SocketAddr::new(to_b.ip(), to_b.port() + 1);
    for _ in 0..120 {
        a.send(to_a, &[1; 160]);
        b.send(to_b, &[1; 160]);
    }
    bench.wait_until(|counters| counters.packets_relayed == 240);
    let nothing =
        rtcp::Outgoing { ssrc: 1, cname: "far", sent: None, block: None, last_sender_report: None, bye: false };
    let mut buffer = [0; rtcp::RTCP_BYTES_MAX];
    let length = rtcp::write(&nothing, &mut buffer).expect("room");
    b.rtcp.send_to(&buffer[..length], rtcp_b).expect("sent");
    assert_eq!(bench.wait_for(one_way), (1, OneWay::HearsNothing, false));
    let quality = bench.close(1);
    assert_eq!((quality.one_way_times, quality.remote_mos), (1, None));
    assert_eq!(bench.media.counters().one_way_ended, 1, "a closed leg is no trouble any more");
}

#[test]
fn a_leg_s_losses_bursts_and_scores_are_in_its_quality() {
    let bench = bench(|_| ());
    let (mut a, b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    let (to_a, _) = bench.bridge(&a, &b);
    for place in 0..200u32 {
        // Four in a row lost, one sent twice, two exchanged.
        match place {
            50..54 => a.sequence = a.sequence.wrapping_add(1),
            100 => {
                a.send(to_a, &[1; 160]);
                a.sequence = a.sequence.wrapping_sub(1);
                a.send(to_a, &[1; 160]);
            }
            120 => {
                a.sequence = a.sequence.wrapping_add(1);
                a.send(to_a, &[1; 160]);
                a.sequence = a.sequence.wrapping_sub(2);
                a.send(to_a, &[1; 160]);
                a.sequence = a.sequence.wrapping_add(1);
            }
            121 => {}
            _ => a.send(to_a, &[1; 160]),
        }
    }
    bench.wait_until(|counters| counters.packets_received == 197);
    let quality = bench.close(0);
    assert_eq!((quality.packets_lost, quality.loss_longest, quality.bursts), (3, 4, 1));
    assert_eq!((quality.packets_repeated, quality.packets_reordered), (1, 1));
    assert_eq!((quality.burst_loss, quality.burst_ms, quality.gap_loss), (1.0, 80.0, 0.0));
    let mos = quality.mos.expect("a score");
    assert!((1.0..4.41).contains(&mos), "{mos}");
    assert!(bench.media.counters().packets_lost == 3 && bench.media.counters().packets_repeated == 1);
}
