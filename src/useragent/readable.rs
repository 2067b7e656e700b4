//! What must be readable of a request that starts something, before anything is begun for it.

use crate::model::Transport;
use crate::sip::{Contacts, Method, Request, Scheme, Uri};

use super::incoming::Refusal;

/// RFC 5630 §6.1: that it can be asked for by `sip` alone this way.
const SIPS_NOT_ALLOWED: &str = "380 vigie \"SIPS Not Allowed\"";

/// What starts something must say in a readable way with whom (RFC 3261 §8.2.2.1): its URI, From, To and Contacts. What
/// is escaped behind the Request-URI would be headers that nobody sees (RFC 4475 §3.1.2.11). Who asks by `sips` was
/// promised TLS on every hop (RFC 3261 §26.2.2; RFC 5630 §3.1.3 takes the last one's exception away): what came without
/// it is refused, for it would be answered as if nobody had been able to listen or to change it.
pub(super) fn check_readable(request: &Request, transport: Transport) -> Result<(), Refusal> {
    let starts = matches!(request.method, Method::Register | Method::Options)
        || (request.method == Method::Invite && request.to_tag().is_none());
    if !starts {
        return Ok(());
    }
    match Uri::parse(&request.uri) {
        None => return Err(Refusal::because(400, "Bad Request-URI")),
        Some(Uri { scheme: Scheme::Other(_), .. }) => return Err(Refusal::of(416)),
        Some(Uri { scheme: Scheme::Sips, .. }) if !transport.is_secure() => {
            return Err(Refusal::with(480, "Warning", SIPS_NOT_ALLOWED));
        }
        Some(uri) if uri.headers.is_some() => return Err(Refusal::because(400, "Headers In The Request-URI")),
        Some(_) => {}
    }
    let headers = &request.headers;
    if headers.from().and_then(|from| from.to_uri()).is_none() {
        return Err(Refusal::because(400, "Bad From"));
    }
    if headers.to().and_then(|to| to.to_uri()).is_none() {
        return Err(Refusal::because(400, "Bad To"));
    }
    let is_bad = |contacts: Contacts| match contacts {
        Contacts::Everything => request.method != Method::Register,
        Contacts::List(list) => list.iter().any(|contact| contact.address.to_uri().is_none()),
    };
    match headers.contacts().map(is_bad) {
        Ok(false) => Ok(()),
        Ok(true) | Err(_) => Err(Refusal::because(400, "Bad Contact")),
    }
}

/// Whether our SDP may be in the answer (RFC 3261 §20.1); without an Accept, or with an empty one, it may.
pub(super) fn takes_sdp(request: &Request) -> bool {
    let ranges = request.headers.tokens("Accept");
    let is_sdp = |range: &String| {
        let range = range.split(';').next().unwrap_or_default().trim();
        ["application/sdp", "application/*", "*/*"].iter().any(|known| range.eq_ignore_ascii_case(known))
    };
    ranges.is_empty() || ranges.iter().any(is_sdp)
}
