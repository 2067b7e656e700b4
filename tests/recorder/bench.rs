//! A recorder's folders, calls that are nothing but numbered frames, and this very executable run again as a child.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use vigie::clock;
use vigie::config::encryption::{EncryptionSettings, KeySource};
use vigie::config::settings::RecordingSettings;
use vigie::journal::frames::scan_file;
use vigie::journal::{Frame, FrameKind, RingWriter};
use vigie::model::centre::RecordingPolicy;
use vigie::model::{
    CallId, CallRecord, Caller, Chance, Codec, EndedBy, LegId, Now, Outcome, RecorderCommand, Side, Utc,
};
use vigie::recorder::layout::{folder_of, frames_file};
use vigie::recorder::{Parts, Recorder};
use vigie::vault::{Keys, key_of};

/// No test waits longer for a fact.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Where a child finds its folders.
pub const FOLDER: &str = "VIGIE_CHILD_FOLDER";

/// The recorder's parts below `folder`, whose `disk` holds everything but the rings; encrypted when a file `kek` is there.
pub fn parts(folder: &Path) -> Parts {
    let disk = folder.join("disk");
    let settings = RecordingSettings {
        folder: disk.join("recordings"),
        sync_every: Duration::from_millis(50),
        segment_bytes: 2_000_000,
        encryption: Default::default(),
        reconcile_at: Default::default(),
    };
    let (zone, key) = (jiff::tz::TimeZone::UTC, ed25519_dalek::SigningKey::from_bytes(&[7; 32]));
    let ring_folder = folder.join("rings");
    vigie::journal::ring::make_folder(&ring_folder).expect("a folder of rings");
    let (state, kek) = (disk.join("state"), folder.join("kek"));
    let mut keys = Keys::off();
    if kek.exists() {
        let encryption = EncryptionSettings { key: Some(KeySource::File(kek)), ..EncryptionSettings::default() };
        keys = Keys::open(&encryption, &state.join("secrets")).expect("keys");
    }
    Parts { settings, node: "node-1".into(), state, zone, key, ring_folder, keys }
}

/// This executable again, running one ignored test alone as a child that works in `folder`.
pub fn child(prefix: &[&str], test: &str, folder: &Path) -> Command {
    let own = std::env::current_exe().expect("this executable").display().to_string();
    let words = [prefix, &[own.as_str(), test, "--exact", "--ignored", "--nocapture"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env(FOLDER, folder);
    command
}

/// The folder that the parent gave; `None`: nobody meant this run to be a child.
pub fn given_folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Waits for a fact.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < DEADLINE, "waited too long until {what}");
        std::thread::yield_now();
    }
}

/// A call of two legs.
pub struct Talk {
    pub call: CallId,
    pub begin: Now,
}

impl Talk {
    /// The `number`-th call, begun now. Its id depends on nothing else, so that a parent finds what its child made.
    pub fn begin(number: u64, recorder: &Recorder) -> Talk {
        let talk = Talk { call: call_of(number), begin: clock::now() };
        let leg = |number| LegId { call: talk.call, number };
        recorder.send(RecorderCommand::Begin { call: talk.call, at: talk.begin, so_far: talk.record(None) });
        recorder.send(RecorderCommand::Leg { leg: leg(0), side: Side::Caller, regulator: None });
        recorder.send(RecorderCommand::Leg { leg: leg(1), side: Side::Regulator, regulator: Some("anne".into()) });
        talk
    }

    /// Pushes the `number`-th frame of a leg, to be flushed.
    pub fn push(&self, ring: &mut RingWriter, leg: u16, number: u32) -> bool {
        ring.push(&Frame {
            call: self.call,
            leg,
            number,
            codec: Codec::Pcma,
            kind: FrameKind::Audio,
            rtp_sequence: number as u16,
            rtp_timestamp: number * 160,
            ssrc: u32::from(leg) + 1,
            marker: number == 0,
            arrival: self.begin.moment + Duration::from_millis(u64::from(number) * 20),
            payload: &[number as u8; 160],
        })
    }

    /// Pushes a frame of each leg.
    pub fn push_both(&self, ring: &mut RingWriter, number: u32) {
        assert!(self.push(ring, 0, number) && self.push(ring, 1, number), "the ring is full");
    }

    /// Ends the call after so many frames.
    pub fn finish(&self, recorder: &Recorder, frames: u32) {
        let at = self.begin.after(Duration::from_millis(u64::from(frames) * 20));
        recorder.send(RecorderCommand::Finish { call: self.call, at, record: self.record(Some(at.utc)) });
    }

    fn record(&self, ended_at: Option<Utc>) -> Box<CallRecord> {
        Box::new(CallRecord {
            context: Box::default(),
            id: self.call,
            trunk: "carrier".into(),
            line: "cherbourg".into(),
            association: "sos-cherbourg".into(),
            names: Default::default(),
            region: "cotentin".into(),
            language: "fr".into(),
            ddi_raw: "0233010101".into(),
            ddi: None,
            fallback: false,
            caller: Caller::default(),
            skills: Default::default(),
            priority: 5,
            received_at: self.begin.utc,
            accepted_at: Some(self.begin.utc),
            queued_at: Some(self.begin.utc),
            answered_at: Some(self.begin.utc),
            wait_ended_at: None,
            ended_at,
            regulator: Some("anne".into()),
            outcome: ended_at.map(|_| Outcome::Answered),
            ended_by: ended_at.map(|_| EndedBy::Caller),
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
}

/// The id of the `number`-th call.
pub fn call_of(number: u64) -> CallId {
    CallId::new(Utc(1_790_000_000_000_000 + number as i64 * 1000), &mut Chance::from_number(number))
}

/// The folder of a call's recording.
pub fn recording_of(parts: &Parts, call: CallId) -> PathBuf {
    parts.settings.folder.join(folder_of(call))
}

/// The numbers of the frames in a leg's frame file, in its order.
pub fn numbers_of(parts: &Parts, call: CallId, leg: u16) -> Vec<u32> {
    let mut numbers = Vec::new();
    let path = recording_of(parts, call).join(frames_file(leg));
    let key = key_of(&recording_of(parts, call), &parts.keys).expect("its key");
    let found = scan_file(&path, key.as_ref(), |_, frame| numbers.push(frame.number)).expect("a frame file");
    assert_eq!(found.sound_bytes, found.total_bytes, "{} has a torn end", path.display());
    numbers
}
