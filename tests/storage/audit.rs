//! The audit as a chain: what was changed, removed or put in past Vigie is found and named.

use ed25519_dalek::{SigningKey, VerifyingKey};
use vigie::config::settings::StorageSettings;
use vigie::model::{CallId, Utc};
use vigie::storage::Storage;
use vigie::storage::audit::{self, AuditEntry};
use vigie::storage::audit_chain::Head;
use vigie::storage::audit_check::{AuditVerdict, check, head_file, take_up};

/// A database with an audit of so many entries, signed.
struct House {
    folder: tempfile::TempDir,
    storage: Storage,
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn keys() -> Vec<VerifyingKey> {
    vec![key().verifying_key()]
}

fn entry(n: i64) -> AuditEntry {
    AuditEntry {
        at: Utc(1_700_000_000_000_000 + n),
        actor: "quality".into(),
        source: "192.0.2.7".into(),
        act: "recording.listen".into(),
        call: Some(CallId(uuid::Uuid::from_u128(n as u128))),
        reason: format!("plainte {n}"),
        detail: "all".into(),
        refuses: None,
    }
}

impl House {
    async fn with(entries: i64) -> House {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = Storage::open(&settings(&folder)).await.expect("a database");
        let house = House { folder, storage };
        assert_eq!(house.start().await, None);
        for n in 1..=entries {
            let written = audit::write(&house.storage, &entry(n)).await.expect("written");
            assert_eq!((written.position, written.broken), (n, None));
        }
        house
    }

    /// As a start of the server does.
    async fn start(&self) -> Option<String> {
        take_up(&self.storage, key(), head_file(self.folder.path())).await.expect("taken up")
    }

    async fn tamper(&self, sql: &str) {
        let url = format!("sqlite:{}", self.folder.path().join("vigie.db").display());
        let pool = sqlx::SqlitePool::connect(&url).await.expect("the database");
        sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&pool).await.expect("tampered");
        pool.close().await;
    }

    async fn verify(&self) -> AuditVerdict {
        let head = Head::read(&head_file(self.folder.path())).expect("a head");
        let storage = Storage::open_to_read(&settings(&self.folder)).await.expect("to read");
        check(&storage, &keys(), head.as_ref()).await.expect("checked")
    }
}

fn settings(folder: &tempfile::TempDir) -> StorageSettings {
    StorageSettings { url: format!("sqlite:{}", folder.path().join("vigie.db").display()), ladder_days: 30 }
}

#[tokio::test]
async fn an_audit_that_nobody_touched_is_sound_over_restarts() {
    let house = House::with(3).await;
    assert_eq!(house.start().await, None);
    audit::write(&house.storage, &entry(4)).await.expect("written");
    let verdict = house.verify().await;
    assert_eq!((verdict.entries, verdict.last, verdict.findings), (4, 4, vec![]));
}

#[tokio::test]
async fn every_change_removal_and_insertion_is_found_at_its_place() {
    let table = [
        ("UPDATE audit SET reason = 'x' WHERE position = 2", 2, "was changed"),
        ("UPDATE audit SET at = at + 1 WHERE position = 2", 2, "was changed"),
        ("UPDATE audit SET actor = 'else' WHERE position = 3", 3, "was changed"),
        ("UPDATE audit SET call = NULL WHERE position = 4", 4, "was changed"),
        ("UPDATE audit SET call = 'x' WHERE position = 4", 4, "was changed"),
        ("UPDATE audit SET detail = 'none' WHERE position = 4", 4, "was changed"),
        ("UPDATE audit SET source = '' WHERE position = 1", 1, "was changed"),
        ("UPDATE audit SET act = 'call.end' WHERE position = 1", 1, "was changed"),
        ("UPDATE audit SET refuses = 1 WHERE position = 3", 3, "was changed"),
        ("UPDATE audit SET signature = '' WHERE position = 3", 3, "signature"),
        ("DELETE FROM audit WHERE position = 1", 2, "entries 1 to 1 are not there"),
        ("DELETE FROM audit WHERE position IN (2, 3)", 4, "entries 2 to 3 are not there"),
        ("DELETE FROM audit WHERE position = 4", 4, "entries 4 to 4 are not there"),
        ("DELETE FROM audit", 4, "entries 1 to 4 are not there"),
        ("INSERT INTO audit (at, actor, source, act, reason, detail) VALUES (1, 'a', 'b', 'c', 'd', 'e')", 5, "put in"),
    ];
    for (sql, place, what) in table {
        let house = House::with(4).await;
        house.tamper(sql).await;
        let verdict = house.verify().await;
        let told = verdict.findings.first();
        assert!(told.is_some_and(|(at, told)| *at == place && told.contains(what)), "{sql}: {verdict:?}");
    }
}

#[tokio::test]
async fn what_was_taken_off_the_end_is_missed_though_the_audit_went_on() {
    let house = House::with(4).await;
    house.tamper("DELETE FROM audit WHERE position > 2").await;
    let written = audit::write(&house.storage, &entry(9)).await.expect("written");
    assert_eq!(written.position, 5, "no place is given twice");
    assert!(written.broken.is_some_and(|told| told.contains("entry 4")));
    let verdict = house.verify().await;
    assert!(verdict.findings.iter().any(|(at, what)| *at == 5 && what.contains("entries 3 to 4")), "{verdict:?}");
    // And over a restart, before anything is written.
    let house = House::with(4).await;
    house.tamper("DELETE FROM audit WHERE position > 2").await;
    assert!(house.start().await.is_some_and(|told| told.contains("entry 4")));
}

#[tokio::test]
async fn a_chain_written_anew_without_the_key_is_found() {
    let house = House::with(2).await;
    let text = vigie::storage::audit_chain::text(2, &AuditEntry { reason: "x".into(), ..entry(2) }, &hash_of(1, ""));
    let hash = vigie::storage::audit_chain::hash(&text);
    house.tamper(&format!("UPDATE audit SET reason = 'x', hash = '{hash}' WHERE position = 2")).await;
    let verdict = house.verify().await;
    assert!(verdict.findings.iter().any(|(at, what)| *at == 2 && what.contains("signature")), "{verdict:?}");
    let head = head_file(house.folder.path());
    let text = std::fs::read_to_string(&head).expect("the head").replace("\"position\":2", "\"position\":1");
    std::fs::write(&head, text).expect("changed");
    assert!(house.verify().await.findings.iter().any(|(_, what)| what.contains("the head's signature")));
}

fn hash_of(n: i64, previous: &str) -> String {
    vigie::storage::audit_chain::hash(&vigie::storage::audit_chain::text(n, &entry(n), previous))
}

#[tokio::test]
async fn entries_of_a_version_without_a_chain_are_chained_once_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = Storage::open(&settings(&folder)).await.expect("a database");
    let house = House { folder, storage };
    for n in 1..=3 {
        let sql = format!(
            "INSERT INTO audit (at, actor, source, act, reason, detail) VALUES ({n}, 'ops', 'x', 'call.end', 'r', 'd')"
        );
        house.tamper(&sql).await;
    }
    assert_eq!(house.start().await, None);
    let verdict = house.verify().await;
    assert_eq!((verdict.entries, verdict.findings), (3, vec![]));
    // What is put in later is not taken for an old entry.
    house
        .tamper("INSERT INTO audit (at, actor, source, act, reason, detail) VALUES (9, 'a', 'b', 'c', 'd', 'e')")
        .await;
    assert_eq!(house.start().await, None);
    assert_eq!(house.verify().await.findings_total, 1);
}
