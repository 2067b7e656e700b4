//! What storage would hold: the facts of every call and regulator, checked as they come.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use vigie::model::centre::RecordingPolicy;
use vigie::model::event::{TransferKind, TransferParty};
use vigie::model::{
    Binding, CallId, CallRecord, DeviceId, EndedBy, Event, EventKind, Fact, Now, OfferEnd, OfferNumber, OfferRecord,
    Outcome, RegulatorId, RegulatorState, Side, Subject,
};

/// What is known of one offer.
#[derive(Debug, Default)]
struct OfferStory {
    regulator: Option<RegulatorId>,
    ends: Vec<OfferEnd>,
    record: Option<OfferRecord>,
}

/// What is known of one call.
#[derive(Debug, Default)]
struct CallStory {
    record: Option<CallRecord>,
    offers: BTreeMap<u16, OfferStory>,
    live_offer: Option<u16>,
    talks: bool,
    /// It was told that the caller was handed on to a regulator; who has it now is told next.
    is_handed: bool,
    /// Everybody had gone whom the caller talked with when this offer was made: whoever takes it is no second winner.
    left_for: Option<u16>,
    transferred: u32,
    attended: u32,
    forwarded: u32,
    joined: u32,
    supervised: u32,
    handed_to_samu: u32,
    answered: u32,
    ended: u32,
    sealed: u32,
    failed: u32,
    recordings: u32,
    notes: u16,
    is_recorded: bool,
}

/// The model database.
#[derive(Debug, Default)]
pub struct Ledger {
    calls: BTreeMap<CallId, CallStory>,
    sequences: HashMap<Subject, u32>,
    regulators: BTreeMap<RegulatorId, RegulatorState>,
    bindings: BTreeMap<(RegulatorId, DeviceId), Binding>,
    tasks: BTreeSet<CallId>,
}

/// What a day came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub calls: u32,
    pub answered: u32,
    pub abandoned: u32,
    pub offers: u32,
    pub returned: u32,
    pub transferred: u32,
    pub attended: u32,
    pub forwarded: u32,
    pub messages: u32,
    pub called_back: u32,
    pub informed: u32,
    pub joined: u32,
    pub supervised: u32,
    pub handed_to_samu: u32,
    /// The states that calls were in, a bit each.
    pub states: u32,
    /// What was asked of live calls and done, a bit each.
    pub controls: u32,
    pub sealed: u32,
    pub failed: u32,
    pub steps: u64,
}

impl Tally {
    /// Adds another day's.
    pub fn add(&mut self, other: Tally) {
        self.calls += other.calls;
        self.answered += other.answered;
        self.abandoned += other.abandoned;
        self.offers += other.offers;
        self.returned += other.returned;
        self.transferred += other.transferred;
        self.attended += other.attended;
        self.forwarded += other.forwarded;
        self.messages += other.messages;
        self.called_back += other.called_back;
        self.informed += other.informed;
        self.joined += other.joined;
        self.supervised += other.supervised;
        self.handed_to_samu += other.handed_to_samu;
        self.states |= other.states;
        self.controls |= other.controls;
        self.sealed += other.sealed;
        self.failed += other.failed;
        self.steps += other.steps;
    }
}

macro_rules! demand {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}
pub(crate) use demand;

impl Ledger {
    /// One transaction.
    pub fn store(&mut self, facts: &[Fact], now: Now) -> Result<(), String> {
        for fact in facts {
            self.take(fact, facts, now)?;
        }
        Ok(())
    }

