//! A call in conversation: the answer, hold and resume, and either side's end.

use super::bridge;
use super::decision::{CallInput, Decision, RoomChange};
use super::ending::{self, Ending};
use super::life::{Call, State};
use super::offer::LiveOffer;
use super::pausing;
use super::signal::{Gone, LegOrder};
use super::waiting::close_offer_record;
use super::{callback, guests, mixed, opening, taking, transfer};
use crate::model::media::AfterSounds;
use crate::model::{
    AskedBy, Counter, Direction, EndedBy, EventKind, LegId, MediaCommand, Moment, Now, OfferEnd, OfferNumber, Outcome,
    RemoteMedia, Side,
};

/// A device was picked up: the other devices stop ringing, the two sides are joined.
pub fn answer(call: &mut Call, leg: LegId, remote: RemoteMedia, now: Now, out: &mut Vec<Decision>) {
    let State::Offering(offer) = &mut call.state else { return };
    if !offer.drop_leg(leg) {
        return;
    }
    let LiveOffer { number, regulator, ringing, .. } = offer.clone();
    call.state = State::Talking { leg };
    set_deadline(call);
    for other in ringing {
        call.hang_up(other, EndedBy::AnsweredElsewhere, now, out);
    }
    if let Some(answered) = call.leg_mut(leg) {
        answered.connect(remote.clone(), now);
    }
    call.accept_caller(now, out);
    call.record.regulator = Some(regulator.clone());
    out.extend(close_offer_record(call, number, (OfferEnd::Accepted, None), now));
    out.push(Decision::Media(MediaCommand::Aim { leg, remote }));
    out.push(Decision::Room(RoomChange::Answered { regulator }));
    if callback::is_unreached(call) {
        return callback::picked_up(call, leg, number, now, out);
    }
    answered(call, leg, number, now, out);
}

/// A regulator and the caller are there: both are recorded and hear each other.
pub fn answered(call: &mut Call, leg: LegId, number: OfferNumber, now: Now, out: &mut Vec<Decision>) {
    let caller = call.caller_leg();
    call.record_leg(caller, now, out);
    call.record_leg(leg, now, out);
    join(call, leg, out);
    note_answer(call, now, out);
    tell_answer(call, leg, number, now, out);
    out.push(Decision::Keep);
}

/// A regulator has the caller: from the first time on the call counts as answered, and the person is owed nothing.
pub fn note_answer(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    if call.record.answered_at.is_none() {
        call.record.answered_at = Some(now.utc);
        out.push(Decision::Count(Counter::CallsAnswered));
    }
    out.push(Decision::Served);
}

/// Tells dispatch who has the caller now, with all that a screen pop needs.
pub fn tell_answer(call: &mut Call, leg: LegId, number: OfferNumber, now: Now, out: &mut Vec<Decision>) {
    let (Some(regulator), Some(device)) = (call.record.regulator.clone(), call.leg(leg).and_then(|leg| leg.device))
    else {
        return;
    };
    let step = call.record.offers.last().map_or(0, |offer| offer.reasoning.step);
    let queued_at = call.record.queued_at.unwrap_or(now.utc);
    let name = call.centre.regulators.get(&regulator).map_or_else(String::new, |person| person.name.clone());
    let answered = EventKind::CallAnswered {
        offer: number,
        regulator,
        regulator_name: name,
        device,
        caller: call.record.caller.clone(),
        ddi: call.record.ddi.as_ref().map_or_else(|| call.record.ddi_raw.clone(), ToString::to_string),
        line: call.record.line.clone(),
        line_name: call.line.name.clone(),
        association: call.record.association.clone(),
        region: call.record.region.clone(),
        language: call.record.language.clone(),
        skills: call.record.skills.clone(),
        priority: call.record.priority,
        step,
        wait_ms: now.utc.since(queued_at).as_millis() as u64,
        recorded: call.is_to_be_recorded(),
        context: call.record.context.clone(),
    };
    call.tell(answered, out);
}

/// Joins the two sides as their holds allow: bridged when neither holds, music to a side that is held by the other.
pub fn join(call: &Call, leg: LegId, out: &mut Vec<Decision>) {
    if call.on_hold || call.guests.iter().any(|guest| guest.live_leg().is_some()) {
        return mixed::join(call, leg, out);
    }
    if let (Some(caller), Some(other)) = (call.leg(call.caller_leg()), call.leg(leg)) {
        bridge::join(caller, other, Some(&call.line.hold_music), out);
    }
}

