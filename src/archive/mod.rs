//! What becomes of recordings: checked offline, kept as long as the law and the courts ask, deleted when two people agree.

pub mod archived;
mod certificate;
mod clock_watch;
pub mod custody;
mod der;
mod evidence;
pub mod export;
mod instructions;
pub mod listening;
pub mod merkle;
pub mod reconcile;
pub mod redact;
pub mod retention;
pub mod roots;
pub mod second;
mod shred;
pub mod timestamp;
pub mod verify;
mod zip;

#[cfg(test)]
mod tests;

pub use crate::recorder::deposit::{Addendum, Note};
pub use evidence::{Evidence, EvidenceError};
pub use verify::{Finding, Verdict, VerifyError, verify};
