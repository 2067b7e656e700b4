//! A caller asks to be called back: another call keeps the place in line, and dials the caller when a regulator has it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::decision::{CallInput, Decision, RoomChange};
use super::ending::{self, Ending};
use super::leg::{Leg, LegState};
use super::life::{Call, State};
use super::messages::{Hearing, VoiceInput};
use super::persons::Parting;
use super::signal::{Dial, LegOrder, Party};
use super::switch::{CALLS_MAX, Order, Switch};
use super::{bridge, talking, ways};
use crate::model::centre::Demand;
use crate::model::{
    CallId, CallRecord, Caller, Centre, Choices, Codec, E164, EndedBy, EventKind, LegId, Line, MediaCommand, Moment,
    Needs, Now, OfferNumber, OpenCallBack, Outcome, RemoteMedia, Side, TrunkId,
};
use crate::routing;

/// Call-backs that stand in line at once: more than a centre can call in a day.
pub const CALL_BACKS_MAX: usize = 1000;
/// How often somebody who does not pick up is called.
pub const ATTEMPTS_MAX: u8 = 3;
/// How long after an attempt the next one takes its place in line.
const NEXT_ATTEMPT_AFTER: Duration = Duration::from_secs(180);
/// How long it may ring at the caller's.
const RING_MAX: Duration = Duration::from_secs(45);
/// After a start a call-back stands in line again this much later: by then it is known who is registered and where the trunks
/// are.
const AFTER_START: Duration = Duration::from_secs(2);
/// With nobody on duty, or no room, the place in line is asked for again after so long.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// A call-back that has stood in line for so long is given up.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// What makes a call a call-back.
#[derive(Clone, Debug, PartialEq)]
pub struct Recall {
    /// Which attempt, from 1.
    attempt: u8,
    trunk: TrunkId,
    number: String,
}

/// A call-back that is to stand in line.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    attempt: u8,
    /// Not before so long from now.
    after: Duration,
}

impl Plan {
    /// What a caller has asked for.
    pub fn first() -> Plan {
        Plan { attempt: 1, after: Duration::ZERO }
    }
}

/// A regulator has picked up, and it rings at the caller's.
#[derive(Clone, Debug, PartialEq)]
pub struct Recalling {
    /// The regulator's leg.
    by: LegId,
    /// The offer that was picked up.
    offer: OfferNumber,
    until: Moment,
}

/// Whether another attempt follows this one: until the last has failed, the person is owed nothing else.
pub fn goes_on(call: &Call, outcome: Outcome) -> bool {
    let is_last = call.recall.as_ref().is_none_or(|recall| recall.attempt >= ATTEMPTS_MAX);
    outcome == Outcome::Unreached && !is_last
}

/// The wish is noted: said so, and then the call ends; its end puts the call-back in line.
pub fn noted(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    ways::leave_room(call, now, out);
    // A kill before the end must not lose the promise.
    call.record.choices.is_call_back_promised = true;
    out.push(Decision::Keep);
    let detail = "the caller wants to be called back".to_owned();
    call.say_farewell(call.line.voice.callback_noted.clone(), (Outcome::CallBack, detail), now, out);
}

/// It cannot be: the caller waits on.
pub fn refused(call: &mut Call, why: &str, out: &mut Vec<Decision>) {
    if let Some(last) = call.record.choices.keys.last_mut() {
        last.to = format!("{}: not possible, {why}", last.to);
    }
    if let Some(sound) = call.line.voice.callback_refused.clone() {
        ways::play_then_music(call, vec![sound], out);
    }
}

/// The person has been answered in another call: this one is not needed any more.
pub fn superseded(call: &mut Call, by: CallId, now: Now, out: &mut Vec<Decision>) {
    if call.recall.is_none() || !(ways::is_waiting(call) || call.state == State::Postponed) {
        return;
    }
    ways::leave_room(call, now, out);
    let detail = format!("the person was answered in call {by}");
    ending::end(call, Ending::new(Outcome::Superseded, EndedBy::AnsweredElsewhere).saying(detail), now, out);
}

