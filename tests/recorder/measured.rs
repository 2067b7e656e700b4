//! Measured, in release: how soon the first byte of any second of an hour is there, and how fast an archive is verified.
//!
//! `cargo test --release --test recorder measured -- --ignored --nocapture --test-threads 1`; the second one takes 2.5 GB.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use vigie::config::encryption::{EncryptionSettings, KeySource};
use vigie::config::settings::StorageSettings;
use vigie::journal::RingWriter;
use vigie::model::{CallId, Fact, RecorderReport, SealedRecording};
use vigie::recorder::{self, Parts};
use vigie::storage::{Storage, Writer, WriterSettings};
use vigie::vault::{Keys, new_master_key};

use super::bench::{Talk, parts, until};

/// An hour of packets of 20 ms.
const HOUR_FRAMES: u32 = 3600 * 50;
/// Nobody waits longer for the first byte.
const FIRST_BYTE_MAX: Duration = Duration::from_millis(300);
/// Seconds of the hour that are asked for, far from one another.
const SECONDS: [u64; 12] = [1, 3599, 1800, 7, 2999, 600, 3301, 42, 2222, 1200, 3000, 59];

/// The `number`-th call, an hour long, sealed.
fn record_an_hour(parts: &Parts, number: u64) -> SealedRecording {
    let mut ring = RingWriter::create(&parts.ring_folder.join("media-0.ring"), 32 << 20).expect("a ring");
    let (report, reports) = channel();
    let tell = move |told| report.send(told).expect("heard");
    let recorder = recorder::start(parts.clone(), vec![ring.reader()], tell, |_, _, _| ()).expect("a recorder");
    let talk = Talk::begin(number, &recorder);
    for frame in 0..HOUR_FRAMES {
        for leg in 0..2 {
            until("there is room in the ring", || talk.push(&mut ring, leg, frame) || ring.flush().is_err());
        }
        if frame % 50 == 0 {
            ring.flush().expect("flushed");
        }
    }
    ring.flush().expect("flushed");
    talk.finish(&recorder, HOUR_FRAMES);
    let sealed = loop {
        match reports.recv_timeout(Duration::from_secs(300)).expect("a report") {
            RecorderReport::Sealed(sealed) => break *sealed,
            // An hour in some seconds is more than the disk writes: what waits in the ring is told, and written then.
            RecorderReport::Failed { reason, .. } => println!("told meanwhile: {reason}"),
        }
    };
    recorder.stop();
    sealed
}

/// A recorder's parts in the folders that a server started in `folder` has.
fn server_parts(folder: &Path, is_encrypted: bool) -> Parts {
    let mut parts = parts(folder);
    parts.settings.folder = folder.join("recordings");
    parts.state = folder.join("state");
    parts.node = "another".into();
    if is_encrypted {
        let kek = folder.join("kek");
        std::fs::write(&kek, new_master_key().expect("a key").0.as_bytes()).expect("written");
        let settings = EncryptionSettings { key: Some(KeySource::File(kek)), ..EncryptionSettings::default() };
        parts.keys = Keys::open(&settings, &parts.state.join("secrets")).expect("keys");
    }
    parts
}

/// The database knows the recording.
async fn remember(folder: &Path, sealed: &SealedRecording) {
    let url = format!("sqlite:{}", folder.join("state/vigie.db").display());
    let storage = Storage::open(&StorageSettings { url, ladder_days: 1 }).await.expect("a database");
    let settings = WriterSettings { spool: folder.join("spool"), endpoints: Vec::new(), alarm: Arc::new(|_| {}) };
    let writer = Writer::start(&storage, settings).await.expect("a writer");
    writer.remember(vec![Fact::Call(sealed.record.clone()), Fact::Recording(Box::new(sealed.clone()))]);
    writer.flush().await.expect("stored");
    writer.stop().await;
    storage.close().await;
}

/// The sample centre on ports of its own, in `folder`.
fn serve(folder: &Path, is_encrypted: bool) -> (Served, String) {
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port").port();
    let (sip, web) = (free(), free());
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut text = std::fs::read_to_string(sample.join("vigie.toml")).expect("the sample");
    let key = if is_encrypted { "key = \"file:kek\"" } else { "key = \"off\"" };
    for (from, to) in [
        ("udp:127.0.0.1:5060", format!("udp:127.0.0.1:{sip}")),
        ("127.0.0.1:8060", format!("127.0.0.1:{web}")),
        ("/dev/shm/vigie-vigie-1", format!("/dev/shm/vigie-measured-{web}")),
        ("= \"sounds/", format!("= \"{}/sounds/", sample.display())),
        ("key = \"off\"", key.to_owned()),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, &to);
    }
    std::fs::write(folder.join("vigie.toml"), text).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
    command.args(["serve", "--config", "vigie.toml"]).current_dir(folder).env("RUST_LOG", "warn");
    let child = command.stdout(Stdio::null()).spawn().expect("vigie serve");
    (Served { child, rings: format!("/dev/shm/vigie-measured-{web}").into() }, format!("http://127.0.0.1:{web}"))
}

