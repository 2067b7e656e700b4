//! What the database remembers, as functions by noun: the [`Writer`] takes facts in, the nouns read them back.
//!
//! Reads are `noun::verb(&storage, …)`. The SQL is what SQLite and PostgreSQL share (`$1`, `ON CONFLICT`, integer
//! microseconds, JSON as text); what they do not share stands in `database.rs` and the migrations alone.

pub mod abandoned;
pub mod archived;
pub mod audit;
pub mod audit_chain;
pub mod audit_check;
pub mod bindings;
pub mod calls;
pub mod clock_marks;
pub mod comparing;
pub mod copies;
mod database;
pub mod deletions;
pub mod events;
pub mod exports;
mod facts;
pub mod filter;
mod hold_check;
pub mod holds;
pub mod ladder;
pub mod orders;
pub mod outbox;
pub mod promises;
pub mod recordings;
pub mod regulators;
pub mod routing;
mod spool;
pub mod statistics;
pub mod story;
pub mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use crate::config::settings::StorageSettings;
use crate::model::{Remembered, Utc};

pub use filter::{CallFilter, Cursor, Page, ROWS_MAX};
pub use writer::{Backlog, Writer, WriterSettings};

/// Settled deliveries are kept for so many days, then only the event and the call remain.
pub const DELIVERED_DAYS: u32 = 30;

/// Why storage could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The URL in `[storage]` means nothing to us.
    #[error("[storage] url `{url}` cannot be used: write `sqlite:PATH` (PostgreSQL is not built in yet)")]
    Url {
        /// As configured.
        url: String,
    },
    /// A file or folder of ours could not be made, read or written.
    #[error("{act} {path}: {source}; check that the folder exists, has room and belongs to this user")]
    File {
        /// What was being done.
        act: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The database file could not be opened.
    #[error("opening the database {path}: {source}; check its owner, and that no other vigie uses it")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The tables could not be brought to this version.
    #[error("bringing the tables of {path} to this version: {source}; an older vigie cannot read a newer database")]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// A statement failed.
    #[error("{act}: {source}")]
    Statement {
        /// What was being done.
        act: &'static str,
        /// Why not.
        source: sqlx::Error,
    },
    /// A stored value does not read back.
    #[error("{act}: what is stored does not read back ({source}); was it written by another version?")]
    Unreadable {
        /// What was being done.
        act: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The writer has stopped.
    #[error("the storage writer has stopped: nothing more can be stored")]
    Stopped,
}

/// The database: cheap to clone, shared by all who read.
#[derive(Clone, Debug)]
pub struct Storage {
    /// One connection: SQLite has one writer at a time, and here it queues instead of polling for a lock.
    write: database::Pool,
    /// Several connections that see the last committed state and wait for nobody.
    read: database::Pool,
    /// The audit's end; whoever writes to it holds it.
    audit: Arc<Mutex<audit_chain::Chain>>,
    /// How long SIP ladders are kept, in days.
    ladder_days: u32,
    /// Goes up with every commit that the outbox should look at.
    commits: watch::Sender<u64>,
}

impl Storage {
    /// Opens the database (makes its folder and file, mode 0600) and brings its tables to this version.
    pub async fn open(settings: &StorageSettings) -> Result<Storage, StorageError> {
        let (write, read) = database::open(&settings.url).await?;
        Ok(Storage::of(write, read, settings.ladder_days))
    }

    /// Opens the database of a server that may be running, to read and nothing else.
    pub async fn open_to_read(settings: &StorageSettings) -> Result<Storage, StorageError> {
        let read = database::open_to_read(&settings.url).await?;
        Ok(Storage::of(read.clone(), read, settings.ladder_days))
    }

    fn of(write: database::Pool, read: database::Pool, ladder_days: u32) -> Storage {
        Storage { write, read, audit: Arc::default(), ladder_days, commits: watch::Sender::new(0) }
    }

    /// What must be known at the start. Start the [`Writer`] first: it stores what an earlier run had to spool.
    pub async fn remembered(&self, now: Utc) -> Result<Remembered, StorageError> {
        let (regulators, regulator_sequences) = regulators::remembered(self).await?;
        let abandoned = abandoned::remembered(self, now).await?;
        let forecasts = routing::forecast_days(self).await?.into_iter().next();
        let bindings = bindings::unexpired(self, now).await?;
        let orders = orders::all(self).await?;
        let call_backs = calls::open_call_backs(self).await?;
        Ok(Remembered { bindings, regulators, regulator_sequences, abandoned, forecasts, orders, call_backs })
    }

    /// Changes after every commit that may have put something into the outbox.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// Removes what is kept for a limited time: SIP ladders past `ladder_days`, settled deliveries past
    /// [`DELIVERED_DAYS`], expired bindings. To be called once an hour or so.
    pub async fn prune(&self, now: Utc) -> Result<(), StorageError> {
        ladder::prune(self, days_before(now, self.ladder_days)).await?;
        outbox::prune(self, days_before(now, DELIVERED_DAYS)).await?;
        bindings::prune(self, days_before(now, 1)).await
    }

    /// Closes the connections; the WAL is folded into the file. Stop the writer and the outbox first.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    fn announce_commit(&self) {
        self.commits.send_modify(|count| *count = count.wrapping_add(1));
    }
}

fn days_before(now: Utc, days: u32) -> Utc {
    Utc(now.0.saturating_sub(i64::from(days) * 86_400_000_000))
}

/// For `map_err`: names the act that failed.
fn failed(act: &'static str) -> impl Fn(sqlx::Error) -> StorageError {
    move |source| StorageError::Statement { act, source }
}

/// Whether two names are one person's, where a second person must agree: however they are written.
pub fn is_same_person(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// Reads a JSON column back.
fn read_json<T: serde::de::DeserializeOwned>(act: &'static str, text: &str) -> Result<T, StorageError> {
    serde_json::from_str(text).map_err(|source| StorageError::Unreadable { act, source })
}
