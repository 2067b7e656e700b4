//! A second place that is a bucket of a real S3-compatible store (moto's server): copied, locked, held, read in ranges,
//! mended, and removed with every version when its lock is over.

use std::process::Command;

use vigie::archive::second::{Place, Protection, Second};
use vigie::config::Settings;
use vigie::model::{CallId, Utc};

use super::archiving::{archive, assert_heard, copied, record};
use super::deleting::{must, vigie};
use super::exporting::hand_out;
use super::harness::{Process, free_port, python_folder, until, within};
use super::server::{Server, Setup};

/// A store with one bucket that keeps versions and locks objects.
struct Store {
    port: u16,
    folder: std::path::PathBuf,
    _process: Process,
}

impl Store {
    async fn open(folder: &std::path::Path) -> Store {
        let port = free_port();
        let mut command = Command::new(python_folder().join("bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let process = Process::start("moto_server", &mut command, &folder.join("moto.log"));
        let store = Store { port, folder: folder.to_owned(), _process: process };
        until("the store answers", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok().then_some(())
        })
        .await;
        store.ask("s3.create_bucket(Bucket='kept', ObjectLockEnabledForBucket=True)");
        store
    }

    /// What a statement of boto3 prints.
    fn ask(&self, statement: &str) -> String {
        let script = format!(
            "import boto3, json\ns3 = boto3.client('s3', endpoint_url='http://127.0.0.1:{}', region_name='us-east-1', \
             aws_access_key_id='key', aws_secret_access_key='secret')\n{statement}\n",
            self.port
        );
        let file = self.folder.join("ask.py");
        std::fs::write(&file, script).expect("a script");
        let output = Command::new(python_folder().join("bin/python")).arg(&file).output().expect("python");
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn names(&self) -> Vec<String> {
        let listed = self.ask("for o in s3.list_objects_v2(Bucket='kept').get('Contents', []): print(o['Key'])");
        listed.lines().map(str::to_owned).collect()
    }
}

/// A refused deletion is tried again within this.
const TRIED_AGAIN_WITHIN: std::time::Duration = std::time::Duration::from_secs(90);

fn setup(setup: Setup, port: u16) -> Setup {
    let keys = setup.place.path("keys");
    std::fs::write(&keys, "key\nsecret\n").expect("keys");
    let section = format!(
        "[archive]\nplace = \"s3:kept/rouen\"\nendpoint = \"http://127.0.0.1:{port}\"\nkey_file = \"{}\"\n\n[web]",
        keys.display()
    );
    setup.change("[web]", &section)
}

#[tokio::test]
async fn a_bucket_is_a_second_place_with_locks_holds_and_ranges() {
    let usual = Setup::new();
    let store = Store::open(&usual.place.folder).await;
    let server = setup(usual, store.port).start().await;
    let (story, folder) = record(&server).await;
    let copy = copied(&server, &story).await;
    assert!(copy["locked_until"].as_str().is_some_and(|until| until > "2031"), "{copy}");
    let key = format!("rouen/{folder}/audio.wav");
    assert!(store.names().contains(&key), "{:?}", store.names());
    let lock = store.ask(&format!(
        "o = s3.head_object(Bucket='kept', Key='{key}')\nprint(o['ObjectLockMode'], o['ObjectLockRetainUntilDate'])"
    ));
    assert!(lock.contains("GOVERNANCE 2031-"), "{lock}");
    let call = story["call"]["id"].as_str().expect("an id").to_owned();
    let held = serde_json::json!({ "reason": "wire test" });
    assert_eq!(server.api.post(&format!("/recordings/{call}/holds"), Some(held)).await, 201);
    until("it is held there", || async {
        let hold =
            store.ask(&format!("print(s3.head_object(Bucket='kept', Key='{key}')['ObjectLockLegalHoldStatus'])"));
        hold.contains("ON").then_some(())
    })
    .await;
    assert_eq!(archive(&server, &["check"]).0, Some(0), "{}", archive(&server, &["check"]).1);

    let here = server.centre.place.path("recordings").join(&folder);
    std::fs::remove_dir_all(&here).expect("lost");
    assert_heard(&server, &story).await;
    let reason = "reason=wire+test";
    assert_eq!(
        server.api.fetch(&format!("/api/v1/recordings/{call}/parties?{reason}")).await.0,
        200,
        "frames from there"
    );
    hand_out(&server, &call);
    let (code, said) = archive(&server, &["check", "--repair"]);
    assert_eq!(code, Some(0), "{said}");
    server.assert_sound();
    // What is wrong there is set aside; a bucket keeps the version, too.
    store.ask(&format!("s3.put_object(Bucket='kept', Key='{key}', Body=b'forged')"));
    let (code, said) = archive(&server, &["check", "--repair"]);
    assert!(code == Some(0) && said.contains("audio.wav (there)"), "{said}");
    assert!(store.names().iter().any(|name| name.starts_with("rouen/quarantine/")), "{:?}", store.names());
    assert_eq!(archive(&server, &["check"]).0, Some(0));
    until("what was put back is held, too", || async {
        let script = format!("print(s3.head_object(Bucket='kept', Key='{key}').get('ObjectLockLegalHoldStatus'))");
        store.ask(&script).contains("ON").then_some(())
    })
    .await;
    remove(&server.centre.config, (&store, &folder, &call)).await;
}

/// Until when an object is locked there.
fn locked_until(store: &Store, key: &str) -> String {
    store.ask(&format!("print(s3.head_object(Bucket='kept', Key='{key}')['ObjectLockRetainUntilDate'].isoformat())"))
}

/// Puts another retention into the configuration, and that in force.
fn keep_for(server: &Server, from: &str, to: &str) {
    let config = &server.centre.config;
    let text = std::fs::read_to_string(config).expect("the configuration");
    assert!(text.contains(from), "{from}");
    std::fs::write(config, text.replace(from, to)).expect("written");
    must(server, &["reload"]);
}

#[tokio::test]
async fn a_longer_retention_renews_the_locks_at_once_and_a_shorter_one_shortens_none() {
    let usual = Setup::new();
    let store = Store::open(&usual.place.folder).await;
    let server = setup(usual, store.port).start().await;
    let (story, folder) = record(&server).await;
    copied(&server, &story).await;
    let keys = ["audio.wav", "recording.json", "leg-0.frames"].map(|name| format!("rouen/{folder}/{name}"));
    let in_years = |years: i16| format!("{}-", jiff::Zoned::now().year() + years);
    assert!(
        keys.iter().all(|key| locked_until(&store, key).starts_with(&in_years(5))),
        "{}",
        locked_until(&store, &keys[0])
    );
    let (usual, longer) = ("name = \"SOS Test\"", "name = \"SOS Test\"\nretention_years = 12");
    keep_for(&server, usual, longer);
    for key in &keys {
        until("the lock is longer", || async { locked_until(&store, key).starts_with(&in_years(12)).then_some(()) })
            .await;
    }
    keep_for(&server, longer, usual);
    // Whatever is asked of the bucket, it takes no lock back.
    let settings = Settings::read(&server.centre.config).expect("the configuration");
    let path = format!("{folder}/audio.wav");
    let asking = tokio::task::spawn_blocking(move || {
        let place = Place::open(settings.archive.place.as_ref().expect("a place")).expect("opened");
        let soon = Utc(jiff::Timestamp::now().as_microsecond() + 86_400_000_000);
        place.protect(&path, Protection { until: Some(soon), is_held: false }).expect("nothing to do");
    });
    asking.await.expect("no panic");
    assert!(locked_until(&store, &keys[0]).starts_with(&in_years(12)), "{}", locked_until(&store, &keys[0]));
    assert_eq!(archive(&server, &["check"]).0, Some(0), "{}", archive(&server, &["check"]).1);
    let (code, said) = archive(&server, &["status"]);
    assert!(code == Some(0) && said.contains("everything is copied") && !said.contains("looked at again"), "{said}");
}

#[tokio::test]
async fn a_lock_that_refuses_a_deletion_keeps_it_on_the_list_in_words_until_the_lock_is_over() {
    let usual = Setup::new();
    let store = Store::open(&usual.place.folder).await;
    let mut server = setup(usual, store.port).start().await;
    let (story, folder) = record(&server).await;
    copied(&server, &story).await;
    let call = story["call"]["id"].as_str().expect("an id").to_owned();
    server.interrupt();
    server.end().await;
    // Six years later here; the store's clock has not moved, and its lock holds.
    server.start_again_at("+2200d").await;
    let token = |name: &str| server.centre.place.path("state/secrets").join(name).display().to_string();
    let (mine, yours) = (token("api-token-admin"), token("api-token-compliance"));
    // The first look at the clock is made by the start, or by this.
    vigie(&server, &["custody", "propose", "--reason", "too early"]);
    must(&server, &["custody", "clock", "--confirm", "compared with the church's"]);
    must(&server, &["custody", "propose", "--reason", "yearly clearing", "--token-file", &mine]);
    must(&server, &["custody", "approve", "1", "--reason", "seen", "--token-file", &yours]);
    let said = within(TRIED_AGAIN_WITHIN, "the list says why", || async {
        let said = must(&server, &["custody", "list", "1"]);
        said.contains("the store refused").then_some(said)
    })
    .await;
    assert!(said.contains("list 1: approved") && said.contains(&format!("{call} deleting")), "{said}");
    assert!(said.contains("its copy in the second place"), "{said}");
    assert!(server.metric("vigie_alarms_total{kind=\"deletion-failed\"").await >= 1.0);
    let audio = format!("rouen/{folder}/audio.wav");
    assert!(store.names().contains(&audio), "{:?}", store.names());
    for end in ["audio", "parties", "preview", "manifest", "peaks"] {
        let (status, _) = server.api.fetch(&format!("/api/v1/recordings/{call}/{end}?reason=wire+test")).await;
        assert_eq!(status, 404, "{end}: what two people agreed to delete is heard nowhere, locked there or not");
    }
    unlock(&store, &folder);
    within(TRIED_AGAIN_WITHIN, "the list is done", || async {
        must(&server, &["custody", "list", "1"]).contains("list 1: done").then_some(())
    })
    .await;
    assert!(!must(&server, &["custody", "list", "1"]).contains("refused"));
    let mut left: Vec<String> = store.names().into_iter().filter(|name| name.contains(&folder)).collect();
    left.sort();
    assert_eq!(left, ["deletion.json", "deletion.json.sig"].map(|name| format!("rouen/{folder}/{name}")));
    let versions = store.ask("for v in s3.list_object_versions(Bucket='kept').get('Versions', []): print(v['Key'])");
    assert!(!versions.contains(&audio), "no version is left: {versions}");
    server.interrupt();
    server.end().await;
    server.assert_sound();
}

/// Ends every lock on what is in a folder there.
fn unlock(store: &Store, folder: &str) {
    store.ask(&format!(
        "for v in s3.list_object_versions(Bucket='kept', Prefix='rouen/{folder}/').get('Versions', []):\n  \
         k = dict(Bucket='kept', Key=v['Key'], VersionId=v['VersionId'])\n  \
         s3.put_object_legal_hold(LegalHold=dict(Status='OFF'), **k)\n  \
         s3.put_object_retention(Retention=dict(Mode='GOVERNANCE', RetainUntilDate='2020-01-01T00:00:00Z'), \
         BypassGovernanceRetention=True, **k)"
    ));
}

/// What is locked is refused; without its lock it goes with every version.
async fn remove(config: &std::path::Path, (store, folder, call): (&Store, &str, &str)) {
    let settings = Settings::read(config).expect("the configuration");
    let call: CallId = call.parse().expect("an id");
    let recordings = settings.recording.folder.clone();
    let second = tokio::task::spawn_blocking(move || {
        let place = Place::open(settings.archive.place.as_ref().expect("a place")).expect("opened");
        // As after a deletion here.
        std::fs::remove_dir_all(&recordings).expect("removed");
        std::fs::create_dir(&recordings).expect("a folder");
        let second = Second::new(&recordings, place);
        let refused = second.remove_recording(call).expect_err("it is locked");
        assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied, "{refused}");
        second
    });
    let second = second.await.expect("no panic");
    unlock(store, folder);
    // A copy that was cut off in its middle.
    store.ask(&format!(
        "k = dict(Bucket='kept', Key='rouen/{folder}/leg-0.frames')\nu = s3.create_multipart_upload(**k)\n\
         s3.upload_part(UploadId=u['UploadId'], PartNumber=1, Body=b'x' * 6000000, **k)"
    ));
    let uploads = "for u in s3.list_multipart_uploads(Bucket='kept').get('Uploads', []): print(u['Key'])";
    assert!(store.ask(uploads).contains(folder));
    tokio::task::spawn_blocking(move || second.remove_recording(call).expect("removed")).await.expect("no panic");
    let left = store.ask(
        "r = s3.list_object_versions(Bucket='kept', Prefix='rouen/')\nfor v in r.get('Versions', []) + r.get('DeleteMarkers', []): print(v['Key'])",
    );
    assert!(!left.contains(folder), "no version is left: {left}");
    assert!(!store.ask(uploads).contains(folder), "nor a part of it");
}

#[tokio::test]
async fn a_plain_bucket_and_large_files_work_too_and_a_store_that_refuses_is_told() {
    let usual = Setup::new();
    let store = Store::open(&usual.place.folder).await;
    store.ask("s3.create_bucket(Bucket='plain')");
    let centre = setup(usual, store.port).change("s3:kept/rouen", "s3:plain").write();
    let settings = Settings::read(&centre.config).expect("the configuration");
    let recordings = centre.place.path("recordings");
    std::fs::create_dir_all(recordings.join("2026/11/22")).expect("a folder");
    tokio::task::spawn_blocking(move || {
        let place = Place::open(settings.archive.place.as_ref().expect("a place")).expect("opened");
        place.claim(false).expect("there");
        assert!(!place.locks());
        // More than one part, and the last one short.
        let large: Vec<u8> = (0..40_000_000u32).map(|n| (n % 251) as u8).collect();
        let path = recordings.join("large");
        std::fs::write(&path, &large).expect("written");
        place.put("2026/large", &std::fs::File::open(&path).expect("opened")).expect("put");
        let far = place.open_file("2026/large").expect("asked").expect("there");
        let mut some = vec![0; 1000];
        let read = far.read_at(&mut some, 33_333_333).expect("read");
        assert!(read > 0 && some[..read] == large[33_333_333..33_333_333 + read]);
        assert_eq!(place.hash("2026/large").expect("read").expect("there").0, large.len() as u64);
        place
            .protect("2026/large", Protection { until: Some(Utc(i64::MAX / 2)), is_held: true })
            .expect("no lock, no fault");
        place.remove("2026/large").expect("removed");
        place.remove("2026/large").expect("twice is as once");
        assert!(place.open_file("2026/large").expect("asked").is_none());
        let mut elsewhere = settings.archive.place.clone().expect("a place");
        if let vigie::config::archive::PlaceSettings::Bucket(bucket) = &mut elsewhere {
            bucket.bucket = "not-there".into();
        }
        let refused = Place::open(&elsewhere).expect("opened").claim(true).expect_err("no such bucket");
        assert!(refused.to_string().contains("NoSuchBucket"), "{refused}");
    })
    .await
    .expect("no panic");
}
