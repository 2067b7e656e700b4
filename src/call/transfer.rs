//! A regulator hands the caller on (RFC 5589): the other party rings or is there already, and the caller follows.

use std::net::SocketAddr;
use std::sync::Arc;

use super::bridge;
use super::consult::{CONSULT_RING_MAX, LEAVE_WITHIN, Partner};
use super::decision::{CallInput, Decision, RoomChange};
use super::ending;
use super::forward;
use super::guests;
use super::leg::{Leg, LegState};
use super::life::{Call, LEGS_MAX, State};
use super::offer::Refusals;
use super::pausing;
use super::signal::{Gone, LegOrder, Refusal, RefusalKind, TransferStep, Unserved};
use super::taking;
use super::talking::{self, note_hold, release, tell_answer};
use super::waiting::close_offer_record;
use crate::model::event::{TransferKind, TransferParty};
use crate::model::{
    AskedBy, Counter, EndedBy, EventKind, LegId, MediaCommand, Moment, Now, OfferEnd, OfferNumber, OfferRecord,
    RegulatorId, RemoteMedia,
};

pub use super::taking::{TakeOver, Taking};

/// A caller is to be handed on to somebody who does not talk yet.
#[derive(Clone, Debug, PartialEq)]
pub struct HandOn {
    /// The leg of whoever hands on.
    pub by: LegId,
    /// The leg that asked, which is told how it goes.
    pub answer_to: LegId,
    /// To whom.
    pub to: Partner,
    /// Legs of this call that ring there already; without any, they are dialled.
    pub ringing: Vec<LegId>,
}

/// A caller is to be handed on to whoever talks over a leg that has just come into this call.
#[derive(Clone, Debug, PartialEq)]
pub struct HandedOver {
    /// The leg of whoever hands on.
    pub by: LegId,
    /// The leg that asked.
    pub answer_to: LegId,
    /// To whom.
    pub to: Partner,
    /// Over this leg.
    pub leg: LegId,
}

/// A caller on the way to somebody else.
#[derive(Clone, Debug, PartialEq)]
pub struct Handover {
    /// The leg of whoever hands on; it may have hung up by now.
    pub by: LegId,
    /// The leg that asked.
    pub answer_to: LegId,
    /// To whom.
    pub to: Partner,
    /// Whether they had spoken, or it rang there, before.
    pub kind: TransferKind,
    /// Its place among the call's offers, when it rings at a regulator.
    pub offer: Option<OfferNumber>,
    /// When it has rung for long enough.
    pub until: Moment,
    /// The legs that have not come to nothing.
    pub ringing: Vec<LegId>,
    refusals: Refusals,
    has_rung: bool,
}

/// Whatever asks for a transfer that this call cannot make any more is undone: nobody must go on ringing for it.
pub fn turn_away(call: &mut Call, input: CallInput, now: Now, out: &mut Vec<Decision>) -> Option<CallInput> {
    let talks_by = |by: LegId| call.state == State::Talking { leg: by };
    let (legs, to, answer_to) = match &input {
        CallInput::HandOn(hand_on) if !talks_by(hand_on.by) => {
            (hand_on.ringing.clone(), Some(hand_on.to.clone()), Some(hand_on.answer_to))
        }
        CallInput::HandedOver(handed) if !talks_by(handed.by) => {
            (vec![handed.leg], Some(handed.to.clone()), Some(handed.answer_to))
        }
        CallInput::TakeOver(take_over) if !talks_by(take_over.of) => {
            taking::withdraw(call, take_over.leg, take_over.lent.clone(), now, out);
            return None;
        }
        _ => return Some(input),
    };
    for leg in legs {
        call.hang_up(leg, EndedBy::Refused, now, out);
    }
    if let Some(regulator) = to.and_then(|to| to.regulator().cloned()) {
        out.push(Decision::Room(RoomChange::OfferEnded { regulator: regulator.clone(), end: OfferEnd::Cancelled }));
        out.push(Decision::Room(RoomChange::Released { regulator }));
    }
    if let Some(leg) = answer_to {
        let step = TransferStep::Refused(Unserved::Unavailable);
        out.push(Decision::Leg(LegOrder::Transfer { leg, step }));
    }
    None
}

