//! One sync that fails, then the power: whichever it was, nothing is sealed that is on no disk.

use std::fs;
use std::process::Stdio;
use std::sync::mpsc::channel;

use vigie::archive::verify;
use vigie::journal::RingWriter;
use vigie::model::RecorderReport;
use vigie::recorder::layout::{SIDECAR_FILE, frames_file};
use vigie::recorder::{self, Parts};

use super::bench::{DEADLINE, Talk, call_of, child, given_folder, numbers_of, parts, recording_of, until};
use super::disk::{Disk, EIO, Lever};

/// More syncs of a call's folder than one seal makes.
const SYNCS_MAX: u32 = 8;
/// More syncs of a leg's frame file than there are in a recovery.
const RESCUES: u32 = 5;

/// Runs the child to its end on a disk of its own; then the power goes.
fn cut_after(test: &str) -> (tempfile::TempDir, Parts) {
    let folder = tempfile::tempdir().expect("a folder");
    let parts = parts(folder.path());
    let disk = Disk::that_forgets([parts.state.clone(), parts.settings.folder.clone()], folder.path());
    let mut command = child(&[], test, folder.path());
    command.envs(disk.environment.clone()).stdout(Stdio::null()).stderr(Stdio::inherit());
    assert!(command.status().expect("a child").success(), "{test} failed; its words stand above");
    disk.forget();
    fs::remove_dir_all(&parts.ring_folder).expect("the rings are in memory");
    (folder, parts)
}

/// A call of `frames` frames a leg, of which the last `late` are in the ring alone: its process is gone.
fn leave(parts: &Parts, number: u64, frames: u32, late: u32) {
    let mut ring = RingWriter::create(&parts.ring_folder.join("media-0.ring"), 1 << 20).expect("a ring");
    let recorder = recorder::start(parts.clone(), vec![ring.reader()], |_| (), |_, _, _| ()).expect("a recorder");
    let talk = Talk::begin(number, &recorder);
    (0..frames - late).for_each(|number| talk.push_both(&mut ring, number));
    ring.flush().expect("flushed");
    recorder.stop();
    (frames - late..frames).for_each(|number| talk.push_both(&mut ring, number));
    ring.flush().expect("flushed");
}

/// Every one of so many calls is sealed, has all its frames, and the log speaks of nothing else.
fn assert_sealed(parts: &Parts, calls: u64, frames: u32) {
    for number in 0..calls {
        let call = call_of(number);
        assert!(recording_of(parts, call).join(SIDECAR_FILE).is_file(), "call {number} has no sidecar");
        for leg in [0, 1] {
            assert_eq!(numbers_of(parts, call, leg), (0..frames).collect::<Vec<_>>(), "call {number}, leg {leg}");
        }
    }
    let verdict = verify(&parts.settings.folder, &[], |_| ()).expect("checked");
    assert!(verdict.is_sound(), "{verdict:#?}");
}

#[test]
fn a_seal_that_is_tried_again_is_on_the_disk_before_the_log_speaks_of_it() {
    let (_folder, parts) = cut_after("syncs::sealing_child");
    assert_sealed(&parts, u64::from(SYNCS_MAX), 30);
}

#[test]
#[ignore = "the child whose folders are not synced at once"]
fn sealing_child() {
    let Some(folder) = given_folder() else { return };
    let (parts, disk) = (parts(&folder), Disk::of_this_process().expect("a parent's disk"));
    for number in 0..SYNCS_MAX {
        leave(&parts, u64::from(number), 30, 0);
        disk.only_at(&recording_of(&parts, call_of(u64::from(number))));
        disk.fails_to_sync(number, 0);
        // Whether it is sealed in spite of it depends on how many syncs there are; twice, as a live seal is.
        let mut sealed = recorder::recover(&parts, &[]).expect("recovered").len();
        disk.heals();
        sealed += recorder::recover(&parts, &[]).expect("recovered again").len();
        assert_eq!(sealed, 1, "call {number}");
    }
    assert!(disk.faults() > 3, "the folder's syncs did not fail");
}

#[test]
fn a_fault_that_another_thread_was_told_of_is_not_sealed_over() {
    let (_folder, parts) = cut_after("syncs::hurried_child");
    assert_sealed(&parts, 1, 60);
}

#[test]
#[ignore = "the child whose segment ends in a failed sync, just before its call does"]
fn hurried_child() {
    let Some(folder) = given_folder() else { return };
    let (mut parts, disk) = (parts(&folder), Disk::of_this_process().expect("a parent's disk"));
    parts.settings.segment_bytes = 20_000;
    disk.only_at(&recording_of(&parts, call_of(0)).join(frames_file(0)));
    disk.fails_to_sync(0, 0);
    let mut ring = RingWriter::create(&parts.ring_folder.join("media-0.ring"), 1 << 20).expect("a ring");
    let (report, told) = channel();
    let tell = move |told| report.send(told).expect("heard");
    let recorder = recorder::start(parts, vec![ring.reader()], tell, |_, _, _| ()).expect("a recorder");
    let talk = Talk::begin(0, &recorder);
    (0..60).for_each(|number| talk.push_both(&mut ring, number));
    ring.flush().expect("flushed");
    until("the segment's frame files are synced", || disk.faults() > 0);
    disk.heals();
    // Long before the files of the segment are synced again.
    talk.finish(&recorder, 60);
    let told = told.recv_timeout(DEADLINE).expect("a report");
    assert!(matches!(told, RecorderReport::Sealed(_)), "{told:?}");
}

#[test]
fn an_interrupted_call_is_not_sealed_before_what_was_found_of_it_is_on_the_disk() {
    let (_folder, parts) = cut_after("syncs::rescuing_child");
    assert_sealed(&parts, u64::from(RESCUES), 40);
}

#[test]
#[ignore = "the child whose frame files are not synced when they are rescued"]
fn rescuing_child() {
    let Some(folder) = given_folder() else { return };
    let (parts, disk) = (parts(&folder), Disk::of_this_process().expect("a parent's disk"));
    for number in 0..RESCUES {
        leave(&parts, u64::from(number), 40, 10);
        disk.only_at(&recording_of(&parts, call_of(u64::from(number))).join(frames_file(1)));
        // Once: the system tells a fault to one descriptor, and the next sync is well.
        disk.fails_to_sync(number, 1);
        let mut sealed = recorder::recover(&parts, &[]).expect("recovered").len();
        disk.heals();
        sealed += recorder::recover(&parts, &[]).expect("recovered again").len();
        assert_eq!(sealed, 1, "call {number}");
    }
    assert!(disk.faults() > 0, "no sync failed");
}

#[test]
fn a_write_that_fails_in_a_rescue_costs_no_frame() {
    let (_folder, parts) = cut_after("syncs::unwritten_child");
    assert_sealed(&parts, 1, 40);
}

#[test]
#[ignore = "the child whose frame file cannot be written when it is rescued"]
fn unwritten_child() {
    let Some(folder) = given_folder() else { return };
    let (parts, disk) = (parts(&folder), Disk::of_this_process().expect("a parent's disk"));
    leave(&parts, 0, 40, 10);
    disk.only_at(&recording_of(&parts, call_of(0)).join(frames_file(1)));
    disk.set(Lever::Write, EIO);
    assert!(recorder::recover(&parts, &[]).expect("recovered").is_empty(), "sealed short of its frames");
    disk.heals();
    assert_eq!(recorder::recover(&parts, &[]).expect("recovered again").len(), 1);
}
