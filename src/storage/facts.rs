//! Facts become rows: the one place that knows which noun keeps what.
//!
//! Several batches come to less than their sum: of a call, an offer, a regulator's state only the last word is stored,
//! and what is of one kind goes together.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;

use crate::config::settings::EndpointSettings;
use crate::model::{
    CallId, CallRecord, Deed, Event, Fact, ForecastDay, OfferRecord, RegulatorId, RegulatorState, RoutingNote,
    SipTrace, Subject, Utc,
};

use super::database::{self, Connection};
use super::writer::Batch;
use super::{
    Storage, abandoned, audit, bindings, calls, events, ladder, orders, outbox, recordings, regulators, routing,
};

/// What several batches come to, by kind. The kinds are stored in this order: what is spoken of before what speaks of
/// it.
#[derive(Debug, Default)]
struct Grouped<'a> {
    calls: Vec<&'a CallRecord>,
    offers: Vec<(CallId, &'a OfferRecord)>,
    states: Vec<(&'a RegulatorId, &'a RegulatorState, Utc)>,
    events: Vec<&'a Event>,
    traces: Vec<&'a SipTrace>,
    notes: Vec<(CallId, &'a RoutingNote)>,
    days: Vec<&'a ForecastDay>,
    deeds: Vec<&'a Deed>,
    /// What is rare, one by one.
    others: Vec<&'a Fact>,
}

/// Stores several batches in one transaction: all of them or none.
pub(super) async fn store(
    storage: &Storage,
    endpoints: &[EndpointSettings],
    batches: &[Batch],
) -> Result<(), sqlx::Error> {
    let grouped = Grouped::of(batches);
    // Whoever writes to the audit holds its end before any transaction.
    let mut chain = match grouped.deeds.is_empty() {
        true => None,
        false => Some(storage.audit.lock().await),
    };
    let mut transaction = database::begin(storage).await?;
    calls::put(&mut transaction, &grouped.calls).await?;
    calls::put_offers(&mut transaction, &grouped.offers).await?;
    regulators::put(&mut transaction, &grouped.states).await?;
    put_events(&mut transaction, endpoints, &grouped.events).await?;
    ladder::put(&mut transaction, &grouped.traces).await?;
    routing::put(&mut transaction, &grouped.notes).await?;
    routing::put_days(&mut transaction, &grouped.days).await?;
    for fact in grouped.others {
        put_other(&mut transaction, fact).await?;
    }
    let mut last = None;
    if let Some(chain) = &chain {
        for deed in grouped.deeds {
            last = Some(audit::put(&mut transaction, chain, deed).await?);
        }
    }
    transaction.commit().await?;
    if let (Some(chain), Some((written, hash))) = (&mut chain, last) {
        audit::advance(chain, &written, hash);
    }
    storage.announce_commit();
    Ok(())
}

/// The events and what is owed of them, together.
async fn put_events(
    connection: &mut Connection,
    endpoints: &[EndpointSettings],
    events: &[&Event],
) -> Result<(), sqlx::Error> {
    events::put(connection, events).await?;
    let mut sequences: BTreeMap<&RegulatorId, u32> = BTreeMap::new();
    let mut owed = Vec::new();
    for event in events {
        if let Subject::Regulator(regulator) = &event.subject {
            let highest = sequences.entry(regulator).or_default();
            *highest = event.sequence.max(*highest);
        }
        let wants = |endpoint: &&EndpointSettings| {
            endpoint.events.is_empty() || endpoint.events.iter().any(|wanted| wanted == event.kind.name())
        };
        owed.extend(endpoints.iter().filter(wants).map(|endpoint| (*event, endpoint.id.as_str())));
    }
    let sequences: Vec<_> = sequences.into_iter().collect();
    regulators::raise_sequences(connection, &sequences).await?;
    outbox::put(connection, &owed).await
}

async fn put_other(connection: &mut Connection, fact: &Fact) -> Result<(), sqlx::Error> {
    match fact {
        Fact::Recording(sealed) => recordings::put(connection, sealed).await,
        Fact::RecordingFailed { call, at, reason } => recordings::put_failure(connection, *call, *at, reason).await,
        Fact::Binding(binding) => bindings::put(connection, binding).await,
        Fact::BindingGone { regulator, device } => bindings::remove(connection, regulator, *device).await,
        Fact::Abandoned(task) => abandoned::put(connection, task).await,
        Fact::Call(_)
        | Fact::Offer { .. }
        | Fact::Event(_)
        | Fact::Regulator { .. }
        | Fact::SipMessage(_)
        | Fact::Routing { .. }
        | Fact::Forecast(_) => Ok(()),
        Fact::Ordered(order) => orders::put(connection, order).await,
        Fact::Withdrawn(order) => orders::remove(connection, order).await,
        // Chained, and so stored apart.
        Fact::Deed(_) => Ok(()),
    }
}

impl<'a> Grouped<'a> {
    fn of(batches: &'a [Batch]) -> Grouped<'a> {
        let mut grouped = Grouped::default();
        for fact in batches.iter().flat_map(|batch| batch.facts.iter()) {
            match fact {
                Fact::Call(record) => {
                    grouped.calls.push(record);
                    grouped.offers.extend(record.offers.iter().map(|offer| (record.id, offer)));
                }
                Fact::Offer { call, offer } => grouped.offers.push((*call, offer)),
                Fact::Event(event) => grouped.events.push(event),
                Fact::Regulator { regulator, state, since } => grouped.states.push((regulator, state, *since)),
                Fact::SipMessage(trace) => grouped.traces.push(trace),
                Fact::Recording(_)
                | Fact::RecordingFailed { .. }
                | Fact::Binding(_)
                | Fact::BindingGone { .. }
                | Fact::Abandoned(_)
                | Fact::Ordered(_)
                | Fact::Withdrawn(_) => grouped.others.push(fact),
                Fact::Deed(deed) => grouped.deeds.push(deed),
                Fact::Routing { call, note } => grouped.notes.push((*call, note)),
                Fact::Forecast(day) => grouped.days.push(day),
            }
        }
        keep_last(&mut grouped.calls, |call| call.id);
        keep_last(&mut grouped.offers, |(call, offer)| (*call, offer.number));
        keep_last(&mut grouped.states, |(regulator, ..)| *regulator);
        keep_last(&mut grouped.notes, |(call, note)| (*call, note.number));
        keep_last(&mut grouped.days, |day| &day.day);
        grouped
    }
}

/// Of those with the same name the last stays, in its place.
fn keep_last<T, N: Eq + Hash>(all: &mut Vec<T>, name: impl Fn(&T) -> N) {
    let mut named = HashSet::with_capacity(all.len());
    all.reverse();
    all.retain(|one| named.insert(name(one)));
    all.reverse();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_regulator_only_the_last_word_is_stored() {
        let is = |regulator: &str, state, at| Fact::Regulator { regulator: regulator.into(), state, since: Utc(at) };
        let batches = [
            Batch {
                number: 1,
                facts: vec![is("anne", RegulatorState::Ready, 1), is("bruno", RegulatorState::Ready, 2)].into(),
            },
            Batch { number: 2, facts: vec![is("anne", RegulatorState::WrapUp, 3)].into() },
        ];
        let stored: Vec<_> = Grouped::of(&batches)
            .states
            .iter()
            .map(|(who, state, at)| (who.as_str(), (*state).clone(), at.0))
            .collect();
        assert_eq!(stored, [("bruno", RegulatorState::Ready, 2), ("anne", RegulatorState::WrapUp, 3)]);
    }
}
