//! Where recordings live, and the proof that they are unchanged.

pub mod verify;

pub use verify::{Finding, Verdict, VerifyError, verify};
