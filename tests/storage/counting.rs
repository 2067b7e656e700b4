//! Statistics count what is stored, each call once and those of test numbers never.

use std::collections::BTreeMap;

use vigie::model::{CallRecord, Fact, OfferEnd, Outcome, Utc};
use vigie::storage::statistics::{Asked, By, Figures, Statistics, of};

use crate::story::{House, T0, call, offer};

/// A call that waited from second 1 on and that no regulator answered.
fn unanswered(n: u64, outcome: Outcome) -> CallRecord {
    let offers = vec![offer(1, Some(OfferEnd::TimedOut))];
    CallRecord { answered_at: None, regulator: None, outcome: Some(outcome), offers, ..call(n) }
}

async fn statistics(house: &House, by: By) -> Statistics {
    let asked = Asked { from: Utc(T0), to: Utc(T0 + 3_600_000_000), by, line: None, association: None, region: None };
    of(&house.storage, &asked, Utc(T0 + 7_200_000_000)).await.expect("counted")
}

#[tokio::test]
async fn a_call_of_a_test_number_counts_nowhere() {
    let house = House::open(&[]).await;
    let mut test = call(2);
    test.person.is_test = true;
    house.store(vec![Fact::Call(Box::new(call(1))), Fact::Call(Box::new(test))]).await;
    for by in [By::Line, By::Skill, By::Regulator, By::Hour] {
        let counted = statistics(&house, by).await;
        assert_eq!((counted.total.received, counted.total.answered), (1, 1), "{by:?}");
        assert_eq!(counted.rows.iter().map(|row| row.figures.answered).sum::<u64>(), 1, "{by:?}");
    }
}

#[tokio::test]
async fn who_was_served_by_something_else_is_not_counted_as_unanswered() {
    let house = House::open(&[]).await;
    let outcomes = [
        Outcome::Forwarded,
        Outcome::Voicemail,
        Outcome::Informed,
        Outcome::Overflowed,
        Outcome::Closed,
        Outcome::Abandoned,
    ];
    let calls = (1..).zip(outcomes).map(|(n, outcome)| Fact::Call(Box::new(unanswered(n, outcome))));
    house.store(calls.collect()).await;
    let Figures { received, answered, abandoned, unanswered, served_otherwise, .. } =
        statistics(&house, By::Line).await.total;
    assert_eq!((received, answered, abandoned, unanswered, served_otherwise), (6, 0, 1, 2, 3));
}

#[tokio::test]
async fn skills_and_offers_are_found_in_the_records() {
    let house = House::open(&[]).await;
    let skills = BTreeMap::from([("regulation".into(), 50), ("lang-en".into(), 30)]);
    let english = CallRecord { skills, ..call(2) };
    house.store(vec![Fact::Call(Box::new(call(1))), Fact::Call(Box::new(english))]).await;
    let by_skill = statistics(&house, By::Skill).await.rows;
    let counted: Vec<_> = by_skill.iter().map(|row| (row.key.as_str(), row.figures.received)).collect();
    assert_eq!(counted, [("lang-en", 1), ("regulation", 2)]);
    let by_regulator = statistics(&house, By::Regulator).await.rows;
    let counted: Vec<_> = by_regulator.iter().map(|row| (row.key.as_str(), row.figures.offered)).collect();
    assert_eq!(counted, [("anne", 2)]);
}
