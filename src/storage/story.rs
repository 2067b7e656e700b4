//! A call's whole story, as it stood at one moment.

use crate::model::{CallId, CallRecord, SealedRecording};

use super::events::{self, StoredEvent};
use super::filter::ROWS_MAX;
use super::outbox::{self, OutboxFilter, OutboxRow};
use super::recordings::{self, RecordingFailure};
use super::{Storage, StorageError, calls, database, failed};

/// Everything stored of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// The record with its legs and offers.
    pub record: CallRecord,
    /// Its events, in order.
    pub events: Vec<StoredEvent>,
    /// Its recording, once it is sealed.
    pub recording: Option<SealedRecording>,
    /// Why it has none, when it should have one.
    pub failure: Option<RecordingFailure>,
    /// What dispatch is or was owed of it, newest first; at most [`ROWS_MAX`].
    pub owed: Vec<OutboxRow>,
}

/// The story of a call; of a live one, as far as it is stored. Never half of what was stored together.
pub async fn of(storage: &Storage, call: CallId) -> Result<Option<Story>, StorageError> {
    let mut snapshot = database::snapshot(storage).await.map_err(failed("reading a call's story"))?;
    let Some(record) = calls::read(&mut snapshot, call).await? else { return Ok(None) };
    let owed = OutboxFilter { call: Some(call), limit: Some(ROWS_MAX), ..OutboxFilter::default() };
    Ok(Some(Story {
        record,
        events: events::read_of_call(&mut *snapshot, call).await?,
        recording: recordings::read(&mut *snapshot, call).await?,
        failure: recordings::read_failure(&mut *snapshot, call).await?,
        owed: outbox::read(&mut *snapshot, &owed).await?,
    }))
}
