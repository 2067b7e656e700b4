//! The real executable against SIPp, baresip and a phone of the tests' own, on loopback.
//!
//! Each scenario has its own server, folder, ports and carrier's address (127.1.x.y), so that several run at a time.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

// What the scenarios stand on.
mod api;
mod baresip;
mod certificates;
mod digest;
#[allow(dead_code, reason = "tests/recorder uses the rest of it")]
mod disk;
mod harness;
mod link;
mod lossy;
mod numbering;
mod phone;
mod pjsua;
mod rough;
mod server;
mod sipp;
mod sound;
mod text;
mod voice;
mod webhook;

// The scenarios.
mod accepting;
mod answered;
mod archiving;
mod bad_disks;
mod banning;
mod bucket;
mod calling_out;
mod carrying;
mod checking;
mod codecs;
mod codes;
mod coding;
mod counting;
mod deciding;
mod deleting;
mod demo;
mod dispatching;
mod duty;
mod early;
mod early_media;
mod encrypting;
mod explaining;
mod exporting;
mod failing_disk;
mod garbage;
mod handing_on;
mod hearing;
mod holding;
mod hostile;
mod ivr;
mod joining;
mod killing;
mod lamps;
mod lines;
mod listening;
mod loading;
mod losing;
mod outliving;
mod overload;
mod pausing;
mod power;
mod pressing;
mod quality;
mod refusing;
mod regions;
mod registering;
mod reloading;
mod restarting;
mod returning;
mod rosters;
mod scanning;
mod scenarios;
mod searching;
mod securing;
mod softphone;
mod starting;
mod steering;
mod stopping;
mod storming;
mod streams;
mod tasks;
mod telling;
mod torture;
mod transferring;
mod transports;
mod trunks;
mod vanishing;
mod waiting;
mod waking;
mod websockets;