    fn take(&mut self, fact: &Fact, beside: &[Fact], now: Now) -> Result<(), String> {
        match fact {
            Fact::Event(event) => self.take_event(event, beside, now),
            Fact::Call(record) => {
                let story = self.calls.entry(record.id).or_default();
                demand!(
                    story.ended == 0 || record.ended_at.is_some(),
                    "the record of {} lost its end after call.ended",
                    record.id
                );
                story.record = Some((**record).clone());
                Ok(())
            }
            Fact::Offer { call, offer } => {
                let story = self.calls.entry(*call).or_default().offers.entry(offer.number.0).or_default();
                let was = story.record.as_ref().and_then(|record| record.end);
                demand!(
                    was.is_none() || was == offer.end,
                    "offer {} of {call} ended as {was:?} and then as {:?}",
                    offer.number.0,
                    offer.end
                );
                story.record = Some((**offer).clone());
                Ok(())
            }
            Fact::Recording(sealed) => {
                self.calls.entry(sealed.call).or_default().recordings += 1;
                Ok(())
            }
            Fact::RecordingFailed { call, .. } => {
                self.calls.entry(*call).or_default().recordings += 1;
                Ok(())
            }
            Fact::Binding(binding) => {
                self.bindings.insert((binding.regulator.clone(), binding.device), binding.clone());
                Ok(())
            }
            Fact::BindingGone { regulator, device } => {
                let gone = self.bindings.remove(&(regulator.clone(), *device));
                demand!(gone.is_some(), "a binding of {regulator} went that never came");
                Ok(())
            }
            Fact::Regulator { regulator, state, .. } => {
                self.regulators.insert(regulator.clone(), state.clone());
                Ok(())
            }
            Fact::Abandoned(task) => {
                let is_owed = task.closed.is_some() || task.wait_ms >= 10_000 || self.is_promised(task.id, beside);
                demand!(is_owed, "the task {} after {} ms", task.id, task.wait_ms);
                match task.closed {
                    Some(_) => self.tasks.remove(&task.id),
                    None => self.tasks.insert(task.id),
                };
                Ok(())
            }
            Fact::Routing { call, note } => {
                let story = self.calls.entry(*call).or_default();
                story.notes += 1;
                demand!(note.number == story.notes, "note {} of {call} is the {}th", note.number, story.notes);
                Ok(())
            }
            Fact::Forecast(day) => {
                let is_sound = day.within_median <= day.within_nine_in_ten && day.within_nine_in_ten <= day.judged;
                demand!(is_sound, "forecasts that cannot be: {day:?}");
                Ok(())
            }
            Fact::Ordered(_) | Fact::Withdrawn(_) | Fact::Deed(_) => Ok(()),
            Fact::SipMessage(trace) => {
                let text = &trace.text;
                let is_masked = !text.contains("response=\"") || text.contains("***");
                demand!(is_masked, "a ladder of {} holds a digest response", trace.call);
                Ok(())
            }
        }
    }

    fn take_event(&mut self, event: &Event, beside: &[Fact], now: Now) -> Result<(), String> {
        let last = self.sequences.entry(event.subject.clone()).or_default();
        demand!(
            event.sequence == *last + 1,
            "event {} of {:?} has number {} after {last}",
            event.kind.name(),
            event.subject,
            event.sequence
        );
        *last = event.sequence;
        demand!(event.at == now.utc, "event {} is not of now", event.kind.name());
        match &event.subject {
            Subject::Call(call) => self.take_call_event(*call, &event.kind, beside),
            Subject::Regulator(regulator) => {
                let EventKind::RegulatorState { state, was, .. } = &event.kind else {
                    return Err(format!("{} is told about a regulator", event.kind.name()));
                };
                demand!(state != was, "{regulator} turned from {was} to {state}");
                let kept = beside.iter().any(
                    |f| matches!(f, Fact::Regulator { regulator: r, state: s, .. } if r == regulator && s == state),
                );
                demand!(kept, "the state {state} of {regulator} was told and not stored");
                Ok(())
            }
        }
    }

