//! Legal holds held against the audit: a hold's row proves nothing by itself, the chained entries that placed and released it do.

use sqlx::Row;

use super::audit_check::AuditVerdict;
use super::database::{Connection, Db};

/// An entry is written before its deed; a database that is slow lets so much time pass between the two.
const DEED_WITHIN_US: u64 = 120_000_000;

/// A deed that the audit tells and that was not refused.
struct Told {
    position: i64,
    at: i64,
    is_placing: bool,
    call: String,
    reason: String,
    detail: String,
    is_found: bool,
}

/// A row of the holds.
struct Held {
    id: i64,
    call: String,
    placed_at: i64,
    reason: String,
    case_number: Option<String>,
    release: Option<(i64, String)>,
}

/// Adds what does not agree: a hold or a release that no entry tells as it stands, and an entry whose hold is not there.
pub(super) async fn compare(connection: &mut Connection, verdict: &mut AuditVerdict) -> Result<(), sqlx::Error> {
    // Entries first: what is placed meanwhile has its row by the time that the rows are read.
    let mut told = read_told(connection).await?;
    for hold in read_holds(connection).await? {
        let detail = hold.case_number.as_deref().map_or_else(String::new, |case| format!("case {case}"));
        let placed = (hold.call.as_str(), hold.reason.as_str(), detail.as_str(), hold.placed_at);
        if !find(&mut told, true, placed) {
            let what = format!(
                "hold {} on call {}: no entry tells that it was placed as it stands (when, why, which case): it was put in \
                 or changed past Vigie",
                hold.id, hold.call
            );
            verdict.add(0, what);
        }
        let Some((at, reason)) = &hold.release else { continue };
        let detail = format!("hold {}", hold.id);
        if !find(&mut told, false, (hold.call.as_str(), reason.as_str(), detail.as_str(), *at)) {
            let what = format!(
                "hold {} on call {}: no entry tells that it was released as it stands (when, why): it was changed past Vigie",
                hold.id, hold.call
            );
            verdict.add(0, what);
        }
    }
    for one in told.iter().filter(|one| !one.is_found) {
        let (what, then) = match one.is_placing {
            true => ("a hold", "it was taken out or changed past Vigie, or Vigie was killed before it was placed"),
            false => {
                ("the release of a hold", "it was taken back past Vigie, or Vigie was killed before it was released")
            }
        };
        verdict.add(one.position, format!("tells of {what} on call {} that the holds do not have: {then}", one.call));
    }
    Ok(())
}

/// Finds the entry of a deed, which then belongs to no other.
fn find(told: &mut [Told], is_placing: bool, (call, reason, detail, at): (&str, &str, &str, i64)) -> bool {
    let found = told.iter_mut().find(|one| {
        let is_same = one.call == call && one.reason == reason && one.detail == detail;
        !one.is_found && one.is_placing == is_placing && is_same && one.at.abs_diff(at) <= DEED_WITHIN_US
    });
    found.map(|one| one.is_found = true).is_some()
}

async fn read_told(connection: &mut Connection) -> Result<Vec<Told>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT position, at, act, call, reason, detail FROM audit a
         WHERE act IN ('recording.hold', 'recording.release')
             AND NOT EXISTS (SELECT 1 FROM audit later WHERE later.refuses = a.position)
         ORDER BY position",
    )
    .fetch_all(connection)
    .await?;
    let read = |row: &<Db as sqlx::Database>::Row| -> Result<Told, sqlx::Error> {
        Ok(Told {
            position: row.try_get("position")?,
            at: row.try_get("at")?,
            is_placing: row.try_get::<String, _>("act")? == "recording.hold",
            call: row.try_get::<Option<String>, _>("call")?.unwrap_or_default(),
            reason: row.try_get("reason")?,
            detail: row.try_get("detail")?,
            is_found: false,
        })
    };
    rows.iter().map(read).collect()
}

async fn read_holds(connection: &mut Connection) -> Result<Vec<Held>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, call, placed_at, reason, case_number, released_at, release_reason FROM holds ORDER BY id",
    )
    .fetch_all(connection)
    .await?;
    let read = |row: &<Db as sqlx::Database>::Row| -> Result<Held, sqlx::Error> {
        let released_at: Option<i64> = row.try_get("released_at")?;
        let why: Option<String> = row.try_get("release_reason")?;
        Ok(Held {
            id: row.try_get("id")?,
            call: row.try_get("call")?,
            placed_at: row.try_get("placed_at")?,
            reason: row.try_get("reason")?,
            case_number: row.try_get("case_number")?,
            release: released_at.map(|at| (at, why.unwrap_or_default())),
        })
    };
    rows.iter().map(read).collect()
}
