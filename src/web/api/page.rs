//! Lists: what may be asked of one, and a page of it.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::model::{AssociationId, LineId, Outcome, RegionId, RegulatorId};
use crate::storage::{CallFilter, Cursor};
use crate::web::input::{Id, Number, Rows, When};

/// One page of a list, the newest first.
#[derive(Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins: hand it back as `before`. Null on the last page.
    pub next: Option<String>,
}

/// Which calls, or the recordings of which calls: everything given must hold.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CallQuery {
    /// Received (or recorded) at this time or later; RFC 3339 with an offset or `Z`.
    #[param(value_type = Option<String>, format = "date-time")]
    from: Option<When>,
    /// Received (or recorded) before this time; RFC 3339 with an offset or `Z`.
    #[param(value_type = Option<String>, format = "date-time")]
    to: Option<When>,
    /// The caller in E.164 (`%2B33…`); for a caller without one, the number as the trunk wrote it.
    #[param(value_type = Option<String>)]
    caller: Option<Number>,
    /// The line's id.
    #[param(value_type = Option<String>)]
    line: Option<Id>,
    /// The association's id.
    #[param(value_type = Option<String>)]
    association: Option<Id>,
    /// The region's id.
    #[param(value_type = Option<String>)]
    region: Option<Id>,
    /// The id of the regulator who answered.
    #[param(value_type = Option<String>)]
    regulator: Option<Id>,
    /// How it came out: `answered`, `abandoned`, `overflowed`, `nobody-on-duty`, `closed`, `refused`, `interrupted`.
    #[param(value_type = Option<String>)]
    outcome: Option<Outcome>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 100)]
    limit: Rows,
    /// `next` of the page before, unchanged.
    #[param(value_type = Option<String>)]
    before: Option<Cursor>,
}

impl From<CallQuery> for CallFilter {
    fn from(query: CallQuery) -> CallFilter {
        CallFilter {
            from: query.from.map(|When(utc)| utc),
            to: query.to.map(|When(utc)| utc),
            caller: query.caller.map(|Number(number)| number),
            line: query.line.map(|Id(id)| LineId::from(id.as_str())),
            association: query.association.map(|Id(id)| AssociationId::from(id.as_str())),
            region: query.region.map(|Id(id)| RegionId::from(id.as_str())),
            regulator: query.regulator.map(|Id(id)| RegulatorId::from(id.as_str())),
            outcome: query.outcome,
            limit: Some(query.limit.0),
            before: query.before,
        }
    }
}
