//! Holds, four eyes, the clock, and what is left of a recording: over real recordings, a real seal log and a real database.

use std::path::Path;

use super::*;
use crate::archive::second::{Folder, Place};
use crate::archive::verify::{Verdict, verify};
use crate::config::settings::StorageSettings;
use crate::model::{Fact, Moment};
use crate::recorder::BuryError;
use crate::recorder::layout::{AUDIO_FILE, CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE, SIDECAR_FILE};
use crate::recorder::tests::World;
use crate::storage::holds::{NewHold, Release, Released};
use crate::storage::{Writer, WriterSettings};

/// The call of the world ended in November 2023; five years later its time is over.
const BEFORE: i64 = 1_850_000_000_000_000;
const AFTER: i64 = 1_860_000_000_000_000;

/// One sealed recording in a centre whose custody is looked at.
struct House {
    world: Arc<World>,
    sealed: Box<SealedRecording>,
    storage: Storage,
    custodian: Custodian,
    alarms: Arc<Mutex<Vec<String>>>,
    second: Arc<Second>,
}

/// A second place with a copy of the recording.
async fn copy_to_second_place(world: &World, call: CallId) -> Arc<Second> {
    let folder = world.folder.path().join("second");
    std::fs::create_dir(&folder).expect("a folder");
    let place = Place::Folder(Folder::new(&folder));
    place.claim(false).expect("an empty folder");
    let second = Arc::new(Second::new(&world.parts.settings.folder, place));
    let copying = second.clone();
    let copied = tokio::task::spawn_blocking(move || copying.copy(&folder_of(call), Utc(1), None));
    assert!(copied.await.expect("no panic").expect("copied").files >= 5);
    second
}

impl House {
    async fn open() -> House {
        House::with(|world, burial| world.bury(burial)).await
    }

    async fn with(bury: impl Fn(&World, Burial) -> Result<String, BuryError> + Send + Sync + 'static) -> House {
        let world = Arc::new(World::new());
        let recording = world.clone();
        let sealed = tokio::task::spawn_blocking(move || recording.seal_one(5)).await.expect("sealed");
        let url = format!("sqlite:{}", world.folder.path().join("vigie.db").display());
        let storage = Storage::open(&StorageSettings { url, ladder_days: 30 }).await.expect("a database");
        let spool = world.folder.path().join("spool");
        let settings = WriterSettings { spool, endpoints: Vec::new(), alarm: Arc::new(|_| {}) };
        let writer = Writer::start(&storage, settings).await.expect("a writer");
        writer.remember(vec![Fact::Recording(sealed.clone())]);
        writer.flush().await.expect("stored");
        writer.stop().await;
        let (buried, alarms) = (world.clone(), Arc::new(Mutex::new(Vec::new())));
        let told = alarms.clone();
        let second = copy_to_second_place(&world, sealed.call).await;
        let custodian = Custodian::new(Parts {
            storage: storage.clone(),
            recordings: world.parts.settings.folder.clone(),
            node: "node-1".into(),
            zone: world.parts.zone.clone(),
            bury: Arc::new(move |burial| bury(&buried, burial)),
            alarm: Arc::new(move |alarm: Alarm| told.lock().expect("alarms").push(alarm.kind)),
            boot: "boot-1".into(),
            second: Some(second.clone()),
        });
        let house = House { world, sealed, storage, custodian, alarms, second };
        house.promise(5, 0).await;
        house
    }

    async fn promise(&self, years: u16, at: i64) {
        let years = BTreeMap::from([("sos-cherbourg".into(), years)]);
        promises::follow(&self.storage, &years, Utc(at)).await.expect("followed");
    }

    async fn propose(&self, by: &str, at: i64) -> Result<Deletion, CustodyError> {
        self.custodian.propose(&Wanted::default(), &word(by, at), now(at)).await
    }

    async fn approve(&self, id: i64, by: &str, at: i64) -> Result<Decided, CustodyError> {
        self.custodian.decide(id, &word(by, at), ListState::Approved, now(at)).await
    }

