//! What waits for the second place: what changed comes first, and what is only renewed holds up nothing.

use std::collections::{BTreeMap, BTreeSet};

use vigie::model::{Fact, Utc};
use vigie::recorder::layout::folder_of;
use vigie::storage::copies::{self, Done};
use vigie::storage::promises;

use crate::story::{House, T0, call_id, sealed};

const PLACE: &str = "s3:store/kept";

async fn due(house: &House, at: i64) -> Vec<String> {
    let due = copies::due(&house.storage, PLACE, Utc(at), 10).await.expect("read");
    due.into_iter().map(|one| one.folder).collect()
}

/// Copies everything that is due.
async fn copy_all(house: &House, at: i64) {
    let done = Done { at: Utc(at), locked_until: Some(Utc(at + 1)), is_held: false };
    for one in copies::due(&house.storage, PLACE, Utc(at), 10).await.expect("read") {
        copies::finish(&house.storage, PLACE, &one, done).await.expect("noted");
    }
}

#[tokio::test]
async fn a_longer_retention_has_the_locks_of_its_association_renewed_behind_what_is_new() {
    let house = House::open(&[]).await;
    let all: Vec<_> = (1..=3).map(sealed).collect();
    let association = all[0].record.association.clone();
    house.store(all.iter().map(|one| Fact::Recording(Box::new(one.clone()))).collect()).await;
    let folders: BTreeSet<String> = (1..=2).map(|n| folder_of(call_id(n))).collect();
    copies::note(&house.storage, (PLACE, "log"), &folders, 1, Utc(T0)).await.expect("noted");
    copy_all(&house, T0 + 1).await;
    assert_eq!(due(&house, T0 + 2).await, Vec::<String>::new());
    let keep = async |name: &str, years: u16, at: i64| {
        let years = BTreeMap::from([(name.into(), years)]);
        promises::follow(&house.storage, &years, Utc(at)).await.expect("followed").copies
    };
    assert_eq!(keep("another", 9, T0 + 3).await, 0, "of another association nothing is renewed");
    assert_eq!(keep(association.as_str(), 5, T0 + 3).await, 2, "kept for as long as nobody knew before");
    copy_all(&house, T0 + 4).await;
    assert_eq!(keep(association.as_str(), 5, T0 + 5).await, 0, "the same again");
    assert_eq!(keep(association.as_str(), 7, T0 + 6).await, 2);
    // A new recording comes in the midst of it, and goes first; no lag is told of renewals.
    let new = BTreeSet::from([folder_of(call_id(3))]);
    assert_eq!(copies::backlog(&house.storage, PLACE).await.expect("counted").waiting, 0);
    copies::note(&house.storage, (PLACE, "log"), &new, 2, Utc(T0 + 60)).await.expect("noted");
    let order: Vec<String> = new.iter().chain(&folders).cloned().collect();
    assert_eq!(due(&house, T0 + 61).await, order);
    let backlog = copies::backlog(&house.storage, PLACE).await.expect("counted");
    assert_eq!((backlog.waiting, backlog.oldest), (1, Some(Utc(T0 + 60))));
    // One that fails is tried again later, and stays behind.
    let next = Utc(T0 + 100);
    copies::fail(&house.storage, PLACE, &order[1], ("refused", next)).await.expect("noted");
    assert_eq!(due(&house, T0 + 99).await, [order[0].clone(), order[2].clone()]);
    assert_eq!(copies::renewals(&house.storage, PLACE).await.expect("counted"), (2, Some("refused".to_owned())));
    assert_eq!(due(&house, T0 + 101).await, [order[0].clone(), order[2].clone(), order[1].clone()]);
    copy_all(&house, T0 + 102).await;
    assert_eq!(copies::renewals(&house.storage, PLACE).await.expect("counted"), (0, None));
    assert_eq!(keep(association.as_str(), 5, T0 + 103).await, 0, "a shorter one shortens nothing");
    assert_eq!(copies::renew_all(&house.storage, Utc(T0 + 104)).await.expect("noted"), 3);
    assert_eq!(due(&house, T0 + 105).await.len(), 3);
}
