//! Disks that are full or read-only: one that fails as it is told, and where mounting is allowed for real, a small tmpfs in a
//! mount namespace of the test's own.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use vigie::archive::verify;
use vigie::journal::RingWriter;
use vigie::model::{RecorderReport, SealedRecording};
use vigie::recorder::place::GapReason;
use vigie::recorder::sidecar::Sidecar;
use vigie::recorder::{self, Parts, Recorder};

use super::bench::{DEADLINE, Talk, call_of, child, given_folder, numbers_of, parts, recording_of, until};
use super::disk::{Disk, ENOSPC, EROFS, Lever};

/// Runs the ignored test on a disk that fails as it is told (`disk.c`), and once more on a real one where this machine lets us
/// mount: nowhere is nothing run.
fn run_on_disks(test: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let roots = [folder.path().join("disk"), folder.path().join("none")];
    let disk = Disk::before(roots, folder.path());
    run(child(&[], test, folder.path()).envs(disk.environment.clone()), test);
    assert!(disk.faults() > 0, "no fault struck");

    let root = ["unshare", "--mount", "--propagation", "private"];
    let user = ["unshare", "--user", "--map-root-user", "--mount"];
    let may = |words: &[&str]| {
        let tried = Command::new(words[0]).args(&words[1..]).args(["mount", "-t", "tmpfs", "none", "/mnt"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let Some(prefix) = [&root[..], &user[..]].into_iter().find(|words| may(words)) else {
        println!("on a disk that fails as it is told alone: neither root nor a user namespace may mount here");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("disk")).expect("a folder");
    run(&mut child(prefix, test, folder.path()), test);
}

fn run(command: &mut Command, test: &str) {
    assert!(command.status().expect("a child").success(), "{test} failed; its words stand above");
}

/// The disk of a child.
enum Ground {
    /// A small tmpfs of its own.
    Mounted,
    /// As it is told.
    Told(Disk),
}

impl Ground {
    /// Below `disk`, which is there.
    fn lay(disk: &Path) -> Ground {
        match Disk::of_this_process() {
            Some(told) => Ground::Told(told),
            None => {
                mount(&["-t", "tmpfs", "-o", "size=2m", "none"], disk);
                Ground::Mounted
            }
        }
    }

    /// Takes every byte that is left.
    fn fill(&self, folder: &Path) {
        match self {
            Ground::Told(disk) => disk.set(Lever::Write, ENOSPC),
            Ground::Mounted => {
                let mut file = fs::File::create(folder.join(FILLER)).expect("a file");
                while file.write_all(&[0; 4096]).is_ok() {}
            }
        }
    }

    /// Gives them back.
    fn empty(&self, folder: &Path) {
        match self {
            Ground::Told(disk) => disk.heals(),
            Ground::Mounted => fs::remove_file(folder.join(FILLER)).expect("room again"),
        }
    }

    /// Nothing can be written below `day` any more.
    fn turn_read_only(&self, day: &Path) {
        match self {
            Ground::Told(disk) => {
                disk.only_in(day);
                [Lever::Write, Lever::Name].into_iter().for_each(|lever| disk.set(lever, EROFS));
            }
            Ground::Mounted => {
                mount(&["--bind", &day.display().to_string()], day);
                mount(&["-o", "remount,bind,ro"], day);
            }
        }
        assert!(fs::write(day.join("x"), "").is_err(), "read-only even for root");
    }

    fn turn_writable(&self, day: &Path) {
        match self {
            Ground::Told(disk) => disk.heals(),
            Ground::Mounted => mount(&["-o", "remount,bind,rw"], day),
        }
    }
}

/// What fills a real disk, in the child's folder.
const FILLER: &str = "disk/filler";

fn mount(words: &[&str], place: &Path) {
    let ended = Command::new("mount").args(words).arg(place).status().expect("mount");
    assert!(ended.success(), "mount {words:?} {}", place.display());
}

struct Running {
    ground: Ground,
    parts: Parts,
    ring: RingWriter,
    recorder: Recorder,
    reports: Receiver<RecorderReport>,
    alarms: Receiver<String>,
}

/// A recorder on a disk of 2 MB, with a ring of 256 KiB elsewhere.
fn start(folder: &Path) -> Running {
    let parts = parts(folder);
    let ground = Ground::lay(&folder.join("disk"));
    let ring = RingWriter::create(&parts.ring_folder.join("media-0.ring"), 256 << 10).expect("a ring");
    let ((report, reports), (alarm, alarms)) = (channel(), channel());
    let tell = move |told| report.send(told).expect("heard");
    let cry = move |kind, _, _| alarm.send(kind).expect("heard");
    let recorder = recorder::start(parts.clone(), vec![ring.reader()], tell, cry).expect("a recorder");
    Running { ground, parts, ring, recorder, reports, alarms }
}

impl Running {
    fn sealed(&self) -> Box<SealedRecording> {
        match self.reports.recv_timeout(DEADLINE).expect("a report") {
            RecorderReport::Sealed(sealed) => sealed,
            RecorderReport::Failed { reason, .. } => panic!("{reason}"),
        }
    }

    fn alarm(&self) -> String {
        self.alarms.recv_timeout(DEADLINE).expect("an alarm")
    }

    fn talk(&mut self, talk: &Talk, numbers: std::ops::Range<u32>) {
        numbers.for_each(|number| talk.push_both(&mut self.ring, number));
        self.ring.flush().expect("flushed");
    }

    fn gaps(&self, talk: &Talk) -> Vec<(u16, u64, u64, GapReason)> {
        let bytes = fs::read(recording_of(&self.parts, talk.call).join("recording.json")).expect("a sidecar");
        let sidecar: Sidecar = serde_json::from_slice(&bytes).expect("JSON");
        sidecar.vigie.gaps.into_iter().map(|gap| (gap.leg, gap.start_ms, gap.length_ms, gap.reason)).collect()
    }

    fn assert_sound(&self) {
        let verdict = verify(&self.parts.settings.folder, &[], |_| ()).expect("checked");
        assert!(verdict.is_sound(), "{verdict:#?}");
    }
}

#[test]
fn a_full_disk_costs_what_the_ring_could_not_hold_and_says_exactly_which() {
    run_on_disks("disks::full_disk_child");
}

#[test]
#[ignore = "the child that mounts"]
fn full_disk_child() {
    let Some(folder) = given_folder() else { return };
    let mut running = start(&folder);
    let talk = Talk::begin(1, &running.recorder);
    running.talk(&talk, 0..50);
    until("frames are on the disk", || recording_of(&running.parts, talk.call).join("leg-1.frames").exists());

    running.ground.fill(&folder);
    // The call goes on: whatever the disk does, pushing and flushing return at once.
    let mut next = 50;
    let mut accepted = [0, 0];
    while accepted.contains(&0) {
        for leg in [0, 1] {
            if accepted[leg] == 0 && !talk.push(&mut running.ring, leg as u16, next) {
                accepted[leg] = next;
            }
        }
        running.ring.flush().expect("flushed");
        next += 1;
        assert!(next < 100_000, "the ring is never full");
        // Frames that the recorder took into memory before it met the full disk are no loss: let it meet it.
        if next == 150 {
            assert_eq!(running.alarm(), "recording-disk");
        }
    }
    let next = next + 100;

    running.ground.empty(&folder);
    for leg in [0, 1] {
        while !talk.push(&mut running.ring, leg, next) {
            running.ring.flush().expect("flushed");
            std::thread::yield_now();
        }
    }
    running.talk(&talk, next + 1..next + 50);
    assert_eq!(running.alarm(), "recording-lost");
    talk.finish(&running.recorder, next + 50);
    let sealed = running.sealed();
    let gap = |leg: u16| {
        let first = accepted[leg as usize];
        (leg, u64::from(first) * 20, u64::from(next - first) * 20, GapReason::NotRecorded)
    };
    let mut gaps = running.gaps(&talk);
    gaps.sort_by_key(|gap| gap.0);
    assert_eq!(gaps, [gap(0), gap(1)]);
    let expected: Vec<u32> = (0..accepted[0]).chain(next..next + 50).collect();
    assert_eq!(numbers_of(&running.parts, call_of(1), 0), expected);
    println!("full disk: {} frames a leg held in memory and ring, then a gap of {} ms", accepted[0] - 50, gap(0).2);
    assert_eq!((sealed.gaps, sealed.recovered), (2, false));

    // And full again when a call is to be sealed.
    let talk = Talk::begin(2, &running.recorder);
    running.talk(&talk, 0..50);
    until("frames are on the disk", || recording_of(&running.parts, talk.call).join("leg-1.frames").exists());
    running.ground.fill(&folder);
    talk.finish(&running.recorder, 50);
    let is_quiet = running.reports.recv_timeout(std::time::Duration::from_millis(1500));
    assert!(is_quiet.is_err(), "nothing can be sealed on a full disk");
    running.ground.empty(&folder);
    assert_eq!((running.sealed().gaps, running.gaps(&talk)), (0, Vec::new()));
    running.assert_sound();
    running.recorder.stop();
}

#[test]
fn a_disk_that_turns_read_only_alarms_and_has_lost_nothing_when_it_is_writable_again() {
    run_on_disks("disks::read_only_child");
}

#[test]
#[ignore = "the child that mounts"]
fn read_only_child() {
    let Some(folder) = given_folder() else { return };
    let mut running = start(&folder);
    let day = recording_of(&running.parts, call_of(1));
    let day = day.parent().expect("a day");
    fs::create_dir_all(day).expect("a folder");
    running.ground.turn_read_only(day);

    let talk = Talk::begin(1, &running.recorder);
    running.talk(&talk, 0..100);
    assert_eq!(running.alarm(), "recording-disk");
    running.talk(&talk, 100..200);
    running.ground.turn_writable(day);
    running.talk(&talk, 200..300);
    talk.finish(&running.recorder, 300);
    let sealed = running.sealed();
    assert_eq!((sealed.gaps, sealed.duration_ms), (0, 6000));
    assert_eq!(numbers_of(&running.parts, talk.call, 1), (0..300).collect::<Vec<_>>());
    running.assert_sound();
    running.recorder.stop();
}
