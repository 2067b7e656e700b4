//! What a trunk says of a call beside who calls, read into its context; and what of that a regulator's phone is told.

use crate::model::record::{CallInfo, Diversion, Location};
use crate::model::{CallContext, Caller, NumberPlan};
use crate::sip::header::{call_info, diversion, geolocation, history, user_to_user};
use crate::sip::{Body, Headers, NameAddr, Part, Privacy, Request, pidf};

use super::caller::cut;

/// The headers kept verbatim.
const KEPT: [&str; 8] = [
    "P-Asserted-Identity",
    "Privacy",
    "Diversion",
    "History-Info",
    "Geolocation",
    "Geolocation-Routing",
    "User-to-User",
    "Call-Info",
];
/// The most lines kept of them all: a call diverted five times over three networks has about fifteen.
pub(super) const LINES_MAX: usize = 32;
/// The longest line kept, in bytes; a longer one is cut.
pub(super) const LINE_LENGTH_MAX: usize = 2048;
/// The most bytes kept of them all: the context is stored with the call and sent with two of its events.
pub(super) const KEPT_LENGTH_MAX: usize = 8192;
/// What kind of body says where the caller is.
const LOCATION: &str = "application/pidf+xml";

/// What a trunk's INVITE says, numbers being written as `numbers` says.
pub(super) fn read_context(request: &Request, numbers: &NumberPlan) -> CallContext {
    let headers = &request.headers;
    let user_to_user = headers.all("User-to-User").collect::<Vec<_>>().join(", ");
    CallContext {
        raw: keep(headers),
        diversions: read_diversions(headers, numbers),
        location: read_location(request),
        user_to_user: Some(cut_at(user_to_user, LINE_LENGTH_MAX)).filter(|text| !text.is_empty()),
        call_info: call_info::read(headers.all("Call-Info"))
            .into_iter()
            .map(|entry| CallInfo { uri: entry.uri, purpose: entry.purpose.map(cut) })
            .collect(),
    }
}

fn keep(headers: &Headers) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    let mut room = KEPT_LENGTH_MAX;
    for header in headers.iter() {
        let known = KEPT.iter().find(|name| header.name.eq_ignore_ascii_case(name.as_bytes()));
        let Some(name) = known.filter(|_| kept.len() < LINES_MAX && room > 0) else { continue };
        let value = String::from_utf8_lossy(&header.value).into_owned();
        let value = cut_at(value, LINE_LENGTH_MAX.min(room));
        room = room.saturating_sub(value.len());
        kept.push(((*name).to_owned(), value));
    }
    kept
}

/// Diversion before History-Info: a network that writes both writes the first for whom it does not trust to read the
/// second (RFC 7544 §3).
fn read_diversions(headers: &Headers, numbers: &NumberPlan) -> Vec<Diversion> {
    let e164 = |address: &NameAddr| numbers.normalise(&address.to_uri()?.user_decoded()?);
    let told = diversion::read(headers.all("Diversion"));
    if !told.is_empty() {
        let read = |one: &diversion::Diverted| Diversion {
            from: cut(one.by.uri.clone()),
            e164: e164(&one.by),
            reason: one.reason().map(|reason| cut(reason.to_owned())),
            private: one.is_private(),
        };
        return told.iter().map(read).collect();
    }
    let targets = history::read(headers.all("History-Info"));
    let read = |(target, cause): (&history::Target, Option<u16>)| Diversion {
        from: cut(target.to.uri.clone()),
        e164: e164(&target.to),
        reason: cause.map(|cause| cause.to_string()),
        private: target.is_private,
    };
    history::diverted(&targets).into_iter().map(read).collect()
}

/// The first location in the message that can be read, and the first URI to ask for one. A document that no
/// Geolocation points at counts too, and one that says no place is kept as it is: help must find the caller.
fn read_location(request: &Request) -> Option<Location> {
    let places = geolocation::read(request.headers.all("Geolocation"));
    let body = Body::read(&request.headers, &request.body).unwrap_or_default();
    let pointed_at = places.iter().filter_map(|place| match place {
        geolocation::Place::Part(id) => body.named(id),
        geolocation::Place::Reference(_) => None,
    });
    let documents: Vec<&Part> = pointed_at.chain(&body.parts).filter(|part| part.kind == LOCATION).collect();
    let mut read = documents.iter().filter_map(|part| pidf::read(&part.bytes).ok());
    let unread = || {
        let text = String::from_utf8_lossy(&documents.first()?.bytes).into_owned();
        Some(Location { document: Some(cut_at(text, pidf::DOCUMENT_LENGTH_MAX)), ..Location::default() })
    };
    let found = read.next().or_else(unread);
    let reference = places.into_iter().find_map(|place| match place {
        geolocation::Place::Part(_) => None,
        geolocation::Place::Reference(uri) => Some(cut_at(uri, LINE_LENGTH_MAX)),
    });
    match (found, reference) {
        (None, None) => None,
        (found, reference) => Some(Location { reference, ..found.unwrap_or_default() }),
    }
}

/// The headers that a regulator's phone is told: the number that the trunk asserts (RFC 3325 §9.1) under the name that
/// `from` shows, User-to-User and Call-Info. Of a caller who asks not to be shown it is told neither the number nor
/// Call-Info, whose cards and pictures would show who it is; User-to-User is kept back only by `user` and `header`
/// (RFC 3323 §5.1, §5.3), for `id` asks for nothing but the identity (RFC 3325 §9.3).
pub(super) fn passed_on(caller: &Caller, context: &CallContext, from: &NameAddr) -> Vec<(&'static str, String)> {
    let asked = context.raw.iter().filter(|(name, _)| name == "Privacy").map(|(_, value)| value.as_str().into());
    let privacy = Privacy::read(asked);
    let mut told = Vec::new();
    if !privacy.hides_headers {
        let values = user_to_user::read(context.user_to_user.iter().map(|text| text.as_str().into()));
        told.extend(values.into_iter().map(|value| ("User-to-User", value.raw)));
    }
    if caller.anonymous || privacy.hides_identity {
        return told;
    }
    if caller.asserted_identity.is_some() && caller.e164.is_some() {
        told.push(("P-Asserted-Identity", NameAddr { params: Default::default(), ..from.clone() }.to_string()));
    }
    told.extend(context.call_info.iter().map(|info| match &info.purpose {
        Some(purpose) => ("Call-Info", format!("<{}>;purpose={purpose}", info.uri)),
        None => ("Call-Info", format!("<{}>", info.uri)),
    }));
    told
}

fn cut_at(mut text: String, length_max: usize) -> String {
    text.truncate(text.floor_char_boundary(length_max));
    text
}
