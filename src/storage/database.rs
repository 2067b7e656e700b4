//! The database engine: its types, how it is opened, and the little of its speech that others do not share.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use sqlx::Connection as _;
use sqlx::QueryBuilder;
use sqlx::query_builder::Separated;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::{Storage, StorageError};

/// The engine.
pub(super) type Db = sqlx::Sqlite;
/// Its connections.
pub(super) type Pool = sqlx::Pool<Db>;
/// One of them, inside a transaction or not.
pub(super) type Connection = <Db as sqlx::Database>::Connection;
/// Several statements that hold together.
pub(super) type Transaction = sqlx::Transaction<'static, Db>;

/// Connections that read: the API, the outbox and the start never need more at once.
const READERS_MAX: u32 = 4;
/// Rows inserted by one statement. Every number of them is a statement of its own to prepare once and to keep.
const ROWS_AT_ONCE: usize = 32;
/// Statements kept prepared: those of every number of rows, and all that read.
const STATEMENTS_KEPT: usize = 512;
/// How long a statement waits for another process's lock (a backup, a person with a shell) before it fails; the
/// writer then spools.
const BUSY_MAX: Duration = Duration::from_secs(2);
/// How long one may wait for a connection.
const ACQUIRE_MAX: Duration = Duration::from_secs(10);

/// Opens the writing and the reading pool.
pub(super) async fn open(url: &str) -> Result<(Pool, Pool), StorageError> {
    let path = path_of(url)?;
    prepare_file(&path)?;
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL: a commit is on the disk before the outbox speaks of it or a byte of audio leaves after its audit row.
        // NORMAL would lose the last commits with the power; here commits are grouped, so the fsync is paid rarely.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_MAX)
        .statement_cache_capacity(STATEMENTS_KEPT);
    let failed = |source| StorageError::Open { path: path.clone(), source };
    let pool = || {
        let pool = SqlitePoolOptions::new().acquire_timeout(ACQUIRE_MAX).idle_timeout(None).max_lifetime(None);
        // A disk's fault in a COMMIT ends the transaction in SQLite and not in sqlx, which would refuse every later one on
        // this connection, however well the disk is again: it is closed, and another one opened.
        pool.before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
    };
    // Of a disk that is read-only or full for a while SQLite makes a connection that only reads, and it would stay one.
    let writer = pool().max_connections(1).after_connect(|connection, _| Box::pin(must_write(connection)));
    let write = writer.connect_with(options.clone()).await.map_err(failed)?;
    sqlx::migrate!("src/storage/migrations/sqlite")
        .run(&write)
        .await
        .map_err(|source| StorageError::Migrate { path: path.clone(), source })?;
    let read = pool().max_connections(READERS_MAX).connect_with(options).await.map_err(failed)?;
    Ok((write, read))
}

async fn must_write(connection: &mut Connection) -> Result<(), sqlx::Error> {
    connection.begin_with("BEGIN IMMEDIATE").await?.rollback().await
}

/// Opens a reading pool alone: the file must be there, and is not changed.
pub(super) async fn open_to_read(url: &str) -> Result<Pool, StorageError> {
    let path = path_of(url)?;
    let options = SqliteConnectOptions::new().filename(&path).read_only(true).busy_timeout(BUSY_MAX);
    let pool = SqlitePoolOptions::new().acquire_timeout(ACQUIRE_MAX).max_connections(READERS_MAX);
    pool.connect_with(options).await.map_err(|source| StorageError::Open { path, source })
}

/// Begins a transaction that writes; it takes the lock at once, so that it cannot fail half-way for want of it.
pub(super) async fn begin(storage: &Storage) -> Result<Transaction, sqlx::Error> {
    storage.write.begin_with("BEGIN IMMEDIATE").await
}

/// Begins to read: all that is read by it is of one moment.
pub(super) async fn snapshot(storage: &Storage) -> Result<Transaction, sqlx::Error> {
    storage.read.begin().await
}

/// The values of one row, in the order of its columns.
pub(super) type Row<'a> = Separated<'a, Db, &'static str>;

/// `INSERT INTO` so many rows by as few statements as can be: a statement is a journey to the database's thread and
/// back, which costs more than the row. No two rows may name the same thing.
pub(super) async fn insert<T>(
    connection: &mut Connection,
    into: &'static str,
    rows: &[T],
    bind: impl Fn(&mut Row<'_>, &T) -> Result<(), sqlx::Error>,
    on_conflict: &'static str,
) -> Result<(), sqlx::Error> {
    for some in rows.chunks(ROWS_AT_ONCE) {
        let mut sql = QueryBuilder::<Db>::new("INSERT INTO ");
        sql.push(into).push(" VALUES ");
        for (place, one) in some.iter().enumerate() {
            sql.push(if place == 0 { "(" } else { ", (" });
            bind(&mut sql.separated(", "), one)?;
            sql.push(")");
        }
        sql.push(" ON CONFLICT ").push(on_conflict);
        sql.build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// Whether an error means that these very values will never be stored, however often they are tried.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => !matches!(database.kind(), sqlx::error::ErrorKind::Other),
        sqlx::Error::Encode(_) => true,
        _ => false,
    }
}

/// A value as a JSON column holds it.
pub(super) fn json<T: Serialize>(value: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

/// A one-word enum as a text column holds it: its serialised name.
pub(super) fn word<T: Serialize>(value: &T) -> Result<String, sqlx::Error> {
    json(value).map(|quoted| quoted.trim_matches('"').to_owned())
}

fn path_of(url: &str) -> Result<PathBuf, StorageError> {
    let unusable = || StorageError::Url { url: url.to_owned() };
    let path = url.strip_prefix("sqlite:").ok_or_else(unusable)?;
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(':') { Err(unusable()) } else { Ok(PathBuf::from(path)) }
}

/// Makes the folder and the file before SQLite does, so that nobody else may read them (SQLite gives its `-wal` and
/// `-shm` the same mode).
fn prepare_file(path: &Path) -> Result<(), StorageError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| StorageError::File {
            act: "making the folder",
            path: folder.to_owned(),
            source,
        })?;
    }
    let made = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    made.map(|_| ()).map_err(|source| StorageError::File {
        act: "making the database file",
        path: path.to_owned(),
        source,
    })
}
