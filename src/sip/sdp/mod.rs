//! SDP (RFC 8866) as an answering point uses it: what the far end offers or answers, and what we write (RFC 3264).

pub mod crypto;
pub mod description;
pub mod write;

pub use crypto::{CryptoLine, Protection};
pub use description::{Audio, Description, SdpFault};
pub use write::{
    LocalMedia, Origin, answered_formats, write_answer, write_numbered_offer, write_offer, write_protected_answer,
};
