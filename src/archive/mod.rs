//! Where recordings live, and the proof that they are unchanged.

mod der;
pub mod merkle;
pub mod redact;
pub mod roots;
pub mod timestamp;
pub mod verify;

pub use verify::{Finding, Verdict, VerifyError, verify};