/// In conversation over `leg`.
pub fn step(call: &mut Call, leg: LegId, input: CallInput, now: Now, out: &mut Vec<Decision>) {
    let Some(input) = guests::step(call, leg, input, now, out) else { return };
    match input {
        CallInput::Reoffered { leg: by, remote } if by == leg || by.number == 0 => {
            join(call, leg, out);
            spare_transcoding(call, (leg, by), &remote, out);
            note_hold(call, by, remote.direction.is_held(), out);
        }
        CallInput::HandOn(hand_on) => transfer::begin(call, *hand_on, now, out),
        CallInput::HandedOver(handed) => transfer::handed_over(call, *handed, now, out),
        CallInput::TakeOver(take_over) => taking::begin(call, *take_over, now, out),
        CallInput::Opened { leg: opened, rtp } => taking::opened(call, opened, rtp, now, out),
        CallInput::OpenFailed { leg: failed, .. } => taking::give_up(call, failed, now, out),
        CallInput::Due => due(call, now, out),
        CallInput::Ended { leg: gone, by, detail } if gone.number == 0 => {
            finish(call, call.ended_by(gone, by), detail, now, out);
        }
        CallInput::Ended { leg: gone, by, detail } if gone == leg => match by {
            Gone::HungUp | Gone::Cancelled | Gone::NoAck if guests::succeed(call, leg, false, now, out) => {}
            Gone::HungUp | Gone::Cancelled | Gone::NoAck => {
                let is_outside = call.leg(gone).is_some_and(|leg| leg.side == Side::Outside);
                let detail = detail.or_else(|| is_outside.then(|| "the outside party hung up".to_owned()));
                finish(call, EndedBy::Regulator, detail, now, out);
            }
            Gone::Lost => return_to_room(call, leg, EndedBy::DeviceLost, now, out),
        },
        CallInput::Silent { leg: silent } if silent.number == 0 => {
            let detail = "no RTP from the caller".to_owned();
            finish(call, EndedBy::Silence, Some(detail), now, out);
        }
        CallInput::Silent { leg: silent } if silent == leg => {
            return_to_room(call, leg, EndedBy::Silence, now, out);
        }
        CallInput::Ended { leg: gone, .. } => taking::give_up(call, gone, now, out),
        CallInput::Closed { leg: closed, .. } if closed.number == 0 => {
            release(call, leg, out);
            ending::media_is_lost(call, now, out);
        }
        CallInput::Closed { leg: closed, .. } if closed == leg => {
            return_to_room(call, leg, EndedBy::Fault, now, out);
        }
        CallInput::End(by) => finish(call, by, None, now, out),
        CallInput::RecordingFailed(reason) => ending::fail_recording(call, reason, out),
        CallInput::Played { .. }
        | CallInput::Dtmf { .. }
        | CallInput::Silent { .. }
        | CallInput::Closed { .. }
        | CallInput::Ringing { .. }
        | CallInput::Accepted { .. }
        | CallInput::Refused { .. }
        | CallInput::Confirmed { .. }
        | CallInput::Reoffered { .. }
        | CallInput::Chosen(_)
        | CallInput::Voice(_)
        | CallInput::Steer(_)
        | CallInput::Nobody
        | CallInput::DevicesGone
        | CallInput::Sealed(_) => {}
    }
}

/// What was to happen by now: a phone that does not leave by itself is hung up, a place not taken is given up.
fn due(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    dismiss(call, Some(now.moment), now, out);
    guests::due(call, now, out);
    pausing::due(call, now, out);
    if let Some(taking) = call.taking.as_ref().filter(|taking| taking.until <= now.moment) {
        let leg = taking.leg;
        taking::give_up(call, leg, now, out);
    }
    set_deadline(call);
}

/// Hangs up the phones whose caller was handed on and who have not left by then; all of them, without a time.
pub fn dismiss(call: &mut Call, due: Option<Moment>, now: Now, out: &mut Vec<Decision>) {
    let is_due = |(_, at): &(LegId, Moment)| due.is_none_or(|due| *at <= due);
    let (gone, left): (Vec<_>, Vec<_>) = std::mem::take(&mut call.leaving).into_iter().partition(is_due);
    call.leaving = left;
    for (leg, _) in gone {
        call.hang_up(leg, EndedBy::AnsweredElsewhere, now, out);
    }
}

