//! SIP as pure values: messages, SDP, digest, and RFC 3261's transaction machines.

pub mod body;
pub mod compose;
pub mod digest;
pub mod header;
pub mod headers;
pub mod message;
pub mod method;
pub mod parse;
pub mod pidf;
#[cfg(test)]
mod properties;
pub mod sdp;
pub mod status;
pub mod transaction;
pub mod uri;

pub use body::{Body, BodyFault, Part};
pub use header::{
    AuthParams, CSeq, Contact, Contacts, InvalidHeader, NameAddr, Params, Privacy, RAck, Reason, Refresher, Rport,
    SessionExpires, Via,
};
pub use headers::{Header, Headers};
pub use message::{Message, Request, Response};
pub use method::Method;
pub use parse::{Fault, Malformed};
pub use transaction::{ClientKey, Happening, ServerKey, Transactions};
pub use uri::{Scheme, Uri};
