//! What a second process is refused, and who may read what.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::journal::ring::make_folder;

#[test]
fn recovery_beside_a_running_recorder_is_refused_and_changes_nothing() {
    let world = World::new();
    let mut running = world.start(1 << 20);
    world.begin(&running);
    world.talk(&mut running.ring, 0..50);
    running.wait_for_journal(&world);
    let refused = recover(&world.parts, &[]).expect_err("a living recorder");
    assert!(matches!(refused, RecorderError::InUse { .. }), "{refused}");
    // Nor with a ring folder of its own, nor a second recorder.
    let other = Parts { ring_folder: world.folder.path().join("other-rings"), ..world.parts.clone() };
    assert!(matches!(recover(&other, &[]), Err(RecorderError::InUse { .. })));
    assert!(matches!(start(other, Vec::new(), |_| (), |_, _, _| ()), Err(RecorderError::InUse { .. })));
    world.talk(&mut running.ring, 50..100);
    world.finish(&running, 2000);
    let sealed = running.sealed();
    assert_eq!((sealed.duration_ms, sealed.gaps, sealed.recovered), (2000, 0, false));
    running.recorder.stop();
}

#[test]
fn recovery_refuses_a_ring_that_a_living_process_writes_and_changes_nothing() {
    let world = World::new();
    let mut running = world.start(1 << 20);
    world.begin(&running);
    world.talk(&mut running.ring, 0..50);
    running.recorder.stop();
    // The journal is free, the ring is not: what a media plane without its recorder looks like.
    let before = world.tree();
    let refused = recover(&world.parts, &[]).expect_err("a living ring");
    assert!(matches!(refused, RecorderError::Ring(RingError::InUse { .. })), "{refused}");
    assert_eq!(world.tree(), before);
    drop(running.ring);
    assert_eq!(recover(&world.parts, &[]).expect("recovered").len(), 1);
}

#[test]
fn a_seal_log_in_use_stops_recovery_before_anything_is_changed() {
    let world = World::new();
    let mut running = world.start(1 << 20);
    world.begin(&running);
    world.talk(&mut running.ring, 0..50);
    running.recorder.stop();
    drop(running.ring);
    // Another Vigie with the same node name and recordings folder, and a state folder of its own.
    let other = Parts { state: world.folder.path().join("other"), ring_folder: "none".into(), ..world.parts.clone() };
    let second = start(other, Vec::new(), |_| (), |_, _, _| ()).expect("a recorder");
    let before = world.tree();
    let refused = recover(&world.parts, &[]).expect_err("a seal log in use");
    assert!(refused.to_string().contains("in use"), "{refused}");
    assert_eq!(world.tree(), before);
    second.stop();
    assert_eq!(recover(&world.parts, &[]).expect("recovered").len(), 1);
}

#[test]
fn what_holds_speech_is_for_its_user_alone() {
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let world = World::new();
    let rings = world.folder.path().join("made/rings");
    make_folder(&rings).expect("made");
    assert_eq!(mode(&rings), 0o700);
    // A journal folder that an older version made for all to list.
    let journal = layout::journal_folder(&world.parts.state);
    fs::create_dir_all(&journal).expect("made");
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o755)).expect("opened");
    let mut running = world.start(1 << 20);
    world.begin(&running);
    world.talk(&mut running.ring, 0..10);
    running.wait_for_journal(&world);
    world.finish(&running, 200);
    running.sealed();
    running.recorder.stop();
    assert_eq!((mode(&journal), mode(&open_folder(&world.parts.state))), (0o700, 0o700));
    for path in world.tree().into_keys() {
        assert_eq!(mode(&path) & 0o137, 0, "{} is {:o}", path.display(), mode(&path));
    }
}

#[test]
fn a_kill_between_a_call_s_mark_and_what_is_kept_of_it_hides_nothing_and_holds_nothing_up() {
    let world = World::new();
    let mark = open_folder(&world.parts.state).join(world.call.to_string());
    fs::create_dir_all(mark.parent().expect("a folder")).expect("made");
    fs::create_dir_all(world.in_folder("")).expect("made");
    fs::write(&mark, "").expect("marked");
    fs::write(world.in_folder(".call.json.part"), "{").expect("begun");
    assert!(recover(&world.parts, &[]).expect("recovered").is_empty());
    assert!(!mark.exists());
    // With frames beside it, it is somebody's speech: then it is kept and told at every start.
    fs::write(&mark, "").expect("marked");
    fs::write(world.in_folder("leg-0.frames"), "").expect("written");
    assert!(recover(&world.parts, &[]).expect("recovered").is_empty());
    assert!(mark.exists());
}
