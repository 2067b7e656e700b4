//! Three and more who talk: who hears whom, as purposes and holds allow.

use super::bridge;
use super::decision::Decision;
use super::guests::Purpose;
use super::leg::Leg;
use super::life::Call;
use crate::model::control::Supervision;
use crate::model::{LegId, MediaCommand, MixedLeg};

/// Who hears a voice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HeardBy {
    All,
    Regulator,
    Nobody,
}

/// Joins all who are there as their purposes and holds allow.
pub fn join(call: &Call, host: LegId, out: &mut Vec<Decision>) {
    let live = call.guests.iter().filter_map(|guest| {
        let heard_by = match guest.purpose {
            Purpose::Supervision(Supervision::Listen) => HeardBy::Nobody,
            Purpose::Supervision(Supervision::Whisper) => HeardBy::Regulator,
            Purpose::Supervision(Supervision::BargeIn | Supervision::TakeOver) => HeardBy::All,
            Purpose::Help | Purpose::HandOff => HeardBy::All,
        };
        Some((guest.live_leg()?, heard_by))
    });
    let all = [(call.caller_leg(), HeardBy::All), (host, HeardBy::All)].into_iter().chain(live);
    let all: Vec<_> = all.filter_map(|(leg, heard_by)| Some((call.leg(leg)?, heard_by))).collect();
    for (leg, _) in &all {
        out.push(Decision::Media(MediaCommand::Watch { leg: leg.id, on: !leg.is_held() }));
    }
    let is_out = |leg: &Leg| leg.is_held() || (call.on_hold && leg.id.number == 0);
    let (away, here): (Vec<_>, Vec<_>) = all.into_iter().partition(|(leg, _)| is_out(leg));
    let alone = here.len() < 2;
    for (leg, _) in away.iter().chain(here.iter().filter(|_| alone)) {
        out.push(Decision::Media(MediaCommand::Unbridge { leg: leg.id }));
        // Who holds the caller is not to hear music meanwhile.
        let music = Some(&call.line.hold_music).filter(|_| leg.id != host);
        bridge::entertain(leg, music, out);
    }
    if alone {
        return;
    }
    let hears = |ear: LegId| {
        let voices = here.iter().filter(|(leg, heard_by)| {
            let is_heard = match heard_by {
                HeardBy::All => true,
                HeardBy::Regulator => ear == host,
                HeardBy::Nobody => false,
            };
            is_heard && leg.id != ear
        });
        voices.map(|(leg, _)| leg.id).collect()
    };
    let legs = here.iter().map(|(leg, _)| MixedLeg { leg: leg.id, hears: hears(leg.id) }).collect();
    out.push(Decision::Media(MediaCommand::Mix { legs }));
}
