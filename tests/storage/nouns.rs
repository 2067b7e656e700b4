//! What was handed in reads back, noun by noun.

use std::os::unix::fs::PermissionsExt;

use vigie::config::settings::StorageSettings;
use vigie::model::person::{Closed, ClosedBy, KeptWait};
use vigie::model::standing::{StandingOrder, Surge};
use vigie::model::{
    AbandonedCaller, Binding, DeviceId, E164, Fact, OfferEnd, Outcome, PauseReason, RegulatorState, SipTrace, Utc,
};
use vigie::storage::abandoned::{self, AbandonedFilter};
use vigie::storage::audit::{AuditEntry, AuditFilter};
use vigie::storage::filter::CallerFilter;
use vigie::storage::{CallFilter, Storage, StorageError, audit, bindings, calls, events, ladder, recordings};

use crate::story::{House, T0, call, call_id, event_fact, offer, regulator_event, sealed};

#[tokio::test]
async fn a_call_reads_back_as_it_was_remembered() {
    let house = House::open(&[]).await;
    house.store(vec![Fact::Call(Box::new(call(1)))]).await;
    assert_eq!(calls::one(&house.storage, call_id(1)).await.expect("reads"), Some(call(1)));
    assert_eq!(calls::one(&house.storage, call_id(2)).await.expect("reads"), None);
}

#[tokio::test]
async fn a_live_call_shows_the_offers_made_since_it_was_remembered() {
    let house = House::open(&[]).await;
    let mut live = call(1);
    (live.ended_at, live.outcome) = (None, None);
    let (lapsed, ringing) = (offer(1, Some(OfferEnd::TimedOut)), offer(2, None));
    house.store(vec![Fact::Call(Box::new(live))]).await;
    for offer in [&lapsed, &ringing] {
        house.store(vec![Fact::Offer { call: call_id(1), offer: Box::new(offer.clone()) }]).await;
    }
    let open = calls::open_calls(&house.storage).await.expect("reads");
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].offers, [lapsed, ringing]);
    assert_eq!(calls::one(&house.storage, call_id(1)).await.expect("reads").as_ref(), open.first());
}