/// The caller hears music while it rings at the other party; whoever asked is told so, and may hang up.
pub fn begin(call: &mut Call, hand_on: HandOn, now: Now, out: &mut Vec<Decision>) {
    let HandOn { by, answer_to, to, ringing } = hand_on;
    talking::dismiss(call, None, now, out);
    taking::give_up_any(call, now, out);
    guests::dismiss(call, EndedBy::AnsweredElsewhere, now, out);
    // Nobody is left to resume what was paused.
    pausing::resume(call, AskedBy::Vigie, now, out);
    let kind = if ringing.is_empty() { TransferKind::Blind } else { TransferKind::Attended };
    let ringing = if ringing.is_empty() { open_legs(call, &to, now, out) } else { ringing };
    let step = if ringing.is_empty() { TransferStep::Refused(Unserved::Overloaded) } else { TransferStep::Trying };
    out.push(Decision::Leg(LegOrder::Transfer { leg: answer_to, step }));
    let offer = to.regulator().cloned().map(|regulator| offer_record(call, &regulator, by, now, out));
    let ring_max = if to.regulator().is_some() { call.centre.offers.ring_duration_max } else { CONSULT_RING_MAX };
    let until = now.moment + ring_max;
    let is_over = ringing.is_empty();
    let (refusals, has_rung) = (Refusals::default(), kind == TransferKind::Attended);
    let handover = Handover { by, answer_to, to, kind, offer, until, ringing, refusals, has_rung };
    call.state = State::Transferring(Box::new(handover));
    call.deadline = Some(until);
    out.push(Decision::Media(MediaCommand::Unbridge { leg: call.caller_leg() }));
    if call.leg(by).is_some() {
        out.push(Decision::Media(MediaCommand::Watch { leg: by, on: false }));
    }
    entertain_caller(call, out);
    if is_over {
        fail(call, OfferEnd::Cancelled, (503, "the call has had too many legs".into()), now, out);
    }
}

/// A leg for each device, its port being opened; none when the call may have no more.
fn open_legs(call: &mut Call, to: &Partner, now: Now, out: &mut Vec<Decision>) -> Vec<LegId> {
    let legs = to.legs(call.id, call.legs.len() as u16, now);
    if call.legs.len() + legs.len() > LEGS_MAX as usize {
        return Vec::new();
    }
    let mut opened = Vec::with_capacity(legs.len());
    for leg in legs {
        out.push(Decision::Media(MediaCommand::Open { leg: leg.id }));
        opened.push(leg.id);
        call.legs.push(leg);
    }
    opened
}

/// A regulator to whom somebody hands the caller on is shown among those offered.
pub fn offer_record(
    call: &mut Call,
    regulator: &RegulatorId,
    by: LegId,
    now: Now,
    out: &mut Vec<Decision>,
) -> OfferNumber {
    let number = OfferNumber(call.record.offers.len() as u16 + 1);
    let record = OfferRecord {
        number,
        regulator: regulator.clone(),
        offered_at: now.utc,
        ended_at: None,
        end: None,
        detail: None,
        reasoning: Arc::default(),
        handed_by: call.leg(by).and_then(|leg| leg.regulator.clone()),
    };
    let queued_at = call.record.queued_at.unwrap_or(now.utc);
    let wait_ms = now.utc.since(queued_at).as_millis() as u64;
    call.tell(EventKind::CallOffered { offer: number, regulator: regulator.clone(), step: 0, wait_ms }, out);
    out.push(Decision::Count(Counter::OffersMade));
    out.push(Decision::KeepOffer(Box::new(record.clone())));
    call.record.offers.push(record);
    call.name_regulator(regulator);
    number
}

fn entertain_caller(call: &Call, out: &mut Vec<Decision>) {
    if let Some(caller) = call.leg(call.caller_leg()) {
        out.push(Decision::Media(MediaCommand::Watch { leg: caller.id, on: !caller.is_held() }));
        bridge::entertain(caller, Some(&call.line.hold_music), out);
    }
}

