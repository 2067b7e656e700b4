//! The direct way to a far end, seen from outside: by the system's own table of sockets.

use super::*;

/// Where the sockets at this port lead, as /proc/net/udp says: `0` for one that leads nowhere.
fn leads_to(port: u16) -> Vec<u16> {
    let table = std::fs::read_to_string("/proc/net/udp").expect("readable");
    let port_of = |text: &str| u16::from_str_radix(text.split(':').nth(1)?, 16).ok();
    let ends = table.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        Some((port_of(words.next()?)?, port_of(words.next()?)?))
    });
    let mut found: Vec<u16> = ends.filter(|(local, _)| *local == port).map(|(_, remote)| remote).collect();
    found.sort_unstable();
    found
}

fn port(peer: &Peer) -> u16 {
    peer.rtp.local_addr().expect("bound").port()
}

/// Sends packets until the way to the peer is open; each one is heard by the other.
fn speak_until_open(peer: &mut Peer, (to, other): (SocketAddr, &Peer)) {
    let deadline = Instant::now() + PATIENCE;
    let wanted = [0, port(peer)];
    while leads_to(to.port()) != wanted {
        assert!(Instant::now() < deadline, "{:?}", leads_to(to.port()));
        peer.send(to, &[7; 160]);
        assert_eq!(other.receive().payload, [7; 160]);
    }
}

#[test]
fn the_way_opens_in_mid_call_and_nothing_is_lost_or_reordered_by_it() {
    let bench = bench(|_| ());
    let (mut a, mut b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    let (to_a, to_b) = bench.bridge(&a, &b);
    speak_until_open(&mut a, (to_a, &b));
    speak_until_open(&mut b, (to_b, &a));
    for round in 0..100u8 {
        a.send(to_a, &[round; 160]);
        b.send(to_b, &[round; 160]);
    }
    for round in 0..100u8 {
        assert_eq!((a.receive().payload, b.receive().payload), (vec![round; 160], vec![round; 160]));
    }
    let (first, second) = (bench.close(0), bench.close(1));
    assert_eq!((first.packets_lost, first.packets_reordered, first.strangers), (0, 0, 0));
    assert_eq!((second.packets_lost, second.packets_reordered, bench.media.counters().ways_refused), (0, 0, 0));
    assert_eq!((leads_to(to_a.port()), leads_to(to_b.port())), (vec![], vec![]));
}

#[test]
fn beside_the_way_strangers_are_counted_and_nobody_else_gets_the_port() {
    let bench = bench(|_| ());
    let (mut a, b, mut stranger) =
        (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma), Peer::new(ELSEWHERE, Codec::Pcma));
    let (to_a, _) = bench.bridge(&a, &b);
    speak_until_open(&mut a, (to_a, &b));
    stranger.send(to_a, &[66; 160]);
    bench.wait_until(|counters| counters.strangers == 1);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("set");
    assert!(socket.bind(&to_a.into()).is_err(), "the port is ours alone again");
}

#[test]
fn a_far_end_that_moves_is_followed() {
    let bench = bench(|settings| settings.relatch_after = Duration::from_millis(100));
    let (mut a, mut moved, mut b) =
        (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    let (to_a, to_b) = bench.bridge(&a, &b);
    speak_until_open(&mut a, (to_a, &b));
    let deadline = Instant::now() + PATIENCE;
    while leads_to(to_a.port()) != [0, port(&moved)] {
        assert!(Instant::now() < deadline, "{:?}", leads_to(to_a.port()));
        moved.send(to_a, &[8; 160]);
        std::thread::yield_now();
    }
    b.send(to_b, &[9; 160]);
    assert_eq!(moved.receive().payload, [9; 160], "and spoken to there");
}
