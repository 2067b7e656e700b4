//! The decisions, whole or with a planted fault: to show that the checks can fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use vigie::model::{Action, Centre, Fact, Input, MediaCommand, Moment, Now, Path, Reach, RecorderCommand, SkillId};
use vigie::switchboard::Decisions;

use crate::restoring::Restarts;

/// A fault between the decisions and the world, or in the router; the number is which occurrence it hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// None.
    Nothing,
    /// No CANCEL ever leaves.
    NoCancel,
    /// No BYE ever leaves.
    NoBye,
    /// A transaction with the database is lost.
    LostStore(u32),
    /// A port is never closed.
    LostClose(u32),
    /// The recorder is never told the end.
    LostFinish(u32),
    /// A second regulator's phone rings for the same call.
    SecondOffer(u32),
    /// From here on nobody is told that time passes.
    StoppedClock(u32),
    /// The regulators' `Ready` again after the n-th registration is kept from the decisions: an input is lost.
    DoubledFact(u32),
    /// The events of a transaction are stored in the wrong order.
    WrongOrder(u32),
    /// An event is never stored: what dispatch is told has a hole.
    LostEvent(u32),
    /// The caller's call record is not stored with `call.ended`.
    LostRecord(u32),
    /// A question from the API is never answered.
    LostReply(u32),
    /// The waiting room takes everybody for able to do everything.
    BlindToSkills,
    /// The waiting room lets who has come later go first, where what was asked at first can be had for them.
    LaterFirst,
    /// The waiting room takes the urgent line for the least urgent.
    UrgentLast,
    /// The waiting room looks farther, and for less, later than the lines say.
    LateSteps,
    /// The waiting room believes in nobody's second region, neighbours or whole.
    NearSighted,
    /// The waiting room lets people rest twice as long as the lines say.
    LongRest,
    /// The waiting room sleeps on when it wanted to be woken.
    ForgottenWakeUp,
    /// The waiting room rings phones for longer than the rules say.
    LongRinging,
}

/// By how much steps are late, and a wake-up.
const LATE: Duration = Duration::from_secs(3);

impl Plant {
    /// The centre as a faulty router would understand it; the checks go by the true one.
    pub fn misread(self, centre: Arc<Centre>) -> Arc<Centre> {
        let mut wrong = Centre::clone(&centre);
        match self {
            Plant::BlindToSkills => {
                let all = ["regulation", "paediatrics", "lang-en", "physician", "administration"];
                let all: BTreeMap<SkillId, u8> = all.into_iter().map(|skill| (skill.into(), 100)).collect();
                wrong.regulators.values_mut().for_each(|one| one.skills = all.clone());
            }
            Plant::LaterFirst => wrong.weights.skill_wait = Duration::from_secs(600),
            Plant::UrgentLast => {
                let urgent = wrong.lines.values_mut().filter(|line| line.demand.priority == 1);
                urgent.for_each(|line| line.demand.priority = 9);
            }
            Plant::LateSteps => {
                let steps = wrong.lines.values_mut().flat_map(|line| line.demand.steps.iter_mut());
                steps.for_each(|step| step.after = step.after.map(|after| after + LATE));
            }
            Plant::NearSighted => {
                for line in wrong.lines.values_mut() {
                    line.demand.reach = Reach::Home;
                    line.demand.steps.iter_mut().for_each(|step| step.reach = None);
                }
            }
            Plant::LongRest => wrong.lines.values_mut().for_each(|line| line.wrap_up *= 2),
            Plant::LongRinging => wrong.offers.ring_duration_max += LATE,
            _ => return centre,
        }
        Arc::new(wrong)
    }
}

/// The decisions under test.
pub struct Subject {
    pub inner: Decisions,
    pub plant: Plant,
    seen: u32,
    phones: Vec<Path>,
    /// The user agent's restarts, when it has any.
    pub restarts: Option<Restarts>,
}

impl Subject {
    pub fn new(inner: Decisions, plant: Plant) -> Subject {
        Subject { inner, plant, seen: 0, phones: Vec::new(), restarts: None }
    }

    pub fn deadline(&self) -> Option<Moment> {
        let at = self.inner.deadline().map(|(at, _)| at);
        let is_rooms = at == self.inner.switch().room().deadline();
        if is_rooms && self.plant == Plant::ForgottenWakeUp { at.map(|at| at + LATE) } else { at }
    }

