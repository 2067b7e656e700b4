//! Two legs joined as their holds allow, and music for whoever is held.

use super::decision::Decision;
use super::leg::Leg;
use crate::model::media::AfterSounds;
use crate::model::{MediaCommand, SoundId};

/// Bridges two legs when neither holds; else music to each side that listens.
pub fn join(a: &Leg, b: &Leg, music: Option<&SoundId>, out: &mut Vec<Decision>) {
    for leg in [a, b] {
        out.push(Decision::Media(MediaCommand::Watch { leg: leg.id, on: !leg.is_held() }));
    }
    if !a.is_held() && !b.is_held() {
        return out.push(Decision::Media(MediaCommand::Bridge { a: a.id, b: b.id }));
    }
    out.push(Decision::Media(MediaCommand::Unbridge { leg: a.id }));
    for leg in [a, b] {
        entertain(leg, music, out);
    }
}

/// Music for a leg that listens, nothing for one that does not.
pub fn entertain(leg: &Leg, music: Option<&SoundId>, out: &mut Vec<Decision>) {
    let listens = leg.remote().is_some_and(|remote| remote.direction.sends());
    match music.filter(|_| listens) {
        Some(music) => {
            let (sounds, after) = (vec![music.clone()], AfterSounds::RepeatLast);
            out.push(Decision::Media(MediaCommand::Play { leg: leg.id, sounds, after }));
        }
        None => out.push(Decision::Media(MediaCommand::Quiet { leg: leg.id })),
    }
}
