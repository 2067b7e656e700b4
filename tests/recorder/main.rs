//! The recorder where it hurts: killed at any instant, on disks that are full or read-only, under load.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands")]

mod bench;
mod disks;
mod encrypted;
mod killed;
mod pace;
