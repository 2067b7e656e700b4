//! The recorder from ring to seal, with faults and crashes in between.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ed25519_dalek::pkcs8::DecodePublicKey;
use ed25519_dalek::{Signature, VerifyingKey};

use super::layout::{AUDIO_FILE, KEPT_FILE, SIDECAR_FILE, SIGNATURE_FILE, folder_of, open_folder};
use super::place::GapReason;
use super::seal_log::log_paths;
use super::sidecar::Sidecar;
use super::*;
use crate::journal::{Frame, FrameKind, RingError, RingWriter};
use crate::model::centre::RecordingPolicy;
use crate::model::record::Location;
use crate::model::{
    CallContext, CallRecord, Caller, Chance, Codec, EndedBy, LegId, Moment, Now, Outcome, SealedRecording, Side, Utc,
};
use crate::rtp::g711::{self, Law};

mod burying;
mod guards;
mod keeping;
mod late;
mod listening;
mod one_sided;
mod pausing;
mod wideband;

/// No test waits longer for a fact.
const DEADLINE: Duration = Duration::from_secs(30);

/// A recorder's world in a temporary folder.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) parts: Parts,
    pub(crate) call: CallId,
    pub(crate) begin: Now,
}

/// A recorder at work in it.
pub(crate) struct Running {
    pub(crate) ring: RingWriter,
    recorder: Recorder,
    reports: Receiver<RecorderReport>,
    alarms: Receiver<(String, String)>,
}

