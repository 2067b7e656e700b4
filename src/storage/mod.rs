//! What the database remembers, as functions by noun.
