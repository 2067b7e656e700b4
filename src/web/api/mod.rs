//! The API's routes, a resource a file, and their description.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Desk;
use super::problem::Problem;

mod abandoned;
mod addenda;
mod audio;
mod audit;
mod bans;
mod calls;
mod configuration;
mod context;
mod control;
mod custody;
mod deletions;
mod duty;
mod exports;
mod health;
mod holds;
mod ladder;
mod listening;
mod outbox;
mod page;
mod pausing;
mod people;
mod reconciliation;
mod recordings;
mod regulators;
mod room;
mod routing;
mod sound;
mod standing;
mod statistics;
mod story;
mod trunks;
mod wanted;

pub use audit::{Act, perform};
pub use configuration::{ConfigurationChange, LastDay, Moved, ReachView, ReloadReport, RoomForesight, StrandedCall};

/// What stands at the head of the description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Vigie",
        description = "The telephone standard of a medical-regulation centre: calls, recordings, the waiting room, \
            regulators, carriers, bans, deliveries. Every operation under /api/v1 needs a bearer token. The role `admin` may do \
            everything; the role `compliance` may read everything, listen with a reason, add to a recording, hold, redact, \
            and export and delete with a second person; the role `viewer` may read, but neither recordings nor the audit: each \
            operation's security names its roles, others are answered 403. A token may be for some associations: it sees their \
            calls and recordings alone, and is refused what tells of all. Times are RFC 3339 with the offset of the centre's zone; \
            lengths of time end in `_ms`. Errors are RFC 9457 problem details. Unknown query keys are refused.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    modifiers(&Token),
    tags(
        (name = "calls", description = "Calls, their story and their SIP messages"),
        (name = "recordings", description = "Sealed recordings: audio, sidecar, signature"),
        (name = "custody", description = "How long recordings are kept, what holds them, who had them, and their deletion by two people"),
        (name = "room", description = "The waiting room and the regulators, now"),
        (name = "signalling", description = "Carriers, and sources and accounts that are banned for a while, now"),
        (name = "dispatch", description = "Events owed to dispatch"),
        (name = "audit", description = "Who listened to what, who did what, and why"),
        (name = "server", description = "Health, metrics, this description"),
    ),
)]
struct Head;

/// Adds the bearer token as the security scheme `token`.
struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some("An API token, from the state folder at the first start".into());
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// Every route and its description: a route can only be added together with what describes it.
pub fn describe() -> (Router<Arc<Desk>>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Head::openapi())
        .routes(routes!(calls::list))
        .routes(routes!(calls::show))
        .routes(routes!(calls::end))
        .routes(routes!(control::hold))
        .routes(routes!(control::resume))
        .routes(routes!(control::add))
        .routes(routes!(control::join))
        .routes(routes!(control::drop))
        .routes(routes!(control::leave))
        .routes(routes!(control::samu))
        .routes(routes!(control::requeue))
        .routes(routes!(control::transfer))
        .routes(routes!(control::demand))
        .routes(routes!(control::supervise))
        .routes(routes!(pausing::pause))
        .routes(routes!(pausing::resume))
        .routes(routes!(ladder::show))
        .routes(routes!(statistics::show))
        .routes(routes!(abandoned::list))
        .routes(routes!(abandoned::show))
        .routes(routes!(abandoned::call_back))
        .routes(routes!(abandoned::close))
        .routes(routes!(routing::show))
        .routes(routes!(routing::forecasts))
        .routes(routes!(standing::lists))
        .routes(routes!(standing::add))
        .routes(routes!(standing::remove))
        .routes(routes!(standing::surges))
        .routes(routes!(standing::raise))
        .routes(routes!(standing::lower))
        .routes(routes!(reconciliation::show))
        .merge(recordings())
        .routes(routes!(room::show))
        .routes(routes!(regulators::list))
        .routes(routes!(regulators::show))
        .routes(routes!(regulators::pause))
        .routes(routes!(regulators::ready))
        .routes(routes!(duty::extend))
        .routes(routes!(duty::end))
        .routes(routes!(duty::log_out))
        .routes(routes!(people::import))
        .routes(routes!(bans::list))
        .routes(routes!(bans::lift))
        .routes(routes!(trunks::list))
        .routes(routes!(outbox::show))
        .routes(routes!(outbox::replay))
        .routes(routes!(audit::list))
        .routes(routes!(configuration::show))
        .routes(routes!(configuration::reload))
        .routes(routes!(health::index))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(openapi))
        .split_for_parts()
}

/// Recordings: found, heard, added to, handed out, held and deleted.
fn recordings() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new()
        .routes(routes!(recordings::list))
        .routes(routes!(recordings::show))
        .routes(routes!(recordings::manifest))
        .routes(routes!(recordings::signature))
        .routes(routes!(audio::fetch, audio::measure))
        .routes(routes!(listening::peaks))
        .routes(routes!(listening::preview))
        .routes(routes!(listening::parties))
        .routes(routes!(holds::list, holds::place))
        .routes(routes!(holds::release))
        .routes(routes!(custody::show))
        .routes(routes!(custody::clock, custody::confirm_clock))
        .routes(routes!(deletions::list, deletions::propose))
        .routes(routes!(deletions::show))
        .routes(routes!(deletions::approve))
        .routes(routes!(deletions::withdraw))
        .routes(routes!(addenda::list, addenda::add))
        .routes(routes!(addenda::redact))
        .routes(routes!(addenda::redacted))
        .routes(routes!(exports::list, exports::request))
        .routes(routes!(exports::show))
        .routes(routes!(exports::approve))
        .routes(routes!(exports::refuse))
        .routes(routes!(exports::archive))
}

/// This description
///
/// OpenAPI 3.1, complete: every route, parameter, schema, security and error.
#[utoipa::path(
    get, path = "/api/openapi.json", operation_id = "describeApi", tag = "server",
    responses((status = 200, description = "The description", body = serde_json::Value)),
)]
async fn openapi() -> impl IntoResponse {
    // Made once: anybody may ask for it, as often as they like.
    static DESCRIPTION: OnceLock<Bytes> = OnceLock::new();
    let text = DESCRIPTION.get_or_init(|| describe().1.to_json().unwrap_or_default().into());
    ([(CONTENT_TYPE, "application/json")], text.clone())
}

/// Answers a path that is none.
pub async fn refuse_unknown() -> Problem {
    Problem::not_found("there is nothing at this path; /api/openapi.json describes every path")
}

/// Answers a method that the path has not.
pub async fn refuse_method() -> Problem {
    Problem::wrong_method()
}