/// The call that calls back the caller of `of`: it stands in line as if that one had never left.
fn begin_recall(of: &Call, id: CallId, (recall, after): (Recall, Duration), now: Now, out: &mut Vec<Decision>) -> Call {
    let leg = undialled(id, &recall, now);
    let first = of.record.choices.callback_of.unwrap_or(of.id);
    let record = CallRecord {
        id,
        trunk: recall.trunk.clone(),
        received_at: now.utc,
        accepted_at: None,
        answered_at: None,
        wait_ended_at: None,
        ended_at: None,
        regulator: None,
        outcome: None,
        ended_by: None,
        detail: None,
        offers: Vec::new(),
        legs: Vec::new(),
        choices: Box::new(Choices { callback_of: Some(first), attempt: recall.attempt, ..Choices::default() }),
        ..of.record.clone()
    };
    let mut call = Call {
        id,
        state: State::Postponed,
        record,
        legs: vec![leg],
        deadline: Some(now.moment + after),
        waits_until: now.moment + AGE_MAX,
        sequence: 0,
        pause: None,
        pauses: 0,
        notes: 0,
        recording: false,
        has_failed_recording: false,
        held: Vec::new(),
        leaving: Vec::new(),
        taking: None,
        early: None,
        offered: Vec::new(),
        hears: Hearing::default(),
        recall: Some(recall),
        ..of.clone()
    };
    let received = EventKind::received(&call.record);
    call.tell(received, out);
    out.push(Decision::Keep);
    if after.is_zero() {
        stand_in_line(&mut call, now, out);
    }
    call
}

/// The leg to the caller: until it is dialled it is over, for a call-back that never was has no leg without an end.
fn undialled(call: CallId, recall: &Recall, now: Now) -> Leg {
    let mut leg = Leg::new(LegId { call, number: 0 }, Side::Caller, now);
    leg.end(EndedBy::NoAnswer, Some("not dialled".to_owned()), now);
    leg.state = LegState::Closed;
    leg.dialled = Some(recall.number.clone());
    leg
}

fn stand_in_line(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    call.state = State::Waiting;
    call.waits_until = now.moment + AGE_MAX;
    call.deadline = Some(call.waits_until);
    let queued = EventKind::queued(&call.record, &call.demand.needs);
    call.tell(queued, out);
    out.push(Decision::Keep);
    out.push(Decision::Room(RoomChange::Enter { since: call.queued }));
}

/// Whether it is a call-back whose caller is not on the line: not yet, or not in this attempt.
pub fn is_unreached(call: &Call) -> bool {
    call.recall.is_some() && !call.leg(call.caller_leg()).is_some_and(Leg::is_alive)
}

/// There is nobody on duty, or no room: it stands in line again after a while.
pub fn postpone(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    if now.moment.since(call.queued.moment) >= AGE_MAX {
        let detail = "the call-back stood in line for a whole day";
        return ending::end(call, Ending::new(Outcome::Unreached, EndedBy::NoAnswer).saying(detail), now, out);
    }
    out.push(Decision::Room(RoomChange::Leave));
    call.state = State::Postponed;
    call.deadline = Some(now.moment + LOOK_AGAIN_AFTER);
}

/// The server stops: it stands in line again after the next start.
pub fn rest(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    if call.recall.is_none() || !(ways::is_waiting(call) || call.state == State::Postponed) {
        return;
    }
    ways::leave_room(call, now, out);
    call.state = State::Postponed;
    call.deadline = None;
    out.push(Decision::Keep);
}

/// What storage remembers of one goes on where it was.
fn resume(open: OpenCallBack, line: Arc<Line>, centre: Arc<Centre>, recall: Recall, now: Now) -> Call {
    let OpenCallBack { record, sequence, notes } = open;
    let mut record = *record;
    record.regulator = None;
    let kept = Duration::from_millis(record.person.kept_wait_ms);
    let wait = now.utc.since(record.queued_at.unwrap_or(record.received_at)) + kept;
    let leg = undialled(record.id, &recall, now);
    // Of another expression than the line's the record has the levels.
    let is_usual = record.skills == line.demand.needs.levels();
    let needs = if is_usual { line.demand.needs.clone() } else { Needs::from(&record.skills) };
    let demand = Demand { priority: record.priority, region: record.region.clone(), needs, ..line.demand.clone() };
    let of_line = Call::of(record, leg, State::Postponed, (line, centre), now);
    Call {
        demand,
        sequence,
        notes,
        queued: now.before(wait),
        deadline: Some(now.moment + AFTER_START),
        waits_until: now.moment + AGE_MAX,
        recall: Some(recall),
        ..of_line
    }
}

