//! Facts become rows: the one place that knows which noun keeps what.

use crate::config::settings::EndpointSettings;
use crate::model::{Event, Fact, Subject};

use super::database::{self, Connection};
use super::writer::Batch;
use super::{Storage, bindings, calls, events, ladder, outbox, recordings, regulators};

/// Stores several batches in one transaction: all of them or none.
pub(super) async fn store(
    storage: &Storage,
    endpoints: &[EndpointSettings],
    batches: &[Batch],
) -> Result<(), sqlx::Error> {
    let mut transaction = database::begin(storage).await?;
    for fact in batches.iter().flat_map(|batch| batch.facts.iter()) {
        put(&mut transaction, endpoints, fact).await?;
    }
    transaction.commit().await?;
    storage.announce_commit();
    Ok(())
}

async fn put(connection: &mut Connection, endpoints: &[EndpointSettings], fact: &Fact) -> Result<(), sqlx::Error> {
    match fact {
        Fact::Call(record) => calls::put(connection, record).await,
        Fact::Offer { call, offer } => calls::put_offer(connection, *call, offer).await,
        Fact::Event(event) => put_event(connection, endpoints, event).await,
        Fact::Recording(sealed) => recordings::put(connection, sealed).await,
        Fact::RecordingFailed { call, at, reason } => recordings::put_failure(connection, *call, *at, reason).await,
        Fact::Binding(binding) => bindings::put(connection, binding).await,
        Fact::BindingGone { regulator, device } => bindings::remove(connection, regulator, *device).await,
        Fact::Regulator { regulator, state, since } => regulators::put(connection, regulator, state, *since).await,
        Fact::SipMessage(trace) => ladder::put(connection, trace).await,
    }
}

/// The event and what is owed of it, together.
async fn put_event(
    connection: &mut Connection,
    endpoints: &[EndpointSettings],
    event: &Event,
) -> Result<(), sqlx::Error> {
    events::put(connection, event).await?;
    if let Subject::Regulator(regulator) = &event.subject {
        regulators::raise_sequence(connection, regulator, event.sequence).await?;
    }
    let wants = |endpoint: &&EndpointSettings| {
        endpoint.events.is_empty() || endpoint.events.iter().any(|wanted| wanted == event.kind.name())
    };
    for endpoint in endpoints.iter().filter(wants) {
        outbox::put(connection, event, &endpoint.id).await?;
    }
    Ok(())
}
