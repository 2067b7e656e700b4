//! How long each association's recordings were promised to be kept, and when: what was promised is not taken back.

use std::collections::BTreeMap;

use super::{Storage, StorageError, copies, database, failed};
use crate::model::{AssociationId, Utc};

/// A retention while it was in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// How long, in years.
    pub years: u16,
    /// From when on.
    pub since: Utc,
    /// Until when; `None` while it is in force.
    pub until: Option<Utc>,
}

const ACT: &str = "keeping the retention that was promised";

/// What a configuration changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Associations whose retention became shorter.
    pub shorter: Vec<AssociationId>,
    /// Copies in buckets whose locks are to be renewed, since theirs became longer.
    pub copies: u64,
}

/// Notes what is in force from `now` on, and with it that the locks of copies are to follow.
pub async fn follow(
    storage: &Storage,
    years: &BTreeMap<AssociationId, u16>,
    now: Utc,
) -> Result<Changed, StorageError> {
    let mut transaction = database::begin(storage).await.map_err(failed(ACT))?;
    let mut changed = Changed::default();
    for (association, years) in years {
        let last: Option<(i64, i64)> = sqlx::query_as(
            "SELECT years, since FROM retention_promises WHERE association = $1 AND until IS NULL ORDER BY since DESC LIMIT 1",
        )
        .bind(association.as_str())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed(ACT))?;
        let years = i64::from(*years);
        if last.is_none_or(|(before, _)| before < years) {
            changed.copies += copies::renew_of(&mut transaction, association, now).await.map_err(failed(ACT))?;
        }
        let since = match last {
            Some((before, _)) if before == years => continue,
            Some((before, since)) => {
                if before > years {
                    changed.shorter.push(association.clone());
                }
                // A clock that was set back must not make a promise end before it began.
                now.0.max(since + 1)
            }
            None => now.0,
        };
        for (sql, value) in [
            ("UPDATE retention_promises SET until = $1 WHERE association = $2 AND until IS NULL", None),
            ("INSERT INTO retention_promises (since, association, years) VALUES ($1, $2, $3)", Some(years)),
        ] {
            let query = sqlx::query(sql).bind(since).bind(association.as_str());
            let query = if let Some(years) = value { query.bind(years) } else { query };
            query.execute(&mut *transaction).await.map_err(failed(ACT))?;
        }
    }
    transaction.commit().await.map_err(failed(ACT))?;
    Ok(changed)
}

/// Every promise to an association, the oldest first.
pub async fn of(storage: &Storage, association: &AssociationId) -> Result<Vec<Promise>, StorageError> {
    let rows: Vec<(i64, i64, Option<i64>)> =
        sqlx::query_as("SELECT years, since, until FROM retention_promises WHERE association = $1 ORDER BY since")
            .bind(association.as_str())
            .fetch_all(&storage.read)
            .await
            .map_err(failed("reading the retention that was promised"))?;
    let read = |(years, since, until): (i64, i64, Option<i64>)| Promise {
        years: u16::try_from(years).unwrap_or(u16::MAX),
        since: Utc(since),
        until: until.map(Utc),
    };
    Ok(rows.into_iter().map(read).collect())
}

/// The associations that were ever promised anything.
pub async fn associations(storage: &Storage) -> Result<Vec<AssociationId>, StorageError> {
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT DISTINCT association FROM retention_promises ORDER BY association")
            .fetch_all(&storage.read)
            .await
            .map_err(failed("reading the retention that was promised"))?;
    Ok(rows.into_iter().map(|(id,)| id.as_str().into()).collect())
}