    fn take_call_event(&mut self, call: CallId, kind: &EventKind, beside: &[Fact]) -> Result<(), String> {
        let story = self.calls.entry(call).or_default();
        let is_late = matches!(kind, EventKind::RecordingSealed { .. } | EventKind::RecordingFailed { .. });
        demand!(story.ended == 0 || is_late, "{} of {call} after call.ended", kind.name());
        match kind {
            EventKind::CallReceived { .. } => {
                demand!(self.sequences[&Subject::Call(call)] == 1, "call.received of {call} is not its first event");
            }
            EventKind::CallDialled { .. } => {
                demand!(self.sequences[&Subject::Call(call)] == 1, "call.dialled of {call} is not its first event");
            }
            EventKind::CallReached { recorded, .. } => {
                demand!(!story.talks, "{call} reached somebody while it talked");
                story.talks = true;
                story.is_recorded |= *recorded;
            }
            EventKind::CallQueued { .. } => (story.talks, story.left_for) = (false, None),
            EventKind::CallOffered { offer, regulator, .. } => {
                // A regulator may hand a caller on while they talk, and at no other time.
                let takes_over = takes_over(call, *offer, beside);
                let is_handed = is_handed_on(call, *offer, beside) || takes_over;
                let is_left = story.talks && is_left_alone(call, beside);
                demand!(story.talks == is_handed || is_left, "{call} was offered while it talked: {}", story.talks);
                demand!(story.live_offer.is_none(), "{call} has two live offers");
                story.live_offer = Some(offer.0);
                story.left_for = Some(offer.0).filter(|_| is_left && !is_handed);
                // An outside number had the caller and is gone: who had joined has the caller now, and nobody hands on.
                story.is_handed |= takes_over;
                let told = story.offers.entry(offer.0).or_default();
                demand!(told.regulator.is_none(), "offer {} of {call} was made twice", offer.0);
                told.regulator = Some(regulator.clone());
            }
            EventKind::CallOfferEnded { offer, regulator, end, .. } => {
                story.end_offer(call, offer.0, regulator, *end)?;
            }
            EventKind::CallAnswered { offer, regulator, recorded, .. } => {
                let is_handed = std::mem::take(&mut story.is_handed);
                let is_left = story.left_for.take() == Some(offer.0);
                demand!(story.talks == (is_handed || is_left), "{call} has a second winner, {regulator}");
                story.end_offer(call, offer.0, regulator, OfferEnd::Accepted)?;
                story.talks = true;
                story.answered += 1;
                story.is_recorded |= *recorded;
            }
            EventKind::CallEnded { .. } => {
                story.ended += 1;
                let with = beside.iter().any(|f| matches!(f, Fact::Call(r) if r.id == call && r.ended_at.is_some()));
                demand!(with, "call.ended of {call} without its record in the same transaction");
            }
            EventKind::RecordingSealed { .. } => story.sealed += 1,
            EventKind::RecordingFailed { .. } => story.failed += 1,
            EventKind::CallTransferred { to, kind, .. } => {
                demand!(story.talks, "{call} was handed on and nobody had it");
                story.is_handed = matches!(to, TransferParty::Regulator(_));
                story.transferred += 1;
                story.attended += u32::from(*kind == TransferKind::Attended);
            }
            EventKind::CallForwarded { .. } => {
                demand!(!story.talks, "{call} was put through while somebody had it");
                story.talks = true;
                story.forwarded += 1;
            }
            EventKind::CallDemandChanged { .. } => {}
            EventKind::CallJoined { .. }
            | EventKind::CallJoinFailed { .. }
            | EventKind::CallLeft { .. }
            | EventKind::CallHandedToSamu(_)
            | EventKind::CallSupervised { .. }
            | EventKind::CallHeld { .. }
            | EventKind::RecordingPaused { .. }
            | EventKind::RecordingResumed { .. }
            | EventKind::CallResumed { .. }
            | EventKind::CallOneWayAudio { .. } => {
                demand!(story.talks, "{} of {call}, which does not talk", kind.name());
                story.joined += u32::from(matches!(kind, EventKind::CallJoined { .. }));
                story.supervised += u32::from(matches!(kind, EventKind::CallSupervised { .. }));
                story.handed_to_samu += u32::from(matches!(kind, EventKind::CallHandedToSamu(_)));
            }
            EventKind::CallAbandoned { .. } => demand!(story.answered == 0, "{call} was answered and abandoned"),
            EventKind::RegulatorState { .. } => return Err(format!("{call} got a regulator's event")),
        }
        Ok(())
    }