/// It stands in line when its time has come.
pub fn postponed(call: &mut Call, input: CallInput, now: Now, out: &mut Vec<Decision>) {
    match input {
        CallInput::Due => stand_in_line(call, now, out),
        CallInput::End(by) => ending::end(call, Ending::new(Outcome::Interrupted, by), now, out),
        // Nobody is in this call yet; what is told of phones that were rung for it was noted already.
        CallInput::Opened { .. }
        | CallInput::OpenFailed { .. }
        | CallInput::Played { .. }
        | CallInput::Dtmf { .. }
        | CallInput::Silent { .. }
        | CallInput::Closed { .. }
        | CallInput::Ringing { .. }
        | CallInput::Accepted { .. }
        | CallInput::Refused { .. }
        | CallInput::Confirmed { .. }
        | CallInput::Reoffered { .. }
        | CallInput::Ended { .. }
        | CallInput::Chosen(_)
        | CallInput::HandOn(_)
        | CallInput::HandedOver(_)
        | CallInput::TakeOver(_)
        | CallInput::Voice(_)
        | CallInput::Steer(_)
        | CallInput::Nobody
        | CallInput::DevicesGone
        | CallInput::Sealed(_)
        | CallInput::RecordingFailed(_) => {}
    }
}

/// A regulator has picked up: now the caller is dialled, and the regulator hears music meanwhile.
pub fn picked_up(call: &mut Call, by: LegId, offer: OfferNumber, now: Now, out: &mut Vec<Decision>) {
    let leg = call.caller_leg();
    if let Some(caller) = call.leg_mut(leg) {
        let mut anew = Leg::new(leg, Side::Caller, now);
        anew.dialled = caller.dialled.take();
        *caller = anew;
    }
    let until = now.moment + RING_MAX;
    call.state = State::Recalling(Box::new(Recalling { by, offer, until }));
    call.deadline = Some(until);
    out.push(Decision::Media(MediaCommand::Open { leg }));
    if let Some(regulator) = call.leg(by) {
        bridge::entertain(regulator, Some(&call.line.hold_music), out);
    }
    out.push(Decision::Keep);
}

/// It rings at the caller's.
pub fn step(call: &mut Call, input: CallInput, now: Now, out: &mut Vec<Decision>) {
    let State::Recalling(recalling) = &call.state else { return };
    let by = recalling.by;
    match input {
        CallInput::Opened { leg, rtp } if leg.number == 0 => dial(call, rtp, out),
        CallInput::Accepted { leg, remote } if leg.number == 0 => reached(call, remote, now, out),
        CallInput::OpenFailed { leg, .. } | CallInput::Refused { leg, .. } | CallInput::Ended { leg, .. }
            if leg.number == 0 =>
        {
            unreached(call, "could not be reached", now, out);
        }
        CallInput::Due => unreached(call, "did not pick up", now, out),
        CallInput::Ended { leg, .. } | CallInput::Closed { leg, .. } if leg == by => left_alone(call, now, out),
        CallInput::End(why) => {
            release(call, by, out);
            ending::end(call, Ending::new(Outcome::Interrupted, why), now, out);
        }
        CallInput::RecordingFailed(reason) => ending::fail_recording(call, reason, out),
        CallInput::Opened { .. }
        | CallInput::OpenFailed { .. }
        | CallInput::Played { .. }
        | CallInput::Dtmf { .. }
        | CallInput::Silent { .. }
        | CallInput::Closed { .. }
        | CallInput::Ringing { .. }
        | CallInput::Accepted { .. }
        | CallInput::Refused { .. }
        | CallInput::Confirmed { .. }
        | CallInput::Reoffered { .. }
        | CallInput::Ended { .. }
        | CallInput::Chosen(_)
        | CallInput::HandOn(_)
        | CallInput::HandedOver(_)
        | CallInput::TakeOver(_)
        | CallInput::Voice(_)
        | CallInput::Steer(_)
        | CallInput::Nobody
        | CallInput::DevicesGone
        | CallInput::Sealed(_) => {}
    }
}

