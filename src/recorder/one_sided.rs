//! Legs that were silent to the end: the fault of a one-way call, which an untouched recording of silence would hide.

use super::sidecar::Frames;
use crate::model::{RegulatorId, Side};

/// A leg that fell silent so long before its end was cut off, not quiet: phones send silence as packets, too.
const SILENT_END_MIN_MS: u64 = 10_000;
/// A part of a leg that is shorter is listed but alarms nobody: a phone may take a second to begin.
const ALARM_MIN_MS: u64 = 1000;

/// A leg from which nothing came up to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The leg's number in the call.
    pub leg: u16,
    /// Left or right.
    pub side: Side,
    /// Who.
    pub regulator: Option<RegulatorId>,
    /// How long.
    pub length_ms: u64,
    /// Not one sound came before, either.
    pub is_whole: bool,
    /// Packets from addresses that its SDP did not give.
    pub strangers: u64,
}

impl Silence {
    /// The silence at the end of a leg, when it is one to be told.
    pub fn of(leg: &Frames) -> Option<Silence> {
        let from_ms = leg.heard_until_ms.unwrap_or(leg.part_start_ms).max(leg.part_start_ms);
        let length_ms = leg.part_end_ms.saturating_sub(from_ms);
        let is_whole = leg.heard_until_ms.is_none();
        let is_told = if is_whole { length_ms > 0 } else { length_ms >= SILENT_END_MIN_MS };
        let regulator = leg.regulator.clone();
        is_told.then_some(Silence {
            leg: leg.leg,
            side: leg.side,
            regulator,
            length_ms,
            is_whole,
            strangers: leg.strangers,
        })
    }

    /// Whether somebody should look now.
    pub fn is_alarming(&self) -> bool {
        self.length_ms >= ALARM_MIN_MS
    }

    /// In words: which side, how long, and what to look at.
    pub fn describe(&self) -> String {
        let who = match (self.side, &self.regulator) {
            (Side::Caller, _) => "the caller".to_owned(),
            (Side::Regulator, Some(id)) => format!("the regulator {id}"),
            (Side::Regulator, None) => "the regulator".to_owned(),
            (Side::Outside, _) => "the outside party".to_owned(),
            (Side::Supervisor, Some(id)) => format!("the supervisor {id}"),
            (Side::Supervisor, None) => "the supervisor".to_owned(),
        };
        let seconds = self.length_ms as f64 / 1000.0;
        let what = if self.is_whole {
            format!(
                "not one frame was received from {who} (leg {}) in its {seconds:.1} s: the recording is one-sided",
                self.leg
            )
        } else {
            format!("nothing was received from {who} (leg {}) in its last {seconds:.1} s", self.leg)
        };
        let look = match (self.strangers, self.is_whole) {
            (0, true) => "`strangers` of the call's legs is 0, so nothing reached us from elsewhere either: look at the address in the SDP that the phone was given (media.address, media.advertised), at the phone's own SDP address, and at firewalls".to_owned(),
            (0, false) => "a hold that lasted to the end, a phone that died, or a network that broke".to_owned(),
            (strangers, _) => format!("{strangers} packets came from strangers (`strangers` of the call's legs) and were dropped: the phone's SDP address is not the one that it sends from"),
        };
        format!("{what}; {look}")
    }
}
