//! The HTTP door over real HTTP: its router, a real database, a real WAV.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod access;
mod audio;
mod commands;
mod controlling;
mod custody;
mod description;
mod desk;
mod doors;
mod exports;
mod input;
mod listening;
mod reading;
mod reloader;
mod routing;
mod schema;
mod wishes;