impl World {
    pub(crate) fn new() -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = RecordingSettings {
            folder: folder.path().join("recordings"),
            sync_every: Duration::from_millis(50),
            segment_bytes: 100_000,
            encryption: Default::default(),
            reconcile_at: Default::default(),
        };
        let parts = Parts {
            settings,
            node: "node-1".into(),
            state: folder.path().join("state"),
            zone: TimeZone::get("Europe/Paris").expect("bundled zone"),
            key: SigningKey::from_bytes(&[7; 32]),
            ring_folder: folder.path().join("rings"),
            keys: Keys::off(),
        };
        fs::create_dir_all(&parts.ring_folder).expect("a folder");
        let begin = Now { moment: Moment(5_000_000_000), utc: Utc(1_700_000_000_123_456) };
        World { folder, parts, call: CallId::new(begin.utc, &mut Chance::from_number(1)), begin }
    }

    pub(crate) fn start(&self, ring_bytes: u64) -> Running {
        // A program that another test starts has the lock of the last run for a moment, between its fork and its exec.
        let until = std::time::Instant::now() + Duration::from_secs(60);
        let ring = loop {
            match RingWriter::create(&self.parts.ring_folder.join("ring-0"), ring_bytes) {
                Err(RingError::InUse { .. }) if std::time::Instant::now() < until => std::thread::yield_now(),
                made => break made.expect("a ring"),
            }
        };
        let (report, reports) = channel();
        let (alarm, alarms) = channel();
        let tell = move |r| report.send(r).expect("heard");
        let cry = move |kind, _, text| alarm.send((kind, text)).expect("heard");
        let recorder = start(self.parts.clone(), vec![ring.reader()], tell, cry).expect("a recorder");
        Running { ring, recorder, reports, alarms }
    }

    pub(crate) fn record(&self) -> Box<CallRecord> {
        Box::new(CallRecord {
            context: Box::new(CallContext {
                location: Some(Location { latitude: Some(49.5), ..Location::default() }),
                ..CallContext::default()
            }),
            id: self.call,
            trunk: "carrier".into(),
            line: "cherbourg".into(),
            association: "sos-cherbourg".into(),
            region: "cotentin".into(),
            language: "fr".into(),
            ddi_raw: "0233010101".into(),
            ddi: None,
            names: Default::default(),
            fallback: false,
            caller: Caller { raw: "0612345678".into(), ..Caller::default() },
            skills: BTreeMap::new(),
            priority: 5,
            received_at: self.begin.utc,
            accepted_at: None,
            queued_at: Some(self.begin.utc),
            answered_at: Some(self.begin.utc),
            wait_ended_at: None,
            ended_at: None,
            regulator: Some("anne".into()),
            outcome: None,
            ended_by: None,
            detail: None,
            offers: Vec::new(),
            legs: Vec::new(),
            recording: RecordingPolicy::Always,
            dialled_by: None,
            choices: Default::default(),
            software: "test".into(),
            person: Default::default(),
        })
    }

    pub(crate) fn begin(&self, running: &Running) {
        let leg = |number| LegId { call: self.call, number };
        running.recorder.send(RecorderCommand::Begin { call: self.call, at: self.begin, so_far: self.record() });
        running.recorder.send(RecorderCommand::Leg { leg: leg(0), side: Side::Caller, regulator: None });
        let anne = Some("anne".into());
        running.recorder.send(RecorderCommand::Leg { leg: leg(1), side: Side::Regulator, regulator: anne });
    }

    pub(crate) fn finish(&self, running: &Running, after_ms: u64) {
        let at = self.begin.after(Duration::from_millis(after_ms));
        let mut record = self.record();
        (record.outcome, record.ended_by, record.ended_at) =
            (Some(Outcome::Answered), Some(EndedBy::Caller), Some(at.utc));
        running.recorder.send(RecorderCommand::Finish { call: self.call, at, record });
    }

    /// The `number`-th frame of 20 ms of a leg: a tone of its own, in a codec of its own.
    pub(crate) fn push(&self, ring: &mut RingWriter, leg: u16, number: u32) -> bool {
        self.push_as(ring, leg, number, number)
    }

    /// The same, as the `kept`-th frame that is kept of the leg.
    pub(crate) fn push_as(&self, ring: &mut RingWriter, leg: u16, number: u32, kept: u32) -> bool {
        let (codec, law, hertz) = if leg == 0 { (Codec::Pcma, Law::A, 440.0) } else { (Codec::Pcmu, Law::Mu, 1000.0) };
        let tone = |n: u32| {
            let phase = f64::from(number * 160 + n) * hertz / 8000.0 * std::f64::consts::TAU;
            g711::encode(law, (phase.sin() * 8000.0) as i16)
        };
        let payload: Vec<u8> = (0..160).map(tone).collect();
        ring.push(&Frame {
            call: self.call,
            leg,
            number: kept,
            codec,
            kind: FrameKind::Audio,
            rtp_sequence: number as u16,
            rtp_timestamp: number * 160,
            ssrc: u32::from(leg) + 1,
            marker: number == 0,
            arrival: self.begin.moment + Duration::from_millis(u64::from(number) * 20),
            payload: &payload,
        })
    }

    pub(crate) fn talk(&self, ring: &mut RingWriter, numbers: std::ops::Range<u32>) {
        for number in numbers {
            assert!(self.push(ring, 0, number) && self.push(ring, 1, number));
        }
        ring.flush().expect("written");
    }

    /// One whole call of `frames` frames a leg, sealed.
    pub(crate) fn seal_one(&self, frames: u32) -> Box<SealedRecording> {
        let mut running = self.start(1 << 20);
        self.begin(&running);
        self.talk(&mut running.ring, 0..frames);
        self.finish(&running, u64::from(frames) * 20);
        let sealed = running.sealed();
        running.recorder.stop();
        sealed
    }

    pub(crate) fn in_folder(&self, name: &str) -> PathBuf {
        self.parts.settings.folder.join(folder_of(self.call)).join(name)
    }

    fn sidecar(&self) -> Sidecar {
        serde_json::from_slice(&fs::read(self.in_folder(SIDECAR_FILE)).expect("a sidecar")).expect("JSON")
    }

    fn samples(&self) -> [Vec<i16>; 2] {
        let mut wav = hound::WavReader::open(self.in_folder(AUDIO_FILE)).expect("a WAV");
        let all: Vec<i16> = wav.samples().map(|s| s.expect("a sample")).collect();
        [0, 1].map(|side| all.iter().skip(side).step_by(2).copied().collect())
    }

    /// Every file below the world's folder with its bytes.
    pub(crate) fn tree(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(self.folder.path(), &mut files);
        files
    }
}

impl Running {
    pub(crate) fn notary(&self) -> Notary {
        self.recorder.notary()
    }

    pub(crate) fn stop(self) {
        self.recorder.stop();
    }

    /// The first alarm of this kind: a disk that is busy elsewhere may raise others.
    pub(crate) fn alarm(&self, kind: &str) -> String {
        loop {
            let (raised, text) = self.alarms.recv_timeout(DEADLINE).expect("an alarm");
            if raised == kind {
                return text;
            }
        }
    }

    fn sealed(&self) -> Box<SealedRecording> {
        match self.reports.recv_timeout(DEADLINE).expect("a report") {
            RecorderReport::Sealed(sealed) => sealed,
            RecorderReport::Failed { reason, .. } => panic!("{reason}"),
        }
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("list") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.insert(path.clone(), fs::read(&path).expect("read"));
        }
    }
}

