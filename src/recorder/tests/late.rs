//! What an earlier run left, sealed beside live calls; and documents whose askers do not wait.

use std::process::Command;

use super::*;
use crate::recorder::deposit::{Deposit, DepositError};
use crate::recorder::late::Late;
use crate::recorder::seal::Sealer;
use crate::recorder::work::{SealJob, seal_all};

/// Keeps the sealing thread waiting until it is let go: a document is compared with a file that nobody has written yet.
struct Brake {
    pipe: PathBuf,
    asked: std::thread::JoinHandle<Result<Deposited, DepositError>>,
}

impl Brake {
    fn on(world: &World, running: &Running) -> Brake {
        let pipe = world.parts.settings.folder.join("pipe");
        let is_made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success();
        assert!(is_made);
        let notary = running.notary();
        let document = Deposit::File { call: None, path: "pipe".into(), bytes: b"x".to_vec() };
        Brake { pipe, asked: std::thread::spawn(move || notary.deposit(document)) }
    }

    fn release(self) {
        // Opens as soon as the sealing thread reads it, and ends it at once.
        drop(fs::OpenOptions::new().write(true).open(&self.pipe).expect("opened"));
        assert!(matches!(self.asked.join().expect("answered"), Err(DepositError::Refused { .. })));
    }
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let until = std::time::Instant::now() + DEADLINE;
    while !is_so() {
        assert!(std::time::Instant::now() < until, "{what}");
        std::thread::yield_now();
    }
}

/// A call whose recording an earlier run has finished and not sealed.
fn leave(world: &World, number: u64) -> CallId {
    let call = CallId::new(world.begin.utc, &mut Chance::from_number(number));
    let kept = kept::Kept {
        call,
        begun: world.begin,
        finished: Some(world.begin.after(Duration::from_secs(1))),
        legs: BTreeMap::new(),
        turns: Vec::new(),
        record: Box::new(CallRecord { id: call, ..*world.record() }),
        pauses: Vec::new(),
    };
    kept.write(&world.parts.settings.folder.join(folder_of(call)), &world.parts.state).expect("kept");
    call
}

#[test]
fn a_call_that_begins_while_the_sealing_thread_is_busy_is_not_taken_for_one_of_an_earlier_run() {
    let world = World::new();
    let waiting = leave(&world, 2);
    let mut running = world.start(1 << 20);
    let brake = Brake::on(&world, &running);
    let (sender, sealed) = sync_channel(1);
    running.recorder.sender.send(Message::SealLate(sender)).expect("asked");
    // The copying thread takes this after that; the sealing thread reads what is unfinished only when it is let go.
    world.begin(&running);
    world.talk(&mut running.ring, 0..50);
    wait_for("the call is kept and has sound on the disk", || {
        world.in_folder(KEPT_FILE).exists() && world.in_folder("leg-1.frames").exists()
    });
    brake.release();
    let LateSeals { sealed, waiting: still, .. } = sealed.recv_timeout(DEADLINE).expect("answered");
    assert_eq!(still, 0);
    assert_eq!(sealed.iter().map(|one| one.call).collect::<Vec<_>>(), [waiting], "and not the live one");
    assert!(!world.in_folder(SIDECAR_FILE).exists());
    world.talk(&mut running.ring, 50..100);
    world.finish(&running, 2000);
    let whole = running.sealed();
    assert_eq!((whole.duration_ms, whole.gaps, whole.recovered), (2000, 0, false));
    running.recorder.stop();
}

#[test]
fn between_two_recordings_that_are_sealed_late_live_ones_are_sealed() {
    let world = World::new();
    let late: std::collections::BTreeSet<CallId> = [2, 3, 4].map(|number| leave(&world, number)).into();
    let live = leave(&world, 5);
    let (jobs, queue) = sync_channel(8);
    let (done, results) = sync_channel(8);
    let (answer, sealed) = sync_channel(1);
    jobs.send(SealJob::Late(Late { left: late.clone(), first_segment: 0, answer })).expect("queued");
    jobs.send(SealJob::Seal(live)).expect("queued");
    let sealer = Sealer::open(&world.parts).expect("a sealer");
    let sealing = std::thread::spawn(move || seal_all(sealer, &queue, &done));
    let late_sealed = sealed.recv_timeout(DEADLINE).expect("answered").sealed;
    assert_eq!(late_sealed.iter().map(|one| one.call).collect::<std::collections::BTreeSet<_>>(), late);
    let Message::Sealed { call, result } = results.recv_timeout(DEADLINE).expect("a result") else { panic!("a seal") };
    let live_seal = result.expect("sealed").recording;
    assert_eq!((call, live_seal.seal_sequence), (live, 1), "before those that waited");
    jobs.send(SealJob::Stop).expect("queued");
    sealing.join().expect("ended");
}