/// The caller is on the way to somebody else.
pub fn step(call: &mut Call, input: CallInput, now: Now, out: &mut Vec<Decision>) {
    let State::Transferring(handover) = &call.state else { return };
    let by = handover.by;
    match input {
        CallInput::Opened { leg, rtp } => dial(call, leg, rtp, out),
        CallInput::OpenFailed { leg, why } => {
            refused(call, leg, Refusal { kind: RefusalKind::Unreachable, detail: why }, now, out);
        }
        CallInput::Ringing { leg } => has_rung(call, leg, out),
        CallInput::Accepted { leg, remote } => answered(call, leg, remote, now, out),
        CallInput::Refused { leg, refusal } => refused(call, leg, refusal, now, out),
        CallInput::Ended { leg, by, .. } if leg.number == 0 => {
            give_up(call, "the caller hung up", now, out);
            let by = call.ended_by(leg, by);
            end(call, by, None, now, out);
        }
        CallInput::Ended { leg, by: gone, .. } if leg == by => by_left(call, gone, out),
        CallInput::Ended { leg, detail, .. } => {
            let detail = detail.unwrap_or_else(|| "the device ended the call".into());
            refused(call, leg, Refusal { kind: RefusalKind::Unreachable, detail }, now, out);
        }
        CallInput::Silent { leg } if leg.number == 0 => {
            give_up(call, "the caller fell silent", now, out);
            end(call, EndedBy::Silence, Some("no RTP from the caller".to_owned()), now, out);
        }
        CallInput::Closed { leg, .. } if leg.number == 0 => {
            give_up(call, "the caller's media was lost", now, out);
            release(call, by, out);
            ending::media_is_lost(call, now, out);
        }
        CallInput::Closed { leg, .. } if leg == by => by_left(call, Gone::Lost, out),
        CallInput::Reoffered { leg, remote } if leg == by || leg.number == 0 => {
            let is_held = remote.direction.is_held();
            if leg == by {
                out.push(Decision::Media(MediaCommand::Watch { leg, on: false }));
            } else {
                entertain_caller(call, out);
            }
            note_hold(call, leg, is_held, out);
        }
        CallInput::Due => due(call, now, out),
        CallInput::DevicesGone => {
            let detail = "the last device's registration is gone".to_owned();
            fail(call, OfferEnd::Failed, (480, detail), now, out);
        }
        CallInput::End(why) => {
            give_up(call, "the call was ended", now, out);
            end(call, why, None, now, out);
        }
        CallInput::RecordingFailed(reason) => ending::fail_recording(call, reason, out),
        CallInput::Played { .. }
        | CallInput::Dtmf { .. }
        | CallInput::Silent { .. }
        | CallInput::Closed { .. }
        | CallInput::Confirmed { .. }
        | CallInput::Reoffered { .. }
        | CallInput::Chosen(_)
        | CallInput::HandOn(_)
        | CallInput::HandedOver(_)
        | CallInput::TakeOver(_)
        | CallInput::Voice(_)
        | CallInput::Steer(_)
        | CallInput::Nobody
        | CallInput::Sealed(_) => {}
    }
}

fn dial(call: &mut Call, leg: LegId, rtp: SocketAddr, out: &mut Vec<Decision>) {
    let State::Transferring(handover) = &call.state else { return };
    let opened = call.leg(leg).filter(|leg| leg.state == LegState::Opening);
    if let Some(to) = opened.and_then(|leg| handover.to.party(leg)) {
        call.dial(leg, to, rtp, out);
    }
}

fn has_rung(call: &mut Call, leg: LegId, out: &mut Vec<Decision>) {
    let State::Transferring(handover) = &mut call.state else { return };
    if handover.ringing.contains(&leg) && !std::mem::replace(&mut handover.has_rung, true) {
        let leg = handover.answer_to;
        out.push(Decision::Leg(LegOrder::Transfer { leg, step: TransferStep::Ringing }));
    }
}

/// One device came to nothing; the transfer does when the person declined or no device is left.
fn refused(call: &mut Call, leg: LegId, refusal: Refusal, now: Now, out: &mut Vec<Decision>) {
    let State::Transferring(handover) = &mut call.state else { return };
    let before = handover.ringing.len();
    handover.ringing.retain(|ringing| *ringing != leg);
    if handover.ringing.len() == before {
        return;
    }
    match refusal.kind {
        RefusalKind::Declined => return fail(call, OfferEnd::Refused, (603, refusal.detail), now, out),
        RefusalKind::Busy => handover.refusals.busy = Some(refusal.detail),
        RefusalKind::Unreachable => handover.refusals.unreachable = Some(refusal.detail),
    }
    if !handover.ringing.is_empty() {
        return;
    }
    let refusals = std::mem::take(&mut handover.refusals);
    match (refusals.busy, refusals.unreachable) {
        (Some(detail), _) => fail(call, OfferEnd::Refused, (486, detail), now, out),
        (None, detail) => fail(call, OfferEnd::Failed, (480, detail.unwrap_or_default()), now, out),
    }
}

fn due(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    let State::Transferring(handover) = &call.state else { return };
    if now.moment < handover.until {
        return;
    }
    let (end, detail) = match handover.has_rung {
        true => (OfferEnd::TimedOut, "nobody picked up in time"),
        false => (OfferEnd::Failed, "no phone rang in time"),
    };
    fail(call, end, (408, detail.to_owned()), now, out);
}

