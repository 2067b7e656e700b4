//! What a search asks for, and the page that answers it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sqlx::QueryBuilder;

use crate::model::{AssociationId, CallId, E164, LineId, Outcome, RegionId, RegulatorId, Utc};

use super::database::{Db, word};

/// The most rows that one page holds, so that one question cannot fill the memory.
pub const ROWS_MAX: u32 = 500;
/// Rows of a page when nobody says how many.
const ROWS_DEFAULT: u32 = 100;

/// Which calls, or the recordings of which calls. Everything that is set must hold; the newest come first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallFilter {
    /// Received (or recorded) at this time or later.
    pub from: Option<Utc>,
    /// Received (or recorded) before this time.
    pub to: Option<Utc>,
    /// Who called.
    pub caller: Option<CallerFilter>,
    /// The line that answered.
    pub line: Option<LineId>,
    /// The line's association.
    pub association: Option<AssociationId>,
    /// Of one of these; without it, of all.
    pub associations: Option<Vec<AssociationId>>,
    /// The caller's region.
    pub region: Option<RegionId>,
    /// Who answered.
    pub regulator: Option<RegulatorId>,
    /// How it came out.
    pub outcome: Option<Outcome>,
    /// At most so many rows, 1 to [`ROWS_MAX`]; 100 when it is not said.
    pub limit: Option<u32>,
    /// Only what stands after this place of an earlier page ([`Page::next`]).
    pub before: Option<Cursor>,
}

/// A caller, by any of the ways in which the number may be kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallerFilter {
    /// One of these numbers in E.164…
    pub e164: Vec<E164>,
    /// …or this, exactly as the trunk wrote it.
    pub raw: String,
}

/// A place in a list that is sorted by time and id; as text `<µs>.<call id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cursor {
    /// The time of the last row seen.
    pub at: Utc,
    /// Its call.
    pub call: CallId,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Cursor>,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at.0, self.call)
    }
}

/// The text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor: hand back `next` of the page before, unchanged")]
pub struct NotACursor;

impl FromStr for Cursor {
    type Err = NotACursor;
    fn from_str(text: &str) -> Result<Cursor, NotACursor> {
        let (at, call) = text.split_once('.').ok_or(NotACursor)?;
        Ok(Cursor { at: Utc(at.parse().map_err(|_| NotACursor)?), call: call.parse().map_err(|_| NotACursor)? })
    }
}

impl TryFrom<String> for Cursor {
    type Error = NotACursor;
    fn try_from(text: String) -> Result<Cursor, NotACursor> {
        text.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> String {
        cursor.to_string()
    }
}

/// How many rows are asked for, within bounds.
pub(super) fn rows(limit: Option<u32>) -> u32 {
    limit.unwrap_or(ROWS_DEFAULT).clamp(1, ROWS_MAX)
}

/// The table that a [`CallFilter`] searches: `SELECT {time}, {id}, record FROM …`.
pub(super) struct Searched {
    /// `SELECT time, id, record FROM table WHERE true`.
    pub select: &'static str,
    /// The column of the time.
    pub time: &'static str,
    /// The column of the call's id.
    pub id: &'static str,
}

/// The statement for `filter`; asks for one row more than the page, to know whether there is another.
pub(super) fn search(searched: &Searched, filter: &CallFilter) -> Result<QueryBuilder<Db>, sqlx::Error> {
    let mut sql = QueryBuilder::<Db>::new(searched.select);
    if let Some(from) = filter.from {
        sql.push(format_args!(" AND {} >= ", searched.time)).push_bind(from.0);
    }
    if let Some(to) = filter.to {
        sql.push(format_args!(" AND {} < ", searched.time)).push_bind(to.0);
    }
    let columns = [
        (" AND line = ", filter.line.as_ref().map(ToString::to_string)),
        (" AND association = ", filter.association.as_ref().map(ToString::to_string)),
        (" AND region = ", filter.region.as_ref().map(ToString::to_string)),
        (" AND regulator = ", filter.regulator.as_ref().map(ToString::to_string)),
        (" AND outcome = ", filter.outcome.as_ref().map(word).transpose()?),
    ];
    for (condition, value) in columns {
        if let Some(value) = value {
            sql.push(condition).push_bind(value);
        }
    }
    if let Some(associations) = &filter.associations {
        // `IN ()` of nothing finds nothing, as it must.
        sql.push(" AND association IN (");
        let mut list = sql.separated(", ");
        for association in associations {
            list.push_bind(association.to_string());
        }
        sql.push(")");
    }
    if let Some(caller) = &filter.caller {
        sql.push(" AND (caller_raw = ").push_bind(caller.raw.clone());
        for number in &caller.e164 {
            sql.push(" OR caller = ").push_bind(number.to_string());
        }
        sql.push(")");
    }
    if let Some(before) = filter.before {
        sql.push(format_args!(" AND ({}, {}) < (", searched.time, searched.id)).push_bind(before.at.0);
        sql.push(", ").push_bind(before.call.to_string()).push(")");
    }
    sql.push(format_args!(" ORDER BY {} DESC, {} DESC LIMIT ", searched.time, searched.id));
    sql.push_bind(i64::from(rows(filter.limit)) + 1);
    Ok(sql)
}

/// Cuts the one row too many off, and remembers where the next page begins.
pub(super) fn page<T>(mut found: Vec<(Cursor, T)>, limit: Option<u32>) -> Page<T> {
    let rows = rows(limit) as usize;
    let more = found.len() > rows;
    found.truncate(rows);
    let next = if more { found.last().map(|(cursor, _)| *cursor) } else { None };
    Page { items: found.into_iter().map(|(_, item)| item).collect(), next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_as_written() {
        let cursor = Cursor { at: Utc(1_700_000_000_000_001), call: CallId(uuid::Uuid::from_u128(7)) };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        assert_eq!("12".parse::<Cursor>(), Err(NotACursor));
        assert_eq!("x.00000000-0000-0000-0000-000000000007".parse::<Cursor>(), Err(NotACursor));
    }

    #[test]
    fn nobody_gets_more_rows_than_the_bound() {
        assert_eq!((rows(None), rows(Some(0)), rows(Some(1_000_000))), (ROWS_DEFAULT, 1, ROWS_MAX));
    }
}
