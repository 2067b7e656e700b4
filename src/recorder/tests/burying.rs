//! A recording's lawful end in the seal log.

use super::super::{Burial, BuryError};
use super::*;

impl World {
    /// Asks a running recorder for a tombstone.
    pub(crate) fn bury(&self, burial: Burial) -> Result<String, BuryError> {
        let running = self.start(1 << 20);
        let done = running.recorder.notary().bury(burial);
        running.recorder.stop();
        done
    }
}

fn burial(world: &World, sealed: &SealedRecording) -> Burial {
    let (sidecar, seal) = (sealed.sidecar.clone(), sealed.seal.clone());
    Burial { call: world.call, sidecar, seal, certificate: b"{}\n".to_vec(), at: world.begin.utc }
}

fn lines(world: &World) -> usize {
    let log = log_paths(&world.parts.settings.folder, "node-1").0;
    fs::read_to_string(log).expect("a log").lines().count()
}

#[test]
fn a_tombstone_is_written_once_however_often_it_is_asked_for() {
    let world = World::new();
    let sealed = world.seal_one(3);
    let first = world.bury(burial(&world, &sealed)).expect("buried");
    assert_eq!(lines(&world), 2);
    // Killed before anything was removed; then in the midst of it.
    assert_eq!(world.bury(burial(&world, &sealed)).expect("buried before"), first);
    fs::remove_file(world.in_folder(SIDECAR_FILE)).expect("removed");
    assert_eq!(world.bury(burial(&world, &sealed)).expect("buried before"), first);
    assert_eq!(lines(&world), 2);
}

#[test]
fn what_is_not_as_it_was_sealed_is_not_buried() {
    let world = World::new();
    let sealed = world.seal_one(3);
    fs::write(world.in_folder(SIDECAR_FILE), b"{}").expect("changed");
    assert!(matches!(world.bury(burial(&world, &sealed)), Err(BuryError::Changed)));
    assert_eq!(lines(&world), 1);
    assert!(!world.in_folder(layout::CERTIFICATE_FILE).exists());
}

#[test]
fn a_recording_without_sidecar_and_tombstone_is_told_and_not_asked_for_without_end() {
    let world = World::new();
    let sealed = world.seal_one(3);
    fs::remove_file(world.in_folder(SIDECAR_FILE)).expect("taken away");
    assert!(matches!(world.bury(burial(&world, &sealed)), Err(BuryError::Changed)));
    // A certificate that the seal log does not know proves nothing.
    fs::write(world.in_folder(layout::CERTIFICATE_FILE), b"{}\n").expect("put there");
    assert!(matches!(world.bury(burial(&world, &sealed)), Err(BuryError::Changed)));
    assert_eq!(lines(&world), 1);
}
