//! The waiting room: who waits, who is ready, who gets whom.