    async fn hold(&self, by: &str, at: i64) -> Option<holds::Hold> {
        let (call, association, reason) = (self.world.call, "sos-cherbourg".into(), "court".into());
        let new = NewHold { call, association, at: Utc(at), by: by.into(), reason, case_number: None };
        holds::place(&self.storage, &new).await.expect("asked")
    }

    fn verify(&self) -> Verdict {
        verify(&self.world.parts.settings.folder, &[], |_| ()).expect("something to check")
    }

    /// The names of the recording's files in the second place.
    fn there(&self) -> Vec<String> {
        let listed = self.second.there().list(&folder_of(self.world.call)).expect("listed");
        listed.into_keys().collect()
    }

    fn has(&self, name: &str) -> bool {
        self.world.in_folder(name).exists()
    }
}

fn word(by: &str, at: i64) -> Word<'_> {
    Word { at: Utc(at), by, reason: "yearly clearing" }
}

/// Both clocks, in step.
fn now(at: i64) -> Now {
    Now { utc: Utc(at), moment: Moment((at - 1_700_000_000_000_000) as u64) }
}

#[tokio::test]
async fn nothing_goes_before_its_time_nor_without_a_second_person() {
    let house = House::open().await;
    assert!(matches!(house.propose("anne", BEFORE).await, Err(CustodyError::Nothing)));
    let named = Wanted { calls: Some([house.world.call].into()), associations: None };
    let early = house.custodian.propose(&named, &word("anne", BEFORE), now(BEFORE)).await;
    assert!(matches!(&early, Err(CustodyError::NotDue(why)) if why.contains("is kept until 2028-11-14")), "{early:?}");
    let list = house.propose("anne", AFTER).await.expect("proposed");
    for same in ["anne", " Anne "] {
        assert!(matches!(house.approve(list.id, same, AFTER).await, Ok(Decided::SamePerson(_))), "{same}");
    }
    house.custodian.work(now(AFTER), || true).await.expect("looked");
    assert!(house.has(AUDIO_FILE) && house.verify().is_sound());
}

#[tokio::test]
async fn what_two_people_agreed_on_goes_and_leaves_a_certificate_and_a_tombstone() {
    let house = House::open().await;
    let list = house.propose("anne", AFTER).await.expect("proposed");
    assert!(matches!(house.approve(list.id, "bruno", AFTER + 1).await, Ok(Decided::Done(_))));
    house.custodian.work(now(AFTER + 2), || false).await.expect("stopped");
    assert!(house.has(AUDIO_FILE), "a server that stops begins no deletion");
    house.custodian.work(now(AFTER + 2), || true).await.expect("done");
    let left: BTreeSet<_> =
        std::fs::read_dir(house.world.in_folder("")).expect("list").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, [CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE].map(Into::into).into());
    assert_eq!(house.there(), [CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE], "in both places");
    let text = std::fs::read_to_string(house.world.in_folder(CERTIFICATE_FILE)).expect("a certificate");
    let told: Certificate = serde_json::from_str(&text).expect("as written");
    assert_eq!((told.call, &told.seal, told.basis.retention_years), (house.world.call, &house.sealed.seal, 5));
    assert_eq!(told.approvers.iter().map(|one| one.person.as_str()).collect::<Vec<_>>(), ["anne", "bruno"]);
    assert!(!text.contains("0612345678"), "no caller is named");
    let verdict = house.verify();
    assert!(verdict.is_sound() && verdict.recordings_deleted == 1 && verdict.log_lines == 2, "{verdict:?}");
    let items = deletions::items(&house.storage, list.id).await.expect("items");
    assert_eq!(items[0].state, ItemState::Deleted);
    let list = deletions::one(&house.storage, list.id).await.expect("read").expect("there");
    assert_eq!(list.state, ListState::Done);
    assert_eq!(recordings::one(&house.storage, house.world.call).await.expect("read"), None);
    assert_eq!(house.hold("claire", AFTER + 3).await, None, "too late to hold");
}

