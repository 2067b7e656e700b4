//! What a refused request is answered: RFC 9457 problem details that say what to do next.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::storage::StorageError;

/// The media type of a problem (RFC 9457 §3).
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// Why a request was refused, and what to do next (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// What kind: `urn:vigie:problem:` and a stable word.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "urn:vigie:problem:bad-request")]
    kind: &'static str,
    /// The kind in words; the same for every problem of one kind.
    #[schema(value_type = String)]
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What was wrong with this request, and what to do next.
    detail: String,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Problem {
        Problem { kind, title, status: status.as_u16(), detail: detail.into() }
    }

    /// 400: a key or value that cannot be read; `detail` names it.
    pub fn bad_request(detail: impl Into<String>) -> Problem {
        let title = "The request cannot be read";
        Problem::new(StatusCode::BAD_REQUEST, "urn:vigie:problem:bad-request", title, detail)
    }

    /// 400: a recording is asked for without saying why.
    pub fn reason_missing(detail: impl Into<String>) -> Problem {
        let title = "A recording is had for a stated reason alone";
        Problem::new(StatusCode::BAD_REQUEST, "urn:vigie:problem:reason-missing", title, detail)
    }

    /// 401: no token, or one that is not known.
    pub fn unauthorised(detail: impl Into<String>) -> Problem {
        let title = "A known API token is needed";
        Problem::new(StatusCode::UNAUTHORIZED, "urn:vigie:problem:unauthorised", title, detail)
    }

    /// 403: the token's role does not suffice.
    pub fn forbidden(detail: impl Into<String>) -> Problem {
        let title = "The token's role does not allow this";
        Problem::new(StatusCode::FORBIDDEN, "urn:vigie:problem:forbidden", title, detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        let title = "There is no such thing here";
        Problem::new(StatusCode::NOT_FOUND, "urn:vigie:problem:not-found", title, detail)
    }

    /// 405: the path is right, the method is not.
    pub fn wrong_method() -> Problem {
        let title = "The method is not allowed here";
        let detail = "use a method that the Allow header names; /api/openapi.json describes every path";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "urn:vigie:problem:wrong-method", title, detail)
    }

    /// 409: it cannot be done in the present state.
    pub fn conflict(detail: impl Into<String>) -> Problem {
        let title = "This cannot be done now";
        Problem::new(StatusCode::CONFLICT, "urn:vigie:problem:conflict", title, detail)
    }

    /// 413: the body is over the limit.
    pub fn too_large(bytes_max: usize) -> Problem {
        let detail = format!("send at most {bytes_max} bytes");
        let title = "The body is too large";
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "urn:vigie:problem:too-large", title, detail)
    }

    /// 415: the body is not JSON.
    pub fn not_json() -> Problem {
        let title = "The body must be JSON";
        let detail = "send the body with Content-Type: application/json";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "urn:vigie:problem:not-json", title, detail)
    }

    /// 416: the range lies outside the audio (RFC 9110 §15.5.17).
    pub fn range_not_satisfiable(length: u64) -> Problem {
        let title = "The range lies outside the audio";
        let detail = format!("the audio has {length} bytes, numbered from 0; ask for bytes within them");
        Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "urn:vigie:problem:range", title, detail)
    }

    /// 422: the configuration file has errors.
    pub fn unsound(detail: impl Into<String>) -> Problem {
        let title = "The configuration has errors; nothing was changed";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "urn:vigie:problem:unsound", title, detail)
    }

    /// 500: a fault that an operator must look at.
    pub fn fault(detail: impl Into<String>) -> Problem {
        let title = "Vigie could not do this";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "urn:vigie:problem:fault", title, detail)
    }

    /// 503: a part that is needed does not answer.
    pub fn unavailable(detail: impl Into<String>) -> Problem {
        let title = "A part that this needs does not answer";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "urn:vigie:problem:unavailable", title, detail)
    }

    /// 503: the key that opens a recording is not at hand.
    pub fn key_absent(why: impl std::fmt::Display) -> Problem {
        let title = "The key that opens the recording is not at hand";
        let detail = format!(
            "the recording cannot be decrypted now: {why}. Nothing of it is lost: put the key back; Vigie looks for it every \
             10 s, or at once when it is started again; then ask again"
        );
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "urn:vigie:problem:key-absent", title, detail)
    }

    /// What was wrong, and what to do next.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Problem {
        tracing::error!(%error, "the API could not ask the database");
        match error {
            StorageError::Unreadable { act, .. } => {
                Problem::fault(format!("{act}: what is stored does not read back; the log says where"))
            }
            StorageError::Statement { .. }
            | StorageError::Stopped
            | StorageError::Url { .. }
            | StorageError::File { .. }
            | StorageError::Open { .. }
            | StorageError::Migrate { .. } => {
                Problem::unavailable("the database does not answer; ask again later, the log says why")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 §15.5.2: a 401 says how to authenticate; RFC 6750 §3.
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"vigie\""));
        }
        response
    }
}

/// What every operation behind a token may be refused with.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code, reason = "only its description is used")]
pub enum Refusals {
    /// A path, query or body that cannot be read; the detail names the key.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// No token, or an unknown one.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorised(Problem),
    /// The token's role or associations do not suffice, or another person must do it.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// A fault that an operator must look at.
    #[response(status = 500, content_type = "application/problem+json")]
    Fault(Problem),
    /// The database or the switchboard does not answer, or the request took too long; ask again later.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}
