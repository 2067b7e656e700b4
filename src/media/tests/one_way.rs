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
fn of_three_in_a_mix_the_one_that_sends_nothing_is_told_and_one_who_only_listens_is_not() {
    let bench = bench(|_| ());
    let mut peers = [(); 4].map(|()| Peer::new(HERE, Codec::Pcma));
    let ports: Vec<SocketAddr> = (0..4).map(|number| bench.open(number)).collect();
    for (number, peer) in peers.iter().enumerate() {
        bench.aim(number as u16, peer.remote());
    }
    // The last one listens, and is heard by nobody.
    let hears = |own: u16| (0..3).filter(|other| *other != own).map(leg).collect();
    let legs = (0..4).map(|own| crate::model::MixedLeg { leg: leg(own), hears: hears(own) }).collect();
    bench.media.send(MediaCommand::Mix { legs });
    bench.settle();
    let [a, b, ..] = &mut peers;
    let told = speak_until(&bench, &mut [(a, ports[0]), (b, ports[1])], one_way);
    assert_eq!(told, (2, OneWay::SendsNothing, false));
    let qualities = [3, 2, 1, 0].map(|number| bench.close(number).one_way_times);
    assert_eq!(qualities, [0, 1, 0, 0]);
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