    /// Whether the caller was promised a call: owed one however short the wait was.
    fn is_promised(&self, call: CallId, beside: &[Fact]) -> bool {
        let of_a_promise =
            |record: &CallRecord| record.choices.callback_of.is_some() || record.outcome == Some(Outcome::CallBack);
        let told = beside.iter().any(|fact| matches!(fact, Fact::Call(r) if r.id == call && of_a_promise(r)));
        told || self.calls.get(&call).and_then(|story| story.record.as_ref()).is_some_and(of_a_promise)
    }

    /// Whether the call was ever offered to this regulator.
    pub fn was_offered(&self, call: &str, regulator: &str) -> bool {
        let Ok(call) = call.parse::<CallId>() else { return false };
        let Some(story) = self.calls.get(&call) else { return false };
        story.offers.values().any(|offer| offer.regulator.as_ref().is_some_and(|who| who.as_str() == regulator))
    }

    /// The open tasks: callers whom nobody has served.
    pub fn tasks(&self) -> Vec<CallId> {
        self.tasks.iter().copied().collect()
    }

    /// The state that dispatch knows of a regulator.
    pub fn state_of(&self, regulator: &RegulatorId) -> RegulatorState {
        self.regulators.get(regulator).cloned().unwrap_or(RegulatorState::Offline)
    }

    /// How many turns of a regulator's state were told.
    pub fn turns_of(&self, regulator: &RegulatorId) -> u32 {
        self.sequences.get(&Subject::Regulator(regulator.clone())).copied().unwrap_or_default()
    }

    /// The SIP Call-IDs of all callers.
    pub fn caller_legs(&self) -> impl Iterator<Item = &str> {
        self.calls.values().filter_map(|s| s.record.as_ref()?.legs.first()).map(|leg| leg.sip_call_id.as_str())
    }

    /// What must hold when the day is over.
    pub fn close(&self, sealed: &[CallId], begun: &BTreeSet<CallId>, tally: &mut Tally) -> Result<(), String> {
        demand!(self.bindings.is_empty(), "bindings remain in storage: {:?}", self.bindings.keys());
        for (call, story) in &self.calls {
            story.close(*call, begun.contains(call), tally)?;
            let is_sealed = sealed.contains(call);
            demand!(is_sealed == (story.sealed == 1), "{call}: {} seals told, sealed: {is_sealed}", story.sealed);
        }
        Ok(())
    }
}

/// Whether an offer is only the word for it that somebody who has joined has the caller: made and taken in one.
pub fn takes_over(call: CallId, number: OfferNumber, facts: &[Fact]) -> bool {
    let is_taken = |fact: &Fact| match fact {
        Fact::Offer { call: of, offer } => {
            *of == call && offer.number == number && offer.end == Some(OfferEnd::Accepted)
        }
        _ => false,
    };
    facts.iter().any(is_taken)
}

/// Whether everybody has gone whom the caller talked with: who rang to take over is an offer like any other then.
fn is_left_alone(call: CallId, facts: &[Fact]) -> bool {
    let is_alone = |fact: &Fact| match fact {
        Fact::Call(record) if record.id == call => {
            let others = record.legs.iter().filter(|leg| leg.side != Side::Caller && leg.accepted_at.is_some());
            others.clone().next().is_some() && others.clone().all(|leg| leg.ended_at.is_some())
        }
        _ => false,
    };
    facts.iter().any(is_alone)
}

/// Whether an offer is a regulator's handing on.
pub fn is_handed_on(call: CallId, number: OfferNumber, facts: &[Fact]) -> bool {
    let is_its = |fact: &Fact| match fact {
        Fact::Offer { call: of, offer } => *of == call && offer.number == number && offer.handed_by.is_some(),
        _ => false,
    };
    facts.iter().any(is_its)
}