fn dial(call: &mut Call, rtp: SocketAddr, out: &mut Vec<Decision>) {
    let State::Recalling(recalling) = &call.state else { return };
    let prefer = call.leg(recalling.by).and_then(Leg::remote).map_or(Codec::Pcma, |remote| remote.codec);
    if let Some(recall) = call.recall.clone() {
        dial_number(call, (rtp, prefer), (recall.trunk, recall.number), out);
    }
}

/// Dials leg 0; whoever is called sees the line's own number where the carrier lets it be shown.
pub(super) fn dial_number(
    call: &mut Call,
    (rtp, prefer): (SocketAddr, Codec),
    (trunk, number): (TrunkId, String),
    out: &mut Vec<Decision>,
) {
    let (leg, id) = (call.caller_leg(), call.id);
    let to = Party::Number { trunk, number };
    let manner = call.manner_of(&to);
    let Some(caller) = call.leg_mut(leg).filter(|leg| leg.state == LegState::Opening) else { return };
    caller.state = LegState::Dialling { local: rtp };
    let number = call.line.ddis.first().cloned();
    let raw = number.as_ref().map_or_else(|| call.line.id.to_string(), ToString::to_string);
    let shown = Caller { raw, e164: number, display_name: Some(call.line.name.clone()), ..Caller::default() };
    let (label, context) = (call.line.name.clone(), Box::default());
    let dial = Dial { leg, to, local: rtp, prefer, caller: shown, label, call: id, context, manner };
    out.push(Decision::Leg(LegOrder::Dial(Box::new(dial))));
}

/// The caller has picked up: a conversation like any other from now on.
fn reached(call: &mut Call, remote: RemoteMedia, now: Now, out: &mut Vec<Decision>) {
    let State::Recalling(recalling) = &call.state else { return };
    let (by, offer, leg) = (recalling.by, recalling.offer, call.caller_leg());
    call.record.accepted_at = Some(now.utc);
    if let Some(caller) = call.leg_mut(leg) {
        caller.connect(remote.clone(), now);
    }
    out.push(Decision::Media(MediaCommand::Aim { leg, remote }));
    call.state = State::Talking { leg: by };
    talking::set_deadline(call);
    talking::answered(call, by, offer, now, out);
}

fn release(call: &Call, by: LegId, out: &mut Vec<Decision>) {
    if let Some(regulator) = call.leg(by).and_then(|leg| leg.regulator.clone()) {
        out.push(Decision::Room(RoomChange::Released { regulator }));
    }
}

/// The caller was not reached: the regulator is free again, and there may be another attempt.
fn unreached(call: &mut Call, why: &str, now: Now, out: &mut Vec<Decision>) {
    let State::Recalling(recalling) = &call.state else { return };
    let by = recalling.by;
    release(call, by, out);
    let attempt = call.recall.as_ref().map_or(ATTEMPTS_MAX, |recall| recall.attempt);
    let detail = format!("called back, and {why} (attempt {attempt} of {ATTEMPTS_MAX})");
    ending::end(call, Ending::new(Outcome::Unreached, EndedBy::NoAnswer).saying(detail), now, out);
    if attempt < ATTEMPTS_MAX {
        out.push(Decision::Recall(Plan { attempt: attempt + 1, after: NEXT_ATTEMPT_AFTER }));
    }
}

/// The regulator is gone before the caller picked up: the caller is rung no more, and keeps the place.
fn left_alone(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    let State::Recalling(recalling) = &call.state else { return };
    let by = recalling.by;
    release(call, by, out);
    let attempt = call.recall.as_ref().map_or(1, |recall| recall.attempt);
    let detail = "the regulator hung up before the caller picked up";
    ending::end(call, Ending::new(Outcome::Unreached, EndedBy::Regulator).saying(detail), now, out);
    out.push(Decision::Recall(Plan { attempt, after: Duration::ZERO }));
}

