//! What the tests tell: a folder with its storage, calls, events.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use vigie::config::settings::{EndpointSettings, StorageSettings};
use vigie::model::centre::RecordingPolicy;
use vigie::model::{
    Alarm, CallId, CallRecord, Caller, Chance, E164, EndedBy, Event, EventId, EventKind, Fact, LegQuality, LegRecord,
    OfferEnd, OfferNumber, OfferRecord, Outcome, RegulatorState, SealedRecording, Side, Subject, Utc,
};
use vigie::storage::writer::AlarmSink;
use vigie::storage::{Storage, Writer, WriterSettings};

/// 2026-11-21T21:30:00Z.
pub const T0: i64 = 1_795_296_600_000_000;

/// A state folder and what runs on it.
pub struct House {
    pub folder: TempDir,
    pub storage: Storage,
    pub writer: Writer,
    pub alarms: Arc<Mutex<Vec<Alarm>>>,
}

impl House {
    pub async fn open(endpoints: &[&str]) -> House {
        House::open_in(tempfile::tempdir().expect("a folder"), endpoints).await
    }

    /// As after a restart, on what stands in `folder`.
    pub async fn open_in(folder: TempDir, endpoints: &[&str]) -> House {
        let settings =
            StorageSettings { url: format!("sqlite:{}", folder.path().join("db/vigie.db").display()), ladder_days: 30 };
        let storage = Storage::open(&settings).await.expect("opens");
        let (alarms, alarm) = alarms();
        let endpoints = endpoints.iter().map(|id| endpoint(id, "http://127.0.0.1:9/")).collect();
        let settings = WriterSettings { spool: folder.path().join("spool"), endpoints, alarm };
        let writer = Writer::start(&storage, settings).await.expect("starts");
        House { folder, storage, writer, alarms }
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("db/vigie.db")
    }

    pub async fn store(&self, facts: Vec<Fact>) {
        self.writer.remember(facts);
        self.writer.flush().await.expect("stored");
    }

    pub fn alarmed(&self, kind: &str) -> bool {
        self.alarms.lock().expect("alarms").iter().any(|alarm| alarm.kind == kind)
    }
}

pub fn alarms() -> (Arc<Mutex<Vec<Alarm>>>, AlarmSink) {
    let alarms = Arc::new(Mutex::new(Vec::new()));
    let kept = alarms.clone();
    (alarms, Arc::new(move |alarm| kept.lock().expect("alarms").push(alarm)))
}

pub fn endpoint(id: &str, url: &str) -> EndpointSettings {
    EndpointSettings {
        id: id.into(),
        url: url.into(),
        secret_file: PathBuf::new(),
        timeout: Duration::from_secs(10),
        events: Vec::new(),
    }
}

/// Waits for an observable fact, with a deadline that only a failure reaches.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn call_id(n: u64) -> CallId {
    CallId::new(Utc(T0 + n as i64 * 1_000_000), &mut Chance::from_number(n))
}

/// The `n`-th call: received `n` seconds after [`T0`], answered and ended.
pub fn call(n: u64) -> CallRecord {
    let at = |s: i64| Utc(T0 + (n as i64 + s) * 1_000_000);
    CallRecord {
        context: Box::default(),
        id: call_id(n),
        trunk: "carrier".into(),
        line: if n.is_multiple_of(2) { "cherbourg".into() } else { "rouen".into() },
        association: "sos".into(),
        region: "manche".into(),
        language: "fr".into(),
        ddi_raw: "0233000000".into(),
        ddi: E164::parse("+33233000000"),
        names: Default::default(),
        fallback: false,
        caller: Caller { raw: "0612345678".into(), e164: E164::parse("+33612345678"), ..Caller::default() },
        skills: BTreeMap::from([("regulation".into(), 50)]),
        priority: 5,
        received_at: at(0),
        accepted_at: Some(at(1)),
        queued_at: Some(at(1)),
        answered_at: Some(at(4)),
        wait_ended_at: None,
        ended_at: Some(at(64)),
        regulator: Some("anne".into()),
        outcome: Some(Outcome::Answered),
        ended_by: Some(EndedBy::Caller),
        detail: None,
        offers: vec![offer(1, Some(OfferEnd::Accepted))],
        legs: vec![leg(0, n), leg(1, n)],
        recording: RecordingPolicy::Always,
        dialled_by: None,
        choices: Default::default(),
        software: "test".into(),
        person: Default::default(),
    }
}

pub fn offer(number: u16, end: Option<OfferEnd>) -> OfferRecord {
    OfferRecord {
        number: OfferNumber(number),
        regulator: "anne".into(),
        offered_at: Utc(T0 + i64::from(number)),
        ended_at: end.map(|_| Utc(T0 + i64::from(number) + 1)),
        end,
        detail: None,
        reasoning: Default::default(),
        handed_by: None,
    }
}

fn leg(number: u16, n: u64) -> LegRecord {
    LegRecord {
        number,
        side: if number == 0 { Side::Caller } else { Side::Regulator },
        regulator: (number > 0).then(|| "anne".into()),
        device: None,
        dialled: None,
        sip_call_id: format!("{n}-{number}@test"),
        started_at: Utc(T0),
        accepted_at: None,
        ended_at: None,
        ended_by: None,
        detail: None,
        codec: None,
        quality: LegQuality::default(),
    }
}

pub fn sealed(n: u64) -> SealedRecording {
    let record = call(n);
    SealedRecording {
        call: record.id,
        path: format!("2026/11/21/{}/audio.wav", record.id),
        sidecar: format!("2026/11/21/{}/recording.json", record.id),
        started_at: record.received_at,
        duration_ms: 60_000,
        size_bytes: 1_920_044,
        audio_sha256: "aa".into(),
        wav: None,
        essence_sha256: "bb".into(),
        seal: "cc".into(),
        seal_sequence: n,
        sealed_at: record.received_at,
        levels_dbfs: [-20.0, -21.5],
        gaps: 0,
        recovered: false,
        record: Box::new(record),
    }
}

/// The `sequence`-th event of the `n`-th call.
pub fn event(n: u64, sequence: u32) -> Event {
    let at = Utc(T0 + i64::from(sequence));
    Event {
        id: EventId::new(at, &mut Chance::from_number(n * 1_000_000 + u64::from(sequence))),
        subject: Subject::Call(call_id(n)),
        sequence,
        at,
        kind: EventKind::CallAbandoned { wait_ms: u64::from(sequence) },
    }
}

pub fn event_fact(n: u64, sequence: u32) -> Fact {
    Fact::Event(Box::new(event(n, sequence)))
}

pub fn regulator_event(sequence: u32) -> Fact {
    let (at, state) = (Utc(T0 + i64::from(sequence)), RegulatorState::Ready);
    let kind = EventKind::RegulatorState { regulator: "anne".into(), state, was: RegulatorState::Offline };
    let id = EventId::new(at, &mut Chance::from_number(900_000_000 + u64::from(sequence)));
    Fact::Event(Box::new(Event { id, subject: Subject::Regulator("anne".into()), sequence, at, kind }))
}

/// An event that happens now, for tests in which the outbox's clock matters.
pub fn event_now(n: u64, sequence: u32) -> Fact {
    Fact::Event(Box::new(Event { at: vigie::clock::utc(), ..event(n, sequence) }))
}
