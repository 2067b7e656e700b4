//! Vigie: the telephone standard of a medical-regulation centre.
//!
#![doc = include_str!("ARCHITECTURE.md")]
#![forbid(unsafe_code)]

// In reading order: words, protocols, decisions, drivers, doors.
pub mod model;

pub mod clock;
pub mod config;

pub mod rtp;
pub mod sip;

pub mod call;
pub mod routing;
pub mod useragent;
pub mod waiting;

pub mod archive;
pub mod journal;
pub mod media;
pub mod outbox;
pub mod recorder;
pub mod signalling;
pub mod storage;
pub mod switchboard;
pub mod vault;

pub mod app;
pub mod cli;
pub mod web;