#[test]
fn a_document_whose_asker_gave_up_before_it_was_begun_is_never_kept() {
    let world = World::new();
    world.seal_one(3);
    let (jobs, queue) = sync_channel(8);
    let (done, _results) = sync_channel(8);
    let notary = Notary::new(jobs.clone());
    let note = || {
        let (by, reason) = ("marie".to_owned(), "dossier".to_owned());
        Deposit::Addendum(deposit::Note { call: world.call, kind: "note".into(), by, reason, body: Default::default() })
    };
    let answer = notary.deposit_within(note(), Duration::from_millis(1));
    assert!(matches!(answer, Err(DepositError::Silent)), "nobody works yet");
    let sealer = Sealer::open(&world.parts).expect("a sealer");
    let sealing = std::thread::spawn(move || seal_all(sealer, &queue, &done));
    // Asked again, as the answer says: one addendum, not two.
    assert!(notary.deposit(note()).expect("kept").path.ends_with("addendum-0001.json"));
    assert!(!world.in_folder("addendum-0002.json").exists());
    jobs.send(SealJob::Stop).expect("queued");
    sealing.join().expect("ended");
}

#[test]
fn a_number_that_a_sidecar_has_is_given_to_no_other_call_though_recovery_could_not_add_its_line() {
    let mut world = World::new();
    let first = world.seal_one(3);
    let log = log_paths(&world.parts.settings.folder, "node-1").0;
    let line = fs::read_to_string(&log).expect("a log");
    fs::write(&log, "").expect("no line");
    fs::write(open_folder(&world.parts.state).join(world.call.to_string()), "").expect("a mark");
    world.call = CallId::new(world.begin.utc, &mut Chance::from_number(2));
    assert_eq!((first.seal_sequence, world.seal_one(3).seal_sequence), (1, 2));
    assert!(fs::read_to_string(&log).expect("a log").starts_with(&line));
}

#[test]
fn a_sidecar_out_of_place_keeps_nothing_else_from_being_sealed() {
    let mut world = World::new();
    for number in [2, 3, 4] {
        world.call = CallId::new(world.begin.utc, &mut Chance::from_number(number));
        world.seal_one(3);
    }
    // Killed before it was forgotten, and the log was begun anew: the third's number fits nowhere.
    fs::write(open_folder(&world.parts.state).join(world.call.to_string()), "").expect("a mark");
    let log = log_paths(&world.parts.settings.folder, "node-1").0;
    let damaged = fs::read_to_string(&log).expect("a log").replace("2023", "2024");
    fs::write(&log, damaged).expect("damaged");
    let waiting = leave(&world, 5);
    let sealed = recover(&world.parts, &[]).expect("recovered");
    assert_eq!(sealed.iter().map(|one| (one.call, one.seal_sequence)).collect::<Vec<_>>(), [(waiting, 1)]);
    let running = world.start(1 << 20);
    let note = Deposit::File { call: None, path: "paper".into(), bytes: b"x".to_vec() };
    assert_eq!(running.notary().deposit(note).expect("kept").sequence, 2, "nor does a document wait for it");
    running.recorder.stop();
}

#[test]
fn what_could_not_be_sealed_late_waits_and_is_sealed_when_it_is_asked_for_again() {
    let world = World::new();
    let waiting = [leave(&world, 2), leave(&world, 3)];
    let audio = world.parts.settings.folder.join(folder_of(waiting[0])).join(AUDIO_FILE);
    let part = layout::part_of(&audio);
    for path in [&audio, &part] {
        fs::create_dir(path).expect("a folder in its place");
    }
    let running = world.start(1 << 20);
    let first = running.recorder.seal_late().expect("tried");
    assert_eq!((first.sealed.iter().map(|one| one.call).collect::<Vec<_>>(), first.waiting), (vec![waiting[1]], 1));
    for path in [&audio, &part] {
        fs::remove_dir(path).expect("out of the way");
    }
    let second = running.recorder.seal_late().expect("tried");
    assert_eq!((second.sealed.iter().map(|one| one.call).collect::<Vec<_>>(), second.waiting), (vec![waiting[0]], 0));
    running.recorder.stop();
}
