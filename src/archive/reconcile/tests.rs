//! Calls, events and files taken apart one by one: each difference is seen, and what is lawful is none.

use std::sync::Arc;

use super::*;
use crate::config::settings::StorageSettings;
use crate::model::{Chance, Event, EventId, EventKind, Fact, Subject};
use crate::recorder::layout::AUDIO_FILE;
use crate::recorder::tests::World;
use crate::storage::deletions::{ListState, Word};
use crate::storage::{Writer, WriterSettings};

/// A call that a regulator placed, sealed, with its database.
struct Centre {
    world: Arc<World>,
    storage: Storage,
    record: CallRecord,
    told: Vec<EventKind>,
    sealed: Option<Box<SealedRecording>>,
}

const MINUTE_US: i64 = 60_000_000;

impl Centre {
    async fn open() -> Centre {
        let world = Arc::new(World::new());
        let recording = world.clone();
        let sealed = tokio::task::spawn_blocking(move || recording.seal_one(50)).await.expect("sealed");
        let url = format!("sqlite:{}", world.folder.path().join("vigie.db").display());
        let storage = Storage::open(&StorageSettings { url, ladder_days: 30 }).await.expect("a database");
        let mut record = *world.record();
        record.dialled_by = Some("anne".into());
        record.ended_at = Some(Utc(record.received_at.0 + 1_000_000));
        record.outcome = Some(Outcome::Answered);
        let CallRecord { caller, line, association, region, .. } = record.clone();
        let told = vec![
            EventKind::CallDialled {
                by: "anne".into(),
                by_name: "Anne".into(),
                to: caller.clone(),
                line,
                association,
                region,
            },
            EventKind::CallReached { by: "anne".into(), to: caller, recorded: true },
            EventKind::ended(&record),
            sealed.event(),
        ];
        Centre { world, storage, record, told, sealed: Some(sealed) }
    }

    /// Stores what there is; the first event's number is `first`.
    async fn store(&self, first: u32) {
        let spool = self.world.folder.path().join("spool");
        let settings = WriterSettings { spool, endpoints: Vec::new(), alarm: Arc::new(|_| {}) };
        let writer = Writer::start(&self.storage, settings).await.expect("a writer");
        let at = self.record.received_at;
        let mut chance = Chance::from_number(3);
        let mut facts = vec![Fact::Call(Box::new(self.record.clone()))];
        for (sequence, kind) in (first..).zip(self.told.clone()) {
            let (id, subject) = (EventId::new(at, &mut chance), Subject::Call(self.record.id));
            facts.push(Fact::Event(Box::new(Event { id, subject, sequence, at, kind })));
        }
        facts.extend(self.sealed.clone().map(Fact::Recording));
        writer.remember(facts);
        writer.flush().await.expect("stored");
        writer.stop().await;
    }

    async fn compare(&self) -> Reconciliation {
        let at = self.record.received_at.0;
        let span = (Utc(at - MINUTE_US), Utc(at + MINUTE_US));
        let folder = &self.world.parts.settings.folder;
        reconcile(&self.storage, folder, span, Utc(at + 60 * MINUTE_US)).await.expect("compared")
    }

    async fn kinds(&self) -> Vec<DifferenceKind> {
        self.compare().await.differences.into_iter().map(|one| one.kind).collect()
    }
}

#[tokio::test]
async fn a_call_that_a_regulator_placed_agrees_reached_or_not() {
    let centre = Centre::open().await;
    centre.store(1).await;
    let found = centre.compare().await;
    assert_eq!((found.calls, found.recorded, found.differences), (1, 1, Vec::new()));
    let mut unreached = Centre::open().await;
    (unreached.record.answered_at, unreached.sealed) = (None, None);
    unreached.told.remove(3);
    unreached.told.remove(1);
    std::fs::remove_dir_all(unreached.world.in_folder("")).expect("nothing was recorded");
    unreached.store(1).await;
    assert_eq!(unreached.kinds().await, []);
}

#[tokio::test]
async fn what_is_missing_among_the_events_is_seen() {
    for missing in 0..4 {
        let mut centre = Centre::open().await;
        centre.told.remove(missing);
        centre.store(1).await;
        assert_eq!(centre.kinds().await, [DifferenceKind::Event], "{missing}");
    }
    let centre = Centre::open().await;
    centre.store(2).await;
    assert_eq!(centre.kinds().await, [DifferenceKind::Event], "the first number");
}

