//! Whether the copying keeps up with a busy site.

use std::time::{Duration, Instant};

use vigie::journal::RingWriter;
use vigie::recorder;

use super::bench::{Talk, parts};

/// Bridged calls, of two legs each.
const CALLS: u64 = 150;

#[test]
#[ignore = "a measurement of ten seconds and more (VIGIE_PACE_S); run it with --nocapture"]
fn three_hundred_legs_in_real_time_do_not_fill_the_ring() {
    let seconds = std::env::var("VIGIE_PACE_S").ok().and_then(|s| s.parse().ok()).unwrap_or(10);
    let folder = tempfile::tempdir().expect("a folder");
    let mut parts = parts(folder.path());
    // A minute, as in service.
    parts.settings.segment_bytes = 64 << 20;
    let mut ring = RingWriter::create(&parts.ring_folder.join("media-0.ring"), 64 << 20).expect("a ring");
    let alarm = |kind: String, _, text: String| println!("{kind}: {text}");
    let recorder = recorder::start(parts, vec![ring.reader()], |_| (), alarm).expect("a recorder");
    let talks: Vec<Talk> = (0..CALLS).map(|number| Talk::begin(number, &recorder)).collect();
    let (begun, mut highest, mut tail) = (Instant::now(), 0, 0);
    for number in 0..seconds * 50 {
        for talk in &talks {
            talk.push_both(&mut ring, number);
        }
        ring.flush().expect("flushed");
        let waiting = ring.reader().waiting_bytes();
        highest = highest.max(waiting);
        if number >= seconds * 40 {
            tail = tail.max(waiting);
        }
        std::thread::sleep(
            (begun + Duration::from_millis(20) * (number + 1)).saturating_duration_since(Instant::now()),
        );
    }
    let a_second = CALLS * 2 * 50 * 232;
    println!(
        "{CALLS} calls for {seconds} s: at most {highest} bytes waited in the ring ({tail} in the last fifth); a second is {a_second}"
    );
    assert_eq!(ring.refused(), 0);
    assert!(tail < a_second, "the ring grows");
    recorder.stop();
}