/// The power of one frequency in the samples, as a fraction of all power (Goertzel).
fn share_of(hertz: f64, samples: &[i16]) -> f64 {
    let step = hertz / 8000.0 * std::f64::consts::TAU;
    let (mut real, mut imaginary, mut all) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().map(|s| f64::from(*s)).enumerate() {
        real += sample * (step * n as f64).cos();
        imaginary += sample * (step * n as f64).sin();
        all += sample * sample;
    }
    2.0 * (real * real + imaginary * imaginary) / (samples.len() as f64 * all.max(1.0))
}

#[test]
fn a_call_killed_before_anything_was_kept_is_known_from_the_database() {
    let world = World::new();
    let mut ring = RingWriter::create(&world.parts.ring_folder.join("ring-0"), 1_000_000).expect("a ring");
    world.talk(&mut ring, 0..50);
    drop(ring);
    let record = CallRecord { ended_at: None, outcome: None, ..*world.record() };
    let sealed = recover(&world.parts, std::slice::from_ref(&record)).expect("recovered");
    assert_eq!(sealed.iter().map(|sealed| (sealed.call, sealed.recovered)).collect::<Vec<_>>(), [(world.call, true)]);
    assert!(sealed[0].duration_ms >= 980, "{} ms", sealed[0].duration_ms);
    assert!(recover(&world.parts, &[record]).expect("recovered").is_empty(), "once is enough");
}

#[test]
fn the_seal_log_s_end_names_the_calls_that_were_sealed_last() {
    let world = World::new();
    let sealed = world.seal_one(20);
    let folder = &world.parts.settings.folder;
    assert_eq!(seal_log::last_calls(folder, &world.parts.node).expect("a log"), [sealed.call]);
    assert_eq!(seal::sealed_there(folder, sealed.call).expect("readable").expect("there").seal, sealed.seal);
    assert!(seal_log::last_calls(folder, "another").expect("no log").is_empty());
}

#[test]
fn each_side_is_heard_in_its_own_ear_and_nowhere_else() {
    let world = World::new();
    let sealed = world.seal_one(100);
    let [left, right] = world.samples();
    assert_eq!((left.len(), right.len(), sealed.duration_ms), (16_000, 16_000, 2000));
    assert!(share_of(440.0, &left) > 0.98 && share_of(1000.0, &left) < 0.01);
    assert!(share_of(1000.0, &right) > 0.98 && share_of(440.0, &right) < 0.01);
    assert!(sealed.levels_dbfs.iter().all(|level| (-16.0..-14.0).contains(level)), "{:?}", sealed.levels_dbfs);
    assert_eq!((sealed.gaps, sealed.recovered, sealed.seal_sequence), (0, false, 1));
}

#[test]
fn the_seal_can_be_checked_with_nothing_of_ours() {
    let world = World::new();
    let sealed = world.seal_one(10);
    let pem = fs::read_to_string(log_paths(&world.parts.settings.folder, "node-1").1).expect("a key");
    let key = VerifyingKey::from_public_key_pem(&pem).expect("a key");
    let sidecar = fs::read(world.in_folder(SIDECAR_FILE)).expect("a sidecar");
    let signature = fs::read(world.in_folder(SIGNATURE_FILE)).expect("a signature");
    key.verify_strict(&sidecar, &Signature::from_slice(&signature).expect("64 bytes")).expect("signed");
    let told: serde_json::Value = serde_json::from_slice(&sidecar).expect("JSON");
    assert_eq!(told["dialog"][0]["start"], "2023-11-14T23:13:20.123+01:00");
    assert_eq!(told["parties"][1]["name"], "anne");
    assert_eq!(told["vigie"]["record"]["caller"]["raw"], "0612345678");
    assert_eq!(told["vigie"]["record"]["context"]["location"]["latitude"], 49.5);
    assert_eq!(told["vigie"]["audio"]["sha256"], sealed.audio_sha256);
    assert!(!world.in_folder(KEPT_FILE).exists());
    let modes = [world.in_folder(SIDECAR_FILE), world.in_folder(AUDIO_FILE), world.in_folder("leg-0.frames")];
    for path in modes {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(path).expect("there").permissions().mode() & 0o777, 0o640 & !umask());
    }
}

