//! The headers that Vigie reads, a file each.

pub mod address;
pub mod auth;
pub mod call_info;
pub mod contact;
pub mod cseq;
pub mod diversion;
pub mod expires;
pub mod geolocation;
pub mod history;
pub mod max_forwards;
pub mod params;
pub mod pieces;
pub mod privacy;
pub mod rack;
pub mod reason;
pub mod session_expires;
pub mod user_to_user;
pub mod via;

pub use address::NameAddr;
pub use auth::AuthParams;
pub use contact::{Contact, Contacts};
pub use cseq::CSeq;
pub use params::Params;
pub use privacy::Privacy;
pub use rack::RAck;
pub use reason::Reason;
pub use session_expires::{Refresher, SessionExpires};
pub use via::{Rport, Via};

/// A header that is there but cannot be read; the answer is 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reading the header {0}: it is not as its standard says")]
pub struct InvalidHeader(pub &'static str);
