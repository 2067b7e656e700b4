//! The day held against itself: what phones believe and Vigie believes, what is left in the evening, and the story.

use std::collections::HashSet;

use vigie::call::{LegState, Purpose, State};
use vigie::model::LegId;
use vigie::model::control::Supervision;

use super::{DAY_S, Event, GHOST_S, OPEN_S, ORPHAN_S, SECOND, SHIFT_S, UNHEARD_GHOST_S, World};
use crate::ledger::{Tally, demand};
use crate::phone::Stage;
use crate::wire::Text;

impl World {
    /// What phones believe, held against what Vigie believes.
    pub(super) fn audit(&mut self) -> Result<(), String> {
        if self.now_us < (DAY_S + SHIFT_S + 1_200) * SECOND {
            self.after(20 * SECOND, Event::Audit);
        }
        let mut doubts = Vec::new();
        let switch = self.subject.inner.switch();
        let own = switch.consults().flat_map(|consult| consult.legs.iter());
        let legs = switch.calls().flat_map(|call| call.legs.iter()).chain(own);
        let live: HashSet<&str> = legs.filter(|leg| leg.is_alive()).map(|leg| leg.sip_call_id.as_str()).collect();
        let mut on_phones = HashSet::new();
        for (person, who) in self.people.iter().filter(|(_, who)| who.is_alive()) {
            for talk in who.phone().talks.values() {
                match talk.stage {
                    Stage::Ringing | Stage::Accepted | Stage::Confirmed => {
                        on_phones.insert(talk.call_id.as_str());
                        if !live.contains(talk.call_id.as_str()) {
                            let what = format!("{} is {:?} on a phone and gone at Vigie", talk.call_id, talk.stage);
                            doubts.push((*person, what));
                        }
                    }
                    Stage::Inviting(_) | Stage::Cancelling | Stage::Leaving | Stage::Over => {}
                }
            }
        }
        for call in switch.calls() {
            let State::Talking { leg } = call.state else { continue };
            for id in [LegId { call: call.id, number: 0 }, leg] {
                let leg = call.leg(id).ok_or("a talk without its leg")?;
                let is_there = on_phones.contains(leg.sip_call_id.as_str());
                if matches!(leg.state, LegState::Live { .. }) && !is_there {
                    doubts.push((0, format!("{id} talks at Vigie and on no living phone")));
                }
            }
        }
        let known: HashSet<(u32, String)> = doubts.iter().cloned().collect();
        self.orphans.retain(|doubt, _| known.contains(doubt));
        for doubt in doubts {
            let what = doubt.1.clone();
            let since = *self.orphans.entry(doubt).or_insert(self.now_us);
            let is_heard = what.split(' ').next().is_some_and(|call_id| self.heard.contains(call_id));
            let most_s = match what.contains("is Ringing") {
                true if is_heard => GHOST_S,
                true => UNHEARD_GHOST_S,
                false => ORPHAN_S,
            };
            demand!(self.now_us - since <= most_s * SECOND, "for {most_s} s, {what}");
        }
        Ok(())
    }

    /// A phone's word that it rings reaches Vigie, which can cancel the call from now on.
    pub(super) fn hear_ringing(&mut self, bytes: &[u8]) {
        if !bytes.starts_with(b"SIP/2.0 1") {
            return;
        }
        let Some(text) = Text::read(bytes) else { return };
        let call_id = text.header("call-id");
        if self.rung.get(call_id).is_some_and(|at| self.now_us < at + OPEN_S * SECOND) {
            self.heard.insert(call_id.to_owned());
        }
    }

    /// The day is over and two hours have passed: nothing is left of it.
    pub(super) fn close(&mut self) -> Result<Tally, String> {
        let decisions = &self.subject.inner;
        let mut tally = Tally { steps: self.steps, ..Tally::default() };
        self.checks.close(decisions.switch())?;
        self.checks.ledger.close(&self.recorder.sealed, &self.recorder.begun(), &mut tally)?;
        (tally.states, tally.controls) = (self.checks.states_seen, self.checks.controls_done);
        let callers: HashSet<&str> = self.checks.ledger.caller_legs().collect();
        for call_id in self.arrived.iter().filter(|id| id.starts_with("call-")) {
            let is_known = callers.contains(call_id.as_str()) || self.refused.contains(call_id);
            demand!(is_known, "{call_id} came in, was not refused and has no record: a lost caller");
        }
        demand!(self.media.legs_open().is_empty(), "open media legs remain: {:?}", self.media.legs_open());
        demand!(self.media.opened == self.media.closed, "{} opened, {} closed", self.media.opened, self.media.closed);
        demand!(self.recorder.unfinished().is_empty(), "recordings run on: {:?}", self.recorder.unfinished());
        demand!(self.drain.is_none(), "a drain was never answered");
        let left: Vec<_> = decisions.count_kept().into_iter().filter(|(_, count)| *count > 0).collect();
        demand!(left.is_empty(), "after the day there remain {left:?}");
        demand!(decisions.deadline().is_none(), "something still wants the clock: {:?}", decisions.deadline());
        Ok(tally)
    }

    /// Nobody but whom it is meant for hears a supervisor: who listens is heard by nobody, who whispers by the regulator.
    pub(super) fn check_hearing(&self) -> Result<(), String> {
        for call in self.subject.inner.switch().calls().filter(|call| !call.guests.is_empty()) {
            let State::Talking { leg: host } = call.state else { continue };
            let hidden = call.guests.iter().filter_map(|guest| Some((guest.live_leg()?, guest.purpose)));
            for (leg, purpose) in hidden {
                let may_hear = |ear: LegId| match purpose {
                    Purpose::Supervision(Supervision::Listen) => false,
                    Purpose::Supervision(Supervision::Whisper) => ear == host,
                    Purpose::Supervision(Supervision::BargeIn | Supervision::TakeOver) => true,
                    Purpose::Help | Purpose::HandOff => true,
                };
                let ears =
                    call.legs.iter().map(|one| one.id).filter(|ear| self.media.hears(*ear).any(|one| one == leg));
                for ear in ears {
                    demand!(may_hear(ear), "{ear} hears {leg}, who is there to {purpose:?}");
                }
            }
        }
        Ok(())
    }

    pub(super) fn tell(&self) -> String {
        let mut story = String::new();
        for (at, input, actions) in &self.shown {
            story.push_str(&format!("{:>12.6} s  ← {}\n", *at as f64 / SECOND as f64, crate::story::input(input)));
            for action in actions {
                story.push_str(&format!("                  → {}\n", crate::story::action(action)));
            }
        }
        story
    }
}