    pub fn step(&mut self, input: Input, now: Now, out: &mut Vec<Action>) {
        if let Plant::StoppedClock(nth) = self.plant
            && input == Input::Tick
        {
            self.seen += 1;
            if self.seen >= nth {
                return;
            }
        }
        if let Some(restarts) = &mut self.restarts {
            restarts.strike(&mut self.inner);
        }
        self.inner.step(input, now, out);
        if let Some(restarts) = &mut self.restarts {
            restarts.note(now, out);
        }
        match self.plant {
            Plant::Nothing | Plant::StoppedClock(_) => {}
            Plant::BlindToSkills | Plant::LaterFirst | Plant::UrgentLast | Plant::LateSteps => {}
            Plant::NearSighted | Plant::LongRest | Plant::ForgottenWakeUp | Plant::LongRinging => {}
            Plant::NoCancel => out.retain(|action| !is_send(action, b"CANCEL ")),
            Plant::NoBye => out.retain(|action| !is_send(action, b"BYE ")),
            Plant::LostStore(nth) => self.lose(nth, out, |action| matches!(action, Action::Store(_))),
            Plant::LostClose(nth) => {
                self.lose(nth, out, |action| matches!(action, Action::Media(MediaCommand::Close { .. })));
            }
            Plant::LostFinish(nth) => {
                self.lose(nth, out, |action| matches!(action, Action::Recorder(RecorderCommand::Finish { .. })));
            }
            Plant::SecondOffer(nth) => self.offer_again(nth, out),
            Plant::DoubledFact(nth) => self.double(nth, out),
            Plant::WrongOrder(nth) => self.turn_round(nth, out),
            Plant::LostEvent(nth) => self.forget(nth, out, |fact| matches!(fact, Fact::Event(_))),
            Plant::LostRecord(nth) => {
                self.forget(nth, out, |fact| matches!(fact, Fact::Call(record) if record.ended_at.is_some()));
            }
            Plant::LostReply(nth) => self.lose(nth, out, |action| matches!(action, Action::Reply { .. })),
        }
    }

    fn lose(&mut self, nth: u32, out: &mut Vec<Action>, is_it: impl Fn(&Action) -> bool) {
        out.retain(|action| {
            self.seen += u32::from(is_it(action));
            !(is_it(action) && self.seen == nth)
        });
    }

    fn double(&mut self, nth: u32, out: &mut [Action]) {
        for action in out {
            let Action::Store(facts) = action else { continue };
            let ended = facts.iter().find(|fact| matches!(fact, Fact::Event(e) if e.kind.name() == "call.ended"));
            if let Some(ended) = ended.cloned() {
                self.seen += 1;
                if self.seen == nth {
                    facts.push(ended);
                }
            }
        }
    }

    /// One fact is missing in its transaction.
    fn forget(&mut self, nth: u32, out: &mut [Action], is_it: impl Fn(&Fact) -> bool) {
        for action in out {
            let Action::Store(facts) = action else { continue };
            facts.retain(|fact| {
                self.seen += u32::from(is_it(fact));
                !(is_it(fact) && self.seen == nth)
            });
        }
    }

    /// The events of one call in one transaction, the last first.
    fn turn_round(&mut self, nth: u32, out: &mut [Action]) {
        for action in out {
            let Action::Store(facts) = action else { continue };
            let of = |fact: &Fact| match fact {
                Fact::Event(event) => event.call(),
                _ => None,
            };
            let first = facts.iter().find_map(of);
            let of_call = facts.iter().filter(|fact| first.is_some() && of(fact) == first).count();
            if of_call < 2 {
                continue;
            }
            self.seen += 1;
            if self.seen == nth {
                facts.reverse();
            }
        }
    }

    fn offer_again(&mut self, nth: u32, out: &mut Vec<Action>) {
        let mut more = Vec::new();
        for action in out.iter() {
            let Action::Send { path, bytes } = action else { continue };
            if !bytes.starts_with(b"INVITE ") {
                continue;
            }
            if !self.phones.contains(path) {
                self.phones.push(*path);
            }
            self.seen += 1;
            let other = self.phones.iter().find(|other| *other != path);
            if let (true, Some(other)) = (self.seen >= nth, other) {
                let text = String::from_utf8_lossy(bytes).replace("Call-ID: ", "Call-ID: again-");
                let bytes = Bytes::from(text.replace("branch=z9hG4bK", "branch=z9hG4bKagain"));
                more.push(Action::Send { path: *other, bytes });
                self.seen = 0;
            }
        }
        out.extend(more);
    }
}

fn is_send(action: &Action, start: &[u8]) -> bool {
    matches!(action, Action::Send { bytes, .. } if bytes.starts_with(start))
}
