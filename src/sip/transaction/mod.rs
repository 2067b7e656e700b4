//! The four transaction machines of RFC 3261 §17 with RFC 6026's Accepted states, as plain state in virtual time.

mod invite_client;
mod invite_server;
pub mod key;
mod other_client;
mod other_server;
mod table;
#[cfg(test)]
mod tests;
pub mod timers;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::message::{Request, Response};
use crate::model::Path;

pub use key::{ClientKey, ServerKey};
pub use table::{SERVERS_MAX, Transactions};

/// What came of a message, of an order or of time passing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "a variant's sentence names its fields")]
pub enum Happening {
    /// Send these bytes.
    Send { path: Path, bytes: Bytes },
    /// A new request; it wants a `respond` under its key. Its top Via is stamped. An INVITE's 100 is the user's to send.
    Request { key: ServerKey, path: Path, request: Request },
    /// An ACK that no refusal of ours awaits: that of a 2xx, or a stray one.
    Ack { path: Path, request: Request },
    /// The INVITE was cancelled before its final answer; the CANCEL itself is answered, the INVITE wants a 487.
    Cancelled { invite: ServerKey, cancel: Request },
    /// A response to a request of ours: provisional, final, and every repeated 2xx to an INVITE (RFC 6026 §7.2), which wants an ACK again.
    Response { key: ClientKey, path: Path, response: Response },
    /// No final answer came in time (timer B or F, or after a CANCEL): as if 408 (RFC 3261 §8.1.3.1).
    TimedOut { key: ClientKey },
    /// Nothing can be sent that way now: as if 503 (RFC 3261 §8.1.3.1, §17.1.4).
    Cut { key: ClientKey, why: String },
    /// A message was sent again, or a repeated one was absorbed.
    Retransmitted,
}

/// Whether a client transaction ended when time passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    No,
    /// The user has long had its answer.
    Quietly,
    /// The user must be told.
    TimedOut,
}
