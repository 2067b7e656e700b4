//! Storage on real SQLite files, and the outbox against a real receiver.

mod nouns;
mod story;
mod writer;
