//! SDP (RFC 8866) as an answering point uses it: what the far end offers or answers, and what we write (RFC 3264).

pub mod description;
pub mod write;

pub use description::{Audio, Description, SdpFault};
pub use write::{LocalMedia, Origin, write_answer, write_offer};
