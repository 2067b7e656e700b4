//! The four transaction machines of RFC 3261 §17 with RFC 6026's Accepted states, as plain state in virtual time.

pub mod key;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::message::{Message, Request, Response};
use crate::model::{Moment, Path};

pub use key::{ClientKey, ServerKey};

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
    /// A message was sent again, or a repeated one was absorbed.
    Retransmitted,
}

/// Every transaction of this machine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Transactions {
    servers: BTreeMap<ServerKey, u8>,
}

impl Transactions {
    /// None yet.
    pub fn new() -> Transactions {
        Transactions::default()
    }

    /// A message came in.
    pub fn receive(&mut self, path: Path, message: Message, now: Moment, out: &mut Vec<Happening>) {
        let _ = (path, message, now, out);
    }

    /// Sends a request of ours in a transaction of its own; its topmost Via, with a fresh branch, is the caller's work.
    /// Not for an ACK, which is sent as it is.
    pub fn request(&mut self, path: Path, request: Request, now: Moment, out: &mut Vec<Happening>) -> ClientKey {
        let _ = (path, now, out);
        ClientKey::of(&request)
    }

    /// Answers a request; an answer to a transaction that is over is left. A 2xx to an INVITE may be given again and again.
    pub fn respond(&mut self, key: &ServerKey, response: Response, now: Moment, out: &mut Vec<Happening>) {
        let _ = (key, response, now, out);
    }

    /// Cancels an INVITE of ours: at once, or when its first provisional answer comes (RFC 3261 §9.1). `Response` or `TimedOut` follows.
    pub fn cancel(&mut self, key: &ClientKey, now: Moment, out: &mut Vec<Happening>) {
        let _ = (key, now, out);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Moment, out: &mut Vec<Happening>) {
        let _ = (now, out);
    }

    /// When `tick` is wanted next.
    pub fn deadline(&self) -> Option<Moment> {
        None
    }
}
