//! Regulators who ask a colleague, and those who hand their caller on, with the habits of their phones.

use super::*;
use crate::centre::PEOPLE;
use crate::phone::Stage;

impl Device {
    /// Asks a colleague: with the caller on hold, or with nobody.
    pub(super) fn consult(&mut self, beside: Option<String>, turn: &mut Turn) {
        let busy = self.phone.talks.values().filter(|talk| talk.stage != Stage::Over).count();
        let stands = match &beside {
            Some(talk) => busy == 1 && self.phone.talks.get(talk).is_some_and(|talk| talk.stage == Stage::Confirmed),
            None => busy == 0,
        };
        if !stands {
            return;
        }
        if let Some(talk) = &beside {
            self.phone.reinvite(talk, true, turn);
            wish(turn, 90_000, Wish::Hold(talk.clone(), false));
        }
        let colleague = self.draw_colleague();
        self.start_dialling(colleague, beside, turn);
    }

    pub(super) fn draw_colleague(&mut self) -> String {
        let place = self.phone.chance.below(PEOPLE.len() as u64 + 1) as usize;
        PEOPLE.get(place).map_or_else(|| "nobody".to_owned(), |person| person.0.to_owned())
    }

    pub(super) fn join(&mut self, talk: &str, own: &str, turn: &mut Turn) {
        let (talk, own) = if self.phone.chance.below(4) == 0 { (own, talk) } else { (talk, own) };
        let Some(replaces) = self.phone.replaces(own) else { return };
        self.leaves = vec![talk.to_owned(), own.to_owned()];
        self.phone.refer(talk, &format!("<sip:colleague@{REALM}?Replaces={replaces}>"), turn);
    }

    pub(super) fn referred(&mut self, call_id: String, status: u16, turn: &mut Turn) {
        // Many phones hang up as soon as their REFER is taken; others when the other party has answered, or never.
        if !(200..300).contains(&status) || self.phone.chance.below(10) < 4 {
            return;
        }
        if self.leaves.contains(&call_id) {
            return;
        }
        self.phone.hang_up(&call_id, turn);
    }

    pub(super) fn hear_progress(&mut self, call_id: String, status: u16, turn: &mut Turn) {
        if !(200..300).contains(&status) || self.phone.chance.below(10) == 0 {
            return;
        }
        let mut leaves = std::mem::take(&mut self.leaves);
        if !leaves.contains(&call_id) {
            leaves = vec![call_id];
        }
        for call_id in leaves {
            let after = self.phone.chance.below(400);
            wish(turn, after, Wish::HangUp(call_id));
        }
    }
}
