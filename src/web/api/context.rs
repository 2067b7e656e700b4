//! A call's context as the API writes it: what the trunk said beside who calls.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::model;

/// What the trunk said of a call beside who calls; every text is a stranger's and must be escaped where it is shown.
#[derive(Serialize, ToSchema)]
pub struct ContextView {
    /// Each carrier header kept, verbatim and in order: P-Asserted-Identity, Privacy, Diversion, History-Info,
    /// Geolocation, Geolocation-Routing, User-to-User, Call-Info.
    raw: Vec<RawHeaderView>,
    /// Who diverted the call to us, the last one first (RFC 5806, RFC 7044).
    diversions: Vec<DiversionView>,
    /// Where the caller is (RFC 6442); also of a caller who asked not to be shown.
    location: Option<LocationView>,
    /// User-to-User verbatim (RFC 7433).
    user_to_user: Option<String>,
    /// Call-Info's URIs (RFC 3261 §20.9).
    call_info: Vec<CallInfoView>,
}

/// One header line.
#[derive(Serialize, ToSchema)]
pub struct RawHeaderView {
    /// Its name.
    name: String,
    /// Its value as the trunk wrote it.
    value: String,
}

/// One diversion.
#[derive(Serialize, ToSchema)]
pub struct DiversionView {
    /// The address that diverted, as written.
    from: String,
    /// The same in E.164, when it is a number.
    e164: Option<String>,
    /// Why: `unconditional`, `user-busy`, `no-answer`…, or a SIP status.
    reason: Option<String>,
    /// Whether it is not to be shown to callers or the called.
    private: bool,
}

/// Where a caller is.
#[derive(Serialize, ToSchema)]
pub struct LocationView {
    /// Degrees north, WGS 84.
    latitude: Option<f64>,
    /// Degrees east, WGS 84.
    longitude: Option<f64>,
    /// How far around that point the caller may be, in metres.
    radius_m: Option<f64>,
    /// Civic elements by their RFC 5139 name (`A3` city, `RD` road, `HNO` house number, `PC` postal code).
    civic: BTreeMap<String, String>,
    /// How it was found: `GPS`, `Cell`, `Manual`…
    method: Option<String>,
    /// The PIDF-LO document verbatim; never in the waiting room.
    document: Option<String>,
    /// The URI to ask, when the location came by reference.
    reference: Option<String>,
}

/// One Call-Info.
#[derive(Serialize, ToSchema)]
pub struct CallInfoView {
    /// The URI.
    uri: String,
    /// `icon`, `info`, `card`, or another.
    purpose: Option<String>,
}

impl From<model::CallContext> for ContextView {
    fn from(context: model::CallContext) -> ContextView {
        let model::CallContext { raw, diversions, location, user_to_user, call_info } = context;
        ContextView {
            raw: raw.into_iter().map(|(name, value)| RawHeaderView { name, value }).collect(),
            diversions: diversions.into_iter().map(DiversionView::from).collect(),
            location: location.map(LocationView::from),
            user_to_user,
            call_info: call_info
                .into_iter()
                .map(|info| CallInfoView { uri: info.uri, purpose: info.purpose })
                .collect(),
        }
    }
}

impl From<model::record::Diversion> for DiversionView {
    fn from(one: model::record::Diversion) -> DiversionView {
        let model::record::Diversion { from, e164, reason, private } = one;
        DiversionView { from, e164: e164.map(|number| number.to_string()), reason, private }
    }
}

impl From<model::record::Location> for LocationView {
    fn from(location: model::record::Location) -> LocationView {
        let model::record::Location { latitude, longitude, radius_m, civic, method, document, reference } = location;
        LocationView { latitude, longitude, radius_m, civic, method, document, reference }
    }
}