/// What this process may not set, seen from a fresh file.
fn umask() -> u32 {
    use std::os::unix::fs::PermissionsExt;
    let file = tempfile::tempdir().expect("a folder").keep().join("x");
    fs::write(&file, "").expect("written");
    let mode = fs::metadata(&file).expect("there").permissions().mode() & 0o777;
    fs::remove_dir_all(file.parent().expect("a folder")).expect("removed");
    0o666 & !mode
}

#[test]
fn frames_that_come_before_begin_are_kept() {
    let world = World::new();
    let mut running = world.start(1 << 20);
    world.talk(&mut running.ring, 0..20);
    running.wait_for_journal(&world);
    world.begin(&running);
    world.talk(&mut running.ring, 20..40);
    world.finish(&running, 800);
    assert_eq!((running.sealed().duration_ms, world.sidecar().vigie.frames[0].frames), (800, 40));
    running.recorder.stop();
}

impl Running {
    /// Until the journal has a segment: the ring was read.
    fn wait_for_journal(&self, world: &World) {
        let until = std::time::Instant::now() + DEADLINE;
        let segments = || fs::read_dir(layout::journal_folder(&world.parts.state)).expect("a journal").count();
        while segments() == 0 {
            assert!(std::time::Instant::now() < until, "the ring is not read");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_call_cut_by_a_kill_is_recovered_whole_and_twice_changes_nothing() {
    let world = World::new();
    let mut running = world.start(1 << 20);
    world.begin(&running);
    world.talk(&mut running.ring, 0..50);
    running.recorder.stop();
    // In the ring, never read: the process was killed.
    world.talk(&mut running.ring, 50..75);
    drop(running.ring);
    // And the frame file is torn in the middle of a record.
    let path = world.in_folder("leg-1.frames");
    let bytes = fs::read(&path).expect("frames");
    fs::write(&path, &bytes[..bytes.len() - 300]).expect("torn");

    let sealed = recover(&world.parts, &[]).expect("recovered");
    assert_eq!(sealed.len(), 1);
    let (first, sidecar) = (&sealed[0], world.sidecar());
    assert_eq!((first.duration_ms, first.recovered, first.gaps), (1500, true, 0));
    assert_eq!(first.record.outcome, Some(Outcome::Interrupted));
    assert!(first.record.ended_at.is_some_and(|at| at.since(world.begin.utc) == Duration::from_millis(1480)));
    assert_eq!(sidecar.vigie.frames.iter().map(|f| f.frames).collect::<Vec<_>>(), [75, 75]);
    let once = world.tree();
    assert!(recover(&world.parts, &[]).expect("recovered").is_empty());
    assert_eq!(world.tree(), once);
    assert!(fs::read_dir(&world.parts.ring_folder).expect("list").next().is_none());
}

#[test]
fn a_power_cut_that_empties_the_ring_costs_only_what_the_journal_did_not_have() {
    let world = World::new();
    let mut running = world.start(1 << 20);
    world.begin(&running);
    world.talk(&mut running.ring, 0..50);
    running.recorder.stop();
    drop(running.ring);
    fs::remove_file(world.parts.ring_folder.join("ring-0")).expect("tmpfs is gone");
    (0..2).for_each(|leg| fs::remove_file(world.in_folder(&format!("leg-{leg}.frames"))).expect("never synced"));
    assert_eq!(recover(&world.parts, &[]).expect("recovered")[0].duration_ms, 1000);
}

#[test]
fn a_crash_between_sidecar_and_seal_log_is_mended_without_touching_the_sidecar() {
    let world = World::new();
    world.seal_one(10);
    let after = world.tree();
    let log = log_paths(&world.parts.settings.folder, "node-1").0;
    let line = fs::read(&log).expect("a log");
    for kept_bytes in [0, 1, 100, line.len() - 1, line.len()] {
        fs::write(&log, &line[..kept_bytes]).expect("torn");
        fs::write(open_folder(&world.parts.state).join(world.call.to_string()), "").expect("a mark");
        let sealed = recover(&world.parts, &[]).expect("recovered");
        assert_eq!((sealed.len(), sealed[0].recovered), (1, false), "sealed before the crash");
        assert_eq!(fs::read(&log).expect("a log"), line);
        let tree = world.tree();
        assert!(
            after.iter().filter(|(path, _)| path.starts_with(&world.parts.settings.folder)).all(|(p, b)| tree[p] == *b)
        );
    }
}

#[test]
fn a_finished_recording_that_was_not_sealed_keeps_its_own_outcome() {
    let world = World::new();
    let running = world.start(1 << 20);
    let kept = kept::Kept {
        call: world.call,
        begun: world.begin,
        finished: Some(world.begin.after(Duration::from_secs(3))),
        legs: BTreeMap::new(),
        turns: Vec::new(),
        record: Box::new(CallRecord { outcome: Some(Outcome::Answered), ..*world.record() }),
        pauses: Vec::new(),
    };
    kept.write(&world.in_folder(""), &world.parts.state).expect("kept");
    running.recorder.stop();
    drop(running.ring);
    let sealed = recover(&world.parts, &[]).expect("recovered");
    assert_eq!((sealed[0].record.outcome, sealed[0].duration_ms), (Some(Outcome::Answered), 3000));
    assert_eq!(sealed[0].levels_dbfs, [-120.0, -120.0]);
}

#[test]
fn a_disk_that_cannot_be_written_alarms_and_the_recording_is_whole_when_it_is_back() {
    let world = World::new();
    let mut running = world.start(1 << 20);
    let year = world.parts.settings.folder.join("2023");
    fs::write(&year, "in the way").expect("written");
    world.begin(&running);
    world.talk(&mut running.ring, 0..50);
    world.finish(&running, 1000);
    running.alarm("recording-disk");
    fs::remove_file(&year).expect("mended");
    let sealed = running.sealed();
    assert_eq!((sealed.duration_ms, sealed.gaps), (1000, 0));
    running.recorder.stop();
}

#[test]
fn frames_that_a_full_ring_refused_are_an_exact_gap_with_its_reason() {
    let world = World::new();
    let mut running = world.start(crate::journal::ring::RING_BYTES_MIN);
    world.begin(&running);
    let accepted = (0..1000).take_while(|number| world.push(&mut running.ring, 0, *number)).count() as u32;
    running.ring.flush().expect("written");
    let next = 1000;
    while !world.push(&mut running.ring, 0, next) {
        std::thread::yield_now();
    }
    running.ring.flush().expect("written");
    running.alarm("recording-lost");
    world.finish(&running, 20_020);
    assert_eq!(running.sealed().duration_ms, 20_020);
    let gap = world.sidecar().vigie.gaps.into_iter().find(|gap| gap.leg == 0).expect("a gap");
    let expected = (u64::from(accepted) * 20, u64::from(next - accepted) * 20, GapReason::NotRecorded);
    assert_eq!((gap.start_ms, gap.length_ms, gap.reason), expected);
    running.recorder.stop();
}

#[test]
fn a_recording_finished_without_having_begun_is_reported_as_failed() {
    let world = World::new();
    let running = world.start(1 << 20);
    world.finish(&running, 1000);
    let report = running.reports.recv_timeout(DEADLINE).expect("a report");
    assert!(matches!(report, RecorderReport::Failed { call, .. } if call == world.call));
    running.recorder.stop();
}

#[test]
fn journalled_frames_of_a_call_that_left_nothing_else_are_kept_aside() {
    let world = World::new();
    let mut running = world.start(1 << 20);
    world.talk(&mut running.ring, 0..20);
    running.wait_for_journal(&world);
    running.recorder.stop();
    drop(running.ring);
    assert!(recover(&world.parts, &[]).expect("recovered").is_empty());
    let journal = fs::read_dir(layout::journal_folder(&world.parts.state)).expect("list");
    let names: Vec<_> = journal.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    assert!(names.iter().any(|name| name.ends_with(".orphans")), "{names:?}");
}

#[test]
fn every_time_in_a_sidecar_says_its_unit_and_sidecars_without_are_still_read() {
    let world = World::new();
    world.seal_one(5);
    let text = fs::read_to_string(world.in_folder(SIDECAR_FILE)).expect("a sidecar");
    let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let started = world.begin.utc.0;
    assert_eq!(told["vigie"]["started_at_us"], started);
    assert_eq!(told["vigie"]["started_at_arrival_us"], world.begin.moment.0);
    assert_eq!(told["vigie"]["record"]["received_at_us"], started);
    assert_eq!(told["vigie"]["times"]["received_at"], "2023-11-14T23:13:20.123+01:00");
    for line in text.lines().filter(|line| line.contains("_at\": ")) {
        assert!(line.ends_with("null") || line.contains('T'), "a time without unit: {line}");
    }
    let older: Sidecar = serde_json::from_str(&text.replace("_at_us\"", "_at\"")).expect("read");
    assert_eq!(older, world.sidecar());
    assert_eq!(older.vigie.record.received_at, world.begin.utc);
}