/// In conversation only these wait for the clock.
pub fn set_deadline(call: &mut Call) {
    let leaving = call.leaving.iter().map(|(_, at)| *at);
    let taking = call.taking.iter().map(|taking| taking.until);
    let pause = call.pause.iter().map(|pause| pause.until);
    call.deadline = leaving.chain(taking).chain(pause).chain(guests::deadline(call)).min();
}

/// Tells that a side holds, or does not any more, once each time.
pub fn note_hold(call: &mut Call, by: LegId, is_held: bool, out: &mut Vec<Decision>) {
    let who = if by.number == 0 { EndedBy::Caller } else { EndedBy::Regulator };
    let was_held = call.held.contains(&by);
    match (was_held, is_held) {
        (false, true) => {
            call.held.push(by);
            call.tell(EventKind::CallHeld { by: who }, out);
        }
        (true, false) => {
            call.held.retain(|held| *held != by);
            call.tell(EventKind::CallResumed { by: who }, out);
        }
        (false, false) | (true, true) => {}
    }
}

/// One side changed its codec: the other is offered the same, so that packets are relayed as they are. What came of an
/// offer of ours is not offered back.
fn spare_transcoding(call: &mut Call, (leg, by): (LegId, LegId), remote: &RemoteMedia, out: &mut Vec<Decision>) {
    let count = call.offered.len();
    call.offered.retain(|(offered, codec)| !(*offered == by && *codec == remote.codec));
    if call.offered.len() < count || remote.direction.is_held() {
        return;
    }
    if !call.guests.is_empty() {
        return;
    }
    let other = if by.number == 0 { leg } else { call.caller_leg() };
    let is_same = |other: &RemoteMedia| other.codec == remote.codec || other.direction.is_held();
    if call.leg(other).and_then(super::leg::Leg::remote).is_none_or(is_same) {
        return;
    }
    call.offered.retain(|(offered, _)| *offered != other);
    call.offered.push((other, remote.codec));
    out.push(Decision::Leg(LegOrder::Reoffer { leg: other, codec: remote.codec, direction: Direction::Both }));
}

/// The call is over for good.
pub fn finish(call: &mut Call, by: EndedBy, detail: Option<String>, now: Now, out: &mut Vec<Decision>) {
    taking::give_up_any(call, now, out);
    if let State::Talking { leg } = call.state {
        release(call, leg, out);
    }
    // Who was put through to an outside number has talked with no regulator.
    let outcome = if call.record.answered_at.is_some() { Outcome::Answered } else { Outcome::Forwarded };
    ending::end(call, Ending { outcome, by, detail }, now, out);
}

/// Whoever talked over this leg is free again.
pub fn release(call: &Call, leg: LegId, out: &mut Vec<Decision>) {
    if let Some(regulator) = call.leg(leg).and_then(|leg| leg.regulator.clone()) {
        out.push(Decision::Room(RoomChange::Released { regulator }));
    }
}

/// The phone of whoever talks with the caller vanished.
fn return_to_room(call: &mut Call, leg: LegId, why: EndedBy, now: Now, out: &mut Vec<Decision>) {
    call.hang_up(leg, why, now, out);
    if guests::succeed(call, leg, true, now, out) {
        return;
    }
    taking::give_up_any(call, now, out);
    out.push(Decision::Media(MediaCommand::Unbridge { leg: call.caller_leg() }));
    if let Some(regulator) = call.leg(leg).and_then(|leg| leg.regulator.clone()) {
        out.push(Decision::Room(RoomChange::Lost { regulator }));
    }
    wait_again(call, now, out);
}

/// The caller is not lost but waits again, in its old place.
pub fn wait_again(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    dismiss(call, None, now, out);
    guests::dismiss(call, EndedBy::AnsweredElsewhere, now, out);
    call.held.retain(|held| held.number == 0);
    pausing::resume(call, AskedBy::Vigie, now, out);
    // The wait that an outside number had ended goes on.
    call.record.wait_ended_at = None;
    if call.record.queued_at.is_none() {
        call.play(call.caller_leg(), vec![call.line.music.clone()], AfterSounds::RepeatLast, out);
        return opening::enter(call, now, out);
    }
    call.state = State::Waiting;
    call.waits_until = now.moment + call.line.waiting_max;
    call.deadline = Some(call.waits_until);
    call.play(call.caller_leg(), vec![call.line.music.clone()], AfterSounds::RepeatLast, out);
    let queued = EventKind::queued(&call.record, &call.demand.needs);
    call.tell(queued, out);
    out.push(Decision::Keep);
    out.push(Decision::Room(RoomChange::Enter { since: call.queued }));
}
