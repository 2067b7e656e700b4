//! Storage on real SQLite files, and the outbox against a real receiver.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

mod audit;
mod copying;
mod counting;
mod nouns;
mod outbox;
mod receiver;
mod simulating;
mod story;
mod writer;
