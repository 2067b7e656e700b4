//! Who took part in a recording, and what befell each: came, was held, was handed on, was not to be heard, left.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::kept::Kept;
use super::place::STEP_HZ;
use super::render::Rendered;
use super::sidecar::Party;
use crate::model::control::Supervision;
use crate::model::event::TransferParty;
use crate::model::{EndedBy, EventKind, RegulatorId, Side, Utc};

/// One thing that befell a party, in the words of the vCon draft (`join`, `drop`, `hold`, `unhold`, `mute`, `unmute`) and
/// one of our own (`transfer`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyEvent {
    /// Index of the party.
    pub party: usize,
    /// The word.
    pub event: String,
    /// When: RFC 3339 with the site's offset.
    pub time: String,
    /// The same in UTC.
    pub time_utc: String,
    /// Index of the party that did it, when it was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<usize>,
    /// Of `transfer`: index of the party that has the caller then, when it is in this recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<usize>,
    /// Of `transfer` and `mute`: how, in words: `blind to regulator bruno`, `listen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Who spoke: first the caller, then regulators and supervisors, then outside parties.
pub(super) fn parties_of(kept: &Kept) -> Vec<Party> {
    let caller = &kept.record.caller;
    let mut parties = vec![Party {
        tel: caller.e164.as_ref().map(|number| number.as_str().to_owned()),
        name: caller.display_name.clone(),
        role: "caller".into(),
    }];
    parties.extend(regulators_of(kept).into_iter().map(|id| {
        let name = match kept.record.names.regulators.get(id) {
            Some(name) if !name.is_empty() => format!("{name} ({id})"),
            Some(_) | None => id.to_string(),
        };
        let mut legs = kept.legs.values().filter(|leg| leg.regulator.as_ref() == Some(id)).peekable();
        let is_supervisor = legs.peek().is_some() && legs.all(|leg| leg.side == Side::Supervisor);
        Party { tel: None, name: Some(name), role: if is_supervisor { "supervisor" } else { "regulator" }.into() }
    }));
    let outside = outside_of(kept).into_iter();
    parties.extend(outside.map(|(_, tel)| Party { tel, name: None, role: "outside".into() }));
    parties
}

/// What befell them, by time.
pub(super) fn history_of(kept: &Kept, rendered: &Rendered, zone: &TimeZone) -> Vec<PartyEvent> {
    let mut told: Vec<(Utc, PartyEvent)> = Vec::new();
    let mut add = |at: Utc, event: PartyEvent| told.push((at, event));
    let event = |party: usize, word: &str, at: Utc| PartyEvent {
        party,
        event: word.to_owned(),
        time: at.with_offset(zone),
        time_utc: at.rfc3339(),
        by: None,
        to: None,
        detail: None,
    };
    for leg in &rendered.legs {
        let Some(party) = party_of_leg(kept, leg.leg) else { continue };
        for (word, samples) in [("join", leg.part.joined), ("drop", leg.part.left)] {
            let at = Utc(kept.begun.utc.0 + samples * 1_000_000 / i64::from(STEP_HZ));
            add(at, event(party, word, at));
        }
    }
    let mut talking = kept.record.offers.iter().find_map(|offer| party_of_regulator(kept, &offer.regulator));
    for turn in &kept.turns {
        let at = turn.at;
        match read(kept, &turn.what) {
            Some(Befallen::Held { by_caller, word }) => {
                let (who, by) = if by_caller { (talking, Some(0)) } else { (Some(0), talking) };
                if let Some(who) = who {
                    add(at, PartyEvent { by, ..event(who, word, at) });
                }
            }
            Some(Befallen::Handed { by, to, detail }) => {
                add(at, PartyEvent { by, to, detail: Some(detail), ..event(0, "transfer", at) });
                talking = to.or(talking);
            }
            Some(Befallen::Supervised { by, word, detail }) => {
                add(at, PartyEvent { detail: Some(detail), ..event(by, word, at) });
            }
            None => (),
        }
    }
    told.sort_by_key(|(at, _)| *at);
    told.into_iter().map(|(_, event)| event).collect()
}

/// A turn as the history writes it.
enum Befallen {
    Held { by_caller: bool, word: &'static str },
    Handed { by: Option<usize>, to: Option<usize>, detail: String },
    Supervised { by: usize, word: &'static str, detail: String },
}

fn read(kept: &Kept, what: &EventKind) -> Option<Befallen> {
    let held = |by: &EndedBy, word| Some(Befallen::Held { by_caller: *by == EndedBy::Caller, word });
    if let EventKind::CallHeld { by } = what {
        return held(by, "hold");
    }
    if let EventKind::CallResumed { by } = what {
        return held(by, "unhold");
    }
    if let EventKind::CallTransferred { by, to, kind } = what {
        let (index, words) = match to {
            TransferParty::Regulator(id) => (party_of_regulator(kept, id), format!("regulator {id}")),
            TransferParty::Number(number) => (party_of_number(kept, number), format!("number {number}")),
            TransferParty::Line(line) => (None, format!("line {line}")),
            TransferParty::Skill(skill) => (None, format!("skill {skill}")),
        };
        let how = serde_json::to_value(kind).ok().and_then(|word| word.as_str().map(str::to_owned));
        let detail = format!("{} to {words}", how.unwrap_or_default());
        return Some(Befallen::Handed { by: party_of_regulator(kept, by), to: index, detail });
    }
    if let EventKind::CallSupervised { by, way, leg: _ } = what {
        let (word, detail) = match way {
            Supervision::Listen => ("mute", "listens"),
            Supervision::Whisper => ("mute", "speaks to the regulator alone"),
            Supervision::BargeIn => ("unmute", "speaks to all"),
            Supervision::TakeOver => ("unmute", "takes over"),
        };
        let by = party_of_regulator(kept, by)?;
        return Some(Befallen::Supervised { by, word, detail: detail.to_owned() });
    }
    None
}

fn regulators_of(kept: &Kept) -> Vec<&RegulatorId> {
    let announced = kept.legs.values().filter_map(|leg| leg.regulator.as_ref());
    let mut names: Vec<&RegulatorId> = Vec::new();
    for name in announced.chain(kept.record.regulator.as_ref()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The legs of outside parties, and what was dialled.
fn outside_of(kept: &Kept) -> Vec<(u16, Option<String>)> {
    let legs = kept.record.legs.iter().filter(|leg| leg.side == Side::Outside && leg.accepted_at.is_some());
    legs.map(|leg| (leg.number, leg.dialled.clone())).collect()
}

fn party_of_regulator(kept: &Kept, id: &RegulatorId) -> Option<usize> {
    regulators_of(kept).iter().position(|name| *name == id).map(|place| place + 1)
}

fn party_of_number(kept: &Kept, number: &str) -> Option<usize> {
    let place = outside_of(kept).iter().position(|(_, dialled)| dialled.as_deref() == Some(number))?;
    Some(1 + regulators_of(kept).len() + place)
}

fn party_of_leg(kept: &Kept, leg: u16) -> Option<usize> {
    match kept.side_of(leg) {
        Side::Caller => Some(0),
        Side::Regulator | Side::Supervisor => party_of_regulator(kept, &kept.regulator_of(leg)?),
        Side::Outside => {
            let place = outside_of(kept).iter().position(|(number, _)| *number == leg)?;
            Some(1 + regulators_of(kept).len() + place)
        }
    }
}
