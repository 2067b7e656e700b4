//! The commands: serve, demo, check, verify.

pub mod check;
pub mod password;
pub mod verify;