/// Whoever hands the caller on has hung up, as many phones do at once: the caller waits for the other party alone.
fn by_left(call: &mut Call, gone: Gone, out: &mut Vec<Decision>) {
    let State::Transferring(handover) = &call.state else { return };
    let by = handover.by;
    call.held.retain(|held| *held != by);
    match gone {
        Gone::HungUp | Gone::Cancelled | Gone::NoAck => release(call, by, out),
        Gone::Lost => {
            if let Some(regulator) = call.leg(by).and_then(|leg| leg.regulator.clone()) {
                out.push(Decision::Room(RoomChange::Lost { regulator }));
            }
        }
    }
}

/// Whoever was to join rings on, for the caller alone: the regulator has hung up meanwhile.
pub fn ring_on(
    call: &mut Call,
    (by, to): (LegId, Partner),
    (ringing, refusals, until): (Vec<LegId>, Refusals, Moment),
    now: Now,
    out: &mut Vec<Decision>,
) {
    // Nobody is left to resume what was paused.
    pausing::resume(call, AskedBy::Vigie, now, out);
    let offer = to.regulator().cloned().map(|regulator| {
        out.push(Decision::Room(RoomChange::TakesOver { regulator: regulator.clone() }));
        offer_record(call, &regulator, by, now, out)
    });
    let (kind, has_rung) = (TransferKind::Attended, true);
    let handover = Handover { by, answer_to: by, to, kind, offer, until, ringing, refusals, has_rung };
    call.state = State::Transferring(Box::new(handover));
    call.deadline = Some(until);
    call.held.retain(|held| *held != by);
    out.push(Decision::Media(MediaCommand::Unbridge { leg: call.caller_leg() }));
    entertain_caller(call, out);
    out.push(Decision::Keep);
}

/// The other party is not rung any more; the caller's call ends, or waits for what follows.
fn give_up(call: &mut Call, why: &str, now: Now, out: &mut Vec<Decision>) {
    close_offer(call, OfferEnd::Cancelled, why.to_owned(), now, out);
}

fn close_offer(call: &mut Call, end: OfferEnd, detail: String, now: Now, out: &mut Vec<Decision>) {
    let State::Transferring(handover) = &mut call.state else { return };
    let (ringing, offer) = (std::mem::take(&mut handover.ringing), handover.offer);
    let regulator = handover.to.regulator().cloned();
    let why = match end {
        OfferEnd::TimedOut => EndedBy::NoAnswer,
        OfferEnd::Cancelled => EndedBy::Caller,
        OfferEnd::Failed => EndedBy::DeviceLost,
        OfferEnd::Accepted | OfferEnd::Refused => EndedBy::Refused,
    };
    for leg in ringing {
        call.hang_up(leg, why, now, out);
    }
    if let (Some(offer), Some(regulator)) = (offer, regulator) {
        out.extend(close_offer_record(call, offer, (end, Some(detail.clone())), now));
        out.push(Decision::Count(Counter::OffersUnanswered));
        call.tell(EventKind::CallOfferEnded { offer, regulator: regulator.clone(), end, detail: Some(detail) }, out);
        out.push(Decision::Room(RoomChange::OfferEnded { regulator, end }));
    }
}

/// The other party does not come: the caller is again with whoever asked, or waits again in the old place.
fn fail(call: &mut Call, end: OfferEnd, (status, detail): (u16, String), now: Now, out: &mut Vec<Decision>) {
    close_offer(call, end, detail, now, out);
    let State::Transferring(handover) = &call.state else { return };
    let (by, leg) = (handover.by, handover.answer_to);
    out.push(Decision::Leg(LegOrder::Transfer { leg, step: TransferStep::Failed(status) }));
    if !call.leg(by).is_some_and(Leg::is_alive) {
        return talking::wait_again(call, now, out);
    }
    call.state = State::Talking { leg: by };
    talking::set_deadline(call);
    talking::join(call, by, out);
}

fn end(call: &mut Call, by: EndedBy, detail: Option<String>, now: Now, out: &mut Vec<Decision>) {
    if let State::Transferring(handover) = &call.state {
        let leg = handover.by;
        if call.leg(leg).is_some_and(Leg::is_alive) {
            release(call, leg, out);
        }
    }
    talking::finish(call, by, detail, now, out);
}

