//! A server on a loopback port with one whole call in its database, and a client.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vigie::archive::Evidence;
use vigie::archive::custody::{self, Custodian};
use vigie::config::settings::{AccessSettings, EndpointSettings, StorageSettings};
use vigie::model::centre::RecordingPolicy;
use vigie::model::record::{CallInfo, Candidate, Diversion, Location, Names};
use vigie::model::{
    CallContext, CallId, CallRecord, Caller, Cause, Chance, Codec, E164, EndedBy, Event, EventId, EventKind, Excluded,
    Fact, LegQuality, LegRecord, NumberPlan, OfferEnd, OfferNumber, OfferRecord, Outcome, Reasoning, SealedRecording,
    Side, SipTrace, Subject, Utc,
};
use vigie::recorder::Notary;
use vigie::storage::outbox::{self, Settled, Verdict};
use vigie::storage::{Storage, Writer, WriterSettings};
use vigie::switchboard::{Door, Inbox};
use vigie::web::{ApiToken, Parts, Readiness, Role, metrics, serve};

/// When the call of these tests came in: 2023-11-14T22:13:20Z.
pub const RECEIVED: Utc = Utc(1_700_000_000_000_000);
/// An admin's token.
pub const ADMIN: &str = "token-of-an-admin";
/// A token of compliance.
pub const COMPLIANCE: &str = "token-of-compliance";
/// A second token of who holds [`ADMIN`].
pub const OPS_AGAIN: &str = "second-token-of-the-admin";
/// A viewer's token.
pub const VIEWER: &str = "token-of-a-viewer";
/// An admin's token for another association than the call's.
pub const ROUEN: &str = "token-for-rouen";
/// A token of compliance for the call's association.
pub const CHERBOURG: &str = "token-for-cherbourg";

/// The server under test.
pub struct Desk {
    pub base: String,
    pub storage: Storage,
    pub folder: TempDir,
    pub ready: Readiness,
    pub call: CallId,
    /// The audio's exact bytes.
    pub audio: Vec<u8>,
    pub parts: Parts,
    client: reqwest::Client,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header in ASCII"))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text in UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }

    /// The detail of a problem, after checking that it is a whole one.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert!(problem["type"].as_str().is_some_and(|kind| kind.starts_with("urn:vigie:problem:")), "{problem}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        problem["detail"].as_str().expect("a detail").to_owned()
    }
}

impl Desk {
    /// Starts a server whose database holds one answered, recorded call with a dead letter.
    pub async fn open() -> Desk {
        Desk::open_with(closed_door()).await
    }

    /// The same with a switchboard behind `door`.
    pub async fn open_with(door: Door) -> Desk {
        // Another test of this process may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let settings =
            StorageSettings { url: format!("sqlite:{}", folder.path().join("vigie.db").display()), ladder_days: 30 };
        let storage = Storage::open(&settings).await.expect("a database");
        let mut chance = Chance::from_number(7);
        let call = CallId::new(RECEIVED, &mut chance);
        let audio = write_recording(&folder.path().join("recordings").join("2023/11/14").join(call.to_string()));
        let writer = remember(&storage, &folder, facts(call, &audio, &mut chance)).await;

        let ready = Readiness::new();
        let parts = Parts {
            storage: storage.clone(),
            writer,
            door,
            live_quality: Arc::new(|_| {
                BTreeMap::from([(1, LegQuality { packets_received: 77, mos: Some(4.2), ..LegQuality::default() })])
            }),
            config: folder.path().join("vigie.toml"),
            reloader: Arc::new(super::reloader::Still),
            recordings: folder.path().join("recordings"),
            evidence: Evidence {
                recordings: folder.path().join("recordings"),
                node: "node-1".into(),
                zone: jiff::tz::TimeZone::get("Europe/Paris").expect("a bundled zone"),
                key: ed25519_dalek::SigningKey::from_bytes(&[7; 32]),
                notary: Notary::closed(),
                vault: vigie::vault::Keys::off(),
                authority: None,
            },
            custody: custodian(&storage, &folder),
            access: AccessSettings { bulk_recordings: 3, bulk_window: Duration::from_secs(3600) },
            keys: vigie::vault::Keys::off(),
            tokens: vec![
                ApiToken::new("ops", Role::Admin, ADMIN),
                ApiToken::new("quality", Role::Compliance, COMPLIANCE),
                ApiToken { person: "ops".into(), ..ApiToken::new("ops-again", Role::Compliance, OPS_AGAIN) },
                ApiToken::new("screen", Role::Viewer, VIEWER),
                ApiToken { associations: Some(vec!["sos-rouen".into()]), ..ApiToken::new("rouen", Role::Admin, ROUEN) },
                ApiToken {
                    associations: Some(vec!["sos-cherbourg".into()]),
                    ..ApiToken::new("cherbourg", Role::Compliance, CHERBOURG)
                },
            ],
            zone: jiff::tz::TimeZone::get("Europe/Paris").expect("a bundled zone"),
            numbers: vec![NumberPlan::default()],
            metrics: metrics::install(),
            ready: ready.clone(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, parts.clone(), async {
            // A test that just ends stops the server too.
            let _ = stopped.await;
        }));
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Desk { base, storage, folder, ready, call, audio, parts, client, stop, server }
    }