#[tokio::test]
async fn files_that_are_gone_cut_or_other_ones_are_seen() {
    let cut = |path: &Path| {
        let bytes = std::fs::read(path).expect("a file");
        std::fs::write(path, &bytes[..bytes.len() - 1]).expect("cut");
    };
    let centre = Centre::open().await;
    centre.store(1).await;
    cut(&centre.world.in_folder(AUDIO_FILE));
    assert_eq!(centre.kinds().await, [DifferenceKind::FileDiffers]);
    std::fs::remove_file(centre.world.in_folder(AUDIO_FILE)).expect("removed");
    assert_eq!(centre.kinds().await, [DifferenceKind::FileMissing]);
    cut(&centre.world.in_folder(SIDECAR_FILE));
    assert_eq!(centre.kinds().await, [DifferenceKind::FileDiffers, DifferenceKind::FileMissing]);
    std::fs::remove_dir_all(centre.world.in_folder("")).expect("removed");
    assert_eq!(centre.kinds().await, [DifferenceKind::FileMissing]);
}

#[tokio::test]
async fn a_recording_that_the_database_does_not_have_and_one_that_is_nowhere_are_seen() {
    let mut centre = Centre::open().await;
    centre.sealed = None;
    centre.told.remove(3);
    centre.store(1).await;
    assert_eq!(centre.kinds().await, [DifferenceKind::NotInDatabase]);
    std::fs::remove_dir_all(centre.world.in_folder("")).expect("removed");
    assert_eq!(centre.kinds().await, [DifferenceKind::NoRecording]);
    let folder = centre.world.in_folder("");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(KEPT_FILE), "{}").expect("a file");
    assert_eq!(centre.kinds().await, [DifferenceKind::Unfinished]);
}

#[tokio::test]
async fn a_recording_shorter_than_the_talk_is_seen() {
    let mut centre = Centre::open().await;
    centre.record.ended_at = Some(Utc(centre.record.received_at.0 + 30_000_000));
    centre.store(1).await;
    assert_eq!(centre.kinds().await, [DifferenceKind::TooShort]);
}

#[tokio::test]
async fn what_two_people_have_deleted_is_excused_by_its_certificate() {
    let centre = Centre::open().await;
    centre.store(1).await;
    let sealed = centre.sealed.clone().expect("a recording");
    let grounds = crate::storage::deletions::Grounds {
        call: sealed.call,
        association: sealed.record.association.clone(),
        ended_at: Utc(1),
        retention_years: 5,
        held_us: 0,
        expired_at: Utc(2),
        seal: sealed.seal.clone(),
        seal_sequence: sealed.seal_sequence,
        sidecar: sealed.sidecar.clone(),
        audio_sha256: sealed.audio_sha256.clone(),
        essence_sha256: sealed.essence_sha256.clone(),
    };
    let word = |by| Word { at: Utc(3), by, reason: "yearly clearing" };
    let id = deletions::propose(&centre.storage, &word("anne"), &[grounds]).await.expect("proposed");
    deletions::decide(&centre.storage, id, &word("bruno"), ListState::Approved).await.expect("approved");
    assert!(deletions::begin(&centre.storage, id, sealed.call).await.expect("begun"));
    deletions::finish(&centre.storage, id, sealed.call, "c0ffee").await.expect("finished");
    std::fs::remove_dir_all(centre.world.in_folder("")).expect("removed");
    let found = centre.compare().await;
    assert_eq!(found.differences, []);
    assert!(found.excused[0].reason.contains("c0ffee"), "{:?}", found.excused);
}

#[tokio::test]
async fn a_flac_stands_for_the_wav_when_an_addendum_says_so_and_it_is_as_long_as_that_says() {
    let centre = Centre::open().await;
    centre.store(1).await;
    std::fs::remove_file(centre.world.in_folder(AUDIO_FILE)).expect("removed");
    let flac = centre.world.in_folder(FLAC_FILE);
    std::fs::write(&flac, b"").expect("written");
    assert_eq!(centre.kinds().await, [DifferenceKind::FileMissing], "any name stands for nothing");
    let archived = serde_json::json!({
        "file": FLAC_FILE, "bytes": 5, "sha256": "", "coding": "", "wav_bytes": 1, "wav_sha256": "", "essence_sha256": "",
    });
    let addendum = serde_json::json!({
        "addendum": 1, "call": centre.record.id, "recording_sha256": "", "previous_sha256": "", "at": "", "at_utc": "",
        "at_us": 1, "by": "vigie", "kind": "archive", "reason": "", "body": archived,
    });
    std::fs::write(centre.world.in_folder("addendum-0001.json"), addendum.to_string()).expect("written");
    assert_eq!(centre.kinds().await, [DifferenceKind::FileDiffers]);
    std::fs::write(&flac, b"whole").expect("written");
    assert_eq!(centre.kinds().await, []);
    std::fs::remove_file(&flac).expect("removed");
    assert_eq!(centre.kinds().await, [DifferenceKind::FileMissing]);
}
