//! Checks beside a running Vigie: what it adds, seals and lawfully deletes meanwhile is no finding, and hides none.

use super::*;
use crate::archive::certificate::{Approver, Basis, Certificate, FORM};
use crate::archive::shred;
use crate::model::{CallId, Chance, Fact, SealedRecording};
use crate::recorder::Burial;

/// Two sealed recordings, in the order in which they are checked; the world's call is the second one.
fn two() -> (World, Vec<SealedRecording>) {
    let mut world = World::new();
    let mut both = vec![*world.seal_one(3)];
    world.call = CallId::new(world.begin.utc, &mut Chance::from_number(2));
    both.push(*world.seal_one(3));
    both.sort_by(|one, other| one.path.cmp(&other.path));
    world.call = both[1].call;
    (world, both)
}

/// Checks both, and does something when the first one is done.
fn check_while(world: &World, act: impl FnOnce()) -> Verdict {
    let mut act = Some(act);
    // One after the other: with more threads the second one may be done by then.
    let wish = Wish { is_thorough: true, threads: 1, ..Wish::default() };
    let each = |_| act.take().into_iter().for_each(|act| act());
    verify_as(&world.parts.settings.folder, &wish, each).expect("checked")
}

fn note(world: &World) -> Deposit {
    let (by, reason) = ("marie".to_owned(), "dossier".to_owned());
    Deposit::Addendum(Note { call: world.call, kind: "note".into(), by, reason, body: Default::default() })
}

/// Deletes the recording as two people agreed.
fn delete(world: &World, sealed: &SealedRecording) {
    let approver =
        |person: &str| Approver { person: person.into(), act: String::new(), at: String::new(), reason: String::new() };
    let basis = Basis {
        text: String::new(),
        association: String::new(),
        ended_at: String::new(),
        retention_years: 5,
        held_us: 0,
        expired_at: String::new(),
    };
    let certificate = Certificate {
        form: FORM.into(),
        call: sealed.call,
        node: "node-1".into(),
        deleted_at: String::new(),
        deleted_at_utc: String::new(),
        seal: sealed.seal.clone(),
        seal_sequence: sealed.seal_sequence,
        audio_sha256: sealed.audio_sha256.clone(),
        essence_sha256: sealed.essence_sha256.clone(),
        basis,
        deletion: 1,
        approvers: vec![approver("marie"), approver("paul")],
    };
    let (sidecar, seal) = (sealed.sidecar.clone(), sealed.seal.clone());
    let burial = Burial { call: sealed.call, sidecar, seal, certificate: certificate.bytes(), at: clock::utc() };
    world.bury(burial).expect("buried");
    shred::remove_recording(&world.parts.settings.folder, sealed.call).expect("removed");
}

#[test]
fn addenda_and_roots_that_are_made_during_a_check_are_no_findings() {
    let (world, _) = two();
    let verdict = check_while(&world, || {
        let running = world.start(1 << 20);
        running.notary().deposit(note(&world)).expect("kept");
        let (root, node) = (&world.parts.settings.folder, &world.parts.node);
        roots::make(root, node, &running.notary(), Utc(1_700_000_000_000_000)).expect("made").expect("a root");
        running.stop();
    });
    assert!(verdict.is_sound(), "{verdict:?}");
    assert_eq!((verdict.recordings, verdict.log_lines), (2, 4));
}

#[test]
fn a_recording_that_is_lawfully_deleted_during_a_check_is_no_finding_whether_it_was_checked_or_not() {
    for place in [0, 1] {
        let (world, both) = two();
        let verdict = check_while(&world, || delete(&world, &both[place]));
        assert!(verdict.is_sound(), "{place}: {verdict:?}");
        assert_eq!(verdict.recordings_deleted, place as u64, "who was checked before was there");
    }
}

#[test]
fn a_change_is_found_though_a_running_vigie_works_beside_it() {
    let (world, _) = two();
    let audio = world.in_folder(AUDIO_FILE);
    let verdict = check_while(&world, || {
        let running = world.start(1 << 20);
        running.notary().deposit(note(&world)).expect("kept");
        running.stop();
        let mut bytes = fs::read(&audio).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&audio, bytes).expect("changed");
    });
    assert_eq!((verdict.recordings, verdict.recordings_wrong), (2, 1));
    assert!(verdict.findings.iter().all(|finding| finding.file == audio), "{verdict:?}");
}

#[tokio::test]
async fn a_database_in_use_is_not_blamed_for_what_is_on_its_way_nor_for_what_is_lawfully_deleted() {
    let world = World::new();
    let sealed = world.seal_one(3);
    let file = world.folder.path().join("vigie.db");
    let url = format!("sqlite:{}", file.display());
    let settings = crate::config::settings::StorageSettings { url, ladder_days: 1 };
    let storage = crate::storage::Storage::open(&settings).await.expect("a database");
    let (alarm, spool) = (std::sync::Arc::new(|_| {}), world.folder.path().join("spool"));
    let writer = crate::storage::WriterSettings { spool, endpoints: Vec::new(), alarm };
    let writer = crate::storage::Writer::start(&storage, writer).await.expect("a writer");
    let root = world.parts.settings.folder.canonicalize().expect("a folder");
    let compare = async |after_s: i64| {
        let mut verdict = Verdict::default();
        let now = Utc(sealed.sealed_at.0 + after_s * 1_000_000);
        database::check(&storage, &file, (&root, &root), now, &mut verdict).await.expect("compared");
        verdict
    };
    // Sealed, and its row still in the writer's spool.
    let young = compare(299).await;
    assert!(young.is_sound() && young.notes_total == 1, "{young:?}");
    assert!(!compare(301).await.is_sound());
    // Deleted, and its row not yet.
    writer.remember(vec![Fact::Call(sealed.record.clone()), Fact::Recording(sealed.clone())]);
    writer.flush().await.expect("stored");
    assert!(compare(301).await.is_sound());
    delete(&world, &sealed);
    let deleted = compare(301).await;
    assert!(deleted.is_sound() && deleted.notes_total == 1, "{deleted:?}");
    writer.stop().await;
}