    /// Asks with no header but these.
    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.expect("a body").to_vec() }
    }

    /// Stops the server and waits until it has stopped.
    pub async fn stop(self) {
        drop(self.stop);
        self.server.await.expect("no panic").expect("a clean stop");
    }

    /// GET with a token.
    pub async fn read(&self, token: &str, path: &str) -> Answer {
        self.ask(Method::GET, path, &[("authorization", &format!("Bearer {token}"))], "").await
    }

    /// POST of JSON with a token.
    pub async fn order(&self, token: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        self.ask(Method::POST, path, &[("authorization", &bearer), ("content-type", "application/json")], body).await
    }

    /// Where the call's recording lies.
    pub fn recording_folder(&self) -> PathBuf {
        self.folder.path().join("recordings").join("2023/11/14").join(self.call.to_string())
    }

    /// Stores more facts.
    pub async fn remember(&self, facts: Vec<Fact>) {
        remember(&self.storage, &self.folder, facts).await;
    }

    /// The sealed recording as stored, to be changed and stored again.
    pub fn sealed(&self) -> SealedRecording {
        sealed(record(self.call), &self.audio)
    }
}

/// Custody without a recorder: who would bury something finds that it has stopped.
fn custodian(storage: &Storage, folder: &TempDir) -> Arc<Custodian> {
    Arc::new(Custodian::new(custody::Parts {
        storage: storage.clone(),
        recordings: folder.path().join("recordings"),
        node: "node-1".into(),
        zone: jiff::tz::TimeZone::UTC,
        bury: Arc::new(|_| Err(vigie::recorder::BuryError::Stopped)),
        alarm: Arc::new(|_| {}),
        boot: "boot".into(),
        second: None,
    }))
}

/// A way to a switchboard that has stopped.
fn closed_door() -> Door {
    let inbox = Inbox::default();
    inbox.close();
    Door::new(inbox)
}

async fn remember(storage: &Storage, folder: &TempDir, facts: Vec<Fact>) -> Writer {
    let endpoint = EndpointSettings {
        id: "dispatch".into(),
        url: "http://127.0.0.1:9/".into(),
        secret_file: folder.path().join("secret"),
        timeout: Duration::from_secs(5),
        events: Vec::new(),
    };
    let spool = folder.path().join("spool");
    let settings = WriterSettings { spool, endpoints: vec![endpoint], alarm: Arc::new(|_| {}) };
    let writer = Writer::start(storage, settings).await.expect("a writer");
    writer.remember(facts);
    writer.flush().await.expect("stored");
    writer.stop().await;
    let due = outbox::due(storage, "dispatch", Utc(i64::MAX), 1).await.expect("the outbox");
    for owed in due {
        let verdict = Verdict::Dead { reason: "410 Gone".into() };
        let settled =
            Settled { position: owed.position, at: RECEIVED, elapsed_ms: 12, status: Some(410), error: None, verdict };
        outbox::settle(storage, &[settled]).await.expect("settled");
    }
    writer
}

