//! What is kept of why a call waited: forecasts, who was weighed or passed over, and each turn of its wait.
#![allow(missing_docs, reason = "a variant's sentence names its fields")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::demand::Reach;
use super::ids::{CallId, RegionId, RegulatorId, SoundId};
use super::needs::Needs;
use super::time::Utc;

/// How long a caller will go on waiting, from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// Half of such callers wait no longer, in milliseconds.
    pub median_ms: u64,
    /// Nine in ten wait no longer, in milliseconds.
    pub nine_in_ten_ms: u64,
    /// Callers before this one whom the same people answer, rounded.
    pub ahead: u32,
    /// People on duty who can answer it at the step in force, free or not.
    pub pool: u32,
}

/// How true one day's forecasts were: of callers who found nobody free.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ForecastDay {
    /// The day in the centre's zone, `2026-11-22`.
    pub day: String,
    /// Forecasts made on entering whose outcome is known.
    pub judged: u32,
    /// Of these, callers who waited no longer than the median said: half of them, when it is honest.
    pub within_median: u32,
    /// Of these, callers who waited no longer than nine in ten should: nine tenths of them, when it is honest.
    pub within_nine_in_ten: u32,
    /// What the bare estimate of the median is multiplied by, learned from all outcomes so far.
    pub scale_median: f64,
    /// The same for nine in ten.
    pub scale_nine_in_ten: f64,
    /// How long a regulator is busy with one caller, ringing and rest included, in milliseconds: learned.
    pub busy_mean_ms: f64,
}

/// A regulator who could not be given a call, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// Who.
    pub regulator: RegulatorId,
    /// `offline`, `paused`, `talking`, `ringing`, `wrap-up`, `skills` or `region`.
    pub why: Cause,
}

/// Why a regulator could not be given a call: the first that holds, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// No phone is registered.
    Offline,
    /// Paused.
    Paused,
    /// On a call.
    Talking,
    /// Rung for another call.
    Ringing,
    /// Resting after a call.
    WrapUp,
    /// Free, without the skills that the step asks.
    Skills,
    /// Free, with the skills, and farther away than the step looks.
    Region,
}

impl Cause {
    /// As it is written everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Offline => "offline",
            Cause::Paused => "paused",
            Cause::Talking => "talking",
            Cause::Ringing => "ringing",
            Cause::WrapUp => "wrap-up",
            Cause::Skills => "skills",
            Cause::Region => "region",
        }
    }
}

/// What a step asks, and who could meet it when it began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// The skills.
    pub needs: Needs,
    /// How far is looked.
    pub reach: Reach,
    /// 1 is the most urgent.
    pub priority: u8,
    /// How many were free and fitted.
    pub free: u32,
    /// How many could not be given the call, by why.
    pub excluded: BTreeMap<String, u32>,
    /// The first of them by name: who has the skills before who has not.
    pub people: Vec<Excluded>,
}

/// One turn of a call's wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingNote {
    /// Its place among the call's notes, from 1.
    pub number: u16,
    /// When.
    pub at: Utc,
    /// Waited by then, in milliseconds.
    pub wait_ms: u64,
    /// What happened.
    pub turn: RoutingTurn,
}

/// What happened to a call in the waiting room. Offers are kept beside, each with its own reasoning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "turn", rename_all = "kebab-case")]
pub enum RoutingTurn {
    /// It began to wait, or waits again after a regulator whose phone vanished.
    Entered { region: RegionId, asked: Box<Asked>, forecast: Option<Forecast> },
    /// A step began: by the wait, or (`by_forecast`) because it had so long to wait.
    Step { step: u32, by_forecast: bool, asked: Box<Asked>, message: Option<SoundId>, forecast: Option<Forecast> },
    /// Somebody changed what it asks.
    Changed { region: RegionId, asked: Box<Asked> },
    /// Somebody who fits it was given another call, which went first: for its priority, or because it came earlier.
    Passed { regulator: RegulatorId, to: CallId, by_priority: bool },
}

/// The most notes that one call keeps: what it would have to tell beyond that, nobody reads.
pub const NOTES_MAX: u16 = 200;
