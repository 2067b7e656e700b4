//! What becomes of recordings: checked offline, kept as long as the law and the courts ask, deleted when two people agree.

mod certificate;
mod clock_watch;
pub mod custody;
mod der;
pub mod merkle;
pub mod reconcile;
pub mod redact;
pub mod retention;
pub mod roots;
mod shred;
pub mod timestamp;
pub mod verify;

pub use verify::{Finding, Verdict, VerifyError, verify};
