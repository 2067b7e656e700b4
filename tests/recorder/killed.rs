//! kill -9 at random instants, while calls are recorded, sealed and recovered: nothing that was flushed is ever lost.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vigie::archive::verify::{Wish, verify_as};
use vigie::journal::RingWriter;
use vigie::model::{CallId, Chance, RecorderReport};
use vigie::recorder::layout::{KEPT_FILE, SIDECAR_FILE};
use vigie::recorder::{self, Parts};
use vigie::vault::new_master_key;

use super::bench::{Talk, call_of, child, given_folder, numbers_of, parts, recording_of, until};

/// So many kills at least; `VIGIE_KILLS=n` for more.
const KILLS: u64 = 30;
/// Calls that one child may have.
pub const CALLS_MAX: u64 = 4096;
/// A new call begins every so many turns.
const TURNS_A_CALL: u64 = 8;

/// What the child did, in a file that outlives it: the turns, then the frames flushed per leg of each call.
pub struct Board(File);

impl Board {
    pub fn open(folder: &Path) -> Board {
        let path = folder.join("board");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.expect("a board");
        file.set_len((CALLS_MAX * 2 + 1) * 8).expect("room");
        Board(file)
    }

    pub fn set(&self, slot: u64, value: u64) {
        self.0.write_all_at(&value.to_le_bytes(), slot * 8).expect("told");
    }

    fn at(&self, slot: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, slot * 8).expect("read");
        u64::from_le_bytes(bytes)
    }

    pub fn turns(&self) -> u64 {
        self.at(0)
    }

    pub fn flushed(&self, number: u64) -> u64 {
        self.at(1 + number)
    }

    /// The calls of which a frame was flushed.
    pub fn calls(&self) -> Vec<u64> {
        (0..CALLS_MAX).filter(|number| self.flushed(*number) > 0).collect()
    }

    pub fn is_sealed(&self, number: u64) -> bool {
        self.at(1 + CALLS_MAX + number) > 0
    }
}

/// Records calls of many lengths from the `first` on, so that some are always being sealed: a new one begins every so many turns,
/// the board is told of all, and `pace` waits after each turn.
pub fn record_calls(parts: Parts, board: Board, (first, turns_a_call): (u64, u64), mut pace: impl FnMut(u64)) {
    let mut ring = RingWriter::create(&parts.ring_folder.join("media-0.ring"), 8 << 20).expect("a ring");
    let board = Arc::new(board);
    let telling = board.clone();
    let numbers: BTreeMap<CallId, u64> = (0..CALLS_MAX).map(|number| (call_of(number), number)).collect();
    let report = move |report| match report {
        RecorderReport::Sealed(sealed) => telling.set(1 + CALLS_MAX + numbers[&sealed.call], 1),
        RecorderReport::Failed { reason, .. } => panic!("{reason}"),
    };
    let recorder = recorder::start(parts, vec![ring.reader()], report, |_, _, _| ()).expect("a recorder");
    let mut talks: BTreeMap<u64, (Talk, u32)> = BTreeMap::new();
    for turn in 0..(CALLS_MAX - first) * turns_a_call {
        if turn % turns_a_call == 0 {
            let number = first + turn / turns_a_call;
            talks.insert(number, (Talk::begin(number, &recorder), 0));
        }
        for (talk, frames) in talks.values_mut() {
            talk.push_both(&mut ring, *frames);
            *frames += 1;
        }
        ring.flush().expect("flushed");
        talks.iter().for_each(|(number, (_, frames))| board.set(1 + number, u64::from(*frames)));
        board.set(0, board.turns() + 1);
        talks.retain(|number, (talk, frames)| {
            let is_over = u64::from(*frames) >= 10 + number * 37 % 60;
            if is_over {
                talk.finish(&recorder, *frames);
            }
            !is_over
        });
        pace(turn);
    }
}

#[test]
#[ignore = "the child that records until it is killed"]
fn recording_child() {
    let Some(folder) = given_folder() else { return };
    let board = Board::open(&folder);
    // An earlier child's calls are over, the one after them perhaps begun and not told; this one's follow.
    let first = board.calls().last().map_or(0, |last| last + 2);
    // Paces a real-time source, twenty times as fast as phones.
    record_calls(parts(&folder), board, (first, TURNS_A_CALL), |_| std::thread::sleep(Duration::from_millis(1)));
}

#[test]
#[ignore = "the child that recovers until it is killed"]
fn recovering_child() {
    let Some(folder) = given_folder() else { return };
    recorder::recover(&parts(&folder), &[]).expect("recovered");
}

/// Kills a child at its next instant; whether it was still alive.
fn kill(mut running: std::process::Child) -> bool {
    running.kill().expect("killed");
    running.wait().expect("gone").signal() == Some(9)
}