impl CallStory {
    fn end_offer(&mut self, call: CallId, number: u16, regulator: &RegulatorId, end: OfferEnd) -> Result<(), String> {
        let offer = self.offers.entry(number).or_default();
        demand!(offer.regulator.as_ref() == Some(regulator), "offer {number} of {call} ended at the wrong regulator");
        offer.ends.push(end);
        demand!(offer.ends.len() == 1, "offer {number} of {call} ended as {:?}", offer.ends);
        self.live_offer = None;
        Ok(())
    }

    fn close(&self, call: CallId, is_begun: bool, tally: &mut Tally) -> Result<(), String> {
        demand!(self.ended == 1, "{call} was ended {} times", self.ended);
        let record = self.record.as_ref().ok_or_else(|| format!("{call} has no record"))?;
        for (number, offer) in &self.offers {
            let kept = offer.record.as_ref().and_then(|record| record.end);
            // Whoever calls back has picked up, and is told to have answered when the caller is reached.
            if record.choices.callback_of.is_some() && offer.ends.is_empty() && self.answered == 0 {
                demand!(kept == Some(OfferEnd::Accepted), "offer {number} of {call} is stored as {kept:?}");
                continue;
            }
            demand!(offer.ends.len() == 1, "offer {number} of {call} ended as {:?}", offer.ends);
            demand!(kept == offer.ends.first().copied(), "offer {number} of {call} is stored as {kept:?}");
        }
        demand!(record.offers.len() == self.offers.len(), "the record of {call} lacks offers");
        demand!(record.offers.iter().all(|o| o.end.is_some()), "the record of {call} has an open offer");
        let is_fault = record.ended_by == Some(EndedBy::Fault);
        let is_answered = record.outcome == Some(Outcome::Answered) || is_fault && self.answered > 0;
        demand!(is_answered == (self.answered > 0), "{call} was answered {} times: {record:?}", self.answered);
        demand!(record.legs.iter().all(|leg| leg.ended_at.is_some()), "{call} has a leg without an end");
        let of_recording = self.sealed + self.failed;
        // Whoever talked on a line that is recorded, and whoever left a message on whatever line.
        let has_talked = self.answered + self.forwarded > 0;
        let is_message = record.outcome == Some(Outcome::Voicemail);
        let asked = record.choices.keys.iter().any(|key| key.to == "voicemail");
        let must = has_talked && record.recording == RecordingPolicy::Always || is_message;
        demand!(is_begun || !must, "{call} was not recorded: {record:?}");
        demand!(!is_begun || must || asked, "{call} was recorded, and nobody asked for it: {record:?}");
        demand!(is_begun || !self.is_recorded, "call.answered of {call} tells of a recording that is not there");
        demand!(
            self.is_recorded || self.answered == 0 || !must || asked,
            "call.answered of {call} hides its recording"
        );
        let wanted = u32::from(is_begun);
        // What failed in a minute may be sealed later: then both are told.
        let is_told = self.sealed.max(self.failed) == wanted;
        demand!(is_told, "{call}: {} sealed, {} failed, {wanted} wanted", self.sealed, self.failed);
        demand!(self.recordings == of_recording, "{call}: {} recordings stored, {of_recording} told", self.recordings);
        tally.calls += 1;
        tally.answered += u32::from(is_answered);
        tally.abandoned += u32::from(record.outcome == Some(Outcome::Abandoned));
        tally.offers += self.offers.len() as u32;
        demand!(!self.is_handed, "{call} was handed on and nobody was told to have it");
        tally.returned += self.answered.saturating_sub(1 + self.transferred);
        tally.transferred += self.transferred;
        tally.attended += self.attended;
        tally.forwarded += u32::from(record.outcome == Some(Outcome::Forwarded));
        tally.messages += u32::from(is_message);
        tally.called_back += u32::from(record.choices.callback_of.is_some() && self.answered > 0);
        tally.informed += u32::from(record.outcome == Some(Outcome::Informed));
        tally.joined += self.joined;
        tally.supervised += self.supervised;
        tally.handed_to_samu += self.handed_to_samu;
        tally.sealed += self.sealed;
        tally.failed += self.failed;
        Ok(())
    }
}
