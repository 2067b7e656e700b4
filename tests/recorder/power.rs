//! Power cuts while segments end every second: none is removed before its frames are safe elsewhere, whatever syncs failed.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use vigie::archive::verify;
use vigie::model::Chance;
use vigie::recorder::layout::SIDECAR_FILE;
use vigie::recorder::{self, Parts};

use super::bench::{call_of, child, given_folder, numbers_of, parts, recording_of, until};
use super::disk::{Disk, EIO, Lever};
use super::killed::{Board, record_calls};

/// So many cuts in each test; `VIGIE_POWER_CUTS=n` for more.
const CUTS: u64 = 5;
/// A new call begins every so many turns of 20 ms; each has 10 to 70 frames a leg, as phones send them.
const TURNS_A_CALL: u64 = 20;
/// Half a second of frames, and two turns: of the child that tells, of the parent that looks.
const LOST_MAX: u64 = 27;

/// The parts of the child, whose segments end after some hundred frames.
fn hurried(folder: &Path) -> Parts {
    let mut parts = parts(folder);
    parts.settings.segment_bytes = 60_000;
    parts.settings.sync_every = Duration::from_millis(200);
    parts
}

#[test]
#[ignore = "the child that records until the power goes"]
fn recording_child() {
    let Some(folder) = given_folder() else { return };
    let begun = Instant::now();
    record_calls(hurried(&folder), Board::open(&folder), (0, TURNS_A_CALL), |turn| {
        let due = begun + Duration::from_millis(20) * (turn as u32 + 1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    });
}

/// What is left of each call after the cut: all of what was sealed, and all but half a second of the others, and but what
/// came in during the `faulty` turns before it in which no sync succeeded. The seal log and every hash are sound.
fn check(folder: &Path, parts: &Parts, sealed: &[u64], faulty: u64) -> u64 {
    let board = Board::open(folder);
    let mut lost_most = 0;
    for number in board.calls() {
        let (call, flushed) = (call_of(number), board.flushed(number));
        let is_there = recording_of(parts, call).join(SIDECAR_FILE).is_file();
        if sealed.contains(&number) {
            assert!(is_there, "call {number} was told to be sealed");
        }
        let found = |leg| if is_there { numbers_of(parts, call, leg) } else { Vec::new() };
        for leg in [0, 1] {
            let found = found(leg);
            assert_eq!(found, (0..found.len() as u32).collect::<Vec<_>>(), "call {number}, leg {leg}");
            let lost = flushed.saturating_sub(found.len() as u64);
            assert!(
                lost <= LOST_MAX + faulty,
                "call {number}, leg {leg}: {} of {flushed} frames are left",
                found.len()
            );
            assert!(lost == 0 || !sealed.contains(&number), "call {number} was sealed, and is short of {lost} frames");
            lost_most = lost_most.max(lost);
        }
    }
    let verdict = verify(&parts.settings.folder, &[], |_| ()).expect("checked");
    assert!(verdict.is_sound(), "{verdict:#?}");
    lost_most
}

/// One cut after some seconds; with `faults`, syncs fail now and then, the last time until the power goes.
fn cut(chance: &mut Chance, faults: bool) -> (u64, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let parts = hurried(folder.path());
    let disk = Disk::that_forgets([parts.state.clone(), parts.settings.folder.clone()], folder.path());
    disk.set(Lever::Early, 64);
    let mut command = child(&[], "power::recording_child", folder.path());
    command.envs(disk.environment.clone()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let mut running = command.spawn().expect("a child");
    let board = Board::open(folder.path());
    let reach = |turn: u64| until("the child records", || board.turns() >= turn);
    let turns = 120 + chance.below(150);
    if faults {
        for at in [40, 70 + chance.below(20)] {
            reach(at);
            disk.set(Lever::Sync, EIO);
            reach(at + 2 + chance.below(15));
            disk.heals();
        }
        assert!(disk.faults() > 0, "no sync failed");
    }
    reach(turns + if faults { 60 } else { 0 });
    let mut faulty = 0;
    if faults {
        let before = board.turns();
        // Whichever sync it is that fails first: a seal's, a segment's, the journal's.
        disk.fails_to_sync(chance.below(12) as u32, 0);
        reach(before + 2 + chance.below(40));
        faulty = board.turns() + 2 - before;
    }
    let sealed: Vec<u64> = board.calls().into_iter().filter(|number| board.is_sealed(*number)).collect();
    running.kill().expect("killed");
    running.wait().expect("gone");
    disk.forget();
    fs::remove_dir_all(&parts.ring_folder).expect("the rings are in memory");
    recorder::recover(&parts, &[]).expect("recovered");
    (check(folder.path(), &parts, &sealed, faulty), sealed.len())
}

fn campaign(faults: bool) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let mut chance = Chance::from_number(number("VIGIE_SEED").unwrap_or(1));
    let cuts = number("VIGIE_POWER_CUTS").unwrap_or(CUTS);
    let (lost, sealed): (Vec<u64>, Vec<usize>) = (0..cuts).map(|_| cut(&mut chance, faults)).unzip();
    println!("frames lost by each cut, of the call that lost most: {lost:?}; sealed before: {sealed:?}");
    assert!(sealed.iter().sum::<usize>() > 0, "nothing was sealed before a cut");
}

#[test]
fn a_power_cut_among_ending_segments_costs_half_a_second_and_nothing_that_was_sealed() {
    campaign(false);
}

#[test]
fn syncs_that_failed_cost_nothing_when_the_power_goes_later() {
    campaign(true);
}
