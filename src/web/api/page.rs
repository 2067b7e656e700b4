//! Lists: what may be asked of one, and a page of it.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::model::{AssociationId, E164, LineId, NumberPlan, Outcome, RegionId, RegulatorId};
use crate::storage::filter::CallerFilter;
use crate::storage::{CallFilter, Cursor};
use crate::web::input::{Id, Number, Rows, When};
use crate::web::token::Bearer;

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
    /// The caller's number: in E.164, in any way in which a trunk writes it (`0612345678`, `0033612345678`,
    /// `+33 6 12 34 56 78`), or exactly as the caller's `raw` says. What is no number finds nothing.
    #[param(value_type = Option<String>, example = "+33612345678")]
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
    /// How it came out: `answered`, `abandoned`, `overflowed`, `nobody-on-duty`, `closed`, `refused`, `forwarded`,
    /// `voicemail`, `call-back`, `informed`, `unreached`, `superseded`, `interrupted`.
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

impl CallQuery {
    /// The query as storage takes it; a caller is read by each of the trunks' number plans. Found is only what `bearer` sees.
    pub fn read(self, numbers: &[NumberPlan], bearer: &Bearer) -> CallFilter {
        let query = self;
        CallFilter {
            from: query.from.map(|When(utc)| utc),
            to: query.to.map(|When(utc)| utc),
            caller: query.caller.map(|Number(written)| find_caller(written, numbers)),
            line: query.line.map(|Id(id)| LineId::from(id.as_str())),
            association: query.association.map(|Id(id)| AssociationId::from(id.as_str())),
            associations: bearer.associations.clone(),
            region: query.region.map(|Id(id)| RegionId::from(id.as_str())),
            regulator: query.regulator.map(|Id(id)| RegulatorId::from(id.as_str())),
            outcome: query.outcome,
            limit: Some(query.limit.0),
            before: query.before,
        }
    }
}

/// Every number that `written` may mean, and `written` itself.
pub fn find_caller(written: String, numbers: &[NumberPlan]) -> CallerFilter {
    let mut e164: Vec<E164> = numbers.iter().filter_map(|plan| plan.normalise(&written)).collect();
    e164.sort();
    e164.dedup();
    CallerFilter { e164, raw: written }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spain() -> NumberPlan {
        NumberPlan { country: "34".into(), national_prefix: String::new(), international_prefix: "00".into() }
    }

    #[test]
    fn a_national_number_is_searched_in_each_country_that_a_trunk_comes_from() {
        let read = |written: &str| {
            let found = find_caller(written.into(), &[NumberPlan::default(), spain()]);
            assert_eq!(found.raw, written);
            found.e164.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(read("612345678"), ["+33612345678", "+34612345678"]);
        assert_eq!(read("0034 612 345 678"), ["+34612345678"]);
        assert_eq!(read("anonymous"), Vec::<String>::new());
    }
}
