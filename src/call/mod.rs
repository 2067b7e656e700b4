//! The life of every call: legs, offers, bridge, recording; in its own words, never SIP's.

pub mod signal;
