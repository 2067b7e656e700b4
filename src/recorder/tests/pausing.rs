//! Pauses of a recording: nothing of them is kept, and they are marked with who asked; sound that cannot be written is told.

use super::*;
use crate::model::AskedBy;

/// The `number`-th turn of the call's clock, at which the recording is paused or goes on.
fn turn(world: &World, number: u32) -> Now {
    world.begin.after(Duration::from_millis(u64::from(number) * 20))
}

#[test]
fn a_pause_is_a_gap_of_its_own_with_who_asked_and_no_packet_of_it_counts_as_lost() {
    let world = World::new();
    let mut running = world.start(1 << 20);
    world.begin(&running);
    world.talk(&mut running.ring, 0..100);
    let (by, reason) = (AskedBy::Token("desk".into()), Some("a card's number".to_owned()));
    running.recorder.send(RecorderCommand::Pause { call: world.call, at: turn(&world, 100), by: by.clone(), reason });
    let anne = AskedBy::Regulator("anne".into());
    running.recorder.send(RecorderCommand::Resume { call: world.call, at: turn(&world, 250), by: anne.clone() });
    // The media plane numbers what it keeps; the phones' own numbers go on.
    for number in 250..400 {
        for leg in [0, 1] {
            assert!(world.push_as(&mut running.ring, leg, number, number - 150));
        }
    }
    running.ring.flush().expect("written");
    world.finish(&running, 8000);
    let sealed = running.sealed();
    running.recorder.stop();
    let sidecar = world.sidecar();
    let block = &sidecar.vigie;
    let gaps: Vec<_> = block.gaps.iter().map(|gap| (gap.leg, gap.start_ms, gap.length_ms, gap.reason)).collect();
    assert_eq!(gaps, [(0, 2000, 3000, GapReason::Paused), (1, 2000, 3000, GapReason::Paused)]);
    assert_eq!(block.frames.iter().map(|leg| leg.lost).collect::<Vec<_>>(), [0, 0]);
    let [pause] = &block.pauses[..] else { panic!("one pause: {:?}", block.pauses) };
    assert_eq!((pause.start_ms, pause.length_ms), (2000, 3000));
    assert_eq!((&pause.by, pause.resumed_by.as_ref()), (&by, Some(&anne)));
    assert_eq!(sealed.duration_ms, 8000);
    let [left, right] = world.samples();
    for side in [left, right] {
        assert!(side[16_000..40_000].iter().all(|sample| *sample == 0), "silence in the pause");
        assert!(side[40_000..64_000].iter().any(|sample| sample.abs() > 4000), "and sound after it");
    }
}

#[test]
fn a_call_that_ends_in_a_pause_is_marked_to_its_end_and_is_not_one_sided() {
    let world = World::new();
    let mut running = world.start(1 << 20);
    world.begin(&running);
    world.talk(&mut running.ring, 0..100);
    let pause = RecorderCommand::Pause { call: world.call, at: turn(&world, 100), by: AskedBy::Vigie, reason: None };
    running.recorder.send(pause);
    world.finish(&running, 20_000);
    running.sealed();
    running.recorder.stop();
    let sidecar = world.sidecar();
    assert_eq!(sidecar.vigie.pauses[0].to, None);
    let ends: Vec<_> = sidecar.vigie.gaps.iter().map(|gap| (gap.start_ms, gap.length_ms, gap.reason)).collect();
    assert_eq!(ends, [(2000, 18_000, GapReason::Paused); 2]);
    assert_eq!(sidecar.silences(), []);
}

#[test]
fn sound_that_cannot_be_written_is_told_within_ten_seconds_once_and_so_is_its_end() {
    let world = World::new();
    let day = world.in_folder("").parent().and_then(std::path::Path::parent).expect("a month").to_owned();
    let mut running = world.start(1 << 20);
    fs::create_dir_all(day.parent().expect("a year")).expect("a folder");
    fs::write(&day, "no folder").expect("a file in the way");
    world.begin(&running);
    let begun = std::time::Instant::now();
    world.talk(&mut running.ring, 0..50);
    match running.reports.recv_timeout(DEADLINE).expect("a report") {
        RecorderReport::Failed { call, reason } => {
            assert_eq!(call, world.call);
            assert!(reason.contains("has not been written"), "{reason}");
        }
        RecorderReport::Sealed(sealed) => panic!("{sealed:?}"),
    }
    // A bound of the promise, not of speed: five seconds are waited on purpose.
    assert!(begun.elapsed() < Duration::from_secs(10));
    fs::remove_file(&day).expect("out of the way");
    running.alarm("recording-back");
    world.talk(&mut running.ring, 50..100);
    world.finish(&running, 2000);
    assert_eq!((running.sealed().gaps, world.sidecar().vigie.frames[0].frames), (0, 100));
    running.recorder.stop();
}