#[tokio::test]
async fn a_hold_stops_the_clock_and_another_person_lets_it_go_on() {
    let house = House::open().await;
    let list = house.propose("anne", AFTER).await.expect("proposed");
    let hold = house.hold("claire", AFTER).await.expect("held");
    house.approve(list.id, "bruno", AFTER).await.expect("approved");
    house.custodian.work(now(AFTER), || true).await.expect("looked");
    let items = deletions::items(&house.storage, list.id).await.expect("items");
    assert_eq!((items[0].state, items[0].detail.as_deref()), (ItemState::Kept, Some("it is held")));
    assert!(matches!(house.propose("anne", AFTER).await, Err(CustodyError::Nothing)));
    let release = |by: &'static str, at| Release { at: Utc(at), by, reason: "closed" };
    let same = holds::release(&house.storage, hold.id, &release("claire", AFTER)).await.expect("asked");
    assert!(matches!(same, Released::SamePerson(_)));
    let month = 30 * 86_400_000_000;
    let other = holds::release(&house.storage, hold.id, &release("anne", AFTER + month)).await.expect("asked");
    assert!(matches!(other, Released::Done(_)));
    let Expiry::At(term) = house.custodian.expiry(&house.sealed).await.expect("known") else { panic!("a term") };
    assert_eq!(term.held_us, month);
    assert!(house.has(AUDIO_FILE));
}

#[tokio::test]
async fn a_suspected_clock_stops_deletion_until_somebody_has_looked_at_it() {
    let house = House::open().await;
    let list = house.propose("anne", AFTER).await.expect("proposed");
    house.approve(list.id, "bruno", AFTER).await.expect("approved");
    // A year ahead within a minute.
    let jumped = Now { utc: Utc(AFTER + 31_536_000_000_000), moment: now(AFTER + 60_000_000).moment };
    house.custodian.work(jumped, || true).await.expect("looked");
    assert!(house.has(AUDIO_FILE), "approved, and kept all the same");
    assert_eq!(*house.alarms.lock().expect("alarms"), ["clock-suspected"]);
    let refused = house.custodian.propose(&Wanted::default(), &word("anne", AFTER), jumped).await;
    assert!(matches!(&refused, Err(CustodyError::Clock(why)) if why.contains("set ahead")), "{refused:?}");
    house.custodian.believe_clock(jumped).await.expect("believed");
    house.custodian.work(jumped, || true).await.expect("done");
    assert!(!house.has(AUDIO_FILE) && house.verify().is_sound());
}

#[tokio::test]
async fn a_shorter_retention_in_the_configuration_shortens_nothing_that_is_there() {
    let house = House::open().await;
    house.promise(10, BEFORE).await;
    house.promise(5, BEFORE + 1).await;
    assert!(matches!(house.propose("anne", AFTER).await, Err(CustodyError::Nothing)));
    let Expiry::At(term) = house.custodian.expiry(&house.sealed).await.expect("known") else { panic!("a term") };
    assert_eq!(term.years, 10);
}

#[tokio::test]
async fn a_deletion_that_was_killed_is_finished_once() {
    let first = Mutex::new(true);
    // The tombstone is written, and then the power goes.
    let house = House::with(move |world, burial| {
        let buried = world.bury(burial);
        let is_first = std::mem::replace(&mut *first.lock().expect("one"), false);
        if is_first { Err(BuryError::Stopped) } else { buried }
    })
    .await;
    let list = house.propose("anne", AFTER).await.expect("proposed");
    house.approve(list.id, "bruno", AFTER).await.expect("approved");
    house.custodian.work(now(AFTER), || true).await.expect("looked");
    assert!(house.has(AUDIO_FILE) && !house.verify().is_sound(), "a removal that was interrupted is told");
    house.custodian.work(now(AFTER + 1), || true).await.expect("done");
    let verdict = house.verify();
    assert!(verdict.is_sound() && verdict.log_lines == 2 && verdict.recordings_deleted == 1, "{verdict:?}");
}