/// The other party picked up.
fn answered(call: &mut Call, leg: LegId, remote: RemoteMedia, now: Now, out: &mut Vec<Decision>) {
    let State::Transferring(handover) = &call.state else { return };
    if !handover.ringing.contains(&leg) {
        return;
    }
    let Handover { by, answer_to, to, kind, offer, ringing, .. } = handover.as_ref().clone();
    for other in ringing.into_iter().filter(|other| *other != leg) {
        call.hang_up(other, EndedBy::AnsweredElsewhere, now, out);
    }
    if let Some(answered) = call.leg_mut(leg) {
        answered.connect(remote.clone(), now);
    }
    out.push(Decision::Media(MediaCommand::Aim { leg, remote }));
    let leave = Leave { by, answer_to: Some(answer_to) };
    follow(call, leg, leave, now, out);
    if let Some(regulator) = to.regulator().cloned() {
        out.push(Decision::Room(RoomChange::Answered { regulator }));
    }
    tell(call, (by, leg), (&to, kind, offer), now, out);
}

/// The other party has come into this call over `leg`, after a talk with whoever asked.
pub fn handed_over(call: &mut Call, handed: HandedOver, now: Now, out: &mut Vec<Decision>) {
    let HandedOver { by, answer_to, to, leg } = handed;
    talking::dismiss(call, None, now, out);
    taking::give_up_any(call, now, out);
    let offer = to.regulator().cloned().map(|regulator| offer_record(call, &regulator, by, now, out));
    out.push(Decision::Leg(LegOrder::Transfer { leg: answer_to, step: TransferStep::Trying }));
    out.push(Decision::Media(MediaCommand::Unbridge { leg }));
    follow(call, leg, Leave { by, answer_to: Some(answer_to) }, now, out);
    tell(call, (by, leg), (&to, TransferKind::Attended, offer), now, out);
}

/// Who leaves, and which leg asked for it.
pub struct Leave {
    /// The leg that the caller was with.
    pub by: LegId,
    /// The leg that is told that it is done.
    pub answer_to: Option<LegId>,
}

/// The caller goes on with `leg`; the phone that was there before is told, and hung up if it stays.
pub fn follow(call: &mut Call, leg: LegId, leave: Leave, now: Now, out: &mut Vec<Decision>) {
    let Leave { by, answer_to } = leave;
    if let Some(leg) = answer_to {
        out.push(Decision::Leg(LegOrder::Transfer { leg, step: TransferStep::Done }));
    }
    if call.held.contains(&by) {
        note_hold(call, by, false, out);
    }
    if call.leg(by).is_some_and(Leg::is_alive) {
        pausing::tap(call, by, false, out);
        out.push(Decision::Media(MediaCommand::Watch { leg: by, on: false }));
        call.leaving.push((by, now.moment + LEAVE_WITHIN));
        let heir = call.leg(leg).and_then(|leg| leg.regulator.as_ref());
        if heir.is_none() || heir != call.leg(by).and_then(|leg| leg.regulator.as_ref()) {
            release(call, by, out);
        }
    }
    call.state = State::Talking { leg };
    // What one person has paused is not paused for the next.
    pausing::resume(call, AskedBy::Vigie, now, out);
    talking::set_deadline(call);
    call.record_leg(call.caller_leg(), now, out);
    call.record_leg(leg, now, out);
    talking::join(call, leg, out);
    if call.leg(leg).is_some_and(Leg::is_held) {
        note_hold(call, leg, true, out);
    }
}

/// Tells dispatch who has the caller now.
pub fn tell(
    call: &mut Call,
    (by, leg): (LegId, LegId),
    (to, kind, offer): (&Partner, TransferKind, Option<OfferNumber>),
    now: Now,
    out: &mut Vec<Decision>,
) {
    let to = match to {
        Partner::Regulator { id, .. } => {
            call.record.regulator = Some(id.clone());
            TransferParty::Regulator(id.clone())
        }
        Partner::Number { number, .. } => TransferParty::Number(number.clone()),
    };
    match (call.leg(by).map(|leg| leg.regulator.clone()), to) {
        (Some(Some(by)), to) => {
            out.push(Decision::Count(Counter::CallsTransferred));
            call.tell(EventKind::CallTransferred { by, to, kind }, out);
        }
        // A caller who waited, moved to an outside number by whoever watches the room.
        (None, TransferParty::Number(to)) => forward::note_outside(call, leg, to, now, out),
        (None | Some(None), _) => {}
    }
    if let Some(offer) = offer {
        out.extend(close_offer_record(call, offer, (OfferEnd::Accepted, None), now));
        talking::note_answer(call, now, out);
        tell_answer(call, leg, offer, now, out);
    }
    out.push(Decision::Keep);
}
