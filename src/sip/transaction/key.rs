//! By what a message finds its transaction (RFC 3261 §17.1.3, §17.2.3).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::sip::message::{Request, Response};
use crate::sip::method::Method;

/// A transaction in which we answer: method, branch and sent-by of the top Via, or what stands for them in a message of
/// RFC 2543's time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerKey(Arc<str>);

/// A transaction in which we ask: method and branch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientKey(Arc<str>);

impl ServerKey {
    /// The key of a request; an ACK has that of its INVITE.
    pub(crate) fn of(request: &Request) -> ServerKey {
        match &request.method {
            Method::Ack => ServerKey::with(&Method::Invite, request),
            method => ServerKey::with(method, request),
        }
    }

    /// The transaction that a CANCEL is about (RFC 3261 §9.2).
    pub(crate) fn of_cancelled(cancel: &Request) -> ServerKey {
        ServerKey::with(&Method::Invite, cancel)
    }

    fn with(method: &Method, request: &Request) -> ServerKey {
        let headers = &request.headers;
        let via = headers.via();
        let text = match via.as_ref().filter(|v| v.has_magic_cookie()) {
            Some(via) => format!("{method} {} {}", via.branch().unwrap_or_default(), via.sent_by()),
            None => {
                // RFC 3261 §17.2.3: without the cookie, what the message says of itself. The To-tag is left out: an
                // ACK has one and its INVITE has not.
                let number = headers.cseq().map_or(0, |c| c.number);
                let from = request.from_tag().unwrap_or_default();
                let sent_by = via.map(|v| v.sent_by()).unwrap_or_default();
                let call = headers.call_id().unwrap_or_default();
                format!("{method} {call} {number} {from} {} {sent_by}", request.uri)
            }
        };
        ServerKey(text.into())
    }

    /// What is asked.
    pub fn method(&self) -> Method {
        first_word(&self.0)
    }
}

impl ClientKey {
    /// The key of a request of ours.
    pub(crate) fn of(request: &Request) -> ClientKey {
        let via = request.headers.via();
        ClientKey::with(&request.method, via.as_ref().and_then(|v| v.branch()).unwrap_or_default())
    }

    /// The key of the request that a response answers; `None` when it says no branch.
    pub(crate) fn answered_by(response: &Response) -> Option<ClientKey> {
        let via = response.headers.via()?;
        Some(ClientKey::with(&response.headers.cseq()?.method, via.branch()?))
    }

    fn with(method: &Method, branch: &str) -> ClientKey {
        ClientKey(format!("{method} {branch}").into())
    }

    /// What we ask.
    pub fn method(&self) -> Method {
        first_word(&self.0)
    }

    /// Whether it is a CANCEL, whose answers concern nobody.
    pub(crate) fn is_cancel(&self) -> bool {
        self.0.starts_with("CANCEL ")
    }
}

fn first_word(text: &str) -> Method {
    let word = text.split(' ').next().unwrap_or_default();
    Method::parse(word).unwrap_or(Method::Other(word.into()))
}
