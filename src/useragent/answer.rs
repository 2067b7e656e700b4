//! Responses with what all of ours carry.

use crate::model::Utc;
use crate::sip::{Request, Response, compose};

use super::rules::{ALLOW, Rules};

/// A response that keeps no state: its To tag follows from the request (RFC 3261 §8.2.7).
pub(super) fn answer(request: &Request, status: u16, rules: &Rules) -> Response {
    answer_tagged(request, status, &compose::stateless_tag(request), rules)
}

/// A response with a To tag of the dialog's.
pub(super) fn answer_tagged(request: &Request, status: u16, tag: &str, rules: &Rules) -> Response {
    let mut response = compose::response(request, status, Some(tag));
    // RFC 3261 §21.4.6: a 405 says what is allowed; §8.2.4: a 200 to an INVITE too.
    if matches!(status, 405 | 501) {
        response.headers.push("Allow", ALLOW);
    }
    if status > 100 {
        response.headers.push("Server", rules.software.clone());
    }
    response
}

/// The Date header (RFC 3261 §20.17).
pub(super) fn date(at: Utc) -> String {
    at.timestamp().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