fn start(test: &str, folder: &Path) -> std::process::Child {
    let mut command = child(&[], test, folder);
    command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().expect("a child")
}

/// Every file with its bytes.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).expect("read"));
        }
    }
    files
}

#[derive(Debug, Default)]
struct Tally {
    kills_recording: u64,
    kills_recovering: u64,
    calls: u64,
    recovered: u64,
    one_more: u64,
    unborn: u64,
    unborn_frames_max: u64,
}

/// Every call that flushed a frame is sealed with exactly its frames; then again, which changes nothing.
fn check(folder: &Path, parts: &Parts, unborn: &[u64], tally: &mut Tally) {
    let board = Board::open(folder);
    for number in board.calls().into_iter().filter(|number| !unborn.contains(number)) {
        let call = call_of(number);
        assert!(recording_of(parts, call).join(SIDECAR_FILE).is_file(), "call {number} is not sealed");
        assert!(!recording_of(parts, call).join(KEPT_FILE).exists(), "call {number} is not finished");
        let flushed = board.flushed(number);
        for leg in [0, 1] {
            let found = numbers_of(parts, call, leg);
            assert_eq!(found, (0..found.len() as u32).collect::<Vec<_>>(), "call {number}, leg {leg}");
            let more = (found.len() as u64).checked_sub(flushed);
            // The child may be killed between its flush and its telling.
            assert!(matches!(more, Some(0 | 1)), "call {number}, leg {leg}: {} of {flushed}", found.len());
            tally.one_more += more.unwrap_or(0);
        }
    }
    if board.calls().len() > unborn.len() {
        let wish = Wish { vault: parts.keys.clone(), ..Wish::default() };
        let verdict = verify_as(&parts.settings.folder, &wish, |_| ()).expect("checked");
        assert!(verdict.is_sound(), "{verdict:#?}");
    }
    let before = tree(folder);
    assert!(recorder::recover(parts, &[]).expect("recovered again").is_empty());
    assert_eq!(tree(folder), before, "recovering twice changes nothing");
}

/// One world: twice recorded and killed, each time recovered, with kills in between.
fn torture(tally: &mut Tally, chance: &mut Chance, is_encrypted: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    if is_encrypted {
        let key = new_master_key().expect("a key").0;
        fs::write(folder.path().join("kek"), key.as_bytes()).expect("written");
    }
    let (parts, board) = (parts(folder.path()), Board::open(folder.path()));
    let mut unborn = Vec::new();
    for _round in 0..2 {
        let until_turn = board.turns() + 1 + chance.below(200);
        let running = start("killed::recording_child", folder.path());
        until("the child records", || board.turns() >= until_turn);
        let instant = Instant::now() + Duration::from_micros(chance.below(3000));
        while Instant::now() < instant {
            std::hint::spin_loop();
        }
        assert!(kill(running), "the child ended by itself");
        tally.kills_recording += 1;
        for number in board.calls() {
            let path = recording_of(&parts, call_of(number));
            // Begun so lately that the recorder had not heard of it.
            if !path.join(KEPT_FILE).exists() && !path.join(SIDECAR_FILE).exists() && !unborn.contains(&number) {
                assert!(!board.is_sealed(number));
                tally.unborn += 1;
                tally.unborn_frames_max = tally.unborn_frames_max.max(board.flushed(number));
                unborn.push(number);
            }
        }
        for _ in 0..chance.below(4) {
            let running = start("killed::recovering_child", folder.path());
            // Nothing depends on this time: every instant must be survived.
            std::thread::sleep(Duration::from_micros(chance.below(60_000)));
            tally.kills_recovering += u64::from(kill(running));
        }
        tally.recovered += recorder::recover(&parts, &[]).expect("recovered").len() as u64;
        check(folder.path(), &parts, &unborn, tally);
    }
    tally.calls += board.calls().len() as u64;
}

#[test]
fn a_recorder_killed_at_any_instant_loses_nothing_that_was_flushed() {
    campaign(false);
}

#[test]
fn a_recorder_killed_at_any_instant_loses_nothing_that_was_flushed_encrypted() {
    campaign(true);
}

fn campaign(is_encrypted: bool) {
    let kills = std::env::var("VIGIE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let seed = std::env::var("VIGIE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let (mut tally, mut chance) = (Tally::default(), Chance::from_number(seed));
    while tally.kills_recording + tally.kills_recovering < kills {
        torture(&mut tally, &mut chance, is_encrypted);
    }
    println!("encrypted: {is_encrypted}, seed {seed}: {tally:?}");
    assert!(tally.recovered > 0, "no kill met a live call: the test tests nothing");
}