impl Switch {
    /// Whether a call-back of this person stands in line or rings.
    fn call_back_of(&self, person: &E164) -> Option<CallId> {
        let call = self.calls.get(self.call_backs.get(person)?)?;
        let is_open = ways::is_waiting(call) || matches!(call.state, State::Postponed | State::Recalling(_));
        is_open.then_some(call.id)
    }

    /// Whether this call's caller can be called back.
    pub(super) fn ask_call_back(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let answer = match call.record.caller.person() {
            None => Err("the caller's number is not known, or nobody vouches for it"),
            Some(_) if self.call_backs.len() >= CALL_BACKS_MAX => Err("too many are to be called back already"),
            Some(number) if routing::outside(&self.centre, number.as_str()).is_none() => {
                Err("no trunk may dial the caller's number")
            }
            Some(_) => Ok(()),
        };
        let input = match answer {
            Ok(()) => VoiceInput::CallBackNoted,
            Err(why) => VoiceInput::CallBackRefused(why),
        };
        self.queue.push_back((id, CallInput::Voice(input)));
    }

    /// Puts a call-back in line, one a person.
    pub(super) fn recall(&mut self, id: CallId, plan: Plan, now: Now, out: &mut Vec<Order>) {
        let Some(of) = self.calls.get(&id) else { return };
        let Some(number) = of.record.caller.person().cloned() else { return };
        if self.call_back_of(&number).is_some() {
            return;
        }
        let is_full = self.calls.len() >= CALLS_MAX || self.call_backs.len() >= CALL_BACKS_MAX;
        let way = routing::outside(&self.centre, number.as_str()).filter(|_| !is_full);
        let Some((trunk, dialled)) = way else {
            // What was promised and cannot be done by itself is left to people.
            let parting = Parting { wait: now.utc.since(of.queued.utc), makes_task: true, is_promised: true };
            return self.persons.part(&of.record, parting, now, &mut self.facts);
        };
        let new = CallId::new(now.utc, &mut self.chance);
        let mut decisions = Vec::new();
        let recall = Recall { attempt: plan.attempt, trunk, number: dialled };
        let mut call = begin_recall(of, new, (recall, plan.after), now, &mut decisions);
        if self.draining {
            rest(&mut call, now, &mut decisions);
        }
        self.calls.insert(new, call);
        self.call_backs.insert(number, new);
        self.apply(new, decisions, now, out);
        self.schedule(new);
    }

    /// A person was answered: nobody need call back.
    pub(super) fn supersede(&mut self, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let other = call.record.caller.person().and_then(|number| self.call_back_of(number));
        if let Some(other) = other.filter(|other| *other != id) {
            self.queue.push_back((other, CallInput::Voice(VoiceInput::Superseded(id))));
        }
    }

    /// Those that stand in line do not keep a server that stops from stopping: they rest until the next start.
    pub(super) fn rest_call_backs(&mut self) {
        let all: Vec<CallId> = self.call_backs.values().copied().collect();
        self.queue.extend(all.into_iter().map(|id| (id, CallInput::Voice(VoiceInput::Rest))));
    }

    /// Those that stood in line before the start stand there again, each in its place.
    pub(super) fn resume_call_backs(&mut self, all: Vec<OpenCallBack>, now: Now) {
        for open in all {
            let id = open.record.id;
            let number = open.record.caller.person().cloned();
            let dialled = number.as_ref().and_then(|number| routing::outside(&self.centre, number.as_str()));
            let line = self.lines.get(&open.record.line).or_else(|| self.lines.values().next()).cloned();
            let (Some(number), Some(line)) = (number, line) else { continue };
            let attempt = open.record.choices.attempt.max(1);
            let (trunk, dialled, is_dialled) = match dialled {
                Some((trunk, dialled)) => (trunk, dialled, true),
                None => (open.record.trunk.clone(), number.to_string(), false),
            };
            let recall = Recall { attempt, trunk, number: dialled };
            let call = resume(open, line, self.centre.clone(), recall, now);
            self.calls.insert(id, call);
            self.call_backs.insert(number, id);
            self.schedule(id);
            if !is_dialled {
                // The configuration has changed meanwhile: ended, and a task in its place.
                self.queue.push_back((id, CallInput::End(EndedBy::Fault)));
            }
        }
    }
}
