//! The writer: all or nothing, in order, and nothing lost while the database is away.

use std::path::Path;

use sqlx::{Connection, Executor, SqliteConnection};
use vigie::model::{Fact, LegRecord};
use vigie::storage::{calls, events, outbox};

use crate::story::{House, call, call_id, event_fact, offer, until};

/// Holds the database's lock, as a backup or a person with a shell would.
async fn lock(database: &Path) -> SqliteConnection {
    let mut other = SqliteConnection::connect(&format!("sqlite:{}", database.display())).await.expect("connects");
    other.execute("PRAGMA busy_timeout = 30000").await.expect("sets");
    other.execute("BEGIN IMMEDIATE").await.expect("locks");
    other
}

fn spooled(house: &House) -> usize {
    let entries = std::fs::read_dir(house.folder.path().join("spool")).expect("is there");
    entries.filter(|entry| entry.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().starts_with('0'))).count()
}

async fn sequences(house: &House, n: u64) -> Vec<u32> {
    let found = events::of_call(&house.storage, call_id(n)).await.expect("reads");
    found.iter().map(|event| event.sequence).collect()
}

#[tokio::test]
async fn a_batch_that_the_database_refuses_leaves_nothing_of_itself_and_harms_no_other() {
    let house = House::open(&["dispatch"]).await;
    house.writer.remember(vec![event_fact(1, 1)]);
    // An offer of a call that was never remembered breaks a foreign key.
    let orphan = Fact::Offer { call: call_id(9), offer: Box::new(offer(1, None)) };
    house.writer.remember(vec![event_fact(2, 1), orphan]);
    house.store(vec![event_fact(3, 1)]).await;
    assert_eq!((sequences(&house, 1).await, sequences(&house, 2).await), (vec![1], vec![]));
    assert_eq!(sequences(&house, 3).await, [1]);
    assert_eq!(outbox::pending(&house.storage).await.expect("counts")[0].pending, 2);
    assert!(house.alarmed("facts-refused"));
    let kept = std::fs::read_to_string(house.folder.path().join("spool/refused.jsonl")).expect("is kept");
    assert!(kept.contains(&call_id(9).to_string()));
}

#[tokio::test]
async fn facts_handed_in_while_the_database_is_locked_are_stored_in_order_when_it_returns() {
    let house = House::open(&["dispatch"]).await;
    house.store(vec![Fact::Call(Box::new(call(1)))]).await;
    let mut locked = lock(&house.database()).await;
    for sequence in 1..=300 {
        let mut changed = call(1);
        changed.detail = Some(sequence.to_string());
        house.writer.remember(vec![event_fact(1, sequence), Fact::Call(Box::new(changed))]);
    }
    until("the spool is used", async || (spooled(&house) > 0).then_some(())).await;
    assert!(house.writer.backlog().away && house.alarmed("storage-away"));
    for sequence in 301..=400 {
        house.writer.remember(vec![event_fact(1, sequence)]);
    }
    assert!(sequences(&house, 1).await.is_empty());
    locked.execute("ROLLBACK").await.expect("unlocks");
    house.writer.flush().await.expect("stored");
    assert_eq!(sequences(&house, 1).await, (1..=400).collect::<Vec<_>>());
    let last = calls::one(&house.storage, call_id(1)).await.expect("reads").expect("is there");
    assert_eq!(last.detail.as_deref(), Some("300"));
    assert_eq!((spooled(&house), house.writer.backlog().lost), (0, 0));
    assert!(house.alarmed("storage-back"));
    assert_eq!(outbox::pending(&house.storage).await.expect("counts")[0].pending, 400);
}

#[tokio::test]
async fn what_was_spooled_when_vigie_stopped_is_stored_at_the_next_start() {
    let house = House::open(&["dispatch"]).await;
    let mut locked = lock(&house.database()).await;
    (1..=50).for_each(|sequence| house.writer.remember(vec![event_fact(1, sequence)]));
    house.writer.stop().await;
    assert!(spooled(&house) > 0);
    // The power went while a line was being written.
    let torn = house.folder.path().join("spool/00000000000000000001.jsonl");
    let whole = std::fs::read(&torn).expect("reads");
    std::fs::write(&torn, [&whole[..], b"[{\"Event\":{\"id\":"].concat()).expect("writes");
    locked.execute("ROLLBACK").await.expect("unlocks");
    drop(locked);
    house.storage.close().await;

    let house = House::open_in(house.folder, &["dispatch"]).await;
    assert_eq!(sequences(&house, 1).await, (1..=50).collect::<Vec<_>>());
    assert_eq!(spooled(&house), 0);
}

#[tokio::test]
async fn when_the_spool_fails_too_facts_stay_in_memory_and_arrive_in_order() {
    let house = House::open(&[]).await;
    let spool = house.folder.path().join("spool");
    std::fs::remove_dir(&spool).expect("removes");
    let mut locked = lock(&house.database()).await;
    house.writer.remember(vec![event_fact(1, 1)]);
    until("the spool was tried", async || house.alarmed("spool-failed").then_some(())).await;
    (2..=9_000).for_each(|sequence| house.writer.remember(vec![event_fact(1, sequence)]));
    until("they are held", async || (house.writer.backlog().facts == 9_000).then_some(())).await;
    locked.execute("ROLLBACK").await.expect("unlocks");
    house.writer.flush().await.expect("stored");
    assert_eq!(sequences(&house, 1).await.len(), 2000, "one question answers no more");
    assert_eq!(events::next_sequence(&house.storage, call_id(1)).await.expect("reads"), 9_001);
    let rung = house.alarms.lock().expect("alarms").iter().filter(|alarm| alarm.kind == "spool-failed").count();
    assert_eq!((rung, house.writer.backlog().lost), (1, 0), "one alarm, however many facts");
}

#[tokio::test]
async fn more_than_memory_holds_goes_through_the_spool_and_arrives_whole() {
    let house = House::open(&[]).await;
    for sequence in 1..=1500 {
        let mut heavy = call(u64::from(sequence));
        heavy.legs = Vec::<LegRecord>::new();
        let facts = (0..8).map(|_| event_fact(1, sequence)).chain([Fact::Call(Box::new(heavy))]);
        house.writer.remember(facts.collect());
    }
    house.writer.flush().await.expect("stored");
    assert_eq!(sequences(&house, 1).await, (1..=1500).collect::<Vec<_>>());
    assert_eq!((spooled(&house), house.writer.backlog().lost), (0, 0));
}

#[tokio::test]
async fn an_event_handed_in_twice_is_owed_once() {
    let house = House::open(&["a", "b"]).await;
    house.store(vec![event_fact(1, 1), event_fact(1, 2)]).await;
    house.store(vec![event_fact(1, 1), event_fact(1, 2)]).await;
    let counts = outbox::pending(&house.storage).await.expect("counts");
    assert_eq!(counts.iter().map(|count| count.pending).collect::<Vec<_>>(), [2, 2]);
}

#[tokio::test]
async fn stopping_stores_everything_handed_in_before() {
    let house = House::open(&[]).await;
    (1..=500).for_each(|sequence| house.writer.remember(vec![event_fact(1, sequence)]));
    house.writer.stop().await;
    assert_eq!(sequences(&house, 1).await.len(), 500);
    house.writer.remember(vec![event_fact(1, 501)]);
    assert!(house.writer.backlog().lost == 1 && house.alarmed("facts-lost"), "afterwards it is told, not hidden");
    assert!(house.writer.flush().await.is_err());
}