#[tokio::test]
async fn pages_of_calls_join_without_a_gap_or_a_repeat() {
    let house = House::open(&[]).await;
    house.store((0..25).map(|n| Fact::Call(Box::new(call(n)))).collect()).await;
    let mut filter = CallFilter { limit: Some(10), ..CallFilter::default() };
    let (mut seen, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let page = calls::list(&house.storage, &filter).await.expect("lists");
        sizes.push(page.items.len());
        seen.extend(page.items.iter().map(|call| call.id));
        filter.before = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [10, 10, 5]);
    assert_eq!(seen, (0..25).rev().map(call_id).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_caller_who_hung_up_is_remembered_while_the_task_is_open_or_the_wait_is_kept() {
    let house = House::open(&[]).await;
    let task = |n, kept: Option<i64>, closed: bool| {
        let task = AbandonedCaller::of(&call(n), std::time::Duration::from_secs(42), Utc(T0 + n as i64));
        let kept = kept.map(|until| KeptWait::after(&call(n), std::time::Duration::from_secs(42), Utc(T0 + until)));
        let closed = closed.then_some(Closed { at: Utc(T0), by: ClosedBy::Expired });
        AbandonedCaller { kept, closed, ..task }
    };
    let all = [task(1, None, false), task(2, Some(50), true), task(3, Some(500), true), task(4, None, true)];
    house.store(all.iter().map(|task| Fact::Abandoned(Box::new(task.clone()))).collect()).await;
    let remembered = house.storage.remembered(Utc(T0 + 100)).await.expect("reads").abandoned;
    assert_eq!(remembered, [all[0].clone(), all[2].clone()]);
    let filter = AbandonedFilter { limit: Some(2), ..AbandonedFilter::default() };
    let page = abandoned::list(&house.storage, &filter).await.expect("lists");
    let rest = AbandonedFilter { before: page.next, ..filter };
    let ids = |items: &[AbandonedCaller]| items.iter().map(|task| task.id).collect::<Vec<_>>();
    assert_eq!(ids(&page.items), [call_id(4), call_id(3)]);
    let last = abandoned::list(&house.storage, &rest).await.expect("lists");
    assert_eq!((ids(&last.items), last.next), (vec![call_id(2), call_id(1)], None));
}

#[tokio::test]
async fn a_standing_order_is_remembered_until_it_is_withdrawn() {
    let house = House::open(&[]).await;
    let surge = |region: &str, at| {
        StandingOrder::Surge(Surge { region: region.into(), message: None, until: None, by: "ops".into(), at: Utc(at) })
    };
    let order = |region, at| Fact::Ordered(Box::new(surge(region, at)));
    house.store(vec![order("here", 1), order("there", 1), order("here", 2)]).await;
    assert_eq!(house.storage.remembered(Utc(T0)).await.expect("reads").orders, [surge("here", 2), surge("there", 1)]);
    house.store(vec![Fact::Withdrawn("surge/here".into())]).await;
    assert_eq!(house.storage.remembered(Utc(T0)).await.expect("reads").orders, [surge("there", 1)]);
}

fn number(text: &str) -> E164 {
    E164::parse(text).expect("a number")
}

#[tokio::test]
async fn calls_and_recordings_are_found_by_everything_that_the_filter_names() {
    let house = House::open(&[]).await;
    let facts = (0..10).flat_map(|n| [Fact::Call(Box::new(call(n))), Fact::Recording(Box::new(sealed(n)))]);
    house.store(facts.collect()).await;
    let all = CallFilter {
        from: Some(Utc(T0 + 2_000_000)),
        to: Some(Utc(T0 + 8_000_000)),
        caller: Some(CallerFilter { e164: vec![number("+33612345678")], raw: "x".into() }),
        line: Some("cherbourg".into()),
        association: Some("sos".into()),
        region: Some("manche".into()),
        regulator: Some("anne".into()),
        outcome: Some(Outcome::Answered),
        ..CallFilter::default()
    };
    let found = calls::list(&house.storage, &all).await.expect("lists").items;
    assert_eq!(found.iter().map(|call| call.id).collect::<Vec<_>>(), [6, 4, 2].map(call_id));
    let found = recordings::list(&house.storage, &all).await.expect("lists").items;
    assert_eq!(found.iter().map(|sealed| sealed.call).collect::<Vec<_>>(), [6, 4, 2].map(call_id));
    let others = [number("+33600000000"), number("+34612345678")].to_vec();
    let raw =
        CallFilter { caller: Some(CallerFilter { e164: others.clone(), raw: "0612345678".into() }), ..all.clone() };
    assert_eq!(calls::list(&house.storage, &raw).await.expect("lists").items.len(), 3);
    assert_eq!(recordings::list(&house.storage, &raw).await.expect("lists").items.len(), 3);
    let nobody = CallFilter { caller: Some(CallerFilter { e164: others, raw: "0600000000".into() }), ..all };
    assert!(calls::list(&house.storage, &nobody).await.expect("lists").items.is_empty());
}

#[tokio::test]
async fn a_recording_and_a_failure_read_back() {
    let house = House::open(&[]).await;
    let failed = Fact::RecordingFailed { call: call_id(2), at: Utc(T0), reason: "disk full".into() };
    house.store(vec![Fact::Recording(Box::new(sealed(1))), failed]).await;
    assert_eq!(recordings::one(&house.storage, call_id(1)).await.expect("reads"), Some(sealed(1)));
    let failure = recordings::failure(&house.storage, call_id(2)).await.expect("reads").expect("is there");
    assert_eq!((failure.at, failure.reason.as_str()), (Utc(T0), "disk full"));
}

#[tokio::test]
async fn the_start_is_told_bindings_states_and_sequences() {
    let house = House::open(&[]).await;
    let binding = |device: u64, expires: i64| Binding {
        regulator: "anne".into(),
        device: DeviceId(device),
        contact: "sip:anne@127.0.0.1:5062".into(),
        source: "127.0.0.1:5062".into(),
        listener: 0,
        sip_call_id: "x".into(),
        cseq: 1,
        user_agent: None,
        expires_at: Utc(T0 + expires),
    };
    let paused = RegulatorState::Paused { reason: PauseReason::Operator("lunch".into()) };
    let facts = vec![
        Fact::Binding(binding(u64::MAX, 10)),
        Fact::Binding(binding(2, -10)),
        Fact::Binding(binding(3, 10)),
        Fact::BindingGone { regulator: "anne".into(), device: DeviceId(3) },
        Fact::Regulator { regulator: "anne".into(), state: paused.clone(), since: Utc(T0) },
        regulator_event(7),
        regulator_event(6),
    ];
    house.store(facts).await;
    let remembered = house.storage.remembered(Utc(T0)).await.expect("reads");
    assert_eq!(remembered.bindings, [binding(u64::MAX, 10)]);
    assert_eq!(remembered.regulators, [("anne".into(), paused, Utc(T0))]);
    assert_eq!(remembered.regulator_sequences, [("anne".into(), 7)]);
    assert_eq!(bindings::unexpired(&house.storage, Utc(T0 + 10)).await.expect("reads"), []);
}

#[tokio::test]
async fn events_of_a_call_are_listed_in_their_order_and_the_sequence_goes_on() {
    let house = House::open(&[]).await;
    house.store(vec![event_fact(1, 2), event_fact(1, 1), event_fact(2, 9)]).await;
    let found = events::of_call(&house.storage, call_id(1)).await.expect("reads");
    assert_eq!(found.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((found[0].kind.as_str(), &found[0].payload["wait_ms"]), ("call.abandoned", &1.into()));
    assert_eq!(events::next_sequence(&house.storage, call_id(1)).await.expect("reads"), 3);
    assert_eq!(events::next_sequence(&house.storage, call_id(3)).await.expect("reads"), 1);
}

#[tokio::test]
async fn a_ladder_keeps_the_order_of_messages_of_one_instant_and_is_pruned_by_age() {
    let house = House::open(&[]).await;
    let trace = |at: i64, text: &str| SipTrace {
        call: call_id(1),
        leg: 0,
        at: Utc(at),
        received: true,
        peer: "127.0.0.2:5060".parse().expect("an address"),
        text: text.into(),
    };
    let told = [trace(T0, "INVITE"), trace(T0, "ACK"), trace(T0, "100"), trace(T0 + 1, "INVITE")];
    house.store(told.iter().cloned().map(Fact::SipMessage).collect()).await;
    house.store(told.iter().cloned().map(Fact::SipMessage).collect()).await;
    assert_eq!(ladder::of_call(&house.storage, call_id(1)).await.expect("reads"), told);
    house.storage.prune(Utc(T0 + 1 + 30 * 86_400_000_000)).await.expect("prunes");
    assert_eq!(ladder::of_call(&house.storage, call_id(1)).await.expect("reads"), told[3..]);
}

#[tokio::test]
async fn an_audit_entry_is_readable_as_soon_as_it_is_written() {
    let house = House::open(&[]).await;
    let entry = AuditEntry {
        at: Utc(T0),
        actor: "compliance".into(),
        source: "127.0.0.1".into(),
        act: "recording.listen".into(),
        call: Some(call_id(1)),
        reason: "complaint 12".into(),
        detail: "bytes 0-".into(),
        refuses: None,
    };
    let position = audit::write(&house.storage, &entry).await.expect("writes").position;
    let filter = AuditFilter { call: Some(call_id(1)), actor: Some("compliance".into()), ..AuditFilter::default() };
    let found = audit::list(&house.storage, &filter).await.expect("lists");
    assert_eq!((found[0].position, &found[0].entry), (position, &entry));
    let refused = AuditEntry { detail: "offline".into(), refuses: Some(position), ..entry.clone() };
    audit::write(&house.storage, &refused).await.expect("writes");
    let told = audit::list(&house.storage, &filter).await.expect("lists");
    let refusals: Vec<_> = told.iter().map(|row| (row.entry.refuses, row.refusal.as_deref())).collect();
    assert_eq!(refusals, [(Some(position), None), (None, Some("offline"))]);
    let older = AuditFilter { before: Some(position), ..filter };
    assert!(audit::list(&house.storage, &older).await.expect("lists").is_empty());
}

#[tokio::test]
async fn nobody_else_may_read_the_database() {
    let house = House::open(&[]).await;
    house.store(vec![Fact::Call(Box::new(call(1)))]).await;
    for name in ["vigie.db", "vigie.db-wal", "vigie.db-shm"] {
        let file = house.database().with_file_name(name);
        let mode = file.metadata().expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_url_that_means_nothing_is_refused_with_what_to_write() {
    let settings = StorageSettings { url: "postgres://db/vigie".into(), ladder_days: 30 };
    let refused = Storage::open(&settings).await.expect_err("refuses");
    assert!(matches!(refused, StorageError::Url { .. }));
    assert!(refused.to_string().contains("sqlite:PATH"));
}