/// A second of tone on the left, silence on the right.
fn write_recording(folder: &std::path::Path) -> Vec<u8> {
    std::fs::create_dir_all(folder).expect("a folder");
    let spec =
        hound::WavSpec { channels: 2, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(folder.join("audio.wav"), spec).expect("a WAV");
    for n in 0..8000_i32 {
        wav.write_sample((n * 37 % 2000 - 1000) as i16).expect("a sample");
        wav.write_sample(0_i16).expect("a sample");
    }
    wav.finalize().expect("a whole WAV");
    std::fs::write(folder.join("vcon.json"), b"{\"vcon\": \"0.3.0\",  \"x\": \"\xc3\xa9\"}\n").expect("a sidecar");
    std::fs::write(folder.join("vcon.json.sig"), [7; 64]).expect("a signature");
    std::fs::read(folder.join("audio.wav")).expect("the WAV")
}

pub fn after(ms: i64) -> Utc {
    Utc(RECEIVED.0 + ms * 1000)
}

/// A regulator's leg that talks.
pub fn live_leg(number: u16) -> LegRecord {
    let talking = record(CallId(uuid::Uuid::from_u128(1))).legs.remove(1);
    LegRecord { number, ended_at: None, ended_by: None, quality: LegQuality::default(), ..talking }
}

pub fn record(call: CallId) -> CallRecord {
    let skills = BTreeMap::from([("regulation".into(), 50)]);
    let candidate =
        Candidate { regulator: "anne".into(), total: -3.5, region: 0.0, fit: 0.0, scarcity: 0.0, idle: -3.5 };
    let reasoning = Reasoning {
        step: 1,
        skills: skills.clone(),
        needs: "regulation >= 50".into(),
        reach: Default::default(),
        candidates: vec![candidate],
        together: 1,
        fitting: 1,
        excluded: BTreeMap::from([("paused".into(), 2)]),
        excluded_people: vec![Excluded { regulator: "claire".into(), why: Cause::Paused }],
    };
    let offer = OfferRecord {
        number: OfferNumber(1),
        regulator: "anne".into(),
        offered_at: after(1000),
        ended_at: Some(after(4000)),
        end: Some(OfferEnd::Accepted),
        detail: None,
        reasoning: reasoning.into(),
        handed_by: None,
    };
    let leg = |number, side, regulator: Option<&str>| LegRecord {
        number,
        side,
        regulator: regulator.map(Into::into),
        device: None,
        dialled: None,
        sip_call_id: format!("leg{number}@127.0.0.2"),
        started_at: after(0),
        accepted_at: Some(after(4000)),
        ended_at: Some(after(9000)),
        ended_by: Some(EndedBy::Caller),
        detail: None,
        codec: Some(Codec::Pcma),
        quality: LegQuality { packets_received: 450, jitter_ms: 1.25, remote_loss: Some(0.0), ..LegQuality::default() },
    };
    CallRecord {
        context: Box::new(CallContext {
            raw: vec![("Diversion".into(), "<tel:+33235000001>;reason=no-answer".into())],
            diversions: vec![Diversion {
                from: "tel:+33235000001".into(),
                e164: E164::parse("+33235000001"),
                reason: Some("no-answer".into()),
                private: false,
            }],
            location: Some(Location { latitude: Some(49.6), longitude: Some(-1.6), ..Location::default() }),
            user_to_user: Some("00a2".into()),
            call_info: vec![CallInfo { uri: "https://c.example/x".into(), purpose: None }],
        }),
        id: call,
        trunk: "carrier".into(),
        line: "cherbourg".into(),
        association: "sos-cherbourg".into(),
        region: "cotentin".into(),
        language: "fr".into(),
        ddi_raw: "0233010101".into(),
        ddi: E164::parse("+33233010101"),
        names: Names {
            line: "Cherbourg, urgences".into(),
            association: "SOS Médecins Cherbourg".into(),
            regulators: BTreeMap::from([("anne".into(), "Dr Anne Bé".into())]),
        },
        fallback: false,
        caller: Caller {
            raw: "0612345678".into(),
            display_name: Some("Zoé <script>alert(1)</script>\"\\".into()),
            e164: E164::parse("+33612345678"),
            asserted_identity: None,
            anonymous: false,
            verified: true,
        },
        skills,
        priority: 3,
        received_at: after(0),
        accepted_at: Some(after(50)),
        queued_at: Some(after(500)),
        answered_at: Some(after(4000)),
        wait_ended_at: None,
        ended_at: Some(after(9000)),
        regulator: Some("anne".into()),
        outcome: Some(Outcome::Answered),
        ended_by: Some(EndedBy::Caller),
        detail: None,
        offers: vec![offer],
        legs: vec![leg(0, Side::Caller, None), leg(1, Side::Regulator, Some("anne"))],
        recording: RecordingPolicy::Always,
        dialled_by: None,
        choices: Default::default(),
        software: "vigie 0.1.0".into(),
        person: Default::default(),
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sealed(record: CallRecord, audio: &[u8]) -> SealedRecording {
    let folder = format!("2023/11/14/{}", record.id);
    SealedRecording {
        call: record.id,
        path: format!("{folder}/audio.wav"),
        sidecar: format!("{folder}/vcon.json"),
        started_at: after(4000),
        duration_ms: 1000,
        size_bytes: audio.len() as u64,
        audio_sha256: hex(audio),
        wav: None,
        essence_sha256: hex(b"samples"),
        seal: hex(b"sidecar"),
        seal_sequence: 12,
        sealed_at: after(9500),
        levels_dbfs: [-30.5, -120.0],
        gaps: 0,
        recovered: false,
        record: Box::new(record),
    }
}

fn facts(call: CallId, audio: &[u8], chance: &mut Chance) -> Vec<Fact> {
    let record = record(call);
    let kinds =
        [EventKind::queued(&record, &vigie::model::Needs::default()), EventKind::CallAbandoned { wait_ms: 3500 }];
    let mut facts = vec![Fact::Call(Box::new(record.clone()))];
    for (sequence, kind) in (1..).zip(kinds) {
        let id = EventId::new(RECEIVED, chance);
        facts.push(Fact::Event(Box::new(Event { id, subject: Subject::Call(call), sequence, at: RECEIVED, kind })));
    }
    let message = |leg, received, text: &str| {
        let peer = std::net::SocketAddr::from(([127, 0, 0, 2], 5060 + leg));
        Fact::SipMessage(SipTrace { call, leg, at: after(i64::from(leg)), received, peer, text: text.into() })
    };
    facts.push(message(0, true, "INVITE sip:0233010101@vigie SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\nv=0\r\n"));
    facts.push(message(1, false, "INVITE sip:anne@127.0.0.2:5061 SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\nv=0\r\n"));
    facts.push(Fact::Recording(Box::new(sealed(record, audio))));
    facts
}
