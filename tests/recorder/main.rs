//! The recorder where it hurts: killed at any instant, on disks that are full or read-only, under load.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands")]

mod bench;
#[path = "../wire/disk.rs"]
#[allow(dead_code, reason = "tests/wire uses the rest of it")]
mod disk;
mod disks;
mod encrypted;
mod killed;
mod listening;
mod measured;
mod pace;
mod power;
mod syncs;
