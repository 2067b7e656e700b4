//! What may be seen of a leg while it is open, and what a mix's jitter buffer leaves in its quality.

use super::*;

fn seen(bench: &Bench, wanted: impl Fn(LegId, &LegQuality) -> bool) -> (LegId, LegQuality) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let legs = bench.media.quality(leg(0).call);
        if let Some(found) = legs.into_iter().find(|(id, quality)| wanted(*id, quality)) {
            return found;
        }
        assert!(Instant::now() < deadline, "never seen: {:?}", bench.media.quality(leg(0).call));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_open_leg_s_quality_is_seen_under_the_name_it_has_until_it_is_closed() {
    let bench = bench(|_| ());
    let (mut a, b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::Pcma));
    let (to_a, _) = bench.bridge(&a, &b);
    for _ in 0..50 {
        a.send(to_a, &[1; 160]);
    }
    a.sequence = a.sequence.wrapping_add(10);
    a.send(to_a, &[1; 160]);
    let (id, quality) = seen(&bench, |_, quality| quality.packets_received == 51);
    assert_eq!((id, quality.packets_lost, quality.one_way), (leg(0), 10, None));
    assert!(quality.mos.is_some_and(|mos| mos < 4.0), "{quality:?}");
    assert_eq!(seen(&bench, |_, quality| quality.packets_sent == 51).0, leg(1));
    let live = bench.media.live_legs();
    assert_eq!((live.live, live.poor, live.one_way), (2, 1, 0), "{live:?}");

    bench.media.send(MediaCommand::Rename { from: leg(0), to: leg(7) });
    let (_, renamed) = seen(&bench, |id, _| id == leg(7));
    assert_eq!((renamed.packets_received, bench.media.quality(leg(0).call).len()), (51, 2));
    bench.close(7);
    bench.close(1);
    assert_eq!(bench.media.quality(leg(0).call), []);
    assert_eq!(bench.media.live_legs(), LiveLegs::default());
}

#[test]
fn what_a_mix_made_up_for_losses_is_in_the_quality_of_the_leg_that_lost_them() {
    let bench = bench(|_| ());
    let (mut a, b) = (Peer::new(HERE, Codec::Pcma), Peer::new(HERE, Codec::G722));
    let (to_a, _) = bench.bridge(&a, &b);
    let mut next = Instant::now();
    for place in 0..75 {
        // One in five is lost: 15 times 20 ms.
        match place % 5 {
            3 => a.sequence = a.sequence.wrapping_add(1),
            _ => a.send(to_a, &[0x55; 160]),
        }
        next += Duration::from_millis(20);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let live = seen(&bench, |_, quality| quality.concealed_ms > 0).1;
    assert!(live.buffer_ms.is_some(), "{live:?}");
    let quality = bench.close(0);
    // What comes after the last packet is made up as well, for 60 ms.
    assert!((280..=360).contains(&quality.concealed_ms), "{quality:?}");
    assert_eq!((quality.buffer_cut, quality.mos_scale), (0, crate::model::MosScale::Narrowband));
    let quality = bench.close(1);
    assert_eq!((quality.concealed_ms, quality.mos_scale), (0, crate::model::MosScale::Wideband));
    assert!((280..=360).contains(&bench.media.counters().concealed_ms));
}
