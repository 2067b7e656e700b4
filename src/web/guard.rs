//! What every request goes through: a time limit, counting, and headers that keep answers out of caches.

use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::clock;

/// The longest that a request may take until its answer begins; the audio then flows at the client's pace.
const REQUEST_DURATION_MAX: Duration = Duration::from_secs(10);

/// The same of what reads whole files, many calls or waits for the seal log; `vigie reload` waits as long.
const LONG_REQUEST_DURATION_MAX: Duration = Duration::from_secs(120);

/// Runs one request within its limits.
pub async fn guard(request: Request, next: Next) -> Response {
    let started = clock::moment();
    let method = method_word(request.method());
    // The route, not the path: ids in a label would make as many series as there are calls.
    let route = request.extensions().get::<MatchedPath>().map_or("none", |path| path.as_str()).to_owned();
    let longest = duration_max(&route);
    let mut response = match tokio::time::timeout(longest, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let seconds = longest.as_secs();
            Problem::unavailable(format!("the request took longer than {seconds} s; ask for less, or again later"))
                .into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let status = response.status().as_u16().to_string();
    let taken = clock::moment().since(started).as_secs_f64();
    metrics::counter!("vigie_http_requests_total", "route" => route.clone(), "method" => method, "status" => status)
        .increment(1);
    metrics::histogram!("vigie_http_request_seconds", "route" => route).record(taken);
    response
}

/// They have [`LONG_REQUEST_DURATION_MAX`].
const LONG_ROUTES: &[&str] = &[
    "/api/v1/configuration/reload",
    "/api/v1/regulators/import",
    "/api/v1/recordings/{call}/addenda",
    "/api/v1/recordings/{call}/redactions",
    "/api/v1/deletions",
    "/api/v1/reconciliation",
];

fn duration_max(route: &str) -> Duration {
    match route {
        route if LONG_ROUTES.contains(&route) => LONG_REQUEST_DURATION_MAX,
        _ => REQUEST_DURATION_MAX,
    }
}

/// A method as a label: a peer's own inventions share one.
fn method_word(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_has_as_long_as_the_commands_wait() {
        let (_, description) = crate::web::api::describe();
        for path in LONG_ROUTES {
            assert!(description.paths.paths.contains_key(*path), "{path}");
            assert_eq!(duration_max(path), Duration::from_secs(120));
        }
        assert_eq!(duration_max("/api/v1/calls"), Duration::from_secs(10));
    }
}