#[tokio::test]
async fn a_recording_that_was_changed_is_kept_for_whoever_finds_out_who_did_it() {
    let house = House::open().await;
    let list = house.propose("anne", AFTER).await.expect("proposed");
    house.approve(list.id, "bruno", AFTER).await.expect("approved");
    std::fs::write(house.world.in_folder(SIDECAR_FILE), b"{}").expect("changed");
    house.custodian.work(now(AFTER), || true).await.expect("looked");
    assert!(house.has(AUDIO_FILE));
    let items = deletions::items(&house.storage, list.id).await.expect("items");
    assert_eq!(items[0].state, ItemState::Kept);
    assert_eq!(*house.alarms.lock().expect("alarms"), ["deletion-failed"]);
}

#[tokio::test]
async fn whatever_is_changed_of_what_is_left_is_found_and_named() {
    let house = House::open().await;
    let audio = std::fs::read(house.world.in_folder(AUDIO_FILE)).expect("read");
    let list = house.propose("anne", AFTER).await.expect("proposed");
    house.approve(list.id, "bruno", AFTER).await.expect("approved");
    house.custodian.work(now(AFTER), || true).await.expect("done");
    let wrong = |path: &Path| house.verify().findings.iter().any(|finding| finding.file == path);
    for name in [CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE] {
        let path = house.world.in_folder(name);
        let bytes = std::fs::read(&path).expect("read");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            std::fs::write(&path, changed).expect("changed");
            assert!(wrong(&path), "byte {at} of {name}");
        }
        std::fs::remove_file(&path).expect("removed");
        assert!(wrong(&path), "{name} is gone");
        std::fs::write(&path, bytes).expect("mended");
    }
    let back = house.world.in_folder(AUDIO_FILE);
    std::fs::write(&back, audio).expect("put back");
    assert!(wrong(&back));
    std::fs::remove_file(&back).expect("removed");
    assert!(house.verify().is_sound());
    // Without the tombstone, the certificate certifies nothing.
    let log = crate::recorder::seal_log::log_paths(&house.world.parts.settings.folder, "node-1").0;
    let text = std::fs::read_to_string(&log).expect("read");
    let sealed = text.lines().next().expect("a line");
    std::fs::write(&log, format!("{sealed}\n")).expect("cut");
    assert!(!house.verify().is_sound());
}

#[tokio::test]
async fn a_clock_that_was_set_back_shortens_no_promise() {
    let house = House::open().await;
    house.promise(10, 1_600_000_000_000_000).await;
    let years = BTreeMap::from([("sos-cherbourg".into(), 5)]);
    // The recording of 2023 is sealed, and the clock says 2021.
    house.custodian.promise(&years, Utc(1_610_000_000_000_000)).await.expect("followed");
    let Expiry::At(term) = house.custodian.expiry(&house.sealed).await.expect("asked") else { panic!("no term") };
    assert_eq!(term.years, 10);
}

#[tokio::test]
async fn a_second_place_that_is_away_keeps_the_deletion_on_the_list_until_it_is_back() {
    let house = House::open().await;
    let list = house.propose("anne", AFTER).await.expect("proposed");
    house.approve(list.id, "bruno", AFTER).await.expect("approved");
    let (path, away) = (house.world.folder.path().join("second"), house.world.folder.path().join("away"));
    std::fs::rename(&path, &away).expect("away");
    house.custodian.work(now(AFTER + 1), || true).await.expect("looked");
    let items = deletions::items(&house.storage, list.id).await.expect("items");
    assert_eq!(items[0].state, ItemState::Deleting);
    assert_eq!(*house.alarms.lock().expect("alarms"), ["deletion-failed"]);
    std::fs::rename(&away, &path).expect("back");
    house.custodian.work(now(AFTER + 2), || true).await.expect("done");
    let items = deletions::items(&house.storage, list.id).await.expect("items");
    assert_eq!(items[0].state, ItemState::Deleted);
    assert_eq!(house.there(), [CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE]);
    assert!(house.verify().is_sound());
}

