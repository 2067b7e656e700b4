//! The commands: serve, demo, check, verify.