struct Served {
    child: Child,
    rings: PathBuf,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait(), std::fs::remove_dir_all(&self.rings));
    }
}

/// How long until the first byte of the body is there.
async fn first_byte(client: &reqwest::Client, url: &str, range: Option<String>, token: &str) -> Duration {
    let begun = Instant::now();
    let mut request = client.get(url).bearer_auth(token);
    if let Some(range) = range {
        request = request.header("range", range);
    }
    let mut answer = request.send().await.expect("an answer");
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    let first = answer.chunk().await.expect("a body").expect("a byte");
    assert!(!first.is_empty());
    begun.elapsed()
}

#[ignore = "a measurement"]
#[tokio::test]
async fn the_first_byte_of_any_second_of_an_hour_is_there_within_300_ms() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for is_encrypted in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let sealed = record_an_hour(&server_parts(folder.path(), is_encrypted), 1);
        assert_eq!(sealed.duration_ms, 3_600_000);
        remember(folder.path(), &sealed).await;
        let (_served, base) = serve(folder.path(), is_encrypted);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let ready = format!("{base}/readyz");
        while !client.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let token = std::fs::read_to_string(folder.path().join("state/secrets/api-token-compliance")).expect("a token");
        let base = format!("{base}/api/v1/recordings/{}", sealed.call);
        for (what, path) in
            [("range", "audio?"), ("WAV", "audio?from="), ("Opus", "preview?from="), ("parties", "parties?from=")]
        {
            let mut taken = Vec::new();
            for second in SECONDS {
                let (url, range) = match what {
                    "range" => {
                        (format!("{base}/audio?reason=measured"), Some(format!("bytes={}-", 44 + second * 32_000)))
                    }
                    _ => (format!("{base}/{path}{second}&reason=measured"), None),
                };
                taken.push(first_byte(&client, &url, range, token.trim()).await);
            }
            taken.sort();
            let (median, worst) = (taken[taken.len() / 2], taken[taken.len() - 1]);
            println!("first byte, encrypted {is_encrypted}, {what}: median {median:.1?}, worst {worst:.1?}");
            assert!(worst <= FIRST_BYTE_MAX, "{what}: {taken:?}");
        }
    }
}

#[ignore = "a measurement"]
#[test]
fn an_archive_of_two_gigabytes_is_verified_at_500_mb_a_second_and_core() {
    for is_encrypted in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let parts = server_parts(folder.path(), is_encrypted);
        let calls: Vec<CallId> = (1..=11).map(|number| record_an_hour(&parts, number).call).collect();
        println!("{} recordings of an hour, encrypted {is_encrypted}", calls.len());
        let with_key = ["--decrypt-with", "file:kek"];
        let ways: [(&str, &[&str]); 5] = [
            ("read once, to have it in memory", &["--threads", "1"]),
            ("one core", &["--threads", "1"]),
            ("all cores", &[]),
            ("one core, inside", &["--threads", "1"]),
            ("one core, thorough", &["--threads", "1", "--thorough"]),
        ];
        for (what, more) in ways {
            let is_inside = is_encrypted && (what.ends_with("inside") || what.ends_with("thorough"));
            let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
            command.args(["verify", "recordings"]).args(more).current_dir(folder.path());
            let told = command.args(if is_inside { &with_key[..] } else { &[] }).output().expect("vigie verify");
            let said = String::from_utf8_lossy(&told.stdout).into_owned();
            assert!(told.status.success(), "{said}");
            let rate = said.lines().find(|line| line.ends_with("MB/s")).expect("a rate");
            println!("verify, encrypted {is_encrypted}, {what}: {rate}");
            let mb_a_second = rate.rsplit(' ').nth(1).and_then(|number| number.parse::<f64>().ok()).expect("a number");
            assert!(mb_a_second >= 500.0 || !what.starts_with("one core") || what.ends_with("thorough"), "{rate}");
        }
    }
}