#[tokio::test]
async fn a_place_that_was_the_second_one_before_keeps_the_deletion_on_the_list_until_its_copy_has_gone() {
    let house = House::open().await;
    let (folder, old) = (folder_of(house.world.call), "folder:/mnt/old");
    copies::note(&house.storage, (old, "node-1.jsonl"), [&folder], 1, Utc(1)).await.expect("noted");
    let due = copies::due(&house.storage, old, Utc(2), 1).await.expect("read").remove(0);
    let done = copies::Done { at: Utc(2), locked_until: None, is_held: false };
    copies::finish(&house.storage, old, &due, done).await.expect("copied there");
    let list = house.propose("anne", AFTER).await.expect("proposed");
    house.approve(list.id, "bruno", AFTER).await.expect("approved");
    house.custodian.work(now(AFTER + 1), || true).await.expect("looked");
    let items = deletions::items(&house.storage, list.id).await.expect("items");
    assert_eq!(items[0].state, ItemState::Deleting, "its audio and its key are there");
    assert_eq!(*house.alarms.lock().expect("alarms"), ["deletion-failed"]);
    copies::note_removed(&house.storage, old, &folder, Utc(AFTER + 2)).await.expect("removed there");
    house.custodian.work(now(AFTER + 3), || true).await.expect("done");
    let items = deletions::items(&house.storage, list.id).await.expect("items");
    assert_eq!(items[0].state, ItemState::Deleted);
}

#[tokio::test]
async fn copies_that_are_only_looked_at_again_stand_behind_those_that_are_not_there_yet() {
    let house = House::open().await;
    let (storage, place) = (&house.storage, "folder:/mnt/second");
    let old: Vec<String> = (0..3).map(|number| format!("2020/01/01/{number}")).collect();
    copies::note(storage, (place, "node-1.jsonl"), &old, 1, Utc(1)).await.expect("noted");
    for one in copies::due(storage, place, Utc(2), 9).await.expect("read") {
        let done = copies::Done { at: Utc(2), locked_until: None, is_held: false };
        copies::finish(storage, place, &one, done).await.expect("copied");
    }
    assert_eq!(copies::renew_all(storage, Utc(100)).await.expect("touched"), 3);
    let new = "2020/01/02/new".to_owned();
    copies::note(storage, (place, "node-1.jsonl"), [&new], 2, Utc(200)).await.expect("noted");
    let due = copies::due(storage, place, Utc(300), 1).await.expect("read");
    assert_eq!(due[0].folder, new, "what was sealed after a rotation does not wait behind it");
    assert_eq!(copies::due(storage, place, Utc(300), 9).await.expect("read").len(), 4, "and all of it has its turn");
    assert_eq!(copies::backlog(storage, place).await.expect("read").oldest, Some(Utc(200)));
}

#[tokio::test]
async fn a_recording_that_lies_in_the_second_place_alone_is_deleted_with_a_certificate_all_the_same() {
    let house = House::open().await;
    let list = house.propose("anne", AFTER).await.expect("proposed");
    house.approve(list.id, "bruno", AFTER).await.expect("approved");
    std::fs::remove_dir_all(house.world.in_folder("")).expect("lost");
    let (path, away) = (house.world.folder.path().join("second"), house.world.folder.path().join("away"));
    std::fs::rename(&path, &away).expect("away");
    house.custodian.work(now(AFTER + 1), || true).await.expect("looked");
    let items = deletions::items(&house.storage, list.id).await.expect("items");
    assert_eq!(items[0].state, ItemState::Deleting, "it waits for the place: {:?}", items[0].detail);
    assert!(items[0].detail.is_some(), "and says so");
    std::fs::rename(&away, &path).expect("back");
    house.custodian.work(now(AFTER + 2), || true).await.expect("done");
    let items = deletions::items(&house.storage, list.id).await.expect("items");
    assert_eq!((items[0].state, &items[0].detail), (ItemState::Deleted, &None));
    assert_eq!(house.there(), [CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE]);
    assert!(house.verify().is_sound());
}
