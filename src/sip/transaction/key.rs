//! By what a message finds its transaction (RFC 3261 §17.1.3, §17.2.3).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::sip::message::{Request, Response};
use crate::sip::method::Method;

/// A transaction in which we answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServerKey {
    /// Branch and sent-by of the top Via, or what stands for them in a message of RFC 2543's time.
    branch: Arc<str>,
    method: Method,
}

/// A transaction in which we ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientKey {
    branch: Arc<str>,
    method: Method,
}

impl ServerKey {
    /// The key of a request; an ACK has that of its INVITE.
    pub(crate) fn of(request: &Request) -> ServerKey {
        let method = match &request.method {
            Method::Ack => Method::Invite,
            other => other.clone(),
        };
        let headers = &request.headers;
        let via = headers.via();
        let branch = match via.as_ref().filter(|v| v.has_magic_cookie()) {
            Some(via) => format!("{} {}", via.branch().unwrap_or_default(), via.sent_by()),
            None => {
                // RFC 3261 §17.2.3: without the cookie, what the message says of itself. The To-tag is left out: an ACK
                // has one and its INVITE has not.
                let number = headers.cseq().map_or(0, |c| c.number);
                let from = request.from_tag().unwrap_or_default();
                let sent_by = via.map(|v| v.sent_by()).unwrap_or_default();
                format!("{} {number} {from} {} {sent_by}", headers.call_id().unwrap_or_default(), request.uri)
            }
        };
        ServerKey { branch: branch.into(), method }
    }

    /// The transaction that a CANCEL is about (RFC 3261 §9.2).
    pub(crate) fn of_cancelled(cancel: &Request) -> ServerKey {
        ServerKey { method: Method::Invite, ..ServerKey::of(cancel) }
    }

    /// What is asked.
    pub fn method(&self) -> &Method {
        &self.method
    }
}

impl ClientKey {
    /// The key of a request of ours.
    pub(crate) fn of(request: &Request) -> ClientKey {
        let via = request.headers.via();
        let branch = via.as_ref().and_then(|v| v.branch()).unwrap_or_default();
        ClientKey { branch: branch.into(), method: request.method.clone() }
    }

    /// The key of the request that a response answers; `None` when it says no branch.
    pub(crate) fn answered_by(response: &Response) -> Option<ClientKey> {
        let via = response.headers.via()?;
        Some(ClientKey { branch: via.branch()?.into(), method: response.headers.cseq()?.method })
    }

    /// The key of the CANCEL of this INVITE.
    pub(crate) fn of_cancel(&self) -> ClientKey {
        ClientKey { branch: self.branch.clone(), method: Method::Cancel }
    }

    /// What we ask.
    pub fn method(&self) -> &Method {
        &self.method
    }
}
